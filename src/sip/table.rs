//! A table of fixed size whose entries are found by hash and by deadline.
//!
//! Hashes and deadlines lie in arrays of their own, so that a search reads a few cache lines even in
//! a table of thousands. A search is linear by design: nobody can make it slower by choosing keys.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::time::Instant;

/// What has a next deadline.
pub trait Timed {
    /// When it wants to hear of time again.
    fn deadline(&self) -> Option<Instant>;
}

/// A place in a table and which bearer of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The place.
    pub index: u16,
    /// Its bearer.
    pub generation: u32,
}

/// Later than any deadline.
const NEVER: Instant = Instant::from_micros(u64::MAX);

/// A table of at most as many entries as it was made for.
pub struct Table<T> {
    entries: Box<[Option<T>]>,
    generations: Box<[u32]>,
    hashes: Box<[u64]>,
    deadlines: Box<[Instant]>,
    /// Places not in use; the last one is taken next.
    free: Vec<u16>,
}

impl<T: Timed> Table<T> {
    /// A table of `capacity` places, at most 65,535.
    pub fn new(capacity: usize) -> Self {
        let places = u16::try_from(capacity).unwrap_or(u16::MAX);
        let count = usize::from(places);
        Self {
            entries: core::iter::repeat_with(|| None).take(count).collect(),
            generations: vec![0; count].into(),
            hashes: vec![0; count].into(),
            deadlines: vec![NEVER; count].into(),
            free: (0..places).rev().collect(),
        }
    }

    /// Entries there are.
    pub fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.free.len())
    }

    /// Whether another entry would be refused.
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Takes an entry in; gives it back when the table is full.
    pub fn insert(&mut self, hash: u64, entry: T) -> Result<Slot, T> {
        let Some(index) = self.free.pop() else {
            return Err(entry);
        };
        let at = usize::from(index);
        let deadline = entry.deadline();
        let (Some(place), Some(generation)) = (self.entries.get_mut(at), self.generations.get(at))
        else {
            return Err(entry);
        };
        let slot = Slot {
            index,
            generation: *generation,
        };
        *place = Some(entry);
        if let Some(place) = self.hashes.get_mut(at) {
            *place = hash;
        }
        self.set_deadline(at, deadline);
        Ok(slot)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        self.get(slot)?;
        let at = usize::from(slot.index);
        let entry = self.entries.get_mut(at)?.take();
        if let Some(generation) = self.generations.get_mut(at) {
            *generation = generation.wrapping_add(1);
        }
        self.set_deadline(at, None);
        self.free.push(slot.index);
        entry
    }

    /// The entry of a slot, unless it is gone.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let at = usize::from(slot.index);
        if self.generations.get(at) != Some(&slot.generation) {
            return None;
        }
        self.entries.get(at)?.as_ref()
    }

    /// Changes the entry of a slot, unless it is gone.
    pub fn update<R>(&mut self, slot: Slot, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let at = usize::from(slot.index);
        if self.generations.get(at) != Some(&slot.generation) {
            return None;
        }
        let entry = self.entries.get_mut(at)?.as_mut()?;
        let result = change(entry);
        let deadline = entry.deadline();
        self.set_deadline(at, deadline);
        Some(result)
    }

    /// The entry with that hash for which `matches` holds.
    pub fn find(&self, hash: u64, mut matches: impl FnMut(&T) -> bool) -> Option<Slot> {
        let places = self.hashes.iter().zip(&self.entries).enumerate();
        places
            .filter(|(_, (known, _))| **known == hash)
            .filter_map(|(at, (_, entry))| Some((at, entry.as_ref()?)))
            .find(|(_, entry)| matches(entry))
            .and_then(|(at, _)| self.slot(at))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(at, entry)| Some((self.slot(at)?, entry.as_ref()?)))
    }

    /// The earliest deadline of all.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines
            .iter()
            .min()
            .filter(|at| **at != NEVER)
            .copied()
    }

    /// An entry whose deadline has come: the one that waits longest.
    pub fn due(&self, now: Instant) -> Option<Slot> {
        let (at, _) = self
            .deadlines
            .iter()
            .enumerate()
            .filter(|(_, deadline)| **deadline != NEVER && **deadline <= now)
            .min_by_key(|(_, deadline)| **deadline)?;
        self.slot(at)
    }

    /// Panics when the arrays disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        let taken = self.entries.iter().flatten().count();
        assert_eq!(taken, self.len(), "entries and free places differ");
        for (entry, deadline) in self.entries.iter().zip(&self.deadlines) {
            let expected = entry.as_ref().and_then(Timed::deadline).unwrap_or(NEVER);
            assert_eq!(*deadline, expected, "a deadline is stale");
        }
    }

    fn slot(&self, at: usize) -> Option<Slot> {
        Some(Slot {
            index: u16::try_from(at).ok()?,
            generation: *self.generations.get(at)?,
        })
    }

    fn set_deadline(&mut self, at: usize, deadline: Option<Instant>) {
        if let Some(place) = self.deadlines.get_mut(at) {
            *place = deadline.unwrap_or(NEVER);
        }
    }
}

/// FNV-1a over several pieces, with their borders, from a secret start.
pub fn hash(secret: u64, pieces: &[&[u8]]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut state = 0xcbf2_9ce4_8422_2325 ^ secret;
    for piece in pieces {
        // 0xff is in no token, so that moving a byte over a border changes the hash.
        for byte in piece.iter().chain(&[0xff]) {
            state = (state ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
    state ^ (state >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for u64 {
        fn deadline(&self) -> Option<Instant> {
            (*self > 0).then(|| Instant::from_micros(*self))
        }
    }

    #[test]
    fn a_full_table_refuses_and_gives_the_entry_back() {
        let mut table = Table::new(2);
        table.insert(1, 10_u64).unwrap();
        let second = table.insert(2, 20).unwrap();
        assert_eq!(table.insert(3, 30), Err(30));
        assert_eq!(table.remove(second), Some(20));
        table.insert(3, 30).unwrap();
        assert_eq!(table.len(), 2);
        table.check_invariants();
    }

    #[test]
    fn an_old_slot_never_reaches_the_next_bearer() {
        let mut table = Table::new(1);
        let old = table.insert(1, 10_u64).unwrap();
        table.remove(old);
        let new = table.insert(1, 11).unwrap();
        assert_eq!(old.index, new.index);
        assert_eq!((table.get(old), table.get(new)), (None, Some(&11)));
        assert_eq!(table.remove(old), None);
        assert_eq!(table.update(old, |v| *v = 1), None);
    }

    #[test]
    fn equal_hashes_are_told_apart() {
        let mut table = Table::new(4);
        table.insert(7, 1_u64).unwrap();
        let b = table.insert(7, 2).unwrap();
        assert_eq!(table.find(7, |v| *v == 2), Some(b));
        assert_eq!(table.find(7, |v| *v == 3), None);
        assert_eq!(table.find(8, |_| true), None);
    }

    #[test]
    fn the_longest_waiting_entry_is_due_first() {
        let mut table = Table::new(4);
        let late = table.insert(0, 30_u64).unwrap();
        let early = table.insert(0, 20).unwrap();
        table.insert(0, 0).unwrap();
        assert_eq!(table.next_deadline(), Some(Instant::from_micros(20)));
        assert_eq!(table.due(Instant::from_micros(19)), None);
        assert_eq!(table.due(Instant::from_micros(40)), Some(early));
        table.update(early, |v| *v = 0);
        assert_eq!(table.due(Instant::from_micros(40)), Some(late));
        table.check_invariants();
    }

    #[test]
    fn the_borders_of_pieces_count() {
        assert_ne!(hash(1, &[b"ab", b"c"]), hash(1, &[b"a", b"bc"]));
        assert_ne!(hash(1, &[b"ab"]), hash(2, &[b"ab"]));
    }
}
