//! Data between sessions: what applications send, the channels that carry it, the server that forwards it.
//!
//! All data describes its own expected content, so that a receiver can check that it is complete.

use super::{
    faults::Class,
    world::{Act, Ev, Ms, World},
};
use bytes::Bytes;
use offhook::core::{model::*, rng::Rng, Event, Input};
use offhook::signalling::livekit::data;
use offhook_proto::livekit as pb;
use prost::Message;
use std::{collections::VecDeque, time::Duration};

/// Data actions of an application.
#[derive(Clone, Debug)]
pub enum DataAct {
    /// To one session, or to everyone.
    Packet {
        to: Option<usize>,
        lossy: bool,
    },
    Text {
        to: Option<usize>,
        length: usize,
    },
    Call {
        to: usize,
        timeout: Ms,
    },
    Answer {
        id: String,
        payload: String,
    },
}

/// One packet in transit.
#[derive(Clone, Debug)]
pub struct Packet {
    delivery: Delivery,
    bytes: Bytes,
}

/// Packets queued for a channel, and the times of the last deliveries.
#[derive(Default)]
pub struct Outbox {
    waiting: VecDeque<Packet>,
    calls: u64,
    last_up: Ms,
    last_down: Ms,
}

/// Content that can be checked by itself.
pub struct Sample;

impl Sample {
    fn text(number: u64, length: usize) -> String {
        let mut text = format!("{number}:{length}:");
        while text.len() < length {
            text.push(char::from(b'a' + (text.len() as u64 * 7 + number) as u8 % 26));
        }
        text
    }

    fn is_whole(text: &str) -> bool {
        let mut parts = text.splitn(3, ':');
        let number = parts.next().and_then(|n| n.parse().ok());
        let length = parts.next().and_then(|n| n.parse().ok());
        matches!((number, length), (Some(number), Some(length)) if Self::text(number, length) == text)
    }

    /// The expected answer to the call with this number.
    pub fn answer(id: u64) -> String {
        format!("answer to {id}")
    }

    pub fn judge(data: &DataIn) -> Result<(), String> {
        let whole = match &data.body {
            DataBody::Packet { payload, .. } => std::str::from_utf8(payload).is_ok_and(Self::is_whole),
            DataBody::Text { text, .. } => Self::is_whole(text),
            _ => false,
        };
        match whole && !data.from.is_empty() {
            true => Ok(()),
            false => Err(format!("a {} of {} is not whole", super::check_data::kind(&data.body), data.from)),
        }
    }
}

/// The data and subscription actions of an application in a run.
pub fn acts(rng: &mut Rng, until: Ms, this_session: usize, sessions: usize) -> Vec<(Ms, Act)> {
    let mut acts = Vec::new();
    if rng.between(0, 3) == 0 {
        return acts;
    }
    for _ in 0..rng.between(2, 14) {
        // Usually the neighbour; also the session itself, and sessions elsewhere.
        let target = match rng.between(0, 2) {
            0 => rng.between(0, sessions as u64 - 1) as usize,
            _ => this_session ^ 1,
        };
        let to = (rng.between(0, 1) == 0).then_some(target);
        let act = match rng.between(0, 9) {
            0..=3 => DataAct::Packet { to, lossy: rng.between(0, 1) == 0 },
            4..=5 => DataAct::Text { to, length: [3, 40, 15_000, 40_000][rng.between(0, 3) as usize] },
            // Also a participant that does not exist.
            _ => {
                DataAct::Call { to: target + (rng.between(0, 9) / 9) as usize * 7, timeout: rng.between(0, 12) * 1_000 }
            }
        };
        acts.push((rng.between(0, until), Act::Data(act)));
    }
    for n in 0..rng.between(0, 4) {
        let which = rng.between(0, 7) as usize;
        let act = match rng.between(0, 5) {
            0 => Act::Rename(n),
            _ => Act::Subscribe { which, subscribed: rng.between(0, 1) == 0, enabled: rng.between(0, 2) > 0 },
        };
        acts.push((rng.between(0, until), act));
    }
    acts
}

fn user(client: usize) -> String {
    format!("user{client}")
}

impl World {
    pub fn act_data(&mut self, client: usize, act: DataAct) {
        let number = self.clients[client].name();
        let to = |to: Option<usize>| to.map(user).into_iter().collect();
        let message = match act {
            DataAct::Packet { to: target, lossy } => {
                let payload = Sample::text(number, 20 + number as usize % 50).into();
                let delivery = if lossy { Delivery::Lossy } else { Delivery::Reliable };
                DataOut { to: to(target), delivery, body: DataBody::Packet { topic: "t".into(), payload } }
            }
            DataAct::Text { to: target, length } => {
                let id = format!("text-{client}-{number}");
                let (topic, text, attributes) = ("t".into(), Sample::text(number, length), Attributes::default());
                let body = DataBody::Text { id, topic, text, attributes };
                DataOut { to: to(target), delivery: Delivery::Reliable, body }
            }
            DataAct::Call { to, timeout } => {
                let this = &mut self.clients[client];
                this.outbox.calls += 1;
                let id = this.outbox.calls;
                let timeout = Duration::from_millis(timeout);
                let (method, payload) = ("m".to_owned(), Sample::answer(id));
                return self.input(client, Input::CallRpc { id, to: user(to), method, payload, timeout });
            }
            DataAct::Answer { id, payload } => {
                return self.input(client, Input::AnswerRpc { id, answer: Ok(payload) });
            }
        };
        self.input(client, Input::WantData);
        self.send_data(client, &message);
    }

    /// A called application answers after a while, or never.
    pub fn app_answers(&mut self, client: usize, event: &Event) {
        let Event::RpcRequest { id, payload, .. } = event else { return };
        let wait = self.clients[client].engine.between(0, 4_000);
        if wait < 3_000 {
            let act = DataAct::Answer { id: id.clone(), payload: payload.clone() };
            self.after(wait, Ev::App(client, Act::Data(act)));
        }
    }

    /// Queues the wire packets of a message.
    pub fn send_data(&mut self, client: usize, message: &DataOut) {
        let delivery = message.delivery;
        let packets = data::encode(message, self.now as i64);
        let waiting = &mut self.clients[client].outbox.waiting;
        waiting.extend(packets.into_iter().map(|bytes| Packet { delivery, bytes }));
        self.flush_data(client);
    }

    /// Sends the queued packets on the channel of the newest publisher.
    pub fn flush_data(&mut self, client: usize) {
        if self.clients[client].outbox.waiting.is_empty() {
            return;
        }
        let this = &mut self.clients[client];
        let newest = this.peers.iter().rev().find(|p| p.kind == PeerKind::Publisher);
        let Some(generation) = newest.filter(|p| p.connected && !p.gone && p.channels_open).map(|p| p.generation)
        else {
            return;
        };
        let now = self.now;
        while let Some(packet) = self.clients[client].outbox.waiting.pop_front() {
            let wait = self.clients[client].latency();
            let outbox = &mut self.clients[client].outbox;
            outbox.last_up = outbox.last_up.max(now + wait);
            let at = outbox.last_up;
            self.at(at, Ev::Data { client, generation, packet });
        }
    }

    /// The server forwards it, with the sender's name.
    pub fn data_arrives(&mut self, client: usize, generation: Generation, packet: Packet) {
        let here = |m: &super::sfu::Member| {
            let its = |p: &super::sfu::Place| {
                p.publisher.as_ref().is_some_and(|(tag, ..)| tag.peer_generation == generation.0)
            };
            m.client == client && !m.left && m.places.iter().any(its)
        };
        let Some(sender) = self.sfu.members.iter().rposition(here) else { return };
        let Ok(mut wire) = pb::DataPacket::decode(packet.bytes.clone()) else {
            return self.fault(format!("session {client}: data that cannot be read"));
        };
        let m = &self.sfu.members[sender];
        wire.participant_identity.clone_from(&m.user);
        wire.participant_sid.clone_from(&m.session_id);
        let to = std::mem::take(&mut wire.destination_identities);
        let others = self.sfu.room(m.room).filter(|(_, o)| o.client != client);
        let receivers: Vec<usize> =
            others.filter(|(_, o)| to.is_empty() || to.contains(&o.user)).map(|(_, o)| o.client).collect();
        let packet = Packet { bytes: wire.encode_to_vec().into(), ..packet };
        for other in receivers {
            self.data_down(other, packet.clone());
        }
    }

    /// As on a socket, a packet may be late, lost, duplicated and overtaken.
    fn data_down(&mut self, client: usize, packet: Packet) {
        let (now, one) = (self.now, self.setup.one_connection);
        let kind = if one { PeerKind::Publisher } else { PeerKind::Subscriber };
        let this = &mut self.clients[client];
        let newest = this.peers.iter().rev().find(|p| p.kind == kind && (!one || p.channels_open));
        let Some(generation) = newest.filter(|p| p.connected && !p.gone).map(|p| p.generation) else { return };
        let mut at = now + this.latency();
        if packet.delivery == Delivery::Reliable {
            this.outbox.last_down = this.outbox.last_down.max(at);
            at = this.outbox.last_down;
        }
        if this.hit(now, Class::Down) {
            let wait = this.fault.between(1, 3_000);
            match this.fault.between(0, 3) {
                0 => this.outbox.last_down += wait,
                1 => return,
                2 => self.at(at + wait, Ev::DataDown { client, generation, packet: packet.clone() }),
                _ => return self.at(at + wait, Ev::DataDown { client, generation, packet }),
            }
        }
        self.at(at, Ev::DataDown { client, generation, packet });
    }

    pub fn data_comes(&mut self, client: usize, generation: Generation, packet: Packet) {
        let label = if packet.delivery == Delivery::Reliable { "_reliable" } else { "_lossy" };
        if let Some(data) = data::decode(label, &packet.bytes) {
            // Also a packet that was in transit when its peer connection closed.
            self.input(client, Input::Data { generation, data });
        }
    }
}
