//! A pair that the other side uses although its nomination has not come: the nomination is made up for.
//!
//! After an ICE restart whoever nominates sends on the new pair at once, and media is to be taken from any pair that
//! is valid (RFC 8445 section 12.2). The engine takes it from the nominated one alone; when the nomination is lost, it
//! would be silent until that comes again, which takes seconds. Part of the engine's module. Must not know: sockets.

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

/// The check that nominates, as the other side would send it by the descriptions in force.
pub(super) fn nomination(pc: &RTCPeerConnection, provider: &dyn RTCCryptoProvider) -> Option<BytesMut> {
    let (ours, theirs) = (pc.local_description()?.sdp, &pc.remote_description()?.sdp);
    if theirs.lines().any(|line| line == "a=ice-lite") {
        // Then the nominations are this side's.
        return None;
    }
    let user = format!("{}:{}", sdp::ice_ufrag(&ours), sdp::ice_ufrag(theirs));
    let password = sdp::ice_pwd(&ours).to_owned();
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
