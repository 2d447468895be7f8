//! VP8 out of RTP: packets into whole frames (RFC 7741).
//!
//! A frame begins with the start of its partition 0 and ends with the marker or with the next
//! timestamp. It comes out as views of the received packets, or not at all: a frame with any loss or
//! defect in it is dropped, and so is everything that may depend on it, up to the next keyframe.
//!
//! A loss breaks decoding unless what was received proves that nothing needed is missing: picture
//! numbers that go on, a lost frame that says itself that nothing depends on it (N), or base layer
//! numbers (TL0PICIDX) that go on. In the last case only higher temporal layers are left out, each
//! until a frame of it needs the base layer only (Y).

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

mod counters;
mod dependence;

use std::rc::Rc;

use crate::base::codec::{CodecConfig, Vp8Config};
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::rtp::decoder_state::DecoderState;
use crate::rtp::depack_h264::{AccessUnit, Segments};
use crate::rtp::depack_vp8::dependence::{Dependence, Missing};
use crate::rtp::picture_end::PictureEnd;
use crate::rtp::reorder::{Before, InOrder};
use crate::rtp::source::Arrival;
use crate::wire::vp8::{Descriptor, FrameHead};

pub use counters::Vp8Counters;

/// Puts frames together. About 11 KiB: keep it boxed.
#[derive(Debug, Default)]
pub struct Vp8Depacketizer {
    segments: Segments,
    frame: Option<OpenFrame>,
    /// What came before the packets without frame data that came last.
    before_empty: Before,
    missing: Missing,
    dependence: Dependence,
    end: PictureEnd,
    decoder: DecoderState,
    config: Option<Rc<CodecConfig>>,
    counters: Vp8Counters,
}

/// The frame being put together.
#[derive(Debug)]
struct OpenFrame {
    timestamp: u32,
    /// The descriptor of the first packet of it that came.
    descriptor: Descriptor,
    first_received: Instant,
    received: Instant,
    /// Its last packet has a marker.
    marked: bool,
    /// Its head says so, if that came.
    keyframe: bool,
    bytes: usize,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It will be handed over, as far as is known.
    Kept,
    /// Not, although nothing of it is missing.
    Withheld,
    /// Not, for it has a loss or defect in it.
    Damaged,
}

impl Vp8Depacketizer {
    /// A depacketizer that waits for its first keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet in sequence; `out` gets every frame that it ends, two at most.
    ///
    /// `out` may take the segments; what it leaves is dropped.
    pub fn push(&mut self, packet: InOrder, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        let InOrder { arrival, before } = packet;
        let header = arrival.header;
        let carried = core::mem::take(&mut self.before_empty);
        let before = if before == Before::Packet {
            carried
        } else {
            before
        };
        self.missing.note(header.sequence, before);
        if before == Before::Gap {
            // Parts of the open frame, or whole frames, are missing.
            self.damage();
        }
        let open = self.frame.as_ref();
        if let Some(frame) = open.filter(|frame| frame.timestamp != header.timestamp) {
            let end = &self.end;
            if end.is_cut_off(frame.received, frame.marked, arrival.received) {
                self.damage();
            }
            self.end_by_timestamp(&mut out);
        }
        let payload = arrival.packet.slice(header.payload());
        let Some(payload) = payload.filter(|payload| !payload.is_empty()) else {
            count(&mut self.counters.empty);
            self.before_empty = before;
            return;
        };
        let Some(descriptor) = Descriptor::parse(&payload) else {
            self.malformed();
            // Whichever frame it is of, it cannot be told from the others' descriptors.
            return self.decoder.lose();
        };
        let data = payload.slice(descriptor.len..payload.len());
        match data.filter(|data| !data.is_empty()) {
            Some(data) => self.take_data(&arrival, descriptor, data, &mut out),
            None => {
                count(&mut self.counters.empty);
                self.before_empty = before;
            }
        }
        if header.marker && self.frame.is_some() {
            self.take_marker(&mut out);
        }
    }

    /// Takes the open frame for whole, if its time has come.
    pub fn handle_timeout(&mut self, now: Instant, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        if self.poll_timeout().is_some_and(|due| due <= now)
            && let Some(frame) = &self.frame
        {
            self.end.by_quiet(frame.timestamp);
            self.end_frame(&mut out);
        }
    }

    /// When to call [`Self::handle_timeout`], if nothing comes until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let frame = self.frame.as_ref()?;
        let may_be_whole = frame.fate == Fate::Kept && !self.is_too_short(frame);
        may_be_whole
            .then(|| self.end.deadline(frame.received, frame.marked))
            .flatten()
    }

    /// The source changed: drops what is unfinished and waits for a keyframe.
    pub fn restart(&mut self) {
        self.frame = None;
        self.segments.clear();
        self.before_empty = Before::Packet;
        self.missing = Missing::default();
        self.dependence = Dependence::default();
        self.end = PictureEnd::default();
        self.decoder.lose();
    }

    /// Whether a source's first packet may well be the first of a keyframe: others belong before it
    /// otherwise.
    pub fn can_begin_with(&self, payload: &[u8]) -> bool {
        let Some(descriptor) = Descriptor::parse(payload) else {
            return payload.is_empty();
        };
        match payload.get(descriptor.len) {
            Some(head) => descriptor.starts_frame() && is_keyframe(*head),
            None => true,
        }
    }

    /// Whether a keyframe has become wanted since the last call.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        self.decoder.take_wanted()
    }

    /// Whether frames are held back until a keyframe comes.
    pub fn waits_for_keyframe(&self) -> bool {
        !self.decoder.is_synced()
    }

    /// Packets of the frame that is being put together.
    pub fn held(&self) -> usize {
        self.segments.len()
    }

    /// Goes on counting from what another one saw before.
    pub fn resume_counters(&mut self, counters: Vp8Counters) {
        self.counters = counters;
    }

    /// What was seen.
    pub fn counters(&self) -> &Vp8Counters {
        &self.counters
    }

    fn take_data(
        &mut self,
        arrival: &Arrival,
        descriptor: Descriptor,
        data: Packet,
        out: &mut impl FnMut(AccessUnit, &mut Segments),
    ) {
        if let Some(open) = &self.frame
            && is_other_picture(&open.descriptor, &descriptor)
        {
            self.end_by_timestamp(out);
        }
        match &mut self.frame {
            None => self.begin_frame(arrival, descriptor, &data),
            Some(frame) => {
                frame.received = arrival.received;
                if frame.marked {
                    self.end.marker_within();
                }
                if descriptor.starts_frame() {
                    // A frame has one beginning.
                    self.malformed();
                }
            }
        }
        let Some(frame) = &mut self.frame else { return };
        frame.marked = arrival.header.marker;
        if frame.fate != Fate::Kept {
            return;
        }
        frame.bytes = frame.bytes.saturating_add(data.len());
        if self.segments.push(Segment::new(&[], data)).is_err() {
            count(&mut self.counters.too_large);
            self.damage();
        }
    }

    fn begin_frame(&mut self, arrival: &Arrival, descriptor: Descriptor, data: &[u8]) {
        let timestamp = arrival.header.timestamp;
        let missing = self.missing.take();
        let synced = self.decoder.is_synced();
        if synced && !self.dependence.bridges(missing, &descriptor) {
            self.decoder.lose();
        }
        self.dependence.follow(&descriptor);
        let starts = descriptor.starts_frame();
        let keyframe = starts && data.first().is_some_and(|head| is_keyframe(*head));
        let mut fate = Fate::Kept;
        if starts && !keyframe && !self.decoder.is_synced() {
            // There is no need to keep it, nor to wait for its end to ask.
            fate = Fate::Withheld;
            self.decoder.ask();
        }
        self.frame = Some(OpenFrame {
            timestamp,
            descriptor,
            first_received: arrival.received,
            received: arrival.received,
            marked: false,
            keyframe,
            bytes: 0,
            fate,
        });
        if !starts {
            if missing.is_none() && self.end.has_ended(timestamp) {
                // It was handed over as whole.
                self.end.went_on();
                self.decoder.lose();
            }
            self.damage();
        }
    }

    fn take_marker(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(frame) = &mut self.frame else { return };
        frame.marked = true;
        let timestamp = frame.timestamp;
        // Of a frame that is too short more is to come.
        let too_short = self.frame.as_ref().is_some_and(|it| self.is_too_short(it));
        if self.end.may_be_at_marker() && !too_short {
            self.end.by_marker(timestamp);
            self.end_frame(out);
        }
    }

    fn end_by_timestamp(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        if let Some(frame) = &self.frame
            && frame.fate != Fate::Damaged
        {
            self.end.by_timestamp(frame.marked);
        }
        self.end_frame(out);
    }

    fn end_frame(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(frame) = &self.frame else { return };
        if frame.fate == Fate::Kept && (self.head().is_none() || self.is_too_short(frame)) {
            count(&mut self.counters.illegal);
            self.damage();
        }
        let size = self.head().and_then(|head| head.keyframe);
        let Some(frame) = self.frame.take() else {
            return;
        };
        match frame.fate {
            Fate::Damaged => count(&mut self.counters.damaged),
            Fate::Withheld => count(&mut self.counters.withheld),
            Fate::Kept => self.hand_over(&frame, size, out),
        }
        self.segments.clear();
    }

    fn hand_over(
        &mut self,
        frame: &OpenFrame,
        size: Option<Vp8Config>,
        out: &mut impl FnMut(AccessUnit, &mut Segments),
    ) {
        let keyframe = size.is_some();
        match size {
            Some(size) => {
                self.dependence.keyframe();
                self.configure(size);
            }
            None if !self.decoder.is_synced() => {
                count(&mut self.counters.withheld);
                return self.decoder.ask();
            }
            None if !self.dependence.is_met(&frame.descriptor) => {
                count(&mut self.counters.layered);
                return count(&mut self.counters.withheld);
            }
            None => {}
        }
        let Some(config) = self.config.clone() else {
            return;
        };
        self.decoder.advance(keyframe);
        count(&mut self.counters.frames);
        if keyframe {
            count(&mut self.counters.keyframes);
        }
        let unit = AccessUnit {
            timestamp: frame.timestamp,
            keyframe,
            config,
            first_received: frame.first_received,
            received: frame.received,
        };
        out(unit, &mut self.segments);
    }

    fn configure(&mut self, size: Vp8Config) {
        let config = CodecConfig::Vp8(size);
        if self.config.as_deref() != Some(&config) {
            self.config = Some(Rc::new(config));
        }
    }

    /// The head of the open frame, if it is legal and there.
    fn head(&self) -> Option<FrameHead> {
        let mut bytes = [0_u8; 10];
        let mut len = 0_usize;
        let all = self.segments.iter().flat_map(|segment| segment.payload());
        for (to, from) in bytes.iter_mut().zip(all) {
            *to = *from;
            len = len.saturating_add(1);
        }
        FrameHead::parse(bytes.get(..len)?).ok()
    }

    /// Whether a legal frame ends before its first partition does.
    fn is_too_short(&self, frame: &OpenFrame) -> bool {
        frame.fate == Fate::Kept
            && self
                .head()
                .is_some_and(|head| frame.bytes < head.least_bytes)
    }

    fn malformed(&mut self) {
        count(&mut self.counters.malformed);
        self.damage();
    }

    /// The open frame will not be handed over, and nothing that may depend on it.
    fn damage(&mut self) {
        let Some(frame) = &mut self.frame else { return };
        if frame.fate == Fate::Damaged {
            return;
        }
        let withheld = frame.fate == Fate::Withheld;
        frame.fate = Fate::Damaged;
        self.segments.clear();
        if frame.keyframe || !(withheld || self.dependence.survives_without(&frame.descriptor)) {
            self.decoder.lose();
        }
    }
}

/// Whether the first byte of a frame is that of a keyframe.
const fn is_keyframe(head: u8) -> bool {
    head & 1 == 0
}

/// Whether two packets of one timestamp are of different frames for certain.
fn is_other_picture(open: &Descriptor, next: &Descriptor) -> bool {
    match (open.picture, next.picture) {
        (Some(open), Some(next)) => open != next,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
