//! The beginning of a call's actor, and its end whatever becomes of it. Must not know: rules, C.

use super::{actor::Actor, ops::Peers, shared::Shared};
use crate::core::EndReason;
use crate::error::{Code, Error};
use crate::runtime::Reserved;
use crate::share::Share;
use std::sync::Arc;

/// A prepared call's actor.
pub struct Launch {
    /// In a box: a future around it would hold it twice, once as what it was given and once as what it awaits.
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

/// A runtime that is cut off drops its tasks where they are: the call still says that it is over.
struct Unfinished(Arc<Shared>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A failure is told by who contains it.
        if !std::thread::panicking() && !self.0.is_over() {
            let text = "the library was shut down before the call had left in good order";
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
                Error::new(Code::Internal, format!("the call ended by a defect of the library: {text}")),
            );
            peers.close_all();
        };
        let run = async move {
            let _unfinished = unfinished;
            let mut actor = actor;
            actor.run().await;
        };
        // What the call starts has its part of the same share.
        place.spawn_guarded(Arc::<Share>::default().run(run), on_panic);
    }
}
