//! Words for a file that is no sound for a stream, and for what would be one.

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

use core::fmt;

use crate::base::codec::{AacConfig, Codec, CodecConfig, Track};
use crate::gateway::injection::InjectionRefused;
use crate::gateway::injection::fit::Misfit;
use crate::gateway::push_sounds::reading::Unfit;
use crate::limits::{PUSH_SOUND_BYTES, PUSH_SOUND_FRAMES};
use crate::wire::aac::is_plain;

/// Samples of AAC-LC in an access unit as every encoder makes them.
const USUAL_SAMPLES: u16 = 1_024;

/// What a client is told of a file of this name that does not fit.
pub(super) fn refusal(name: &str, unfit: &Unfit, wanted: &CodecConfig) -> InjectionRefused {
    let words = match (unfit, wanted) {
        (Unfit::Aac(file), CodecConfig::Aac(wanted)) => {
            return InjectionRefused::Misfit(Misfit::Track {
                track: Track::Audio,
                call: Aac(wanted).to_string(),
                supply: format!("{} in {name}", Aac(file)),
                wanted: match command(name, &CodecConfig::Aac(wanted.clone())) {
                    Some(command) => format!("the former, as by {command},"),
                    None => "a recording of this stream".to_owned(),
                },
            });
        }
        (Unfit::Aac(_), _) => format!("{} in place of the stream's", Codec::Aac),
        (Unfit::Fault(fault), _) => fault.to_string(),
        (Unfit::Codec(codec), _) => {
            format!("{codec} in place of the stream's {}", wanted.codec())
        }
        (Unfit::TooLong, CodecConfig::Pcma | CodecConfig::Pcmu) => {
            return bad(name, &format!("longer than {} s", PUSH_SOUND_BYTES / 8_000));
        }
        (Unfit::TooLong, _) => {
            return bad(
                name,
                &format!("more than {PUSH_SOUND_BYTES} bytes of sound"),
            );
        }
        (Unfit::TooManyFrames, _) => {
            return bad(
                name,
                &format!("more than {PUSH_SOUND_FRAMES} frames of sound"),
            );
        }
        (Unfit::BadFrame(codec), _) => format!("a frame of {codec} cannot be read"),
        (Unfit::Empty, _) => "no sound in it".to_owned(),
    };
    match command(name, wanted) {
        // It may say itself what makes a file that can be read, if not one that fits.
        Some(command) if words.contains("convert it: ") => {
            bad(name, &format!("{words}; or {command}"))
        }
        Some(command) => bad(name, &format!("{words}; convert it: {command}")),
        None => bad(
            name,
            &format!("{words}; a recording of this stream would do"),
        ),
    }
}

fn bad(name: &str, words: &str) -> InjectionRefused {
    InjectionRefused::BadFile(format!("{name}: {words}"))
}

/// What makes of a file one that fits a stream; `None` where ffmpeg alone does not.
fn command(name: &str, wanted: &CodecConfig) -> Option<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (how, to) = match wanted {
        CodecConfig::Pcma => ("-c:a pcm_alaw -ar 8000 -ac 1".to_owned(), "alaw.wav"),
        CodecConfig::Pcmu => ("-c:a pcm_mulaw -ar 8000 -ac 1".to_owned(), "mulaw.wav"),
        CodecConfig::Speex => ("-vn -c:a libspeex -ar 16000 -ac 1".to_owned(), "speex.flv"),
        // Its muxer of FLV did not know Opus for long.
        CodecConfig::Opus { channels } => {
            let how = format!("-vn -c:a libopus -b:a 32k -ac {channels} -movflags +faststart");
            (how, "opus.mp4")
        }
        CodecConfig::Aac(config) => {
            if !is_plain(config) || config.frame_samples != USUAL_SAMPLES {
                return None;
            }
            let (rate, channels) = (config.sample_rate, config.channels);
            let how = format!("-vn -c:a aac -b:a 64k -ar {rate} -ac {channels}");
            (how, "aac.flv")
        }
        CodecConfig::H264(_) | CodecConfig::Vp8(_) => return None,
    };
    Some(format!("ffmpeg -i {name} {how} {stem}-{to}"))
}

/// AAC with its configuration.
struct Aac<'a>(&'a AacConfig);

impl fmt::Display for Aac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, channels) = (self.0.sample_rate, self.0.channels);
        write!(f, "AAC of {rate} Hz and {channels} channels (config=")?;
        let mut bytes = self.0.specific.iter();
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
