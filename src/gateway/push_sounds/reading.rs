//! The sound of a file as it is read, piece by piece, into memory.

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

use crate::base::codec::{AacConfig, Codec, CodecConfig, Track};
use crate::limits::{PUSH_SOUND_BYTES, PUSH_SOUND_FRAMES};
use crate::media_file::{FaultAt, FileReader};
use crate::rtmp::PreparedSound;
use crate::wire::aac::decodes_alike;
use crate::wire::opus::OpusPacket;
use crate::wire::speex::{SpeexFrames, copy_frame};

/// Bytes of the longest frame of Speex: the widest submodes are of 848 bits.
const SPEEX_BYTES: usize = 128;

/// Why a file cannot be played to a stream.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The file cannot be read.
    Fault(FaultAt),
    /// Its sound is of this codec.
    Codec(Codec),
    /// Its AAC is decoded otherwise than the stream's.
    Aac(Box<AacConfig>),
    /// It has more bytes of sound than are kept.
    TooLong,
    /// It has more frames of sound than are kept.
    TooManyFrames,
    /// A frame of this codec breaks its rules.
    BadFrame(Codec),
    /// There is no sound in it.
    Empty,
}

/// A sound that is being read.
pub(super) struct Reading {
    reader: Box<FileReader>,
    /// What the stream's sound is.
    wanted: Rc<CodecConfig>,
    bytes: Vec<u8>,
    frame_ends: Vec<u32>,
}

impl Reading {
    /// A sound for a stream of this configuration.
    pub fn new(wanted: Rc<CodecConfig>) -> Self {
        Self {
            reader: Box::default(),
            wanted,
            bytes: Vec::with_capacity(PUSH_SOUND_BYTES),
            frame_ends: Vec::new(),
        }
    }

    /// What the stream's sound is.
    pub fn wanted(&self) -> &CodecConfig {
        &self.wanted
    }

    /// Whether the file is MP4, as far as that is known.
    pub fn is_mp4(&self) -> bool {
        self.reader.is_mp4()
    }

    /// Takes the sound out of the next bytes of the file.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), Unfit> {
        while !bytes.is_empty() || self.reader.has_frame() {
            let step = self.reader.take(bytes).map_err(Unfit::Fault)?;
            bytes = bytes.get(step.taken..).unwrap_or_default();
            let is_stuck = step.taken == 0 && step.frame.is_none();
            if let Some(frame) = step.frame.filter(|frame| frame.track == Track::Audio) {
                fits(&frame.config, &self.wanted)?;
                let mut gathered = Gathered {
                    bytes: &mut self.bytes,
                    frame_ends: &mut self.frame_ends,
                };
                gathered.add(self.wanted.codec(), frame.bytes)?;
            }
            if is_stuck {
                break;
            }
        }
        Ok(())
    }

    /// The file is at its end: looks whether there was any sound.
    pub fn end(&mut self) -> Result<(), Unfit> {
        self.read(&[])?;
        if !self.bytes.is_empty() {
            return Ok(());
        }
        Err(self.reader.end().map_or(Unfit::Empty, Unfit::Fault))
    }

    /// The sound that was read.
    pub fn prepared(self, repeats: bool) -> PreparedSound {
        PreparedSound {
            config: self.wanted,
            bytes: self.bytes.into(),
            frame_ends: self.frame_ends.into(),
            repeats,
        }
    }
}

/// Whether sound of a file may go out as it is.
fn fits(file: &CodecConfig, wanted: &CodecConfig) -> Result<(), Unfit> {
    match (file, wanted) {
        (CodecConfig::Aac(file), CodecConfig::Aac(wanted)) if !decodes_alike(file, wanted) => {
            Err(Unfit::Aac(Box::new(file.clone())))
        }
        (file, wanted) if file.codec() != wanted.codec() => Err(Unfit::Codec(file.codec())),
        _ => Ok(()),
    }
}

/// Where sound is put.
struct Gathered<'a> {
    bytes: &'a mut Vec<u8>,
    frame_ends: &'a mut Vec<u32>,
}

impl Gathered<'_> {
    /// Adds what stands for one frame in the file.
    fn add(&mut self, codec: Codec, frame: &[u8]) -> Result<(), Unfit> {
        let bad = || Unfit::BadFrame(codec);
        if frame.is_empty() {
            return Ok(());
        }
        match codec {
            Codec::Pcma | Codec::Pcmu => return self.append(frame),
            Codec::Opus => {
                OpusPacket::parse(frame).ok_or_else(bad)?;
            }
            Codec::Speex => {
                // Decoders of FLV take the first of several.
                match SpeexFrames::check(frame) {
                    Ok(1) => {}
                    Ok(0) | Err(_) => return Err(bad()),
                    Ok(_) => return self.add_each(frame),
                }
            }
            Codec::Aac | Codec::H264 | Codec::Vp8 => {}
        }
        self.add_frame(frame, codec)
    }

    /// Adds the frames of a packet of Speex one by one.
    fn add_each(&mut self, packet: &[u8]) -> Result<(), Unfit> {
        let codec = Codec::Speex;
        for range in SpeexFrames::new(packet) {
            let mut out = [0; SPEEX_BYTES];
            let range = range.map_err(|_| Unfit::BadFrame(codec))?;
            let length = copy_frame(packet, range, &mut out).unwrap_or_default();
            self.add_frame(out.get(..length).unwrap_or_default(), codec)?;
        }
        Ok(())
    }

    fn add_frame(&mut self, frame: &[u8], codec: Codec) -> Result<(), Unfit> {
        if frame.is_empty() || u16::try_from(frame.len()).is_err() {
            return Err(Unfit::BadFrame(codec));
        }
        if self.frame_ends.len() >= PUSH_SOUND_FRAMES {
            return Err(Unfit::TooManyFrames);
        }
        self.append(frame)?;
        self.frame_ends.reserve_exact(match self.frame_ends.len() {
            0 => PUSH_SOUND_FRAMES,
            _ => 0,
        });
        let end = u32::try_from(self.bytes.len()).map_err(|_| Unfit::TooLong)?;
        self.frame_ends.push(end);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        if self.bytes.len().saturating_add(bytes.len()) > PUSH_SOUND_BYTES {
            return Err(Unfit::TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
