//! Telephone events into RTP (RFC 4733, section 2.5.1): the keys that we press.
//!
//! A key takes [`PRESS`], told every [`STEP`] by its growing duration, with the marker on the first
//! packet and the end three times; [`PAUSE`] later the next one may begin. All packets of a key bear
//! the time at which it began, on the clock of the sound that they stand in for. Volume is fixed at
//! -10 dBm0.

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
use crate::limits::DTMF_KEYS;
use crate::rtp::own_source::{HEADER_BYTES, OwnSource};

/// From one packet of a key to the next.
pub const STEP: Duration = Duration::from_millis(20);

/// How long a key is pressed.
pub const PRESS: Duration = Duration::from_millis(120);

/// From the end of a key to the next one at the earliest.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Packets of a key up to the first that tells its end.
const PACKETS: u8 = 6;

/// Packets that tell a key's end (RFC 4733, section 2.5.1.4).
const ENDS: u8 = 3;

/// Bytes of one event (RFC 4733, section 2.3).
const EVENT_BYTES: usize = 4;

const VOLUME: u8 = 10;
const END: u8 = 0x80;

/// How the other side takes telephone events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// Payload type.
    pub payload_type: u8,
    rate: u16,
}

impl EventFormat {
    /// Ticks of an event's duration in a second.
    pub fn clock_rate(self) -> u32 {
        u32::from(self.rate)
    }
}

impl From<(u8, u16)> for EventFormat {
    /// A payload type and a clock rate.
    fn from((payload_type, rate): (u8, u16)) -> Self {
        Self { payload_type, rate }
    }
}

/// A key that is pressed.
#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    began: Instant,
    /// Packets that are out.
    sent: u8,
}

impl Press {
    fn due(&self) -> Instant {
        self.began + STEP.saturating_mul(u32::from(self.sent))
    }

    fn is_over(&self) -> bool {
        self.sent >= PACKETS.saturating_add(ENDS).saturating_sub(1)
    }
}

/// The sender of the keys of one call.
#[derive(Clone, Debug, Default)]
pub struct TelephoneEventSender {
    keys: Deque<u8, DTMF_KEYS>,
    press: Option<Press>,
    /// Before this no key begins.
    not_before: Instant,
}

/// The event of a key: 0 to 9, `*`, `#`, A to D in either case, or `!` for a flash of the hook.
pub fn event_of(key: char) -> Option<u8> {
    let sign = key.to_ascii_uppercase();
    "0123456789*#ABCD!"
        .chars()
        .zip(0..)
        .find_map(|(known, event)| (known == sign).then_some(event))
}

impl TelephoneEventSender {
    /// Adds a key after those that wait; false when there is no room for it.
    pub fn push(&mut self, event: u8) -> bool {
        self.keys.push_back(event).is_ok()
    }

    /// Room for so many keys more.
    pub fn room(&self) -> usize {
        DTMF_KEYS.saturating_sub(self.keys.len())
    }

    /// Whether a key is pressed at present.
    pub fn is_pressing(&self) -> bool {
        self.press.is_some()
    }

    /// Whether no key is pressed and none waits.
    pub fn is_empty(&self) -> bool {
        self.press.is_none() && self.keys.is_empty()
    }

    /// Forgets the keys that wait, and the present one.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.press = None;
    }

    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.press {
            Some(press) => Some(press.due()),
            None => (!self.keys.is_empty()).then_some(self.not_before),
        }
    }

    /// Writes the next packet that is due and says its length; call until `None`.
    pub fn poll_packet(
        &mut self,
        now: Instant,
        format: EventFormat,
        source: &mut OwnSource,
        out: &mut [u8],
    ) -> Option<usize> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        // A key that was begun may not wait for room: it is not begun without.
        out.get(..HEADER_BYTES.saturating_add(EVENT_BYTES))?;
        let mut press = match self.press {
            Some(press) => press,
            None => Press {
                event: self.keys.pop_front()?,
                began: now,
                sent: 0,
            },
        };
        let is_first = press.sent == 0;
        let step = press.sent.saturating_add(1).min(PACKETS);
        let micros = STEP.as_micros().saturating_mul(u128::from(step));
        let ticks = micros.saturating_mul(u128::from(format.clock_rate())) / 1_000_000;
        let duration = u16::try_from(ticks).unwrap_or(u16::MAX);
        let flags = if step == PACKETS {
            END | VOLUME
        } else {
            VOLUME
        };
        let [high, low] = duration.to_be_bytes();
        let payload = [press.event, flags, high, low];
        let body = HEADER_BYTES..HEADER_BYTES.saturating_add(EVENT_BYTES);
        out.get_mut(body)?.copy_from_slice(&payload);
        let kind = (format.payload_type, is_first);
        let length = source.write_head(now, press.began, kind, EVENT_BYTES, out)?;
        press.sent = press.sent.saturating_add(1);
        self.not_before = press.began + PRESS + PAUSE;
        self.press = (!press.is_over()).then_some(press);
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::rtp::telephone_event::TelephoneEvents;
    use crate::wire::rtp::RtpHeader;

    const FORMAT: (u8, u16) = (101, 8_000);

    fn play(sender: &mut TelephoneEventSender, millis: u64) -> Vec<(u64, RtpHeader, [u8; 4])> {
        let mut source = OwnSource::new(8_000, 8, &mut Rng::from_number(4));
        let mut sent = Vec::new();
        for at in 0..millis {
            let mut out = [0; 64];
            let now = Instant::from_millis(at);
            while let Some(len) = sender.poll_packet(now, FORMAT.into(), &mut source, &mut out) {
                let header = RtpHeader::parse(&out[..len]).unwrap();
                sent.push((at, header, out[header.payload()].try_into().unwrap()));
            }
        }
        sent
    }

    #[test]
    fn a_key_is_told_every_20_ms_with_one_time_and_its_end_three_times() {
        let mut sender = TelephoneEventSender::default();
        assert!(sender.push(event_of('#').unwrap()));
        let sent = play(&mut sender, 1_000);
        let times: Vec<u64> = sent.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [0, 20, 40, 60, 80, 100, 120, 140]);
        let durations: Vec<u16> = sent
            .iter()
            .map(|(_, _, event)| u16::from_be_bytes([event[2], event[3]]))
            .collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 960, 960, 960]);
        let ends: Vec<bool> = sent.iter().map(|(.., event)| event[1] & END != 0).collect();
        assert_eq!(ends, [false, false, false, false, false, true, true, true]);
        for (at, (_, header, event)) in sent.iter().enumerate() {
            assert_eq!((header.payload_type, event[0]), (101, 11));
            assert_eq!(header.marker, at == 0);
            assert_eq!(header.timestamp, sent[0].1.timestamp);
            assert_eq!(header.sequence, sent[0].1.sequence.wrapping_add(at as u16));
        }
        assert!(sender.is_empty());
    }

    #[test]
    fn keys_are_heard_one_by_one_with_a_pause_between() {
        let mut sender = TelephoneEventSender::default();
        for key in "12345#*aD!".chars() {
            assert!(sender.push(event_of(key).unwrap()));
        }
        let sent = play(&mut sender, 5_000);
        let mut heard = TelephoneEvents::default();
        let mut keys = Vec::new();
        let mut begins = Vec::new();
        for (at, header, event) in &sent {
            if let Some(told) = heard.push(header.timestamp, header.marker, event) {
                keys.push(told.event);
                begins.push(*at);
            }
        }
        assert_eq!(keys, [1, 2, 3, 4, 5, 11, 10, 12, 15, 16]);
        assert!(begins.windows(2).all(|two| two[1] - two[0] == 220));
    }

    #[test]
    fn keys_are_bounded_and_no_other_sign_is_one() {
        let mut sender = TelephoneEventSender::default();
        for at in 0..DTMF_KEYS {
            assert_eq!(sender.room(), DTMF_KEYS - at);
            assert!(sender.push(1));
        }
        assert!(!sender.push(1));
        sender.clear();
        assert!(sender.is_empty() && sender.poll_timeout().is_none());
        for sign in ['E', ' ', '\0', 'é', 'x', '+'] {
            assert_eq!(event_of(sign), None);
        }
    }

    #[test]
    fn a_stall_makes_no_key_longer_and_leaves_none_out() {
        let mut sender = TelephoneEventSender::default();
        sender.push(5);
        sender.push(6);
        let mut source = OwnSource::new(8_000, 8, &mut Rng::from_number(4));
        let mut out = [0; 64];
        let mut count = |at: u64, sender: &mut TelephoneEventSender| {
            let now = Instant::from_millis(at);
            let packets = core::iter::from_fn(|| {
                sender.poll_packet(now, FORMAT.into(), &mut source, &mut out)
            });
            packets.count()
        };
        assert_eq!(count(0, &mut sender), 1);
        // The rest of the first key, and the beginning of the second.
        assert_eq!(count(10_000, &mut sender), 8);
        assert_eq!(count(20_000, &mut sender), 7);
        assert!(sender.is_empty());
    }

    #[test]
    fn a_buffer_too_short_takes_nothing() {
        let mut sender = TelephoneEventSender::default();
        sender.push(5);
        let mut source = OwnSource::new(8_000, 8, &mut Rng::from_number(4));
        let mut out = [0; HEADER_BYTES + EVENT_BYTES - 1];
        let none = sender.poll_packet(Instant::ZERO, FORMAT.into(), &mut source, &mut out);
        assert_eq!((none, sender.room()), (None, DTMF_KEYS - 1));
    }
}
