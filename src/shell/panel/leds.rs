//! LEDs as the kernel shows them in files: `/sys/class/leds/NAME/brightness`, `max_brightness` and
//! `trigger` (Documentation/leds/leds-class.rst of Linux).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};

use super::name::is_like;
use super::{LedPlace, SEARCH};
use crate::base::time::Instant;
use crate::panel::Lamp;

/// Where the kernel shows LEDs.
const LEDS: &str = "/sys/class/leds";

/// How often an LED that is there is written to anew: somebody else may have.
const REFRESH: Duration = Duration::from_secs(60);

/// An LED that was found.
#[derive(Clone, Debug)]
pub struct SysfsLed {
    folder: PathBuf,
    /// What is written to light it.
    bright: u32,
}

/// Why an LED was not written to.
#[derive(Debug)]
pub struct LedError(io::Error);

impl fmt::Display for LedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for LedError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl SysfsLed {
    /// Takes the LED of a folder from whatever moved it so far.
    ///
    /// # Errors
    ///
    /// There is no LED.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::metadata(folder.join("brightness"))?;
        let bright = fs::read_to_string(folder.join("max_brightness"));
        let bright = bright.ok().and_then(|text| text.trim().parse().ok());
        // Who may not set the trigger may yet set the brightness, which ends most triggers too.
        let _ = write(&folder.join("trigger"), "none");
        Ok(Self {
            folder,
            bright: bright.filter(|bright| *bright > 0).unwrap_or(1),
        })
    }

    fn set(&self, brightness: u32) -> Result<(), LedError> {
        let path = self.folder.join("brightness");
        write(&path, &brightness.to_string()).map_err(LedError)
    }
}

impl ErrorType for SysfsLed {
    type Error = LedError;
}

impl OutputPin for SysfsLed {
    fn set_low(&mut self) -> Result<(), LedError> {
        self.set(0)
    }

    fn set_high(&mut self) -> Result<(), LedError> {
        self.set(self.bright)
    }
}

/// Writes to a file that is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// An LED of the board, there or not.
#[derive(Debug)]
pub struct Led {
    place: LedPlace,
    lamp: Option<Lamp<SysfsLed>>,
    /// When it is looked for again, or written to anew.
    next: Instant,
    /// That it is missing was said.
    told: bool,
}

impl Led {
    /// The LED of a place. It is looked for with the first [`Self::show`].
    pub fn new(place: LedPlace) -> Self {
        Self {
            place,
            lamp: None,
            next: Instant::ZERO,
            told: false,
        }
    }

    /// Lights it or not, where it is there.
    pub fn show(&mut self, now: Instant, lit: bool) {
        if now >= self.next {
            self.look(now);
        }
        if let Some(lamp) = &mut self.lamp
            && let Err(error) = lamp.show(lit)
        {
            self.lamp = None;
            self.next = now + SEARCH;
            self.tell(&error);
        }
    }

    /// When it wants [`Self::show`] though nothing changed.
    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    fn look(&mut self, now: Instant) {
        if let Some(lamp) = &mut self.lamp {
            lamp.forget();
            self.next = now + REFRESH;
            return;
        }
        self.next = now + SEARCH;
        let name = &self.place.name;
        let found = find(name).and_then(SysfsLed::open);
        match found {
            Ok(led) => {
                if self.told {
                    log::info!("LED {name} is there");
                    self.told = false;
                }
                self.lamp = Some(Lamp::new(led, self.place.inverted));
                self.next = now + REFRESH;
            }
            Err(error) => self.tell(&error),
        }
    }

    fn tell(&mut self, error: &dyn fmt::Display) {
        if !self.told {
            self.told = true;
            log::warn!(
                "LED {}: {error}; it is left out until it is there",
                self.place.name
            );
        }
    }
}

/// The folder of the LED of a name.
fn find(name: &str) -> io::Result<PathBuf> {
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    find_in(Path::new(LEDS), name)
}

fn find_in(leds: &Path, name: &str) -> io::Result<PathBuf> {
    if !name.contains('*') {
        return Ok(leds.join(name));
    }
    let names = fs::read_dir(leds)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|found| is_like(found, name)).collect();
    names.sort_unstable();
    match names.first() {
        Some(found) => Ok(leds.join(found)),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own that looks like an LED, and goes at the end.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Self {
            let folder = format!("trunkcast-led-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let fake = Self(folder);
            fake.fill();
            fake
        }

        fn fill(&self) {
            for (file, text) in [
                ("brightness", "0\n"),
                ("max_brightness", "255\n"),
                ("trigger", "none [mmc0] heartbeat\n"),
            ] {
                fs::write(self.0.join(file), text).unwrap();
            }
        }

        fn brightness(&self) -> String {
            fs::read_to_string(self.0.join("brightness")).unwrap()
        }

        fn led(&self, inverted: bool) -> Led {
            Led::new(LedPlace {
                name: self.0.display().to_string(),
                inverted,
            })
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn an_led_is_taken_from_its_trigger_and_lit_as_bright_as_it_can() {
        let fake = Fake::new("plain");
        let mut led = fake.led(false);
        led.show(at(0), true);
        assert_eq!(fake.brightness(), "255");
        let trigger = fs::read_to_string(fake.0.join("trigger")).unwrap();
        assert_eq!(trigger, "none");
        led.show(at(1), false);
        assert_eq!(fake.brightness(), "0");
    }

    #[test]
    fn an_inverted_led_is_lit_by_nothing() {
        let fake = Fake::new("inverted");
        let mut led = fake.led(true);
        led.show(at(0), true);
        assert_eq!(fake.brightness(), "0");
        led.show(at(1), false);
        assert_eq!(fake.brightness(), "255");
    }

    #[test]
    fn an_led_that_vanishes_is_left_out_and_taken_again_when_it_is_back() {
        let fake = Fake::new("vanishes");
        let mut led = fake.led(false);
        led.show(at(0), true);
        fs::remove_dir_all(&fake.0).unwrap();
        led.show(at(1), false);
        led.show(at(7), false);
        fs::create_dir_all(&fake.0).unwrap();
        fake.fill();
        led.show(at(13), true);
        assert_eq!(fake.brightness(), "255");
    }

    #[test]
    fn what_somebody_else_wrote_is_put_right_within_a_minute() {
        let fake = Fake::new("meddled");
        let mut led = fake.led(false);
        led.show(at(0), true);
        fake.fill();
        led.show(at(30), true);
        assert_eq!(fake.brightness(), "0\n");
        led.show(at(60), true);
        assert_eq!(fake.brightness(), "255");
    }

    #[test]
    fn a_name_with_a_star_finds_the_led_whatever_number_it_got() {
        let fake = Fake::new("named");
        for name in ["input3::numlock", "input7::numlock", "input3::capslock"] {
            fs::create_dir_all(fake.0.join(name)).unwrap();
        }
        let found = find_in(&fake.0, "input*::numlock").unwrap();
        assert_eq!(found, fake.0.join("input3::numlock"));
        assert!(find_in(&fake.0, "nothing*").is_err());
    }
}
