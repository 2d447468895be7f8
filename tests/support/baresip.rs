//! baresip without screen, camera or sound card.
//!
//! What makes it send a moving picture and sound on such a machine (Debian's 1.0.0):
//! - `net_interface` must be the address `127.0.0.1`; the name `lo` is refused.
//! - The picture comes from a file without sound through `avformat.so` (which would abort on
//!   sound) and is encoded by `avcodec.so` with libx264; both are in the package `baresip-ffmpeg`.
//! - The sound comes from a WAV file of 8 kHz through `aufile.so`.
//! - `-e '/dial …'` needs `menu.so`; `-t N` ends the call with BYE and the program after N
//!   seconds; both need an account, here with `regint=0`, which means without registration.
//! - It takes the SIP port + 1 for TLS, and shows its certificate there, which lies in one file with
//!   the key. A certificate that it connects to is checked if there is `sip_cafile`.
//! - It takes orders, the commands of its menu, as JSON in netstrings over TCP (`ctrl_tcp.so`).
//! - VP8 comes from `vp8.so` and Opus from `opus.so`, both in `baresip-core`; the sound of the file
//!   is resampled.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::authority::{Authority, Certificate};
use super::flv::Flv;
use super::scratch::{Scratch, tests_folder};
use super::{Clip, Namespace, Ports, Program, probe};

/// Seconds that the clip takes.
const CLIP_SECONDS: u32 = 10;

/// What a baresip is to do.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Audio codecs to offer, as in its accounts: `PCMA`, `opus/48000/2`.
    pub audio: &'a str,
    /// Video codecs to offer: `H264`, `VP8`; it knows none if empty.
    pub video: &'a str,
    /// Length of the call; of one that is called, how long it waits and talks at most.
    pub seconds: u32,
    /// Where it lives; on loopback beside the gateway if nowhere else.
    pub namespace: Option<&'a Namespace>,
    /// Its address without a namespace.
    pub address: IpAddr,
    /// It calls over TCP.
    pub tcp: bool,
    /// SIP goes over TLS, with this authority for the certificates of others and this one for its own.
    pub tls: Option<(&'a Authority, &'a Certificate)>,
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
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tcp: false,
            tls: None,
            encryption: None,
        }
    }
}

/// What a baresip does with a call that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// It takes it.
    AtOnce,
    /// It rings until it is told what to do.
    WhenTold,
}

/// A baresip: one that calls, shows the clip for some seconds and hangs up, or one that is called.
pub struct Baresip {
    program: Program,
    folder: Scratch,
    sip: SocketAddr,
    orders: SocketAddr,
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
        let transport = match plan {
            Plan { tls: Some(_), .. } => ";transport=tls",
            Plan { tcp: true, .. } => ";transport=tcp",
            _ => "",
        };
        Self::launch(ports, plan, |sip| Job {
            account: format!("<sip:caller@{sip}>;regint=0"),
            arguments: vec![
                "-e".into(),
                format!("/dial sip:{number}@{gateway}{transport}"),
            ],
        })
    }

    /// Registers as `user` over TLS, answers the calls that come, and ends as planned.
    pub fn answer(ports: &mut Ports, registrar: SocketAddr, user: &str, plan: &Plan) -> Self {
        Self::launch(ports, plan, |_| Job {
            account: format!("<sip:{user}@{registrar};transport=tls>;regint=60;answermode=auto"),
            arguments: Vec::new(),
        })
    }

    /// Waits for calls to `number` for as long as the plan says, and prints every SIP message.
    pub fn listen(ports: &mut Ports, number: &str, answers: Answers, plan: &Plan) -> Self {
        let mode = match answers {
            Answers::AtOnce => "auto",
            Answers::WhenTold => "manual",
        };
        let baresip = Self::launch(ports, plan, |sip| Job {
            account: format!("<sip:{number}@{sip}>;regint=0;answermode={mode}"),
            arguments: vec!["-s".into()],
        });
        let patience = Duration::from_secs(10);
        baresip.program.wait_for("baresip is ready", patience);
        baresip
    }

    fn launch(ports: &mut Ports, plan: &Plan, job: impl Fn(SocketAddr) -> Job) -> Self {
        let folder = Scratch::new("baresip");
        let home = plan
            .namespace
            .map_or(plan.address, |namespace| namespace.theirs().into());
        let sip = SocketAddr::new(home, ports.pair());
        let orders = SocketAddr::new(home, ports.pair());
        let first = ports.pair();
        for _ in 0..4 {
            ports.pair();
        }
        let last = ports.pair();
        let rounds = plan.seconds / CLIP_SECONDS + 1;
        let video = Clip::as_mp4_rounds(&folder, rounds);
        let audio = Clip::as_wav_rounds(&folder, rounds);
        let text = fs::read_to_string(tests_folder().join("data/peers/baresip.conf"))
            .expect("baresip.conf is part of the project")
            .replace("@ADDRESS@:@SIP_PORT@", &sip.to_string())
            .replace("@ADDRESS@", &home.to_string())
            .replace("@ORDERS@", &orders.to_string())
            .replace("@RTP_PORTS@", &format!("{first}-{last}"))
            .replace("@VIDEO@", &video.to_string_lossy())
            .replace("@AUDIO@", &audio.to_string_lossy())
            .replace("@FOLDER@", &folder.path().to_string_lossy());
        let is_wanted = |line: &&str| {
            let coder = ["avcodec.so", "vp8.so"].iter().any(|so| line.ends_with(so));
            !coder || !plan.video.is_empty()
        };
        let mut config: Vec<_> = text.lines().filter(is_wanted).map(str::to_owned).collect();
        if plan.encryption.is_some() {
            config.push("module srtp.so".to_owned());
        }
        if let Some((authority, certificate)) = plan.tls {
            let read = |path| fs::read_to_string(path).expect("a certificate of the test");
            let both = read(&certificate.certificate) + &read(&certificate.key);
            let own = folder.write("own.pem", both);
            config.push(format!("sip_certificate {}", own.display()));
            config.push(format!("sip_cafile {}", authority.file().display()));
        }
        folder.write("config", config.join("\n") + "\n");
        folder.write("contacts", "");
        let Job {
            mut account,
            arguments,
        } = job(sip);
        for (key, value) in [
            ("audio_codecs", plan.audio),
            ("video_codecs", plan.video),
            ("mediaenc", plan.encryption.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                account += &format!(";{key}={value}");
            }
        }
        folder.write("accounts", account + "\n");
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
        Self {
            program,
            folder,
            sip,
            orders,
        }
    }

    /// Where it takes SIP over UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where it takes SIP over TLS.
    pub fn sip_tls(&self) -> SocketAddr {
        SocketAddr::new(self.sip.ip(), self.sip.port() + 1)
    }

    /// Gives it a command of its menu, such as `hold`, `hangup` or `sndcode 12`.
    pub fn order(&self, order: &str) {
        let (command, parameters) = order.split_once(' ').unwrap_or((order, ""));
        let words = serde_json::json!({"command": command, "params": parameters, "token": "t"});
        let words = words.to_string();
        let mut stream = TcpStream::connect(self.orders).expect("baresip takes orders");
        let patience = Some(Duration::from_secs(5));
        stream.set_read_timeout(patience).expect("a timeout");
        write!(stream, "{}:{words},", words.len()).expect("baresip reads orders");
        // Events come over the same connection.
        let mut answer = String::new();
        let mut bytes = [0; 4_096];
        while !answer.contains("\"response\":true") {
            let length = stream.read(&mut bytes).unwrap_or_default();
            assert!(length > 0, "no answer to {order}: {answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        assert!(answer.contains("\"ok\":true"), "{order}: {answer}");
    }

    /// The picture that it shows, as a PNG file; it needs a decoded one.
    pub fn snapshot(&self) -> Vec<u8> {
        let path = self.folder.join("shown.png");
        let _ = fs::remove_file(&path);
        self.order(&format!("snapshot_recv {}", path.display()));
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.ends_with(b"IEND\xaeB`\x82") {
                return bytes;
            }
            assert!(Instant::now() < deadline, "no picture is shown");
            sleep(Duration::from_millis(50));
        }
    }

    /// Ends the program; the sound that it played, in samples of 8 kHz.
    pub fn heard(mut self) -> Vec<i16> {
        self.order("quit");
        self.end(Duration::from_secs(5));
        let names = fs::read_dir(self.folder.path()).expect("its folder");
        let names = names.map(|entry| entry.expect("a file of it").path());
        let is_heard = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        let path = names.into_iter().find(is_heard);
        let bytes = fs::read(path.expect("it played something")).expect("what it played");
        let samples = bytes.get(44..).unwrap_or_default().chunks_exact(2);
        samples
            .map(|two| i16::from_le_bytes([two[0], two[1]]))
            .collect()
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

    /// Waits for the end of the call, ends the program and returns what it says to have sent.
    pub fn quit(self) -> Sent {
        self.program.wait_for("packets:", Duration::from_secs(5));
        self.order("quit");
        self.finish(Duration::from_secs(5))
    }

    /// Waits for the end of the call and returns what it says to have sent.
    pub fn finish(mut self, patience: Duration) -> Sent {
        let text = self.end(patience);
        Sent::told(&text)
    }
}

impl Sent {
    /// Demands a recording that decodes, with all that was sent but for the last few frames, which
    /// may have been on their way when the call ended.
    pub fn check_recorded(&self, recording: &Path) {
        let Self {
            pictures,
            audio_packets,
            ..
        } = *self;
        probe::decode_strictly(recording);
        let flv = Flv::read(recording);
        let came = (flv.pictures.len(), flv.sounds.len());
        if pictures > 0 {
            flv.check_order();
        }
        let whole = |came: usize, sent: usize| (sent.saturating_sub(10)..=sent).contains(&came);
        assert!(
            whole(came.0, pictures) && whole(came.1, audio_packets),
            "{came:?} pictures and packets of sound of {self:?}"
        );
    }

    /// What it prints at the end of a call.
    fn told(text: &str) -> Self {
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
        Self {
            pictures: keyframes + encoded("frame P:"),
            keyframes,
            audio_packets,
        }
    }
}
