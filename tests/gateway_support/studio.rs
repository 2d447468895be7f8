//! A caller whose codecs, numbers and sources change in the midst of a call: what it sends, what
//! it offers, and what must come of it at the RTMP server.

use std::time::Duration;

use trunkcast::base::codec::{Codec, Track};
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::gateway::config::Config;
use trunkcast::rtmp::ViewerEvent;
use trunkcast::wire::bits::BitWriter;

use super::camera::asks;
use super::{Heard, Phone, Policy, World, config};
use crate::rtp_support::{Form, VideoSender, packet};

/// What a caller says with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    pub codec: Codec,
    pub payload_type: u8,
}

impl Sound {
    pub const PCMA: Self = Self::new(Codec::Pcma, 8);
    pub const PCMU: Self = Self::new(Codec::Pcmu, 0);
    pub const AAC: Self = Self::new(Codec::Aac, 97);
    pub const OPUS: Self = Self::new(Codec::Opus, 98);

    pub const fn new(codec: Codec, payload_type: u8) -> Self {
        Self {
            codec,
            payload_type,
        }
    }

    /// Ticks and microseconds of a packet.
    fn ticks(self) -> (u32, u64) {
        match self.codec {
            Codec::Aac => (1_024, 21_333),
            Codec::Opus => (960, 20_000),
            _ => (160, 20_000),
        }
    }

    fn line(self, port: u16) -> String {
        let number = self.payload_type;
        let map = match self.codec {
            Codec::Pcma => "PCMA/8000".to_owned(),
            Codec::Pcmu => "PCMU/8000".to_owned(),
            Codec::Opus => "opus/48000/2".to_owned(),
            Codec::Aac => format!(
                "mpeg4-generic/48000/1\r\na=fmtp:{number} streamtype=5; profile-level-id=1; \
                 mode=AAC-hbr; config=1188; sizeLength=13; indexLength=3; indexDeltaLength=3"
            ),
            other => panic!("{other} is not sent here"),
        };
        format!("m=audio {port} RTP/AVP {number}\r\na=rtpmap:{number} {map}\r\n")
    }

    fn payload(self, rng: &mut Rng) -> Vec<u8> {
        let mut body = |length: u32| (0..length).map(|_| rng.below(255) as u8 + 1).collect();
        match self.codec {
            Codec::Opus => {
                let rest: Vec<u8> = body(90);
                [&[0xf8], &rest[..]].concat()
            }
            Codec::Aac => {
                let unit: Vec<u8> = body(200);
                [&[0, 16, (200_u16 >> 5) as u8, (200 << 3) as u8], &unit[..]].concat()
            }
            _ => body(160),
        }
    }
}

/// A kind of picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub codec: Codec,
    pub payload_type: u8,
    pub size: (u16, u16),
    pub profile: u8,
    pps: &'static [u8],
}

impl Picture {
    pub fn h264(width: u16, height: u16) -> Self {
        Self {
            codec: Codec::H264,
            payload_type: 96,
            size: (width, height),
            profile: 0x42,
            pps: &[0x68, 0xce, 0x3c, 0x80],
        }
    }

    pub fn vp8(width: u16, height: u16) -> Self {
        Self {
            codec: Codec::Vp8,
            payload_type: 100,
            ..Self::h264(width, height)
        }
    }

    pub fn numbered(self, payload_type: u8) -> Self {
        Self {
            payload_type,
            ..self
        }
    }

    pub fn with_profile(self, profile: u8) -> Self {
        Self { profile, ..self }
    }

    /// Another initial quantiser.
    pub fn with_other_pps(self) -> Self {
        Self {
            pps: &[0x68, 0xce, 0x38, 0x80],
            ..self
        }
    }

    fn line(&self, port: u16) -> String {
        let number = self.payload_type;
        let map = match self.codec {
            Codec::Vp8 => "VP8/90000".to_owned(),
            _ => format!("H264/90000\r\na=fmtp:{number} packetization-mode=1"),
        };
        format!(
            "m=video {port} RTP/AVP {number}\r\na=rtpmap:{number} {map}\r\n\
             a=rtcp-fb:{number} nack pli\r\na=rtcp-fb:{number} ccm fir\r\n"
        )
    }

    /// The sequence parameter set: no reordering, nothing said of colours and times.
    pub fn sps(&self) -> Vec<u8> {
        let mut bits = BitWriter::<64>::new();
        let (width, height) = self.size;
        write_sps(&mut bits, self.profile, width, height);
        let level = 31;
        let mut set = vec![0x67, self.profile, 0, level];
        set.extend(bits.finish());
        set
    }
}

fn write_sps(bits: &mut BitWriter<64>, profile: u8, width: u16, height: u16) {
    fn ue(bits: &mut BitWriter<64>, number: u32) {
        let length = (number + 1).ilog2();
        bits.number(0, length).unwrap();
        bits.number(number + 1, length + 1).unwrap();
    }
    ue(bits, 0);
    if profile == 0x64 {
        // 4:2:0, 8 bits each; no bypass, no scaling lists.
        ue(bits, 1);
        ue(bits, 0);
        ue(bits, 0);
        bits.number(0, 2).unwrap();
    }
    // Frame numbers of 4 bits, pictures in order, one reference, no gaps.
    ue(bits, 0);
    ue(bits, 2);
    ue(bits, 1);
    bits.number(0, 1).unwrap();
    ue(bits, u32::from(width) / 16 - 1);
    ue(bits, u32::from(height) / 16 - 1);
    // Frames only, direct 8x8; no cropping, no usability information; the stop bit.
    bits.number(0b11001, 5).unwrap();
}

/// A picture as it was sent.
pub struct SentPicture {
    pub kind: Picture,
    pub keyframe: bool,
    /// Bytes of the frame.
    pub size: usize,
    pub at: Instant,
}

/// One call with everything that takes part.
pub struct Studio {
    pub world: World,
    pub phone: Phone,
    pub sound: Sound,
    pub picture: Picture,
    pub with_audio: bool,
    pub with_video: bool,
    /// What happened to pictures in the order of sending.
    pub sent: Vec<SentPicture>,
    pub audio_ssrc: u32,
    pub video: VideoSender,
    /// The next picture is a keyframe.
    pub keyframe_due: bool,
    /// Every tenth picture loses its last packet on the way.
    pub lossy: bool,
    /// What was sent before the last offer.
    before: (Sound, Picture),
    sequence: u16,
    timestamp: u32,
    sound_due: Instant,
    ticks: u32,
    version: u32,
    seen: usize,
    rng: Rng,
}

impl Studio {
    /// A call with these codecs, to a server that takes all of them; `None` offers no such line.
    pub fn call(sound: Option<Sound>, picture: Option<Picture>) -> Self {
        let config = config(4, Some("rtmp://198.51.100.5/live"));
        Self::call_with(config, sound, picture)
    }

    /// The same with a configuration.
    pub fn call_with(config: Config, sound: Option<Sound>, picture: Option<Picture>) -> Self {
        let mut world = World::new(config);
        world.policy = Policy::ListsAll;
        // Long calls; other tests look at every table after every step.
        world.checks = false;
        let mut studio = Self {
            sound_due: world.now,
            world,
            phone: Phone::new("4711"),
            with_audio: sound.is_some(),
            with_video: picture.is_some(),
            before: (Sound::PCMA, Picture::h264(1_280, 720)),
            sound: sound.unwrap_or(Sound::PCMA),
            picture: picture.clone().unwrap_or(Picture::h264(1_280, 720)),
            sent: Vec::new(),
            audio_ssrc: 5,
            video: VideoSender::new(Form::Fragments, 3),
            keyframe_due: true,
            lossy: false,
            sequence: 65_500,
            timestamp: u32::MAX - 100_000,
            ticks: 0,
            version: 1,
            seen: 0,
            rng: Rng::from_number(4),
        };
        studio.phone.sdp = studio.offer(sound, picture.as_ref(), "sendrecv");
        studio.world.call(&mut studio.phone);
        studio
    }

    /// An offer of these lines; a port of 0 for a line that was there before.
    pub fn offer(&mut self, sound: Option<Sound>, picture: Option<&Picture>, how: &str) -> String {
        self.version += 1;
        let (port, version) = (self.phone.media.port(), self.version);
        let mut text = format!(
            "v=0\r\no=- 1 {version} IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
        );
        match sound {
            Some(sound) => text += &format!("{}a={how}\r\n", sound.line(port)),
            None => text += "m=audio 0 RTP/AVP 8\r\n",
        }
        match picture {
            Some(picture) => text += &format!("{}a={how}\r\n", picture.line(port + 2)),
            None => text += "m=video 0 RTP/AVP 96\r\n",
        }
        text
    }

    /// Offers these and goes on with them; panics when the offer is refused.
    pub fn agree(&mut self, sound: Option<Sound>, picture: Option<Picture>, how: &str) {
        let offer = self.offer(sound, picture.as_ref(), how);
        let answer = self.world.reinvite(&mut self.phone, &offer);
        assert_eq!(super::status(&answer), 200, "{answer}");
        self.before = (self.sound, self.picture.clone());
        self.with_audio = sound.is_some();
        self.with_video = picture.is_some();
        self.sound = sound.unwrap_or(self.sound);
        self.picture = picture.unwrap_or_else(|| self.picture.clone());
        self.sound_due = self.world.now;
    }

    /// What was under way when the last offer was agreed on arrives: for a time packets of what was
    /// sent before it, with the numbers of now. The numbers of the pictures.
    pub fn under_way(&mut self, millis: u64) -> Vec<usize> {
        let (sound, picture) = (self.sound, self.picture.clone());
        let (sound_before, picture_before) = self.before.clone();
        self.sound = Sound::new(sound_before.codec, sound.payload_type);
        self.picture = picture_before.numbered(picture.payload_type);
        let from = self.sent.len();
        // The camera is in the midst of its pictures.
        self.sent.push(SentPicture {
            kind: self.picture.clone(),
            keyframe: false,
            size: 0,
            at: self.world.now,
        });
        self.film(Duration::from_millis(millis));
        (self.sound, self.picture) = (sound, picture);
        self.sound_due = self.world.now;
        (from..self.sent.len()).collect()
    }

    /// Another camera: another source with numbers of its own.
    pub fn other_camera(&mut self) {
        self.video.ssrc += 1_000;
        self.video.sequence = self.video.sequence.wrapping_add(20_000);
        self.video.timestamp = self.video.timestamp.wrapping_add(0x5000_0000);
        self.keyframe_due = true;
    }

    /// Another microphone.
    pub fn other_microphone(&mut self) {
        self.audio_ssrc += 1_000;
        self.sequence = self.sequence.wrapping_add(30_000);
        self.timestamp = self.timestamp.wrapping_add(0x6000_0000);
    }

    /// Sends for a time: 25 pictures a second, and sound by its own clock. A keyframe comes first,
    /// when the kind of picture changes and when it is asked for.
    pub fn film(&mut self, time: Duration) {
        let until = self.world.now + time;
        while self.world.now < until {
            self.tick();
            self.world.advance(Duration::from_millis(20));
        }
    }

    /// Sends what is due now; a turn lasts 20 ms.
    pub fn tick(&mut self) {
        if self.ticks.is_multiple_of(2) {
            let asked = self.asked();
            if self.with_video {
                let last = self.sent.last().map(|last| &last.kind);
                let is_new = last != Some(&self.picture);
                let keyframe = std::mem::take(&mut self.keyframe_due) || is_new || asked;
                self.send_picture(keyframe);
            }
            self.video.timestamp = self.video.timestamp.wrapping_add(3_600);
        }
        while self.sound_due <= self.world.now {
            let (ticks, micros) = self.sound.ticks();
            if self.with_audio {
                let bytes = self.sound_packet();
                self.world.media(&self.phone, Track::Audio, &bytes);
            }
            self.timestamp = self.timestamp.wrapping_add(ticks);
            self.sound_due = self.sound_due + Duration::from_micros(micros);
        }
        self.ticks += 1;
    }

    /// The microphone's clock runs on for a time in which nothing is filmed.
    pub fn resume_sound(&mut self, time: Duration) {
        let (ticks, micros) = self.sound.ticks();
        let packets = time.as_micros() as u64 / micros;
        self.timestamp = self.timestamp.wrapping_add(packets as u32 * ticks);
    }

    /// Whether a keyframe was asked for since the last look.
    fn asked(&mut self) -> bool {
        let sent = &self.world.outlet.sent_media;
        let asked = sent[self.seen.min(sent.len())..].iter().any(asks);
        self.seen = sent.len();
        asked
    }

    /// The next packet of sound.
    pub fn sound_packet(&mut self) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let payload = self.sound.payload(&mut self.rng);
        let (number, ssrc) = (self.sound.payload_type, self.audio_ssrc);
        packet(number, false, self.sequence, self.timestamp, ssrc, &payload)
    }

    /// The packets of the next picture, without a step in time.
    pub fn picture_packets(&mut self, keyframe: bool) -> Vec<Vec<u8>> {
        let kind = self.picture.clone();
        let (size, mut packets);
        if kind.codec == Codec::H264 {
            self.video.sps = kind.sps();
            self.video.pps = kind.pps.to_vec();
            let timestamp = self.video.timestamp;
            packets = self.video.picture(keyframe);
            self.video.timestamp = timestamp;
            size = self.video.pictures.pop().unwrap().bytes.len();
        } else {
            let frame = vp8_frame(&mut self.rng, keyframe, kind.size);
            size = frame.len();
            packets = Vec::new();
            let parts: Vec<_> = frame.chunks(1_100).collect();
            for (at, part) in parts.iter().enumerate() {
                let payload = [&[if at == 0 { 0x10 } else { 0 }], *part].concat();
                let (sequence, timestamp) = (self.video.sequence, self.video.timestamp);
                let marker = at + 1 == parts.len();
                let ssrc = self.video.ssrc;
                packets.push(packet(100, marker, sequence, timestamp, ssrc, &payload));
                self.video.sequence = sequence.wrapping_add(1);
            }
        }
        for bytes in &mut packets {
            bytes[1] = bytes[1] & 0x80 | kind.payload_type;
        }
        self.sent.push(SentPicture {
            kind,
            keyframe,
            size,
            at: self.world.now,
        });
        packets
    }

    fn send_picture(&mut self, keyframe: bool) {
        let mut packets = self.picture_packets(keyframe);
        if self.lossy && self.sent.len().is_multiple_of(10) {
            packets.pop();
        }
        for bytes in packets {
            self.world.media(&self.phone, Track::Video, &bytes);
        }
    }

    /// What the RTMP server has heard so far, commands and keys left out.
    pub fn heard(&mut self) -> Vec<Heard> {
        let heard = self.world.server().media();
        heard.into_iter().cloned().collect()
    }

    /// How much of that there is.
    pub fn mark(&mut self) -> usize {
        self.heard().len()
    }

    /// Everything that is to hold of a stream whatever changes in it; what was published of the
    /// pictures sent, by their numbers.
    ///
    /// One connection. Before the first frame of every form its sequence header and metadata that
    /// say so; of video a keyframe, and no frame of another form after it. Times rise in each track.
    pub fn check(&mut self) -> Vec<usize> {
        assert_eq!(self.world.attempts.len(), 1, "the stream was interrupted");
        assert!(self.world.server().is_publishing());
        let heard = self.heard();
        let (mut published, mut described, mut last) = (Vec::new(), None, [None; 2]);
        let (mut headers, mut fresh): ([Option<Vec<u8>>; 2], bool) = (Default::default(), false);
        for (at, heard) in heard.iter().enumerate() {
            match heard {
                Heard::Command(_) => {}
                Heard::Metadata(metadata) => described = Some(*metadata),
                Heard::SequenceHeader { codec, start, .. } => {
                    let track = codec.expect("a codec").track();
                    fresh |= track == Track::Video;
                    headers[usize::from(track == Track::Video)] = Some(start.clone());
                }
                Heard::Video {
                    timestamp,
                    size,
                    keyframe,
                    codec,
                } => {
                    let from = published.last().map_or(0, |last| last + 1);
                    // Both the head of AVC and that of a FourCC have five bytes.
                    let size = *size as usize - 5;
                    let ahead = self.sent[from..].iter().position(|it| it.size == size);
                    let number = from + ahead.expect("a picture that was not sent");
                    let sent = &self.sent[number];
                    assert_eq!(Some(sent.kind.codec), *codec, "{at}");
                    assert_eq!(sent.keyframe, *keyframe);
                    assert!(!fresh || *keyframe, "{at}: no keyframe after a new header");
                    fresh = false;
                    let header = headers[1].as_ref().expect("a sequence header of video");
                    assert!(describes(header, &sent.kind), "{at}: {header:x?}");
                    let described = described.expect("metadata");
                    assert_eq!((described.width, described.height), sent.kind.size);
                    let said = described.codec(Track::Video).map(|(codec, _)| codec);
                    assert_eq!(said, *codec);
                    assert!(
                        last[1].is_none_or(|last| last < *timestamp),
                        "{at}: times of pictures do not rise"
                    );
                    last[1] = Some(*timestamp);
                    published.push(number);
                }
                Heard::Audio {
                    timestamp, codec, ..
                } => {
                    let described = described.expect("metadata");
                    let said = described.codec(Track::Audio).map(|(codec, _)| codec);
                    assert_eq!(said, *codec, "{at}");
                    if matches!(codec, Some(Codec::Aac | Codec::Opus)) {
                        assert!(headers[0].is_some(), "{at}");
                    }
                    assert!(
                        last[0].is_none_or(|last| last < *timestamp),
                        "{at}: times of sound do not rise"
                    );
                    last[0] = Some(*timestamp);
                }
            }
        }
        published
    }

    /// A player that joined sees what the server is sent: the same frames at the same times of its
    /// own clock, and a header before each that the server has one before.
    pub fn check_player(&mut self, player: usize) {
        let sent: Vec<_> = self.heard().iter().filter_map(seen_by_server).collect();
        let events = &self.world.players[player].events;
        let seen: Vec<_> = events.iter().filter_map(seen_by_player).collect();
        let is_picture = |seen: &&Seen| seen.codec.track() == Track::Video && !seen.is_header;
        let first = seen.iter().find(is_picture).expect("a picture").clone();
        let at = sent.iter().position(|sent| sent.is_like(&first)).unwrap();
        let offset = sent[at].timestamp - first.timestamp;
        let begin = seen.iter().position(|seen| seen.is_like(&first)).unwrap();
        assert_eq!(seen.len() - begin, sent.len() - at);
        for (seen, sent) in seen[begin..].iter().zip(&sent[at..]) {
            assert!(sent.is_like(seen), "{seen:?} for {sent:?}");
            assert_eq!(seen.timestamp + offset, sent.timestamp, "{seen:?}");
        }
    }

    /// Steps from frame to frame of a track since a mark, in milliseconds.
    pub fn steps(&mut self, track: Track, mark: usize) -> Vec<u32> {
        let times = |heard: &Heard| match (heard, track) {
            (Heard::Video { timestamp, .. }, Track::Video)
            | (Heard::Audio { timestamp, .. }, Track::Audio) => Some(*timestamp),
            _ => None,
        };
        let heard = self.heard();
        let times: Vec<u32> = heard.iter().skip(mark).filter_map(times).collect();
        times.windows(2).map(|two| two[1] - two[0]).collect()
    }

    /// How often a keyframe was asked for.
    pub fn keyframes_asked(&self) -> usize {
        super::reports_of(&self.world.outlet.sent_media)
    }
}

/// A message of media, as either side of the gateway sees it.
#[derive(Clone, Debug)]
struct Seen {
    codec: Codec,
    is_header: bool,
    keyframe: bool,
    /// Of frames.
    size: u32,
    timestamp: u32,
}

impl Seen {
    fn is_like(&self, other: &Self) -> bool {
        let form = |seen: &Self| (seen.codec, seen.is_header, seen.keyframe, seen.size);
        form(self) == form(other)
    }
}

fn seen_by_server(heard: &Heard) -> Option<Seen> {
    let (codec, is_header, keyframe, size, timestamp) = match heard {
        Heard::SequenceHeader {
            timestamp, codec, ..
        } => (*codec, true, false, 0, *timestamp),
        Heard::Video {
            timestamp,
            size,
            keyframe,
            codec,
        } => (*codec, false, *keyframe, *size, *timestamp),
        Heard::Audio {
            timestamp,
            size,
            codec,
            ..
        } => (*codec, false, false, *size, *timestamp),
        _ => return None,
    };
    Some(Seen {
        codec: codec.expect("a codec"),
        is_header,
        keyframe,
        size,
        timestamp,
    })
}

fn seen_by_player(event: &ViewerEvent) -> Option<Seen> {
    let (codec, is_header, keyframe, size, timestamp) = match event {
        ViewerEvent::Video {
            timestamp,
            size,
            keyframe,
            codec,
            sequence_header,
        } => (*codec, *sequence_header, *keyframe, *size, *timestamp),
        ViewerEvent::Audio {
            timestamp,
            size,
            codec,
            sequence_header,
            ..
        } => (*codec, *sequence_header, false, *size, *timestamp),
        _ => return None,
    };
    Some(Seen {
        codec: codec.expect("a codec"),
        is_header,
        keyframe: keyframe && !is_header,
        size: if is_header { 0 } else { size },
        timestamp,
    })
}

/// Whether a sequence header is that of a kind of picture.
fn describes(header: &[u8], kind: &Picture) -> bool {
    let holds = |set: &[u8]| header.windows(set.len()).any(|part| part == set);
    match kind.codec {
        Codec::H264 => holds(&kind.sps()) && holds(kind.pps),
        _ => header.windows(4).any(|part| part == b"vp08"),
    }
}

/// A frame of VP8 of which nothing but the head is ever read.
fn vp8_frame(rng: &mut Rng, keyframe: bool, (width, height): (u16, u16)) -> Vec<u8> {
    let first_partition = 20_u32;
    let tag = first_partition << 5 | 1 << 4 | u32::from(!keyframe);
    let mut frame = tag.to_le_bytes()[..3].to_vec();
    if keyframe {
        frame.extend([0x9d, 0x01, 0x2a]);
        frame.extend(width.to_le_bytes());
        frame.extend(height.to_le_bytes());
    }
    let length = 100 + rng.below(4_000);
    frame.extend((0..length).map(|_| rng.u32() as u8));
    frame
}
