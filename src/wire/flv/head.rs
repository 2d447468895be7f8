//! The heads of audio and video bodies, read.

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

use crate::base::codec::{Codec, Track};
use crate::wire::flv::TagForm;
use crate::wire::flv::avc::{self, CODEC_AVC};
use crate::wire::flv::enhanced::{
    CODED_FRAMES, CODED_FRAMES_X, EX_AUDIO, EX_VIDEO, SEQUENCE_END, SEQUENCE_START, fourcc,
};
use crate::wire::flv::sound::{self, AAC_SEQUENCE_HEADER, SOUND_AAC};

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What a decoder must know beforehand.
    SequenceHeader,
    /// One frame.
    Frame,
    /// The end of a sequence.
    End,
    /// Something else: a command, metadata, several tracks.
    Other,
}

/// The head of a video body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoHead {
    /// Marked as a keyframe.
    pub keyframe: bool,
    /// The form that it is written in.
    pub form: TagForm,
    /// The codec, if it is one of ours.
    pub codec: Option<Codec>,
    /// What the body holds.
    pub part: Part,
    /// Milliseconds from decoding to presentation.
    pub composition_millis: i32,
    /// Bytes of the head; the payload follows.
    pub length: usize,
}

impl VideoHead {
    /// Reads the head from the first bytes of a body; `None` when the body is too short for it.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let first = *body.first()?;
        let plain = Self {
            keyframe: first >> 4 & 7 == 1,
            form: TagForm::Legacy,
            codec: None,
            part: Part::Other,
            composition_millis: 0,
            length: 1,
        };
        let command = first >> 4 & 7 == 5;
        if first & EX_VIDEO != 0 {
            return Self::enhanced(plain, first & 0x0f, command, body);
        }
        if first & 0x0f != CODEC_AVC || command {
            return Some(plain);
        }
        let part = match *body.get(1)? {
            avc::SEQUENCE_HEADER => Part::SequenceHeader,
            avc::END_OF_SEQUENCE => Part::End,
            _ => Part::Frame,
        };
        Some(Self {
            codec: Some(Codec::H264),
            part,
            composition_millis: composition(body.get(2..)?)?,
            length: 5,
            ..plain
        })
    }

    fn enhanced(plain: Self, packet: u8, command: bool, body: &[u8]) -> Option<Self> {
        let form = TagForm::Enhanced;
        let part = enhanced_part(packet, Track::Video);
        if command || part == Part::Other {
            return Some(Self { form, ..plain });
        }
        let codec = named(body, Track::Video)?;
        let timed = codec == Some(Codec::H264) && packet == CODED_FRAMES;
        let composition_millis = if timed {
            composition(body.get(5..)?)?
        } else {
            0
        };
        Some(Self {
            form,
            codec,
            part,
            composition_millis,
            length: if timed { 8 } else { 5 },
            ..plain
        })
    }
}

/// The head of an audio body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioHead {
    /// The form that it is written in.
    pub form: TagForm,
    /// The codec, if it is one of ours.
    pub codec: Option<Codec>,
    /// What the body holds.
    pub part: Part,
    /// Bytes of the head; the payload follows.
    pub length: usize,
}

impl AudioHead {
    /// Reads the head from the first bytes of a body; `None` when the body is too short for it.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let first = *body.first()?;
        let format = first >> 4;
        if format == EX_AUDIO {
            let part = enhanced_part(first & 0x0f, Track::Audio);
            let is_named = part != Part::Other;
            return Some(Self {
                form: TagForm::Enhanced,
                codec: if is_named {
                    named(body, Track::Audio)?
                } else {
                    None
                },
                part,
                length: if is_named { 5 } else { 1 },
            });
        }
        let codec = Codec::ALL
            .into_iter()
            .find(|codec| sound::format(*codec) == Some(format));
        let (part, length) = if format != SOUND_AAC {
            (Part::Frame, 1)
        } else if *body.get(1)? == AAC_SEQUENCE_HEADER {
            (Part::SequenceHeader, 2)
        } else {
            (Part::Frame, 2)
        };
        Some(Self {
            form: TagForm::Legacy,
            codec,
            part,
            length,
        })
    }
}

/// The sound format of an audio body, 9 in enhanced form; `None` when the body is empty.
pub fn sound_format(body: &[u8]) -> Option<u8> {
    body.first().map(|first| first >> 4)
}

fn enhanced_part(packet: u8, track: Track) -> Part {
    match (packet, track) {
        (SEQUENCE_START, _) => Part::SequenceHeader,
        (CODED_FRAMES, _) | (CODED_FRAMES_X, Track::Video) => Part::Frame,
        (SEQUENCE_END, _) => Part::End,
        _ => Part::Other,
    }
}

/// The codec of the FourCC after the first byte, if it is one of ours; `None` without a FourCC.
fn named(body: &[u8], track: Track) -> Option<Option<Codec>> {
    let name = *body.get(1..)?.first_chunk::<4>()?;
    let known = |codec: &Codec| codec.track() == track && fourcc(*codec) == Some(name);
    Some(Codec::ALL.into_iter().find(known))
}

fn composition(bytes: &[u8]) -> Option<i32> {
    let [high, middle, low] = *bytes.first_chunk::<3>()?;
    // Shifted up and down again for its sign.
    Some(i32::from_be_bytes([high, middle, low, 0]) >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::flv::tests::configs;
    use crate::wire::flv::{SEQUENCE_HEADER_BYTES, frame_head, write_sequence_header};

    /// The heads of every codec's frames and sequence headers: codec, form, part, composition time and
    /// bytes.
    fn written() -> Vec<(Codec, TagForm, Part, i32, Vec<u8>)> {
        let mut all = Vec::new();
        for config in configs() {
            let codec = config.codec();
            for form in [TagForm::Legacy, TagForm::Enhanced] {
                for composition in [0, 40] {
                    if let Some(head) = frame_head(&config, form, true, composition) {
                        let kept = if codec == Codec::H264 { composition } else { 0 };
                        all.push((codec, form, Part::Frame, kept, head.to_vec()));
                    }
                }
                let mut body = [0; SEQUENCE_HEADER_BYTES];
                if let Some(len) = write_sequence_header(&config, form, &mut body) {
                    let body = body[..len].to_vec();
                    all.push((codec, form, Part::SequenceHeader, 0, body));
                }
            }
        }
        all
    }

    #[test]
    fn what_is_written_reads_back() {
        let all = written();
        assert_eq!(all.len(), 2 * 9 + 2 + 4);
        for (codec, form, part, composition, bytes) in all {
            let length = if codec.track() == Track::Video {
                let head = VideoHead::parse(&bytes).unwrap();
                assert_eq!((head.codec, head.form), (Some(codec), form));
                assert_eq!((head.part, head.keyframe), (part, true));
                assert_eq!(head.composition_millis, composition);
                head.length
            } else {
                let head = AudioHead::parse(&bytes).unwrap();
                assert_eq!((head.codec, head.form), (Some(codec), form));
                assert_eq!(head.part, part);
                head.length
            };
            if part == Part::Frame {
                assert_eq!(length, bytes.len());
            }
            let read = |bytes: &[u8]| match codec.track() {
                Track::Video => VideoHead::parse(bytes).is_some(),
                Track::Audio => AudioHead::parse(bytes).is_some(),
            };
            for cut in 0..length {
                assert!(!read(&bytes[..cut]), "{codec} cut to {cut}");
            }
        }
    }

    #[test]
    fn negative_composition_times_and_ends_are_read() {
        let head = VideoHead::parse(&[0x27, 1, 0xff, 0xff, 0xd8]).unwrap();
        assert_eq!(head.composition_millis, -40);
        assert!(!head.keyframe);
        let end = VideoHead::parse(&[0x17, 2, 0, 0, 0]).unwrap();
        assert_eq!(end.part, Part::End);
        assert_eq!(VideoHead::parse(b"\x92vp08").unwrap().part, Part::End);
        assert_eq!(AudioHead::parse(b"\x92Opus").unwrap().part, Part::End);
    }

    #[test]
    fn what_is_not_ours_is_told_as_such() {
        for body in [
            // Several tracks, ModEx, metadata, a command, another codec, another codec number.
            &b"\x96"[..],
            b"\x97",
            b"\x94",
            b"\xd1\x00",
            b"\x91hvc1",
            b"\x91Opus",
            &[0x12],
            &[0x57, 0],
        ] {
            let head = VideoHead::parse(body).unwrap();
            assert_eq!(head.codec, None, "{body:x?}");
        }
        for body in [
            &b"\x95"[..],
            b"\x97",
            b"\x94",
            b"\x91fLaC",
            b"\x91vp08",
            &[0x2f],
        ] {
            let head = AudioHead::parse(body).unwrap();
            assert_eq!(head.codec, None, "{body:x?}");
        }
        assert_eq!(sound_format(&[0x82]), Some(8));
        assert_eq!(sound_format(&[]), None);
    }

    #[test]
    fn mutated_heads_never_panic() {
        let all = written();
        let mut rng = Rng::from_number(3);
        for _ in 0..20_000 {
            let (.., bytes) = &all[rng.below(all.len() as u32) as usize];
            let mut bytes = bytes[..bytes.len().min(12)].to_vec();
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = rng.u32() as u8;
            bytes.truncate(rng.below(13) as usize);
            let video = VideoHead::parse(&bytes).map(|head| head.length);
            let audio = AudioHead::parse(&bytes).map(|head| head.length);
            for length in [video, audio].into_iter().flatten() {
                assert!(length <= bytes.len());
            }
        }
    }
}
