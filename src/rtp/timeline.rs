//! One track's RTP time, widened from 32 bits once and placed on the call's media clock.
//!
//! The place is a `shift`: media time = RTP time in microseconds + shift. It moves only by slewing,
//! towards a target that [`crate::rtp::call_clock`] gives, except where the timestamps themselves
//! break (the jump policy):
//!
//! - backwards by more than [`BACKWARD`] (pictures that are reordered: more than their order
//!   explains), ahead of the earliest arrivals by more than [`AHEAD`] (no packet comes before it is
//!   sent), or behind them by more than [`BEHIND`]: anchored anew at the running clock;
//! - within the first second after an anchor, ahead of that by more than [`SETTLING_AHEAD`] already:
//!   the frame had come late, as the first one out of an encoder often does;
//! - a pause in arrival of which the timestamps know nothing (a phone whose clock stood during mute
//!   or hold) and whose lateness stays for [`LATE_FOR`]: the lateness is taken in at once. When it
//!   grows less, the network had stalled, and the timestamps are right;
//! - anything less is believed, and what it differs from arrival is slewed away.
//!
//! The earliest arrivals of the last seconds (the floor) tell where the RTP clock stands, so that
//! jitter does not, and so that a sender's clock that drifts is followed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::time::Instant;

/// A step back of more microseconds is another timeline; a smaller one is a frame out of order.
pub const BACKWARD: i64 = 100_000;

/// Microseconds by which timestamps may run ahead of arrival.
pub const AHEAD: i64 = 500_000;

/// The same, for pictures that are decoded earlier than presented.
pub const REORDERED_AHEAD: i64 = 600_000;

/// The same as [`AHEAD`], for the settling time after an anchor.
pub const SETTLING_AHEAD: i64 = 80_000;

/// Microseconds after an anchor in which it is not yet sure.
const SETTLING: i64 = 1_000_000;

/// Microseconds by which timestamps may fall behind arrival.
pub const BEHIND: i64 = 10_000_000;

/// A pause in arrival of so many microseconds more than in the timestamps is looked into.
const LATE_GAP: i64 = 300_000;

/// Microseconds after such a pause in which the lateness must stay.
pub const LATE_FOR: i64 = 300_000;

/// A stalled network makes up for it by one microsecond in so many, or faster.
const CATCHES_UP: i64 = 4;

/// An arrival of the other track so many microseconds ago tells of the way at the moment.
const NEARBY: i64 = 200_000;

/// Microseconds of lateness that count as stayed.
const LATE_STAYS: i64 = 150_000;

/// Microseconds of lateness that an anchor carries over from the frame before: about a picture's.
const CARRIED_LATENESS: i64 = 40_000;

/// Slewing: one microsecond in so many, which is 5 ms per second.
const SLEW_DIVISOR: i64 = 200;

/// Microseconds of one of the two halves in which the floor is looked for.
const FLOOR_HALF: i64 = 4_000_000;

/// Where a frame belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The media time of its presentation, in microseconds from the clock's start.
    pub presentation: i64,
    /// The timestamps broke and were anchored anew.
    pub jumped: bool,
}

/// In which order a track's frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are presented.
    Presented,
    /// As they are decoded, which is another one.
    Decoded,
    /// A frame that cannot belong to the timeline.
    Broken,
}

/// The timeline of one track.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    clock_rate: u32,
    anchor: Anchor,
    last_timestamp: u32,
    /// RTP time since the anchor, widened.
    ticks: i64,
    shift: i64,
    /// Up to when slewing was done.
    slewed_at: Instant,
    /// Arrival of the anchor.
    anchored_at: i64,
    last: Option<Last>,
    floor: Floor,
    late: Option<Late>,
}

/// Whether timestamps have a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Anchor {
    /// No frame came yet.
    #[default]
    None,
    /// Another source follows; its first frame is to be anchored at the running clock.
    Lost,
    /// Timestamps continue.
    Held,
}

/// The frame before.
#[derive(Clone, Copy, Debug)]
struct Last {
    presentation: i64,
    rtp: i64,
    arrival: i64,
}

/// A pause that may turn out to be one of the sender's clock.
#[derive(Clone, Copy, Debug)]
struct Late {
    since: i64,
    /// Transit of the first frame since.
    first: i64,
    /// Earliest transit since.
    floor: i64,
}

impl Timeline {
    /// Whether a frame has been placed since the start or the last change of source.
    pub fn is_anchored(&self) -> bool {
        self.anchor == Anchor::Held
    }

    /// The same, with timestamps of that clock rate.
    pub fn is_anchored_at(&self, clock_rate: u32) -> bool {
        self.is_anchored() && self.clock_rate == clock_rate.max(1)
    }

    /// Whether any frame has ever been placed.
    pub fn has_begun(&self) -> bool {
        self.anchor != Anchor::None
    }

    /// Another source follows on this track.
    pub fn source_changed(&mut self) {
        if self.anchor == Anchor::Held {
            self.anchor = Anchor::Lost;
            self.late = None;
        }
    }

    /// Makes ready for the next frame; `true` when it has to be anchored first ([`Self::anchor`]),
    /// which a change of the clock rate brings about too.
    pub fn needs_anchor(&mut self, clock_rate: u32) -> bool {
        let clock_rate = clock_rate.max(1);
        if self.clock_rate != clock_rate {
            self.source_changed();
            self.clock_rate = clock_rate;
        }
        self.anchor != Anchor::Held
    }

    /// Takes `timestamp` as the new origin. A fresh track is placed where the frame arrives, moved
    /// by `lead`; a running one goes on by the time that passed since the frame before.
    pub fn anchor(&mut self, timestamp: u32, arrival: i64, lead: i64, received: Instant) {
        let on_floor = arrival.saturating_add(lead);
        let mut shift = on_floor;
        if let Some(last) = &mut self.last {
            let passed = arrival.saturating_sub(last.arrival).max(0);
            let least = on_floor.saturating_sub(CARRIED_LATENESS);
            let goes_on = last.presentation.saturating_add(passed);
            shift = goes_on.clamp(least, on_floor);
            // On the new RTP clock the frame before lies as far back as in arrival.
            last.rtp = last.arrival.saturating_sub(arrival);
        }
        self.anchor = Anchor::Held;
        self.last_timestamp = timestamp;
        self.ticks = 0;
        self.shift = shift;
        self.slewed_at = received;
        self.anchored_at = arrival;
        self.floor = Floor::new(arrival, arrival);
        self.late = None;
    }

    /// Places a fresh track where its sender's reports say instead of where arrival does. Only
    /// before its first frame has been given out.
    pub fn start_at(&mut self, shift: i64) {
        if self.last.is_none() {
            self.shift = shift;
        }
    }

    /// Widens and places one frame. The shift is slewed to `target`, or to `lead` above the floor
    /// when there is none.
    pub fn place(
        &mut self,
        timestamp: u32,
        arrival: i64,
        lead: i64,
        target: Option<i64>,
        order: Order,
        received: Instant,
    ) -> Placed {
        let step = i64::from(timestamp.wrapping_sub(self.last_timestamp) as i32);
        self.last_timestamp = timestamp;
        self.ticks = self.ticks.saturating_add(step);
        let jumped = if self.breaks(arrival, order) {
            self.anchor(timestamp, arrival, lead, received);
            true
        } else {
            self.observe(arrival)
        };
        // A jump makes the target one of the former timestamps.
        let target = target.filter(|_| !jumped);
        let target = target.unwrap_or(self.floor().saturating_add(lead));
        self.slew(target, received);

        let rtp = self.rtp_micros(timestamp);
        let presentation = rtp.saturating_add(self.shift).max(0);
        self.last = Some(Last {
            presentation,
            rtp,
            arrival,
        });
        Placed {
            presentation,
            jumped,
        }
    }

    /// Microseconds on the RTP clock since the anchor, for a timestamp near the last one.
    pub fn rtp_micros(&self, timestamp: u32) -> i64 {
        let step = i64::from(timestamp.wrapping_sub(self.last_timestamp) as i32);
        let ticks = self.ticks.saturating_add(step);
        let rate = i64::from(self.clock_rate.max(1));
        let rest = ticks.rem_euclid(rate).saturating_mul(1_000_000) / rate;
        ticks
            .div_euclid(rate)
            .saturating_mul(1_000_000)
            .saturating_add(rest)
    }

    /// Microseconds on the RTP clock from the last frame to a timestamp near it.
    pub fn micros_after_last(&self, timestamp: u32) -> i64 {
        let last = self.last.map_or(0, |last| last.rtp);
        self.rtp_micros(timestamp).saturating_sub(last)
    }

    /// The media time at which a timestamp near the last one would be presented.
    pub fn place_of(&self, timestamp: u32) -> i64 {
        self.rtp_micros(timestamp).saturating_add(self.shift)
    }

    /// Microseconds from RTP time to media time.
    pub fn shift(&self) -> i64 {
        self.shift
    }

    /// The shift at which the earliest arrivals are presented as they come.
    pub fn floor(&self) -> i64 {
        self.floor.lowest()
    }

    /// How far media time runs ahead of the floor; negative when behind.
    pub fn lead(&self) -> i64 {
        self.shift.saturating_sub(self.floor())
    }

    /// The same with regard to the frame that came last, when that was about at `arrival`.
    pub fn lead_of_late(&self, arrival: i64) -> Option<i64> {
        let last = self.last?;
        let apart = arrival.saturating_sub(last.arrival).saturating_abs();
        let transit = last.arrival.saturating_sub(last.rtp);
        (apart <= NEARBY).then(|| self.shift.saturating_sub(transit))
    }

    fn slew(&mut self, target: i64, received: Instant) {
        let elapsed = i64::try_from(received.since(self.slewed_at).as_micros()).unwrap_or(i64::MAX);
        let most = elapsed / SLEW_DIVISOR;
        if most > 0 {
            self.slewed_at = received;
            let by = target
                .saturating_sub(self.shift)
                .clamp(most.saturating_neg(), most);
            self.shift = self.shift.saturating_add(by);
        }
    }

    /// Whether the frame just widened does not continue the timeline.
    fn breaks(&self, arrival: i64, order: Order) -> bool {
        let rtp = self.rtp_micros(self.last_timestamp);
        let settling = arrival.saturating_sub(self.anchored_at) < SETTLING;
        let (back, most) = match order {
            Order::Broken => return true,
            Order::Decoded => (false, REORDERED_AHEAD),
            Order::Presented => (
                self.last
                    .is_some_and(|last| rtp < last.rtp.saturating_sub(BACKWARD)),
                if settling { SETTLING_AHEAD } else { AHEAD },
            ),
        };
        // Not by where frames are presented, which reports may be moving.
        let transit = arrival.saturating_sub(rtp);
        let earliest = if settling {
            self.anchored_at
        } else {
            self.floor()
        };
        let ahead = earliest.saturating_sub(transit);
        back || ahead > most || ahead < -BEHIND
    }

    /// Takes the frame's arrival into the floor; `true` when a lateness that stayed was taken in.
    fn observe(&mut self, arrival: i64) -> bool {
        let rtp = self.rtp_micros(self.last_timestamp);
        let transit = arrival.saturating_sub(rtp);
        if self.late.is_none()
            && let Some(last) = self.last
            && transit.saturating_sub(last.arrival.saturating_sub(last.rtp)) > LATE_GAP
        {
            self.late = Some(Late {
                since: arrival,
                first: transit,
                floor: transit,
            });
        }
        let Some(mut late) = self.late else {
            self.floor.observe(arrival, transit);
            return false;
        };
        late.floor = late.floor.min(transit);
        let waited = arrival.saturating_sub(late.since);
        let made_up = late.first.saturating_sub(late.floor);
        self.late = Some(late);
        if waited < LATE_FOR {
            return false;
        }
        if late.floor.saturating_sub(self.floor()) > LATE_STAYS && made_up > waited / CATCHES_UP {
            // It may go on like this.
            self.late = Some(Late {
                since: arrival,
                first: late.floor,
                ..late
            });
            return false;
        }
        self.late = None;
        let stayed = late.floor.saturating_sub(self.floor());
        if stayed <= LATE_STAYS {
            self.floor.observe(arrival, late.floor);
            return false;
        }
        self.shift = self.shift.saturating_add(stayed);
        self.floor = Floor::new(arrival, late.floor);
        true
    }
}

/// The least transit (arrival less RTP time) of the last [`FLOOR_HALF`] to twice as long.
#[derive(Clone, Copy, Debug, Default)]
struct Floor {
    since: i64,
    present: i64,
    before: i64,
}

impl Floor {
    fn new(arrival: i64, transit: i64) -> Self {
        Self {
            since: arrival,
            present: transit,
            before: i64::MAX,
        }
    }

    fn observe(&mut self, arrival: i64, transit: i64) {
        if arrival.saturating_sub(self.since) >= FLOOR_HALF {
            self.before = self.present;
            self.present = transit;
            self.since = arrival;
        } else {
            self.present = self.present.min(transit);
        }
    }

    fn lowest(&self) -> i64 {
        self.present.min(self.before)
    }
}
