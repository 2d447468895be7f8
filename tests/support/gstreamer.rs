//! GStreamer as a sender of RTP: its encoders, its payloaders, its sender reports.
//!
//! A pipeline plays the clip, encodes it, writes what was encoded into an FLV file of GStreamer's
//! own muxer where the test wants to compare, and sends it through `rtpbin` in real time.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::scratch::Scratch;
use super::{Clip, Dialogue, Namespace, Program};

/// One track of a pipeline.
pub struct Track {
    /// `audio` or `video`, as in SDP.
    pub kind: &'static str,
    /// From the decoded or encoded clip to coded frames, for example `alawenc`.
    pub encoder: &'static str,
    /// Whether the encoder is fed with decoded pictures or the clip's own H.264.
    pub coded: bool,
    /// The payloader with its settings, payload type included.
    pub payloader: &'static str,
    /// The sender's RTP port; RTCP goes from and to the one above it.
    pub port: u16,
    /// Two ports for RTCP on its way through the sender's machine.
    pub rtcp: u16,
}

/// A pipeline that runs, and what carries its RTCP.
pub struct Sending {
    /// The pipeline.
    pub program: Program,
    _rtcp: Vec<Program>,
}

/// A pipeline to be.
pub struct Sender {
    folder: Scratch,
    tracks: Vec<Track>,
    rounds: u32,
}

impl Sender {
    /// A sender of these tracks that plays the clip `rounds` times.
    pub fn new(tracks: Vec<Track>, rounds: u32) -> Self {
        let folder = Scratch::new("gstreamer");
        Self {
            folder,
            tracks,
            rounds,
        }
    }

    /// Where the pipeline writes what it encoded, as FLV.
    pub fn reference(&self) -> PathBuf {
        self.folder.join("sent.flv")
    }

    /// Starts sending to the ports of a call's answer. With `keep`, what is sent is also written
    /// to [`Self::reference`]; all codecs must then be such as FLV knows.
    pub fn start(&self, call: &Dialogue, keep: bool) -> Sending {
        self.start_in(call, keep, None)
    }

    fn start_in(&self, call: &Dialogue, keep: bool, namespace: Option<&Namespace>) -> Sending {
        let (host, own) = namespace.map_or((Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST), |space| {
            (space.ours(), space.theirs())
        });
        let mut text = String::from("rtpbin name=b rtp-profile=avpf ");
        if keep {
            let _ = write!(
                text,
                "flvmux name=m ! filesink location={} ",
                self.reference().display()
            );
        }
        for (index, track) in self.tracks.iter().enumerate() {
            let file = match track.kind {
                "audio" => Clip::as_wav_rounds(&self.folder, self.rounds),
                _ => Clip::as_mp4_rounds(&self.folder, self.rounds),
            };
            let _ = write!(text, "filesrc location={} ! ", file.display());
            text += match (track.kind, track.coded) {
                ("audio", _) => "wavparse ! audioconvert ! audioresample ! ",
                (_, true) => "qtdemux ! h264parse ! ",
                (_, false) => "qtdemux ! h264parse ! avdec_h264 ! videoconvert ! ",
            };
            let _ = write!(text, "{} ! tee name=t{index} ", track.encoder);
            if keep {
                let _ = write!(
                    text,
                    "t{index}. ! queue max-size-time=0 max-size-buffers=0 ! m.{} ",
                    track.kind
                );
            }
            let to = call.port(track.kind);
            assert_ne!(to, 0, "{} was refused:\n{}", track.kind, call.answer);
            let _ = write!(
                text,
                "t{index}. ! queue ! {payloader} ! b.send_rtp_sink_{index} \
                 b.send_rtp_src_{index} ! \
                 udpsink host={host} port={to} bind-address={own} bind-port={from} \
                 b.send_rtcp_src_{index} ! \
                 udpsink host={own} port={rtcp_out} sync=false async=false \
                 udpsrc address={own} port={rtcp_in} ! b.recv_rtcp_sink_{index} ",
                payloader = track.payloader,
                from = track.port,
                rtcp_out = track.rtcp,
                rtcp_in = track.rtcp + 1,
            );
        }
        let within = |program| match namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        };
        let rtcp = self.tracks.iter().map(|track| {
            let (to, from) = (call.port(track.kind) + 1, track.port + 1);
            let (taken, given) = (track.rtcp, track.rtcp + 1);
            Program::start(
                within("socat")
                    .arg(format!("UDP4-DATAGRAM:{host}:{to},bind={own}:{from}"))
                    .arg(format!("UDP4-DATAGRAM:{own}:{given},bind={own}:{taken}")),
            )
        });
        let rtcp = rtcp.collect();
        let mut command = within("gst-launch-1.0");
        command.arg("-q").args(text.split_whitespace());
        Sending {
            program: Program::start(&mut command),
            _rtcp: rtcp,
        }
    }

    /// Sends all of the clip and waits for the end.
    pub fn play(&self, call: &Dialogue, keep: bool) {
        self.play_in(call, keep, None);
    }

    /// The same from within a namespace.
    pub fn play_in(&self, call: &Dialogue, keep: bool, namespace: Option<&Namespace>) {
        let mut sending = self.start_in(call, keep, namespace);
        let program = &mut sending.program;
        let seconds = u64::from(10 * self.rounds) + 4;
        if !program.ended_within(Duration::from_secs(seconds)) {
            // All is sent, and GStreamer 1.22 at times waits for ever for the end of its RTCP.
            program.signal("INT");
            program.wait(Duration::from_secs(5));
        }
        let text = program.text();
        assert!(!text.contains("ERROR"), "{text}");
    }
}
