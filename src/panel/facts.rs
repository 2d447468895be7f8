//! What the daemon tells of itself, as a line of text: `registered=1 calls=2 fault=0`.
//!
//! Keys come in any order, and unknown ones are passed over, so that either side may be the newer.
//! A line without one of the three, with one of them twice, or with a value that is no number of its
//! range, is none.

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

use core::fmt;

/// Bytes of one line, its end not counted; a longer one is passed over.
pub const FACTS_LINE_BYTES: usize = 128;

/// How the daemon is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every trunk that registers is registered; where none does, callers can reach the box.
    pub registered: bool,
    /// Calls that are up.
    pub calls: u16,
    /// Something wants a look: see the page.
    pub fault: bool,
}

impl Facts {
    /// Reads a line, without its end.
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > FACTS_LINE_BYTES {
            return None;
        }
        let line = core::str::from_utf8(line).ok()?;
        let (mut registered, mut calls, mut fault) = (None, None, None);
        for word in line.split_ascii_whitespace() {
            let (key, value) = word.split_once('=')?;
            let twice = match key {
                "registered" => registered.replace(flag(value)?).is_some(),
                "calls" => calls.replace(number(value)?).is_some(),
                "fault" => fault.replace(flag(value)?).is_some(),
                _ => false,
            };
            if twice {
                return None;
            }
        }
        Some(Self {
            registered: registered?,
            calls: calls?,
            fault: fault?,
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registered, fault) = (u8::from(self.registered), u8::from(self.fault));
        write!(
            f,
            "registered={registered} calls={} fault={fault}",
            self.calls
        )
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// Digits alone: the standard library would take a sign.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Puts lines together from whatever pieces a stream gives.
#[derive(Clone, Debug, Default)]
pub struct FactsReader {
    line: heapless::Vec<u8, FACTS_LINE_BYTES>,
    /// The line is too long: it is passed over up to its end.
    overlong: bool,
    /// Lines that were none.
    pub refused: u64,
}

impl FactsReader {
    /// The newest facts that are complete with these bytes; what was said before them is of the past.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Option<Facts> {
        let mut newest = None;
        for byte in bytes {
            if *byte != b'\n' {
                self.overlong |= self.line.push(*byte).is_err();
                continue;
            }
            match Facts::parse(&self.line).filter(|_| !self.overlong) {
                Some(facts) => newest = Some(facts),
                None => self.refused = self.refused.saturating_add(1),
            }
            self.line.clear();
            self.overlong = false;
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const FACTS: Facts = Facts {
        registered: true,
        calls: 2,
        fault: false,
    };

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let line = FACTS.to_string();
        assert_eq!(line, "registered=1 calls=2 fault=0");
        assert_eq!(Facts::parse(line.as_bytes()), Some(FACTS));
        let newer = b"fault=0 uptime=7 calls=2\tnote=  registered=1\r";
        assert_eq!(Facts::parse(newer), Some(FACTS));
    }

    #[test]
    fn what_is_no_line_of_facts_is_refused() {
        for line in [
            "",
            "registered=1 calls=2",
            "registered=1 calls=2 fault=0 fault=0",
            "registered=2 calls=2 fault=0",
            "registered=1 calls=-1 fault=0",
            "registered=1 calls=+1 fault=0",
            "registered=1 calls= fault=0",
            "registered=1 calls=65536 fault=0",
            "registered=1 calls=2 fault=0 x",
            "registered = 1 calls=2 fault=0",
        ] {
            assert_eq!(Facts::parse(line.as_bytes()), None, "{line}");
        }
        let padded = format!("registered=1 calls=2 fault=0{}", " ".repeat(200));
        assert_eq!(Facts::parse(padded.as_bytes()), None);
    }

    #[test]
    fn every_cut_of_a_line_is_refused_or_still_whole() {
        let line = b"registered=1 calls=21 fault=0";
        for length in 0..line.len() {
            assert_eq!(Facts::parse(&line[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_stream_in_any_pieces_gives_the_same_facts() {
        let text = b"registered=0 calls=0 fault=1\nnonsense\nregistered=1 calls=2 fault=0\n";
        for cut in 0..text.len() {
            let mut reader = FactsReader::default();
            let first = reader.handle_bytes(&text[..cut]);
            let second = reader.handle_bytes(&text[cut..]);
            assert_eq!(second.or(first), Some(FACTS), "{cut}");
            assert_eq!(reader.refused, 1);
        }
    }

    #[test]
    fn an_endless_line_is_passed_over_and_the_next_is_read() {
        let mut reader = FactsReader::default();
        for _ in 0..100 {
            assert_eq!(reader.handle_bytes(&[b'x'; 64]), None);
        }
        assert_eq!(reader.handle_bytes(b" calls=1\n"), None);
        let line = format!("{FACTS}\n");
        assert_eq!(reader.handle_bytes(line.as_bytes()), Some(FACTS));
        assert_eq!(reader.refused, 1);
    }

    #[test]
    fn seeded_random_bytes_are_read_or_refused_and_what_is_read_prints_as_itself() {
        let mut rng = Rng::from_number(7);
        let mut reader = FactsReader::default();
        for _ in 0..20_000 {
            let mut line = FACTS.to_string().into_bytes();
            for _ in 0..rng.below(4) {
                let at = rng.below(line.len() as u32) as usize;
                line[at] = rng.u32() as u8;
            }
            if let Some(facts) = Facts::parse(&line) {
                assert_eq!(Facts::parse(facts.to_string().as_bytes()), Some(facts));
            }
            let _ = reader.handle_bytes(&line);
        }
    }
}
