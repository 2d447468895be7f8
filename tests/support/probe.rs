//! Reading a stream back with ffprobe and ffmpeg, and the accounting of frames.

use std::path::Path;
use std::process::Command;

use super::Clip;
use super::clip::AUDIO_PACKET;
use super::flv::Flv;
use super::program::{Program, run};

/// What ffprobe says of a file's streams.
#[derive(Debug, Default, PartialEq)]
pub struct Streams {
    /// Codec, width and height of the picture.
    pub video: Option<(String, u32, u32)>,
    /// Codec, sample rate and channels of the sound.
    pub audio: Option<(String, u32, u32)>,
    /// Pictures decoded.
    pub pictures: usize,
}

/// Asks ffprobe for codecs and sizes, and counts the pictures that decode.
pub fn streams(input: &Path) -> Streams {
    let text = run(Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-of",
            "compact=p=0",
            "-show_entries",
        ])
        .arg("stream=codec_type,codec_name,width,height,sample_rate,channels,nb_read_frames")
        .arg(input));
    let mut streams = Streams::default();
    for line in text.lines() {
        let field = |name: &str| {
            let mut fields = line.split('|').filter_map(|field| field.split_once('='));
            fields
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .unwrap_or_default()
        };
        let number = |name| field(name).parse().unwrap_or(0);
        let codec = field("codec_name").to_owned();
        match field("codec_type") {
            "video" => {
                streams.video = Some((codec, number("width"), number("height")));
                streams.pictures = number("nb_read_frames") as usize;
            }
            "audio" => streams.audio = Some((codec, number("sample_rate"), number("channels"))),
            _ => {}
        }
    }
    streams
}

/// Demands H.264 of the clip's size with A-law, every picture decodable.
pub fn check_clip_streams(input: &Path) {
    let streams = streams(input);
    assert_eq!(
        streams.video,
        Some(("h264".into(), 640, 360)),
        "picture of {}",
        input.display()
    );
    assert_eq!(
        streams.audio,
        Some(("pcm_alaw".into(), 8000, 1)),
        "sound of {}",
        input.display()
    );
}

/// The end of what is played of a track, in seconds.
pub fn end_of(file: &Path, track: &str) -> f64 {
    let text = run(Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", track])
        .args(["-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(file));
    let times = text
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok());
    times.fold(0.0, f64::max)
}

/// Decodes everything and demands that ffmpeg has nothing to complain about.
pub fn decode_strictly(input: &Path) {
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "warning",
            "-xerror",
            "-err_detect",
            "explode",
            "-i",
        ])
        .arg(input)
        // Milliseconds, or pictures that came close together would share a time.
        .args([
            "-fps_mode",
            "passthrough",
            "-enc_time_base:v",
            "1:1000",
            "-f",
            "null",
            "-",
        ])
        .output()
        .expect("ffmpeg is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stderr);
    // No complaint: Speex has no place for a layout.
    let complaints: String = said
        .lines()
        .filter(|line| !line.starts_with("Guessed Channel Layout"))
        .collect();
    assert!(
        output.status.success(),
        "ffmpeg cannot decode {}:\n{complaints}",
        input.display()
    );
    assert_eq!(complaints, "", "ffmpeg complains about {}", input.display());
}

/// Checksums of the decoded pictures.
pub fn picture_sums(input: &Path) -> Vec<String> {
    let text = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(input)
        .args([
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-",
        ]));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit(',').next())
        .map(|sum| sum.trim().to_owned())
        .collect()
}

/// Demands that a file holds the clip played once: each slice and each sample as sent.
pub fn check_clip_identical(clip: &Clip, input: &Path) {
    let flv = Flv::read(input);
    flv.check_order();
    compare_pictures(&clip.slices(), &flv.slices());
    check_sound(&clip.audio, &flv.sound());
    let (sps, pps) = clip.parameter_sets();
    let header = &flv.sequence_headers[0].1;
    for set in [sps, pps] {
        let held = header.windows(set.len()).any(|window| window == set);
        assert!(held, "the sequence header lacks a parameter set");
    }
    assert_eq!(flv.sequence_headers.len(), 1, "sequence headers");
    let expected = picture_sums(&Clip::video_path());
    assert!(
        picture_sums(input) == expected,
        "decoded pictures differ from the clip's"
    );
}

/// Demands the whole sound but for what came before the first keyframe was whole, two packets at
/// the most.
pub fn check_sound(expected: &[u8], got: &[u8]) {
    let missing = expected.len().saturating_sub(got.len());
    assert!(
        got.len() <= expected.len(),
        "{} bytes of sound too many",
        got.len() - expected.len()
    );
    let mut starts = (0..=missing / AUDIO_PACKET)
        .rev()
        .map(|packets| packets * AUDIO_PACKET);
    let start = starts.find(|&start| expected[start..].starts_with(got));
    let Some(start) = start else {
        panic!("{missing} bytes of sound are missing within");
    };
    assert_eq!(missing - start, 0, "bytes of sound missing at the end");
    assert!(
        start <= 2 * AUDIO_PACKET,
        "{start} bytes of sound missing at the start"
    );
}

/// Demands the same pictures in the same order, and names the first that is missing.
pub fn compare_pictures(expected: &[Vec<Vec<u8>>], got: &[Vec<Vec<u8>>]) {
    for (number, picture) in expected.iter().enumerate() {
        let Some(came) = got.get(number) else {
            panic!("{} of {} pictures came", got.len(), expected.len());
        };
        if came != picture {
            let place = expected.iter().position(|other| other == came);
            panic!("in the place of picture {number} came picture {place:?} of the clip");
        }
    }
    assert_eq!(got.len(), expected.len(), "pictures");
}

/// A run of pictures of the repeated clip without a gap, from a keyframe on: all of `got` must
/// follow one another. Returns how many there are.
pub fn check_contiguous(clip: &Clip, got: &[Vec<Vec<u8>>]) -> usize {
    let slices = clip.slices();
    let first = got.first().expect("no picture came");
    let start = slices
        .iter()
        .position(|picture| picture == first)
        .expect("the first is damaged");
    let expected = slices.iter().enumerate().cycle().skip(start);
    for (number, (came, (place, picture))) in got.iter().zip(expected).enumerate() {
        if came != picture {
            let other = slices.iter().position(|other| other == came);
            panic!("picture {number} that came is {other:?} of the clip and not {place}");
        }
    }
    got.len()
}

/// Starts ffmpeg as a viewer that writes what it gets into an FLV file, until the stream ends or
/// `seconds` of it have come.
pub fn view(url: &str, file: &Path, seconds: Option<u32>) -> Program {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "info", "-y", "-rw_timeout", "20000000"]);
    command.args(["-i", url, "-c", "copy"]);
    if let Some(seconds) = seconds {
        command.args(["-t", &seconds.to_string()]);
    }
    Program::start(command.args(["-flags", "+bitexact", "-f", "flv"]).arg(file))
}
