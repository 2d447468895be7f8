//! The recordings of all calls: begun when they are asked for, fed, and ended with their calls.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::CodecSet;
use crate::base::counter::count;
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Call, shown_stream};
use crate::gateway::contain::contained;
use crate::gateway::outlet::{CallIndex, Level, Outlet, RecordEnd, RecordId, Recorded};
use crate::limits::RECORDINGS;
use crate::mp4::Mp4Writer;
use crate::rtp::session::Session;

use super::{Context, Naming, Recording, RecordingRefused, RecordingRequest, facts};

impl Gateway {
    /// Begins to record the stream of this session; one that is recorded ends its file first.
    ///
    /// # Errors
    ///
    /// There is no such stream, or no place for another recording.
    pub fn start_recording(
        &mut self,
        now: Instant,
        session: &str,
        request: RecordingRequest,
        outlet: &mut dyn Outlet,
    ) -> Result<(), RecordingRefused> {
        let index = self
            .recorded_call(session)
            .ok_or(RecordingRefused::NoSession)?;
        self.record(now, index, request, outlet)
    }

    /// Ends the recording of this session; false where there is none.
    pub fn stop_recording(&mut self, now: Instant, session: &str, outlet: &mut dyn Outlet) -> bool {
        let index = self.recorded_call(session);
        index.is_some_and(|index| self.end_recording(now, index, outlet))
    }

    /// Every recording: the name of its file, and the session.
    pub fn recordings(&self) -> impl Iterator<Item = (String, &str)> {
        self.calls()
            .filter_map(|call| Some((call.record_name()?, call.sip_call_id.as_str())))
    }

    /// What became of a file.
    pub fn handle_recorded(
        &mut self,
        now: Instant,
        id: RecordId,
        outcome: &Recorded,
        outlet: &mut dyn Outlet,
    ) {
        match outcome {
            Recorded::Closed { name, bytes } => {
                count(&mut self.counters.recordings);
                let line = format_args!("recorded {name}, {bytes} bytes");
                outlet.note(Level::Info, line);
            }
            Recorded::Failed { words } => {
                let writes = |call: &Call| {
                    let recording = call.outputs.as_ref().and_then(|it| it.recording.as_ref());
                    recording.is_some_and(|it| it.file == Some(id))
                };
                match self.calls.find(writes) {
                    Some(index) => {
                        self.note_lost(index, words, outlet);
                        self.end_recording(now, index, outlet);
                    }
                    None => {
                        count(&mut self.counters.recordings_lost);
                        let line = format_args!("a recording is not whole: {words}");
                        outlet.note(Level::Error, line);
                    }
                }
            }
        }
    }

    fn note_lost(&mut self, index: CallIndex, words: &str, outlet: &mut dyn Outlet) {
        count(&mut self.counters.recordings_lost);
        if let Some(call) = self.calls.get_mut(index) {
            let line = format_args!("{}: the recording ends: {words}", call.label);
            outlet.note(Level::Error, line);
        }
    }

    fn recorded_call(&self, session: &str) -> Option<CallIndex> {
        self.calls
            .find(|call| call.is_live() && call.sip_call_id == session)
    }

    fn record(
        &mut self,
        now: Instant,
        index: CallIndex,
        request: RecordingRequest,
        outlet: &mut dyn Outlet,
    ) -> Result<(), RecordingRefused> {
        if self.config.recording.is_none() {
            return Err(RecordingRefused::NoFolder);
        }
        self.end_recording(now, index, outlet);
        if self.recordings().count() >= RECORDINGS {
            return Err(RecordingRefused::Full);
        }
        let millis = self.unix_millis(now);
        let config = self.config.recording.as_ref();
        let config = config.ok_or(RecordingRefused::NoFolder)?;
        let naming = match request.file_name {
            Some(name) => Naming::Literal {
                name,
                force: request.force,
            },
            None => {
                let template = request.template.unwrap_or_else(|| config.template.clone());
                Naming::Template(template)
            }
        };
        let rotation = request.rotation.or(config.rotation);
        let call = self.calls.touch_mut(index);
        let call = call.ok_or(RecordingRefused::NoSession)?;
        let stem = naming.stem(&facts(
            &call.label,
            &call.sip_call_id,
            call.shown_stream(),
            [call.audio.codec, call.video_codec],
            millis,
        ));
        let recording = Recording {
            naming,
            rotation,
            writer: Box::new(Mp4Writer::new(
                call.audio.codec.is_some(),
                call.expects_video,
            )),
            stem,
            file: None,
            bytes: 0,
            finished: 0,
            position: call.log.end(),
            rotates: None,
            asked: None,
            left_out: CodecSet::NONE,
            failed: None,
        };
        let line = format_args!("{}: records into {}", call.label, recording.file_name());
        outlet.note(Level::Info, line);
        call.outputs_mut().recording = Some(Box::new(recording));
        Ok(())
    }

    /// Begins the recording of a call that is to be recorded unasked, once it is answered.
    pub(in crate::gateway) fn record_unasked(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        if call.record_decided || call.answered.is_none() || !call.is_live() {
            return;
        }
        call.record_decided = true;
        let label = call.label.number;
        let trunk = self.trunks.get(call.trunk);
        let all = self.config.recording.as_ref().is_some_and(|it| it.all);
        let wanted = trunk.and_then(|trunk| trunk.config.record).unwrap_or(all);
        let recorded = call.record_name().is_some();
        if !wanted || recorded {
            return;
        }
        if let Err(refused) = self.record(now, index, RecordingRequest::default(), outlet) {
            count(&mut self.counters.recordings_lost);
            let line = format_args!("call {label}: not recorded: {refused}");
            outlet.note(Level::Error, line);
            return;
        }
        // What came before the answer was seen belongs to it.
        if let Some(call) = self.calls.get_mut(index)
            && let Some(outputs) = &mut call.outputs
            && let Some(recording) = &mut outputs.recording
        {
            recording.position = call.log.start();
        }
    }

    /// Makes due what a recording has held for long.
    pub(in crate::gateway) fn time_recording(&mut self, now: Instant, index: CallIndex) {
        let call = self.calls.get_mut(index);
        let outputs = call.and_then(|call| call.outputs.as_mut());
        if let Some(recording) = outputs.and_then(|outputs| outputs.recording.as_mut()) {
            let others = self.record_held.saturating_sub(recording.writer.held());
            if contained(|| recording.writer.handle_timeout(now)).is_none() {
                recording.failed = Some("a defect of this program");
            }
            self.record_held = others.saturating_add(recording.writer.held());
        }
    }

    /// Gives the recording of a call what is new.
    pub(in crate::gateway) fn drain_recording(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        let failed = self.with_recording(now, index, outlet, |recording, log, session, context| {
            recording.read(now, log, session, context);
            recording.failed
        });
        if let Some(Some(words)) = failed {
            self.note_lost(index, words, outlet);
            self.end_recording(now, index, outlet);
        }
    }

    /// Ends the recording of a call with what came so far; false where there is none.
    pub(in crate::gateway) fn end_recording(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let ended = self.with_recording(now, index, outlet, |recording, log, session, context| {
            recording.read(now, log, session, context);
            recording.end_file(None, context);
        });
        let outputs = self
            .calls
            .touch_mut(index)
            .and_then(|it| it.outputs.as_mut());
        let recording = outputs.and_then(|outputs| outputs.recording.take());
        self.let_go(recording.as_deref());
        ended.is_some()
    }

    /// Runs work on the recording of a call, with what it needs. A defect in it costs the recording
    /// alone.
    fn with_recording<R>(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
        work: impl FnOnce(&mut Recording, &FrameLog, &mut Session, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let millis = self.unix_millis(now);
        let call = self.calls.get_mut(index)?;
        let mut recording = call.outputs.as_mut()?.recording.take()?;
        let others = self.record_held.saturating_sub(recording.writer.held());
        let codecs = [call.audio.codec, call.video_codec];
        let Call {
            label,
            log,
            session,
            stream,
            stream_is_key,
            sip_call_id,
            ..
        } = call;
        let mut context = Context {
            label,
            facts: facts(
                label,
                sip_call_id,
                shown_stream(stream, *stream_is_key),
                codecs,
                millis,
            ),
            next_record: &mut self.next_record,
            others,
            outlet,
        };
        let done = contained(|| work(&mut recording, log, session, &mut context));
        match done {
            Some(_) => {
                self.record_held = others.saturating_add(recording.writer.held());
                if let Some(outputs) = &mut call.outputs {
                    outputs.recording = Some(recording);
                }
            }
            None => {
                self.record_held = others;
                count(&mut self.counters.recordings_lost);
                let line = format_args!(
                    "{}: the recording ends by a defect of this program",
                    call.label
                );
                outlet.note(Level::Error, line);
                abandon(&recording, outlet);
            }
        }
        done
    }

    /// Lets go of a recording whose call is gone.
    pub(in crate::gateway) fn release_recording(
        &mut self,
        recording: &Recording,
        outlet: &mut dyn Outlet,
    ) {
        abandon(recording, outlet);
        self.let_go(Some(recording));
    }

    /// Panics when what recordings hold is not what was counted; for tests and fuzzers.
    pub(in crate::gateway) fn check_recordings(&self) {
        let outputs = self.calls().filter_map(|call| call.outputs.as_ref());
        let recordings = outputs.filter_map(|outputs| outputs.recording.as_ref());
        let held: usize = recordings.map(|it| it.writer.held()).sum();
        assert_eq!(held, self.record_held, "bytes of recordings");
    }

    /// Counts what a recording held no more.
    fn let_go(&mut self, recording: Option<&Recording>) {
        let held = recording.map_or(0, |recording| recording.writer.held());
        self.record_held = self.record_held.saturating_sub(held);
    }
}

/// Ends the file of a recording that nothing more is known of.
fn abandon(recording: &Recording, outlet: &mut dyn Outlet) {
    if let Some(file) = recording.file {
        let name = recording.stem.finished(None, 0, 0);
        let replace = false;
        outlet.record_close(file, RecordEnd { name, replace });
    }
}
