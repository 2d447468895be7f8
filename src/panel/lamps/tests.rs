use super::*;
use crate::base::rng::Rng;

const ALL: Fitted = Fitted {
    registered: true,
    in_call: true,
    fault: true,
};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn facts(registered: bool, calls: u16, fault: bool) -> Facts {
    Facts {
        registered,
        calls,
        fault,
    }
}

fn fitted(names: &str) -> Fitted {
    Fitted {
        registered: names.contains('r'),
        in_call: names.contains('c'),
        fault: names.contains('f'),
    }
}

/// The lights of registered, in call and fault after these facts.
fn lights(names: &str, word: Option<Facts>) -> [Light; 3] {
    let mut lamps = Lamps::new(at(0), fitted(names));
    let now = at(6_000);
    if let Some(facts) = word {
        lamps.handle_facts(now, facts);
    }
    let Lights {
        registered,
        in_call,
        fault,
    } = lamps.lights(now);
    [registered, in_call, fault]
}

use Light::{DoubleFlash, Off, On, Quick, Slow, Wink};

#[test]
fn three_leds_each_say_their_own() {
    for (word, expected) in [
        (Some(facts(true, 0, false)), [On, Off, Off]),
        (Some(facts(true, 3, false)), [On, On, Off]),
        (Some(facts(true, 1, true)), [On, On, On]),
        (Some(facts(false, 0, false)), [Slow, Off, Off]),
        (Some(facts(false, 0, true)), [Slow, Off, On]),
        (None, [Off, Off, DoubleFlash]),
    ] {
        assert_eq!(lights("rcf", word), expected, "{word:?}");
    }
}

#[test]
fn two_leds_say_as_much_as_three() {
    for (word, rf, rc, cf) in [
        (
            Some(facts(true, 0, false)),
            [On, Off, Off],
            [On, Off, Off],
            [Off, Off, Off],
        ),
        (
            Some(facts(true, 2, false)),
            [Wink, Off, Off],
            [On, On, Off],
            [Off, On, Off],
        ),
        (
            Some(facts(false, 0, false)),
            [Slow, Off, Off],
            [Slow, Off, Off],
            [Off, Off, Slow],
        ),
        (
            Some(facts(false, 1, true)),
            [Slow, Off, On],
            [Quick, On, Off],
            [Off, On, On],
        ),
        (
            None,
            [Off, Off, DoubleFlash],
            [DoubleFlash, Off, Off],
            [Off, Off, DoubleFlash],
        ),
    ] {
        assert_eq!(lights("rf", word), rf, "{word:?}");
        assert_eq!(lights("rc", word), rc, "{word:?}");
        assert_eq!(lights("cf", word), cf, "{word:?}");
    }
}

#[test]
fn one_led_says_the_worst_wherever_it_is() {
    for (word, light) in [
        (Some(facts(true, 0, false)), On),
        (Some(facts(true, 9, false)), Wink),
        (Some(facts(false, 0, false)), Slow),
        (Some(facts(true, 1, true)), Quick),
        (None, DoubleFlash),
    ] {
        for (name, place) in [("r", 0), ("c", 1), ("f", 2)] {
            let mut expected = [Off; 3];
            expected[place] = light;
            assert_eq!(lights(name, word), expected, "{name} {word:?}");
        }
    }
    assert_eq!(lights("", None), [Off; 3]);
}

#[test]
fn a_daemon_that_says_nothing_for_five_seconds_is_a_fault() {
    let mut lamps = Lamps::new(at(0), fitted("f"));
    assert_eq!(lamps.lights(at(4_999)).fault, Off, "it is still awaited");
    assert_eq!(lamps.poll_timeout(at(0)), Some(at(5_000)));
    assert_eq!(lamps.lights(at(5_000)).fault, DoubleFlash);
    lamps.handle_facts(at(7_000), facts(true, 0, false));
    assert_eq!(lamps.lights(at(11_999)).fault, On);
    assert_eq!(lamps.lights(at(12_000)).fault, DoubleFlash);
}

#[test]
fn a_daemon_that_goes_is_a_fault_at_once_and_one_that_never_was_is_awaited() {
    let mut lamps = Lamps::new(at(0), ALL);
    lamps.handle_gone();
    assert_eq!(lamps.lights(at(1_000)).fault, Off);
    lamps.handle_facts(at(1_000), facts(true, 0, false));
    lamps.handle_gone();
    assert_eq!(lamps.lights(at(1_001)).fault, DoubleFlash);
}

#[test]
fn a_held_button_takes_all_leds_and_a_choice_is_confirmed() {
    let mut lamps = Lamps::new(at(0), ALL);
    lamps.handle_facts(at(0), facts(true, 0, false));
    let shown = |lamps: &Lamps, now| {
        let lights = lamps.lights(now);
        [lights.registered, lights.in_call, lights.fault]
    };
    lamps.handle_hold(at(10), Some(Hold::Would(ButtonAction::PasswordReset)));
    assert_eq!(shown(&lamps, at(10)), [Slow; 3]);
    lamps.handle_hold(at(20), Some(Hold::Would(ButtonAction::FactoryReset)));
    assert_eq!(shown(&lamps, at(20)), [Quick; 3]);
    lamps.handle_hold(at(30), Some(Hold::Does(ButtonAction::FactoryReset)));
    assert_eq!(shown(&lamps, at(2_029)), [On; 3]);
    assert_eq!(lamps.poll_timeout(at(30)), Some(at(2_030)));
    assert_eq!(shown(&lamps, at(2_030)), [On, Off, Off]);
    lamps.handle_hold(at(2_100), None);
    assert_eq!(shown(&lamps, at(2_100)), [On, Off, Off]);
}

#[test]
fn steady_leds_wake_their_owner_for_the_silence_alone() {
    let mut lamps = Lamps::new(at(0), ALL);
    lamps.handle_facts(at(1_000), facts(true, 1, true));
    assert_eq!(lamps.poll_timeout(at(1_000)), Some(at(6_000)));
}

#[test]
fn seeded_random_histories_change_only_when_it_was_announced() {
    for seed in 0..200 {
        let mut rng = Rng::from_number(seed);
        let mask = rng.below(8);
        let fitted = Fitted {
            registered: mask & 1 != 0,
            in_call: mask & 2 != 0,
            fault: mask & 4 != 0,
        };
        let mut now = Instant::ZERO;
        let mut lamps = Lamps::new(now, fitted);
        for _ in 0..60 {
            match rng.below(6) {
                0 => lamps.handle_gone(),
                1 => lamps.handle_hold(now, None),
                2 => {
                    let action = match rng.below(2) {
                        0 => ButtonAction::PasswordReset,
                        _ => ButtonAction::FactoryReset,
                    };
                    let hold = match rng.below(2) {
                        0 => Hold::Would(action),
                        _ => Hold::Does(action),
                    };
                    lamps.handle_hold(now, Some(hold));
                }
                _ => {
                    let said = facts(rng.below(2) == 0, rng.below(3) as u16, rng.below(2) == 0);
                    lamps.handle_facts(now, said);
                }
            }
            let until = now + Duration::from_millis(u64::from(rng.below(3_000)));
            let mut shown = lamps.lit(now);
            assert!(!shown.registered || fitted.registered);
            assert!(!shown.in_call || fitted.in_call);
            assert!(!shown.fault || fitted.fault);
            let mut announced = lamps.poll_timeout(now);
            while now < until {
                now = now + Duration::from_micros(1_000);
                let lit = lamps.lit(now);
                if announced.is_some_and(|at| at <= now) {
                    announced = lamps.poll_timeout(now);
                } else {
                    assert_eq!(lit, shown, "seed {seed} at {now}");
                }
                shown = lit;
            }
        }
    }
}
