//! Hides secrets and private data in a trace, with placeholders.
//!
//! The core must decide the same with the placeholders: values that it compares stay equal or different, values that it
//! measures keep their size, values that it searches keep their form. So a placeholder can be replaced by a value of
//! the same kind ([`show`]), which is hidden again as the same placeholder.
//!
//! | data | placeholder | use in the core |
//! |---|---|---|
//! | tokens, TURN names and passwords | `<secret:HASH>` | compared, searched in server texts |
//! | passwords in descriptions | same length, `~HASH...` | compared, measured |
//! | metadata, attributes | `<#HASH:BYTES>` | compared, measured |
//! | packets, texts, procedure calls, reports | `<:BYTES>` | measured; texts also checked for UTF-8 |
//! | descriptions in outputs, which repeat an input | `<sdp:HASH:BYTES>` | none |
//! | the part of a URL after the host | `/<:BYTES>` | none |
//!
//! Must not know: where a trace is kept, who reads it.

use crate::core::{model::*, Action, Config, Event, Input, OpDone, Output};
use crate::error::{Secret, STANDS_FOR};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// Maximum number of secrets remembered, to be found in server texts; the oldest is dropped first.
const MOST: usize = 64;
/// Shorter secrets may be ordinary words, and are searched only in server texts about a failure.
const LEAST: usize = 16;
const LEAST_IN_FAILURES: usize = 8;
/// Maximum size of a value that replaces a placeholder.
const LARGEST: usize = 16 << 20;
/// Hexadecimal digits of a hash.
const DIGITS: usize = 12;

/// A field of an input, an output or the call's settings that may hold private data.
pub(super) enum Place<'a> {
    Secret(&'a mut Secret),
    /// A name that belongs to a secret.
    Named(&'a mut String),
    /// Compared and measured by the core.
    Known(&'a mut Arc<str>),
    KnownText(&'a mut String),
    /// Only measured.
    Content(&'a mut String),
    Payload(&'a mut Bytes),
    /// A part of a text, which may start or end within a character.
    Piece(&'a mut Bytes),
    Description(&'a mut String),
    /// A description in an output: the input that it is from has its text.
    Repeated(&'a mut String),
    Url(&'a mut String),
    /// Text from a server, which may quote a secret.
    ServerText(&'a mut String),
    /// A DTMF event code.
    Key(&'a mut u32),
}

type See<'a> = &'a mut dyn FnMut(Place<'_>);

// The fields with private data.

pub(super) fn of_config(config: &mut Config, see: See<'_>) {
    see(Place::Secret(&mut config.token));
    see(Place::Content(&mut config.data_json));
    see(Place::Description(&mut config.subscriber_sdp));
    see(Place::Description(&mut config.publisher_sdp));
}

pub(super) fn of_input(input: &mut Input, see: See<'_>) {
    match input {
        Input::Token(Some(token)) => see(Place::Secret(token)),
        Input::Admitted { result: Ok(admission), .. } => of_admission(admission, see),
        Input::Admitted { result: Err(failure), .. }
        | Input::SocketOpened { result: Err(failure), .. }
        | Input::SocketClosed { failure: Some(failure), .. }
        | Input::Rpc { result: Err(failure), .. } => see(Place::ServerText(&mut failure.message)),
        Input::Rpc { result: Ok(RpcReply::Publisher { sdp, .. }), .. } => see(Place::Description(sdp)),
        Input::Message { message, .. } => of_message(message, see),
        Input::Op { result: Ok(OpDone::Offer { sdp, .. } | OpDone::Answer { sdp, .. }), .. } => {
            see(Place::Description(sdp))
        }
        Input::IceServer { failure, .. } => of_ice_server(failure, see),
        Input::Data { data, .. } => of_body(&mut data.body, see),
        Input::CallRpc { payload, .. } => see(Place::Content(payload)),
        Input::AnswerRpc { answer, .. } => of_answer(answer, see),
        Input::UpdateSelf(update) => of_update(update, see),
        Input::Stats { publisher, subscriber, .. } => {
            see(Place::Content(publisher));
            see(Place::Content(subscriber));
        }
        _ => {}
    }
}

pub(super) fn of_output(output: &mut Output, see: See<'_>) {
    match output {
        Output::Admit { token, request, .. } => {
            see(Place::Secret(token));
            see(Place::Content(&mut request.data_json));
        }
        Output::OpenSocket { admission, .. } => of_admission(admission, see),
        Output::Send { request: SfuRequest::Join(join), .. } => {
            see(Place::Repeated(&mut join.subscriber_sdp));
            see(Place::Repeated(&mut join.publisher_sdp));
        }
        Output::Rpc { call, .. } => match call {
            RpcCall::SetPublisher { sdp, .. } | RpcCall::SendAnswer { sdp, .. } => see(Place::Repeated(sdp)),
            RpcCall::SendStats { subscriber_stats, publisher_stats, .. } => {
                see(Place::Content(subscriber_stats));
                see(Place::Content(publisher_stats));
            }
            RpcCall::UpdateSelf { update, .. } => of_update(update, see),
            _ => {}
        },
        Output::Engine { action, .. } => match action {
            Action::Create { ice_servers } => of_servers(ice_servers, see),
            Action::SetAnswer(sdp) | Action::Answer { offer: sdp, .. } => see(Place::Repeated(sdp)),
            _ => {}
        },
        Output::SendData(message) => of_body(&mut message.body, see),
        Output::Event(event) => of_event(event, see),
        _ => {}
    }
}

fn of_event(event: &mut Event, see: See<'_>) {
    match event {
        // Shared with the call; copied only if there is something to hide.
        Event::ParticipantJoined(p) | Event::ParticipantUpdated(p) | Event::ParticipantLeft(p)
            if [&p.custom_json, &p.metadata, &p.attributes_json].iter().any(|text| !text.is_empty()) =>
        {
            of_participant(Arc::make_mut(p), see)
        }
        Event::Room(room) => see(Place::KnownText(&mut room.metadata)),
        Event::Data(data) => of_body(&mut data.body, see),
        Event::RpcRequest { payload, .. } => see(Place::Content(payload)),
        Event::RpcResponse { answer, .. } => of_answer(answer, see),
        Event::Custom { json, .. } => see(Place::Content(json)),
        Event::IceServer(failure) => of_ice_server(failure, see),
        Event::Error(error) | Event::LocalFailed { error, .. } => see(Place::ServerText(error.message.to_mut())),
        Event::Ended(end) => {
            see(Place::ServerText(&mut end.text));
            if let Some(error) = &mut end.error {
                see(Place::ServerText(error.message.to_mut()));
            }
        }
        _ => {}
    }
}

fn of_message(message: &mut SfuMessage, see: See<'_>) {
    match message {
        SfuMessage::Joined(joined) => {
            joined.participants.iter_mut().for_each(|p| of_participant(p, see));
            joined.ice_servers.iter_mut().for_each(|servers| of_servers(servers, see));
            joined.room.iter_mut().for_each(|room| see(Place::KnownText(&mut room.metadata)));
        }
        SfuMessage::SubscriberOffer { sdp, .. } => see(Place::Description(sdp)),
        SfuMessage::ParticipantJoined(p) | SfuMessage::ParticipantUpdated(p) | SfuMessage::ParticipantState(p) => {
            of_participant(p, see)
        }
        SfuMessage::TrackPublished { participant: Some(p), .. }
        | SfuMessage::TrackUnpublished { participant: Some(p), .. } => of_participant(p, see),
        SfuMessage::Token(token) => see(Place::Secret(token)),
        SfuMessage::Room(room) => see(Place::KnownText(&mut room.metadata)),
        SfuMessage::Error { error, .. } => see(Place::ServerText(&mut error.message)),
        _ => {}
    }
}

fn of_participant(p: &mut Participant, see: See<'_>) {
    see(Place::Known(&mut p.custom_json));
    see(Place::Known(&mut p.metadata));
    see(Place::Known(&mut p.attributes_json));
}

fn of_admission(admission: &mut Admission, see: See<'_>) {
    see(Place::Url(&mut admission.url));
    see(Place::Url(&mut admission.ws_endpoint));
    see(Place::Secret(&mut admission.token));
    of_servers(&mut admission.ice_servers, see);
}

fn of_servers(servers: &mut [IceServer], see: See<'_>) {
    for server in servers {
        see(Place::Named(&mut server.username));
        see(Place::Secret(&mut server.password));
    }
}

/// The URL is compared by the core: two of one host stay different.
fn of_ice_server(failure: &mut IceServerFailure, see: See<'_>) {
    see(Place::ServerText(&mut failure.url));
    see(Place::ServerText(&mut failure.text));
}

fn of_update(update: &mut SelfUpdate, see: See<'_>) {
    update.metadata.iter_mut().for_each(|text| see(Place::Content(text)));
    update.attributes.iter_mut().for_each(|(_, value)| see(Place::Content(value)));
}

fn of_answer(answer: &mut Result<String, RpcFailure>, see: See<'_>) {
    match answer {
        Ok(payload) => see(Place::Content(payload)),
        Err(failure) => {
            see(Place::Content(&mut failure.message));
            see(Place::Content(&mut failure.data));
        }
    }
}

fn of_body(body: &mut DataBody, see: See<'_>) {
    match body {
        DataBody::Packet { payload, .. } => see(Place::Payload(payload)),
        DataBody::Text { text, attributes, .. } | DataBody::TextPart { text, attributes, .. } => {
            see(Place::Content(text));
            attributes.values_mut().for_each(|value| see(Place::Content(value)));
        }
        DataBody::TextBegin { attributes, .. } | DataBody::TextEnd { attributes, .. } => {
            attributes.values_mut().for_each(|value| see(Place::Content(value)));
        }
        DataBody::TextPiece { content, .. } => see(Place::Piece(content)),
        DataBody::Dtmf { code, digit } => {
            see(Place::Key(code));
            see(Place::Content(digit));
        }
        DataBody::RpcRequest { payload, .. } => see(Place::Content(payload)),
        DataBody::RpcAnswer { answer, .. } => of_answer(answer, see),
        DataBody::Encrypted | DataBody::RpcAck { .. } => {}
    }
}

// The placeholders.

/// Hides data; equal data in the same way.
#[derive(Clone, Default)]
pub(super) struct Hider {
    /// Random key: prevents finding the data of a hash by trial.
    key: u64,
    /// Known secrets, each with its placeholder.
    known: Vec<(Secret, String)>,
}

impl Hider {
    pub fn new(key: u64) -> Self {
        Self { key, known: Vec::new() }
    }

    fn hash(&self, text: &str) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write(text.as_bytes());
        format!("{:0DIGITS$x}", hasher.finish() >> (64 - 4 * DIGITS))
    }

    fn stands_for(&self, text: &str) -> String {
        format!("{STANDS_FOR}{}>", self.hash(text))
    }

    fn learn(&mut self, text: &str) {
        let signature = text.rsplit_once('.').map_or("", |(_, signature)| signature);
        for text in [text, signature] {
            if text.len() < LEAST_IN_FAILURES || self.known.iter().any(|(known, _)| known.reveal() == text) {
                continue;
            }
            if self.known.len() >= MOST {
                self.known.remove(0);
            }
            self.known.push((Secret::new(text), self.stands_for(text)));
        }
    }

    pub fn hide(&mut self, place: Place<'_>) {
        match place {
            Place::Secret(secret) if secret.is_empty() || secret.reveal().starts_with(STANDS_FOR) => {}
            Place::Secret(secret) => {
                self.learn(secret.reveal());
                *secret = Secret::new(self.stands_for(secret.reveal()));
            }
            Place::Named(name) if name.is_empty() || name.starts_with(STANDS_FOR) => {}
            Place::Named(name) => *name = self.stands_for(name),
            Place::Known(text) if text.is_empty() => {}
            Place::Known(text) => *text = self.known(text).into(),
            Place::KnownText(text) if text.is_empty() => {}
            Place::KnownText(text) => *text = self.known(text),
            Place::Content(text) if text.is_empty() => {}
            Place::Content(text) => *text = format!("<:{}>", text.len()),
            Place::Payload(bytes) if bytes.is_empty() => {}
            Place::Payload(bytes) => *bytes = format!("<:{}>", bytes.len()).into(),
            Place::Piece(bytes) => *bytes = Piece::of(bytes).to_string().into(),
            Place::Description(sdp) => self.description(sdp),
            Place::Repeated(sdp) if sdp.is_empty() => {}
            Place::Repeated(sdp) => {
                // Without the key: a replay has the hidden form only, and gets the same.
                self.description(sdp);
                *sdp = format!("<sdp:{}:{}>", Self::default().hash(sdp), sdp.len());
            }
            Place::Url(url) => hide_url(url),
            Place::ServerText(text) => self.server_text(text),
            Place::Key(code) => *code = 0,
        }
    }

    fn known(&self, text: &str) -> String {
        let hash = filler_of(text).map_or_else(|| self.hash(text), str::to_owned);
        // Large enough for [`show`].
        format!("<#{hash}:{}>", text.len().max(DIGITS + 1))
    }

    fn server_text(&self, text: &mut String) {
        for (secret, stands_for) in self.known.iter().rev() {
            if text.contains(secret.reveal()) {
                *text = text.replace(secret.reveal(), stands_for);
            }
        }
    }

    /// ICE passwords, and media keys in a description (RFC 4568).
    fn description(&self, sdp: &mut String) {
        const SECRET: [&str; 2] = ["ice-pwd:", "crypto:"];
        if !SECRET.iter().any(|name| sdp.contains(name)) {
            return;
        }
        let mut hidden = String::with_capacity(sdp.len());
        for line in sdp.split_inclusive('\n') {
            let Some(at) = SECRET.iter().find_map(|name| line.find(name).map(|at| at + name.len())) else {
                hidden += line;
                continue;
            };
            let value = line[at..].trim_end();
            hidden += &line[..at];
            match filler_of(value) {
                Some(_) => hidden += value,
                None => hidden += &filler(&self.hash(value), value.len()),
            }
            hidden += &line[at + value.len()..];
        }
        *sdp = hidden;
    }

    /// Replaces the secrets known so far in a finished line.
    pub fn line(&self, line: &mut String) {
        for (secret, stands_for) in self.known.iter().rev().filter(|(secret, _)| secret.reveal().len() >= LEAST) {
            let text = serde_json::to_string(secret.reveal()).unwrap_or_default();
            // Without its quotes; those of the secret stay.
            let text = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
            if !text.is_empty() && line.contains(text) {
                *line = line.replace(text, stands_for);
            }
        }
    }
}

/// A placeholder of the given length. It cannot be a real password: `~` is not allowed in one (RFC 8839).
fn filler(hash: &str, length: usize) -> String {
    let mut filler = format!("~{hash}");
    filler.extend(std::iter::repeat_n('.', length.saturating_sub(filler.len())));
    filler
}

/// The hash in a filler.
fn filler_of(text: &str) -> Option<&str> {
    let hash = text.strip_prefix('~')?.get(..DIGITS)?;
    let is_hash = hash.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hash && text[DIGITS + 1..].bytes().all(|b| b == b'.')).then_some(hash)
}

/// Hides the user info and everything after the port. The scheme, the host and the port stay. A path may be as secret
/// as a query.
fn hide_url(url: &mut String) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    let rest = url.split_off(end);
    match rest.as_str() {
        "" | "/" => *url += &rest,
        _ if rest.strip_prefix('/').and_then(length_of).is_some() => *url += &rest,
        _ => *url += &format!("/<:{}>", rest.len()),
    }
    if let Some(at) = url[host..end].rfind('@') {
        url.replace_range(host..host + at + 1, "");
    }
}

// Replacing placeholders.

/// Replaces a placeholder by a value of the same kind.
///
/// # Errors
/// The text is not a placeholder of this kind; returns a message.
pub(super) fn show(place: Place<'_>) -> Result<(), String> {
    let strange = |text: &str| Err(format!("'{}' is not a placeholder", text.chars().take(40).collect::<String>()));
    match place {
        Place::Content(text) if text.is_empty() => {}
        Place::Content(text) => match length_of(text) {
            Some(length) => *text = "x".repeat(length),
            None => return strange(text),
        },
        Place::Payload(bytes) if bytes.is_empty() => {}
        Place::Payload(bytes) => match std::str::from_utf8(bytes).ok().and_then(length_of) {
            Some(length) => *bytes = vec![b'x'; length].into(),
            None => return strange(&String::from_utf8_lossy(bytes)),
        },
        Place::Piece(bytes) => match std::str::from_utf8(bytes).ok().and_then(Piece::parse) {
            Some(piece) => *bytes = piece.show().into(),
            None => return strange(&String::from_utf8_lossy(bytes)),
        },
        Place::Known(text) if text.is_empty() => {}
        Place::Known(text) => match known_of(text) {
            Some(shown) => *text = shown.into(),
            None => return strange(text),
        },
        Place::KnownText(text) if text.is_empty() => {}
        Place::KnownText(text) => match known_of(text) {
            Some(shown) => *text = shown,
            None => return strange(text),
        },
        // These placeholders are valid values themselves.
        Place::Secret(_)
        | Place::Named(_)
        | Place::Description(_)
        | Place::Repeated(_)
        | Place::Url(_)
        | Place::ServerText(_)
        | Place::Key(_) => {}
    }
    Ok(())
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|length| *length <= LARGEST)
}

fn length_of(text: &str) -> Option<usize> {
    number(text.strip_prefix("<:")?.strip_suffix('>')?)
}

fn known_of(text: &str) -> Option<String> {
    let (hash, length) = text.strip_prefix("<#")?.strip_suffix('>')?.split_once(':')?;
    let is_hash = hash.len() == DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(filler(hash, number(length)?))
}

/// The parts of a text piece that decide whether the whole text is UTF-8, and where its characters start.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    length: usize,
    /// The end of a character at the start, and the beginning of one at the end; replaced by any bytes valid there.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Invalid UTF-8, whatever precedes and follows it.
    broken: bool,
}

impl Piece {
    fn of(bytes: &[u8]) -> Self {
        let head = bytes.iter().take(3).take_while(|b| is_continuation(**b)).count();
        let (head, rest) = bytes.split_at(head);
        let (tail, broken) = match std::str::from_utf8(rest) {
            Ok(_) => (&[][..], false),
            Err(error) if error.error_len().is_none() => (&rest[error.valid_up_to()..], false),
            Err(_) => (&[][..], true),
        };
        let alike = |bytes: &[u8]| bytes.iter().copied().map(alike).collect();
        Self { length: bytes.len(), head: alike(head), tail: alike(tail), broken }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("<:")?.strip_suffix('>')?.split(':');
        let length = number(parts.next()?)?;
        let mut bytes = || -> Option<Vec<u8>> {
            let hex = parts.next().unwrap_or_default();
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
        };
        let (head, tail) = (bytes()?, bytes()?);
        let broken = parts.next().is_some();
        let edges = head.len() + tail.len() + usize::from(broken);
        (head.len() <= 3 && tail.len() <= 3 && edges <= length).then_some(Self { length, head, tail, broken })
    }

    fn show(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.resize(self.length - self.tail.len(), b'x');
        if self.broken {
            bytes[self.head.len()] = 0xff;
        }
        bytes.extend(&self.tail);
        bytes
    }
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let Self { length, head, tail, broken } = self;
        match head.is_empty() && tail.is_empty() && !broken {
            true => write!(f, "<:{length}>"),
            false => write!(f, "<:{length}:{}:{}{}>", hex(head), hex(tail), if *broken { ":broken" } else { "" }),
        }
    }
}

fn is_continuation(byte: u8) -> bool {
    (0x80..=0xbf).contains(&byte)
}

/// A byte that is valid in UTF-8 wherever this one is (Unicode, table 3-7).
fn alike(byte: u8) -> u8 {
    match byte {
        0x00..=0x7f => b'x',
        0x80..=0x8f => 0x80,
        0x90..=0x9f => 0x90,
        0xa0..=0xbf => 0xa0,
        0xc2..=0xdf => 0xc2,
        0xe1..=0xec | 0xee..=0xef => 0xe1,
        0xf1..=0xf3 => 0xf1,
        0xe0 | 0xed | 0xf0 | 0xf4 => byte,
        0xc0..=0xc1 | 0xf5..=0xff => 0xff,
    }
}

#[cfg(test)]
#[path = "hide_tests.rs"]
mod tests;
