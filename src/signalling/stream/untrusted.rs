//! Entry points for fuzzing: the parsers of server input, one call each and without a network.
//!
//! Must not know: more than the names of the parsers.

use super::{convert, socket, Coordinator, Rpc};
use crate::core::model::{Admission, AdmissionRequest, Failure, FailureKind, RpcCall, RpcReply, SfuMessage};
use crate::error::Secret;
use crate::signalling::{
    net::{HttpReply, Net},
    NetOptions,
};
use std::sync::Arc;

/// Decodes one frame of the SFU socket; `None`: it cannot be decoded.
pub fn event(text: bool, frame: &[u8]) -> Option<SfuMessage> {
    socket::decode(text, frame)
        .ok()
        .and_then(|event| convert::message(event, &Secret::new("token"), &mut Default::default()))
}

fn answer(status: u16, json: bool, body: &[u8]) -> HttpReply {
    let mut headers = hyper::HeaderMap::new();
    let kind = if json { "application/json" } else { "application/protobuf" };
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    HttpReply { status, headers, body: bytes::Bytes::copy_from_slice(body) }
}

fn net() -> Result<Arc<Net>, Failure> {
    // The environment has no influence on a fuzzer.
    let options = NetOptions { proxy: Some(String::new()), ..Default::default() };
    Net::new(options).map(Arc::new).map_err(|why| Failure::new(FailureKind::Malformed, why))
}

/// Parses the reply to an RPC.
pub fn reply(call: &RpcCall, json: bool, body: &[u8]) -> Result<RpcReply, Failure> {
    Rpc::new(net()?, "http://127.0.0.1:1/twirp", Secret::new("token"))?.understand(call, &answer(200, json, body))
}

/// Parses the coordinator's response to a join.
pub fn admission(status: u16, body: &[u8]) -> Result<Admission, Failure> {
    let coordinator = Coordinator::new(net()?, "http://127.0.0.1:1", "key", "user")?;
    coordinator.admission(&answer(status, true, body), &AdmissionRequest::default(), &Secret::new("token"))
}
