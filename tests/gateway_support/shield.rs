//! SRTP on the phone's side of a call.

use std::time::Duration;

use trunkcast::base::codec::Track;
use trunkcast::base::srtp::{MasterKey, SrtpKeys};
use trunkcast::base::time::Instant;
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::rtp::srtp::Srtp;
use trunkcast::wire::rtcp;
use trunkcast::wire::sdp::SessionDescription;
use trunkcast::wire::sdp_crypto::crypto_value;

use super::SentMedia;

/// The protection of a phone's two lines.
pub struct Shield {
    /// The phone's key, of both lines.
    pub key: MasterKey,
    lines: [Srtp; 2],
}

/// The offer of a phone with a key in every line.
pub fn with_key(sdp: &str, key: &MasterKey) -> String {
    let line = format!("a=crypto:1 {}\r\n", &crypto_value(1, key)[2..]);
    let mut text = String::new();
    for part in sdp.replace("RTP/AVP", "RTP/SAVP").split_inclusive("\r\n") {
        text.push_str(part);
        if part.starts_with("m=") {
            text.push_str(&line);
        }
    }
    text
}

impl Shield {
    /// The protection that the gateway's answer completes.
    pub fn new(key: MasterKey, told: &str) -> Self {
        let told = SessionDescription::parse(told.as_bytes()).unwrap();
        let lines: Vec<_> = told
            .media()
            .map(|line| {
                let theirs = line.crypto().next().unwrap().unwrap();
                assert_eq!(theirs.tag, 1);
                Srtp::new(Box::new(SrtpKeys {
                    local: key.clone(),
                    remote: theirs.key,
                    remote_mki: None,
                }))
            })
            .collect();
        Self {
            key,
            lines: lines.try_into().unwrap(),
        }
    }

    fn line(&mut self, track: Track) -> &mut Srtp {
        let [audio, video] = &mut self.lines;
        match track {
            Track::Audio => audio,
            Track::Video => video,
        }
    }

    /// What the phone puts on the wire.
    pub fn close(&mut self, track: Track, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 14, 0);
        let line = self.line(track);
        let len = if rtcp::is_rtcp(bytes) {
            line.protect_rtcp(&mut buffer, bytes.len())
        } else {
            line.protect_rtp(&mut buffer, bytes.len())
        };
        buffer.truncate(len.unwrap());
        buffer
    }

    /// What the phone makes of a datagram of the gateway; each may be looked at once.
    pub fn open(&mut self, sent: &SentMedia) -> Vec<u8> {
        let mut bytes = sent.bytes.clone();
        let now = Instant::ZERO + Duration::from_secs(1);
        let is_report = sent.port == MediaPort::Rtcp || rtcp::is_rtcp(&bytes);
        let line = self.line(sent.track);
        let len = if is_report {
            line.unprotect_rtcp(now, &mut bytes)
        } else {
            line.unprotect_rtp(now, &mut bytes)
        };
        bytes.truncate(len.expect("the gateway's packet is authentic"));
        bytes
    }
}
