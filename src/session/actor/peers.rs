//! Making and closing peer connections.

use super::*;

impl Actor {
    pub(super) fn create_peer(&mut self, generation: Generation, peer: PeerKind, op: Op, ice_servers: Vec<IceServer>) {
        self.creating.push((generation, peer, true));
        let engine = self.connection.engine.clone();
        let options = PeerOptions {
            ice_servers,
            loopback_only: self.loopback_only,
            refuse_data: !self.config.dialect.data_channels,
            disconnected_after: self.config.dialect.media_silence,
        };
        let observer = Arc::new(Observer {
            generation,
            peer,
            news: self.news.clone(),
            inputs: self.input_sender.clone(),
            data: self.data_sender.clone(),
            playout: self.playout.clone(),
            signalling: self.signalling.clone(),
            shared: self.shared.clone(),
            candidates: std::sync::atomic::AtomicUsize::new(0),
            silent: Default::default(),
        });
        self.ops.push(Box::pin(async move {
            let result = engine.peer(peer, options, observer).await;
            Done::Peer { generation, peer, op, result }
        }));
    }

    pub(super) fn close_peer(
        &mut self,
        generation: Generation,
        kind: PeerKind,
        peer: std::sync::Arc<dyn crate::rtc::engine::Peer>,
    ) {
        self.ops.push(Box::pin(async move {
            peer.close().await;
            Done::Input(Input::PeerClosed { generation, peer: kind })
        }));
    }
}
