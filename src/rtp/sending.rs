//! What we send in a track: what others give us for it (keys, the frames of another stream), and
//! else silence in sound, a still picture in video.
//!
//! All of it is one source (RFC 3550): SSRC, sequence numbers and clock go on whatever is sent, so
//! that the peer hears one sender. Phones, NATs and PBXs keep a call whose other side sends; some
//! show and send no picture of their own before they have one of ours.

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

use crate::base::codec::Track;
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::own_source::OwnSource;
use crate::rtp::silence::{Silence, Sound};
use crate::rtp::still::{Picture, Still};
use crate::rtp::stream::StreamConfig;
use crate::rtp::telephone_event_sender::{EventFormat, STEP, TelephoneEventSender};
use crate::wire::rtcp::SenderInfo;

/// How long sound may be away before silence takes its place: longer than the gaps that Opus makes
/// in pauses of speech.
pub const SOUND_PATIENCE: Duration = Duration::from_millis(500);

/// How long pictures may be away before the still one takes their place: the peer shows the last one
/// meanwhile.
pub const PICTURE_PATIENCE: Duration = Duration::from_secs(5);

/// The sender of one track.
#[derive(Clone, Debug)]
pub struct Sending {
    own: Own,
    /// Made when the first of it comes: most calls have nothing of the kind.
    guest: Option<Box<Guest>>,
}

/// What we send when nobody gives us anything.
#[derive(Clone, Debug)]
enum Own {
    /// Of audio.
    Silence(Box<Silence>),
    /// Of video.
    Still(Box<Still>),
}

/// What others give us to send.
#[derive(Clone, Debug, Default)]
struct Guest {
    keys: TelephoneEventSender,
    /// While frames of another come: when they are missed.
    until: Option<Instant>,
    /// The time of the latest frame.
    last: Instant,
    /// The next frame is the first after something else.
    begins: bool,
    keyframe_wanted: bool,
}

impl Sending {
    /// A stopped sender for a track as it was agreed on.
    pub fn new(track: Track, config: &StreamConfig, rng: &mut Rng) -> Self {
        let payload_type = config.send_payload_type;
        let own = match track {
            Track::Audio => {
                let sound = Sound::of(&config.codec, config.clock_rate);
                let silence = Silence::new(sound, config.clock_rate, payload_type, rng);
                Own::Silence(Box::new(silence))
            }
            Track::Video => {
                let picture = Picture::of(&config.codec);
                Own::Still(Box::new(Still::new(picture, payload_type, rng)))
            }
        };
        Self { own, guest: None }
    }

    /// Takes over what a new answer says; source, sequence and clock go on.
    pub fn configure(&mut self, config: &StreamConfig) {
        let payload_type = config.send_payload_type;
        match &mut self.own {
            Own::Silence(silence) => {
                let sound = Sound::of(&config.codec, config.clock_rate);
                silence.set_codec(sound, payload_type);
            }
            Own::Still(still) => still.set_codec(Picture::of(&config.codec), payload_type),
        }
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.own.ssrc()
    }

    /// Starts sending, unless it runs. The time of a pause passes on the RTP clock.
    pub fn start(&mut self, now: Instant) {
        self.own.allow(true);
        if !self.is_lent() {
            self.own.start(now);
        }
    }

    /// Stops sending. Keys that were not sent are forgotten.
    pub fn stop(&mut self) {
        self.own.allow(false);
        self.own.stop();
        if let Some(guest) = &mut self.guest {
            guest.keys.clear();
            guest.until = None;
        }
    }

    /// Whether anything may be sent at present.
    pub fn is_allowed(&self) -> bool {
        self.own.is_allowed()
    }

    /// The peer needs a keyframe of ours.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        match (&mut self.own, &mut self.guest) {
            (Own::Silence(_), _) => {}
            (Own::Still(_), Some(guest)) if guest.until.is_some() => guest.keyframe_wanted = true,
            (Own::Still(still), _) => still.keyframe_wanted(now),
        }
    }

    /// Whether the peer has come to need a keyframe of the stream that we pass on.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        let guest = self.guest.as_mut();
        guest.is_some_and(|guest| core::mem::take(&mut guest.keyframe_wanted))
    }

    /// Room for so many keys more.
    pub fn key_room(&self) -> usize {
        let keys = self.guest.as_ref().map(|guest| guest.keys.room());
        keys.unwrap_or(crate::limits::DTMF_KEYS)
    }

    /// Adds a key after those that wait; false when there is no room for it.
    pub fn push_key(&mut self, event: u8) -> bool {
        self.guest.get_or_insert_default().keys.push(event)
    }

    /// Whether frames of another are what we send at present.
    pub fn passes_frames(&self) -> bool {
        self.guest.as_ref().is_some_and(|it| it.until.is_some())
    }

    /// Whether a frame may leave: not while a key is pressed, which stands in for sound.
    pub fn takes_frames(&self) -> bool {
        let pressing = self.guest.as_ref().is_some_and(|it| it.keys.is_pressing());
        self.own.is_allowed() && !pressing
    }

    /// Writes the header of a packet of another's frame whose payload stands in `out` behind it, and
    /// says the packet's length. `at` is the frame's time on our clock, and `ends` whether the packet
    /// is its last.
    ///
    /// The marker is on the last packet of a picture, and on the first of sound after something else
    /// (RFC 3551, section 4.1).
    pub fn write_frame(
        &mut self,
        now: Instant,
        (at, ends): (Instant, bool),
        payload: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        if !self.takes_frames() {
            return None;
        }
        let (patience, is_sound) = match &self.own {
            Own::Silence(_) => (SOUND_PATIENCE, true),
            Own::Still(_) => (PICTURE_PATIENCE, false),
        };
        let guest = self.guest.get_or_insert_default();
        let begins = guest.begins || guest.until.is_none();
        let marker = if is_sound { begins } else { ends };
        let source = self.own.source_mut();
        let kind = (source.payload_type(), marker);
        let length = source.write_head(now, at, kind, payload, out)?;
        guest.begins = false;
        guest.until = Some(now + patience);
        guest.last = guest.last.max(at);
        self.own.stop();
        Some(length)
    }

    /// No more frames come: what we send of our own goes on at once.
    pub fn end_frames(&mut self, now: Instant) {
        let Some(guest) = &mut self.guest else { return };
        guest.keyframe_wanted = false;
        if guest.until.take().is_some() {
            self.resume(now);
        }
    }

    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = self.own.poll_timeout();
        match &self.guest {
            Some(guest) if self.own.is_allowed() => {
                let due = Instant::earliest(guest.until, guest.keys.poll_timeout());
                Instant::earliest(own, due)
            }
            _ => own,
        }
    }

    /// Writes the next packet that is due and says its length; call until `None`. Keys go out where
    /// the peer takes them by `events`.
    pub fn poll_packet(
        &mut self,
        now: Instant,
        events: Option<EventFormat>,
        out: &mut [u8],
    ) -> Option<usize> {
        if let Some(guest) = &mut self.guest
            && self.own.is_allowed()
        {
            if let Some(events) = events {
                let source = self.own.source_mut();
                if let Some(length) = guest.keys.poll_packet(now, events, source, out) {
                    guest.begins = true;
                    if !guest.keys.is_pressing() {
                        self.resume(now + STEP);
                    } else {
                        self.own.stop();
                    }
                    return Some(length);
                }
            } else {
                guest.keys.clear();
            }
            if guest.until.is_some_and(|until| until <= now) {
                guest.until = None;
                self.resume(now);
            }
        }
        self.own.poll_packet(now, out)
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        match &self.own {
            Own::Silence(silence) => silence.sender_info(now, ntp),
            Own::Still(still) => still.sender_info(now, ntp),
        }
    }

    /// Whether another's keys or frames stand in for what we send of our own.
    fn is_lent(&self) -> bool {
        let guest = self.guest.as_ref();
        guest.is_some_and(|guest| guest.until.is_some() || guest.keys.is_pressing())
    }

    /// Goes on with what we send of our own, unless something else still stands in for it: never
    /// earlier on the RTP clock than what was sent before.
    fn resume(&mut self, at: Instant) {
        if self.own.is_allowed() && !self.is_lent() {
            let last = self.guest.as_ref().map_or(at, |guest| guest.last + STEP);
            self.own.start(at.max(last));
        }
    }
}

impl Own {
    fn ssrc(&self) -> u32 {
        match self {
            Self::Silence(silence) => silence.ssrc(),
            Self::Still(still) => still.ssrc(),
        }
    }

    fn source_mut(&mut self) -> &mut OwnSource {
        match self {
            Self::Silence(silence) => silence.source_mut(),
            Self::Still(still) => still.source_mut(),
        }
    }

    /// Notes whether we may send, and know where to.
    fn allow(&mut self, allowed: bool) {
        match self {
            Self::Silence(silence) => silence.allowed = allowed,
            Self::Still(still) => still.allowed = allowed,
        }
    }

    fn is_allowed(&self) -> bool {
        match self {
            Self::Silence(silence) => silence.allowed,
            Self::Still(still) => still.allowed,
        }
    }

    fn start(&mut self, now: Instant) {
        match self {
            Self::Silence(silence) => silence.start(now),
            Self::Still(still) => still.start(now),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Silence(silence) => silence.stop(),
            Self::Still(still) => still.stop(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Silence(silence) => silence.poll_timeout(),
            Self::Still(still) => still.poll_timeout(),
        }
    }

    fn poll_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Silence(silence) => silence.poll_packet(now, out),
            Self::Still(still) => still.poll_packet(now, out),
        }
    }
}
