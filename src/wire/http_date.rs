//! The date of HTTP (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

const DAY_SECONDS: u64 = 86_400;

/// Days of 400 years of the Gregorian calendar.
const ERA_DAYS: u64 = 146_097;

/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH_DAYS: u64 = 719_468;

/// The last second of the year 9999, which four digits still hold.
const LAST: u64 = 253_402_300_799;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] = [
    "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
];

/// A moment in seconds since 1970; prints as a date. What is after the year 9999 prints as its end.
#[derive(Clone, Copy, Debug)]
pub struct HttpDate(pub u64);

impl fmt::Display for HttpDate {
    // No step overflows: the seconds are bounded.
    #[allow(clippy::arithmetic_side_effects)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(LAST);
        let (days, time) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
        let (year, month, day) = civil(days);
        let name = |names: &'static [&'static str], at: u64| -> &'static str {
            let name = usize::try_from(at).ok().and_then(|at| names.get(at));
            name.copied().unwrap_or_default()
        };
        write!(
            f,
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            name(&DAYS, days % 7),
            name(&MONTHS, month),
            time / 3_600,
            time / 60 % 60,
            time % 60
        )
    }
}

/// A moment in seconds since 1970; prints as `1994-11-06-08-49-37`, which sorts by time and has no
/// character that a file name could not have.
#[derive(Clone, Copy, Debug)]
pub struct FileDate(pub u64);

impl fmt::Display for FileDate {
    // No step overflows: the seconds are bounded.
    #[allow(clippy::arithmetic_side_effects)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(LAST);
        let time = seconds % DAY_SECONDS;
        let (year, month, day) = civil(seconds / DAY_SECONDS);
        let month = (month + 2) % 12 + 1;
        let (hours, minutes) = (time / 3_600, time / 60 % 60);
        let seconds = time % 60;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}-{hours:02}-{minutes:02}-{seconds:02}"
        )
    }
}

/// Year, month from March on as 0, and day of the month of a day since 1970.
// Years are counted from March, so that the leap day is the last one. No step overflows: the days
// are bounded.
#[allow(clippy::arithmetic_side_effects)]
fn civil(days: u64) -> (u64, u64, u64) {
    let since_march = days + EPOCH_DAYS;
    let (era, day) = (since_march / ERA_DAYS, since_march % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    (era * 400 + year + u64::from(month >= 10), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate(seconds).to_string(), date);
        }
    }
    #[test]
    fn dates_of_file_names_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01-00-00-00"),
            (784_111_777, "1994-11-06-08-49-37"),
            (951_782_400, "2000-02-29-00-00-00"),
            (1_735_689_599, "2024-12-31-23-59-59"),
            (4_107_542_400, "2100-03-01-00-00-00"),
            (u64::MAX, "9999-12-31-23-59-59"),
        ] {
            assert_eq!(FileDate(seconds).to_string(), date);
        }
    }
}
