//! Streams sent into other calls, on the virtual clock: what the other side gets, in step, and what
//! becomes of it when something ends.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::collections::HashMap;
use std::time::Duration;

use gateway_support::handset::{Handset, Picture, Sound, phone_of};
use gateway_support::*;
use rest_support::post;
use rtp_support::{PEER, World as Receiver, audio_config, video_config};
use serde_json::{Value, json};
use trunkcast::base::codec::Track;
use trunkcast::gateway::config::{Config, Recording};
use trunkcast::gateway::injection::InjectionRefused;
use trunkcast::gateway::injection::feed::BURST_TIME;
use trunkcast::gateway::keys::{KeyWay, KeysRefused};
use trunkcast::gateway::outlet::CallIndex;
use trunkcast::limits::{INJECTION_BURST, MP4_FILES, STREAM_LISTENERS};
use trunkcast::rtp::stream::{Codec, StreamConfig};
use trunkcast::rtp::telephone_event::TelephoneEvents;
use trunkcast::wire::rtcp::{self, RtcpPacket};
use trunkcast::wire::rtp::RtpHeader;

const SECOND: Duration = Duration::from_secs(1);

/// One call that films, and one that is to hear it.
struct Pair {
    world: World,
    from: Phone,
    handset: Handset,
    to: Phone,
    index: CallIndex,
}

impl Pair {
    fn new(picture: Picture, sound: Sound) -> Self {
        Self::with(World::local(4), picture, sound, |_| {})
    }

    fn with(
        mut world: World,
        picture: Picture,
        sound: Sound,
        change: impl FnOnce(&mut Phone),
    ) -> Self {
        let mut from = phone_of("4711", picture, sound);
        world.call(&mut from);
        let mut to = phone_of("4712", picture, sound);
        change(&mut to);
        world.call(&mut to);
        let port = to.audio_port.or(to.video_port).unwrap();
        let (index, _) = world.outlet.media_at(port).unwrap();
        let mut pair = Self {
            world,
            from,
            handset: Handset::new(picture, sound, 1),
            to,
            index,
        };
        pair.live(SECOND);
        pair
    }

    /// The first phone talks and films for a time.
    fn live(&mut self, time: Duration) {
        let from = &self.from;
        self.handset
            .live(&mut self.world, time, |world, track, bytes| {
                world.media(from, track, &bytes);
            });
    }

    fn inject(&mut self) -> Result<(), InjectionRefused> {
        let World {
            gateway,
            outlet,
            now,
            ..
        } = &mut self.world;
        let done = gateway.inject_stream(*now, &self.to.call_id, "rtmp_4711", outlet);
        self.world.settle();
        done
    }

    /// What the second phone was sent since the last look.
    fn heard(&mut self) -> Vec<SentMedia> {
        let sent = std::mem::take(&mut self.world.outlet.sent_media);
        let ours = sent.into_iter().filter(|sent| sent.call == self.index);
        ours.collect()
    }
}

fn is_rtp(sent: &SentMedia) -> bool {
    !rtcp::is_rtcp(&sent.bytes)
}

fn header(sent: &SentMedia) -> RtpHeader {
    RtpHeader::parse(&sent.bytes).unwrap()
}

fn of(sent: &[SentMedia], track: Track) -> Vec<&SentMedia> {
    let wanted = sent.iter().filter(|it| it.track == track && is_rtp(it));
    wanted.collect()
}

/// Makes frames of what was sent: their bytes, in each track.
fn frames(sent: &[SentMedia], picture: Picture, sound: Sound) -> [Vec<Vec<u8>>; 2] {
    let codec = match picture {
        Picture::H264 => Codec::H264 { sprop: Vec::new() },
        Picture::Vp8 => Codec::Vp8,
    };
    let (sound, payload_type, clock_rate) = match sound {
        Sound::Pcma => (Codec::Pcma, 8, 8_000),
        Sound::Opus => (Codec::Opus { channels: 2 }, 98, 48_000),
        other => panic!("{other:?}"),
    };
    let mut receiver = Receiver::new(Default::default(), 1);
    let video = StreamConfig {
        codec,
        ..video_config()
    };
    let audio = StreamConfig {
        codec: sound,
        payload_type,
        clock_rate,
        ..audio_config()
    };
    let now = receiver.now;
    receiver.session.configure(now, Track::Video, Some(video));
    receiver.session.configure(now, Track::Audio, Some(audio));
    for sent in sent.iter().filter(|sent| is_rtp(sent)) {
        receiver.deliver(sent.track, PEER.parse().unwrap(), &sent.bytes);
        receiver.run_until(receiver.now + Duration::from_micros(500));
    }
    receiver.run_until(receiver.now + SECOND);
    [Track::Audio, Track::Video].map(|track| {
        let all = receiver.out.iter().filter(|out| out.track == track);
        all.map(|out| out.bytes.clone()).collect()
    })
}

/// Sequence numbers rise by one, the source stays, and sound never goes back in time.
fn assert_one_source(sent: &[SentMedia]) {
    for track in [Track::Audio, Track::Video] {
        let headers: Vec<_> = of(sent, track).into_iter().map(header).collect();
        for pair in headers.windows(2) {
            assert_eq!(pair[1].ssrc, pair[0].ssrc);
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!(step.cast_signed() >= 0, "{track} goes back by {step}");
        }
    }
}

#[test]
fn every_frame_of_the_stream_arrives_untouched_between_silence_and_silence() {
    for (picture, sound) in [
        (Picture::H264, Sound::Pcma),
        (Picture::Vp8, Sound::Opus),
        (Picture::H264, Sound::Opus),
    ] {
        let mut pair = Pair::new(picture, sound);
        pair.inject().unwrap();
        pair.live(3 * SECOND);
        let id = pair.to.call_id.clone();
        let world = &mut pair.world;
        world
            .gateway
            .stop_injection(world.now, &id, &mut world.outlet)
            .unwrap();
        world.settle();
        pair.live(3 * SECOND);
        let sent = pair.heard();
        assert_one_source(&sent);
        let [sounds, pictures] = frames(&sent, picture, sound);
        let known = |frame: &&Vec<u8>| pair.handset.frames.contains(*frame);
        let (heard, seen) = (
            sounds.iter().filter(known).count(),
            pictures.iter().filter(known).count(),
        );
        // Three seconds of sound, and the pictures from the second keyframe on; no more, after the end.
        assert!((148..=152).contains(&heard), "{sound:?}: {heard}");
        assert!((48..=76).contains(&seen), "{picture:?}: {seen}");
        // What is not the stream's is our own.
        let own = sounds.iter().filter(|it| !known(it)).collect::<Vec<_>>();
        assert!(own.len() > 150, "silence before and after: {}", own.len());
        assert!(own.iter().all(|it| *it == own[0]), "one silence");
        assert!(pictures.iter().any(|it| !known(&it)), "a still picture");
        assert_eq!(pair.world.notes("hears rtmp_4711 no more").len(), 1);
        pair.world.gateway.check_invariants();
    }
}

#[test]
fn a_recording_of_our_own_is_heard_and_seen_whole_and_in_step() {
    for (picture, sound) in [
        (Picture::H264, Sound::Pcma),
        (Picture::Vp8, Sound::Opus),
        (Picture::H264, Sound::Opus),
    ] {
        let config = Config {
            recording: Some(Recording::new("/var/lib/trunkcast/records")),
            files_directory: Some("/media".to_owned()),
            ..config(4, None)
        };
        let mut pair = Pair::with(World::new(config), picture, sound, |_| {});
        let of_stream = json!({"mediaSessionId": pair.from.call_id});
        let call = |pair: &mut Pair, path: &str, body: &Value| {
            let reply = post(&mut pair.world, &format!("/rest-api/{path}"), body);
            let words = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!((reply.status, &words[..]), (200, ""), "{path}");
        };
        call(&mut pair, "recorder/startup", &of_stream);
        pair.live(4 * SECOND);
        call(&mut pair, "recorder/terminate", &of_stream);
        let take = pair.world.outlet.files[0].bytes();
        // The last fragment is torn.
        let torn = take[..take.len() - 100].to_vec();
        for (name, bytes, least) in [("take.mp4", take, 195), ("torn.mp4", torn, 140)] {
            pair.world.advance(SECOND);
            pair.world.outlet.media_files.insert(name.to_owned(), bytes);
            pair.heard();
            let file = json!({"callId": pair.to.call_id, "fileName": name});
            call(&mut pair, "call/inject_sound", &file);
            pair.world.advance(5 * SECOND);
            let sent = pair.heard();
            assert_one_source(&sent);
            let [sounds, pictures] = frames(&sent, picture, sound);
            let known = |frame: &&Vec<u8>| pair.handset.frames.contains(*frame);
            let heard = sounds.iter().filter(known).count();
            let seen = pictures.iter().filter(known).count();
            assert!((least..=202).contains(&heard), "{name} {sound:?}: {heard}");
            let least = least / 2 - 25;
            assert!((least..=101).contains(&seen), "{name} {picture:?}: {seen}");
            // No gap: sound of a fragment does not wait for its pictures.
            let first = sounds.iter().position(|it| known(&it)).unwrap();
            let run = sounds[first..].iter().take_while(known).count();
            assert_eq!(run, heard, "{name}");
            // Nor do its times jump; the clock of a call is slewed by at most 5 ms a second.
            let step = if sound == Sound::Pcma { 160 } else { 960 };
            let ours = of(&sent, Track::Audio).into_iter();
            let ours = ours.filter(|it| pair.handset.frames.contains(&it.bytes[12..]));
            let times: Vec<_> = ours.map(|it| header(it).timestamp).collect();
            assert_eq!(times.len(), heard);
            for two in times.windows(2) {
                let between = two[1].wrapping_sub(two[0]);
                assert!(between.abs_diff(step) <= step / 100, "{name}: {between}");
            }
            assert!(pair.world.outlet.open_files.is_empty());
        }
        assert_eq!(pair.world.notes("the file ended").len(), 2);
        pair.world.gateway.check_invariants();
    }
}

#[test]
fn only_so_many_mp4_files_are_sent_at_once() {
    let config = Config {
        recording: Some(Recording::new("/var/lib/trunkcast/records")),
        files_directory: Some("/media".to_owned()),
        ..config(MP4_FILES + 4, None)
    };
    let mut pair = Pair::with(World::new(config), Picture::Vp8, Sound::Pcma, |_| {});
    let of_stream = json!({"mediaSessionId": pair.from.call_id});
    post(&mut pair.world, "/rest-api/recorder/startup", &of_stream);
    pair.live(4 * SECOND);
    post(&mut pair.world, "/rest-api/recorder/terminate", &of_stream);
    let take = pair.world.outlet.files[0].bytes();
    let files = &mut pair.world.outlet.media_files;
    files.insert("take.mp4".to_owned(), take);
    let mut phones: Vec<Phone> = (0..=MP4_FILES)
        .map(|at| phone_of(&format!("48{at}"), Picture::Vp8, Sound::Pcma))
        .collect();
    let mut answers = Vec::new();
    for phone in &mut phones {
        pair.world.call(phone);
        let file = json!({"callId": phone.call_id, "fileName": "take.mp4"});
        let reply = post(&mut pair.world, "/rest-api/call/inject_sound", &file);
        answers.push(reply.status);
    }
    let (last, others) = answers.split_last().unwrap();
    assert!(others.iter().all(|status| *status == 200), "{others:?}");
    assert_eq!(*last, 429);
    assert_eq!(pair.world.outlet.open_files.len(), MP4_FILES);
    // When they have ended there is room.
    pair.world.advance(5 * SECOND);
    let file = json!({"callId": phones[MP4_FILES].call_id, "fileName": "take.mp4"});
    let reply = post(&mut pair.world, "/rest-api/call/inject_sound", &file);
    assert_eq!(reply.status, 200);
}

#[test]
fn sound_and_picture_stay_in_step_by_our_sender_reports() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    pair.inject().unwrap();
    // What leaves the first phone, by its last bytes: its time in seconds.
    let mut told: HashMap<Vec<u8>, f64> = HashMap::new();
    let mut first = [None; 2];
    let from = &pair.from;
    pair.handset
        .live(&mut pair.world, 20 * SECOND, |world, track, bytes| {
            let header = RtpHeader::parse(&bytes).unwrap();
            let (at, rate) = match track {
                Track::Audio => (0, 8_000.0),
                Track::Video => (1, 90_000.0),
            };
            let first = *first[at].get_or_insert(header.timestamp);
            let time = f64::from(header.timestamp.wrapping_sub(first)) / rate;
            if bytes.len() > 60 && (track == Track::Audio || header.marker) {
                told.insert(bytes[bytes.len() - 30..].to_vec(), time);
            }
            world.media(from, track, &bytes);
        });
    let sent = pair.heard();
    let apart = |track: Track, rate: f64| {
        let reports = sent.iter().filter(|it| it.track == track && !is_rtp(it));
        let report = reports.flat_map(|it| rtcp::packets(&it.bytes).map(Result::unwrap));
        let info = report.filter_map(|it| match it {
            RtcpPacket::SenderReport { info, .. } => Some(info),
            _ => None,
        });
        let info = info.last().expect("a sender report");
        let mut differences = Vec::new();
        for packet in of(&sent, track) {
            let tail = packet.bytes.len().saturating_sub(30);
            if let Some(time) = told.get(&packet.bytes[tail..]) {
                let ticks = info.rtp_timestamp.wrapping_sub(header(packet).timestamp);
                let wall = info.ntp.0 as f64 / 4_294_967_296.0;
                let presented = wall - f64::from(ticks.cast_signed()) / rate;
                differences.push(presented - time);
            }
        }
        assert!(differences.len() > 450, "{track}: {}", differences.len());
        let sum: f64 = differences.iter().map(|it| it - differences[0]).sum();
        differences[0] + sum / differences.len() as f64
    };
    let skew = apart(Track::Audio, 8_000.0) - apart(Track::Video, 90_000.0);
    assert!(skew.abs() < 0.005, "{skew} s");
}

#[test]
fn a_picture_begins_with_a_keyframe_that_is_asked_for_and_so_are_those_that_the_other_side_wants() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    let before = reports_of(&pair.world.outlet.sent_media);
    pair.inject().unwrap();
    assert_eq!(reports_of(&pair.world.outlet.sent_media), before + 1);
    pair.handset.asked = true;
    pair.live(SECOND);
    let sent = pair.heard();
    let pictures = of(&sent, Track::Video);
    let injected = pictures.iter().position(|it| it.bytes.len() > 300).unwrap();
    // The parameter sets of the keyframe go first.
    let kinds: Vec<u8> = pictures[injected - 1..=injected]
        .iter()
        .map(|it| it.bytes[12] & 0x1f)
        .collect();
    assert_eq!(kinds, [24, 28]);
    // The other side lost a picture.
    let ssrc = header(pictures[0]).ssrc;
    let pli = [&[0x81, 206, 0, 2, 0, 0, 0, 5][..], &ssrc.to_be_bytes()].concat();
    pair.world.outlet.sent_media.clear();
    let to = pair.to.clone();
    pair.world.rtcp(&to, Track::Video, &pli);
    let asked = pair
        .world
        .outlet
        .sent_media
        .iter()
        .filter(|it| it.call != pair.index);
    let asked: Vec<SentMedia> = asked.cloned().collect();
    assert_eq!(reports_of(&asked), 1, "passed on to the stream's sender");
}

#[test]
fn a_large_keyframe_leaves_in_small_bursts_and_sound_does_not_wait_behind_it() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    pair.inject().unwrap();
    pair.handset.room = 250_000;
    pair.handset.asked = true;
    let mut most = 0;
    let mut largest = 0;
    let mut latest_sound = pair.world.now;
    for _ in 0..100 {
        for (track, bytes) in pair.handset.tick() {
            let from = pair.from.clone();
            pair.world.media(&from, track, &bytes);
        }
        let until = pair.world.now + Duration::from_millis(20);
        while pair.world.now < until {
            let sent = pair.heard();
            let video = of(&sent, Track::Video);
            most = most.max(video.len());
            largest += video.len();
            if !of(&sent, Track::Audio).is_empty() {
                let gap = pair.world.now.since(latest_sound);
                assert!(gap <= Duration::from_millis(22), "{gap:?}");
                latest_sound = pair.world.now;
            }
            pair.world.advance(BURST_TIME);
        }
    }
    assert!(largest > 2_000, "{largest} packets");
    // A look may fall across the end of a burst's time.
    assert!(most <= 2 * usize::from(INJECTION_BURST), "{most} at once");
}

#[test]
fn silence_goes_on_when_the_stream_ends_or_stands_still() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    pair.inject().unwrap();
    pair.live(2 * SECOND);
    pair.heard();
    // The first phone is silent.
    pair.world.advance(7 * SECOND);
    let sent = pair.heard();
    let silence = of(&sent, Track::Audio);
    assert!((310..=330).contains(&silence.len()), "{}", silence.len());
    assert!(silence[1..].iter().all(|it| it.bytes[12..] == [0xd5; 160]));
    assert!(header(silence[0]).marker);
    assert_eq!(of(&sent, Track::Video).len(), 3 * 3, "still pictures");
    // It talks again.
    pair.live(2 * SECOND);
    let sent = pair.heard();
    assert_one_source(&sent);
    let [sounds, pictures] = frames(&sent, Picture::H264, Sound::Pcma);
    let known = |frame: &&Vec<u8>| pair.handset.frames.contains(*frame);
    assert!(sounds.iter().filter(known).count() > 95);
    assert!(pictures.iter().filter(known).count() > 24);
    // It hangs up.
    let mut from = pair.from.clone();
    pair.world.bye(&mut from);
    pair.heard();
    pair.world.advance(2 * SECOND);
    let sent = pair.heard();
    assert!((98..=101).contains(&of(&sent, Track::Audio).len()));
    assert_eq!(pair.world.notes("its stream ended").len(), 1);
    assert_eq!(pair.inject(), Err(InjectionRefused::NoSuchStream));
    let mut to = pair.to.clone();
    pair.world.bye(&mut to);
    pair.world.advance(40 * SECOND);
    assert_eq!(pair.world.pool.available(), pair.world.pool.capacity());
}

#[test]
fn the_end_of_the_call_that_hears_lets_the_stream_go() {
    let mut pair = Pair::new(Picture::Vp8, Sound::Opus);
    pair.inject().unwrap();
    pair.live(SECOND);
    let mut to = pair.to.clone();
    pair.world.bye(&mut to);
    pair.live(SECOND);
    let call = pair.world.find("rtmp_4711").unwrap();
    assert!(call.outputs.is_none(), "nobody hears it");
    assert_eq!(pair.inject(), Err(InjectionRefused::NoSuchCall));
    let mut from = pair.from.clone();
    pair.world.bye(&mut from);
    pair.world.advance(40 * SECOND);
    assert_eq!(pair.world.pool.available(), pair.world.pool.capacity());
    assert_eq!(pair.world.gateway.counters().calls_crashed, 0);
}

#[test]
fn two_calls_may_hear_each_other_and_none_itself() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    pair.inject().unwrap();
    let World {
        gateway,
        outlet,
        now,
        ..
    } = &mut pair.world;
    let from = pair.from.call_id.clone();
    assert_eq!(
        gateway.inject_stream(*now, &from, "rtmp_4712", outlet),
        Ok(())
    );
    let itself = gateway.inject_stream(*now, &from, "rtmp_4711", outlet);
    assert_eq!(itself, Err(InjectionRefused::Itself));
    pair.live(SECOND);
    let mut from = pair.from.clone();
    pair.world.bye(&mut from);
    let mut to = pair.to.clone();
    pair.world.bye(&mut to);
    pair.world.advance(40 * SECOND);
    assert!(pair.world.gateway.is_idle());
    assert_eq!(pair.world.pool.available(), pair.world.pool.capacity());
}

#[test]
fn another_stream_takes_the_place_of_the_first_and_a_stream_has_only_so_many_hearers() {
    let mut pair = Pair::with(World::local(40), Picture::H264, Sound::Pcma, |_| {});
    pair.inject().unwrap();
    pair.inject().unwrap();
    assert_eq!(pair.world.notes("another takes its place").len(), 1);
    for at in 0..STREAM_LISTENERS {
        let mut phone = phone_of(&format!("5{at:03}"), Picture::H264, Sound::Pcma);
        pair.world.call(&mut phone);
        let World {
            gateway,
            outlet,
            now,
            ..
        } = &mut pair.world;
        let done = gateway.inject_stream(*now, &phone.call_id, "rtmp_4711", outlet);
        let wanted = match at + 1 < STREAM_LISTENERS {
            true => Ok(()),
            false => Err(InjectionRefused::Full),
        };
        assert_eq!(done, wanted);
    }
    // One that hears it already may again.
    pair.inject().unwrap();
}

#[test]
fn what_the_call_did_not_negotiate_is_refused_in_words() {
    for (change, words) in [
        (
            ("64001f", "42e01f"),
            "video: the call negotiated H.264 with packetization-mode 1 and profile 42e01f, and \
             there is H.264 of profile 64001f; H.264 of profile 42e01f, or a lesser one, would do",
        ),
        (
            ("8 101\r\na=rtpmap:8 PCMA", "0 101\r\na=rtpmap:0 PCMU"),
            "audio: the call negotiated G.711 mu-law, and there is G.711 A-law; G.711 mu-law would \
             do",
        ),
        (
            (
                "H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=64001f",
                "VP8/90000",
            ),
            "video: the call negotiated VP8, and there is H.264 of profile 64001f; VP8 would do",
        ),
    ] {
        let world = World::local(4);
        let mut pair = Pair::with(world, Picture::H264, Sound::Pcma, |phone| {
            assert!(phone.sdp.contains(change.0), "{}", phone.sdp);
            phone.sdp = phone.sdp.replace(change.0, change.1);
        });
        let refused = pair.inject().unwrap_err();
        assert!(matches!(refused, InjectionRefused::Misfit(_)));
        assert_eq!(refused.to_string(), words);
        pair.live(SECOND);
        let sent = pair.heard();
        let [sounds, pictures] = frames(&sent, Picture::H264, Sound::Pcma);
        let known = |frame: &Vec<u8>| pair.handset.frames.contains(frame);
        assert!(!sounds.iter().chain(&pictures).any(known));
    }
}

#[test]
fn a_call_without_a_picture_hears_the_sound_alone() {
    let world = World::local(4);
    let mut pair = Pair::with(world, Picture::H264, Sound::Pcma, |phone| {
        let (sound, _) = phone.sdp.split_once("m=video").unwrap();
        phone.sdp = sound.to_owned();
    });
    pair.inject().unwrap();
    pair.live(SECOND);
    let sent = pair.heard();
    assert!(of(&sent, Track::Video).is_empty());
    let [sounds, _] = frames(&sent, Picture::H264, Sound::Pcma);
    let known = |frame: &&Vec<u8>| pair.handset.frames.contains(*frame);
    assert!(sounds.iter().filter(known).count() >= 48);
}

#[test]
fn packetization_mode_0_gets_the_small_pictures_and_words_about_the_large_ones() {
    let world = World::local(4);
    let mut pair = Pair::with(world, Picture::H264, Sound::Pcma, |phone| {
        phone.sdp = phone.sdp.replace("packetization-mode=1;", "");
    });
    pair.handset.room = 300;
    pair.live(SECOND);
    pair.inject().unwrap();
    pair.live(2 * SECOND);
    let sent = pair.heard();
    let [_, pictures] = frames(&sent, Picture::H264, Sound::Pcma);
    let known = |frame: &&Vec<u8>| pair.handset.frames.contains(*frame);
    assert!(pictures.iter().filter(known).count() > 24);
    pair.handset.room = 30_000;
    pair.live(2 * SECOND);
    let sent = pair.heard();
    let video = of(&sent, Track::Video);
    assert!(video.iter().all(|it| it.bytes.len() <= 1_412));
    assert!(!pair.world.notes("mode 0 carries no NAL unit").is_empty());
}

#[test]
fn keys_are_pressed_in_the_sound_that_is_sent_and_heard_as_they_were_asked_for() {
    let mut pair = Pair::new(Picture::H264, Sound::Pcma);
    let id = pair.to.call_id.clone();
    for injected in [false, true] {
        if injected {
            pair.inject().unwrap();
        }
        pair.live(SECOND);
        pair.heard();
        let now = pair.world.now;
        let gateway = &mut pair.world.gateway;
        gateway.press_keys(now, &id, "12#*", None).unwrap();
        pair.world.settle();
        pair.live(2 * SECOND);
        let sent = pair.heard();
        assert_one_source(&sent);
        let mut events = TelephoneEvents::default();
        let mut keys = String::new();
        for packet in of(&sent, Track::Audio) {
            let header = header(packet);
            if header.payload_type == 101 {
                let payload = &packet.bytes[header.payload()];
                let told = events.push(header.timestamp, header.marker, payload);
                keys.extend(told.and_then(|it| it.key()));
            }
        }
        assert_eq!(keys, "12#*", "injected: {injected}");
        let sound = of(&sent, Track::Audio);
        let others = sound
            .iter()
            .filter(|it| header(it).payload_type == 8)
            .count();
        assert!(
            (60..=75).contains(&others),
            "sound goes on between: {others}"
        );
    }
}

#[test]
fn keys_are_refused_where_they_cannot_be_heard() {
    let world = World::local(4);
    let mut pair = Pair::with(world, Picture::H264, Sound::Pcma, |phone| {
        phone.sdp = phone.sdp.replace(" 101\r\n", "\r\n");
        phone.sdp = phone
            .sdp
            .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    });
    let id = pair.to.call_id.clone();
    let now = pair.world.now;
    let gateway = &mut pair.world.gateway;
    let mut press = |id: &str, keys: &str, way| gateway.press_keys(now, id, keys, Some(way));
    assert_eq!(
        press(&id, "1", KeyWay::Rfc2833),
        Err(KeysRefused::NotNegotiated)
    );
    assert_eq!(press(&id, "1", KeyWay::Info), Ok(()));
    assert_eq!(press(&id, "x", KeyWay::Info), Err(KeysRefused::NoKey('x')));
    assert_eq!(
        press("none", "1", KeyWay::Info),
        Err(KeysRefused::NoSuchCall)
    );
}
