//! What reads a call's stream beside its publisher and the players. Most calls have nothing of the
//! kind, and no memory for it.

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::outlet::{CallIndex, Outlet};
use crate::gateway::page::LiveWatch;
use crate::gateway::pushes::{PushIndex, PushSummary};
use crate::gateway::recording::Recording;
use crate::limits::{PUSHES, STREAM_LISTENERS};

/// The further readers of one stream.
#[derive(Default)]
pub struct Outputs {
    /// The recording, while there is one.
    pub recording: Option<Box<Recording>>,
    /// Places of the pushes of the stream.
    pub pushes: heapless::Vec<PushIndex, PUSHES>,
    /// When one of them has something to do.
    pub pushes_due: Option<Instant>,
    /// What became of those that have ended.
    pub pushed: PushSummary,
    /// Calls into which the stream is sent.
    pub listeners: heapless::Vec<CallIndex, STREAM_LISTENERS>,
    /// That somebody watches it on the page.
    pub watch: Option<LiveWatch>,
}

impl Outputs {
    /// Whether nothing reads any more, so that it may be let go.
    pub fn is_empty(&self) -> bool {
        self.recording.is_none()
            && self.pushes.is_empty()
            && self.pushed.pushes == 0
            && self.listeners.is_empty()
            && self.watch.is_none()
    }

    /// When one of them has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let recording = self.recording.as_ref();
        let recording = recording.and_then(|recording| recording.poll_timeout());
        let watched = self.watch.as_ref().map(LiveWatch::poll_timeout);
        Instant::earliest(Instant::earliest(self.pushes_due, recording), watched)
    }

    /// Whether, after the end of the call, all of them have said what they had to say.
    pub fn is_flushed(&self) -> bool {
        self.pushes.is_empty()
    }
}

impl Call {
    /// The further readers of the stream, made when the first one comes.
    pub fn outputs_mut(&mut self) -> &mut Outputs {
        self.outputs.get_or_insert_default()
    }
}

impl Gateway {
    /// Runs the timers of a stream's further readers.
    pub(super) fn time_outputs(&mut self, now: Instant, index: CallIndex) {
        self.time_pushes(now, index);
        self.time_recording(now, index);
    }

    /// Gives a stream's further readers what is new in its log.
    pub(super) fn drain_outputs(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        self.record_unasked(now, index, outlet);
        if self
            .calls
            .get(index)
            .is_none_or(|call| call.outputs.is_none())
        {
            return;
        }
        self.drain_pushes(now, index, outlet);
        self.drain_listeners(now, index, outlet);
        self.drain_recording(now, index, outlet);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        call.expire_watch(now);
        call.outputs.take_if(|outputs| outputs.is_empty());
    }

    /// The oldest position in a stream's log that one of its further readers needs.
    pub(super) fn outputs_need(&self, index: CallIndex) -> Option<u64> {
        [self.pushes_need(index), self.listeners_need(index)]
            .into_iter()
            .flatten()
            .min()
    }

    /// The call is over: its stream's further readers end.
    pub(super) fn end_outputs(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.end_pushes(now, index);
        self.end_listeners(now, index, outlet);
        self.end_recording(now, index, outlet);
        let call = self.calls.get_mut(index);
        if let Some(outputs) = call.and_then(|call| call.outputs.as_mut()) {
            outputs.watch = None;
        }
    }

    /// The call is let go, with what its stream's further readers could not say any more.
    pub(super) fn release_outputs(&mut self, outputs: Outputs, outlet: &mut dyn Outlet) {
        self.abandon_pushes(&outputs, outlet);
        if let Some(recording) = &outputs.recording {
            self.release_recording(recording, outlet);
        }
    }
}
