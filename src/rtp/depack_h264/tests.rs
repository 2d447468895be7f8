use super::*;
use crate::base::packet_pool::PacketPool;
use crate::base::rng::Rng;
use crate::rtp::source::Arrival;
use crate::wire::rtp::RtpHeader;

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const OTHER_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x90, 0x3d, 0xee, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00,
    0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x92,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const IDR: &[u8] = &[0x65, 0x88, 0x81, 2, 3];
const IDR_REST: &[u8] = &[0x65, 0x42, 0x31, 4, 5];
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

impl Out {
    fn new(unit: AccessUnit, segments: &Segments) -> Self {
        let bytes = segments
            .iter()
            .flat_map(|s| [s.prefix(), s.payload()].concat());
        Self {
            timestamp: unit.timestamp,
            keyframe: unit.keyframe,
            bytes: bytes.collect(),
            config: unit.config,
        }
    }
}

struct Rig {
    pool: PacketPool,
    depacketizer: H264Depacketizer,
    sequence: u16,
    now: Instant,
    before: Before,
}

impl Rig {
    fn new() -> Self {
        Self {
            pool: PacketPool::new(1_000),
            depacketizer: H264Depacketizer::new(),
            sequence: 0,
            now: Instant::from_millis(7),
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
            received: self.now,
        };
        let before = core::mem::replace(&mut self.before, Before::Packet);
        let mut out = Vec::new();
        self.depacketizer
            .push(InOrder { arrival, before }, |unit, segments| {
                out.push(Out::new(unit, segments));
            });
        out
    }

    /// Nothing comes for a while.
    fn pause(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        let now = self.depacketizer.poll_timeout().unwrap_or_default();
        self.depacketizer.handle_timeout(now, |unit, segments| {
            out.push(Out::new(unit, segments));
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
    let nal: Vec<u8> = [0x65, 0x88, 0x80].into_iter().chain(3..200).collect();
    for size in [1, 2, 7, 100, 198] {
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
    rig.push(1, false, IDR);
    assert_eq!(rig.push(1, true, IDR_REST).len(), 1);
}

#[test]
fn sets_alone_are_no_unit_whatever_the_marker_says() {
    let mut rig = Rig::new();
    assert!(rig.push(1, true, SPS).is_empty());
    assert!(rig.push(1, true, PPS).is_empty());
    assert!(
        rig.push(1, true, IDR).is_empty(),
        "its markers are in doubt"
    );
    rig.push(1, true, IDR_REST);
    let out = rig.push(2, true, SPS);
    assert_eq!(out[0].bytes, avc(&[SPS, PPS, IDR, IDR_REST]));
    rig.push(3, true, IDR);
    assert_eq!(rig.push(4, true, SLICE)[0].bytes, avc(&[IDR]));
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
    for beginning in [PPS, SEI, IDR, &fragments(IDR, 2)[0]] {
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
            rig.push(1, false, slice);
            assert_eq!(rig.push(1, true, IDR_REST).len(), frames);
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

/// Whether frames come from a rig that the calls before left synced.
fn is_synced(rig: &mut Rig, timestamp: u32) -> bool {
    rig.push(timestamp, true, SLICE).len() == 1
}

#[test]
fn a_marker_on_every_packet_ends_no_picture_before_its_end() {
    let mut rig = Rig::new();
    let sprop = [SPS, PPS].map(|set| ParameterSet::from_slice(set).unwrap());
    rig.depacketizer.take_sprop(&sprop);
    assert!(rig.push(1, true, IDR).is_empty());
    assert!(rig.push(1, true, IDR_REST).is_empty());
    assert_eq!(rig.push(2, true, SLICE)[0].bytes, avc(&[IDR, IDR_REST]));
    rig.push(2, true, SLICE_REST);
    assert_eq!(rig.push(3, true, SLICE)[0].bytes, avc(&[SLICE, SLICE_REST]));
    assert_eq!(rig.pause()[0].bytes, avc(&[SLICE]), "the last one");
    assert!(!rig.wants_keyframe());
    // Within a fragmented slice.
    let nal: Vec<u8> = [0x41, 0x9a].into_iter().chain(1..30).collect();
    let mut rig = Rig::synced();
    for fragment in fragments(&nal, 10) {
        assert!(rig.push(2, true, &fragment).is_empty());
    }
    assert_eq!(rig.push(3, true, SLICE)[0].bytes, avc(&[&nal]));
}

#[test]
fn pictures_of_one_packet_with_markers_wait_for_one_another_only_once() {
    let mut rig = Rig::new();
    assert!(rig.push(1, true, &stap(&[SPS, PPS, IDR])).is_empty());
    assert_eq!(rig.push(2, true, SLICE).len(), 2);
    assert_eq!(rig.push(3, true, SLICE).len(), 1);
}

#[test]
fn the_last_picture_of_a_sender_without_markers_is_not_held_for_long() {
    let mut rig = Rig::synced();
    rig.depacketizer.restart();
    rig.push(2, false, IDR);
    assert!(rig.pause().is_empty(), "its marker may be lost");
    rig.push(3, false, SLICE);
    rig.push(3, false, SLICE_REST);
    let due = rig.depacketizer.poll_timeout().unwrap();
    assert_eq!(due, Instant::from_millis(7 + 120));
    assert_eq!(rig.pause()[0].bytes, avc(&[SLICE, SLICE_REST]));
    // Never one of which a part is known to be missing.
    for fragment in &fragments(&[0x41, 0x9a, 1, 2, 3, 4], 2)[..2] {
        rig.push(4, false, fragment);
    }
    assert_eq!(rig.depacketizer.poll_timeout(), None);
    assert!(rig.push(5, false, SLICE).is_empty());
    assert_eq!(rig.depacketizer.poll_timeout(), None);
}

#[test]
fn a_picture_that_a_hold_cut_off_is_given_up() {
    let mut rig = Rig::synced();
    rig.push(2, false, SLICE);
    assert_eq!(rig.push(2, true, SLICE_REST).len(), 1);
    // One packet of a picture of two, and then nothing for three seconds.
    rig.push(3, false, SLICE);
    rig.now = rig.now + core::time::Duration::from_secs(3);
    assert!(rig.push(4, true, SLICE).is_empty());
    assert!(rig.wants_keyframe());
    assert_eq!(rig.counters().damaged, 1);
    assert_eq!(rig.push(5, true, IDR).len(), 1);
    // A sender without markers has no other way to end a picture.
    let mut rig = Rig::new();
    rig.push(1, false, &stap(&[SPS, PPS, IDR]));
    assert_eq!(rig.push(2, false, SLICE).len(), 1);
    rig.now = rig.now + core::time::Duration::from_secs(3);
    assert_eq!(rig.push(3, false, SLICE).len(), 1);
}

#[test]
fn a_picture_that_goes_on_after_its_quiet_time_is_the_last_ended_that_way() {
    let mut rig = Rig::synced();
    rig.depacketizer.restart();
    rig.push(2, false, IDR);
    rig.push(3, false, SLICE);
    assert_eq!(rig.pause().len(), 1);
    rig.push(3, false, SLICE_REST);
    assert!(rig.wants_keyframe());
    rig.push(4, false, IDR);
    assert_eq!(rig.depacketizer.poll_timeout(), None);
    assert_eq!(rig.push(5, false, SLICE).len(), 1);
}

#[test]
fn sets_between_slices_and_in_any_packet_are_taken_where_they_are() {
    let mut rig = Rig::new();
    rig.push(1, false, SPS);
    rig.push(1, false, &stap(&[DELIMITER, PPS, IDR]));
    rig.push(1, false, PPS);
    rig.push(1, false, &stap(&[SPS, PPS, SEI]));
    let out = rig.push(1, true, IDR_REST);
    let whole = avc(&[SPS, PPS, IDR, PPS, SPS, PPS, SEI, IDR_REST]);
    assert_eq!(out[0].bytes, whole);
}

#[test]
fn slices_of_one_picture_come_in_packets_of_every_form() {
    let nal: Vec<u8> = [0x65, 0x42, 0x31].into_iter().chain(1..50).collect();
    let mut rig = Rig::synced();
    rig.push(2, false, &stap(&[SPS, PPS, IDR]));
    for fragment in fragments(&nal, 20) {
        rig.push(2, false, &fragment);
    }
    rig.push(2, false, IDR_REST);
    for fragment in fragments(&nal, 30) {
        rig.push(2, false, &fragment);
    }
    let out = rig.push(2, true, &stap(&[IDR_REST, IDR_REST]));
    let whole = avc(&[SPS, PPS, IDR, &nal, IDR_REST, &nal, IDR_REST, IDR_REST]);
    assert_eq!(out[0].bytes, whole);
    assert!(out[0].keyframe);
}

#[test]
fn delimiters_filler_and_layers_are_left_out_and_the_rest_is_kept() {
    let end_of_sequence: &[u8] = &[0x0a];
    let filler: &[u8] = &[0x0c, 0xff, 0x80];
    let prefix: &[u8] = &[0x6e, 0x40, 0x80, 0x07];
    let subset: &[u8] = &[0x6f, 0x53, 0x00, 0x1f];
    let extension: &[u8] = &[0x74, 0x40, 0x80, 0x07, 1, 2];
    let depth: &[u8] = &[0x75, 0x40, 0x80, 0x07, 1, 2];
    let mut rig = Rig::synced();
    for nal in [DELIMITER, filler, SPS, subset, PPS, SEI, prefix, IDR] {
        rig.push(2, false, nal);
    }
    for fragment in fragments(extension, 2) {
        rig.push(2, false, &fragment);
    }
    rig.push(2, false, depth);
    let out = rig.push(2, true, end_of_sequence);
    assert_eq!(out[0].bytes, avc(&[SPS, PPS, SEI, IDR, end_of_sequence]));
    assert_eq!(rig.counters().extensions, 4);
}

#[test]
fn partitions_of_slices_stay_with_them() {
    let parts: [&[u8]; 3] = [&[0x42, 0x9a, 6, 7], &[0x43, 0xa0, 1], &[0x44, 0xa0, 2]];
    let mut rig = Rig::synced();
    for part in &parts[..2] {
        rig.push(2, false, part);
    }
    assert_eq!(rig.push(2, true, parts[2])[0].bytes, avc(&parts));
    // Its end without its beginning.
    rig.lose();
    assert!(rig.push(3, true, parts[2]).is_empty());
    assert!(rig.wants_keyframe());
}

#[test]
fn a_timestamp_that_stands_still_holds_several_pictures() {
    // Picture numbers 1 to 3: 4 bits after the first 10.
    let pictures: [&[u8]; 3] = [
        &[0x41, 0x9a, 0x20],
        &[0x41, 0x9a, 0x40],
        &[0x01, 0x9a, 0x60],
    ];
    let mut rig = Rig::synced();
    assert!(rig.push(2, false, pictures[0]).is_empty());
    rig.push(2, false, SLICE_REST);
    rig.push(2, false, SEI);
    let out = rig.push(2, false, pictures[1]);
    assert_eq!(out[0].bytes, avc(&[pictures[0], SLICE_REST]));
    let out = rig.push(2, false, &stap(&[DELIMITER, pictures[2], SPS, PPS, IDR]));
    assert_eq!(out[0].bytes, avc(&[SEI, pictures[1]]));
    assert_eq!(out[1].bytes, avc(&[pictures[2]]));
    let out = rig.push(2, true, IDR_REST);
    assert_eq!(out[0].bytes, avc(&[SPS, PPS, IDR, IDR_REST]));
    assert_eq!((out[0].keyframe, out[0].timestamp), (true, 2));
}

#[test]
fn byte_streams_in_one_packet_are_split_with_or_without_a_first_start_code() {
    for first in [&[][..], &[0, 0, 1], &[0, 0, 0, 1]] {
        let mut rig = Rig::new();
        let bytes = [
            first,
            SPS,
            &[0, 0, 0, 1],
            PPS,
            &[0, 0, 1],
            SEI,
            &[0, 0, 1],
            IDR,
        ]
        .concat();
        rig.push(1, false, &bytes);
        let out = rig.push(1, true, &[first, IDR_REST, &[0, 0, 1], IDR_REST].concat());
        assert_eq!(out[0].bytes, avc(&[SPS, PPS, SEI, IDR, IDR_REST, IDR_REST]));
    }
}

#[test]
fn a_picture_whose_sets_are_not_known_is_withheld_and_a_keyframe_wanted() {
    // Of the picture parameter set 1.
    let other_idr: &[u8] = &[0x65, 0x88, 0x50, 1];
    let other_slice: &[u8] = &[0x41, 0x9a & 0xfc | 1, 0x20];
    let other_set: &[u8] = &[0x68, 0x5b, 0xe3, 0xcb, 0x22, 0xc0];
    for picture in [other_idr, other_slice] {
        let mut rig = Rig::synced();
        assert!(rig.push(2, true, picture).is_empty());
        assert!(rig.wants_keyframe());
        assert!(!is_synced(&mut rig, 3));
        assert_eq!(rig.counters().without_sets, 1);
        rig.push(4, false, other_set);
        assert_eq!(rig.push(4, true, other_idr).len(), 1);
        assert_eq!(rig.push(5, true, other_slice).len(), 1);
    }
    // What SDP said serves as well.
    let mut rig = Rig::synced();
    let sprop = [ParameterSet::from_slice(other_set).unwrap()];
    rig.depacketizer.take_sprop(&sprop);
    assert_eq!(rig.push(2, true, other_idr).len(), 1);
}

#[test]
fn sets_that_come_on_their_own_change_the_next_keyframe_and_nothing_before() {
    let mut rig = Rig::synced();
    let before = rig.push(2, true, SLICE).remove(0).config;
    rig.push(3, false, OTHER_SPS);
    rig.push(3, true, PPS);
    let meanwhile = rig.push(4, true, SLICE).remove(0).config;
    assert!(Rc::ptr_eq(&before, &meanwhile));
    let key = rig.push(5, true, IDR).remove(0);
    assert!(!Rc::ptr_eq(&before, &key.config));
    let CodecConfig::H264(config) = &*key.config else {
        panic!()
    };
    assert_eq!((config.width, config.height), (572, 468));
    assert_eq!(config.sps, OTHER_SPS);
}

/// A NAL unit of a head and bits.
fn escaped(head: &[u8], bits: &str) -> Vec<u8> {
    let mut nal = head.to_vec();
    for byte in bits.as_bytes().chunks(8) {
        let text = format!("{:0<8}", str::from_utf8(byte).unwrap());
        let byte = u8::from_str_radix(&text, 2).unwrap();
        if byte <= 3 && nal.ends_with(&[0, 0]) {
            nal.push(3);
        }
        nal.push(byte);
    }
    nal
}

#[test]
fn long_sets_are_taken() {
    let mut rig = Rig::new();
    // Main profile, 16 by 16 pixels, with the buffer model's numbers 32 times.
    let one = "1";
    let number = format!("{}1{}", "0".repeat(24), "10".repeat(12));
    let model = format!("{}{}{}", number, number, one).repeat(32);
    let bits = [
        // Identifier, number and order of pictures, references, size, frames only, no cropping.
        "1",
        "1",
        "1",
        "1",
        "1",
        "0",
        "1",
        "1",
        "1",
        "1",
        "0",
        // Usability information: none but the model, which has 32 entries and two scales.
        "1",
        "0000",
        "0",
        "1",
        "00000100000",
        "00000000",
        &model,
        "11111111111111111111",
        "0",
        "0",
        "0",
        "0",
        "1",
    ];
    let sps = escaped(&[0x67, 77, 0, 31], &bits.concat());
    assert!(sps.len() > 256, "{}", sps.len());
    for fragment in fragments(&sps, 200) {
        rig.push(1, false, &fragment);
    }
    rig.push(1, false, PPS);
    let out = rig.push(1, true, IDR);
    let CodecConfig::H264(config) = &*out[0].config else {
        panic!()
    };
    assert_eq!(config.sps, &sps[..]);
}

#[test]
fn a_fragment_that_is_first_and_last_is_illegal() {
    let mut rig = Rig::synced();
    rig.push(2, true, &[0x5c, 0xc1, 0x9a, 6, 7]);
    assert!(rig.wants_keyframe());
    assert_eq!(rig.counters().malformed, 1);
    assert!(!is_synced(&mut rig, 3));
}

#[test]
fn forms_of_the_interleaved_mode_are_dropped_and_counted() {
    for form in [25, 26, 27, 29] {
        let mut rig = Rig::synced();
        rig.push(2, true, &[0x60 | form, 0, 0, 0, 4, 0x41, 0x9a, 6, 7]);
        assert!(rig.wants_keyframe());
        assert_eq!(rig.counters().unsupported, 1);
        assert!(!is_synced(&mut rig, 3));
    }
}

/// Recovery points after 0 and after 30 pictures.
const AT_ONCE: &[u8] = &[0x06, 6, 1, 0xc4, 0x80];
const GRADUAL: &[u8] = &[0x06, 6, 2, 0x0f, 0xc4, 0x80];
/// A first slice of type I, number 0, in a picture that is no IDR picture.
const INTRA: &[u8] = &[0x41, 0x88, 0x81, 2, 3];

#[test]
fn a_recovery_point_that_is_right_at_once_is_a_keyframe() {
    let mut rig = Rig::new();
    rig.push(1, false, &stap(&[SPS, PPS, AT_ONCE]));
    let out = rig.push(1, true, INTRA);
    assert!(out[0].keyframe);
    assert_eq!(out[0].bytes, avc(&[SPS, PPS, AT_ONCE, INTRA]));
    assert!(is_synced(&mut rig, 2));
    // Without the message, and with a slice that depends on others.
    for slices in [
        &[INTRA][..],
        &[AT_ONCE, SLICE],
        &[AT_ONCE, INTRA, SLICE_REST],
    ] {
        let mut rig = Rig::new();
        rig.push(1, false, &stap(&[SPS, PPS]));
        for slice in slices {
            rig.push(1, false, slice);
        }
        assert!(rig.push(2, true, SLICE).is_empty());
        assert!(rig.wants_keyframe());
    }
}

#[test]
fn a_gradual_recovery_point_is_a_beginning_only_for_who_sends_no_idr_picture() {
    let mut rig = Rig::new();
    rig.push(1, false, &stap(&[SPS, PPS]));
    for at in 2..2 + u32::from(REFUSALS) {
        rig.push(at, false, GRADUAL);
        assert!(rig.push(at, true, SLICE).is_empty());
        rig.depacketizer.keyframe_asked();
    }
    assert!(rig.push(8, true, SLICE).is_empty());
    rig.push(9, false, GRADUAL);
    let out = rig.push(9, true, SLICE);
    assert!(out[0].keyframe);
    assert!(!rig.push(10, true, SLICE)[0].keyframe);
    rig.push(11, false, GRADUAL);
    assert!(
        rig.push(11, true, SLICE)[0].keyframe,
        "for readers that come later"
    );
    assert!(rig.push(12, true, IDR)[0].keyframe);
    rig.push(13, false, GRADUAL);
    assert!(!rig.push(13, true, SLICE)[0].keyframe);
}

/// Pictures of every form under loss: each that comes out is whole and nothing it needs is
/// missing.
#[test]
fn under_any_loss_only_whole_pictures_come_out() {
    for seed in 0..60_u64 {
        let mut rng = Rng::from_number(seed);
        let mut rig = Rig::new();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut shown: Vec<usize> = Vec::new();
        let markers = seed % 3;
        for at in 0..400_usize {
            let again = at % 5 == 0 && rig.depacketizer.waits_for_keyframe();
            let key = at % 60 == 0 || again;
            let header = if key { 0x65 } else { 0x41 };
            let mut slices: Vec<Vec<u8>> = Vec::new();
            for slice in 0..1 + rng.below(4) {
                let head = if slice == 0 {
                    [0x88, 0x80]
                } else {
                    [0x42, 0x20]
                };
                let mut nal = [&[header][..], &head].concat();
                nal.extend((0..rng.below(60)).map(|_| rng.u32() as u8 | 0x10));
                nal.extend((at as u32).to_be_bytes().map(|byte| byte | 0x80));
                slices.push(nal);
            }
            let mut nals: Vec<&[u8]> = if key { vec![SPS, PPS] } else { vec![] };
            nals.extend(slices.iter().map(|slice| &slice[..]));
            let mut payloads: Vec<Vec<u8>> = Vec::new();
            for nal in &nals {
                match rng.below(3) {
                    0 if nal.len() > 20 => payloads.extend(fragments(nal, 15)),
                    1 => payloads.push(stap(&[nal])),
                    _ => payloads.push(nal.to_vec()),
                }
            }
            sent.push(avc(&nals));
            let last = payloads.len() - 1;
            for (number, payload) in payloads.iter().enumerate() {
                if rng.below(100) < 3 {
                    rig.lose();
                    continue;
                }
                let marker = markers == 0 && number == last || markers == 1;
                for out in rig.push(at as u32, marker, payload) {
                    let picture = out.timestamp as usize;
                    assert_eq!(out.bytes, sent[picture], "seed {seed}, picture {picture}");
                    let follows = shown.last().is_some_and(|last| last + 1 == picture);
                    assert!(out.keyframe || follows, "seed {seed}, picture {picture}");
                    shown.push(picture);
                }
            }
            assert!(rig.depacketizer.held() <= 40);
        }
        assert!(shown.len() > 100, "seed {seed}: {}", shown.len());
    }
}

#[test]
fn truncated_and_mutated_payloads_never_panic_and_lose_no_buffer() {
    let mut rng = Rng::from_number(4);
    let nal: Vec<u8> = [0x65, 0x88, 0x80].into_iter().chain(0..60).collect();
    let mut payloads = vec![
        SPS.to_vec(),
        PPS.to_vec(),
        IDR.to_vec(),
        stap(&[SPS, PPS, SEI, IDR]),
    ];
    payloads.extend(fragments(&nal, 20));
    payloads.push([&[0, 0, 0, 1], SPS, &[0, 0, 1], IDR].concat());
    payloads.push(stap(&[GRADUAL, AT_ONCE, INTRA, SLICE, SLICE_REST]));
    payloads.push(vec![0x6e, 0x40, 0x80, 0x07]);
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
                if rng.below(50) == 0 {
                    rig.pause();
                    rig.depacketizer.keyframe_asked();
                }
            }
        }
    }
    assert!(rig.counters().frames > 0 && rig.counters().malformed > 0);
    rig.depacketizer.restart();
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}

#[test]
fn what_is_not_taken_is_counted_by_its_reason() {
    let mut rig = Rig::new();
    rig.push(1, false, &[]);
    rig.push(1, false, &[0x67]);
    rig.push(1, false, &[0x68]);
    assert_eq!(rig.push(1, true, IDR).len(), 0);
    let counters = *rig.counters();
    assert_eq!((counters.empty, counters.sets_refused), (1, 2));
    assert_eq!((counters.without_sets, counters.withheld), (1, 1));
    for payload in [SPS, PPS] {
        rig.push(2, false, payload);
    }
    assert_eq!(rig.push(2, true, IDR).len(), 1);
    let counters = rig.counters();
    assert_eq!((counters.frames, counters.keyframes), (1, 1));
}
