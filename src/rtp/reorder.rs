//! The reorder buffer: packets in sequence, held by time and not by count.
//!
//! What comes in order passes at once, and so does a source's first packet, unless its owner says
//! that something belongs before it ([`Reorder::expect_earlier`]). Behind a gap packets wait until
//! the missing one comes or the gap's deadline passes; then the missing packets count as lost and
//! the rest goes on. The hold lies between [`MIN_HOLD`] and [`MAX_HOLD`] and follows the reordering seen: twice the
//! lateness of packets that closed a gap, at once upwards and slowly downwards; where missing packets
//! are asked for again, it is long enough for the answer ([`Reorder::set_patience`]).
//!
//! Sequence numbers (RFC 3550, appendix A.1):
//! - up to [`LATE_PACKETS`] behind: a duplicate, or late; dropped;
//! - ahead by less than [`MAX_DROPOUT`]: a gap, however many are missing; what does not fit the
//!   buffer gives the gaps up at once;
//! - any further away: the sender may have started its numbers anew. The packet is kept, and the
//!   one that follows it in sequence confirms the jump; any other packet refutes it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::limits::{REORDER_AUDIO_PACKETS, REORDER_PACKETS};
use crate::rtp::source::Arrival;

/// The shortest time that a gap is waited on.
pub const MIN_HOLD: Duration = Duration::from_millis(20);

/// The time that a gap is waited on before any reordering was seen.
pub const START_HOLD: Duration = Duration::from_millis(40);

/// The longest time that a gap is waited on.
pub const MAX_HOLD: Duration = Duration::from_millis(120);

/// Missing packets that are taken for a loss and not for a jump.
pub const MAX_DROPOUT: u16 = 3_000;

/// How far behind a packet may be to be called late.
pub const LATE_PACKETS: u16 = 128;

/// Packets that may still come before the first one of a source.
const EARLIER_PACKETS: u16 = 16;

const _: () = assert!(REORDER_PACKETS.is_power_of_two() && REORDER_PACKETS <= 128);
const _: () = assert!(REORDER_AUDIO_PACKETS.is_power_of_two());

/// What the reorder buffer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReorderCounters {
    /// Packets that came after a later one and in time.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after their place was given up.
    pub late: u64,
    /// Packets given up, the late ones included.
    pub lost: u64,
    /// Confirmed jumps of the sequence number.
    pub jumps: u64,
    /// Packets with a sequence number far away that nothing confirmed.
    pub stray: u64,
}

/// A packet in its turn.
#[derive(Debug)]
pub struct InOrder {
    /// The packet.
    pub arrival: Arrival,
    /// What is known of the packet before it.
    pub before: Before,
}

/// What came before a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Before {
    /// The packet whose sequence number is one less.
    #[default]
    Packet,
    /// Nothing: it is the first of its source that came.
    Nothing,
    /// Something that is missing for good, or another sequence.
    Gap,
}

/// Puts one source's packets in sequence. About 6 KiB for video.
#[derive(Debug)]
pub struct Reorder {
    /// The sequence number whose turn it is, once a packet was seen.
    next: Option<u16>,
    /// Handed over before anything held.
    ready: Option<Arrival>,
    held: Box<[Option<Arrival>]>,
    count: usize,
    /// When the gap in front is given up, while there is one.
    deadline: Option<Instant>,
    /// Packets far away, to go on with when everything held is out.
    jump: [Option<Arrival>; 2],
    before: Before,
    /// The gap in front may be none: nothing was handed over yet.
    starting: bool,
    /// Bit n: the packet n + 1 before `next` was handed over.
    seen: u128,
    /// When the gap that was given up last was noticed.
    last_gap: Option<Instant>,
    hold: Duration,
    /// The hold is not shorter than this.
    patience: Duration,
    counters: ReorderCounters,
}

impl Default for Reorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Reorder {
    /// An empty buffer for video, which starts with the first packet it gets.
    pub fn new() -> Self {
        Self::with_room(REORDER_PACKETS)
    }

    /// An empty buffer for audio.
    pub fn for_audio() -> Self {
        Self::with_room(REORDER_AUDIO_PACKETS)
    }

    /// `room` is a power of two, so that places go on across the wrap of sequence numbers.
    fn with_room(room: usize) -> Self {
        Self {
            next: None,
            ready: None,
            held: (0..room).map(|_| None).collect(),
            count: 0,
            deadline: None,
            jump: [None, None],
            before: Before::Nothing,
            starting: false,
            seen: 0,
            last_gap: None,
            hold: START_HOLD,
            patience: MIN_HOLD,
            counters: ReorderCounters::default(),
        }
    }

    /// Lets go of everything held; the next packet starts a new sequence. Counters and the tuned
    /// hold stay.
    pub fn restart(&mut self) {
        self.ready = None;
        self.held.fill(None);
        self.count = 0;
        self.deadline = None;
        self.jump = [None, None];
        self.next = None;
        self.seen = 0;
        self.before = Before::Nothing;
        self.starting = false;
        self.last_gap = None;
    }

    /// Whether no packet came yet since the last restart.
    pub fn is_fresh(&self) -> bool {
        self.next.is_none()
    }

    /// Tells of a fresh buffer's first packet, before it is pushed, that packets before it are
    /// probably on their way: it then waits for them, up to [`MIN_HOLD`].
    pub fn expect_earlier(&mut self, sequence: u16) {
        if self.is_fresh() {
            self.next = Some(sequence.wrapping_sub(EARLIER_PACKETS));
            self.starting = true;
        }
    }

    /// Waits on gaps at least this long, up to [`MAX_HOLD`], from the next packet on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience.clamp(MIN_HOLD, MAX_HOLD);
    }

    /// The packets that are waited for, by rising number; none before the first one of a source.
    pub fn missing(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        let open = self.count > 0 && !self.starting;
        let next = self.next.unwrap_or_default();
        let mut held = self.count;
        let room = if open { self.held.len() as u16 } else { 0 };
        (0..room)
            .map(move |ahead| next.wrapping_add(ahead))
            .map_while(move |sequence| {
                let here = self.is_held(sequence);
                held = held.checked_sub(usize::from(here))?;
                (held > 0 || !here).then_some((sequence, here))
            })
            .filter_map(|(sequence, here)| (!here).then_some(sequence))
    }

    /// Takes one packet. Drain [`Self::pop`] before the next.
    pub fn push(&mut self, arrival: Arrival) {
        let sequence = arrival.header.sequence;
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        let behind = next.wrapping_sub(sequence);
        if ahead == 0 {
            self.refute_jump();
            if let Some(noticed) = self.noticed() {
                self.came_late(arrival.received.since(noticed));
                count(&mut self.counters.reordered);
            }
            self.starting = false;
            self.step(1, true);
            self.ready = Some(arrival);
            self.set_deadline();
        } else if usize::from(ahead) < self.held.len() {
            self.refute_jump();
            self.keep(arrival);
            self.set_deadline();
        } else if behind <= LATE_PACKETS {
            self.refute_jump();
            self.drop_behind(behind, arrival.received);
        } else if ahead < MAX_DROPOUT {
            self.refute_jump();
            self.jump = [Some(arrival), None];
        } else {
            self.judge_jump(arrival);
        }
    }

    /// The next packet whose turn it is, if there is one at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<InOrder> {
        if let Some(arrival) = self.ready.take() {
            return Some(self.hand_over(arrival));
        }
        loop {
            let next = self.next?;
            if let Some(arrival) = self.slot(next).and_then(Option::take) {
                self.count = self.count.saturating_sub(1);
                self.step(1, true);
                self.set_deadline();
                return Some(self.hand_over(arrival));
            }
            let leaving = self.is_leaving();
            if self.count > 0 {
                if !leaving && self.deadline.is_none_or(|deadline| now < deadline) {
                    return None;
                }
                self.give_up_gap(next);
            } else if leaving {
                self.go_to_jump(next);
            } else {
                return None;
            }
        }
    }

    /// When [`Self::pop`] has something although nothing more comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Packets that wait for their turn.
    pub fn held(&self) -> usize {
        self.count
    }

    /// How long a gap is waited on now.
    pub fn hold(&self) -> Duration {
        self.hold.max(self.patience)
    }

    /// What was seen.
    pub fn counters(&self) -> &ReorderCounters {
        &self.counters
    }

    /// Panics when counts and places disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        let held = self.held.iter().flatten().count();
        assert_eq!(held, self.count, "packets held and their count differ");
        for arrival in self.held.iter().flatten() {
            let next = self.next.unwrap_or_default();
            let ahead = arrival.header.sequence.wrapping_sub(next);
            assert!(
                usize::from(ahead) < self.held.len(),
                "a packet is held outside the window"
            );
        }
        assert_eq!(
            self.deadline.is_some(),
            self.count > 0,
            "a deadline belongs to a gap"
        );
    }

    fn is_held(&self, sequence: u16) -> bool {
        let place = usize::from(sequence).checked_rem(self.held.len());
        place
            .and_then(|place| self.held.get(place))
            .is_some_and(Option::is_some)
    }

    fn slot(&mut self, sequence: u16) -> Option<&mut Option<Arrival>> {
        let place = usize::from(sequence).checked_rem(self.held.len())?;
        self.held.get_mut(place)
    }

    fn keep(&mut self, arrival: Arrival) {
        let Some(slot) = self.slot(arrival.header.sequence) else {
            return;
        };
        if slot.is_some() {
            count(&mut self.counters.duplicates);
            return;
        }
        *slot = Some(arrival);
        self.count = self.count.saturating_add(1);
    }

    fn hand_over(&mut self, arrival: Arrival) -> InOrder {
        InOrder {
            arrival,
            before: core::mem::replace(&mut self.before, Before::Packet),
        }
    }

    /// Moves the turn on by `by` packets, all handed over or all missing.
    fn step(&mut self, by: u16, handed_over: bool) {
        self.next = self.next.map(|next| next.wrapping_add(by));
        self.seen = self.seen.checked_shl(u32::from(by)).unwrap_or(0);
        if handed_over {
            self.seen |= 1;
        }
    }

    /// When the gap in front was noticed: the first arrival of any packet behind it.
    fn noticed(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        self.held
            .iter()
            .flatten()
            .map(|arrival| arrival.received)
            .min()
    }

    fn set_deadline(&mut self) {
        let hold = if self.starting {
            MIN_HOLD
        } else {
            self.hold.max(self.patience)
        };
        self.deadline = self.noticed().map(|noticed| noticed + hold);
    }

    fn is_leaving(&self) -> bool {
        match &self.jump {
            [Some(_), Some(_)] => true,
            [Some(arrival), None] => {
                let ahead = arrival
                    .header
                    .sequence
                    .wrapping_sub(self.next.unwrap_or_default());
                ahead < MAX_DROPOUT
            }
            [None, _] => false,
        }
    }

    /// Counts the gap in front as lost and moves to the first packet behind it.
    fn give_up_gap(&mut self, next: u16) {
        let missing = self
            .held
            .iter()
            .flatten()
            .map(|arrival| arrival.header.sequence.wrapping_sub(next))
            .min()
            .unwrap_or(0);
        self.last_gap = self.noticed();
        if core::mem::take(&mut self.starting) {
            // Nothing came before: the source starts here.
            self.step(missing, false);
            return self.set_deadline();
        }
        self.lose(missing);
        // Real loss does not tell of reordering: the hold drifts down to its floor.
        self.hold = self
            .hold
            .saturating_sub(self.hold.saturating_sub(MIN_HOLD) / 16);
        self.set_deadline();
    }

    fn lose(&mut self, missing: u16) {
        self.counters.lost = self.counters.lost.saturating_add(u64::from(missing));
        self.step(missing, false);
        self.before = Before::Gap;
    }

    /// Goes on with the packets that were too far away to be held.
    fn go_to_jump(&mut self, next: u16) {
        let [Some(first), second] = core::mem::take(&mut self.jump) else {
            return;
        };
        if second.is_some() {
            count(&mut self.counters.jumps);
            self.next = Some(first.header.sequence);
            self.seen = 0;
            self.before = Before::Gap;
        } else {
            self.last_gap = Some(first.received);
            self.lose(first.header.sequence.wrapping_sub(next));
        }
        self.keep(first);
        if let Some(second) = second {
            self.keep(second);
        }
        self.set_deadline();
    }

    /// A packet far away: the first of a new sequence, its confirmation, or a stray.
    fn judge_jump(&mut self, arrival: Arrival) {
        match &mut self.jump {
            [Some(first), second @ None]
                if arrival.header.sequence == first.header.sequence.wrapping_add(1) =>
            {
                *second = Some(arrival);
            }
            _ => {
                self.refute_jump();
                self.jump = [Some(arrival), None];
            }
        }
    }

    fn refute_jump(&mut self) {
        let refuted = self.jump.iter_mut().filter_map(Option::take).count() as u64;
        self.counters.stray = self.counters.stray.saturating_add(refuted);
    }

    fn drop_behind(&mut self, behind: u16, received: Instant) {
        let bit = 1_u128
            .checked_shl(u32::from(behind).saturating_sub(1))
            .unwrap_or(0);
        if self.seen & bit != 0 {
            count(&mut self.counters.duplicates);
            return;
        }
        self.seen |= bit;
        count(&mut self.counters.late);
        if let Some(noticed) = self.last_gap {
            let lateness = received.since(noticed);
            // Later than any hold could wait: nothing to learn from it.
            if lateness <= MAX_HOLD.saturating_mul(2) {
                self.came_late(lateness);
            }
        }
    }

    /// Tunes the hold by how long after its gap was noticed a packet came.
    fn came_late(&mut self, lateness: Duration) {
        let wanted = lateness.saturating_mul(2).clamp(MIN_HOLD, MAX_HOLD);
        self.hold = if wanted > self.hold {
            wanted
        } else {
            self.hold
                .saturating_sub(self.hold.saturating_sub(wanted) / 64)
        };
    }
}

#[cfg(test)]
mod tests;
