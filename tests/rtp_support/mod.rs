//! A sender, a network and a receiving session on one virtual clock.

#![allow(dead_code)]

use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use rtp::codecs::h264::H264Payloader;
use rtp::packetizer::Payloader;
use trunkcast::base::codec::{CodecConfig, Track};
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, MediaTime, NtpTime};
use trunkcast::rtp::bitrate::BitrateFeedback;
use trunkcast::rtp::keyframe::Feedback;
use trunkcast::rtp::session::{Session, SessionConfig, SessionEvent};
use trunkcast::rtp::stream::{Codec, StreamConfig};
use trunkcast::wire::rtcp::{self, RtcpPacket};

pub const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
pub const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

pub const PEER: &str = "192.0.2.1:4000";
pub const VIDEO_TYPE: u8 = 96;
pub const AUDIO_TYPE: u8 = 8;
pub const POOL: usize = 1_024;

/// How a sender puts access units into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// STAP-A and FU-A, by the payloader of the `rtp` crate.
    Fragments,
    /// Twelve slices a picture, a packet each, parameter sets too (packetization mode 0).
    Slices,
}

/// A camera: pictures of random content whose every byte is known.
pub struct VideoSender {
    pub form: Form,
    pub markers: bool,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub rng: Rng,
    /// Bytes that a picture's size varies by.
    pub room: u32,
    /// Parameter sets before each keyframe.
    pub sps: Vec<u8>,
    pub pps: Vec<u8>,
    payloader: H264Payloader,
    /// Every picture sent, in AVC form.
    pub pictures: Vec<Picture>,
}

pub struct Picture {
    pub bytes: Vec<u8>,
    pub keyframe: bool,
    /// No packet of it was lost on the way.
    pub intact: bool,
}

impl VideoSender {
    pub fn new(form: Form, seed: u64) -> Self {
        Self {
            form,
            markers: true,
            ssrc: 7,
            sequence: 65_400,
            timestamp: u32::MAX - 200_000,
            rng: Rng::from_number(seed),
            room: 5_000,
            sps: SPS.to_vec(),
            pps: PPS.to_vec(),
            payloader: H264Payloader::default(),
            pictures: Vec::new(),
        }
    }

    /// The packets of the next picture, a thirtieth of a second after the last.
    pub fn picture(&mut self, keyframe: bool) -> Vec<Vec<u8>> {
        let header = if keyframe { 0x65 } else { 0x41 };
        let slices = match self.form {
            Form::Fragments => 1,
            Form::Slices => 12,
        };
        let mut nals = Vec::new();
        if keyframe {
            nals.extend([self.sps.clone(), self.pps.clone()]);
        }
        for at in 0..slices {
            let room = if self.form == Form::Fragments {
                self.room
            } else {
                600
            };
            let length = 40 + self.rng.below(room) as usize;
            // First macroblock 0 or 1, an intra slice, picture parameter set 0.
            let mut nal = vec![header];
            nal.extend(if at == 0 { [0x88, 0x80] } else { [0x42, 0x20] });
            nal.extend((0..length).map(|_| self.rng.below(255) as u8 + 1));
            nals.push(nal);
        }
        let bytes = nals.iter().flat_map(|nal| {
            let length = nal.len() as u32;
            [&length.to_be_bytes()[..], nal].concat()
        });
        self.pictures.push(Picture {
            bytes: bytes.collect(),
            keyframe,
            intact: true,
        });
        let payloads: Vec<Vec<u8>> = match self.form {
            Form::Slices => nals,
            Form::Fragments => {
                let stream: Vec<u8> = nals
                    .iter()
                    .flat_map(|nal| [&[0, 0, 0, 1], &nal[..]].concat())
                    .collect();
                let payloads = self.payloader.payload(1_200, &stream.into()).unwrap();
                payloads.iter().map(|payload| payload.to_vec()).collect()
            }
        };
        let last = payloads.len() - 1;
        let packets = payloads.iter().enumerate().map(|(at, payload)| {
            let marker = self.markers && at == last;
            let bytes = packet(
                VIDEO_TYPE,
                marker,
                self.sequence,
                self.timestamp,
                self.ssrc,
                payload,
            );
            self.sequence = self.sequence.wrapping_add(1);
            bytes
        });
        let packets = packets.collect();
        self.timestamp = self.timestamp.wrapping_add(3_000);
        packets
    }
}

pub fn packet(
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type | u8::from(marker) << 7];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What the network does to packets, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    pub loss: u32,
    pub duplication: u32,
    /// Greatest delay beyond the least, in microseconds.
    pub jitter: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    /// Earliest first.
    at: std::cmp::Reverse<(Instant, u64)>,
    track: Track2,
    from: SocketAddr,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Track2 {
    Audio,
    Video,
}

/// A frame that came out.
#[derive(Clone, Debug)]
pub struct Out {
    pub track: Track,
    pub time: MediaTime,
    /// Microseconds from decoding to presentation.
    pub composition: u32,
    pub keyframe: bool,
    pub bytes: Vec<u8>,
    pub config: CodecConfig,
    pub received: Instant,
    /// When it could be read from the log.
    pub at: Instant,
}

/// The receiving side, the network before it and the virtual clock.
pub struct World {
    pub now: Instant,
    pub pool: PacketPool,
    pub session: Session,
    pub log: Box<FrameLog>,
    pub network: Network,
    pub rng: Rng,
    pub out: Vec<Out>,
    /// When a keyframe was asked for, by RTCP and by INFO.
    pub asked: Vec<Instant>,
    pub asked_by_info: Vec<Instant>,
    pub events: Vec<SessionEvent>,
    /// RTP datagrams that the session sent.
    pub sent: u64,
    flying: BinaryHeap<InFlight>,
    order: u64,
}

impl World {
    pub fn new(network: Network, seed: u64) -> Self {
        let rng = Rng::from_number(seed);
        let config = SessionConfig {
            cname: "box@test".into(),
            epoch: NtpTime(0xe000_0000 << 32),
        };
        let mut world = Self {
            now: Instant::from_millis(1_000),
            pool: PacketPool::new(POOL),
            session: Session::new(config, rng.clone()),
            log: Box::new(FrameLog::new()),
            network,
            rng,
            out: Vec::new(),
            asked: Vec::new(),
            asked_by_info: Vec::new(),
            events: Vec::new(),
            sent: 0,
            flying: BinaryHeap::new(),
            order: 0,
        };
        world
            .session
            .configure(world.now, Track::Video, Some(video_config()));
        world
            .session
            .configure(world.now, Track::Audio, Some(audio_config()));
        world.drain();
        world
    }

    /// Sends packets into the network; `false` when it lost any of them.
    pub fn send(&mut self, track: Track, packets: Vec<Vec<u8>>) -> bool {
        let mut whole = true;
        for bytes in packets {
            if self.rng.below(1_000) < self.network.loss {
                whole = false;
                continue;
            }
            self.fly(track, PEER, bytes.clone());
            if self.rng.below(1_000) < self.network.duplication {
                self.fly(track, PEER, bytes);
            }
        }
        whole
    }

    pub fn fly(&mut self, track: Track, from: &str, bytes: Vec<u8>) {
        let delay = 5_000 + self.rng.below(self.network.jitter + 1);
        let at = self.now + Duration::from_micros(u64::from(delay));
        self.order += 1;
        let track = match track {
            Track::Audio => Track2::Audio,
            Track::Video => Track2::Video,
        };
        let at = std::cmp::Reverse((at, self.order));
        self.flying.push(InFlight {
            at,
            track,
            from: from.parse().unwrap(),
            bytes,
        });
    }

    /// Delivers packets and timeouts up to a moment.
    pub fn run_until(&mut self, until: Instant) {
        loop {
            let packet = self.flying.peek().map(|packet| packet.at.0.0);
            let timeout = self.session.poll_timeout();
            let next = Instant::earliest(packet, timeout).map(|next| next.max(self.now));
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = next;
            if packet.is_some_and(|at| at <= next) {
                let packet = self.flying.pop().unwrap();
                let track = match packet.track {
                    Track2::Audio => Track::Audio,
                    Track2::Video => Track::Video,
                };
                self.deliver(track, packet.from, &packet.bytes);
            } else {
                self.session.handle_timeout(next, &mut self.log);
                self.drain();
            }
        }
        self.now = until;
    }

    pub fn deliver(&mut self, track: Track, from: SocketAddr, bytes: &[u8]) {
        if let Some(packet) = self.pool.copy_from(bytes) {
            self.session
                .handle_rtp(self.now, track, from, packet, &mut self.log);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; 256];
        while let Some(transmit) = self.session.poll_transmit(self.now, &mut buffer) {
            if !transmit.rtcp {
                self.sent += 1;
                continue;
            }
            let asks = rtcp::packets(&buffer[..transmit.len]).any(|packet| {
                matches!(
                    packet,
                    Ok(RtcpPacket::PictureLoss { .. } | RtcpPacket::FullIntra { .. })
                )
            });
            if asks {
                self.asked.push(self.now);
            }
        }
        while let Some(event) = self.session.poll_event() {
            if event == SessionEvent::KeyframeByInfo {
                self.asked_by_info.push(self.now);
            }
            self.events.push(event);
        }
        self.session.check_invariants();
        self.log.check_invariants();
        for position in self.log.start()..self.log.end() {
            let view = self.log.get(position).unwrap();
            let frame = view.frame();
            self.out.push(Out {
                track: frame.track,
                time: frame.time,
                composition: frame.composition,
                keyframe: frame.keyframe,
                bytes: view
                    .segments()
                    .flat_map(|s| [s.prefix(), s.payload()].concat())
                    .collect(),
                config: (*frame.config).clone(),
                received: frame.received,
                at: self.now,
            });
        }
        self.log.release_before(self.log.end());
    }

    pub fn video(&self) -> Vec<&Out> {
        self.out
            .iter()
            .filter(|out| out.track == Track::Video)
            .collect()
    }

    pub fn audio(&self) -> Vec<&Out> {
        self.out
            .iter()
            .filter(|out| out.track == Track::Audio)
            .collect()
    }

    /// Every buffer is back once the session lets go of what it holds.
    pub fn assert_no_buffer_is_lost(mut self) {
        self.run_until(self.now + Duration::from_secs(1));
        self.session.configure(self.now, Track::Video, None);
        self.session.configure(self.now, Track::Audio, None);
        assert_eq!(self.pool.available(), POOL);
    }
}

pub fn video_config() -> StreamConfig {
    StreamConfig {
        codec: Codec::H264 { sprop: Vec::new() },
        payload_type: VIDEO_TYPE,
        send_payload_type: VIDEO_TYPE,
        telephone_event: None,
        send_telephone_event: None,
        remote_rtp: Some(PEER.parse().unwrap()),
        remote_rtcp: None,
        rtcp_mux: false,
        send: true,
        receive: true,
        feedback: Feedback {
            pli: true,
            fir: true,
        },
        nack: false,
        bitrate_feedback: BitrateFeedback::default(),
        bitrate: None,
        clock_rate: 90_000,
        srtp: None,
    }
}

pub fn audio_config() -> StreamConfig {
    StreamConfig {
        codec: Codec::Pcma,
        payload_type: AUDIO_TYPE,
        send_payload_type: AUDIO_TYPE,
        telephone_event: Some(101),
        send_telephone_event: None,
        clock_rate: 8_000,
        send: false,
        ..video_config()
    }
}

/// Sends `count` pictures, every `interval`th a keyframe and one more whenever it was asked for.
pub fn film(world: &mut World, sender: &mut VideoSender, count: usize, interval: usize) {
    let mut answered = world.asked.len();
    for at in 0..count {
        // What was asked for arrives at the sender later than a picture's time ago.
        let asked = world.asked[answered..]
            .iter()
            .any(|asked| world.now.since(*asked) >= Duration::from_millis(30));
        if asked {
            answered = world.asked.len();
        }
        let packets = sender.picture(asked || at % interval == 0);
        let whole = world.send(Track::Video, packets);
        sender.pictures.last_mut().unwrap().intact = whole;
        world.run_until(world.now + Duration::from_micros(33_333));
    }
    world.run_until(world.now + Duration::from_millis(500));
}

/// The numbers of the pictures that came out. Panics when one is damaged, out of order, or depends
/// on one that did not come out, or when times do not rise.
pub fn shown(world: &World, sender: &VideoSender) -> Vec<usize> {
    let mut numbers: Vec<usize> = Vec::new();
    let mut last = None;
    for out in world.video() {
        let from = numbers.last().map_or(0, |number| number + 1);
        let number = sender.pictures[from..]
            .iter()
            .position(|picture| picture.bytes == out.bytes)
            .map(|ahead| from + ahead)
            .expect("a frame came out that was not sent, or came out of order");
        let picture = &sender.pictures[number];
        assert_eq!(picture.keyframe, out.keyframe);
        assert!(
            picture.keyframe || numbers.last() == Some(&(number - 1)),
            "{number} depends on a lost one"
        );
        assert!(last.is_none_or(|last| last < out.time), "times do not rise");
        assert!(matches!(&out.config, CodecConfig::H264(config) if config.width == 1280));
        last = Some(out.time);
        numbers.push(number);
    }
    numbers
}
