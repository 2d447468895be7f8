//! The process clock: the only place that reads one.

use std::path::Path;
use std::time::{Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use crate::base::time::{Instant, NtpTime, WallTime};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// Where systemd-timesyncd says whether it has set the clock since the machine started. The system call
/// that would tell, adjtimex, is not for a program in our sandbox.
const TIME_SYNC: &str = "/run/systemd/timesync";

/// Monotonic time since start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: SystemInstant,
    epoch: NtpTime,
}

impl Clock {
    /// A clock whose zero is now.
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = unix.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        Self {
            start: SystemInstant::now(),
            epoch: NtpTime(seconds << 32 | fraction),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    /// What the wall clock says now, in seconds since 1970; 0 for a time before.
    pub fn unix_seconds() -> u64 {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        unix.unwrap_or_default().as_secs()
    }

    /// What the wall clock says now. It is not believed while `systemd-timesyncd` runs and has not set it: a
    /// board without a battery starts at the date of its system. For words after a failure; looks at files.
    pub fn wall() -> WallTime {
        let seconds = Self::unix_seconds();
        if is_synchronised(Path::new(TIME_SYNC)) {
            WallTime::from_unix(seconds)
        } else {
            WallTime::new(seconds, false)
        }
    }

    /// The wall-clock time at [`Instant::ZERO`]; later steps of the wall clock do not move it.
    pub fn epoch(&self) -> NtpTime {
        self.epoch
    }
}

/// Whether nothing in this folder says that the clock is still to be set.
fn is_synchronised(folder: &Path) -> bool {
    !folder.is_dir() || folder.join("synchronized").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_clock_is_doubted_only_while_a_time_service_is_there_that_has_not_set_it() {
        let folder = std::env::temp_dir().join(format!("trunkcast-clock-{}", std::process::id()));
        let without = is_synchronised(&folder);
        fs::create_dir_all(&folder).unwrap();
        let waiting = is_synchronised(&folder);
        fs::write(folder.join("synchronized"), "").unwrap();
        let done = is_synchronised(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!([without, waiting, done], [true, false, true]);
    }
}
