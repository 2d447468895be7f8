//! The silence that we send, so that phones, NATs and PBXs keep a call in which we only listen.
//!
//! One packet of [`Sound`] after another, in the codec that was agreed on: 20 ms each, or as long as
//! the access units of AAC.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod sound;

use core::time::Duration;

use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::limits::SILENCE_BYTES;
use crate::rtp::own_source::{HEADER_BYTES, OwnSource};
use crate::wire::rtcp::SenderInfo;

pub use sound::Sound;

/// Bytes of the longest RTP packet of silence.
pub const PACKET_BYTES: usize = HEADER_BYTES + SILENCE_BYTES;

/// Packets that are sent late after a stall; older ones are left out, their time passes.
pub const CATCH_UP: u32 = 5;

/// The sender of silence of one call.
#[derive(Clone, Debug)]
pub struct Silence {
    /// `None` for a codec in which no silence is made: nothing is sent.
    sound: Option<Sound>,
    source: OwnSource,
    /// A moment from which packets are counted; it stands while stopped.
    origin: Instant,
    /// Samples from `origin` to the next packet, less than a second's.
    samples: u32,
    running: bool,
    /// Whether anything may be sent from the source: kept here for whoever lends it.
    pub(super) allowed: bool,
    /// The next packet is the first after a pause.
    begins: bool,
    skipped: u64,
}

impl Silence {
    /// A stopped sender with random SSRC, sequence number and timestamp.
    ///
    /// The RTP clock of a codec in which no silence is made runs at `clock_rate`.
    pub fn new(sound: Option<Sound>, clock_rate: u32, payload_type: u8, rng: &mut Rng) -> Self {
        let clock_rate = sound.as_ref().map_or(clock_rate, |sound| sound.clock_rate);
        Self {
            source: OwnSource::new(clock_rate, payload_type, rng),
            sound,
            origin: Instant::ZERO,
            samples: 0,
            running: false,
            allowed: false,
            begins: false,
            skipped: 0,
        }
    }

    /// Takes over the codec of a new answer; sequence and clock go on.
    pub fn set_codec(&mut self, sound: Option<Sound>, payload_type: u8) {
        if sound != self.sound {
            self.set_origin(self.due());
            self.sound = sound;
            self.running &= self.sound.is_some();
            if let Some(sound) = &self.sound {
                self.source.set_clock_rate(self.origin, sound.clock_rate);
            }
        }
        self.source.set_payload_type(payload_type);
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.source.ssrc()
    }

    /// The source, for others that send from it while this one is stopped.
    pub fn source_mut(&mut self) -> &mut OwnSource {
        &mut self.source
    }

    /// Starts sending; the first packet is due at once. The time of a pause passes on the RTP clock.
    pub fn start(&mut self, now: Instant) {
        if !self.running && self.sound.is_some() {
            self.running = true;
            self.set_origin(now);
            self.begins = true;
        }
    }

    /// Stops sending.
    pub fn stop(&mut self) {
        self.running = false;
    }

    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.running.then(|| self.due())
    }

    /// Writes the next packet that is due and says its length; call until `None`.
    ///
    /// At most [`CATCH_UP`] packets and the present one come out of one moment, however long the
    /// owner was away. `None` also when `out` is too short; [`PACKET_BYTES`] suffice.
    pub fn poll_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if !self.running || now < self.due() {
            return None;
        }
        if out.len() < HEADER_BYTES.saturating_add(self.sound.as_ref()?.payload.len()) {
            return None;
        }
        self.skip_to(now);
        let at = self.due();
        let payload = &self.sound.as_ref()?.payload;
        let length = self.source.write(now, at, self.begins, payload, out)?;
        self.begins = false;
        self.advance(1);
        Some(length)
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        self.source.sender_info(now, ntp)
    }

    /// Packets left out after stalls.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// When the next packet is due, by the sender's own clock.
    fn due(&self) -> Instant {
        let rate = self.sound.as_ref().map_or(1, |sound| sound.sample_rate);
        let micros = u64::from(self.samples).saturating_mul(1_000_000) / u64::from(rate.max(1));
        self.origin + Duration::from_micros(micros)
    }

    /// Makes the next packet due at a moment.
    fn set_origin(&mut self, at: Instant) {
        self.source.anchor(at);
        self.origin = at;
        self.samples = 0;
    }

    /// Lets the time of packets pass that are too late to be sent.
    fn skip_to(&mut self, now: Instant) {
        let Some(sound) = &self.sound else { return };
        let late = now.since(self.due()).as_micros();
        let rate = u128::from(sound.sample_rate.max(1));
        let each = u128::from(sound.samples.max(1)).saturating_mul(1_000_000);
        let over = (late.saturating_mul(rate) / each).saturating_sub(u128::from(CATCH_UP));
        if over > 0 {
            let over = u32::try_from(over).unwrap_or(u32::MAX);
            self.advance(over);
            self.skipped = self.skipped.saturating_add(u64::from(over));
            self.begins = true;
        }
    }

    fn advance(&mut self, packets: u32) {
        let Some(sound) = &self.sound else { return };
        let rate = u64::from(sound.sample_rate.max(1));
        let samples = u64::from(sound.samples)
            .saturating_mul(u64::from(packets))
            .saturating_add(u64::from(self.samples));
        // Whole seconds go to the origin, so that nothing is ever rounded twice.
        let seconds = samples / rate;
        self.samples = (samples % rate) as u32;
        self.origin = self.origin + Duration::from_secs(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::stream::Codec;

    struct Sent {
        marker: bool,
        sequence: u16,
        timestamp: u32,
    }

    fn sender(codec: Codec, payload_type: u8) -> Silence {
        let sound = Sound::of(&codec, 8_000);
        Silence::new(sound, 8_000, payload_type, &mut Rng::from_number(3))
    }

    fn drain(silence: &mut Silence, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut out = [0; 200];
        while let Some(len) = silence.poll_packet(now, &mut out) {
            let packet = &out[..len];
            assert_eq!(packet[0], 0x80);
            assert_eq!(packet[8..12], silence.ssrc().to_be_bytes());
            sent.push(Sent {
                marker: packet[1] & 0x80 != 0,
                sequence: u16::from_be_bytes([packet[2], packet[3]]),
                timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            });
        }
        sent
    }

    #[test]
    fn packets_bear_the_codec_and_its_silence() {
        for (codec, payload_type, zero) in [
            (Codec::Pcma, 8, 0xd5),
            (Codec::Pcmu, 0, 0xff),
            (Codec::Pcma, 97, 0xd5),
        ] {
            let mut silence = sender(codec, payload_type);
            silence.start(Instant::ZERO);
            let mut out = [0; PACKET_BYTES];
            assert_eq!(silence.poll_packet(Instant::ZERO, &mut out), Some(172));
            assert_eq!(out[1] & 0x7f, payload_type);
            assert!(out[12..].iter().all(|byte| *byte == zero));
        }
    }

    #[test]
    fn one_packet_leaves_every_20_ms() {
        let mut silence = sender(Codec::Pcma, 8);
        assert_eq!(silence.poll_timeout(), None);
        silence.start(Instant::from_millis(100));
        let mut all = Vec::new();
        for at in 100..1_100 {
            let now = Instant::from_millis(at);
            let due = silence.poll_timeout().unwrap() <= now;
            let sent = drain(&mut silence, now);
            assert_eq!(sent.len(), usize::from(due));
            all.extend(sent);
        }
        assert_eq!(all.len(), 50);
        assert!(all[0].marker && all[1..].iter().all(|packet| !packet.marker));
        for pair in all.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        }
    }

    #[test]
    fn a_stall_is_caught_up_in_part_and_its_time_passes() {
        let mut silence = sender(Codec::Pcmu, 0);
        silence.start(Instant::ZERO);
        let first = drain(&mut silence, Instant::ZERO);
        let late = drain(&mut silence, Instant::from_millis(10_000));
        assert_eq!(late.len(), CATCH_UP as usize + 1);
        let last = late.last().unwrap();
        assert_eq!(last.timestamp.wrapping_sub(first[0].timestamp), 80_000);
        assert_eq!(last.sequence.wrapping_sub(first[0].sequence), 6);
        assert!(late[0].marker);
        assert_eq!(silence.skipped(), 500 - 6);
        assert_eq!(silence.poll_timeout(), Some(Instant::from_millis(10_020)));
    }

    #[test]
    fn a_pause_passes_on_the_rtp_clock() {
        let mut silence = sender(Codec::Pcma, 8);
        silence.start(Instant::ZERO);
        let first = drain(&mut silence, Instant::ZERO);
        silence.stop();
        assert_eq!(silence.poll_timeout(), None);
        assert!(drain(&mut silence, Instant::from_millis(500)).is_empty());
        silence.start(Instant::from_millis(5_000));
        let again = drain(&mut silence, Instant::from_millis(5_000));
        assert_eq!(again.len(), 1);
        assert!(again[0].marker);
        assert_eq!(again[0].timestamp.wrapping_sub(first[0].timestamp), 40_000);
    }

    #[test]
    fn reports_tell_the_rtp_time_of_the_moment() {
        let mut silence = sender(Codec::Pcma, 8);
        silence.start(Instant::ZERO);
        assert_eq!(silence.sender_info(Instant::ZERO, NtpTime(1)), None);
        let first = drain(&mut silence, Instant::ZERO);
        let info = silence
            .sender_info(Instant::from_millis(10), NtpTime(7))
            .unwrap();
        assert_eq!(info.rtp_timestamp.wrapping_sub(first[0].timestamp), 80);
        assert_eq!((info.ntp, info.packets, info.octets), (NtpTime(7), 1, 160));
    }

    #[test]
    fn a_buffer_too_short_takes_nothing() {
        let mut silence = sender(Codec::Pcma, 8);
        silence.start(Instant::ZERO);
        assert_eq!(
            silence.poll_packet(Instant::ZERO, &mut [0; PACKET_BYTES - 1]),
            None
        );
        assert_eq!(silence.poll_timeout(), Some(Instant::ZERO));
    }
}
