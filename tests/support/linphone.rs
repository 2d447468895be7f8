//! linphone on a machine without sound card, camera and screen.
//!
//! - It refuses to call when 127.0.0.1 is its only address: it lives in a [`Namespace`].
//! - Sound comes from a WAV file (`soundcard use files`, `play`); the picture is the still one of
//!   the package `libmediastreamer-data`, sent up to 25 times a second (`staticpic fps`).
//! - H.264 is in the package `mediastreamer2-plugin-openh264`.
//! - Over TLS it takes no connection, as belle-sip cannot: it is called over the one by which it has
//!   registered. Its mbedTLS knows no addresses in
//!   certificates, so names are left unchecked.
//! - It takes orders on its standard input and keeps its database below `HOME`.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::scratch::Scratch;
use super::{Authority, Clip, Namespace, Ports, Program};

/// What a linphone is to do.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Audio codecs, as `NAME/RATE`.
    pub audio: &'a [&'a str],
    /// Video codecs, `VP8` and `H264`; none is a call without picture.
    pub video: &'a [&'a str],
    /// SIP goes over TLS, with this authority for the certificates of others.
    pub tls: Option<&'a Authority>,
    /// Its media goes by SRTP or not at all.
    pub srtp: bool,
    /// It takes calls that come in.
    pub answers: bool,
    /// It registers there, as this user; over TLS if it has that.
    pub registrar: Option<(SocketAddr, &'a str)>,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            audio: &["PCMU/8000"],
            video: &["H264"],
            tls: None,
            srtp: false,
            answers: false,
            registrar: None,
        }
    }
}

/// A linphone: one in a call, or one that is called.
pub struct Linphone {
    program: Program,
    folder: Scratch,
    sip: SocketAddr,
}

/// Audio codecs it knows, with rate and channels.
const AUDIO: &[(&str, u32, u32)] = &[
    ("opus", 48_000, 2),
    ("speex", 16_000, 1),
    ("speex", 8_000, 1),
    ("PCMU", 8_000, 1),
    ("PCMA", 8_000, 1),
    ("GSM", 8_000, 1),
    ("G722", 8_000, 1),
    ("G729", 8_000, 1),
];

impl Linphone {
    /// Calls `number`, offering the audio codecs named as `NAME/RATE` and the video codecs named
    /// (`VP8`, `H264`), in its own order.
    pub fn call(
        ports: &mut Ports,
        namespace: &Namespace,
        gateway: SocketAddr,
        number: &str,
        audio: &[&str],
        video: &[&str],
    ) -> Self {
        let plan = Plan {
            audio,
            video,
            ..Plan::default()
        };
        Self::start(ports, namespace, gateway, number, &plan)
    }

    /// Calls `number` as planned.
    pub fn start(
        ports: &mut Ports,
        namespace: &Namespace,
        gateway: SocketAddr,
        number: &str,
        plan: &Plan,
    ) -> Self {
        let mut linphone = Self::listen(ports, namespace, plan);
        let transport = plan.tls.map_or("", |_| ";transport=tls");
        let call = format!("call sip:{number}@{gateway}{transport}");
        linphone.order(&call);
        linphone.established();
        linphone
    }

    /// Waits for calls.
    pub fn listen(ports: &mut Ports, namespace: &Namespace, plan: &Plan) -> Self {
        let folder = Scratch::new("linphone");
        for place in [".local/share/linphone/x", ".config/linphone/x"] {
            folder.write(place, "");
        }
        let sip = SocketAddr::new(namespace.theirs().into(), ports.pair());
        let file = folder.write("linphonerc", config(ports, sip.port(), plan));
        let mut command = namespace.command("linphonec");
        command.arg("-V").arg("-c").arg(file);
        command.args(plan.answers.then_some("-a"));
        command.args(["-d", "6", "-l"]).arg(folder.join("log"));
        command.env("HOME", folder.path());
        let mut program = Program::start_listening(&mut command);
        program.say("soundcard use files");
        program.wait_for("Using wav files", Duration::from_secs(15));
        let wav: PathBuf = Clip::as_wav_rounds(&folder, 2);
        program.say(&format!("play {}", wav.display()));
        thread::sleep(Duration::from_millis(500));
        Self {
            program,
            folder,
            sip,
        }
    }

    /// Waits until its call is up, and has it send more than one picture a second.
    pub fn established(&mut self) {
        let established = "Media streams established";
        self.program.wait_for(established, Duration::from_secs(15));
        // Only a stream that runs takes this.
        self.program.say("staticpic fps 10");
    }

    /// Where it takes SIP over UDP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Gives it an order, such as `pause`.
    pub fn order(&mut self, order: &str) {
        self.program.say(order);
    }

    /// The program, for its output.
    pub fn log(&self) -> &Program {
        &self.program
    }

    /// Its own log file, SDP and RTP statistics included.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Hangs up and quits.
    pub fn hang_up(&mut self) {
        self.program.say("terminate");
        self.quit();
    }

    /// Waits for the end of the call and quits.
    pub fn quit(&mut self) {
        self.program.wait_for("ended", Duration::from_secs(5));
        self.program.say("quit");
        self.program.wait(Duration::from_secs(10));
    }
}

/// Its file of settings.
fn config(ports: &mut Ports, sip: u16, plan: &Plan) -> String {
    let tls = plan.tls.map_or(String::new(), |authority| {
        let file = authority.file();
        format!(
            "root_ca={}\nverify_server_certs=1\nverify_server_cn=0\n",
            file.display()
        )
    });
    let encryption = match plan.srtp {
        true => "media_encryption=srtp\nmedia_encryption_mandatory=1\n",
        false => "",
    };
    let registered = plan.registrar.map_or(String::new(), |(at, user)| {
        let transport = plan.tls.map_or("", |_| ";transport=tls");
        format!(
            "[proxy_0]\nreg_proxy=<sip:{at}{transport}>\nreg_route=<sip:{at}{transport};lr>\n\
             reg_identity=sip:{user}@{at}\nreg_expires=60\nreg_sendregister=1\npublish=0\n"
        )
    });
    let proxy = if plan.registrar.is_some() { 0 } else { -1 };
    let mut config = format!(
        "{registered}[sip]\nsip_port={sip}\nsip_tcp_port=0\nsip_tls_port={}\ndefault_proxy={proxy}\n\
         register_only_when_network_is_up=0\nauto_net_state_mon=0\n{tls}{encryption}\
         [rtp]\naudio_rtp_port={}\nvideo_rtp_port={}\n\
         [sound]\nec=0\nagc=0\n\
         [video]\ndevice=StaticImage: Static picture\nenabled=1\ncapture=1\ndisplay=0\n\
         automatically_initiate={initiate}\nautomatically_accept=1\nsize=cif\n",
        if plan.tls.is_some() { sip + 1 } else { 0 },
        ports.pair(),
        ports.pair(),
        initiate = u8::from(!plan.video.is_empty()),
    );
    for (index, (name, rate, channels)) in AUDIO.iter().enumerate() {
        let enabled = u8::from(plan.audio.contains(&&format!("{name}/{rate}")[..]));
        let _ = write!(
            config,
            "[audio_codec_{index}]\nmime={name}\nrate={rate}\nchannels={channels}\nenabled={enabled}\n"
        );
    }
    for (index, name) in ["VP8", "H264"].iter().enumerate() {
        let enabled = u8::from(plan.video.contains(name));
        let _ = write!(
            config,
            "[video_codec_{index}]\nmime={name}\nrate=90000\nenabled={enabled}\n"
        );
    }
    config
}
