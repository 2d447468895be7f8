//! `panel.yml`: which LEDs and which button of a board are whose.
//!
//! ```yaml
//! leds:
//!   registered: {name: ACT, inverted: false}
//!   inCall: {name: "input*::capslock"}
//!   fault: {name: PWR}
//! button: {name: "*button@*", key: 148}      # or device: /dev/input/by-path/...
//! daemon: /run/trunkcast/panel
//! marks: /run/trunkcast-panel
//! ```
//!
//! Every part may be missing.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::path::PathBuf;

use crate::cli::config_problem::Problem;
use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{boolean, number};
use crate::cli::yaml::{self, Entry, Value};
use crate::gateway::config::Expected;
use crate::shell::panel::{ButtonDevice, ButtonPlace, LedPlace, PanelBoard};

/// Bytes of a panel file; a larger one is refused.
pub const FILE_BYTES: usize = 16_384;

const TOP_KEYS: &[&str] = &["leds", "button", "daemon", "marks"];

/// Highest code of a key (`KEY_MAX` of `linux/input-event-codes.h`).
const KEY_MAX: usize = 0x2ff;

/// Bytes of a name.
const NAME_BYTES: usize = 128;

/// Bytes of a path.
const PATH_BYTES: usize = 1_024;

/// Reads a panel file. `file` is only named in problems.
///
/// # Errors
///
/// Every problem found, in the order of the file.
pub fn load(text: &str, file: &str) -> Result<PanelBoard, Vec<Problem>> {
    let mut reader = Reader::new(file);
    if text.len() > FILE_BYTES {
        reader.problem(0, "", format!("expected at most {FILE_BYTES} bytes"));
        return Err(reader.into_problems());
    }
    let board = match yaml::parse(text) {
        Ok(root) => match &root.value {
            Value::Map(entries) => read_top(&mut reader, root.line, entries),
            Value::Nothing => PanelBoard::default(),
            Value::Text(_) | Value::List(_) => {
                let expected = format!("expected a mapping with {}", TOP_KEYS.join(", "));
                reader.problem(root.line, "", expected);
                PanelBoard::default()
            }
        },
        Err(error) => {
            let (field, expected) = match error.duplicate {
                Some(key) => (
                    key,
                    "expected once, but this key was given before".to_owned(),
                ),
                None => (String::new(), format!("expected YAML: {}", error.message)),
            };
            reader.problem(error.line, &field, expected);
            PanelBoard::default()
        }
    };
    match reader.has_problems() {
        false => Ok(board),
        true => Err(reader.into_problems()),
    }
}

fn read_top(reader: &mut Reader<'_>, line: usize, entries: &[Entry]) -> PanelBoard {
    // A part that is there and empty is as one that is missing.
    let given = |entry: &&Entry| entry.value.value != Value::Nothing;
    let entries: Vec<&Entry> = entries.iter().filter(given).collect();
    let top = reader.section("", line, &entries, TOP_KEYS, |_| None);
    let mut board = PanelBoard {
        daemon: reader.value(&top, "daemon", path),
        marks: reader.value(&top, "marks", path),
        ..PanelBoard::default()
    };
    if let Some(leds) = reader.child(&top, "leds", &["registered", "inCall", "fault"]) {
        board.registered = read_led(reader, &leds, "registered");
        board.in_call = read_led(reader, &leds, "inCall");
        board.fault = read_led(reader, &leds, "fault");
        let all = [&board.registered, &board.in_call, &board.fault];
        for (at, key) in [(1, "inCall"), (2, "fault")] {
            let name = |led: &&Option<LedPlace>| led.as_ref().map(|it| it.name.clone());
            let own = all.get(at).and_then(name);
            if own.is_some() && all.iter().take(at).any(|led| name(led) == own) {
                let expected = "expected an LED of its own; it would show two things at once";
                reader.problem_at(&leds, key, expected.to_owned());
            }
        }
    }
    if let Some(button) = reader.child(&top, "button", &["device", "name", "key"]) {
        board.button = read_button(reader, &button);
    }
    board
}

fn read_led(reader: &mut Reader<'_>, leds: &Section<'_>, key: &str) -> Option<LedPlace> {
    let led = reader.child(leds, key, &["name", "inverted"])?;
    let name = reader.required(&led, "name", led_name);
    let inverted = reader.value(&led, "inverted", boolean);
    Some(LedPlace {
        name: name?,
        inverted: inverted.unwrap_or(false),
    })
}

fn read_button(reader: &mut Reader<'_>, button: &Section<'_>) -> Option<ButtonPlace> {
    let key = reader.required(button, "key", |text| number(text, 1, KEY_MAX));
    let device = match (button.has("device"), button.has("name")) {
        (true, false) => {
            let path = reader.value(button, "device", path);
            path.map(ButtonDevice::Path)
        }
        (false, true) => {
            let name = reader.value(button, "name", device_name);
            name.map(ButtonDevice::Name)
        }
        _ => {
            let expected = "expected either device or name, and one of them";
            reader.problem_at(button, "", expected.to_owned());
            None
        }
    };
    let key = key.and_then(|key| u16::try_from(key).ok());
    Some(ButtonPlace {
        device: device?,
        key: key?,
    })
}

/// The name of an LED: one component of a path, or a whole one.
fn led_name(text: &str) -> Result<String, Expected> {
    let is_path = path(text).is_ok();
    let is_name = device_name(text).is_ok() && !text.contains('/') && !matches!(text, "." | "..");
    match is_path || is_name {
        true => Ok(text.to_owned()),
        false => Err(Expected::new(
            "the name of an LED as in /sys/class/leds, or the path of its folder",
        )),
    }
}

/// The name of an input device.
fn device_name(text: &str) -> Result<String, Expected> {
    let is_good = (1..=NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(Expected::new(
            "the name of an input device as in /sys/class/input/event*/device/name",
        )),
    }
}

/// An absolute path.
fn path(text: &str) -> Result<PathBuf, Expected> {
    let is_good =
        text.starts_with('/') && text.len() <= PATH_BYTES && !text.contains(char::is_control);
    match is_good {
        true => Ok(PathBuf::from(text)),
        false => Err(Expected::new("a path that begins with /")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const WHOLE: &str = "\
leds:
  registered: {name: ACT, inverted: false}
  inCall: {name: \"input*::capslock\", inverted: true}
  fault: {name: /sys/class/leds/PWR}
button:
  device: /dev/input/by-path/platform-button-event
  key: 148
daemon: /run/x/panel
marks: /run/y
";

    fn problems(text: &str) -> Vec<String> {
        let problems = load(text, "panel.yml").unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_is_read() {
        let led = |name: &str, inverted| {
            let name = name.to_owned();
            Some(LedPlace { name, inverted })
        };
        let board = PanelBoard {
            registered: led("ACT", false),
            in_call: led("input*::capslock", true),
            fault: led("/sys/class/leds/PWR", false),
            button: Some(ButtonPlace {
                device: ButtonDevice::Path("/dev/input/by-path/platform-button-event".into()),
                key: 148,
            }),
            daemon: Some("/run/x/panel".into()),
            marks: Some("/run/y".into()),
        };
        assert_eq!(load(WHOLE, "panel.yml"), Ok(board));
    }

    #[test]
    fn every_part_may_be_missing() {
        for text in ["", "# nothing\n", "leds:\n", "leds: {}\nbutton:\n"] {
            assert_eq!(load(text, "panel.yml"), Ok(PanelBoard::default()), "{text}");
        }
        let board = load("button: {name: pwr_button, key: 116}\n", "panel.yml").unwrap();
        let device = ButtonDevice::Name("pwr_button".to_owned());
        assert_eq!(board.button, Some(ButtonPlace { device, key: 116 }));
    }

    #[test]
    fn each_problem_is_told_with_its_line_and_field() {
        let text = "\
leds:
  registerd: {name: ACT}
  inCall: {inverted: maybe}
  fault: {name: a/b}
button: {device: event0, name: x, key: 768}
marks: here
";
        let expected = [
            "panel.yml:2: leds.registerd: unknown key; did you mean registered?",
            "panel.yml:3: leds.inCall.name: expected the name of an LED as in /sys/class/leds, or the path of its folder, but the key is missing",
            "panel.yml:3: leds.inCall.inverted: expected true or false; found \"maybe\"",
            "panel.yml:4: leds.fault.name: expected the name of an LED as in /sys/class/leds, or the path of its folder; found \"a/b\"",
            "panel.yml:5: button.key: expected a number from 1 to 767; found \"768\"",
            "panel.yml:5: button: expected either device or name, and one of them",
            "panel.yml:6: marks: expected a path that begins with /; found \"here\"",
        ];
        assert_eq!(problems(text), expected);
        assert_eq!(
            problems("leds: {registered: {name: A}, fault: {name: A}}\n"),
            [
                "panel.yml:1: leds.fault: expected an LED of its own; it would show two things at once"
            ]
        );
        assert_eq!(
            problems("button: {key: 1}\n"),
            ["panel.yml:1: button: expected either device or name, and one of them"]
        );
        assert_eq!(
            problems("- x\n"),
            ["panel.yml:1: expected a mapping with leds, button, daemon, marks"]
        );
    }

    #[test]
    fn every_cut_and_seeded_random_change_is_read_or_refused() {
        for length in 0..WHOLE.len() {
            let _ = load(&WHOLE[..length], "panel.yml");
        }
        let mut rng = Rng::from_number(5);
        for _ in 0..2_000 {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.below(128) as u8;
            }
            let _ = load(&String::from_utf8(bytes).unwrap(), "panel.yml");
        }
        assert!(load(&" ".repeat(FILE_BYTES + 1), "panel.yml").is_err());
    }
}
