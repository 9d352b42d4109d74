//! Signalling messages as bytes: their kind, and the replacement of a string within one.
//!
//! Pure. Works on the wire format, because the types of `offhook-proto` contain only the fields used there and would
//! drop the rest. Except for the intended changes, the server's messages must arrive unchanged.

/// Direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    Client,
    Server,
}

const REQUESTS: [(u64, &str); 19] = [
    (1, "offer"),
    (2, "answer"),
    (3, "trickle"),
    (4, "add_track"),
    (5, "mute"),
    (6, "subscription"),
    (7, "track_setting"),
    (8, "leave"),
    (10, "update_layers"),
    (11, "subscription_permission"),
    (12, "sync_state"),
    (13, "simulate"),
    (14, "ping"),
    (15, "update_metadata"),
    (16, "ping_req"),
    (17, "update_audio_track"),
    (18, "update_video_track"),
    (19, "publish_data_track_request"),
    (20, "unpublish_data_track_request"),
];

const RESPONSES: [(u64, &str); 25] = [
    (1, "join"),
    (2, "answer"),
    (3, "offer"),
    (4, "trickle"),
    (5, "update"),
    (6, "track_published"),
    (8, "leave"),
    (9, "mute"),
    (10, "speakers_changed"),
    (11, "room_update"),
    (12, "connection_quality"),
    (13, "stream_state_update"),
    (14, "subscribed_quality_update"),
    (15, "subscription_permission_update"),
    (16, "refresh_token"),
    (17, "track_unpublished"),
    (18, "pong"),
    (19, "reconnect"),
    (20, "pong_resp"),
    (21, "subscription_response"),
    (22, "request_response"),
    (23, "track_subscribed"),
    (24, "room_moved"),
    (25, "media_sections_requirement"),
    (26, "subscribed_audio_codec_update"),
];

/// The name of the message's first field; `other` if it is unknown, `broken` if the message cannot be parsed.
pub fn kind(to: To, bytes: &[u8]) -> &'static str {
    let Some((number, _)) = fields(bytes).and_then(|f| f.into_iter().next().map(|f| (f.number, ()))) else {
        return "broken";
    };
    let names: &[(u64, &str)] = if to == To::Client { &RESPONSES } else { &REQUESTS };
    names.iter().find(|(n, _)| *n == number).map_or("other", |(_, name)| *name)
}

struct Field<'a> {
    number: u64,
    /// Key and value as encoded.
    whole: &'a [u8],
    /// The content, if it is length-delimited.
    inside: Option<&'a [u8]>,
}

/// The fields of a message; None if it cannot be parsed to its end.
fn fields(bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest)?;
        let mut inside = None;
        let size = match key & 7 {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => {
                let size = usize::try_from(varint(&mut rest)?).ok()?;
                inside = Some(rest.get(..size)?);
                size
            }
            5 => 4,
            _ => return None,
        };
        rest = rest.get(size..)?;
        out.push(Field { number: key >> 3, whole: &start[..start.len() - rest.len()], inside });
    }
    Some(out)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, more) = rest.split_first()?;
        *rest = more;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Replaces each string at `path` (field numbers from outside to inside). Everything else, including what cannot be
/// parsed, stays unchanged byte by byte.
pub fn replace(bytes: &[u8], path: &[u64], change: &mut dyn FnMut(&str) -> String) -> Vec<u8> {
    let (Some(fields), [number, deeper @ ..]) = (fields(bytes), path) else { return bytes.to_vec() };
    let mut out = Vec::with_capacity(bytes.len());
    for field in fields {
        let inside = field.inside.filter(|_| field.number == *number);
        let changed = match inside {
            None => None,
            Some(inside) if deeper.is_empty() => std::str::from_utf8(inside).ok().map(|t| change(t).into_bytes()),
            Some(inside) => Some(replace(inside, deeper, change)),
        };
        match changed {
            None => out.extend_from_slice(field.whole),
            Some(changed) => {
                put_varint(&mut out, (field.number << 3) | 2);
                put_varint(&mut out, changed.len() as u64);
                out.extend_from_slice(&changed);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_proto::livekit::{
        signal_request, signal_response, JoinResponse, Room, SessionDescription, SignalRequest, SignalResponse,
    };
    use prost::Message;

    fn offer(sdp: &str) -> SignalResponse {
        let description = SessionDescription { r#type: "offer".into(), sdp: sdp.into(), id: 300 };
        SignalResponse { message: Some(signal_response::Message::Offer(description)) }
    }

    #[test]
    fn kinds_have_names() {
        assert_eq!(kind(To::Client, &offer("x").encode_to_vec()), "offer");
        let ping = SignalRequest { message: Some(signal_request::Message::Ping(5)) };
        assert_eq!(kind(To::Server, &ping.encode_to_vec()), "ping");
        let join = SignalResponse { message: Some(signal_response::Message::Join(JoinResponse::default())) };
        assert_eq!(kind(To::Client, &join.encode_to_vec()), "join");
        assert_eq!(kind(To::Client, &[0xfa, 0x7f, 0]), "other");
        for broken in [&b""[..], b"\x0a\xff", b"\x0b", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(kind(To::Client, broken), "broken");
        }
    }

    #[test]
    fn a_text_is_replaced_and_the_rest_stays() {
        // A field unknown to the types of `offhook-proto`.
        let mut bytes = offer("short").encode_to_vec();
        bytes.extend_from_slice(&[0xfa, 0x7f, 2, 9, 9]);
        let changed = replace(&bytes, &[3, 2], &mut |t| t.repeat(100));
        assert!(changed.ends_with(&[0xfa, 0x7f, 2, 9, 9]));
        let back = SignalResponse::decode(&changed[..]).unwrap();
        assert_eq!(back, offer(&"short".repeat(100)));
        assert_eq!(replace(&bytes, &[3, 2], &mut str::to_owned), bytes);
        assert_eq!(replace(&bytes, &[4, 2], &mut |_| panic!("not there")), bytes);
        let room = SignalResponse {
            message: Some(signal_response::Message::Join(JoinResponse {
                room: Some(Room { name: "r".into(), ..Room::default() }),
                ..JoinResponse::default()
            })),
        };
        let bytes = room.encode_to_vec();
        assert_eq!(replace(&bytes, &[3, 2], &mut |_| String::new()), bytes);
        assert_eq!(replace(b"\x0b", &[3, 2], &mut |_| String::new()), b"\x0b");
    }
}
