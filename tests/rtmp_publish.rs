//! The publisher towards servers: two of other makers, and one that can be made to misbehave.

mod rtmp_support;

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
};
use rtmp_support::{
    Script, Scripted, Sent, Server, Source, both_tracks, carry, config, events, millis, prove,
    publisher, video_config,
};
use shiguredo_rtmp::{RtmpConnectionEvent, RtmpServerConnection};
use trunkcast::base::codec::{CodecConfig, Track};
use trunkcast::base::rng::Rng;
use trunkcast::rtmp::{Publisher, PublisherEvent, RtmpStatus};
use trunkcast::wire::flv::{Metadata, Part, TagForm, VideoHead};
use trunkcast::wire::rtmp_message::{Command, Control, kind};

/// A media message as a foreign server understood it: time, track, tag bytes aside.
type Got = (u32, Track, Vec<u8>);

struct Shiguredo {
    connection: RtmpServerConnection,
    headers: usize,
    got: Vec<Got>,
    requested: Option<(String, String)>,
    gone: bool,
}

impl Shiguredo {
    fn new() -> Self {
        let connection = RtmpServerConnection::new();
        Self {
            connection,
            headers: 0,
            got: Vec::new(),
            requested: None,
            gone: false,
        }
    }
}

impl Server for Shiguredo {
    fn feed(&mut self, bytes: &[u8]) {
        self.connection
            .feed_recv_buf(bytes)
            .expect("bytes that shiguredo_rtmp can read");
        while let Some(event) = self.connection.next_event() {
            match event {
                RtmpConnectionEvent::PublishRequested {
                    app, stream_name, ..
                } => {
                    self.requested = Some((app, stream_name));
                    self.connection.accept().expect("accepted");
                }
                RtmpConnectionEvent::AudioReceived(frame) => {
                    assert_eq!(frame.format as u8, 7);
                    self.got
                        .push((frame.timestamp.as_millis(), Track::Audio, frame.data));
                }
                RtmpConnectionEvent::VideoReceived(frame) => {
                    if frame.avc_packet_type == Some(shiguredo_rtmp::AvcPacketType::SequenceHeader)
                    {
                        self.headers += 1;
                    } else {
                        self.got
                            .push((frame.timestamp.as_millis(), Track::Video, frame.data));
                    }
                }
                RtmpConnectionEvent::DisconnectedByPeer { .. } => self.gone = true,
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
    session: ServerSession,
    out: Vec<u8>,
    held: Vec<u8>,
    headers: usize,
    metadata: usize,
    got: Vec<Got>,
    finished: bool,
}

impl Rml {
    fn new() -> Self {
        let (session, first) = ServerSession::new(ServerSessionConfig::new()).unwrap();
        let mut rml = Self {
            handshake: Some(Handshake::new(PeerType::Server)),
            session,
            out: Vec::new(),
            held: Vec::new(),
            headers: 0,
            metadata: 0,
            got: Vec::new(),
            finished: false,
        };
        rml.results(first);
        rml.held = std::mem::take(&mut rml.out);
        rml
    }

    fn results(&mut self, results: Vec<ServerSessionResult>) {
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => self.out.extend(packet.bytes),
                ServerSessionResult::RaisedEvent(event) => self.event(event),
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    fn event(&mut self, event: ServerSessionEvent) {
        match event {
            ServerSessionEvent::ConnectionRequested { request_id, .. }
            | ServerSessionEvent::ReleaseStreamRequested { request_id, .. }
            | ServerSessionEvent::PublishStreamRequested { request_id, .. } => {
                let results = self.session.accept_request(request_id).unwrap();
                self.results(results);
            }
            ServerSessionEvent::AudioDataReceived {
                data, timestamp, ..
            } => {
                self.got
                    .push((timestamp.value, Track::Audio, data[1..].to_vec()));
            }
            ServerSessionEvent::VideoDataReceived {
                data, timestamp, ..
            } => {
                if data[1] == 0 {
                    self.headers += 1;
                } else {
                    self.got
                        .push((timestamp.value, Track::Video, data[5..].to_vec()));
                }
            }
            ServerSessionEvent::StreamMetadataChanged { metadata, .. } => {
                assert_eq!(metadata.video_width, Some(320));
                self.metadata += 1;
            }
            ServerSessionEvent::PublishStreamFinished { .. } => self.finished = true,
            _ => {}
        }
    }
}

impl Server for Rml {
    fn feed(&mut self, bytes: &[u8]) {
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
                    self.out.append(&mut self.held);
                    rest = remaining_bytes;
                    self.handshake = None;
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

/// What a server should have understood.
fn expected(sent: &[Sent], first_timestamp: u32) -> Vec<Got> {
    let origin = sent.first().map_or(0, |sent| sent.millis);
    let time = |sent: &Sent| first_timestamp.wrapping_add((sent.millis - origin) as u32);
    sent.iter()
        .map(|sent| (time(sent), sent.track, sent.bytes.clone()))
        .collect()
}

/// Connects and publishes a second of media, frame by frame, then stops.
fn publish_a_second(server: &mut dyn Server, first_timestamp: u32, seed: u64) -> Source {
    let mut rng = Rng::from_number(seed);
    let mut source = Source::new();
    let mut publisher = publisher(first_timestamp);
    assert_eq!(publisher.poll_event(), Some(PublisherEvent::Connect));
    publisher.handle_connected(millis(0));
    carry(millis(0), &mut publisher, server, &source.log, &mut rng);
    assert_ne!(publisher.status(), RtmpStatus::Active, "not yet proven");
    prove(millis(0), &mut publisher);
    assert_eq!(
        publisher.status(),
        RtmpStatus::Active,
        "{}",
        publisher.reason()
    );
    for at in (0..1_000_u64).step_by(20) {
        if at % 40 == 0 {
            source.picture(at, at % 400 == 0, 200 + at as usize * 9);
        }
        source.sound(at);
        carry(millis(at), &mut publisher, server, &source.log, &mut rng);
        source.log.release_before(publisher.position());
        assert_eq!(source.log.start(), source.log.end(), "everything was sent");
    }
    publisher.stop(millis(1_000));
    carry(millis(1_000), &mut publisher, server, &source.log, &mut rng);
    assert!(publisher.is_stopped());
    assert!(events(&mut publisher).ends_with(&[PublisherEvent::Close]));
    assert_eq!(source.pool.available(), source.pool.capacity());
    source
}

#[test]
fn shiguredo_receives_every_frame_at_any_split() {
    for seed in 0..8 {
        let mut server = Shiguredo::new();
        let source = publish_a_second(&mut server, 0, seed);
        assert_eq!(server.got, expected(&source.sent, 0), "seed {seed}");
        assert_eq!(server.headers, 1);
        assert_eq!(server.requested, Some(("live".into(), "rtmp_100".into())));
    }
}

#[test]
fn rml_receives_every_frame_at_any_split() {
    for seed in 0..8 {
        let mut server = Rml::new();
        let source = publish_a_second(&mut server, 0, seed);
        assert_eq!(server.got, expected(&source.sent, 0), "seed {seed}");
        assert_eq!((server.headers, server.metadata), (1, 1));
        assert!(server.finished);
    }
}

#[test]
fn time_crosses_24_and_32_bits() {
    for first in [(1 << 24) - 500, u32::MAX - 500, (1 << 24) - 2, 0xff_ffff] {
        let mut server = Shiguredo::new();
        let source = publish_a_second(&mut server, first, 3);
        assert_eq!(server.got, expected(&source.sent, first), "from {first:#x}");
        let mut server = Rml::new();
        let source = publish_a_second(&mut server, first, 4);
        assert_eq!(server.got, expected(&source.sent, first), "from {first:#x}");
    }
}

/// A publisher that is up against a scripted server.
struct Up {
    publisher: Box<Publisher>,
    server: Scripted,
    source: Source,
    rng: Rng,
}

impl Up {
    fn new(expect_video: bool) -> Self {
        let mut up = Self {
            publisher: publisher(0),
            server: Scripted::new(Script::Accept),
            source: Source::new(),
            rng: Rng::from_number(5),
        };
        up.publisher.set_expect_video(expect_video);
        up.connect(0);
        prove(millis(0), &mut up.publisher);
        assert_eq!(up.publisher.status(), RtmpStatus::Active);
        let told = events(&mut up.publisher);
        assert_eq!(
            told.last() == Some(&PublisherEvent::KeyframeWanted),
            expect_video
        );
        up
    }

    fn connect(&mut self, at: u64) {
        self.server = Scripted::new(self.server.script.clone());
        self.publisher.handle_connected(millis(at));
        self.carry(at);
    }

    fn carry(&mut self, at: u64) {
        let log = &self.source.log;
        carry(
            millis(at),
            &mut self.publisher,
            &mut self.server,
            log,
            &mut self.rng,
        );
        let position = self.publisher.position();
        self.source.log.release_before(position);
    }

    /// Timestamps of audio, and of pictures, that the server has.
    fn times(&self) -> (Vec<u32>, Vec<u32>) {
        let media = self.server.media();
        let of = |wanted: u8| {
            let wanted = media.iter().filter(move |(head, body)| {
                head.kind == wanted && (wanted == kind::AUDIO || body[1] == 1)
            });
            wanted.map(|(head, _)| head.timestamp).collect::<Vec<_>>()
        };
        (of(kind::AUDIO), of(kind::VIDEO))
    }

    fn metadata(&self) -> Vec<Metadata> {
        let data = self
            .server
            .messages
            .iter()
            .filter(|(head, _)| head.kind == kind::DATA);
        data.filter_map(|(_, body)| Metadata::parse(body).unwrap())
            .collect()
    }

    fn sequence_headers(&self) -> usize {
        let part = |body: &[u8]| VideoHead::parse(body).map(|head| head.part);
        let media = self.server.media();
        let video = media
            .iter()
            .filter(|(message, _)| message.kind == kind::VIDEO);
        video
            .filter(|(_, body)| part(body) == Some(Part::SequenceHeader))
            .count()
    }
}

#[test]
fn commands_come_in_the_usual_order_and_pings_are_answered() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 100);
    up.carry(0);
    let pong = (
        kind::USER_CONTROL,
        Control::PingResponse(77).encode().1.to_vec(),
    );
    let control = up
        .server
        .messages
        .iter()
        .map(|(head, body)| (head.kind, body.clone()));
    assert!(control.into_iter().any(|message| message == pong));
    up.publisher.stop(millis(5));
    up.carry(5);
    assert_eq!(
        up.server.commands(),
        [
            "connect",
            "releaseStream",
            "FCPublish",
            "createStream",
            "publish",
            "FCUnpublish",
            "deleteStream"
        ]
    );
    let (head, body) = &up.server.messages[0];
    let connect = Command::parse(head.kind, body).unwrap();
    let object = connect.object().unwrap();
    assert_eq!(object.get_str("app"), Some("live"));
    assert_eq!(object.get_str("tcUrl"), Some("rtmp://h/live"));
    assert!(object.get("fourCcList").is_some());
}

#[test]
fn audio_waits_a_second_for_the_first_keyframe_and_no_longer() {
    let mut up = Up::new(true);
    for at in (0..1_000).step_by(20) {
        up.source.sound(at);
        up.source.picture(at, false, 100);
        up.carry(at);
        assert_eq!(up.server.media(), [], "nothing at {at}");
        assert_eq!(up.publisher.poll_timeout(), Some(millis(1_000)));
    }
    assert!(events(&mut up.publisher).is_empty(), "one need, one event");
    up.publisher.handle_timeout(millis(1_000));
    up.carry(1_000);
    let (audio, video) = up.times();
    assert_eq!((audio.len(), video.len()), (50, 0));
    let only_audio = Metadata::default().with(&CodecConfig::Pcma, TagForm::Legacy);
    assert_eq!(up.metadata(), [only_audio]);
    up.source.picture(1_010, true, 100);
    up.carry(1_010);
    let both = both_tracks();
    assert_eq!(up.metadata(), [only_audio, both]);
    assert_eq!(up.times().1, [1_010]);
}

#[test]
fn a_keyframe_within_the_second_lets_the_audio_before_it_go_too() {
    let mut up = Up::new(true);
    for at in [0, 20, 40] {
        up.source.sound(at);
        up.carry(at);
    }
    up.source.picture(50, true, 5_000);
    up.carry(50);
    assert_eq!(up.times(), (vec![0, 20, 40], vec![50]));
    let both = both_tracks();
    assert_eq!(up.metadata(), [both]);
}

#[test]
fn nothing_is_lost_while_the_first_connection_is_made() {
    let mut up = Up {
        publisher: publisher(0),
        server: Scripted::new(Script::Accept),
        source: Source::new(),
        rng: Rng::from_number(5),
    };
    for at in [0, 20, 40, 60, 80, 100] {
        up.source.sound(at);
        if at == 20 || at == 60 {
            up.source.picture(at, at == 20, 100);
        }
        up.carry(at);
    }
    up.connect(110);
    assert_eq!(up.times(), (vec![0, 20, 40, 60, 80, 100], vec![20, 60]));
}

#[test]
fn audio_alone_does_not_wait_and_video_does_not_wait_for_audio() {
    let mut up = Up::new(false);
    up.source.sound(0);
    up.carry(0);
    assert_eq!(up.times().0, [0]);
    let mut up = Up::new(true);
    up.source.picture(0, true, 100);
    up.carry(0);
    assert_eq!(up.times().1, [0]);
}

#[test]
fn a_new_configuration_has_a_new_sequence_header_before_its_keyframe() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 100);
    up.source.picture(40, false, 100);
    up.source.video = video_config(640, 480);
    up.source.picture(80, true, 100);
    up.source.picture(120, false, 100);
    up.carry(120);
    let kinds: Vec<_> = up
        .server
        .media()
        .iter()
        .map(|(_, body)| (body[0], body[1]))
        .collect();
    assert_eq!(
        kinds,
        [
            (0x17, 0),
            (0x17, 1),
            (0x27, 1),
            (0x17, 0),
            (0x17, 1),
            (0x27, 1)
        ]
    );
    assert_eq!(
        up.metadata()
            .iter()
            .map(|meta| meta.width)
            .collect::<Vec<_>>(),
        [320, 640]
    );
}

#[test]
fn tracks_that_cross_keep_their_own_times() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 100);
    up.source.sound(100);
    // The picture of 40 ms is whole only after the sound of 100 ms; that of 30 ms goes back.
    up.source.picture(40, false, 100);
    up.source.picture(30, false, 100);
    up.source.sound(5_000);
    up.source.picture(80, false, 100);
    up.carry(100);
    assert_eq!(up.times(), (vec![100, 5_000], vec![0, 40, 41, 4_000]));
    assert_eq!(up.publisher.media_counters().clamped_times, 2);
}

#[test]
fn a_stall_drops_video_to_the_next_keyframe_and_keeps_audio() {
    let mut up = Up::new(true);
    up.source.span(0, 200);
    up.carry(200);
    // Nothing is taken for 2.4 s; one message has begun.
    let mut out = [0; 700];
    up.source.picture(200, false, 2_000);
    let given = up
        .publisher
        .poll_transmit(millis(200), &up.source.log, &mut out);
    up.server.feed(&out[..given]);
    up.publisher.transmitted(millis(200), given, &up.source.log);
    for at in (220..2_600).step_by(20) {
        up.source.sound(at);
        up.source.picture(at, false, 500);
        up.source.log.release_before(up.publisher.position());
        let given = up
            .publisher
            .poll_transmit(millis(at), &up.source.log, &mut out);
        assert!(given > 0);
        up.publisher.transmitted(millis(at), 0, &up.source.log);
    }
    assert!(
        events(&mut up.publisher).is_empty(),
        "no keyframe is asked for in a stall"
    );
    up.carry(2_600);
    assert_eq!(events(&mut up.publisher), [PublisherEvent::KeyframeWanted]);
    let (audio, video) = up.times();
    assert_eq!(
        video.last(),
        Some(&200),
        "the begun picture was finished, no other sent"
    );
    assert!(audio.len() > 10 + 100, "{}", audio.len());
    up.source.picture(2_640, true, 500);
    up.source.picture(2_680, false, 500);
    up.carry(2_680);
    assert!(up.times().1.ends_with(&[200, 2_640, 2_680]));
    assert_eq!(up.sequence_headers(), 1);
    let begun = up
        .server
        .media()
        .into_iter()
        .find(|(head, _)| head.timestamp == 200)
        .unwrap();
    let whole = up
        .source
        .sent
        .iter()
        .find(|sent| sent.bytes.len() > 2_000)
        .unwrap();
    assert_eq!(begun.1[5..], whole.bytes);
    assert_eq!(up.publisher.media_counters().stalls, 1);
}

#[test]
fn video_alone_asks_for_its_keyframe_after_a_stall_that_left_nothing_to_send() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 500);
    up.carry(0);
    let mut out = [0; 4_096];
    for at in (40..2_400).step_by(40) {
        up.source.picture(at, false, 500);
        assert!(
            up.publisher
                .poll_transmit(millis(40), &up.source.log, &mut out)
                > 0
        );
        up.publisher.transmitted(millis(at), 0, &up.source.log);
    }
    assert!(events(&mut up.publisher).is_empty());
    up.carry(2_400);
    assert_eq!(up.times().1, [0]);
    assert_eq!(events(&mut up.publisher), [PublisherEvent::KeyframeWanted]);
    up.source.picture(2_400, false, 500);
    up.carry(2_400);
    assert!(events(&mut up.publisher).is_empty(), "asked once");
}

#[test]
fn a_begun_message_is_finished_after_the_log_has_dropped_its_frame() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 60_000);
    let mut out = [0; 1_500];
    let given = up
        .publisher
        .poll_transmit(millis(0), &up.source.log, &mut out);
    assert!(
        given < 1_000,
        "metadata and sequence header, and no part of what does not fit"
    );
    up.server.feed(&out[..given]);
    up.publisher.transmitted(millis(0), given, &up.source.log);
    // The keyframe itself, in part.
    let given = up
        .publisher
        .poll_transmit(millis(0), &up.source.log, &mut out);
    assert_eq!(given, 1_500);
    up.server.feed(&out[..given]);
    up.publisher.transmitted(millis(0), given, &up.source.log);
    for at in 1..600 {
        up.source.sound(at * 20);
    }
    assert!(up.source.log.start() > 300);
    let sent = up.source.sent[0].bytes.clone();
    up.carry(12_000);
    let media = up.server.media();
    assert_eq!(media[1].1[5..], sent);
    assert!(up.publisher.media_counters().lost > 300);
    assert_eq!(up.source.pool.available(), up.source.pool.capacity());
}

#[test]
fn a_keyframe_larger_than_the_write_buffer_goes_out_in_parts() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 400_000);
    up.source.sound(0);
    up.carry(0);
    assert_eq!(up.server.media()[1].1[5..], up.source.sent[0].bytes);
    assert_eq!(up.times().0.len(), 1);
}

#[test]
fn a_lost_connection_comes_back_with_headers_and_a_keyframe() {
    let mut up = Up::new(true);
    up.source.span(0, 400);
    up.carry(400);
    up.publisher
        .handle_disconnected(millis(400), "connection reset");
    let reason = "connection reset".try_into().unwrap();
    let lost = PublisherEvent::Status {
        status: RtmpStatus::Lost,
        reason,
    };
    assert_eq!(events(&mut up.publisher), [lost]);
    let retry = up.publisher.poll_timeout().unwrap();
    assert!(retry > millis(550) && retry < millis(750), "{retry}");
    // Frames go on; without a keyframe only the last second is kept.
    for at in (400..3_000).step_by(20) {
        up.source.sound(at);
        up.source.picture(at, false, 100);
        up.carry(at);
    }
    assert!(up.source.log.end() - up.source.log.start() < 110);
    up.source.picture(3_000, true, 100);
    up.carry(3_000);
    up.source.picture(3_040, false, 100);
    up.publisher.handle_timeout(millis(3_050));
    assert_eq!(events(&mut up.publisher), [PublisherEvent::Connect]);
    up.connect(3_060);
    prove(millis(3_060), &mut up.publisher);
    assert_eq!(up.publisher.status(), RtmpStatus::Active);
    let second: Vec<u32> = (0..50).map(|n| n * 20).collect();
    let (audio, video) = up.times();
    assert_eq!(audio, second, "the sound of the second before the keyframe");
    assert_eq!(video, [1_000, 1_040], "no picture before it");
    assert_eq!((up.sequence_headers(), up.metadata().len()), (1, 1));
    let told = events(&mut up.publisher);
    let wanted = told
        .iter()
        .filter(|event| **event == PublisherEvent::KeyframeWanted);
    assert_eq!(wanted.count(), 1, "a fresh one is wanted on return");
}

#[test]
fn a_server_that_comes_late_makes_waits_grow_and_status_honest() {
    let mut publisher = publisher(0);
    let source = Source::new();
    let mut now = millis(0);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(publisher.poll_event(), Some(PublisherEvent::Connect));
        publisher.handle_disconnected(now, "connection refused");
        assert_eq!(publisher.status(), RtmpStatus::Failed);
        assert_eq!(publisher.reason(), "connection refused");
        let next = publisher.poll_timeout().unwrap();
        waits.push((next - now).as_millis());
        now = next;
        while publisher.poll_event().is_some() {}
        publisher.handle_timeout(now);
    }
    assert!(
        waits[0] < 320 && waits[9] > 20_000 && waits[9] <= 30_000,
        "{waits:?}"
    );
    assert_eq!(publisher.status().to_string(), "RTMP_CONNECTION_FAILED");
    let mut server = Scripted::new(Script::Accept);
    publisher.handle_connected(now);
    carry(
        now,
        &mut publisher,
        &mut server,
        &source.log,
        &mut Rng::from_number(1),
    );
    prove(now, &mut publisher);
    assert_eq!(publisher.status(), RtmpStatus::Active);
    // Lost soon after: the waits go on from where they were.
    publisher.handle_disconnected(now, "gone");
    assert!((publisher.poll_timeout().unwrap() - now).as_millis() > 20_000);
    assert_eq!(publisher.status(), RtmpStatus::Lost);
}

#[test]
fn lasting_success_makes_the_waits_begin_anew() {
    let mut publisher = publisher(0);
    let source = Source::new();
    let mut now = millis(0);
    for _ in 0..6 {
        publisher.handle_disconnected(now, "refused");
        now = publisher.poll_timeout().unwrap();
        publisher.handle_timeout(now);
    }
    let mut server = Scripted::new(Script::Accept);
    publisher.handle_connected(now);
    carry(
        now,
        &mut publisher,
        &mut server,
        &source.log,
        &mut Rng::from_number(1),
    );
    let later = now + core::time::Duration::from_secs(11);
    publisher.handle_disconnected(later, "gone");
    assert!((publisher.poll_timeout().unwrap() - later).as_millis() < 320);
}

#[test]
fn a_busy_name_is_waited_for() {
    let mut publisher = publisher(0);
    let source = Source::new();
    let mut rng = Rng::from_number(1);
    let mut server = Scripted::new(Script::RefusePublish("NetStream.Publish.BadName"));
    publisher.handle_connected(millis(0));
    carry(
        millis(0),
        &mut publisher,
        &mut server,
        &source.log,
        &mut rng,
    );
    assert_eq!(publisher.status(), RtmpStatus::Failed);
    assert!(
        publisher.reason().contains("NetStream.Publish.BadName"),
        "{}",
        publisher.reason()
    );
    let told = events(&mut publisher);
    assert!(told.contains(&PublisherEvent::Close), "{told:?}");
    let next = publisher.poll_timeout().unwrap();
    publisher.handle_timeout(next);
    assert_eq!(events(&mut publisher), [PublisherEvent::Connect]);
    let mut server = Scripted::new(Script::Accept);
    publisher.handle_connected(next);
    carry(next, &mut publisher, &mut server, &source.log, &mut rng);
    prove(next, &mut publisher);
    assert_eq!(publisher.status(), RtmpStatus::Active);
}

#[test]
fn a_stream_that_is_accepted_and_ended_at_once_was_never_active() {
    let mut publisher = publisher(0);
    let source = Source::new();
    let mut server = Scripted::new(Script::Accept);
    publisher.handle_connected(millis(0));
    carry(
        millis(0),
        &mut publisher,
        &mut server,
        &source.log,
        &mut Rng::from_number(1),
    );
    assert_eq!(publisher.poll_timeout(), Some(millis(300)));
    publisher.handle_disconnected(millis(2), "closed by the peer");
    assert_eq!(publisher.status(), RtmpStatus::Failed);
    assert!(
        publisher
            .reason()
            .contains("ended it at once: closed by the peer")
    );
    assert!(!events(&mut publisher).iter().any(|event| {
        matches!(
            event,
            PublisherEvent::Status {
                status: RtmpStatus::Active,
                ..
            }
        )
    }));
}

#[test]
fn servers_that_do_not_answer_are_given_up_in_time() {
    for (script, words) in [
        (Script::Dead, "no RTMP handshake within 10 s"),
        (Script::Silent, "no answer to connect within 10 s"),
    ] {
        let mut publisher = publisher(0);
        let source = Source::new();
        let mut server = Scripted::new(script);
        publisher.handle_connected(millis(100));
        carry(
            millis(100),
            &mut publisher,
            &mut server,
            &source.log,
            &mut Rng::from_number(1),
        );
        let deadline = publisher.poll_timeout().unwrap();
        assert_eq!(deadline, millis(10_100));
        publisher.handle_timeout(deadline);
        assert_eq!(
            (publisher.status(), publisher.reason()),
            (RtmpStatus::Failed, words)
        );
    }
    let mut publisher = publisher(0);
    publisher.handle_timeout(millis(10_000));
    assert_eq!(publisher.reason(), "no connection within 10 s");
}

#[test]
fn a_server_that_stands_still_is_lost_after_fifteen_seconds() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 5_000);
    let mut out = [0; 4_096];
    let given = up
        .publisher
        .poll_transmit(millis(0), &up.source.log, &mut out);
    up.publisher
        .transmitted(millis(0), given - 1, &up.source.log);
    for at in 1..15 {
        assert!(
            up.publisher
                .poll_transmit(millis(at * 1_000), &up.source.log, &mut out)
                > 0
        );
        up.publisher
            .transmitted(millis(at * 1_000), 0, &up.source.log);
        up.publisher.handle_timeout(millis(at * 1_000));
        assert_eq!(up.publisher.status(), RtmpStatus::Active);
    }
    assert_eq!(up.publisher.poll_timeout(), Some(millis(15_000)));
    up.publisher.handle_timeout(millis(15_000));
    assert_eq!(up.publisher.status(), RtmpStatus::Lost);
    assert!(events(&mut up.publisher).contains(&PublisherEvent::Close));
}

#[test]
fn what_the_server_ends_is_lost_with_its_words() {
    let mut up = Up::new(true);
    up.server
        .status("status", "NetStream.Unpublish.Success", "bye");
    up.carry(10);
    assert_eq!(up.publisher.status(), RtmpStatus::Lost);
    assert!(up.publisher.reason().contains("bye"));
}

#[test]
fn adobe_authentication_is_answered_over_three_connections() {
    let config = config("rtmp://me:pass@h/live?x=1", "rtmp_100");
    let mut publisher = Box::new(Publisher::new(millis(0), config, Rng::from_number(9)));
    let source = Source::new();
    let mut rng = Rng::from_number(1);
    let mut apps = Vec::new();
    for script in [
        Script::RefuseConnect("[ code=403 need auth; authmod=adobe ] : ".into()),
        Script::RefuseConnect(
            "[ authmod=adobe ] : ?reason=needauth&user=me&salt=s&challenge=c&opaque=o".into(),
        ),
        Script::Accept,
    ] {
        assert!(events(&mut publisher).contains(&PublisherEvent::Connect));
        let mut server = Scripted::new(script);
        publisher.handle_connected(millis(0));
        carry(
            millis(0),
            &mut publisher,
            &mut server,
            &source.log,
            &mut rng,
        );
        let (head, body) = &server.messages[0];
        let object = Command::parse(head.kind, body).unwrap().object().unwrap();
        apps.push(object.get_str("app").unwrap().to_owned());
        assert!(!String::from_utf8_lossy(body).contains("pass"));
    }
    prove(millis(0), &mut publisher);
    assert_eq!(publisher.status(), RtmpStatus::Active);
    assert_eq!(apps[..2], ["live?x=1", "live?x=1&authmod=adobe&user=me"]);
    assert!(
        apps[2].contains("&response=") && apps[2].ends_with("&opaque=o"),
        "{apps:?}"
    );
}

#[test]
fn wrong_credentials_are_a_failure_with_words() {
    for (url, words) in [
        (
            "rtmp://me:pass@h/live",
            "the server refused user and password",
        ),
        ("rtmp://h/live", "the server wants user and password"),
    ] {
        let mut publisher = Box::new(Publisher::new(
            millis(0),
            config(url, "k"),
            Rng::from_number(9),
        ));
        let source = Source::new();
        for _ in 0..3 {
            let refusal = Script::RefuseConnect("code=403 need auth; authmod=adobe".into());
            let mut server = Scripted::new(refusal);
            publisher.handle_connected(millis(0));
            carry(
                millis(0),
                &mut publisher,
                &mut server,
                &source.log,
                &mut Rng::from_number(1),
            );
        }
        assert_eq!(
            (publisher.status(), publisher.reason()),
            (RtmpStatus::Failed, words)
        );
    }
}

#[test]
fn stopping_still_sends_what_the_log_holds_and_nothing_later() {
    let mut up = Up::new(true);
    up.source.picture(0, true, 100);
    up.carry(0);
    up.source.sound(20);
    up.source.picture(40, false, 100);
    up.publisher.stop(millis(40));
    let mut out = [0; 300];
    let given = up
        .publisher
        .poll_transmit(millis(40), &up.source.log, &mut out);
    up.server.feed(&out[..given]);
    up.publisher.transmitted(millis(40), given, &up.source.log);
    up.source.sound(60);
    up.carry(60);
    assert_eq!(up.times(), (vec![20], vec![0, 40]));
    assert_eq!(
        up.server.commands().last().map(String::as_str),
        Some("deleteStream")
    );
    assert!(up.publisher.is_stopped());
}

#[test]
fn stopping_without_a_stream_ends_at_once() {
    let mut publisher = publisher(0);
    publisher.stop(millis(0));
    assert!(publisher.is_stopped());
    assert_eq!(publisher.position(), u64::MAX);
    assert_eq!(publisher.poll_timeout(), None);
    let mut up = Up::new(true);
    up.publisher.stop(millis(0));
    up.publisher.handle_timeout(millis(1_000));
    assert!(
        up.publisher.is_stopped(),
        "a server that reads nothing does not hold it up"
    );
}

#[test]
fn acknowledgements_carry_the_running_total() {
    let mut up = Up::new(true);
    up.server.control(Control::WindowAckSize(1_000));
    for _ in 0..3 {
        up.server.say(kind::AUDIO, 1, &[0; 1_500]);
        up.carry(0);
    }
    let totals = up.server.messages.iter().filter_map(|(head, body)| {
        match Control::parse(head.kind, body) {
            Some(Control::Acknowledgement(total)) => Some(total),
            _ => None,
        }
    });
    let totals: Vec<_> = totals.collect();
    assert!(totals.len() >= 3, "{totals:?}");
    assert!(
        totals.windows(2).all(|pair| pair[1] >= pair[0] + 1_000),
        "{totals:?}"
    );
}

#[test]
fn a_peer_that_pings_without_reading_is_cut_off() {
    let mut up = Up::new(true);
    for number in 0..1_000 {
        up.server.control(Control::PingRequest(number));
    }
    let bytes = up.server.take();
    up.publisher.handle_bytes(millis(0), &bytes);
    assert_eq!(up.publisher.status(), RtmpStatus::Lost);
    assert_eq!(
        up.publisher.reason(),
        "the peer asks for more than it reads"
    );
}

#[test]
fn truncated_and_mutated_servers_never_panic() {
    // What an accepting server says, recorded once.
    let mut publisher_ = publisher(0);
    let source = Source::new();
    let mut server = Scripted::new(Script::Accept);
    let mut said = Vec::new();
    publisher_.handle_connected(millis(0));
    let mut out = vec![0; 131_072];
    loop {
        let given = publisher_.poll_transmit(millis(0), &source.log, &mut out);
        server.feed(&out[..given]);
        publisher_.transmitted(millis(0), given, &source.log);
        let back = server.take();
        publisher_.handle_bytes(millis(0), &back);
        if given == 0 && back.is_empty() {
            break;
        }
        said.extend(back);
    }
    prove(millis(0), &mut publisher_);
    assert_eq!(publisher_.status(), RtmpStatus::Active);
    let mut source = Source::new();
    source.span(0, 100);
    let mut try_with = |bytes: &[u8], piece: usize| {
        let mut publisher = publisher(0);
        publisher.handle_connected(millis(0));
        for piece in bytes.chunks(piece) {
            publisher.handle_bytes(millis(0), piece);
            let given = publisher.poll_transmit(millis(0), &source.log, &mut out);
            publisher.transmitted(millis(0), given, &source.log);
            publisher.check_invariants();
        }
        while publisher.poll_event().is_some() {}
        prove(millis(0), &mut publisher);
        publisher.status()
    };
    assert_eq!(try_with(&said, 100_000), RtmpStatus::Active);
    for len in (0..3_073).step_by(97).chain(3_073..said.len()) {
        assert_eq!(
            try_with(&said[..len], 700),
            RtmpStatus::Wait,
            "cut at {len}"
        );
    }
    let mut rng = Rng::from_number(6);
    for _ in 0..3_000 {
        let mut bytes = said.clone();
        for _ in 0..=rng.below(5) {
            let from = if rng.below(10) == 0 { 0 } else { 3_073 };
            let at = from + rng.below((bytes.len() - from) as u32) as usize;
            bytes[at] = rng.u32() as u8;
        }
        try_with(&bytes, 1 + rng.below(5_000) as usize);
    }
}
