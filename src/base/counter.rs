//! Counters of what was seen: they stop at their largest value instead of beginning anew.

/// One more of something.
pub const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_counter_stays_full() {
        let mut counter = u64::MAX - 1;
        for _ in 0..3 {
            count(&mut counter);
        }
        assert_eq!(counter, u64::MAX);
    }
}
