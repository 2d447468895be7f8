//! The picture that we send is a whole and black one to decoders: ffmpeg takes it over and over,
//! and from the wire as a phone does; baresip shows it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::{Daemon, Dialogue, Ports, Program, Scratch, probe};
use trunkcast::rtp::still::Picture;
use trunkcast::rtp::stream::Codec;

const H264: Codec = Codec::H264 { sprop: Vec::new() };

/// Bytes of a decoded picture: 176x144 in 4:2:0.
const LUMA: usize = 176 * 144;
const DECODED: usize = LUMA * 3 / 2;

/// Decodes a file without any complaint, and demands so many black pictures of it.
fn check_black(file: &Path, pictures: usize) {
    probe::decode_strictly(file);
    let decoded = file.with_extension("yuv");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-y"])
        .arg(&decoded)
        .output()
        .expect("ffmpeg is installed by tests/run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = fs::read(decoded).expect("ffmpeg wrote it");
    assert_eq!(bytes.len(), pictures * DECODED);
    for picture in bytes.chunks(DECODED) {
        let (luma, chroma) = picture.split_at(LUMA);
        assert!(luma.iter().all(|sample| *sample == 16));
        assert!(chroma.iter().all(|sample| *sample == 128));
    }
}

#[test]
fn six_hundred_pictures_of_h264_in_turn_decode_black() {
    let folder = Scratch::new("still-h264");
    let turns = Picture::of(&H264).unwrap().turns;
    let mut stream = Vec::new();
    for unit in turns.iter().cycle().take(600).flat_map(|turn| turn.iter()) {
        stream.extend([0, 0, 0, 1]);
        stream.extend(*unit);
    }
    check_black(&folder.write("still.h264", stream), 600);
}

#[test]
fn six_hundred_pictures_of_vp8_in_turn_decode_black() {
    let folder = Scratch::new("still-vp8");
    let [[payload]] = Picture::of(&Codec::Vp8).unwrap().turns else {
        panic!("one packet was expected");
    };
    let frame = &payload[1..];
    let mut file = b"DKIF\0\0\x20\0VP80\xb0\0\x90\0".to_vec();
    file.extend(1_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(600_u32.to_le_bytes());
    file.extend([0; 4]);
    for at in 0..600_u64 {
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(at.to_le_bytes());
        file.extend(frame);
    }
    check_black(&folder.write("still.ivf", file), 600);
}

/// Calls with video in both directions; ffmpeg plays what comes for it, and demands pictures.
fn decode_from_the_wire(map: &str, fmtp: &str) {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let folder = Scratch::new("still-wire");
    let (audio, video) = (ports.pair(), ports.pair());
    let description = format!(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
         m=video {video} RTP/AVP 96\na=rtpmap:96 {map}\n"
    );
    let file = folder.write("still.sdp", description);
    let sums = folder.join("sums");
    let mut viewer = Program::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "verbose", "-xerror"])
            .args(["-err_detect", "explode", "-analyzeduration", "1500000"])
            // Its guess at the rate of pictures would take twenty of them.
            .args(["-fpsprobesize", "2"])
            .args(["-protocol_whitelist", "file,rtp,udp", "-i"])
            .arg(file)
            .args(["-frames:v", "5", "-fps_mode", "passthrough"])
            .args(["-f", "framemd5", "-y"])
            .arg(&sums),
    );
    let media = format!(
        "m=audio {audio} RTP/AVP 8\r\na=sendrecv\r\n\
         m=video {video} RTP/AVP 96\r\na=rtpmap:96 {map}\r\n{fmtp}a=sendrecv\r\n"
    );
    let call = Dialogue::call(&mut ports, gateway.sip(), "2001", &media);
    assert_eq!(call.answer.matches("a=sendrecv").count(), 2);
    let said = viewer.succeed(Duration::from_secs(20));
    let complaint = said.lines().find(|line| {
        ["error", "missed", "corrupt", "concealing"]
            .iter()
            .any(|word| line.to_lowercase().contains(word))
            && !line.contains("decode errors")
    });
    assert_eq!(complaint, None, "{said}");
    call.hang_up();
    let sums = fs::read_to_string(sums).expect("ffmpeg wrote it");
    let mut sums: Vec<_> = sums
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(", ").next())
        .collect();
    assert_eq!(sums.len(), 5);
    sums.dedup();
    assert_eq!(sums.len(), 1, "one and the same picture");
    gateway.check_calm();
}

#[test]
fn ffmpeg_plays_what_comes_in_packetization_mode_0() {
    decode_from_the_wire("H264/90000", "a=fmtp:96 profile-level-id=42c00a\r\n");
}

#[test]
fn ffmpeg_plays_what_comes_in_packetization_mode_1() {
    let fmtp = "a=fmtp:96 profile-level-id=64001f;packetization-mode=1\r\n";
    decode_from_the_wire("H264/90000", fmtp);
}

#[test]
fn ffmpeg_plays_what_comes_in_vp8() {
    decode_from_the_wire("VP8/90000", "");
}

#[test]
fn baresip_shows_the_picture_and_loses_none() {
    for video in ["H264", "VP8"] {
        let mut ports = Ports::claim();
        let gateway = Daemon::start(&mut ports, Settings::default());
        let plan = Plan {
            video,
            seconds: 6,
            ..Plan::default()
        };
        let mut baresip = Baresip::start(&mut ports, gateway.sip(), "2002", &plan);
        baresip.log().wait_for(
            "receiving with resolution 176 x 144",
            Duration::from_secs(10),
        );
        let text = baresip.end(Duration::from_secs(15));
        // Its own count of what it got and lost, as sent and received.
        let (_, counts) = text
            .split_once("video           Transmit:")
            .expect("a report");
        let received = |name: &str| {
            let line = counts.lines().find(|line| line.starts_with(name));
            let word = line.and_then(|line| line.split_whitespace().nth(2));
            word.and_then(|word| word.parse::<u32>().ok())
                .expect("a number")
        };
        assert!(received("packets:") >= 5, "{text}");
        assert_eq!(received("lost:"), 0, "{text}");
        gateway.check_calm();
    }
}
