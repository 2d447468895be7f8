//! What the gateway asks of the floor above it.
//!
//! The shell implements [`Outlet`] with sockets; tests implement it with queues. Nothing here
//! waits: what cannot be done at once is reported later through the gateway's `handle_*` calls.

use core::fmt;
use core::panic::Location;
use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::base::codec::Track;
use crate::base::ids::ConnId;
use crate::base::network::Transport;
use crate::gateway::config::Trunk;
use crate::gateway::desk::{DeskId, DeskWork};

/// A call's place in the call table; also the name of its media sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallIndex(pub u16);

/// Which of a track's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaPort {
    /// Media, and control too when it is multiplexed.
    Rtp,
    /// Control, on the next port.
    Rtcp,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS, the server's certificate checked against its name.
    Tls,
    /// The same for the backend of hooks, which may have authorities of its own.
    BackendTls,
}

/// What a look-up of SIP addresses is for; its owner chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LookUpId(pub u32);

/// A SIP host to be looked up (RFC 3263).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUp<'a> {
    /// Its name or address.
    pub host: &'a str,
    /// Its port; without one the SRV records of the name decide.
    pub port: Option<u16>,
    /// How to reach it, where that is given.
    pub transport: Option<Transport>,
}

/// A file that is being read; its owner chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub u32);

/// Why a file gives no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTrouble {
    /// There is none of its name.
    Missing,
    /// It is no plain file, may not be read, or the disk fails.
    Unreadable,
}

/// A file of a recording, as the gateway numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId(pub u32);

/// How a file of a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordEnd {
    /// What it is called from then on: one component of a path, safe for every file system.
    pub name: String,
    /// Whether another file of that name is replaced; if not, this one gets a number.
    pub replace: bool,
}

/// What became of a file of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is finished and on the disk.
    Closed {
        /// What it is called.
        name: String,
        /// Its length.
        bytes: u64,
    },
    /// It takes nothing more; what it holds plays. It has still to be ended.
    Failed {
        /// Why, in words.
        words: String,
    },
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The life of trunks, calls and streams.
    Info,
    /// Something that an operator may have to look at.
    Warn,
    /// A defect of this program.
    Error,
}

/// What the floor above counts and uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutletFigures {
    /// Datagrams that could not be sent.
    pub send_failed: u64,
    /// Connections refused because the table was full or descriptors were used up.
    pub streams_full: u64,
    /// Accepted connections that did not agree on TLS.
    pub handshakes_failed: u64,
    /// Accepted connections that did not agree on TLS in time, or gave way to others.
    pub handshakes_given_up: u64,
    /// Media datagrams that were longer than a packet may be.
    pub datagrams_oversized: u64,
    /// Media datagrams that found no free packet slot.
    pub datagrams_without_slot: u64,
    /// Programs that show how the daemon is, such as that of the LEDs, turned away for want of room.
    pub panel_refused: u64,
    /// Such programs that were gone, or did not read what they were told.
    pub panel_dropped: u64,
    /// Records that were not written to the journal.
    pub journal_lost: u64,
    /// What the process uses, where the system tells it.
    pub process: Option<ProcessFigures>,
}

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Bytes of its memory that are resident.
    pub resident_bytes: u64,
    /// Bytes of its address space.
    pub virtual_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// How many it may open.
    pub descriptors_max: u64,
    /// Hundredths of a second of computing.
    pub cpu_centiseconds: u64,
}

/// How the board is that this program runs on. What the system does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BoardFigures {
    /// Seconds since it was started.
    pub uptime: Option<u64>,
    /// Load over the last minute.
    pub load: Option<f32>,
    /// Degrees Celsius of its hottest part.
    pub temperature: Option<f32>,
    /// Its memory.
    pub memory: Option<MemoryFigures>,
    /// Bytes of memory that this process has.
    pub own: Option<u64>,
    /// Its file systems, as far as they matter.
    pub storage: Vec<StorageFigures>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryFigures {
    /// All of it.
    pub total: u64,
    /// What programs can have of it without swapping.
    pub available: u64,
}

/// A file system in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StorageFigures {
    /// What is kept there: `recordings`, `state` or `root`.
    pub name: &'static str,
    /// A folder of it.
    pub path: String,
    /// All of it.
    pub total: u64,
    /// What this program may still use.
    pub free: u64,
}

/// Sockets and the log, as the gateway sees them.
pub trait Outlet {
    /// Sends a SIP datagram from a trunk's port. Failures are the network's: SIP sends again.
    fn send_sip(&mut self, trunk: usize, to: SocketAddr, bytes: &[u8]);

    /// Binds the port of a trunk at this place and reads the certificates that it needs; or why that
    /// cannot be, in words.
    fn listen_sip(&mut self, at: usize, trunk: &Trunk) -> Result<(), String>;

    /// Closes the port of the trunk at this place.
    fn close_sip(&mut self, at: usize);

    /// Begins a connection; `None` when the table of connections is full. The answer comes as
    /// `handle_connected`, with TLS after its handshake, or `handle_disconnected`.
    fn connect(&mut self, host: &str, port: u16, security: Security) -> Option<ConnId>;

    /// The same for SIP of a trunk, to an address; with TLS where a `domain` is given, which the
    /// server's certificate has to be for.
    fn connect_sip(
        &mut self,
        trunk: usize,
        remote: SocketAddr,
        domain: Option<&str>,
    ) -> Option<ConnId>;

    /// Gives bytes to a connection's socket; how many it took. Fewer than given means that
    /// `handle_writable` will follow.
    fn write(&mut self, conn: ConnId, bytes: &[u8]) -> usize;

    /// Gives bytes that must go out whole and in order, while connecting too; a connection that
    /// cannot hold them is closed and reported as `handle_disconnected`.
    fn send_stream(&mut self, conn: ConnId, bytes: &[u8]);

    /// Closes a connection; nothing is reported of it any more.
    fn close(&mut self, conn: ConnId);

    /// Binds a track's RTP socket to an even `port` and its RTCP socket to the next, for the
    /// address family of `local`.
    fn open_media(
        &mut self,
        call: CallIndex,
        track: Track,
        local: IpAddr,
        port: u16,
    ) -> io::Result<()>;

    /// Closes a track's sockets.
    fn close_media(&mut self, call: CallIndex, track: Track);

    /// Sends from one of a track's sockets. Failures are counted by the shell.
    fn send_media(
        &mut self,
        call: CallIndex,
        track: Track,
        port: MediaPort,
        to: SocketAddr,
        bytes: &[u8],
    );

    /// Begins a look-up, answered by `handle_looked_up`; false when too many are under way.
    fn look_up(&mut self, id: LookUpId, what: LookUp<'_>) -> bool;

    /// The local address that packets to `remote` leave from; what SDP and Contact tell it.
    fn local_address(&mut self, remote: IpAddr) -> IpAddr;

    /// Keeps a record over a restart, in place of the one that is `about` the same thing; an empty
    /// one forgets it. Nothing waits for the disk, and nothing is reported.
    fn keep(&mut self, about: u64, record: &[u8]);

    /// Opens a file of the folder of media files and reads its beginning; the name is that of a file in
    /// the folder itself. Bytes come as `handle_file`, none at its end. False when too many are open.
    fn open_file(&mut self, id: FileId, name: &str) -> bool;

    /// Reads the next bytes of a file, at most
    /// [`FILE_CHUNK_BYTES`](crate::limits::FILE_CHUNK_BYTES): one such wish at a time.
    fn read_file(&mut self, id: FileId);

    /// Closes a file; nothing comes of it any more.
    fn close_file(&mut self, id: FileId);

    /// Begins a file of a recording, to be called `name` with what marks it as unfinished; false when
    /// too much waits for the disk. What becomes of it is reported by `handle_recorded`.
    fn record_open(&mut self, id: RecordId, name: &str) -> bool;

    /// Adds a piece to a file, to be on the disk a fraction of a second later; false when too much waits
    /// for the disk, and the piece is lost.
    fn record_append(&mut self, id: RecordId, piece: Vec<u8>) -> bool;

    /// Ends a file; false when too much waits for the disk, and the file is ended with the next start.
    fn record_close(&mut self, id: RecordId, end: RecordEnd) -> bool;

    /// Gives work of the page to the thread that does it; false when too much waits for that. What
    /// becomes of it is reported by `handle_desk`.
    fn desk(&mut self, id: DeskId, work: DeskWork) -> bool;

    /// What is counted and used here; nothing where nothing is.
    fn figures(&mut self) -> OutletFigures {
        OutletFigures::default()
    }

    /// The last lines of the log, the oldest first; none where none are kept.
    fn last_lines(&mut self) -> String {
        String::new()
    }

    /// How the board is, as it was found lately; nothing of it waits.
    fn board(&mut self) -> BoardFigures {
        BoardFigures::default()
    }

    /// One line for the journal, see [`note`](#method.note).
    fn note_from(&mut self, origin: Origin, level: Level, line: fmt::Arguments<'_>);
}

/// The place in the source that a line of the journal comes from: a place that repeats itself is
/// cut short, and strangers who make one line repeat must not silence the others.
pub type Origin = &'static Location<'static>;

impl dyn Outlet + '_ {
    /// One line for the journal, from the place that calls this.
    #[track_caller]
    pub fn note(&mut self, level: Level, line: fmt::Arguments<'_>) {
        self.note_from(Location::caller(), level, line);
    }
}
