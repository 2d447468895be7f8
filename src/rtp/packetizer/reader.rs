//! The bytes of one frame, piece by piece, with a place that outlasts the view of them.

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

use crate::base::frame_log::FrameView;

/// A place in a frame's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    segment: usize,
    offset: usize,
    left: usize,
}

impl Reader {
    /// At the beginning of a frame.
    pub fn new(view: FrameView<'_>) -> Self {
        Self {
            segment: 0,
            offset: 0,
            left: view.len(),
        }
    }

    /// Bytes from the place to the frame's end.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Copies the next bytes and passes over them; how many there were.
    pub fn copy(&mut self, view: FrameView<'_>, out: &mut [u8]) -> usize {
        let mut done = 0_usize;
        self.pass(view, out.len(), |bytes| {
            let end = done.saturating_add(bytes.len());
            if let Some(place) = out.get_mut(done..end) {
                place.copy_from_slice(bytes);
            }
            done = end;
        });
        done
    }

    /// Passes over bytes; how many there were.
    pub fn skip(&mut self, view: FrameView<'_>, count: usize) -> usize {
        let mut done = 0_usize;
        self.pass(view, count, |bytes| done = done.saturating_add(bytes.len()));
        done
    }

    /// A length of four bytes, as NAL units have before them.
    pub fn length(&mut self, view: FrameView<'_>) -> Option<usize> {
        let mut bytes = [0; 4];
        if self.copy(view, &mut bytes) < bytes.len() {
            return None;
        }
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }

    fn pass(&mut self, view: FrameView<'_>, count: usize, mut take: impl FnMut(&[u8])) {
        let mut wanted = count.min(self.left);
        while wanted > 0 {
            let Some(segment) = view.segment(self.segment) else {
                self.left = 0;
                return;
            };
            let prefix = segment.prefix();
            let rest = match prefix.get(self.offset..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => {
                    let at = self.offset.saturating_sub(prefix.len());
                    segment.payload().get(at..).unwrap_or_default()
                }
            };
            let bytes = rest.get(..wanted.min(rest.len())).unwrap_or_default();
            if bytes.is_empty() {
                self.segment = self.segment.saturating_add(1);
                self.offset = 0;
                continue;
            }
            take(bytes);
            self.offset = self.offset.saturating_add(bytes.len());
            self.left = self.left.saturating_sub(bytes.len());
            wanted = wanted.saturating_sub(bytes.len());
        }
    }
}
