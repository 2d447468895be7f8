//! The emulated network: one way for both tracks, as a call's packets have it.
//!
//! What delays one packet delays those behind it: the way is a queue whose length wanders between
//! nothing and the cell's jitter, and a packet overtakes another only where it is reordered, that is
//! taken out of the queue and delayed on its own. Losses are independent of each other.

use trunkcast::base::rng::Rng;

/// Least one-way delay in microseconds; there and back is twice as long.
pub const ONE_WAY: i64 = 30_000;

/// The queue's length goes from one random value to the next in so many microseconds.
const WANDER: i64 = 80_000;

/// What a reordered packet is late by, in microseconds: least and most.
const REORDERED: (u32, u32) = (5_000, 25_000);

/// One cell of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Packets lost, in thousandths.
    pub loss: u32,
    /// Packets reordered, in thousandths.
    pub reorder: u32,
    /// Longest delay beyond the least, in milliseconds.
    pub jitter: u32,
}

pub struct Path {
    cell: Cell,
    rng: Rng,
    /// The queue's length at the ends of the present stretch, and when that began.
    levels: [i64; 2],
    since: i64,
    last_out: i64,
}

impl Path {
    pub fn new(cell: Cell, mut rng: Rng) -> Self {
        let levels = [0; 2].map(|_| level(cell, &mut rng));
        Self {
            cell,
            rng,
            levels,
            since: 0,
            last_out: 0,
        }
    }

    /// When a packet sent at `at` arrives, unless it is lost. Packets are given in the order of
    /// sending.
    pub fn carry(&mut self, at: i64) -> Option<i64> {
        while at >= self.since + WANDER {
            self.since += WANDER;
            self.levels = [self.levels[1], level(self.cell, &mut self.rng)];
        }
        if self.is_lost() {
            return None;
        }
        let [from, to] = self.levels;
        let queue = from + (to - from) * (at - self.since) / WANDER;
        let arrival = at + ONE_WAY + queue;
        if self.rng.below(1_000) < self.cell.reorder {
            let (least, most) = REORDERED;
            let late = least + self.rng.below(most - least);
            return Some(arrival.max(self.last_out) + i64::from(late));
        }
        self.last_out = arrival.max(self.last_out);
        Some(self.last_out)
    }

    /// Whether a packet of the way back is lost.
    pub fn is_lost(&mut self) -> bool {
        self.rng.below(1_000) < self.cell.loss
    }
}

fn level(cell: Cell, rng: &mut Rng) -> i64 {
    i64::from(rng.below(cell.jitter * 1_000 + 1))
}
