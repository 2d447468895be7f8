//! Telephone events out of RTP (RFC 4733, section 2).
//!
//! Each press is told once, when the first packet of it comes, whichever that is: the packets of
//! its end are repeated, and any of them may be lost. A press of more than 65,535 ticks goes on with
//! another timestamp (2.5.1.3) and is still one. Tones (section 4) are not interpreted, and of several
//! events in one packet (2.5.2.3) the first is read.

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

use crate::base::counter::count;

/// A telephone event: 0 to 9 the digits, 10 the star, 11 the hash, 12 to 15 A to D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The event's number.
    pub event: u8,
    /// Its RTP timestamp, which tells presses apart.
    pub timestamp: u32,
    /// How long it had lasted when it was told, in ticks of the RTP clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// The key, for the sixteen events that are one.
    pub fn key(self) -> Option<char> {
        b"0123456789*#ABCD"
            .get(usize::from(self.event))
            .copied()
            .map(char::from)
    }
}

/// Tells each telephone event of one source once.
#[derive(Debug, Default)]
pub struct TelephoneEvents {
    last: Option<Segment>,
    malformed: u64,
}

/// The part of a press that came last: a whole one, but for very long ones.
#[derive(Clone, Copy, Debug)]
struct Segment {
    event: u8,
    timestamp: u32,
    /// The longest duration told.
    duration: u16,
    ended: bool,
}

/// A segment is at its end when its duration can grow no more, or not by another report: those come
/// every 50 ms, 2,400 ticks of the fastest clock, and a few may be lost.
const SEGMENT_END: u32 = 0xffff - 4 * 2_400;

impl Segment {
    /// Whether a segment of later time belongs to the same press.
    fn goes_on(&self, event: u8, timestamp: u32, marker: bool) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp);
        let adjoins =
            ahead == u32::from(self.duration) || (SEGMENT_END..=0x1_0000).contains(&ahead);
        !marker && !self.ended && self.event == event && adjoins
    }
}

impl TelephoneEvents {
    /// Reads one packet of the telephone-event payload type; `Some` for an event not told yet.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Option<TelephoneEvent> {
        let Some(&[event, flags, high, low]) = payload.first_chunk::<4>() else {
            count(&mut self.malformed);
            return None;
        };
        let duration = u16::from_be_bytes([high, low]);
        let ended = flags & 0x80 != 0;
        let mut goes_on = false;
        if let Some(last) = &mut self.last {
            // The packets of one event share a timestamp; those of an earlier one may still come late.
            match timestamp.wrapping_sub(last.timestamp).cast_signed() {
                0 => {
                    last.duration = last.duration.max(duration);
                    last.ended |= ended;
                    return None;
                }
                ..0 => return None,
                _ => goes_on = last.goes_on(event, timestamp, marker),
            }
        }
        self.last = Some(Segment {
            event,
            timestamp,
            duration,
            ended,
        });
        (!goes_on).then_some(TelephoneEvent {
            event,
            timestamp,
            duration,
        })
    }

    /// The source changed: its timestamps start anew.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Packets too short for an event.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a packet of an event; whether a press was told.
    fn told(
        events: &mut TelephoneEvents,
        timestamp: u32,
        marker: bool,
        (event, ended, duration): (u8, bool, u16),
    ) -> bool {
        let [high, low] = duration.to_be_bytes();
        let flags = if ended { 0x8a } else { 10 };
        let told = events.push(timestamp, marker, &[event, flags, high, low]);
        told.is_some()
    }

    #[test]
    fn a_press_is_told_once_however_often_it_is_sent() {
        let mut events = TelephoneEvents::default();
        let first = events.push(u32::MAX, true, &[11, 10, 0, 160]).unwrap();
        assert_eq!(
            (first.event, first.timestamp, first.duration),
            (11, u32::MAX, 160)
        );
        assert_eq!(first.key(), Some('#'));
        for end in [false, false, true, true, true] {
            assert!(!told(&mut events, u32::MAX, false, (11, end, 320)));
        }
        assert!(told(&mut events, 900, true, (11, false, 160)));
        // A late repetition of the first press.
        assert!(!told(&mut events, u32::MAX, false, (11, true, 320)));
        events.restart();
        let other = events.push(5, true, &[99, 10, 0, 160]).unwrap();
        assert_eq!(other.key(), None);
    }

    #[test]
    fn any_packet_of_a_press_tells_it_when_others_are_lost() {
        // Only an end of each came, of the same key.
        let mut events = TelephoneEvents::default();
        for press in 0..3 {
            assert!(told(&mut events, press * 4_800, false, (5, true, 1_600)));
            assert!(!told(&mut events, press * 4_800, false, (5, true, 1_600)));
        }
        // The ends were lost, the beginnings came.
        for press in 3..6 {
            assert!(told(&mut events, press * 4_800, true, (5, false, 160)));
        }
    }

    #[test]
    fn a_long_press_is_one_press() {
        for (clock_rate, packet) in [(8_000, 400), (16_000, 800), (48_000, 2_400)] {
            let mut events = TelephoneEvents::default();
            let mut presses = 0;
            let mut timestamp = 77_u32;
            // 20 s.
            for at in 0..400_u32 {
                let mut duration = 77_u32
                    .wrapping_add(at * packet)
                    .wrapping_sub(timestamp)
                    .wrapping_add(packet);
                if duration > 0xffff {
                    presses += u32::from(told(&mut events, timestamp, false, (1, false, 0xffff)));
                    timestamp += 0xffff;
                    duration -= 0xffff;
                }
                let packet = (1, at == 399, duration as u16);
                // Every seventh is lost.
                if at % 7 > 0 || at == 399 {
                    presses += u32::from(told(&mut events, timestamp, at == 0, packet));
                }
            }
            assert_eq!(presses, 1, "at {clock_rate} Hz");
            // The same key once more, its first packet lost.
            assert!(told(
                &mut events,
                timestamp + 0xffff,
                false,
                (1, false, 800)
            ));
        }
    }

    #[test]
    fn short_packets_are_counted() {
        let mut events = TelephoneEvents::default();
        for length in 0..4 {
            assert_eq!(events.push(1, false, &[1, 2, 3][..length.min(3)]), None);
        }
        assert_eq!(events.malformed(), 4);
    }
}
