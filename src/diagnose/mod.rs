//! Why a call does not connect: each layer by itself, step by step, with its time, what was found and what to do.
//!
//! [`run`] takes the steps: this machine, name look-up, TCP, proxy, TLS, HTTP, a short join, STUN and TURN servers. The
//! [`Journal`] collects them, also those that a deadline cuts off. Everything is bounded in time and size, nothing is
//! tried twice, and no secret is in a report. Must not know: C, wire types, protocols.

mod ice;
mod join;
mod journal;
mod local;
mod report;
mod servers;
mod watch;

#[cfg(test)]
mod tests;

pub use journal::Journal;
pub use report::{Report, State, Step};

use crate::core::model::IceServer;
use crate::error::Secret;
use crate::rtc::engine::NetworkPolicy;
use crate::runtime;
use crate::signalling::{Net, NetOptions, Service, ServiceOptions};
use std::{sync::Arc, time::Duration};
use tokio::time::{timeout_at, Instant};

/// Most servers of a service that are checked.
const MAX_SERVERS: usize = 4;
/// Longest time for one step, if the whole has more.
const STEP: Duration = Duration::from_secs(6);

/// Time for steps to record that the time is over.
const MARGIN: Duration = Duration::from_millis(250);

/// What to check.
#[derive(Debug)]
pub struct Request {
    pub service: Service,
    pub options: ServiceOptions,
    pub net: NetOptions,
    pub policy: NetworkPolicy,
    /// Type and id of the call to join; joined only with a token.
    pub call: Option<(String, String)>,
    /// STUN and TURN servers to check besides those that the service names.
    pub ice_servers: Vec<IceServer>,
    /// Longest time for everything.
    pub timeout: Duration,
}

impl Request {
    /// Everything that must not be in a report.
    pub fn secrets(&self) -> Vec<Secret> {
        let passwords = self.ice_servers.iter().map(|server| server.password.clone());
        let proxy = self.net.proxy.iter().filter_map(|url| password_of(url));
        passwords.chain([self.options.token.clone()]).chain(proxy).filter(|secret| !secret.is_empty()).collect()
    }
}

/// The user information of a proxy's URL, which holds its password.
fn password_of(url: &str) -> Option<Secret> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (user_info, _) = rest.split(['/', '?', '#']).next()?.rsplit_once('@')?;
    Some(Secret::new(user_info.split_once(':').map_or(user_info, |(_, password)| password)))
}

/// When a step must be done.
fn step_deadline(end: Instant) -> Instant {
    end.min(Instant::now() + STEP)
}

/// Takes all steps, until the request's time is over or the library shuts down. Inside the library's runtime. Cancel
/// safe: the journal then has what was done, and the step that was cut off.
pub async fn run(request: Request, journal: &Arc<Journal>) {
    let Ok(mut stop) = runtime::global().stop_signal() else { return journal.end(true) };
    let end = Instant::now() + request.timeout;
    let cut_off = tokio::select! {
        biased;
        () = stop.requested() => true,
        done = timeout_at(end + MARGIN, steps(request, journal, end)) => done.unwrap_or(true),
    };
    journal.end(cut_off);
}

/// Returns whether the time was over before all steps were taken.
async fn steps(request: Request, journal: &Arc<Journal>, end: Instant) -> bool {
    local::check(journal, &request.policy);
    let from_options = request.net.proxy.is_some();
    let net = match Net::new(request.net.clone()) {
        Ok(net) => Arc::new(net),
        Err(why) => {
            let advice = "correct the URL of the proxy in the options or in the environment (HTTPS_PROXY, HTTP_PROXY, \
                          ALL_PROXY)";
            journal.begin("proxy", "").failed("argument", why, advice);
            return false;
        }
    };
    let urls = match request.service.servers(&net, &request.options.url) {
        Ok(urls) => urls,
        Err(failure) => {
            let (cause, advice) = servers::meaning(&failure);
            journal.begin("url", "").failed(cause, failure.message, advice);
            return false;
        }
    };
    let is_over = || Instant::now() >= end;
    let mut reached = false;
    for url in urls.iter().take(MAX_SERVERS) {
        if is_over() {
            return true;
        }
        let call = request.call.as_ref().map(|(kind, id)| (kind.as_str(), id.as_str()));
        reached |=
            servers::check(journal, &net, (request.service, &request.options), url, call, from_options, end).await;
    }
    let mut ice_servers = request.ice_servers.clone();
    match &request.call {
        Some(_) if request.options.token.is_empty() => {
            journal.skipped("join", "", "a join needs a token", "pass a token for this call");
        }
        Some(_) if !reached => journal.skipped("join", "", "no server of the service can be used", ""),
        Some(_) if is_over() => return true,
        Some(call) => {
            let used = join::check(journal, &net, &request, call, end).await;
            ice_servers.extend(used);
        }
        None => journal.skipped("join", "", "no call was given", "pass a token and a call to check media, too"),
    }
    for server in &request.ice_servers {
        // The application names these servers itself, on this machine or elsewhere.
        for endpoint in server.urls.iter().filter_map(|url| ice::endpoint(url)) {
            net.dialer().note_home(endpoint, false);
        }
    }
    if is_over() && !ice_servers.is_empty() {
        return true;
    }
    ice::check(journal, &net, &request.policy, ice_servers, end).await;
    false
}
