//! The scheduler: one queue of events, ordered by (virtual time, sequence number), and the loop that passes them to
//! client cores, edges, coordinator and engines. One thread, no clock, no randomness but the seed's.
//!
//! Every draw belongs to a random stream of one session, so that events of one session cannot affect another.

use super::{
    client::Client,
    data::{DataAct, Packet},
    engine,
    faults::{Fault, Setup},
    plants::Plant,
    sfu::{Sfu, SfuTimer},
    sockets::{Down, Sock, Up},
};
use offhook::core::{model::*, Action, Input, Op, Output};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Virtual milliseconds since the beginning of a run.
pub type Ms = u64;

/// Maximum outputs of one step: the longest lists of a model's room, and their consequences.
const MAX_OUTPUTS: usize = 400;
/// Maximum events of one run: more means an endless loop.
const MAX_STEPS: u64 = 400_000;

/// A scheduled event.
#[derive(Debug)]
pub enum Ev {
    /// The answer of an engine, a server or the application reaches the core.
    Input(usize, Input),
    /// A socket opens, or fails to open.
    Opened {
        client: usize,
        generation: Generation,
        edge: usize,
    },
    Up {
        sock: usize,
        what: Up,
    },
    Down {
        sock: usize,
        what: Down,
    },
    Admit {
        client: usize,
        generation: Generation,
        token: String,
        request: Box<AdmissionRequest>,
    },
    Rpc {
        client: usize,
        generation: Generation,
        id: u64,
        call: RpcCall,
        reply: Reply,
    },
    /// An engine finishes a step.
    Op {
        client: usize,
        generation: Generation,
        peer: PeerKind,
        op: Op,
        action: Action,
        fate: engine::Fate,
    },
    /// An unsolicited event of a peer connection.
    Engine {
        client: usize,
        generation: Generation,
        peer: PeerKind,
        what: engine::News,
    },
    /// A reply has timed out.
    GiveUp {
        client: usize,
        ticket: u64,
    },
    /// A data packet reaches the edge of its sender.
    Data {
        client: usize,
        generation: Generation,
        packet: Packet,
    },
    /// A data packet reaches its receiver.
    DataDown {
        client: usize,
        generation: Generation,
        packet: Packet,
    },
    Sfu(SfuTimer),
    App(usize, Act),
    Fault(usize, Fault),
}

/// How the reply to an RPC that reached its edge is handled.
#[derive(Clone, Debug)]
pub enum Reply {
    After(Ms),
    /// The request is carried out; the client receives no reply and gives up at this time.
    LostUntil(Ms),
    /// The edge refuses instead of carrying it out; the reply takes this long.
    Refused(Failure, Ms),
}

/// An action of an application.
#[derive(Clone, Debug)]
pub enum Act {
    Publish {
        muted: bool,
    },
    Unpublish,
    Mute(bool),
    /// A track that no longer exists, or never did.
    MuteStranger,
    ClosePeer(PeerKind),
    Leave,
    Abort,
    Token,
    Data(DataAct),
    /// For one of the tracks that it knows.
    Subscribe {
        which: usize,
        subscribed: bool,
        enabled: bool,
    },
    Rename(u64),
}

struct Item {
    at: Ms,
    seq: u64,
    ev: Ev,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// How a scripted test handles an output.
#[derive(Debug)]
pub enum Verdict {
    Normal,
    /// No answer ever arrives.
    Lose,
    /// The normal handling, this much later.
    Later(Ms),
    /// This input instead, after a millisecond.
    With(Input),
}

pub type Rule = Box<dyn FnMut(usize, &Output) -> Verdict>;

/// The complete state of one run.
pub struct World {
    pub now: Ms,
    seq: u64,
    queue: BinaryHeap<Reverse<Item>>,
    pub clients: Vec<Client>,
    pub sfu: Sfu,
    pub socks: Vec<Sock>,
    pub setup: Setup,
    pub plant: Option<Plant>,
    pub rule: Option<Rule>,
    /// The readable schedule; recorded on request only.
    pub trace: Option<Vec<String>>,
    /// The first violated rule.
    pub broken: Option<String>,
    steps: u64,
}

pub fn time(ms: Ms) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let mut world = Self {
            now: 0,
            seq: 0,
            queue: BinaryHeap::new(),
            clients: Vec::new(),
            sfu: Sfu::new(setup.edges),
            socks: Vec::new(),
            plant: None,
            rule: None,
            trace: None,
            broken: None,
            steps: 0,
            setup,
        };
        for index in 0..world.setup.clients.len() {
            let client = Client::new(index, &world.setup);
            world.clients.push(client);
        }
        world
    }

    /// Before anything has happened: makes all sessions keep a trace.
    pub fn trace_calls(&mut self) {
        self.clients =
            (0..self.setup.clients.len()).map(|n| Client::new(n, &self.setup).traced(n, &self.setup)).collect();
    }

    /// Queues what was planned for each session.
    pub fn begin(&mut self) {
        for index in 0..self.clients.len() {
            let plan = self.setup.clients[index].clone();
            self.at(plan.start, Ev::Input(index, Input::Start));
            for (at, act) in plan.acts {
                self.at(at, Ev::App(index, act));
            }
            for (at, fault) in plan.faults {
                self.at(at, Ev::Fault(index, fault));
            }
        }
    }

    pub fn at(&mut self, at: Ms, ev: Ev) {
        self.seq += 1;
        self.queue.push(Reverse(Item { at: at.max(self.now), seq: self.seq, ev }));
    }

    pub fn after(&mut self, wait: Ms, ev: Ev) {
        self.at(self.now + wait, ev);
    }

    pub fn fault(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// One line of the schedule; built only if it is recorded.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let mut text: String = line();
            if text.len() > 320 {
                let cut = (0..=320).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
                text.truncate(cut);
                text.push('…');
            }
            trace.push(format!("{:>7}.{:03} {text}", self.now / 1000, self.now % 1000));
        }
    }

    /// Runs everything up to and including this time.
    pub fn run_until(&mut self, end: Ms) {
        while self.broken.is_none() {
            let event = self.queue.peek().map(|Reverse(item)| item.at).filter(|at| *at <= end);
            let deadline = self
                .clients
                .iter()
                .enumerate()
                .filter_map(|(i, c)| c.core.deadline().map(|d| (ceil(d), i)))
                .min()
                .filter(|(at, _)| *at <= end);
            match (event, deadline) {
                (Some(at), deadline) if deadline.is_none_or(|(d, _)| at <= d) => {
                    self.now = self.now.max(at);
                    if let Some(Reverse(item)) = self.queue.pop() {
                        self.happen(item.ev);
                    }
                }
                (_, Some((at, client))) => {
                    self.now = self.now.max(at);
                    self.tick(client);
                }
                _ => break,
            }
            self.steps += 1;
            if self.steps > MAX_STEPS {
                self.fault("the run does not come to an end: something spins");
            }
        }
        if self.broken.is_none() {
            self.now = self.now.max(end);
        }
    }

    pub fn run(&mut self, wait: Ms) {
        self.run_until(self.now + wait);
    }

    fn happen(&mut self, ev: Ev) {
        match ev {
            Ev::Input(client, input) => self.input(client, input),
            Ev::Opened { client, generation, edge } => self.opened(client, generation, edge),
            Ev::Up { sock, what } => self.up(sock, what),
            Ev::Down { sock, what } => self.down(sock, what),
            Ev::Admit { client, generation, token, request } => self.coordinate(client, generation, &token, &request),
            Ev::Rpc { client, generation, id, call, reply } => self.rpc_arrives(client, generation, id, call, reply),
            Ev::Op { client, generation, peer, op, action, fate } => {
                self.op_done(client, generation, peer, op, action, fate)
            }
            Ev::Engine { client, generation, peer, what } => self.engine_news(client, generation, peer, what),
            Ev::GiveUp { client, ticket } => self.gives_up(client, ticket),
            Ev::Data { client, generation, packet } => self.data_arrives(client, generation, packet),
            Ev::DataDown { client, generation, packet } => self.data_comes(client, generation, packet),
            Ev::Sfu(timer) => self.sfu_timer(timer),
            Ev::App(client, act) => self.act(client, act),
            Ev::Fault(client, fault) => self.strike(client, fault),
        }
    }

    /// Passes one input to a core.
    pub fn input(&mut self, client: usize, input: Input) {
        self.note(|| format!("s{client} > {input:?}"));
        let now = self.now;
        let this = &mut self.clients[client];
        this.check.before(now, &input, this.core.state());
        let inputs = match &mut self.plant {
            Some(plant) => plant.input(client, &this.core, input),
            None => vec![input],
        };
        for input in inputs {
            this.core.handle(time(now), input);
        }
        self.drain(client);
    }

    fn tick(&mut self, client: usize) {
        self.note(|| format!("s{client} > tick"));
        let now = self.now;
        let this = &mut self.clients[client];
        this.check.tick(now);
        this.core.tick(time(now));
        if this.core.deadline().is_some_and(|d| ceil(d) <= now) {
            self.fault(format!("session {client}: a deadline stays in the past"));
        }
        self.drain(client);
    }

    /// Executes the outputs of the core.
    fn drain(&mut self, client: usize) {
        let mut count = 0;
        while let Some(output) = self.clients[client].core.poll_output() {
            count += 1;
            let outputs = match &mut self.plant {
                Some(plant) => plant.output(client, output),
                None => vec![output],
            };
            for output in outputs {
                self.note(|| format!("s{client}   < {output:?}"));
                let now = self.now;
                self.clients[client].check.output(now, &output);
                self.perform(client, output);
            }
            if count > MAX_OUTPUTS {
                self.fault(format!("session {client}: one step gives more and more outputs"));
                break;
            }
        }
        let now = self.now;
        let this = &mut self.clients[client];
        this.check.after(now, &this.core);
        if let Some(what) = this.check.broken.take() {
            self.fault(format!("session {client}: {what}"));
        }
    }
}

fn ceil(d: Duration) -> Ms {
    d.as_micros().div_ceil(1000) as Ms
}
