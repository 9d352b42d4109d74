//! A session's side of a LiveKit link: its signalling session sits between core and socket, and the socket carries
//! frames. Does what the service's own wrapper does, and decides nothing else. Must not know: what a server does with
//! it.

use super::{
    client::GIVES_UP,
    faults::Class,
    sockets::Up,
    world::{Ev, Ms, World},
};
use offhook::core::{model::*, Input};
use offhook::error::Secret;
use offhook::signalling::livekit::{
    signal_session::{Outcome, SignalSession},
    wire,
};
use offhook_proto::livekit as pb;
use prost::Message;
use std::collections::BTreeMap;

/// Wall-clock time at the start of a run, in ms.
const EPOCH: i64 = 1_700_000_000_000;

/// The parameters with which a link is opened.
#[derive(Clone, Debug)]
pub struct Asked {
    pub resume: bool,
    pub session_id: String,
    pub token: Secret,
}

/// A request that waits for its reply, and the extra delay of that reply.
#[derive(Debug)]
struct Waiting {
    generation: Generation,
    id: u64,
    extra: Ms,
}

/// The signalling session, and its current link.
#[derive(Debug)]
pub struct SignallingLink {
    pub session: SignalSession,
    link: Option<Generation>,
    waiting: BTreeMap<u64, Waiting>,
    /// Edges that the service has named.
    pub known_edges: Vec<usize>,
}

impl SignallingLink {
    pub fn new() -> Self {
        Self { session: SignalSession::new(true), link: None, waiting: BTreeMap::new(), known_edges: Vec::new() }
    }
}

impl World {
    /// The next edge in the service's server list, and the admission to its socket.
    pub fn admit_livekit(&mut self, client: usize, generation: Generation, token: &str, request: &AdmissionRequest) {
        let count = self.sfu.edges.len();
        let first = (self.setup.seed as usize).wrapping_add(client);
        // Where the application knows one address only, the service names others.
        let given = if self.setup.lazy { 1 } else { count };
        let mut all: Vec<usize> = (0..given).map(|n| (first + n) % count).collect();
        for edge in &self.clients[client].signalling_link.known_edges {
            if !all.contains(edge) {
                all.push(*edge);
            }
        }
        let failed = |e: &usize| request.migrating_from_list.iter().position(|name| *name == self.sfu.edges[*e].name);
        let edge = all.iter().copied().min_by_key(|e| failed(e).map_or(0, |n| n + 1)).unwrap_or(0);
        let admission = Admission {
            edge_name: self.sfu.edges[edge].name.clone(),
            ws_endpoint: format!("ws://127.0.0.1:{}/rtc", edge + 1),
            token: Secret::new(token),
            cid: request.call_id.clone(),
            opus_dtx: true,
            opus_red: true,
            alternatives: all.len(),
            ..Admission::default()
        };
        self.after(1, Ev::Input(client, Input::Admitted { generation, result: Ok(Box::new(admission)) }));
    }

    pub fn asked(&self, client: usize, generation: Generation) -> Option<&Asked> {
        self.clients[client].asked.iter().rev().find(|(g, _)| *g == generation).map(|(_, asked)| asked)
    }

    /// Whether the token of this socket's request is accepted.
    pub fn token_accepted(&mut self, client: usize, generation: Generation) -> bool {
        let now = self.now;
        if self.clients[client].hit(now, Class::Token) {
            self.clients[client].tokens.expire();
        }
        let token = self.asked(client, generation).map(|a| a.token.reveal().to_owned()).unwrap_or_default();
        self.clients[client].tokens.takes(&token)
    }

    /// The wrapper gives up an attempt that a newer one has replaced.
    pub fn link_is_current(&self, client: usize, generation: Generation) -> bool {
        let this = &self.clients[client];
        // Attempts end with the session, too.
        !this.check.is_finished() && this.asked.last().is_none_or(|(newest, _)| *newest == generation)
    }

    /// The socket is open: from now on nothing of an older link reaches the signalling session.
    pub fn link_begins(&mut self, client: usize, generation: Generation) {
        let resume = self.asked(client, generation).is_some_and(|a| a.resume);
        let one_connection = self.setup.one_connection;
        let signalling_link = &mut self.clients[client].signalling_link;
        signalling_link.link = Some(generation);
        signalling_link.session.begin_link(resume, one_connection);
        let unassigned = std::mem::take(&mut signalling_link.waiting);
        for waiting in unassigned.into_values() {
            self.reply(client, waiting, Err(Failure::new(FailureKind::Connect, "the link was replaced")));
        }
    }

    fn clock(&self) -> i64 {
        EPOCH + self.now as i64
    }

    /// The core sends a message that has no reply.
    pub fn send_request(&mut self, client: usize, generation: Generation, request: &SfuRequest) {
        let now = self.clock();
        let signalling_link = &mut self.clients[client].signalling_link;
        if signalling_link.link == Some(generation) {
            let frames = signalling_link.session.request(request, now);
            self.send_frames(client, generation, frames);
        }
    }

    /// The core sends a request.
    pub fn ask(&mut self, client: usize, generation: Generation, id: u64, call: &RpcCall, extra: Ms) {
        let now = self.now;
        let waiting = Waiting { generation, id, extra };
        if self.clients[client].signalling_link.link != Some(generation) {
            let failure = Failure::new(FailureKind::Connect, "the link was replaced");
            return self.reply(client, waiting, Err(failure));
        }
        if self.clients[client].hit(now, Class::Slow) {
            let wait = self.clients[client].fault.between(0, 6_000);
            if let Some(sock) = self.sock_of(client, generation) {
                self.slow_up(sock, wait);
            }
        }
        let (frames, outcome) = self.clients[client].signalling_link.session.call(call);
        let sent = self.send_frames(client, generation, frames);
        let failure = Failure::new(FailureKind::Connect, "the socket is closed");
        match outcome {
            Outcome::Now(result) if sent => self.reply(client, waiting, result),
            Outcome::Now(_) => self.reply(client, waiting, Err(failure)),
            Outcome::Later(ticket) if sent => {
                self.clients[client].signalling_link.waiting.insert(ticket, waiting);
                self.after(GIVES_UP, Ev::GiveUp { client, ticket });
            }
            Outcome::Later(ticket) => {
                self.clients[client].signalling_link.session.give_up(ticket);
                self.reply(client, waiting, Err(failure));
            }
        }
    }

    /// Replies from a separate task are not ordered with messages of the socket.
    fn reply(&mut self, client: usize, waiting: Waiting, result: Result<RpcReply, Failure>) {
        let Waiting { generation, id, extra } = waiting;
        let wait = extra + self.clients[client].engine.between(0, 2);
        self.after(wait, Ev::Input(client, Input::Rpc { generation, id, result }));
    }

    pub fn gives_up(&mut self, client: usize, ticket: u64) {
        let signalling_link = &mut self.clients[client].signalling_link;
        if let Some(waiting) = signalling_link.waiting.remove(&ticket) {
            signalling_link.session.give_up(ticket);
            self.reply(client, waiting, Err(Failure::new(FailureKind::Timeout, "no answer within 5 s")));
        }
    }

    /// False: the socket accepts nothing any more.
    fn send_frames(&mut self, client: usize, generation: Generation, frames: Vec<pb::SignalRequest>) -> bool {
        let Some(sock) = self.sock_of(client, generation) else { return frames.is_empty() };
        let frames = match &mut self.plant {
            Some(plant) => plant.frames(frames),
            None => frames,
        };
        frames.into_iter().all(|frame| {
            self.note(|| format!("s{client}   ~ {:?}", frame.message));
            self.queue_up(sock, Up::Frame(frame.encode_to_vec()))
        })
    }

    /// A frame arrives on a socket of this side.
    pub fn client_receives(&mut self, sock: usize, frame: &[u8]) {
        let (client, generation) = (self.socks[sock].client, self.socks[sock].generation);
        let Some(response) = wire::response(frame) else {
            return self.input(client, Input::Malformed { generation });
        };
        let stale = self.clients[client].signalling_link.link != Some(generation);
        let blurred = self.plant.as_ref().is_some_and(|p| p.accepts_old_links());
        if stale && !blurred {
            return match SignalSession::handle_late_frame(&response) {
                Some(message) => self.input(client, Input::Message { generation, message }),
                None => self.note(|| format!("s{client}   ~ of an old link: {:?}", response.message)),
            };
        }
        self.note(|| format!("s{client} ~ {:?}", response.message));
        let now = self.clock();
        let processed = self.clients[client].signalling_link.session.handle_frame(response, now);
        let processed = match &mut self.plant {
            Some(plant) => plant.processed(processed),
            None => processed,
        };
        let generation =
            if blurred { self.clients[client].signalling_link.link.unwrap_or(generation) } else { generation };
        self.send_frames(client, generation, processed.frames);
        for (ticket, result) in processed.settled {
            if let Some(waiting) = self.clients[client].signalling_link.waiting.remove(&ticket) {
                self.reply(client, waiting, result);
            }
        }
        let named_edges: Vec<usize> = processed.regions.iter().filter_map(|url| self.edge_at(url)).collect();
        if !named_edges.is_empty() {
            self.clients[client].signalling_link.known_edges = named_edges;
        }
        for message in processed.messages {
            self.input(client, Input::Message { generation, message });
        }
    }

    /// The edge behind an address named by the model's servers.
    fn edge_at(&self, url: &str) -> Option<usize> {
        let port: usize = url.strip_prefix("ws://127.0.0.1:")?.split('/').next()?.parse().ok()?;
        port.checked_sub(1).filter(|edge| *edge < self.sfu.edges.len())
    }
}
