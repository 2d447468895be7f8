//! A small RTMP player for tests and the demonstration: connects, plays one stream and measures it.
//!
//! Decodes nothing. Until the stream is there it tries again, as a person with a player would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::RTMP_COMMAND_BYTES;
use crate::wire::amf0::Amf0Writer;
use crate::wire::rtmp_chunk::{ChunkHeaders, DEFAULT_CHUNK_BYTES, Dechunker, Incoming};
use crate::wire::rtmp_message::{Command, Control, MessageHead, kind};

pub mod measure;

use measure::Measure;

/// How long the player waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);

/// How long one read waits before the player looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes after which the player acknowledges.
const ACKNOWLEDGE_EVERY: u32 = 500_000;

/// Bytes of C1, S1, C2 and S2.
const HANDSHAKE_BYTES: usize = 1_536;

/// What a viewer saw so far.
#[derive(Clone, Debug, Default)]
pub struct ViewerStats {
    /// Counts and measures of the stream.
    pub measure: Measure,
    /// Attempts to play.
    pub attempts: u64,
    /// Whether the stream plays.
    pub playing: bool,
    /// From the start of the viewer to the first picture.
    pub first_picture: Option<Duration>,
    /// Why the last attempt ended.
    pub last_error: Option<String>,
}

/// A viewer in a thread of its own. Dropping it stops it.
pub struct Viewer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stats: Mutex<ViewerStats>,
    stop: AtomicBool,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, ViewerStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Viewer {
    /// Plays `rtmp://address/app/stream` as soon as it is there.
    pub fn watch(address: SocketAddr, app: &str, stream: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, app, stream) = (shared.clone(), app.to_owned(), stream.to_owned());
        let run = move || watch(address, &app, &stream, &theirs);
        let thread = thread::Builder::new().name("viewer".into()).spawn(run)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What it saw so far.
    pub fn stats(&self) -> ViewerStats {
        self.shared.stats().clone()
    }

    /// Stops watching and waits for the thread.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was told on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(address: SocketAddr, app: &str, stream: &str, shared: &Shared) {
    let began = Instant::now();
    while !shared.is_stopped() {
        shared.stats().attempts += 1;
        let result = Session::open(address, began).and_then(|mut session| {
            session.begin(address, app)?;
            session.run(stream, shared)
        });
        let mut stats = shared.stats();
        stats.playing = false;
        stats.last_error = result.err().map(|error| error.to_string());
        drop(stats);
        thread::sleep(RETRY);
    }
}

/// One connection.
struct Session {
    socket: TcpStream,
    dechunker: Dechunker,
    began: Instant,
    received: u32,
    acknowledged: u32,
}

/// What a message means for the session.
enum Step {
    Connected,
    Created(u32),
    Playing,
    Failed(String),
    Answer(Control),
    Other,
}

impl Session {
    fn open(address: SocketAddr, began: Instant) -> io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.set_write_timeout(Some(Duration::from_secs(2)))?;
        let mut hello = [0; 1 + HANDSHAKE_BYTES];
        if let Some(version) = hello.first_mut() {
            *version = 3;
        }
        socket.write_all(&hello)?;
        let mut answer = [0; 1 + HANDSHAKE_BYTES];
        socket.read_exact(&mut answer)?;
        socket.write_all(answer.get(1..).unwrap_or_default())?;
        socket.read_exact(&mut [0; HANDSHAKE_BYTES])?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        let dechunker = Dechunker::new();
        Ok(Self {
            socket,
            dechunker,
            began,
            received: 0,
            acknowledged: 0,
        })
    }

    fn begin(&mut self, address: SocketAddr, app: &str) -> io::Result<()> {
        let url = format!("rtmp://{address}/{app}");
        self.command(0, |body| {
            body.string(&["connect"]).number(1.0).object();
            body.name("app").string(&[app]);
            body.name("flashVer").string(&["trunkcast viewer"]);
            body.name("tcUrl").string(&[&url]).end();
        })
    }

    /// Reads until the stream ends, the connection does, or the viewer is stopped.
    fn run(&mut self, stream: &str, shared: &Shared) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        while !shared.is_stopped() {
            let len = match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("closed by the server")),
                Ok(len) => len,
                Err(error) if is_idle(&error) => continue,
                Err(error) => return Err(error),
            };
            self.received = self.received.wrapping_add(len as u32);
            let mut rest = buffer.get(..len).unwrap_or_default();
            loop {
                let (used, incoming) = self
                    .dechunker
                    .next(rest)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                rest = rest.get(used..).unwrap_or_default();
                let Some(incoming) = incoming else { break };
                let step = take(&incoming, self.began, shared);
                self.step(step, stream, shared)?;
            }
            if self.received.wrapping_sub(self.acknowledged) >= ACKNOWLEDGE_EVERY {
                self.acknowledged = self.received;
                self.control(Control::Acknowledgement(self.received))?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: Step, stream: &str, shared: &Shared) -> io::Result<()> {
        match step {
            Step::Connected => self.command(0, |body| {
                body.string(&["createStream"]).number(2.0).null();
            }),
            Step::Created(id) => self.command(id, |body| {
                body.string(&["play"]).number(3.0).null().string(&[stream]);
            }),
            Step::Playing => {
                shared.stats().playing = true;
                Ok(())
            }
            Step::Failed(code) => Err(io::Error::other(code)),
            Step::Answer(control) => self.control(control),
            Step::Other => Ok(()),
        }
    }

    fn command(&mut self, stream: u32, fill: impl FnOnce(&mut Amf0Writer<'_>)) -> io::Result<()> {
        let mut body = [0; RTMP_COMMAND_BYTES];
        let mut writer = Amf0Writer::new(&mut body);
        fill(&mut writer);
        let len = writer
            .finish()
            .ok_or_else(|| io::Error::other("command too long"))?;
        self.message(
            3,
            kind::COMMAND,
            stream,
            body.get(..len).unwrap_or_default(),
        )
    }

    fn control(&mut self, control: Control) -> io::Result<()> {
        let (kind, body) = control.encode();
        self.message(2, kind, 0, &body)
    }

    fn message(&mut self, chunk_stream: u32, kind: u8, stream: u32, body: &[u8]) -> io::Result<()> {
        let headers = ChunkHeaders::new(&MessageHead {
            chunk_stream,
            timestamp: 0,
            length: body.len() as u32,
            kind,
            stream_id: stream,
        });
        let mut bytes = Vec::with_capacity(body.len() + 64);
        let mut header: &[u8] = &headers.first;
        for piece in body.chunks(DEFAULT_CHUNK_BYTES as usize) {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(piece);
            header = &headers.continuation;
        }
        self.socket.write_all(&bytes)
    }
}

/// Notes media and tells what a command or control message asks for.
fn take(incoming: &Incoming<'_>, began: Instant, shared: &Shared) -> Step {
    match incoming {
        Incoming::End { head, start } => {
            let mut stats = shared.stats();
            match head.kind {
                kind::VIDEO => {
                    stats.measure.on_video(head.timestamp, head.length, start);
                    if stats.measure.video > 0 {
                        stats.first_picture.get_or_insert(began.elapsed());
                    }
                }
                kind::AUDIO => stats.measure.on_audio(head.timestamp, head.length, start),
                _ => {}
            }
            Step::Other
        }
        Incoming::Message { head, body } => {
            if let Some(Control::PingRequest(number)) = Control::parse(head.kind, body) {
                return Step::Answer(Control::PingResponse(number));
            }
            Command::parse(head.kind, body).map_or(Step::Other, |command| meaning(&command))
        }
        Incoming::Part { .. } => Step::Other,
    }
}

fn meaning(command: &Command<'_>) -> Step {
    let code = command
        .status()
        .map(|status| status.code)
        .unwrap_or_default();
    match command.name {
        "_result" if command.transaction == 1.0 => Step::Connected,
        "_result" if command.transaction == 2.0 => {
            Step::Created(command.second_number().unwrap_or(1.0) as u32)
        }
        "_error" => Step::Failed(format!("refused: {code}")),
        "onStatus" => match code {
            "NetStream.Play.Start" => Step::Playing,
            "NetStream.Play.StreamNotFound"
            | "NetStream.Play.Failed"
            | "NetStream.Play.Stop"
            | "NetStream.Play.Complete"
            | "NetStream.Play.UnpublishNotify" => Step::Failed(code.to_owned()),
            _ => Step::Other,
        },
        _ => Step::Other,
    }
}

fn is_idle(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
    use rml_rtmp::sessions::{
        ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
    };
    use rml_rtmp::time::RtmpTimestamp;

    use super::*;

    /// Serves one player with another RTMP implementation: a header, then `pictures` pictures and
    /// audio messages. Gives what the player asked for.
    fn serve_one(mut socket: TcpStream, pictures: u32) -> String {
        let mut handshake = Handshake::new(PeerType::Server);
        let mut buffer = [0; 4_096];
        let rest = loop {
            let len = socket.read(&mut buffer).unwrap();
            match handshake.process_bytes(&buffer[..len]).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    socket.write_all(&response_bytes).unwrap();
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    socket.write_all(&response_bytes).unwrap();
                    break remaining_bytes;
                }
            }
        };
        let (mut session, first) = ServerSession::new(ServerSessionConfig::new()).unwrap();
        let mut results = first;
        results.extend(session.handle_input(&rest).unwrap());
        loop {
            let mut playing = None;
            while !results.is_empty() {
                let request = match results.remove(0) {
                    ServerSessionResult::OutboundResponse(packet) => {
                        socket.write_all(&packet.bytes).unwrap();
                        continue;
                    }
                    ServerSessionResult::RaisedEvent(event) => event,
                    ServerSessionResult::UnhandleableMessageReceived(_) => continue,
                };
                match request {
                    ServerSessionEvent::ConnectionRequested { request_id, .. } => {
                        results.extend(session.accept_request(request_id).unwrap());
                    }
                    ServerSessionEvent::PlayStreamRequested {
                        request_id,
                        app_name,
                        stream_key,
                        stream_id,
                        ..
                    } => {
                        results.extend(session.accept_request(request_id).unwrap());
                        playing = Some((format!("{app_name}/{stream_key}"), stream_id));
                    }
                    _ => {}
                }
            }
            if let Some((name, stream)) = playing {
                send_media(&mut socket, &mut session, stream, pictures);
                return name;
            }
            let len = socket.read(&mut buffer).unwrap();
            results.extend(session.handle_input(&buffer[..len]).unwrap());
        }
    }

    fn send_media(socket: &mut TcpStream, session: &mut ServerSession, stream: u32, pictures: u32) {
        let mut video = |at: u32, body: Vec<u8>, socket: &mut TcpStream| {
            let time = RtmpTimestamp::new(at);
            let packet = session
                .send_video_data(stream, body.into(), time, false)
                .unwrap();
            socket.write_all(&packet.bytes).unwrap();
        };
        // The first times cross the edge of 24 bits.
        let start = 0x00ff_fff0;
        video(start, vec![0x17, 0, 0, 0, 0, 1, 0x42], socket);
        for picture in 0..pictures {
            let mut body = vec![if picture % 25 == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            body.resize(5_000, 0x41);
            video(start + picture * 40, body, socket);
        }
        for at in 0..10 {
            let body = vec![0x72, 0xd5, 0xd5];
            let time = RtmpTimestamp::new(start + at * 20);
            let packet = session
                .send_audio_data(stream, body.into(), time, false)
                .unwrap();
            socket.write_all(&packet.bytes).unwrap();
        }
    }

    fn wait_for(viewer: &Viewer, what: impl Fn(&ViewerStats) -> bool) -> ViewerStats {
        for _ in 0..500 {
            let stats = viewer.stats();
            if what(&stats) {
                return stats;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not seen: {:?}", viewer.stats());
    }

    #[test]
    fn a_stream_of_another_server_is_played_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let kept = socket.try_clone().unwrap();
            (serve_one(socket, 60), kept)
        });
        let viewer = Viewer::watch(address, "live", "rtmp_1001").unwrap();
        let stats = wait_for(&viewer, |stats| stats.measure.audio == 10);
        assert_eq!(server.join().unwrap().0, "live/rtmp_1001");
        assert!(stats.playing && stats.first_picture.is_some());
        assert_eq!(stats.measure.began_well, Some(true));
        assert_eq!((stats.measure.video, stats.measure.keyframes), (60, 3));
        assert_eq!((stats.measure.headers, stats.measure.backward), (1, 0));
        assert_eq!(stats.measure.bytes, 7 + 60 * 5_000 + 10 * 3);
    }

    #[test]
    fn a_server_that_is_not_there_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut viewer = Viewer::watch(address, "live", "rtmp_1001").unwrap();
        let stats = wait_for(&viewer, |stats| stats.attempts >= 3);
        assert!(stats.last_error.is_some() && !stats.playing);
        viewer.stop();
    }
}
