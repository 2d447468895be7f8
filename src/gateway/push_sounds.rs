//! Sounds for pushes on their way from the disk: read whole, off the main thread, while the client that
//! asked for one waits for its answer.
//!
//! A sound has to be of the law of G.711 that the stream has, since nothing is encoded, and no longer
//! than [`PUSH_SOUND_BYTES`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{Codec, Track};
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::injection::{InjectionRefused, is_file_name};
use crate::gateway::outlet::{FileId, FileTrouble, Level, Outlet};
use crate::gateway::pushes::{PushIndex, PushVoice};
use crate::limits::{PUSH_SOUND_BYTES, PUSH_SOUNDS};
use crate::media_file::FileReader;
use crate::rtmp::PreparedSound;

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One sound that is being read.
pub(super) struct PushSound {
    id: FileId,
    /// The push that is to play it, by its name.
    push: String,
    name: String,
    repeats: bool,
    reader: Box<FileReader>,
    samples: Vec<u8>,
    until: Instant,
}

impl PushSound {
    /// Takes the samples out of the next bytes of the file.
    fn read(&mut self, mut bytes: &[u8], wanted: Codec) -> Result<(), InjectionRefused> {
        let name = &self.name;
        let bad = |words: String| InjectionRefused::BadFile(format!("{name}: {words}"));
        while !bytes.is_empty() {
            // What its reader keeps is more than the sound.
            if self.reader.is_mp4() {
                return Err(bad(format!("it is MP4; {}", conversion(name, wanted))));
            }
            let step = self.reader.take(bytes);
            let step =
                step.map_err(|fault| bad(format!("{fault}; {}", conversion(name, wanted))))?;
            bytes = bytes.get(step.taken..).unwrap_or_default();
            let is_stuck = step.taken == 0 && step.frame.is_none();
            if let Some(frame) = step.frame.filter(|frame| frame.track == Track::Audio) {
                let codec = frame.config.codec();
                if codec != wanted {
                    let words = format!("{codec} in place of the stream's {wanted}");
                    return Err(bad(format!("{words}; {}", conversion(name, wanted))));
                }
                if self.samples.len().saturating_add(frame.bytes.len()) > PUSH_SOUND_BYTES {
                    let seconds = PUSH_SOUND_BYTES / 8_000;
                    return Err(bad(format!("longer than {seconds} s")));
                }
                self.samples.extend_from_slice(frame.bytes);
            }
            if is_stuck {
                break;
            }
        }
        Ok(())
    }
}

/// What makes a file fit a stream.
fn conversion(name: &str, wanted: Codec) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let law = match wanted {
        Codec::Pcmu => "mulaw",
        _ => "alaw",
    };
    format!("convert it: ffmpeg -i {name} -c:a pcm_{law} -ar 8000 -ac 1 {stem}-{law}.wav")
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
        let push_id = push.id.clone();
        if self.config.files_directory.is_none() {
            return Err(InjectionRefused::NoFolder);
        }
        if !is_file_name(name) {
            return Err(InjectionRefused::NoSuchFile);
        }
        self.sound_codec(at)?;
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
            reader: Box::default(),
            samples: Vec::with_capacity(PUSH_SOUND_BYTES),
            until: now + PATIENCE,
        });
        Ok(id)
    }

    /// The codec that a sound has to have for a push.
    fn sound_codec(&self, at: PushIndex) -> Result<Codec, InjectionRefused> {
        let push = self.pushes.get(at).ok_or(InjectionRefused::Nothing)?;
        let call = self.calls.get(push.call).ok_or(InjectionRefused::Nothing)?;
        let codec = call.audio.codec;
        codec
            .filter(|codec| matches!(codec, Codec::Pcma | Codec::Pcmu))
            .ok_or_else(|| {
                let what = match codec {
                    Some(codec) => format!("{codec}, in which no prepared sound is put together"),
                    None => "not known yet".to_owned(),
                };
                InjectionRefused::BadFile(format!("soundFile: the stream's sound is {what}"))
            })
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
        let push = self
            .sounds
            .get(place)
            .and_then(|sound| self.pushes.find(&sound.push));
        let wanted = push.ok_or(InjectionRefused::Nothing);
        let wanted = wanted.and_then(|at| self.sound_codec(at));
        let Some(sound) = self.sounds.get_mut(place) else {
            return true;
        };
        let done = match (bytes, wanted) {
            (_, Err(refused)) => Err(refused),
            (Err(FileTrouble::Missing), _) => Err(InjectionRefused::NoSuchFile),
            (Err(FileTrouble::Unreadable), _) => Err(InjectionRefused::Unreadable),
            (Ok([]), Ok(codec)) if sound.samples.is_empty() => {
                let words = format!(
                    "{}: no sound in it; {}",
                    sound.name,
                    conversion(&sound.name, codec)
                );
                Err(InjectionRefused::BadFile(words))
            }
            (Ok([]), Ok(codec)) => Ok(codec),
            (Ok(bytes), Ok(codec)) => match sound.read(bytes, codec) {
                Ok(()) => {
                    outlet.read_file(id);
                    return true;
                }
                Err(refused) => Err(refused),
            },
        };
        let sound = self.sounds.swap_remove(place);
        outlet.close_file(id);
        if let (Some(push), Err(refused)) = (push.and_then(|at| self.pushes.get(at)), &done) {
            let line = format_args!("push to {}: no sound: {refused}", push.target);
            outlet.note(Level::Warn, line);
        }
        let done = done.map(|codec| {
            if let Some(at) = push {
                self.play_push_sound(at, sound, codec, outlet);
            }
        });
        self.finish_file(now, id, done, outlet);
        true
    }

    fn play_push_sound(
        &mut self,
        at: PushIndex,
        sound: PushSound,
        codec: Codec,
        outlet: &mut dyn Outlet,
    ) {
        let Some(push) = self.pushes.get(at) else {
            return;
        };
        let line = format_args!("push to {}: plays {}", push.target, sound.name);
        outlet.note(Level::Info, line);
        let prepared = PreparedSound {
            codec,
            samples: sound.samples.into(),
            repeats: sound.repeats,
        };
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
