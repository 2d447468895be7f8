//! Key events of Linux's input devices: `struct input_event` of `linux/input.h`.
//!
//! Two machine words of time, then a type and a code of 16 bits and a value of 32, in the order of
//! bytes of the machine: 24 bytes on a machine of 64 bits, 16 on one of 32.

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

/// The type of a key's or button's event.
const EV_KEY: u16 = 1;

/// The type of what separates events that belong together.
const EV_SYN: u16 = 0;

/// The code with which the kernel says that events were lost.
const SYN_DROPPED: u16 = 3;

/// Bytes of an event behind its time.
const BODY_BYTES: usize = 8;

/// Bytes of the longest event.
const EVENT_BYTES: usize = 24;

/// What an event says of the key that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// It went down.
    Pressed,
    /// It came up.
    Released,
    /// Events were lost: how it is has to be asked.
    Lost,
}

/// Reads the events of one key of one device, from whatever pieces a read gives.
#[derive(Clone, Debug)]
pub struct KeyEvents {
    code: u16,
    /// Bytes of the time at the head of an event.
    time: usize,
    event: heapless::Vec<u8, EVENT_BYTES>,
}

impl KeyEvents {
    /// For the key of a code of `linux/input-event-codes.h`, on a machine whose words have 4 or 8
    /// bytes.
    pub const fn new(code: u16, word: usize) -> Self {
        Self {
            code,
            time: if word == 4 { 8 } else { 16 },
            event: heapless::Vec::new(),
        }
    }

    /// Takes one byte; what the event that it completes says of the key, if anything. Repetitions by
    /// the kernel say nothing.
    pub fn handle_byte(&mut self, byte: u8) -> Option<KeyEvent> {
        let length = self.time.saturating_add(BODY_BYTES);
        // There is room: the longest event is taken out as soon as it is whole.
        let _ = self.event.push(byte);
        if self.event.len() < length {
            return None;
        }
        let said = self.event.get(self.time..).and_then(|body| self.said(body));
        self.event.clear();
        said
    }

    fn said(&self, body: &[u8]) -> Option<KeyEvent> {
        let (kind, rest) = body.split_first_chunk()?;
        let (code, rest) = rest.split_first_chunk()?;
        let (value, _) = rest.split_first_chunk()?;
        let (kind, code) = (u16::from_ne_bytes(*kind), u16::from_ne_bytes(*code));
        match (kind, i32::from_ne_bytes(*value)) {
            (EV_SYN, _) if code == SYN_DROPPED => Some(KeyEvent::Lost),
            (EV_KEY, 0) if code == self.code => Some(KeyEvent::Released),
            (EV_KEY, 1) if code == self.code => Some(KeyEvent::Pressed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const KEY: u16 = 148;

    fn event(word: usize, kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0xAA; word * 2];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    fn read(word: usize, bytes: &[u8]) -> Vec<KeyEvent> {
        let mut events = KeyEvents::new(KEY, word);
        let said = bytes.iter().filter_map(|byte| events.handle_byte(*byte));
        said.collect()
    }

    #[test]
    fn events_of_both_widths_are_read() {
        for (word, length) in [(4, 16), (8, 24)] {
            assert_eq!(event(word, 0, 0, 0).len(), length);
            let bytes = [
                event(word, EV_KEY, KEY, 1),
                event(word, EV_SYN, 0, 0),
                event(word, EV_KEY, KEY, 2),
                event(word, EV_KEY, KEY + 1, 1),
                event(word, 4, KEY, 1),
                event(word, EV_KEY, KEY, 0),
                event(word, EV_SYN, SYN_DROPPED, 0),
            ]
            .concat();
            let expected = [KeyEvent::Pressed, KeyEvent::Released, KeyEvent::Lost];
            assert_eq!(read(word, &bytes), expected, "{word}");
            for cut in 0..bytes.len() {
                let whole = read(word, &bytes[..cut]).len();
                assert!(whole <= expected.len(), "{cut}");
            }
        }
    }

    #[test]
    fn seeded_random_bytes_never_panic() {
        let mut rng = Rng::from_number(3);
        for word in [4, 8] {
            let mut events = KeyEvents::new(KEY, word);
            for _ in 0..100_000 {
                let _ = events.handle_byte(rng.below(3) as u8);
            }
        }
    }
}
