//! What a publisher says of itself: its status, and the tracks that are left out.

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

use crate::base::codec::{CodecConfig, Track};
use crate::rtmp::publisher::state::State;
use crate::rtmp::publisher::{LeftOut, Publisher, PublisherEvent, RtmpStatus, WhyLeftOut};
use crate::rtmp::words::{Reason, reason};

impl Publisher {
    /// What the server was last told of the stream's sound, on this connection.
    pub fn audio_config(&self) -> Option<&Rc<CodecConfig>> {
        self.media.audio_config()
    }

    /// What the caller sends in this track and the server is not sent, and why. Known once a frame of
    /// it was there, and the server's answer where that decides.
    pub fn left_out(&self, track: Track) -> Option<LeftOut> {
        let codec = if self.media.is_started() {
            self.media.left_out(track)?
        } else {
            let [audio, video] = self.told_left_out;
            let told = if track == Track::Audio { audio } else { video };
            told?.codec
        };
        let why = if self.suspicion.left_out().contains(codec) {
            WhyLeftOut::Refused
        } else if !self.config.abilities.contains(codec) {
            WhyLeftOut::Profile
        } else if self.takes().codecs().contains(codec) {
            return None;
        } else {
            WhyLeftOut::NotListed
        };
        Some(LeftOut { codec, why })
    }

    /// Says what is left out, when that changes.
    pub(super) fn tell_left_out(&mut self) {
        let now = [Track::Audio, Track::Video].map(|track| self.left_out(track));
        if self.status == RtmpStatus::Active
            && matches!(self.state, State::Active { .. })
            && now != self.told_left_out
        {
            self.tell_active();
        }
    }

    /// Says that media flows, and what does not.
    pub(super) fn tell_active(&mut self) {
        let [audio, video] = [Track::Audio, Track::Video].map(|track| self.left_out(track));
        self.told_left_out = [audio, video];
        let said = "the server accepted the stream";
        let why = match (audio, video) {
            (None, None) => reason(format_args!("{said}")),
            (Some(out), None) | (None, Some(out)) => reason(format_args!("{said}; {out}")),
            (Some(audio), Some(video)) => reason(format_args!("{said}; {audio}; {video}")),
        };
        self.set_status(RtmpStatus::Active, why);
    }

    pub(super) fn set_status(&mut self, status: RtmpStatus, why: Reason) {
        if (status, &why) == (self.status, &self.reason) {
            return;
        }
        self.status = status;
        self.reason = why.clone();
        self.push(PublisherEvent::Status {
            status,
            reason: why,
        });
    }
}
