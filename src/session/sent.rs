//! Whether everything that was accepted is on its way, and what is reported of what is not. Must not know: who asks.

use super::{notice::Notice, shared::Shared};
use crate::core::Event;
use crate::log::{oh_log, Level};
use std::{
    sync::{atomic::Ordering, Arc},
    time::Duration,
};

/// How often the end of what waits is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Shared {
    /// Everything that was accepted and can be sent is sent, and had time to be played.
    pub fn is_sent(&self) -> bool {
        let data = self.publisher_closed.load(Ordering::Acquire) || self.outbox.is_empty();
        data && self.custom.lock().is_empty() && self.tracks.lock().values().all(|t| t.is_heard())
    }

    /// Waits for that; not longer than `within`.
    pub async fn sent(self: Arc<Self>, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        while !self.is_sent() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Nothing more is taken for sending; what was not sent by now is counted. Told before the terminal event.
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
        oh_log!(Level::Warn, "{}: ended before everything was sent that had been accepted: {unsent:?}", self.name);
        self.post(Notice::new(at_ms, Event::Unsent(unsent)));
    }
}
