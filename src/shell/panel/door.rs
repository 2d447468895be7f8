//! The daemon's end of the panel's socket: it says how it is, one line at every change and at least
//! every two seconds, to whoever is connected; it reads nothing.
//!
//! It looks at itself twice a second, and only while somebody listens. Whoever does not read what is
//! said loses the connection, and one too many is turned away.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;
use core::time::Duration;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::SockRef;

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::WhenFull;
use crate::gateway::outlet::StorageFigures;
use crate::limits::PANEL_CLIENTS;
use crate::panel::{FACTS_LINE_BYTES, Facts};
use crate::shell::board::Board;

/// How often the daemon looks at itself.
const LOOK: Duration = Duration::from_millis(500);

/// How often it says how it is though nothing changed.
const REPEAT: Duration = Duration::from_secs(2);

/// How often it looks at the disks.
const DISKS: Duration = Duration::from_secs(10);

/// Where the card's first program says that what is written will be forgotten, and why.
const DATA_LOST: &str = "/run/trunkcast-data-lost";

/// How long a recording that was lost is a fault.
const LOST: Duration = Duration::from_secs(60);

/// Bytes below which a file system counts as full: what the journal and the settings need.
const FULL_BYTES: u64 = 1 << 20;

/// Bytes that the kernel keeps for a client that does not read: some hundred lines.
const UNREAD_BYTES: usize = 4_096;

/// What became of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorCounters {
    /// Clients turned away for want of room.
    pub refused: u64,
    /// Clients that were gone, or did not read what was said.
    pub dropped: u64,
}

/// The socket and who is connected.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    clients: heapless::Vec<UnixStream, PANEL_CLIENTS>,
    said: Option<Facts>,
    next_look: Instant,
    next_line: Instant,
    next_disks: Instant,
    is_full: bool,
    /// Recordings that were lost so far, and until when that is a fault.
    lost: (u64, Instant),
    counters: DoorCounters,
}

impl Door {
    /// Listens at a path; what an earlier run left there is removed. The socket is for the user and
    /// the group alone.
    ///
    /// # Errors
    ///
    /// There can be no socket.
    pub fn open(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        // Whatever the mask of the process is.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            clients: heapless::Vec::new(),
            said: None,
            next_look: Instant::ZERO,
            next_line: Instant::ZERO,
            next_disks: Instant::ZERO,
            is_full: false,
            lost: (0, Instant::ZERO),
            counters: DoorCounters::default(),
        })
    }

    /// Takes those who wait to be connected.
    pub fn accept(&mut self) {
        // As many as the list has room for, and one more to be turned away: the rest waits.
        for _ in 0..=PANEL_CLIENTS {
            let Ok((client, _)) = self.listener.accept() else {
                return;
            };
            let bounded = SockRef::from(&client).set_send_buffer_size(UNREAD_BYTES);
            let ready = bounded.is_ok() && client.set_nonblocking(true).is_ok();
            if !ready || self.clients.push(client).is_err() {
                count(&mut self.counters.refused);
                continue;
            }
            // Told at once, as are the others.
            self.said = None;
            self.next_look = Instant::ZERO;
        }
    }

    /// When [`Self::turned`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.clients.is_empty()).then_some(self.next_look)
    }

    /// A turn of the loop is over.
    pub fn turned(&mut self, now: Instant, gateway: &Gateway, board: Option<&mut Board>) {
        if self.clients.is_empty() || now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        let mut facts = gateway.front();
        facts.fault |= self.is_storage_full(now, gateway, board);
        self.say(now, facts);
    }

    /// What became of clients.
    pub fn counters(&self) -> DoorCounters {
        self.counters
    }

    /// Says how the daemon is, if that is news or it is time.
    fn say(&mut self, now: Instant, facts: Facts) {
        if self.said == Some(facts) && now < self.next_line {
            return;
        }
        self.said = Some(facts);
        self.next_line = now + REPEAT;
        let mut line: heapless::String<FACTS_LINE_BYTES> = heapless::String::new();
        // There is room for the longest.
        let _ = writeln!(line, "{facts}");
        let counters = &mut self.counters;
        self.clients.retain(|client| {
            let mut client = client;
            let taken = client.write(line.as_bytes());
            let all = taken.is_ok_and(|taken| taken == line.len());
            if !all {
                count(&mut counters.dropped);
            }
            all
        });
    }

    /// Whether there is no room for what has to be written, or no place where it stays, or a recording
    /// was lost lately.
    fn is_storage_full(
        &mut self,
        now: Instant,
        gateway: &Gateway,
        board: Option<&mut Board>,
    ) -> bool {
        let lost = gateway.counters().recordings_lost;
        if lost > self.lost.0 {
            self.lost = (lost, now + LOST);
        }
        if now >= self.next_disks {
            self.next_disks = now + DISKS;
            let figures = board.map(Board::figures).unwrap_or_default();
            let recording = gateway.config().recording.as_ref();
            let kept = recording.filter(|it| it.when_full == WhenFull::Stop);
            let kept = kept.map_or(0, |it| it.min_free_mib.saturating_mul(1 << 20));
            let is_full = figures.storage.iter().any(|disk| is_full(disk, kept));
            self.is_full = is_full || Path::new(DATA_LOST).exists();
        }
        self.is_full || now < self.lost.1
    }
}

/// Whether a disk is full, where recordings keep off so many bytes. The root is: nobody writes there.
fn is_full(disk: &StorageFigures, kept: u64) -> bool {
    match disk.name {
        "root" => false,
        "recordings" => disk.free < FULL_BYTES.max(kept),
        _ => disk.free < FULL_BYTES,
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn door(name: &str) -> Door {
        let file = format!("trunkcast-door-{name}-{}", std::process::id());
        Door::open(&std::env::temp_dir().join(file)).unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn read(client: &mut UnixStream) -> String {
        let mut bytes = [0; 4_096];
        match client.read(&mut bytes) {
            Ok(length) => String::from_utf8(bytes[..length].to_vec()).unwrap(),
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn each_change_is_said_at_once_and_what_stays_every_two_seconds() {
        let mut door = door("lines");
        let mut client = UnixStream::connect(&door.path).unwrap();
        client.set_nonblocking(true).unwrap();
        assert_eq!(door.poll_timeout(), None, "nobody is connected yet");
        door.accept();
        assert_eq!(door.poll_timeout(), Some(Instant::ZERO));
        let mut facts = Facts::default();
        door.say(at(0), facts);
        assert_eq!(read(&mut client), "registered=0 calls=0 fault=0\n");
        door.say(at(500), facts);
        door.say(at(1_999), facts);
        assert_eq!(read(&mut client), "operation would block");
        door.say(at(2_000), facts);
        assert_eq!(read(&mut client), "registered=0 calls=0 fault=0\n");
        facts.calls = 65_535;
        door.say(at(2_001), facts);
        assert_eq!(read(&mut client), "registered=0 calls=65535 fault=0\n");
    }

    #[test]
    fn the_fifth_is_turned_away_and_gets_a_place_when_one_is_free() {
        let mut door = door("full");
        let connect = |door: &Door| UnixStream::connect(&door.path).unwrap();
        let mut clients: Vec<_> = (0..PANEL_CLIENTS).map(|_| connect(&door)).collect();
        door.accept();
        let mut late = connect(&door);
        door.accept();
        assert_eq!(read(&mut late), "");
        assert_eq!(door.counters().refused, 1);
        clients.pop();
        door.say(at(0), Facts::default());
        assert_eq!(door.counters().dropped, 1);
        let mut late = connect(&door);
        door.accept();
        door.say(at(1), Facts::default());
        assert_eq!(read(&mut late), "registered=0 calls=0 fault=0\n");
        assert!(read(&mut clients[0]).starts_with("registered=0"));
    }

    #[test]
    fn a_client_that_does_not_read_is_dropped() {
        let mut door = door("slow");
        let client = UnixStream::connect(&door.path).unwrap();
        door.accept();
        let mut lines = 0;
        while door.counters().dropped == 0 {
            lines += 1;
            assert!(lines < 2_000, "it was kept for ever");
            door.say(at(lines * 2_000), Facts::default());
        }
        assert!(door.clients.is_empty());
        drop(client);
    }

    #[test]
    fn the_socket_of_an_earlier_run_gives_way_and_is_for_the_group() {
        let first = door("stale");
        let path = first.path.clone();
        // As after a kill: the file stays.
        std::mem::forget(first);
        let door = Door::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(door);
        assert!(!path.exists());
    }

    #[test]
    fn a_disk_is_full_below_what_is_kept_free_and_the_root_never() {
        let disk = |name, free| StorageFigures {
            name,
            path: String::new(),
            total: 1 << 30,
            free,
        };
        assert!(!is_full(&disk("root", 0), 0));
        assert!(is_full(&disk("state", FULL_BYTES - 1), 0));
        assert!(!is_full(&disk("state", FULL_BYTES), 64 << 20));
        assert!(is_full(&disk("recordings", 63 << 20), 64 << 20));
        assert!(!is_full(&disk("recordings", 63 << 20), 0));
    }
}
