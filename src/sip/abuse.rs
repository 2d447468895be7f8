//! Sources whose messages are not taken, as the owner is told of them.

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
use core::net::IpAddr;
use core::time::Duration;

/// What a source is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may not call and nothing of ours is under way with it.
    Stranger,
    /// It may call.
    Caller,
    /// It is the PBX, or something is under way with it: a call that is up, one of ours, a registration.
    Peer,
}

/// What is owed to the owner: how much of a source was dropped since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abuse {
    /// The source; none where there were more than are told apart.
    pub source: Option<(IpAddr, Standing)>,
    /// Messages and connections dropped.
    pub messages: u64,
    /// The time in which they came.
    pub time: Duration,
    /// First word of the last one, such as REGISTER.
    pub last: Word,
}

/// The first word of a message: its method, where it is one. It holds nothing but capital letters.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Word([u8; 10]);

impl Word {
    /// The leading capital letters of a message.
    pub fn of(message: &[u8]) -> Self {
        let mut word = Self::default();
        let letters = message.iter().take_while(|b| b.is_ascii_uppercase());
        for (place, letter) in word.0.iter_mut().zip(letters) {
            *place = *letter;
        }
        word
    }

    /// As text; empty where there was no word.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        let word = self.0.get(..end).unwrap_or_default();
        core::str::from_utf8(word).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.as_str() {
            "" => "no word",
            word => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_method_or_nothing() {
        for (message, word) in [
            ("REGISTER sip:x SIP/2.0", "REGISTER"),
            ("", "no word"),
            ("\0\0", "no word"),
            ("203.0.113.9 on trunk", "no word"),
            ("SIP/2.0 200 OK", "SIP"),
            ("AVERYLONGMETHOD x", "AVERYLONGM"),
        ] {
            assert_eq!(Word::of(message.as_bytes()).to_string(), word);
        }
    }
}
