//! A button as Linux shows it: one key of an input device (`/dev/input/event*`, evdev).

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

use core::convert::Infallible;
use std::ffi::c_long;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use embedded_hal::digital::{ErrorType, InputPin};

use super::name::is_like;
use super::{ButtonDevice, ButtonPlace};
use crate::panel::{KeyEvent, KeyEvents};
use crate::shell::sys;

/// Where the kernel tells the names of input devices.
const INPUTS: &str = "/sys/class/input";

/// Where input devices are read.
const DEVICES: &str = "/dev/input";

/// Bytes read at once: some twenty events.
const READ_BYTES: usize = 512;

/// A key of an open device. High is pressed.
#[derive(Debug)]
pub struct EvdevKey {
    file: File,
    code: u16,
    events: KeyEvents,
    pressed: bool,
    /// What was read, and how much of it was looked at.
    read: [u8; READ_BYTES],
    from: usize,
    to: usize,
}

impl EvdevKey {
    /// Opens the device of a button, and asks how the button is. One that cannot be asked is up.
    ///
    /// # Errors
    ///
    /// There is no such device, or it may not be read.
    pub fn open(place: &ButtonPlace) -> io::Result<Self> {
        let path = match &place.device {
            ButtonDevice::Path(path) => path.clone(),
            ButtonDevice::Name(name) => find_in(Path::new(INPUTS), Path::new(DEVICES), name)?,
        };
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?;
        let mut key = Self {
            file,
            code: place.key,
            events: KeyEvents::new(place.key, size_of::<c_long>()),
            pressed: false,
            read: [0; READ_BYTES],
            from: 0,
            to: 0,
        };
        key.ask();
        Ok(key)
    }

    /// Reads up to the next change of the button; false when there is none for now. The level is
    /// then what it was made by that change, so that no press is lost between two looks.
    ///
    /// # Errors
    ///
    /// The device is gone.
    pub fn advance(&mut self) -> io::Result<bool> {
        loop {
            while let Some(byte) = self.read.get(self.from..self.to).and_then(<[u8]>::first) {
                let byte = *byte;
                self.from = self.from.saturating_add(1);
                match self.events.handle_byte(byte) {
                    Some(KeyEvent::Pressed) => self.pressed = true,
                    Some(KeyEvent::Released) => self.pressed = false,
                    Some(KeyEvent::Lost) => self.ask(),
                    None => continue,
                }
                return Ok(true);
            }
            (self.from, self.to) = (0, 0);
            match self.file.read(&mut self.read) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.to = length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn ask(&mut self) {
        if let Ok(pressed) = sys::key_is_down(self.file.as_fd(), self.code) {
            self.pressed = pressed;
        }
    }
}

impl AsFd for EvdevKey {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl ErrorType for EvdevKey {
    type Error = Infallible;
}

impl InputPin for EvdevKey {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.pressed)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.pressed)
    }
}

/// The path of the input device of a name; of several, of the one that the kernel numbered first.
fn find_in(inputs: &Path, devices: &Path, name: &str) -> io::Result<PathBuf> {
    let numbers = fs::read_dir(inputs)?.filter_map(|entry| {
        let entry = entry.ok()?.file_name();
        let number: u32 = entry.to_str()?.strip_prefix("event")?.parse().ok()?;
        Some(number)
    });
    let is_it = |number: &u32| {
        let path = inputs.join(format!("event{number}/device/name"));
        fs::read_to_string(path).is_ok_and(|found| is_like(found.trim_end(), name))
    };
    match numbers.filter(is_it).min() {
        Some(number) => Ok(devices.join(format!("event{number}"))),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no input device has this name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_device_of_a_name_is_found() {
        let folder = format!("trunkcast-inputs-{}", std::process::id());
        let inputs = std::env::temp_dir().join(folder);
        for (event, name) in [
            ("event10", "soc:button@3"),
            ("event9", "soc:button@3"),
            ("event0", "pwr_button"),
            ("mouse0", "soc:button@3"),
            ("input4", "soc:button@3"),
        ] {
            let device = inputs.join(event).join("device");
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("name"), format!("{name}\n")).unwrap();
        }
        let find = |name| find_in(&inputs, Path::new("/dev/input"), name);
        let (button, power) = (find("*button@*"), find("pwr_button"));
        let missing = find("button");
        fs::remove_dir_all(&inputs).unwrap();
        assert_eq!(button.unwrap(), Path::new("/dev/input/event9"));
        assert_eq!(power.unwrap(), Path::new("/dev/input/event0"));
        assert!(missing.is_err());
    }
}
