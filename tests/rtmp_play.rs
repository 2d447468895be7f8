//! The play-out server towards our viewer and clients of other makers.

mod rtmp_support;

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult,
};
use rtmp_support::{Scripted, Source, both_tracks, feed_in_pieces, millis};
use shiguredo_rtmp::{RtmpConnectionEvent, RtmpConnectionState, RtmpPlayClientConnection};
use trunkcast::base::codec::{Codec, Track};
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::rtmp::{Player, PlayerEvent, Viewer, ViewerEvent};
use trunkcast::wire::amf0::Amf0Writer;
use trunkcast::wire::rtmp_url::{RtmpUrl, StreamKey};

/// A client of the play-out.
trait Client {
    fn feed(&mut self, now: Instant, bytes: &[u8]);
    fn take(&mut self) -> Vec<u8>;
}

struct Watching {
    viewer: Box<Viewer>,
    told: Vec<ViewerEvent>,
}

impl Watching {
    fn new(name: &str) -> Self {
        let url = RtmpUrl::parse("rtmp://box/live").unwrap();
        let name = StreamKey::new(name).unwrap();
        let viewer = Viewer::new(millis(0), url, name, Rng::from_number(2)).unwrap();
        Self {
            viewer: Box::new(viewer),
            told: Vec::new(),
        }
    }

    fn ended(&self) -> Option<&str> {
        match self.told.last() {
            Some(ViewerEvent::Ended(why)) => Some(why),
            _ => None,
        }
    }

    /// Times of audio, and of pictures.
    fn times(&self) -> (Vec<u32>, Vec<u32>) {
        let audio = self.told.iter().filter_map(|event| match event {
            ViewerEvent::Audio { timestamp, .. } => Some(*timestamp),
            _ => None,
        });
        let video = self.told.iter().filter_map(|event| match event {
            ViewerEvent::Video {
                timestamp,
                sequence_header: false,
                ..
            } => Some(*timestamp),
            _ => None,
        });
        (audio.collect(), video.collect())
    }
}

impl Client for Watching {
    fn feed(&mut self, now: Instant, bytes: &[u8]) {
        let told = &mut self.told;
        self.viewer
            .handle_bytes(now, bytes, |event| told.push(event));
        self.viewer.check_invariants();
    }

    fn take(&mut self) -> Vec<u8> {
        let mut out = vec![0; 10_000];
        let len = self.viewer.poll_transmit(&mut out);
        self.viewer.transmitted(len);
        out.truncate(len);
        out
    }
}

/// Carries bytes both ways in pieces until nobody has more to say.
fn carry(
    now: Instant,
    player: &mut Player,
    client: &mut dyn Client,
    log: &FrameLog,
    rng: &mut Rng,
) {
    let mut out = vec![0; 131_072];
    loop {
        let there = client.take();
        feed_in_pieces(&there, rng, |piece| player.handle_bytes(now, piece));
        player.check_invariants();
        let room = [131_072, 4_096, 900, 37][rng.below(4) as usize];
        let given = player.poll_transmit(now, log, &mut out[..room]);
        let taken = if rng.below(2) == 0 {
            given
        } else {
            rng.below(given as u32 + 1) as usize
        };
        feed_in_pieces(&out[..taken], rng, |piece| client.feed(now, piece));
        player.transmitted(now, taken, log);
        player.check_invariants();
        if given == 0 && there.is_empty() {
            break;
        }
    }
}

fn events(player: &mut Player) -> Vec<PlayerEvent> {
    std::iter::from_fn(|| player.poll_event()).collect()
}

fn player(seed: u64) -> Box<Player> {
    Box::new(Player::new(millis(0), Rng::from_number(seed)))
}

fn play_event(app: &str, name: &str) -> PlayerEvent {
    PlayerEvent::Play {
        app: app.try_into().unwrap(),
        name: name.try_into().unwrap(),
    }
}

/// A viewer that has asked for a stream.
fn asked(name: &str) -> (Box<Player>, Watching, Source, Rng) {
    let (mut player, mut watching) = (player(1), Watching::new(name));
    let (source, mut rng) = (Source::new(), Rng::from_number(3));
    carry(millis(0), &mut player, &mut watching, &source.log, &mut rng);
    (player, watching, source, rng)
}

#[test]
fn a_viewer_sees_a_stream_from_its_keyframe_to_its_end_at_any_split() {
    for seed in 0..8 {
        let (mut player, mut watching, mut source, _) = asked("rtmp_100?token=1");
        let mut rng = Rng::from_number(seed);
        assert_eq!(events(&mut player), [play_event("live", "rtmp_100")]);
        player.start(millis(0), &source.log, true);
        for at in (5_000..6_000_u64).step_by(20) {
            if at % 40 == 0 {
                source.picture(at, at == 5_000, 3_000);
            }
            source.sound(at);
            carry(
                millis(at),
                &mut player,
                &mut watching,
                &source.log,
                &mut rng,
            );
            source.log.release_before(player.position());
        }
        source.sound(6_000);
        player.end(millis(6_000));
        carry(
            millis(6_000),
            &mut player,
            &mut watching,
            &source.log,
            &mut rng,
        );
        let (audio, video) = watching.times();
        assert_eq!(
            audio,
            (0..=50).map(|n| n * 20).collect::<Vec<_>>(),
            "seed {seed}"
        );
        assert_eq!(video, (0..25).map(|n| n * 40).collect::<Vec<_>>());
        assert_eq!(watching.told[0], ViewerEvent::Playing);
        let tracks = ViewerEvent::Metadata(both_tracks());
        assert_eq!(watching.told[1], tracks);
        assert!(matches!(
            watching.told[2],
            ViewerEvent::Video {
                sequence_header: true,
                ..
            }
        ));
        let size = 5 + 4 + 1 + 3_000;
        let first = ViewerEvent::Video {
            timestamp: 0,
            size,
            keyframe: true,
            codec: Some(Codec::H264),
            sequence_header: false,
        };
        assert_eq!(watching.told[3], first);
        let ViewerEvent::Audio {
            timestamp: 0,
            size: 161,
            format: 7,
            codec: Some(Codec::Pcma),
            sequence_header: false,
            start,
        } = &watching.told[4]
        else {
            panic!("{:?}", watching.told[4])
        };
        assert_eq!(start[0], 0x72);
        assert_eq!(watching.ended(), Some("the stream is over"));
        assert!(player.is_closed());
        assert!(matches!(
            events(&mut player).last(),
            Some(PlayerEvent::Close { .. })
        ));
        source.log.release_before(player.position());
        assert_eq!(source.pool.available(), source.pool.capacity());
    }
}

#[test]
fn a_late_viewer_starts_at_a_keyframe_that_is_there_or_asks_for_one() {
    let (mut player, mut watching, mut source, mut rng) = asked("a");
    source.span(0, 400);
    source.span(400, 800);
    player.start(millis(800), &source.log, true);
    carry(
        millis(800),
        &mut player,
        &mut watching,
        &source.log,
        &mut rng,
    );
    let (audio, video) = watching.times();
    assert_eq!(
        (audio[0], video[0], video.len()),
        (0, 0, 10),
        "from the keyframe at 400"
    );
    assert!(!events(&mut player).contains(&PlayerEvent::KeyframeWanted));

    let (mut player, mut watching, mut source, mut rng) = asked("a");
    events(&mut player);
    source.picture(0, true, 100);
    source.log.release_before(1);
    player.start(millis(20), &source.log, true);
    for at in (20..200).step_by(20) {
        source.picture(at, false, 100);
        source.sound(at);
        carry(
            millis(at),
            &mut player,
            &mut watching,
            &source.log,
            &mut rng,
        );
    }
    assert_eq!(watching.times(), (vec![], vec![]));
    assert_eq!(events(&mut player), [PlayerEvent::KeyframeWanted]);
    source.picture(180, true, 100);
    source.sound(200);
    carry(
        millis(200),
        &mut player,
        &mut watching,
        &source.log,
        &mut rng,
    );
    let (audio, video) = watching.times();
    assert_eq!(
        (audio, video),
        (vec![0, 20], vec![0]),
        "begins with the picture"
    );
}

#[test]
fn several_viewers_read_one_log_and_a_slow_one_loses_only_its_own() {
    let (mut one, mut watching_one, mut source, mut rng) = asked("a");
    let (mut two, mut watching_two, _, _) = asked("a");
    one.start(millis(0), &source.log, true);
    two.start(millis(0), &source.log, true);
    let mut out = [0; 4_096];
    for at in (0..10_000).step_by(20) {
        source.sound(at);
        source.picture(at, at % 1_000 == 0, 100);
        carry(
            millis(at),
            &mut one,
            &mut watching_one,
            &source.log,
            &mut rng,
        );
        if (1..9_000).contains(&at) {
            let _ = two.poll_transmit(millis(at), &source.log, &mut out);
            two.transmitted(millis(at), 0, &source.log);
        } else {
            carry(
                millis(at),
                &mut two,
                &mut watching_two,
                &source.log,
                &mut rng,
            );
        }
        source
            .log
            .release_before(one.position().min(two.position()));
    }
    assert_eq!(watching_one.times().1.len(), 500);
    let (audio, video) = watching_two.times();
    assert_eq!(*video.last().unwrap(), 9_980);
    assert!(video.len() < 120, "{}", video.len());
    assert!(audio.len() > video.len());
    let resumed = video.iter().position(|at| *at > 0).unwrap();
    assert_eq!(video[resumed] % 1_000, 0, "video goes on at a keyframe");
}

#[test]
fn what_is_not_there_is_said_and_closed() {
    let (mut player, mut watching, source, mut rng) = asked("nothing");
    player.not_found(millis(1));
    carry(millis(1), &mut player, &mut watching, &source.log, &mut rng);
    assert!(
        watching
            .ended()
            .unwrap()
            .contains("NetStream.Play.StreamNotFound")
    );
    assert!(player.is_closed());
    assert_eq!(player.poll_timeout(), None);
}

#[test]
fn clients_that_ask_for_nothing_are_closed_in_time() {
    let mut idle = player(1);
    assert_eq!(idle.poll_timeout(), Some(millis(10_000)));
    idle.handle_bytes(millis(5_000), &[3; 100]);
    idle.handle_timeout(millis(10_000));
    assert!(idle.is_closed());
    let mut other = player(1);
    other.handle_bytes(millis(0), b"GET / HTTP/1.1\r\n\r\n");
    let [PlayerEvent::Close { reason }] = &events(&mut other)[..] else {
        panic!("not closed")
    };
    assert!(reason.contains("does not speak RTMP"), "{reason}");
}

#[test]
fn a_viewer_that_takes_nothing_is_closed() {
    let (mut player, _, mut source, _) = asked("a");
    player.start(millis(0), &source.log, true);
    source.picture(0, true, 100);
    let mut out = [0; 4_096];
    assert!(player.poll_transmit(millis(0), &source.log, &mut out) > 0);
    player.transmitted(millis(0), 0, &source.log);
    assert_eq!(player.poll_timeout(), Some(millis(15_000)));
    player.handle_timeout(millis(15_000));
    assert!(player.is_closed());
}

/// A client that says what it is told to, after a handshake of zeros.
struct Raw(Scripted, Vec<u8>);

impl Raw {
    fn new() -> Self {
        let mut raw = Self(Scripted::new(rtmp_support::Script::Silent), Vec::new());
        raw.1 = vec![0; 3_073];
        raw.1[0] = 3;
        raw
    }

    fn say(&mut self, fill: impl FnOnce(&mut Amf0Writer<'_>)) -> Vec<u8> {
        self.0.command(fill);
        [
            std::mem::take(&mut self.1),
            rtmp_support::Server::take(&mut self.0),
        ]
        .concat()
    }
}

fn connect(raw: &mut Raw) -> Vec<u8> {
    raw.say(|body| {
        body.string(&["connect"]).number(1.0).object();
        body.name("app").string(&["live/"]).end();
    })
}

fn answers(player: &mut Player, bytes: &[u8]) -> String {
    let log = FrameLog::new();
    player.handle_bytes(millis(0), bytes);
    let mut out = vec![0; 20_000];
    let given = player.poll_transmit(millis(0), &log, &mut out);
    player.transmitted(millis(0), given, &log);
    String::from_utf8_lossy(&out[..given]).into_owned()
}

#[test]
fn a_publisher_is_refused_and_odd_commands_do_no_harm() {
    let mut raw = Raw::new();
    let mut player = player(1);
    assert!(answers(&mut player, &connect(&mut raw)).contains("NetConnection.Connect.Success"));
    for (command, answer) in [
        ("getStreamLength", "_result"),
        ("FCSubscribe", "onFCSubscribe"),
        ("pause", "NetStream.Pause.Notify"),
        ("seek", "NetStream.Seek.Failed"),
        ("FCPublish", "_error"),
        ("nonsense", "_error"),
        ("connect", "_error"),
    ] {
        let bytes = raw.say(|body| {
            body.string(&[command]).number(5.0).null().string(&["name"]);
        });
        let answered = answers(&mut player, &bytes);
        assert!(answered.contains(answer), "{command}: {answered:?}");
    }
    let bytes = raw.say(|body| {
        body.string(&["publish"])
            .number(5.0)
            .null()
            .string(&["name"])
            .string(&["live"]);
    });
    assert!(answers(&mut player, &bytes).contains("NetStream.Publish.Denied"));
    assert!(player.is_closed());
}

#[test]
fn a_viewer_may_stop_and_play_again() {
    let mut raw = Raw::new();
    let mut player = player(1);
    let mut source = Source::new();
    let play = |raw: &mut Raw| {
        raw.say(|body| {
            body.string(&["play"]).number(0.0).null().string(&["a"]);
        })
    };
    answers(&mut player, &connect(&mut raw));
    answers(&mut player, &play(&mut raw));
    assert_eq!(events(&mut player), [play_event("live", "a")]);
    player.start(millis(0), &source.log, true);
    source.span(0, 100);
    assert!(answers(&mut player, &play(&mut raw)).contains("NetStream.Play.Failed"));
    let close = raw.say(|body| {
        body.string(&["closeStream"]).number(0.0).null();
    });
    answers(&mut player, &close);
    assert_eq!(events(&mut player).last(), Some(&PlayerEvent::Stopped));
    assert_eq!(player.position(), u64::MAX);
    answers(&mut player, &play(&mut raw));
    assert_eq!(events(&mut player), [play_event("live", "a")]);
}

struct Shiguredo {
    connection: RtmpPlayClientConnection,
    got: Vec<(u32, Track, Vec<u8>)>,
    state: Option<RtmpConnectionState>,
}

impl Client for Shiguredo {
    fn feed(&mut self, _now: Instant, bytes: &[u8]) {
        self.connection
            .feed_recv_buf(bytes)
            .expect("bytes that shiguredo_rtmp can read");
        while let Some(event) = self.connection.next_event() {
            match event {
                RtmpConnectionEvent::AudioReceived(frame) => {
                    self.got
                        .push((frame.timestamp.as_millis(), Track::Audio, frame.data));
                }
                RtmpConnectionEvent::VideoReceived(frame)
                    if frame.avc_packet_type == Some(shiguredo_rtmp::AvcPacketType::NalUnit) =>
                {
                    self.got
                        .push((frame.timestamp.as_millis(), Track::Video, frame.data));
                }
                RtmpConnectionEvent::StateChanged(state) => self.state = Some(state),
                _ => {}
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = self.connection.send_buf().to_vec();
        self.connection.advance_send_buf(bytes.len());
        bytes
    }
}

struct Rml {
    handshake: Option<Handshake>,
    session: ClientSession,
    out: Vec<u8>,
    got: Vec<(u32, Track, Vec<u8>)>,
}

impl Rml {
    fn new() -> Self {
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some("rtmp://box/live".into());
        let (session, results) = ClientSession::new(config).unwrap();
        let mut handshake = Handshake::new(PeerType::Client);
        let out = handshake.generate_outbound_p0_and_p1().unwrap();
        let mut rml = Self {
            handshake: Some(handshake),
            session,
            out,
            got: Vec::new(),
        };
        assert!(results.is_empty());
        rml.results(results);
        rml
    }

    fn results(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.out.extend(packet.bytes),
                ClientSessionResult::RaisedEvent(event) => match event {
                    ClientSessionEvent::ConnectionRequestAccepted => {
                        let request = self.session.request_playback("a".into()).unwrap();
                        self.results(vec![request]);
                    }
                    ClientSessionEvent::AudioDataReceived { timestamp, data } => {
                        self.got
                            .push((timestamp.value, Track::Audio, data[1..].to_vec()));
                    }
                    ClientSessionEvent::VideoDataReceived { timestamp, data } if data[1] == 1 => {
                        self.got
                            .push((timestamp.value, Track::Video, data[5..].to_vec()));
                    }
                    _ => {}
                },
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }
}

impl Client for Rml {
    fn feed(&mut self, _now: Instant, bytes: &[u8]) {
        let mut rest = bytes.to_vec();
        if let Some(handshake) = &mut self.handshake {
            match handshake.process_bytes(bytes).expect("a handshake") {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    self.out.extend(response_bytes);
                    return;
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    self.out.extend(response_bytes);
                    rest = remaining_bytes;
                    self.handshake = None;
                    let request = self.session.request_connection("live".into()).unwrap();
                    self.results(vec![request]);
                }
            }
        }
        let results = self
            .session
            .handle_input(&rest)
            .expect("bytes that rml_rtmp can read");
        self.results(results);
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

fn play_to(client: &mut dyn Client, seed: u64) -> Vec<(u32, Track, Vec<u8>)> {
    let mut rng = Rng::from_number(seed);
    let (mut player, mut source) = (player(seed), Source::new());
    carry(millis(0), &mut player, client, &source.log, &mut rng);
    assert_eq!(events(&mut player), [play_event("live", "a")]);
    player.start(millis(0), &source.log, true);
    source.span(0, 400);
    carry(millis(400), &mut player, client, &source.log, &mut rng);
    let sent = source.sent.iter();
    sent.map(|sent| (sent.millis as u32, sent.track, sent.bytes.clone()))
        .collect()
}

#[test]
fn foreign_clients_receive_every_frame_at_any_split() {
    for seed in 0..6 {
        let url = "rtmp://box/live/a".parse().unwrap();
        let connection = RtmpPlayClientConnection::new(url);
        let mut client = Shiguredo {
            connection,
            got: Vec::new(),
            state: None,
        };
        let expected = play_to(&mut client, seed);
        assert_eq!(client.got, expected, "seed {seed}");
        assert_eq!(client.state, Some(RtmpConnectionState::Playing));
        let mut client = Rml::new();
        let expected = play_to(&mut client, seed);
        assert_eq!(client.got, expected, "seed {seed}");
    }
}

/// Everything that a client says up to and with `play`, and what it is answered.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let (mut player, mut watching) = (player(1), Watching::new("a"));
    let mut source = Source::new();
    source.span(0, 100);
    let (mut said, mut answered) = (Vec::new(), Vec::new());
    let mut out = vec![0; 131_072];
    for _ in 0..6 {
        let bytes = watching.take();
        player.handle_bytes(millis(0), &bytes);
        said.extend(bytes);
        if let Some(PlayerEvent::Play { .. }) = player.poll_event() {
            player.start(millis(0), &source.log, true);
        }
        let given = player.poll_transmit(millis(100), &source.log, &mut out);
        watching.feed(millis(0), &out[..given]);
        player.transmitted(millis(100), given, &source.log);
        answered.extend_from_slice(&out[..given]);
    }
    assert_eq!(watching.times().1.len(), 3);
    (said, answered)
}

fn mutated(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(5) {
        let from = if rng.below(10) == 0 { 0 } else { 3_073 };
        let at = from + rng.below((bytes.len() - from) as u32) as usize;
        bytes[at] = rng.u32() as u8;
    }
    bytes
}

#[test]
fn truncated_and_mutated_clients_never_panic() {
    let (said, _) = conversation();
    let mut source = Source::new();
    source.span(0, 100);
    let mut out = vec![0; 131_072];
    let mut try_with = |bytes: &[u8], piece: usize| {
        let mut player = player(1);
        let mut started = false;
        for piece in bytes.chunks(piece) {
            player.handle_bytes(millis(0), piece);
            while let Some(event) = player.poll_event() {
                if let PlayerEvent::Play { .. } = event {
                    player.start(millis(0), &source.log, true);
                    started = true;
                }
            }
            let given = player.poll_transmit(millis(100), &source.log, &mut out);
            player.transmitted(millis(100), given, &source.log);
            player.check_invariants();
        }
        started
    };
    assert!(try_with(&said, 100_000));
    for len in (0..3_073).step_by(97).chain(3_073..said.len() - 40) {
        assert!(!try_with(&said[..len], 700), "cut at {len}");
    }
    let mut rng = Rng::from_number(7);
    for _ in 0..3_000 {
        try_with(&mutated(&said, &mut rng), 1 + rng.below(5_000) as usize);
    }
}

#[test]
fn truncated_and_mutated_servers_never_panic_a_viewer() {
    let (_, answered) = conversation();
    let try_with = |bytes: &[u8], piece: usize| {
        let mut watching = Watching::new("a");
        for piece in bytes.chunks(piece) {
            watching.feed(millis(0), piece);
            watching.take();
        }
        watching.told.len()
    };
    let all = try_with(&answered, 100_000);
    assert!(all > 8);
    for len in (0..3_073).step_by(97).chain(3_073..answered.len()) {
        assert!(try_with(&answered[..len], 700) <= all);
    }
    let mut rng = Rng::from_number(8);
    for _ in 0..3_000 {
        try_with(&mutated(&answered, &mut rng), 1 + rng.below(5_000) as usize);
    }
}
