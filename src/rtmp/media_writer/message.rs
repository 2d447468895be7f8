//! A message on its way to the kernel: its bytes, and the rest of one of which some are out.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::rc::Rc;

use crate::base::frame_log::{FrameLog, Segment};
use crate::limits::FRAME_SEGMENTS;
use crate::rtmp::gather::Gather;
use crate::rtmp::media_place::{Body, Form, Planned};
use crate::rtmp::prepared_sound::PreparedSound;
use crate::wire::flv;
use crate::wire::rtmp_chunk::{ChunkHeaders, wire_length};

/// The message of which some bytes are out, if there is one. It is finished whatever happens to
/// the log.
#[derive(Default)]
pub(super) struct BegunMessage {
    /// The message and how many of its bytes are out.
    message: Option<(Planned, usize)>,
    /// The frame's pieces, at most [`FRAME_SEGMENTS`]. The memory is there once a frame was taken
    /// in part.
    views: Vec<Segment>,
    /// The sound that stands in for the frame's own bytes, which may be switched off meanwhile.
    sound: Option<Rc<PreparedSound>>,
}

impl BegunMessage {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.message.is_none()
    }

    /// Pieces of its frame that are kept.
    pub fn held(&self) -> usize {
        self.views.len()
    }

    /// The first `offset` bytes of a message are out: keeps what the rest is made of. False when
    /// the log has lost the frame, so that the message cannot be finished.
    pub fn begin(
        &mut self,
        planned: Planned,
        offset: usize,
        sound: Option<&Rc<PreparedSound>>,
        log: &FrameLog,
    ) -> bool {
        self.views.clear();
        self.sound = None;
        if let Body::Frame {
            stand_in: Some(stand_in),
            ..
        } = planned.body
            && stand_in.is_sound()
        {
            self.sound = sound.cloned();
        }
        let mut is_whole = true;
        if let Body::Frame {
            position,
            stand_in: None,
            ..
        } = planned.body
        {
            match log.get(position) {
                // A frame of more pieces was passed over.
                Some(view) => {
                    let pieces = view.segments().take(FRAME_SEGMENTS);
                    // In steps, so that frames of about the same size do not ask for more.
                    let count = pieces.clone().count().next_multiple_of(64);
                    self.views.reserve_exact(count);
                    self.views.extend(pieces.cloned());
                }
                None => is_whole = false,
            }
        }
        self.message = Some((planned, offset));
        is_whole
    }

    /// Puts the rest into `out` and gives the bytes written.
    pub fn gather(&self, form: &Form, chunk_bytes: u32, out: &mut [u8]) -> usize {
        match &self.message {
            Some((planned, offset)) => {
                let at = (*offset, self.sound.as_deref());
                emit(planned, form, chunk_bytes, at, self.views.iter(), out)
            }
            None => 0,
        }
    }

    /// The next `count` bytes are out too.
    pub fn advance(&mut self, count: usize, chunk_bytes: u32) {
        if let Some((planned, offset)) = &mut self.message {
            *offset = offset.saturating_add(count);
            if *offset >= wire_length(&planned.head, chunk_bytes) {
                self.clear();
            }
        }
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.message = None;
        self.views.clear();
        self.sound = None;
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self, chunk_bytes: u32) {
        assert!(
            self.views.is_empty() || self.message.is_some(),
            "pieces of no message"
        );
        if let Some((planned, offset)) = &self.message {
            assert!(*offset > 0, "a begun message with nothing out");
            assert!(*offset < wire_length(&planned.head, chunk_bytes));
        }
    }
}

/// Writes a message from `offset` on; `pieces` are those of its frame, if it is one, and `sound`
/// what a stand-in is taken from.
pub(super) fn emit<'s>(
    planned: &Planned,
    form: &Form,
    chunk_bytes: u32,
    (offset, sound): (usize, Option<&PreparedSound>),
    pieces: impl Iterator<Item = &'s Segment>,
    out: &mut [u8],
) -> usize {
    let headers = ChunkHeaders::new(&planned.head);
    let mut gather = Gather::new(out, &headers, chunk_bytes, offset);
    match &planned.body {
        Body::Metadata(tracks) => {
            let mut body = [0; flv::METADATA_BYTES];
            let len = tracks.write(form.to_publish, &mut body).unwrap_or(0);
            gather.body(body.get(..len).unwrap_or_default());
        }
        Body::Sequence(config, tag_form) => {
            let mut body = [0; flv::SEQUENCE_HEADER_BYTES];
            let len = flv::write_sequence_header(config, *tag_form, &mut body).unwrap_or(0);
            gather.body(body.get(..len).unwrap_or_default());
        }
        Body::Frame {
            tag,
            stand_in: Some(stand_in),
            ..
        } => {
            gather.body(tag);
            stand_in.pieces(sound, |piece| gather.body(piece));
        }
        Body::Frame { tag, .. } => {
            gather.body(tag);
            for piece in pieces {
                if !gather.body(piece.prefix()) || !gather.body(piece.payload()) {
                    break;
                }
            }
        }
        Body::Skip(_) => {}
    }
    gather.len()
}
