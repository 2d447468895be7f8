//! How the board is that this program runs on: `/proc` and `/sys` (proc(5), sysfs(5)), and the file
//! systems of the folders that matter.
//!
//! They are read by a thread of their own, on demand and at most every two seconds: a file system
//! that hangs holds up nothing but its own figures.

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

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{helper, process, sys};
use crate::gateway::config::Config;
use crate::gateway::outlet::{BoardFigures, MemoryFigures, StorageFigures};

/// How long figures are good.
const FRESH: Duration = Duration::from_secs(2);

/// Thermal zones that are looked at.
const ZONES: usize = 32;

/// Degrees that no part of a board that runs has.
const PLAUSIBLE: std::ops::RangeInclusive<i64> = -40_000..=150_000;

/// The folders whose file systems are told, each with what is kept there.
type Folders = Vec<(&'static str, String)>;

/// What is known of the board, and who finds it out.
pub struct Board {
    known: Arc<Mutex<BoardFigures>>,
    wanted: SyncSender<()>,
    asked: Instant,
}

impl Board {
    /// Begins to look, at once for the first time.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(config: &Config) -> io::Result<Self> {
        let recordings = config.recording.as_ref().map(|it| it.directory.clone());
        let folders: Folders = [
            ("recordings", recordings),
            ("state", config.state_directory.clone()),
            ("root", Some("/".to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, path)| Some((name, path?)))
        .collect();
        let known = Arc::new(Mutex::new(BoardFigures::default()));
        // One wish is as good as many.
        let (wanted, wishes) = sync_channel(1);
        let _ = wanted.try_send(());
        let shared = Arc::clone(&known);
        let work = move || look(&shared, &wishes, &folders);
        helper::start("board", 64 * 1_024, Box::new(work))?;
        Ok(Self {
            known,
            wanted,
            asked: Instant::now(),
        })
    }

    /// What was found lately; without waiting.
    pub fn figures(&mut self) -> BoardFigures {
        if self.asked.elapsed() >= FRESH {
            self.asked = Instant::now();
            // While it still looks for the last one, that is soon there.
            let _ = self.wanted.try_send(());
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

/// Looks when it is asked to, until nobody can ask any more.
fn look(known: &Mutex<BoardFigures>, wishes: &Receiver<()>, folders: &Folders) {
    while wishes.recv().is_ok() {
        let mut figures = BoardFigures {
            uptime: read("/proc/uptime").and_then(|text| uptime(&text)),
            load: read("/proc/loadavg").and_then(|text| load(&text)),
            temperature: temperature(),
            memory: read("/proc/meminfo").and_then(|text| memory(&text)),
            own: process::figures().map(|it| it.resident_bytes),
            storage: Vec::new(),
        };
        // What was known of the disks stays until they have answered.
        let mut shared = known.lock().unwrap_or_else(PoisonError::into_inner);
        figures.storage = std::mem::take(&mut shared.storage);
        *shared = figures;
        drop(shared);
        let storage: Vec<_> = folders.iter().filter_map(storage).collect();
        let mut shared = known.lock().unwrap_or_else(PoisonError::into_inner);
        shared.storage = storage;
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Whole seconds of `/proc/uptime`.
fn uptime(text: &str) -> Option<u64> {
    text.split(['.', ' ']).next()?.parse().ok()
}

/// The first of the three loads.
fn load(text: &str) -> Option<f32> {
    text.split(' ').next()?.parse().ok()
}

/// `/proc/meminfo`, which counts in kibibytes.
fn memory(text: &str) -> Option<MemoryFigures> {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1_024)
    };
    Some(MemoryFigures {
        total: field("MemTotal:")?,
        available: field("MemAvailable:")?,
    })
}

/// The highest of all thermal zones, in degrees Celsius.
fn temperature() -> Option<f32> {
    let zones = (0..ZONES).map(|zone| format!("/sys/class/thermal/thermal_zone{zone}/temp"));
    let found = zones.filter_map(|path| read(&path));
    hottest(found)
}

/// The highest of these readings in thousandths of a degree, to a tenth.
fn hottest(readings: impl Iterator<Item = String>) -> Option<f32> {
    let readings = readings.filter_map(|text| text.trim().parse::<i64>().ok());
    let hottest = readings.filter(|it| PLAUSIBLE.contains(it)).max()?;
    let tenths = i16::try_from(hottest.div_euclid(100)).ok()?;
    Some(f32::from(tenths) / 10.0)
}

fn storage((name, path): &(&'static str, String)) -> Option<StorageFigures> {
    let folder = File::open(path).ok()?;
    let (total, free) = sys::file_system_bytes(folder.as_fd()).ok()?;
    Some(StorageFigures {
        name,
        path: path.clone(),
        total,
        free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_the_system_writes_them() {
        assert_eq!(uptime("350735.47 234388.90\n"), Some(350_735));
        assert_eq!(load("0.12 0.44 0.33 1/123 4567\n"), Some(0.12));
        let text = "MemTotal:         948304 kB\nMemFree: 1 kB\nMemAvailable:     612340 kB\n";
        let wanted = MemoryFigures {
            total: 948_304 * 1_024,
            available: 612_340 * 1_024,
        };
        assert_eq!(memory(text), Some(wanted));
        assert_eq!(memory("MemTotal: 1 kB\n"), None);
        for odd in ["", "x", "\0", "-1"] {
            assert_eq!((uptime(odd), memory(odd)), (None, None));
        }
    }

    #[test]
    fn the_hottest_zone_counts_and_nonsense_does_not() {
        let of = |texts: &[&str]| hottest(texts.iter().map(|text| (*text).to_owned()));
        assert_eq!(of(&["41200\n", "48251\n", "0\n"]), Some(48.2));
        assert_eq!(of(&["-5200\n"]), Some(-5.2));
        assert_eq!(of(&["99999999", "-274000", "x", ""]), None);
    }

    #[test]
    fn the_board_is_known_soon_after_the_start() {
        let config = Config {
            state_directory: Some(std::env::temp_dir().display().to_string()),
            recording: None,
            ..Config::default()
        };
        let mut board = Board::start(&config).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let mut figures = board.figures();
        while figures.storage.is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
            figures = board.figures();
        }
        let names: Vec<_> = figures.storage.iter().map(|it| it.name).collect();
        assert_eq!(names, ["state", "root"]);
        assert!(
            figures
                .storage
                .iter()
                .all(|it| it.total >= it.free && it.total > 0)
        );
        assert!(figures.memory.is_some_and(|it| it.total > it.available));
        assert!(figures.uptime.is_some() && figures.load.is_some());
        assert!(figures.own.is_some_and(|own| own > 100_000));
    }
}
