//! Sounds for pushes on their way from the disk: read whole, off the main thread, while the client that
//! asked for one waits for its answer.
//!
//! Nothing is encoded, so a sound has to be of the codec that the stream's has, AAC of a configuration
//! that is decoded alike, and no longer than
//! [`PUSH_SOUND_BYTES`](crate::limits::PUSH_SOUND_BYTES) and
//! [`PUSH_SOUND_FRAMES`](crate::limits::PUSH_SOUND_FRAMES). It comes in any file that
//! [`media_file`](crate::media_file) reads; what else is in there is passed over.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod reading;
mod words;

use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{Codec, CodecConfig};
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::injection::fit::agreed_aac;
use crate::gateway::injection::{InjectionRefused, is_file_name};
use crate::gateway::outlet::{FileId, FileTrouble, Level, Outlet};
use crate::gateway::pushes::{Push, PushIndex, PushVoice};
use crate::limits::{MP4_FILES, PUSH_SOUNDS};
use crate::rtmp::Publisher;
use crate::sdp::PlannedCodec;

use reading::{Reading, Unfit};

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One sound that is being read.
pub(super) struct PushSound {
    id: FileId,
    /// The push that is to play it, by its name.
    push: String,
    name: String,
    repeats: bool,
    reading: Reading,
    until: Instant,
}

impl PushSound {
    /// Whether its file is MP4, as far as that is known.
    pub fn is_mp4(&self) -> bool {
        self.reading.is_mp4()
    }

    /// Takes the next bytes of the file, none at its end; whether it is whole now.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, InjectionRefused> {
        let done = match bytes {
            [] => self.reading.end().map(|()| true),
            _ => self.reading.read(bytes).map(|()| false),
        };
        done.map_err(|unfit: Unfit| words::refusal(&self.name, &unfit, self.reading.wanted()))
    }
}

impl Gateway {
    /// Begins to read a sound that a push is to play. What becomes of it is told to
    /// [`Gateway::finish_file`] by this number.
    ///
    /// # Errors
    ///
    /// Why nothing was begun.
    pub(super) fn load_push_sound(
        &mut self,
        now: Instant,
        at: PushIndex,
        (name, repeats): (&str, bool),
        outlet: &mut dyn Outlet,
    ) -> Result<FileId, InjectionRefused> {
        let push = self.pushes.get(at).ok_or(InjectionRefused::Nothing)?;
        if self.config.files_directory.is_none() {
            return Err(InjectionRefused::NoFolder);
        }
        if !is_file_name(name) {
            return Err(InjectionRefused::NoSuchFile);
        }
        let call = self.calls.get(push.call).ok_or(InjectionRefused::Nothing)?;
        let wanted = sound_config(call, push)?;
        let push_id = push.id.clone();
        let held = self.pushes.iter();
        let held = held.filter(|(_, push)| push.voice.sound.is_some()).count();
        if self.sounds.len().saturating_add(held) >= PUSH_SOUNDS {
            return Err(InjectionRefused::TooManyFiles);
        }
        self.next_file = self.next_file.wrapping_add(1);
        let id = FileId(self.next_file);
        if !outlet.open_file(id, name) {
            return Err(InjectionRefused::TooManyFiles);
        }
        self.sounds.push(PushSound {
            id,
            push: push_id,
            name: name.to_owned(),
            repeats,
            reading: Reading::new(wanted),
            until: now + PATIENCE,
        });
        Ok(id)
    }

    /// The next bytes of a sound, none at its end, or why there are none; false for another file.
    pub(super) fn handle_push_sound(
        &mut self,
        now: Instant,
        id: FileId,
        bytes: Result<&[u8], FileTrouble>,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let Some(place) = self.sounds.iter().position(|sound| sound.id == id) else {
            return false;
        };
        let Some(sound) = self.sounds.get_mut(place) else {
            return false;
        };
        let push = self.pushes.find(&sound.push);
        let done = match (bytes, push) {
            (_, None) => Err(InjectionRefused::Nothing),
            (Err(FileTrouble::Missing), _) => Err(InjectionRefused::NoSuchFile),
            (Err(FileTrouble::Unreadable), _) => Err(InjectionRefused::Unreadable),
            (Ok(bytes), Some(at)) => sound.take(bytes).map(|is_whole| (at, is_whole)),
        };
        let is_mp4 = sound.is_mp4();
        let done = match done {
            Ok((_, false)) if is_mp4 && self.mp4_files() > MP4_FILES => {
                Err(InjectionRefused::TooManyFiles)
            }
            Ok((_, false)) => {
                outlet.read_file(id);
                return true;
            }
            Ok((at, true)) => Ok(at),
            Err(refused) => Err(refused),
        };
        let sound = self.sounds.swap_remove(place);
        outlet.close_file(id);
        if let (Some(push), Err(refused)) = (push.and_then(|at| self.pushes.get(at)), &done) {
            let line = format_args!("push to {}: no sound: {refused}", push.target);
            outlet.note(Level::Warn, line);
        }
        let done = done.map(|at| self.play_push_sound(at, sound, outlet));
        self.finish_file(now, id, done, outlet);
        true
    }

    fn play_push_sound(&mut self, at: PushIndex, sound: PushSound, outlet: &mut dyn Outlet) {
        let Some(push) = self.pushes.get(at) else {
            return;
        };
        let line = format_args!("push to {}: plays {}", push.target, sound.name);
        outlet.note(Level::Info, line);
        let prepared = sound.reading.prepared(sound.repeats);
        let voice = PushVoice {
            muted: push.voice.muted,
            sound: Some((sound.name, Rc::new(prepared))),
        };
        self.set_push_voice(at, voice);
    }

    /// Gives up the sounds that the disk does not give in time.
    pub(super) fn time_push_sounds(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        while let Some(place) = self.sounds.iter().position(|sound| sound.until <= now) {
            let sound = self.sounds.swap_remove(place);
            outlet.close_file(sound.id);
            self.finish_file(now, sound.id, Err(InjectionRefused::Unreadable), outlet);
        }
    }

    /// When the first of them is given up.
    pub(super) fn push_sounds_timeout(&self) -> Option<Instant> {
        self.sounds.iter().map(|sound| sound.until).min()
    }
}

/// What a sound has to be of for a push: what its server was told of the call's sound, or what the call
/// negotiated.
fn sound_config(call: &Call, push: &Push) -> Result<Rc<CodecConfig>, InjectionRefused> {
    let told = push.publisher().and_then(Publisher::audio_config);
    let plan = call.negotiation.current().audio.as_ref();
    let codec = call.audio.codec.filter(|codec| match plan {
        Some(plan) => plan.codec.codec() == *codec,
        None => false,
    });
    if let Some(told) = told.filter(|told| Some(told.codec()) == codec) {
        return Ok(Rc::clone(told));
    }
    let negotiated = plan.filter(|_| codec.is_some()).map(|plan| &plan.codec);
    let config = match negotiated {
        Some(PlannedCodec::Pcma) => Some(CodecConfig::Pcma),
        Some(PlannedCodec::Pcmu) => Some(CodecConfig::Pcmu),
        Some(PlannedCodec::Speex) => Some(CodecConfig::Speex),
        Some(PlannedCodec::Opus { channels }) => Some(CodecConfig::Opus {
            channels: *channels,
        }),
        Some(PlannedCodec::Aac(packing)) => agreed_aac(packing).cloned().map(CodecConfig::Aac),
        Some(PlannedCodec::H264 { .. } | PlannedCodec::Vp8) | None => None,
    };
    config.map(Rc::new).ok_or_else(|| {
        let what = match codec {
            Some(Codec::Aac) => "AAC whose configuration is not known before its first frame",
            _ => "not known yet",
        };
        InjectionRefused::BadFile(format!("soundFile: the stream's sound is {what}"))
    })
}
