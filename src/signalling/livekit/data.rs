//! Encodes and decodes data channel messages: packets, texts in pieces, remote procedure calls. Must not know: when
//! something may be sent, who waits for an answer.

use super::incoming::MAX_ID;
use crate::core::model::*;
use crate::signalling::protocol::Channel;
use bytes::Bytes;
use offhook_proto::livekit as pb;
use pb::data_packet::Value;
use prost::Message;

/// Channels are identified by label. The server opens channels with the same labels for the data that it sends.
pub const CHANNELS: [Channel; 2] = [
    Channel { label: "_reliable", ordered: true, max_retransmits: None, delivery: Delivery::Reliable },
    Channel { label: "_lossy", ordered: false, max_retransmits: Some(0), delivery: Delivery::Lossy },
];

/// Most bytes of a text in one packet.
const PIECE: usize = 15_000;
const MAX_RPC_TEXT: usize = 1_024;

fn packet(message: &DataOut, value: Value) -> Bytes {
    let kind = match message.delivery {
        Delivery::Reliable => pb::data_packet::Kind::Reliable,
        Delivery::Lossy => pb::data_packet::Kind::Lossy,
    };
    pb::DataPacket {
        kind: kind as i32,
        destination_identities: message.to.clone(),
        value: Some(value),
        ..Default::default()
    }
    .encode_to_vec()
    .into()
}

/// Encodes a message into packets, in order. `now_ms`: milliseconds since 1970.
pub fn encode(message: &DataOut, now_ms: i64) -> Vec<Bytes> {
    let one = |value| vec![packet(message, value)];
    match &message.body {
        DataBody::Packet { topic, payload } => one(Value::User(pb::UserPacket {
            payload: payload.clone(),
            topic: Some(topic.clone()),
            destination_identities: message.to.clone(),
            ..Default::default()
        })),
        DataBody::Text { id, topic, text, attributes } => text_packets(message, id, topic, text, attributes, now_ms),
        // A text is sent whole; DTMF and encrypted messages are only received.
        DataBody::TextBegin { .. }
        | DataBody::TextPiece { .. }
        | DataBody::TextEnd { .. }
        | DataBody::TextPart { .. }
        | DataBody::Dtmf { .. }
        | DataBody::Encrypted => Vec::new(),
        DataBody::RpcRequest { id, method, payload, timeout_ms, version } => one(Value::RpcRequest(pb::RpcRequest {
            id: id.clone(),
            method: method.clone(),
            payload: payload.clone(),
            response_timeout_ms: *timeout_ms,
            version: *version,
        })),
        DataBody::RpcAck { id } => one(Value::RpcAck(pb::RpcAck { request_id: id.clone() })),
        DataBody::RpcAnswer { id, answer } => {
            use pb::rpc_response::Value as Answer;
            let value = match answer {
                Ok(payload) => Answer::Payload(payload.clone()),
                Err(RpcFailure { code, message, data }) => {
                    let (message, data) = (message.clone(), data.clone());
                    Answer::Error(pb::RpcError { code: *code, message, data })
                }
            };
            one(Value::RpcResponse(pb::RpcResponse { request_id: id.clone(), value: Some(value) }))
        }
    }
}

/// Numbers a reliable packet, so that the server can keep it for joining participants and detect a duplicate. The
/// number is appended, because protobuf fields may be in any order.
pub fn seal(packet: &Bytes, sequence: u32) -> Bytes {
    let mut sealed = Vec::with_capacity(packet.len() + 8);
    sealed.extend_from_slice(packet);
    sealed.extend(pb::DataPacket { sequence, ..Default::default() }.encode_to_vec());
    sealed.into()
}

fn text_packets(
    message: &DataOut,
    id: &str,
    topic: &str,
    text: &str,
    attributes: &Attributes,
    now_ms: i64,
) -> Vec<Bytes> {
    use pb::data_stream::{header::ContentHeader, Chunk, Header, TextHeader, Trailer};
    let header = Header {
        stream_id: id.to_owned(),
        timestamp: now_ms,
        topic: topic.to_owned(),
        mime_type: "text/plain".to_owned(),
        total_length: Some(text.len() as u64),
        attributes: attributes.clone().into_iter().collect(),
        content_header: Some(ContentHeader::TextHeader(TextHeader::default())),
        ..Default::default()
    };
    let mut packets = vec![packet(message, Value::StreamHeader(header))];
    let mut rest = text;
    let mut index = 0;
    while !rest.is_empty() {
        let mut cut = rest.len().min(PIECE);
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        let (piece, after) = rest.split_at(cut);
        rest = after;
        let content = Bytes::copy_from_slice(piece.as_bytes());
        let chunk = Chunk { stream_id: id.to_owned(), chunk_index: index, content, version: 0 };
        packets.push(packet(message, Value::StreamChunk(chunk)));
        index += 1;
    }
    let trailer = Trailer { stream_id: id.to_owned(), ..Trailer::default() };
    packets.push(packet(message, Value::StreamTrailer(trailer)));
    packets
}

/// Decodes a packet from the channel with that label; `None`: it is malformed, or not for this client.
pub fn decode(label: &str, wire: &Bytes) -> Option<DataIn> {
    let delivery = CHANNELS.iter().find(|c| c.label == label)?.delivery;
    let packet = pb::DataPacket::decode(wire.clone()).ok()?;
    let from = packet.participant_identity;
    if from.len() > MAX_ID || packet.participant_sid.len() > MAX_ID {
        return None;
    }
    let body = body(packet.value?)?;
    Some(DataIn { from, session_id: packet.participant_sid, delivery, body })
}

fn body(value: Value) -> Option<DataBody> {
    use pb::{data_stream::header::ContentHeader, rpc_response::Value as Answer};
    let id = |id: String| (!id.is_empty() && id.len() <= MAX_ID).then_some(id);
    let topic = |topic: String| (topic.len() <= MAX_ID).then_some(topic);
    Some(match value {
        Value::User(user) => DataBody::Packet { topic: topic(user.topic.unwrap_or_default())?, payload: user.payload },
        // The older form of a text; a deleted message is ignored.
        Value::ChatMessage(chat) if !chat.deleted => {
            let (topic, attributes) = (String::new(), Attributes::default());
            DataBody::Text { id: chat.id, topic, text: chat.message, attributes }
        }
        Value::ChatMessage(_) => return None,
        Value::EncryptedPacket(_) => DataBody::Encrypted,
        Value::SipDtmf(key) => dtmf(key)?,
        Value::StreamHeader(header) => match header.content_header? {
            ContentHeader::TextHeader(_) if header.encryption_type != 0 => DataBody::Encrypted,
            ContentHeader::TextHeader(_) => DataBody::TextBegin {
                id: id(header.stream_id)?,
                topic: topic(header.topic)?,
                length: header.total_length,
                attributes: header.attributes.into_iter().collect(),
            },
            ContentHeader::ByteHeader(_) => return None,
        },
        Value::StreamChunk(chunk) => {
            DataBody::TextPiece { id: id(chunk.stream_id)?, index: chunk.chunk_index, content: chunk.content }
        }
        Value::StreamTrailer(trailer) => {
            let attributes = trailer.attributes.into_iter().collect();
            DataBody::TextEnd { id: id(trailer.stream_id)?, complete: trailer.reason.is_empty(), attributes }
        }
        Value::RpcRequest(call) => DataBody::RpcRequest {
            id: id(call.id)?,
            method: topic(call.method)?,
            payload: call.payload,
            timeout_ms: call.response_timeout_ms,
            version: call.version,
        },
        Value::RpcAck(ack) => DataBody::RpcAck { id: id(ack.request_id)? },
        Value::RpcResponse(response) => DataBody::RpcAnswer {
            id: id(response.request_id)?,
            answer: match response.value? {
                Answer::Payload(payload) => Ok(payload),
                Answer::Error(error) => Err(RpcFailure {
                    code: error.code,
                    message: crate::signalling::text::bounded(error.message, MAX_RPC_TEXT),
                    data: error.data,
                }),
            },
        },
    })
}

/// Gateways send the key as text, as its number, or both.
fn dtmf(key: pb::SipDtmf) -> Option<DataBody> {
    const KEYS: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"];
    let code = match key.digit.as_str() {
        "" => key.code as usize,
        digit => KEYS.iter().position(|key| key.eq_ignore_ascii_case(digit))?,
    };
    Some(DataBody::Dtmf { code: code as u32, digit: (*KEYS.get(code)?).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(body: DataBody) -> DataOut {
        DataOut { to: vec!["bob".into()], delivery: Delivery::Reliable, body }
    }

    fn back(packet: &Bytes) -> DataBody {
        decode("_reliable", packet).expect("readable").body
    }

    #[test]
    fn everything_comes_back_as_it_was() {
        let bodies = [
            DataBody::Packet { topic: "t".into(), payload: Bytes::from_static(b"\x00\xffabc") },
            DataBody::RpcAck { id: "1".into() },
            DataBody::RpcAnswer { id: "1".into(), answer: Ok("fine".into()) },
            DataBody::RpcAnswer {
                id: "1".into(),
                answer: Err(RpcFailure { code: 1500, message: "no".into(), data: "{}".into() }),
            },
        ];
        for body in bodies {
            let packets = encode(&out(body.clone()), 1);
            assert_eq!((packets.len(), back(&packets[0])), (1, body));
        }
        let call = |timeout_ms| DataBody::RpcRequest {
            id: "1".into(),
            method: "m".into(),
            payload: "p".into(),
            timeout_ms,
            version: 1,
        };
        assert_eq!(back(&encode(&out(call(8_000)), 1)[0]), call(8_000));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(20_000);
        let (id, topic, attributes) = ("s".to_owned(), "t".to_owned(), Attributes::default());
        let packets = encode(&out(DataBody::Text { id, topic, text: text.clone(), attributes }), 1);
        assert_eq!(packets.len(), 2 + 3);
        let (id, topic, attributes) = ("s".to_owned(), "t".to_owned(), Attributes::default());
        assert_eq!(back(&packets[0]), DataBody::TextBegin { id, topic, length: Some(40_000), attributes });
        let mut whole = Vec::new();
        for (n, packet) in packets[1..4].iter().enumerate() {
            let DataBody::TextPiece { index, content, .. } = back(packet) else { panic!("no piece") };
            assert_eq!(index, n as u64);
            assert!(std::str::from_utf8(&content).is_ok());
            whole.extend_from_slice(&content);
        }
        assert_eq!(String::from_utf8(whole).as_deref(), Ok(text.as_str()));
        let attributes = Attributes::default();
        assert_eq!(back(&packets[4]), DataBody::TextEnd { id: "s".into(), complete: true, attributes });
    }

    #[test]
    fn text_attributes_are_in_header_and_trailer() {
        let attributes: Attributes = [("lk.segment_id".to_owned(), "s1".to_owned())].into();
        let text =
            DataBody::Text { id: "s".into(), topic: "t".into(), text: "x".into(), attributes: attributes.clone() };
        let packets = encode(&out(text), 1);
        let begin = DataBody::TextBegin { id: "s".into(), topic: "t".into(), length: Some(1), attributes };
        assert_eq!(back(&packets[0]), begin);
        let attributes = [("lk.transcription_final".to_owned(), "true".to_owned())].into();
        let end = pb::data_stream::Trailer { stream_id: "s".into(), attributes, ..Default::default() };
        let DataBody::TextEnd { complete, attributes, .. } = back(&wire(Value::StreamTrailer(end))) else { panic!() };
        assert!(complete && attributes["lk.transcription_final"] == "true");
    }

    fn wire(value: Value) -> Bytes {
        pb::DataPacket { value: Some(value), ..Default::default() }.encode_to_vec().into()
    }

    #[test]
    fn keys_have_a_number_and_a_name() {
        let key =
            |code, digit: &str| decode("_reliable", &wire(Value::SipDtmf(pb::SipDtmf { code, digit: digit.into() })));
        let decoded = |code, digit: &str| key(code, digit).map(|data| data.body);
        let is = |code, digit: &str| Some(DataBody::Dtmf { code, digit: digit.into() });
        assert_eq!(decoded(7, "7"), is(7, "7"));
        assert_eq!(decoded(11, ""), is(11, "#"));
        assert_eq!(decoded(0, "d"), is(15, "D"));
        assert_eq!((decoded(16, ""), decoded(1, "12"), decoded(1, "é")), (None, None, None));
        // As a gateway sends it: value 6, with the code in 3 and the digit in 4.
        let raw = [0x32, 5, 0x18, 10, 0x22, 1, b'*'];
        assert_eq!(back(&Bytes::copy_from_slice(&raw)), DataBody::Dtmf { code: 10, digit: "*".into() });
    }

    #[test]
    fn encrypted_packets_are_reported_as_encrypted() {
        let packet = wire(Value::EncryptedPacket(pb::EncryptedPacket { encryption_type: 1 }));
        assert_eq!(back(&packet), DataBody::Encrypted);
        // As a client sends it: value 18, with the type in 1, an iv in 2, a key's number in 3 and the contents in 4.
        let raw = [0x92, 1, 10, 0x08, 1, 0x12, 2, 9, 9, 0x22, 2, 8, 8];
        assert_eq!(back(&Bytes::copy_from_slice(&raw)), DataBody::Encrypted);
        let header = |encryption_type| pb::data_stream::Header {
            stream_id: "s".into(),
            encryption_type,
            content_header: Some(pb::data_stream::header::ContentHeader::TextHeader(Default::default())),
            ..Default::default()
        };
        assert_eq!(back(&wire(Value::StreamHeader(header(1)))), DataBody::Encrypted);
        assert!(matches!(back(&wire(Value::StreamHeader(header(0)))), DataBody::TextBegin { .. }));
    }

    #[test]
    fn a_seal_changes_nothing_but_the_number() {
        let packet = encode(&out(DataBody::RpcAck { id: "1".into() }), 1).remove(0);
        let sealed = seal(&packet, 70_000);
        assert_eq!(back(&sealed), back(&packet));
        assert_eq!(pb::DataPacket::decode(sealed).map(|p| p.sequence), Ok(70_000));
    }

    #[test]
    fn strange_packets_are_none() {
        for wire in [&b""[..], b"\x12", b"\xff\xff\xff", b"\x08\x01"] {
            assert!(decode("_reliable", &Bytes::copy_from_slice(wire)).is_none(), "{wire:x?}");
        }
        let fine = encode(&out(DataBody::RpcAck { id: "1".into() }), 1).remove(0);
        assert!(decode("_data_track", &fine).is_none() && decode("_lossy", &fine).is_some());
        let long = encode(&out(DataBody::RpcAck { id: "x".repeat(2_000) }), 1).remove(0);
        assert!(decode("_reliable", &long).is_none());
        let bytes = pb::data_stream::Header {
            stream_id: "b".into(),
            content_header: Some(pb::data_stream::header::ContentHeader::ByteHeader(Default::default())),
            ..Default::default()
        };
        let bytes = pb::DataPacket { value: Some(Value::StreamHeader(bytes)), ..Default::default() };
        assert!(decode("_reliable", &bytes.encode_to_vec().into()).is_none());
    }
}
