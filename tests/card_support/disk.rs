//! The card as a file of a test's own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{built, folder};
use crate::support::program::run;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// A card with the image flashed onto it; gone with the value unless the test fails.
pub struct Disk {
    path: PathBuf,
}

/// A partition of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its label in the table.
    pub label: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Disk {
    /// Flashes the built image onto a card that has `room` bytes more than the image.
    pub fn flash(name: &str, room: u64) -> Self {
        Self::flash_file("card.img", name, room)
    }

    /// The same with another image that was built.
    pub fn flash_file(image: &str, name: &str, room: u64) -> Self {
        let disk = Self::copy_of(&built(image), name);
        let file = disk.open();
        let size = file.metadata().expect("a file").len();
        file.set_len(size + room).expect("a file can have a hole");
        disk
    }

    /// A card with the same content as a file.
    pub fn copy_of(source: &Path, name: &str) -> Self {
        // Beside the image, as a card does not fit into every temporary folder.
        let path = folder().join(format!("test-{}-{name}.img", std::process::id()));
        run(Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(source)
            .arg(&path));
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, open for reading and writing.
    pub fn open(&self) -> File {
        let file = File::options().read(true).write(true).open(&self.path);
        file.expect("the test's own file")
    }

    /// The partitions of its table (GPT: UEFI specification 5.3).
    pub fn partitions(&self) -> Vec<Partition> {
        let mut table = [0; 128 * 128];
        let file = self.open();
        let read = file.read_exact_at(&mut table, 2 * SECTOR);
        read.expect("a card is larger than its table");
        table.chunks(128).filter_map(partition).collect()
    }

    /// The partition with a label.
    pub fn partition(&self, label: &str) -> Partition {
        let all = self.partitions();
        let found = all.iter().find(|partition| partition.label == label);
        found
            .unwrap_or_else(|| panic!("no partition {label}: {all:?}"))
            .clone()
    }

    /// Takes the content of a partition out into a file.
    pub fn take_out(&self, partition: &Partition, to: &Path) {
        run(Command::new("dd")
            .arg(format!("if={}", self.path.display()))
            .arg(format!("of={}", to.display()))
            .args(["bs=1M", "conv=sparse", "iflag=skip_bytes,count_bytes"])
            .args([format!("skip={}", partition.start)])
            .args([format!("count={}", partition.size), "status=none".into()]));
    }

    /// Writes bytes over what is at a place.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.open().write_all_at(bytes, at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failed test's card is kept: {}", self.path.display());
        } else {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// One entry of a table, if it is in use.
fn partition(entry: &[u8]) -> Option<Partition> {
    let number = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
    let (first, last) = (number(32)?, number(40)?);
    if entry.get(..16)?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let name = entry.get(56..128)?.chunks(2);
    let name: Vec<u16> = name
        .map(|two| u16::from_le_bytes([two[0], two[1]]))
        .collect();
    let label = String::from_utf16_lossy(&name);
    Some(Partition {
        label: label.trim_end_matches('\0').to_owned(),
        start: first * SECTOR,
        size: (last + 1 - first) * SECTOR,
    })
}
