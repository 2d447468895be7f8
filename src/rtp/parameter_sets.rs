//! The parameter sets of one H.264 stream, as they come in band or from SDP, and the decoder
//! configuration made of them.
//!
//! One sequence parameter set is kept, the newest; picture parameter sets by identifier. The
//! configuration keeps its identity until its content changes.

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

use crate::base::codec::{CodecConfig, H264Config, ParameterSet};
use crate::limits::PICTURE_PARAMETER_SETS;
use crate::wire::h264::{NalHeader, NalKind, PictureSize, pps_id};

/// A set was not taken: it is too long, cannot be read, or there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The sets known so far and the configuration in use.
#[derive(Debug, Default)]
pub struct ParameterSets {
    sps: Option<Sps>,
    pps: Vec<Pps, PICTURE_PARAMETER_SETS>,
    changed: bool,
    config: Option<Rc<CodecConfig>>,
}

#[derive(Debug)]
struct Sps {
    nal: ParameterSet,
    size: PictureSize,
}

#[derive(Debug)]
struct Pps {
    id: u8,
    nal: ParameterSet,
    /// Came before the sequence parameter set changed, and not again since.
    stale: bool,
}

impl ParameterSets {
    /// Takes one NAL unit, header byte included; other types than 7 and 8 are refused.
    ///
    /// # Errors
    ///
    /// [`Refused`] when nothing was kept of it.
    pub fn take(&mut self, nal: &[u8]) -> Result<(), Refused> {
        match NalHeader(*nal.first().ok_or(Refused)?).kind() {
            NalKind::Sps => self.take_sps(nal),
            NalKind::Pps => self.take_pps(nal),
            _ => Err(Refused),
        }
    }

    /// The configuration for the next frame, once there is one of each set.
    ///
    /// A new sequence parameter set takes effect with a keyframe only.
    pub fn config(&mut self, keyframe: bool) -> Option<Rc<CodecConfig>> {
        if self.changed
            && let Some(config) = self.build(keyframe)
        {
            self.changed = false;
            if self.config.as_deref() != Some(&config) {
                self.config = Some(Rc::new(config));
            }
        }
        self.config.clone()
    }

    /// Whether there is one of each.
    pub fn are_complete(&self) -> bool {
        self.sps.is_some() && !self.pps.is_empty()
    }

    fn build(&self, keyframe: bool) -> Option<CodecConfig> {
        let sps = self.sps.as_ref()?;
        if !keyframe
            && let Some(CodecConfig::H264(now)) = self.config.as_deref()
            && now.sps != sps.nal
        {
            return None;
        }
        let any_fresh = self.pps.iter().any(|pps| !pps.stale);
        let pps: Vec<_, PICTURE_PARAMETER_SETS> = self
            .pps
            .iter()
            .filter(|pps| !(any_fresh && pps.stale))
            .map(|pps| pps.nal.clone())
            .collect();
        if pps.is_empty() {
            return None;
        }
        let PictureSize { width, height } = sps.size;
        Some(CodecConfig::H264(H264Config {
            sps: sps.nal.clone(),
            pps,
            width,
            height,
        }))
    }

    fn take_sps(&mut self, nal: &[u8]) -> Result<(), Refused> {
        if self.sps.as_ref().is_some_and(|sps| sps.nal == nal) {
            return Ok(());
        }
        let size = PictureSize::of_sps(nal).ok_or(Refused)?;
        let nal = ParameterSet::from_slice(nal).map_err(|_| Refused)?;
        self.sps = Some(Sps { nal, size });
        for pps in &mut self.pps {
            pps.stale = true;
        }
        self.changed = true;
        Ok(())
    }

    fn take_pps(&mut self, nal: &[u8]) -> Result<(), Refused> {
        let id = pps_id(nal).ok_or(Refused)?;
        if let Some(pps) = self.pps.iter_mut().find(|pps| pps.id == id) {
            if pps.nal != nal {
                pps.nal = ParameterSet::from_slice(nal).map_err(|_| Refused)?;
                self.changed = true;
            }
            // The same set after a new sequence parameter set belongs to that one.
            self.changed |= pps.stale;
            pps.stale = false;
            return Ok(());
        }
        let nal = ParameterSet::from_slice(nal).map_err(|_| Refused)?;
        if self.pps.is_full() {
            let stale = self.pps.iter().position(|pps| pps.stale).ok_or(Refused)?;
            self.pps.remove(stale);
        }
        let at = self
            .pps
            .iter()
            .position(|pps| pps.id > id)
            .unwrap_or(self.pps.len());
        self.pps
            .insert(
                at,
                Pps {
                    id,
                    nal,
                    stale: false,
                },
            )
            .map_err(|_| Refused)?;
        self.changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARAMETER_SET_BYTES;

    const SPS_720: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const SPS_ODD: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x90, 0x3d, 0xee, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03,
        0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x92,
    ];
    const PPS_0: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    const PPS_1: &[u8] = &[0x68, 0x4b, 0xe3, 0xcb, 0x22, 0xc0];

    fn h264(config: &Rc<CodecConfig>) -> &H264Config {
        let CodecConfig::H264(config) = &**config else {
            panic!("not H.264")
        };
        config
    }

    #[test]
    fn a_configuration_needs_one_of_each() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.take(PPS_0), Ok(()));
        assert!(sets.config(true).is_none());
        assert_eq!(sets.take(SPS_720), Ok(()));
        let config = sets.config(true).unwrap();
        assert_eq!((h264(&config).width, h264(&config).height), (1280, 720));
        assert_eq!(h264(&config).sps, SPS_720);
    }

    #[test]
    fn the_configuration_keeps_its_identity_until_its_content_changes() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_1, PPS_0] {
            sets.take(set).unwrap();
        }
        let first = sets.config(true).unwrap();
        assert_eq!(h264(&first).pps, [PPS_0, PPS_1]);
        for set in [SPS_720, PPS_1, PPS_0, PPS_0] {
            sets.take(set).unwrap();
        }
        // Announced and taken back before a frame came.
        sets.take(SPS_ODD).unwrap();
        sets.take(SPS_720).unwrap();
        for set in [PPS_0, PPS_1] {
            sets.take(set).unwrap();
        }
        assert!(Rc::ptr_eq(&first, &sets.config(true).unwrap()));
        sets.take(&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1]).unwrap();
        assert!(!Rc::ptr_eq(&first, &sets.config(false).unwrap()));
    }

    #[test]
    fn a_new_sequence_parameter_set_waits_for_its_keyframe_and_drops_old_picture_sets() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_0, PPS_1] {
            sets.take(set).unwrap();
        }
        let first = sets.config(true).unwrap();
        sets.take(SPS_ODD).unwrap();
        sets.take(PPS_0).unwrap();
        assert!(Rc::ptr_eq(&first, &sets.config(false).unwrap()));
        let second = sets.config(true).unwrap();
        assert_eq!((h264(&second).width, h264(&second).height), (572, 468));
        assert_eq!(h264(&second).pps, [PPS_0]);
    }

    #[test]
    fn picture_sets_that_are_not_sent_again_stay_in_use() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_0, SPS_ODD] {
            sets.take(set).unwrap();
        }
        assert_eq!(h264(&sets.config(true).unwrap()).pps, [PPS_0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut sets = ParameterSets::default();
        let mut long = PPS_0.to_vec();
        long.resize(PARAMETER_SET_BYTES + 1, 0x55);
        assert_eq!(sets.take(&long), Err(Refused));
        assert_eq!(sets.take(&[0x67, 0xff, 0xff]), Err(Refused));
        assert_eq!(sets.take(&[0x65, 0x88]), Err(Refused));
        assert_eq!(sets.take(&[]), Err(Refused));
        for id in [0xe0, 0x5f, 0x7f, 0x27, 0x2f] {
            let taken = sets.take(&[0x68, id, 0x11]);
            assert_eq!(taken.is_err(), id == 0x2f, "{id:#x}");
        }
        // Room is made once the old ones are stale.
        sets.take(SPS_720).unwrap();
        assert_eq!(sets.take(&[0x68, 0x2f, 0x11]), Ok(()));
    }
}
