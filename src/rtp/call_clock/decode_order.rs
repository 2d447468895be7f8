//! Decoding times of pictures that come in decoding order and are presented in another (H.264,
//! B pictures).
//!
//! RTP tells when a picture is presented. When at most `depth` pictures come before one and are
//! presented after it, the presentation times in rising order, `depth` pictures late, are rising
//! decoding times that no picture is presented before. The depth is what the parameter sets say,
//! or what has been seen: without word of reordering nothing is late, and when it begins all the
//! same, decoding times stand for `depth` pictures, and those that it was noticed by are presented
//! as soon as they are decoded. After ten seconds without need the depth is taken back, at a
//! keyframe.

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

use heapless::Vec;

use crate::base::codec::CodecConfig;
use crate::base::time::MediaTime;
use crate::wire::h264::{MAX_REORDER_DEPTH, reorder_depth};

/// Frames of one track are at least so many microseconds apart; RTMP counts milliseconds.
const MIN_STEP: i64 = 1_000;

/// A step back of more microseconds is no reordering.
pub const REACH: i64 = 1_000_000;

/// Pictures presented after one that came later: more, unless the parameter sets say so, are a
/// clock that was set back.
const UNTOLD_DEPTH: usize = 4;

/// Pictures without need after which the depth is taken back.
const NEEDLESS: u32 = 300;

/// Microseconds from picture to picture until it is known.
const INTERVAL: i64 = 33_333;

/// The longest that counts as the time from picture to picture.
const MAX_INTERVAL: i64 = 200_000;

const ROOM: usize = MAX_REORDER_DEPTH as usize + 1;

/// When a frame is decoded and presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameTimes {
    /// When it is decoded.
    pub time: MediaTime,
    /// Microseconds from there to its presentation.
    pub composition: u32,
    /// Its presentation was moved up so that times rise.
    pub clamped: bool,
}

/// Keeps the times of one track rising.
#[derive(Clone, Debug, Default)]
pub struct Rising {
    last: Option<i64>,
}

impl Rising {
    /// A frame that is decoded when it is presented.
    pub fn place(&mut self, presentation: i64) -> FrameTimes {
        let time = self.lift(presentation);
        FrameTimes {
            time: MediaTime::from_micros(time),
            composition: 0,
            clamped: time > presentation,
        }
    }

    fn lift(&mut self, wish: i64) -> i64 {
        let least = self.last.map_or(0, |last| last.saturating_add(MIN_STEP));
        let time = wish.max(least);
        self.last = Some(time);
        time
    }
}

/// The order of decoding of one track's pictures. All times are media times in microseconds.
#[derive(Clone, Debug)]
pub struct DecodeOrder {
    config: Option<Rc<CodecConfig>>,
    depth: usize,
    /// The greatest depth that was needed of late, and for how many pictures it was looked at.
    needed: usize,
    looked: u32,
    /// Presentation times that are no decoding times yet, in rising order.
    waiting: Vec<i64, ROOM>,
    /// The latest presentation times since the last keyframe, in rising order.
    latest: Vec<i64, ROOM>,
    /// The last decoding time before it was lifted.
    last: Option<i64>,
    interval: i64,
    /// The longest time from decoding to presentation since it was last looked at, and in the look
    /// before.
    longest: i64,
    before: i64,
}

impl Default for DecodeOrder {
    fn default() -> Self {
        Self {
            config: None,
            depth: 0,
            needed: 0,
            looked: 0,
            waiting: Vec::new(),
            latest: Vec::new(),
            last: None,
            interval: INTERVAL,
            longest: 0,
            before: 0,
        }
    }
}

impl DecodeOrder {
    /// Whether pictures are decoded earlier than presented.
    pub fn is_reordered(&self) -> bool {
        self.depth > 0
    }

    /// How many microseconds earlier than its presentation a picture is sent at most, when pictures
    /// are sent as they are decoded; 0 as long as none was seen to be presented before an earlier
    /// one, whatever the parameter sets allow.
    pub fn delay(&self) -> i64 {
        let settled = self.needed > 0 && self.needed == self.depth;
        let longest = if settled { self.longest } else { 0 };
        self.before.max(longest)
    }

    /// Whether pictures may come in another order than that of presentation, and it is too early to
    /// say.
    pub fn is_open(&self) -> bool {
        self.depth > 0 && self.delay() == 0 && self.looked <= u32::from(MAX_REORDER_DEPTH)
    }

    /// Looks what the parameter sets say, at a keyframe that may have new ones.
    pub fn take_config(&mut self, config: &Rc<CodecConfig>) {
        if self
            .config
            .as_ref()
            .is_some_and(|known| Rc::ptr_eq(known, config))
        {
            return;
        }
        if let CodecConfig::H264(h264) = &**config
            && let Some(depth) = reorder_depth(&h264.sps)
        {
            self.depth = usize::from(depth);
            self.needed = 0;
            self.looked = 0;
            self.longest = 0;
            self.before = 0;
        }
        self.config = Some(config.clone());
    }

    /// Another source or another timeline follows.
    pub fn interrupt(&mut self) {
        self.latest.clear();
    }

    /// Whether a picture presented then cannot be one of those that came before.
    pub fn is_step_back(&self, presentation: i64) -> bool {
        let most = self.depth.max(UNTOLD_DEPTH);
        let behind = self
            .latest
            .last()
            .map_or(0, |last| last.saturating_sub(presentation));
        behind > REACH || self.presented_after(presentation) > most
    }

    /// The next picture in decoding order.
    pub fn place(&mut self, presentation: i64, keyframe: bool, rising: &mut Rising) -> FrameTimes {
        if keyframe {
            self.begin_group(presentation);
        }
        let needed = self
            .presented_after(presentation)
            .min(MAX_REORDER_DEPTH.into());
        self.depth = self.depth.max(needed);
        self.needed = self.needed.max(needed);
        self.looked = self.looked.saturating_add(1);
        insert(&mut self.latest, presentation);

        insert(&mut self.waiting, presentation);
        let due = (self.waiting.len() > self.depth).then(|| self.waiting.remove(0));
        if let (Some(due), Some(last)) = (due, self.last) {
            let interval = due.saturating_sub(last);
            if (MIN_STEP..=MAX_INTERVAL).contains(&interval) {
                self.interval = interval;
            }
        }
        self.last = due.or(self.last);
        let time = rising.lift(due.unwrap_or(i64::MIN));
        let composition = presentation.saturating_sub(time);
        self.longest = self.longest.max(composition.min(REACH));
        FrameTimes {
            time: MediaTime::from_micros(time),
            composition: u32::try_from(composition).unwrap_or(0),
            clamped: composition < 0,
        }
    }

    /// A picture from which on nothing refers to what was before it, nor is presented before it.
    fn begin_group(&mut self, presentation: i64) {
        if self.looked >= NEEDLESS {
            self.before = if self.needed > 0 { self.longest } else { 0 };
            self.longest = 0;
            self.depth = self.needed;
            self.needed = 0;
            self.looked = 0;
        }
        self.latest.clear();
        // What would have come before it in an unbroken stream.
        self.waiting.clear();
        for before in (1..=self.depth).rev() {
            let earlier = self.interval.saturating_mul(before as i64);
            insert(&mut self.waiting, presentation.saturating_sub(earlier));
        }
    }

    /// How many pictures of the group came before and are presented after it.
    fn presented_after(&self, presentation: i64) -> usize {
        self.latest
            .iter()
            .filter(|latest| **latest > presentation)
            .count()
    }
}

/// Puts a time in its place; without room the lowest one goes.
fn insert(times: &mut Vec<i64, ROOM>, time: i64) {
    if times.is_full() {
        times.remove(0);
    }
    let at = times.partition_point(|other| *other <= time);
    // Room was made above.
    let _ = times.insert(at, time);
}
