//! Where recordings go, what they are called, and how much room they get.

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

use core::str::FromStr;
use core::time::Duration;

use super::value::Expected;
use crate::gateway::recording::name::Template;

/// Bytes of the smallest file that a rotation by size may make.
const LEAST_BYTES: u64 = 65_536;

/// Seconds of the shortest file that a rotation by time may make.
const LEAST_SECONDS: u64 = 5;

/// Seconds of the longest: a week.
const MOST_SECONDS: u64 = 604_800;

/// The recordings of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Folder of the files.
    pub directory: String,
    /// Mebibytes that stay free on the disk.
    pub min_free_mib: u64,
    /// Mebibytes that all recordings may take, if that is bounded.
    pub max_mib: Option<u64>,
    /// What gives way when there is no room.
    pub when_full: WhenFull,
    /// What files are called, unless a request says otherwise.
    pub template: Template,
    /// When a file ends and the next one begins, if ever before the call does.
    pub rotation: Option<Rotation>,
    /// Whether every call is recorded whose trunk does not say otherwise.
    pub all: bool,
}

impl Recording {
    /// Mebibytes that stay free, unless the file says otherwise.
    pub const MIN_FREE_MIB: u64 = 512;

    /// Recordings in a folder, with the defaults of everything else.
    pub fn new(directory: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            min_free_mib: Self::MIN_FREE_MIB,
            max_mib: None,
            when_full: WhenFull::Oldest,
            template: Template::default(),
            rotation: None,
            all: false,
        }
    }

    /// Whether some of what is new takes effect with the next start only.
    pub fn needs_start(&self, new: &Self) -> bool {
        let kept = |it: &Self| (it.min_free_mib, it.max_mib, it.when_full);
        self.directory != new.directory || kept(self) != kept(new)
    }
}

/// What gives way when there is no room for a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest recordings that are finished.
    Oldest,
    /// The recording itself.
    Stop,
}

impl FromStr for WhenFull {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "stop" => Ok(Self::Stop),
            _ => Err(Expected::new(
                "oldest, to delete the oldest recordings, or stop, to record no more",
            )),
        }
    }
}

/// When a file ends and the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// At so many bytes.
    Bytes(u64),
    /// After so much media.
    Time(Duration),
}

/// `20M` is a size, with K, M or G; a number alone is seconds.
impl FromStr for Rotation {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let expected = || {
            Expected::new(format!(
                "a size such as 20M, from 64K, or {LEAST_SECONDS} to {MOST_SECONDS} seconds"
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
        let number: u64 = number.parse().map_err(|_| expected())?;
        let bytes = |shift: u32| {
            let bytes = number.checked_mul(1_u64.checked_shl(shift)?)?;
            (bytes >= LEAST_BYTES).then_some(Self::Bytes(bytes))
        };
        let rotation = match unit {
            "K" | "k" => bytes(10),
            "M" | "m" => bytes(20),
            "G" | "g" => bytes(30),
            "" if (LEAST_SECONDS..=MOST_SECONDS).contains(&number) => {
                Some(Self::Time(Duration::from_secs(number)))
            }
            _ => None,
        };
        rotation.ok_or_else(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_a_size_or_seconds() {
        let read = |text: &str| text.parse::<Rotation>().ok();
        assert_eq!(read("20M"), Some(Rotation::Bytes(20 << 20)));
        assert_eq!(read("64k"), Some(Rotation::Bytes(65_536)));
        assert_eq!(read("1G"), Some(Rotation::Bytes(1 << 30)));
        assert_eq!(read("60"), Some(Rotation::Time(Duration::from_secs(60))));
        for wrong in [
            "",
            "M",
            "0",
            "4",
            "604801",
            "63K",
            "-5",
            "20MB",
            "20 M",
            "99999999999G",
            "1é",
            "0x20",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
