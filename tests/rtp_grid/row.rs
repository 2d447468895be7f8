//! One row: a phone, the way, and a session that receives, for twenty seconds of virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use trunkcast::base::codec::Track;
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::limits::RTCP_COMPOUND_BYTES;
use trunkcast::rtp::session::{Session, SessionConfig};
use trunkcast::rtp::stream::StreamConfig;
use trunkcast::wire::rtcp::{self, CompoundWriter, RtcpPacket, SenderInfo};

use crate::path::{Cell, ONE_WAY, Path};
use crate::rtp_support::{PEER, audio_config, video_config};
use crate::sender::{AUDIO_TYPE, Audio, Sender, VIDEO_TYPE, Video};

/// What one row is about.
#[derive(Clone, Copy)]
pub struct Row {
    pub video: Video,
    pub audio: Audio,
    pub cell: Cell,
    /// What is missing may be asked for once more.
    pub nack: bool,
}

/// Length of the call in microseconds.
const CALL: i64 = 20_000_000;

/// Mean time between sender reports (RFC 3550, section 6.2 and appendix A.7); the first comes after
/// half of it.
const REPORTS: i64 = 5_000_000;

/// Microseconds from packet to packet of one picture.
const PACING: i64 = 200;

/// What one or several calls showed.
#[derive(Default)]
pub struct Seen {
    pub corrupt: usize,
    /// Frames sent and published, of video and audio.
    pub sent: [usize; 2],
    pub published: [usize; 2],
    pub asked: u64,
    /// How far a picture was presented from the voice of its moment.
    pub skews: Spread,
    /// From the arrival of a frame's last packet to its publication.
    pub delays: [Spread; 2],
}

/// Times without sign, each as often as it was seen, to a millisecond.
#[derive(Default)]
pub struct Spread(BTreeMap<u64, usize>);

impl Spread {
    fn add(&mut self, micros: i64) {
        let millis = (micros.unsigned_abs() + 500) / 1_000;
        *self.0.entry(millis).or_default() += 1;
    }

    /// Milliseconds that so many of a hundred do not exceed.
    pub fn quantile(&self, percent: usize) -> u64 {
        let wanted = (self.0.values().sum::<usize>() * percent).div_ceil(100);
        let mut sum = 0;
        for (millis, count) in &self.0 {
            sum += count;
            if sum >= wanted {
                return *millis;
            }
        }
        0
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Capture(Track2),
    Report(Track2),
    Rtp(Track2, usize, Vec<u8>),
    Rtcp(Track2, Vec<u8>),
    /// A request for a keyframe is back at the phone.
    Asked,
    /// Packets are asked for once more.
    Missing(Track2, Vec<u16>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Track2 {
    Video,
    Audio,
}

struct Call {
    senders: [Sender; 2],
    path: Path,
    rng: Rng,
    session: Session,
    pool: PacketPool,
    log: Box<FrameLog>,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    order: u64,
    wanted: bool,
    out: [Vec<Out>; 2],
}

/// A published frame: its number among those sent, when it is presented and when it could be read.
struct Out {
    number: Option<usize>,
    presented: i64,
    at: i64,
}

/// Runs one call. With `nack` the phone sends what is missing once more.
pub fn run(row: Row, seed: u64, seen: &mut Seen) {
    let Row {
        video,
        audio,
        cell,
        nack,
    } = row;
    let mut rng = Rng::from_number(seed);
    let config = SessionConfig {
        cname: "box@test".into(),
        epoch: NtpTime(0xe000_0000 << 32),
    };
    let mut session = Session::new(config, rng.clone());
    let video_config = StreamConfig {
        codec: video.codec(),
        payload_type: VIDEO_TYPE,
        send: false,
        nack,
        ..video_config()
    };
    let audio_config = StreamConfig {
        codec: audio.codec(),
        payload_type: AUDIO_TYPE,
        clock_rate: audio.clock_rate(),
        telephone_event: None,
        send_telephone_event: None,
        nack,
        ..audio_config()
    };
    session.configure(instant(0), Track::Video, Some(video_config));
    session.configure(instant(0), Track::Audio, Some(audio_config));
    let mut call = Call {
        senders: [
            Sender::camera(video, rng.u64()),
            Sender::microphone(audio, rng.u64()),
        ],
        path: Path::new(cell, Rng::from_number(rng.u64())),
        rng,
        session,
        pool: PacketPool::new(512),
        log: Box::new(FrameLog::new()),
        events: BinaryHeap::new(),
        order: 0,
        wanted: true,
        out: [Vec::new(), Vec::new()],
    };
    for track in [Track2::Video, Track2::Audio] {
        call.plan(0, Event::Capture(track));
        let first = call.interval() / 2;
        call.plan(first, Event::Report(track));
    }
    call.run();
    call.judge(seen);
}

impl Call {
    fn run(&mut self) {
        loop {
            let event = self.events.peek().map(|event| event.0.0);
            let timeout = self.session.poll_timeout().map(micros);
            let now = match (event, timeout) {
                (Some(event), timeout) => timeout.map_or(event, |at| at.min(event)),
                (None, Some(timeout)) if timeout < CALL + 1_000_000 => timeout,
                _ => break,
            };
            if event.is_some_and(|at| at <= now) {
                let Some(Reverse((_, _, event))) = self.events.pop() else {
                    break;
                };
                self.handle(now, event);
            } else {
                self.session.handle_timeout(instant(now), &mut self.log);
            }
            self.drain(now);
        }
    }

    fn handle(&mut self, now: i64, event: Event) {
        let from = PEER.parse().unwrap();
        match event {
            Event::Capture(track) => {
                let keyframe = track == Track2::Video && std::mem::take(&mut self.wanted);
                let sender = &mut self.senders[track as usize];
                let number = sender.frames.len();
                let packets = sender.frame(keyframe);
                let (next, sending) = (sender.next_capture(), now + sender.latency);
                for (at, bytes) in packets.into_iter().enumerate() {
                    let sending = sending + at as i64 * PACING;
                    if let Some(arrival) = self.path.carry(sending) {
                        self.plan(arrival, Event::Rtp(track, number, bytes));
                    }
                }
                if next < CALL {
                    self.plan(next, Event::Capture(track));
                }
            }
            Event::Report(track) => {
                let sender = &self.senders[track as usize];
                let info = SenderInfo {
                    ntp: wall(now),
                    rtp_timestamp: sender.rtp(now),
                    packets: 0,
                    octets: 0,
                };
                let mut buffer = [0; RTCP_COMPOUND_BYTES];
                let mut writer = CompoundWriter::new(&mut buffer);
                writer.sender_report(sender.ssrc(), &info, None);
                writer.cname(sender.ssrc(), "phone");
                let len = writer.finish().unwrap();
                if let Some(arrival) = self.path.carry(now) {
                    self.plan(arrival, Event::Rtcp(track, buffer[..len].to_vec()));
                }
                let next = now + self.interval();
                if next < CALL {
                    self.plan(next, Event::Report(track));
                }
            }
            Event::Rtp(track, number, bytes) => {
                let frame = &mut self.senders[track as usize].frames[number];
                // What is sent once more may come twice.
                if !frame.came.contains(&sequence(&bytes)) {
                    frame.came.push(sequence(&bytes));
                    frame.arrived = now;
                }
                if let Some(packet) = self.pool.copy_from(&bytes) {
                    let (now, track) = (instant(now), track.of());
                    let log = &mut self.log;
                    self.session.handle_rtp(now, track, from, packet, log);
                }
            }
            Event::Rtcp(track, bytes) => {
                self.session
                    .handle_rtcp(instant(now), track.of(), from, &bytes);
            }
            Event::Asked => self.wanted = true,
            Event::Missing(track, numbers) => {
                let sent = &self.senders[track as usize].packets;
                let again: Vec<(usize, Vec<u8>)> = sent
                    .iter()
                    .filter(|(_, bytes)| numbers.contains(&sequence(bytes)))
                    .cloned()
                    .collect();
                for (number, bytes) in again {
                    if let Some(arrival) = self.path.carry(now) {
                        self.plan(arrival, Event::Rtp(track, number, bytes));
                    }
                }
            }
        }
    }

    fn drain(&mut self, now: i64) {
        let mut buffer = [0; RTCP_COMPOUND_BYTES];
        while let Some(transmit) = self.session.poll_transmit(instant(now), &mut buffer) {
            let asks = transmit.track == Track::Video
                && rtcp::packets(&buffer[..transmit.len]).any(|packet| {
                    matches!(
                        packet,
                        Ok(RtcpPacket::PictureLoss { .. } | RtcpPacket::FullIntra { .. })
                    )
                });
            if asks && !self.path.is_lost() {
                self.plan(now + ONE_WAY, Event::Asked);
            }
            let missing = missing(&buffer[..transmit.len]);
            if !missing.is_empty() && !self.path.is_lost() {
                let track = match transmit.track {
                    Track::Video => Track2::Video,
                    Track::Audio => Track2::Audio,
                };
                self.plan(now + ONE_WAY, Event::Missing(track, missing));
            }
        }
        while self.session.poll_event().is_some() {}
        for position in self.log.start()..self.log.end() {
            let view = self.log.get(position).unwrap();
            let frame = view.frame();
            let track = frame.track as usize ^ 1;
            let bytes: Vec<u8> = view
                .segments()
                .flat_map(|segment| [segment.prefix(), segment.payload()].concat())
                .collect();
            let out = &mut self.out[track];
            let from = out.iter().rev().find_map(|out| out.number);
            let from = from.map_or(0, |number| number + 1);
            let sent = self.senders[track].frames.iter().enumerate().skip(from);
            let number = sent
                .filter(|(_, sent)| sent.bytes == bytes && sent.keyframe == frame.keyframe)
                .map(|(number, _)| number)
                .next();
            let audio = self.senders[track].frames.iter().enumerate().skip(from);
            let number = if frame.track == Track::Audio {
                let same = audio.filter(|(_, sent)| sent.bytes == bytes);
                same.map(|(number, _)| number).next()
            } else {
                number
            };
            out.push(Out {
                number,
                presented: frame.time.as_micros() + i64::from(frame.composition),
                at: now,
            });
        }
        self.log.release_before(self.log.end());
    }

    fn judge(&self, seen: &mut Seen) {
        for track in [Track2::Video, Track2::Audio] {
            let at = track as usize;
            let sent = &self.senders[at].frames;
            seen.sent[at] += sent.len();
            let mut before = None;
            for out in &self.out[at] {
                let decodable = |number: usize| {
                    let needs = track == Track2::Video && !sent[number].keyframe;
                    !needs || before == Some(number.wrapping_sub(1))
                };
                match out.number.filter(|number| decodable(*number)) {
                    Some(number) => {
                        before = Some(number);
                        seen.published[at] += 1;
                        seen.delays[at].add(out.at - sent[number].arrived);
                    }
                    None => seen.corrupt += 1,
                }
            }
        }
        seen.asked += self.session.keyframes_asked();
        let errors = [0, 1].map(|at| {
            let frames = self.out[at].iter();
            let known = frames.filter_map(|out| Some((out.number?, out.presented)));
            known
                .map(|(number, presented)| {
                    let captured = self.senders[at].frames[number].captured;
                    (captured, presented - captured)
                })
                .collect::<Vec<_>>()
        });
        let [pictures, voice] = &errors;
        for (captured, error) in pictures {
            let next = voice.partition_point(|(voice, _)| voice < captured);
            let near = voice.get(next).or(voice.last());
            if let Some((_, voice)) = near {
                seen.skews.add(error - voice);
            }
        }
    }

    fn plan(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn interval(&mut self) -> i64 {
        let spread = i64::from(self.rng.below(REPORTS as u32));
        (REPORTS / 2 + spread) * 10_000 / 12_183
    }
}

impl Track2 {
    fn of(self) -> Track {
        match self {
            Self::Video => Track::Video,
            Self::Audio => Track::Audio,
        }
    }
}

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// The packets that generic NACKs of a compound ask for (RFC 4585, section 6.2.1).
fn missing(compound: &[u8]) -> Vec<u16> {
    let mut missing = Vec::new();
    let mut rest = compound;
    while let [first, kind, high, low, ..] = *rest {
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        if kind != 205 || first & 0x1f != 1 {
            continue;
        }
        for entry in packet.get(12..).unwrap_or_default().chunks_exact(4) {
            let pid = u16::from_be_bytes([entry[0], entry[1]]);
            let mask = u16::from_be_bytes([entry[2], entry[3]]);
            missing.push(pid);
            let behind = (0..16).filter(|bit| mask >> bit & 1 == 1);
            missing.extend(behind.map(|bit| pid.wrapping_add(bit + 1)));
        }
    }
    missing
}

/// The process had been running for a second.
fn instant(micros: i64) -> Instant {
    Instant::from_micros((micros + 1_000_000) as u64)
}

fn micros(at: Instant) -> i64 {
    at.as_micros() as i64 - 1_000_000
}

/// The phone's wall clock, which has nothing to do with ours.
fn wall(micros: i64) -> NtpTime {
    NtpTime(((i128::from(micros) + 3_900_000_000_000_000) << 32).wrapping_div(1_000_000) as u64)
}
