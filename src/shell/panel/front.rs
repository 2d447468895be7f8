//! The loop of `trunkcast panel`: one thread that sleeps until a line, a key or a blink is due.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use embedded_hal::digital::InputPin as _;

use super::key::EvdevKey;
use super::leds::Led;
use super::line::DaemonLine;
use super::{ButtonDevice, ButtonPlace, DAEMON_SOCKET, MARKS_FOLDER, PanelBoard, SEARCH};
use crate::base::time::Instant;
use crate::panel::{Button, ButtonAction, Fitted, Hold, Lamps, Lit};
use crate::shell::clock::Clock;
use crate::shell::sys::{Epoll, Interest};
use crate::shell::waker::{Alarm, Waker};

/// When a daemon that is not there is tried again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Longest sleep.
const SLEEP: Duration = Duration::from_secs(60);

const ALARM: u64 = 0;
const BUTTON: u64 = 1;
const DAEMON: u64 = 2;

/// The button of the board, there or not.
struct OwnButton {
    place: ButtonPlace,
    key: Option<EvdevKey>,
    machine: Button,
    next: Instant,
    told: bool,
}

/// LEDs and button of the board.
pub struct Front {
    epoll: Epoll,
    alarm: Alarm,
    waker: Waker,
    clock: Clock,
    lamps: Lamps,
    registered: Option<Led>,
    in_call: Option<Led>,
    fault: Option<Led>,
    button: Option<OwnButton>,
    /// What was last to be seen of the button.
    hold: Option<Hold>,
    daemon: Option<DaemonLine>,
    socket: PathBuf,
    next_connect: Instant,
    marks: PathBuf,
}

impl Front {
    /// The front of a board. Nothing is looked for yet.
    ///
    /// # Errors
    ///
    /// The system refuses what every loop needs.
    pub fn new(board: PanelBoard) -> io::Result<Self> {
        let clock = Clock::start();
        let (alarm, waker) = Alarm::new()?;
        let epoll = Epoll::new()?;
        epoll.add(alarm.as_fd(), ALARM, Interest::Readable)?;
        let fitted = Fitted {
            registered: board.registered.is_some(),
            in_call: board.in_call.is_some(),
            fault: board.fault.is_some(),
        };
        let button = board.button.map(|place| OwnButton {
            place,
            key: None,
            machine: Button::new(),
            next: Instant::ZERO,
            told: false,
        });
        Ok(Self {
            epoll,
            alarm,
            waker,
            lamps: Lamps::new(clock.now(), fitted),
            clock,
            registered: board.registered.map(Led::new),
            in_call: board.in_call.map(Led::new),
            fault: board.fault.map(Led::new),
            button,
            hold: None,
            daemon: None,
            socket: board.daemon.unwrap_or_else(|| DAEMON_SOCKET.into()),
            next_connect: Instant::ZERO,
            marks: board.marks.unwrap_or_else(|| MARKS_FOLDER.into()),
        })
    }

    /// Ends [`Self::run`], from any thread.
    pub fn end(&self) -> Waker {
        self.waker.clone()
    }

    /// Runs until it is told to end; the LEDs are dark then.
    ///
    /// # Errors
    ///
    /// The system no longer tells what is ready.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let now = self.clock.now();
            self.look(now);
            self.press(now);
            self.show(now, self.lamps.lit(now));
            let now = self.clock.now();
            let sleep = self.poll_timeout(now).map_or(SLEEP, |at| at.since(now));
            let count = self.epoll.wait(sleep.min(SLEEP))?;
            let now = self.clock.now();
            for at in 0..count {
                match self.epoll.ready(at).token {
                    BUTTON => self.read_button(now),
                    DAEMON => self.read_daemon(now),
                    _ => {
                        self.alarm.clear();
                        self.show(now, Lit::default());
                        return Ok(());
                    }
                }
            }
        }
    }

    fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let mut next = self.lamps.poll_timeout(now);
        for led in [&self.registered, &self.in_call, &self.fault] {
            next = Instant::earliest(next, led.as_ref().map(Led::poll_timeout));
        }
        if self.daemon.is_none() {
            next = Instant::earliest(next, Some(self.next_connect));
        }
        let Some(button) = &self.button else {
            return next;
        };
        let due = match button.key {
            Some(_) => button.machine.poll_timeout(now),
            None => Some(button.next),
        };
        Instant::earliest(next, due)
    }

    /// Looks for what is missing.
    fn look(&mut self, now: Instant) {
        if let Some(button) = &mut self.button
            && button.key.is_none()
            && now >= button.next
        {
            button.look(now, &self.epoll);
        }
        if self.daemon.is_none() && now >= self.next_connect {
            self.next_connect = now + RECONNECT;
            let line = DaemonLine::connect(&self.socket);
            self.daemon = line.ok().filter(|line| {
                let watched = self.epoll.add(line.as_fd(), DAEMON, Interest::Readable);
                watched.is_ok()
            });
        }
    }

    /// Does what the button asks for, and has the LEDs show it.
    fn press(&mut self, now: Instant) {
        let Some(button) = &mut self.button else {
            return;
        };
        button.machine.handle_timeout(now);
        let hold = button.machine.hold(now);
        let action = button.machine.poll_action();
        if hold != self.hold {
            self.hold = hold;
            self.lamps.handle_hold(now, hold);
        }
        if let Some(action) = action {
            self.lamps.handle_hold(now, Some(Hold::Does(action)));
            self.mark(action);
        }
    }

    fn show(&mut self, now: Instant, lit: Lit) {
        for (led, lit) in [
            (&mut self.registered, lit.registered),
            (&mut self.in_call, lit.in_call),
            (&mut self.fault, lit.fault),
        ] {
            if let Some(led) = led {
                led.show(now, lit);
            }
        }
    }

    fn read_button(&mut self, now: Instant) {
        if let Some(button) = &mut self.button {
            button.read(now);
        }
    }

    fn read_daemon(&mut self, now: Instant) {
        let Some(line) = &mut self.daemon else {
            return;
        };
        match line.read() {
            Ok(Some(facts)) => self.lamps.handle_facts(now, facts),
            Ok(None) => {}
            Err(_) => {
                self.daemon = None;
                self.next_connect = now + RECONNECT;
                self.lamps.handle_gone();
            }
        }
    }

    /// Leaves the mark that the service manager waits for.
    fn mark(&self, action: ButtonAction) {
        let name = match action {
            ButtonAction::PasswordReset => "password-reset",
            ButtonAction::FactoryReset => "factory-reset",
        };
        let path = self.marks.join(name);
        let made = OpenOptions::new().create(true).append(true).open(&path);
        match made {
            Ok(_) => log::warn!("the button asks for {name}"),
            Err(error) => log::error!("{}: {error}", path.display()),
        }
    }
}

impl OwnButton {
    fn look(&mut self, now: Instant, epoll: &Epoll) {
        self.next = now + SEARCH;
        let opened = EvdevKey::open(&self.place).and_then(|key| {
            epoll.add(key.as_fd(), BUTTON, Interest::Readable)?;
            Ok(key)
        });
        match opened {
            Ok(mut key) => {
                if self.told {
                    log::info!("button {} is there", self.name());
                    self.told = false;
                }
                let Ok(pressed) = key.is_high();
                self.machine.handle_level(now, pressed);
                self.key = Some(key);
            }
            Err(error) => self.tell(&error),
        }
    }

    fn read(&mut self, now: Instant) {
        let Some(key) = &mut self.key else {
            return;
        };
        loop {
            match key.advance() {
                Ok(true) => {
                    let Ok(pressed) = key.is_high();
                    self.machine.handle_level(now, pressed);
                }
                Ok(false) => return,
                Err(error) => {
                    self.key = None;
                    self.machine.handle_gone();
                    self.next = now + RECONNECT;
                    return self.tell(&error);
                }
            }
        }
    }

    fn name(&self) -> String {
        match &self.place.device {
            ButtonDevice::Path(path) => path.display().to_string(),
            ButtonDevice::Name(name) => name.clone(),
        }
    }

    fn tell(&mut self, error: &io::Error) {
        if !self.told {
            self.told = true;
            log::warn!(
                "button {}: {error}; it is left out until it is there",
                self.name()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_leaves_the_mark_that_the_units_wait_for() {
        let folder = format!("trunkcast-marks-{}", std::process::id());
        let marks = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&marks).unwrap();
        let board = PanelBoard {
            marks: Some(marks.clone()),
            ..PanelBoard::default()
        };
        let front = Front::new(board).unwrap();
        front.mark(ButtonAction::PasswordReset);
        let password = marks.join("password-reset").exists();
        front.mark(ButtonAction::FactoryReset);
        let factory = marks.join("factory-reset").exists();
        std::fs::remove_dir_all(&marks).unwrap();
        assert!(password && factory);
        for unit in ["password-reset", "factory-reset"] {
            let file = format!("systemd/trunkcast-{unit}.path");
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(path).unwrap();
            let mark = format!("PathExists={MARKS_FOLDER}/{unit}");
            assert!(text.contains(&mark), "{mark}");
        }
    }
}
