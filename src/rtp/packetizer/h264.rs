//! H.264 into RTP (RFC 6184): single NAL units (5.6), FU-A (5.8) and, for parameter sets, STAP-A
//! (5.7.1).
//!
//! Before a keyframe, and wherever they change, go the parameter sets of the stream's configuration;
//! those in the frame itself are left out, so that each is sent once. So are delimiters, ends and
//! filler. In packetization-mode 0 there is neither STAP-A nor FU-A: a frame with a NAL unit that
//! does not fit a packet is refused.

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

use crate::base::codec::{CodecConfig, H264Config};
use crate::base::frame_log::FrameView;
use crate::limits::{RTP_PAYLOAD_BYTES, RTP_WHOLE_PAYLOAD_BYTES};
use crate::rtp::packetizer::reader::Reader;
use crate::rtp::packetizer::{Part, Unfit};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START: u8 = 0x80;
const END: u8 = 0x40;

/// The packetizer of one H.264 track.
#[derive(Clone, Debug)]
pub struct H264Packetizer {
    /// Whether packetization-mode 1 was agreed on.
    divides: bool,
    reader: Reader,
    /// NAL units of the frame that are still to be sent or being sent.
    units: u32,
    /// The header of a NAL unit that is being sent in fragments, and its bytes still to be sent.
    fragment: Option<(u8, usize)>,
    /// The next parameter set to be sent: 0 the SPS, then each PPS; `None` when they are out.
    set: Option<usize>,
    /// The configuration whose parameter sets were sent last.
    told: Option<Rc<CodecConfig>>,
}

/// Whether a NAL unit is sent as it stands in a frame.
fn is_sent(header: u8) -> bool {
    // 7 to 12: parameter sets, delimiter, ends, filler; 14 and more: layers and what RTP has.
    !matches!(header & 0x1f, 0 | 7..=12 | 14 | 15 | 20..)
}

/// A parameter set of a configuration by its place.
fn set_at(config: &H264Config, at: usize) -> Option<&[u8]> {
    match at.checked_sub(1) {
        None => Some(config.sps.as_slice()),
        Some(at) => config.pps.get(at).map(|set| set.as_slice()),
    }
}

impl H264Packetizer {
    /// A packetizer for packetization-mode 1, or else 0.
    pub fn new(divides: bool) -> Self {
        Self {
            divides,
            reader: Reader::default(),
            units: 0,
            fragment: None,
            set: None,
            told: None,
        }
    }

    pub(super) fn begin(&mut self, view: FrameView<'_>, config: &H264Config) -> Result<(), Unfit> {
        self.skip();
        let mut reader = Reader::new(view);
        let mut units = 0_u32;
        while reader.left() > 0 {
            let length = reader.length(view).ok_or(Unfit::Malformed)?;
            if length > reader.left() {
                return Err(Unfit::Malformed);
            }
            let mut header = [0];
            if length == 0 || reader.copy(view, &mut header) == 0 {
                continue;
            }
            reader.skip(view, length.saturating_sub(1));
            if !is_sent(header[0]) {
                continue;
            }
            if !self.divides && length > RTP_WHOLE_PAYLOAD_BYTES {
                return Err(Unfit::WholeNal(length));
            }
            units = units.saturating_add(1);
        }
        if units == 0 {
            return Ok(());
        }
        let frame = view.frame();
        let known = self.told.as_ref();
        let is_new = known.is_none_or(|told| !Rc::ptr_eq(told, &frame.config));
        if frame.keyframe || is_new {
            let mut sets = (0..).map_while(|at| set_at(config, at));
            if sets.any(|set| set.len() > RTP_PAYLOAD_BYTES) {
                return Err(Unfit::Malformed);
            }
            self.set = Some(0);
            self.told = Some(frame.config.clone());
        }
        self.reader = Reader::new(view);
        self.units = units;
        Ok(())
    }

    pub(super) fn next(&mut self, view: FrameView<'_>, out: &mut [u8]) -> Option<Part> {
        if self.is_done() {
            return None;
        }
        if let Some(at) = self.set {
            return self.next_sets(view, at, out);
        }
        if let Some((header, left)) = self.fragment {
            return self.next_fragment(view, (header, left), 0, out);
        }
        loop {
            let length = self.reader.length(view)?;
            if length == 0 {
                continue;
            }
            let mut peek = self.reader;
            let mut header = [0];
            peek.copy(view, &mut header);
            let [header] = header;
            if !is_sent(header) {
                self.reader.skip(view, length);
                continue;
            }
            let most = if self.divides {
                RTP_PAYLOAD_BYTES
            } else {
                RTP_WHOLE_PAYLOAD_BYTES
            };
            if length > most {
                self.reader.skip(view, 1);
                return self.next_fragment(view, (header, length.saturating_sub(1)), START, out);
            }
            let body = out.get_mut(..length)?;
            if self.reader.copy(view, body) < length {
                return None;
            }
            return Some(self.sent(length));
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.units == 0
    }

    pub(super) fn skip(&mut self) {
        self.units = 0;
        self.fragment = None;
        if self.set.take().is_some() {
            // They are not out.
            self.told = None;
        }
    }

    /// A NAL unit is out.
    fn sent(&mut self, len: usize) -> Part {
        self.units = self.units.saturating_sub(1);
        Part {
            len,
            ends: self.units == 0,
        }
    }

    fn next_fragment(
        &mut self,
        view: FrameView<'_>,
        (header, left): (u8, usize),
        start: u8,
        out: &mut [u8],
    ) -> Option<Part> {
        let room = out.len().min(RTP_PAYLOAD_BYTES).checked_sub(2)?;
        let count = left.min(room);
        let is_last = count == left;
        let [indicator, fragment, body @ ..] = out else {
            return None;
        };
        *indicator = header & 0xe0 | FU_A;
        *fragment = header & 0x1f | start | if is_last { END } else { 0 };
        if self.reader.copy(view, body.get_mut(..count)?) < count || count == 0 {
            return None;
        }
        let len = count.saturating_add(2);
        if is_last {
            self.fragment = None;
            return Some(self.sent(len));
        }
        self.fragment = Some((header, left.saturating_sub(count)));
        Some(Part { len, ends: false })
    }

    /// Parameter sets: all in one packet where they fit and may, or the one at a place.
    fn next_sets(&mut self, view: FrameView<'_>, at: usize, out: &mut [u8]) -> Option<Part> {
        let CodecConfig::H264(config) = &*view.frame().config else {
            return None;
        };
        let sets = || (0..).map_while(|at| set_at(config, at));
        let all = sets().fold(1_usize, |sum, set| {
            sum.saturating_add(set.len()).saturating_add(2)
        });
        if self.divides && at == 0 && all <= RTP_PAYLOAD_BYTES && all <= out.len() {
            self.set = None;
            let importance = sets()
                .filter_map(|set| set.first())
                .map(|it| it & 0x60)
                .max();
            let (indicator, mut rest) = out.split_first_mut()?;
            *indicator = importance.unwrap_or(0x60) | STAP_A;
            for set in sets() {
                let (length, after) = rest.split_first_chunk_mut::<2>()?;
                *length = u16::try_from(set.len()).ok()?.to_be_bytes();
                let (body, after) = after.split_at_mut_checked(set.len())?;
                body.copy_from_slice(set);
                rest = after;
            }
            return Some(Part {
                len: all,
                ends: false,
            });
        }
        let set = set_at(config, at)?;
        out.get_mut(..set.len())?.copy_from_slice(set);
        let next = at.saturating_add(1);
        self.set = set_at(config, next).map(|_| next);
        Some(Part {
            len: set.len(),
            ends: false,
        })
    }
}
