//! Session timers (RFC 4028): how long a call lasts without a refresh, and who refreshes it.
//!
//! [`asked`] is the side that is asked, [`agreed`] the side that asks; both serve INVITE, re-INVITE and
//! UPDATE in either direction. The refresher refreshes at half the
//! interval; the other side gives the call up a third of the interval, at most 32 s, before its end.

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

use rsip::Header;

use crate::base::time::Instant;
use crate::wire::sip_index::SipHeaders;
use crate::wire::sip_name::HeaderName;

/// The least interval that there may be, and the Min-SE of a message without one (section 4 and 5).
const LEAST_SECONDS: u32 = 90;

/// Shorter intervals of peers that break the rule are stretched to this, so that refreshes stay few.
const SHORTEST_SECONDS: u32 = 30;

/// Longer intervals than a day are none: they would notice nothing in time.
const LONGEST_SECONDS: u32 = 86_400;

/// How long before the end the side that does not refresh gives the call up, at most (section 10).
const GIVE_UP: Duration = Duration::from_secs(32);

/// The least time from a refresh that was refused to the next.
const RETRY: Duration = Duration::from_secs(5);

/// What an endpoint wants of session timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// Seconds that a session lasts without a refresh, as we ask for.
    pub expires: u32,
    /// Seconds that we agree to at least.
    pub min: u32,
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self {
            expires: 1_800,
            min: LEAST_SECONDS,
        }
    }
}

/// What was agreed in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Seconds.
    pub(super) interval: u32,
    /// Whether it is we who refresh.
    pub(super) we_refresh: bool,
    /// Whether the peer has to know of it: its 2xx requires `timer`.
    pub(super) require: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: the session does not expire.
    Off,
    /// This is to be in the 2xx.
    On(Agreed),
    /// To be refused with 422 and this Min-SE.
    TooSmall(u32),
}

/// The timer of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionTimer {
    interval: u32,
    we_refresh: bool,
    /// When the next refresh of ours is due.
    refresh: Instant,
    /// When the call is given up.
    until: Instant,
    /// The Min-SE that a 422 taught.
    min: u32,
}

/// What came of a timer's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerDue {
    /// A refresh of ours is to go.
    Refresh,
    /// The call is to be ended.
    Expired,
}

impl Agreed {
    /// The headers of the 2xx.
    pub(super) fn headers(self) -> impl Iterator<Item = Header> {
        let refresher = if self.we_refresh { "uas" } else { "uac" };
        let expires = format!("{};refresher={refresher}", self.interval);
        let require = self.require.then(|| Header::Require("timer".into()));
        require
            .into_iter()
            .chain([Header::Other("Session-Expires".into(), expires)])
    }
}

impl SessionTimer {
    /// A timer that starts with a 2xx.
    pub(super) fn start(now: Instant, agreed: Agreed, min: u32) -> Self {
        let interval = Duration::from_secs(u64::from(agreed.interval.max(SHORTEST_SECONDS)));
        let give_up = interval.checked_div(3).unwrap_or_default().min(GIVE_UP);
        Self {
            interval: agreed.interval,
            we_refresh: agreed.we_refresh,
            refresh: now + interval.checked_div(2).unwrap_or_default(),
            until: now + interval.saturating_sub(give_up),
            min,
        }
    }

    /// Whether an interval is one that a timer is worth.
    pub(super) fn is_worth(agreed: &Agreed) -> bool {
        agreed.interval <= LONGEST_SECONDS
    }

    /// The headers of a request of ours that refreshes the session.
    pub(super) fn request(&self) -> Vec<Header> {
        // In this transaction it is we who are the user agent client.
        let refresher = if self.we_refresh { "uac" } else { "uas" };
        let value = format!("{};refresher={refresher}", self.interval.max(self.min));
        let mut headers = vec![Header::Other("Session-Expires".into(), value)];
        if self.min > LEAST_SECONDS {
            headers.push(Header::Other("Min-SE".into(), self.min.to_string()));
        }
        headers
    }

    /// Whether it is we who refresh.
    pub(super) fn we_refresh(&self) -> bool {
        self.we_refresh
    }

    /// The least interval that the other side is known to take.
    pub(super) fn min(&self) -> u32 {
        self.min
    }

    /// A 422 came with this Min-SE: the next refresh asks for as much, and is due. False when that was
    /// done before.
    pub(super) fn raise(&mut self, now: Instant, min: u32) -> bool {
        let is_news = min > self.min.max(self.interval);
        if is_news {
            self.min = min;
            self.refresh = now;
        } else {
            self.refused(now);
        }
        is_news
    }

    /// A refresh of ours is to go at once.
    pub(super) fn due(&mut self, now: Instant) {
        self.refresh = now;
    }

    /// A refresh of ours was refused: another one is due halfway to the end.
    pub(super) fn refused(&mut self, now: Instant) {
        let left = self.until.since(now).checked_div(2).unwrap_or_default();
        self.refresh = now + left.max(RETRY);
    }

    pub(super) fn deadline(&self) -> Instant {
        if self.we_refresh {
            self.refresh.min(self.until)
        } else {
            self.until
        }
    }

    /// A deadline came. After `Refresh` the next thing due is the end, unless the refresh succeeds.
    pub(super) fn timed_out(&mut self, now: Instant) -> Option<TimerDue> {
        if now >= self.until {
            return Some(TimerDue::Expired);
        }
        if self.we_refresh && now >= self.refresh {
            self.refresh = self.until;
            return Some(TimerDue::Refresh);
        }
        None
    }
}

/// What the request of a peer asks for (section 9). `peer_updates` tells whether it takes UPDATE, and
/// `we_refresh` who refreshes now.
pub(super) fn asked(
    timers: Option<SessionTimers>,
    headers: &SipHeaders<'_>,
    peer_updates: bool,
    we_refresh: Option<bool>,
) -> Asked {
    let Some(timers) = timers else {
        return Asked::Off;
    };
    let supports = headers.has_token(HeaderName::Supported, "timer")
        || headers.has_token(HeaderName::Require, "timer");
    let min = min_se(headers).unwrap_or(LEAST_SECONDS);
    let (interval, refresher) = match session_expires(headers) {
        // Only who supports the timer understands 422.
        Some((interval, _)) if interval < timers.min && supports => {
            return Asked::TooSmall(timers.min);
        }
        Some((interval, refresher)) => {
            let most = timers.expires.max(min).max(timers.min);
            (interval.min(most), refresher)
        }
        None if supports => (timers.expires.max(min).max(timers.min), None),
        None => return Asked::Off,
    };
    // Table 2 of section 9: without support the peer cannot refresh. With it and without a wish the
    // role stays, and begins with us where a refresh costs no re-INVITE.
    let we_refresh = match refresher {
        _ if !supports => true,
        Some(Refresher::Uas) => true,
        Some(Refresher::Uac) => false,
        None => we_refresh.unwrap_or(peer_updates),
    };
    Asked::On(Agreed {
        interval,
        we_refresh,
        require: supports,
    })
}

/// What the 2xx to a request of ours agrees to (section 7.2).
pub(super) fn agreed(timers: Option<SessionTimers>, headers: &SipHeaders<'_>) -> Option<Agreed> {
    timers?;
    let (interval, refresher) = session_expires(headers)?;
    Some(Agreed {
        interval,
        we_refresh: refresher != Some(Refresher::Uas),
        require: false,
    })
}

/// Min-SE in seconds.
pub(super) fn min_se(headers: &SipHeaders<'_>) -> Option<u32> {
    seconds(&headers.text(HeaderName::MinSe)?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

fn session_expires(headers: &SipHeaders<'_>) -> Option<(u32, Option<Refresher>)> {
    let text = headers.text(HeaderName::SessionExpires)?;
    let interval = seconds(&text)?;
    let named = text.split(';').skip(1).find_map(|param| {
        let (name, value) = param.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("refresher");
        is_it.then(|| value.trim())
    });
    let refresher = named.and_then(|who| {
        let is = |name| who.eq_ignore_ascii_case(name);
        is("uac")
            .then_some(Refresher::Uac)
            .or(is("uas").then_some(Refresher::Uas))
    });
    Some((interval, refresher))
}

/// The number before the parameters; the largest there is where it is larger.
fn seconds(text: &str) -> Option<u32> {
    let digits = text.split(';').next()?.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip_message::SipMessage;

    const TIMERS: SessionTimers = SessionTimers {
        expires: 1_800,
        min: 120,
    };

    fn of(lines: &str, peer_updates: bool, we_refresh: Option<bool>) -> Asked {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:b@c>\r\nTo: <sip:a@d>\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n{lines}\r\n"
        );
        let message = SipMessage::parse(text.as_bytes()).unwrap();
        asked(Some(TIMERS), message.headers(), peer_updates, we_refresh)
    }

    fn on(interval: u32, we_refresh: bool, require: bool) -> Asked {
        Asked::On(Agreed {
            interval,
            we_refresh,
            require,
        })
    }

    #[test]
    fn who_refreshes_follows_table_2_of_section_9() {
        let supported = "Supported: timer\r\n";
        for (lines, wanted) in [
            ("Session-Expires: 600\r\n", on(600, true, false)),
            ("x: 600;refresher=uac\r\n", on(600, true, false)),
            ("x: 600\r\nk: timer\r\n", on(600, true, true)),
            ("x: 600;refresher=uac\r\nk: timer\r\n", on(600, false, true)),
            (
                "x: 600 ; Refresher = UAS\r\nk: timer\r\n",
                on(600, true, true),
            ),
            (
                "x: 600;refresher=uac\r\nRequire: timer\r\n",
                on(600, false, true),
            ),
            ("", Asked::Off),
            (supported, on(1_800, true, true)),
            ("k: timer\r\nMin-SE: 3600\r\n", on(3_600, true, true)),
        ] {
            assert_eq!(of(lines, true, None), wanted, "{lines}");
        }
        assert_eq!(of(supported, false, None), on(1_800, false, true));
        assert_eq!(of(supported, false, Some(true)), on(1_800, true, true));
        assert_eq!(of(supported, true, Some(false)), on(1_800, false, true));
    }

    #[test]
    fn an_interval_is_lowered_to_ours_but_never_below_theirs() {
        for (lines, wanted) in [
            ("x: 7200\r\nk: timer\r\n", on(1_800, true, true)),
            (
                "x: 7200\r\nMin-SE: 3600\r\nk: timer\r\n",
                on(3_600, true, true),
            ),
            ("x: 99999999999\r\nk: timer\r\n", on(1_800, true, true)),
            ("x: 119\r\nk: timer\r\n", Asked::TooSmall(120)),
            ("x: 0\r\nk: timer\r\n", Asked::TooSmall(120)),
            ("x: 119\r\n", on(119, true, false)),
            ("x: many\r\n", Asked::Off),
            ("x: ;refresher=uac\r\n", Asked::Off),
        ] {
            assert_eq!(of(lines, true, None), wanted, "{lines}");
        }
    }

    #[test]
    fn the_refresher_refreshes_at_half_and_gives_up_before_the_end() {
        let agreed = Agreed {
            interval: 1_800,
            we_refresh: true,
            require: true,
        };
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let mut timer = SessionTimer::start(Instant::ZERO, agreed, 0);
        assert_eq!(timer.deadline(), at(900));
        assert_eq!(timer.timed_out(at(900)), Some(TimerDue::Refresh));
        assert_eq!(timer.deadline(), at(1_768));
        timer.refused(at(900));
        assert_eq!(timer.deadline(), at(900 + 434));
        assert_eq!(timer.timed_out(at(1_768)), Some(TimerDue::Expired));

        let theirs = Agreed {
            we_refresh: false,
            interval: 90,
            ..agreed
        };
        let mut timer = SessionTimer::start(Instant::ZERO, theirs, 0);
        assert_eq!(
            timer.deadline(),
            at(60),
            "a third of 90 s is less than 32 s"
        );
        assert_eq!(timer.timed_out(at(59)), None);
        assert_eq!(timer.timed_out(at(60)), Some(TimerDue::Expired));
    }

    #[test]
    fn a_422_raises_the_interval_once() {
        let agreed = Agreed {
            interval: 600,
            we_refresh: true,
            require: true,
        };
        let mut timer = SessionTimer::start(Instant::ZERO, agreed, 0);
        assert!(timer.raise(Instant::ZERO, 900));
        let text: Vec<String> = timer.request().iter().map(ToString::to_string).collect();
        assert_eq!(text, ["Session-Expires: 900;refresher=uac", "Min-SE: 900"]);
        assert!(!timer.raise(Instant::ZERO, 900));
    }
}
