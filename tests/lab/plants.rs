//! Defects planted at the boundary of a core, so that the lab can be seen to fail.

use offhook::core::{model::*, Action, Core, Event, Input, Output};
use offhook::signalling::livekit::dialogue::Heard;
use offhook_proto::livekit as pb;
use pb::signal_request::Message as Ask;

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
    /// An offer of the SFU is taken for an answer.
    OfferAsAnswer,
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
    /// Frames of an old link reach the dialogue and count as said on the present one.
    OldLinkHeard,
    /// A resume does not say what it knows.
    NoSyncState,
    /// Answers carry no number, or another's.
    AnswerOfAnother,
    /// Mutes go to a track of another name.
    MuteElsewhere,
    /// Participants come without their tracks.
    TracksLost,
    /// Replies of the server are settled by nobody.
    RepliesLost,
    /// A text ends before its end.
    TextCut,
    /// A procedure call is answered twice.
    AnsweredTwice,
}

pub const PLANTS: [Plant; 26] = [
    Plant::DoubleRpc,
    Plant::NoGoodbye,
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
    Plant::OldLinkHeard,
    Plant::NoSyncState,
    Plant::AnswerOfAnother,
    Plant::MuteElsewhere,
    Plant::TracksLost,
    Plant::RepliesLost,
    Plant::TextCut,
    Plant::AnsweredTwice,
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

    /// What a dialogue is given although its link is another.
    pub fn hears_old_links(self) -> bool {
        self == Plant::OldLinkHeard
    }

    /// What goes to the socket instead of these frames of a dialogue.
    pub fn frames(&mut self, frames: Vec<pb::SignalRequest>) -> Vec<pb::SignalRequest> {
        let spoil = |mut frame: pb::SignalRequest| {
            match (*self, &mut frame.message) {
                (Plant::NoSyncState, Some(Ask::SyncState(_))) => return None,
                (Plant::AnswerOfAnother, Some(Ask::Answer(answer))) => answer.id = answer.id.saturating_sub(1),
                (Plant::MuteElsewhere, Some(Ask::Mute(mute))) => mute.sid.push('x'),
                _ => {}
            }
            Some(frame)
        };
        frames.into_iter().filter_map(spoil).collect()
    }

    /// What follows from a frame instead of what the dialogue says.
    pub fn heard(&mut self, mut heard: Heard) -> Heard {
        match *self {
            Plant::TracksLost => {
                for message in &mut heard.messages {
                    if let SfuMessage::ParticipantState(p) = message {
                        p.published.clear();
                    }
                }
            }
            Plant::RepliesLost => heard.settled.clear(),
            _ => {}
        }
        heard
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
                vec![Output::Bind { id, user_id, session_id: "somebody else".into(), kind, track_id, stream, silent }]
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
