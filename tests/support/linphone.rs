//! linphone on a machine without sound card, camera and screen.
//!
//! - It refuses to call when 127.0.0.1 is its only address: it lives in a [`Namespace`].
//! - Sound comes from a WAV file (`soundcard use files`, `play`); the picture is the still one of
//!   the package `libmediastreamer-data`, sent up to 25 times a second (`staticpic fps`).
//! - H.264 is in the package `mediastreamer2-plugin-openh264`.
//! - It takes orders on its standard input and keeps its database below `HOME`.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::scratch::Scratch;
use super::{Clip, Namespace, Ports, Program};

/// A linphone in a call.
pub struct Linphone {
    program: Program,
    folder: Scratch,
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
        let folder = Scratch::new("linphone");
        for place in [".local/share/linphone/x", ".config/linphone/x"] {
            folder.write(place, "");
        }
        let mut config = format!(
            "[sip]\nsip_port={}\nsip_tcp_port=0\nsip_tls_port=0\ndefault_proxy=-1\n\
             register_only_when_network_is_up=0\nauto_net_state_mon=0\n\
             [rtp]\naudio_rtp_port={}\nvideo_rtp_port={}\n\
             [sound]\nec=0\nagc=0\n\
             [video]\ndevice=StaticImage: Static picture\nenabled=1\ncapture=1\ndisplay=0\n\
             automatically_initiate={initiate}\nautomatically_accept=1\nsize=cif\n",
            ports.pair(),
            ports.pair(),
            ports.pair(),
            initiate = u8::from(!video.is_empty()),
        );
        for (index, (name, rate, channels)) in AUDIO.iter().enumerate() {
            let enabled = u8::from(audio.contains(&&format!("{name}/{rate}")[..]));
            let _ = write!(
                config,
                "[audio_codec_{index}]\nmime={name}\nrate={rate}\nchannels={channels}\nenabled={enabled}\n"
            );
        }
        for (index, name) in ["VP8", "H264"].iter().enumerate() {
            let enabled = u8::from(video.contains(name));
            let _ = write!(
                config,
                "[video_codec_{index}]\nmime={name}\nrate=90000\nenabled={enabled}\n"
            );
        }
        let file = folder.write("linphonerc", config);
        let mut command = namespace.command("linphonec");
        command.arg("-V").arg("-c").arg(file);
        command.args(["-d", "6", "-l"]).arg(folder.join("log"));
        command.env("HOME", folder.path());
        let mut program = Program::start_listening(&mut command);
        program.say("soundcard use files");
        program.wait_for("Using wav files", Duration::from_secs(15));
        let wav: PathBuf = Clip::as_wav_rounds(&folder, 2);
        program.say(&format!("play {}", wav.display()));
        thread::sleep(Duration::from_millis(500));
        program.say(&format!("call sip:{number}@{gateway}"));
        program.wait_for("Media streams established", Duration::from_secs(15));
        // Only a stream that runs takes this; without it there is one picture a second.
        program.say("staticpic fps 10");
        Self { program, folder }
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
        self.program.wait_for("ended", Duration::from_secs(5));
        self.program.say("quit");
        self.program.wait(Duration::from_secs(10));
    }
}
