//! A phone of any codec: packets in time whose every frame is known.

use std::collections::HashSet;
use std::time::Duration;

use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::wire::aac::audio_specific_config;
use trunkcast::wire::bits::BitWriter;
use trunkcast::wire::latm::write_stream_mux;

use super::{Phone, World};
use crate::rtp_support::{Form, VIDEO_TYPE, VideoSender, packet};

/// What a handset's camera sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandsetPicture {
    H264,
    Vp8,
}

/// What a handset's microphone sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandsetSound {
    Pcma,
    Opus,
    Generic,
    Latm,
    LatmInBand,
    Speex,
}

impl HandsetSound {
    pub const ALL: [Self; 6] = [
        Self::Pcma,
        Self::Opus,
        Self::Generic,
        Self::Latm,
        Self::LatmInBand,
        Self::Speex,
    ];

    const fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Opus => 98,
            Self::Generic | Self::Latm | Self::LatmInBand => 97,
            Self::Speex => 99,
        }
    }

    const fn clock_rate(self) -> u32 {
        match self {
            Self::Pcma => 8_000,
            Self::Speex => 16_000,
            _ => 48_000,
        }
    }

    /// Samples of one frame.
    const fn samples(self) -> u32 {
        match self {
            Self::Pcma => 160,
            Self::Opus => 960,
            Self::Speex => 320,
            _ => 1_024,
        }
    }

    const fn lines(self) -> &'static str {
        match self {
            Self::Pcma => "a=rtpmap:8 PCMA/8000\r\n",
            Self::Opus => "a=rtpmap:98 opus/48000/2\r\n",
            Self::Generic => {
                "a=rtpmap:97 mpeg4-generic/48000/1\r\n\
                 a=fmtp:97 streamtype=5; profile-level-id=1; mode=AAC-hbr; config=1188; \
                 sizeLength=13; indexLength=3; indexDeltaLength=3\r\n"
            }
            Self::Latm => {
                "a=rtpmap:97 MP4A-LATM/48000/2\r\n\
                 a=fmtp:97 profile-level-id=41;object=2;cpresent=0;config=400023203fc0\r\n"
            }
            Self::LatmInBand => {
                "a=rtpmap:97 MP4A-LATM/48000/2\r\n\
                 a=fmtp:97 profile-level-id=41;object=2;cpresent=1\r\n"
            }
            Self::Speex => "a=rtpmap:99 speex/16000\r\n",
        }
    }
}

/// The offer of a phone of these codecs, with every kind of feedback.
pub fn offer_of(picture: HandsetPicture, sound: HandsetSound) -> String {
    let video = match picture {
        HandsetPicture::H264 => {
            "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=64001f\r\n"
        }
        HandsetPicture::Vp8 => "a=rtpmap:96 VP8/90000\r\n",
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVPF {} 101\r\n{}a=rtpmap:101 telephone-event/8000\r\n\
         a=rtcp-fb:* nack\r\nm=video 4002 RTP/AVPF 96\r\n{video}a=rtcp-fb:96 nack\r\n\
         a=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 ccm tmmbr\r\n",
        sound.payload_type(),
        sound.lines(),
    )
}

/// A phone that offers these codecs.
pub fn phone_of(callee: &str, picture: HandsetPicture, sound: HandsetSound) -> Phone {
    let mut phone = Phone::new(callee);
    phone.sdp = offer_of(picture, sound);
    phone
}

/// The camera and the microphone of a phone.
pub struct Handset {
    pub picture: HandsetPicture,
    pub sound: HandsetSound,
    pub rng: Rng,
    /// Every frame that was sent, as its codec has it.
    pub frames: HashSet<Vec<u8>>,
    /// Bytes that a picture's size varies by.
    pub room: u32,
    /// The next picture is a keyframe.
    pub asked: bool,
    camera: VideoSender,
    elapsed: u64,
    pictures: u64,
    sounds: u64,
    sound_sequence: u16,
}

impl Handset {
    pub fn new(picture: HandsetPicture, sound: HandsetSound, seed: u64) -> Self {
        Self {
            picture,
            sound,
            rng: Rng::from_number(seed),
            frames: HashSet::new(),
            room: 5_000,
            asked: false,
            camera: VideoSender::new(Form::Fragments, seed),
            elapsed: 0,
            pictures: 0,
            sounds: 0,
            sound_sequence: 65_500,
        }
    }

    /// Talks and films for a time; `on_way` puts a packet, or others, where it belongs.
    pub fn live(
        &mut self,
        world: &mut World,
        time: Duration,
        mut on_way: impl FnMut(&mut World, Track, Vec<u8>),
    ) {
        let until = world.now + time;
        while world.now < until {
            for (track, bytes) in self.tick() {
                on_way(world, track, bytes);
            }
            world.advance(Duration::from_millis(20));
        }
    }

    /// The packets of the next 20 ms.
    pub fn tick(&mut self) -> Vec<(Track, Vec<u8>)> {
        let mut packets = Vec::new();
        if self.elapsed.is_multiple_of(40_000) {
            let asked = std::mem::take(&mut self.asked);
            let bytes = self.film(asked || self.pictures.is_multiple_of(25));
            packets.extend(bytes.into_iter().map(|bytes| (Track::Video, bytes)));
            self.pictures += 1;
        }
        let rate = u64::from(self.sound.clock_rate());
        let samples = u64::from(self.sound.samples());
        while self.sounds * samples * 1_000_000 <= self.elapsed * rate {
            let timestamp = (self.sounds * samples) as u32;
            let bytes = self.talk(timestamp);
            packets.extend(bytes.into_iter().map(|bytes| (Track::Audio, bytes)));
        }
        self.elapsed += 20_000;
        packets
    }

    fn film(&mut self, keyframe: bool) -> Vec<Vec<u8>> {
        if self.picture == HandsetPicture::H264 {
            self.camera.room = self.room;
            let packets = self.camera.picture(keyframe);
            let sent = self.camera.pictures.pop().unwrap();
            self.frames.insert(sent.bytes);
            // The sender's own step is a thirtieth of a second; here it is a twenty-fifth.
            self.camera.timestamp = self.camera.timestamp.wrapping_add(600);
            return packets;
        }
        // Shown, with a first partition of 100 bytes (RFC 6386, section 9.1).
        let tag = u32::from(!keyframe) | 1 << 4 | 100 << 5;
        let mut frame = tag.to_le_bytes()[..3].to_vec();
        if keyframe {
            frame.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
        }
        let size = 200 + self.rng.below(self.room) as usize;
        self.noise(&mut frame, size);
        let number = 0x8000 | (self.pictures as u16).wrapping_add(32_700) & 0x7fff;
        let chunks: Vec<&[u8]> = frame.chunks(1_196).collect();
        let last = chunks.len() - 1;
        let mut packets = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let start = u8::from(at == 0) << 4;
            let [high, low] = number.to_be_bytes();
            let payload = [&[0x80 | start, 0x80, high, low], *chunk].concat();
            let camera = &mut self.camera;
            packets.push(packet(
                VIDEO_TYPE,
                at == last,
                camera.sequence,
                camera.timestamp,
                camera.ssrc,
                &payload,
            ));
            camera.sequence = camera.sequence.wrapping_add(1);
        }
        self.camera.timestamp = self.camera.timestamp.wrapping_add(3_600);
        self.frames.insert(frame);
        packets
    }

    fn talk(&mut self, timestamp: u32) -> Vec<Vec<u8>> {
        let mut frame = Vec::new();
        let mut frames = 1;
        let payloads = match self.sound {
            HandsetSound::Pcma => {
                self.noise(&mut frame, 160);
                vec![frame.clone()]
            }
            HandsetSound::Opus => {
                frame.push(0xfc);
                self.noise(&mut frame, 90);
                vec![frame.clone()]
            }
            HandsetSound::Speex => {
                let mut bits = BitWriter::<16>::new();
                bits.number(8, 5).unwrap();
                for count in [32, 32, 10] {
                    bits.number(self.rng.u32() >> (32 - count), count).unwrap();
                }
                bits.number(9, 4).unwrap();
                bits.number(self.rng.u32(), 32).unwrap();
                bits.number(0b01111, 5).unwrap();
                frame.extend(bits.finish());
                vec![frame.clone()]
            }
            HandsetSound::Generic => {
                self.noise(&mut frame, 180);
                let size = (frame.len() as u16) << 3;
                let head = [&[0, 16], &size.to_be_bytes()[..]].concat();
                match self.sounds % 3 {
                    // Two units in one packet, two fragments, one unit.
                    0 => {
                        let mut second = Vec::new();
                        self.noise(&mut second, 100);
                        let other = (second.len() as u16) << 3;
                        let head = [&[0, 32], &size.to_be_bytes()[..], &other.to_be_bytes()];
                        let payload = [&head.concat(), &frame[..], &second].concat();
                        self.frames.insert(second);
                        frames = 2;
                        vec![payload]
                    }
                    1 => {
                        let (first, rest) = frame.split_at(70);
                        vec![[&head, first].concat(), [&head, rest].concat()]
                    }
                    _ => vec![[&head, &frame[..]].concat()],
                }
            }
            HandsetSound::Latm => {
                self.noise(&mut frame, 180);
                let payload = [&[frame.len() as u8], &frame[..]].concat();
                if self.sounds.is_multiple_of(2) {
                    vec![payload]
                } else {
                    let (first, rest) = payload.split_at(90);
                    vec![first.to_vec(), rest.to_vec()]
                }
            }
            HandsetSound::LatmInBand => {
                self.noise(&mut frame, 180);
                let config = audio_specific_config(&[0x11, 0x90]).unwrap();
                let mut element = BitWriter::<300>::new();
                element.number(0, 1).unwrap();
                write_stream_mux(&mut element, &config).unwrap();
                element.number(frame.len() as u32, 8).unwrap();
                element.bytes(&frame).unwrap();
                let element = element.finish();
                let (first, rest) = element.split_at(100);
                vec![first.to_vec(), rest.to_vec()]
            }
        };
        self.frames.insert(frame);
        self.sounds += frames;
        let last = payloads.len() - 1;
        let packets = payloads.iter().enumerate().map(|(at, payload)| {
            let sequence = self.sound_sequence;
            self.sound_sequence = sequence.wrapping_add(1);
            let kind = self.sound.payload_type();
            packet(kind, at == last, sequence, timestamp, 5, payload)
        });
        packets.collect()
    }

    /// Adds bytes that occur nowhere else, none of them zero.
    fn noise(&mut self, bytes: &mut Vec<u8>, more: usize) {
        bytes.extend((0..more).map(|_| self.rng.below(255) as u8 + 1));
    }
}
