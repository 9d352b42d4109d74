//! Scripted simulations: only the test causes faults. Messages and actions are read from the schedule.

use super::{
    faults::{Fault, Plan, Setup},
    run,
    sockets::Cut,
    world::{Act, Ms, Verdict, World},
};
use offhook::core::{model::*, Counters, End, Event, Input, Output, State};
use offhook_proto::livekit as pb;
use pb::signal_response::Message as ServerMessage;
use prost::Message;

/// A simulation that is driven by hand. Prints the end of its schedule when its test fails.
pub struct Lab {
    pub world: World,
    mark: usize,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let trace = self.world.trace.take().unwrap_or_default();
            eprintln!("{}", trace[trace.len().saturating_sub(80)..].join("\n"));
        }
    }
}

impl Lab {
    /// One session for each given room; nothing has started.
    pub fn new(rooms: &[usize], edges: usize) -> Self {
        let plan =
            |room: &usize| Plan { room: *room, join_retries: 3, subscribe: true, token_given: true, ..Plan::default() };
        let setup = Setup { seed: 7, edges, clients: rooms.iter().map(plan).collect(), ..Setup::default() };
        Self::with(setup)
    }

    /// The same with LiveKit.
    pub fn livekit(rooms: &[usize], edges: usize) -> Self {
        let mut lab = Self::new(rooms, edges);
        let setup = Setup { livekit: true, ..lab.world.setup.clone() };
        lab.world = World::new(setup);
        lab.world.trace = Some(Vec::new());
        lab
    }

    /// LiveKit with one peer connection for both directions.
    pub fn one_connection(rooms: &[usize], edges: usize) -> Self {
        let mut lab = Self::livekit(rooms, edges);
        let setup = Setup { one_connection: true, ..lab.world.setup.clone() };
        lab.world = World::new(setup);
        lab.world.trace = Some(Vec::new());
        lab
    }

    /// The same, all joined and settled.
    pub fn one_connection_joined(rooms: &[usize], edges: usize) -> Self {
        Self::one_connection(rooms, edges).settled(rooms.len())
    }

    /// LiveKit, all joined and settled.
    pub fn livekit_joined(rooms: &[usize], edges: usize) -> Self {
        Self::livekit(rooms, edges).settled(rooms.len())
    }

    /// One session that tries its join once.
    pub fn without_retries() -> Self {
        let plan = Plan { subscribe: true, token_given: true, ..Plan::default() };
        Self::with(Setup { seed: 7, edges: 1, clients: vec![plan], ..Setup::default() })
    }

    fn with(setup: Setup) -> Self {
        let mut world = World::new(setup);
        world.trace = Some(Vec::new());
        Self { world, mark: 0 }
    }

    /// The same, all joined and settled.
    pub fn joined(rooms: &[usize], edges: usize) -> Self {
        Self::new(rooms, edges).settled(rooms.len())
    }

    fn settled(mut self, sessions: usize) -> Self {
        self.start();
        self.run(3_000);
        for client in 0..sessions {
            assert_eq!(self.state(client), State::Joined);
        }
        self.mark();
        self
    }

    pub fn start(&mut self) {
        self.world.begin();
    }

    /// Advances the clock; every rule of the lab must hold meanwhile.
    pub fn run(&mut self, wait: Ms) {
        self.world.run(wait);
        self.assert_rules_hold();
    }

    pub fn assert_rules_hold(&mut self) {
        if let Some(what) = &self.world.broken {
            panic!("{what}");
        }
    }

    /// Everything is correct again, in every detail, within the disconnection timeout and a little more.
    pub fn calm(&mut self) {
        self.world.rule = None;
        self.run(run::CALM);
        self.world.judge_calm();
        self.assert_rules_hold();
    }

    pub fn mark(&mut self) {
        self.mark = self.world.trace.as_ref().map_or(0, Vec::len);
    }

    /// From now on `rule` decides how each output is handled.
    pub fn on(&mut self, rule: impl FnMut(usize, &Output) -> Verdict + 'static) {
        self.world.rule = Some(Box::new(rule));
    }

    pub fn act(&mut self, client: usize, act: Act) {
        self.world.act(client, act);
        self.assert_rules_hold();
    }

    pub fn input(&mut self, client: usize, input: Input) {
        self.world.input(client, input);
        self.assert_rules_hold();
    }

    pub fn strike(&mut self, client: usize, fault: Fault) {
        self.world.strike(client, fault);
        self.assert_rules_hold();
    }

    pub fn cut(&mut self, client: usize, how: Cut) {
        self.strike(client, Fault::Cut(how));
    }

    /// Injects a message of the SFU.
    pub fn message(&mut self, client: usize, message: SfuMessage) {
        let generation = self.generation(client);
        self.input(client, Input::Message { generation, message });
    }

    pub fn generation(&self, client: usize) -> Generation {
        self.world.clients[client].core.generation()
    }

    pub fn state(&self, client: usize) -> State {
        self.world.clients[client].core.state()
    }

    pub fn counters(&self, client: usize) -> Counters {
        self.world.clients[client].core.counters()
    }

    pub fn ended(&self, client: usize) -> Option<End> {
        self.world.clients[client].app.ended.clone()
    }

    pub fn log(&self, client: usize) -> &[(Ms, Event)] {
        &self.world.clients[client].log
    }

    /// A frame of the server, to the socket in use.
    pub fn frame(&mut self, client: usize, server_message: ServerMessage) {
        let sock = self.sock(client);
        self.frame_on(sock, server_message);
    }

    /// A frame on this socket, whichever is in use.
    pub fn frame_on(&mut self, sock: usize, server_message: ServerMessage) {
        let frame = pb::SignalResponse { message: Some(server_message) }.encode_to_vec();
        self.world.client_receives(sock, &frame);
        self.assert_rules_hold();
    }

    pub fn sock(&self, client: usize) -> usize {
        self.world.live_sock(client).unwrap_or_else(|| panic!("session {client} has no socket"))
    }

    /// Number of frames of a session since the mark that contain this text.
    pub fn framed(&self, client: usize, text: &str) -> usize {
        let from = format!("s{client}   ~ ");
        let trace = self.world.trace.as_deref().unwrap_or_default();
        trace[self.mark..].iter().filter(|l| l.contains(&from) && l.contains(text)).count()
    }

    /// Number of outputs of a session since the mark that contain this text.
    pub fn count_outputs(&self, client: usize, text: &str) -> usize {
        let from = format!("s{client}   < ");
        let trace = self.world.trace.as_deref().unwrap_or_default();
        trace[self.mark..].iter().filter(|l| l.contains(&from) && l.contains(text)).count()
    }

    pub fn errors(&self, client: usize) -> usize {
        self.count_outputs(client, "Event(Error") + self.count_outputs(client, "Event(LocalFailed")
    }

    /// The SFU sends another offer.
    pub fn offer(&mut self, client: usize, ice_restart: bool) {
        let member = self.member(client);
        let peer_generation = self.world.sfu.members[member].current().map_or(0, |p| p.peer_generation);
        self.world.offer(member, peer_generation, ice_restart);
    }

    pub fn member(&self, client: usize) -> usize {
        let found = self.world.sfu.members.iter().rposition(|m| m.client == client && !m.left);
        found.unwrap_or_else(|| panic!("session {client} is not in the room"))
    }

    /// Publishes a track of this session and waits until everyone has settled.
    pub fn publish(&mut self, client: usize, muted: bool) {
        self.act(client, Act::Publish { muted });
        self.run(2_000);
        assert_eq!(self.count_outputs(client, "LocalPublished"), 1);
        self.mark();
    }
}

/// Whether the output is an engine step of this name on this peer connection.
pub fn step(output: &Output, kind: PeerKind, name: &str) -> bool {
    matches!(output, Output::Engine { peer, action, .. } if *peer == kind && action.name() == name)
}

pub fn rpc(output: &Output, name: &str) -> bool {
    matches!(output, Output::Rpc { call, .. } if call.name() == name)
}

/// The engine refuses this step.
pub fn refuse(output: &Output) -> Verdict {
    use offhook::core::OpFailed;
    use offhook::error::Code;
    match output {
        Output::Engine { generation, peer, op, .. } => Verdict::With(Input::Op {
            generation: *generation,
            peer: *peer,
            op: *op,
            result: Err(OpFailed { code: Code::Media, closed: false, message: "refused".into() }),
        }),
        other => panic!("no engine step: {other:?}"),
    }
}

/// This RPC fails with `failure`.
pub fn fail(output: &Output, failure: Failure) -> Verdict {
    match output {
        Output::Rpc { generation, id, .. } => {
            Verdict::With(Input::Rpc { generation: *generation, id: *id, result: Err(failure) })
        }
        other => panic!("no RPC: {other:?}"),
    }
}
