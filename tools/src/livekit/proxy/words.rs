//! Commands of the control API for the proxies.
//!
//! Knows the commands and their members; docs/livekit-stand.md describes their effects.

use super::{
    book::{Book, SocketRule, Way},
    candidates,
    frame::{self, Frame},
    socket::What,
    switches::{Odds, Scope},
    wire::{self, To},
};
use base64::{engine::general_purpose::STANDARD, Engine};
use offhook_proto::livekit::{signal_request, simulate_scenario::Scenario, SignalRequest, SimulateScenario};
use prost::Message;
use serde_json::{json, Value};
use std::time::Duration;

/// Most offers that one command repeats.
const MAX_REPLAYS: u64 = 4000;
/// More than any client accepts.
const HUGE: u64 = 64 << 20;

/// Executes a command; None if the command is not for the proxies.
pub fn act(book: &Book, what: &str, body: &Value) -> Option<Result<Value, String>> {
    let identity = body["identity"].as_str().unwrap_or_default();
    let sockets = |count: u64| Ok(json!({ "sockets": count }));
    let done = || Ok(json!({}));
    Some(match what {
        "signal" | "media" => rule(book, what, body).map(|()| json!({})),
        "cut" => sockets(book.live(identity, |h| h.cut())),
        "close" => {
            let code = body["code"].as_u64().unwrap_or(1001) as u16;
            let reason = body["reason"].as_str().unwrap_or_default();
            sockets(book.live(identity, |h| {
                for (to, code, reason) in [(To::Client, code, reason), (To::Server, 1001, "")] {
                    h.send(to, What::frame(to, &Frame::close(code, reason)));
                    h.send(to, What::End);
                }
                true
            }))
        }
        "half_open" => sockets(book.live(identity, |h| h.set_open(false))),
        "heal" => {
            book.clear_socket_rules(identity);
            book.signal.clear(identity);
            book.media.clear(identity);
            sockets(book.live(identity, |h| h.set_open(true)))
        }
        "refuse" | "silent" => {
            let status = body["status"].as_u64().unwrap_or(503) as u16;
            let way = match what {
                "silent" => Way::Silent,
                _ if body["status"] == "hang" => Way::Hang,
                _ => Way::Refuse(status),
            };
            let path = body["path"].as_str().unwrap_or_default().to_owned();
            let (identity, left) = (identity.to_owned(), body["count"].as_u64());
            book.add_socket_rule(SocketRule { identity, path, way, left });
            done()
        }
        "garbage" => garbage(body).map(|whats| {
            json!({ "sockets": book.live(identity, |h| whats().into_iter().all(|w| h.send(To::Client, w))) })
        }),
        "inject" => {
            let to = if body["to"] == "server" { To::Server } else { To::Client };
            bytes(body, "message")
                .map(|b| json!({ "sockets": book.live(identity, |h| h.send(to, What::message(to, &b))) }))
        }
        "huge" => {
            let size = body["size"].as_u64().unwrap_or(HUGE);
            let claim = body["claim"].as_u64().unwrap_or(size);
            sockets(book.live(identity, |h| h.send(To::Client, What::Huge { claim, size })))
        }
        "replay" => {
            let count = body["count"].as_u64().unwrap_or(1).min(MAX_REPLAYS) as usize;
            let restart = body["ice_restart"].as_bool().unwrap_or(false);
            let (sent, waiting) = book.replay(identity, count, |offer, n| match restart {
                false => offer.clone(),
                true => wire::replace(offer, &[3, 2], &mut |sdp| candidates::with_other_ice(sdp, n)),
            });
            Ok(json!({ "sent": sent, "waiting": waiting }))
        }
        "hold_offers" => Ok(json!({ "held": book.hold_offers(identity, body["on"].as_bool().unwrap_or(true)) })),
        "release" => Ok(json!({ "sent": book.release(identity) })),
        "linger" => {
            book.set_linger(identity, Duration::from_millis(body["ms"].as_u64().unwrap_or(0)));
            done()
        }
        "simulate" => simulate(body).map(|message| {
            json!({ "sockets": book.live(identity, |h| h.send(To::Server, What::message(To::Server, &message))) })
        }),
        "reset" => {
            book.reset();
            done()
        }
        _ => return None,
    })
}

fn rule(book: &Book, what: &str, body: &Value) -> Result<(), String> {
    let odds: Odds = serde_json::from_value(body.clone()).map_err(|e| format!("arguments: {e}"))?;
    let scope = Scope::read(body)?;
    if what == "media" {
        book.media.set(scope, odds);
    } else {
        book.signal.set(scope, odds);
    }
    Ok(())
}

fn bytes(body: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = body[name].as_str().ok_or_else(|| format!("{name} is needed"))?;
    STANDARD.decode(text).map_err(|e| format!("{name} is not base64: {e}"))
}

/// Messages that a well-behaved server would not send: `bytes` and `text` in frames, `raw` without one.
fn garbage(body: &Value) -> Result<impl Fn() -> Vec<What>, String> {
    let mut all = Vec::new();
    if !body["bytes"].is_null() {
        all.push(Frame::whole(frame::BINARY, bytes(body, "bytes")?).encode(None));
    }
    if let Some(text) = body["text"].as_str() {
        all.push(Frame::whole(frame::TEXT, text.as_bytes().to_vec()).encode(None));
    }
    if !body["raw"].is_null() {
        all.push(bytes(body, "raw")?);
    }
    if all.is_empty() {
        return Err("bytes, text or raw is needed".to_owned());
    }
    Ok(move || all.iter().cloned().map(What::Bytes).collect())
}

/// A SimulateScenario request, sent to the server as if from the client.
fn simulate(body: &Value) -> Result<Vec<u8>, String> {
    let on = body["value"].as_bool().unwrap_or(true);
    let scenario = match body["scenario"].as_str().unwrap_or_default() {
        "speaker_update" => Scenario::SpeakerUpdate(body["value"].as_i64().unwrap_or(3) as i32),
        "node_failure" => Scenario::NodeFailure(on),
        "migration" => Scenario::Migration(on),
        "server_leave" => Scenario::ServerLeave(on),
        "disconnect_signal_on_resume" => Scenario::DisconnectSignalOnResume(on),
        "disconnect_signal_on_resume_no_messages" => Scenario::DisconnectSignalOnResumeNoMessages(on),
        "leave_request_full_reconnect" => Scenario::LeaveRequestFullReconnect(on),
        other => return Err(format!("unknown scenario {other:?}")),
    };
    let message = signal_request::Message::Simulate(SimulateScenario { scenario: Some(scenario) });
    Ok(SignalRequest { message: Some(message) }.encode_to_vec())
}
