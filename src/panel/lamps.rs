//! Which LED is lit: the daemon's facts, the button that is held, and the time.
//!
//! What a LED says, for each of what may be fitted (`registered`, in call, fault; any may be
//! missing, and one that stands alone says all):
//!
//! | LED | lit | dark | slow | quick | winking | two flashes |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | registered | registered | (no word, with a fault LED) | not registered | fault ¹ | in call ² | no word of the daemon ¹ |
//! | in call | in call | no call, or no word | | | | |
//! | fault | fault | all well | not registered ³ | | | no word of the daemon |
//!
//! ¹ without a fault LED; ² without an in-call LED; ³ without a registered LED. A single LED speaks
//! as a registered LED without the two others.
//!
//! A button that is held long enough takes all LEDs: slow for the password, quick for the factory
//! state, lit for a moment when the choice was made.

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

use crate::base::time::Instant;
use crate::panel::{ButtonAction, Facts, Light};

/// How long facts are good; without news of the daemon it counts as gone.
pub const SILENCE: Duration = Duration::from_secs(5);

/// How long all LEDs are lit once a choice was made at the button.
const CONFIRMED: Duration = Duration::from_secs(2);

/// Which LEDs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// For whether the box is registered.
    pub registered: bool,
    /// For whether a call is up.
    pub in_call: bool,
    /// For whether something is wrong.
    pub fault: bool,
}

/// Which LEDs are lit; those that are not fitted are dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lit {
    /// That for whether the box is registered.
    pub registered: bool,
    /// That for whether a call is up.
    pub in_call: bool,
    /// That for whether something is wrong.
    pub fault: bool,
}

/// What is to be seen of a button that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// What its release would do now.
    Would(ButtonAction),
    /// It was released, and this is being done.
    Does(ButtonAction),
}

/// What is known of the daemon.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// Nothing yet, since a moment.
    Awaited(Instant),
    /// What it said, and when.
    Said(Instant, Facts),
    /// It is gone.
    Gone,
}

/// The lights of one of each LED.
#[derive(Clone, Copy, Debug, Default)]
struct Lights {
    registered: Light,
    in_call: Light,
    fault: Light,
}

/// The machine behind all LEDs of a box.
#[derive(Clone, Debug)]
pub struct Lamps {
    fitted: Fitted,
    word: Word,
    hold: Option<Hold>,
    /// Until when the confirmation of a choice is to be seen.
    confirmed_until: Instant,
}

impl Lamps {
    /// LEDs of a box whose daemon has not said anything yet.
    pub const fn new(now: Instant, fitted: Fitted) -> Self {
        Self {
            fitted,
            word: Word::Awaited(now),
            hold: None,
            confirmed_until: Instant::ZERO,
        }
    }

    /// The daemon said how it is.
    pub fn handle_facts(&mut self, now: Instant, facts: Facts) {
        self.word = Word::Said(now, facts);
    }

    /// The daemon closed its side. One that has not said anything yet is still awaited.
    pub fn handle_gone(&mut self) {
        if let Word::Said(..) = self.word {
            self.word = Word::Gone;
        }
    }

    /// What is to be seen of the button changed.
    pub fn handle_hold(&mut self, now: Instant, hold: Option<Hold>) {
        if let Some(Hold::Does(_)) = hold {
            self.confirmed_until = now + CONFIRMED;
        }
        self.hold = hold;
    }

    /// Which LEDs are lit.
    pub fn lit(&self, now: Instant) -> Lit {
        let lights = self.lights(now);
        Lit {
            registered: lights.registered.is_lit(now),
            in_call: lights.in_call.is_lit(now),
            fault: lights.fault.is_lit(now),
        }
    }

    /// When [`Self::lit`] may be another by itself.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let lights = self.lights(now);
        let mut next = None;
        for light in [lights.registered, lights.in_call, lights.fault] {
            next = Instant::earliest(next, light.next_change(now));
        }
        let silence = match self.word {
            Word::Awaited(since) | Word::Said(since, _) => Some(since + SILENCE),
            Word::Gone => None,
        };
        let confirmed = matches!(self.hold, Some(Hold::Does(_))).then_some(self.confirmed_until);
        for at in [silence, confirmed].into_iter().flatten() {
            if at > now {
                next = Instant::earliest(next, Some(at));
            }
        }
        next
    }

    fn lights(&self, now: Instant) -> Lights {
        let light = match self.hold {
            Some(Hold::Does(_)) if now < self.confirmed_until => Light::On,
            Some(Hold::Would(ButtonAction::PasswordReset)) => Light::Slow,
            Some(Hold::Would(ButtonAction::FactoryReset)) => Light::Quick,
            Some(Hold::Does(_)) | None => return self.lights_of_word(now),
        };
        let all = Lights {
            registered: light,
            in_call: light,
            fault: light,
        };
        all.only(self.fitted)
    }

    fn lights_of_word(&self, now: Instant) -> Lights {
        let fitted = self.fitted;
        let word = match self.word {
            Word::Said(at, facts) if now.since(at) < SILENCE => Some(facts),
            // The daemon gets the time that it has between two words to say the first.
            Word::Awaited(since) if now.since(since) < SILENCE => return Lights::default(),
            _ => None,
        };
        let all = [fitted.registered, fitted.in_call, fitted.fault];
        if all.into_iter().filter(|it| *it).count() == 1 {
            let light = for_registered(word, true, true);
            let all = Lights {
                registered: light,
                in_call: light,
                fault: light,
            };
            return all.only(fitted);
        }
        let in_call = word.is_some_and(|facts| facts.calls > 0);
        let fault = match word {
            None => Light::DoubleFlash,
            Some(Facts { fault: true, .. }) => Light::On,
            Some(facts) if !facts.registered && !fitted.registered => Light::Slow,
            Some(_) => Light::Off,
        };
        let lights = Lights {
            registered: for_registered(word, !fitted.in_call, !fitted.fault),
            in_call: if in_call { Light::On } else { Light::Off },
            fault,
        };
        lights.only(fitted)
    }
}

impl Lights {
    /// Those that are fitted: nothing is to be timed for others.
    const fn only(mut self, fitted: Fitted) -> Self {
        if !fitted.registered {
            self.registered = Light::Off;
        }
        if !fitted.in_call {
            self.in_call = Light::Off;
        }
        if !fitted.fault {
            self.fault = Light::Off;
        }
        self
    }
}

/// The light of the LED for registrations, where it also speaks for calls and faults.
const fn for_registered(word: Option<Facts>, for_calls: bool, for_faults: bool) -> Light {
    match word {
        None if for_faults => Light::DoubleFlash,
        None => Light::Off,
        Some(Facts { fault: true, .. }) if for_faults => Light::Quick,
        Some(Facts {
            registered: false, ..
        }) => Light::Slow,
        Some(Facts { calls: 1.., .. }) if for_calls => Light::Wink,
        Some(_) => Light::On,
    }
}

#[cfg(test)]
mod tests;
