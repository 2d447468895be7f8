//! The publisher as a guest of servers as they are: what they list, refuse, redirect and leave out,
//! each in the form in which real ones say it.

mod rtmp_support;

use std::rc::Rc;
use std::time::Duration;

use rtmp_support::{Hook, Script, Scripted, Server, Source, carry, config, millis};
use trunkcast::base::codec::{Codec, CodecConfig, CodecSet, Track, Vp8Config};
use trunkcast::base::rng::Rng;
use trunkcast::rtmp::{
    LeftOut, Publisher, PublisherConfig, PublisherEvent, RtmpStatus, WhyLeftOut,
};
use trunkcast::wire::amf0::Amf0;
use trunkcast::wire::rtmp_message::{Command, Control, kind};

/// A publisher, the server that it is connected to, and what the caller sends.
struct Guest {
    publisher: Box<Publisher>,
    server: Scripted,
    source: Source,
    rng: Rng,
    now: u64,
    up: bool,
    told: Vec<PublisherEvent>,
}

impl Guest {
    fn of(hook: Hook) -> Self {
        Self::with(hook, config("rtmp://m3:pa55@a/live?t0ken", "k3y"))
    }

    fn with(hook: Hook, config: PublisherConfig) -> Self {
        let publisher = Publisher::new(millis(0), config, Rng::from_number(9));
        let mut server = Scripted::new(Script::Accept);
        server.hook = Some(hook);
        let mut guest = Self {
            publisher: Box::new(publisher),
            server,
            source: Source::new(),
            rng: Rng::from_number(5),
            now: 0,
            up: false,
            told: Vec::new(),
        };
        guest.settle();
        guest
    }

    /// Sees to events, deadlines and bytes until nothing is left of this moment.
    fn settle(&mut self) {
        for _ in 0..20 {
            let now = millis(self.now);
            self.publisher.handle_timeout(now);
            let log = &self.source.log;
            let publisher = &mut self.publisher;
            if self.up {
                carry(now, publisher, &mut self.server, log, &mut self.rng);
            } else {
                publisher.poll_transmit(now, log, &mut []);
            }
            self.source.log.release_before(publisher.position());
            let mut quiet = true;
            while let Some(event) = self.publisher.poll_event() {
                quiet = false;
                match event {
                    PublisherEvent::Connect => {
                        let hook = self.server.hook;
                        self.server = Scripted::new(Script::Accept);
                        self.server.hook = hook;
                        self.up = true;
                        self.publisher.handle_connected(now);
                    }
                    PublisherEvent::Close => self.up = false,
                    _ => {}
                }
                self.told.push(event);
            }
            if quiet {
                return;
            }
        }
        panic!("events without end: {:?}", self.told);
    }

    /// Lets time pass with a picture every 40 ms (a keyframe each second) and a sound every 20 ms;
    /// `ends` closes the connection when it says so of the server.
    fn live(&mut self, until: u64, ends: impl Fn(&Scripted) -> bool) {
        while self.now < until {
            if self.now.is_multiple_of(40) {
                let keyframe = self.now.is_multiple_of(1_000);
                self.source.picture(self.now, keyframe, 100);
            }
            self.source.sound(self.now);
            self.settle();
            if self.up && ends(&self.server) {
                self.up = false;
                let now = millis(self.now);
                self.publisher
                    .handle_disconnected(now, "closed by the peer");
                self.settle();
            }
            self.now += 20;
        }
    }

    fn connects(&self) -> usize {
        let connects = self.told.iter().filter(|e| **e == PublisherEvent::Connect);
        connects.count()
    }

    fn refused(&self) -> Vec<Codec> {
        let refused = self.told.iter().filter_map(|event| match event {
            PublisherEvent::CodecRefused(codec) => Some(*codec),
            _ => None,
        });
        refused.collect()
    }

    fn words(&self) -> &str {
        self.publisher.reason()
    }

    fn target(&self) -> String {
        self.publisher.target().to_string()
    }
}

fn kinds(server: &Scripted, wanted: u8) -> usize {
    let media = server.messages.iter();
    media.filter(|(head, _)| head.kind == wanted).count()
}

fn nothing(_: &mut Scripted, _: &str, _: f64) -> bool {
    false
}

fn never(_: &Scripted) -> bool {
    false
}

#[test]
fn connect_announces_what_this_side_can_do() {
    let guest = Guest::of(nothing);
    let (head, body) = &guest.server.messages[0];
    let connect = Command::parse(head.kind, body).unwrap();
    let object = connect.object().unwrap();
    let Some(Amf0::Array(list)) = object.get("fourCcList") else {
        panic!("no list")
    };
    let mut names: Vec<_> = list.values().filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Opus", "avc1", "mp4a", "vp08"]);
    for (map, names) in [
        ("videoFourCcInfoMap", ["avc1", "vp08"]),
        ("audioFourCcInfoMap", ["Opus", "mp4a"]),
    ] {
        let map = object.get(map).unwrap().as_object().unwrap();
        for name in names {
            assert_eq!(map.get(name), Some(Amf0::Number(4.0)), "{name}");
        }
        assert_eq!(map.properties().count(), 2);
    }
    assert_eq!(object.get("capsEx"), Some(Amf0::Number(1.0)));
}

fn lists_vp8(server: &mut Scripted, name: &str, number: f64) -> bool {
    if name == "connect" {
        server.command(|body| {
            body.string(&["_result"]).number(number).object();
            body.name("fmsVer").string(&["FMS/3,5,7,7009"]).end();
            body.object().name("code");
            body.string(&["NetConnection.Connect.Success"]);
            body.name("videoFourCcInfoMap").object();
            body.name("vp08").number(5.0).end().end();
        });
    }
    name == "connect"
}

#[test]
fn what_is_not_listed_is_left_out_of_the_same_stream() {
    let mut guest = Guest::of(lists_vp8);
    guest.source.video = Rc::new(CodecConfig::Vp8(Vp8Config {
        width: 320,
        height: 240,
    }));
    guest.source.audio = Rc::new(CodecConfig::Opus { channels: 1 });
    guest.live(1_000, never);
    let legacy = [
        Codec::H264,
        Codec::Aac,
        Codec::Speex,
        Codec::Pcma,
        Codec::Pcmu,
    ];
    assert!(guest.told.contains(&PublisherEvent::ServerTakes {
        codecs: CodecSet::of(&legacy).union(CodecSet::of(&[Codec::Vp8])),
        listed: CodecSet::of(&[Codec::Vp8]),
        lists: true,
    }));
    assert_eq!(guest.publisher.server_version(), "FMS/3,5,7,7009");
    assert!(kinds(&guest.server, kind::VIDEO) >= 25);
    assert_eq!(kinds(&guest.server, kind::AUDIO), 0);
    let out = LeftOut {
        codec: Codec::Opus,
        why: WhyLeftOut::NotListed,
    };
    assert_eq!(guest.publisher.left_out(Track::Audio), Some(out));
    assert_eq!(guest.publisher.left_out(Track::Video), None);
    assert_eq!(
        (guest.publisher.status(), guest.words()),
        (
            RtmpStatus::Active,
            "the server accepted the stream; audio left out: the server lists no Opus"
        )
    );
    // The caller changes over to a codec that every server takes.
    guest.source.audio = Rc::new(CodecConfig::Pcma);
    guest.live(2_000, never);
    assert_eq!(guest.publisher.left_out(Track::Audio), None);
    assert_eq!(guest.words(), "the server accepted the stream");
    assert!(kinds(&guest.server, kind::AUDIO) > 40);
    assert_eq!(guest.connects(), 1);
}

#[test]
fn abilities_and_known_refusals_have_words_of_their_own() {
    let limited = PublisherConfig {
        abilities: CodecSet::of(&[Codec::H264, Codec::Pcma]),
        ..config("rtmp://a/live", "k3y")
    };
    let mut guest = Guest::with(nothing, limited);
    guest.source.audio = Rc::new(CodecConfig::Pcmu);
    guest.live(500, never);
    let words = guest.publisher.left_out(Track::Audio).unwrap().to_string();
    assert_eq!(
        words,
        "audio left out: this kind of server takes no G.711 mu-law"
    );
    let known = PublisherConfig {
        refused: CodecSet::of(&[Codec::Pcma]),
        ..config("rtmp://a/live", "k3y")
    };
    let mut guest = Guest::with(nothing, known);
    guest.live(500, never);
    let words = guest.publisher.left_out(Track::Audio).unwrap().to_string();
    assert_eq!(words, "audio left out: the server refused G.711 A-law");
    assert!(kinds(&guest.server, kind::VIDEO) > 10);
    assert_eq!(kinds(&guest.server, kind::AUDIO), 0);
}

/// As SRS does: the first G.711 frame ends the connection.
fn hates_audio(server: &Scripted) -> bool {
    kinds(server, kind::AUDIO) > 0
}

#[test]
fn a_server_that_ends_at_the_first_sound_gets_video_alone() {
    let mut guest = Guest::of(nothing);
    guest.live(5_000, hates_audio);
    assert_eq!(guest.connects(), 3, "two ends, then the trial");
    assert_eq!(guest.refused(), [], "not proven yet");
    guest.live(15_000, hates_audio);
    assert_eq!(guest.refused(), [Codec::Pcma]);
    assert_eq!(
        (guest.publisher.status(), guest.words()),
        (
            RtmpStatus::Active,
            "the server accepted the stream; audio left out: the server refused G.711 A-law"
        )
    );
    // It stays left out when the stream is lost for another reason.
    guest.up = false;
    let now = millis(guest.now);
    guest.publisher.handle_disconnected(now, "reset");
    assert_eq!(guest.publisher.status(), RtmpStatus::Lost);
    guest.live(17_000, hates_audio);
    assert_eq!(guest.connects(), 4);
    assert_eq!(guest.publisher.status(), RtmpStatus::Active);
    let out = guest.publisher.left_out(Track::Audio).unwrap();
    assert_eq!(out.why, WhyLeftOut::Refused);
}

#[test]
fn a_certain_codec_is_never_left_out_and_an_innocent_one_is_put_back() {
    let certain = PublisherConfig {
        certain: CodecSet::of(&[Codec::Pcma]),
        ..config("rtmp://a/live", "k3y")
    };
    let mut guest = Guest::with(nothing, certain);
    guest.live(30_000, hates_audio);
    assert!(guest.connects() > 5);
    assert_eq!(guest.publisher.left_out(Track::Audio), None);
    // One that ends with any media: the trial of video alone fares no better.
    let any = |server: &Scripted| !server.media().is_empty();
    let mut guest = Guest::of(nothing);
    guest.live(15_000, any);
    assert!(guest.connects() > 4);
    assert_eq!(guest.publisher.left_out(Track::Audio), None);
    assert_eq!(guest.refused(), []);
}

#[test]
fn words_of_the_server_about_a_codec_count_at_once() {
    let mut guest = Guest::of(nothing);
    guest.live(100, never);
    let words = "Unsupported audio codec PCMA";
    guest
        .server
        .status("error", "NetStream.Publish.Rejected", words);
    guest.live(3_000, never);
    assert_eq!(guest.refused(), [Codec::Pcma]);
    assert_eq!(guest.connects(), 2);
    assert_eq!(guest.publisher.status(), RtmpStatus::Active);
    assert_eq!(kinds(&guest.server, kind::AUDIO), 0);
    assert!(kinds(&guest.server, kind::VIDEO) > 10);
}

#[test]
fn a_taken_name_says_nothing_of_codecs() {
    let mut guest = Guest::of(nothing);
    for _ in 0..4 {
        let until = guest.now + 10_000;
        guest.live(until, |server| kinds(server, kind::AUDIO) > 2_000);
        let words = "Stream already publishing";
        guest
            .server
            .status("error", "NetStream.Publish.BadName", words);
        let until = guest.now + 100;
        guest.live(until, never);
        assert_eq!(guest.publisher.left_out(Track::Audio), None);
    }
    assert_eq!(guest.refused(), []);
}

/// Says where to go in the refusal of `connect`, as Wowza and Adobe Media Server do.
fn redirect(server: &mut Scripted, command: &str, number: f64, to: &str) {
    server.command(|body| {
        body.string(&[command]).number(number).null().object();
        body.name("level").string(&["error"]);
        body.name("code")
            .string(&["NetConnection.Connect.Rejected"]);
        body.name("description").string(&["RTMP 302 Redirect"]);
        body.name("ex").object().name("code").number(302.0);
        body.name("redirect").string(&[to]).end().end();
    });
}

/// The `tcUrl` of the connection's `connect`.
fn tc_url(server: &Scripted) -> String {
    let connect = server.messages.iter().find_map(|(head, body)| {
        let command = Command::parse(head.kind, body)?;
        command.object()?.get_str("tcUrl").map(str::to_owned)
    });
    connect.unwrap_or_default()
}

#[test]
fn a_refusal_with_another_address_is_followed() {
    fn from_home(server: &mut Scripted, name: &str, command: &str, number: f64) -> bool {
        let is_home = name == "connect" && tc_url(server).contains("//a/");
        if is_home {
            redirect(server, command, number, "rtmp://edge:1936/live/k3y");
        }
        is_home
    }
    let hooks: [(&str, Hook); 2] = [
        ("_error", |server, name, number| {
            from_home(server, name, "_error", number)
        }),
        ("onStatus", |server, name, _| {
            from_home(server, name, "onStatus", 0.0)
        }),
    ];
    for (command, hook) in hooks {
        let mut guest = Guest::of(hook);
        guest.live(500, never);
        assert_eq!(guest.publisher.status(), RtmpStatus::Active, "{command}");
        assert_eq!(guest.target(), "rtmp://edge:1936/live");
        let target = guest.publisher.target();
        assert_eq!((target.host(), target.port()), ("edge", 1936));
        assert!(!target.is_tls());
        assert_eq!(guest.connects(), 2, "at once, and no failure");
        assert_eq!(guest.publisher.counters().attempts, 2);
        assert_eq!(tc_url(&guest.server), "rtmp://edge:1936/live");
        let (_, body) = &guest.server.messages[0];
        let said = String::from_utf8_lossy(body);
        for secret in ["t0ken", "pa55"] {
            assert!(!said.contains(secret), "{secret} goes to another host");
        }
        for event in &guest.told {
            assert!(!format!("{event:?}").contains("k3y"), "{event:?}");
        }
    }
}

#[test]
fn a_circle_of_redirects_ends_in_words_and_waits() {
    let mut guest = Guest::of(|server, name, number| {
        if name == "connect" {
            redirect(server, "_error", number, "rtmp://b/live");
        }
        name == "connect"
    });
    assert_eq!(guest.connects(), 4, "the first and three more");
    assert_eq!(
        (guest.publisher.status(), guest.words()),
        (
            RtmpStatus::Failed,
            "servers sent the stream on more than 3 times; check their redirection"
        )
    );
    assert_eq!(guest.target(), "rtmp://***@a/live?***", "back home");
    let before = guest.now;
    guest.live(before + 150, never);
    assert_eq!(guest.connects(), 4, "waits as after any failure");
}

#[test]
fn no_address_is_followed_that_is_not_of_an_rtmp_server() {
    let hooks: [(Hook, &str); 2] = [
        (
            |server, name, number| {
                if name == "connect" {
                    redirect(server, "_error", number, "http://b/live");
                }
                name == "connect"
            },
            "the server sent the stream on, but an RTMP address begins with rtmp:// or rtmps://",
        ),
        (
            |server, name, number| {
                if name == "connect" {
                    redirect(server, "_error", number, "");
                }
                name == "connect"
            },
            "the connection was rejected; check the application and who may publish to it \
             (NetConnection.Connect.Rejected: RTMP 302 Redirect)",
        ),
    ];
    for (hook, words) in hooks {
        let guest = Guest::of(hook);
        assert_eq!(guest.words(), words);
        assert_eq!(guest.target(), "rtmp://***@a/live?***");
    }
    let secure = config("rtmps://a/live", "k3y");
    let guest = Guest::with(hooks_to_plain, secure);
    assert!(guest.words().contains("from TLS to plain RTMP"));
    assert!(guest.publisher.target().is_tls());
}

fn hooks_to_plain(server: &mut Scripted, name: &str, number: f64) -> bool {
    if name == "connect" {
        redirect(server, "_error", number, "rtmp://a/live");
    }
    name == "connect"
}

/// Enhanced RTMP: please move.
fn ask_to_move(server: &mut Scripted, to: Option<&str>) {
    server.command(|body| {
        body.string(&["onStatus"]).number(0.0).null().object();
        body.name("level").string(&["status"]);
        body.name("code")
            .string(&["NetConnection.Connect.ReconnectRequest"]);
        if let Some(to) = to {
            body.name("tcUrl").string(&[to]);
        }
        body.end();
    });
}

#[test]
fn a_running_stream_moves_at_a_keyframe_and_loses_nothing() {
    for (to, target) in [
        (Some("rtmp://b:1940/app"), "rtmp://b:1940/app"),
        (Some("//192.0.2.1/app"), "rtmp://192.0.2.1/app"),
        (Some("/other"), "rtmp://***@a/other"),
        (None, "rtmp://***@a/live?***"),
    ] {
        let mut guest = Guest::of(nothing);
        guest.live(500, never);
        guest.told.clear();
        ask_to_move(&mut guest.server, to);
        guest.live(1_000, never);
        assert_eq!(guest.connects(), 0, "goes on until the keyframe");
        assert!(guest.told.contains(&PublisherEvent::KeyframeWanted));
        let before = guest.publisher.media_counters().audio_frames;
        assert_eq!(before, 50);
        guest.live(1_500, never);
        assert_eq!((guest.connects(), guest.target().as_str()), (1, target));
        assert_eq!(guest.publisher.status(), RtmpStatus::Active);
        let counters = guest.publisher.media_counters();
        assert_eq!((counters.audio_frames, counters.video_dropped), (75, 0));
        assert!(
            !guest.told.iter().any(|event| matches!(
                event,
                PublisherEvent::Status {
                    status: RtmpStatus::Lost,
                    ..
                }
            )),
            "no failure"
        );
    }
}

#[test]
fn a_move_waits_no_longer_than_two_seconds_for_a_keyframe_and_sound_alone_not_at_all() {
    let mut guest = Guest::of(nothing);
    guest.source.picture(0, true, 100);
    guest.settle();
    guest.now = 500;
    guest.settle();
    ask_to_move(&mut guest.server, Some("rtmp://b/live"));
    guest.settle();
    assert_eq!(guest.publisher.poll_timeout(), Some(millis(2_500)));
    guest.now = 2_500;
    guest.settle();
    assert_eq!(guest.target(), "rtmp://b/live");
    let mut guest = Guest::of(nothing);
    guest.publisher.set_expect_video(false);
    guest.source.sound(0);
    guest.settle();
    ask_to_move(&mut guest.server, Some("rtmp://b/live"));
    guest.settle();
    assert_eq!(
        (guest.connects(), guest.target().as_str()),
        (2, "rtmp://b/live")
    );
}

#[test]
fn a_stream_that_is_stopped_moves_nowhere_any_more() {
    let mut guest = Guest::of(nothing);
    guest.live(500, never);
    ask_to_move(&mut guest.server, Some("rtmp://b/live"));
    guest.live(600, never);
    guest.source.picture(600, true, 100);
    guest.publisher.stop(millis(600));
    guest.settle();
    assert!(guest.publisher.is_stopped());
    assert_eq!(guest.connects(), 1);
    let said = guest.server.commands();
    assert_eq!(said.last().map(String::as_str), Some("deleteStream"));
}

#[test]
fn a_server_that_asks_to_move_without_end_is_left_to_the_waits() {
    let mut guest = Guest::of(|server, name, _| {
        if name == "createStream" {
            ask_to_move(server, None);
        }
        name == "createStream"
    });
    assert_eq!(guest.connects(), 4);
    assert!(guest.words().contains("more than 3 times"));
    guest.now += 100;
    guest.settle();
    assert_eq!(guest.connects(), 4);
}

#[test]
fn an_address_that_does_not_take_the_stream_is_forgotten() {
    let mut guest = Guest::of(nothing);
    guest.live(100, never);
    ask_to_move(&mut guest.server, Some("rtmp://b/live"));
    // It moves with the keyframe, and the new server is not there.
    while guest.target() != "rtmp://b/live" || guest.connects() < 2 {
        let until = guest.now + 20;
        guest.live(until, never);
    }
    guest.up = false;
    let now = millis(guest.now);
    guest
        .publisher
        .handle_disconnected(now, "closed by the peer");
    assert_eq!(guest.target(), "rtmp://b/live", "it took the stream once");
    while guest.publisher.poll_event().is_some() {}
    let next = guest.publisher.poll_timeout().unwrap();
    guest.publisher.handle_timeout(next);
    guest
        .publisher
        .handle_disconnected(next, "connection refused");
    assert_eq!(guest.target(), "rtmp://***@a/live?***");
}

#[test]
fn status_codes_have_words_that_say_what_to_do() {
    for (code, level, words) in [
        (
            "NetStream.Publish.BadName",
            "error",
            "the stream's name is in use or refused; waiting for it",
        ),
        (
            "NetStream.Publish.Denied",
            "status",
            "publishing is not allowed; check",
        ),
        (
            "NetStream.Publish.Rejected",
            "error",
            "publishing was rejected; check",
        ),
        ("NetStream.Publish.Idle", "error", "for want of media"),
        (
            "NetStream.Publish.Failed",
            "error",
            "could not start the stream",
        ),
        (
            "NetStream.Failed",
            "error",
            "could not go on with the stream",
        ),
        (
            "NetStream.Unpublish.Success",
            "status",
            "the server ended the stream",
        ),
        (
            "NetConnection.Connect.Rejected",
            "status",
            "the connection was rejected; check",
        ),
        (
            "NetConnection.Connect.Failed",
            "status",
            "could not take the connection",
        ),
        (
            "NetConnection.Connect.InvalidApp",
            "status",
            "has no such application; check",
        ),
        (
            "NetConnection.Connect.AppShutdown",
            "status",
            "was shut down at the server",
        ),
        (
            "NetConnection.Connect.Closed",
            "status",
            "closed the connection",
        ),
        (
            "NetConnection.Connect.IdleTimeOut",
            "error",
            "closed an idle connection",
        ),
        (
            "Some.New.Code",
            "error",
            "the server refused (Some.New.Code",
        ),
    ] {
        let mut guest = Guest::of(nothing);
        guest.live(400, never);
        assert_eq!(guest.publisher.status(), RtmpStatus::Active);
        guest.server.status(level, code, "said so");
        guest.settle();
        assert_eq!(guest.publisher.status(), RtmpStatus::Lost, "{code}");
        assert!(guest.words().contains(words), "{code}: {}", guest.words());
        assert!(guest.words().contains("said so"), "{}", guest.words());
    }
}

#[test]
fn notices_and_calls_of_servers_do_not_end_a_stream() {
    let mut guest = Guest::of(nothing);
    guest.live(400, never);
    let server = &mut guest.server;
    server.status("status", "NetStream.Publish.Idle", "no media for a while");
    server.status("warning", "NetStream.Play.InsufficientBW", "slow");
    server.status("error", "NetStream.Record.NoAccess", "no room");
    server.status("error", "NetConnection.Call.Failed", "FCPublish");
    server.say_status(
        "_error",
        2.0,
        "error",
        "NetConnection.Call.Failed",
        "releaseStream",
    );
    server.say_status(
        "_error",
        3.0,
        "error",
        "NetConnection.Call.Failed",
        "FCPublish",
    );
    server.say_status("onFCPublish", 0.0, "status", "NetStream.Publish.Start", "k");
    server.control(Control::StreamBegin(1));
    server.control(Control::StreamEof(1));
    server.control(Control::OtherEvent(31));
    server.control(Control::SetChunkSize(128));
    server.command(|body| {
        body.string(&["onBWDone"])
            .number(0.0)
            .null()
            .number(8_192.0);
    });
    for (name, number) in [
        ("_checkbw", 11.0),
        ("_onbwcheck", 12.0),
        ("onBWCheck", 13.0),
    ] {
        server.command(|body| {
            body.string(&[name]).number(number).null();
        });
    }
    guest.live(1_000, never);
    assert_eq!(
        (guest.publisher.status(), guest.connects()),
        (RtmpStatus::Active, 1)
    );
    let answers = guest.server.messages.iter().filter_map(|(head, body)| {
        let command = Command::parse(head.kind, body)?;
        (command.name == "_result").then_some(command.transaction)
    });
    assert_eq!(answers.collect::<Vec<_>>(), [11.0, 12.0, 13.0]);
}

#[test]
fn a_new_peer_bandwidth_is_answered_with_the_window() {
    let mut guest = Guest::of(nothing);
    for window in [5_000_000, 5_000_000, 2_500_000] {
        guest
            .server
            .control(Control::SetPeerBandwidth { window, limit: 2 });
    }
    guest.settle();
    let windows = guest.server.messages.iter().filter_map(|(head, body)| {
        match Control::parse(head.kind, body) {
            Some(Control::WindowAckSize(window)) => Some(window),
            _ => None,
        }
    });
    assert_eq!(
        windows.collect::<Vec<_>>(),
        [2_500_000, 5_000_000, 2_500_000]
    );
}

#[test]
fn the_end_by_name_counts_only_while_the_stream_is_up() {
    let mut guest = Guest::of(|server, name, _| {
        if name == "FCPublish" {
            // An old stream of the same name is cleared away.
            server.say_status(
                "onFCUnpublish",
                0.0,
                "status",
                "NetStream.Unpublish.Success",
                "k",
            );
        }
        false
    });
    guest.live(400, never);
    assert_eq!(guest.publisher.status(), RtmpStatus::Active);
    let server = &mut guest.server;
    server.say_status(
        "onFCUnpublish",
        0.0,
        "status",
        "NetStream.Unpublish.Success",
        "off",
    );
    guest.settle();
    assert_eq!(guest.publisher.status(), RtmpStatus::Lost);
    assert!(
        guest.words().contains("ended the stream"),
        "{}",
        guest.words()
    );
}

#[test]
fn close_without_words_ends_the_stream() {
    let mut guest = Guest::of(nothing);
    guest.live(400, never);
    guest.server.command(|body| {
        body.string(&["close"]).number(0.0).null();
    });
    guest.settle();
    assert_eq!(
        (guest.publisher.status(), guest.words()),
        (
            RtmpStatus::Lost,
            "the server answered close without a reason"
        )
    );
}

#[test]
fn errors_for_each_command_are_failures_with_words() {
    fn error(server: &mut Scripted, number: f64) {
        server.say_status(
            "_error",
            number,
            "error",
            "NetConnection.Call.Failed",
            "nope",
        );
    }
    let hooks: [(Hook, &str); 4] = [
        (
            |server, name, number| {
                if name == "createStream" {
                    error(server, number);
                }
                name == "createStream"
            },
            "the server refused (NetConnection.Call.Failed: nope)",
        ),
        (
            |server, name, number| {
                if name == "publish" {
                    error(server, number);
                }
                name == "publish"
            },
            "the server refused (NetConnection.Call.Failed: nope)",
        ),
        (
            |server, name, number| {
                if name == "connect" {
                    server.command(|body| {
                        body.string(&["_error"]).number(number).null();
                    });
                }
                name == "connect"
            },
            "the server answered _error without a reason",
        ),
        (
            |server, name, number| {
                if name == "connect" {
                    let code = "NetConnection.Connect.InvalidApp";
                    server.say_status("_error", number, "error", code, "no app live");
                }
                name == "connect"
            },
            "the server has no such application; check the path of the RTMP address \
             (NetConnection.Connect.InvalidApp: no app live)",
        ),
    ];
    for (hook, words) in hooks {
        let guest = Guest::of(hook);
        assert_eq!(
            (guest.publisher.status(), guest.words()),
            (RtmpStatus::Failed, words)
        );
    }
}

#[test]
fn a_server_that_says_start_only_by_name_is_believed_after_a_second() {
    let early: Hook = |server, name, _| {
        if name == "FCPublish" {
            server.say_status("onFCPublish", 0.0, "status", "NetStream.Publish.Start", "k");
        }
        name == "publish"
    };
    let late: Hook = |server, name, _| {
        if name == "publish" {
            server.say_status("onFCPublish", 0.0, "status", "NetStream.Publish.Start", "k");
        }
        name == "publish"
    };
    let result: Hook = |server, name, number| {
        if name == "publish" {
            server.command(|body| {
                body.string(&["_result"]).number(number).null();
            });
        }
        name == "publish"
    };
    for hook in [early, late, result] {
        let mut guest = Guest::of(hook);
        assert_eq!(guest.publisher.poll_timeout(), Some(millis(1_000)));
        guest.live(980, never);
        assert!(guest.server.media().is_empty());
        guest.live(2_000, never);
        assert_eq!(guest.publisher.status(), RtmpStatus::Active);
        assert!(!guest.server.media().is_empty());
    }
}

#[test]
fn a_server_that_never_answers_publish_is_given_up_in_words() {
    let mut guest = Guest::of(|_, name, _| name == "publish");
    assert_eq!(guest.publisher.poll_timeout(), Some(millis(10_000)));
    guest.now = 10_000;
    guest.publisher.handle_timeout(millis(guest.now));
    assert_eq!(guest.words(), "no answer to publish within 10 s");
}

#[test]
fn other_ways_of_authentication_are_refused_in_words() {
    let guest = Guest::of(|server, name, number| {
        if name == "connect" {
            let code = "NetConnection.Connect.Rejected";
            let words = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ";
            server.say_status("_error", number, "error", code, words);
        }
        name == "connect"
    });
    assert_eq!(guest.words(), "the server refused user and password");
}

#[test]
fn mutated_words_of_servers_never_panic() {
    let said = {
        let mut server = Scripted::new(Script::Accept);
        lists_vp8(&mut server, "connect", 1.0);
        redirect(&mut server, "_error", 1.0, "rtmp://edge/live");
        ask_to_move(&mut server, Some("//b/app"));
        server.status(
            "error",
            "NetStream.Publish.Rejected",
            "unsupported audio codec",
        );
        server.say_status("onFCPublish", 0.0, "status", "NetStream.Publish.Start", "k");
        server.take()
    };
    let mut rng = Rng::from_number(11);
    for _ in 0..400 {
        let mut guest = Guest::of(nothing);
        guest.live(60, never);
        let mut bytes = said.clone();
        for _ in 0..rng.below(6) {
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = rng.u32() as u8;
        }
        let len = rng.below(bytes.len() as u32 + 1) as usize;
        for piece in bytes[..len].chunks(1 + rng.below(90) as usize) {
            guest.publisher.handle_bytes(millis(60), piece);
            guest.publisher.check_invariants();
        }
        let _ = (guest.target(), guest.publisher.left_out(Track::Audio));
        guest
            .publisher
            .handle_timeout(millis(60) + Duration::from_secs(20));
        guest.publisher.check_invariants();
    }
}

/// A guest whose server has asked for user and password in Adobe's way, and had them.
fn known_guest() -> Guest {
    fn challenges(server: &mut Scripted, name: &str, number: f64) -> bool {
        let app = server.messages.iter().find_map(|(head, body)| {
            let command = Command::parse(head.kind, body)?;
            command.object()?.get_str("app").map(str::to_owned)
        });
        let app = app.unwrap_or_default();
        let is_home = tc_url(server).contains("//a/");
        let words = if app.contains("response=") || !is_home || name != "connect" {
            return false;
        } else if app.contains("user=") {
            "[ authmod=adobe ] : ?reason=needauth&user=m3&salt=s&challenge=c&opaque=o"
        } else {
            "[ code=403 need auth; authmod=adobe ] : "
        };
        server.command(|body| {
            body.string(&["_error"]).number(number).null().object();
            body.name("code")
                .string(&["NetConnection.Connect.Rejected"]);
            body.name("description").string(&[words]).end();
        });
        true
    }
    let mut guest = Guest::of(challenges);
    guest.live(500, never);
    assert_eq!(guest.publisher.status(), RtmpStatus::Active);
    assert_eq!(guest.connects(), 3);
    guest
}

#[test]
fn an_answer_to_one_servers_challenge_goes_to_no_other() {
    let mut guest = known_guest();
    ask_to_move(&mut guest.server, Some("rtmp://b/live"));
    guest.live(2_500, never);
    assert_eq!(tc_url(&guest.server), "rtmp://b/live");
    let (_, body) = &guest.server.messages[0];
    let said = String::from_utf8_lossy(body);
    for word in ["m3", "authmod", "response", "opaque"] {
        assert!(!said.contains(word), "{word} goes to another server");
    }
}
