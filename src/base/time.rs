//! Moments and media times, as plain numbers.
//!
//! Nothing here reads a clock: the shell does, and hands an [`Instant`] down with every call.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment on the monotonic clock, in microseconds since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// A moment `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A moment `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` before this one; the start when that lies before it.
    pub fn before(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// The earlier of two optional moments; how deadlines are joined.
    pub fn earliest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A presentation time on a call's common media clock, in microseconds.
///
/// The clock of a call starts near zero with its first packet; audio and video share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The start of the call's media clock.
    pub const ZERO: Self = Self(0);

    /// A media time of `micros` microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds on the call's media clock.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Microseconds from `earlier` to here, negative when `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time moved by `micros` microseconds.
    pub const fn offset(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// A wall-clock moment as in RTCP sender reports: seconds since 1900 in the upper 32 bits and the
/// fraction in the lower (RFC 3550, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as reports echo them (LSR).
    pub const fn middle(self) -> u32 {
        ((self.0 >> 16) & 0xffff_ffff) as u32
    }

    /// Microseconds from `earlier` to here over the era's wrap (2036), as a signed number.
    pub fn micros_since(self, earlier: Self) -> i64 {
        let ticks = self.0.wrapping_sub(earlier.0) as i64;
        let micros = i128::from(ticks).saturating_mul(1_000_000) >> 32;
        i64::try_from(micros).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A reading of the wall clock, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime {
    seconds: u64,
    believable: bool,
}

impl WallTime {
    /// Before this moment no clock was right that this program has read: boards without a battery begin
    /// in 1970. It is when the program was built, where that is said (`SOURCE_DATE_EPOCH`), and the start
    /// of 2025 at least.
    const FIRST: u64 = later(1_735_689_600, option_env!("SOURCE_DATE_EPOCH"));

    /// A step of the clock by more than this against the time that passed means that it was set.
    const STEP: Duration = Duration::from_secs(60 * 60);

    /// A reading that is believed or not.
    pub const fn new(seconds: u64, believable: bool) -> Self {
        Self {
            seconds,
            believable,
        }
    }

    /// A reading of now.
    pub const fn from_unix(seconds: u64) -> Self {
        Self::new(seconds, seconds >= Self::FIRST)
    }

    /// Seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Whether the clock had been set when it was read.
    pub const fn is_believable(self) -> bool {
        self.believable
    }

    /// What the clock says when this time has passed.
    #[must_use]
    pub const fn after(self, time: Duration) -> Self {
        Self::from_unix(self.seconds.saturating_add(time.as_secs()))
    }

    /// Whether the clock was set, for it says this and would have said `expected`.
    pub fn is_set_after(self, expected: Self) -> bool {
        let became_believable = self.believable && !expected.believable;
        became_believable || self.since(expected).max(expected.since(self)) > Self::STEP
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.seconds.saturating_sub(earlier.seconds))
    }
}

/// The later of a moment and one in words; what is no number of seconds counts for nothing.
const fn later(first: u64, other: Option<&str>) -> u64 {
    let Some(text) = other else {
        return first;
    };
    match u64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > first => seconds,
        _ => first,
    }
}

impl From<NtpTime> for WallTime {
    /// Of the era that a moment of this century belongs to.
    fn from(time: NtpTime) -> Self {
        /// Seconds from 1900 to 1970.
        const UNIX: u64 = 2_208_988_800;
        let seconds = time.0 >> 32;
        let era = if seconds < UNIX { 1 << 32 } else { 0 };
        Self::from_unix(seconds.saturating_add(era).saturating_sub(UNIX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(
            late + Duration::from_secs(5),
            Instant::from_micros(u64::MAX)
        );
        assert_eq!(Instant::ZERO - late, Duration::ZERO);
    }

    #[test]
    fn a_clock_was_set_when_it_became_believable_or_made_a_long_step() {
        let at = WallTime::from_unix;
        let set = 1_900_000_000;
        assert!(at(set).is_set_after(at(7)));
        assert!(at(set + 3_601).is_set_after(at(set)));
        assert!(at(set).is_set_after(at(set + 3_601)));
        assert!(!at(set + 3_600).is_set_after(at(set)));
        assert!(!at(set).is_set_after(at(set + 5)));
        assert!(!at(8).is_set_after(at(7)));
    }

    #[test]
    fn the_build_may_say_since_when_clocks_are_believed() {
        assert_eq!(later(100, None), 100);
        assert_eq!(later(100, Some("99")), 100);
        assert_eq!(later(100, Some("101")), 101);
        assert_eq!(later(100, Some("soon")), 100);
    }

    #[test]
    fn ntp_difference_crosses_the_era() {
        let before = NtpTime(0xffff_ffff_8000_0000);
        let after = NtpTime(0x0000_0000_8000_0000);
        assert_eq!(after.micros_since(before), 1_000_000);
        assert_eq!(before.micros_since(after), -1_000_000);
    }

    #[test]
    fn the_wall_clock_is_read_over_the_era_and_doubted_before_2025() {
        let ntp = |seconds: u64| WallTime::from(NtpTime((seconds & 0xffff_ffff) << 32));
        assert_eq!(ntp(2_208_988_800), WallTime::from_unix(0));
        assert_eq!(ntp(2_208_988_800 + 1_735_689_600).seconds(), 1_735_689_600);
        // 2036: the count of NTP begins anew.
        assert_eq!(ntp(1 << 32).seconds(), (1 << 32) - 2_208_988_800);
        assert!(ntp(1 << 32).is_believable());
        assert!(!WallTime::from_unix(1_735_689_599).is_believable());
        let later = WallTime::from_unix(1_735_689_590).after(Duration::from_secs(10));
        assert!(later.is_believable());
        assert_eq!(later.since(WallTime::from_unix(0)).as_secs(), 1_735_689_600);
    }
}
