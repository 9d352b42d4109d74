//! Against another WebRTC stack in place of the SFU: both roles, and how long they take.

use super::*;
use std::net::SocketAddr;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::media::{Direction, MediaKind as Kind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce(&mut Rtc) + Send>;

/// One packet as received by the other stack: sequence, timestamp, payload, audio level.
type Got = (u16, u32, Vec<u8>, Option<i8>);

#[derive(Default)]
pub(super) struct Log {
    pub(super) connected: Option<Instant>,
    first_packet: Option<Instant>,
    pub(super) packets: Vec<Got>,
    pub(super) channels: Vec<(ChannelId, String)>,
    pub(super) data: Vec<(ChannelId, Vec<u8>)>,
}

pub(super) struct Sfu {
    jobs: mpsc::Sender<Job>,
    pub(super) log: Arc<Mutex<Log>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sfu {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sfu {
    pub(super) async fn new() -> Self {
        Self::made(false).await
    }

    /// One that supports redundant audio.
    pub(super) async fn with_red() -> Self {
        Self::made(true).await
    }

    async fn made(red: bool) -> Self {
        offhook_sfu::crypto::install();
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let local = socket.local_addr().expect("its address");
        let mut config = RtcConfig::new().set_rtp_mode(true);
        config.codec_config().enable_opus(true, red);
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
        let log = Arc::new(Mutex::new(Log::default()));
        let (jobs, todo) = mpsc::channel(16);
        let task = tokio::spawn(run(rtc, socket, local, todo, log.clone()));
        Self { jobs, log, task }
    }

    pub(super) async fn with<T: Send + 'static>(&self, job: impl FnOnce(&mut Rtc) -> T + Send + 'static) -> T {
        let (result_tx, result_rx) = oneshot::channel();
        let job: Job = Box::new(move |rtc| drop(result_tx.send(job(rtc))));
        assert!(self.jobs.send(job).await.is_ok(), "the other stack runs");
        soon("the other stack", result_rx).await.expect("an answer of the other stack")
    }

    /// Passes an offer of the publisher to the other stack, and its answer, after `edit`, to the publisher.
    pub(super) async fn answer(
        &self,
        publisher: &Arc<dyn Peer>,
        offer: &LocalOffer,
        edit: impl FnOnce(String) -> String,
    ) {
        let offer = SdpOffer::from_sdp_string(&offer.sdp).expect("an offer that the other stack reads");
        let answer = self.with(move |rtc| rtc.sdp_api().accept_offer(offer).expect("an answer")).await;
        publisher.set_answer(&edit(answer.to_sdp_string())).expect("the answer is taken");
    }

    pub(super) async fn send(&self, mid: Mid, sequence: u16, payload: &'static [u8]) {
        self.send_as(mid, 111, sequence, payload.to_vec()).await;
    }

    pub(super) async fn send_as(&self, mid: Mid, payload_type: u8, sequence: u16, payload: Vec<u8>) {
        self.with(move |rtc| {
            let mut api = rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).expect("a stream");
            let time = u32::from(sequence) * 960;
            stream.write_rtp(RtpWrite::new(
                payload_type.into(),
                u64::from(sequence).into(),
                time,
                Instant::now(),
                payload,
            ));
        })
        .await;
    }

    /// Offers the changes made by `edit` and sets the subscriber's answer.
    pub(super) async fn offer<T: Send + 'static>(
        &self,
        subscriber: &Arc<dyn Peer>,
        edit: impl FnOnce(&mut str0m::change::SdpApi) -> T + Send + 'static,
    ) -> (T, Instant) {
        let (value, offer, pending): (T, SdpOffer, SdpPendingOffer) = self
            .with(|rtc| {
                let mut api = rtc.sdp_api();
                let value = edit(&mut api);
                let (offer, pending) = api.apply().expect("changes");
                (value, offer, pending)
            })
            .await;
        let begun = Instant::now();
        let answer = subscriber.answer(&offer.to_sdp_string(), &[]).expect("an answer").sdp;
        assert!(answer.contains("a=setup:passive"), "{answer}");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("an answer that the other stack reads");
        self.with(move |rtc| rtc.sdp_api().accept_answer(pending, answer).expect("an accepted answer")).await;
        (value, begun)
    }
}

async fn run(mut rtc: Rtc, socket: UdpSocket, local: SocketAddr, mut jobs: mpsc::Receiver<Job>, log: Arc<Mutex<Log>>) {
    let mut buffer = vec![0; 2000];
    loop {
        let wake = match rtc.poll_output() {
            Ok(Output::Timeout(at)) => at,
            Ok(Output::Transmit(out)) => {
                let _ = socket.send_to(&out.contents, out.destination).await;
                continue;
            }
            Ok(Output::Event(Event::Connected)) => {
                log.lock().connected = Some(Instant::now());
                continue;
            }
            Ok(Output::Event(Event::RtpPacket(packet))) => {
                let mut log = log.lock();
                log.first_packet.get_or_insert_with(Instant::now);
                let header = &packet.header;
                let level = header.ext_vals.audio_level;
                log.packets.push((header.sequence_number, header.timestamp, packet.payload.to_vec(), level));
                continue;
            }
            Ok(Output::Event(Event::ChannelOpen(id, label))) => {
                log.lock().channels.push((id, label));
                continue;
            }
            Ok(Output::Event(Event::ChannelData(data))) => {
                log.lock().data.push((data.id, data.data));
                continue;
            }
            Ok(Output::Event(_)) => continue,
            Err(_) => return,
        };
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => job(&mut rtc),
                None => return,
            },
            got = socket.recv_from(&mut buffer) => if let Ok((length, source)) = got {
                if let Ok(contents) = buffer[..length].try_into() {
                    let receive = Receive { proto: Protocol::Udp, source, destination: local, contents };
                    let _ = rtc.handle_input(Input::Receive(Instant::now(), receive));
                }
            },
            () = tokio::time::sleep_until(wake.into()) => {
                let _ = rtc.handle_input(Input::Timeout(Instant::now()));
            }
        }
    }
}

pub(super) fn audio(api: &mut str0m::change::SdpApi, stream: &str, track: &str) -> Mid {
    api.add_media(Kind::Audio, Direction::SendOnly, Some(stream.into()), Some(track.into()), None)
}

/// Sends packets numbered from `sequence`, one every 2 ms, until `done`.
pub(super) async fn feed(sfu: &Sfu, mid: Mid, mut sequence: u16, mut done: impl FnMut() -> bool) {
    soon("media from the other stack", async {
        while !done() {
            sfu.send(mid, sequence, b"from the other stack").await;
            sequence += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriber_of_another_stack() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let (first, _) = sfu.offer(&subscriber, |api| audio(api, "p1AUDIO", "a")).await;
    until("connected", || observer.has(PeerState::Connected)).await;
    feed(&sfu, first, 1, || observer.packets(0).len() > 20).await;
    let (second, _) = sfu.offer(&subscriber, |api| audio(api, "p2AUDIO", "b")).await;
    feed(&sfu, second, 1, || observer.packets(1).len() > 20).await;
    sfu.offer(&subscriber, move |api| api.set_direction(first, Direction::Inactive)).await;
    sfu.offer(&subscriber, move |api| api.set_direction(first, Direction::SendOnly)).await;
    let before = observer.packets(0).len();
    feed(&sfu, first, 5000, || observer.packets(0).len() > before || observer.packets(2).len() > 5).await;
    sfu.offer(&subscriber, |api| drop(api.ice_restart(true))).await;
    let before = observer.packets(1).len();
    feed(&sfu, second, 5000, || observer.packets(1).len() > before + 50).await;
    let infos = observer.infos();
    assert_eq!(infos[0].stream_id, "p1AUDIO");
    assert_eq!(infos[1].stream_id, "p2AUDIO");
    assert!(observer.packets(0).iter().all(|p| &p.payload[..] == b"from the other stack"));
    assert!(!observer.has(PeerState::Failed) && !observer.has(PeerState::Closed));
    // The other stack ends DTLS.
    sfu.with(|rtc| drop(rtc.close())).await;
    until("Closed is reported", || observer.has(PeerState::Closed)).await;
    subscriber.close();
    until("no task is left", || engine.live_tasks() == 0).await;
    assert_eq!(observer.count(PeerState::Closed), 1);
}

async fn publish(engine: &WebRtcEngine, sfu: &Sfu) -> (Arc<dyn Peer>, Arc<Recorder>, Arc<dyn RtpSender>, Instant) {
    let (publisher, out) = peer(engine, PeerKind::Publisher).await;
    let offer = publisher.offer(&wanted(&["mic"])).expect("an offer");
    let begun = Instant::now();
    sfu.answer(&publisher, &offer, |sdp| sdp).await;
    (publisher, out, offer.writer("mic"), begun)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publisher_to_another_stack() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, out, writer, _) = publish(&engine, &sfu).await;
    until("connected", || out.has(PeerState::Connected)).await;
    send_until(&writer, 100, || sfu.log.lock().packets.len() > 20).await;
    let (sequence, timestamp, payload, level) = sfu.log.lock().packets[0].clone();
    let sent = sequence - 100;
    assert_eq!((timestamp, payload), (u32::from(sent) * 960, vec![sent as u8, 7, 7]));
    assert_eq!(level, Some(-30), "the audio level travels with the packet");
    close(&publisher, &out).await;
}

pub(super) fn p50(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(super) fn ms(from: Instant, to: Option<Instant>) -> f64 {
    to.map_or(f64::NAN, |to| to.saturating_duration_since(from).as_secs_f64() * 1000.0)
}

/// With the engine's own 200 ms ICE tick no run can be faster than one tick.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_roles_connect_without_waiting_for_slow_ticks() {
    const RUNS: usize = 15;
    let engine = WebRtcEngine::new();
    let (mut sub, mut sub_rtp, mut publ, mut publ_rtp) = (vec![], vec![], vec![], vec![]);
    for _ in 0..RUNS {
        let sfu = Sfu::new().await;
        let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
        let (mid, begun) = sfu.offer(&subscriber, |api| audio(api, "pAUDIO", "a")).await;
        until("the remote peer connected", || sfu.log.lock().connected.is_some()).await;
        feed(&sfu, mid, 1, || !observer.packets(0).is_empty()).await;
        until("connected", || observer.has(PeerState::Connected)).await;
        sub.push(ms(begun, *observer.connected.lock()));
        sub_rtp.push(ms(begun, *observer.first_packet.lock()));
        close(&subscriber, &observer).await;

        let sfu = Sfu::new().await;
        let (publisher, out, writer, begun) = publish(&engine, &sfu).await;
        until("connected", || out.has(PeerState::Connected)).await;
        send_until(&writer, 1, || !sfu.log.lock().packets.is_empty()).await;
        publ.push(ms(begun, *out.connected.lock()));
        publ_rtp.push(ms(begun, sfu.log.lock().first_packet));
        close(&publisher, &out).await;
    }
    let best = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let bests = [best(&sub), best(&sub_rtp), best(&publ), best(&publ_rtp)];
    println!(
        "best ms: subscriber connected {:.1}, rtp {:.1}; publisher connected {:.1}, rtp {:.1}",
        bests[0], bests[1], bests[2], bests[3]
    );
    println!(
        "p50 ms: subscriber connected {:.1}, rtp {:.1}; publisher connected {:.1}, rtp {:.1}",
        p50(sub),
        p50(sub_rtp),
        p50(publ),
        p50(publ_rtp)
    );
    assert!(bests.iter().all(|best| *best < 100.0), "{bests:?}");
    until("no task is left", || engine.live_tasks() == 0).await;
}
