//! Tests of the placeholders for hidden data.

use super::*;

#[test]
fn shown_placeholders_hide_again_unchanged() {
    let mut hider = Hider::new(7);
    for text in ["", "a", "exactly13byte", "{\"a\": \"something longer than that\"}"] {
        let mut known = text.to_owned();
        hider.hide(Place::KnownText(&mut known));
        let hidden = known.clone();
        show(Place::KnownText(&mut known)).unwrap();
        assert!(known.len() == text.len() || text.len() < DIGITS + 1, "{known}");
        hider.hide(Place::KnownText(&mut known));
        assert_eq!(known, hidden);
        let mut content = text.to_owned();
        hider.hide(Place::Content(&mut content));
        show(Place::Content(&mut content)).unwrap();
        assert_eq!(content.len(), text.len());
    }
    let mut other = "b".to_owned();
    hider.hide(Place::KnownText(&mut other));
    let mut one = "a".to_owned();
    hider.hide(Place::KnownText(&mut one));
    assert_ne!(one, other, "what is different stays so");
    for strange in ["x", "<:>", "<:-1>", "<:99999999999>", "<#0123456789ab:99999999999>", "<#xyz:13>"] {
        assert!(show(Place::Content(&mut strange.to_owned())).is_err(), "{strange}");
        assert!(show(Place::KnownText(&mut strange.to_owned())).is_err(), "{strange}");
        assert!(show(Place::Piece(&mut Bytes::copy_from_slice(strange.as_bytes()))).is_err(), "{strange}");
    }
}

#[test]
fn a_text_is_whole_or_broken_as_its_pieces_say() {
    let texts: [&[u8]; 9] = [
        "plain".as_bytes(),
        "über — 音声 🎤 ende".as_bytes(),
        b"\xff",
        b"a\xc0\x80b",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe0\x9f\xbf",
        b"\x80\x80\x80\x80",
        b"half \xf0\x9f\x8e",
    ];
    for text in texts {
        for cut in 0..=text.len() {
            for second in cut..=text.len() {
                let parts = [&text[..cut], &text[cut..second], &text[second..]];
                let mut shown = Vec::new();
                for part in parts {
                    let piece = Piece::of(part);
                    let read = Piece::parse(&piece.to_string()).unwrap();
                    assert_eq!(read, piece);
                    assert_eq!(Piece::of(&read.show()), piece, "{part:?}");
                    shown.extend(read.show());
                    // After each piece the same bytes are complete characters.
                    let so_far = &text[..shown.len()];
                    let whole = |bytes: &[u8]| match std::str::from_utf8(bytes) {
                        Ok(_) => Some(bytes.len()),
                        Err(e) if e.error_len().is_none() => Some(e.valid_up_to()),
                        Err(_) => None,
                    };
                    assert_eq!(whole(&shown), whole(so_far), "{so_far:?}");
                }
            }
        }
    }
}

#[test]
fn secrets_are_gone_and_stay_apart() {
    let mut hider = Hider::new(1);
    let (mut one, mut two, mut again) = (Secret::new("one-token"), Secret::new("two-token"), Secret::new("one-token"));
    for secret in [&mut one, &mut two, &mut again] {
        hider.hide(Place::Secret(secret));
    }
    assert!(one == again && one != two && one.reveal().starts_with(STANDS_FOR));
    let mut text = "no one-token here".to_owned();
    hider.hide(Place::ServerText(&mut text));
    assert_eq!(text, format!("no {} here", one.reveal()));
    hider.hide(Place::Secret(&mut Secret::new("a \"long\" token of a service")));
    let mut line = r#"{"a":"a \"long\" token of a service","b":"one-token"}"#.to_owned();
    hider.line(&mut line);
    assert!(!line.contains("long") && line.contains("one-token"), "{line}");
    hider.hide(Place::Secret(&mut Secret::new("\"quoted-password\"")));
    let mut line = r#"{"a":"\"quoted-password\"","b":1}"#.to_owned();
    hider.line(&mut line);
    assert!(!line.contains("quoted"), "{line}");
    assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    let mut sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:0123456789012345678901\r\nm=audio\r\na=ice-pwd:short\n".to_owned();
    let before = sdp.clone();
    hider.hide(Place::Description(&mut sdp));
    assert!(!sdp.contains("01234567890123") && !sdp.contains("short") && sdp.contains("a=ice-ufrag:u\r\n"), "{sdp}");
    assert_eq!(sdp.lines().nth(2).map(str::len), before.lines().nth(2).map(str::len));
    let once = sdp.clone();
    hider.hide(Place::Description(&mut sdp));
    assert_eq!(sdp, once);
    // In an output it is one short text, the same from the description and from its hidden form.
    let (mut repeated, mut of_hidden) = (before, once);
    hider.hide(Place::Repeated(&mut repeated));
    Hider::default().hide(Place::Repeated(&mut of_hidden));
    assert_eq!(repeated, of_hidden);
    assert!(repeated.starts_with("<sdp:") && repeated.len() < 32, "{repeated}");
    for (url, hidden) in [
        ("wss://user:pw@sfu.example:1/hook-5ecret/rtc?access_token=abc#x", "wss://sfu.example:1/<:35>"),
        ("wss://sfu.example?access_token=abc@d", "wss://sfu.example/<:19>"),
        ("ws://[::1]:7880/", "ws://[::1]:7880/"),
        ("sfu.example/a@b", "sfu.example/<:4>"),
        ("", ""),
    ] {
        let mut url = url.to_owned();
        // Hiding twice gives the same result as hiding once.
        for _ in 0..2 {
            hider.hide(Place::Url(&mut url));
            assert_eq!(url, hidden);
        }
    }
}
