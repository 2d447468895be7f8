//! A file on its way into a call: its bytes come in pieces from the shell, its frames wait in a log of
//! their own until their time has come.
//!
//! At most [`FILE_CHUNK_BYTES`](crate::limits::FILE_CHUNK_BYTES) of it that are not frames yet are
//! kept beside what its reader keeps, and frames in [`FILE_SEGMENTS`] packet slots, or one larger frame.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::Track;
use crate::base::frame_log::{Frame, FrameLog, Segment};
use crate::base::packet_pool::PacketPool;
use crate::base::time::{Instant, MediaTime};
use crate::gateway::outlet::FileId;
use crate::limits::{FILE_SEGMENTS, FRAME_SEGMENTS, PACKET_BYTES};
use crate::media_file::{FaultAt, FileFrame, FileReader, Tracks};

/// One file that is being sent, or opened for it.
pub struct Film {
    id: FileId,
    reader: FileReader,
    /// Bytes that came and are not read.
    input: Vec<u8>,
    read: usize,
    /// Bytes are on their way.
    asked: bool,
    /// All of it came.
    ended: bool,
    fault: Option<FaultAt>,
    log: Box<FrameLog>,
    /// Frames of pictures were lost: up to the next keyframe none makes sense.
    lost: bool,
}

impl core::fmt::Debug for Film {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Film({:?})", self.id)
    }
}

impl Film {
    /// A file whose first bytes were asked for.
    pub fn new(id: FileId) -> Self {
        Self {
            id,
            reader: FileReader::default(),
            input: Vec::new(),
            read: 0,
            asked: true,
            ended: false,
            fault: None,
            log: Box::default(),
            lost: false,
        }
    }

    /// The file.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whether it is MP4, as far as that is known.
    pub fn is_mp4(&self) -> bool {
        self.reader.is_mp4()
    }

    /// Its frames.
    pub fn log(&self) -> &FrameLog {
        &self.log
    }

    /// Lets go of frames that were sent.
    pub fn release_before(&mut self, position: u64) {
        self.log.release_before(position);
    }

    /// The bytes that were asked for; none at its end.
    pub fn handle_chunk(&mut self, bytes: &[u8]) {
        self.asked = false;
        self.ended |= bytes.is_empty();
        if self.ended && self.fault.is_none() {
            self.fault = self.reader.end();
        }
        if self.is_read() {
            self.input.clear();
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// What is known of its tracks.
    pub fn tracks(&self) -> Tracks {
        self.reader.tracks()
    }

    /// Whether enough of it is known to begin; true also when no more can be.
    pub fn is_described(&self) -> bool {
        self.reader.is_described() || self.is_full() || self.is_over() || self.fault.is_some()
    }

    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<FaultAt> {
        self.fault
    }

    /// Whether nothing comes after the frames of its log.
    pub fn is_over(&self) -> bool {
        (self.ended && self.is_read()) || self.fault.is_some()
    }

    /// Whether the next bytes are to be asked for; they are on their way then.
    pub fn take_wish(&mut self) -> bool {
        let wishes = !self.asked && !self.is_over() && self.is_read();
        self.asked |= wishes;
        wishes
    }

    /// Makes frames of the bytes that came, as far as there is room; false where there is none and
    /// another try makes sense later.
    pub fn refill(&mut self, now: Instant, pool: &PacketPool) -> bool {
        while !self.is_over() && !self.is_read() && !self.is_full() {
            if pool.available() < pool.capacity() / 4 {
                return false;
            }
            let rest = self.input.get(self.read..).unwrap_or_default();
            match self.reader.take(rest) {
                Ok(step) => {
                    self.read = self.read.saturating_add(step.taken);
                    if let Some(frame) = step.frame {
                        keep(now, frame, &mut self.lost, &mut self.log, pool);
                    } else if step.taken == 0 {
                        return true;
                    }
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        true
    }

    /// Whether all that came of it was made frames of.
    pub fn is_read(&self) -> bool {
        self.read >= self.input.len() && !self.reader.has_frame()
    }

    fn is_full(&self) -> bool {
        self.log.segments() >= FILE_SEGMENTS
    }
}

/// Copies a frame into packet slots and the log.
fn keep(
    now: Instant,
    frame: FileFrame<'_>,
    lost: &mut bool,
    log: &mut FrameLog,
    pool: &PacketPool,
) {
    let is_video = frame.track == Track::Video;
    if is_video && *lost && !frame.keyframe {
        return;
    }
    let mut segments = heapless::Vec::<Segment, FRAME_SEGMENTS>::new();
    let mut whole = true;
    for bytes in frame.bytes.chunks(PACKET_BYTES) {
        let segment = pool.copy_from(bytes).map(|it| Segment::new(&[], it));
        whole &= segment.is_some_and(|segment| segments.push(segment).is_ok());
    }
    if is_video {
        *lost = !whole;
    }
    if whole {
        let entry = Frame {
            track: frame.track,
            time: MediaTime::from_micros(frame.time),
            composition: frame.composition,
            keyframe: frame.keyframe,
            config: frame.config,
            received: now,
        };
        // A frame never has more segments than the log.
        let _ = log.push(entry, &mut segments);
    }
}
