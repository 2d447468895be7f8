//! SIPp, with the scenarios of `tests/sipp`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::clip::{AUDIO_PACKET, PICTURE_RATE};
use super::rtp::{RtpStream, capture};
use super::scratch::{Scratch, tests_folder};
use super::{Clip, Ports, Program, Usage};

/// How a scenario is run.
pub struct Scenario<'a> {
    name: &'a str,
    transport: &'a str,
    target: SocketAddr,
    number: &'a str,
    from: &'a str,
    /// Seconds of the clip to play, and the picture's payload type if it is played too.
    media: (u32, Option<u8>),
    /// How many calls.
    calls: u32,
    /// Calls begun a second.
    rate: u32,
    /// SIP port of its own; any without it.
    port: Option<u16>,
    /// Further options of SIPp.
    options: &'a [&'a str],
    /// Whether a message that is not expected ends it at once.
    strict: bool,
    /// The capture to play in the place of the clip's.
    capture: Option<&'a [u8]>,
}

impl<'a> Scenario<'a> {
    /// The scenario `tests/sipp/<name>.xml`, run from this host over `u1` (UDP) or `t1` (TCP)
    /// towards the gateway at `target`, calling `number`.
    pub fn new(name: &'a str, transport: &'a str, target: SocketAddr, number: &'a str) -> Self {
        Self {
            name,
            transport,
            target,
            number,
            from: "127.0.0.1",
            media: (0, None),
            calls: 1,
            rate: 1,
            port: None,
            options: &[],
            strict: false,
            capture: None,
        }
    }

    /// Calls from another address of this host.
    pub fn from(mut self, address: &'a str) -> Self {
        self.from = address;
        self
    }

    /// Lets the scenario play both streams of the clip for so many seconds, the picture with this
    /// payload type.
    pub fn play(mut self, seconds: u32, payload_type: u8) -> Self {
        self.media = (seconds, Some(payload_type));
        self
    }

    /// Lets the scenario play the clip's sound for so many seconds.
    pub fn sound(mut self, seconds: u32) -> Self {
        self.media = (seconds, None);
        self
    }

    /// Places that many calls instead of one, `rate` of them a second.
    pub fn times(mut self, calls: u32, rate: u32) -> Self {
        self.calls = calls;
        self.rate = rate;
        self
    }

    /// Listens on a SIP port, for scenarios that are called.
    pub fn listen(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Lets every message that the scenario does not expect end it at once.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Gives SIPp further options.
    pub fn options(mut self, options: &'a [&'a str]) -> Self {
        self.options = options;
        self
    }

    /// Lets the scenario play that capture, as `clip.pcap`.
    pub fn capture(mut self, capture: &'a [u8]) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Starts SIPp.
    pub fn start(&self, ports: &mut Ports) -> Sipp {
        let folder = Scratch::new("sipp");
        let media = ports.pair();
        // The picture's port is the pair above; the pairs after it are those a re-INVITE moves to.
        for _ in 0..3 {
            ports.pair();
        }
        let (seconds, picture) = self.media;
        let port = self.port.unwrap_or_else(|| ports.pair());
        match self.capture {
            Some(capture) => drop(folder.write("clip.pcap", capture)),
            None => write_capture(&Clip::load(), seconds, picture, &folder.join("clip.pcap")),
        }
        let mut command = Command::new("sipp");
        command
            .current_dir(folder.path())
            .arg(self.target.to_string())
            .arg("-sf")
            .arg(
                tests_folder()
                    .join("sipp")
                    .join(format!("{}.xml", self.name)),
            )
            .args(["-m", &self.calls.to_string()])
            .args(["-r", &self.rate.to_string()])
            .args(["-l", &self.calls.min(20).to_string()])
            .args(["-nostdin", "-trace_err", "-trace_msg"])
            .args(match self.strict {
                true => &["-default_behaviors", "all,-bye"][..],
                false => &["-nd"],
            })
            .args(["-timeout", "40s", "-timeout_error"])
            .args(["-d", &(seconds * 1_000 + 200).to_string()])
            .args(["-t", self.transport, "-i", self.from, "-mi", self.from])
            .args(["-p", &port.to_string(), "-mp", &media.to_string()])
            .args(["-s", self.number])
            .args(self.options);
        Sipp {
            program: Program::start(&mut command),
            folder,
            name: self.name.to_owned(),
        }
    }

    /// Starts SIPp to be called at a port, and waits until it listens there over UDP.
    pub fn start_at(self, port: u16, ports: &mut Ports) -> Sipp {
        let sipp = self.listen(port).start(ports);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Usage::udp_ports(port, port) == 0 {
            assert!(Instant::now() < deadline, "nobody listens at {port}");
            sleep(Duration::from_millis(10));
        }
        sipp
    }

    /// Runs SIPp for calls that must go as the scenario says.
    pub fn run(&self, ports: &mut Ports) {
        self.start(ports).succeed();
    }
}

/// A running SIPp.
pub struct Sipp {
    program: Program,
    folder: Scratch,
    name: String,
}

impl Sipp {
    /// Waits for the end of the scenario and demands that nothing was unexpected.
    pub fn succeed(mut self) {
        let status = self.program.wait(Duration::from_secs(45));
        if !status.success() {
            let trace = self.trace();
            panic!("SIPp scenario {} ended with {status}:\n{trace}", self.name);
        }
    }

    /// The messages that went to and fro, and SIPp's complaints.
    fn trace(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.folder.path())
            .expect("the folder is there")
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_some_and(|kind| kind == "log") {
                text += &std::fs::read_to_string(path).unwrap_or_default();
            }
        }
        text
    }
}

/// Writes a capture of `seconds` of the clip, again and again: A-law with payload type 8 on the first
/// port and, if wanted, H.264 with payload type `picture` two ports above it. SIPp shifts the ports of
/// a capture as a whole, so one capture plays both streams, which two captures cannot.
fn write_capture(clip: &Clip, seconds: u32, picture: Option<u8>, path: &Path) {
    let mut audio = RtpStream::new(8, 0x0a0d_0001, 65_500, 4_294_960_000);
    let mut video = RtpStream::new(picture.unwrap_or(0), 0x0a0d_0002, 65_500, 4_294_900_000);
    let mut packets = Vec::new();
    let sounds = clip
        .audio
        .chunks(AUDIO_PACKET)
        .cycle()
        .take(seconds as usize * 50);
    for (number, samples) in sounds.enumerate() {
        let elapsed = (number * AUDIO_PACKET) as u32;
        packets.push((
            number as u64 * 20_000,
            0,
            audio.packet(elapsed, number == 0, samples),
        ));
    }
    let pictures = picture.map_or(0, |_| (seconds * PICTURE_RATE) as usize);
    for (number, nals) in clip.pictures.iter().cycle().take(pictures).enumerate() {
        let elapsed = number as u32 * (90_000 / PICTURE_RATE);
        for (place, packet) in video.picture(elapsed, nals).into_iter().enumerate() {
            packets.push((number as u64 * 40_000 + place as u64, 2, packet));
        }
    }
    packets.sort_by_key(|packet| packet.0);
    std::fs::write(path, capture(&packets)).expect("a capture can be written");
}
