//! What may fail, how often, and when: the plan of one run, drawn from its seed before it begins.
//!
//! Faults come in classes that can be switched off one by one, so that a failing run can be reduced.

use super::{
    engine::News,
    sfu::KEPT,
    sockets::{Cut, Down},
    vocabulary,
    world::{Act, Ev, Ms, World},
};
use offhook::core::{model::*, rng::Rng, Input, NetworkChange as Network, Op, OpDone, OpFailed, PeerChange};
use offhook::error::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Messages of the SFU: late, lost, duplicated, overtaken.
    Down,
    Up,
    /// Sockets that break.
    Cut,
    Admit,
    Open,
    /// Refused JoinRequests.
    Join,
    Rpc,
    /// Slow RPCs and engine steps.
    Slow,
    /// Engine steps that fail.
    Op,
    /// Peer connections that never connect, disconnect, fail, close.
    Peer,
    /// Edges that die.
    Edge,
    GoAway,
    ErrorEvent,
    IceRestart,
    /// Call ended, kicked.
    Ended,
    Grants,
    /// Late and stale messages, also after the end.
    Stale,
    Garbage,
    Network,
    /// An application that publishes, mutes and closes at any time.
    App,
    /// Leaves and aborts in the middle.
    Leave,
    Token,
}

pub const CLASSES: [Class; 22] = [
    Class::Down,
    Class::Up,
    Class::Cut,
    Class::Admit,
    Class::Open,
    Class::Join,
    Class::Rpc,
    Class::Slow,
    Class::Op,
    Class::Peer,
    Class::Edge,
    Class::GoAway,
    Class::ErrorEvent,
    Class::IceRestart,
    Class::Ended,
    Class::Grants,
    Class::Stale,
    Class::Garbage,
    Class::Network,
    Class::App,
    Class::Leave,
    Class::Token,
];

/// All classes.
pub const ALL: u32 = (1 << CLASSES.len()) - 1;

/// Fault probabilities of one session.
#[derive(Clone, Debug, Default)]
pub struct Mood {
    chances: [u16; CLASSES.len()],
    /// No fault occurs after this time.
    pub until: Ms,
}

impl Mood {
    /// Per thousand.
    pub fn chance(&self, class: Class) -> u64 {
        u64::from(self.chances[class as usize])
    }
}

/// A fault at a planned time.
#[derive(Clone, Debug)]
pub enum Fault {
    Cut(Cut),
    EdgeDies {
        for_ms: Ms,
        silently: bool,
    },
    GoAway,
    Error(Strategy),
    IceRestart(PeerKind),
    End(CallEndedReason),
    Grant(bool),
    /// Messages of the past, selected by the number.
    Stale(u64),
    Garbage(u64),
    Network(Network),
    Peer(PeerKind, PeerChange),
    Expire,
}

/// The planned actions and faults of one session.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub room: usize,
    pub start: Ms,
    pub acts: Vec<(Ms, Act)>,
    pub faults: Vec<(Ms, Fault)>,
    pub mood: Mood,
    pub join_retries: u32,
    pub subscribe: bool,
    pub token_given: bool,
    pub token_expired: bool,
    /// In the calm phase it publishes another track if it has none.
    pub publishes_at_last: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub seed: u64,
    pub edges: usize,
    pub clients: Vec<Plan>,
    /// No fault occurs from here on.
    pub calm: Ms,
    /// Only session 0 has faults; the others are compared with a run without them.
    pub isolated: bool,
    /// Offers do not wait for the answer to the previous one.
    pub impatient: bool,
    /// The first offer arrives with JoinResponse.
    pub eager: bool,
    /// A replaced session lingers in the room.
    pub lazy: bool,
    /// LiveKit frames; else the core's own messages.
    pub livekit: bool,
    /// LiveKit with one peer connection for both directions, else with two.
    pub one_connection: bool,
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.between(0, from.len() as u64 - 1) as usize]
}

/// The plan of a seed. `classes` are the faults that may occur at all; `spared`: session 0 has none (the reference run
/// for an isolated one).
pub fn plan(seed: u64, classes: u32, spared: bool) -> Setup {
    let mut rng = Rng::new(seed.wrapping_mul(0xa076_1d64_78bd_642f) ^ 0x2545_f491_4f6c_dd1d);
    rng.next_u64();
    let isolated = rng.between(0, 9) < 3;
    let edges = rng.between(1, 3) as usize;
    let count = if isolated { rng.between(3, 4) } else { rng.between(1, 4) } as usize;
    let until = rng.between(5, 40) * 1_000;
    let mut setup = Setup {
        seed,
        edges,
        clients: Vec::new(),
        calm: until,
        isolated,
        impatient: rng.between(0, 3) == 0,
        eager: rng.between(0, 2) == 0,
        lazy: rng.between(0, 2) == 0,
        livekit: super::uses_livekit(seed),
        one_connection: super::uses_livekit(seed) && (seed / 2).is_multiple_of(2),
    };
    for index in 0..count {
        let mut rng = Rng::new(rng.next_u64());
        let room = match index {
            0 | 1 => 0,
            _ if isolated => 1,
            _ => rng.between(0, 1) as usize,
        };
        let suffers = !isolated || index == 0;
        let mut mood = Mood { chances: [0; CLASSES.len()], until };
        let mut faults = Vec::new();
        for class in CLASSES {
            let chance = chance(class, &mut rng);
            let mut events = Vec::new();
            if chance > 0 {
                strikes(class, &mut rng, until, &mut events);
            }
            let allowed = classes & (1 << class as u8) != 0 && suffers && !(spared && index == 0);
            // A fault of an edge affects everyone on it.
            if allowed && !(isolated && class == Class::Edge) {
                mood.chances[class as usize] = chance;
                faults.extend(events);
            }
        }
        let wild = mood.chance(Class::App) > 0;
        let leaves = mood.chance(Class::Leave) > 0;
        let token_given = rng.between(0, 3) > 0;
        setup.clients.push(Plan {
            room,
            start: rng.between(0, 3_000),
            acts: acts(&mut rng, until, wild, leaves),
            faults,
            join_retries: if suffers { rng.between(0, 4) as u32 } else { 3 },
            subscribe: rng.between(0, 9) > 0,
            token_given,
            token_expired: rng.between(0, 19) == 0 && suffers && mood.chance(Class::Token) > 0,
            publishes_at_last: rng.between(0, 1) == 0,
            mood,
        });
        if setup.livekit {
            // From a separate random stream: the other protocol's schedules do not change.
            let mut rng = Rng::new(seed.wrapping_mul(0x9fb2_1c65_1e98_df25) ^ index as u64);
            let data = super::data::acts(&mut rng, until, index, count);
            setup.clients[index].acts.extend(data);
        }
    }
    setup
}

fn chance(class: Class, rng: &mut Rng) -> u16 {
    let levels: &[u16] = match class {
        Class::Down | Class::Up => &[0, 0, 0, 5, 30],
        Class::Admit | Class::Open | Class::Join => &[0, 0, 50, 200, 500],
        Class::Rpc | Class::Op => &[0, 0, 10, 50, 200],
        Class::Slow => &[0, 0, 50, 300],
        Class::Peer => &[0, 0, 0, 100, 400],
        Class::Garbage => &[0, 0, 10],
        Class::Token => &[0, 0, 100, 300],
        Class::App | Class::Leave => &[0, 1],
        Class::Edge => &[0, 0, 1, 2],
        _ => &[0, 0, 1],
    };
    pick(rng, levels)
}

/// The planned times of a class's faults.
fn strikes(class: Class, rng: &mut Rng, until: Ms, events: &mut Vec<(Ms, Fault)>) {
    let times = match class {
        Class::Cut | Class::Stale | Class::Garbage => rng.between(1, 5),
        Class::Ended => u64::from(rng.between(0, 3) == 0),
        Class::Edge => rng.between(1, 2),
        _ => rng.between(1, 3),
    };
    for _ in 0..times {
        let at = rng.between(0, until);
        let kind = pick(rng, &[PeerKind::Publisher, PeerKind::Subscriber]);
        let fault = match class {
            Class::Cut => Fault::Cut(match rng.between(0, 3) {
                0 => Cut::Code(pick(rng, &[1000, 1001, 1006, 1011, 4001, 4100])),
                1 => Cut::Silent,
                _ => Cut::Reset,
            }),
            Class::Edge => Fault::EdgeDies { for_ms: rng.between(10, 20_000), silently: rng.between(0, 2) == 0 },
            Class::GoAway => Fault::GoAway,
            Class::ErrorEvent => Fault::Error(pick(
                rng,
                &[
                    Strategy::Unspecified,
                    Strategy::Fast,
                    Strategy::Fast,
                    Strategy::Rejoin,
                    Strategy::Rejoin,
                    Strategy::Migrate,
                    Strategy::Disconnect,
                ],
            )),
            Class::IceRestart => Fault::IceRestart(kind),
            Class::Ended => Fault::End(pick(
                rng,
                &[
                    CallEndedReason::Unspecified,
                    CallEndedReason::Ended,
                    CallEndedReason::LiveEnded,
                    CallEndedReason::Kicked,
                    CallEndedReason::SessionEnded,
                ],
            )),
            Class::Grants => Fault::Grant(rng.between(0, 1) == 0),
            Class::Stale => Fault::Stale(rng.next_u64()),
            Class::Garbage => Fault::Garbage(rng.next_u64()),
            Class::Network => {
                Fault::Network(pick(rng, &[Network::Offline, Network::Online, Network::Online, Network::Changed]))
            }
            Class::Peer => Fault::Peer(
                kind,
                pick(
                    rng,
                    &[PeerChange::Disconnected, PeerChange::Disconnected, PeerChange::Failed, PeerChange::Closed],
                ),
            ),
            Class::Token => Fault::Expire,
            _ => continue,
        };
        if let Fault::Network(Network::Offline) = fault {
            events.push((at + rng.between(1, 15_000), Fault::Network(Network::Online)));
        }
        events.push((at, fault));
    }
    if class == Class::Network {
        // The calm phase begins online.
        events.push((until, Fault::Network(Network::Online)));
    }
}

/// Actions of the application: ordinary ones always, unusual ones if `wild`.
fn acts(rng: &mut Rng, until: Ms, wild: bool, leaves: bool) -> Vec<(Ms, Act)> {
    let mut acts = Vec::new();
    if rng.between(0, 2) > 0 {
        acts.push((rng.between(0, 6_000), Act::Publish { muted: rng.between(0, 3) == 0 }));
    }
    for _ in 0..rng.between(0, 6) {
        acts.push((rng.between(0, until), Act::Mute(rng.between(0, 1) == 0)));
    }
    // Drawn in any case: a disabled class must not change the others.
    for _ in 0..rng.between(0, 8) {
        let act = match rng.between(0, 19) {
            0 => Act::ClosePeer(PeerKind::Publisher),
            1 => Act::ClosePeer(PeerKind::Subscriber),
            2..=6 => Act::Unpublish,
            7..=12 => Act::Publish { muted: rng.between(0, 1) == 0 },
            13 => Act::MuteStranger,
            14 => Act::Token,
            _ => Act::Mute(rng.between(0, 1) == 0),
        };
        let at = rng.between(0, until);
        if wild {
            acts.push((at, act));
        }
    }
    let (at, act) = (rng.between(0, until), if rng.between(0, 4) == 0 { Act::Abort } else { Act::Leave });
    if leaves {
        acts.push((at, act));
    }
    acts
}

impl World {
    /// A planned fault occurs.
    pub fn strike(&mut self, client: usize, fault: Fault) {
        self.note(|| format!("s{client} ! {fault:?}"));
        if self.setup.livekit && self.strike_livekit(client, &fault) {
            return;
        }
        let joined = self.live_sock(client).filter(|s| self.socks[*s].joined);
        match fault {
            Fault::Cut(how) => {
                if let Some(sock) = self.live_sock(client) {
                    self.cut(sock, how);
                }
            }
            Fault::EdgeDies { for_ms, silently } => {
                if let Some(sock) = self.live_sock(client) {
                    let for_ms = for_ms.min(self.setup.calm.saturating_sub(self.now)).max(1);
                    self.edge_dies(self.socks[sock].edge, for_ms, silently);
                }
            }
            Fault::GoAway => {
                if let Some(sock) = joined {
                    self.send_message(sock, SfuMessage::GoAway { reason: 1 });
                }
            }
            Fault::Error(strategy) => {
                if let Some(sock) = joined {
                    self.clients[client].check.caused_disconnect |= strategy == Strategy::Disconnect;
                    let error = SfuError { code: 500, message: "planned".into(), should_retry: false };
                    self.send_message(sock, SfuMessage::Error { error, strategy });
                }
            }
            Fault::IceRestart(peer) => {
                if let Some(sock) = joined {
                    self.send_message(sock, SfuMessage::IceRestart { peer });
                    let member = self.sfu.members.iter().position(|m| {
                        m.client == client && m.current().is_some_and(|p| p.sock == Some(sock)) && !m.left
                    });
                    if let (Some(member), PeerKind::Subscriber) = (member, peer) {
                        if let Some(peer_generation) = self.sfu.members[member].current().map(|p| p.peer_generation) {
                            self.offer(member, peer_generation, true);
                        }
                    }
                }
            }
            Fault::End(reason) => {
                self.clients[client].check.caused_end = true;
                self.end_call(client, reason);
            }
            Fault::Grant(audio) => self.grant(client, audio),
            Fault::Stale(which) => self.stale(client, which),
            Fault::Garbage(which) => self.garbage(client, which),
            Fault::Network(change) => self.input(client, vocabulary::network(change)),
            Fault::Peer(kind, change) => {
                let newest = self.clients[client].peers.iter().rev().find(|p| p.kind == kind && p.made && !p.gone);
                if let Some(generation) = newest.map(|p| p.generation) {
                    let what = News::Change(change);
                    if change == PeerChange::Disconnected && self.clients[client].fault.between(0, 2) > 0 {
                        let wait = self.clients[client].fault.between(10, 6_000);
                        let what = News::Recovers;
                        self.after(wait, Ev::Engine { client, generation, peer: kind, what });
                    }
                    self.engine_news(client, generation, kind, what);
                }
            }
            Fault::Expire => self.clients[client].tokens.expire(),
        }
    }

    /// Repeats something of the past: of an old socket, an old engine, an old request.
    fn stale(&mut self, client: usize, which: u64) {
        let mut rng = Rng::new(which);
        let current = self.clients[client].core.generation();
        let old = Generation(rng.between(0, u64::from(current.0.saturating_sub(1))) as u32);
        // The newest socket is current as long as it is open: nothing on it is stale.
        let newest = self.clients[client].socks.last().map(|(g, _)| *g);
        if Some(old) == newest || old == current || self.clients[client].check.socket_is_live(old) {
            return;
        }
        let offer = |serial: u64| {
            let tag =
                super::text::Tag { sfu: true, owner: 9_999, peer_generation: 0, kind: PeerKind::Subscriber, ice: 0 };
            let sdp = super::text::Desc { tag, serial, lines: Vec::new() }.text();
            SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id: serial as u32 }
        };
        let peer = pick(&mut rng, &[PeerKind::Publisher, PeerKind::Subscriber]);
        let generation = old;
        for _ in 0..rng.between(1, 4) {
            let message = match rng.between(0, 7) {
                0..=2 => offer(rng.between(1, 9)),
                3 => SfuMessage::ParticipantJoined(Box::new(Participant {
                    user_id: "ghost".into(),
                    session_id: "ghost".into(),
                    ..Participant::default()
                })),
                4 => SfuMessage::GoAway { reason: 1 },
                5 => SfuMessage::CallEnded(CallEndedReason::Kicked),
                6 => SfuMessage::MigrationComplete,
                _ => SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Disconnect },
            };
            self.input(client, Input::Message { generation, message });
        }
        let input = match rng.between(0, 4) {
            0 => Input::SocketClosed { generation, code: Some(1006), failure: None },
            1 => Input::SocketOpened { generation, result: Ok(()) },
            2 => Input::Rpc { generation, id: rng.between(1, 40), result: Ok(RpcReply::Done) },
            3 => Input::Admitted { generation, result: Ok(Box::default()) },
            _ => Input::Rpc {
                generation,
                id: rng.between(1, 40),
                result: Err(Failure { code: 206, ..Failure::new(FailureKind::Sfu, "late") }),
            },
        };
        self.input(client, input);
        if !self.clients[client].check.peer_is_live(generation, peer) {
            let op = rng.between(1, 60) as Op;
            let input = match rng.between(0, 3) {
                0 => Input::Op { generation, peer, op, result: Ok(OpDone::Done) },
                1 => {
                    let failed = OpFailed { code: Code::Media, closed: false, message: "late".into() };
                    Input::Op { generation, peer, op, result: Err(failed) }
                }
                2 => Input::Peer { generation, peer, change: PeerChange::Failed },
                _ => Input::PeerClosed { generation, peer },
            };
            self.input(client, input);
        }
    }

    /// Messages that no correct server sends.
    fn garbage(&mut self, client: usize, which: u64) {
        let mut rng = Rng::new(which);
        let Some(sock) = self.live_sock(client).filter(|s| self.socks[*s].joined) else { return };
        let peer = pick(&mut rng, &[PeerKind::Publisher, PeerKind::Subscriber]);
        let message = match rng.between(0, 6) {
            0 => return self.send_down(sock, Down::Malformed),
            1 => SfuMessage::Unknown,
            2 => SfuMessage::PublisherAnswer,
            3 => SfuMessage::IceTrickle { peer, candidate: "{".repeat(rng.between(0, 5_000) as usize) },
            4 => SfuMessage::Joined(Box::default()),
            5 => SfuMessage::ParticipantLeft {
                session_id: "nobody".into(),
                user_id: "nobody".into(),
                reason: LeaveReason::UNKNOWN,
            },
            _ => SfuMessage::AudioLevels(vec![("nobody".into(), f32::NAN, true); 3]),
        };
        self.send_down(sock, Down::Message(message));
    }

    /// Ends all faults before the calm phase.
    pub fn calm(&mut self) {
        self.cut_silent();
        for client in 0..self.clients.len() {
            self.grant(client, true);
            self.clients[client].mood = Mood::default();
        }
        let _ = KEPT;
    }
}
