//! The start of a call's actor, and its end in every case. Must not know: rules, C.

use super::{actor::Actor, ops::Peers, shared::Shared};
use crate::core::EndReason;
use crate::error::{Code, Error};
use crate::runtime::Reserved;
use crate::share::Share;
use std::sync::Arc;

/// The actor of a prepared call.
pub struct Launch {
    /// Boxed: a wrapping future would hold it twice, once as an argument and once as the awaited future.
    actor: Box<Actor>,
    peers: Peers,
    place: Reserved,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Launch")
    }
}

/// A stopped runtime drops its tasks at any await: the call still reports its end.
struct Unfinished(Arc<Shared>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A panic is reported by the code that contains it.
        if !std::thread::panicking() && !self.0.has_ended() {
            let text = "the library was shut down before the call had left";
            self.0.end(EndReason::Shutdown, Error::new(Code::State, text));
        }
    }
}

impl Launch {
    pub(super) fn new(actor: Actor, peers: Peers, place: Reserved, shared: Arc<Shared>) -> Self {
        Self { actor: Box::new(actor), peers, place, shared }
    }

    /// Starts to join. The result comes as an event. Never waits, never fails.
    pub fn start(self) {
        let Self { actor, peers, place, shared } = self;
        let unfinished = Unfinished(shared.clone());
        let on_panic = move |text: String| {
            shared.end(
                EndReason::Internal,
                Error::new(Code::Internal, format!("the call ended because of a bug in the library: {text}")),
            );
            peers.close_all();
        };
        let run = async move {
            let _unfinished = unfinished;
            let mut actor = actor;
            actor.run().await;
        };
        // Tasks that the call starts use the same share.
        place.spawn_guarded(Arc::<Share>::default().run(run), on_panic);
    }
}
