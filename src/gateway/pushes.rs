//! The fixed table of pushes: further RTMP servers that streams are published to.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::fmt;
use std::rc::Rc;

use crate::base::redact::Secret;
use crate::gateway::call::Publishing;
use crate::gateway::call_summary::SinkSummary;
use crate::gateway::outlet::CallIndex;
use crate::gateway::sink::Sink;
use crate::limits::PUSHES;
use crate::rtmp::{PreparedSound, Publisher, RtmpStatus, Voice};
use crate::wire::rtmp_url::RtmpUrl;

/// A push's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushIndex(pub u16);

/// Where a push goes.
#[derive(Clone, Debug)]
pub struct PushTarget {
    /// The server and its application.
    pub url: RtmpUrl,
    /// Name of the stream there. A key of a platform, where the client gave a whole address.
    pub name: Secret<String>,
    /// The address as the client wrote it.
    pub given: Secret<String>,
    /// Whether that is the whole address, stream name included.
    pub is_whole: bool,
}

impl PushTarget {
    /// Whether both are the same stream of the same server, whoever logs in there.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is(&other.url, other.name.expose())
    }

    /// Whether it is the stream of this name at that server.
    pub fn is(&self, url: &RtmpUrl, name: &str) -> bool {
        self.url.tc_url() == url.tc_url() && self.name.expose() == name
    }

    /// Whether an address that a client writes is the one that was given: however it is written, with
    /// the usual port, with a slash at its end.
    pub fn is_given_as(&self, text: &str) -> bool {
        let given = self.given.expose();
        if given == text {
            return true;
        }
        let read = |text: &str| RtmpUrl::parse(text).ok();
        match (read(given), read(text)) {
            (Some(given), Some(text)) => given.tc_url() == text.tc_url(),
            _ => false,
        }
    }
}

impl fmt::Display for PushTarget {
    /// Without user, password, query and key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)?;
        if self.is_whole {
            f.write_str("/***")?;
        }
        Ok(())
    }
}

/// What a push sends in place of what the caller says.
#[derive(Clone, Debug, Default)]
pub struct PushVoice {
    /// Whether the caller is not to be heard.
    pub muted: bool,
    /// A sound that is to be heard instead, with the name that the client has for it.
    pub sound: Option<(String, Rc<PreparedSound>)>,
}

impl PushVoice {
    /// What a publisher is told of it: a sound goes before silence.
    pub fn voice(&self) -> Voice {
        match &self.sound {
            Some((_, sound)) => Voice::Sound {
                sound: Rc::clone(sound),
                then_silence: self.muted,
            },
            None if self.muted => Voice::Silence,
            None => Voice::Caller,
        }
    }
}

/// A push that is asked for.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Name of a stream of this box.
    pub stream: String,
    /// Where it is to go.
    pub target: PushTarget,
    /// What is to be heard of it.
    pub voice: PushVoice,
}

/// Why a push is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRefused {
    /// No live call has a stream of this name.
    NoStream,
    /// The stream is published there already.
    SameTarget,
    /// It would go to this program's own play-out.
    OwnPlayOut,
    /// The server does not take a name as long, or with such characters.
    Name,
    /// Every place is taken.
    Full,
    /// The box is stopping.
    Stopping,
}

impl fmt::Display for PushRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStream => "no stream has this streamName",
            Self::SameTarget => "this streamName is published to this rtmpUrl already",
            Self::OwnPlayOut => {
                "rtmpUrl: this program's own play-out; players find the stream there by its name"
            }
            Self::Name => "streamName: expected a name that RTMP servers take",
            Self::Full => "every push is taken",
            Self::Stopping => "the gateway stops",
        })
    }
}

impl core::error::Error for PushRefused {}

/// One push, from the moment it is asked for.
pub struct Push {
    /// Its name for clients: nothing but an identity.
    pub id: String,
    /// The call whose stream it publishes.
    pub call: CallIndex,
    /// Name of that stream.
    pub stream: String,
    /// Where it goes.
    pub target: PushTarget,
    /// What is known of that server.
    pub sink: Sink,
    /// What is heard of it.
    pub voice: PushVoice,
    /// The publisher, from the stream's first frame on, or the answer to the call.
    pub publishing: Option<Box<Publishing>>,
    /// It says farewell and is gone for clients.
    pub ending: bool,
    /// A defect left it in an unknown state: it is ended with the next drain.
    pub crashed: bool,
}

impl Push {
    /// How it stands.
    pub fn status(&self) -> RtmpStatus {
        let publishing = self.publishing.as_ref();
        publishing.map_or(RtmpStatus::Wait, |it| it.publisher.status())
    }

    /// Why it stands so, in words.
    pub fn reason(&self) -> &str {
        let publishing = self.publishing.as_ref();
        publishing.map_or("the stream has not begun", |it| it.publisher.reason())
    }

    /// The publisher, once there is one.
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publishing.as_ref().map(|it| &it.publisher)
    }

    /// Whether a sound is heard in place of the caller.
    pub fn plays_sound(&self) -> bool {
        let is_over = self.publisher().is_some_and(Publisher::is_sound_over);
        self.voice.sound.is_some() && !is_over
    }

    /// Whether frames were left out because nothing stands in for the caller's.
    pub fn leaves_out_sound(&self) -> bool {
        let is_silent = self.voice.muted || self.voice.sound.is_some();
        let left_out = |publisher: &Publisher| publisher.media_counters().unvoiced > 0;
        is_silent && self.publisher().is_some_and(left_out)
    }

    /// Whether nothing of it is left to do.
    pub fn is_over(&self) -> bool {
        match &self.publishing {
            Some(publishing) => publishing.publisher.is_stopped() && publishing.link.is_none(),
            None => self.ending,
        }
    }
}

/// What became of the pushes of one stream that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// How many there were.
    pub pushes: u64,
    /// All of them together.
    pub sinks: SinkSummary,
}

impl PushSummary {
    /// One more has ended.
    pub fn add(&mut self, push: &Push) {
        let one = push.publisher().map(SinkSummary::of).unwrap_or_default();
        self.pushes = self.pushes.saturating_add(1);
        self.sinks.accepted = self.sinks.accepted.saturating_add(one.accepted);
        self.sinks.stalls = self.sinks.stalls.saturating_add(one.stalls);
        self.sinks.dropped = self.sinks.dropped.saturating_add(one.dropped);
    }
}

impl fmt::Display for PushSummary {
    /// A clause that begins with `; `; nothing where there was no push.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pushes, sinks } = self;
        match pushes {
            0 => return Ok(()),
            1 => f.write_str("; 1 push")?,
            _ => write!(f, "; {pushes} pushes")?,
        }
        write!(f, " published {} times", sinks.accepted)?;
        if sinks.stalls > 0 {
            let SinkSummary {
                stalls, dropped, ..
            } = sinks;
            write!(f, ", too slow {stalls} times, {dropped} frames dropped")?;
        }
        Ok(())
    }
}

/// Every push, by place.
pub struct Pushes {
    places: Vec<Option<Box<Push>>>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            places: (0..PUSHES).map(|_| None).collect(),
        }
    }
}

impl Pushes {
    /// The place that the next push will have; `None` when the table is full.
    pub fn vacant(&self) -> Option<PushIndex> {
        let at = self.places.iter().position(Option::is_none)?;
        u16::try_from(at).ok().map(PushIndex)
    }

    /// Puts a push into a vacant place.
    pub fn insert(&mut self, at: PushIndex, push: Box<Push>) {
        if let Some(place) = self.places.get_mut(usize::from(at.0)) {
            *place = Some(push);
        }
    }

    /// Takes a push out.
    pub fn remove(&mut self, at: PushIndex) -> Option<Box<Push>> {
        self.places.get_mut(usize::from(at.0))?.take()
    }

    /// The push at a place.
    pub fn get(&self, at: PushIndex) -> Option<&Push> {
        self.places.get(usize::from(at.0))?.as_deref()
    }

    /// The push at a place, for change.
    pub fn get_mut(&mut self, at: PushIndex) -> Option<&mut Push> {
        self.places.get_mut(usize::from(at.0))?.as_deref_mut()
    }

    /// Pushes with their places.
    pub fn iter(&self) -> impl Iterator<Item = (PushIndex, &Push)> {
        let places = (0_u16..).map(PushIndex).zip(&self.places);
        places.filter_map(|(at, push)| Some((at, push.as_deref()?)))
    }

    /// Those that clients know.
    pub fn live(&self) -> impl Iterator<Item = (PushIndex, &Push)> {
        self.iter().filter(|(_, push)| !push.ending)
    }

    /// The one that clients know by this name.
    pub fn find(&self, id: &str) -> Option<PushIndex> {
        let mut live = self.live();
        live.find(|(_, push)| push.id == id).map(|(at, _)| at)
    }

    /// Pushes in the table.
    pub fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Whether there is no push.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(given: &str) -> PushTarget {
        PushTarget {
            url: RtmpUrl::parse(given).unwrap(),
            name: Secret::new("rtmp_a".to_owned()),
            given: Secret::new(given.to_owned()),
            is_whole: false,
        }
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        let it = target("rtmp://joe:hunter2@host/live");
        for text in [
            "rtmp://joe:hunter2@host/live",
            "rtmp://host:1935/live/",
            "RTMP://host/live",
        ] {
            assert!(it.is_given_as(text), "{text}");
            assert!(it.is_same(&target(text)), "{text}");
        }
        for text in ["rtmp://host/live2", "rtmp://host:1936/live", "host", ""] {
            assert!(!it.is_given_as(text), "{text}");
        }
    }

    #[test]
    fn no_secret_of_a_target_is_printed() {
        let mut it = target("rtmp://joe:hunter2@host/live?key=hunter2");
        it.name = Secret::new("hunter2".to_owned());
        it.is_whole = true;
        for shown in [it.to_string(), format!("{it:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(it.to_string(), "rtmp://***@host/live?***/***");
    }

    #[test]
    fn the_pushes_of_a_call_are_one_clause_of_its_last_line() {
        assert_eq!(PushSummary::default().to_string(), "");
        let summary = PushSummary {
            pushes: 3,
            sinks: SinkSummary {
                accepted: 4,
                stalls: 2,
                dropped: 90,
            },
        };
        let words = "; 3 pushes published 4 times, too slow 2 times, 90 frames dropped";
        assert_eq!(summary.to_string(), words);
    }
}
