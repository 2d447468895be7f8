//! The process clock: the only place that reads one.

use std::time::{Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use crate::base::time::{Instant, NtpTime};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

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

    /// The wall-clock time at [`Instant::ZERO`]; later steps of the wall clock do not move it.
    pub fn epoch(&self) -> NtpTime {
        self.epoch
    }
}
