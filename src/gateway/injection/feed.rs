//! One track on its way from a frame log into a call.

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
use core::mem::discriminant;
use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{CodecConfig, Track};
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::time::{Instant, MediaTime};
use crate::gateway::injection::fit::{Profile, decodes, profile_of};
use crate::limits::{INJECTION_BURST, PACKET_BYTES};
use crate::rtp::packetizer::{Packetizer, Unfit};
use crate::rtp::session::{Session, SessionTransmit};

/// The time in which [`INJECTION_BURST`] packets of pictures may leave: a keyframe of 300 packets takes
/// 36 ms then, which a path of 100 Mbit/s carries as it comes.
pub const BURST_TIME: Duration = Duration::from_millis(2);

/// How much later on our clock the first frame is than it leaves: so that no frame of the other track,
/// which may be a little earlier, comes before the silence that was sent last.
const LEAD: Duration = Duration::from_millis(20);

/// How far a live stream's clock may be from ours before it is taken anew: its sender stood still or
/// began again.
const CLOCK_MOST: Duration = Duration::from_secs(2);

/// How often a keyframe is asked for while one is needed.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Bounds the bursts of pictures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    until: Instant,
    left: u8,
}

impl Pace {
    /// Whether a packet may leave now; else when the next one may.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if now >= self.until {
            self.until = now + BURST_TIME;
            self.left = INJECTION_BURST;
        }
        self.left = self.left.checked_sub(1).ok_or(self.until)?;
        Ok(())
    }
}

/// From the clock of a stream to ours, for both of its tracks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Option<(MediaTime, Instant)>);

impl Clock {
    /// A time of the stream on our clock. One far from now is taken anew where the stream is live.
    fn at(&mut self, now: Instant, time: MediaTime, live: bool) -> Instant {
        let (origin, begun) = *self.0.get_or_insert((time, now + LEAD));
        let micros = time.micros_since(origin);
        let span = Duration::from_micros(micros.unsigned_abs());
        let at = if micros < 0 {
            begun.before(span)
        } else {
            begun + span
        };
        let apart = at.since(now).max(now.since(at));
        if live && apart > CLOCK_MOST {
            self.0 = Some((time, now + LEAD));
            return now + LEAD;
        }
        at
    }
}

/// Why frames are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// They cannot be carried.
    Unfit(Unfit),
    /// H.264 of this profile, where the call negotiated the other one.
    Profile([u8; 3], [u8; 3]),
}

impl LeftOut {
    /// Whether it is the same but for numbers.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unfit(one), Self::Unfit(other)) => discriminant(one) == discriminant(other),
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Profile(profile, agreed) => write!(
                f,
                "H.264 of profile {}, where the call negotiated {}",
                Profile(*profile),
                Profile(*agreed)
            ),
        }
    }
}

/// What a feed works with.
pub struct Flow<'a> {
    /// The present moment.
    pub now: Instant,
    /// Of the call.
    pub session: &'a mut Session,
    /// Of the stream.
    pub log: &'a FrameLog,
    /// From the stream's time to ours.
    pub clock: &'a mut Clock,
    /// Of the call.
    pub pace: &'a mut Pace,
    /// Frames leave as they come; else when their time has come.
    pub live: bool,
    /// Takes what is to leave.
    pub send: &'a mut dyn FnMut(SessionTransmit, &[u8]),
}

/// One track.
#[derive(Debug)]
pub struct Feed {
    track: Track,
    packetizer: Packetizer,
    /// H.264 may be of this profile at most.
    agreed: Option<[u8; 3]>,
    /// Position in the log.
    position: u64,
    /// The frame there was begun, and this is its time on our clock.
    begun: Option<Instant>,
    /// No picture makes sense before the next keyframe.
    waits: bool,
    /// The configuration of the last frame, and whether it may be sent.
    known: Option<(Rc<CodecConfig>, Option<LeftOut>)>,
    /// Why frames are left out, and whether that was told.
    left_out: Option<(LeftOut, bool)>,
    asked: Option<Instant>,
    frames: u64,
}

impl Feed {
    /// A feed from a position in a log on.
    pub fn new(
        track: Track,
        packetizer: Packetizer,
        agreed: Option<[u8; 3]>,
        position: u64,
    ) -> Self {
        Self {
            track,
            packetizer,
            agreed,
            position,
            begun: None,
            waits: track == Track::Video,
            known: None,
            left_out: None,
            asked: None,
            frames: 0,
        }
    }

    /// Goes on by what was negotiated anew.
    pub fn refit(&mut self, packetizer: Packetizer, agreed: Option<[u8; 3]>) {
        self.packetizer = packetizer;
        self.agreed = agreed;
        self.known = None;
        self.begun = None;
        self.waits = self.track == Track::Video;
    }

    /// The oldest frame that it needs.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Frames sent.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Why frames are left out, told once.
    pub fn take_left_out(&mut self) -> Option<LeftOut> {
        let (left_out, told) = self.left_out.as_mut()?;
        (!core::mem::replace(told, true)).then_some(*left_out)
    }

    /// Whether a keyframe is to be asked for now.
    pub fn take_ask(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|at| now >= at + ASK_INTERVAL);
        let wants = self.waits && due;
        if wants {
            self.asked = Some(now);
        }
        wants
    }

    /// When it is to be asked for again.
    pub fn ask_due(&self) -> Option<Instant> {
        self.asked
            .filter(|_| self.waits)
            .map(|at| at + ASK_INTERVAL)
    }

    /// Sends what is to be sent now; when to go on, if not with the next frame.
    pub fn pump(&mut self, flow: &mut Flow<'_>) -> Option<Instant> {
        if self.position < flow.log.start() {
            self.position = flow.log.start();
            self.lose();
        }
        while let Some(view) = flow.log.get(self.position) {
            if view.frame().track == self.track
                && let Err(due) = self.send(view, flow)
            {
                return Some(due);
            }
            self.begun = None;
            self.position = self.position.saturating_add(1);
        }
        None
    }

    /// Sends the present frame, or leaves it out; an error says when to go on with it.
    fn send(&mut self, view: FrameView<'_>, flow: &mut Flow<'_>) -> Result<(), Instant> {
        let now = flow.now;
        let at = match self.begun {
            Some(at) => at,
            None => {
                let frame = view.frame();
                if !flow.live {
                    let due = flow.clock.at(now, frame.time, false).before(LEAD);
                    if due > now {
                        return Err(due);
                    }
                }
                let is_video = self.track == Track::Video;
                if is_video && self.frames > 0 && !flow.session.passes_frames(self.track) {
                    // The still picture stood in for the stream.
                    self.waits = true;
                }
                if self.waits && !frame.keyframe {
                    return Ok(());
                }
                if let Err(left_out) = self.begin(view) {
                    // Each kind of reason is told once, whatever the numbers in it.
                    let known = self.left_out.as_ref();
                    if known.is_none_or(|(known, _)| !known.is_like(&left_out)) {
                        self.left_out = Some((left_out, false));
                    }
                    self.lose();
                    return Ok(());
                }
                let time = frame.time.offset(i64::from(frame.composition));
                let at = flow.clock.at(now, time, flow.live);
                self.begun = Some(at);
                at
            }
        };
        let mut out = [0; PACKET_BYTES];
        while !self.packetizer.is_done() {
            if self.track == Track::Video {
                flow.pace.take(now)?;
            }
            let frame = (&mut self.packetizer, view);
            let session = &mut *flow.session;
            match session.send_frame(now, self.track, at, frame, &mut out) {
                Some(transmit) => {
                    let bytes = out.get(..transmit.len).unwrap_or_default();
                    (flow.send)(transmit, bytes);
                }
                None => {
                    self.lose();
                    return Ok(());
                }
            }
        }
        self.waits = false;
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    fn begin(&mut self, view: FrameView<'_>) -> Result<(), LeftOut> {
        let config = &view.frame().config;
        let known = self.known.as_ref();
        let verdict = match known.filter(|(known, _)| Rc::ptr_eq(known, config)) {
            Some((_, verdict)) => *verdict,
            None => {
                let verdict = self.judge(config);
                self.known = Some((config.clone(), verdict));
                verdict
            }
        };
        if let Some(left_out) = verdict {
            return Err(left_out);
        }
        self.packetizer.begin(view).map_err(LeftOut::Unfit)
    }

    fn judge(&self, config: &CodecConfig) -> Option<LeftOut> {
        let CodecConfig::H264(config) = config else {
            return None;
        };
        let (agreed, profile) = (self.agreed?, profile_of(&config.sps)?);
        (!decodes(agreed, profile)).then_some(LeftOut::Profile(profile, agreed))
    }

    /// Frames were lost: pictures go on with the next keyframe.
    fn lose(&mut self) {
        self.begun = None;
        self.packetizer.skip();
        self.waits = self.track == Track::Video;
    }
}
