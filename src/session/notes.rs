//! Log lines about a call's activity.
//! Must not know: how it is done.

use super::shared::Shared;
use crate::core::{End, EndReason, Event, Output};
use crate::log::{self, oh_log, Level};

/// Trace lines logged when a call fails.
const LAST_LINES: usize = 64;

/// Logs the last inputs and decisions of the core when the call ended with a failure, to diagnose it without a trace.
pub(super) fn failed(shared: &Shared, end: &End) {
    let failure = end.error.is_some() && !matches!(end.reason, EndReason::Left | EndReason::Shutdown);
    if failure && log::enabled(Level::Debug) {
        for line in shared.trace.last(LAST_LINES) {
            oh_log!(Level::Debug, "{}: trace {}", shared.name, shared.secrets.text(&line));
        }
    }
}

/// Logs an output before it is carried out, for diagnosis. Never SDP, candidates, urls with queries or tokens.
pub(super) fn note(shared: &Shared, output: &Output) {
    let call = &shared.name;
    match output {
        Output::NeedToken => oh_log!(Level::Debug, "{call}: requesting a token from the application"),
        Output::Admit { generation, request, .. } => oh_log!(
            Level::Debug,
            "{call}: joining through the coordinator (generation {}, {} edges excluded)",
            generation.0,
            request.migrating_from_list.len()
        ),
        Output::OpenSocket { generation, admission, .. } => {
            oh_log!(Level::Debug, "{call}: connecting to edge '{}' (generation {})", admission.edge_name, generation.0)
        }
        Output::CloseSocket { code, .. } => oh_log!(Level::Debug, "{call}: closing the socket with {code}"),
        Output::Rpc { id, call: rpc, .. } => oh_log!(Level::Trace, "{call}: {} (request {id})", rpc.name()),
        Output::Engine { peer, op, action, .. } => {
            oh_log!(Level::Trace, "{call}: {peer:?} {} (step {op})", action.name())
        }
        Output::ClosePeer { peer, .. } => oh_log!(Level::Debug, "{call}: closing the {peer:?}"),
        Output::Bind { user_id, kind, .. } => {
            oh_log!(Level::Debug, "{call}: receiving {kind:?} from {}", shared.secrets.text(user_id))
        }
        Output::Event(Event::Reconnected { strategy, attempts, elapsed_ms, .. }) => {
            oh_log!(Level::Info, "{call}: reconnected by {strategy:?} after {elapsed_ms} ms and {attempts} attempts")
        }
        Output::Event(Event::State { state, previous }) => {
            oh_log!(Level::Info, "{call}: {previous:?} -> {state:?}")
        }
        Output::Event(Event::Ended(end)) => {
            oh_log!(Level::Info, "{call}: ended, {:?}: {}", end.reason, shared.secrets.text(&end.text))
        }
        Output::Event(Event::Error(error) | Event::LocalFailed { error, .. }) => {
            oh_log!(Level::Warn, "{call}: {}", shared.secrets.text(&error.message))
        }
        Output::Event(Event::Media { direction, connected, text }) => match connected {
            true => oh_log!(Level::Info, "{call}: the {direction:?} is connected"),
            false => oh_log!(Level::Info, "{call}: the {direction:?} is disconnected: {}", shared.secrets.text(text)),
        },
        Output::Event(Event::IceServer(failure)) => {
            let (url, text) = (shared.secrets.text(&failure.url), shared.secrets.text(&failure.text));
            oh_log!(Level::Info, "{call}: ICE server {url}, code {}: {text}", failure.code)
        }
        _ => {}
    }
}
