//! RTMP time in nginx: a stream that begins just below 2^24 ms, or 2^32 ms, crosses it unharmed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant as Clock};

use trunkcast::base::codec::{CodecConfig, H264Config, ParameterSet, Track};
use trunkcast::base::frame_log::{Frame, FrameLog, Segment};
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, MediaTime};
use trunkcast::limits::FRAME_SEGMENTS;
use trunkcast::rtmp::{Publisher, PublisherConfig, PublisherEvent, RtmpStatus};
use trunkcast::wire::rtmp_url::{RtmpUrl, StreamKey};

mod support;

use support::clip::{AUDIO_PACKET, nal_type};
use support::flv::Flv;
use support::{Clip, Nginx, Ports, probe};

/// A publisher, its socket, and the log it reads.
struct Live {
    publisher: Box<Publisher>,
    socket: TcpStream,
    started: Clock,
    pool: PacketPool,
    log: Box<FrameLog>,
    video: Rc<CodecConfig>,
    audio: Rc<CodecConfig>,
    closed: bool,
}

impl Live {
    fn connect(nginx: &Nginx, name: &str, clip: &Clip, first_timestamp: u32) -> Self {
        let config = PublisherConfig {
            first_timestamp,
            ..PublisherConfig::new(
                RtmpUrl::parse(&nginx.url("live")).unwrap(),
                StreamKey::new(name).unwrap(),
            )
        };
        let mut publisher = Box::new(Publisher::new(Instant::ZERO, config, Rng::from_number(1)));
        assert_eq!(publisher.poll_event(), Some(PublisherEvent::Connect));
        let socket = TcpStream::connect(nginx.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        publisher.handle_connected(Instant::ZERO);
        let (sps, pps) = clip.parameter_sets();
        let set = |set: &[u8]| ParameterSet::from_slice(set).unwrap();
        let video = H264Config {
            sps: set(&sps),
            pps: [set(&pps)].into_iter().collect(),
            width: 320,
            height: 240,
        };
        Self {
            publisher,
            socket,
            started: Clock::now(),
            pool: PacketPool::new(2_048),
            log: Box::new(FrameLog::new()),
            video: Rc::new(CodecConfig::H264(video)),
            audio: Rc::new(CodecConfig::Pcma),
            closed: false,
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Reads what is there, writes what is due.
    fn turn(&mut self) {
        let now = self.now();
        self.publisher.handle_timeout(now);
        let mut bytes = vec![0; 131_072];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.publisher.handle_disconnected(now, "closed"),
            Ok(count) => self.publisher.handle_bytes(now, &bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        loop {
            let count = self.publisher.poll_transmit(now, &self.log, &mut bytes);
            if count == 0 {
                break;
            }
            let taken = match self.socket.write(&bytes[..count]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                taken => taken.unwrap(),
            };
            self.publisher.transmitted(now, taken, &self.log);
            if taken < count {
                break;
            }
        }
        while let Some(event) = self.publisher.poll_event() {
            self.closed |= event == PublisherEvent::Close;
        }
        self.log.release_before(self.publisher.position());
    }

    fn push(&mut self, track: Track, millis: i64, keyframe: bool, nals: &[&[u8]]) {
        let mut segments = heapless::Vec::<Segment, FRAME_SEGMENTS>::new();
        for nal in nals {
            let length = (nal.len() as u32).to_be_bytes();
            for (at, piece) in nal.chunks(1_400).enumerate() {
                let first = at == 0 && track == Track::Video;
                let prefix: &[u8] = if first { &length } else { &[] };
                let packet = self.pool.copy_from(piece).expect("a free slot");
                segments.push(Segment::new(prefix, packet)).unwrap();
            }
        }
        let frame = Frame {
            track,
            time: MediaTime::from_micros(millis * 1_000),
            composition: 0,
            keyframe,
            config: Rc::clone(match track {
                Track::Audio => &self.audio,
                Track::Video => &self.video,
            }),
            received: self.now(),
        };
        self.log.push(frame, &mut segments).unwrap();
    }
}

fn publish(nginx: &Nginx, name: &str, clip: &Clip, first_timestamp: u32) {
    let mut live = Live::connect(nginx, name, clip, first_timestamp);
    while live.publisher.status() != RtmpStatus::Active {
        live.turn();
        assert!(
            live.now() < Instant::from_millis(5_000),
            "{}",
            live.publisher.reason()
        );
    }
    for (at, sound) in clip.audio.chunks(AUDIO_PACKET).enumerate() {
        if at % 2 == 0
            && let Some(picture) = clip.pictures.get(at / 2)
        {
            let nals: Vec<&[u8]> = picture.iter().map(Vec::as_slice).collect();
            let keyframe = picture.iter().any(|nal| nal_type(nal) == 5);
            live.push(Track::Video, at as i64 * 20, keyframe, &nals);
        }
        live.push(Track::Audio, at as i64 * 20, true, &[sound]);
        live.turn();
        // Faster than life, and slow enough for a viewer's buffers.
        thread::sleep(Duration::from_millis(4));
    }
    let now = live.now();
    live.publisher.stop(now);
    while !live.closed {
        live.turn();
        assert!(live.now() < now + Duration::from_secs(2), "no clean end");
    }
    assert_eq!(live.pool.available(), live.pool.capacity());
}

#[test]
fn nginx_records_every_picture_across_the_edges_of_time() {
    let mut ports = Ports::claim();
    let clip = Clip::load();
    let nginx = Nginx::start(&mut ports);
    for (name, first) in [
        ("from_zero", 0),
        ("over_24_bits", (1 << 24) - 3_010),
        ("over_32_bits", u32::MAX - 3_010),
    ] {
        publish(&nginx, name, &clip, first);
        let recording = nginx.recording(name);
        probe::check_clip_streams(&recording);
        probe::check_clip_identical(&clip, &recording);
        let flv = Flv::read(&recording);
        flv.check_order();
        // nginx counts from its first message; what matters is that no step is torn.
        let steps = |times: Vec<u32>| -> Vec<u32> {
            times
                .windows(2)
                .map(|pair| pair[1].wrapping_sub(pair[0]))
                .collect()
        };
        let pictures = steps(flv.pictures.iter().map(|picture| picture.time).collect());
        assert!(
            pictures.iter().all(|step| *step == 40),
            "{name}: {pictures:?}"
        );
        let sounds = steps(flv.sounds.iter().map(|sound| sound.time).collect());
        assert!(sounds.iter().all(|step| *step == 20), "{name}: {sounds:?}");
    }
}
