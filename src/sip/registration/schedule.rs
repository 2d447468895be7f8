//! When a registration does something: refreshes, second tries and keep-alives.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::rng::Rng;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

/// The first wait after a failure; every further failure doubles it (RFC 5626 section 4.5).
const BACKOFF: Duration = Duration::from_secs(30);

/// The longest wait after a failure, and the wait after a wrong password: a PBX bans who tries often.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(30 * 60);

/// The registration is renewed at least this long before it runs out, where it is long enough.
const MARGIN: Duration = Duration::from_secs(30);

/// How long after its acceptance a registration of `expires` seconds is renewed: somewhere from half
/// of it to nine tenths, and never in the last half minute of one that lasts longer than a minute.
pub(super) fn refresh(expires: u32, rng: &mut Rng) -> Duration {
    let whole = Duration::from_secs(expires.into());
    let early = whole / 2;
    let late = (whole * 9 / 10)
        .min(whole.saturating_sub(MARGIN))
        .max(early);
    let spread = u32::try_from((late.saturating_sub(early)).as_millis()).unwrap_or(u32::MAX);
    let at = early + Duration::from_millis(rng.below(spread.saturating_add(1)).into());
    at.max(Duration::from_millis(500))
}

/// How long to wait after that many failures in a row, and no shorter than the registrar asked for.
pub(super) fn backoff(failures: u8, asked: Option<Duration>, rng: &mut Rng) -> Duration {
    let doubled = BACKOFF.saturating_mul(
        1_u32
            .checked_shl(failures.saturating_sub(1).into())
            .unwrap_or(u32::MAX),
    );
    let wait = rng
        .jitter(doubled.min(BACKOFF_MAX))
        .clamp(BACKOFF, BACKOFF_MAX);
    match asked {
        // Alone what it asked for, but not all at the same moment.
        Some(asked) => asked.min(BACKOFF_MAX) + Duration::from_millis(rng.below(2_000).into()),
        None => wait,
    }
}

/// How long until a refused password is tried again: never sooner than [`BACKOFF_MAX`].
pub(super) fn after_wrong_password(rng: &mut Rng) -> Duration {
    BACKOFF_MAX + Duration::from_secs(rng.below(300).into())
}

/// How long after the loss of its connection a registration is renewed.
pub(super) fn after_loss(rng: &mut Rng) -> Duration {
    Duration::from_millis(u64::from(rng.below(1_900)).saturating_add(100))
}

/// How long until a way is kept open by the next empty line (RFC 5626 section 4.4).
pub(super) fn keep_alive(rng: &mut Rng) -> Duration {
    Duration::from_millis(u64::from(rng.below(4_001)).saturating_add(25_000))
}

/// A Retry-After value: seconds, a comment or parameters behind them.
pub(in crate::sip) fn retry_after(value: Option<&[u8]>) -> Option<Duration> {
    let digits = value?.split(|b| !b.is_ascii_digit()).next()?;
    let seconds: u32 = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// The Min-Expires of a 423.
pub(super) fn min_expires(response: &SipMessage<'_>) -> Option<u32> {
    let value = response.headers().text(HeaderName::MinExpires)?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_comes_before_the_end_whatever_the_length() {
        let mut rng = Rng::from_number(3);
        for expires in [1, 2, 5, 20, 59, 60, 61, 90, 120, 3_600, 86_400, u32::MAX] {
            let whole = Duration::from_secs(expires.into());
            let mut seen = (Duration::MAX, Duration::ZERO);
            for _ in 0..300 {
                let at = refresh(expires, &mut rng);
                assert!(
                    at >= whole / 2 && at <= (whole * 9 / 10),
                    "{expires}: {at:?}"
                );
                assert!(expires < 60 || at + MARGIN <= whole, "{expires}: {at:?}");
                seen = (seen.0.min(at), seen.1.max(at));
            }
            assert!(expires <= 60 || seen.0 < seen.1, "{expires}: no jitter");
        }
    }

    #[test]
    fn waits_grow_from_half_a_minute_to_half_an_hour() {
        let mut rng = Rng::from_number(4);
        for (failures, least, most) in [
            (1, 30, 38),
            (2, 45, 75),
            (5, 360, 600),
            (7, 1_350, 1_800),
            (255, 1_350, 1_800),
        ] {
            for _ in 0..200 {
                let wait = backoff(failures, None, &mut rng).as_secs();
                assert!((least..=most).contains(&wait), "{failures}: {wait}");
            }
        }
        let asked = backoff(1, Some(Duration::from_secs(7)), &mut rng);
        assert!((7..=9).contains(&asked.as_secs()));
        let forever = backoff(1, Some(Duration::from_secs(u32::MAX.into())), &mut rng);
        assert!(forever <= BACKOFF_MAX + Duration::from_secs(2));
    }

    #[test]
    fn retry_after_is_read_with_its_comment() {
        let read = |value: &[u8]| retry_after(Some(value)).map(|d| d.as_secs());
        assert_eq!(read(b"120"), Some(120));
        assert_eq!(read(b"18 (in a meeting);duration=3600"), Some(18));
        assert_eq!(read(b"soon"), None);
        assert_eq!(read(b"99999999999"), None);
        assert_eq!(retry_after(None), None);
    }
}
