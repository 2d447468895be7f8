//! Injection: what is sent into a call in place of silence, a live stream of this box or a file.
//!
//! A stream's frames leave into the call as they come, on one clock for both tracks, with the SSRC,
//! sequence and clock of all that we send there; pictures from a keyframe on, which the stream's
//! sender is asked for, then and whenever the call's other side wants one. When the stream or the file
//! ends, silence goes on. Several calls may hear one stream; a call hears one thing at a time, and the
//! next takes the place of the one before. A call may not hear itself.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod feed;
mod feeds;
mod film;
pub mod fit;
mod opening;

use core::fmt;
use core::time::Duration;

use crate::base::codec::CodecConfig;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::contain::contained;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::status::CallStatus;
use crate::sdp::{MediaPlan, PlannedCodec};

use feed::Clock;
use feeds::Feeds;
use film::Film;
use fit::{Fitted, Misfit, Supply, fit};

pub(super) use opening::{Opening, is_file_name};

/// How long a file waits where packet slots are scarce.
const SCARCE: Duration = Duration::from_millis(20);

/// What is sent into one call.
#[derive(Debug)]
pub struct Injection {
    source: Source,
    /// Name of the stream or file.
    name: String,
    feeds: Feeds,
    clock: Clock,
    /// The call was negotiated anew since.
    stale: bool,
}

/// Where frames come from.
#[derive(Debug)]
enum Source {
    /// The call at this place, of this number.
    Stream(CallIndex, u64),
    /// A file.
    File(Box<Film>),
}

/// Why nothing is injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectionRefused {
    /// No live call has this name.
    NoSuchCall,
    /// The call is not answered.
    NotEstablished,
    /// No live stream has this name.
    NoSuchStream,
    /// No file has this name.
    NoSuchFile,
    /// No folder of files is configured.
    NoFolder,
    /// The file cannot be read, in time at least.
    Unreadable,
    /// As many files as may are being sent.
    TooManyFiles,
    /// The file is none that can be sent: why, in words.
    BadFile(String),
    /// The stream is the call's own.
    Itself,
    /// It has other codecs than the call negotiated.
    Misfit(Misfit),
    /// The stream goes into as many calls as it may.
    Full,
    /// Nothing is injected.
    Nothing,
}

impl fmt::Display for InjectionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchCall => "no call has this callId",
            Self::NotEstablished => "the call is not established",
            Self::NoSuchStream => "no stream that is live has this name",
            Self::NoSuchFile => "no live stream and no file of the folder has this name",
            Self::NoFolder => {
                "no live stream has this name, and no folder of files is configured \
                 (files: directory)"
            }
            Self::Unreadable => "the file cannot be read",
            Self::TooManyFiles => "as many files as may are being sent",
            Self::BadFile(words) => words,
            Self::Itself => "the stream is the call's own: its other side would hear itself",
            Self::Misfit(misfit) => return misfit.fmt(f),
            Self::Full => "the stream goes into as many calls as it may",
            Self::Nothing => "nothing is injected into this call",
        })
    }
}

impl Injection {
    fn new(source: Source, name: String, fitted: Fitted, call: &Call, position: u64) -> Self {
        Self {
            source,
            feeds: Feeds::new(&name, fitted, agreed_profile(call), position),
            name,
            clock: Clock::default(),
            stale: false,
        }
    }

    /// The oldest position in the stream's log that it needs.
    pub fn needed_from(&self) -> Option<u64> {
        self.feeds.needed_from()
    }

    /// When to pump it, if no frame comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.source {
            Source::Stream(..) => self.feeds.poll_timeout(),
            // Nobody can be asked for a keyframe.
            Source::File(_) => self.feeds.due(),
        }
    }

    /// The call was negotiated anew.
    pub fn renegotiated(&mut self) {
        self.stale = true;
    }
}

impl Gateway {
    /// Sends a live stream of this box into an established call, in place of what was sent into it
    /// before.
    ///
    /// # Errors
    ///
    /// Why not; what was sent before goes on then.
    pub fn inject_stream(
        &mut self,
        now: Instant,
        call_id: &str,
        stream: &str,
        outlet: &mut dyn Outlet,
    ) -> Result<(), InjectionRefused> {
        let index = self.injectable(call_id)?;
        let named = |call: &Call| call.is_live() && !call.crashed && call.stream == stream;
        let from = self.calls.find(named);
        let from = from.ok_or(InjectionRefused::NoSuchStream)?;
        if from == index {
            return Err(InjectionRefused::Itself);
        }
        let (Some(call), Some(source)) = self.calls.pair_mut(index, from) else {
            return Err(InjectionRefused::NoSuchCall);
        };
        let supply = source.negotiation.current();
        let of = |plan: &Option<MediaPlan>| plan.as_ref().map(Supply::of_plan);
        let current = call.negotiation.current();
        let fitted = fit(current, of(&supply.audio), of(&supply.video));
        let fitted = fitted.map_err(InjectionRefused::Misfit)?;
        let listeners = &source.outputs_mut().listeners;
        if listeners.is_full() && !listeners.contains(&index) {
            return Err(InjectionRefused::Full);
        }
        let place = Source::Stream(from, source.label.number);
        let (name, position) = (source.shown_stream().to_owned(), source.log.end());
        let label = source.label.clone();
        self.end_injection(now, index, "another takes its place", outlet);
        let (Some(call), Some(source)) = self.calls.pair_mut(index, from) else {
            return Err(InjectionRefused::NoSuchCall);
        };
        // There is room, as was seen above.
        let _ = source.outputs_mut().listeners.push(index);
        let injection = Injection::new(place, name, fitted, call, position);
        let line = format_args!("{}: hears {} of {label}", call.label, injection.name);
        outlet.note(Level::Info, line);
        call.injection = Some(Box::new(injection));
        self.calls.touch(index);
        Ok(())
    }

    /// Ends what is sent into a call; silence goes on.
    ///
    /// # Errors
    ///
    /// There is no such call, or nothing to end.
    pub fn stop_injection(
        &mut self,
        now: Instant,
        call_id: &str,
        outlet: &mut dyn Outlet,
    ) -> Result<(), InjectionRefused> {
        let index = self.call_named(call_id);
        let index = index.ok_or(InjectionRefused::NoSuchCall)?;
        match self.end_injection(now, index, "ended by request", outlet) {
            true => Ok(()),
            false => Err(InjectionRefused::Nothing),
        }
    }

    /// The call of this name, if something may be sent into it.
    fn injectable(&mut self, call_id: &str) -> Result<CallIndex, InjectionRefused> {
        let index = self.call_named(call_id);
        let index = index.ok_or(InjectionRefused::NoSuchCall)?;
        let status = self.calls.get_mut(index).map(|call| call.status);
        match status {
            Some(CallStatus::Established | CallStatus::Hold) => Ok(index),
            _ => Err(InjectionRefused::NotEstablished),
        }
    }

    /// Sends on what there is for one call.
    pub(super) fn pump_injection(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        let call = self.calls.get_mut(index).filter(|call| !call.crashed);
        let Some(mut injection) = call.and_then(|call| call.injection.take()) else {
            return;
        };
        let done = contained(|| self.pump(now, index, &mut injection, outlet));
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        call.injection = Some(injection);
        match done {
            Some(Ok(())) => {}
            Some(Err(words)) => {
                self.end_injection(now, index, words, outlet);
            }
            None => {
                call.crashed = true;
                self.calls.touch(index);
            }
        }
    }

    /// The same for a call that hears the stream of another, whose turn it is.
    fn pump_listener(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.pump_injection(now, index, outlet);
        let injection = self
            .calls
            .get_mut(index)
            .and_then(|it| it.injection.as_ref());
        if injection.is_some_and(|it| it.feeds.due().is_some()) {
            // Its timer has to be set.
            self.calls.touch(index);
        }
    }

    /// An error says why it is over.
    fn pump(
        &mut self,
        now: Instant,
        index: CallIndex,
        injection: &mut Injection,
        outlet: &mut dyn Outlet,
    ) -> Result<(), &'static str> {
        let (from, number) = match &injection.source {
            Source::Stream(from, number) => (*from, *number),
            Source::File(_) => return self.pump_film(now, index, injection, outlet),
        };
        let (Some(call), Some(source)) = self.calls.pair_mut(index, from) else {
            return Err("its stream is gone");
        };
        if source.label.number != number {
            return Err("its stream is gone");
        }
        if core::mem::take(&mut injection.stale) {
            let supply = source.negotiation.current();
            let of = |plan: &Option<MediaPlan>| plan.as_ref().map(Supply::of_plan);
            let (audio, video) = (of(&supply.audio), of(&supply.video));
            injection.feeds.refit(call, audio, video)?;
        }
        let Injection { feeds, clock, .. } = injection;
        feeds.pump(now, (index, call), (&source.log, clock, true), outlet);
        if feeds.take_ask(now) {
            source.session.request_keyframe(now);
            self.calls.touch(from);
        }
        Ok(())
    }

    /// The same for a file. Where packet slots are scarce it waits.
    fn pump_film(
        &mut self,
        now: Instant,
        index: CallIndex,
        injection: &mut Injection,
        outlet: &mut dyn Outlet,
    ) -> Result<(), &'static str> {
        let Some(call) = self.calls.get_mut(index) else {
            return Err("the call is gone");
        };
        let Injection { feeds, clock, .. } = injection;
        let Source::File(film) = &mut injection.source else {
            return Err("it is no file");
        };
        if core::mem::take(&mut injection.stale) {
            let tracks = film.tracks();
            let of = |config: Option<&CodecConfig>| config.map(Supply::of_config);
            let (audio, video) = (of(tracks.audio.as_deref()), of(tracks.video.as_deref()));
            feeds.refit(call, audio, video)?;
        }
        loop {
            let has_room = film.refill(now, &self.pool);
            let log = film.log();
            let end = log.end();
            feeds.pump(now, (index, &mut *call), (log, &mut *clock, false), outlet);
            film.release_before(feeds.needed_from().unwrap_or(end));
            if film.take_wish() {
                outlet.read_file(film.id());
            }
            let is_sent = film.log().start() == end;
            if is_sent && film.is_over() {
                return Err(match film.fault() {
                    Some(_) => "the file is damaged from there on",
                    None => "the file ended",
                });
            }
            if !has_room {
                feeds.wait(now + SCARCE);
                return Ok(());
            }
            // Else what was sent made room for more of what came.
            if !is_sent || film.is_read() {
                return Ok(());
            }
        }
    }

    /// Gives the calls that hear a stream what is new in its log.
    pub(super) fn drain_listeners(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        let call = self.calls.get_mut(index);
        let outputs = call.and_then(|call| call.outputs.as_ref());
        let Some(listeners) = outputs.map(|outputs| outputs.listeners.clone()) else {
            return;
        };
        for listener in listeners {
            self.pump_listener(now, listener, outlet);
        }
    }

    /// The oldest position in a stream's log that the calls which hear it need.
    pub(super) fn listeners_need(&self, index: CallIndex) -> Option<u64> {
        let outputs = self.calls.get(index)?.outputs.as_ref()?;
        let needs = outputs.listeners.iter().filter_map(|at| {
            let injection = self.calls.get(*at)?.injection.as_ref()?;
            injection.feeds.needed_from()
        });
        needs.min()
    }

    /// A stream is over: silence goes on in the calls that heard it.
    pub(super) fn end_listeners(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        let call = self.calls.get_mut(index);
        let outputs = call.and_then(|call| call.outputs.as_mut());
        let Some(listeners) = outputs.map(|outputs| core::mem::take(&mut outputs.listeners)) else {
            return;
        };
        for listener in listeners {
            self.end_injection(now, listener, "its stream ended", outlet);
        }
    }

    /// Ends what is sent into a call, for the reason given; whether there was anything.
    pub(super) fn end_injection(
        &mut self,
        now: Instant,
        index: CallIndex,
        why: &str,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let Some(call) = self.calls.get_mut(index) else {
            return false;
        };
        let Some(injection) = call.injection.take() else {
            return false;
        };
        call.session.end_frames(now);
        let [sounds, pictures] = injection.feeds.frames();
        let (label, name) = (&call.label, &injection.name);
        let line = format_args!(
            "{label}: hears {name} no more: {why}; {sounds} frames of sound and {pictures} \
             pictures were sent"
        );
        outlet.note(Level::Info, line);
        self.calls.touch(index);
        self.unlisten(index, &injection.source, outlet);
        true
    }

    /// Lets go of what was sent into a call that is gone.
    pub(super) fn forget_injection(
        &mut self,
        index: CallIndex,
        injection: Option<Box<Injection>>,
        outlet: &mut dyn Outlet,
    ) {
        if let Some(injection) = injection {
            self.unlisten(index, &injection.source, outlet);
        }
    }

    fn unlisten(&mut self, index: CallIndex, source: &Source, outlet: &mut dyn Outlet) {
        let (from, number) = match source {
            Source::Stream(from, number) => (from, number),
            Source::File(film) => return outlet.close_file(film.id()),
        };
        let Some(call) = self.calls.touch_mut(*from) else {
            return;
        };
        if let Some(outputs) = &mut call.outputs
            && call.label.number == *number
        {
            outputs.listeners.retain(|listener| *listener != index);
        }
    }

    /// The other side of a call needs a keyframe of what is sent into it.
    pub(super) fn ask_for_injected_keyframe(&mut self, now: Instant, index: CallIndex) {
        let call = self.calls.get_mut(index);
        let Some(injection) = call.and_then(|call| call.injection.as_ref()) else {
            return;
        };
        let Source::Stream(from, number) = injection.source else {
            return;
        };
        if let Some(source) = self.calls.touch_mut(from)
            && source.label.number == number
        {
            source.session.request_keyframe(now);
        }
    }
}

/// The profile of H.264 that a call negotiated.
fn agreed_profile(call: &Call) -> Option<[u8; 3]> {
    let video = call.negotiation.current().video.as_ref()?;
    match &video.codec {
        PlannedCodec::H264 {
            profile_level_id, ..
        } => *profile_level_id,
        _ => None,
    }
}
