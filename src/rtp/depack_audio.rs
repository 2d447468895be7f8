//! G.711 and telephone events out of RTP (RFC 3551, section 4.5.14; RFC 4733).
//!
//! A packet of G.711 is a frame as it is. Of telephone events each press is told once, when its
//! first packet comes; they are not audio. Tones (RFC 4733, section 4) are not interpreted.

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
    last: Option<u32>,
    malformed: u64,
}

impl TelephoneEvents {
    /// Reads one packet of the telephone-event payload type; `Some` for an event not told yet.
    pub fn push(&mut self, timestamp: u32, payload: &[u8]) -> Option<TelephoneEvent> {
        let Some(&[event, _, _, _]) = payload.first_chunk::<4>() else {
            count(&mut self.malformed);
            return None;
        };
        // The packets of one event share a timestamp; those of an earlier one may still come late.
        let newer = self
            .last
            .is_none_or(|last| timestamp.wrapping_sub(last).cast_signed() > 0);
        if !newer {
            return None;
        }
        self.last = Some(timestamp);
        Some(TelephoneEvent { event, timestamp })
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

    #[test]
    fn a_press_is_told_once_however_often_it_is_sent() {
        let mut events = TelephoneEvents::default();
        let told = events.push(u32::MAX, &[11, 10, 0, 160]);
        assert_eq!(
            told,
            Some(TelephoneEvent {
                event: 11,
                timestamp: u32::MAX
            })
        );
        assert_eq!(told.and_then(TelephoneEvent::key), Some('#'));
        for end in [10, 10, 0x8a, 0x8a, 0x8a] {
            assert_eq!(events.push(u32::MAX, &[11, end, 1, 64]), None);
        }
        assert!(events.push(900, &[11, 10, 0, 160]).is_some());
        // A late repetition of the first press.
        assert_eq!(events.push(u32::MAX, &[11, 0x8a, 1, 64]), None);
        events.restart();
        assert!(
            events
                .push(5, &[99, 10, 0, 160])
                .is_some_and(|event| event.key().is_none())
        );
    }

    #[test]
    fn short_packets_are_counted() {
        let mut events = TelephoneEvents::default();
        for length in 0..4 {
            assert_eq!(events.push(1, &[1, 2, 3][..length.min(3)]), None);
        }
        assert_eq!(events.malformed(), 4);
    }
}
