//! A session's side of a link that speaks LiveKit: its dialogue stands between core and socket, and what crosses
//! the socket are frames. Does what the service's own wrapper does, and has no other opinion. Must not know: what a
//! server makes of it.

use super::{
    client::GIVES_UP,
    faults::Class,
    sockets::Up,
    world::{Ev, Ms, World},
};
use offhook::core::{model::*, Input};
use offhook::error::Secret;
use offhook::signalling::livekit::{
    dialogue::{Dialogue, Outcome},
    wire,
};
use offhook_proto::livekit as pb;
use prost::Message;
use std::collections::BTreeMap;

/// What the clock of the wall shows when a run begins, in ms.
const EPOCH: i64 = 1_700_000_000_000;

/// With what a link is opened.
#[derive(Clone, Debug)]
pub struct Asked {
    pub resume: bool,
    pub session_id: String,
    pub token: Secret,
}

/// Who waits for a reply, and how much later it is to come.
#[derive(Debug)]
struct Waiting {
    generation: Generation,
    id: u64,
    extra: Ms,
}

/// The dialogue of a session, and the link on which it is led.
#[derive(Debug)]
pub struct Talk {
    pub dialogue: Dialogue,
    link: Option<Generation>,
    waiting: BTreeMap<u64, Waiting>,
    /// Edges that the service has told of.
    pub told: Vec<usize>,
}

impl Talk {
    pub fn new() -> Self {
        Self { dialogue: Dialogue::new(true), link: None, waiting: BTreeMap::new(), told: Vec::new() }
    }
}

impl World {
    /// The edge that the list of the service names next, and what the application needs for its socket.
    pub fn door(&mut self, client: usize, generation: Generation, token: &str, request: &AdmissionRequest) {
        let count = self.sfu.edges.len();
        let first = (self.setup.seed as usize).wrapping_add(client);
        // Where the application knows one address only, the service tells of others.
        let given = if self.setup.lazy { 1 } else { count };
        let mut all: Vec<usize> = (0..given).map(|n| (first + n) % count).collect();
        for edge in &self.clients[client].talk.told {
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

    /// Whether the token is taken with which this socket is asked for.
    pub fn door_opens(&mut self, client: usize, generation: Generation) -> bool {
        let now = self.now;
        if self.clients[client].hit(now, Class::Token) {
            self.clients[client].tokens.expire();
        }
        let token = self.asked(client, generation).map(|a| a.token.reveal().to_owned()).unwrap_or_default();
        self.clients[client].tokens.takes(&token)
    }

    /// An attempt that was overtaken by a newer one is given up by the wrapper.
    pub fn link_is_wanted(&self, client: usize, generation: Generation) -> bool {
        let this = &self.clients[client];
        // With the session its attempts end, too.
        !this.check.is_finished() && this.asked.last().is_none_or(|(newest, _)| *newest == generation)
    }

    /// The socket is open: from now on nothing of an older link reaches the dialogue.
    pub fn link_begins(&mut self, client: usize, generation: Generation) {
        let resume = self.asked(client, generation).is_some_and(|a| a.resume);
        let talk = &mut self.clients[client].talk;
        talk.link = Some(generation);
        talk.dialogue.begin_link(resume);
        let orphans = std::mem::take(&mut talk.waiting);
        for waiting in orphans.into_values() {
            self.reply(client, waiting, Err(Failure::new(FailureKind::Connect, "the link was replaced")));
        }
    }

    fn clock(&self) -> i64 {
        EPOCH + self.now as i64
    }

    /// The core says something that has no reply.
    pub fn speak(&mut self, client: usize, generation: Generation, request: &SfuRequest) {
        let now = self.clock();
        let talk = &mut self.clients[client].talk;
        if talk.link == Some(generation) {
            let frames = talk.dialogue.request(request, now);
            self.send_frames(client, generation, frames);
        }
    }

    /// The core asks for something.
    pub fn ask(&mut self, client: usize, generation: Generation, id: u64, call: &RpcCall, extra: Ms) {
        let now = self.now;
        let waiting = Waiting { generation, id, extra };
        if self.clients[client].talk.link != Some(generation) {
            let failure = Failure::new(FailureKind::Connect, "the link was replaced");
            return self.reply(client, waiting, Err(failure));
        }
        if self.clients[client].hit(now, Class::Slow) {
            let wait = self.clients[client].fault.between(0, 6_000);
            if let Some(sock) = self.sock_of(client, generation) {
                self.slow_up(sock, wait);
            }
        }
        let (frames, outcome) = self.clients[client].talk.dialogue.call(call);
        let sent = self.send_frames(client, generation, frames);
        let failure = Failure::new(FailureKind::Connect, "the socket is closed");
        match outcome {
            Outcome::Now(result) if sent => self.reply(client, waiting, result),
            Outcome::Now(_) => self.reply(client, waiting, Err(failure)),
            Outcome::Later(ticket) if sent => {
                self.clients[client].talk.waiting.insert(ticket, waiting);
                self.after(GIVES_UP, Ev::GiveUp { client, ticket });
            }
            Outcome::Later(ticket) => {
                self.clients[client].talk.dialogue.give_up(ticket);
                self.reply(client, waiting, Err(failure));
            }
        }
    }

    /// What waits in a task of its own is in no order with what the socket brings.
    fn reply(&mut self, client: usize, waiting: Waiting, result: Result<RpcReply, Failure>) {
        let Waiting { generation, id, extra } = waiting;
        let wait = extra + self.clients[client].engine.between(0, 2);
        self.after(wait, Ev::Input(client, Input::Rpc { generation, id, result }));
    }

    pub fn gives_up(&mut self, client: usize, ticket: u64) {
        let talk = &mut self.clients[client].talk;
        if let Some(waiting) = talk.waiting.remove(&ticket) {
            talk.dialogue.give_up(ticket);
            self.reply(client, waiting, Err(Failure::new(FailureKind::Timeout, "no answer within 5 s")));
        }
    }

    /// False: the socket takes nothing any more.
    fn send_frames(&mut self, client: usize, generation: Generation, frames: Vec<pb::SignalRequest>) -> bool {
        let Some(sock) = self.sock_of(client, generation) else { return frames.is_empty() };
        let frames = match &mut self.plant {
            Some(plant) => plant.frames(frames),
            None => frames,
        };
        frames.into_iter().all(|frame| {
            self.say(|| format!("s{client}   ~ {:?}", frame.message));
            self.say_up_on(sock, Up::Frame(frame.encode_to_vec()))
        })
    }

    /// A frame comes out of a socket of this side.
    pub fn livekit_heard(&mut self, sock: usize, frame: &[u8]) {
        let (client, generation) = (self.socks[sock].client, self.socks[sock].generation);
        let Some(response) = wire::response(frame) else {
            return self.input(client, Input::Malformed { generation });
        };
        let deaf = self.clients[client].talk.link != Some(generation);
        let blurred = self.plant.as_ref().is_some_and(|p| p.hears_old_links());
        if deaf && !blurred {
            return match Dialogue::hear_late(&response) {
                Some(message) => self.input(client, Input::Message { generation, message }),
                None => self.say(|| format!("s{client}   ~ of an old link: {:?}", response.message)),
            };
        }
        self.say(|| format!("s{client} ~ {:?}", response.message));
        let now = self.clock();
        let heard = self.clients[client].talk.dialogue.hear(response, now);
        let heard = match &mut self.plant {
            Some(plant) => plant.heard(heard),
            None => heard,
        };
        let generation = if blurred { self.clients[client].talk.link.unwrap_or(generation) } else { generation };
        self.send_frames(client, generation, heard.frames);
        for (ticket, result) in heard.settled {
            if let Some(waiting) = self.clients[client].talk.waiting.remove(&ticket) {
                self.reply(client, waiting, result);
            }
        }
        let told: Vec<usize> = heard.regions.iter().filter_map(|url| self.edge_at(url)).collect();
        if !told.is_empty() {
            self.clients[client].talk.told = told;
        }
        for message in heard.messages {
            self.input(client, Input::Message { generation, message });
        }
    }

    /// The edge behind an address as the model's servers tell it.
    fn edge_at(&self, url: &str) -> Option<usize> {
        let port: usize = url.strip_prefix("ws://127.0.0.1:")?.split('/').next()?.parse().ok()?;
        port.checked_sub(1).filter(|edge| *edge < self.sfu.edges.len())
    }
}
