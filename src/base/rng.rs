//! The seeded source of tags, branches, identifiers and jitter.
//!
//! ChaCha8: what it gives out (SIP tags, SSRCs, RTMP transaction data) tells nothing about what
//! comes next. The shell seeds it from the system once; tests seed it with a number.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A reproducible source of unpredictable numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// A source from 32 bytes of system randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A source for tests: the same number gives the same sequence.
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A source of its own for one machine, drawn from this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Self::from_seed(seed)
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, close enough to even for jitter and ports; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.u32()) * u64::from(bound)) >> 32) as u32
    }

    /// `of` moved by up to a quarter either way.
    pub fn jitter(&mut self, of: Duration) -> Duration {
        let permille = 750 + self.below(501);
        of * permille / 1_000
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A token of 16 lower-case hexadecimal digits.
    pub fn token(&mut self) -> heapless::String<16> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bits = self.u64();
        let mut text = heapless::String::new();
        for _ in 0..16 {
            let digit = DIGITS.get((bits & 15) as usize).copied().unwrap_or(b'0');
            // Sixteen digits fit sixteen places.
            let _ = text.push(char::from(digit));
            bits >>= 4;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_quarter() {
        let mut rng = Rng::from_number(1);
        for _ in 0..1_000 {
            let got = rng.jitter(Duration::from_millis(1_000));
            assert!((750..=1_250).contains(&got.as_millis()), "{got:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let tokens = |seed| {
            let mut rng = Rng::from_number(seed);
            (rng.token(), rng.fork().token())
        };
        assert_eq!(tokens(7), tokens(7));
        assert_ne!(tokens(7), tokens(8));
    }
}
