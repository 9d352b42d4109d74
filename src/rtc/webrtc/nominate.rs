//! Synthesises the nomination of a pair that the remote peer already uses, if the real one was lost.
//!
//! After an ICE restart the nominating side sends on the new pair at once, and media must be accepted on any valid pair
//! (RFC 8445 section 12.2). The engine accepts it only on the nominated pair; if the nomination is lost, no media would
//! arrive until it is repeated, which takes seconds. Part of the engine's module. Must not know: sockets.

use super::super::sdp;
use bytes::BytesMut;
use rtc::crypto::RTCCryptoProvider;
use rtc::ice::attributes::{control::AttrControlling, priority::PriorityAttr, use_candidate::UseCandidateAttr};
use rtc::peer_connection::RTCPeerConnection;
use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message, TransactionId, BINDING_REQUEST};
use rtc::stun::textattrs::Username;

/// The nominating check, as the remote peer would send it by the descriptions in force.
pub(super) fn nomination(pc: &RTCPeerConnection, provider: &dyn RTCCryptoProvider) -> Option<BytesMut> {
    let (local, remote) = (pc.local_description()?.sdp, &pc.remote_description()?.sdp);
    if remote.lines().any(|line| line == "a=ice-lite") {
        // Then this side nominates.
        return None;
    }
    let user = format!("{}:{}", sdp::ice_ufrag(&local), sdp::ice_ufrag(remote));
    let password = sdp::ice_pwd(&local).to_owned();
    let mut check = Message::new();
    check
        .build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(Username::new(ATTR_USERNAME, user)),
            Box::new(AttrControlling(u64::MAX)),
            Box::new(UseCandidateAttr::new()),
            Box::new(PriorityAttr(1)),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto())),
            Box::new(FINGERPRINT),
        ])
        .ok()?;
    Some(BytesMut::from(&check.raw[..]))
}
