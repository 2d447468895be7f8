use super::*;
use crate::base::packet_pool::PacketPool;
use crate::base::rng::Rng;
use crate::wire::rtp::RtpHeader;

struct Rig {
    pool: PacketPool,
    reorder: Reorder,
}

impl Rig {
    fn new() -> Self {
        Self {
            pool: PacketPool::new(REORDER_PACKETS + 8),
            reorder: Reorder::new(),
        }
    }

    /// Pushes one packet; what comes out, with `true` after a gap.
    fn push(&mut self, millis: u64, sequence: u16) -> Vec<(u16, bool)> {
        let now = Instant::from_millis(millis);
        let mut bytes = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        let packet = self.pool.copy_from(&bytes).unwrap();
        let header = RtpHeader::parse(&packet).unwrap();
        self.reorder.push(Arrival {
            header,
            packet,
            received: now,
        });
        self.pop(millis)
    }

    fn pop(&mut self, millis: u64) -> Vec<(u16, bool)> {
        let now = Instant::from_millis(millis);
        let out: Vec<_> = core::iter::from_fn(|| self.reorder.pop(now))
            .map(|packet| (packet.arrival.header.sequence, packet.before == Before::Gap))
            .collect();
        self.reorder.check_invariants();
        out
    }
}

#[test]
fn what_comes_in_order_passes_at_once_across_the_wrap() {
    let mut rig = Rig::new();
    for step in 0..300_u16 {
        let sequence = 65_400_u16.wrapping_add(step);
        assert_eq!(rig.push(u64::from(step), sequence), [(sequence, false)]);
        assert_eq!(rig.reorder.poll_timeout(), None);
    }
    assert_eq!(*rig.reorder.counters(), ReorderCounters::default());
}

#[test]
fn a_late_packet_closes_its_gap_in_time() {
    let mut rig = Rig::new();
    rig.push(0, 65_534);
    assert_eq!(rig.push(1, 0), []);
    assert_eq!(rig.push(2, 1), []);
    assert_eq!(
        rig.push(9, 65_535),
        [(65_535, false), (0, false), (1, false)]
    );
    assert_eq!(rig.reorder.counters().reordered, 1);
    assert_eq!(rig.reorder.counters().lost, 0);
}

#[test]
fn a_gap_is_given_up_at_its_deadline_and_no_later() {
    let mut rig = Rig::new();
    rig.push(0, 10);
    assert_eq!(rig.push(5, 13), []);
    assert_eq!(rig.reorder.poll_timeout(), Some(Instant::from_millis(45)));
    assert_eq!(rig.push(20, 15), []);
    assert_eq!(rig.pop(44), []);
    assert_eq!(rig.pop(45), [(13, true)]);
    // The second gap was noticed with packet 15.
    let second = rig.reorder.poll_timeout().unwrap();
    assert!(second > Instant::from_millis(55) && second <= Instant::from_millis(60));
    assert_eq!(rig.pop(60), [(15, true)]);
    assert_eq!(rig.reorder.counters().lost, 3);
    assert_eq!(rig.push(61, 11), []);
    assert_eq!(rig.reorder.counters().late, 1);
}

#[test]
fn packets_before_the_first_are_waited_for_where_they_are_expected() {
    let mut rig = Rig::new();
    rig.reorder.expect_earlier(5);
    assert_eq!(rig.push(0, 5), []);
    assert_eq!(rig.push(2, 3), []);
    assert_eq!(rig.push(3, 4), []);
    assert_eq!(rig.pop(19), []);
    assert_eq!(rig.pop(20), [(3, false), (4, false), (5, false)]);
    assert_eq!(rig.push(21, 6), [(6, false)]);
    assert_eq!(rig.reorder.counters().lost, 0);
    // Once something came there is nothing to expect before it.
    rig.reorder.expect_earlier(7);
    assert_eq!(rig.push(22, 7), [(7, false)]);
    rig.reorder.restart();
    rig.reorder.expect_earlier(60_000);
    assert_eq!(rig.push(30, 60_000), []);
    assert_eq!(rig.push(31, 60_002), []);
    assert_eq!(rig.pop(50), [(60_000, false)]);
    assert_eq!(rig.pop(71), [(60_002, true)]);
}

#[test]
fn duplicates_are_told_from_late_packets() {
    let mut rig = Rig::new();
    for sequence in [10, 11, 13, 13] {
        rig.push(0, sequence);
    }
    rig.pop(40);
    for sequence in [10, 11, 13, 12, 12] {
        rig.push(41, sequence);
    }
    assert_eq!(rig.reorder.counters().duplicates, 5);
    assert_eq!(rig.reorder.counters().late, 1);
}

#[test]
fn the_hold_follows_the_reordering_seen() {
    let mut rig = Rig::new();
    rig.push(0, 0);
    rig.push(10, 2);
    rig.push(45, 1);
    assert_eq!(rig.reorder.hold(), Duration::from_millis(70));
    // A packet later than the hold teaches too.
    rig.push(100, 4);
    rig.pop(170);
    rig.push(190, 3);
    assert_eq!(rig.reorder.hold(), MAX_HOLD);
    let (mut at, mut sequence) = (1_000, 5);
    for _ in 0..400 {
        rig.push(at, sequence + 1);
        rig.push(at + 1, sequence);
        at += 40;
        sequence += 2;
    }
    assert!(rig.reorder.hold() < MIN_HOLD + Duration::from_millis(2));
    assert!(rig.reorder.hold() >= MIN_HOLD);
}

#[test]
fn a_long_outage_is_a_loss_and_not_waited_on() {
    let mut rig = Rig::new();
    rig.push(0, 10);
    assert_eq!(rig.push(1, 12), []);
    assert_eq!(rig.push(2, 1_012), [(12, true), (1_012, true)]);
    assert_eq!(rig.push(3, 1_013), [(1_013, false)]);
    assert_eq!(rig.reorder.counters().lost, 1 + 999);
}

#[test]
fn a_sender_that_starts_anew_is_followed_from_its_second_packet() {
    let mut rig = Rig::new();
    rig.push(0, 10);
    rig.push(1, 12);
    assert_eq!(rig.push(2, 40_000), []);
    assert_eq!(
        rig.push(3, 40_001),
        [(12, true), (40_000, true), (40_001, false)]
    );
    assert_eq!(rig.reorder.counters().jumps, 1);
    assert_eq!(rig.reorder.counters().lost, 1);
}

#[test]
fn a_stray_packet_moves_nothing() {
    let mut rig = Rig::new();
    rig.push(0, 10);
    assert_eq!(rig.push(1, 40_000), []);
    assert_eq!(rig.push(2, 11), [(11, false)]);
    assert_eq!(rig.push(3, 40_001), []);
    assert_eq!(rig.push(4, 12), [(12, false)]);
    assert_eq!(rig.reorder.counters().stray, 2);
}

#[test]
fn nothing_is_held_for_ever_whatever_the_sequence_numbers() {
    let mut rng = Rng::from_number(5);
    let mut rig = Rig::new();
    let mut sequence = 0_u16;
    for step in 0..200_000_u64 {
        sequence = match rng.below(40) {
            0 => rng.u32() as u16,
            1 => sequence.wrapping_add(rng.below(4_000) as u16),
            2..=6 => sequence.wrapping_sub(rng.below(150) as u16),
            _ => sequence.wrapping_add(rng.below(3) as u16),
        };
        rig.push(step, sequence);
        let latest = Instant::from_millis(step) + MAX_HOLD;
        assert!(
            rig.reorder
                .poll_timeout()
                .is_none_or(|deadline| deadline <= latest)
        );
    }
    rig.pop(1_000_000);
    // A packet that may begin a new sequence is all that may stay.
    assert!(rig.pool.available() >= rig.pool.capacity() - 1);
    rig.reorder.restart();
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}
