//! Late offers and malformed frames.

use crate::{
    ctl::{Answer, Target},
    server::Server,
    socket::{Out, RawFrame},
    state::LateOffers,
};
use base64::{engine::general_purpose::STANDARD, Engine};
use serde::Deserialize;
use serde_json::json;
use std::sync::{atomic::Ordering::Relaxed, Arc};

const MAX_OFFERS: u64 = 100_000;

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum When {
    #[default]
    Now,
    Leave,
}

#[derive(Deserialize)]
pub struct LateOffer {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    burst: LateOffers,
    #[serde(default)]
    when: When,
    /// Answer only once all offers have been queued on the socket.
    #[serde(default)]
    wait: bool,
}

/// Sends well-formed subscriber offers without a negotiation behind them: at once, or when the client leaves.
pub async fn late_offer(server: Arc<Server>, a: LateOffer) -> Answer {
    if a.burst.count > MAX_OFFERS || a.burst.delay_ms > 60_000 {
        return Err(format!("at most {MAX_OFFERS} offers, at most 60000 ms apart"));
    }
    let sockets = a.target.sockets(&server.world.lock());
    if sockets.is_empty() {
        return Err("no such session".into());
    }
    let count = sockets.len();
    if a.when == When::Leave {
        for (stats, _) in sockets {
            *stats.late_on_leave.lock() = Some(a.burst);
        }
        return Ok(json!({ "sessions": count, "armed": a.burst.count }));
    }
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|(stats, socket)| {
            let server = server.clone();
            tokio::spawn(async move { server.send_late_offers(&stats, socket, a.burst).await })
        })
        .collect();
    if !a.wait {
        return Ok(json!({ "sessions": count, "asked": a.burst.count * count as u64 }));
    }
    let mut accepted = 0;
    for task in tasks {
        accepted += task.await.unwrap_or(0);
    }
    Ok(json!({ "sessions": count, "asked": a.burst.count * count as u64, "accepted": accepted }))
}

#[derive(Deserialize)]
pub struct Raw {
    #[serde(flatten)]
    target: Target,
    /// "text", "binary", or the number of an opcode.
    #[serde(default)]
    opcode: Option<serde_json::Value>,
    /// The payload.
    #[serde(default)]
    base64: Option<String>,
    /// Sends this many seeded random bytes instead of the payload.
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    seed: u64,
    #[serde(default = "one")]
    fragments: u64,
    /// False payload length to write into the header.
    #[serde(default)]
    claim: Option<u64>,
}

fn one() -> u64 {
    1
}

/// Sends a malformed, oversized or fragmented frame to the target's sockets.
pub async fn raw_frame(server: Arc<Server>, a: Raw) -> Answer {
    let opcode = match &a.opcode {
        None => 2,
        Some(v) if v == "binary" => 2,
        Some(v) if v == "text" => 1,
        Some(v) => v.as_u64().filter(|n| *n < 16).ok_or("opcode: text, binary or 0 to 15")? as u8,
    };
    let payload = STANDARD.decode(a.base64.unwrap_or_default()).map_err(|e| format!("base64: {e}"))?;
    if a.size.is_some_and(|s| s > 1 << 30) {
        return Err("size: at most 1 GiB".into());
    }
    let frame = RawFrame { opcode, payload, size: a.size, claim: a.claim, fragments: a.fragments.max(1), seed: a.seed };
    let sockets = a.target.sockets(&server.world.lock());
    let mut sent = 0;
    for (stats, socket) in &sockets {
        if socket.as_ref().is_some_and(|s| s.push(Out::Raw(frame.clone()))) {
            stats.events_out.fetch_add(1, Relaxed);
            sent += 1;
        }
    }
    Ok(json!({ "sessions": sent }))
}
