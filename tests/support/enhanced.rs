//! The RTMP server of `tests/peers/enhanced`, which knows Enhanced RTMP and none of this project's
//! code, and what it wrote down.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::program::run;
use super::scratch::Scratch;
use super::{Ports, Program};

/// A running server.
pub struct Enhanced {
    program: Program,
    folder: Scratch,
    address: SocketAddr,
}

impl Enhanced {
    /// Starts a server with options such as `list=Opus,vp08`; see the head of its source.
    pub fn start(ports: &mut Ports, options: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/debug/enhanced");
        assert!(
            path.exists(),
            "{} is not built; see tests/run",
            path.display()
        );
        let folder = Scratch::new("enhanced");
        let address = ports.address();
        let program = Program::start(
            Command::new(path)
                .arg(address.to_string())
                .arg(folder.path())
                .args(options),
        );
        program.wait_for("listening", Duration::from_secs(5));
        Self {
            program,
            folder,
            address,
        }
    }

    /// The address of an application, as a trunk's `url`.
    pub fn url(&self, application: &str) -> String {
        format!("rtmp://{}/{application}", self.address)
    }

    /// The program, for its output.
    pub fn log(&self) -> &Program {
        &self.program
    }

    /// Publishes that were accepted so far.
    pub fn publishes(&self) -> usize {
        let text = self.program.text();
        text.lines().filter(|line| line.contains(" of ")).count()
    }

    /// What was written down of publish `number` from 0 on, once it has ended.
    pub fn recording(&self, number: usize, stream: &str) -> Recording {
        self.program
            .wait_for(&format!("publish {number} ended"), Duration::from_secs(10));
        Recording::read(&self.folder.join(&format!("{number}_{stream}.txt")))
    }
}

/// One message of sound or picture.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whether it is a picture.
    pub video: bool,
    /// Time in milliseconds.
    pub time: u32,
    /// FourCC, or `flv` and the number of a legacy format.
    pub codec: String,
    /// Packet type, where the format has one.
    pub packet_type: Option<u8>,
    /// FLV frame type of a picture: 1 is a keyframe.
    pub frame_type: u8,
    /// Presentation after decoding, in milliseconds.
    pub composition: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// All of a publish.
#[derive(Debug, Default)]
pub struct Recording {
    /// FourCCs that the publisher listed in its connect command.
    pub offered: Vec<String>,
    /// Metadata as `key=value` words, one text a message.
    pub metadata: Vec<String>,
    /// Sound and pictures in the order in which they came.
    pub messages: Vec<Message>,
    /// Why it ended.
    pub end: String,
}

impl Recording {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the server wrote it");
        let mut recording = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "publish" => {
                    let offered = rest.split(' ').nth(2).unwrap_or_default();
                    recording.offered = offered.split(',').map(str::to_owned).collect();
                }
                "meta" => recording.metadata.push(rest.to_owned()),
                "audio" | "video" => recording.messages.push(message(kind, rest)),
                "end" => rest.clone_into(&mut recording.end),
                _ => {}
            }
        }
        recording
    }

    /// Coded frames of a codec: what came with packet types other than sequence starts and ends.
    pub fn frames(&self, codec: &str) -> Vec<&Message> {
        let messages = self
            .messages
            .iter()
            .filter(|message| message.codec == codec);
        messages
            .filter(|message| matches!(message.packet_type, None | Some(1 | 3)))
            .collect()
    }

    /// Sequence starts of a codec.
    pub fn sequence_starts(&self, codec: &str) -> Vec<&Message> {
        let messages = self.messages.iter();
        messages
            .filter(|message| message.codec == codec && message.packet_type == Some(0))
            .collect()
    }

    /// Codecs that came, each once, in the order of their first message.
    pub fn codecs(&self) -> Vec<&str> {
        let mut codecs = Vec::new();
        for message in &self.messages {
            if !codecs.contains(&&message.codec[..]) {
                codecs.push(&message.codec[..]);
            }
        }
        codecs
    }

    /// Demands times that never go back within a track.
    pub fn check_order(&self) {
        for video in [false, true] {
            let track = self
                .messages
                .iter()
                .filter(|message| message.video == video);
            let times: Vec<u32> = track.map(|message| message.time).collect();
            let back = times.windows(2).find(|pair| pair[0] > pair[1]);
            assert_eq!(back, None, "video {video} went back");
        }
    }

    /// Writes VP8 pictures of a size and Opus sound as Matroska, for ffmpeg: its demuxer of FLV
    /// may not know the enhanced form.
    pub fn as_matroska(&self, path: PathBuf, width: u16, height: u16) -> PathBuf {
        let mut tracks = Vec::new();
        let size = [
            element(&[0xb0], &width.to_be_bytes()),
            element(&[0xba], &height.to_be_bytes()),
        ];
        if !self.frames("vp08").is_empty() {
            let video = [track_head(1, 1, "V_VP8"), element(&[0xe0], &size.concat())];
            tracks.push(element(&[0xae], &video.concat()));
        }
        if let Some(head) = self.sequence_starts("Opus").first() {
            let form = [
                element(&[0xb5], &48_000_f32.to_be_bytes()),
                element(&[0x9f], &[head.body.get(9).copied().unwrap_or(1)]),
            ];
            let audio = [
                track_head(2, 2, "A_OPUS"),
                element(&[0x63, 0xa2], &head.body),
                element(&[0xe1], &form.concat()),
            ];
            tracks.push(element(&[0xae], &audio.concat()));
        }
        let mut clusters = Vec::new();
        for message in &self.messages {
            let number = match (&message.codec[..], message.packet_type) {
                ("vp08", Some(1 | 3)) => 0x81,
                ("Opus", Some(1)) => 0x82,
                _ => continue,
            };
            // Every block in a cluster of its own: no relative times to run over.
            let keyframe = !message.video || message.frame_type == 1;
            let mut block = vec![number, 0, 0, if keyframe { 0x80 } else { 0 }];
            block.extend_from_slice(&message.body);
            let cluster = [
                element(&[0xe7], &message.time.to_be_bytes()),
                element(&[0xa3], &block),
            ];
            clusters.extend(element(&[0x1f, 0x43, 0xb6, 0x75], &cluster.concat()));
        }
        let info = [
            element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()),
            element(&[0x4d, 0x80], b"test"),
            element(&[0x57, 0x41], b"test"),
        ];
        let segment = [
            element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()),
            element(&[0x16, 0x54, 0xae, 0x6b], &tracks.concat()),
            clusters,
        ];
        let head = element(&[0x42, 0x82], b"matroska");
        let file = [
            element(&[0x1a, 0x45, 0xdf, 0xa3], &head),
            element(&[0x18, 0x53, 0x80, 0x67], &segment.concat()),
        ];
        fs::write(&path, file.concat()).expect("a file can be written");
        path
    }
}

fn message(kind: &str, rest: &str) -> Message {
    let words: Vec<&str> = rest.split(' ').collect();
    let [time, codec, packet_type, frame_type, composition, body] = words[..] else {
        panic!("not a message: {kind} {rest}");
    };
    Message {
        video: kind == "video",
        time: time.parse().expect("a time"),
        codec: codec.to_owned(),
        packet_type: packet_type.parse().ok(),
        frame_type: frame_type.parse().unwrap_or(0),
        composition: composition.parse().unwrap_or(0),
        body: (0..body.len() / 2)
            .map(|at| u8::from_str_radix(&body[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect(),
    }
}

/// Number, type, codec and identity of a Matroska track.
fn track_head(number: u8, kind: u8, codec: &str) -> Vec<u8> {
    let fields = [
        element(&[0xd7], &[number]),
        element(&[0x73, 0xc5], &[number]),
        element(&[0x83], &[kind]),
        element(&[0x86], codec.as_bytes()),
    ];
    fields.concat()
}

/// An EBML element with a size of eight bytes.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let mut element = id.to_vec();
    element.extend_from_slice(&(content.len() as u64 | 1 << 56).to_be_bytes());
    element.extend_from_slice(content);
    element
}
