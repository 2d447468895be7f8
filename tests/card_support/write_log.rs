//! What a card is after a power cut, from the record of all writes to it.
//!
//! QEMU's `blklogwrites` records them in the form of Linux' dm-log-writes: a superblock, then entries of
//! one sector each with their data behind. Between two flushes a card may have done any of the writes, in
//! any order, and torn the one under way; what came before the last flush it has done. So a cut is: all
//! of the writes up to a flush, and of those after it as many as chance will have.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::disk::{Disk, SECTOR};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// One entry of the record.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Place and length on the card, in bytes.
    at: u64,
    length: u64,
    /// Where its data is in the record; none of a flush or of what was thrown away.
    data: Option<u64>,
    is_flush: bool,
    /// Where the record goes on after it.
    end: u64,
}

/// A record of writes.
pub struct WriteLog {
    file: File,
    entries: Vec<Entry>,
}

/// Chance that is the same every time: SplitMix64.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

impl WriteLog {
    /// Reads the record of a machine that is off.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).expect("QEMU recorded the writes");
        let size = file.metadata().expect("a file").len();
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while let Some(entry) = entry(&file, at, size) {
            at = entry.end;
            entries.push(entry);
        }
        let [magic, version] = numbers(&file, 0).expect("a record has a superblock");
        assert_eq!((magic, version), (MAGIC, 1), "no record of writes");
        Self { file, entries }
    }

    /// How many writes and flushes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many flushes.
    pub fn flushes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_flush).count()
    }

    /// Number of the first entry that was not there yet when the record had `size` bytes.
    pub fn entry_after(&self, size: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= size)
    }

    /// Number of the last flush before an entry, 0 without one.
    pub fn flushed_before(&self, entry: usize) -> usize {
        let before = self.entries.get(..entry).unwrap_or_default();
        before.iter().rposition(|entry| entry.is_flush).unwrap_or(0)
    }

    /// Numbers of the writes, from an entry on, to a sector of the card, each with what it put there.
    pub fn writes_to(&self, place: u64, from: usize) -> Vec<(usize, [u8; 512])> {
        let all = self.entries.iter().enumerate().skip(from);
        all.filter_map(|(number, entry)| {
            let within = place.checked_sub(entry.at)?;
            let data = entry.data.filter(|_| within < entry.length)?;
            let mut sector = [0; 512];
            let read = self.file.read_exact_at(&mut sector, data + within);
            read.expect("the record holds what its entries say");
            Some((number, sector))
        })
        .collect()
    }

    /// Does the writes `from..to` to a card.
    pub fn apply(&self, disk: &Disk, from: usize, to: usize) {
        let card = disk.open();
        for entry in &self.entries[from..to] {
            self.write(&card, entry, entry.length);
        }
    }

    /// Does some of the writes `from..to` to a card, torn where chance has it so.
    pub fn apply_some(&self, disk: &Disk, from: usize, to: usize, chance: &mut Chance) {
        let card = disk.open();
        for entry in &self.entries[from..to] {
            let sectors = entry.length / SECTOR;
            match chance.below(8) {
                0..4 => self.write(&card, entry, entry.length),
                4 => self.write(&card, entry, chance.below(sectors) * SECTOR),
                _ => {}
            }
        }
    }

    fn write(&self, card: &File, entry: &Entry, length: u64) {
        let Some(data) = entry.data else { return };
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_exact_at(&mut bytes, data);
        read.expect("the record holds what its entries say");
        card.write_all_at(&bytes, entry.at).expect("the test's own");
    }
}

/// The entry at a place of the record, if it is there whole.
fn entry(file: &File, at: u64, size: u64) -> Option<Entry> {
    let [sector, sectors, flags, _] = numbers(file, at)?;
    if sectors == 0 && flags == 0 {
        return None;
    }
    let length = sectors.checked_mul(SECTOR)?;
    let has_data = flags & DISCARD == 0 && length > 0;
    let end = at + SECTOR + if has_data { length } else { 0 };
    (end <= size).then_some(Entry {
        at: sector * SECTOR,
        length,
        data: has_data.then_some(at + SECTOR),
        is_flush: flags & FLUSH != 0,
        end,
    })
}

fn numbers<const N: usize>(file: &File, at: u64) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for (place, number) in numbers.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at + place as u64 * 8).ok()?;
        *number = u64::from_le_bytes(bytes);
    }
    Some(numbers)
}
