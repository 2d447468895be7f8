//! Sockets made of queues.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use trunkcast::base::codec::Track;
use trunkcast::base::ids::ConnId;
use trunkcast::gateway::config::Trunk;
use trunkcast::gateway::desk::{DeskId, DeskWork};
use trunkcast::gateway::outlet::{
    CallIndex, FileId, FileTrouble, Level, LookUp, LookUpId, MediaPort, Origin, Outlet, RecordEnd,
    RecordId, Security,
};
use trunkcast::gateway::stored::Stored;
use trunkcast::limits::STREAMS;

thread_local! {
    /// Whether allocations count: only within the gateway, not within its outlet.
    pub static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Where the outlet panics, as a stand-in for a defect in the code of the call that calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    #[default]
    None,
    /// While the media of the call at this place is sent.
    Media(CallIndex),
    /// While bytes are written to this connection.
    Write(ConnId),
    /// While the second media socket of a call is opened.
    OpenVideo,
    /// While a line is written that holds these words.
    Note(&'static str),
}

/// A datagram from a call's media socket.
#[derive(Clone, Debug)]
pub struct SentMedia {
    pub call: CallIndex,
    pub track: Track,
    pub port: MediaPort,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// A file of a recording.
#[derive(Clone, Debug)]
pub struct FakeFile {
    pub id: RecordId,
    /// Its name while it is written.
    pub name: String,
    pub pieces: Vec<Vec<u8>>,
    pub end: Option<RecordEnd>,
}

impl FakeFile {
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

#[derive(Debug)]
struct Conn {
    id: ConnId,
    written: Vec<u8>,
    room: usize,
    open: bool,
}

/// Queues in place of sockets.
#[derive(Default)]
pub struct FakeOutlet {
    pub sip: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    pub media: BTreeMap<(CallIndex, bool), u16>,
    pub sent_media: Vec<SentMedia>,
    pub notes: Vec<(Level, String)>,
    /// Records to keep, in order: what each is about, and its bytes.
    pub kept: Vec<(u64, Vec<u8>)>,
    /// Files of recordings, in the order of their beginning.
    pub files: Vec<FakeFile>,
    /// The disk takes no piece more.
    pub slow_disk: bool,
    /// Work of the page that waits to be done.
    pub desk: VecDeque<(DeskId, DeskWork)>,
    /// Too much work of the page waits already.
    pub busy_desk: bool,
    /// Look-ups asked for: number, host, port.
    pub look_ups: Vec<(LookUpId, String, Option<u16>)>,
    /// No look-up may begin: too many are under way.
    pub no_look_ups: bool,
    /// Where in the source each line comes from.
    pub origins: Vec<Origin>,
    /// Ports that another program has.
    pub taken_ports: Vec<u16>,
    /// Ports of trunks that came after the start, by their place.
    pub sip_ports: BTreeMap<usize, u16>,
    /// Streams that may not be connected: the table is full.
    pub no_connections: bool,
    pub defect: Defect,
    /// Whether media is only counted, not kept.
    pub forgetful: bool,
    pub media_count: u64,
    /// Bytes written to connections, in all.
    pub written: u64,
    /// Media files by name.
    pub media_files: BTreeMap<String, Vec<u8>>,
    /// Files that are open: what of each was read, and whether more was asked for.
    pub open_files: Vec<(FileId, String, usize, bool)>,
    /// The disk that they are on hangs.
    pub hung_disk: bool,
    connecting: Vec<(ConnId, String, u16)>,
    /// How each connection asked for so far is to be protected.
    pub asked_security: Vec<Security>,
    /// Names that TLS servers of SIP have to prove.
    pub asked_domains: Vec<String>,
    conns: Vec<Conn>,
    /// Closed by the gateway, with bytes that the far end has not read.
    closed: Vec<Conn>,
    next: u32,
}

impl FakeOutlet {
    pub fn accept(&mut self) -> ConnId {
        let id = self.insert();
        self.connected(id);
        id
    }

    pub fn connected(&mut self, id: ConnId) {
        if let Some(conn) = self.get(id) {
            conn.open = true;
        }
    }

    pub fn forget(&mut self, id: ConnId) {
        self.conns.retain(|conn| conn.id != id);
        self.connecting.retain(|(conn, ..)| *conn != id);
    }

    pub fn is_open(&mut self, id: ConnId) -> bool {
        self.get(id).is_some_and(|conn| conn.open)
    }

    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    pub fn take_connecting(&mut self) -> Vec<(ConnId, String, u16)> {
        std::mem::take(&mut self.connecting)
    }

    /// The attempt goes on without an answer.
    pub fn hold_connecting(&mut self, _id: ConnId) {}

    pub fn take_written(&mut self, id: ConnId) -> Vec<u8> {
        if let Some(at) = self.closed.iter().position(|conn| conn.id == id) {
            return self.closed.remove(at).written;
        }
        self.get(id)
            .map(|conn| std::mem::take(&mut conn.written))
            .unwrap_or_default()
    }

    /// Records to keep that are not of calls which ended.
    pub fn facts(&self) -> Vec<(u64, Vec<u8>)> {
        let is_call = |record: &[u8]| matches!(Stored::from_bytes(record), Some(Stored::CallV1(_)));
        let kept = self.kept.iter();
        kept.filter(|(_, record)| !is_call(record))
            .cloned()
            .collect()
    }

    /// How many bytes more the connection's socket takes.
    pub fn set_room(&mut self, id: ConnId, room: usize) {
        if let Some(conn) = self.get(id) {
            conn.room = room;
        }
    }

    /// The call and track whose RTP socket is at a port.
    /// The next piece of a file that was asked for.
    pub fn take_piece(&mut self, most: usize) -> Option<(FileId, Result<Vec<u8>, FileTrouble>)> {
        if self.hung_disk {
            return None;
        }
        let (id, name, read, asked) = self.open_files.iter_mut().find(|it| it.3)?;
        *asked = false;
        let Some(bytes) = self.media_files.get(name) else {
            return Some((*id, Err(FileTrouble::Missing)));
        };
        let piece = bytes[*read..][..most.min(bytes.len() - *read)].to_vec();
        *read += piece.len();
        Some((*id, Ok(piece)))
    }

    pub fn media_at(&self, port: u16) -> Option<(CallIndex, Track)> {
        let ((call, is_video), _) = self.media.iter().find(|(_, at)| **at == port)?;
        let track = if *is_video {
            Track::Video
        } else {
            Track::Audio
        };
        Some((*call, track))
    }

    fn insert(&mut self) -> ConnId {
        let used = |slot: u32| {
            self.conns
                .iter()
                .any(|conn| conn.id.0 as u16 == slot as u16)
        };
        let slot = (0..STREAMS as u32)
            .find(|slot| !used(*slot))
            .expect("streams are used up");
        self.next += 1;
        let id = ConnId((self.next & 0xffff) << 16 | slot);
        self.conns.push(Conn {
            id,
            written: Vec::new(),
            room: usize::MAX,
            open: false,
        });
        id
    }

    fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    fn fail_on(&self, defect: Defect) {
        assert!(self.defect != defect, "a defect put in by a test");
    }
}

/// Keeps what happens outside of the gateway out of its count.
struct Uncounted(bool);

impl Uncounted {
    fn new() -> Self {
        Self(COUNTED.replace(false))
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        COUNTED.set(self.0);
    }
}

impl Outlet for FakeOutlet {
    fn listen_sip(&mut self, at: usize, trunk: &Trunk) -> Result<(), String> {
        let _outside = Uncounted::new();
        if self.taken_ports.contains(&trunk.local_port) {
            return Err("Address already in use".to_owned());
        }
        let before = self.sip_ports.insert(at, trunk.local_port);
        assert_eq!(before, None, "the port of a trunk was open already");
        Ok(())
    }

    fn close_sip(&mut self, at: usize) {
        let _outside = Uncounted::new();
        self.sip_ports.remove(&at);
    }

    fn send_sip(&mut self, trunk: usize, to: SocketAddr, bytes: &[u8]) {
        let _outside = Uncounted::new();
        self.sip.push_back((trunk, to, bytes.to_vec()));
    }

    fn connect(&mut self, host: &str, port: u16, security: Security) -> Option<ConnId> {
        let _outside = Uncounted::new();
        if self.no_connections || self.conns.len() >= STREAMS {
            return None;
        }
        let id = self.insert();
        self.connecting.push((id, host.to_owned(), port));
        self.asked_security.push(security);
        Some(id)
    }

    fn connect_sip(
        &mut self,
        _trunk: usize,
        remote: SocketAddr,
        domain: Option<&str>,
    ) -> Option<ConnId> {
        let security = match domain {
            Some(_) => Security::Tls,
            None => Security::Plain,
        };
        self.asked_domains.extend(domain.map(str::to_owned));
        self.connect(&remote.ip().to_string(), remote.port(), security)
    }

    fn write(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let _outside = Uncounted::new();
        self.fail_on(Defect::Write(id));
        let Some(conn) = self.get(id) else { return 0 };
        assert!(conn.open, "bytes for a connection that is not up");
        let taken = bytes.len().min(conn.room);
        conn.written.extend_from_slice(&bytes[..taken]);
        conn.room -= if conn.room == usize::MAX { 0 } else { taken };
        self.written += taken as u64;
        taken
    }

    fn send_stream(&mut self, id: ConnId, bytes: &[u8]) {
        let _outside = Uncounted::new();
        if let Some(conn) = self.get(id) {
            conn.written.extend_from_slice(bytes);
        }
    }

    fn close(&mut self, id: ConnId) {
        let _outside = Uncounted::new();
        assert!(self.get(id).is_some(), "closed twice");
        // What was written before still arrives.
        if let Some(at) = self.conns.iter().position(|conn| conn.id == id) {
            self.closed.push(self.conns.remove(at));
        }
        self.connecting.retain(|(conn, ..)| *conn != id);
    }

    fn open_media(
        &mut self,
        call: CallIndex,
        track: Track,
        _local: IpAddr,
        port: u16,
    ) -> io::Result<()> {
        let _outside = Uncounted::new();
        if track == Track::Video {
            self.fail_on(Defect::OpenVideo);
        }
        assert!(port.is_multiple_of(2));
        if self.taken_ports.contains(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let before = self.media.insert((call, track == Track::Video), port);
        assert_eq!(before, None, "a track's socket was open already");
        Ok(())
    }

    fn close_media(&mut self, call: CallIndex, track: Track) {
        let _outside = Uncounted::new();
        self.media.remove(&(call, track == Track::Video));
    }

    fn send_media(
        &mut self,
        call: CallIndex,
        track: Track,
        port: MediaPort,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let _outside = Uncounted::new();
        self.fail_on(Defect::Media(call));
        assert!(
            self.media.contains_key(&(call, track == Track::Video)),
            "media of a track without a socket"
        );
        self.media_count += 1;
        if !self.forgetful {
            self.sent_media.push(SentMedia {
                call,
                track,
                port,
                to,
                bytes: bytes.to_vec(),
            });
        }
    }

    fn look_up(&mut self, id: LookUpId, what: LookUp<'_>) -> bool {
        let _outside = Uncounted::new();
        if self.no_look_ups {
            return false;
        }
        self.look_ups.push((id, what.host.to_owned(), what.port));
        true
    }

    fn local_address(&mut self, remote: IpAddr) -> IpAddr {
        match remote {
            IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
            IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
        }
    }

    fn keep(&mut self, about: u64, record: &[u8]) {
        let _outside = Uncounted::new();
        self.kept.push((about, record.to_vec()));
    }

    fn open_file(&mut self, id: FileId, name: &str) -> bool {
        let _outside = Uncounted::new();
        self.open_files.push((id, name.to_owned(), 0, true));
        true
    }

    fn read_file(&mut self, id: FileId) {
        let mut open = self.open_files.iter_mut();
        let file = open.find(|(open, ..)| *open == id).expect("it is open");
        assert!(!file.3, "one wish at a time");
        file.3 = true;
    }

    fn close_file(&mut self, id: FileId) {
        let before = self.open_files.len();
        self.open_files.retain(|(open, ..)| *open != id);
        assert_eq!(self.open_files.len() + 1, before, "closed twice");
    }

    fn record_open(&mut self, id: RecordId, name: &str) -> bool {
        let _outside = Uncounted::new();
        assert!(self.files.iter().all(|file| file.id != id), "opened twice");
        self.files.push(FakeFile {
            id,
            name: name.to_owned(),
            pieces: Vec::new(),
            end: None,
        });
        true
    }

    fn record_append(&mut self, id: RecordId, piece: Vec<u8>) -> bool {
        let _outside = Uncounted::new();
        if self.slow_disk {
            return false;
        }
        let file = self.files.iter_mut().find(|file| file.id == id);
        let file = file.expect("a piece of a file that was begun");
        assert!(file.end.is_none(), "a piece of a file that has ended");
        file.pieces.push(piece);
        true
    }

    fn record_close(&mut self, id: RecordId, end: RecordEnd) -> bool {
        let _outside = Uncounted::new();
        let file = self.files.iter_mut().find(|file| file.id == id);
        let file = file.expect("the end of a file that was begun");
        assert!(file.end.is_none(), "ended twice");
        file.end = Some(end);
        true
    }

    fn desk(&mut self, id: DeskId, work: DeskWork) -> bool {
        let _outside = Uncounted::new();
        if self.busy_desk {
            return false;
        }
        self.desk.push_back((id, work));
        true
    }

    fn last_lines(&mut self) -> String {
        let lines = self.notes.iter().map(|(_, line)| format!("{line}\n"));
        lines.collect()
    }

    fn note_from(&mut self, origin: Origin, level: Level, line: fmt::Arguments<'_>) {
        let _outside = Uncounted::new();
        let line = line.to_string();
        if let Defect::Note(words) = self.defect {
            assert!(!line.contains(words), "a defect put in by a test");
        }
        self.notes.push((level, line));
        self.origins.push(origin);
    }
}
