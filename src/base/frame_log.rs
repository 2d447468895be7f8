//! The short log of whole frames between one call and its readers.
//!
//! A stream's producer appends frames; each reader (RTMP publisher, local player) keeps an absolute
//! position of its own and reads at its own pace. Frame bytes stay in the packet pool: the log
//! holds views of them. When the log is full the oldest frame goes, so a slow reader loses its own
//! backlog and nobody else's. The log neither allocates nor grows.

use std::rc::Rc;

use heapless::Deque;

use crate::base::codec::{CodecConfig, Track};
use crate::base::packet_pool::Packet;
use crate::base::time::{Instant, MediaTime};
use crate::limits::{LOG_FRAMES, LOG_SEGMENTS, SEGMENT_PREFIX_BYTES};

/// A run of frame bytes: a few bytes made here, then a view of a received packet.
///
/// The prefix carries what is not in the packet as such: the 4-byte length of a NAL unit and the
/// header byte of one that came in fragments.
#[derive(Clone, Debug)]
pub struct Segment {
    prefix: [u8; SEGMENT_PREFIX_BYTES],
    prefix_len: u8,
    payload: Packet,
}

impl Segment {
    /// A segment of `prefix`, cut to [`SEGMENT_PREFIX_BYTES`], and `payload`.
    pub fn new(prefix: &[u8], payload: Packet) -> Self {
        let mut bytes = [0; SEGMENT_PREFIX_BYTES];
        let mut prefix_len = 0;
        for (to, from) in bytes.iter_mut().zip(prefix) {
            *to = *from;
            prefix_len += 1;
        }
        Self {
            prefix: bytes,
            prefix_len,
            payload,
        }
    }

    /// The bytes before the payload.
    pub fn prefix(&self) -> &[u8] {
        self.prefix
            .get(..usize::from(self.prefix_len))
            .unwrap_or_default()
    }

    /// The prefix for writing, once the length of a fragmented NAL unit is known.
    pub fn prefix_mut(&mut self) -> &mut [u8] {
        self.prefix
            .get_mut(..usize::from(self.prefix_len))
            .unwrap_or_default()
    }

    /// The bytes from the packet.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        usize::from(self.prefix_len).saturating_add(self.payload.len())
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One whole frame: an access unit of video or one packet's worth of audio.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Track it belongs to.
    pub track: Track,
    /// When it is to be decoded, on the call's media clock; also when it is to be presented, unless
    /// [`Self::composition`] says otherwise.
    pub time: MediaTime,
    /// Microseconds from decoding to presentation; not 0 only for pictures sent out of order.
    pub composition: u32,
    /// Decodable without any earlier frame; always true for audio.
    pub keyframe: bool,
    /// What a receiver must know before it; another `Rc` means a new sequence header.
    pub config: Rc<CodecConfig>,
    /// When its last packet was received, for the measure of added delay.
    pub received: Instant,
}

struct Entry {
    frame: Frame,
    /// Counted like that of the log: it comes round.
    first_segment: u16,
    segments: u16,
    bytes: u32,
}

const _: () = assert!(
    LOG_SEGMENTS < 1 << 16,
    "counts of segments come round at 16 bits"
);

/// A frame in the log.
#[derive(Clone, Copy)]
pub struct FrameView<'a> {
    log: &'a FrameLog,
    entry: &'a Entry,
}

impl<'a> FrameView<'a> {
    /// What the frame is.
    pub fn frame(&self) -> &'a Frame {
        &self.entry.frame
    }

    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        self.entry.bytes as usize
    }

    /// Whether the frame has no bytes.
    pub fn is_empty(&self) -> bool {
        self.entry.bytes == 0
    }

    /// The piece of the frame's bytes at a place.
    pub fn segment(&self, at: usize) -> Option<&'a Segment> {
        if at >= usize::from(self.entry.segments) {
            return None;
        }
        let start = self
            .entry
            .first_segment
            .wrapping_sub(self.log.first_segment);
        let start = usize::from(start);
        self.log.segments.get(start.saturating_add(at))
    }

    /// The frame's bytes, in order.
    pub fn segments(&self) -> impl Iterator<Item = &'a Segment> + Clone + use<'a> {
        let log = self.log;
        let start = usize::from(self.entry.first_segment.wrapping_sub(log.first_segment));
        (start..start.saturating_add(usize::from(self.entry.segments)))
            .filter_map(move |at| log.segments.get(at))
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge;

/// The frames of one call that some reader may still want. About 30 KiB: keep it boxed.
#[derive(Default)]
pub struct FrameLog {
    entries: Deque<Entry, LOG_FRAMES>,
    segments: Deque<Segment, LOG_SEGMENTS>,
    first: u64,
    /// Segments let go of so far. It comes round: only differences matter, which are below
    /// [`LOG_SEGMENTS`].
    first_segment: u16,
    bytes: usize,
}

impl FrameLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a frame, dropping the oldest ones where room is needed.
    ///
    /// `segments` is emptied. A frame with more segments than the whole log holds is refused and
    /// dropped.
    pub fn push<const N: usize>(
        &mut self,
        frame: Frame,
        segments: &mut heapless::Vec<Segment, N>,
    ) -> Result<(), FrameTooLarge> {
        let count = segments.len();
        if count > LOG_SEGMENTS {
            segments.clear();
            return Err(FrameTooLarge);
        }
        while self.entries.is_full() || LOG_SEGMENTS - self.segments.len() < count {
            self.drop_oldest();
        }
        let first_segment = self.first_segment.wrapping_add(self.segments.len() as u16);
        let bytes: usize = segments.iter().map(Segment::len).sum();
        // Room for all of them was made above.
        for segment in segments.drain(..) {
            let _ = self.segments.push_back(segment);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let _ = self.entries.push_back(Entry {
            frame,
            first_segment,
            segments: count as u16,
            bytes: bytes as u32,
        });
        Ok(())
    }

    /// The position that the next frame will have.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.entries.len() as u64)
    }

    /// The position of the oldest frame held; equals [`Self::end`] when there is none.
    pub fn start(&self) -> u64 {
        self.first
    }

    /// The frame at a position, if it is still or already there.
    #[inline(always)]
    pub fn get(&self, position: u64) -> Option<FrameView<'_>> {
        let at = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.entries
            .get(at)
            .map(|entry| FrameView { log: self, entry })
    }

    /// Lets go of every frame before `position`: all readers have passed it.
    pub fn release_before(&mut self, position: u64) {
        while self.first < position && !self.entries.is_empty() {
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            // A log that is drained starts again at its front, so that idle calls touch little memory.
            self.entries.clear();
            self.segments.clear();
        }
    }

    /// Segments of all frames held: as many packet slots, or fewer.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Lets go of the oldest frames until at most `segments` are held.
    pub fn shed(&mut self, segments: usize) {
        while self.segments.len() > segments {
            self.drop_oldest();
        }
    }

    /// Frame bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panics when the counts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        let segments: usize = self.entries.iter().map(|e| usize::from(e.segments)).sum();
        assert_eq!(
            segments,
            self.segments.len(),
            "segments held and segments of frames differ"
        );
        let bytes: usize = self.entries.iter().map(|e| e.bytes as usize).sum();
        assert_eq!(bytes, self.bytes, "bytes held and bytes of frames differ");
        let mut at = self.first_segment;
        for entry in &self.entries {
            assert_eq!(entry.first_segment, at, "frames are not contiguous");
            at = at.wrapping_add(entry.segments);
        }
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        for _ in 0..entry.segments {
            self.segments.pop_front();
        }
        self.first = self.first.saturating_add(1);
        self.first_segment = self.first_segment.wrapping_add(entry.segments);
        self.bytes = self.bytes.saturating_sub(entry.bytes as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::packet_pool::PacketPool;

    fn frame(millis: i64) -> Frame {
        Frame {
            track: Track::Video,
            time: MediaTime::from_micros(millis * 1_000),
            composition: 0,
            keyframe: false,
            config: Rc::new(CodecConfig::Pcma),
            received: Instant::ZERO,
        }
    }

    fn push(log: &mut FrameLog, pool: &PacketPool, millis: i64, packets: usize) {
        let mut segments = heapless::Vec::<Segment, LOG_SEGMENTS>::new();
        for _ in 0..packets {
            let packet = pool.copy_from(b"payload").unwrap();
            segments.push(Segment::new(&[0, 0, 0, 7], packet)).unwrap();
        }
        log.push(frame(millis), &mut segments).unwrap();
        log.check_invariants();
    }

    #[test]
    fn positions_stay_valid_while_older_frames_go() {
        let pool = PacketPool::new(16);
        let mut log = FrameLog::new();
        for at in 0..4 {
            push(&mut log, &pool, at, 2);
        }
        log.release_before(2);
        log.check_invariants();
        assert!(log.get(1).is_none());
        let view = log.get(2).unwrap();
        assert_eq!(view.frame().time, MediaTime::from_micros(2_000));
        assert_eq!(view.len(), 22);
        assert_eq!(view.segments().count(), 2);
        assert_eq!(pool.available(), 12);
        assert_eq!((log.start(), log.end()), (2, 4));
        log.release_before(99);
        assert_eq!((log.start(), log.end()), (4, 4));
        assert_eq!(pool.available(), 16);
    }

    #[test]
    fn shedding_takes_whole_frames_from_the_old_end() {
        let pool = PacketPool::new(16);
        let mut log = FrameLog::new();
        for at in 0..5 {
            push(&mut log, &pool, at, 3);
        }
        log.shed(7);
        log.check_invariants();
        assert_eq!((log.start(), log.end(), log.segments()), (3, 5, 6));
        log.shed(0);
        assert_eq!((log.start(), pool.available()), (5, 16));
    }

    #[test]
    fn a_full_log_drops_its_oldest_frames() {
        let pool = PacketPool::new(LOG_FRAMES + 8);
        let mut log = FrameLog::new();
        for at in 0..LOG_FRAMES as i64 + 5 {
            push(&mut log, &pool, at, 1);
        }
        assert_eq!(log.start(), 5);
        assert_eq!(log.end(), LOG_FRAMES as u64 + 5);
        assert_eq!(pool.available(), 8);
    }
}
