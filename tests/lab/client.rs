//! One session: a core, its own random streams, its peer connections and its application, and the execution of its
//! outputs. Makes no decisions.

use super::{
    app::App,
    check::Checker,
    coordinator::Tokens,
    data::Outbox,
    engine::Peer,
    faults::{Class, Mood, Setup},
    livekit::{Asked, SignallingLink},
    vocabulary,
    world::{Ev, Ms, Reply, Verdict, World},
};
use offhook::core::trace::{self, Trace};
use offhook::core::{model::*, rng::Rng, Core, Event, Input, Output};
use offhook::error::Secret;
use offhook::signalling::livekit::LiveKitService;
use std::sync::Arc;

/// Timeout of an RPC, of a request to the coordinator, and of opening a socket.
pub const GIVES_UP: Ms = 5_000;

pub struct Client {
    pub core: Core,
    pub room: usize,
    pub user: String,
    /// Latencies of the network.
    net: Rng,
    /// Latencies and outcomes of engine steps that no fault affects.
    pub engine: Rng,
    pub fault: Rng,
    base_latency: Ms,
    pub mood: Mood,
    pub peers: Vec<Peer>,
    /// The edge of each attempt.
    pub edges: Vec<(Generation, usize)>,
    pub socks: Vec<(Generation, usize)>,
    /// All session ids of this session so far.
    pub local_ids: Vec<String>,
    pub tokens: Tokens,
    pub check: Checker,
    pub app: App,
    /// Events received by the application, with their times.
    pub log: Vec<(Ms, Event)>,
    pub names: u64,
    /// The LiveKit signalling session.
    pub signalling_link: SignallingLink,
    /// The parameters with which each link was requested.
    pub asked: Vec<(Generation, Asked)>,
    /// A message of this session was lost or sent twice.
    pub up_in_doubt: bool,
    pub outbox: Outbox,
    /// Inputs and decisions of its core, if they are recorded.
    pub trace: Option<Arc<Trace>>,
}

impl Client {
    pub fn new(index: usize, setup: &Setup) -> Self {
        let plan = &setup.clients[index];
        let seed = Self::seed(index, setup);
        let stream = |n: u64| {
            let mut rng = Rng::new(seed ^ n.wrapping_mul(0xd1b5_4a32_d192_ed03));
            rng.next_u64();
            rng
        };
        let config = vocabulary::config(index, plan, seed, setup.livekit);
        let mut net = stream(1);
        let base_latency = [1, 5, 20, 80][net.between(0, 3) as usize];
        Self {
            core: Core::new(config),
            room: plan.room,
            user: format!("user{index}"),
            net,
            engine: stream(2),
            fault: stream(3),
            base_latency,
            mood: plan.mood.clone(),
            peers: Vec::new(),
            edges: Vec::new(),
            socks: Vec::new(),
            local_ids: Vec::new(),
            tokens: Tokens::new(plan),
            check: Checker::new(setup.livekit, setup.one_connection),
            app: App::default(),
            log: Vec::new(),
            names: 0,
            signalling_link: SignallingLink::new(),
            asked: Vec::new(),
            up_in_doubt: false,
            outbox: Outbox::default(),
            trace: None,
        }
    }

    /// Records everything from the beginning.
    pub fn traced(mut self, index: usize, setup: &Setup) -> Self {
        let config = vocabulary::config(index, &setup.clients[index], Self::seed(index, setup), setup.livekit);
        let trace = Trace::new(&config, setup.seed, trace::Room { entries: usize::MAX, bytes: usize::MAX });
        self.core = Core::new(config).traced(trace.clone());
        self.trace = Some(trace);
        self
    }

    fn seed(index: usize, setup: &Setup) -> u64 {
        setup.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index as u64 + 1).wrapping_mul(0x0ff4_00c5)
    }

    pub fn latency(&mut self) -> Ms {
        self.net.between(self.base_latency.div_ceil(2), self.base_latency * 2)
    }

    /// Whether a fault of this class occurs here and now.
    pub fn hit(&mut self, now: Ms, class: Class) -> bool {
        let chance = self.mood.chance(class);
        chance > 0 && now < self.mood.until && self.fault.between(0, 999) < chance
    }

    pub fn edge(&self, generation: Generation) -> Option<usize> {
        self.edges.iter().rev().find(|(g, _)| *g == generation).map(|(_, e)| *e)
    }

    /// A number that is unique within this session.
    pub fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }
}

/// A random failure of an exchange with a server.
pub fn failure(rng: &mut Rng, statuses: &[u16]) -> Failure {
    let kind = match rng.between(0, 5) {
        0 => FailureKind::Timeout,
        1 => FailureKind::Connect,
        2 | 3 => FailureKind::Http { status: statuses[rng.between(0, statuses.len() as u64 - 1) as usize] },
        4 => FailureKind::Malformed,
        _ => FailureKind::Sfu,
    };
    let mut failure = Failure::new(kind, "a planned failure");
    if failure.kind == FailureKind::Sfu {
        failure.code = [100, 200, 204, 205, 206, 300, 400, 429, 500][rng.between(0, 8) as usize];
        failure.should_retry = rng.between(0, 3) == 0;
    }
    if matches!(failure.kind, FailureKind::Http { status: 429 }) {
        failure.retry_after_ms = Some(rng.between(0, 8_000));
    }
    failure
}

impl World {
    /// Executes one output.
    pub fn perform(&mut self, client: usize, output: Output) {
        let verdict = match &mut self.rule {
            Some(rule) => rule(client, &output),
            None => Verdict::Normal,
        };
        let extra = match verdict {
            Verdict::Normal => 0,
            Verdict::Lose => return,
            Verdict::Later(wait) => wait,
            Verdict::With(input) => return self.after(1, Ev::Input(client, input)),
        };
        let (now, livekit) = (self.now, self.setup.livekit);
        match output {
            Output::NeedToken => self.bring_token(client),
            Output::Admit { generation, token, request } => {
                let token = token.reveal().to_owned();
                let this = &mut self.clients[client];
                let wait = this.latency() + extra;
                if livekit {
                    return self.after(extra, Ev::Admit { client, generation, token, request });
                }
                if this.hit(now, Class::Admit) {
                    return self.admission_fails(client, generation);
                }
                self.after(wait, Ev::Admit { client, generation, token, request });
            }
            Output::OpenSocket { generation, admission, session_id, resume, .. } => {
                if livekit {
                    let asked = Asked { resume, session_id: session_id.clone(), token: admission.token.clone() };
                    self.clients[client].asked.push((generation, asked));
                }
                self.open(client, generation, &admission, session_id, extra)
            }
            Output::Send { generation, request } if livekit => self.send_request(client, generation, &request),
            Output::Send { generation, request } => self.queue_request_up(client, generation, request),
            Output::CloseSocket { generation, code, .. } => self.close_up(client, generation, code),
            Output::DropSocket { generation } => self.drop_sock(client, generation),
            Output::Rpc { generation, id, call } if livekit => self.ask(client, generation, id, &call, extra),
            Output::Rpc { generation, id, call } => self.rpc_leaves(client, generation, id, call, extra),
            Output::Engine { generation, peer, op, action } => {
                self.engine_step(client, generation, peer, op, action, extra)
            }
            Output::ClosePeer { generation, peer } => self.close_peer(client, generation, peer, extra),
            Output::Event(event) => {
                let now = self.now;
                self.clients[client].app_receives(now, &event);
                self.app_answers(client, &event);
                self.clients[client].log.push((now, event));
            }
            Output::Forget { id } => self.forget_track(client, id),
            Output::Bind { .. } | Output::PlayOut { .. } | Output::Unbind { .. } | Output::Sending { .. } => {}
            Output::Moderated { .. } | Output::Lifted { .. } => {}
            Output::SendData(message) => self.send_data(client, &message),
            Output::CollectStats { generation, mark } => {
                let (publisher, subscriber) = ("[]".to_owned(), "[]".to_owned());
                self.after(1, Ev::Input(client, Input::Stats { generation, mark, publisher, subscriber }));
            }
            // This simulation has no send queue.
            Output::Drain => self.after(1, Ev::Input(client, Input::Drained)),
            Output::CommitStats { .. } | Output::FlushStats { .. } => {}
            Output::Debug(..) | Output::Finished | Output::Inspect { .. } => {}
        }
    }

    fn open(&mut self, client: usize, generation: Generation, admission: &Admission, session_id: String, extra: Ms) {
        let (now, livekit) = (self.now, self.setup.livekit);
        let edge = self.sfu.edge_named(&admission.edge_name);
        let this = &mut self.clients[client];
        if !this.local_ids.contains(&session_id) {
            this.local_ids.push(session_id);
        }
        this.edges.push((generation, edge));
        let wait = (2 * this.latency() + extra).max(self.sfu.edges[edge].hangs_until.saturating_sub(now));
        if this.hit(now, Class::Open) {
            let limit = if livekit { LiveKitService::dialect().socket_open.as_millis() as Ms } else { GIVES_UP };
            let (wait, failure) = match this.fault.between(0, 3) {
                0 => (limit, Failure::new(FailureKind::Timeout, "no answer in time")),
                1 => (wait, Failure::new(FailureKind::Connect, "connection refused")),
                2 => {
                    let statuses =
                        if livekit { [401, 403, 404, 429, 500, 503] } else { [400, 404, 429, 500, 502, 503] };
                    let status = statuses[this.fault.between(0, 5) as usize];
                    (wait, Failure::new(FailureKind::Http { status }, "no upgrade"))
                }
                _ => {
                    let late = this.fault.between(100, limit - 100);
                    return self.after(late, Ev::Opened { client, generation, edge });
                }
            };
            let input = Input::SocketOpened { generation, result: Err(failure) };
            return self.after(wait, Ev::Input(client, input));
        }
        self.after(wait, Ev::Opened { client, generation, edge });
    }

    fn rpc_leaves(&mut self, client: usize, generation: Generation, id: u64, call: RpcCall, extra: Ms) {
        let now = self.now;
        let this = &mut self.clients[client];
        let (mut there, mut back) = (this.latency(), this.latency() + extra);
        let mut reply = None;
        if this.hit(now, Class::Slow) {
            there += this.fault.between(0, 4_000);
            back += this.fault.between(0, 4_000);
        }
        if this.hit(now, Class::Rpc) {
            match this.fault.between(0, 3) {
                // The request is lost.
                0 => {
                    let result = Err(Failure::new(FailureKind::Timeout, "no answer within 5 s"));
                    return self.after(GIVES_UP, Ev::Input(client, Input::Rpc { generation, id, result }));
                }
                // The reply is lost.
                1 => reply = Some(Reply::LostUntil(now + GIVES_UP)),
                _ => {
                    let failure = failure(&mut this.fault, &[400, 401, 404, 408, 429, 500, 503]);
                    reply = Some(Reply::Refused(failure, back));
                }
            }
        } else if there + back >= GIVES_UP {
            there = there.min(GIVES_UP - 1);
            reply = Some(Reply::LostUntil(now + GIVES_UP));
        }
        let reply = reply.unwrap_or(Reply::After(back));
        self.after(there, Ev::Rpc { client, generation, id, call, reply });
    }

    pub fn rpc_arrives(&mut self, client: usize, generation: Generation, id: u64, call: RpcCall, reply: Reply) {
        let Some(edge) = self.clients[client].edge(generation) else {
            return self.fault(format!("session {client}: an RPC of {generation:?}, which has no edge"));
        };
        if !self.sfu.edges[edge].alive {
            let result = Err(Failure::new(FailureKind::Connect, "connection refused"));
            return self.after(1, Ev::Input(client, Input::Rpc { generation, id, result }));
        }
        let (at, result) = match reply {
            Reply::Refused(failure, back) => (self.now + back, Err(failure)),
            Reply::After(back) => {
                let at = self.now + back;
                (at, self.serve(client, generation, edge, call))
            }
            Reply::LostUntil(at) => {
                let _ = self.serve(client, generation, edge, call);
                (at, Err(Failure::new(FailureKind::Timeout, "no answer within 5 s")))
            }
        };
        self.at(at, Ev::Input(client, Input::Rpc { generation, id, result }));
    }

    fn bring_token(&mut self, client: usize) {
        let now = self.now;
        let this = &mut self.clients[client];
        let wait = this.latency();
        if this.hit(now, Class::Token) {
            match this.fault.between(0, 2) {
                0 => return,
                1 => return self.after(wait, Ev::Input(client, Input::Token(None))),
                _ => {
                    let late = this.fault.between(1, 40_000);
                    let token = Secret::new(this.tokens.fresh());
                    return self.after(late, Ev::Input(client, Input::Token(Some(token))));
                }
            }
        }
        let token = Secret::new(this.tokens.fresh());
        self.after(wait, Ev::Input(client, Input::Token(Some(token))));
    }
}
