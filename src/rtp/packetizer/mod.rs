//! Frames of a stream into RTP payloads, each written to the caller's buffer.
//!
//! H.264 (RFC 6184), VP8 (RFC 7741), and sound: Opus (RFC 7587), G.711 (RFC 3551), Speex (RFC 5574)
//! and AAC (RFC 3640, RFC 6416). Bytes are copied once, from the frame's pieces to the packet;
//! nothing is allocated. A frame that the agreed payload format cannot carry is refused with words
//! before any of it is sent.

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

mod audio;
mod h264;
mod reader;
mod vp8;

use core::fmt;

use crate::base::codec::CodecConfig;
use crate::base::frame_log::FrameView;
use crate::wire::aac::AacPacking;

pub use audio::AudioPacketizer;
pub use h264::H264Packetizer;
pub use vp8::Vp8Packetizer;

/// One RTP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes.
    pub len: usize,
    /// Whether it is the last of its frame.
    pub ends: bool,
}

/// Why a frame cannot be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is of another codec.
    OtherCodec,
    /// H.264 in packetization-mode 0, and a NAL unit of so many bytes does not fit a packet.
    WholeNal(usize),
    /// Sound of so many bytes, which cannot be divided, does not fit a packet.
    WholeSound(usize),
    /// AAC whose units are not as `a=fmtp` says.
    AacUnit,
    /// AAC with its configuration in the packets, or several units in each.
    LatmForm,
    /// AAC of another configuration.
    AacConfig,
    /// Its pieces do not make what it should be.
    Malformed,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherCodec => "the frame is of another codec",
            Self::WholeNal(bytes) => {
                return write!(
                    f,
                    "packetization-mode 0 carries no NAL unit of {bytes} bytes; mode 1 would"
                );
            }
            Self::WholeSound(bytes) => {
                return write!(f, "sound of {bytes} bytes does not fit a packet");
            }
            Self::AacUnit => "the AAC frame does not fit what was agreed on",
            Self::LatmForm => {
                "MP4A-LATM is sent only with its configuration in SDP and one unit a packet"
            }
            Self::AacConfig => "the AAC configuration is another",
            Self::Malformed => "the frame is malformed",
        })
    }
}

/// The packetizer of a track's codec, and how far it is in the present frame.
#[derive(Clone, Debug)]
pub enum Packetizer {
    /// Of H.264.
    H264(H264Packetizer),
    /// Of VP8.
    Vp8(Vp8Packetizer),
    /// Of sound.
    Audio(AudioPacketizer),
}

impl Packetizer {
    /// For H.264 in packetization-mode 0 or 1.
    pub fn h264(packetization_mode: u8) -> Self {
        Self::H264(H264Packetizer::new(packetization_mode > 0))
    }

    /// For VP8.
    pub fn vp8() -> Self {
        Self::Vp8(Vp8Packetizer::default())
    }

    /// For Opus, Speex and G.711: a packet a frame.
    pub fn plain() -> Self {
        Self::Audio(AudioPacketizer::plain())
    }

    /// For AAC.
    pub fn aac(packing: AacPacking) -> Self {
        Self::Audio(AudioPacketizer::aac(packing))
    }

    /// Begins a frame, in place of one that was not finished.
    ///
    /// # Errors
    ///
    /// The frame cannot be carried; nothing of it is sent.
    pub fn begin(&mut self, view: FrameView<'_>) -> Result<(), Unfit> {
        match (self, &*view.frame().config) {
            (Self::H264(it), CodecConfig::H264(config)) => it.begin(view, config),
            (Self::Vp8(it), CodecConfig::Vp8(_)) => {
                it.begin(view);
                Ok(())
            }
            (Self::Audio(it), config) => it.begin(view, config),
            _ => Err(Unfit::OtherCodec),
        }
    }

    /// Writes the next payload of the frame that was begun, which is `view`; `None` after its last, and
    /// where `out` is too short for what cannot be divided.
    /// [`crate::limits::RTP_WHOLE_PAYLOAD_BYTES`] suffice.
    pub fn next(&mut self, view: FrameView<'_>, out: &mut [u8]) -> Option<Part> {
        let part = match self {
            Self::H264(it) => it.next(view, out),
            Self::Vp8(it) => it.next(view, out),
            Self::Audio(it) => it.next(view, out),
        };
        if part.is_none() {
            self.skip();
        }
        part
    }

    /// Whether nothing is left of the frame that was begun.
    pub fn is_done(&self) -> bool {
        match self {
            Self::H264(it) => it.is_done(),
            Self::Vp8(it) => it.is_done(),
            Self::Audio(it) => it.is_done(),
        }
    }

    /// Passes over what is left of the frame that was begun.
    pub fn skip(&mut self) {
        match self {
            Self::H264(it) => it.skip(),
            Self::Vp8(it) => it.skip(),
            Self::Audio(it) => it.skip(),
        }
    }
}
