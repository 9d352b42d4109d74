//! The SFU's RPCs: Twirp over HTTP, protobuf or JSON. The response has the encoding of the request.
//!
//! Transport errors are Twirp JSON; application errors are fields of the response message.

use crate::{
    edge::ws::abort,
    faults::{Edge, Stage},
    publish::Failure,
    server::{self, silence, Server},
    state::METHODS,
};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{header, StatusCode},
    response::Response,
};
use offhook_proto::{models, signal};
use prost::Message;
use serde::{de::DeserializeOwned, Serialize};
use serde_json::json;
use std::sync::{atomic::Ordering::Relaxed, Arc};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

fn twirp_error(server: &Server, status: StatusCode, code: &str, message: &str) -> Response {
    server.counters.rpc_errors.fetch_add(1, Relaxed);
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({ "code": code, "msg": message }).to_string()))
        .unwrap_or_default()
}

fn read<T: Message + Default + DeserializeOwned>(form: Form, bytes: &[u8]) -> Result<T, String> {
    match form {
        Form::Protobuf => T::decode(bytes).map_err(|e| e.to_string()),
        Form::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
    }
}

fn write<T: Message + Serialize>(form: Form, message: &T) -> Response {
    let (kind, bytes) = match form {
        Form::Protobuf => ("application/protobuf", message.encode_to_vec()),
        Form::Json => ("application/json", serde_json::to_vec(message).unwrap_or_default()),
    };
    Response::builder().header(header::CONTENT_TYPE, kind).body(Body::from(bytes)).unwrap_or_default()
}

fn application_error(server: &Server, failure: Failure) -> Option<models::Error> {
    server.counters.rpc_errors.fetch_add(1, Relaxed);
    server.log.debug(format_args!("refused: {} {}", failure.0.as_str_name(), failure.1));
    Some(models::Error { code: failure.0 as i32, message: failure.1, should_retry: false })
}

/// `POST /{edge}/twirp/stream.video.sfu.signal.SignalServer/{method}`
pub async fn call(
    State(server): State<Arc<Server>>,
    Path((edge, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(edge) = Edge::from_name(&edge) else {
        return twirp_error(&server, StatusCode::NOT_FOUND, "bad_route", "no such SFU");
    };
    if server.faults.is_killed(edge) {
        return abort();
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let form = match kind.split(';').next().map(str::trim) {
        Some("application/protobuf") => Form::Protobuf,
        Some("application/json") => Form::Json,
        _ => {
            let text = format!("unexpected Content-Type: {kind:?}");
            return twirp_error(&server, StatusCode::NOT_FOUND, "bad_route", &text);
        }
    };
    let Some(index) = METHODS.iter().position(|m| *m == method) else {
        return twirp_error(&server, StatusCode::NOT_FOUND, "bad_route", "no such method");
    };
    server.counters.rpcs[index].fetch_add(1, Relaxed);
    let bytes = match server::body(&server, request.into_body()).await {
        Ok(bytes) => bytes,
        Err(_) => {
            let text = "the request is too large or incomplete";
            return twirp_error(&server, StatusCode::PAYLOAD_TOO_LARGE, "resource_exhausted", text);
        }
    };
    match dispatch(&server, edge, index, form, &bytes).await {
        Ok(response) => response,
        Err(text) => {
            let text = format!("the request cannot be read: {text}");
            twirp_error(&server, StatusCode::BAD_REQUEST, "malformed", &text)
        }
    }
}

/// Counts an RPC for its session. Never returns if a fault leaves it unanswered.
async fn enter(server: &Server, edge: Edge, index: usize, session_id: &str, stage: Option<Stage>) {
    let stats = server.session(edge, session_id);
    if let Some(stats) = &stats {
        stats.rpcs[index].fetch_add(1, Relaxed);
    }
    server.log.debug(format_args!("{} from {session_id} at {}", METHODS[index], edge.name()));
    let user = stats.as_ref().map_or("", |s| s.user_id.as_str());
    if stage.is_some_and(|stage| server.faults.take_silent(stage, user, Some(edge))) {
        silence().await;
    }
}

async fn dispatch(
    server: &Arc<Server>,
    edge: Edge,
    index: usize,
    form: Form,
    bytes: &[u8],
) -> Result<Response, String> {
    let error = |failure| application_error(server, failure);
    Ok(match METHODS[index] {
        "SetPublisher" => {
            let request: signal::SetPublisherRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, Some(Stage::SetPublisher)).await;
            let session_id = request.session_id.clone();
            let response = server.set_publisher(edge, request).await.unwrap_or_else(|failure| {
                signal::SetPublisherResponse { session_id, error: error(failure), ..Default::default() }
            });
            write(form, &response)
        }
        "SendAnswer" => {
            let request: signal::SendAnswerRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, Some(Stage::SendAnswer)).await;
            let error = server.send_answer(edge, request).await.err().and_then(error);
            write(form, &signal::SendAnswerResponse { error })
        }
        "IceTrickle" => {
            let request: models::IceTrickle = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            let error = server.ice_trickle(edge, request).await.err().and_then(error);
            write(form, &signal::IceTrickleResponse { error })
        }
        "UpdateSubscriptions" => {
            let request: signal::UpdateSubscriptionsRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            let error = server.update_subscriptions(edge, request).err().and_then(error);
            write(form, &signal::UpdateSubscriptionsResponse { error })
        }
        "UpdateMuteStates" => {
            let request: signal::UpdateMuteStatesRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            let error = server.update_mute_states(edge, &request).err().and_then(error);
            write(form, &signal::UpdateMuteStatesResponse { error })
        }
        "IceRestart" => {
            let request: signal::IceRestartRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            let error = server.ice_restart(edge, &request.session_id, request.peer_type).err().and_then(error);
            write(form, &signal::IceRestartResponse { error })
        }
        "SendStats" => {
            let request: signal::SendStatsRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            write(form, &signal::SendStatsResponse { error: None })
        }
        "SendMetrics" => {
            let request: signal::SendMetricsRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            write(form, &signal::SendMetricsResponse {})
        }
        "StartNoiseCancellation" => {
            let request: signal::StartNoiseCancellationRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            write(form, &signal::StartNoiseCancellationResponse { error: None })
        }
        _ => {
            let request: signal::StopNoiseCancellationRequest = read(form, bytes)?;
            enter(server, edge, index, &request.session_id, None).await;
            write(form, &signal::StopNoiseCancellationResponse { error: None })
        }
    })
}
