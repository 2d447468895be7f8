//! The clip that the tests send, and the accounting of its frames.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::program::run;
use super::scratch::{Scratch, tests_folder};

/// Pictures a second.
pub const PICTURE_RATE: u32 = 25;
/// Bytes of A-law in one RTP packet, 20 ms.
pub const AUDIO_PACKET: usize = 160;

/// H.264 and A-law of `tests/data/media/flash_beep`.
pub struct Clip {
    /// Access units: the NAL units of one picture each, without start codes.
    pub pictures: Vec<Vec<Vec<u8>>>,
    /// A-law samples.
    pub audio: Vec<u8>,
}

impl Clip {
    /// Reads the committed clip.
    pub fn load() -> Self {
        let video = fs::read(Self::video_path()).expect("the clip is part of the project");
        let audio = fs::read(Self::audio_path()).expect("the clip is part of the project");
        Self {
            pictures: pictures(&video),
            audio,
        }
    }

    /// The H.264 elementary stream.
    pub fn video_path() -> PathBuf {
        tests_folder().join("data/media/flash_beep.h264")
    }

    /// The A-law samples.
    pub fn audio_path() -> PathBuf {
        tests_folder().join("data/media/flash_beep.alaw")
    }

    /// The slices of every picture, in order: what must arrive unaltered.
    pub fn slices(&self) -> Vec<Vec<Vec<u8>>> {
        self.pictures.iter().map(|nals| slices(nals)).collect()
    }

    /// The sequence and picture parameter sets of the first picture.
    pub fn parameter_sets(&self) -> (Vec<u8>, Vec<u8>) {
        let find = |kind| {
            let nal = self.pictures[0].iter().find(|nal| nal_type(nal) == kind);
            nal.expect("the clip begins with its parameter sets")
                .clone()
        };
        (find(7), find(8))
    }

    /// The clip muxed by ffmpeg into an FLV file, its sound `audio_late_ms` behind.
    pub fn as_flv(folder: &Scratch, audio_late_ms: i32) -> PathBuf {
        let path = folder.join(&format!("clip{audio_late_ms}.flv"));
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-framerate", "25", "-f", "h264", "-i"])
            .arg(Self::video_path())
            .args([
                "-itsoffset",
                &format!("{}", f64::from(audio_late_ms) / 1000.0),
            ])
            .args(["-f", "alaw", "-ar", "8000", "-ac", "1", "-i"])
            .arg(Self::audio_path())
            .args(["-c", "copy", "-f", "flv"])
            .arg(&path));
        path
    }

    /// The picture alone in an MP4 file, as baresip can play it.
    pub fn as_mp4(folder: &Scratch) -> PathBuf {
        Self::as_mp4_rounds(folder, 1)
    }

    /// The same with the clip repeated.
    pub fn as_mp4_rounds(folder: &Scratch, rounds: u32) -> PathBuf {
        let path = folder.join("clip.mp4");
        let clip = fs::read(Self::video_path()).expect("the clip is part of the project");
        let stream = folder.write("clip.h264", clip.repeat(rounds as usize));
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-framerate", "25", "-f", "h264", "-i"])
            .arg(stream)
            .args(["-c", "copy"])
            .arg(&path));
        path
    }

    /// The sound alone as a WAV file.
    pub fn as_wav(folder: &Scratch) -> PathBuf {
        Self::as_wav_rounds(folder, 1)
    }

    /// The same with the clip repeated.
    pub fn as_wav_rounds(folder: &Scratch, rounds: u32) -> PathBuf {
        let path = folder.join("clip.wav");
        let clip = fs::read(Self::audio_path()).expect("the clip is part of the project");
        let samples = folder.write("clip.alaw", clip.repeat(rounds as usize));
        run(Command::new("ffmpeg")
            .args([
                "-v", "error", "-y", "-f", "alaw", "-ar", "8000", "-ac", "1", "-i",
            ])
            .arg(samples)
            .args(["-c:a", "pcm_s16le"])
            .arg(&path));
        path
    }
}

/// The type field of a NAL unit's header.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

/// Only the coded slices of a picture.
pub fn slices(nals: &[Vec<u8>]) -> Vec<Vec<u8>> {
    nals.iter()
        .filter(|nal| matches!(nal_type(nal), 1 | 5))
        .cloned()
        .collect()
}

/// Splits an Annex B stream of single-slice pictures into access units.
fn pictures(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut pictures = Vec::new();
    let mut picture = Vec::new();
    for nal in annex_b(stream) {
        let slice = matches!(nal_type(&nal), 1 | 5);
        picture.push(nal);
        if slice {
            pictures.push(std::mem::take(&mut picture));
        }
    }
    pictures
}

fn annex_b(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let mut nals = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let mut end = starts.get(index + 1).map_or(stream.len(), |next| next - 3);
        // A four-byte start code leaves its first zero at the end of the NAL unit before it.
        while end > start && stream[end - 1] == 0 {
            end -= 1;
        }
        nals.push(stream[start..end].to_vec());
    }
    nals
}
