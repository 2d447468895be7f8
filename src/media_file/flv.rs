//! FLV (Adobe FLV and F4V specification, version 10.1, annex E): tags of sound and pictures in legacy
//! and enhanced form. Metadata and encrypted tags are passed over.

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

use crate::base::codec::{Codec, CodecConfig, Track, Vp8Config};
use crate::limits::FILE_TAG_BYTES;
use crate::media_file::{Fault, FileFrame, Step, Tracks, avc_record};
use crate::wire::aac::audio_specific_config;
use crate::wire::flv::{AudioHead, Part, VideoHead, sound_format};

/// Bytes of a tag's head.
const TAG_HEAD: usize = 11;

/// Bytes after each tag, which tell its size.
const TAG_END: u32 = 4;

/// Tags after which a track that the head promised and that did not come is not waited for.
const PATIENCE: u32 = 64;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

#[derive(Debug)]
enum State {
    /// Bytes of no interest that are left.
    Skip(u32),
    Head(heapless::Vec<u8, TAG_HEAD>),
    /// The tag's kind, its time in milliseconds, and the bytes of its body that are missing.
    Body(u8, u32, usize),
}

/// A reader after the file's first twelve bytes.
#[derive(Debug)]
pub(super) struct Flv {
    state: State,
    /// The body of the present tag.
    body: Vec<u8>,
    /// Whether the head promises sound, and pictures.
    promised: (bool, bool),
    tracks: Tracks,
    tags: u32,
}

impl Flv {
    /// A reader for a file of these flags, after so many bytes of no interest.
    pub fn new(flags: u8, skip: u32) -> Self {
        Self {
            state: State::Skip(skip),
            body: Vec::new(),
            promised: (flags & 4 != 0, flags & 1 != 0),
            tracks: Tracks::default(),
            tags: 0,
        }
    }

    pub fn is_described(&self) -> bool {
        let (audio, video) = self.promised;
        let (has_audio, has_video) = (self.tracks.audio.is_some(), self.tracks.video.is_some());
        let some = has_audio || has_video;
        some && (self.tags >= PATIENCE || ((!audio || has_audio) && (!video || has_video)))
    }

    pub fn tracks(&self) -> Tracks {
        self.tracks.clone()
    }

    pub fn take(&mut self, bytes: &[u8]) -> Result<Step<'_>, Fault> {
        let taken = match &mut self.state {
            State::Skip(0) => {
                self.state = State::Head(heapless::Vec::new());
                0
            }
            State::Skip(rest) => {
                let taken = (*rest as usize).min(bytes.len());
                *rest = rest.saturating_sub(taken as u32);
                taken
            }
            State::Head(head) => {
                let missing = TAG_HEAD.saturating_sub(head.len());
                let part = bytes.get(..missing.min(bytes.len())).unwrap_or_default();
                // There is room for what is missing.
                let _ = head.extend_from_slice(part);
                let taken = part.len();
                if head.is_full() {
                    self.state = self.begin()?;
                }
                taken
            }
            State::Body(kind, millis, missing) => {
                let taken = (*missing).min(bytes.len());
                let part = bytes.get(..taken).unwrap_or_default();
                self.body.extend_from_slice(part);
                *missing = missing.saturating_sub(taken);
                if *missing == 0 {
                    let (kind, millis) = (*kind, *millis);
                    self.state = State::Skip(TAG_END);
                    return self.give(kind, millis, taken);
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

    fn begin(&mut self) -> Result<State, Fault> {
        let State::Head(head) = &self.state else {
            return Err(Fault::BadTag);
        };
        let [kind, s0, s1, s2, t0, t1, t2, t3, ..] = **head else {
            return Err(Fault::BadTag);
        };
        let size = u32::from_be_bytes([0, s0, s1, s2]);
        // The upper eight bits stand last.
        let millis = u32::from_be_bytes([t3, t0, t1, t2]);
        self.body.clear();
        self.tags = self.tags.saturating_add(1);
        let length = size as usize;
        if !matches!(kind, AUDIO | VIDEO) || length == 0 {
            return Ok(State::Skip(size.saturating_add(TAG_END)));
        }
        if length > FILE_TAG_BYTES {
            return Err(Fault::TooLong(size));
        }
        Ok(State::Body(kind, millis, length))
    }

    /// Makes of the body that is whole what it is.
    fn give(&mut self, kind: u8, millis: u32, taken: usize) -> Result<Step<'_>, Fault> {
        let (track, codec, part, length, composition, keyframe) = if kind == AUDIO {
            let head = AudioHead::parse(&self.body).ok_or(Fault::BadTag)?;
            let number = sound_format(&self.body).unwrap_or_default();
            let codec = head.codec.ok_or(Fault::FlvCodec(Track::Audio, number))?;
            (Track::Audio, codec, head.part, head.length, 0, true)
        } else {
            let head = VideoHead::parse(&self.body).ok_or(Fault::BadTag)?;
            let number = self.body.first().map_or(0, |byte| byte & 0x0f);
            let codec = head.codec.ok_or(Fault::FlvCodec(Track::Video, number))?;
            let composition = head.composition_millis.saturating_mul(1_000);
            let composition = u32::try_from(composition).unwrap_or(0);
            let keyframe = head.keyframe;
            (
                Track::Video,
                codec,
                head.part,
                head.length,
                composition,
                keyframe,
            )
        };
        let payload = self.body.get(length..).unwrap_or_default();
        let known = match track {
            Track::Audio => &mut self.tracks.audio,
            Track::Video => &mut self.tracks.video,
        };
        match part {
            Part::SequenceHeader => {
                if let Some(config) = described(codec, payload)? {
                    *known = Some(Rc::new(config));
                }
                return Ok(Step { taken, frame: None });
            }
            Part::Frame => {}
            _ => return Ok(Step { taken, frame: None }),
        }
        if known.as_ref().is_none_or(|config| config.codec() != codec) {
            // Codecs without a sequence header; a frame of another before its own cannot be shown.
            *known = undescribed(codec, payload).map(Rc::new);
        }
        let frame = known.clone().map(|config| FileFrame {
            track,
            time: i64::from(millis).saturating_mul(1_000),
            composition,
            keyframe,
            config,
            bytes: payload,
        });
        let frame = frame.filter(|frame| !frame.bytes.is_empty());
        Ok(Step { taken, frame })
    }
}

/// What a sequence header says.
fn described(codec: Codec, payload: &[u8]) -> Result<Option<CodecConfig>, Fault> {
    Ok(match codec {
        Codec::H264 => {
            let config = avc_record::read(payload).ok_or(Fault::BadAvc)?;
            Some(CodecConfig::H264(config))
        }
        Codec::Aac => {
            let config = audio_specific_config(payload).map_err(|_| Fault::BadAac)?;
            Some(CodecConfig::Aac(config))
        }
        // OpusHead (RFC 7845, section 5.1): magic, version, channels.
        Codec::Opus => Some(CodecConfig::Opus {
            channels: payload.get(9).map_or(2, |count| (*count).clamp(1, 2)),
        }),
        Codec::Vp8 | Codec::Speex | Codec::Pcma | Codec::Pcmu => None,
    })
}

/// What a frame says of a codec that needs no sequence header.
fn undescribed(codec: Codec, payload: &[u8]) -> Option<CodecConfig> {
    match codec {
        Codec::Pcma => Some(CodecConfig::Pcma),
        Codec::Pcmu => Some(CodecConfig::Pcmu),
        Codec::Speex => Some(CodecConfig::Speex),
        Codec::Opus => Some(CodecConfig::Opus { channels: 2 }),
        Codec::Vp8 => {
            // A keyframe (RFC 6386, section 9.1).
            let [first, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *payload else {
                return None;
            };
            (first & 1 == 0).then(|| {
                let size = |bytes: [u8; 2]| u16::from_le_bytes(bytes) & 0x3fff;
                CodecConfig::Vp8(Vp8Config {
                    width: size([w0, w1]),
                    height: size([h0, h1]),
                })
            })
        }
        Codec::H264 | Codec::Aac => None,
    }
}
