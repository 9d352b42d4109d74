//! A panic in every kind of task and in the callback path: it ends one session, typed, and nobody
//! else notices. Over real sockets, against the development SFU.

use super::{audio::oh_audio_frame, call::*, client::*, event::*, result::oh_result, sized::Grows, track::*};
use crate::core::trace;
use crate::inject::Mark;
use offhook_sfu::{Config, Sfu};
use std::{
    ffi::{c_void, CString},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Arc, Mutex,
    },
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(20);

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[derive(Default)]
struct Received {
    /// Kind, and for states and the end their values.
    events: Mutex<Vec<(i32, i32, i32)>>,
    frames: AtomicU64,
    destroyed: AtomicU64,
}

impl Received {
    fn count(&self, kind: oh_event_kind) -> usize {
        self.events.lock().unwrap().iter().filter(|e| e.0 == kind as i32).count()
    }

    fn end(&self) -> Option<(i32, i32)> {
        let events = self.events.lock().unwrap();
        events.iter().find(|e| e.0 == oh_event_kind::OH_EVENT_ENDED as i32).map(|e| (e.1, e.2))
    }

    /// A state other than joining and joined was reported.
    fn left_joined(&self) -> bool {
        let events = self.events.lock().unwrap();
        let away =
            |state| state != oh_call_state::OH_STATE_JOINING as i32 && state != oh_call_state::OH_STATE_JOINED as i32;
        events.iter().any(|e| e.0 == oh_event_kind::OH_EVENT_STATE as i32 && away(e.1))
    }
}

unsafe extern "C" fn on_event(user: *mut c_void, _: oh_call, event: *const oh_event) {
    // SAFETY: `user` is the peer's `Received`, which outlives its call; the event lives until we return.
    let (received, event) = unsafe { (&*user.cast::<Received>(), &*event) };
    // SAFETY: the member that the kind names.
    let (a, b) = unsafe {
        if event.kind == oh_event_kind::OH_EVENT_ENDED as i32 {
            ((*event.u.ended).reason, (*event.u.ended).error)
        } else if event.kind == oh_event_kind::OH_EVENT_STATE as i32 {
            ((*event.u.state).state, 0)
        } else {
            (0, 0)
        }
    };
    received.events.lock().unwrap().push((event.kind, a, b));
}

unsafe extern "C" fn on_audio(user: *mut c_void, _: oh_call, _: *const oh_audio_frame) {
    // SAFETY: as above.
    unsafe { &*user.cast::<Received>() }.frames.fetch_add(1, SeqCst);
}

unsafe extern "C" fn destroy(user: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*user.cast::<Received>() }.destroyed.fetch_add(1, SeqCst);
}

/// One participant that sends audio until it is dropped.
struct Peer {
    client: oh_client,
    call: oh_call,
    received: Arc<Received>,
    sending: Arc<AtomicBool>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Peer {
    fn join(sfu: &Sfu, user: &str) -> Self {
        let received = Arc::new(Received::default());
        let (url, token) = (CString::new(sfu.url()).unwrap(), CString::new("development").unwrap());
        let (user, id) = (CString::new(user).unwrap(), CString::new("panics").unwrap());
        let mut client = oh_client { id: 0 };
        let mut call = oh_call { id: 0 };
        // SAFETY: all text and the handlers outlive the calls that copy them, and `received`
        // outlives the call: it is kept until the client was freed.
        unsafe {
            let mut which = oh_client_options::blank();
            (which.url, which.user_id, which.token) = (url.as_ptr(), user.as_ptr(), token.as_ptr());
            assert_eq!(oh_client_new(&which, &mut client), oh_result::OH_OK);
            let handlers = oh_call_handlers {
                on_event: Some(on_event),
                on_audio: Some(on_audio),
                destroy: Some(destroy),
                user_data: Arc::as_ptr(&received).cast_mut().cast(),
                ..oh_call_handlers::blank()
            };
            let mut what = oh_call_options::blank();
            (what.call_id, what.handlers) = (id.as_ptr(), &handlers);
            assert_eq!(oh_call_join(client, &what, &mut call), oh_result::OH_OK);
        }
        let joined = oh_call_wait_state(call, oh_call_state::OH_STATE_JOINED as i32, 10_000);
        assert_eq!(joined, oh_result::OH_OK);
        Self { client, call, received, sending: Arc::new(AtomicBool::new(true)), writer: None }
    }

    fn publish_tone(&mut self) {
        let mut track = oh_track { id: 0 };
        // SAFETY: NULL means the defaults.
        assert_eq!(unsafe { oh_call_publish_audio(self.call, std::ptr::null(), &mut track) }, oh_result::OH_OK);
        let sending = self.sending.clone();
        self.writer = Some(thread::spawn(move || {
            let samples: Vec<i16> = (0..960).map(|n| (f32::sin(n as f32 * 0.06) * 9_000.0) as i16).collect();
            while sending.load(SeqCst) {
                if oh_track_wait_writable(track, 960, 50) == oh_result::OH_OK {
                    // SAFETY: 960 mono samples.
                    unsafe { oh_track_write_s16(track, samples.as_ptr(), 960) };
                } else {
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }));
        let received = self.received.clone();
        wait_for("published", || received.count(oh_event_kind::OH_EVENT_LOCAL_TRACK_PUBLISHED) == 1);
    }

    fn receives_audio(&self, who: &str) {
        let before = self.received.frames.load(SeqCst);
        let received = self.received.clone();
        wait_for(who, || received.frames.load(SeqCst) >= before + 10);
    }

    fn undisturbed(&self, when: &str) {
        for kind in
            [oh_event_kind::OH_EVENT_ENDED, oh_event_kind::OH_EVENT_ERROR, oh_event_kind::OH_EVENT_LOCAL_TRACK_FAILED]
        {
            assert_eq!(self.received.count(kind), 0, "{when}: a neighbour received {kind:?}");
        }
        assert!(!self.received.left_joined(), "{when}: a neighbour did not stay joined");
        self.receives_audio("the neighbours receive each other");
    }
}

/// What a call decided, whatever became of it, is decided again from its trace.
fn happens_again(call: oh_call) {
    let mut length = 0;
    // SAFETY: no room is given, and then all of `text`.
    let text = unsafe {
        assert_eq!(oh_call_get_trace(call, std::ptr::null_mut(), 0, &mut length), oh_result::OH_OK);
        let mut text = vec![0u8; length + (1 << 20)];
        assert_eq!(oh_call_get_trace(call, text.as_mut_ptr().cast(), text.len(), &mut length), oh_result::OH_OK);
        text.truncate(length);
        String::from_utf8(text).expect("UTF-8")
    };
    match trace::replay(&text) {
        Ok(replayed) => assert!(replayed.outputs > 20, "{replayed:?}"),
        // Of a call with many events the end is kept.
        Err(differs) => assert!(differs.what.contains("entries were dropped"), "{differs}"),
    }
    assert!(!text.contains("development"), "the token is in the trace");
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.sending.store(false, SeqCst);
        if !thread::panicking() {
            happens_again(self.call);
        }
        oh_client_free(self.client);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if !thread::panicking() {
            assert_eq!(self.received.destroyed.load(SeqCst), 1, "destroy after oh_client_free");
            assert!(self.received.count(oh_event_kind::OH_EVENT_ENDED) <= 1, "two terminal events");
        }
    }
}

/// What becomes of the session that is struck.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It ends as a defect of the library.
    Internal,
    /// Its connection counts as lost: it ends for that reason, or is made anew.
    ConnectionLost,
}

#[test]
fn one_panic_ends_one_session() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sfu = runtime.block_on(Sfu::start(Config::default())).unwrap();
    let (mut alice, mut bob) = (Peer::join(&sfu, "alice"), Peer::join(&sfu, "bob"));
    alice.publish_tone();
    bob.publish_tone();
    alice.receives_audio("bob");
    bob.receives_audio("alice");

    for (kind, fate) in [
        ("call", Fate::Internal),
        ("play", Fate::Internal),
        ("send", Fate::Internal),
        ("callback", Fate::Internal),
        ("socket", Fate::ConnectionLost),
        ("driver", Fate::ConnectionLost),
        ("media", Fate::ConnectionLost),
    ] {
        let mark = Mark::new();
        let mut victim = Peer::join(&sfu, &format!("victim of {kind}"));
        Mark::lift();
        victim.publish_tone();
        victim.receives_audio("the victim receives the others");
        mark.strike(kind);
        wait_for(&format!("{kind} runs"), || mark.struck(kind));
        let received = victim.received.clone();
        match fate {
            Fate::Internal => {
                wait_for(&format!("the end after a panic in {kind}"), || received.end().is_some());
                let internal = (oh_end_reason::OH_END_INTERNAL as i32, oh_result::OH_ERR_INTERNAL as i32);
                assert_eq!(received.end(), Some(internal), "after a panic in {kind}");
                assert_eq!(
                    oh_call_wait_state(victim.call, oh_call_state::OH_STATE_LEFT as i32, 5_000),
                    oh_result::OH_OK
                );
            }
            Fate::ConnectionLost => {
                wait_for(&format!("a panic in {kind} is noticed"), || {
                    received.left_joined() || received.end().is_some()
                });
            }
        }
        alice.undisturbed(kind);
        bob.undisturbed(kind);
        drop(victim);
        wait_for(&format!("all tasks end after a panic in {kind}"), || mark.live().is_empty());
    }

    // While a call closes what is left of it.
    let mark = Mark::new();
    let victim = Peer::join(&sfu, "victim of close");
    Mark::lift();
    victim.receives_audio("the victim receives the others");
    mark.strike("close");
    mark.strike("call");
    wait_for("the close of what is left", || mark.struck("close"));
    alice.undisturbed("close");
    drop(victim);
    wait_for("all tasks end after a panic in close", || mark.live().is_empty());

    // The library is as good as new.
    let last = Peer::join(&sfu, "last");
    last.receives_audio("the last one receives the others");
    drop((alice, bob, last));
    runtime.block_on(sfu.stop());
}
