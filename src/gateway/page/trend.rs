//! How the box did over the last half hour: rate, losses and calls, every ten seconds, in constant
//! memory.
//!
//! Nothing wakes for it: while there are calls there are turns of the loop, and without calls there is
//! nothing to measure.

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

use heapless::Deque;

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::limits::TREND_SAMPLES;

/// From one sample to the next.
pub const TREND_INTERVAL: Duration = Duration::from_secs(10);

/// What was seen in ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Kilobits a second that callers sent, as frames.
    pub kbps: u32,
    /// Packets that never came, or too late.
    pub lost: u32,
    /// Calls at its end.
    pub calls: u16,
}

/// The last samples.
#[derive(Debug, Default)]
pub struct Trend {
    samples: Deque<Sample, TREND_SAMPLES>,
    /// When the present interval ends.
    next: Option<Instant>,
    bytes: u64,
    lost: u64,
    /// Calls at the last look.
    calls: u16,
}

impl Trend {
    /// Samples, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.samples.iter().copied()
    }

    /// Whether an interval is over; notes how many calls there are.
    fn is_due(&mut self, now: Instant, calls: usize) -> bool {
        let next = *self.next.get_or_insert(now + TREND_INTERVAL);
        if now < next {
            self.calls = u16::try_from(calls).unwrap_or(u16::MAX);
        }
        now >= next
    }

    /// Ends every interval that is over: bytes and losses are those since the beginning of all.
    fn take(&mut self, now: Instant, (bytes, lost): (u64, u64), calls: usize) {
        let bits = bytes.saturating_sub(self.bytes).saturating_mul(8);
        let millis = u64::try_from(TREND_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let kbps = bits.checked_div(millis).unwrap_or_default();
        let newly_lost = lost.saturating_sub(self.lost);
        let mut sample = Sample {
            kbps: u32::try_from(kbps).unwrap_or(u32::MAX),
            lost: u32::try_from(newly_lost).unwrap_or(u32::MAX),
            calls: self.calls,
        };
        (self.bytes, self.lost) = (bytes, lost);
        let mut next = self.next.unwrap_or(now);
        // After a long rest as many as there is room for.
        for _ in 0..TREND_SAMPLES {
            if now < next {
                break;
            }
            next = next + TREND_INTERVAL;
            if self.samples.is_full() {
                self.samples.pop_front();
            }
            // There is room.
            let _ = self.samples.push_back(sample);
            sample = Sample {
                calls: self.calls,
                ..Sample::default()
            };
        }
        self.next = Some(if now < next {
            next
        } else {
            now + TREND_INTERVAL
        });
        self.calls = u16::try_from(calls).unwrap_or(u16::MAX);
    }
}

impl Gateway {
    /// How the box did lately, oldest first.
    pub fn trend(&self) -> impl Iterator<Item = Sample> {
        self.trend.samples()
    }

    /// Takes a sample where one is due.
    pub(in crate::gateway) fn look_at_trend(&mut self, now: Instant) {
        let calls = self.calls.len();
        if !self.trend.is_due(now, calls) {
            return;
        }
        let ended = [self.ended.audio.lost, self.ended.video.lost];
        let live = self.calls.iter().filter(|(_, call)| !call.crashed);
        let live = live.flat_map(|(_, call)| {
            let summary = call.summary(now);
            [summary.audio.lost, summary.video.lost]
        });
        let lost = ended.into_iter().chain(live).fold(0, u64::saturating_add);
        let bytes = self.meters.bytes();
        self.trend.take(now, (bytes, lost), calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(trend: &mut Trend, seconds: u64, bytes: u64, lost: u64, calls: usize) {
        let now = Instant::from_millis(seconds * 1_000);
        if trend.is_due(now, calls) {
            trend.take(now, (bytes, lost), calls);
        }
    }

    #[test]
    fn each_interval_has_its_rate_its_losses_and_its_calls() {
        let mut trend = Trend::default();
        look(&mut trend, 0, 0, 0, 0);
        for second in 1..=30 {
            look(&mut trend, second, second * 12_500, second / 10, 2);
        }
        let sample = Sample {
            kbps: 100,
            lost: 1,
            calls: 2,
        };
        assert_eq!(trend.samples().collect::<Vec<_>>(), [sample; 3]);
    }

    #[test]
    fn a_rest_is_filled_with_nothing_and_the_memory_is_bounded() {
        let mut trend = Trend::default();
        look(&mut trend, 0, 0, 0, 0);
        look(&mut trend, 35, 125_000, 4, 1);
        let samples: Vec<_> = trend.samples().collect();
        assert_eq!(samples.len(), 3);
        assert_eq!(
            (samples[0].kbps, samples[0].lost, samples[2].kbps),
            (100, 4, 0)
        );
        look(&mut trend, 1_000_000, 125_000, 4, 1);
        assert_eq!(trend.samples().count(), TREND_SAMPLES);
        look(&mut trend, 1_000_009, 125_000, 4, 1);
        assert_eq!(trend.samples().last().unwrap().calls, 1);
        look(&mut trend, 1_000_010, 250_000, 4, 1);
        assert_eq!(trend.samples().last().unwrap().kbps, 100);
        assert_eq!(trend.samples().count(), TREND_SAMPLES);
    }
}
