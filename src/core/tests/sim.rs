//! The simulated environment of a call: a virtual clock, and answers to the core's requests.
//!
//! By default everything succeeds after one millisecond. A test holds answers back, or gives its own, with [`Sim::on`].
//! Rules that hold for every call are checked after every step.

use super::check::Checker;
use crate::core::{model::*, rng::Rng, trace::Trace, *};
use crate::error::{Code, Secret};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub const MS: Duration = Duration::from_millis(1);

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A protocol with every feature that the rules know.
pub const DIALECT: Dialect = Dialect {
    name: "test",
    capabilities: Capabilities(u64::MAX),
    subscriber_restart: true,
    candidates_first: false,
    identity_is_unique: false,
    subscriber_stays: false,
    admits_at_socket: false,
    resume_introduces: false,
    ids_in_paths: false,
    data_channels: false,
    tracks_end_in_sdp: false,
    tracks_have_names: false,
    numbered_offers: false,
    edge_failures: 2,
    socket_open: ms(5_000),
    media_silence: None,
    ice_grace: ms(2_500),
};

/// The owner that a stream id `{prefix}:TRACK_TYPE_AUDIO:{n}` names.
pub fn owner(stream_id: &str) -> Option<MediaOwner> {
    let (prefix, _) = stream_id.split_once(":TRACK_TYPE_AUDIO")?;
    Some(MediaOwner {
        prefix: prefix.into(),
        kind: Some(TrackKind::Audio),
        track_id: String::new(),
        stream: String::new(),
    })
}

pub fn config() -> Config {
    Config {
        dialect: DIALECT,
        call_type: "default".into(),
        call_id: "room".into(),
        user_id: "me".into(),
        create: true,
        ring: true,
        notify: true,
        data_json: String::new(),
        location: "auto".into(),
        join_retries: 3,
        subscribe: true,
        subscriber_sdp: "sub".into(),
        publisher_sdp: "pub".into(),
        token: Secret::new("user-token"),
        hold_unmute: false,
        renew_token: false,
        disconnect_timeout: ms(30_000),
        partial_texts: false,
        seed: 1,
    }
}

/// How the environment handles an output of the core.
pub enum Reply {
    Good,
    /// Keeps it for [`Sim::release`].
    Hold,
    Never,
    With(Input),
    At(Duration, Input),
}

pub struct Sim {
    pub core: Core,
    pub now: Duration,
    pub log: Vec<Output>,
    pub held: Vec<Output>,
    pub check: Checker,
    world: BTreeMap<(Duration, u64), Input>,
    seq: u64,
    mark: usize,
    rule: Box<dyn FnMut(&Output) -> Reply>,
    pub joined: JoinState,
    /// The grants in the admission.
    pub grants: Option<Grants>,
    /// Maximum delay of answers, drawn for each answer; `None` is one millisecond.
    pub delays: Option<(Rng, u64)>,
    /// Peer connections connect automatically.
    pub connects: bool,
    /// The connection attempts that peer connections report.
    pub path: Path,
    admissions: u32,
    next_offer: u32,
    /// The publisher's m-lines in the current generation, each with its track's name. A free m-line is reused.
    pub lines: Vec<Option<String>>,
    lines_of: Generation,
    /// Records all inputs and decisions of the core. At the end they are replayed and must match.
    pub trace: Option<Arc<Trace>>,
}

impl Drop for Sim {
    /// Prints the end of the schedule; the test harness shows it only when the test fails.
    fn drop(&mut self) {
        let trace = self.check.trace.take().unwrap_or_default();
        eprintln!("{}\n", trace[trace.len().saturating_sub(60)..].join("\n"));
        if let Some(trace) = self.trace.as_ref().filter(|_| !std::thread::panicking()) {
            match trace::replay(&trace.text()) {
                Ok(replayed) => assert_eq!(replayed.beyond, 0, "{replayed:?}"),
                Err(differs) => panic!("the trace does not replay: {differs}"),
            }
        }
    }
}

impl Sim {
    pub fn new(config: Config) -> Self {
        let trace = Trace::new(&config, 1, trace::Room { entries: usize::MAX, bytes: usize::MAX });
        let mut sim = Self::untraced(config.clone());
        sim.core = Core::new(config).traced(trace.clone());
        sim.trace = Some(trace);
        sim
    }

    pub fn untraced(config: Config) -> Self {
        Self {
            core: Core::new(config),
            now: ms(1_000),
            log: Vec::new(),
            held: Vec::new(),
            check: Checker::traced(),
            world: BTreeMap::new(),
            seq: 0,
            mark: 0,
            rule: Box::new(|_| Reply::Good),
            grants: None,
            joined: JoinState { reconnected: true, fast_reconnect_deadline_s: 10, ..JoinState::default() },
            delays: None,
            connects: true,
            path: Path::default(),
            admissions: 0,
            next_offer: 0,
            lines: Vec::new(),
            lines_of: Generation(0),
            trace: None,
        }
    }

    /// A call that has just joined, with nothing in progress.
    pub fn joined() -> Self {
        Self::joined_with(config())
    }

    pub fn joined_with(config: Config) -> Self {
        let mut sim = Self::new(config);
        sim.input(Input::Start);
        sim.run(ms(50));
        assert_eq!(sim.core.state(), State::Joined);
        sim.mark();
        sim
    }

    /// From now on `rule` decides how each output is answered.
    pub fn on(&mut self, rule: impl FnMut(&Output) -> Reply + 'static) {
        self.rule = Box::new(rule);
    }

    pub fn good(&mut self) {
        self.on(|_| Reply::Good);
    }

    pub fn input(&mut self, input: Input) {
        self.check.before(&self.core, self.now, Some(&input));
        self.core.handle(self.now, input);
        self.drain();
    }

    pub fn message(&mut self, message: SfuMessage) {
        let generation = self.core.generation();
        self.input(Input::Message { generation, message });
    }

    /// The SFU sends an offer. Returns its negotiation id.
    pub fn offer(&mut self) -> u32 {
        self.next_offer += 1;
        let id = self.next_offer;
        self.message(offer(id, "remote"));
        id
    }

    pub fn leave(&mut self) {
        self.input(Input::Leave { reason: "bye".into() });
    }

    /// The network closes the socket.
    pub fn lose_socket(&mut self) {
        let generation = self.core.generation();
        self.input(Input::SocketClosed { generation, code: Some(1006), failure: None });
    }

    /// An event of a peer connection in use.
    pub fn peer(&mut self, peer: PeerKind, change: PeerChange) {
        let generation = self.core.cx.transport.expect("peer connections in use");
        self.input(Input::Peer { generation, peer, change });
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.check.output(self.now, &output);
            match (self.rule)(&output) {
                Reply::Good => {
                    if let Some(input) = self.answer(&output) {
                        self.after_a_while(input);
                    }
                }
                Reply::Hold => self.held.push(clone(&output)),
                Reply::Never => {}
                Reply::With(input) => self.after_a_while(input),
                Reply::At(wait, input) => self.later(wait, input),
            }
            self.log.push(output);
        }
        self.check.after(&self.core, self.now);
        self.check.assert_rules_hold();
    }

    fn after_a_while(&mut self, input: Input) {
        let wait = self.delays.as_mut().map_or(MS, |(rng, most)| ms(rng.between(0, *most)));
        self.later(wait, input);
    }

    pub fn later(&mut self, wait: Duration, input: Input) {
        self.seq += 1;
        self.world.insert((self.now + wait, self.seq), input);
    }

    /// Answers the held outputs successfully, now.
    pub fn release(&mut self) {
        for output in std::mem::take(&mut self.held) {
            if let Some(input) = self.answer(&output) {
                self.input(input);
            }
        }
    }

    /// Advances the clock; answers and deadlines are handled in order.
    pub fn run(&mut self, wait: Duration) {
        let end = self.now + wait;
        loop {
            let answer = self.world.keys().next().copied().filter(|(at, _)| *at <= end);
            let deadline = self.core.deadline().filter(|at| *at <= end);
            match (answer, deadline) {
                (Some(key), deadline) if deadline.is_none_or(|d| key.0 <= d) => {
                    self.now = self.now.max(key.0);
                    if let Some(input) = self.world.remove(&key) {
                        self.input(input);
                    }
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    self.check.before(&self.core, self.now, None);
                    self.core.tick(self.now);
                    self.drain();
                    assert!(self.core.deadline().is_none_or(|d| d > self.now), "a deadline stays in the past");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Outputs since the last mark.
    pub fn since(&self) -> &[Output] {
        &self.log[self.mark..]
    }

    pub fn mark(&mut self) {
        self.mark = self.log.len();
    }

    pub fn events(&self) -> Vec<Event> {
        self.since().iter().filter_map(event).cloned().collect()
    }

    pub fn rpcs(&self) -> Vec<RpcCall> {
        let call = |o: &Output| if let Output::Rpc { call, .. } = o { Some(call.clone()) } else { None };
        self.since().iter().filter_map(call).collect()
    }

    pub fn rpc_names(&self) -> Vec<&'static str> {
        self.rpcs().iter().map(RpcCall::name).collect()
    }

    pub fn actions(&self, of: PeerKind) -> Vec<&'static str> {
        let name = |o: &Output| match o {
            Output::Engine { peer, action, .. } if *peer == of => Some(action_name(action)),
            _ => None,
        };
        self.since().iter().filter_map(name).collect()
    }

    /// The requested content of each publisher offer.
    pub fn wanted(&self) -> Vec<Wanted> {
        let wanted = |o: &Output| match o {
            Output::Engine { action: Action::Offer(wanted), .. } => Some(wanted.clone()),
            _ => None,
        };
        self.since().iter().filter_map(wanted).collect()
    }

    pub fn requests(&self) -> Vec<SfuRequest> {
        let request = |o: &Output| if let Output::Send { request, .. } = o { Some(request.clone()) } else { None };
        self.since().iter().filter_map(request).collect()
    }

    pub fn count(&self, what: impl Fn(&Output) -> bool) -> usize {
        self.since().iter().filter(|o| what(o)).count()
    }

    /// Negotiation ids of the sent answers.
    pub fn answers(&self) -> Vec<u32> {
        let id = |c: RpcCall| {
            if let RpcCall::SendAnswer { negotiation_id, .. } = c {
                Some(negotiation_id)
            } else {
                None
            }
        };
        self.rpcs().into_iter().filter_map(id).collect()
    }

    pub fn errors(&self) -> usize {
        self.count(|o| matches!(event(o), Some(Event::Error(_) | Event::LocalFailed { .. })))
    }

    pub fn ended(&self) -> Option<End> {
        self.log.iter().filter_map(event).find_map(|e| if let Event::Ended(end) = e { Some(end.clone()) } else { None })
    }

    /// JoinResponse; if it has participants, the local one is added.
    fn joined_now(&self) -> JoinState {
        let mut joined = self.joined.clone();
        if !joined.participants.is_empty() {
            joined.participants.push(Participant { session_id: self.core.cx.session_id.clone(), ..person("me") });
        }
        joined
    }

    /// The m-line of each sender: the first that was free before this offer, else a new one.
    fn lines(&mut self, generation: Generation, wanted: &Wanted) -> Vec<String> {
        if self.lines_of != generation {
            (self.lines, self.lines_of) = (Vec::new(), generation);
        }
        let mut mids = Vec::new();
        for sender in &wanted.senders {
            let known = self.lines.iter().position(|line| line.as_ref() == Some(&sender.name));
            let line = known.or_else(|| self.lines.iter().position(Option::is_none)).unwrap_or(self.lines.len());
            if line == self.lines.len() {
                self.lines.push(None);
            }
            self.lines[line] = Some(sender.name.clone());
            mids.push(line.to_string());
        }
        for line in &mut self.lines {
            line.take_if(|name| !wanted.senders.iter().any(|sender| sender.name == *name));
        }
        mids
    }

    /// The answer of an environment in which everything works.
    fn answer(&mut self, output: &Output) -> Option<Input> {
        Some(match output {
            Output::NeedToken => Input::Token(Some(Secret::new("asked-for"))),
            Output::Admit { generation, .. } => {
                self.admissions += 1;
                let admission = Admission { grants: self.grants, ..admission(self.admissions) };
                Input::Admitted { generation: *generation, result: Ok(Box::new(admission)) }
            }
            Output::OpenSocket { generation, .. } => Input::SocketOpened { generation: *generation, result: Ok(()) },
            Output::Send { generation, request: SfuRequest::Join(_) } => {
                Input::Message { generation: *generation, message: SfuMessage::Joined(Box::new(self.joined_now())) }
            }
            Output::Send { generation, request: SfuRequest::Health } => {
                Input::Message { generation: *generation, message: SfuMessage::Health(self.joined.counts) }
            }
            Output::CloseSocket { generation, code, .. } => {
                Input::SocketClosed { generation: *generation, code: Some(*code), failure: None }
            }
            Output::Rpc { generation, id, call } => {
                if let (true, RpcCall::SendAnswer { .. }, Some(generation)) =
                    (self.connects, call, self.core.cx.transport)
                {
                    let (peer, change) = (PeerKind::Subscriber, PeerChange::Connected);
                    self.after_a_while(Input::Peer { generation, peer, change });
                }
                let reply = match call {
                    RpcCall::SetPublisher { .. } => {
                        RpcReply::Publisher { sdp: "a=ice-ufrag:sfu\r\n".into(), ice_restart: false }
                    }
                    _ => RpcReply::Done,
                };
                Input::Rpc { generation: *generation, id: *id, result: Ok(reply) }
            }
            Output::Engine { generation, peer, op, action } => {
                if self.connects && matches!(action, Action::SetAnswer(_)) {
                    let (generation, peer, change) = (*generation, *peer, PeerChange::Connected);
                    self.after_a_while(Input::Peer { generation, peer, change });
                }
                let done = match action {
                    Action::Offer(wanted) => {
                        OpDone::Offer { sdp: format!("offer {op}"), mids: self.lines(*generation, wanted) }
                    }
                    Action::Answer { .. } => OpDone::Answer { sdp: format!("answer {op}"), refused: 0 },
                    _ => OpDone::Done,
                };
                Input::Op { generation: *generation, peer: *peer, op: *op, result: Ok(done) }
            }
            Output::CollectStats { generation, mark } => {
                let (publisher, subscriber) = ("[]".to_owned(), "[]".to_owned());
                Input::Stats { generation: *generation, mark: *mark, publisher, subscriber }
            }
            // Tests send Drained themselves, or wait for the timeout.
            Output::Drain => return None,
            Output::Forget { id } => Input::RemoteTrackGone { id: *id },
            Output::ClosePeer { generation, peer } => Input::PeerClosed { generation: *generation, peer: *peer },
            Output::Inspect { generation, peer } => {
                Input::Path { generation: *generation, peer: *peer, path: self.path.clone() }
            }
            _ => return None,
        })
    }
}

pub fn event(output: &Output) -> Option<&Event> {
    if let Output::Event(event) = output {
        Some(event)
    } else {
        None
    }
}

pub fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Create { .. } => "Create",
        Action::Answer { .. } => "Answer",
        Action::Offer(_) => "Offer",
        Action::SetAnswer(_) => "SetAnswer",
        Action::AddCandidate(_) => "AddCandidate",
    }
}

/// Copies an output that may be held back.
fn clone(output: &Output) -> Output {
    match output {
        Output::NeedToken => Output::NeedToken,
        Output::Admit { generation, token, request } => {
            Output::Admit { generation: *generation, token: token.clone(), request: request.clone() }
        }
        Output::OpenSocket { generation, admission, session_id, attempt, resume } => Output::OpenSocket {
            generation: *generation,
            admission: admission.clone(),
            session_id: session_id.clone(),
            attempt: *attempt,
            resume: *resume,
        },
        Output::Send { generation, request } => Output::Send { generation: *generation, request: request.clone() },
        Output::CloseSocket { generation, code, reason } => {
            Output::CloseSocket { generation: *generation, code: *code, reason: reason.clone() }
        }
        Output::Rpc { generation, id, call } => Output::Rpc { generation: *generation, id: *id, call: call.clone() },
        Output::Engine { generation, peer, op, action } => {
            Output::Engine { generation: *generation, peer: *peer, op: *op, action: action.clone() }
        }
        Output::ClosePeer { generation, peer } => Output::ClosePeer { generation: *generation, peer: *peer },
        other => panic!("nothing answers {other:?}"),
    }
}

pub fn admission(number: u32) -> Admission {
    Admission {
        edge_name: format!("edge-{number}"),
        url: "http://127.0.0.1:1/twirp".into(),
        ws_endpoint: "ws://127.0.0.1:1/ws".into(),
        token: Secret::new("sfu-token"),
        opus_dtx: true,
        opus_red: true,
        ..Admission::default()
    }
}

pub fn person(name: &str) -> Participant {
    Participant {
        user_id: name.into(),
        session_id: format!("{name}-session"),
        name: name.into(),
        track_prefix: format!("{name}-prefix"),
        ..Participant::default()
    }
}

pub fn offer(negotiation_id: u32, ufrag: &str) -> SfuMessage {
    SfuMessage::SubscriberOffer { ice_restart: false, sdp: format!("v=0\r\na=ice-ufrag:{ufrag}\r\n"), negotiation_id }
}

/// A candidate that names its peer connection, so that the checker can detect a mix-up.
pub fn candidate(peer: PeerKind, ufrag: &str) -> String {
    format!(r#"{{"candidate":"candidate:{peer:?} 1 udp 1 127.0.0.1 9 typ host","usernameFragment":"{ufrag}"}}"#)
}

pub fn trickle(peer: PeerKind, ufrag: &str) -> SfuMessage {
    SfuMessage::IceTrickle { peer, candidate: candidate(peer, ufrag) }
}

pub fn audio() -> AudioOffer {
    AudioOffer { source: TrackKind::Audio, stereo: false, dtx: true, red: 1, music: false, muted: false }
}

pub fn failed(closed: bool) -> OpFailed {
    OpFailed { code: Code::Media, closed, message: "the engine refused".into() }
}

pub fn http(status: u16) -> Failure {
    Failure::new(FailureKind::Http { status }, "the server refused")
}

pub fn sfu(code: i32, message: &str) -> Failure {
    Failure { code, ..Failure::new(FailureKind::Sfu, message) }
}

pub fn rpc_failed(output: &Output, failure: Failure) -> Reply {
    match output {
        Output::Rpc { generation, id, .. } => {
            Reply::With(Input::Rpc { generation: *generation, id: *id, result: Err(failure) })
        }
        other => panic!("not an RPC: {other:?}"),
    }
}

pub fn op_failed(output: &Output, failure: OpFailed) -> Reply {
    match output {
        Output::Engine { generation, peer, op, .. } => {
            Reply::With(Input::Op { generation: *generation, peer: *peer, op: *op, result: Err(failure) })
        }
        other => panic!("not an engine step: {other:?}"),
    }
}

pub fn is_rpc(output: &Output, name: &str) -> bool {
    matches!(output, Output::Rpc { call, .. } if call.name() == name)
}

pub fn is_action(output: &Output, name: &str) -> bool {
    matches!(output, Output::Engine { action, .. } if action_name(action) == name)
}
