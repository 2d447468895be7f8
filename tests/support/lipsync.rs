//! How far flash and beep are apart in a recording of the clip.

use std::path::Path;
use std::process::Command;

use super::flv::Flv;
use super::program::run;

/// Mean luma above which a picture is the white flash; the others stay below 110.
const FLASH_LUMA: f64 = 170.0;
/// Amplitude of the decoded sound above which the beep has begun.
const BEEP_LEVEL: i32 = 2_000;
/// Silence in milliseconds that must precede a beep.
const SILENCE: f64 = 300.0;
/// A flash and a beep further apart than this in milliseconds do not belong together.
const PAIR: f64 = 400.0;

/// For every flash that has a beep, its time minus the beep's, in milliseconds.
pub fn skews(recording: &Path) -> Vec<f64> {
    let flashes = flashes(recording);
    let beeps = beeps(&Flv::read(recording));
    pairs(recording, &flashes, &beeps)
}

/// The same for sound that only ffmpeg can decode.
pub fn decoded_skews(recording: &Path) -> Vec<f64> {
    let flashes = flashes(recording);
    let beeps = decoded_beeps(recording);
    pairs(recording, &flashes, &beeps)
}

fn pairs(recording: &Path, flashes: &[f64], beeps: &[f64]) -> Vec<f64> {
    assert!(!flashes.is_empty(), "no flash in {}", recording.display());
    assert!(!beeps.is_empty(), "no beep in {}", recording.display());
    let mut skews = Vec::new();
    for &flash in flashes {
        let nearest = beeps
            .iter()
            .map(|beep| flash - beep)
            .min_by(|a, b| a.abs().total_cmp(&b.abs()));
        skews.extend(nearest.filter(|skew| skew.abs() < PAIR));
    }
    skews
}

/// Times of the first picture of every flash, from ffmpeg's decoder.
fn flashes(recording: &Path) -> Vec<f64> {
    let text = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-copyts", "-i"])
        .arg(recording)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-vf"])
        .arg("signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-")
        .args(["-f", "null", "-"]));
    let mut flashes = Vec::new();
    let mut time = 0.0;
    let mut lit = false;
    for line in text.lines() {
        if let Some((_, value)) = line.split_once("pts_time:") {
            time = value.trim().parse::<f64>().expect("ffmpeg prints a number") * 1000.0;
        } else if let Some((_, value)) = line.split_once("YAVG=") {
            let now = value.trim().parse::<f64>().expect("ffmpeg prints a number") > FLASH_LUMA;
            if now && !lit {
                flashes.push(time);
            }
            lit = now;
        }
    }
    flashes
}

/// Times at which a beep begins, to the sample.
fn beeps(flv: &Flv) -> Vec<f64> {
    let mut beeps = Vec::new();
    let mut quiet_since = f64::NEG_INFINITY;
    for sound in &flv.sounds {
        for (index, &byte) in sound.data.iter().enumerate() {
            let time = f64::from(sound.time) + index as f64 / 8.0;
            if a_law(byte).abs() > BEEP_LEVEL {
                if time - quiet_since > SILENCE {
                    beeps.push(time);
                }
                quiet_since = time;
            }
        }
    }
    beeps
}

/// Times at which a beep begins in what ffmpeg decodes, its samples laid out by their times.
fn decoded_beeps(recording: &Path) -> Vec<f64> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-copyts", "-i"])
        .arg(recording)
        .args(["-map", "0:a", "-af", "aresample=8000:async=1:first_pts=0"])
        .args(["-ac", "1", "-f", "s16le", "-"])
        .output()
        .expect("ffmpeg is installed by tests/run");
    assert!(output.status.success(), "{}", recording.display());
    let mut beeps = Vec::new();
    let mut quiet_since = f64::NEG_INFINITY;
    for (index, sample) in output.stdout.chunks_exact(2).enumerate() {
        let time = index as f64 / 8.0;
        if i32::from(i16::from_le_bytes([sample[0], sample[1]])).abs() > BEEP_LEVEL {
            if time - quiet_since > SILENCE {
                beeps.push(time);
            }
            quiet_since = time;
        }
    }
    beeps
}

/// A sample of ITU-T G.711 A-law as 16 bits.
fn a_law(byte: u8) -> i32 {
    let value = byte ^ 0x55;
    let mantissa = i32::from(value & 0x0f);
    let magnitude = match (value & 0x70) >> 4 {
        0 => (mantissa << 4) + 8,
        segment => ((mantissa << 4) + 0x108) << (segment - 1),
    };
    if value & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}
