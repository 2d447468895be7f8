//! A player of a stream on the gateway's own server.

use trunkcast::base::ids::ConnId;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::rtmp::{Viewer, ViewerEvent};
use trunkcast::wire::rtmp_url::{RtmpUrl, StreamKey};

pub struct PlayerPeer {
    pub conn: ConnId,
    pub connected: bool,
    pub events: Vec<ViewerEvent>,
    /// Whether events are counted only.
    pub forgetful: bool,
    pub event_count: u64,
    /// Everything that was sent to the gateway.
    pub said: Vec<u8>,
    viewer: Viewer,
}

impl PlayerPeer {
    pub fn new(now: Instant, conn: ConnId, stream: &str, seed: u64, connected: bool) -> Self {
        let url = RtmpUrl::parse("rtmp://192.0.2.1/live").unwrap();
        let name = StreamKey::new(stream).unwrap();
        let viewer = Viewer::new(now, url, name, Rng::from_number(seed)).unwrap();
        Self {
            conn,
            connected,
            events: Vec::new(),
            forgetful: false,
            event_count: 0,
            said: Vec::new(),
            viewer,
        }
    }

    /// Bytes of the gateway; the bytes that go back.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        if !bytes.is_empty() {
            let (events, count, forgetful) =
                (&mut self.events, &mut self.event_count, self.forgetful);
            self.viewer.handle_bytes(now, bytes, |event| {
                *count += 1;
                if !forgetful {
                    events.push(event);
                }
            });
        }
        let mut out = [0; 8_192];
        let length = self.viewer.poll_transmit(&mut out);
        self.viewer.transmitted(length);
        self.said.extend_from_slice(&out[..length]);
        out[..length].to_vec()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.viewer.poll_timeout().filter(|_| self.connected)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let events = &mut self.events;
        self.viewer.handle_timeout(now, |event| events.push(event));
    }

    /// Pictures that came, keyframes among them.
    pub fn pictures(&self) -> (usize, usize) {
        let mut pictures = (0, 0);
        for event in &self.events {
            if let ViewerEvent::Video {
                keyframe,
                sequence_header: false,
                ..
            } = event
            {
                pictures.0 += 1;
                pictures.1 += usize::from(*keyframe);
            }
        }
        pictures
    }

    pub fn sounds(&self) -> usize {
        let sound = |event: &&ViewerEvent| matches!(event, ViewerEvent::Audio { .. });
        self.events.iter().filter(sound).count()
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            ViewerEvent::Ended(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}
