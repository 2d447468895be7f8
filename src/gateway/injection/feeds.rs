//! Both tracks of what is sent into a call.

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
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::gateway::call::Call;
use crate::gateway::injection::agreed_profile;
use crate::gateway::injection::feed::{Clock, Feed, Flow, Pace};
use crate::gateway::injection::fit::{Fitted, Misfit, Supply, fit};
use crate::gateway::outlet::{CallIndex, Level, MediaPort, Outlet};
use crate::rtp::packetizer::Packetizer;
use crate::rtp::session::SessionTransmit;

/// What is sent of sound and picture.
#[derive(Debug)]
pub(super) struct Feeds {
    /// Name of the stream or file.
    name: String,
    audio: Option<Feed>,
    video: Option<Feed>,
    pace: Pace,
    /// When to go on with what waits.
    due: Option<Instant>,
}

impl Feeds {
    /// From a position in a log on; H.264 of a profile at most.
    pub fn new(name: &str, fitted: Fitted, agreed: Option<[u8; 3]>, position: u64) -> Self {
        let feed = |track, packetizer: Option<Packetizer>| {
            packetizer.map(|it| Feed::new(track, it, agreed, position))
        };
        Self {
            name: name.to_owned(),
            audio: feed(Track::Audio, fitted.audio),
            video: feed(Track::Video, fitted.video),
            pace: Pace::default(),
            due: None,
        }
    }

    /// The oldest position in the log that they need.
    pub fn needed_from(&self) -> Option<u64> {
        let feeds = [&self.audio, &self.video];
        feeds.into_iter().flatten().map(Feed::position).min()
    }

    /// When to go on with what waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing more is to be done before this.
    pub fn wait(&mut self, until: Instant) {
        self.due = Instant::earliest(self.due, Some(until));
    }

    /// When to go on, and when to ask for a keyframe again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asks = self.video.as_ref().and_then(Feed::ask_due);
        Instant::earliest(self.due, asks)
    }

    /// Whether a keyframe is to be asked for now.
    pub fn take_ask(&mut self, now: Instant) -> bool {
        self.video.as_mut().is_some_and(|feed| feed.take_ask(now))
    }

    /// Frames sent of sound, and pictures.
    pub fn frames(&self) -> [u64; 2] {
        [&self.audio, &self.video].map(|feed| feed.as_ref().map_or(0, Feed::frames))
    }

    /// Sends what is to be sent now.
    pub fn pump(
        &mut self,
        now: Instant,
        (index, call): (CallIndex, &mut Call),
        (log, clock, live): (&FrameLog, &mut Clock, bool),
        outlet: &mut dyn Outlet,
    ) {
        let mut send = |transmit: SessionTransmit, bytes: &[u8]| {
            outlet.send_media(index, transmit.track, MediaPort::Rtp, transmit.to, bytes);
        };
        let mut flow = Flow {
            now,
            session: &mut call.session,
            log,
            clock,
            pace: &mut self.pace,
            live,
            send: &mut send,
        };
        self.due = None;
        // Sound is never behind a large picture.
        for feed in [&mut self.audio, &mut self.video] {
            let due = feed.as_mut().and_then(|feed| feed.pump(&mut flow));
            self.due = Instant::earliest(self.due, due);
        }
        for (track, feed) in [
            (Track::Audio, &mut self.audio),
            (Track::Video, &mut self.video),
        ] {
            if let Some(words) = feed.as_mut().and_then(Feed::take_left_out) {
                let (label, name) = (&call.label, &self.name);
                let line = format_args!("{label}: {track} of {name} left out: {words}");
                outlet.note(Level::Warn, line);
            }
        }
    }

    /// Goes on by what the call negotiated anew; an error says why it cannot.
    pub fn refit(
        &mut self,
        call: &Call,
        audio: Option<Supply>,
        video: Option<Supply>,
    ) -> Result<(), &'static str> {
        let fitted = fit(
            call.negotiation.current(),
            audio.filter(|_| self.audio.is_some()),
            video.filter(|_| self.video.is_some()),
        );
        let fitted = match fitted {
            Ok(fitted) => fitted,
            // On hold nothing is taken for a while.
            Err(Misfit::NoTrack { .. }) => return Ok(()),
            Err(Misfit::Track { .. }) => return Err("the call negotiated other codecs"),
        };
        let agreed = agreed_profile(call);
        for (feed, packetizer) in [
            (&mut self.audio, fitted.audio),
            (&mut self.video, fitted.video),
        ] {
            if let (Some(feed), Some(packetizer)) = (feed, packetizer) {
                feed.refit(packetizer, agreed);
            }
        }
        Ok(())
    }
}
