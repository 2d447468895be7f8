use super::*;
use crate::base::rng::Rng;
use ButtonAction::{FactoryReset, PasswordReset};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A button that was seen up at the start.
fn ready() -> Button {
    let mut button = Button::new();
    button.handle_level(Instant::ZERO, false);
    button
}

/// Runs its timers as its owner does, up to a moment.
fn run(button: &mut Button, mut now: Instant, until: Instant) {
    while let Some(next) = button.poll_timeout(now).filter(|next| *next <= until) {
        assert!(next > now, "a timer of the past");
        now = next;
        button.handle_timeout(now);
    }
    button.handle_timeout(until);
}

/// What one clean press asks for.
fn press(length: u64) -> Option<ButtonAction> {
    let mut button = ready();
    button.handle_level(at(1_000), true);
    run(&mut button, at(1_000), at(1_000 + length));
    button.handle_level(at(1_000 + length), false);
    run(&mut button, at(1_000 + length), at(2_000 + length));
    let action = button.poll_action();
    assert_eq!(button.poll_action(), None, "an action is given once");
    action
}

#[test]
fn the_length_of_a_press_decides() {
    for (length, action) in [
        (1, None),
        (29, None),
        (100, None),
        (4_999, None),
        (5_000, Some(PasswordReset)),
        (14_999, Some(PasswordReset)),
        (15_000, Some(FactoryReset)),
        (59_999, Some(FactoryReset)),
        (60_000, None),
        (86_400_000, None),
    ] {
        assert_eq!(press(length), action, "{length}");
    }
}

#[test]
fn nothing_is_done_before_the_release_and_the_hold_shows_what_would_be() {
    let mut button = ready();
    button.handle_level(at(0), true);
    let mut now = at(0);
    for (until, hold) in [
        (4_999, None),
        (5_000, Some(Hold::Would(PasswordReset))),
        (14_999, Some(Hold::Would(PasswordReset))),
        (15_000, Some(Hold::Would(FactoryReset))),
        (59_999, Some(Hold::Would(FactoryReset))),
        (60_000, None),
    ] {
        run(&mut button, now, at(until));
        now = at(until);
        assert_eq!(button.hold(now), hold, "{until}");
        assert_eq!(button.poll_action(), None);
    }
    assert_eq!(
        button.poll_timeout(now),
        None,
        "a stuck button wakes nobody"
    );
}

#[test]
fn a_button_that_is_down_at_the_start_asks_for_nothing_until_it_was_up() {
    let mut button = Button::new();
    button.handle_level(at(0), true);
    run(&mut button, at(0), at(20_000));
    assert_eq!(button.hold(at(20_000)), None);
    button.handle_level(at(20_000), false);
    run(&mut button, at(20_000), at(21_000));
    assert_eq!(button.poll_action(), None);
    button.handle_level(at(21_000), true);
    button.handle_level(at(27_000), false);
    run(&mut button, at(27_000), at(28_000));
    assert_eq!(button.poll_action(), Some(PasswordReset));
}

#[test]
fn a_button_whose_device_goes_asks_for_nothing() {
    let mut button = ready();
    button.handle_level(at(0), true);
    run(&mut button, at(0), at(6_000));
    button.handle_gone();
    assert_eq!(button.hold(at(6_000)), None);
    button.handle_level(at(7_000), true);
    button.handle_level(at(30_000), false);
    run(&mut button, at(30_000), at(31_000));
    assert_eq!(button.poll_action(), None);
}

#[test]
fn contacts_that_bounce_make_one_press() {
    let mut button = ready();
    let mut down = true;
    for millis in (0..40).step_by(4) {
        button.handle_level(at(millis), down);
        down = !down;
    }
    button.handle_level(at(40), true);
    run(&mut button, at(40), at(9_000));
    // The contact opens for a moment within the press.
    button.handle_level(at(9_000), false);
    button.handle_level(at(9_020), true);
    run(&mut button, at(9_020), at(15_040));
    assert_eq!(button.hold(at(15_040)), Some(Hold::Would(FactoryReset)));
    button.handle_level(at(16_000), false);
    run(&mut button, at(16_000), at(17_000));
    assert_eq!(button.poll_action(), Some(FactoryReset));
}

#[test]
fn a_release_just_before_a_threshold_stays_before_it() {
    let mut button = ready();
    button.handle_level(at(0), true);
    run(&mut button, at(0), at(14_990));
    button.handle_level(at(14_990), false);
    assert_eq!(button.hold(at(15_010)), Some(Hold::Would(PasswordReset)));
    run(&mut button, at(14_990), at(15_100));
    assert_eq!(button.poll_action(), Some(PasswordReset));
}

#[test]
fn seeded_random_presses_with_bounces_ask_for_what_their_length_says() {
    for seed in 0..300 {
        let mut rng = Rng::from_number(seed);
        let mut random = |bound: u32| u64::from(rng.below(bound));
        let mut button = ready();
        let mut now = 1_000;
        for _ in 0..6 {
            let length = match random(3) {
                0 => 200 + random(9_000),
                1 => 200 + random(30_000),
                _ => 200 + random(90_000),
            };
            let expected = match length {
                5_000..15_000 => Some(PasswordReset),
                15_000..60_000 => Some(FactoryReset),
                _ => None,
            };
            let (begin, end) = (now, now + length);
            for (edge, level) in [(begin, true), (end, false)] {
                let mut moment = edge;
                // What bounces settles at the level that lasts, which begins with the last edge.
                for _ in 0..random(4) {
                    button.handle_level(at(moment.saturating_sub(8)), level);
                    button.handle_level(at(moment.saturating_sub(4)), !level);
                    moment = edge;
                }
                button.handle_level(at(edge), level);
                let until = if level {
                    end.saturating_sub(9)
                } else {
                    end + 500
                };
                run(&mut button, at(edge), at(until));
                if level {
                    assert_eq!(button.poll_action(), None, "seed {seed}");
                }
            }
            assert_eq!(button.poll_action(), expected, "seed {seed}: {length} ms");
            now = end + 500 + random(1_000);
        }
    }
}

#[test]
fn seeded_random_levels_at_any_times_never_panic_and_never_wake_in_the_past() {
    let mut rng = Rng::from_number(11);
    let mut button = Button::new();
    let mut now = Instant::ZERO;
    for _ in 0..50_000 {
        now = now + Duration::from_micros(u64::from(rng.below(2_000_000)));
        match rng.below(20) {
            0 => button.handle_gone(),
            1..=9 => button.handle_level(now, rng.below(2) == 0),
            _ => button.handle_timeout(now),
        }
        let _ = (button.hold(now), button.poll_action());
        assert!(button.poll_timeout(now).is_none_or(|next| next > now));
    }
}
