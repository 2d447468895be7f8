//! Whether a stream or a file can be sent into a call as it is, and words for why not.
//!
//! Nothing is transcoded, so its codec must be what the call negotiated. Of H.264 the profile must be
//! one that a decoder of the negotiated profile knows (H.264, section A.2): Constrained Baseline under
//! Main under High; a higher level is let pass, as encoders state levels loosely. AAC must have the
//! rate and channels that the call's description says.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

use crate::base::codec::{AacConfig, Codec, CodecConfig, Track};
use crate::rtp::packetizer::Packetizer;
use crate::sdp::{MediaPlan, Negotiated, PlannedCodec};
use crate::wire::aac::AacPacking;

/// What is known beforehand of a track that is to be sent into a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Its codec.
    pub codec: Codec,
    /// Profile, constraint flags and level of H.264, where they are known.
    pub profile: Option<[u8; 3]>,
    /// Samples a second and channels of AAC, where they are known.
    pub aac: Option<(u32, u8)>,
}

impl Supply {
    /// Of a track of a live call, by what its caller said.
    pub fn of_plan(plan: &MediaPlan) -> Self {
        let mut supply = Self::of(plan.codec.codec());
        match &plan.codec {
            PlannedCodec::H264 {
                profile_level_id, ..
            } => supply.profile = *profile_level_id,
            PlannedCodec::Aac(packing) => supply.aac = agreed_aac(packing).map(rate),
            _ => {}
        }
        supply
    }

    /// Of a track whose frames are known.
    pub fn of_config(config: &CodecConfig) -> Self {
        let mut supply = Self::of(config.codec());
        match config {
            CodecConfig::H264(config) => supply.profile = profile_of(&config.sps),
            CodecConfig::Aac(config) => supply.aac = Some(rate(config)),
            _ => {}
        }
        supply
    }

    fn of(codec: Codec) -> Self {
        Self {
            codec,
            profile: None,
            aac: None,
        }
    }
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.codec)?;
        if let Some(profile) = self.profile {
            write!(f, " of profile {}", Profile(profile))?;
        }
        if let Some((rate, channels)) = self.aac {
            write!(f, " of {rate} Hz and {channels} channels")?;
        }
        Ok(())
    }
}

/// Why something cannot be sent into a call: what the call negotiated, what was to be sent, and
/// which would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A track does not fit.
    Track {
        /// Which.
        track: Track,
        /// What the call negotiated, in words.
        call: String,
        /// What there is, in words.
        supply: String,
        /// What would do, in words.
        wanted: String,
    },
    /// Nothing of it has a place in the call: what it has, and what the call takes.
    NoTrack {
        /// What there is, in words.
        supply: String,
        /// What the call takes, in words.
        call: String,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Track {
                track,
                call,
                supply,
                wanted,
            } => write!(
                f,
                "{track}: the call negotiated {call}, and there is {supply}; {wanted} would do"
            ),
            Self::NoTrack { supply, call } => {
                write!(f, "the call takes {call}, and there is {supply}")
            }
        }
    }
}

/// The packetizers of both tracks; `None` for one that is not sent.
#[derive(Debug)]
pub struct Fitted {
    /// Of sound.
    pub audio: Option<Packetizer>,
    /// Of pictures.
    pub video: Option<Packetizer>,
}

/// Fits what there is to what a call negotiated. A track that the call does not have, or takes none
/// in, is left out.
///
/// # Errors
///
/// A track's codec or parameters are others, or nothing is left.
pub fn fit(
    call: &Negotiated,
    audio: Option<Supply>,
    video: Option<Supply>,
) -> Result<Fitted, Misfit> {
    let sends = |plan: &Option<MediaPlan>| plan.clone().filter(|plan| plan.send);
    let (heard, seen) = (sends(&call.audio), sends(&call.video));
    let track = |plan: &Option<MediaPlan>, supply: Option<Supply>| match (plan, supply) {
        (Some(plan), Some(supply)) => fit_track(plan, supply).map(Some),
        _ => Ok(None),
    };
    let fitted = Fitted {
        audio: track(&heard, audio)?,
        video: track(&seen, video)?,
    };
    if fitted.audio.is_some() || fitted.video.is_some() {
        return Ok(fitted);
    }
    let join = |audio: Option<String>, video: Option<String>| match (audio, video) {
        (Some(audio), Some(video)) => format!("{audio} and {video}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nothing".to_owned(),
    };
    Err(Misfit::NoTrack {
        supply: join(
            audio.map(|supply| format!("sound in {supply}")),
            video.map(|supply| format!("a picture in {supply}")),
        ),
        call: join(
            heard.map(|plan| format!("sound in {}", Agreed(&plan))),
            seen.map(|plan| format!("a picture in {}", Agreed(&plan))),
        ),
    })
}

fn fit_track(plan: &MediaPlan, supply: Supply) -> Result<Packetizer, Misfit> {
    let misfit = || {
        let wanted = match &plan.codec {
            PlannedCodec::H264 {
                profile_level_id: Some(profile),
                ..
            } => format!("H.264 of profile {}, or a lesser one,", Profile(*profile)),
            PlannedCodec::Aac(packing) => match agreed_aac(packing).map(rate) {
                Some((rate, channels)) => format!("AAC of {rate} Hz and {channels} channels"),
                None => "AAC".to_owned(),
            },
            codec => codec.codec().to_string(),
        };
        Misfit::Track {
            track: plan.codec.codec().track(),
            call: Agreed(plan).to_string(),
            supply: supply.to_string(),
            wanted,
        }
    };
    if plan.codec.codec() != supply.codec {
        return Err(misfit());
    }
    match &plan.codec {
        PlannedCodec::H264 {
            packetization_mode,
            profile_level_id,
            ..
        } => {
            let fits = match (profile_level_id, supply.profile) {
                (Some(agreed), Some(profile)) => decodes(*agreed, profile),
                _ => true,
            };
            let packetizer = Packetizer::h264(*packetization_mode);
            fits.then_some(packetizer).ok_or_else(misfit)
        }
        PlannedCodec::Vp8 => Ok(Packetizer::vp8()),
        PlannedCodec::Aac(packing) => {
            let agreed = agreed_aac(packing).map(rate);
            let fits = agreed.is_some() && supply.aac.is_none_or(|aac| Some(aac) == agreed);
            fits.then(|| Packetizer::aac(packing.clone()))
                .ok_or_else(misfit)
        }
        PlannedCodec::Opus { .. }
        | PlannedCodec::Speex
        | PlannedCodec::Pcma
        | PlannedCodec::Pcmu => Ok(Packetizer::plain()),
    }
}

/// Profile, constraint flags and level of a sequence parameter set.
pub fn profile_of(sps: &[u8]) -> Option<[u8; 3]> {
    sps.get(1..4)?.try_into().ok()
}

/// Whether a decoder of one profile knows what another has (H.264, section A.2).
pub fn decodes(agreed: [u8; 3], profile: [u8; 3]) -> bool {
    /// By what a decoder has to know; `None` for what only itself decodes.
    fn rank([profile, constraints, _]: [u8; 3]) -> Option<u8> {
        match profile {
            // Arbitrary slice order, which alone sets it apart from Constrained Baseline, nobody sends.
            66 => Some(0),
            _ if constraints & 0x40 != 0 && profile != 100 => Some(0),
            77 => Some(1),
            100 => Some(2),
            _ => None,
        }
    }
    match (rank(agreed), rank(profile)) {
        (Some(agreed), Some(profile)) => profile <= agreed,
        _ => agreed.first() == profile.first(),
    }
}

/// The configuration of AAC that a call's description says; `None` where it is in the packets.
pub(in crate::gateway) fn agreed_aac(packing: &AacPacking) -> Option<&AacConfig> {
    match packing {
        AacPacking::Generic(format) => Some(&format.config),
        AacPacking::Latm(format) => format.config.as_ref().map(|mux| &mux.config),
    }
}

fn rate(config: &AacConfig) -> (u32, u8) {
    (config.sample_rate, config.channels)
}

/// A profile as it stands in SDP.
pub struct Profile(pub [u8; 3]);

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a call negotiated for a track.
struct Agreed<'a>(&'a MediaPlan);

impl fmt::Display for Agreed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codec = &self.0.codec;
        match codec {
            PlannedCodec::H264 {
                packetization_mode,
                profile_level_id,
                ..
            } => {
                write!(f, "H.264 with packetization-mode {packetization_mode}")?;
                if let Some(profile) = profile_level_id {
                    write!(f, " and profile {}", Profile(*profile))?;
                }
                Ok(())
            }
            PlannedCodec::Aac(packing) => {
                write!(f, "AAC ({codec})")?;
                match agreed_aac(packing).map(rate) {
                    Some((rate, channels)) => write!(f, " of {rate} Hz and {channels} channels"),
                    None => f.write_str(" with its configuration in the packets"),
                }
            }
            codec => write!(f, "{}", codec.codec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_knows_its_profile_and_lesser_ones() {
        let (baseline, constrained) = ([0x42, 0, 0x1f], [0x42, 0xe0, 0x28]);
        let (main, high) = ([0x4d, 0, 0x1f], [0x64, 0, 0x1f]);
        for (agreed, profile, fits) in [
            (baseline, constrained, true),
            (constrained, baseline, true),
            (constrained, main, false),
            (main, constrained, true),
            (main, high, false),
            (high, main, true),
            // Main of which only the common part is used is Constrained Baseline.
            (constrained, [0x4d, 0x40, 0x1f], true),
            (high, [0x6e, 0, 0x1f], false),
            ([0x6e, 0, 0x1f], [0x6e, 0, 0x2a], true),
        ] {
            assert_eq!(decodes(agreed, profile), fits, "{agreed:x?} {profile:x?}");
        }
    }
}
