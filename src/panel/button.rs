//! What pressing the one button of the box asks for: the length of the press decides.
//!
//! Held for 5 seconds and released, it resets the password of the page; for 15, it restores the
//! factory state; for more than 60 it is stuck, or something lies on it, and asks for nothing. Nor
//! does one that was down when the program began, or its device came: a jammed button must not
//! wipe a box at every start.
//!
//! Contacts bounce: a change counts once it has lasted 30 ms, from the moment at which it began.

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
use crate::panel::Hold;

/// From how long on a press resets the password.
pub const PASSWORD_RESET: Duration = Duration::from_secs(5);

/// From how long on a press restores the factory state.
pub const FACTORY_RESET: Duration = Duration::from_secs(15);

/// From how long on a button counts as stuck, and its release does nothing.
pub const STUCK: Duration = Duration::from_secs(60);

/// How long a change has to last.
const BOUNCE: Duration = Duration::from_millis(30);

/// What a press asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonAction {
    /// Forget the password of the page.
    PasswordReset,
    /// Restore the factory state.
    FactoryReset,
}

/// How the button is, bounces left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known of it: down, it would be down since before our time.
    Unknown,
    /// Up.
    Up,
    /// Down since a moment.
    Down(Instant),
    /// Down, and its release will do nothing.
    Ignored,
}

/// The machine behind the button.
#[derive(Clone, Debug)]
pub struct Button {
    state: State,
    /// The level that is there now, and since when.
    level: Option<(Instant, bool)>,
    /// What was decided and not yet taken.
    action: Option<ButtonAction>,
}

impl Default for Button {
    fn default() -> Self {
        Self::new()
    }
}

impl Button {
    /// A button of which nothing is known yet.
    pub const fn new() -> Self {
        Self {
            state: State::Unknown,
            level: None,
            action: None,
        }
    }

    /// The button is down or up; told as often as one likes, at every change at least.
    pub fn handle_level(&mut self, now: Instant, pressed: bool) {
        self.handle_timeout(now);
        if self.state == State::Unknown {
            self.state = if pressed { State::Ignored } else { State::Up };
            self.level = Some((now, pressed));
        } else if self.level.is_none_or(|(_, level)| level != pressed) {
            self.level = Some((now, pressed));
        }
    }

    /// Its device is gone: a press that was under way asks for nothing.
    pub fn handle_gone(&mut self) {
        self.state = State::Unknown;
        self.level = None;
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((since, pressed)) = self.level
            && now.since(since) >= BOUNCE
        {
            match self.state {
                State::Up if pressed => self.state = State::Down(since),
                State::Down(pressed_at) if !pressed => {
                    self.action = asked_for(since.since(pressed_at)).or(self.action);
                    self.state = State::Up;
                }
                State::Ignored if !pressed => self.state = State::Up,
                State::Unknown | State::Up | State::Down(_) | State::Ignored => {}
            }
        }
        // One whose release is still being told from a bounce was up at that moment.
        if let State::Down(pressed_at) = self.state
            && self.level.is_some_and(|(_, pressed)| pressed)
            && now.since(pressed_at) >= STUCK
        {
            self.state = State::Ignored;
        }
    }

    /// What a press that is over asks for; once.
    pub fn poll_action(&mut self) -> Option<ButtonAction> {
        self.action.take()
    }

    /// What its release would do now.
    pub fn hold(&self, now: Instant) -> Option<Hold> {
        match self.state {
            State::Down(since) => {
                // A release that may yet be a bounce counts from its beginning.
                let until = match self.level {
                    Some((at, false)) => at,
                    Some((_, true)) | None => now,
                };
                asked_for(until.since(since)).map(Hold::Would)
            }
            State::Unknown | State::Up | State::Ignored => None,
        }
    }

    /// When it has to be looked at again, without any change of the button.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let settled = self.level.map(|(since, _)| since + BOUNCE);
        let settled = settled.filter(|at| *at > now);
        let State::Down(since) = self.state else {
            return settled;
        };
        let steps = [PASSWORD_RESET, FACTORY_RESET, STUCK].map(|step| since + step);
        let step = steps.into_iter().find(|at| *at > now);
        Instant::earliest(settled, step)
    }
}

/// What a press of a length asks for.
fn asked_for(length: Duration) -> Option<ButtonAction> {
    match length {
        _ if length >= STUCK => None,
        _ if length >= FACTORY_RESET => Some(ButtonAction::FactoryReset),
        _ if length >= PASSWORD_RESET => Some(ButtonAction::PasswordReset),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
