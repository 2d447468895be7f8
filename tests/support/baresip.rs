//! baresip without screen, camera or sound card.
//!
//! What makes it send a moving picture and sound on such a machine (Debian's 1.0.0):
//! - `net_interface` must be the address `127.0.0.1`; the name `lo` is refused.
//! - The picture comes from a file without sound through `avformat.so` (which would abort on
//!   sound) and is encoded by `avcodec.so` with libx264; both are in the package `baresip-ffmpeg`.
//! - The sound comes from a WAV file of 8 kHz through `aufile.so`.
//! - `-e '/dial …'` needs `menu.so`; `-t N` ends the call with BYE and the program after N
//!   seconds; both need an account, here with `regint=0`, which means without registration.
//! - It takes the SIP port + 1 for TLS.
//! - VP8 comes from `vp8.so` and Opus from `opus.so`, both in `baresip-core`; the sound of the file
//!   is resampled.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::scratch::{Scratch, tests_folder};
use super::{Clip, Namespace, Ports, Program};

/// Seconds that the clip takes.
const CLIP_SECONDS: u32 = 10;

/// What a baresip is to do.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Audio codecs to offer, as in its accounts: `PCMA`, `opus/48000/2`.
    pub audio: &'a str,
    /// Video codecs to offer: `H264`, `VP8`.
    pub video: &'a str,
    /// Length of the call.
    pub seconds: u32,
    /// Where it lives; on loopback beside the gateway if nowhere else.
    pub namespace: Option<&'a Namespace>,
    /// How it protects its media, as in its accounts: `srtp` (RTP/AVP with keys beside),
    /// `srtp-mand` (RTP/SAVP), `srtp-mandf` (RTP/SAVPF).
    pub encryption: Option<&'a str>,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            audio: "PCMA",
            video: "H264",
            seconds: 8,
            namespace: None,
            encryption: None,
        }
    }
}

/// A baresip that calls, shows the clip for some seconds, and hangs up.
pub struct Baresip {
    program: Program,
    folder: Scratch,
}

/// What a baresip is started with.
struct Job {
    /// Its account, without codecs.
    account: String,
    /// Arguments beside those that all have.
    arguments: Vec<String>,
}

/// What a baresip sent in its call.
#[derive(Debug)]
pub struct Sent {
    /// Pictures encoded.
    pub pictures: usize,
    /// Keyframes among them.
    pub keyframes: usize,
    /// Packets of sound.
    pub audio_packets: usize,
}

impl Baresip {
    /// Calls `number` at the gateway for `seconds`, offering `codec` (`PCMA` or `PCMU`) and H.264.
    pub fn call(
        ports: &mut Ports,
        gateway: SocketAddr,
        number: &str,
        codec: &str,
        seconds: u32,
    ) -> Self {
        let plan = Plan {
            audio: codec,
            seconds,
            ..Plan::default()
        };
        Self::start(ports, gateway, number, &plan)
    }

    /// Calls `number` at the gateway as planned.
    pub fn start(ports: &mut Ports, gateway: SocketAddr, number: &str, plan: &Plan) -> Self {
        Self::launch(ports, plan, |home, sip| Job {
            account: format!("<sip:caller@{home}:{sip}>;regint=0"),
            arguments: vec!["-e".into(), format!("/dial sip:{number}@{gateway}")],
        })
    }

    /// Registers as `user` over TLS, answers the calls that come, and ends as planned.
    pub fn answer(ports: &mut Ports, registrar: SocketAddr, user: &str, plan: &Plan) -> Self {
        Self::launch(ports, plan, |_, _| Job {
            account: format!("<sip:{user}@{registrar};transport=tls>;regint=60;answermode=auto"),
            arguments: Vec::new(),
        })
    }

    fn launch(ports: &mut Ports, plan: &Plan, job: impl Fn(Ipv4Addr, u16) -> Job) -> Self {
        let folder = Scratch::new("baresip");
        let sip = ports.pair();
        let first = ports.pair();
        for _ in 0..4 {
            ports.pair();
        }
        let last = ports.pair();
        let home = plan
            .namespace
            .map_or(Ipv4Addr::LOCALHOST, |namespace| namespace.theirs());
        let rounds = plan.seconds / CLIP_SECONDS + 1;
        let video = Clip::as_mp4_rounds(&folder, rounds);
        let audio = Clip::as_wav_rounds(&folder, rounds);
        let text = fs::read_to_string(tests_folder().join("data/peers/baresip.conf"))
            .expect("baresip.conf is part of the project")
            .replace("@ADDRESS@", &home.to_string())
            .replace("@SIP_PORT@", &sip.to_string())
            .replace("@RTP_PORTS@", &format!("{first}-{last}"))
            .replace("@VIDEO@", &video.to_string_lossy())
            .replace("@AUDIO@", &audio.to_string_lossy())
            .replace("@FOLDER@", &folder.path().to_string_lossy());
        let modules = plan.encryption.map_or("", |_| "\nmodule srtp.so\n");
        folder.write("config", text + modules);
        folder.write("contacts", "");
        let Job { account, arguments } = job(home, sip);
        let account = format!(
            "{account};audio_codecs={};video_codecs={}{}\n",
            plan.audio,
            plan.video,
            plan.encryption
                .map_or(String::new(), |how| format!(";mediaenc={how}")),
        );
        folder.write("accounts", account);
        let mut command = match plan.namespace {
            Some(namespace) => namespace.command("baresip"),
            None => Command::new("baresip"),
        };
        let program = Program::start(
            command
                .arg("-f")
                .arg(folder.path())
                .args(["-t", &plan.seconds.to_string(), "-v"])
                .args(arguments),
        );
        Self { program, folder }
    }

    /// The program, for its output.
    pub fn log(&self) -> &Program {
        &self.program
    }

    /// Waits for the end of the call and returns all that it printed.
    pub fn end(&mut self, patience: Duration) -> String {
        self.program.wait(patience);
        self.program.text()
    }

    /// Waits for the end of the call and returns what it says to have sent.
    pub fn finish(mut self, patience: Duration) -> Sent {
        let text = self.end(patience);
        let encoded = |kind: &str| {
            let line = text
                .lines()
                .find(|line| line.contains("libx264") && line.contains(kind));
            let rest = line
                .and_then(|line| line.split_once(kind))
                .map_or("", |(_, rest)| rest);
            rest.split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0)
        };
        let keyframes = encoded("frame I:");
        let packets = text.lines().find(|line| line.starts_with("packets:"));
        let audio_packets = packets
            .and_then(|line| line.split_whitespace().nth(1))
            .and_then(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("baresip had no call:\n{text}"));
        Sent {
            pictures: keyframes + encoded("frame P:"),
            keyframes,
            audio_packets,
        }
    }
}
