//! Media over TCP, over IPv6, at several addresses and behind a NAT; the addresses and ICE servers that clients are given.

mod support;

use offhook_sfu::{Config, IceServer, Sfu};
use serde_json::{json, Value};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use support::{
    ctl, join_call,
    media::{flows, publish_audio, subscribe, Peer, Way},
    until, within, Client,
};

fn over_tcp() -> Config {
    Config { udp: false, ice_tcp_port: Some(0), ..Config::default() }
}

fn candidates(sdp: &str) -> Vec<&str> {
    let mut all: Vec<&str> = sdp.lines().filter_map(|l| l.trim().strip_prefix("a=candidate:")).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The counters of a user's peer connection.
fn peer<'a>(state: &'a Value, user: &str, which: &str) -> &'a Value {
    let all = state["rooms"][0]["participants"].as_array().expect("participants");
    let found = all.iter().find(|p| p["user_id"] == user).expect("the participant");
    &found["legs"][0][which]
}

/// True if every packet from the client came over TCP. They are counted by transport first.
fn only_tcp(stats: &Value) -> bool {
    let count = |name: &str| stats[name].as_u64().expect("a number");
    (1..=count("tcp_in")).contains(&count("datagrams_in"))
}

/// Alice sends audio to bob. Returns the SFU's answer to her and its offer to him too.
async fn call(url: &str, alice: Way, bob: Way) -> (Client, Peer, Client, Peer, String, String) {
    let a = Client::join(url, "alice", "c").await;
    let mut b = Client::join(url, "bob", "c").await;
    let (sends, answer) = publish_audio(&a, alice).await;
    let (mut receives, offer) = subscribe(&mut b, bob).await;
    flows(&sends, &mut receives, 1000).await;
    (a, sends, b, receives, answer, offer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_over_tcp_only() {
    let sfu = Sfu::start(over_tcp()).await.unwrap();
    let port = sfu.ice_tcp_port().unwrap();
    let (mut a, _sends, mut b, _receives, answer, offer) = call(sfu.url(), Way::TCP, Way::TCP).await;
    for sdp in [&answer, &offer] {
        let all = candidates(sdp);
        assert_eq!(all.len(), 1, "{all:?}");
        let (head, tail) = (" tcp ", format!(" 127.0.0.1 {port} typ host tcptype passive"));
        assert!(all[0].contains(head) && all[0].contains(&tail), "{all:?}");
    }
    let state = sfu.state();
    assert_eq!(state["media"]["ice_tcp"]["port"], port);
    for (user, which) in [("alice", "publisher"), ("bob", "subscriber")] {
        let stats = peer(&state, user, which);
        assert_eq!(stats["tcp_open"], 1, "{stats}");
        assert!(only_tcp(stats) && stats["tcp_dropped"] == 0, "{stats}");
    }
    // Connections end with their peer connections.
    a.leave().await;
    b.leave().await;
    until(sfu.url(), "the end of all connections", |s| {
        let tcp = &s["media"]["ice_tcp"];
        (&tcp["open"], &tcp["peer_connections"], &tcp["waiting"]) == (&json!(0), &json!(0), &json!(0))
    })
    .await;
    sfu.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_transports_are_announced() {
    let sfu = Sfu::start(Config { ice_tcp_port: Some(0), ..Config::default() }).await.unwrap();
    let (_a, _sends, _b, _receives, answer, offer) = call(sfu.url(), Way::UDP, Way::TCP).await;
    for sdp in [&answer, &offer] {
        let all = candidates(sdp);
        assert!(all.len() == 2 && all.iter().any(|c| c.contains(" udp ")), "{all:?}");
        assert!(all.iter().any(|c| c.ends_with("tcptype passive") || c.contains("tcptype passive ")), "{all:?}");
    }
    let state = sfu.state();
    assert_eq!(peer(&state, "alice", "publisher")["tcp_in"], 0);
    assert_ne!(peer(&state, "bob", "subscriber")["tcp_in"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_passes_a_firewall_against_udp() {
    let sfu = Sfu::start(Config { ice_tcp_port: Some(0), ..Config::default() }).await.unwrap();
    ctl(sfu.url(), "lossy", json!({"user_id": "bob", "block_udp": true})).await;
    let (_a, _sends, _b, _receives, ..) = call(sfu.url(), Way::UDP, Way { udp: true, ..Way::TCP }).await;
    let state = sfu.state();
    let stats = peer(&state, "bob", "subscriber");
    assert!(only_tcp(stats), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_tcp_connection_is_replaced() {
    let sfu = Sfu::start(over_tcp()).await.unwrap();
    let (_a, sends, _b, mut receives, ..) = call(sfu.url(), Way::TCP, Way::TCP).await;
    receives.cut_tcp().await;
    flows(&sends, &mut receives, 2000).await;
    // What flowed may have come from the lost connection.
    until(sfu.url(), "a second connection", |s| s["media"]["ice_tcp"]["assigned"].as_u64() >= Some(3)).await;
    // A frame that is too long ends the connection, not the peer connection.
    receives.raw_tcp(&[0xff, 0xff, 1, 2, 3]).await;
    until(sfu.url(), "a third connection", |s| s["media"]["ice_tcp"]["assigned"].as_u64() >= Some(4)).await;
    flows(&sends, &mut receives, 3000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ice_restarts_over_tcp() {
    let sfu = Sfu::start(over_tcp()).await.unwrap();
    let (a, sends, mut b, mut receives, answer, offer) = call(sfu.url(), Way::TCP, Way::TCP).await;
    ctl(sfu.url(), "ice_restart", json!({"user_id": "bob", "peer_type": 1})).await;
    let again = b.wait_offer().await;
    assert!(again.ice_restart);
    let ufrag = |sdp: &str| sdp.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:").map(str::to_owned)).unwrap();
    assert_ne!(ufrag(&again.sdp), ufrag(&offer));
    let reply = receives.accept(again.sdp).await;
    assert!(b.answer(again.negotiation_id, reply).await.error.is_none());
    // A new connection carries the new fragment.
    receives.cut_tcp().await;
    flows(&sends, &mut receives, 2000).await;
    // The same for the publisher, where the client offers.
    let offer = sends.offer().await;
    let mid = offer.lines().find_map(|l| l.trim().strip_prefix("a=mid:")).unwrap().to_owned();
    let track = offhook_proto::models::TrackInfo {
        track_id: "t".into(),
        track_type: offhook_proto::models::TrackType::Audio as i32,
        mid,
        ..Default::default()
    };
    let response = a.set_publisher(offer, vec![track]).await;
    assert!(response.error.is_none() && response.ice_restart);
    assert_ne!(ufrag(&response.sdp), ufrag(&answer));
    sends.answered(response.sdp).await;
    sends.cut_tcp().await;
    flows(&sends, &mut receives, 3000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6() {
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let sfu = Sfu::start(Config { listen, ice_tcp_port: Some(0), ..Config::default() }).await.unwrap();
    assert!(sfu.url().starts_with("http://[::1]:"), "{}", sfu.url());
    let (a, _sends, _b, _receives, answer, _) = call(sfu.url(), Way::UDP.at("::1"), Way::TCP.at("::1")).await;
    assert!(a.ws.starts_with("ws://[::1]:"), "{}", a.ws);
    assert!(candidates(&answer).iter().all(|c| c.contains(" ::1 ")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wildcard_serves_both_families() {
    let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let config = Config { listen, allow_remote: true, ice_tcp_port: Some(0), ..Config::default() };
    let sfu = Sfu::start(config).await.unwrap();
    let port = sfu.url().rsplit_once(':').unwrap().1;
    // Each client gets the address that it used.
    let a = Client::join(&format!("http://127.0.0.1:{port}"), "alice", "c").await;
    let mut b = Client::join(&format!("http://[::1]:{port}"), "bob", "c").await;
    assert!(a.ws.starts_with("ws://127.0.0.1:") && b.ws.starts_with("ws://[::1]:"), "{} {}", a.ws, b.ws);
    let (sends, answer) = publish_audio(&a, Way::TCP).await;
    assert!(candidates(&answer).iter().all(|c| c.contains(" 127.0.0.1 ")), "{answer}");
    let (mut receives, offer) = subscribe(&mut b, Way::TCP.at("::1")).await;
    assert!(candidates(&offer).iter().all(|c| c.contains(" ::1 ")), "{offer}");
    flows(&sends, &mut receives, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_addresses() {
    let addresses = ["127.0.0.1", "127.0.0.2", "::1"].map(|a| a.parse().unwrap()).to_vec();
    let sfu = Sfu::start(Config { addresses, ice_tcp_port: Some(0), ..Config::default() }).await.unwrap();
    let (_a, _sends, _b, _receives, answer, offer) =
        call(sfu.url(), Way::UDP.at("::1"), Way::TCP.at("127.0.0.2")).await;
    for sdp in [&answer, &offer] {
        let all = candidates(sdp);
        for ip in ["127.0.0.1", "127.0.0.2", "::1"] {
            let of_ip: Vec<_> = all.iter().filter(|c| c.contains(&format!(" {ip} "))).collect();
            assert!(of_ip.len() == 2 && of_ip.iter().any(|c| c.contains(" udp ")), "{ip}: {all:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_address_replaces_the_local_one() {
    let public: IpAddr = "203.0.113.7".parse().unwrap();
    let config = Config { public_addresses: vec![public], ice_tcp_port: Some(0), ..Config::default() };
    let sfu = Sfu::start(config).await.unwrap();
    let behind = |way: Way| Way { public: Some(public), ..way };
    let (_a, _sends, _b, _receives, answer, offer) = call(sfu.url(), behind(Way::UDP), behind(Way::TCP)).await;
    for sdp in [&answer, &offer] {
        let all = candidates(sdp);
        assert!(all.len() == 2 && all.iter().all(|c| c.contains(" 203.0.113.7 ")), "{all:?}");
    }
}

#[tokio::test]
async fn the_coordinator_names_public_urls_and_ice_servers() {
    let servers = ["stun:127.0.0.1:3478", "turns:127.0.0.1:5349?transport=tcp,user,secret"];
    let config = Config {
        public_url: Some("https://sfu.example.org/calls/".parse().unwrap()),
        ice_servers: servers.map(|s| s.parse().unwrap()).to_vec(),
        ..Config::default()
    };
    let sfu = Sfu::start(config).await.unwrap();
    let credentials = || async { join_call(sfu.url(), "ann", "c", json!({})).await.json()["credentials"].clone() };
    let first = credentials().await;
    assert_eq!(first["server"]["url"], "https://sfu.example.org/calls/sfu-a/twirp");
    assert_eq!(first["server"]["ws_endpoint"], "wss://sfu.example.org/calls/sfu-a/ws");
    let configured = json!([
        { "urls": ["stun:127.0.0.1:3478"] },
        { "urls": ["turns:127.0.0.1:5349?transport=tcp"], "username": "user", "password": "secret" },
    ]);
    assert_eq!(first["ice_servers"], configured);
    // The control API replaces them until it is reset.
    ctl(sfu.url(), "ice_servers", json!({"user_id": "ann", "servers": []})).await;
    assert_eq!(credentials().await["ice_servers"], json!([]));
    ctl(sfu.url(), "reset", json!({})).await;
    assert_eq!(credentials().await["ice_servers"], configured);
    assert!(!sfu.state().to_string().contains("secret"));
}

#[tokio::test]
async fn unusable_options_are_refused() {
    let server: IceServer = "stun:127.0.0.1".parse().unwrap();
    let address = |text: &str| text.parse().unwrap();
    for (what, config) in [
        ("no transport", Config { udp: false, ..Config::default() }),
        ("not loopback", Config { addresses: vec![address("203.0.113.7")], ..Config::default() }),
        ("a wildcard", Config { addresses: vec![address("0.0.0.0")], allow_remote: true, ..Config::default() }),
        ("too many", Config { ice_servers: vec![server; 17], ..Config::default() }),
    ] {
        let error = Sfu::start(config).await.err().unwrap_or_else(|| panic!("{what}: accepted"));
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{what}");
    }
}

/// Runs the program until it ends.
async fn program(arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offhook-sfu"));
    // It ends when standard input closes, even if it accepts the options.
    command.args(arguments).arg("--exit-with-stdin").stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    within("the program", output).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_program_reads_its_options() {
    let good = [
        ["--listen", "[::1]:0"],
        ["--address", "127.0.0.1"],
        ["--address", "::1"],
        ["--public-address", "203.0.113.7"],
        ["--public-url", "https://sfu.example.org"],
        ["--ice-tcp-port", "0"],
        ["--ice-server", "stun:127.0.0.1:3478"],
        ["--ice-server", "turn:127.0.0.1:3478,user,secret"],
        ["--log", "debug"],
    ];
    let output = program(&[&good.concat()[..], &["--no-udp"]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("media over TCP on port ") && !log.contains("secret"), "{log}");
    for bad in [
        ["--address", "localhost"],
        ["--public-address", "sfu.example.org"],
        ["--public-url", "sfu.example.org"],
        ["--ice-tcp-port", "65536"],
        ["--ice-server", "turn:127.0.0.1,secret"],
    ] {
        let output = program(&bad).await;
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"), "{bad:?}");
    }
    let help = String::from_utf8(program(&["--help"]).await.stdout).unwrap();
    for name in good.iter().map(|o| o[0]).chain(["--no-udp"]) {
        assert!(help.contains(name), "{name}");
    }
}
