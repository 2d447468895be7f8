//! A viewer for tests and the demonstration: plays one stream over TCP and measures it.
//!
//! Decodes nothing. Until the stream is there it tries again, as a person with a player would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::rng::Rng;
use crate::base::time;
use crate::rtmp::{Viewer as Player, ViewerEvent};
use crate::wire::rtmp_url::{RtmpUrl, StreamKey};

pub mod measure;

use measure::Measure;

/// How long the viewer waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);

/// How long one read waits before the viewer looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a connection may take to be made or to take bytes.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of one read.
const READ_BYTES: usize = 65_536;

/// What a viewer saw so far.
#[derive(Clone, Debug, Default)]
pub struct ViewerStats {
    /// Counts and measures of the stream.
    pub measure: Measure,
    /// Attempts to play.
    pub attempts: u64,
    /// Whether the stream plays.
    pub playing: bool,
    /// When the first picture came.
    pub first_picture: Option<Instant>,
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
    /// Plays `rtmp://address/app/stream` as soon as it is there. Fails when the names are not such
    /// as an RTMP address may have.
    pub fn watch(address: SocketAddr, app: &str, stream: &str) -> io::Result<Self> {
        let url = RtmpUrl::parse(&format!("rtmp://{address}/{app}"))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let name = StreamKey::new(stream).ok_or(io::ErrorKind::InvalidInput)?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let run = move || watch(address, &url, &name, &theirs);
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

fn watch(address: SocketAddr, url: &RtmpUrl, name: &StreamKey, shared: &Shared) {
    let began = Instant::now();
    // What it seeds, the bytes of a handshake, is no secret.
    let mut rng = Rng::from_number(1);
    while !shared.is_stopped() {
        shared.stats().attempts += 1;
        let player = Player::new(now(began), url.clone(), name.clone(), rng.fork());
        let result = player
            .ok_or(io::ErrorKind::OutOfMemory.into())
            .and_then(|player| play(address, player, began, shared));
        let mut stats = shared.stats();
        stats.playing = false;
        stats.last_error = result.err().map(|error| error.to_string());
        drop(stats);
        thread::sleep(RETRY);
    }
}

/// Plays over one connection until it or the stream ends, or the viewer is stopped.
fn play(
    address: SocketAddr,
    mut player: Player,
    began: Instant,
    shared: &Shared,
) -> io::Result<()> {
    let mut socket = TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    socket.set_write_timeout(Some(CONNECT_PATIENCE))?;
    let mut buffer = vec![0; READ_BYTES];
    let mut over = None;
    while !shared.is_stopped() {
        loop {
            let len = player.poll_transmit(&mut buffer);
            if len == 0 {
                break;
            }
            socket.write_all(buffer.get(..len).unwrap_or_default())?;
            player.transmitted(len);
        }
        let len = match socket.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("closed by the server")),
            Ok(len) => len,
            Err(error) if is_idle(&error) => 0,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..len).unwrap_or_default();
        player.handle_bytes(now(began), bytes, |event| over = note(event, shared));
        player.handle_timeout(now(began), |event| over = note(event, shared));
        if player.is_ended() {
            return Err(io::Error::other(over.unwrap_or_default()));
        }
    }
    Ok(())
}

/// Notes what came; the words of an end.
fn note(event: ViewerEvent, shared: &Shared) -> Option<String> {
    let mut stats = shared.stats();
    match event {
        ViewerEvent::Playing => stats.playing = true,
        ViewerEvent::Metadata(_) => {}
        ViewerEvent::Audio {
            timestamp,
            size,
            start,
            ..
        } => {
            stats.measure.on_audio(timestamp, size, &start);
        }
        ViewerEvent::Video {
            timestamp,
            size,
            keyframe,
            sequence_header,
            ..
        } => {
            if sequence_header {
                stats.measure.on_header(size);
            } else {
                stats.measure.on_picture(timestamp, size, keyframe);
                stats.first_picture.get_or_insert_with(Instant::now);
            }
        }
        ViewerEvent::Ended(words) => return Some(words.to_string()),
    }
    None
}

fn now(began: Instant) -> time::Instant {
    time::Instant::from_micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
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
