//! The still picture that we send, for peers that wait for video before they send theirs.
//!
//! One black picture a second, each a keyframe with all that its decoder needs, so that a lost
//! packet is made good by the next one. The peer's requests for a keyframe (RFC 4585, section 6.3.1;
//! RFC 5104, section 4.3.1) are answered at once, paced; nothing is ever sent twice.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod picture;

use core::time::Duration;

use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::own_source::OwnSource;
use crate::wire::rtcp::SenderInfo;

pub use picture::Picture;

/// From one picture to the next.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// No two pictures are closer than this, whatever the peer asks.
pub const MIN_GAP: Duration = Duration::from_millis(500);

/// Ticks of the RTP clock of video a second.
const CLOCK_RATE: u32 = 90_000;

/// The sender of the still picture of one call.
#[derive(Clone, Debug)]
pub struct Still {
    source: OwnSource,
    /// `None` for a codec without a picture: nothing is sent.
    picture: Option<&'static Picture>,
    /// When the next picture is due; `None` while stopped.
    due: Option<Instant>,
    /// When the last picture was begun.
    last: Option<Instant>,
    /// Pictures begun.
    turn: usize,
    /// Packets of the present picture that are out; zero between pictures.
    packet: usize,
    /// Whether anything may be sent from the source: kept here for whoever lends it.
    pub(super) allowed: bool,
}

impl Still {
    /// A stopped sender with random SSRC, sequence number and timestamp.
    pub fn new(picture: Option<&'static Picture>, payload_type: u8, rng: &mut Rng) -> Self {
        Self {
            source: OwnSource::new(CLOCK_RATE, payload_type, rng),
            picture,
            due: None,
            last: None,
            turn: 0,
            packet: 0,
            allowed: false,
        }
    }

    /// Takes over the codec of a new answer, with a picture in it as soon as pacing allows.
    pub fn set_codec(&mut self, picture: Option<&'static Picture>, payload_type: u8) {
        if picture != self.picture {
            self.picture = picture;
            self.packet = 0;
            self.due = self.due.and(picture).map(|_| self.allowed_from());
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

    /// Starts sending; the first picture is due as soon as pacing allows.
    pub fn start(&mut self, now: Instant) {
        if self.due.is_none() && self.picture.is_some() {
            self.packet = 0;
            self.due = Some(self.allowed_from().max(now));
        }
    }

    /// Stops sending.
    pub fn stop(&mut self) {
        self.due = None;
    }

    /// Makes the next picture due as soon as pacing allows.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        let soon = self.allowed_from().max(now);
        self.due = self.due.map(|due| due.min(soon));
    }

    /// When the next picture is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Writes the next packet that is due and says its length; call until `None`.
    ///
    /// `None` also when `out` is too short; [`crate::limits::RTCP_COMPOUND_BYTES`] suffice.
    pub fn poll_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let due = self.due.filter(|due| now >= *due)?;
        let turns = self.picture?.turns;
        let packets = turns.get(self.turn.checked_rem(turns.len())?)?;
        let payload = packets.get(self.packet)?;
        // The packets of a picture share the time at which it began.
        let at = match self.packet {
            0 => now,
            _ => self.last.unwrap_or(due),
        };
        let next = self.packet.saturating_add(1);
        let is_whole = next >= packets.len();
        let length = self.source.write(now, at, is_whole, payload, out)?;
        self.last = Some(at);
        if is_whole {
            self.packet = 0;
            self.turn = self.turn.wrapping_add(1);
            self.due = Some(at + INTERVAL);
        } else {
            self.packet = next;
        }
        Some(length)
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        self.source.sender_info(now, ntp)
    }

    /// When the next picture may leave at the earliest.
    fn allowed_from(&self) -> Instant {
        self.last.map_or(Instant::ZERO, |last| last + MIN_GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RTCP_COMPOUND_BYTES;
    use crate::rtp::own_source::{HEADER_BYTES, SENDER_MEMORY};
    use crate::rtp::stream::Codec;
    use crate::wire::rtp::RtpHeader;

    fn h264() -> Option<&'static Picture> {
        Picture::of(&Codec::H264 { sprop: Vec::new() })
    }

    fn still(picture: Option<&'static Picture>) -> Still {
        Still::new(picture, 97, &mut Rng::from_number(5))
    }

    fn drain(still: &mut Still, at: u64) -> Vec<(RtpHeader, Vec<u8>)> {
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut sent = Vec::new();
        while let Some(len) = still.poll_packet(Instant::from_millis(at), &mut out) {
            let header = RtpHeader::parse(&out[..len]).unwrap();
            let payload = out[header.payload()].to_vec();
            sent.push((header, payload));
        }
        sent
    }

    fn kinds(sent: &[(RtpHeader, Vec<u8>)]) -> Vec<u8> {
        sent.iter().map(|(_, payload)| payload[0] & 0x1f).collect()
    }

    /// When pictures leave in a time, in milliseconds.
    fn pictures(still: &mut Still, times: core::ops::Range<u64>) -> Vec<u64> {
        times.filter(|at| !drain(still, *at).is_empty()).collect()
    }

    #[test]
    fn a_picture_is_one_access_unit_of_single_nal_units_with_one_time_and_a_marker_at_its_end() {
        let mut still = still(h264());
        still.start(Instant::from_millis(70));
        let first = drain(&mut still, 70);
        assert_eq!(kinds(&first), [7, 8, 5]);
        let markers: Vec<_> = first.iter().map(|(header, _)| header.marker).collect();
        assert_eq!(markers, [false, false, true]);
        assert!(drain(&mut still, 1_069).is_empty());
        let second = drain(&mut still, 1_070);
        assert_eq!(kinds(&second), [7, 8, 5]);
        let all: Vec<_> = first.iter().chain(&second).collect();
        for pair in all.windows(2) {
            let [(before, _), (after, _)] = pair else {
                unreachable!()
            };
            assert_eq!(after.sequence, before.sequence.wrapping_add(1));
            let step = if before.marker { 90_000 } else { 0 };
            assert_eq!(after.timestamp, before.timestamp.wrapping_add(step));
            assert_eq!((after.ssrc, after.payload_type), (still.ssrc(), 97));
        }
        // Neighbours differ in idr_pic_id, and in nothing before the slice.
        assert_eq!((&first[0].1, &first[1].1), (&second[0].1, &second[1].1));
        assert_ne!(first[2].1, second[2].1);
        assert_eq!(drain(&mut still, 2_070)[2].1, first[2].1);
    }

    #[test]
    fn a_picture_of_vp8_is_one_packet_with_a_whole_keyframe() {
        let mut still = still(Picture::of(&Codec::Vp8));
        still.start(Instant::ZERO);
        for at in [0, 1_000] {
            let sent = drain(&mut still, at);
            let [(header, payload)] = &sent[..] else {
                panic!("{} packets", sent.len());
            };
            assert!(header.marker);
            // Start of partition 0 without extensions; key frame; start code; 176x144.
            assert_eq!(payload[0], 0x10);
            assert_eq!(payload[1] & 1, 0);
            assert_eq!(payload[4..11], [0x9d, 0x01, 0x2a, 176, 0, 144, 0]);
        }
    }

    #[test]
    fn every_packet_fits_the_least_buffer_of_a_session() {
        for picture in [h264(), Picture::of(&Codec::Vp8)] {
            for payload in picture.unwrap().turns.iter().flat_map(|turn| turn.iter()) {
                assert!(HEADER_BYTES + payload.len() <= RTCP_COMPOUND_BYTES);
            }
        }
        assert_eq!(Picture::of(&Codec::Pcma), None);
        let mut still = still(None);
        still.start(Instant::ZERO);
        assert_eq!(still.poll_timeout(), None);
    }

    #[test]
    fn a_wanted_keyframe_leaves_at_once_or_half_a_second_after_the_last() {
        let mut still = still(h264());
        still.keyframe_wanted(Instant::ZERO);
        assert_eq!(still.poll_timeout(), None, "nothing is sent while stopped");
        still.start(Instant::ZERO);
        assert_eq!(pictures(&mut still, 0..700), [0]);
        still.keyframe_wanted(Instant::from_millis(700));
        assert_eq!(pictures(&mut still, 700..800), [700]);
        still.keyframe_wanted(Instant::from_millis(800));
        still.keyframe_wanted(Instant::from_millis(900));
        assert_eq!(pictures(&mut still, 900..3_500), [1_200, 2_200, 3_200]);
        // However often it is wanted.
        let mut left = Vec::new();
        for at in 3_500..10_000 {
            still.keyframe_wanted(Instant::from_millis(at));
            left.extend(pictures(&mut still, at..at + 1));
        }
        assert_eq!(left.len(), 13);
    }

    #[test]
    fn pauses_do_not_hasten_pictures_and_their_time_passes() {
        let mut still = still(h264());
        let mut first = None;
        let mut left = Vec::new();
        for at in 0..2_000 {
            still.stop();
            still.start(Instant::from_millis(at));
            let sent = drain(&mut still, at);
            if let Some((header, _)) = sent.first() {
                left.push(at);
                let first = *first.get_or_insert(header.timestamp);
                assert_eq!(header.timestamp.wrapping_sub(first), at as u32 * 90);
            }
        }
        assert_eq!(left, [0, 500, 1_000, 1_500]);
        still.stop();
        assert!(drain(&mut still, 9_000).is_empty());
        assert_eq!(still.poll_timeout(), None);
        // One picture, however long the owner was away.
        still.start(Instant::from_millis(20_000));
        assert_eq!(drain(&mut still, 90_000).len(), 3);
        assert!(drain(&mut still, 90_000).is_empty());
    }

    #[test]
    fn a_new_codec_gets_a_whole_picture_and_keeps_source_and_sequence() {
        let mut still = still(h264());
        still.start(Instant::ZERO);
        let mut out = [0; RTCP_COMPOUND_BYTES];
        // Half a picture is out.
        still.poll_packet(Instant::ZERO, &mut out).unwrap();
        let last = RtpHeader::parse(&out).unwrap().sequence;
        still.set_codec(Picture::of(&Codec::Vp8), 98);
        assert!(drain(&mut still, 499).is_empty());
        let sent = drain(&mut still, 500);
        let [(header, _)] = &sent[..] else {
            panic!("{} packets", sent.len());
        };
        assert_eq!((header.payload_type, header.ssrc), (98, still.ssrc()));
        assert_eq!(header.sequence, last.wrapping_add(1));
        still.set_codec(h264(), 97);
        assert_eq!(kinds(&drain(&mut still, 1_000)), [7, 8, 5]);
        still.set_codec(None, 97);
        assert_eq!(still.poll_timeout(), None);
    }

    #[test]
    fn time_and_sequence_run_on_through_every_wrap_for_sixty_days() {
        let mut still = still(h264());
        still.start(Instant::ZERO);
        let mut before: Option<RtpHeader> = None;
        for second in 0..60 * 86_400 / 97 {
            let sent = drain(&mut still, second * 97_000);
            let (header, _) = sent.last().unwrap();
            if let Some(before) = before {
                assert_eq!(header.sequence.wrapping_sub(before.sequence), 3);
                let ticks = header.timestamp.wrapping_sub(before.timestamp);
                assert_eq!(ticks, 97 * 90_000);
            }
            before = Some(*header);
        }
    }

    #[test]
    fn a_buffer_too_short_takes_nothing() {
        let mut still = still(h264());
        still.start(Instant::ZERO);
        assert_eq!(
            still.poll_packet(Instant::ZERO, &mut [0; HEADER_BYTES]),
            None
        );
        assert_eq!(drain(&mut still, 0).len(), 3);
    }

    #[test]
    fn reports_count_packets_and_payloads_and_end_some_time_after_the_last() {
        let mut still = still(h264());
        let ntp = NtpTime(9);
        assert_eq!(still.sender_info(Instant::ZERO, ntp), None);
        still.start(Instant::ZERO);
        let sent = drain(&mut still, 0);
        let octets: usize = sent.iter().map(|(_, payload)| payload.len()).sum();
        let info = still.sender_info(Instant::from_millis(200), ntp).unwrap();
        assert_eq!(
            (info.ntp, info.packets, info.octets),
            (ntp, 3, octets as u32)
        );
        let ticks = info.rtp_timestamp.wrapping_sub(sent[0].0.timestamp);
        assert_eq!(ticks, 18_000);
        still.stop();
        let end = Instant::ZERO + SENDER_MEMORY;
        assert!(still.sender_info(end, ntp).is_some());
        let after = end + Duration::from_millis(1);
        assert_eq!(still.sender_info(after, ntp), None);
    }
}
