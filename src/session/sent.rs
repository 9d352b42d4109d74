//! Whether all accepted data and audio is sent, and the report of what is not. Must not know: who asks.

use super::{notice::Notice, shared::Shared};
use crate::core::Event;
use crate::log::{oh_log, Level};
use std::{
    sync::{atomic::Ordering, Arc},
    time::Duration,
};

/// Poll interval while waiting for everything to be sent.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Shared {
    /// Whether everything that was accepted and can be sent is sent, and had time to be played.
    pub fn is_sent(&self) -> bool {
        let data = self.publisher_closed.load(Ordering::Acquire) || self.outbox.is_empty();
        data && self.custom.lock().is_empty() && self.tracks.lock().values().all(|t| t.is_played_out())
    }

    /// Waits for that, at most `within`.
    pub async fn sent(self: Arc<Self>, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        while !self.is_sent() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Accepts no more, and counts and reports what was not sent. Called before the terminal event.
    pub(super) fn close_outboxes(&self, at_ms: u64) {
        self.outbox.seal();
        let mut unsent = self.outbox.unsent();
        let mut custom = self.custom.lock();
        custom.seal();
        custom.count(&mut unsent);
        drop(custom);
        let tracks: Vec<_> = self.tracks.lock().drain().map(|(_, track)| track).collect();
        for track in tracks {
            track.stop();
        }
        unsent.audio_ms = self.audio.unsent_ms.load(Ordering::Relaxed);
        if unsent.is_none() {
            return;
        }
        *self.unsent.lock() = unsent;
        oh_log!(Level::Warn, "{}: ended with accepted data unsent: {unsent:?}", self.name);
        self.post(Notice::new(at_ms, Event::Unsent(unsent)));
    }
}
