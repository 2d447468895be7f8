//! Floor 2: media files into frames: WAV of G.711, FLV, and MP4 with its index in front.
//!
//! A reader takes the file's bytes from the front, in pieces of any size, and gives frames as they
//! are complete; it keeps at most one FLV tag, or of MP4 one index and what stands between sound and
//! pictures of the same time. What no reader knows, or what is damaged, is an error with the place in
//! the file. Frames are not decoded, and nothing is sought: of MP4 whose index stands at its end the
//! error says how ffmpeg puts it in front.

#![forbid(unsafe_code)]
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

mod avc_record;
mod flv;
mod mp4;
mod wav;

use core::fmt;
use std::rc::Rc;

use crate::base::codec::{CodecConfig, Track};
use crate::limits::FILE_SAMPLES;

use flv::Flv;
use mp4::Mp4;
use wav::Wav;

/// A frame of a file, its bytes still in the reader.
#[derive(Debug)]
pub struct FileFrame<'a> {
    /// Its track.
    pub track: Track,
    /// When it is decoded, in microseconds from the file's beginning.
    pub time: i64,
    /// Microseconds from decoding to presentation.
    pub composition: u32,
    /// Whether it needs no frame before it; true for sound.
    pub keyframe: bool,
    /// What a receiver must know before it.
    pub config: Rc<CodecConfig>,
    /// Its bytes, in the form that [`CodecConfig`] says.
    pub bytes: &'a [u8],
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is neither WAV nor FLV nor MP4.
    Unknown,
    /// It ends in the middle of its head.
    Short,
    /// A WAV file of this format code, which is not G.711: 1 is linear PCM.
    WavFormat(u16),
    /// G.711 in another form than one channel of 8 kHz.
    G711Rate {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u16,
    },
    /// A WAV file without a `fmt ` chunk before its `data`.
    WavOrder,
    /// A chunk or tag of so many bytes, more than any that makes sense.
    TooLong(u32),
    /// A tag that cannot be read, or of a form that is not known.
    BadTag,
    /// A tag of a codec that no call carries: its number in FLV.
    FlvCodec(Track, u8),
    /// An AVC configuration that cannot be read, or lengths of NAL units of other than four bytes.
    BadAvc,
    /// Lengths of NAL units of so many bytes, not four.
    NalLengths(u8),
    /// An AAC configuration that no call carries.
    BadAac,
    /// A box of MP4, its type, that makes no sense.
    Mp4Box([u8; 4]),
    /// A track of MP4 of a codec that no call carries: the type of its sample entry.
    Mp4Codec(Track, [u8; 4]),
    /// An MP4 file without sound and pictures.
    Mp4Empty,
    /// An MP4 file whose media stand before its index.
    Mp4Late,
    /// An MP4 file with an index of so many bytes, more than are kept.
    Mp4Index(u64),
    /// An MP4 file with an index of more samples than are kept.
    Mp4Samples,
    /// An MP4 file whose samples stand in another order than they are decoded in.
    Mp4Order,
    /// An MP4 file whose sound is further from the pictures of the same time than is kept.
    Mp4Apart,
}

/// What makes a file that can be read of any MP4 file.
const MP4_CONVERSION: &str = "convert it: ffmpeg -i x.mp4 -c copy -frag_duration 1000000 \
    -movflags frag_keyframe+empty_moov+default_base_moof y.mp4";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("it is neither WAV nor FLV nor MP4"),
            Self::Short => f.write_str("it ends in the middle of its head"),
            Self::WavFormat(1 | 3) => f.write_str("it is WAV of linear PCM"),
            Self::WavFormat(format) => write!(f, "it is WAV of format {format}"),
            Self::G711Rate { rate, channels } => write!(
                f,
                "it is G.711 with {channels} channels of {rate} Hz, not one of 8000 Hz"
            ),
            Self::WavOrder => f.write_str("its sound stands before its format"),
            Self::TooLong(bytes) => write!(f, "a part of {bytes} bytes is too long"),
            Self::BadTag => f.write_str("a tag cannot be read"),
            Self::FlvCodec(track, number) => {
                write!(
                    f,
                    "{track} of FLV codec number {number} is none that a call carries"
                )
            }
            Self::BadAvc => f.write_str("the AVC configuration cannot be read"),
            Self::NalLengths(bytes) => write!(
                f,
                "its H.264 has lengths of NAL units of {bytes} bytes, not of four"
            ),
            Self::BadAac => f.write_str("the AAC configuration is none that a call carries"),
            Self::Mp4Box(kind) => {
                write!(f, "the box {} cannot be read", kind.escape_ascii())
            }
            Self::Mp4Codec(track, kind) => write!(
                f,
                "{track} of MP4 codec {} is none that a call carries",
                kind.escape_ascii()
            ),
            Self::Mp4Empty => f.write_str("it is MP4 without sound and pictures"),
            Self::Mp4Late => write!(
                f,
                "the index of this MP4 file stands behind its media; {MP4_CONVERSION}"
            ),
            Self::Mp4Index(bytes) => write!(
                f,
                "an MP4 index of {bytes} bytes is too long; {MP4_CONVERSION}"
            ),
            Self::Mp4Samples => write!(
                f,
                "an MP4 index of more than {FILE_SAMPLES} frames is too long; {MP4_CONVERSION}"
            ),
            Self::Mp4Order => write!(
                f,
                "the frames of this MP4 file are not in order; {MP4_CONVERSION}"
            ),
            Self::Mp4Apart => write!(
                f,
                "sound and pictures of this MP4 file stand too far apart; {MP4_CONVERSION}"
            ),
        }
    }
}

/// A fault and the place of what it is about: bytes from the file's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAt {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub position: u64,
}

impl fmt::Display for FaultAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.fault, self.position)
    }
}

/// What is known of a file's tracks.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    /// Of sound, once it is known.
    pub audio: Option<Rc<CodecConfig>>,
    /// Of pictures, once it is known.
    pub video: Option<Rc<CodecConfig>>,
}

/// What became of some bytes.
#[derive(Debug)]
pub struct Step<'a> {
    /// So many of them are done with.
    pub taken: usize,
    /// The frame that they completed.
    pub frame: Option<FileFrame<'a>>,
}

/// The reader of one file.
#[derive(Debug)]
pub struct FileReader {
    form: Form,
    position: u64,
}

#[derive(Debug)]
enum Form {
    /// The first bytes, which tell what it is.
    Unknown(heapless::Vec<u8, HEAD_BYTES>),
    Wav(Wav),
    Flv(Box<Flv>),
    Mp4(Box<Mp4>),
}

/// Bytes that tell what a file is.
const HEAD_BYTES: usize = 12;

impl Default for FileReader {
    fn default() -> Self {
        Self {
            form: Form::Unknown(heapless::Vec::new()),
            position: 0,
        }
    }
}

impl FileReader {
    /// Takes the next bytes of the file, as many as there are; call again with those that were not
    /// taken, as long as any were or a frame came. After the last bytes, and with none, it gives the
    /// frames that it [has](Self::has_frame).
    ///
    /// # Errors
    ///
    /// The file cannot be read any further.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Step<'_>, FaultAt> {
        let begun = self.position;
        let at = |fault| FaultAt {
            fault,
            position: begun,
        };
        if let Form::Unknown(head) = &mut self.form {
            let missing = HEAD_BYTES.saturating_sub(head.len());
            let part = bytes.get(..missing.min(bytes.len())).unwrap_or_default();
            // There is room for what is missing.
            let _ = head.extend_from_slice(part);
            self.position = self.position.saturating_add(part.len() as u64);
            let taken = part.len();
            if head.is_full() {
                self.form = Form::of(head).map_err(at)?;
            }
            return Ok(Step { taken, frame: None });
        }
        let step = match &mut self.form {
            Form::Wav(wav) => wav.take(bytes).map_err(at),
            Form::Flv(flv) => flv.take(bytes).map_err(at),
            Form::Mp4(mp4) => mp4.take(bytes),
            Form::Unknown(_) => Err(at(Fault::Unknown)),
        };
        let step = step?;
        self.position = self.position.saturating_add(step.taken as u64);
        Ok(step)
    }

    /// Whether the file is MP4, as far as that is known.
    pub fn is_mp4(&self) -> bool {
        matches!(self.form, Form::Mp4(_))
    }

    /// Whether it holds a frame that [`Self::take`] gives without further bytes.
    pub fn has_frame(&self) -> bool {
        match &self.form {
            Form::Mp4(mp4) => mp4.has_frame(),
            Form::Unknown(_) | Form::Wav(_) | Form::Flv(_) => false,
        }
    }

    /// Whether all that must be known of its tracks before the first frame is.
    pub fn is_described(&self) -> bool {
        match &self.form {
            Form::Unknown(_) => false,
            Form::Wav(wav) => wav.config().is_some(),
            Form::Flv(flv) => flv.is_described(),
            Form::Mp4(mp4) => mp4.is_described(),
        }
    }

    /// What is known of its tracks so far.
    pub fn tracks(&self) -> Tracks {
        match &self.form {
            Form::Unknown(_) => Tracks::default(),
            Form::Wav(wav) => Tracks {
                audio: wav.config(),
                video: None,
            },
            Form::Flv(flv) => flv.tracks(),
            Form::Mp4(mp4) => mp4.tracks(),
        }
    }

    /// What is wrong with a file that ends here, if anything is.
    pub fn end(&self) -> Option<FaultAt> {
        let tracks = self.tracks();
        let empty = tracks.audio.is_none() && tracks.video.is_none();
        empty.then_some(FaultAt {
            fault: Fault::Short,
            position: self.position,
        })
    }
}

impl Form {
    fn of(head: &[u8]) -> Result<Self, Fault> {
        match head {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => {
                Ok(Self::Wav(Wav::default()))
            }
            [b'F', b'L', b'V', 1, flags, offset @ ..] => {
                let offset = offset.first_chunk().copied().unwrap_or_default();
                let offset = u32::from_be_bytes(offset);
                // What comes after the head that was read: the rest of a longer head, and the size of
                // the tag before the first.
                let rest = offset.checked_add(4).and_then(|end| end.checked_sub(12));
                let rest = rest.filter(|rest| *rest <= 1_024).ok_or(Fault::BadTag)?;
                Ok(Self::Flv(Box::new(Flv::new(*flags, rest))))
            }
            [a, b, c, d, b'f', b't', b'y', b'p', ..] => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]);
                Ok(Self::Mp4(Box::new(Mp4::new(length)?)))
            }
            _ => Err(Fault::Unknown),
        }
    }
}

#[cfg(test)]
mod tests;
