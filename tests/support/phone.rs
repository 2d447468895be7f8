//! A caller that sends the committed clip, so that each frame can be accounted for.
//!
//! SIP over UDP with just enough of it for one call: no authentication, no forks. Media in real
//! time from a plain thread; H.264 in packetization mode 1, A-law in packets of 20 ms.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clip::{AUDIO_PACKET, PICTURE_RATE};
use super::rtp::{Feedback, RtpStream};
use super::{Clip, Ports};

/// How the clip is played.
#[derive(Clone, Debug)]
pub struct Play {
    /// Times that the clip is repeated without a break; 0 goes on until stopped.
    pub rounds: u32,
    /// First sequence number of both streams.
    pub first_sequence: u16,
    /// First timestamps of sound and picture.
    pub first_timestamps: [u32; 2],
    /// By how much the picture is sent after the sound that was recorded with it.
    pub video_late: Duration,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            rounds: 1,
            first_sequence: 65_400,
            first_timestamps: [4_294_940_000, 4_294_000_000],
            video_late: Duration::ZERO,
        }
    }
}

/// What happened while the clip was played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Pictures sent.
    pub pictures: usize,
    /// RTCP that came for the picture.
    pub video_feedback: Feedback,
    /// RTCP that came for the sound.
    pub audio_feedback: Feedback,
    /// Packets of sound that came from the gateway.
    pub sound_received: u32,
    /// Keyframe requests by SIP INFO.
    pub info_requests: u32,
    /// Whether the gateway ended the call.
    pub ended_by_gateway: bool,
}

/// A caller in a call.
pub struct Phone {
    sip: UdpSocket,
    gateway: SocketAddr,
    number: String,
    call_id: String,
    to: String,
    target: String,
    cseq: u32,
    audio: Leg,
    video: Leg,
    report: Report,
    /// Media lines of the answer that refuse what was offered.
    refused: Vec<String>,
}

/// Sockets of one media stream.
struct Leg {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    remote_rtp: SocketAddr,
    remote_rtcp: SocketAddr,
}

impl Phone {
    /// Calls `number` and returns when the call stands, with sound and picture.
    pub fn dial(ports: &mut Ports, gateway: SocketAddr, number: &str) -> Self {
        let phone = Self::dial_for_anything(ports, gateway, number);
        assert_eq!(phone.refused, [""; 0], "the gateway refused media");
        phone
    }

    /// Calls `number` and returns when the call stands, with what the gateway takes.
    pub fn dial_for_anything(ports: &mut Ports, gateway: SocketAddr, number: &str) -> Self {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let sip = bind(ports.pair());
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let mut leg = || {
            let port = ports.pair();
            let (rtp, rtcp) = (bind(port), bind(port + 1));
            Leg {
                rtp,
                rtcp,
                remote_rtp: nowhere,
                remote_rtcp: nowhere,
            }
        };
        let (audio, video) = (leg(), leg());
        let mut phone = Self {
            sip,
            gateway,
            number: number.to_owned(),
            call_id: format!("{}-{call}@phone.test", std::process::id()),
            to: format!("<sip:{number}@{gateway}>"),
            target: format!("sip:{number}@{gateway}"),
            cseq: 1,
            audio,
            video,
            report: Report::default(),
            refused: Vec::new(),
        };
        phone.invite();
        phone
    }

    /// Media lines of the answer that refuse what was offered.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The call's Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The dialled number.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// Plays the clip to its end.
    pub fn play(&mut self, clip: &Clip, play: &Play) -> Report {
        self.play_unless(clip, play, &AtomicBool::new(false))
    }

    /// Plays the clip in a thread of its own until told to stop.
    pub fn play_in_background(mut self, clip: &Arc<Clip>) -> Playing {
        let stop = Arc::new(AtomicBool::new(false));
        let (clip, stopped) = (Arc::clone(clip), Arc::clone(&stop));
        let play = Play {
            rounds: 0,
            ..Play::default()
        };
        let thread = thread::spawn(move || {
            let report = self.play_unless(&clip, &play, &stopped);
            (self, report)
        });
        Playing { stop, thread }
    }

    /// Ends the call with BYE and demands the answer.
    pub fn hang_up(mut self) {
        self.cseq += 1;
        let request = self.request("BYE", self.cseq, "");
        let answer = self.ask(&request, "BYE");
        assert!(
            answer.starts_with("SIP/2.0 200"),
            "answer to BYE:\n{answer}"
        );
    }

    /// Waits for the gateway to end the call.
    pub fn expect_bye(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.report.ended_by_gateway {
            assert!(Instant::now() < deadline, "the gateway sent no BYE");
            self.listen();
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn invite(&mut self) {
        let address = self.sip.local_addr().expect("the socket is bound");
        let [audio, video] = [&self.audio, &self.video].map(|leg| port(&leg.rtp));
        let offer = format!(
            "v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {audio} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n\
             m=video {video} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
             a=fmtp:97 packetization-mode=1;profile-level-id=42c01e\r\n\
             a=rtcp-fb:97 nack pli\r\na=rtcp-fb:97 ccm fir\r\na=sendonly\r\n"
        );
        let request = format!(
            "Contact: <sip:phone@{address}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{offer}",
            offer.len()
        );
        let request = self.request("INVITE", self.cseq, &request);
        let answer = self.ask(&request, "INVITE");
        assert!(
            answer.starts_with("SIP/2.0 200"),
            "answer to INVITE:\n{answer}"
        );
        self.to = header(&answer, "To").expect("a 200 has To").to_owned();
        let contact = header(&answer, "Contact").expect("a 200 has Contact");
        let inside = contact.split_once('<').map_or(contact, |(_, rest)| rest);
        self.target = inside.split('>').next().unwrap_or(inside).to_owned();
        let media = answer.lines().filter_map(|line| line.strip_prefix("m="));
        for line in media {
            let mut words = line.split_whitespace();
            let leg = match words.next() {
                Some("audio") => &mut self.audio,
                _ => &mut self.video,
            };
            let port: u16 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            if port == 0 {
                self.refused.push(line.to_owned());
                continue;
            }
            leg.remote_rtp = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            leg.remote_rtcp = SocketAddr::from((Ipv4Addr::LOCALHOST, port + 1));
        }
        let ack = self.request("ACK", self.cseq, "");
        self.send(&ack);
    }

    fn play_unless(&mut self, clip: &Clip, play: &Play, stop: &AtomicBool) -> Report {
        let [audio_start, video_start] = play.first_timestamps;
        let mut audio = RtpStream::new(8, 0x5e55_0001, play.first_sequence, audio_start);
        let mut video = RtpStream::new(97, 0x5e55_0002, play.first_sequence, video_start);
        let samples: Vec<&[u8]> = clip.audio.chunks(AUDIO_PACKET).collect();
        let pictures = clip.pictures.len() * play.rounds as usize;
        let sounds = samples.len() * play.rounds as usize;
        let endless = play.rounds == 0;

        let start = Instant::now();
        let (mut picture, mut sound, mut reports) = (0_usize, 0_usize, 0_u32);
        while (endless || picture < pictures || sound < sounds) && !stop.load(Ordering::Relaxed) {
            let elapsed = start.elapsed();
            if (endless || sound < sounds) && elapsed >= Duration::from_millis(20) * sound as u32 {
                let ticks = (sound * AUDIO_PACKET) as u32;
                let packet = audio.packet(ticks, sound == 0, samples[sound % samples.len()]);
                send(&self.audio.rtp, &packet, self.audio.remote_rtp);
                sound += 1;
                continue;
            }
            let due = Duration::from_millis(40) * picture as u32 + play.video_late;
            if (endless || picture < pictures) && elapsed >= due {
                let ticks = (picture as u32).wrapping_mul(90_000 / PICTURE_RATE);
                for packet in video.picture(ticks, &clip.pictures[picture % clip.pictures.len()]) {
                    send(&self.video.rtp, &packet, self.video.remote_rtp);
                }
                picture += 1;
                continue;
            }
            if elapsed >= Duration::from_millis(500) + Duration::from_secs(1) * reports {
                let micros = elapsed.as_micros() as u64;
                let report = audio.sender_report((micros * 8 / 1_000) as u32);
                send(&self.audio.rtcp, &report, self.audio.remote_rtcp);
                let report = video.sender_report((micros * 90 / 1_000) as u32);
                send(&self.video.rtcp, &report, self.video.remote_rtcp);
                reports += 1;
            }
            self.listen();
            thread::sleep(Duration::from_millis(1));
        }
        if !endless {
            // The clip is over when its last frames have been seen and heard, not when they begin.
            let length = Duration::from_millis(40) * pictures as u32 + play.video_late;
            thread::sleep(length.saturating_sub(start.elapsed()));
        }
        self.report.pictures = picture;
        self.report
    }

    /// Takes what has come on any socket.
    fn listen(&mut self) {
        let mut buffer = [0; 2_048];
        while let Ok(length) = self.audio.rtcp.recv(&mut buffer) {
            self.report.audio_feedback.count(&buffer[..length]);
        }
        while let Ok(length) = self.video.rtcp.recv(&mut buffer) {
            self.report.video_feedback.count(&buffer[..length]);
        }
        while self.audio.rtp.recv(&mut buffer).is_ok() {
            self.report.sound_received += 1;
        }
        while let Ok(length) = self.sip.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let method = message.split_whitespace().next().unwrap_or_default();
            match method {
                "BYE" => self.report.ended_by_gateway = true,
                "INFO" => self.report.info_requests += 1,
                _ if message.starts_with("SIP/2.0 200") && message.contains("INVITE") => {
                    let ack = self.request("ACK", 1, "");
                    self.send(&ack);
                    continue;
                }
                _ if message.starts_with("SIP/2.0") => continue,
                _ => {}
            }
            let kept = ["Via", "From", "To", "Call-ID", "CSeq"];
            let mut answer = String::from("SIP/2.0 200 OK\r\n");
            for line in message.lines() {
                if line
                    .split_once(':')
                    .is_some_and(|(name, _)| kept.contains(&name))
                {
                    answer += &format!("{line}\r\n");
                }
            }
            answer += "Content-Length: 0\r\n\r\n";
            self.send(&answer);
        }
    }

    /// A request within or for the dialog; `rest` holds further headers and the body.
    fn request(&self, method: &str, cseq: u32, rest: &str) -> String {
        let address = self.sip.local_addr().expect("the socket is bound");
        let rest = if rest.is_empty() {
            "Content-Length: 0\r\n\r\n"
        } else {
            rest
        };
        format!(
            "{method} {} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};branch=z9hG4bK{}-{method}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: \"Test\" <sip:phone@{address}>;tag=phone\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\n{rest}",
            self.target, self.call_id, self.to, self.call_id
        )
    }

    /// Sends a request until a final answer to it comes, and returns that.
    fn ask(&mut self, request: &str, method: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        let cseq = format!("{} {method}", self.cseq);
        let mut buffer = [0; 4_096];
        let mut answered = false;
        let mut resend = Instant::now();
        while Instant::now() < deadline {
            if !answered && Instant::now() >= resend {
                self.send(request);
                resend = Instant::now() + Duration::from_millis(500);
            }
            while let Ok(length) = self.sip.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.starts_with("SIP/2.0") && header(&message, "CSeq") == Some(&cseq) {
                    if !message.starts_with("SIP/2.0 1") {
                        return message;
                    }
                    answered = true;
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("no answer to {method}");
    }

    fn send(&self, message: &str) {
        send(&self.sip, message.as_bytes(), self.gateway);
    }
}

/// A phone that plays in the background.
pub struct Playing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Phone, Report)>,
}

impl Playing {
    /// Stops the media and gives the phone back, its call still up.
    pub fn stop(self) -> (Phone, Report) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .expect("the phone's thread does not panic")
    }
}

fn bind(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is the test's own");
    socket
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    socket
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("the socket is bound").port()
}

/// Sends and does not mind a port that has been closed meanwhile.
fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    let _ = socket.send_to(bytes, to);
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
