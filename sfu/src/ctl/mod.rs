//! The control API: lets tests in any language inspect the SFU and inject faults.
//!
//! Every call is a POST of a JSON object (`state` also a GET) and returns a JSON object. `docs/sfu.md` lists the calls.

mod coordinator;
mod events;
mod flood;
mod offers;
mod switches;

use crate::{
    faults::Edge,
    join::Joined,
    room::World,
    server::{self, Server},
    socket::Outbox,
    state::{self, SessionStats},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
    Json, Router,
};
use serde::{de::DeserializeOwned, Deserialize};
use serde_json::{json, Value};
use std::{future::Future, sync::Arc};

/// Selects the sessions of a call. All given members must match; no member selects all sessions.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Target {
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub user_id: Option<String>,
    #[serde(default)]
    pub cid: Option<String>,
    #[serde(default)]
    pub edge: Option<Edge>,
}

impl Target {
    fn fits(&self, stats: &SessionStats) -> bool {
        let same = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|w| w == is);
        same(&self.session_id, &stats.session_id)
            && same(&self.user_id, &stats.user_id)
            && same(&self.cid, &stats.cid)
            && self.edge.is_none_or(|e| e == stats.edge)
    }

    /// The connections of live sessions that match.
    fn live(&self, world: &World) -> Vec<Joined> {
        let legs = world.rooms.values().flat_map(|r| &r.participants).flat_map(|p| &p.legs);
        legs.filter(|l| self.fits(&l.stats))
            .map(|l| Joined {
                session_id: l.stats.session_id.clone(),
                edge: l.edge,
                leg: l.id,
                socket_number: l.socket_number,
                stats: l.stats.clone(),
            })
            .collect()
    }

    /// Live sessions that match, or else the last ended one, each with its current or last socket.
    fn sockets(&self, world: &World) -> Vec<(Arc<SessionStats>, Option<Outbox>)> {
        let legs = world.rooms.values().flat_map(|r| &r.participants).flat_map(|p| &p.legs);
        let live = legs.filter(|l| self.fits(&l.stats)).map(|l| (l.stats.clone(), l.socket.clone()));
        let mut all: Vec<_> = live.collect();
        if all.is_empty() {
            // No live session: the last ended one that matches.
            all.extend(world.gone.iter().rev().filter(|(s, _)| self.fits(s)).take(1).cloned());
        }
        all
    }

    /// Session ids of live participants that match.
    fn sessions(&self, world: &World) -> Vec<String> {
        let mut ids: Vec<String> = self.live(world).into_iter().map(|j| j.session_id).collect();
        ids.dedup();
        ids
    }
}

type Answer = Result<Value, String>;

/// Wraps a function of (server, arguments) as a handler.
async fn run<A, F>(server: Arc<Server>, request: Request, act: impl FnOnce(Arc<Server>, A) -> F) -> Response
where
    A: DeserializeOwned,
    F: Future<Output = Answer>,
{
    let name = request.uri().path().to_owned();
    let body = match server::body(&server, request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let arguments = serde_json::from_slice::<A>(if body.is_empty() { b"{}" } else { &body });
    let result = match arguments {
        Ok(arguments) => {
            if name.ends_with("ice_servers") {
                // The arguments contain passwords.
                server.log.info(format_args!("ctl {name}"));
            } else if !name.ends_with("state") {
                server.log.info(format_args!("ctl {name} {}", String::from_utf8_lossy(&body[..body.len().min(200)])));
            }
            act(server, arguments).await
        }
        Err(e) => Err(format!("arguments: {e}")),
    };
    match result {
        Ok(value) => Json(value).into_response(),
        Err(text) => (StatusCode::BAD_REQUEST, Json(json!({ "error": text }))).into_response(),
    }
}

macro_rules! handler {
    ($act:path) => {
        post(|State(server): State<Arc<Server>>, request: Request| run(server, request, $act))
    };
}

async fn describe(server: Arc<Server>, _: Value) -> Answer {
    Ok(state::describe(&server))
}

/// All routes below `/ctl`.
pub fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/state", handler!(describe).get(|State(s): State<Arc<Server>>, r: Request| run(s, r, describe)))
        .route("/reset", handler!(switches::reset))
        .route("/silent", handler!(switches::silent))
        .route("/slow", handler!(switches::slow))
        .route("/lossy", handler!(switches::lossy))
        .route("/ice_servers", handler!(switches::ice_servers))
        .route("/refuse_join", handler!(switches::refuse_join))
        .route("/expire_tokens", handler!(switches::expire_tokens))
        .route("/join_error", handler!(switches::join_error))
        .route("/kill_edge", handler!(switches::kill_edge))
        .route("/revive_edge", handler!(switches::revive_edge))
        .route("/pin_edge", handler!(switches::pin_edge))
        .route("/drop_ws", handler!(events::drop_ws))
        .route("/freeze_ws", handler!(events::freeze_ws))
        .route("/go_away", handler!(events::go_away))
        .route("/error", handler!(events::error))
        .route("/ice_restart", handler!(events::ice_restart))
        .route("/call_ended", handler!(events::call_ended))
        .route("/kick", handler!(events::kick))
        .route("/mute", handler!(events::mute))
        .route("/grants", handler!(events::grants))
        .route("/pins", handler!(events::pins))
        .route("/flood", handler!(flood::flood))
        .route("/flood_events", handler!(events::flood_events))
        .route("/send_event", handler!(events::send_event))
        .route("/custom_event", handler!(events::custom_event))
        .route("/refuse_connect", handler!(coordinator::refuse_connect))
        .route("/drop_coordinator", handler!(coordinator::drop_coordinator))
        .route("/coordinator_frame", handler!(coordinator::coordinator_frame))
        .route("/late_offer", handler!(offers::late_offer))
        .route("/raw_frame", handler!(offers::raw_frame))
}
