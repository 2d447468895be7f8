//! LEDs and button of the board, in a process of its own, and the daemon's side of it.
//!
//! `trunkcast panel` runs [`front::Front`]: it shows on [`leds`] what the daemon says at its socket
//! ([`mod@line`]), and leaves a mark for the service manager when the [`key`] was held. The daemon says it
//! by its [`door`]. What is missing, LEDs, button or daemon, is told once and looked for again; nothing
//! of it ends the program.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod door;
pub mod front;
pub mod key;
pub mod leds;
pub mod line;
mod name;

use std::path::PathBuf;
use std::time::Duration;

pub use front::Front;

/// Where the daemon says how it is, below its `RUNTIME_DIRECTORY`.
pub const SOCKET_NAME: &str = "panel";

/// Where the daemon says how it is, unless somebody names another place.
pub const DAEMON_SOCKET: &str = "/run/trunkcast/panel";

/// Folder of the marks, unless somebody names another.
pub const MARKS_FOLDER: &str = "/run/trunkcast-panel";

/// When what is missing is looked for again.
const SEARCH: Duration = Duration::from_secs(5);

/// An LED of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedPlace {
    /// Its name in `/sys/class/leds`, in which `*` stands for any characters; or, beginning with a
    /// slash, a folder like those there.
    pub name: String,
    /// It is lit by 0.
    pub inverted: bool,
}

/// Which input device the button is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ButtonDevice {
    /// The one at a path, such as `/dev/input/by-path/platform-gpio-keys-event`.
    Path(PathBuf),
    /// The first of this name (`/sys/class/input/event*/device/name`), in which `*` stands for any
    /// characters.
    Name(String),
}

/// The button of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ButtonPlace {
    /// Its device.
    pub device: ButtonDevice,
    /// The code of its key in `linux/input-event-codes.h`.
    pub key: u16,
}

/// What of the board is whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanelBoard {
    /// The LED for whether the box is registered.
    pub registered: Option<LedPlace>,
    /// The LED for whether a call is up.
    pub in_call: Option<LedPlace>,
    /// The LED for whether something is wrong.
    pub fault: Option<LedPlace>,
    /// The button.
    pub button: Option<ButtonPlace>,
    /// The daemon's socket, where it is not the usual one.
    pub daemon: Option<PathBuf>,
    /// Folder for the marks, where it is not the usual one.
    pub marks: Option<PathBuf>,
}
