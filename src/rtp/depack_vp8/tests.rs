use super::*;
use crate::base::packet_pool::PacketPool;
use crate::base::rng::Rng;
use crate::wire::rtp::RtpHeader;

type Vec<T> = std::vec::Vec<T>;

struct Rig {
    pool: PacketPool,
    depacketizer: Vp8Depacketizer,
    sequence: u16,
    now: Instant,
    lost: bool,
    out: Vec<Out>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Out {
    timestamp: u32,
    keyframe: bool,
    bytes: Vec<u8>,
    config: Rc<CodecConfig>,
}

impl Rig {
    fn new() -> Self {
        Self {
            pool: PacketPool::new(1_000),
            depacketizer: Vp8Depacketizer::new(),
            sequence: 65_530,
            now: Instant::from_millis(7),
            lost: false,
            out: Vec::new(),
        }
    }

    /// One that has had its first keyframe, at the timestamp 1.
    fn synced(descriptor: &[u8]) -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.push(1, true, descriptor, &keyframe(64, 48)).len(), 1);
        assert!(!rig.wants_keyframe());
        rig
    }

    /// As many packets are missing before the next.
    fn lose(&mut self, packets: u16) {
        self.sequence = self.sequence.wrapping_add(packets);
        self.lost = true;
    }

    fn push(&mut self, timestamp: u32, marker: bool, head: &[u8], data: &[u8]) -> Vec<Out> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9].to_vec();
        bytes[1] |= u8::from(marker) << 7;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
        bytes.extend([head, data].concat());
        let packet = self.pool.copy_from(&bytes).unwrap();
        let header = RtpHeader::parse(&packet).unwrap();
        let arrival = Arrival {
            header,
            packet,
            received: self.now,
        };
        let before = if core::mem::take(&mut self.lost) {
            Before::Gap
        } else {
            Before::Packet
        };
        let new = self.out.len();
        let out = &mut self.out;
        let packet = InOrder { arrival, before };
        self.depacketizer
            .push(packet, |unit, segments| out.push(Out::new(unit, segments)));
        self.out[new..].to_vec()
    }

    fn pause(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        let now = self.depacketizer.poll_timeout().unwrap_or_default();
        self.depacketizer
            .handle_timeout(now, |unit, segments| out.push(Out::new(unit, segments)));
        out
    }

    fn wants_keyframe(&mut self) -> bool {
        self.depacketizer.take_keyframe_wanted() && self.depacketizer.waits_for_keyframe()
    }

    fn counters(&self) -> &Vp8Counters {
        self.depacketizer.counters()
    }
}

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

/// A keyframe whose first partition has 8 bytes.
fn keyframe(width: u16, height: u16) -> Vec<u8> {
    let (w, h) = (width.to_le_bytes(), height.to_le_bytes());
    let head = [
        0x10, 0x01, 0, 0x9d, 1, 0x2a, w[0], w[1], h[0], h[1], 1, 2, 3, 4, 5, 6, 7, 8, 0xaa,
    ];
    head.to_vec()
}

/// One that depends on others, whose first partition has 4 bytes.
const FRAME: [u8; 9] = [0x91, 0, 0, 1, 2, 3, 4, 0xbb, 0xcc];

/// Start of a frame, nothing more.
const START: &[u8] = &[0x10];

/// Start of a frame with a 15-bit number.
fn numbered(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [0x90, 0x80, 0x80 | high, low]
}

/// Start of a frame with a 7-bit number, base layer number and layer.
fn layered(number: u8, base: u8, layer: u8, sync: bool) -> [u8; 5] {
    let layer = layer << 6 | u8::from(sync) << 5;
    [0x90, 0xe0, number & 0x7f, base, layer]
}

/// The same for a later packet of the frame.
fn within(mut descriptor: [u8; 5]) -> [u8; 5] {
    descriptor[0] &= !0x10;
    descriptor
}

#[test]
fn packets_of_one_timestamp_become_a_frame_at_the_marker() {
    let mut rig = Rig::new();
    let key = keyframe(640, 480);
    assert!(rig.push(9, false, START, &key[..12]).is_empty());
    // The second partition begins.
    assert!(rig.push(9, false, &[0x11], &key[12..15]).is_empty());
    let out = rig.push(9, true, &[0x01], &key[15..]);
    assert_eq!((out[0].timestamp, out[0].keyframe), (9, true));
    assert_eq!(out[0].bytes, key);
    let size = Vp8Config {
        width: 640,
        height: 480,
    };
    assert_eq!(*out[0].config, CodecConfig::Vp8(size));
    let out = rig.push(10, true, START, &FRAME);
    assert_eq!((out[0].keyframe, &out[0].bytes[..]), (false, &FRAME[..]));
    assert_eq!(rig.depacketizer.held(), 0);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}

#[test]
fn the_next_timestamp_or_a_quiet_time_ends_a_frame_without_marker() {
    let mut rig = Rig::new();
    rig.push(1, false, START, &keyframe(64, 48));
    assert!(rig.pause().is_empty(), "its marker may be lost");
    rig.push(2, false, START, &FRAME[..4]);
    assert_eq!(rig.out.len(), 1);
    assert!(rig.pause().is_empty(), "it ends within its first partition");
    rig.push(2, false, &[0], &FRAME[4..]);
    let due = rig.depacketizer.poll_timeout().unwrap();
    let early = Instant::from_millis(due.as_micros() / 1_000 - 1);
    rig.depacketizer
        .handle_timeout(early, |_, _| panic!("too early"));
    assert_eq!(rig.pause()[0].bytes, FRAME);
    assert_eq!(rig.depacketizer.poll_timeout(), None);
    rig.push(3, false, START, &FRAME);
    assert_eq!(rig.push(4, false, START, &FRAME)[0].timestamp, 3);
}

#[test]
fn a_frame_that_a_hold_cut_off_is_given_up() {
    let mut rig = Rig::synced(START);
    rig.push(2, false, START, &FRAME[..4]);
    assert_eq!(rig.push(2, true, &[0], &FRAME[4..]).len(), 1);
    rig.push(3, false, START, &FRAME[..4]);
    rig.now = rig.now + core::time::Duration::from_secs(3);
    assert!(rig.push(4, true, START, &FRAME).is_empty());
    assert!(rig.wants_keyframe());
    assert_eq!(rig.push(5, true, START, &keyframe(64, 48)).len(), 1);
}

#[test]
fn a_frame_that_goes_on_after_its_quiet_time_is_the_last_ended_that_way() {
    let mut rig = Rig::new();
    rig.push(1, false, START, &keyframe(64, 48));
    rig.push(2, false, START, &FRAME);
    assert_eq!(rig.pause().len(), 1);
    rig.push(2, false, &[0], &[9]);
    assert!(rig.wants_keyframe());
    rig.push(3, false, START, &keyframe(64, 48));
    assert_eq!(rig.depacketizer.poll_timeout(), None);
    assert_eq!(rig.push(4, false, START, &FRAME)[0].timestamp, 3);
}

#[test]
fn markers_within_frames_are_passed_over() {
    let mut rig = Rig::new();
    let key = keyframe(64, 48);
    rig.push(1, true, START, &key[..11]);
    rig.push(1, true, &[0], &key[11..]);
    assert_eq!(rig.push(2, true, START, &FRAME)[0].bytes, key);
    rig.push(2, true, &[0], &FRAME);
    let out = rig.push(3, true, START, &FRAME);
    assert_eq!(out[0].bytes, [FRAME, FRAME].concat());
    assert!(!rig.wants_keyframe());
}

#[test]
fn nothing_comes_before_a_keyframe() {
    let mut rig = Rig::new();
    assert!(rig.push(1, false, START, &FRAME).is_empty());
    assert!(rig.wants_keyframe());
    assert_eq!(rig.depacketizer.held(), 0);
    rig.push(1, true, &[0], &FRAME);
    assert!(rig.push(2, true, START, &FRAME).is_empty());
    assert_eq!(rig.counters().withheld, 2);
    assert_eq!(rig.push(3, true, START, &keyframe(64, 48)).len(), 1);
    assert_eq!(rig.push(4, true, START, &FRAME).len(), 1);
}

#[test]
fn a_source_that_begins_within_a_frame_begins_with_the_next_keyframe() {
    let mut rig = Rig::new();
    assert!(rig.push(1, true, &[0], &keyframe(64, 48)).is_empty());
    assert!(rig.wants_keyframe());
    assert_eq!(rig.push(2, true, START, &keyframe(64, 48)).len(), 1);
    let begins = |payload: &[u8]| Rig::new().depacketizer.can_begin_with(payload);
    assert!(begins(&[START, &keyframe(64, 48)].concat()));
    assert!(begins(&[]));
    for payload in [&[0x10, 0x91][..], &[0x00, 0x90], &[0x11, 0x90], &[0x90]] {
        assert!(!begins(payload), "{payload:x?}");
    }
}

#[test]
fn a_frame_with_a_gap_inside_is_dropped_and_what_comes_after_waits_for_a_keyframe() {
    for start in [START, &numbered(4)] {
        let mut rig = Rig::synced(START);
        rig.push(2, false, start, &FRAME);
        rig.lose(1);
        assert!(rig.push(2, true, &[0], &FRAME).is_empty());
        assert!(rig.wants_keyframe());
        assert!(rig.push(3, true, START, &FRAME).is_empty());
        rig.push(4, false, START, &keyframe(64, 48));
        rig.lose(2);
        assert!(rig.push(4, true, &[0], &FRAME).is_empty());
        assert!(rig.push(5, true, START, &FRAME).is_empty());
        assert_eq!(rig.push(6, true, START, &keyframe(64, 48)).len(), 1);
        assert_eq!(rig.counters().damaged, 2);
    }
}

#[test]
fn a_loss_between_frames_breaks_decoding_in_the_same_call() {
    let mut rig = Rig::synced(START);
    rig.lose(1);
    assert!(rig.push(3, true, START, &FRAME).is_empty());
    assert!(rig.wants_keyframe());
    assert!(rig.push(4, true, START, &FRAME).is_empty());
    assert_eq!(rig.push(5, true, START, &keyframe(64, 48)).len(), 1);
}

#[test]
fn a_keyframe_right_after_a_loss_is_shown_at_once() {
    let mut rig = Rig::synced(START);
    rig.lose(1);
    assert_eq!(rig.push(3, true, START, &keyframe(64, 48)).len(), 1);
    assert!(!rig.wants_keyframe());
}

#[test]
fn packets_lost_between_frames_whose_numbers_go_on_had_no_frame_in_them() {
    let mut rig = Rig::synced(&numbered(0x7fff));
    rig.lose(3);
    assert_eq!(rig.push(2, true, &numbered(0), &FRAME).len(), 1);
    rig.lose(1);
    assert!(rig.push(3, true, &numbered(2), &FRAME).is_empty());
    assert!(rig.wants_keyframe());
    // As many frames may be lost as the numbers have a round.
    let mut rig = Rig::synced(&[0x90, 0x80, 5]);
    rig.lose(127);
    assert!(rig.push(2, true, &[0x90, 0x80, 6], &FRAME).is_empty());
}

#[test]
fn what_nothing_depends_on_may_be_lost() {
    // Its end, then its beginning.
    for lost in [1, 0] {
        let mut rig = Rig::synced(&numbered(7));
        let mut first = numbered(8);
        first[0] |= 0x20;
        let mut second = first;
        second[0] &= !0x10;
        for (at, descriptor) in [first, second].iter().enumerate() {
            if at == lost {
                rig.lose(1);
            } else {
                assert!(rig.push(2, at == 1, descriptor, &FRAME).is_empty());
            }
        }
        let out = rig.push(3, true, &numbered(9), &FRAME);
        assert_eq!(out.len(), 1, "{lost}");
        assert!(!rig.wants_keyframe());
        assert_eq!(rig.counters().damaged, 1);
    }
    // Nothing of it came: nobody knows that it was one.
    let mut rig = Rig::synced(&numbered(7));
    rig.lose(2);
    assert!(rig.push(3, true, &numbered(9), &FRAME).is_empty());
    assert!(rig.wants_keyframe());
}

#[test]
fn a_lost_frame_of_a_higher_layer_leaves_the_base_layer() {
    let mut rig = Rig::synced(&layered(0, 255, 0, false));
    assert_eq!(
        rig.push(2, true, &layered(1, 255, 1, true), &FRAME).len(),
        1
    );
    rig.lose(1);
    // Number 2, of layer 2, is lost.
    assert!(
        rig.push(4, true, &layered(3, 255, 1, false), &FRAME)
            .is_empty()
    );
    assert_eq!(rig.push(5, true, &layered(4, 0, 0, false), &FRAME).len(), 1);
    // Layer 2 has to wait for layer 1, even with a frame that needs the base layer only.
    assert!(
        rig.push(6, true, &layered(5, 0, 2, true), &FRAME)
            .is_empty()
    );
    assert_eq!(rig.push(7, true, &layered(6, 0, 1, true), &FRAME).len(), 1);
    assert_eq!(rig.push(8, true, &layered(7, 0, 1, false), &FRAME).len(), 1);
    assert!(
        rig.push(9, true, &layered(8, 0, 2, false), &FRAME)
            .is_empty()
    );
    assert!(!rig.wants_keyframe());
    assert_eq!((rig.counters().layered, rig.counters().withheld), (3, 3));
    // A frame without layer may depend on anything.
    assert!(rig.push(10, true, &numbered(9), &FRAME).is_empty());
    let key = rig.push(11, true, &layered(10, 1, 0, false), &keyframe(64, 48));
    assert_eq!(key.len(), 1);
    assert_eq!(
        rig.push(12, true, &layered(11, 1, 2, false), &FRAME).len(),
        1
    );
}

#[test]
fn a_lost_frame_of_the_base_layer_breaks_decoding() {
    let key = layered(0, 7, 0, false);
    for next in [
        layered(2, 8, 1, true),
        layered(2, 9, 0, false),
        layered(0, 8, 0, false),
        layered(2, 7, 0, false),
    ] {
        let mut rig = Rig::synced(&key);
        rig.lose(1);
        assert!(rig.push(3, true, &next, &FRAME).is_empty(), "{next:x?}");
        assert!(rig.wants_keyframe());
    }
}

#[test]
fn a_damaged_frame_of_a_higher_layer_leaves_those_below() {
    let mut rig = Rig::synced(&layered(0, 7, 0, false));
    let damaged = layered(1, 7, 1, true);
    rig.push(2, false, &damaged, &FRAME);
    rig.lose(1);
    assert!(rig.push(2, true, &within(damaged), &FRAME).is_empty());
    assert!(!rig.wants_keyframe());
    assert!(
        rig.push(3, true, &layered(2, 7, 1, false), &FRAME)
            .is_empty()
    );
    assert_eq!(rig.push(4, true, &layered(3, 8, 0, false), &FRAME).len(), 1);
    // The base layer's own.
    rig.push(5, false, &layered(4, 9, 0, false), &FRAME);
    rig.lose(1);
    assert!(
        rig.push(6, true, &layered(5, 9, 1, true), &FRAME)
            .is_empty()
    );
    assert!(rig.wants_keyframe());
}

#[test]
fn another_number_begins_another_frame_of_the_same_time() {
    let mut rig = Rig::synced(&numbered(0));
    rig.push(2, false, &numbered(1), &FRAME);
    let out = rig.push(2, true, &numbered(2), &FRAME);
    assert_eq!(out.len(), 2);
    assert_eq!(rig.push(2, true, &numbered(3), &FRAME).len(), 1);
}

#[test]
fn only_another_size_makes_a_new_configuration() {
    let mut rig = Rig::new();
    let mut config = |timestamp, width, height| {
        let out = rig.push(timestamp, true, START, &keyframe(width, height));
        Rc::clone(&out[0].config)
    };
    let first = config(1, 640, 480);
    assert!(Rc::ptr_eq(&first, &config(2, 640, 480)));
    let turned = config(3, 480, 640);
    assert!(!Rc::ptr_eq(&first, &turned));
    assert!(Rc::ptr_eq(&turned, &config(4, 480, 640)));
}

#[test]
fn illegal_frames_are_dropped_and_a_keyframe_is_wanted() {
    let mut no_code = keyframe(64, 48);
    no_code[4] = 7;
    let empty = keyframe(0, 48);
    let short = &keyframe(64, 48)[..17];
    let tiny = &keyframe(64, 48)[..9];
    for illegal in [&no_code[..], &empty, short, tiny, &FRAME[..6], &FRAME[..2]] {
        let mut rig = Rig::synced(START);
        rig.push(2, true, START, illegal);
        assert!(rig.push(3, true, START, &FRAME).is_empty(), "{illegal:x?}");
        assert!(rig.wants_keyframe());
        assert_eq!(rig.counters().illegal, 1);
        assert_eq!(rig.push(4, true, START, &keyframe(64, 48)).len(), 1);
    }
}

#[test]
fn packets_without_frame_data_change_nothing() {
    let mut rig = Rig::synced(START);
    rig.push(1, true, &[], &[]);
    rig.push(2, false, START, &FRAME[..5]);
    rig.push(2, false, &[], &[]);
    rig.push(2, false, &[0x80, 0x80, 0x81, 3], &[]);
    assert_eq!(rig.push(2, true, &[0], &FRAME[5..])[0].bytes, FRAME);
    assert_eq!(rig.counters().empty, 3);
    // A loss before one of them is one before the next frame.
    rig.lose(1);
    rig.push(2, false, &[], &[]);
    assert!(rig.push(3, true, START, &FRAME).is_empty());
    assert!(rig.wants_keyframe());
}

#[test]
fn broken_forms_damage_their_frame() {
    for broken in [&[0x80][..], &[0x90, 0x80, 0x81], START] {
        let mut rig = Rig::synced(START);
        rig.push(2, false, START, &FRAME);
        let data = if broken == START { &FRAME[..] } else { &[] };
        assert!(rig.push(2, true, broken, data).is_empty());
        assert!(rig.wants_keyframe(), "{broken:x?}");
        assert_eq!(rig.counters().malformed, 1);
        rig.push(3, true, START, &keyframe(64, 48));
        assert_eq!(rig.counters().damaged, 1);
        assert_eq!(rig.out.len(), 2);
    }
}

#[test]
fn a_frame_of_too_many_packets_is_dropped_and_frees_them() {
    let mut rig = Rig::synced(START);
    rig.push(2, false, START, &FRAME);
    for _ in 0..crate::limits::FRAME_SEGMENTS + 20 {
        rig.push(2, false, &[0], &FRAME);
    }
    assert_eq!(rig.counters().too_large, 1);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
    assert!(rig.wants_keyframe());
}

#[test]
fn another_source_begins_with_a_keyframe() {
    let mut rig = Rig::synced(&numbered(3));
    rig.push(2, false, &numbered(4), &FRAME);
    rig.depacketizer.restart();
    assert!(rig.wants_keyframe());
    assert_eq!(rig.pool.available(), rig.pool.capacity());
    assert!(rig.push(3, true, &numbered(5), &FRAME).is_empty());
    assert_eq!(rig.push(4, true, START, &keyframe(64, 48)).len(), 1);
}

#[test]
fn truncated_and_mutated_payloads_never_panic_and_lose_no_buffer() {
    let mut rng = Rng::from_number(4);
    let key = keyframe(64, 48);
    let payloads = [
        [START, &key].concat(),
        [&numbered(3)[..], &key[..12]].concat(),
        [&[0x01], &key[12..]].concat(),
        [&layered(4, 9, 1, true)[..], &FRAME].concat(),
        [&within(layered(4, 9, 1, true))[..], &FRAME].concat(),
    ];
    let mut rig = Rig::new();
    for round in 0..4_000_u32 {
        for (at, payload) in payloads.iter().enumerate() {
            let mut bytes = payload.clone();
            if rng.below(3) == 0 {
                for _ in 0..rng.below(3) {
                    let at = rng.below(bytes.len() as u32) as usize;
                    bytes[at] = rng.u32() as u8;
                }
                bytes.truncate(rng.below(bytes.len() as u32 + 1) as usize);
            }
            if rng.below(40) == 0 {
                rig.lose(rng.below(200) as u16);
            }
            let timestamp = round * 3 + [0, 1, 1, 2, 2][at];
            let marker = at % 2 == 0 && rng.below(10) > 0;
            rig.push(timestamp, marker, &[], &bytes);
            if rng.below(30) == 0 {
                rig.pause();
            }
        }
    }
    let counters = *rig.counters();
    assert!(
        counters.frames > 0 && counters.malformed > 0,
        "{counters:?}"
    );
    assert!(counters.illegal > 0 && counters.damaged > 0, "{counters:?}");
    rig.depacketizer.restart();
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}

/// Frames in three temporal layers under loss: none comes out without those that it needs.
#[test]
fn under_any_loss_only_what_can_be_decoded_comes_out() {
    for seed in 0..60 {
        let mut rng = Rng::from_number(seed);
        let mut rig = Rig::new();
        let layers = seed % 2 == 0;
        let mut asked = false;
        let mut shown = std::collections::HashSet::new();
        // The last frames of each layer.
        let mut newest = [0_u32; 3];
        let mut needs: Vec<Vec<u32>> = Vec::new();
        let mut base = 0_u8;
        for at in 0..600_u32 {
            // What was asked for may be lost, and is asked for again.
            let again = at % 5 == 0 && rig.depacketizer.waits_for_keyframe();
            let key = asked || again;
            asked = false;
            let layer = if key || !layers {
                0
            } else {
                [0, 2, 1, 2][at as usize % 4]
            };
            let sync = layer > 0 && rng.below(3) == 0;
            needs.push(match (key, sync) {
                (true, _) => Vec::new(),
                (false, true) => vec![newest[0]],
                (false, false) => newest[..=layer].to_vec(),
            });
            if key {
                newest = [at; 3];
            } else {
                newest[layer] = at;
            }
            base = base.wrapping_add(u8::from(layer == 0));
            let [high, low] = (at as u16).to_be_bytes();
            let flags = if layers { 0xe0 } else { 0x80 };
            let mut start = vec![0x90, flags, 0x80 | high, low];
            if layers {
                start.extend([base, (layer as u8) << 6 | u8::from(sync) << 5]);
            }
            let data = if key {
                keyframe(64, 48)
            } else {
                FRAME.to_vec()
            };
            let parts = 1 + rng.below(3) as usize;
            for (part, chunk) in data.chunks(data.len().div_ceil(parts)).enumerate() {
                start[0] = if part == 0 { 0x90 } else { 0x80 };
                if rng.below(100) < 3 {
                    rig.lose(1);
                    continue;
                }
                let last = part + 1 == data.len().div_ceil(data.len().div_ceil(parts));
                for out in rig.push(at, last, &start, chunk) {
                    let number = out.timestamp;
                    for needed in &needs[number as usize] {
                        assert!(shown.contains(needed), "{number} needs {needed}");
                    }
                    shown.insert(number);
                }
                asked |= rig.wants_keyframe();
            }
        }
        assert!(shown.len() > 300, "{}", shown.len());
    }
}
