//! Pushes from their request to their farewell.
//!
//! A push may be asked for as soon as a call has its stream name. It connects with the stream's first
//! frame, or the answer to the call, and ends with the stream. Each has a publisher, a connection and a
//! place in the frame log of its own: one that is slow, refused or broken costs the others nothing.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::redact::HIDDEN;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Publishing};
use crate::gateway::call_summary::SinkSummary;
use crate::gateway::connections::User;
use crate::gateway::contain::contained;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::outputs::Outputs;
use crate::gateway::publishing::Surroundings;
use crate::gateway::pushes::{Push, PushIndex, PushRefused, PushRequest, PushVoice};
use crate::gateway::sink::Sink;
use crate::limits::PUSHES;
use crate::wire::rtmp_url::{RtmpUrl, StreamKey};

impl Gateway {
    /// Begins a push of a live stream; its place.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    pub fn start_push(
        &mut self,
        now: Instant,
        request: PushRequest,
        outlet: &mut dyn Outlet,
    ) -> Result<PushIndex, PushRefused> {
        if self.stopping {
            return Err(PushRefused::Stopping);
        }
        let PushRequest {
            stream,
            target,
            voice,
        } = request;
        let live = |call: &Call| call.is_live() && !call.crashed && call.stream == stream;
        let call = self.calls.find(live).ok_or(PushRefused::NoStream)?;
        if self.is_own_play_out(&target.url) {
            return Err(PushRefused::OwnPlayOut);
        }
        let mut pushes = self.pushes.live();
        let of_call = self.calls.get(call).and_then(|call| {
            let name = match &call.outgoing {
                Some(outgoing) => outgoing.published_name.as_ref()?.expose(),
                None => &call.stream,
            };
            Some((call.target()?, name))
        });
        if pushes.any(|(_, push)| push.target.is_same(&target))
            || of_call.is_some_and(|(url, name)| target.is(url, name))
        {
            return Err(PushRefused::SameTarget);
        }
        if StreamKey::new(target.name.expose()).is_none() {
            return Err(PushRefused::Name);
        }
        drop(pushes);
        let Some(at) = self.pushes.vacant() else {
            self.counters.pushes_refused += 1;
            return Err(PushRefused::Full);
        };
        let profile = self.trunks.iter().find_map(|trunk| {
            let same = |url: &&RtmpUrl| url.tc_url() == target.url.tc_url();
            let url = trunk.config.url.as_ref();
            url.filter(same).and(trunk.config.sink)
        });
        let push = Push {
            id: self.push_id(),
            call,
            stream,
            sink: Sink::to(Some(&target.url), profile),
            target,
            voice,
            publishing: None,
            ending: false,
            crashed: false,
        };
        if let Some(call) = self.calls.touch_mut(call) {
            let shown = call.shown_stream();
            let line = format_args!("{}: push of {shown} to {}", call.label, push.target);
            outlet.note(Level::Info, line);
            // As many as there are places.
            let _ = call.outputs_mut().pushes.push(at);
        }
        self.pushes.insert(at, Box::new(push));
        self.counters.pushes += 1;
        self.drain_call(now, call, outlet);
        Ok(at)
    }

    /// Ends a push with a farewell to its server.
    pub fn end_push(&mut self, now: Instant, at: PushIndex) {
        self.with_push(at, |push| push.end(now));
    }

    /// Every push that has not ended.
    pub fn pushes(&self) -> impl Iterator<Item = (PushIndex, &Push)> {
        self.pushes.live()
    }

    /// Changes what is heard of a push.
    pub fn set_push_voice(&mut self, at: PushIndex, voice: PushVoice) {
        self.with_push(at, |push| {
            push.voice = voice;
            if let Some(publishing) = &mut push.publishing {
                publishing.publisher.set_voice(push.voice.voice());
            }
        });
    }

    /// Runs work on a push, whose call is to be drained then.
    pub(super) fn with_push(&mut self, at: PushIndex, work: impl FnOnce(&mut Push)) {
        let Some(push) = self.pushes.get_mut(at).filter(|push| !push.crashed) else {
            return;
        };
        push.crashed = contained(|| work(push)).is_none();
        self.calls.touch(push.call);
    }

    /// Runs work on the publisher of a push.
    pub(super) fn with_pushed(&mut self, at: PushIndex, work: impl FnOnce(&mut Publishing)) {
        self.with_push(at, |push| {
            if let Some(publishing) = &mut push.publishing {
                work(publishing);
            }
        });
    }

    /// Runs the timers of a stream's pushes.
    pub(super) fn time_pushes(&mut self, now: Instant, index: CallIndex) {
        for at in self.pushes_of(index) {
            let is_due = |publishing: &Publishing| {
                let due = publishing.publisher.poll_timeout();
                due.is_some_and(|due| due <= now)
            };
            self.with_pushed(at, |publishing| {
                if is_due(publishing) {
                    publishing.publisher.handle_timeout(now);
                }
            });
        }
    }

    /// Sends what a stream's pushes have to send, and lets go those that are over.
    pub(super) fn drain_pushes(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        let mut due = None;
        for at in self.pushes_of(index) {
            self.begin_push(now, index, at);
            let is_sound = !self.pushes.get(at).is_some_and(|push| push.crashed)
                && contained(|| self.drive_push(now, index, at, outlet)).is_some();
            if !is_sound {
                self.crash_push(index, at, outlet);
                continue;
            }
            let Some(push) = self.pushes.get(at) else {
                continue;
            };
            if push.is_over() {
                self.release_push(index, at, outlet);
            } else if let Some(publisher) = push.publisher() {
                due = Instant::earliest(due, publisher.poll_timeout());
            }
        }
        if let Some(outputs) = self.outputs_of(index) {
            outputs.pushes_due = due;
        }
    }

    /// The oldest log position that one of a stream's pushes needs.
    pub(super) fn pushes_need(&self, index: CallIndex) -> Option<u64> {
        let outputs = self.calls.get(index)?.outputs.as_ref()?;
        let publishers = outputs.pushes.iter().filter_map(|at| {
            let push = self.pushes.get(*at)?;
            push.publisher()
        });
        publishers.map(|publisher| publisher.position()).min()
    }

    /// The stream of a call ends: so do its pushes, each with a farewell.
    pub(super) fn end_pushes(&mut self, now: Instant, index: CallIndex) {
        for at in self.pushes_of(index) {
            self.with_push(at, |push| push.end(now));
        }
    }

    /// Lets a stream's pushes go, with what they could not say any more; what became of them is added
    /// to what its outputs know.
    pub(super) fn release_pushes(&mut self, index: CallIndex, outlet: &mut dyn Outlet) {
        for at in self.pushes_of(index) {
            self.release_push(index, at, outlet);
        }
    }

    /// Lets the pushes go of a call that is in the table no more.
    pub(super) fn abandon_pushes(&mut self, outputs: &Outputs, outlet: &mut dyn Outlet) {
        for at in &outputs.pushes {
            if let Some(mut push) = self.pushes.remove(*at) {
                self.close_push(&mut push, outlet);
                contained(move || drop(push));
            }
        }
    }

    fn pushes_of(&self, index: CallIndex) -> heapless::Vec<PushIndex, PUSHES> {
        let outputs = self.calls.get(index).and_then(|call| call.outputs.as_ref());
        outputs.map_or_else(heapless::Vec::new, |outputs| outputs.pushes.clone())
    }

    fn outputs_of(&mut self, index: CallIndex) -> Option<&mut Outputs> {
        self.calls.get_mut(index)?.outputs.as_deref_mut()
    }

    /// Gives a push its publisher once there is something to publish.
    fn begin_push(&mut self, now: Instant, index: CallIndex, at: PushIndex) {
        let (Some(call), Some(push)) = (self.calls.get(index), self.pushes.get(at)) else {
            return;
        };
        if push.publishing.is_some() || push.ending || push.crashed || !call.has_begun() {
            return;
        }
        let (url, name) = (push.target.url.clone(), push.target.name.clone());
        let terms = (push.sink, call.expects_video);
        let publishing = self.publishing(now, url, name.expose(), terms);
        if let Some(push) = self.pushes.get_mut(at) {
            push.publishing = publishing;
            if let Some(publishing) = &mut push.publishing {
                publishing.publisher.set_voice(push.voice.voice());
            }
        }
    }

    fn drive_push(
        &mut self,
        now: Instant,
        index: CallIndex,
        at: PushIndex,
        outlet: &mut dyn Outlet,
    ) {
        let (Some(call), Some(push)) = (self.calls.get_mut(index), self.pushes.get_mut(at)) else {
            return;
        };
        let Some(publishing) = &mut push.publishing else {
            return;
        };
        let publisher = &mut publishing.publisher;
        publisher.set_expect_video(call.expects_video);
        publisher.set_video_codec(call.video_codec);
        let stream = match push.target.is_whole {
            true => HIDDEN,
            false => call.shown_stream(),
        };
        let label = format_args!("{} push", call.label);
        let mut around = Surroundings {
            log: &call.log,
            connections: &mut self.connections,
            sinks: &mut self.sinks,
            gather: &mut self.gather,
            user: User::Push(at),
            sink: push.sink,
            label: &label,
            stream,
        };
        if publishing.drive(now, &mut around, outlet) {
            call.session.request_keyframe(now);
        }
    }

    /// Takes a push out of the table and out of its call, with a line of what became of it.
    fn release_push(&mut self, index: CallIndex, at: PushIndex, outlet: &mut dyn Outlet) {
        let Some(mut push) = self.pushes.remove(at) else {
            return;
        };
        self.close_push(&mut push, outlet);
        if let Some(call) = self.calls.get_mut(index) {
            let became = push.publisher().map(SinkSummary::of).unwrap_or_default();
            let (label, target) = (&call.label, &push.target);
            let line = format_args!("{label} push: ended {target}{became}");
            outlet.note(Level::Info, line);
            if let Some(outputs) = call.outputs.as_deref_mut() {
                outputs.pushes.retain(|push| *push != at);
                outputs.pushed.add(&push);
            }
        }
    }

    /// Ends a push whose state is unknown.
    fn crash_push(&mut self, index: CallIndex, at: PushIndex, outlet: &mut dyn Outlet) {
        let Some(mut push) = self.pushes.remove(at) else {
            return;
        };
        self.counters.pushes_crashed += 1;
        let line = format_args!("push to {}: ended by a defect of this program", push.target);
        outlet.note(Level::Error, line);
        self.close_push(&mut push, outlet);
        if let Some(outputs) = self.outputs_of(index) {
            outputs.pushes.retain(|push| *push != at);
        }
        // What is broken may break once more.
        contained(move || drop(push));
    }

    fn close_push(&mut self, push: &mut Push, outlet: &mut dyn Outlet) {
        if let Some(publishing) = &mut push.publishing {
            publishing.close(&mut self.connections, outlet);
        }
    }

    /// A name that no other push has, in the form of a UUID.
    fn push_id(&mut self) -> String {
        let (high, low) = (self.rng.u64(), self.rng.u64());
        let part = |number: u64, shift: u32, bits: u32| number >> shift & ((1 << bits) - 1);
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            part(high, 32, 32),
            part(high, 16, 16),
            part(high, 0, 12),
            0x8000 | part(low, 48, 14),
            part(low, 0, 48),
        )
    }
}

impl Push {
    /// Ends it, with a farewell where its server has the stream.
    fn end(&mut self, now: Instant) {
        self.ending = true;
        if let Some(publishing) = &mut self.publishing {
            publishing.publisher.stop(now);
        }
    }
}
