//! The parameter sets of one H.264 stream, as they come in band or from SDP, and the decoder
//! configuration made of them.
//!
//! Sets are kept by identifier, the newest of each. The configuration has the one sequence parameter
//! set that slices refer to, and keeps its identity until its content changes.

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
use crate::limits::{PICTURE_PARAMETER_SETS, SEQUENCE_PARAMETER_SETS};
use crate::wire::h264::{NalHeader, NalKind, SpsHead};
use crate::wire::h264_slice::pps_ids;

/// A set was not taken: it is too long, cannot be read, or there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The sets known so far and the configuration in use.
#[derive(Debug, Default)]
pub struct ParameterSets {
    sps: Vec<Sps, SEQUENCE_PARAMETER_SETS>,
    pps: Vec<Pps, PICTURE_PARAMETER_SETS>,
    changed: bool,
    /// The sequence parameter set of the configuration.
    active: Option<u8>,
    config: Option<Rc<CodecConfig>>,
}

#[derive(Debug)]
struct Sps {
    nal: ParameterSet,
    head: SpsHead,
}

#[derive(Debug)]
struct Pps {
    id: u8,
    /// The sequence parameter set that it belongs to.
    sps: u8,
    nal: ParameterSet,
    /// Came before its sequence parameter set changed, and not again since.
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

    /// What the sequence parameter set says that slices with this picture parameter set need;
    /// `None` when either set is not known.
    pub fn sps_of(&self, pps: u8) -> Option<SpsHead> {
        let pps = self.pps.iter().find(|known| known.id == pps)?;
        self.sps_with(pps.sps).map(|sps| sps.head)
    }

    /// The sequence parameter set in use, or the one that came first.
    pub fn usual_sps(&self) -> Option<SpsHead> {
        let active = self.active.and_then(|id| self.sps_with(id));
        active.or(self.sps.first()).map(|sps| sps.head)
    }

    /// The configuration for the next frame, whose slices need this sequence parameter set; `None`
    /// as long as sets are missing.
    ///
    /// A new sequence parameter set takes effect with a keyframe only, and so does another one.
    pub fn config(&mut self, keyframe: bool, sps: u8) -> Option<Rc<CodecConfig>> {
        if self.active != Some(sps) {
            if self.config.is_some() && !keyframe {
                return None;
            }
            self.changed = true;
        }
        if self.changed
            && let Some(config) = self.build(keyframe, sps)
        {
            self.changed = false;
            self.active = Some(sps);
            if self.config.as_deref() != Some(&config) {
                self.config = Some(Rc::new(config));
            }
        }
        if self.active == Some(sps) {
            self.config.clone()
        } else {
            None
        }
    }

    /// Whether there is a picture parameter set with its sequence parameter set.
    pub fn are_complete(&self) -> bool {
        self.pps.iter().any(|pps| self.sps_with(pps.sps).is_some())
    }

    fn sps_with(&self, id: u8) -> Option<&Sps> {
        self.sps.iter().find(|sps| sps.head.id == id)
    }

    fn build(&self, keyframe: bool, id: u8) -> Option<CodecConfig> {
        let sps = self.sps_with(id)?;
        if !keyframe
            && let Some(CodecConfig::H264(now)) = self.config.as_deref()
            && now.sps != sps.nal
        {
            return None;
        }
        let ours = || self.pps.iter().filter(|pps| pps.sps == id);
        let any_fresh = ours().any(|pps| !pps.stale);
        let pps: Vec<_, PICTURE_PARAMETER_SETS> = ours()
            .filter(|pps| !(any_fresh && pps.stale))
            .map(|pps| pps.nal.clone())
            .collect();
        if pps.is_empty() {
            return None;
        }
        Some(CodecConfig::H264(H264Config {
            sps: sps.nal.clone(),
            pps,
            width: sps.head.size.width,
            height: sps.head.size.height,
        }))
    }

    fn take_sps(&mut self, nal: &[u8]) -> Result<(), Refused> {
        if self.sps.iter().any(|sps| sps.nal == nal) {
            return Ok(());
        }
        let head = SpsHead::parse(nal).ok_or(Refused)?;
        let nal = ParameterSet::from_slice(nal).map_err(|_| Refused)?;
        let new = Sps { nal, head };
        if let Some(sps) = self.sps.iter_mut().find(|sps| sps.head.id == head.id) {
            *sps = new;
        } else {
            if self.sps.is_full() {
                let active = self.active;
                let unused = |sps: &Sps| Some(sps.head.id) != active;
                let oldest = self.sps.iter().position(unused).ok_or(Refused)?;
                self.sps.remove(oldest);
            }
            self.sps.push(new).map_err(|_| Refused)?;
        }
        for pps in self.pps.iter_mut().filter(|pps| pps.sps == head.id) {
            pps.stale = true;
        }
        self.changed = true;
        Ok(())
    }

    fn take_pps(&mut self, nal: &[u8]) -> Result<(), Refused> {
        let (id, sps) = pps_ids(nal).ok_or(Refused)?;
        if let Some(pps) = self.pps.iter_mut().find(|pps| pps.id == id) {
            if pps.nal != nal {
                pps.nal = ParameterSet::from_slice(nal).map_err(|_| Refused)?;
                pps.sps = sps;
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
        let new = Pps {
            id,
            sps,
            nal,
            stale: false,
        };
        self.pps.insert(at, new).map_err(|_| Refused)?;
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
    const PPS_1: &[u8] = &[0x68, 0x5b, 0xe3, 0xcb, 0x22, 0xc0];

    fn h264(config: &Rc<CodecConfig>) -> &H264Config {
        let CodecConfig::H264(config) = &**config else {
            panic!("not H.264")
        };
        config
    }

    /// A picture parameter set with these identifiers.
    fn pps(id: u8, sps: u8) -> std::vec::Vec<u8> {
        let golomb = |value: u8| {
            let digits = format!("{:b}", u16::from(value) + 1);
            "0".repeat(digits.len() - 1) + &digits
        };
        let bits = format!("{:1<24}", golomb(id) + &golomb(sps));
        let number = u32::from_str_radix(&bits, 2).unwrap();
        [&[0x68], &number.to_be_bytes()[1..]].concat()
    }

    #[test]
    fn the_configuration_has_the_sets_that_slices_refer_to() {
        // Identifier 1, picture numbers of 4 bits, no order counts, one reference, 3 by 2
        // macroblocks, frames only.
        let bits = "010".to_owned() + "1" + "011" + "010" + "0" + "011" + "010" + "1100" + "1";
        let number = u32::from_str_radix(&format!("{bits:0<24}"), 2).unwrap();
        let other = [&[0x67, 66, 0xe0, 31], &number.to_be_bytes()[1..]].concat();
        let mut sets = ParameterSets::default();
        for set in [SPS_720, &other, &pps(0, 0), &pps(1, 1), &pps(2, 0)] {
            sets.take(set).unwrap();
        }
        assert_eq!(sets.sps_of(0).unwrap().id, 0);
        assert_eq!(sets.sps_of(9), None);
        let config = sets.config(true, 0).unwrap();
        assert_eq!(h264(&config).sps, SPS_720);
        assert_eq!(h264(&config).pps, [pps(0, 0), pps(2, 0)].map(set));
        assert_eq!(sets.sps_of(1).unwrap().id, 1);
        assert!(sets.config(false, 1).is_none(), "not without a keyframe");
        let config = sets.config(true, 1).unwrap();
        assert_eq!(h264(&config).pps, [set(pps(1, 1))]);
        assert!(Rc::ptr_eq(&config, &sets.config(false, 1).unwrap()));
        assert!(sets.config(true, 7).is_none());
    }

    fn set(bytes: impl AsRef<[u8]>) -> ParameterSet {
        ParameterSet::from_slice(bytes.as_ref()).unwrap()
    }

    #[test]
    fn a_configuration_needs_one_of_each() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.take(PPS_0), Ok(()));
        assert!(sets.config(true, 0).is_none());
        assert_eq!(sets.take(SPS_720), Ok(()));
        let config = sets.config(true, 0).unwrap();
        assert_eq!((h264(&config).width, h264(&config).height), (1280, 720));
        assert_eq!(h264(&config).sps, SPS_720);
    }

    #[test]
    fn the_configuration_keeps_its_identity_until_its_content_changes() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_1, PPS_0] {
            sets.take(set).unwrap();
        }
        let first = sets.config(true, 0).unwrap();
        assert_eq!(h264(&first).pps, [PPS_0, PPS_1].map(set));
        for set in [SPS_720, PPS_1, PPS_0, PPS_0] {
            sets.take(set).unwrap();
        }
        // Announced and taken back before a frame came.
        sets.take(SPS_ODD).unwrap();
        sets.take(SPS_720).unwrap();
        for set in [PPS_0, PPS_1] {
            sets.take(set).unwrap();
        }
        assert!(Rc::ptr_eq(&first, &sets.config(true, 0).unwrap()));
        sets.take(&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1]).unwrap();
        assert!(!Rc::ptr_eq(&first, &sets.config(false, 0).unwrap()));
    }

    #[test]
    fn a_new_sequence_parameter_set_waits_for_its_keyframe_and_drops_old_picture_sets() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_0, PPS_1] {
            sets.take(set).unwrap();
        }
        let first = sets.config(true, 0).unwrap();
        sets.take(SPS_ODD).unwrap();
        sets.take(PPS_0).unwrap();
        assert!(Rc::ptr_eq(&first, &sets.config(false, 0).unwrap()));
        let second = sets.config(true, 0).unwrap();
        assert_eq!((h264(&second).width, h264(&second).height), (572, 468));
        assert_eq!(h264(&second).pps, [PPS_0].map(set));
    }

    #[test]
    fn picture_sets_that_are_not_sent_again_stay_in_use() {
        let mut sets = ParameterSets::default();
        for set in [SPS_720, PPS_0, SPS_ODD] {
            sets.take(set).unwrap();
        }
        assert_eq!(h264(&sets.config(true, 0).unwrap()).pps, [PPS_0].map(set));
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
        for id in 0..PICTURE_PARAMETER_SETS as u8 + 1 {
            let taken = sets.take(&pps(id, 0));
            assert_eq!(taken.is_err(), usize::from(id) == PICTURE_PARAMETER_SETS);
        }
        // Room is made once the old ones are stale.
        sets.take(SPS_720).unwrap();
        assert_eq!(sets.take(&pps(99, 0)), Ok(()));
    }
}
