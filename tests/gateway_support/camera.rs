//! A phone's camera and microphone: RTP of both, in time.

use std::time::Duration;

use trunkcast::base::codec::Track;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::wire::rtcp::{self, RtcpPacket};

use super::outlet::SentMedia;
use super::{Phone, World};
use crate::rtp_support::{AUDIO_TYPE, Form, VIDEO_TYPE, VideoSender, packet};

/// What a phone sends while it films.
pub struct Camera {
    pub video: VideoSender,
    pub keyframe_interval: usize,
    /// Whether a picture loss indication makes a keyframe.
    pub obeys: bool,
    pub video_type: u8,
    pub with_video: bool,
    pub with_audio: bool,
    pictures: usize,
    sounds: u32,
    seen: usize,
}

impl Camera {
    pub fn new(seed: u64) -> Self {
        Self {
            video: VideoSender::new(Form::Fragments, seed),
            keyframe_interval: 25,
            obeys: false,
            video_type: VIDEO_TYPE,
            with_video: true,
            with_audio: true,
            pictures: 0,
            sounds: 0,
            seen: 0,
        }
    }

    /// Films for a time: 25 pictures and 50 packets of sound a second.
    pub fn film(&mut self, world: &mut World, phone: &Phone, time: Duration) {
        let until = world.now + time;
        while world.now < until {
            self.tick(world, phone);
            world.advance(Duration::from_millis(20));
        }
    }

    /// Sends what is due every 20 ms.
    pub fn tick(&mut self, world: &mut World, phone: &Phone) {
        if self.with_video && self.sounds.is_multiple_of(2) {
            let seen = self.seen.min(world.outlet.sent_media.len());
            let asked = world.outlet.sent_media[seen..].iter().any(asks);
            self.seen = world.outlet.sent_media.len();
            let due = self.pictures.is_multiple_of(self.keyframe_interval);
            let keyframe = due || (self.obeys && asked);
            for mut bytes in self.video.picture(keyframe) {
                bytes[1] = bytes[1] & 0x80 | self.video_type;
                world.media(phone, Track::Video, &bytes);
            }
            // The sender's own step is a thirtieth of a second; here it is a twenty-fifth.
            self.video.timestamp = self.video.timestamp.wrapping_add(600);
            self.pictures += 1;
        }
        if self.with_audio {
            let bytes = self.sound();
            world.media(phone, Track::Audio, &bytes);
        }
        self.sounds += 1;
    }

    /// The next 20 ms of A-law.
    pub fn sound(&self) -> Vec<u8> {
        let timestamp = self.sounds.wrapping_mul(160);
        packet(
            AUDIO_TYPE,
            false,
            self.sounds as u16,
            timestamp,
            5,
            &[0xd5; 160],
        )
    }
}

/// Whether a datagram asks for a keyframe.
pub(super) fn asks(sent: &SentMedia) -> bool {
    rtcp::packets(&sent.bytes).any(|packet| {
        matches!(
            packet,
            Ok(RtcpPacket::PictureLoss { .. } | RtcpPacket::FullIntra { .. })
        )
    })
}

/// When, in what was sent, a keyframe was asked for: how often.
pub fn reports_of(sent: &[SentMedia]) -> usize {
    sent.iter()
        .filter(|sent| rtcp::is_rtcp(&sent.bytes) && asks(sent))
        .count()
}

/// A sender report of one source.
pub fn sender_report(now: Instant, ssrc: u32, timestamp: u32) -> Vec<u8> {
    let _ = NtpTime(0);
    let seconds = 0xe000_0000_u32 + (now.as_micros() / 1_000_000) as u32;
    let fraction = ((now.as_micros() % 1_000_000) << 32) / 1_000_000;
    let mut bytes = vec![0x80, 200, 0, 6];
    for word in [ssrc, seconds, fraction as u32, timestamp, 100, 10_000] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}
