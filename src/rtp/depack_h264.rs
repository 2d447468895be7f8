//! H.264 out of RTP: single NAL units, STAP-A and FU-A into whole access units (RFC 6184,
//! packetization modes 0 and 1).
//!
//! An access unit is what shares one RTP timestamp; the marker ends it early. It comes out as
//! views of the received packets in AVC form, or not at all: a unit with any loss or defect in it
//! is dropped, and after a loss everything is, up to the next keyframe. Units of the interleaved
//! mode are not supported.
//!
//! Access unit delimiters and filler are left out. Parameter sets stay in the unit they came in.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod open_unit;
mod payload;

use std::rc::Rc;

use heapless::Vec;

use crate::base::codec::{CodecConfig, ParameterSet};
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::time::Instant;
use crate::limits::FRAME_SEGMENTS;
use crate::rtp::decoder_state::DecoderState;
use crate::rtp::depack_h264::open_unit::{OpenUnit, Verdict};
use crate::rtp::depack_h264::payload::Fragmented;
use crate::rtp::parameter_sets::ParameterSets;
use crate::rtp::reorder::{Before, InOrder};
use crate::wire::h264::{FragmentHeader, NalHeader, NalKind, starts_picture};

/// The pieces of one access unit.
pub type Segments = Vec<Segment, FRAME_SEGMENTS>;

/// A whole access unit; its bytes are in the [`Segments`] beside it.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Every slice is one of an IDR picture.
    pub keyframe: bool,
    /// Parameter sets to decode it with.
    pub config: Rc<CodecConfig>,
    /// When its first packet was received.
    pub first_received: Instant,
    /// When its last packet was received.
    pub received: Instant,
}

/// What the depacketizer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264Counters {
    /// Access units handed over.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Access units dropped because part of them is missing or malformed.
    pub damaged: u64,
    /// Whole access units dropped because what they depend on is missing.
    pub withheld: u64,
    /// Payloads and units whose form is broken.
    pub malformed: u64,
    /// Payloads of a form that was not negotiated.
    pub unsupported: u64,
    /// Access units of more pieces than fit.
    pub too_large: u64,
    /// Parameter sets that could not be taken.
    pub sets_refused: u64,
    /// Packets without payload.
    pub empty: u64,
}

/// Puts access units together. About 11 KiB: keep it boxed.
#[derive(Debug, Default)]
pub struct H264Depacketizer {
    sets: ParameterSets,
    segments: Segments,
    unit: Option<OpenUnit>,
    fragmented: Option<Fragmented>,
    /// What came before the packets without payload that came last.
    before_empty: Before,
    /// The timestamp of the unit that a marker ended last.
    ended: Option<u32>,
    /// Units go on after a marker, so only a new timestamp ends them.
    marker_unreliable: bool,
    decoder: DecoderState,
    counters: H264Counters,
}

impl H264Depacketizer {
    /// A depacketizer that waits for its first keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes parameter sets from SDP (`sprop-parameter-sets`).
    pub fn take_sprop(&mut self, sets: &[ParameterSet]) {
        for set in sets {
            self.take_set(set);
        }
    }

    /// Takes the next packet in sequence; `out` gets every access unit that it ends, two at most.
    ///
    /// `out` may take the segments; what it leaves is dropped.
    pub fn push(&mut self, packet: InOrder, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        let InOrder { arrival, before } = packet;
        let header = arrival.header;
        let carried = core::mem::take(&mut self.before_empty);
        let before = if before == Before::Packet {
            carried
        } else {
            before
        };
        if before == Before::Gap {
            // Parts of the open unit, or whole units, are missing.
            self.damage();
        }
        if self
            .unit
            .as_ref()
            .is_some_and(|unit| unit.timestamp != header.timestamp)
        {
            self.end_unit(&mut out);
        }
        let payload = header.payload();
        if payload.is_empty() {
            count(&mut self.counters.empty);
            self.before_empty = before;
            return;
        }
        let ended = self.ended;
        let unit = self
            .unit
            .get_or_insert_with(|| OpenUnit::new(&arrival, before, ended));
        unit.received = arrival.received;
        if let Some(payload) = arrival.packet.slice(payload) {
            self.take_payload(&payload);
        }
        if header.marker
            && !self.marker_unreliable
            && self.unit.as_ref().is_some_and(OpenUnit::has_slices)
        {
            self.end_unit(&mut out);
            self.ended = Some(header.timestamp);
        }
    }

    /// Takes the open access unit for whole, if its time has come.
    pub fn handle_timeout(&mut self, _now: Instant, _out: impl FnMut(AccessUnit, &mut Segments)) {}

    /// When to call [`Self::handle_timeout`], if nothing comes until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The source changed: drops what is unfinished and waits for a keyframe. Parameter sets stay.
    pub fn restart(&mut self) {
        self.unit = None;
        self.fragmented = None;
        self.segments.clear();
        self.before_empty = Before::Packet;
        self.ended = None;
        self.marker_unreliable = false;
        self.decoder.lose();
    }

    /// Whether a source's first packet may well be the first of an access unit: others belong
    /// before it otherwise.
    pub fn can_begin_with(&self, payload: &[u8]) -> bool {
        let Some(first) = payload.first() else {
            return true;
        };
        let (kind, after_header) = match NalHeader(*first).kind() {
            NalKind::StapA => (
                NalHeader(payload.get(3).copied().unwrap_or(0)).kind(),
                &[][..],
            ),
            NalKind::FuA => match FragmentHeader::parse(payload) {
                Some(header) if header.start => (
                    header.nal.kind(),
                    payload.get(FragmentHeader::BYTES..).unwrap_or_default(),
                ),
                _ => return false,
            },
            NalKind::Reserved => (NalKind::Sps, &[][..]),
            kind => (kind, payload.get(1..).unwrap_or_default()),
        };
        match kind {
            NalKind::Sps | NalKind::Delimiter => true,
            NalKind::IdrSlice => self.sets.are_complete() && starts_picture(after_header),
            _ => false,
        }
    }

    /// Whether a keyframe has become wanted since the last call.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        self.decoder.take_wanted()
    }

    /// Whether frames are held back until a keyframe comes.
    pub fn waits_for_keyframe(&self) -> bool {
        !self.decoder.is_synced()
    }

    /// Pieces of the access unit that is being put together.
    pub fn held(&self) -> usize {
        self.segments.len()
    }

    /// What was seen.
    pub fn counters(&self) -> &H264Counters {
        &self.counters
    }

    /// A NAL unit begins, given without its header byte.
    fn begin_nal(&mut self, kind: NalKind, after_header: &[u8]) {
        let Some(unit) = &mut self.unit else { return };
        match unit.begin_nal(kind, after_header) {
            Verdict::Fits if kind == NalKind::Slice && !self.decoder.is_synced() => {
                // It will be withheld: there is no need to keep it, nor to wait for its end to ask.
                unit.withhold();
                self.segments.clear();
                self.decoder.ask();
            }
            Verdict::Fits => {}
            Verdict::Incomplete => self.damage(),
            Verdict::RestOfEnded => {
                self.marker_unreliable = true;
                self.damage();
            }
        }
    }

    fn keep(&mut self, segment: Segment) {
        if !self.unit.as_ref().is_some_and(OpenUnit::is_kept) {
            return;
        }
        if self.segments.push(segment).is_err() {
            count(&mut self.counters.too_large);
            self.damage();
        }
    }

    fn end_unit(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        self.close_fragmented();
        let Some(unit) = self.unit.take() else { return };
        if unit.is_damaged() {
            count(&mut self.counters.damaged);
        } else if unit.has_slices() {
            let keyframe = unit.is_keyframe();
            let config = if keyframe || self.decoder.is_synced() {
                self.sets.config(keyframe)
            } else {
                None
            };
            if let Some(config) = config {
                self.decoder.advance(keyframe);
                count(&mut self.counters.frames);
                if keyframe {
                    count(&mut self.counters.keyframes);
                }
                let unit = AccessUnit {
                    timestamp: unit.timestamp,
                    keyframe,
                    config,
                    first_received: unit.first_received,
                    received: unit.received,
                };
                out(unit, &mut self.segments);
            } else {
                count(&mut self.counters.withheld);
                self.decoder.ask();
            }
        }
        self.segments.clear();
    }

    fn take_set(&mut self, nal: &[u8]) {
        if self.sets.take(nal).is_err() {
            count(&mut self.counters.sets_refused);
        }
    }

    fn malformed(&mut self) {
        // The fragments after a defect have none of their own.
        if self.unit.as_ref().is_none_or(|unit| !unit.is_damaged()) {
            count(&mut self.counters.malformed);
        }
        self.damage();
    }

    fn unsupported(&mut self) {
        count(&mut self.counters.unsupported);
        self.damage();
    }

    /// The open unit will not be handed over, and nothing that depends on it.
    fn damage(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.damage();
        }
        self.fragmented = None;
        self.segments.clear();
        self.decoder.lose();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::packet_pool::PacketPool;
    use crate::base::rng::Rng;
    use crate::rtp::source::Arrival;
    use crate::wire::rtp::RtpHeader;

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const OTHER_SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x90, 0x3d, 0xee, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03,
        0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x92,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    const IDR: &[u8] = &[0x65, 0x88, 1, 2, 3];
    const IDR_REST: &[u8] = &[0x65, 0x48, 4, 5];
    const SLICE: &[u8] = &[0x41, 0x9a, 6, 7];
    const SLICE_REST: &[u8] = &[0x41, 0x5a, 8, 9];
    const SEI: &[u8] = &[0x06, 5, 1, 0xaa, 0x80];
    const DELIMITER: &[u8] = &[0x09, 0x10];

    struct Out {
        timestamp: u32,
        keyframe: bool,
        bytes: Vec<u8>,
        config: Rc<CodecConfig>,
    }

    type Vec<T> = std::vec::Vec<T>;

    struct Rig {
        pool: PacketPool,
        depacketizer: H264Depacketizer,
        sequence: u16,
        before: Before,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                pool: PacketPool::new(1_000),
                depacketizer: H264Depacketizer::new(),
                sequence: 0,
                before: Before::Nothing,
            }
        }

        /// One that has had its first keyframe.
        fn synced() -> Self {
            let mut rig = Self::new();
            rig.push(1, false, SPS);
            rig.push(1, false, PPS);
            assert_eq!(rig.push(1, true, IDR).len(), 1);
            assert!(!rig.depacketizer.take_keyframe_wanted());
            rig
        }

        fn lose(&mut self) {
            self.before = Before::Gap;
        }

        fn push(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<Out> {
            self.sequence = self.sequence.wrapping_add(1);
            let mut bytes = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9].to_vec();
            bytes[1] |= u8::from(marker) << 7;
            bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
            bytes.extend(payload);
            let packet = self.pool.copy_from(&bytes).unwrap();
            let header = RtpHeader::parse(&packet).unwrap();
            let arrival = Arrival {
                header,
                packet,
                received: Instant::from_millis(7),
            };
            let before = core::mem::replace(&mut self.before, Before::Packet);
            let mut out = Vec::new();
            self.depacketizer
                .push(InOrder { arrival, before }, |unit, segments| {
                    let bytes = segments
                        .iter()
                        .flat_map(|s| [s.prefix(), s.payload()].concat())
                        .collect();
                    out.push(Out {
                        timestamp: unit.timestamp,
                        keyframe: unit.keyframe,
                        bytes,
                        config: unit.config,
                    });
                });
            out
        }

        fn wants_keyframe(&mut self) -> bool {
            self.depacketizer.take_keyframe_wanted()
        }

        fn counters(&self) -> &H264Counters {
            self.depacketizer.counters()
        }
    }

    fn avc(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter()
            .flat_map(|nal| [&(nal.len() as u32).to_be_bytes(), *nal].concat())
            .collect()
    }

    fn stap(nals: &[&[u8]]) -> Vec<u8> {
        let units = nals
            .iter()
            .flat_map(|nal| [&(nal.len() as u16).to_be_bytes(), *nal].concat());
        [0x78].into_iter().chain(units).collect()
    }

    /// A NAL unit in fragments of `size` bytes.
    fn fragments(nal: &[u8], size: usize) -> Vec<Vec<u8>> {
        let parts: Vec<_> = nal[1..].chunks(size).collect();
        let last = parts.len() - 1;
        let fragment = |(at, part): (usize, &&[u8])| {
            let flags = u8::from(at == 0) << 7 | u8::from(at == last) << 6;
            [&[nal[0] & 0xe0 | 28, nal[0] & 0x1f | flags], *part].concat()
        };
        parts.iter().enumerate().map(fragment).collect()
    }

    #[test]
    fn the_marker_ends_a_unit_of_several_slices() {
        let mut rig = Rig::new();
        for nal in [DELIMITER, SPS, PPS, SEI, IDR] {
            assert!(rig.push(100, false, nal).is_empty());
        }
        let out = rig.push(100, true, IDR_REST);
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, SEI, IDR, IDR_REST]));
        assert!(out[0].keyframe);
        assert_eq!(out[0].timestamp, 100);
        let CodecConfig::H264(config) = &*out[0].config else {
            panic!()
        };
        assert_eq!((config.width, config.height), (1280, 720));
        rig.push(200, false, SLICE);
        let out = rig.push(200, true, SLICE_REST);
        assert_eq!(out[0].bytes, avc(&[SLICE, SLICE_REST]));
        assert!(!out[0].keyframe);
        assert!(!rig.wants_keyframe());
    }

    #[test]
    fn a_new_timestamp_ends_a_unit_without_marker() {
        let mut rig = Rig::synced();
        rig.push(200, false, SLICE);
        rig.push(200, false, SLICE_REST);
        let out = rig.push(300, true, SLICE);
        assert_eq!(out.len(), 2);
        assert_eq!((out[0].timestamp, out[1].timestamp), (200, 300));
        assert_eq!(out[0].bytes, avc(&[SLICE, SLICE_REST]));
    }

    #[test]
    fn aggregated_sets_configure_and_stay_in_their_unit() {
        let mut rig = Rig::new();
        rig.push(1, false, &stap(&[DELIMITER, SPS, PPS]));
        let out = rig.push(1, true, IDR);
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, IDR]));
    }

    #[test]
    fn fragments_are_put_together_at_any_size() {
        let nal: Vec<u8> = [0x65, 0x88].into_iter().chain(3..200).collect();
        for size in [1, 2, 7, 100, 197, 198] {
            let mut rig = Rig::new();
            rig.push(1, false, &stap(&[SPS, PPS]));
            let fragments = fragments(&nal, size);
            let (last, before) = fragments.split_last().unwrap();
            for fragment in before {
                assert!(rig.push(1, false, fragment).is_empty());
            }
            let out = rig.push(1, true, last);
            assert_eq!(out[0].bytes, avc(&[SPS, PPS, &nal]), "{size}");
        }
    }

    #[test]
    fn fragmented_sets_are_taken_and_fragmented_filler_is_left_out() {
        let mut rig = Rig::new();
        for nal in [SPS, PPS, &[0x0c, 0xff, 0xff, 0xff, 0x80]] {
            for fragment in fragments(nal, 2) {
                rig.push(1, false, &fragment);
            }
        }
        rig.push(1, false, &[0x0c, 0xff, 0x80]);
        let out = rig.push(1, true, IDR);
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, IDR]));
    }

    #[test]
    fn nothing_comes_before_a_keyframe_with_both_sets() {
        let mut rig = Rig::new();
        assert!(rig.push(1, true, SLICE).is_empty());
        assert!(rig.wants_keyframe());
        rig.push(2, false, SPS);
        assert!(rig.push(2, true, IDR).is_empty());
        assert!(rig.push(3, true, SLICE).is_empty());
        rig.push(4, false, PPS);
        assert!(rig.push(4, true, SLICE).is_empty());
        assert_eq!(rig.counters().withheld, 4);
        let out = rig.push(5, true, IDR);
        assert_eq!(out[0].bytes, avc(&[IDR]));
        assert_eq!(rig.push(6, true, SLICE).len(), 1);
    }

    #[test]
    fn sets_from_sdp_serve_a_sender_that_sends_none() {
        let mut rig = Rig::new();
        let sprop = [SPS, PPS].map(|set| ParameterSet::from_slice(set).unwrap());
        rig.depacketizer.take_sprop(&sprop);
        assert_eq!(rig.push(1, true, IDR).len(), 1);
    }

    #[test]
    fn sets_alone_are_no_unit_whatever_the_marker_says() {
        let mut rig = Rig::new();
        assert!(rig.push(1, true, SPS).is_empty());
        assert!(rig.push(1, true, PPS).is_empty());
        let out = rig.push(1, true, IDR);
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, IDR]));
        rig.push(2, true, SPS);
        assert_eq!(rig.push(3, true, IDR)[0].bytes, avc(&[IDR]));
    }

    #[test]
    fn only_changed_sets_make_a_new_configuration() {
        let mut rig = Rig::new();
        let keyframe = |rig: &mut Rig, timestamp, sps| {
            rig.push(timestamp, false, &stap(&[sps, PPS]));
            rig.push(timestamp, true, IDR).remove(0).config
        };
        let first = keyframe(&mut rig, 1, SPS);
        assert!(Rc::ptr_eq(&first, &keyframe(&mut rig, 2, SPS)));
        assert!(Rc::ptr_eq(
            &first,
            &rig.push(3, true, SLICE).remove(0).config
        ));
        let second = keyframe(&mut rig, 4, OTHER_SPS);
        assert!(!Rc::ptr_eq(&first, &second));
        let CodecConfig::H264(config) = &*second else {
            panic!()
        };
        assert_eq!((config.width, config.height), (572, 468));
    }

    #[test]
    fn after_a_loss_nothing_comes_until_a_whole_keyframe() {
        let mut rig = Rig::synced();
        rig.push(200, false, SLICE);
        rig.lose();
        assert!(rig.push(200, true, SLICE_REST).is_empty());
        assert!(rig.wants_keyframe());
        assert!(rig.push(300, true, SLICE).is_empty());
        rig.push(400, false, SPS);
        rig.lose();
        assert!(
            rig.push(400, true, IDR).is_empty(),
            "the keyframe has a gap in it"
        );
        assert_eq!(rig.push(500, true, IDR).len(), 1);
        assert_eq!(rig.push(600, true, SLICE).len(), 1);
        assert_eq!(rig.counters().damaged, 2);
        assert_eq!(rig.counters().withheld, 1);
    }

    #[test]
    fn a_keyframe_right_after_a_loss_counts_only_with_its_beginning() {
        for beginning in [&stap(&[SPS, PPS])[..], SPS, DELIMITER] {
            let mut rig = Rig::synced();
            rig.lose();
            rig.push(200, false, beginning);
            assert_eq!(rig.push(200, true, IDR).len(), 1);
        }
        for beginning in [PPS, SEI, IDR, &fragments(IDR, 9)[0]] {
            let mut rig = Rig::synced();
            rig.lose();
            rig.push(199, false, &[]);
            rig.push(200, false, beginning);
            assert!(rig.push(200, true, IDR_REST).is_empty());
        }
    }

    #[test]
    fn a_source_may_begin_with_a_whole_picture_and_not_within_one() {
        for beginning in [&[][..], PPS, SEI] {
            for (slice, frames) in [(IDR, 1), (IDR_REST, 0)] {
                let mut rig = Rig::new();
                let sprop = [SPS, PPS].map(|set| ParameterSet::from_slice(set).unwrap());
                assert!(!rig.depacketizer.can_begin_with(IDR));
                rig.depacketizer.take_sprop(&sprop);
                assert!(rig.depacketizer.can_begin_with(IDR));
                assert!(!rig.depacketizer.can_begin_with(IDR_REST));
                rig.push(1, false, beginning);
                assert_eq!(rig.push(1, true, slice).len(), frames);
            }
        }
    }

    #[test]
    fn what_a_source_may_begin_with_is_told_from_the_first_payload() {
        let rig = Rig::new();
        let coded = [&[0, 0, 0, 1], SPS].concat();
        for payload in [
            SPS,
            DELIMITER,
            &stap(&[SPS, PPS]),
            &coded,
            &fragments(SPS, 9)[0],
        ] {
            assert!(rig.depacketizer.can_begin_with(payload));
        }
        for payload in [
            PPS,
            SEI,
            IDR,
            SLICE,
            &stap(&[PPS]),
            &fragments(SPS, 9)[1],
            &[0x7c],
        ] {
            assert!(!rig.depacketizer.can_begin_with(payload));
        }
    }

    #[test]
    fn a_unit_that_a_loss_cut_off_is_dropped_when_the_next_begins() {
        let mut rig = Rig::synced();
        rig.push(200, false, SLICE);
        rig.lose();
        assert!(rig.push(300, true, SLICE).is_empty());
        assert_eq!(rig.counters().damaged, 2);
    }

    #[test]
    fn broken_forms_damage_their_unit_and_ask_for_a_keyframe() {
        let nal: Vec<u8> = [0x41, 0x9a].into_iter().chain(0..30).collect();
        let parts = fragments(&nal, 10);
        let overrun = [&stap(&[SLICE])[..], &[0, 9, 1]].concat();
        let forbidden = [&[0xc1], &SLICE[1..]].concat();
        let cases: [(&str, Vec<&[u8]>); 11] = [
            ("no first fragment", vec![&parts[1], &parts[2]]),
            ("no last fragment", vec![&parts[0], &parts[1]]),
            (
                "a unit between fragments",
                vec![&parts[0], SLICE, &parts[1]],
            ),
            (
                "a second first fragment",
                vec![&parts[0], &parts[0], &parts[1], &parts[2]],
            ),
            (
                "a fragment of another unit",
                vec![&parts[0], &[0x5c, 0x45, 9]],
            ),
            ("one byte of a fragment", vec![SLICE, &[0x5c]]),
            ("a length past the end", vec![&overrun]),
            ("the forbidden bit", vec![&forbidden]),
            (
                "aggregation in aggregation",
                vec![SLICE, &[24, 0, 2, 24, 0]],
            ),
            ("interleaved mode", vec![SLICE, &[25, 0, 0, 0, 1, 9]]),
            (
                "fragment of an aggregation",
                vec![SLICE, &[28, 0x80 | 24, 1, 2]],
            ),
        ];
        for (name, payloads) in cases {
            let mut rig = Rig::synced();
            for payload in payloads {
                assert!(rig.push(200, false, payload).is_empty(), "{name}");
            }
            assert!(rig.push(300, true, SLICE).is_empty(), "{name}");
            assert!(rig.wants_keyframe(), "{name}");
            assert_eq!(rig.counters().damaged, 1, "{name}");
            assert_eq!(
                rig.counters().malformed + rig.counters().unsupported,
                1,
                "{name}"
            );
            assert_eq!(rig.push(400, true, IDR).len(), 1, "{name}");
        }
    }

    #[test]
    fn start_codes_by_mistake_are_taken_off() {
        let mut rig = Rig::new();
        let sets = [&[0, 0, 0, 1], SPS, &[0, 0, 0, 1], PPS].concat();
        rig.push(1, false, &sets);
        rig.push(1, false, &stap(&[&[&[0, 0, 1], SEI].concat()]));
        let out = rig.push(1, true, &[&[0, 0, 1], IDR].concat());
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, SEI, IDR]));
    }

    #[test]
    fn payloads_without_meaning_change_nothing() {
        let mut rig = Rig::synced();
        rig.push(200, false, SLICE);
        for payload in [&[][..], &[0], &[30, 1, 2], &[31], &[0x78]] {
            assert!(rig.push(200, false, payload).is_empty());
        }
        let out = rig.push(200, true, SLICE_REST);
        assert_eq!(out[0].bytes, avc(&[SLICE, SLICE_REST]));
    }

    #[test]
    fn markers_on_every_slice_are_found_out_and_passed_over() {
        let mut rig = Rig::synced();
        rig.push(200, true, SLICE);
        assert!(rig.push(200, true, SLICE_REST).is_empty());
        assert!(rig.wants_keyframe());
        rig.push(300, true, IDR);
        assert!(rig.push(300, true, IDR_REST).is_empty());
        let out = rig.push(400, true, SLICE);
        assert_eq!(out[0].bytes, avc(&[IDR, IDR_REST]));
        rig.push(400, true, SLICE_REST);
        assert_eq!(
            rig.push(500, true, SLICE)[0].bytes,
            avc(&[SLICE, SLICE_REST])
        );
    }

    #[test]
    fn another_picture_of_the_same_time_is_a_unit_of_its_own() {
        let mut rig = Rig::synced();
        assert_eq!(rig.push(200, true, SLICE).len(), 1);
        assert_eq!(rig.push(200, true, SLICE).len(), 1);
        assert!(!rig.wants_keyframe());
    }

    #[test]
    fn a_unit_of_too_many_pieces_is_dropped_and_frees_its_packets() {
        let mut rig = Rig::synced();
        for _ in 0..FRAME_SEGMENTS + 20 {
            assert!(rig.push(200, false, SLICE).is_empty());
        }
        assert_eq!(rig.counters().too_large, 1);
        assert_eq!(rig.pool.available(), rig.pool.capacity());
        assert!(rig.push(300, true, SLICE).is_empty());
        assert!(rig.wants_keyframe());
    }

    #[test]
    fn another_source_starts_with_a_keyframe_and_keeps_the_sets() {
        let mut rig = Rig::synced();
        rig.push(200, false, SLICE);
        rig.depacketizer.restart();
        assert!(rig.wants_keyframe());
        assert_eq!(rig.pool.available(), rig.pool.capacity());
        assert!(rig.push(200, true, SLICE_REST).is_empty());
        assert_eq!(rig.push(300, true, IDR).len(), 1);
    }

    #[test]
    fn truncated_and_mutated_payloads_never_panic_and_lose_no_buffer() {
        let mut rng = Rng::from_number(4);
        let nal: Vec<u8> = [0x65, 0x88].into_iter().chain(0..60).collect();
        let mut payloads = vec![
            SPS.to_vec(),
            PPS.to_vec(),
            IDR.to_vec(),
            stap(&[SPS, PPS, SEI, IDR]),
        ];
        payloads.extend(fragments(&nal, 20));
        payloads.push([&[0, 0, 0, 1], SPS, &[0, 0, 1], IDR].concat());
        let mut rig = Rig::new();
        for round in 0..400_u32 {
            for payload in &payloads {
                let mut bytes = payload.clone();
                for _ in 0..rng.below(4) {
                    let at = rng.below(bytes.len() as u32) as usize;
                    bytes[at] = rng.u32() as u8;
                }
                for length in [round as usize % (bytes.len() + 1), bytes.len()] {
                    if rng.below(50) == 0 {
                        rig.lose();
                    }
                    rig.push(round / 3, rng.below(4) == 0, &bytes[..length]);
                }
            }
        }
        assert!(rig.counters().frames > 0 && rig.counters().malformed > 0);
        rig.depacketizer.restart();
        assert_eq!(rig.pool.available(), rig.pool.capacity());
    }
}
