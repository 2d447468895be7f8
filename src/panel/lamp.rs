//! One LED at its pin, of whatever kind.

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

use embedded_hal::digital::{OutputPin, PinState};

/// An LED that is written to only when it changes.
#[derive(Clone, Debug)]
pub struct Lamp<P> {
    pin: P,
    /// A pin that is low lights it.
    inverted: bool,
    shown: Option<bool>,
}

impl<P: OutputPin> Lamp<P> {
    /// An LED of which nothing is known yet. One that is `inverted` is lit by a low pin.
    pub const fn new(pin: P, inverted: bool) -> Self {
        Self {
            pin,
            inverted,
            shown: None,
        }
    }

    /// Lights it or not.
    ///
    /// # Errors
    ///
    /// The pin's own; it is written to again with the next call.
    pub fn show(&mut self, lit: bool) -> Result<(), P::Error> {
        if self.shown == Some(lit) {
            return Ok(());
        }
        self.shown = None;
        self.pin.set_state(PinState::from(lit != self.inverted))?;
        self.shown = Some(lit);
        Ok(())
    }

    /// Writes to it again with the next call, whatever it showed: somebody else may have.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// The pin.
    pub const fn pin(&self) -> &P {
        &self.pin
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::digital::{ErrorKind, ErrorType};

    use super::*;

    #[derive(Default)]
    struct Pin {
        written: Vec<bool>,
        broken: bool,
    }

    impl ErrorType for Pin {
        type Error = ErrorKind;
    }

    impl OutputPin for Pin {
        fn set_low(&mut self) -> Result<(), ErrorKind> {
            self.set(false)
        }

        fn set_high(&mut self) -> Result<(), ErrorKind> {
            self.set(true)
        }
    }

    impl Pin {
        fn set(&mut self, high: bool) -> Result<(), ErrorKind> {
            if self.broken {
                return Err(ErrorKind::Other);
            }
            self.written.push(high);
            Ok(())
        }
    }

    #[test]
    fn a_lamp_writes_changes_alone() {
        let mut lamp = Lamp::new(Pin::default(), false);
        for lit in [false, false, true, true, true, false] {
            lamp.show(lit).unwrap();
        }
        assert_eq!(lamp.pin().written, [false, true, false]);
        lamp.forget();
        lamp.show(false).unwrap();
        assert_eq!(lamp.pin().written.len(), 4);
    }

    #[test]
    fn an_inverted_lamp_is_lit_by_a_low_pin() {
        let mut lamp = Lamp::new(Pin::default(), true);
        lamp.show(true).unwrap();
        lamp.show(false).unwrap();
        assert_eq!(lamp.pin().written, [false, true]);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let mut lamp = Lamp::new(Pin::default(), false);
        lamp.show(true).unwrap();
        lamp.pin.broken = true;
        assert!(lamp.show(false).is_err());
        lamp.pin.broken = false;
        lamp.show(true).unwrap();
        assert_eq!(lamp.pin().written, [true, true]);
    }
}
