//! Floor 2: the front of the box: LEDs that tell how it is, and one button.
//!
//! [`Facts`] are what the daemon tells of itself. [`Lamps`] makes of them, and of the time, which
//! LED is lit; [`Button`] makes of presses and releases what their length asks for. Neither knows a
//! device: LEDs and buttons are anything with the traits of `embedded-hal`, and [`KeyEvents`] reads
//! the events of the one kind of button that Linux has. `embedded-svc` has no trait for either.

#![forbid(unsafe_code)]

mod button;
mod facts;
mod key_event;
mod lamp;
mod lamps;
mod light;

pub use button::{Button, ButtonAction, FACTORY_RESET, PASSWORD_RESET, STUCK};
pub use facts::{FACTS_LINE_BYTES, Facts, FactsReader};
pub use key_event::{KeyEvent, KeyEvents};
pub use lamp::Lamp;
pub use lamps::{Fitted, Hold, Lamps, Lit, SILENCE};
pub use light::Light;
