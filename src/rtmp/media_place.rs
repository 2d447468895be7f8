//! Where a reader stands in a frame log, and which message comes next from there.
//!
//! A place is small and cheap to copy, so a write is planned on a copy and kept only as far as the
//! kernel took it.

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

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::base::frame_log::{Frame, FrameLog, FrameView};
use crate::base::time::{Instant, MediaTime};
use crate::limits::FRAME_SEGMENTS;
use crate::rtmp::takes::Takes;
use crate::rtmp::voice::{LastFrame, StandIn, Turn, Voice};
use crate::wire::flv::{self, Head, Metadata, TagForm};
use crate::wire::rtmp_message::{MessageHead, kind};

/// Chunk streams of media; commands have 3.
const AUDIO_CHUNK_STREAM: u32 = 4;
const DATA_CHUNK_STREAM: u32 = 5;
const VIDEO_CHUNK_STREAM: u32 = 6;

/// How far, in milliseconds, one track may be written behind the other. A picture is whole later
/// than the voice beside it; moving its time forward to the voice's would cost lip-sync.
const INTERLEAVE_MILLIS: i64 = 1_000;

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// Video that cannot be decoded before the next keyframe, or was given up.
    Undecodable,
    /// An empty frame, one of too many pieces, or a configuration that makes no sequence header.
    Unusable,
    /// A codec that is not sent to this peer.
    NotTaken,
    /// Sound that is not to be heard, for which nothing can stand in.
    Unvoiced,
    /// Sound in whose time a frame of a prepared sound lasts.
    Covered,
}

/// One message, as planned.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// `onMetaData`.
    Metadata(Metadata),
    /// A sequence header of either track.
    Sequence(Rc<CodecConfig>, TagForm),
    /// The frame at a position of the log.
    Frame {
        position: u64,
        track: Track,
        keyframe: bool,
        /// The bytes before the frame's own.
        tag: Head,
        /// What goes in place of the frame's own bytes.
        stand_in: Option<StandIn>,
    },
    /// No message: the frame is passed over.
    Skip(Skip),
}

/// A message with its place in time and its head.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub body: Body,
    pub head: MessageHead,
    /// Milliseconds since the stream's first frame.
    millis: i64,
    /// The frame's own time could not be kept.
    pub clamped: bool,
}

/// How messages look on this connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub stream_id: u32,
    pub to_publish: bool,
    pub first_timestamp: u32,
    pub takes: Takes,
}

/// A reader's place.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Position of the next frame.
    pub cursor: u64,
    /// Video before this position is passed over.
    pub video_from: u64,
    /// A keyframe has been sent and nothing lost since.
    pub video_open: bool,
    /// Tracks known to be there.
    pub tracks: Metadata,
    /// Call time of the stream's time zero.
    pub origin: Option<MediaTime>,
    takes: Takes,
    described: Option<Metadata>,
    /// What the peer knows of each track: the configuration of its last sequence header or frame.
    audio_config: Option<Rc<CodecConfig>>,
    video_config: Option<Rc<CodecConfig>>,
    /// The codec of each track that comes in and is not sent.
    audio_left_out: Option<Codec>,
    video_left_out: Option<Codec>,
    last_audio: Option<i64>,
    last_video: Option<i64>,
    /// Samples, or frames, of a prepared sound that are out.
    pub sound_at: u32,
    /// Its frame that went out last, unless other sound followed.
    last_frame: Option<LastFrame>,
}

impl Place {
    /// The place of a new stream that begins at a position, to a peer that takes these codecs.
    pub fn at(cursor: u64, takes: Takes) -> Self {
        Self {
            cursor,
            takes,
            ..Self::default()
        }
    }

    /// The same place of a new connection, to a peer that takes these codecs.
    pub fn anew(&self, takes: Takes) -> Self {
        Self {
            sound_at: self.sound_at,
            ..Self::at(self.cursor, takes)
        }
    }

    /// The next message, with this to be heard; `None` when the log has no further frame.
    pub fn next(&self, form: &Form, voice: &Voice, log: &FrameLog) -> Option<Planned> {
        let view = log.get(self.cursor)?;
        let frame = view.frame();
        let turn = voice.turn(&view, self.sound_at, self.last_frame);
        let time = match turn {
            Turn::StandIn(stand_in) => stand_in.time(),
            _ => None,
        };
        let (millis, clamped, composition) = self.times(frame, time.unwrap_or(frame.time));
        let timestamp = form.first_timestamp.wrapping_add(millis as u32);
        let planned = |body, chunk_stream, kind, length: usize| {
            let head = MessageHead {
                chunk_stream,
                timestamp,
                length: length as u32,
                kind,
                stream_id: form.stream_id,
            };
            Some(Planned {
                body,
                head,
                millis,
                clamped,
            })
        };
        let skip = |why| planned(Body::Skip(why), 0, 0, 0);

        let config = &frame.config;
        let Some(tag_form) = self.takes.form(config.codec()) else {
            return skip(Skip::NotTaken);
        };
        let opens = frame.keyframe && self.cursor >= self.video_from;
        let is_open = self.video_open && self.knows_codec(config);
        if frame.track == Track::Video && !is_open && !opens {
            return skip(Skip::Undecodable);
        }
        let Some(tag) = tag(&view, tag_form, composition) else {
            return skip(Skip::Unusable);
        };
        let tracks = self.tracks.with(config, tag_form);
        if self.described != Some(tracks) {
            let length = tracks
                .write(form.to_publish, &mut [0; flv::METADATA_BYTES])
                .unwrap_or(0);
            return planned(
                Body::Metadata(tracks),
                DATA_CHUNK_STREAM,
                kind::DATA,
                length,
            );
        }
        let (chunk_stream, kind) = match frame.track {
            Track::Audio => (AUDIO_CHUNK_STREAM, kind::AUDIO),
            Track::Video => (VIDEO_CHUNK_STREAM, kind::VIDEO),
        };
        let is_known = self
            .known(frame.track)
            .is_some_and(|known| Rc::ptr_eq(known, config));
        if !is_known && flv::has_sequence_header(config.codec(), tag_form) {
            let mut body = [0; flv::SEQUENCE_HEADER_BYTES];
            let Some(length) = flv::write_sequence_header(config, tag_form, &mut body) else {
                return skip(Skip::Unusable);
            };
            let body = Body::Sequence(Rc::clone(config), tag_form);
            return planned(body, chunk_stream, kind, length);
        }
        let stand_in = match turn {
            Turn::Own => None,
            Turn::StandIn(stand_in) => Some(stand_in),
            Turn::Covered => return skip(Skip::Covered),
            Turn::Unvoiced => return skip(Skip::Unvoiced),
        };
        let own = stand_in.map_or(view.len(), StandIn::len);
        let length = own.saturating_add(tag.len());
        let body = Body::Frame {
            position: self.cursor,
            track: frame.track,
            keyframe: frame.keyframe,
            tag,
            stand_in,
        };
        planned(body, chunk_stream, kind, length)
    }

    /// Moves past a message.
    pub fn advance(&mut self, planned: &Planned, log: &FrameLog) {
        match &planned.body {
            Body::Metadata(tracks) => {
                self.tracks = *tracks;
                self.described = Some(*tracks);
            }
            Body::Sequence(config, _) => {
                *self.known_mut(config.codec().track()) = Some(Rc::clone(config));
            }
            Body::Frame {
                track,
                position,
                stand_in,
                ..
            } => {
                if *track == Track::Audio {
                    self.last_frame = stand_in.and_then(StandIn::last_frame);
                }
                if let Some(next) = stand_in.and_then(StandIn::next) {
                    self.sound_at = next;
                }
                let frame = log.get(*position).map(|view| view.frame());
                let known = self.known_mut(*track);
                if let Some(frame) = frame
                    && !known
                        .as_ref()
                        .is_some_and(|known| Rc::ptr_eq(known, &frame.config))
                {
                    *known = Some(Rc::clone(&frame.config));
                }
                match track {
                    Track::Audio => self.last_audio = Some(planned.millis),
                    Track::Video => {
                        self.last_video = Some(planned.millis);
                        self.video_open = true;
                    }
                }
                *self.left_out_mut(*track) = None;
                if !stand_in.is_some_and(StandIn::stays) {
                    self.cursor = position.saturating_add(1);
                }
            }
            Body::Skip(why) => {
                if let Some(view) = log.get(self.cursor) {
                    let frame = view.frame();
                    if frame.track == Track::Video {
                        self.video_open = false;
                    }
                    if *why == Skip::NotTaken {
                        *self.left_out_mut(frame.track) = Some(frame.config.codec());
                        self.tracks = self.tracks.without(frame.track);
                    }
                }
                self.cursor = self.cursor.saturating_add(1);
            }
        }
    }

    /// The codec of a track that comes in and is not sent.
    pub fn left_out(&self, track: Track) -> Option<Codec> {
        match track {
            Track::Audio => self.audio_left_out,
            Track::Video => self.video_left_out,
        }
    }

    /// Whether the peer takes a codec.
    pub fn takes(&self, codec: Codec) -> bool {
        self.takes.form(codec).is_some()
    }

    /// The newest video keyframe from here on that can be sent.
    pub fn newest_keyframe(&self, log: &FrameLog) -> Option<u64> {
        let from = self.cursor.max(log.start());
        (from..log.end())
            .rev()
            .find(|position| self.is_sendable_keyframe(*position, log))
    }

    /// Whether a video keyframe stands at a position that can be sent.
    pub fn is_sendable_keyframe(&self, position: u64, log: &FrameLog) -> bool {
        let frame = log.get(position).map(|view| view.frame());
        is_video_keyframe(log, position)
            && frame.is_some_and(|frame| self.takes(frame.config.codec()))
    }

    /// Gives video up to the newest keyframe no older than `limit`, or until one comes.
    pub fn drop_video(&mut self, now: Instant, limit: Duration, log: &FrameLog) {
        self.video_open = false;
        let Some(keyframe) = self.newest_keyframe(log) else {
            return;
        };
        let age = log
            .get(keyframe)
            .map(|view| now.since(view.frame().received));
        self.video_from = if age <= Some(limit) {
            keyframe
        } else {
            keyframe.saturating_add(1)
        };
    }

    /// Learns the tracks and the time zero from the frames that are there to be sent.
    pub fn survey(&mut self, log: &FrameLog) {
        let mut video = false;
        for position in self.cursor..log.end() {
            let Some(view) = log.get(position) else { break };
            let frame = view.frame();
            let Some(form) = self.takes.form(frame.config.codec()) else {
                continue;
            };
            video |= frame.track == Track::Video && frame.keyframe;
            if (frame.track == Track::Video && !video) || tag(&view, form, 0).is_none() {
                continue;
            }
            self.tracks = self.tracks.with(&frame.config, form);
            let earliest = self
                .origin
                .map_or(frame.time, |origin| origin.min(frame.time));
            self.origin = Some(earliest);
        }
    }

    /// When the frame, or what goes in its place at this time, stands on this stream's clock: its own
    /// time as far as the track's times rise and the tracks stay together. Whether that is not its own,
    /// and how many milliseconds later it is presented: at its own time of presentation, where that is
    /// not over yet.
    fn times(&self, frame: &Frame, time: MediaTime) -> (i64, bool, i32) {
        let origin = self.origin.unwrap_or(time);
        let since_origin = time.micros_since(origin);
        let own = since_origin.div_euclid(1_000);
        let last = match frame.track {
            Track::Audio => self.last_audio,
            Track::Video => self.last_video,
        };
        let after_last = last.map_or(0, |last| last.saturating_add(1));
        let newest = self.last_audio.max(self.last_video).unwrap_or(0);
        let millis = own
            .max(after_last)
            .max(newest.saturating_sub(INTERLEAVE_MILLIS));
        let presented = since_origin
            .saturating_add(i64::from(frame.composition))
            .div_euclid(1_000);
        let composition = presented.saturating_sub(millis).max(0);
        (
            millis,
            millis != own,
            i32::try_from(composition).unwrap_or(i32::MAX),
        )
    }

    /// Whether the last sequence header or frame of the track was of the same codec.
    fn knows_codec(&self, config: &CodecConfig) -> bool {
        let codec = config.codec();
        self.known(codec.track())
            .is_some_and(|known| known.codec() == codec)
    }

    /// What the peer knows of a track: the configuration of its last sequence header or frame.
    pub fn known(&self, track: Track) -> Option<&Rc<CodecConfig>> {
        match track {
            Track::Audio => self.audio_config.as_ref(),
            Track::Video => self.video_config.as_ref(),
        }
    }

    fn known_mut(&mut self, track: Track) -> &mut Option<Rc<CodecConfig>> {
        match track {
            Track::Audio => &mut self.audio_config,
            Track::Video => &mut self.video_config,
        }
    }

    fn left_out_mut(&mut self, track: Track) -> &mut Option<Codec> {
        match track {
            Track::Audio => &mut self.audio_left_out,
            Track::Video => &mut self.video_left_out,
        }
    }
}

pub(super) fn is_video_keyframe(log: &FrameLog, position: u64) -> bool {
    log.get(position).is_some_and(|view| {
        let frame = view.frame();
        frame.track == Track::Video && frame.keyframe
    })
}

/// The bytes before a frame's own; `None` when the stream cannot carry it.
fn tag(view: &FrameView<'_>, form: TagForm, composition: i32) -> Option<Head> {
    let frame = view.frame();
    let is_whole = !view.is_empty() && view.segments().count() <= FRAME_SEGMENTS;
    if !is_whole || frame.config.codec().track() != frame.track {
        return None;
    }
    flv::frame_head(&frame.config, form, frame.keyframe, composition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{CodecSet, H264Config, ParameterSet};
    use crate::base::frame_log::Segment;
    use crate::base::packet_pool::PacketPool;

    fn h264() -> Rc<CodecConfig> {
        let set = |bytes: &[u8]| ParameterSet::from_slice(bytes).unwrap();
        let mut pps = heapless::Vec::new();
        pps.push(set(&[0x68, 0xce])).unwrap();
        Rc::new(CodecConfig::H264(H264Config {
            sps: set(&[0x67, 0x42, 0xc0, 0x0d]),
            pps,
            width: 320,
            height: 240,
        }))
    }

    fn push(log: &mut FrameLog, config: &Rc<CodecConfig>, micros: i64, later: u32, keyframe: bool) {
        let pool = PacketPool::new(4);
        let mut segments = heapless::Vec::<Segment, 1>::new();
        let packet = pool.copy_from(b"picture").unwrap();
        segments.push(Segment::new(&[], packet)).unwrap();
        let frame = Frame {
            track: config.codec().track(),
            time: MediaTime::from_micros(micros),
            composition: later,
            keyframe,
            config: Rc::clone(config),
            received: Instant::from_micros(0),
        };
        log.push(frame, &mut segments).unwrap();
    }

    /// The heads of every frame of a log, to a peer that takes this; nothing for one passed over.
    fn heads(log: &FrameLog, takes: Takes) -> Vec<Vec<u8>> {
        let form = Form {
            stream_id: 1,
            to_publish: true,
            first_timestamp: 0,
            takes,
        };
        let mut place = Place::at(0, takes);
        place.survey(log);
        let mut heads = Vec::new();
        while let Some(planned) = place.next(&form, &Voice::Caller, log) {
            match &planned.body {
                Body::Frame { tag, .. } => heads.push(tag.to_vec()),
                Body::Skip(_) => heads.push(Vec::new()),
                Body::Metadata(_) | Body::Sequence(..) => {}
            }
            place.advance(&planned, log);
        }
        heads
    }

    #[test]
    fn avc_goes_by_fourcc_where_that_is_chosen_and_listed() {
        let (mut log, config) = (FrameLog::new(), h264());
        push(&mut log, &config, 0, 0, true);
        push(&mut log, &config, 40_000, 80_000, false);
        let listed = Takes::from_listed(CodecSet::of(&[Codec::H264]));
        let chosen = listed.enhanced(CodecSet::of(&[Codec::H264]));
        let enhanced = [b"\x93avc1".to_vec(), b"\xa1avc1\x00\x00\x50".to_vec()];
        assert_eq!(heads(&log, chosen), enhanced);
        let legacy = [vec![0x17, 1, 0, 0, 0], vec![0x27, 1, 0, 0, 80]];
        assert_eq!(heads(&log, listed), legacy);
        let unlisted = Takes::legacy().enhanced(CodecSet::ALL);
        assert_eq!(heads(&log, unlisted), legacy);
    }

    #[test]
    fn a_codec_that_was_refused_is_left_out_though_listed() {
        let (mut log, config) = (FrameLog::new(), h264());
        push(&mut log, &config, 0, 0, true);
        let refused = CodecSet::of(&[Codec::H264]);
        let takes = Takes::from_listed(CodecSet::ALL).without(refused);
        assert_eq!(heads(&log, takes), [Vec::<u8>::new()]);
    }

    #[test]
    fn a_time_that_is_moved_leaves_the_time_of_presentation() {
        let (mut log, config) = (FrameLog::new(), h264());
        for micros in [10_000, 10_100, 10_200] {
            push(&mut log, &config, micros, 5_000, true);
        }
        // One whose presentation is over when it can be decoded at the earliest.
        push(&mut log, &config, 10_300, 0, true);
        let got: Vec<_> = heads(&log, Takes::legacy())
            .iter()
            .map(|head| head[4])
            .collect();
        assert_eq!(got, [5, 4, 3, 0]);
    }
}
