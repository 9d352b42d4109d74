//! Defects planted at the boundary of a core, to show that the lab detects them.

use offhook::core::{model::*, Action, Core, Event, Input, Output};
use offhook::signalling::livekit::signal_session::FrameEffects;
use offhook_proto::livekit as pb;
use pb::signal_request::Message as ClientMessage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// SetPublisher is sent twice.
    DoubleRpc,
    /// No LeaveCallRequest.
    NoLeaveMessage,
    /// Messages of an old socket count as messages of the current one.
    OldAsCurrent,
    /// Replies to requests of an old socket count as current ones, if nothing distinguishes them.
    TwoEnds,
    /// The application receives an event after the end.
    EventAfterEnd,
    /// Candidates go to the other peer connection.
    WrongPeer,
    /// A peer connection is never closed.
    PeerLeak,
    /// A socket is never closed.
    SocketLeak,
    /// Offers vanish without a trace.
    OfferLost,
    /// An offer of the SFU is treated as an answer.
    OfferAsAnswer,
    /// A participant's leaving is not reported.
    LeftLost,
    /// A participant's join is reported twice.
    JoinedTwice,
    /// A mute never reaches the rules.
    MuteLost,
    /// The leave is never carried out.
    LeaveLost,
    /// An unpublished track stays published.
    UnpublishLost,
    /// Answers carry the number of the previous offer.
    WrongNumber,
    /// The media of one participant plays as another's.
    WrongOwner,
    /// Events of one session also reach its neighbour in another room.
    Crosstalk,
    /// Frames of an old link reach the signalling session and count as frames of the current one.
    OldLinkAccepted,
    /// A resume sends no SyncState.
    NoSyncState,
    /// Answers carry no number, or that of another offer.
    AnswerOfAnother,
    /// Mutes name another track.
    MuteElsewhere,
    /// Participants are reported without their tracks.
    TracksLost,
    /// Replies of the server settle no request.
    RepliesLost,
    /// A text is truncated.
    TextCut,
    /// A procedure call is answered twice.
    AnsweredTwice,
}

pub const PLANTS: [Plant; 26] = [
    Plant::DoubleRpc,
    Plant::NoLeaveMessage,
    Plant::OldAsCurrent,
    Plant::TwoEnds,
    Plant::EventAfterEnd,
    Plant::WrongPeer,
    Plant::PeerLeak,
    Plant::SocketLeak,
    Plant::OfferLost,
    Plant::OfferAsAnswer,
    Plant::LeftLost,
    Plant::JoinedTwice,
    Plant::MuteLost,
    Plant::LeaveLost,
    Plant::UnpublishLost,
    Plant::WrongNumber,
    Plant::WrongOwner,
    Plant::Crosstalk,
    Plant::OldLinkAccepted,
    Plant::NoSyncState,
    Plant::AnswerOfAnother,
    Plant::MuteElsewhere,
    Plant::TracksLost,
    Plant::RepliesLost,
    Plant::TextCut,
    Plant::AnsweredTwice,
];

impl Plant {
    /// By its variant name.
    pub fn named(name: &str) -> Option<Self> {
        PLANTS.into_iter().find(|p| format!("{p:?}") == name)
    }

    /// The inputs that reach the core instead of this one.
    pub fn input(&mut self, client: usize, core: &Core, input: Input) -> Vec<Input> {
        match (*self, input) {
            (Plant::OldAsCurrent, Input::Message { message, .. }) => {
                vec![Input::Message { generation: core.generation(), message }]
            }
            (Plant::OfferLost, Input::Message { message: SfuMessage::SubscriberOffer { negotiation_id, .. }, .. })
                if negotiation_id > 1 =>
            {
                Vec::new()
            }
            (Plant::WrongPeer, Input::Message { generation, message: SfuMessage::IceTrickle { peer, candidate } }) => {
                let peer = match peer {
                    PeerKind::Publisher => PeerKind::Subscriber,
                    PeerKind::Subscriber => PeerKind::Publisher,
                };
                // Without an ICE generation: only the peer connection shows where the candidate belongs.
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

    /// Whether frames of another link reach the signalling session.
    pub fn accepts_old_links(self) -> bool {
        self == Plant::OldLinkAccepted
    }

    /// The frames sent to the socket instead of these frames of a signalling session.
    pub fn frames(&mut self, frames: Vec<pb::SignalRequest>) -> Vec<pb::SignalRequest> {
        let spoil = |mut frame: pb::SignalRequest| {
            match (*self, &mut frame.message) {
                (Plant::NoSyncState, Some(ClientMessage::SyncState(_))) => return None,
                (Plant::AnswerOfAnother, Some(ClientMessage::Answer(answer))) => {
                    answer.id = answer.id.saturating_sub(1)
                }
                (Plant::MuteElsewhere, Some(ClientMessage::Mute(mute))) => mute.sid.push('x'),
                _ => {}
            }
            Some(frame)
        };
        frames.into_iter().filter_map(spoil).collect()
    }

    /// The result of a frame instead of the signalling session's.
    pub fn processed(&mut self, mut processed: FrameEffects) -> FrameEffects {
        match *self {
            Plant::TracksLost => {
                for message in &mut processed.messages {
                    if let SfuMessage::ParticipantState(p) = message {
                        p.published.clear();
                    }
                }
            }
            Plant::RepliesLost => processed.settled.clear(),
            _ => {}
        }
        processed
    }

    /// The outputs that the simulation sees instead of this one.
    pub fn output(&mut self, _client: usize, output: Output) -> Vec<Output> {
        match (*self, output) {
            (Plant::DoubleRpc, Output::Rpc { generation, id, call: call @ RpcCall::SetPublisher { .. } }) => {
                let again = Output::Rpc { generation, id, call: call.clone() };
                vec![Output::Rpc { generation, id, call }, again]
            }
            (Plant::NoLeaveMessage, Output::Send { request: SfuRequest::Leave { .. }, .. }) => Vec::new(),
            (Plant::TwoEnds, Output::Event(Event::Ended(end))) => {
                vec![Output::Event(Event::Ended(end.clone())), Output::Event(Event::Ended(end))]
            }
            (Plant::EventAfterEnd, Output::Finished) => {
                vec![Output::Finished, Output::Event(Event::TokenNeeded)]
            }
            (Plant::PeerLeak, Output::ClosePeer { peer: PeerKind::Publisher, .. }) => Vec::new(),
            (Plant::SocketLeak, Output::CloseSocket { .. } | Output::DropSocket { .. }) => Vec::new(),
            (Plant::OfferAsAnswer, Output::Engine { action: Action::Answer { offer, .. }, generation, peer, op }) => {
                vec![Output::Engine { generation, peer, op, action: Action::SetAnswer(offer) }]
            }
            (Plant::LeftLost, Output::Event(Event::ParticipantLeft(_))) => Vec::new(),
            (Plant::JoinedTwice, Output::Event(Event::ParticipantJoined(p))) => {
                vec![Output::Event(Event::ParticipantJoined(p.clone())), Output::Event(Event::ParticipantJoined(p))]
            }
            (
                Plant::WrongNumber,
                Output::Rpc { generation, id, call: RpcCall::SendAnswer { session_id, sdp, negotiation_id } },
            ) => {
                let negotiation_id = negotiation_id.saturating_sub(1);
                vec![Output::Rpc { generation, id, call: RpcCall::SendAnswer { session_id, sdp, negotiation_id } }]
            }
            (Plant::WrongOwner, Output::Bind { id, user_id, kind, track_id, stream, silent, .. }) => {
                vec![Output::Bind { id, user_id, session_id: "another session".into(), kind, track_id, stream, silent }]
            }
            (Plant::TextCut, Output::Event(Event::Data(mut data))) => {
                if let DataBody::Text { text, .. } = &mut data.body {
                    text.pop();
                }
                vec![Output::Event(Event::Data(data))]
            }
            (Plant::AnsweredTwice, Output::Event(Event::RpcResponse { id, answer })) => {
                let again = Event::RpcResponse { id, answer: answer.clone() };
                vec![Output::Event(Event::RpcResponse { id, answer }), Output::Event(again)]
            }
            (_, output) => vec![output],
        }
    }
}
