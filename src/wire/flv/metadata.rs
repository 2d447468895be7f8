//! `onMetaData`: which tracks a stream has and what they are.

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

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::wire::amf0::{Amf0, Amf0Error, Amf0Reader, Amf0Writer};
use crate::wire::flv::{TagForm, codec_id};

/// Room for any `onMetaData` written here.
pub const METADATA_BYTES: usize = 384;

/// The tracks that a stream's metadata speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Sound format or FourCC as a big-endian number, when there is audio.
    pub sound_format: Option<u32>,
    /// Samples a second; 0 when not known.
    pub sample_rate: u32,
    /// Channels of the sound; 0 when not known.
    pub channels: u8,
    /// Video codec number or FourCC as a big-endian number, when there is video.
    pub video_codec: Option<u32>,
    /// Picture width in pixels, 0 when not known.
    pub width: u16,
    /// Picture height in pixels, 0 when not known.
    pub height: u16,
}

impl Metadata {
    /// This with the track that a configuration is of, as written in a form; unchanged when the form
    /// has no place for it.
    #[must_use]
    pub fn with(self, config: &CodecConfig, form: TagForm) -> Self {
        let codec = config.codec();
        let Some(id) = codec_id(codec, form) else {
            return self;
        };
        if let (Track::Video, Some((width, height))) = (codec.track(), size(config)) {
            return Self {
                video_codec: Some(id),
                width,
                height,
                ..self
            };
        }
        let (sample_rate, channels) = match config {
            CodecConfig::Aac(config) => (config.sample_rate, config.channels),
            // As it is decoded, whatever the sender's microphone had (RFC 7587, section 4.1).
            CodecConfig::Opus { channels } => (48_000, *channels),
            CodecConfig::Speex => (16_000, 1),
            _ => (8_000, 1),
        };
        Self {
            sound_format: Some(id),
            sample_rate,
            channels,
            ..self
        }
    }

    /// This without a track.
    #[must_use]
    pub fn without(self, track: Track) -> Self {
        match track {
            Track::Audio => Self {
                sound_format: None,
                sample_rate: 0,
                channels: 0,
                ..self
            },
            Track::Video => Self {
                video_codec: None,
                width: 0,
                height: 0,
                ..self
            },
        }
    }

    /// The codec and form that a track's number stands for, if it is one of ours.
    pub fn codec(&self, track: Track) -> Option<(Codec, TagForm)> {
        let number = match track {
            Track::Audio => self.sound_format,
            Track::Video => self.video_codec,
        }?;
        let forms = [TagForm::Legacy, TagForm::Enhanced].into_iter();
        forms
            .flat_map(|form| Codec::ALL.map(|codec| (codec, form)))
            .find(|(codec, form)| codec.track() == track && codec_id(*codec, *form) == Some(number))
    }

    /// Writes `onMetaData` and gives its length; `to_publish` puts `@setDataFrame` before it, which
    /// asks a server to keep it for players. `None` when `out` is shorter than [`METADATA_BYTES`]
    /// and too short for it.
    pub fn write(&self, to_publish: bool, out: &mut [u8]) -> Option<usize> {
        let mut writer = Amf0Writer::new(out);
        if to_publish {
            writer.string(&["@setDataFrame"]);
        }
        let audio = if self.sound_format.is_some() { 5 } else { 0 };
        let video = if self.video_codec.is_some() { 3 } else { 0 };
        writer
            .string(&["onMetaData"])
            .ecma_array(1_u32.saturating_add(audio).saturating_add(video));
        if let Some(codec) = self.video_codec {
            writer.name("width").number(f64::from(self.width));
            writer.name("height").number(f64::from(self.height));
            writer.name("videocodecid").number(f64::from(codec));
        }
        if let Some(format) = self.sound_format {
            writer.name("audiocodecid").number(f64::from(format));
            writer
                .name("audiosamplerate")
                .number(f64::from(self.sample_rate));
            writer.name("audiosamplesize").number(16.0);
            writer
                .name("audiochannels")
                .number(f64::from(self.channels));
            writer.name("stereo").boolean(self.channels == 2);
        }
        writer
            .name("encoder")
            .string(&["trunkcast ", env!("CARGO_PKG_VERSION")])
            .end();
        writer.finish()
    }

    /// Reads a data message; `Ok(None)` when it is another one than `onMetaData`.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Amf0Error> {
        let mut reader = Amf0Reader::new(body);
        let mut name = reader.value()?;
        if name == Amf0::String(b"@setDataFrame") {
            name = reader.value()?;
        }
        if name != Amf0::String(b"onMetaData") {
            return Ok(None);
        }
        let Some(properties) = reader.value()?.as_object() else {
            return Ok(None);
        };
        // Float to integer casts saturate, and NaN becomes 0.
        let number = |name| properties.get(name).and_then(|value| value.as_number());
        Ok(Some(Self {
            sound_format: number("audiocodecid").map(|number| number as u32),
            sample_rate: number("audiosamplerate").unwrap_or_default() as u32,
            channels: number("audiochannels").unwrap_or_default() as u8,
            video_codec: number("videocodecid").map(|number| number as u32),
            width: number("width").unwrap_or_default() as u16,
            height: number("height").unwrap_or_default() as u16,
        }))
    }
}

fn size(config: &CodecConfig) -> Option<(u16, u16)> {
    match config {
        CodecConfig::H264(config) => Some((config.width, config.height)),
        CodecConfig::Vp8(config) => Some((config.width, config.height)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::flv::tests::configs;

    const FORMS: [TagForm; 2] = [TagForm::Legacy, TagForm::Enhanced];

    #[test]
    fn metadata_reads_back_and_names_only_its_tracks() {
        let mut out = [0; METADATA_BYTES];
        for video in configs() {
            for audio in configs() {
                for form in FORMS {
                    let data = Metadata::default().with(&video, form).with(&audio, form);
                    for to_publish in [false, true] {
                        let len = data.write(to_publish, &mut out).unwrap();
                        assert_eq!(Metadata::parse(&out[..len]), Ok(Some(data)));
                        let names =
                            |text: &[u8]| out[..len].windows(text.len()).any(|part| part == text);
                        assert_eq!(names(b"video"), data.video_codec.is_some());
                        assert_eq!(names(b"width"), data.video_codec.is_some());
                        assert_eq!(names(b"audio"), data.sound_format.is_some());
                        assert_eq!(names(b"stereo"), data.sound_format.is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_specifications() {
        let said = |config: &CodecConfig, form| {
            let data = Metadata::default().with(config, form);
            (data.sound_format, data.sample_rate, data.channels)
        };
        let [_, _, opus, aac, speex, pcma, pcmu] = configs();
        assert_eq!(said(&pcma, TagForm::Legacy), (Some(7), 8_000, 1));
        assert_eq!(said(&pcmu, TagForm::Legacy), (Some(8), 8_000, 1));
        assert_eq!(said(&aac, TagForm::Legacy), (Some(10), 48_000, 2));
        assert_eq!(said(&speex, TagForm::Legacy), (Some(11), 16_000, 1));
        assert_eq!(
            said(&opus, TagForm::Enhanced),
            (Some(1_332_770_163), 48_000, 2)
        );
        assert_eq!(said(&opus, TagForm::Legacy), (None, 0, 0));
        let [h264, vp8, ..] = configs();
        let said = |config: &CodecConfig, form| Metadata::default().with(config, form);
        let avc = said(&h264, TagForm::Legacy);
        assert_eq!(
            (avc.video_codec, avc.width, avc.height),
            (Some(7), 320, 240)
        );
        let vp8 = said(&vp8, TagForm::Enhanced);
        assert_eq!(
            (vp8.video_codec, vp8.width, vp8.height),
            (Some(0x7670_3038), 640, 480)
        );
    }

    #[test]
    fn a_track_that_goes_is_not_spoken_of() {
        let [h264, _, _, aac, ..] = configs();
        let audio = Metadata::default().with(&aac, TagForm::Legacy);
        let video = Metadata::default().with(&h264, TagForm::Legacy);
        let both = audio.with(&h264, TagForm::Legacy);
        assert_eq!(both.without(Track::Video), audio);
        assert_eq!(both.without(Track::Audio), video);
        assert_eq!(
            both.codec(Track::Audio),
            Some((Codec::Aac, TagForm::Legacy))
        );
        assert_eq!(video.codec(Track::Audio), None);
    }

    #[test]
    fn truncated_and_mutated_metadata_never_panics() {
        let [h264, _, opus, ..] = configs();
        let data = Metadata::default()
            .with(&h264, TagForm::Legacy)
            .with(&opus, TagForm::Enhanced);
        let mut out = [0; METADATA_BYTES];
        let len = data.write(true, &mut out).unwrap();
        for cut in 0..len {
            assert!(Metadata::parse(&out[..cut]).is_err());
        }
        let mut rng = Rng::from_number(2);
        for _ in 0..5_000 {
            let mut bytes = out;
            bytes[rng.below(len as u32) as usize] = rng.u32() as u8;
            if let Ok(Some(data)) = Metadata::parse(&bytes[..len]) {
                let _ = (data.codec(Track::Audio), data.codec(Track::Video));
            }
        }
    }
}
