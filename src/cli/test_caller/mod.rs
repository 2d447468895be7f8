//! A caller for tests, benches and the demonstration: places a SIP call over UDP and sends a clip.
//!
//! Each call has a thread and sockets of its own, so that the gateway meets it as it meets a phone.
//! What it does not do: decode, answer calls, honour requests for keyframes (its clip has one each
//! second), TLS, TCP, authentication.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::codec::Track;
use crate::base::rng::Rng;
use crate::limits::SIP_MESSAGE_BYTES;

pub mod clip;
pub mod dialog;
pub mod media;
pub mod offer;

use clip::Clip;
use dialog::{Dialog, DialogEvent};
use media::{MediaOptions, MediaStream, send_to};

/// Longest time between two looks at the sockets while media flow.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long an ended call still answers what is sent again.
const LINGER: Duration = Duration::from_millis(200);

/// What a call is to be like.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// The user that calls.
    pub user: String,
    /// Whether A-law audio is offered.
    pub audio: bool,
    /// Whether H.264 video is offered.
    pub video: bool,
    /// Whether the offer has `rtcp-fb` lines.
    pub feedback: bool,
    /// Whether sender reports are sent.
    pub reports: bool,
    /// Every how many video packets one is withheld; 0 for none.
    pub lose_every: u32,
    /// From the answer to the first media packet: a phone's camera takes a moment.
    pub media_after: Duration,
    /// What is sent.
    pub clip: Arc<Clip>,
}

impl Default for CallOptions {
    /// Audio and video of the demonstration's clip, with feedback and reports, without loss,
    /// at once.
    fn default() -> Self {
        Self {
            user: "demo".into(),
            audio: true,
            video: true,
            feedback: true,
            reports: true,
            lose_every: 0,
            media_after: Duration::ZERO,
            clip: Arc::new(Clip::demonstration()),
        }
    }
}

/// Where a call stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CallState {
    /// INVITE sent.
    #[default]
    Calling,
    /// 180 or 183 came.
    Ringing,
    /// Answered; media flow.
    Established,
    /// Over, with the reason in words.
    Ended(String),
}

/// What a call did so far.
#[derive(Clone, Debug, Default)]
pub struct CallerStats {
    /// Where the call stands.
    pub state: CallState,
    /// From INVITE to 200.
    pub set_up: Option<Duration>,
    /// When the first media packet is due.
    pub media_began: Option<Instant>,
    /// Audio packets sent.
    pub audio_packets: u64,
    /// Video packets made, those withheld among them.
    pub video_packets: u64,
    /// Access units sent.
    pub video_frames: u64,
    /// Video packets withheld on purpose.
    pub withheld: u64,
    /// Bytes of RTP packets sent.
    pub sent_bytes: u64,
    /// RTP packets received: the gateway's silence.
    pub received_packets: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// RTCP reports received.
    pub reports_received: u64,
    /// Audio packets lost, as the last report says.
    pub audio_lost: i32,
    /// Video packets lost, as the last report says.
    pub video_lost: i32,
    /// Picture loss indications received.
    pub picture_loss: u64,
    /// Full intra requests received.
    pub full_intra: u64,
    /// Keyframes asked for by INFO.
    pub info_keyframes: u64,
    /// RTCP goodbyes received.
    pub goodbyes: u64,
    /// SIP requests sent again.
    pub sip_resent: u64,
}

/// A call in progress. Dropping it hangs up and waits for the end.
pub struct Caller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stats: Mutex<CallerStats>,
    hang_up: AtomicBool,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, CallerStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Calls `number` at `target` over UDP, from a thread of its own.
    ///
    /// Fails when sockets cannot be opened; what the far end says is in [`Self::stats`].
    pub fn place(target: SocketAddr, number: &str, options: CallOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let run = Run::new(target, number, options, shared.clone())?;
        let thread = thread::Builder::new()
            .name("test-caller".into())
            .spawn(move || run.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What it did so far.
    pub fn stats(&self) -> CallerStats {
        self.shared.stats().clone()
    }

    /// Begins to hang up; the call ends a moment later.
    pub fn hang_up(&self) {
        self.shared.hang_up.store(true, Ordering::Relaxed);
    }

    /// Waits until the call is established or over; `true` when established.
    pub fn wait_established(&self, most: Duration) -> bool {
        self.wait(most, |state| {
            matches!(state, CallState::Established | CallState::Ended(_))
        });
        self.shared.stats().state == CallState::Established
    }

    /// Waits until the call is over; `true` when it is.
    pub fn wait_ended(&self, most: Duration) -> bool {
        self.wait(most, |state| matches!(state, CallState::Ended(_)))
    }

    fn wait(&self, most: Duration, until: impl Fn(&CallState) -> bool) -> bool {
        let give_up = Instant::now() + most;
        loop {
            if until(&self.shared.stats().state) {
                return true;
            }
            if Instant::now() >= give_up {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.hang_up();
        if let Some(thread) = self.thread.take() {
            // A panic there was told on standard error.
            let _ = thread.join();
        }
    }
}

/// The thread of a call.
struct Run {
    target: SocketAddr,
    sip: UdpSocket,
    dialog: Dialog,
    streams: Vec<(Track, MediaStream)>,
    options: CallOptions,
    media: MediaOptions,
    shared: Arc<Shared>,
    began: Instant,
}

impl Run {
    fn new(
        target: SocketAddr,
        number: &str,
        options: CallOptions,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut rng = fresh_rng();
        let host = local_address(target)?;
        let sip = UdpSocket::bind((host, 0))?;
        let cname = format!("{}@{host}", options.user);
        let mut open = |track| MediaStream::open(track, host, &cname, &mut rng);
        let mut streams = Vec::new();
        if options.audio {
            streams.push((Track::Audio, open(Track::Audio)?));
        }
        if options.video {
            streams.push((Track::Video, open(Track::Video)?));
        }
        let port = |wanted| {
            let stream = streams.iter().find(|(track, _)| *track == wanted);
            stream.map(|(_, stream)| stream.port()).transpose()
        };
        let (audio, video) = (port(Track::Audio)?, port(Track::Video)?);
        let text = offer::offer(host, audio, video, options.feedback, &options.clip);
        let began = Instant::now();
        let local = sip.local_addr()?;
        let dialog = Dialog::call(
            began,
            target,
            local,
            number,
            &options.user,
            text,
            rng.fork(),
        );
        let media = MediaOptions {
            reports: options.reports,
            lose_every: options.lose_every,
        };
        Ok(Self {
            target,
            sip,
            dialog,
            streams,
            options,
            media,
            shared,
            began,
        })
    }

    fn run(mut self) {
        if let Err(error) = self.run_call() {
            self.shared.stats().state = CallState::Ended(format!("socket error: {error}"));
        }
    }

    fn run_call(&mut self) -> io::Result<()> {
        let mut over_at = None;
        let mut hung_up = false;
        loop {
            let now = Instant::now();
            if over_at.is_some_and(|at| now >= at) {
                return Ok(());
            }
            if !hung_up && self.shared.hang_up.load(Ordering::Relaxed) {
                hung_up = true;
                self.stop_media(now)?;
                self.dialog.hang_up(now);
            }
            self.dialog.handle_timeout(now);
            self.drain_dialog(now)?;
            self.step_media(now)?;
            if over_at.is_none() && self.dialog.is_over() {
                over_at = Some(now + LINGER);
            }
            self.receive_sip()?;
        }
    }

    /// Waits for a SIP message until something else is due, and takes all that are there.
    fn receive_sip(&mut self) -> io::Result<()> {
        let clip = &self.options.clip;
        let media_due = self
            .streams
            .iter()
            .filter_map(|(_, stream)| stream.due(clip))
            .min();
        let wait = |now: Instant| match media_due {
            Some(due) => due.saturating_duration_since(now).min(LOOK_EVERY),
            None => LOOK_EVERY,
        };
        let now = Instant::now();
        if media_due.is_some() {
            // A socket's own timeout is as coarse as the kernel's tick; media want better.
            thread::sleep(wait(now));
            self.sip.set_nonblocking(true)?;
        } else {
            self.sip.set_nonblocking(false)?;
            self.sip.set_read_timeout(Some(wait(now)))?;
        }
        let mut buffer = vec![0; SIP_MESSAGE_BYTES];
        loop {
            match self.sip.recv_from(&mut buffer) {
                Ok((len, from)) if from.ip() == self.target.ip() => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    self.dialog.handle_datagram(Instant::now(), datagram);
                }
                Ok(_) => {}
                Err(error) if is_idle(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            self.drain_dialog(Instant::now())?;
            self.sip.set_nonblocking(true)?;
        }
    }

    fn drain_dialog(&mut self, now: Instant) -> io::Result<()> {
        while let Some(datagram) = self.dialog.poll_transmit() {
            send_to(&self.sip, &datagram, self.target)?;
        }
        while let Some(event) = self.dialog.poll_event() {
            self.handle_event(now, event)?;
        }
        self.shared.stats().sip_resent = self.dialog.resent();
        Ok(())
    }

    fn handle_event(&mut self, now: Instant, event: DialogEvent) -> io::Result<()> {
        match event {
            DialogEvent::Ringing => self.shared.stats().state = CallState::Ringing,
            DialogEvent::KeyframeWanted => self.shared.stats().info_keyframes += 1,
            DialogEvent::Answered(body) => {
                let (audio, video) = offer::read_answer(&body);
                let begin = now + self.options.media_after;
                for (track, stream) in &mut self.streams {
                    let remote = match track {
                        Track::Audio => audio,
                        Track::Video => video,
                    };
                    if let Some(remote) = remote {
                        stream.start(begin, remote, &self.media);
                    }
                }
                let mut stats = self.shared.stats();
                stats.state = CallState::Established;
                stats.media_began = Some(begin);
                stats.set_up = Some(now.saturating_duration_since(self.began));
            }
            DialogEvent::Ended(words) => {
                self.stop_media(now)?;
                self.shared.stats().state = CallState::Ended(words);
            }
        }
        Ok(())
    }

    fn step_media(&mut self, now: Instant) -> io::Result<()> {
        let mut stats = self.shared.stats();
        for (_, stream) in &mut self.streams {
            stream.send_due(now, &self.options.clip, &self.media, &mut stats)?;
            stream.receive(&mut stats);
        }
        Ok(())
    }

    fn stop_media(&mut self, now: Instant) -> io::Result<()> {
        self.streams
            .iter_mut()
            .try_for_each(|(_, stream)| stream.stop(now))
    }
}

/// The address of ours that reaches `target`.
fn local_address(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

fn is_idle(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | TimedOut | Interrupted | ConnectionRefused
    )
}

/// A source seeded by the standard library's own randomness: good for tags, not for secrets.
fn fresh_rng() -> Rng {
    Rng::from_number(RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::{self, RtcpPacket};

    /// A far end that answers a call, takes its media for a while and hangs up.
    struct FarEnd {
        sip: UdpSocket,
        rtp: UdpSocket,
        rtcp: UdpSocket,
    }

    impl FarEnd {
        fn open() -> Self {
            let open = || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                socket
            };
            Self {
                sip: open(),
                rtp: open(),
                rtcp: open(),
            }
        }

        fn receive(&self) -> (String, SocketAddr) {
            let mut buffer = [0; 4_096];
            let (len, from) = self.sip.recv_from(&mut buffer).unwrap();
            (String::from_utf8_lossy(&buffer[..len]).into_owned(), from)
        }

        fn answer(&self, request: &str, to: SocketAddr, body: &str) {
            let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let head: String = request
                .lines()
                .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
                .map(|line| format!("{line}\r\n"))
                .collect();
            let contact = self.sip.local_addr().unwrap();
            let text = format!(
                "SIP/2.0 200 OK\r\n{head}Contact: <sip:x@{contact}>\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.sip.send_to(text.as_bytes(), to).unwrap();
        }
    }

    #[test]
    fn a_call_sends_its_clip_in_order_and_says_goodbye() {
        let far = FarEnd::open();
        let target = far.sip.local_addr().unwrap();
        let options = CallOptions {
            audio: false,
            ..CallOptions::default()
        };
        let caller = Caller::place(target, "1001", options).unwrap();
        let (invite, from) = far.receive();
        assert!(invite.starts_with("INVITE sip:1001@") && invite.contains("m=video "));
        let answer = format!(
            "v=0\r\nc=IN IP4 127.0.0.1\r\nm=video {} RTP/AVP 96\r\na=rtcp:{}\r\n",
            far.rtp.local_addr().unwrap().port(),
            far.rtcp.local_addr().unwrap().port()
        );
        far.answer(&invite, from, &answer);
        assert!(far.receive().0.starts_with("ACK "));
        assert!(caller.wait_established(Duration::from_secs(5)));

        let mut buffer = [0; PACKET_MOST];
        let mut last: Option<(u16, u32)> = None;
        let mut frames = 0;
        while frames < 5 {
            let len = far.rtp.recv(&mut buffer).unwrap();
            let packet = &buffer[..len];
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            if let Some((before, time)) = last {
                assert_eq!(sequence, before.wrapping_add(1));
                assert!([0, 3_600].contains(&timestamp.wrapping_sub(time)));
            }
            last = Some((sequence, timestamp));
            frames += u32::from(packet[1] & 0x80 != 0);
        }
        let len = far.rtcp.recv(&mut buffer).unwrap();
        let report = rtcp::packets(&buffer[..len]).next();
        assert!(matches!(report, Some(Ok(RtcpPacket::SenderReport { .. }))));

        caller.hang_up();
        let (bye, from) = far.receive();
        assert!(bye.starts_with("BYE "));
        far.answer(&bye, from, "");
        assert!(caller.wait_ended(Duration::from_secs(5)));
        let len = far.rtcp.recv(&mut buffer).unwrap();
        let goodbye = rtcp::packets(&buffer[..len]).last();
        assert!(matches!(goodbye, Some(Ok(RtcpPacket::Bye(_)))));
        let stats = caller.stats();
        assert!(stats.video_frames >= 5 && stats.audio_packets == 0);
    }

    const PACKET_MOST: usize = 1_500;
}
