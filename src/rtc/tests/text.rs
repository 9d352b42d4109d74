//! Description and candidate texts, without the engine.

use crate::core::model::PeerKind;
use crate::rtc::candidate::{self, Remote};
use crate::rtc::sdp;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=msid-semantic: WMS *\r\n\
a=msid-semantic\r\na=fingerprint:sha-256 AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef01234567\r\n\
a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;stereo=1\r\na=rtcp-fb:111 transport-cc\r\na=rtcp-fb:\r\na=rtcp-fb:999 nack\r\na=rtcp-fb:111\r\n\
a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n\
a=candidate:1 1 udp 1 x.local 9 typ host\r\na=candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype passive\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";

#[test]
fn remote_descriptions_are_cleaned() {
    let clean = sdp::prepare_remote(OFFER).expect("tolerated");
    assert_eq!(clean.matches("msid-semantic").count(), 1);
    assert_eq!(clean.matches("rtcp-fb").count(), 1);
    assert_eq!(clean.matches("a=candidate").count(), 1);
    assert_eq!(sdp::mids(&clean), ["0", "1"]);
    assert_eq!(sdp::ice_ufrag(&clean), "abcd");
    assert_eq!(sdp::prepare_remote(&clean).as_deref(), Ok(clean.as_str()), "cleaning twice changes nothing");
    let many: String = (0..500).map(|i| format!("a=candidate:1 1 udp 1 127.0.0.1 {} typ host\r\n", i + 1)).collect();
    let clean = sdp::prepare_remote(&format!("{OFFER}{many}")).expect("tolerated");
    assert_eq!(clean.matches("a=candidate").count(), sdp::MAX_CANDIDATES);
}

#[test]
fn m_lines_on_which_nothing_comes_are_made_inactive() {
    let offer = OFFER.replace("a=mid:1", "a=mid:1\r\na=recvonly").replace("a=mid:0", "a=mid:0\r\na=sendrecv");
    assert_eq!(sdp::recvonly_mids(&offer), ["1"]);
    assert_eq!(sdp::inactive(&offer, &[]), offer);
    assert_eq!(sdp::inactive(&offer, &["1", "7"]), offer.replace("a=recvonly", "a=inactive"));
    assert_eq!(sdp::inactive(&offer, &["0"]), offer.replace("a=sendrecv", "a=inactive"));
    assert!(sdp::recvonly_mids("a=recvonly").is_empty() && sdp::inactive("", &["0"]).is_empty());
}

#[test]
fn unusable_descriptions_are_refused() {
    for (from, to) in [
        ("v=0", "v=1"),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1", "a=middle:1"),
        ("ice-ufrag", "ice-u"),
        ("ice-pwd:0123456789abcdef01234567", "ice-pwd:"),
        ("sha-256 AA", "sha-256 AG"),
        ("sha-256 AA", "md5 AA"),
        ("m=", "n="),
    ] {
        let bad = OFFER.replace(from, to);
        assert!(sdp::prepare_remote(&bad).is_err(), "{from} -> {to}");
    }
    assert!(sdp::prepare_remote(&format!("{OFFER}a={}\r\n", "x".repeat(9000))).is_err());
    assert!(sdp::prepare_remote(&"a=x\r\n".repeat(200_000)).is_err());
    let media: String = (2..600).map(|i| format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{i}\r\n")).collect();
    assert!(sdp::prepare_remote(&format!("{OFFER}{media}")).is_err());
}

#[test]
fn stereo_is_mirrored_by_m_line() {
    let answer = OFFER.replace(";stereo=1", "").replace("a=candidate", "a=c");
    let mirrored = sdp::mirror_stereo(OFFER, &answer);
    assert!(mirrored.contains("a=fmtp:111 minptime=10;stereo=1\r\n"), "{mirrored}");
    assert_eq!(mirrored.matches("stereo=1").count(), 1);
    assert_eq!(sdp::mirror_stereo(OFFER, &mirrored), mirrored, "once is enough");
    assert_eq!(sdp::mirror_stereo(&answer, &answer), answer, "nothing to mirror");
    let described = sdp::describe_senders(&answer, &[("1".into(), true, true)]);
    assert!(described.ends_with("a=fmtp:111 stereo=1;sprop-stereo=1;usedtx=1\r\n"), "{described}");
    assert!(!described.contains("minptime=10;"));
}

#[test]
fn announcements_name_the_codecs() {
    for (kind, direction) in [(PeerKind::Publisher, "a=sendonly"), (PeerKind::Subscriber, "a=recvonly")] {
        let text = sdp::announce_sdp(kind);
        for name in ["opus/48000/2", "red/48000/2", "a=fmtp:63 111/111"] {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains("video"), "what is neither sent nor received is not announced");
        assert_eq!(text.matches(direction).count(), 1);
        assert!(sdp::prepare_remote(&text).is_ok());
        assert!(text.lines().all(|line| line.as_bytes().get(1) == Some(&b'=')));
    }
}

#[test]
fn redundant_audio_is_found_and_taken_out_by_m_line() {
    let text = sdp::announce_sdp(PeerKind::Publisher);
    assert_eq!(sdp::red_payload(&text, "0"), Some(63));
    assert_eq!(sdp::red_payload(&text, "1"), None);
    for (from, to) in [("63 111/111", "63 111/8"), ("fmtp:63 ", "fmtp:64 "), ("red/48000", "red/8000")] {
        assert_eq!(sdp::red_payload(&text.replace(from, to), "0"), None, "{to}");
    }
    assert_eq!(sdp::without_red(&text, &["1".into()]), text);
    let without = sdp::without_red(&text, &["0".into()]);
    assert!(without.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n") && !without.contains(":63"), "{without}");
    assert!(without.contains("a=fmtp:111 minptime=10;useinbandfec=1\r\n"));
}

#[test]
fn receive_parameters_are_read_from_the_offer() {
    let lines =
        "a=sendonly\r\na=msid:s t\r\na=extmap:3/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:7 cname:x\r\n\
        a=ssrc:8 cname:x\r\na=ssrc-group:FID 7 8\r\n";
    let offer = OFFER
        .replace("a=mid:1\r\n", &format!("a=mid:1\r\n{lines}"))
        .replace("111\r\na=mid:0", "0\r\na=recvonly\r\na=mid:0");
    let all = sdp::receiving(&offer);
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!((one.mid.as_str(), one.stream_id.as_str(), one.track_id.as_str()), ("1", "s", "t"));
    assert_eq!((&one.ssrcs[..], one.mid_extension, one.rid_extension), (&[7][..], 3, 0));
    assert_eq!((&one.types.opus[..], &one.formats[..]), (&[111][..], &[(111, "opus".to_owned(), 48_000)][..]));
    for silent in ["a=inactive", "a=recvonly"] {
        assert!(sdp::receiving(&offer.replace("a=sendonly", silent)).is_empty());
    }
    let other = offer.replace("a=msid:s t\r\n", "").replace("a=ssrc:7 cname:x", "a=ssrc:7 msid:u v");
    let all = sdp::receiving(&other);
    assert_eq!((all[0].stream_id.as_str(), all[0].track_id.as_str()), ("u", "v"));
}

#[test]
fn m_lines_that_name_no_ssrc_get_a_placeholder() {
    let named = sdp::with_ssrcs(OFFER);
    assert_eq!(named.matches("a=ssrc:").count(), 2);
    assert_eq!(sdp::with_ssrcs(&named), named, "once is enough");
    let ssrcs: Vec<_> = sdp::receiving(&named).into_iter().map(|line| line.ssrcs).collect();
    assert!(ssrcs[0].len() == 1 && ssrcs[1].len() == 1 && ssrcs[0] != ssrcs[1], "{ssrcs:?}");
    let inactive = OFFER.replace("a=mid:1", "a=inactive\r\na=mid:1");
    assert_eq!(sdp::with_ssrcs(&inactive).matches("a=ssrc:").count(), 1);
}

#[test]
fn no_text_panics() {
    let words = [
        "v=0",
        "\r\n",
        "m=",
        "a=mid:",
        "a=fmtp:1 ",
        "a=rtpmap:1 opus/",
        "a=candidate:",
        "é",
        " ",
        "\n",
        "a=",
        ":",
        "1",
    ];
    let mut state = 7u32;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..state % 40 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push_str(words[(state >> 16) as usize % words.len()]);
        }
        state = state.wrapping_add(1);
        let _ = sdp::prepare_remote(&text);
        let _ = sdp::mirror_stereo(&text, OFFER);
        let _ = sdp::mirror_stereo(OFFER, &text);
        let _ = sdp::describe_senders(&text, &[("1".into(), true, true)]);
        let _ = (sdp::red_payload(&text, "1"), sdp::without_red(&text, &["1".into()]), sdp::video_mids(&text));
        let _ = (candidate::parse(&text), sdp::receiving(&text), sdp::with_ssrcs(&text));
    }
}

#[test]
fn candidates_round_trip() {
    let text = "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host";
    let json = candidate::to_json(text, "0", 0, "abcd");
    assert_eq!(json, format!(r#"{{"candidate":"{text}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}"#));
    let expected = Remote::Udp { candidate: text.into(), address: "127.0.0.1:50000".parse().expect("an address") };
    assert_eq!(candidate::parse(&json), Ok(expected));
    let tcp = r#"{"candidate":"candidate:1 1 tcp 5 127.0.0.1 7881 typ host tcptype passive"}"#;
    assert!(matches!(candidate::parse(tcp), Ok(Remote::Tcp { address, .. }) if address.port() == 7881));
    let active = r#"{"candidate":"candidate:1 1 tcp 5 127.0.0.1 9 typ host tcptype active"}"#;
    assert_eq!(candidate::parse(active), Ok(Remote::Nothing));
    assert_eq!(candidate::parse(r#"{"candidate":"a=end-of-candidates"}"#), Ok(Remote::Nothing));
    assert_eq!(candidate::parse(r#"{"candidate":"","usernameFragment":7}"#), Ok(Remote::Nothing));
}
