//! Servers that take less than there is, on the virtual clock: what is dropped, what is kept, and how
//! late the rest comes.

mod rtmp_support;

use rtmp_support::{Script, Scripted, Server, Source, carry, millis, prove, publisher};
use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::limits::RTMP_BACKLOG_BYTES;
use trunkcast::rtmp::{Publisher, PublisherEvent, RtmpStatus};
use trunkcast::wire::rtmp_message::kind;

/// Bytes that the socket holds by itself.
const SOCKET_BYTES: usize = 4_096;
/// Milliseconds between keyframes, unless they are asked for.
const GROUP: u64 = 2_000;

/// A media message as it arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: u64,
    track: Track,
    timestamp: u64,
    keyframe: bool,
}

impl Arrival {
    fn late(&self) -> u64 {
        self.at - self.timestamp
    }
}

/// A publisher of some 900 kbit/s and a network of a changing rate.
struct Slow {
    publisher: Box<Publisher>,
    server: Scripted,
    source: Source,
    socket: Vec<u8>,
    credit: u64,
    arrivals: Vec<Arrival>,
    seen: usize,
    /// When keyframes were asked for, and whether the caller makes them.
    asked: Vec<u64>,
    obliging: bool,
    keyframe_due: bool,
    backlogs: Vec<u64>,
    /// Where another reader of the log stands.
    other: u64,
    now: u64,
}

impl Slow {
    fn new(obliging: bool) -> Self {
        let mut slow = Self {
            publisher: publisher(0),
            server: Scripted::new(Script::Accept),
            source: Source::new(),
            socket: Vec::new(),
            credit: 0,
            arrivals: Vec::new(),
            seen: 0,
            asked: Vec::new(),
            obliging,
            keyframe_due: false,
            backlogs: Vec::new(),
            other: u64::MAX,
            now: 0,
        };
        slow.publisher.handle_connected(millis(0));
        let mut rng = Rng::from_number(3);
        let log = &slow.source.log;
        carry(
            millis(0),
            &mut slow.publisher,
            &mut slow.server,
            log,
            &mut rng,
        );
        prove(millis(0), &mut slow.publisher);
        while slow.publisher.poll_event().is_some() {}
        slow
    }

    /// Runs to a moment with so many bits a second.
    fn run(&mut self, until: u64, bits: u64) {
        let mut out = vec![0; 131_072];
        while self.now < until {
            let now = millis(self.now);
            if self.now.is_multiple_of(40) {
                let regular = self.now.is_multiple_of(GROUP);
                let keyframe = regular || std::mem::take(&mut self.keyframe_due);
                let len = if keyframe { 12_000 } else { 4_000 };
                self.source.picture(self.now, keyframe, len);
            }
            if self.now.is_multiple_of(20) {
                self.source.sound(self.now);
            }
            self.publisher.handle_timeout(now);
            loop {
                let log = &self.source.log;
                let given = self.publisher.poll_transmit(now, log, &mut out);
                let taken = given.min(SOCKET_BYTES - self.socket.len());
                self.socket.extend_from_slice(&out[..taken]);
                self.publisher.transmitted(now, taken, log);
                self.publisher.check_invariants();
                // The network takes from the socket.
                let sent = self.socket.len().min(self.credit as usize / 8_000);
                self.credit -= sent as u64 * 8_000;
                let arrived: Vec<u8> = self.socket.drain(..sent).collect();
                self.server.feed(&arrived);
                let back = self.server.take();
                self.publisher.handle_bytes(now, &back);
                if sent == 0 || given == 0 {
                    break;
                }
            }
            if self.socket.is_empty() {
                self.credit = self.credit.min(bits * 10);
            }
            self.credit += bits * 10;
            let position = self.publisher.position().min(self.other);
            self.source.log.release_before(position);
            while let Some(event) = self.publisher.poll_event() {
                if event == PublisherEvent::KeyframeWanted {
                    self.asked.push(self.now);
                    self.keyframe_due = self.obliging;
                }
            }
            let backlog = self.publisher.backlog(now, &self.source.log);
            self.backlogs.push(backlog.as_millis() as u64);
            self.arrive();
            self.now += 10;
        }
        assert_eq!(self.publisher.status(), RtmpStatus::Active);
    }

    fn arrive(&mut self) {
        let new = &self.server.messages[self.seen..];
        self.seen = self.server.messages.len();
        for (head, body) in new {
            let track = match head.kind {
                kind::AUDIO => Track::Audio,
                // No sequence header.
                kind::VIDEO if body[1] == 1 => Track::Video,
                _ => continue,
            };
            self.arrivals.push(Arrival {
                at: self.now,
                track,
                timestamp: u64::from(head.timestamp),
                keyframe: body[0] == 0x17,
            });
        }
    }

    fn of(&self, track: Track, from: u64, to: u64) -> Vec<Arrival> {
        let of_track = self
            .arrivals
            .iter()
            .filter(|arrival| arrival.track == track);
        let span = from..to;
        of_track
            .filter(|arrival| span.contains(&arrival.timestamp))
            .copied()
            .collect()
    }

    /// Gaps in a track, as the times before and after.
    fn gaps(&self, track: Track) -> Vec<(u64, u64)> {
        let step = if track == Track::Audio { 20 } else { 40 };
        let all = self.of(track, 0, u64::MAX);
        let pairs = all
            .windows(2)
            .map(|pair| (pair[0].timestamp, pair[1].timestamp));
        pairs.filter(|(a, b)| b - a != step).collect()
    }

    /// What holds whatever the network does.
    fn check(&self) {
        let video = self.of(Track::Video, 0, u64::MAX);
        assert!(video[0].keyframe);
        for pair in video.windows(2) {
            let follows = pair[1].timestamp - pair[0].timestamp == 40;
            assert!(follows || pair[1].keyframe, "resumed without: {pair:?}");
        }
        for track in [Track::Audio, Track::Video] {
            let times: Vec<_> = self
                .of(track, 0, u64::MAX)
                .iter()
                .map(|a| a.timestamp)
                .collect();
            assert!(times.is_sorted_by(|a, b| a < b), "times fall back");
            let step = if track == Track::Audio { 20 } else { 40 };
            assert!(times.iter().all(|time| time % step == 0), "times moved");
        }
        assert!(
            self.asked.windows(2).all(|pair| pair[1] - pair[0] >= 2_000),
            "{:?}",
            self.asked
        );
    }

    fn latest(&self, track: Track, from: u64, to: u64) -> u64 {
        let late = self.of(track, from, to).iter().map(Arrival::late).max();
        late.unwrap_or(0)
    }
}

#[test]
fn a_stall_of_ten_seconds_costs_its_own_time_and_nothing_after() {
    for obliging in [false, true] {
        let mut slow = Slow::new(obliging);
        slow.run(5_000, 20_000_000);
        assert!(slow.latest(Track::Video, 0, 5_000) <= 20);
        slow.run(15_000, 0);
        assert!(
            slow.asked.is_empty(),
            "nothing is asked for while nothing moves"
        );
        slow.run(25_000, 20_000_000);
        slow.check();
        let [(before, after)] = slow.gaps(Track::Audio)[..] else {
            panic!("one gap: {:?}", slow.gaps(Track::Audio))
        };
        assert!((4_900..5_100).contains(&before), "{before}");
        assert!(
            (11_500..12_500).contains(&after),
            "what the log keeps is sent: {after}"
        );
        let [(_, resumed)] = slow.gaps(Track::Video)[..] else {
            panic!("one gap: {:?}", slow.gaps(Track::Video))
        };
        assert!((14_000..=16_000).contains(&resumed), "{resumed}");
        assert!(slow.latest(Track::Audio, 15_200, 25_000) <= 20);
        assert!(slow.latest(Track::Video, 16_000, 25_000) <= 20);
        assert!(slow.asked.len() <= 1, "{:?}", slow.asked);
    }
}

#[test]
fn a_server_at_nine_tenths_of_the_rate_is_never_far_behind() {
    let mut slow = Slow::new(true);
    slow.run(1_000, 20_000_000);
    slow.run(61_000, 820_000);
    slow.check();
    assert!(slow.publisher.media_counters().stalls >= 1, "it is slow");
    assert_eq!(slow.gaps(Track::Audio), [], "all the sound");
    let video = slow.of(Track::Video, 1_000, 61_000).len();
    assert!(video > 1_500 * 7 / 10, "most pictures: {video}");
    for track in [Track::Audio, Track::Video] {
        let late = slow.latest(track, 0, 61_000);
        assert!(late <= 2_300, "{track}: {late} ms");
    }
    let most = slow.backlogs.iter().max().unwrap();
    assert!(*most <= 2_100, "{most}");
    // Once it has room it is on time again.
    slow.run(66_000, 20_000_000);
    assert!(slow.latest(Track::Video, 63_000, 66_000) <= 20);
    slow.check();
}

#[test]
fn a_server_that_takes_sound_and_no_pictures_gets_all_the_sound() {
    let mut slow = Slow::new(true);
    slow.run(1_000, 20_000_000);
    slow.run(61_000, 150_000);
    slow.check();
    assert_eq!(slow.gaps(Track::Audio), [], "all the sound");
    let late = slow.latest(Track::Audio, 0, 61_000);
    assert!(late <= 3_000, "{late} ms");
    let asked = slow.asked.len();
    assert!(asked < 12, "pictures are tried ever less often: {asked}");
}

#[test]
fn fifty_kilobits_carry_the_newest_sound() {
    let mut slow = Slow::new(true);
    slow.run(1_000, 20_000_000);
    slow.run(61_000, 50_000);
    slow.check();
    let audio = slow.of(Track::Audio, 1_000, 61_000).len();
    assert!(audio > 3_000 * 45 / 100, "{audio} of 3000");
    let latest = slow.latest(Track::Audio, 5_000, 61_000);
    assert!(latest <= 5_500, "{latest} ms");
    let sound = slow.of(Track::Audio, 5_000, 61_000);
    let mut late: Vec<_> = sound.iter().map(Arrival::late).collect();
    late.sort_unstable();
    assert!(late[late.len() / 2] <= 2_500, "{}", late[late.len() / 2]);
    assert!(slow.gaps(Track::Audio).len() < 30, "few long ones");
    // Once it has room, sound is on time at once, and pictures after a while.
    slow.run(82_000, 20_000_000);
    slow.check();
    assert!(slow.latest(Track::Audio, 63_000, 82_000) <= 20);
    assert!(slow.latest(Track::Video, 63_000, 82_000) <= 20);
    assert_eq!(slow.of(Track::Video, 80_000, 82_000).len(), 50);
}

#[test]
fn the_backlog_is_bounded_in_bytes_by_the_log() {
    let mut slow = Slow::new(false);
    slow.run(1_000, 20_000_000);
    for _ in 0..1_000 {
        slow.run(slow.now + 10, 0);
        assert!(slow.source.log.bytes() <= RTMP_BACKLOG_BYTES);
    }
    assert!(slow.source.log.bytes() > 200_000, "it is full");
}

#[test]
fn other_readers_of_the_log_lose_nothing_by_a_slow_one() {
    let mut slow = Slow::new(false);
    let mut quick = publisher(0);
    let mut server = Scripted::new(Script::Accept);
    let mut rng = Rng::from_number(4);
    quick.handle_connected(millis(0));
    carry(
        millis(0),
        &mut quick,
        &mut server,
        &slow.source.log,
        &mut rng,
    );
    slow.other = 0;
    for _ in 0..1_000 {
        let until = slow.now + 10;
        let rate = if slow.now < 2_000 { 20_000_000 } else { 0 };
        slow.run(until, rate);
        let now = millis(until - 10);
        carry(now, &mut quick, &mut server, &slow.source.log, &mut rng);
        slow.other = quick.position();
    }
    let counters = quick.media_counters();
    assert_eq!((counters.audio_frames, counters.video_frames), (500, 250));
    assert_eq!((counters.lost, counters.stalls), (0, 0));
    assert!(slow.publisher.media_counters().lost > 0);
}
