//! What people judge a relay by, end to end and in numbers: how soon sound and picture are there,
//! that no picture comes before its keyframe, that a stream comes back at once, that a caller is
//! never left without packets, and that one line tells what went wrong.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::time::Instant;
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::rtmp::RtmpStatus;
use trunkcast::wire::rtcp;

const SECOND: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(20);

fn studio() -> Studio {
    let studio = Studio::call(Some(Sound::PCMA), Some(Picture::h264(640, 480)));
    // The sink is ready.
    assert_eq!(studio.world.servers.len(), 1);
    studio
}

/// Milliseconds until something is so, looked at every millisecond while the caller goes on.
fn until(studio: &mut Studio, mut is_so: impl FnMut(&mut Studio) -> bool) -> u128 {
    let begin = studio.world.now;
    let mut turn = begin;
    loop {
        if studio.world.now >= turn {
            studio.tick();
            turn = turn + TURN;
        }
        let waited = studio.world.now.since(begin).as_millis();
        if is_so(studio) {
            return waited;
        }
        assert!(waited < 10_000, "it never came");
        studio.world.advance(Duration::from_millis(1));
    }
}

/// A camera that is in the midst of its pictures when the call begins.
fn begin_in_the_midst(studio: &mut Studio) {
    studio.keyframe_due = false;
    studio.sent.push(SentPicture {
        kind: studio.picture.clone(),
        keyframe: false,
        size: 0,
        at: studio.world.now,
    });
}

#[test]
fn sound_and_picture_are_there_at_once_without_any_report() {
    let mut studio = studio();
    let sound = until(&mut studio, |studio| studio.world.server().sounds() > 0);
    assert!(sound <= 150, "{sound} ms");
    // The first frame that can be decoded was the first that was sent, and is the first that went.
    assert_eq!(studio.world.server().pictures(), 1);
    studio.film(SECOND);
    assert_eq!(studio.check()[..3], [0, 1, 2]);
}

#[test]
fn a_call_that_begins_without_a_keyframe_asks_for_one_and_shows_nothing_before_it() {
    let mut studio = studio();
    begin_in_the_midst(&mut studio);
    let asked = until(&mut studio, |studio| studio.keyframes_asked() > 0);
    // A first packet may have been overtaken for 20 ms: then it is known.
    assert!(asked <= 20 + 10, "{asked} ms");
    let shown = until(&mut studio, |studio| studio.world.server().pictures() > 0);
    assert!(asked + shown <= 1_000, "{shown} ms");
    studio.film(2 * SECOND);
    let published = studio.check();
    assert!(studio.sent[published[0]].keyframe);
    assert_eq!(published.len(), studio.sent.len() - published[0]);
    let sounds = studio.world.server().sounds() as u128;
    assert!(
        sounds >= 100,
        "the sound before the picture is there: {sounds}"
    );
}

#[test]
fn a_viewer_who_joins_sees_a_picture_within_a_second() {
    let mut studio = studio();
    studio.film(5 * SECOND);
    assert_eq!(studio.keyframes_asked(), 0);
    let player = studio.world.play("rtmp_4711");
    assert_eq!(studio.keyframes_asked(), 1, "at once");
    let seen = |studio: &mut Studio| studio.world.players[player].pictures();
    let waited = until(&mut studio, |studio| seen(studio).0 > 0);
    assert!(waited <= 1_000, "{waited} ms");
    assert_eq!(seen(&mut studio), (1, 1), "a keyframe before all");
}

#[test]
fn a_server_that_accepts_again_has_a_keyframe_within_a_second() {
    let mut studio = studio();
    studio.film(5 * SECOND);
    let status = |studio: &mut Studio| {
        let call = studio.world.find("rtmp_4711").unwrap();
        call.publishing.as_ref().unwrap().publisher.status()
    };
    for away in [0, 1, 7, 40] {
        studio.world.policy = Policy::Refuse;
        studio.world.kill_server();
        assert_eq!(status(&mut studio), RtmpStatus::Lost, "told at once");
        studio.film(away * SECOND);
        studio.world.policy = Policy::ListsAll;
        let connections = studio.world.servers.len();
        let accepted = |studio: &mut Studio| {
            studio.world.servers.len() > connections && studio.world.server().is_publishing()
        };
        let mut waited = 0;
        while !accepted(&mut studio) {
            studio.film(TURN);
            waited += 20;
            assert!(waited <= 30_000, "tried too rarely: {waited} ms");
        }
        let shown = until(&mut studio, |studio| studio.world.server().pictures() > 0);
        assert!(shown <= 1_000, "{shown} ms after {away} s");
        let heard = studio.heard();
        let first = heard.iter().find_map(|heard| match heard {
            Heard::Video { keyframe, .. } => Some(*keyframe),
            _ => None,
        });
        assert_eq!(first, Some(true));
        let active = until(&mut studio, |studio| status(studio) == RtmpStatus::Active);
        assert!(shown + active <= 1_000, "told late: {active} ms");
        studio.film(15 * SECOND);
    }
}

#[test]
fn a_server_that_stood_still_gets_no_picture_older_than_two_seconds() {
    let mut studio = studio();
    studio.film(5 * SECOND);
    let conn = studio.world.server().conn;
    studio.world.outlet.set_room(conn, 0);
    studio.film(8 * SECOND);
    let before = studio.check().len();
    studio.world.unstall(conn);
    let now = studio.world.now;
    // One message may have been begun.
    for number in studio.check().into_iter().skip(before + 1) {
        let age = now.since(studio.sent[number].at);
        assert!(age <= 2 * SECOND, "{age:?}");
    }
    // Then everything goes at once again.
    studio.film(2 * SECOND);
    let (sent, published) = (studio.sent.len(), studio.check());
    assert_eq!(published.last(), Some(&(sent - 1)));
    let (mark, sent) = (published.len(), studio.sent.len());
    studio.film(10 * SECOND);
    assert_eq!(studio.check().len() - mark, studio.sent.len() - sent);
}

#[test]
fn a_caller_who_listens_is_never_without_packets() {
    let mut studio = Studio::call(Some(Sound::PCMA), None);
    let (mut at, mut sounds, mut reports) = (studio.world.now, 0_u32, 0_u32);
    let mut last_report = at;
    let end: Instant = at + 600 * SECOND;
    while at < end {
        studio.film(TURN);
        at = studio.world.now;
        for sent in studio.world.outlet.sent_media.drain(..) {
            if rtcp::is_rtcp(&sent.bytes) {
                assert!(at.since(last_report) <= 10 * SECOND);
                (last_report, reports) = (at, reports + 1);
            } else {
                assert_eq!((sent.track, sent.port), (Track::Audio, MediaPort::Rtp));
                assert_eq!(sent.bytes.len(), 12 + 160);
                assert!(sent.bytes[12..].iter().all(|byte| *byte == 0xd5), "silence");
                sounds += 1;
            }
        }
    }
    assert!((29_999..=30_001).contains(&sounds), "{sounds}");
    assert!(reports >= 80, "{reports}");
}

#[test]
fn a_key_is_told_once_however_often_it_is_sent() {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    for (press, timestamp) in [(1_u16, 8_000), (2, 16_000)] {
        for at in 0..8_u16 {
            // Longer and longer, then its end three times; each packet twice.
            let (end, duration) = if at < 5 { (0, at * 160) } else { (0x80, 800) };
            let payload = [&[5, end | 10][..], &duration.to_be_bytes()].concat();
            let sequence = press * 8 + at;
            let bytes = rtp_support::packet(101, at == 0, sequence, timestamp, 5, &payload);
            for _ in 0..2 {
                world.media(&phone, Track::Audio, &bytes);
            }
            world.advance(TURN);
        }
        let told = world.notes("a key was pressed").len();
        assert_eq!(told, usize::from(press));
    }
}

#[test]
fn one_line_tells_why_a_call_was_bad() {
    let mut studio = studio();
    studio.film(2 * SECOND);
    // Every tenth picture loses a packet, for a while; then video goes, and comes back as VP8.
    studio.lossy = true;
    studio.film(4 * SECOND);
    studio.lossy = false;
    studio.film(2 * SECOND);
    studio.check();
    studio.agree(Some(Sound::PCMA), Some(Picture::vp8(320, 240)), "sendrecv");
    studio.film(2 * SECOND);
    studio.agree(Some(Sound::PCMA), None, "sendrecv");
    studio.film(2 * SECOND);
    let published = studio.check().len();
    studio.world.bye(&mut studio.phone);
    studio.world.advance(5 * SECOND);
    let lines = studio.world.notes("ended after");
    let [line] = lines[..] else {
        panic!("{lines:?}");
    };
    let count = |words: &str| -> usize {
        let before = line.split(words).next().unwrap();
        let number = before.trim_end().rsplit(' ').next().unwrap();
        number.parse().unwrap_or_else(|_| panic!("{words}: {line}"))
    };
    let video = line.split("; video ").nth(1).unwrap();
    assert!(
        video.starts_with(&format!("{published} frames, 10 packets lost")),
        "{line}"
    );
    assert!((5..=20).contains(&count("frames damaged")), "{line}");
    assert!(count("dropped up to a keyframe") > 0, "{line}");
    assert!((5..=12).contains(&count("keyframes asked for")), "{line}");
    assert!(line.contains("; skew p99 "), "{line}");
    assert!(line.len() < 300, "{} bytes", line.len());
}

#[test]
fn a_stream_name_that_is_a_platforms_key_is_in_no_line_of_the_log() {
    let mut config = config(4, Some("rtmp://198.51.100.5/live"));
    config.trunks[0].stream_name = "abcd-efgh-key".parse().unwrap();
    let mut world = World::new(config);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, 5 * SECOND);
    world.play("abcd-efgh-key");
    world.kill_server();
    world.advance(5 * SECOND);
    // It is busy: a call of the same stream is refused.
    let refused = world.invite(&mut Phone::new("4712"));
    assert_eq!(status(refused.last().unwrap()), 486);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    assert!(!world.notes("stream ***").is_empty());
    let told = world.notes("abcd-efgh");
    assert!(told.is_empty(), "{told:?}");
}
