//! A small journal of records that outlive a power cut: what its file holds, byte for byte.
//!
//! The file is a row of [`JOURNAL_SLOTS`] slots of [`JOURNAL_SLOT_BYTES`]. A slot is one record
//! with a running number, the name of what it is about, and a CRC-32C, in postcard's form behind a
//! version. Of records about the same thing the newest counts; an empty one says that the thing is
//! forgotten. A new record goes over the oldest slot that no longer counts, so that a write that is
//! cut short costs nothing that was there before. What cannot be read is free room: a file of
//! another size, a torn slot and a flipped bit are no errors.
//!
//! Nothing here touches a file: [`Journal::put`] says which bytes belong where. What the records
//! mean is their owner's matter.

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

use crc::{CRC_32_ISCSI, Crc};
use heapless::Vec as FixedVec;
use serde::{Deserialize, Serialize};

use crate::limits::{JOURNAL_RECORD_BYTES, JOURNAL_SLOT_BYTES, JOURNAL_SLOTS};

/// Bytes of the whole file.
pub const JOURNAL_BYTES: usize = JOURNAL_SLOTS * JOURNAL_SLOT_BYTES;

/// CRC-32C.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// A slot as stored. Variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum Slot<'a> {
    V1(#[serde(borrow)] SlotV1<'a>),
}

#[derive(Serialize, Deserialize)]
struct SlotV1<'a> {
    number: u64,
    about: u64,
    record: &'a [u8],
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name of what it is about: a newer record of the same name stands in its place.
    pub about: u64,
    /// What its owner wrote.
    pub bytes: FixedVec<u8, JOURNAL_RECORD_BYTES>,
}

/// Bytes for the journal's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotWrite {
    /// Where they belong, from the start of the file.
    pub offset: u64,
    /// A whole slot.
    pub bytes: [u8; JOURNAL_SLOT_BYTES],
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// 0 for a slot without a record.
    number: u64,
    about: u64,
    /// Whether its record says that the thing is forgotten.
    empty: bool,
}

/// The journal: which slot holds what.
#[derive(Clone, Debug)]
pub struct Journal {
    places: [Place; JOURNAL_SLOTS],
    newest: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            places: [Place::default(); JOURNAL_SLOTS],
            newest: 0,
        }
    }
}

impl Journal {
    /// Reads the file of an earlier run; with the records that count, oldest first.
    pub fn read(file: &[u8]) -> (Self, Vec<Record>) {
        let mut journal = Self::default();
        let slots = file.chunks_exact(JOURNAL_SLOT_BYTES);
        for (place, bytes) in journal.places.iter_mut().zip(slots.clone()) {
            if let Some(slot) = decode(bytes) {
                *place = Place {
                    number: slot.number,
                    about: slot.about,
                    empty: slot.record.is_empty(),
                };
                journal.newest = journal.newest.max(slot.number);
            }
        }
        let mut found: Vec<(u64, Record)> = Vec::new();
        for (place, bytes) in journal.places.iter().zip(slots) {
            if place.number == 0 || place.empty || !journal.is_newest(place) {
                continue;
            }
            if let Some(slot) = decode(bytes)
                && let Ok(bytes) = FixedVec::from_slice(slot.record)
            {
                let about = slot.about;
                found.push((slot.number, Record { about, bytes }));
            }
        }
        found.sort_by_key(|(number, _)| *number);
        let records = found.into_iter().map(|(_, record)| record).collect();
        (journal, records)
    }

    /// Takes a record in, in place of an older one about the same thing; an empty one forgets the
    /// thing. `None` for a record that is longer than [`JOURNAL_RECORD_BYTES`].
    ///
    /// When every slot counts, the record that was written longest ago is given up.
    pub fn put(&mut self, about: u64, record: &[u8]) -> Option<SlotWrite> {
        if record.len() > JOURNAL_RECORD_BYTES {
            return None;
        }
        let number = self.newest.checked_add(1)?;
        let slot = Slot::V1(SlotV1 {
            number,
            about,
            record,
        });
        let mut bytes = [0; JOURNAL_SLOT_BYTES];
        postcard::to_slice_crc32(&slot, &mut bytes, CRC.digest()).ok()?;
        let at = self.victim();
        *self.places.get_mut(at)? = Place {
            number,
            about,
            empty: record.is_empty(),
        };
        self.newest = number;
        let offset = at.checked_mul(JOURNAL_SLOT_BYTES)? as u64;
        Some(SlotWrite { offset, bytes })
    }

    /// The slot that the next record goes to: the oldest that does not count, or of all.
    fn victim(&self) -> usize {
        let oldest = |counts: bool| {
            self.places
                .iter()
                .enumerate()
                .filter(move |(_, place)| self.counts(place) == counts)
                .min_by_key(|(_, place)| place.number)
                .map(|(at, _)| at)
        };
        oldest(false).or_else(|| oldest(true)).unwrap_or(0)
    }

    /// Whether a slot must not be written over: it holds the newest record about something, and
    /// where that record is empty, an older one would come back without it.
    fn counts(&self, place: &Place) -> bool {
        let older = || {
            let same = |other: &&Place| other.about == place.about && other.number != 0;
            self.places.iter().filter(same).count() > 1
        };
        place.number != 0 && self.is_newest(place) && (!place.empty || older())
    }

    fn is_newest(&self, place: &Place) -> bool {
        !self
            .places
            .iter()
            .any(|other| other.about == place.about && other.number > place.number)
    }
}

/// The record of a slot; a number of 0 is none.
fn decode(bytes: &[u8]) -> Option<SlotV1<'_>> {
    let Slot::V1(slot) = postcard::from_bytes_crc32(bytes, CRC.digest()).ok()?;
    let fits = slot.record.len() <= JOURNAL_RECORD_BYTES;
    (fits && slot.number != 0 && slot.number != u64::MAX).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// A file as the shell keeps it.
    #[derive(Clone)]
    struct File(Vec<u8>);

    impl File {
        fn new() -> Self {
            Self(vec![0; JOURNAL_BYTES])
        }

        fn write(&mut self, write: &SlotWrite) {
            let at = write.offset as usize;
            self.0[at..at + JOURNAL_SLOT_BYTES].copy_from_slice(&write.bytes);
        }

        fn records(&self) -> Vec<(u64, Vec<u8>)> {
            let (_, records) = Journal::read(&self.0);
            let plain = |record: Record| (record.about, record.bytes.to_vec());
            records.into_iter().map(plain).collect()
        }
    }

    #[test]
    fn the_newest_record_about_a_thing_counts() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        for (about, record) in [(7, "one"), (8, "two"), (7, "three")] {
            file.write(&journal.put(about, record.as_bytes()).unwrap());
        }
        assert_eq!(
            file.records(),
            [(8, b"two".to_vec()), (7, b"three".to_vec())]
        );
        file.write(&journal.put(8, b"").unwrap());
        assert_eq!(file.records(), [(7, b"three".to_vec())]);
        assert_eq!(journal.put(9, &[0; JOURNAL_RECORD_BYTES + 1]), None);
    }

    #[test]
    fn records_of_the_first_version_stay_readable() {
        let written = [
            0x00, 0x01, 0xac, 0x02, 0x03, b'a', b'b', b'c', 0xdd, 0xda, 0x0b, 0xeb,
        ];
        let mut file = File::new();
        file.0[..written.len()].copy_from_slice(&written);
        assert_eq!(file.records(), [(300, b"abc".to_vec())]);
        let write = Journal::default().put(300, b"abc").unwrap();
        assert_eq!(write.bytes[..written.len()], written);
    }

    #[test]
    fn a_power_cut_at_any_byte_of_a_write_leaves_the_old_or_the_new() {
        // Every slot has been used before, so that a cut leaves a mixture of two records.
        let (mut journal, mut file) = (Journal::default(), File::new());
        for round in 0..JOURNAL_SLOTS as u64 {
            let long = vec![round as u8; JOURNAL_RECORD_BYTES];
            file.write(&journal.put(round % 5, &long).unwrap());
        }
        let before = file.records();
        let write = journal.put(3, b"new").unwrap();
        for cut in 0..=JOURNAL_SLOT_BYTES {
            let mut torn = file.clone();
            let at = write.offset as usize;
            torn.0[at..at + cut].copy_from_slice(&write.bytes[..cut]);
            let records = torn.records();
            let of_others = |records: &[(u64, Vec<u8>)]| -> Vec<(u64, Vec<u8>)> {
                records.iter().filter(|r| r.0 != 3).cloned().collect()
            };
            assert_eq!(of_others(&records), of_others(&before), "cut at {cut}");
            let of_it = records.iter().find(|r| r.0 == 3).cloned().unwrap();
            let old = before.iter().find(|r| r.0 == 3).cloned().unwrap();
            assert!(of_it == old || of_it.1 == b"new", "cut at {cut}: {of_it:?}");
            // And writing goes on.
            let (mut later, _) = Journal::read(&torn.0);
            torn.write(&later.put(3, b"later").unwrap());
            assert!(torn.records().contains(&(3, b"later".to_vec())));
        }
    }

    #[test]
    fn no_flipped_bit_passes_for_a_record() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        let write = journal.put(5, b"what was learned").unwrap();
        file.write(&write);
        let used = write.bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for bit in 0..used * 8 {
            let mut flipped = file.clone();
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(flipped.records(), [], "bit {bit}");
        }
    }

    #[test]
    fn what_counts_is_never_written_over_while_other_room_is_left() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        file.write(&journal.put(1, b"kept").unwrap());
        for round in 0..10 * JOURNAL_SLOTS {
            file.write(&journal.put(2, &round.to_le_bytes()).unwrap());
        }
        let last = (10 * JOURNAL_SLOTS - 1).to_le_bytes().to_vec();
        assert_eq!(file.records(), [(1, b"kept".to_vec()), (2, last)]);
    }

    #[test]
    fn a_full_journal_gives_up_what_is_oldest() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        for about in 0..JOURNAL_SLOTS as u64 + 3 {
            file.write(&journal.put(about, b"x").unwrap());
        }
        let about: Vec<u64> = file.records().into_iter().map(|r| r.0).collect();
        assert_eq!(about, Vec::from_iter(3..JOURNAL_SLOTS as u64 + 3));
    }

    #[test]
    fn what_was_forgotten_does_not_come_back() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        file.write(&journal.put(1, b"old").unwrap());
        file.write(&journal.put(1, b"").unwrap());
        for about in 100..100 + 3 * JOURNAL_SLOTS as u64 {
            file.write(&journal.put(about, b"x").unwrap());
            assert!(file.records().iter().all(|record| record.0 != 1), "{about}");
            (journal, _) = Journal::read(&file.0);
        }
    }

    #[test]
    fn files_of_other_sizes_and_contents_are_free_room() {
        let (mut journal, mut file) = (Journal::default(), File::new());
        file.write(&journal.put(1, b"one").unwrap());
        file.write(&journal.put(2, b"two").unwrap());
        for length in 0..=2 * JOURNAL_SLOT_BYTES {
            let (_, records) = Journal::read(&file.0[..length]);
            assert_eq!(records.len(), length / JOURNAL_SLOT_BYTES, "{length}");
        }
        let mut long = file.0.clone();
        long.extend([0; JOURNAL_BYTES]);
        assert_eq!(Journal::read(&long).1.len(), 2);
        let mut rng = Rng::from_number(7);
        for _ in 0..200 {
            let mut garbage = File::new();
            rng.fill(&mut garbage.0);
            let (mut journal, records) = Journal::read(&garbage.0);
            assert_eq!(records, []);
            garbage.write(&journal.put(9, b"fresh").unwrap());
            assert_eq!(garbage.records(), [(9, b"fresh".to_vec())]);
        }
    }
}
