//! WAV (RIFF) of G.711: format codes 6 (A-law) and 7 (mu-law), one channel of 8 kHz, in frames of
//! 20 ms.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use std::rc::Rc;

use heapless::Vec;

use crate::base::codec::{CodecConfig, Track};
use crate::limits::SILENCE_BYTES;
use crate::media_file::{Fault, FileFrame, Step};

/// Bytes of a chunk's head: its name and its length.
const CHUNK_HEAD: usize = 8;

/// Bytes of a `fmt ` chunk that matter.
const FORMAT_BYTES: usize = 16;

/// Bytes of one frame: 20 ms of 8 kHz.
const FRAME_BYTES: usize = 160;

/// Microseconds of one byte.
const BYTE_MICROS: i64 = 125;

/// Format code of a `fmt ` chunk that names its format further on.
const EXTENSIBLE: u16 = 0xfffe;

#[derive(Debug)]
enum State {
    Head(Vec<u8, CHUNK_HEAD>),
    /// Its bytes so far, and those of the chunk that do not matter.
    Format(Vec<u8, FORMAT_BYTES>, u32),
    Skip(u32),
    /// Bytes of sound that are left.
    Data(u32),
}

/// A reader after the file's first twelve bytes.
#[derive(Debug)]
pub(super) struct Wav {
    state: State,
    config: Option<Rc<CodecConfig>>,
    frame: Vec<u8, SILENCE_BYTES>,
    /// The frame was given out.
    given: bool,
    time: i64,
}

impl Default for Wav {
    fn default() -> Self {
        Self {
            state: State::Head(Vec::new()),
            config: None,
            frame: Vec::new(),
            given: false,
            time: 0,
        }
    }
}

impl Wav {
    pub fn config(&self) -> Option<Rc<CodecConfig>> {
        self.config.clone()
    }

    pub fn take(&mut self, bytes: &[u8]) -> Result<Step<'_>, Fault> {
        let taken = match &mut self.state {
            State::Head(head) => {
                let taken = fill(head, bytes);
                if let Some((name, length)) = head.split_first_chunk::<4>()
                    && let Some(length) = length.first_chunk::<4>()
                {
                    let length = u32::from_le_bytes(*length);
                    self.state = chunk(name, length, self.config.is_some())?;
                }
                taken
            }
            State::Format(format, rest) => {
                let taken = fill(format, bytes);
                if format.is_full() {
                    let rest = *rest;
                    self.config = Some(Rc::new(read_format(format)?));
                    self.state = State::Skip(rest);
                }
                taken
            }
            State::Skip(rest) => {
                let taken = (*rest as usize).min(bytes.len());
                *rest = rest.saturating_sub(taken as u32);
                if *rest == 0 {
                    self.state = State::Head(Vec::new());
                }
                taken
            }
            State::Data(left) => {
                if core::mem::take(&mut self.given) {
                    self.frame.clear();
                }
                let missing = FRAME_BYTES.saturating_sub(self.frame.len());
                let taken = missing.min(*left as usize).min(bytes.len());
                // There is room for a frame.
                let part = bytes.get(..taken).unwrap_or_default();
                let _ = self.frame.extend_from_slice(part);
                *left = left.saturating_sub(taken as u32);
                if *left == 0 {
                    self.state = State::Skip(u32::MAX);
                }
                if self.frame.len() == FRAME_BYTES {
                    return Ok(self.give(taken));
                }
                taken
            }
        };
        // With nothing to take, a step that only changes the state would be the last.
        if taken == 0 && !bytes.is_empty() {
            return self.take(bytes);
        }
        Ok(Step { taken, frame: None })
    }

    fn give(&mut self, taken: usize) -> Step<'_> {
        let time = self.time;
        self.time = time.saturating_add((FRAME_BYTES as i64).saturating_mul(BYTE_MICROS));
        self.given = true;
        let frame = self.config.clone().map(|config| FileFrame {
            track: Track::Audio,
            time,
            composition: 0,
            keyframe: true,
            config,
            bytes: &self.frame,
        });
        Step { taken, frame }
    }
}

/// What follows the head of a chunk.
fn chunk(name: &[u8; 4], length: u32, has_format: bool) -> Result<State, Fault> {
    // Chunks begin at even places.
    let padded = length.saturating_add(length & 1);
    Ok(match name {
        b"fmt " => {
            let rest = padded.checked_sub(FORMAT_BYTES as u32);
            State::Format(Vec::new(), rest.ok_or(Fault::Short)?)
        }
        b"data" if !has_format => return Err(Fault::WavOrder),
        // What comes after the sound does not matter.
        b"data" if length == 0 => State::Skip(u32::MAX),
        b"data" => State::Data(length),
        // An empty one is over at once.
        _ if padded == 0 => State::Head(Vec::new()),
        _ => State::Skip(padded),
    })
}

/// Fills a place up; how many bytes it took.
fn fill<const N: usize>(place: &mut Vec<u8, N>, bytes: &[u8]) -> usize {
    let missing = N.saturating_sub(place.len());
    let part = bytes.get(..missing.min(bytes.len())).unwrap_or_default();
    // There is room for what is missing.
    let _ = place.extend_from_slice(part);
    part.len()
}

fn read_format(bytes: &[u8]) -> Result<CodecConfig, Fault> {
    let [f0, f1, c0, c1, r0, r1, r2, r3, ..] = *bytes else {
        return Err(Fault::Short);
    };
    let format = u16::from_le_bytes([f0, f1]);
    let config = match format {
        6 => CodecConfig::Pcma,
        7 => CodecConfig::Pcmu,
        EXTENSIBLE => return Err(Fault::WavFormat(1)),
        other => return Err(Fault::WavFormat(other)),
    };
    let channels = u16::from_le_bytes([c0, c1]);
    let rate = u32::from_le_bytes([r0, r1, r2, r3]);
    if (channels, rate) != (1, 8_000) {
        return Err(Fault::G711Rate { rate, channels });
    }
    Ok(config)
}
