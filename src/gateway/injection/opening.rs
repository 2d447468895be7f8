//! Files on their way to be sent: opened and read so far that their codecs are known, while the client
//! that asked for it waits for its answer.

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

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::injection::film::Film;
use crate::gateway::injection::fit::{Supply, fit};
use crate::gateway::injection::{Injection, InjectionRefused, Source};
use crate::gateway::outlet::{CallIndex, FileId, FileTrouble, Level, Outlet};
use crate::limits::{FILE_NAME_BYTES, FILES, MP4_FILES};
use crate::media_file::Fault;
use crate::sdp::PlannedCodec;

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One file that is being opened.
#[derive(Debug)]
pub struct Opening {
    film: Film,
    name: String,
    /// The call that is to hear it, and its number.
    call: (CallIndex, u64),
    until: Instant,
}

/// Whether a name is that of a file in the folder itself.
pub(in crate::gateway) fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
    !name.is_empty()
        && name.len() <= FILE_NAME_BYTES
        && !name.starts_with('.')
        && name.chars().all(is_plain)
}

/// What makes a file fit the sound of a call.
fn conversion(call: &Call, name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let audio = call.negotiation.current().audio.as_ref();
    let (codec, form) = match audio.map(|plan| &plan.codec) {
        Some(PlannedCodec::Pcma) => ("pcm_alaw -ar 8000 -ac 1", "alaw.wav"),
        Some(PlannedCodec::Pcmu) => ("pcm_mulaw -ar 8000 -ac 1", "mulaw.wav"),
        // ffmpeg's muxer of FLV did not know Opus for long.
        Some(PlannedCodec::Opus { .. }) => ("libopus -movflags +faststart", "opus.mp4"),
        Some(PlannedCodec::Speex) => ("libspeex -ar 16000 -ac 1", "speex.flv"),
        Some(PlannedCodec::Aac(_)) => ("aac", "aac.flv"),
        _ => return "the call has no sound".to_owned(),
    };
    format!("convert it: ffmpeg -i {name} -c:a {codec} {stem}-{form}")
}

impl Gateway {
    /// Begins to send a file of the configured folder into an established call. What is to become of it
    /// is told to [`Gateway::finish_file`] by this number.
    ///
    /// # Errors
    ///
    /// Why nothing was begun.
    pub(in crate::gateway) fn inject_file(
        &mut self,
        now: Instant,
        call_id: &str,
        name: &str,
        outlet: &mut dyn Outlet,
    ) -> Result<FileId, InjectionRefused> {
        let index = self.injectable(call_id)?;
        if self.config.files_directory.is_none() {
            return Err(InjectionRefused::NoFolder);
        }
        if !is_file_name(name) {
            return Err(InjectionRefused::NoSuchFile);
        }
        let playing = self.calls().filter(|call| {
            let injection = call.injection.as_ref();
            injection.is_some_and(|it| matches!(it.source, Source::File(_)))
        });
        if self.openings.len().saturating_add(playing.count()) >= FILES {
            return Err(InjectionRefused::TooManyFiles);
        }
        let call = self.calls.get_mut(index);
        let number = call.ok_or(InjectionRefused::NoSuchCall)?.label.number;
        self.next_file = self.next_file.wrapping_add(1);
        let id = FileId(self.next_file);
        if !outlet.open_file(id, name) {
            return Err(InjectionRefused::TooManyFiles);
        }
        self.openings.push(Opening {
            film: Film::new(id),
            name: name.to_owned(),
            call: (index, number),
            until: now + PATIENCE,
        });
        Ok(id)
    }

    /// The next bytes of a file, none at its end; or why there are none.
    pub fn handle_file(
        &mut self,
        now: Instant,
        id: FileId,
        bytes: Result<&[u8], FileTrouble>,
        outlet: &mut dyn Outlet,
    ) {
        if self.handle_push_sound(now, id, bytes, outlet) {
            return;
        }
        if let Some(at) = self.openings.iter().position(|it| it.film.id() == id) {
            return self.handle_opening(now, at, bytes, outlet);
        }
        let film = |call: &Call| match call.injection.as_ref().map(|it| &it.source) {
            Some(Source::File(film)) => film.id() == id,
            _ => false,
        };
        let Some(index) = self.calls.find(film) else {
            return;
        };
        let call = self.calls.touch_mut(index);
        let Some(injection) = call.and_then(|call| call.injection.as_mut()) else {
            return;
        };
        match (bytes, &mut injection.source) {
            (Ok(bytes), Source::File(film)) => film.handle_chunk(bytes),
            (Err(_), _) => {
                self.end_injection(now, index, "the file cannot be read any further", outlet);
            }
            _ => {}
        }
    }

    fn handle_opening(
        &mut self,
        now: Instant,
        at: usize,
        bytes: Result<&[u8], FileTrouble>,
        outlet: &mut dyn Outlet,
    ) {
        let pool = self.pool.clone();
        let Some(opening) = self.openings.get_mut(at) else {
            return;
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(FileTrouble::Missing) => {
                return self.give_up_opening(now, at, InjectionRefused::NoSuchFile, outlet);
            }
            Err(FileTrouble::Unreadable) => {
                return self.give_up_opening(now, at, InjectionRefused::Unreadable, outlet);
            }
        };
        let film = &mut opening.film;
        film.handle_chunk(bytes);
        film.refill(now, &pool);
        let (is_mp4, is_described) = (film.is_mp4(), film.is_described());
        if is_mp4 && self.mp4_files() > MP4_FILES {
            return self.give_up_opening(now, at, InjectionRefused::TooManyFiles, outlet);
        }
        let Some(film) = self.openings.get_mut(at).map(|it| &mut it.film) else {
            return;
        };
        if is_described {
            self.begin_film(now, at, outlet);
        } else if film.take_wish() {
            outlet.read_file(film.id());
        }
    }

    /// MP4 files that are being sent, or opened, or read for pushes.
    pub(in crate::gateway) fn mp4_files(&self) -> usize {
        let playing = self.calls().filter(|call| {
            let injection = call.injection.as_ref();
            injection.is_some_and(|it| matches!(&it.source, Source::File(film) if film.is_mp4()))
        });
        let playing = playing.count();
        let opened = self.openings.iter().filter(|it| it.film.is_mp4());
        let sounds = self.sounds.iter().filter(|it| it.is_mp4());
        playing
            .saturating_add(opened.count())
            .saturating_add(sounds.count())
    }

    /// Sends a file whose codecs are known, if they are the call's.
    fn begin_film(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let Some(opening) = self.openings.get(at) else {
            return;
        };
        let (index, number) = opening.call;
        let call = self.calls.get_mut(index);
        let call = call.filter(|call| {
            call.label.number == number && call.is_live() && !call.crashed && call.sip.is_some()
        });
        let Some(call) = call else {
            return self.give_up_opening(now, at, InjectionRefused::NoSuchCall, outlet);
        };
        if let Some(fault) = opening.film.fault() {
            let mut words = format!("{}: {fault}", opening.name);
            if matches!(fault.fault, Fault::WavFormat(_) | Fault::G711Rate { .. }) {
                words = format!("{words}; {}", conversion(call, &opening.name));
            }
            return self.give_up_opening(now, at, InjectionRefused::BadFile(words), outlet);
        }
        let tracks = opening.film.tracks();
        let supply = |config: Option<&_>| config.map(Supply::of_config);
        let fitted = fit(
            call.negotiation.current(),
            supply(tracks.audio.as_deref()),
            supply(tracks.video.as_deref()),
        );
        let fitted = match fitted {
            Ok(fitted) => fitted,
            Err(misfit) => {
                let refused = InjectionRefused::Misfit(misfit);
                return self.give_up_opening(now, at, refused, outlet);
            }
        };
        self.end_injection(now, index, "another takes its place", outlet);
        let Opening { film, name, .. } = self.openings.remove(at);
        let id = film.id();
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let line = format_args!("{}: hears the file {name}", call.label);
        outlet.note(Level::Info, line);
        let source = Source::File(Box::new(film));
        let injection = Injection::new(source, name, fitted, call, 0);
        call.injection = Some(Box::new(injection));
        self.finish_file(now, id, Ok(()), outlet);
    }

    fn give_up_opening(
        &mut self,
        now: Instant,
        at: usize,
        refused: InjectionRefused,
        outlet: &mut dyn Outlet,
    ) {
        let opening = self.openings.remove(at);
        let id = opening.film.id();
        outlet.close_file(id);
        self.finish_file(now, id, Err(refused), outlet);
    }

    /// Gives up the files that the disk does not give in time.
    pub(in crate::gateway) fn time_openings(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        while let Some(at) = self.openings.iter().position(|it| it.until <= now) {
            self.give_up_opening(now, at, InjectionRefused::Unreadable, outlet);
        }
    }

    /// When the first of them is given up.
    pub(in crate::gateway) fn openings_timeout(&self) -> Option<Instant> {
        self.openings.iter().map(|opening| opening.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_folder() {
        for name in ["a.wav", "my song.flv", "\u{e9}.wav", "a..b"] {
            assert!(is_file_name(name), "{name}");
        }
        let long = "a".repeat(FILE_NAME_BYTES + 1);
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "C:a",
            ".hidden",
            "a\0",
            "a\n",
            &long,
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }
}
