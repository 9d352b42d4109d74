//! Defects planted at the boundary of a core, so that the lab can be seen to fail.

use offhook::core::{model::*, Action, Core, Event, Input, Output};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// SetPublisher is asked for twice.
    DoubleRpc,
    /// No LeaveCallRequest.
    NoGoodbye,
    /// What an old socket says counts as said on the present one.
    OldAsCurrent,
    /// Replies to requests of an old socket count as current ones, when nothing is there to tell them apart.
    TwoEnds,
    /// The application hears something after the end.
    EventAfterEnd,
    /// Candidates go to the other peer connection.
    WrongPeer,
    /// A peer connection is never closed.
    PeerLeak,
    /// A socket is never closed.
    SocketLeak,
    /// Offers vanish without a trace.
    OfferLost,
    /// Offers are answered without being set first.
    StepSkipped,
    /// A participant's leaving is not told.
    LeftLost,
    /// A participant's coming is told twice.
    JoinedTwice,
    /// A mute never reaches the rules.
    MuteLost,
    /// Nobody carries out the leave.
    LeaveLost,
    /// What is unpublished stays published.
    UnpublishLost,
    /// Answers carry the number of the offer before.
    WrongNumber,
    /// The media of one participant plays as another's.
    WrongOwner,
    /// What one session hears, its neighbour in another room hears as well.
    Crosstalk,
}

pub const PLANTS: [Plant; 18] = [
    Plant::DoubleRpc,
    Plant::NoGoodbye,
    Plant::OldAsCurrent,
    Plant::TwoEnds,
    Plant::EventAfterEnd,
    Plant::WrongPeer,
    Plant::PeerLeak,
    Plant::SocketLeak,
    Plant::OfferLost,
    Plant::StepSkipped,
    Plant::LeftLost,
    Plant::JoinedTwice,
    Plant::MuteLost,
    Plant::LeaveLost,
    Plant::UnpublishLost,
    Plant::WrongNumber,
    Plant::WrongOwner,
    Plant::Crosstalk,
];

impl Plant {
    /// By its name, as it is written here.
    pub fn named(name: &str) -> Option<Self> {
        PLANTS.into_iter().find(|p| format!("{p:?}") == name)
    }

    /// What reaches the core instead of this.
    pub fn input(&mut self, client: usize, core: &Core, input: Input) -> Vec<Input> {
        match (*self, input) {
            (Plant::OldAsCurrent, Input::Message { message, .. }) => {
                vec![Input::Message { generation: core.generation(), message }]
            }
            (
                Plant::OfferLost,
                Input::Message { message: SfuMessage::SubscriberOffer { negotiation_id, .. }, .. },
            ) if negotiation_id > 1 => Vec::new(),
            (
                Plant::WrongPeer,
                Input::Message { generation, message: SfuMessage::IceTrickle { peer, candidate } },
            ) => {
                let peer = match peer {
                    PeerKind::Publisher => PeerKind::Subscriber,
                    PeerKind::Subscriber => PeerKind::Publisher,
                };
                // One that names no ICE generation: only its peer connection tells where it belongs.
                let candidate = match candidate.split_once("\"usernameFragment\":\"") {
                    Some((head, _)) => format!("{head}\"usernameFragment\":\"\"}}"),
                    None => candidate,
                };
                vec![Input::Message { generation, message: SfuMessage::IceTrickle { peer, candidate } }]
            }
            (Plant::MuteLost, Input::Mute { .. }) | (Plant::LeaveLost, Input::Leave { .. }) => Vec::new(),
            (Plant::UnpublishLost, Input::Unpublish { .. }) => Vec::new(),
            (Plant::Crosstalk, input) if client == 0 => vec![input],
            (_, input) => vec![input],
        }
    }

    /// What the world sees instead of this.
    pub fn output(&mut self, _client: usize, output: Output) -> Vec<Output> {
        match (*self, output) {
            (Plant::DoubleRpc, Output::Rpc { generation, id, call: call @ RpcCall::SetPublisher { .. } }) => {
                let again = Output::Rpc { generation, id, call: call.clone() };
                vec![Output::Rpc { generation, id, call }, again]
            }
            (Plant::NoGoodbye, Output::Send { request: SfuRequest::Leave { .. }, .. }) => Vec::new(),
            (Plant::TwoEnds, Output::Event(Event::Ended(end))) => {
                vec![Output::Event(Event::Ended(end.clone())), Output::Event(Event::Ended(end))]
            }
            (Plant::EventAfterEnd, Output::Finished) => {
                vec![Output::Finished, Output::Event(Event::TokenNeeded)]
            }
            (Plant::PeerLeak, Output::ClosePeer { peer: PeerKind::Publisher, .. }) => Vec::new(),
            (Plant::SocketLeak, Output::CloseSocket { .. } | Output::DropSocket { .. }) => Vec::new(),
            (Plant::StepSkipped, Output::Engine { action: Action::SetOffer(_), generation, peer, op }) => {
                vec![Output::Engine { generation, peer, op, action: Action::CreateAnswer }]
            }
            (Plant::LeftLost, Output::Event(Event::ParticipantLeft(_))) => Vec::new(),
            (Plant::JoinedTwice, Output::Event(Event::ParticipantJoined(p))) => {
                vec![
                    Output::Event(Event::ParticipantJoined(p.clone())),
                    Output::Event(Event::ParticipantJoined(p)),
                ]
            }
            (
                Plant::WrongNumber,
                Output::Rpc { generation, id, call: RpcCall::SendAnswer { session_id, sdp, negotiation_id } },
            ) => {
                let negotiation_id = negotiation_id.saturating_sub(1);
                vec![Output::Rpc {
                    generation,
                    id,
                    call: RpcCall::SendAnswer { session_id, sdp, negotiation_id },
                }]
            }
            (Plant::WrongOwner, Output::Bind { id, user_id, kind, .. }) => {
                vec![Output::Bind { id, user_id, session_id: "somebody else".into(), kind }]
            }
            (_, output) => vec![output],
        }
    }
}
