//! A phone: a camera and a microphone whose every frame is known, on clocks of their own.

use std::collections::VecDeque;

use trunkcast::base::codec::{AacConfig, Track};
use trunkcast::rtp::stream::Codec;
use trunkcast::wire::aac::{AacPacking, Mpeg4Generic};

use crate::rtp_support::{PPS, SPS, packet};

pub const VIDEO_TYPE: u8 = 96;
pub const AUDIO_TYPE: u8 = 97;

/// Bytes of an RTP payload.
const MTU: usize = 1_200;

/// Packets kept to be sent once more.
const KEPT: usize = 64;

/// Pictures a second.
const PICTURES: i64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Video {
    H264,
    Vp8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    G711,
    Opus,
    Aac,
}

/// One frame as it went out.
pub struct Sent {
    /// What a receiver is to get.
    pub bytes: Vec<u8>,
    pub keyframe: bool,
    /// Capture, in microseconds of true time.
    pub captured: i64,
    /// When the last of its packets arrived.
    pub arrived: i64,
    /// The numbers of its packets that arrived.
    pub came: Vec<u16>,
}

/// One track of the phone.
pub struct Sender {
    pub track: Track,
    pub clock_rate: u32,
    pub frames: Vec<Sent>,
    /// The last packets sent and the numbers of their frames.
    pub packets: VecDeque<(usize, Vec<u8>)>,
    /// Microseconds from frame to frame.
    spacing: (i64, i64),
    /// What the encoder needs: capture to sending.
    pub latency: i64,
    kind: Kind,
    base: u32,
    ssrc: u32,
    sequence: u16,
    noise: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Video(Video),
    Audio(Audio),
}

impl Video {
    pub fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264 { sprop: Vec::new() },
            Self::Vp8 => Codec::Vp8,
        }
    }
}

impl Audio {
    pub fn codec(self) -> Codec {
        match self {
            Self::G711 => Codec::Pcma,
            Self::Opus => Codec::Opus { channels: 2 },
            Self::Aac => Codec::Aac(AacPacking::Generic(Mpeg4Generic {
                config: AacConfig {
                    specific: heapless::Vec::from_slice(&[0x11, 0x90]).unwrap(),
                    sample_rate: 48_000,
                    channels: 2,
                    frame_samples: 1_024,
                },
                size_length: 13,
                index_length: 3,
                index_delta_length: 3,
                constant_size: None,
            })),
        }
    }

    pub fn clock_rate(self) -> u32 {
        match self {
            Self::G711 => 8_000,
            Self::Opus | Self::Aac => 48_000,
        }
    }
}

impl Sender {
    pub fn camera(video: Video, seed: u64) -> Self {
        Self {
            track: Track::Video,
            clock_rate: 90_000,
            frames: Vec::new(),
            packets: VecDeque::new(),
            spacing: (1_000_000, PICTURES),
            latency: 15_000,
            kind: Kind::Video(video),
            base: u32::MAX - 500_000,
            ssrc: 7,
            sequence: 65_400,
            noise: seed | 1,
        }
    }

    pub fn microphone(audio: Audio, seed: u64) -> Self {
        let (spacing, latency) = match audio {
            Audio::G711 | Audio::Opus => ((20_000, 1), 20_000),
            Audio::Aac => ((1_024_000_000, 48_000), 21_333),
        };
        Self {
            track: Track::Audio,
            clock_rate: audio.clock_rate(),
            frames: Vec::new(),
            packets: VecDeque::new(),
            spacing,
            latency,
            kind: Kind::Audio(audio),
            base: u32::MAX - 40_000,
            ssrc: 5,
            sequence: 65_000,
            noise: seed.rotate_left(32) | 1,
        }
    }

    /// When the next frame is captured.
    pub fn next_capture(&self) -> i64 {
        self.frames.len() as i64 * self.spacing.0 / self.spacing.1
    }

    /// RTP time of true time.
    pub fn rtp(&self, at: i64) -> u32 {
        let ticks = i128::from(at) * i128::from(self.clock_rate) / 1_000_000;
        self.base.wrapping_add(ticks as u32)
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The packets of the next frame.
    pub fn frame(&mut self, keyframe: bool) -> Vec<Vec<u8>> {
        let captured = self.next_capture();
        let (bytes, payloads) = match self.kind {
            Kind::Video(Video::H264) => self.h264(keyframe),
            Kind::Video(Video::Vp8) => self.vp8(keyframe),
            Kind::Audio(audio) => self.audio(audio),
        };
        // The exact sample count; `rtp` would round differently.
        let ticks = captured_ticks(self.frames.len(), self.spacing, self.clock_rate);
        let timestamp = self.base.wrapping_add(ticks);
        let video = self.track == Track::Video;
        let payload_type = if video { VIDEO_TYPE } else { AUDIO_TYPE };
        let last = payloads.len() - 1;
        let packets = payloads.iter().enumerate().map(|(at, payload)| {
            let marker = video && at == last;
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            packet(
                payload_type,
                marker,
                sequence,
                timestamp,
                self.ssrc,
                payload,
            )
        });
        let packets: Vec<Vec<u8>> = packets.collect();
        for packet in &packets {
            self.packets.push_back((self.frames.len(), packet.clone()));
        }
        let old = self.packets.len().saturating_sub(KEPT);
        self.packets.drain(..old);
        self.frames.push(Sent {
            bytes,
            keyframe,
            captured,
            arrived: i64::MIN,
            came: Vec::new(),
        });
        packets
    }

    fn h264(&mut self, keyframe: bool) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut payloads = Vec::new();
        let mut bytes = Vec::new();
        let mut nal = vec![if keyframe { 0x65 } else { 0x41 }, 0x9a];
        if keyframe {
            let mut aggregate = vec![0x78];
            for set in [SPS, PPS] {
                aggregate.extend((set.len() as u16).to_be_bytes());
                aggregate.extend(set);
                bytes.extend((set.len() as u32).to_be_bytes());
                bytes.extend(set);
            }
            payloads.push(aggregate);
        }
        self.fill(&mut nal, picture_size(keyframe));
        bytes.extend((nal.len() as u32).to_be_bytes());
        bytes.extend(&nal);
        if nal.len() <= MTU {
            payloads.push(nal);
            return (bytes, payloads);
        }
        let chunks: Vec<&[u8]> = nal[1..].chunks(MTU - 2).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            let start = u8::from(at == 0) << 7;
            let end = u8::from(at + 1 == chunks.len()) << 6;
            let header = [nal[0] & 0xe0 | 28, start | end | nal[0] & 0x1f];
            payloads.push([&header, *chunk].concat());
        }
        (bytes, payloads)
    }

    fn vp8(&mut self, keyframe: bool) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut bytes = Vec::new();
        // The frame tag: shown, with a first partition of 100 bytes (RFC 6386, section 9.1).
        let tag = u32::from(!keyframe) | 1 << 4 | 100 << 5;
        bytes.extend(&tag.to_le_bytes()[..3]);
        if keyframe {
            bytes.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
        }
        self.fill(&mut bytes, picture_size(keyframe));
        let id = 0x8000 | (self.frames.len() as u16 + 32_700) & 0x7fff;
        let payloads = bytes.chunks(MTU - 4).enumerate().map(|(at, chunk)| {
            let start = u8::from(at == 0) << 4;
            let mut payload = vec![0x80 | start, 0x80];
            payload.extend(id.to_be_bytes());
            payload.extend(chunk);
            payload
        });
        let payloads = payloads.collect();
        (bytes, payloads)
    }

    fn audio(&mut self, audio: Audio) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut bytes, size): (Vec<u8>, usize) = match audio {
            Audio::G711 => (Vec::new(), 160),
            // One CELT frame of 20 ms, stereo.
            Audio::Opus => (vec![0xfc], 90),
            Audio::Aac => (vec![0x21], 180),
        };
        self.fill(&mut bytes, (size, 1));
        let payload = match audio {
            Audio::G711 | Audio::Opus => bytes.clone(),
            Audio::Aac => {
                let header = (bytes.len() as u16) << 3;
                [&[0, 16], &header.to_be_bytes(), &bytes[..]].concat()
            }
        };
        (bytes, vec![payload])
    }

    /// Adds bytes that occur nowhere else, none of them zero.
    fn fill(&mut self, bytes: &mut Vec<u8>, (least, more): (usize, u64)) {
        let mut next = || {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            self.noise
        };
        let length = least + (next() % more) as usize;
        while bytes.len() < length {
            bytes.extend((next() | 0x0101_0101_0101_0101).to_ne_bytes());
        }
    }
}

fn captured_ticks(number: usize, spacing: (i64, i64), clock_rate: u32) -> u32 {
    let ticks = number as i128 * i128::from(spacing.0) * i128::from(clock_rate);
    (ticks / i128::from(spacing.1) / 1_000_000) as u32
}

fn picture_size(keyframe: bool) -> (usize, u64) {
    if keyframe {
        (6_000, 3_000)
    } else {
        (300, 2_500)
    }
}
