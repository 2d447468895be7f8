//! The memory budget: what the limits cost, summed before anything starts.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

use crate::base::packet_pool::PacketPool;
use crate::limits::{
    CALL_STATE_BYTES, FIXED_STATE_BYTES, HTTP_CONNECTIONS, HTTP_STATE_BYTES, Limits,
    PLAYER_STATE_BYTES, PLAYERS, PROGRAM_BYTES, PUSH_SOUND_BYTES, PUSH_SOUND_FRAMES, PUSH_SOUNDS,
    PUSH_STATE_BYTES, PUSHES, SIP_CALL_STATE_BYTES, SIP_SPARE_CONNECTIONS, STREAM_PENDING_BYTES,
    STREAMS, TRUNK_OPENING, TRUNK_STATE_BYTES,
};

const MIB: usize = 1_024 * 1_024;

/// One kind of thing in the memory budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLine {
    /// What it is.
    pub name: &'static str,
    /// How many there are at most.
    pub count: usize,
    /// Bytes that each takes at most.
    pub bytes_each: usize,
}

impl BudgetLine {
    /// Bytes of all of them.
    pub const fn bytes(&self) -> usize {
        self.count.saturating_mul(self.bytes_each)
    }
}

/// The most memory that the program will take, as a sum of named parts.
///
/// Prints as a heading and one line a part.
#[derive(Clone, Debug)]
pub struct Budget {
    lines: heapless::Vec<BudgetLine, 24>,
    allowed_mib: usize,
}

/// A budget above `memoryMiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Mebibytes needed, rounded up.
    pub needed_mib: usize,
    /// Mebibytes allowed.
    pub allowed_mib: usize,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, allowed) = (self.needed_mib, self.allowed_mib);
        write!(f, "{needed} MiB needed, {allowed} MiB allowed")
    }
}

impl Budget {
    /// The budget of `limits` with `trunks` trunks.
    pub fn new(limits: &Limits, trunks: usize) -> Self {
        let mut budget = Self {
            lines: heapless::Vec::new(),
            allowed_mib: limits.memory_mib,
        };
        budget.add(
            "packet slots",
            limits.pool_packets(),
            PacketPool::SLOT_BYTES,
        );
        budget.add("calls", limits.calls, CALL_STATE_BYTES);
        let places = trunks.saturating_mul(limits.calls);
        budget.add("SIP of calls", places, SIP_CALL_STATE_BYTES);
        budget.add("trunks", trunks, TRUNK_STATE_BYTES);
        // As many connections as the endpoints of all trunks may have, and open at once.
        let spare = SIP_SPARE_CONNECTIONS.saturating_add(TRUNK_OPENING);
        let connections = places.saturating_add(trunks.saturating_mul(spare));
        budget.add("SIP unsent", connections.min(STREAMS), STREAM_PENDING_BYTES);
        budget.add("players", PLAYERS, PLAYER_STATE_BYTES);
        budget.add("pushes", PUSHES, PUSH_STATE_BYTES);
        // One that has been read is copied once.
        let sounds = PUSH_SOUNDS.saturating_add(1);
        let frames = PUSH_SOUND_FRAMES.saturating_mul(size_of::<u32>());
        let each = PUSH_SOUND_BYTES.saturating_add(frames);
        budget.add("push sounds", sounds, each);
        budget.add("HTTP", HTTP_CONNECTIONS, HTTP_STATE_BYTES);
        budget.add("fixed buffers", 1, FIXED_STATE_BYTES);
        budget.add("program", 1, PROGRAM_BYTES);
        budget
    }

    /// Adds a part. There is room for thirteen more than [`Budget::new`] makes; one beyond them is
    /// counted into the last line, so that the sum stays true.
    pub fn add(&mut self, name: &'static str, count: usize, bytes_each: usize) {
        let line = BudgetLine {
            name,
            count,
            bytes_each,
        };
        if self.lines.push(line).is_err()
            && let Some(last) = self.lines.last_mut()
        {
            *last = BudgetLine {
                name: "others",
                count: 1,
                bytes_each: last.bytes().saturating_add(line.bytes()),
            };
        }
    }

    /// The parts.
    pub fn lines(&self) -> &[BudgetLine] {
        &self.lines
    }

    /// Bytes of all parts.
    pub fn total(&self) -> usize {
        let bytes = self.lines.iter().map(BudgetLine::bytes);
        bytes.fold(0, usize::saturating_add)
    }

    /// Whether the sum is within what is allowed.
    pub fn check(&self) -> Result<(), OverBudget> {
        let needed_mib = self.total().div_ceil(MIB);
        if needed_mib <= self.allowed_mib {
            return Ok(());
        }
        Err(OverBudget {
            needed_mib,
            allowed_mib: self.allowed_mib,
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = Mebibytes(self.total());
        write!(f, "memory budget: {total} of {} MiB", self.allowed_mib)?;
        for line in &self.lines {
            let all = Mebibytes(line.bytes());
            write!(
                f,
                "\n  {:<14} {:>6} x {:>9} bytes = {all}",
                line.name, line.count, line.bytes_each
            )?;
        }
        Ok(())
    }
}

/// Bytes shown in mebibytes with one decimal, rounded up.
struct Mebibytes(usize);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_mul(10).div_ceil(MIB);
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PACKET_BYTES;

    #[test]
    fn the_pool_grows_with_the_calls() {
        let limits = Limits {
            calls: 50,
            memory_mib: 64,
        };
        assert_eq!(limits.pool_packets(), 512 + 50 * 48);
    }

    #[test]
    fn the_default_limits_fit_their_own_budget() {
        let budget = Budget::new(&Limits::default(), 1);
        assert_eq!(budget.check(), Ok(()));
        let parts: usize = budget.lines().iter().map(BudgetLine::bytes).sum();
        assert_eq!(budget.total(), parts);
        assert!(parts > Limits::default().pool_packets() * PACKET_BYTES);
    }

    #[test]
    fn a_budget_over_the_limit_says_what_it_needs() {
        let limits = Limits {
            calls: 1_000,
            memory_mib: 20,
        };
        let over = Budget::new(&limits, 1).check().unwrap_err();
        assert_eq!(over.allowed_mib, 20);
        let enough = Limits {
            memory_mib: over.needed_mib,
            ..limits
        };
        assert_eq!(Budget::new(&enough, 1).check(), Ok(()));
        let short = Limits {
            memory_mib: over.needed_mib - 1,
            ..limits
        };
        assert!(Budget::new(&short, 1).check().is_err());
    }

    #[test]
    fn parts_beyond_the_table_still_count() {
        let mut budget = Budget::new(&Limits::default(), 1);
        let before = budget.total();
        for _ in 0..20 {
            budget.add("part", 2, 100);
        }
        assert_eq!(budget.total(), before + 20 * 200);
        budget.add("huge", usize::MAX, 2);
        assert_eq!(budget.total(), usize::MAX);
        assert!(budget.check().is_err());
    }

    #[test]
    fn the_budget_prints_one_line_a_part() {
        let budget = Budget::new(&Limits::default(), 2);
        let text = budget.to_string();
        assert!(text.starts_with("memory budget: "), "{text}");
        assert_eq!(text.lines().count(), 1 + budget.lines().len());
        assert!(text.contains("packet slots     2048 x"), "{text}");
    }
}
