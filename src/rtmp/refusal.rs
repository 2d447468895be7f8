//! Why a server refuses or ends a stream, in words fit for a log and a page: what failed, and what
//! to do about it.

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

use heapless::String;

use crate::base::codec::{Codec, CodecSet, Track};
use crate::limits::RTMP_URL_BYTES;
use crate::rtmp::publisher::PublishFault;
use crate::rtmp::words::{Reason, reason};
use crate::wire::amf0::Amf0;
use crate::wire::rtmp_message::StatusInfo;

/// What is known to be meant by a server's status codes.
const MEANINGS: [(&str, &str); 16] = [
    (
        "NetStream.Publish.BadName",
        "the stream's name is in use or refused; waiting for it",
    ),
    (
        "NetStream.Publish.Denied",
        "publishing is not allowed; check the stream's name or key",
    ),
    (
        "NetStream.Publish.Rejected",
        "publishing was rejected; check the stream's name or key and the application",
    ),
    (
        "NetStream.Publish.Idle",
        "the server ended the stream for want of media",
    ),
    (
        "NetStream.Publish.Failed",
        "the server could not start the stream; it is being tried again",
    ),
    (
        "NetStream.Unpublish.Success",
        "the server ended the stream; it is being tried again",
    ),
    (
        "NetStream.Failed",
        "the server could not go on with the stream; it is being tried again",
    ),
    (
        "NetStream.Connect.Rejected",
        "the server rejected the stream; check its name or key and the application",
    ),
    (
        "NetConnection.Connect.Rejected",
        "the connection was rejected; check the application and who may publish to it",
    ),
    (
        "NetConnection.Connect.InvalidApp",
        "the server has no such application; check the path of the RTMP address",
    ),
    (
        "NetConnection.Connect.Failed",
        "the server could not take the connection; it is being tried again",
    ),
    (
        "NetConnection.Connect.AppShutdown",
        "the application was shut down at the server; it is being tried again",
    ),
    (
        "NetConnection.Connect.Closed",
        "the server closed the connection; it is being tried again",
    ),
    (
        "NetConnection.Connect.IdleTimeOut",
        "the server closed an idle connection; it is being tried again",
    ),
    (
        "NetConnection.Connect.ReconnectRequest",
        "the server asked to connect anew",
    ),
    (
        "NetConnection.Proxy.NotResponding",
        "the server's proxy does not answer; it is being tried again",
    ),
];

/// Why a server refuses.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Fit to be printed: the meaning of its code, or its own words.
    pub words: Reason,
    /// Its description as it came, for authentication and for [`Self::blames`]: may hold anything.
    pub description: String<RTMP_URL_BYTES>,
    /// Where it says that the stream is to go instead, as it came.
    pub redirect: Option<String<RTMP_URL_BYTES>>,
    /// It names the stream as taken or the publisher as not allowed: no word on codecs.
    pub is_about_name: bool,
    /// What it means, for those who have to say what to do.
    pub fault: PublishFault,
}

impl Refusal {
    /// The refusal that a command brings; `secrets` are never in its words.
    pub fn new(command: &str, status: Option<&StatusInfo<'_>>, secrets: &[&str]) -> Self {
        let hidden = |text: &str| secrets.iter().any(|secret| tells(text, secret));
        let Some(status) = status else {
            return Self {
                words: reason(format_args!(
                    "the server answered {command} without a reason"
                )),
                description: String::new(),
                redirect: None,
                is_about_name: false,
                fault: PublishFault::Refused,
            };
        };
        // One that is too long is no authentication challenge.
        let description = String::try_from(status.description).unwrap_or_default();
        let is_challenge = status.description.contains("authmod=");
        let tell = !hidden(status.description) && !is_challenge && !status.description.is_empty();
        let meaning = MEANINGS.iter().find(|(code, _)| *code == status.code);
        let (code, said) = (status.code, status.description);
        let words = match (meaning, tell) {
            (None, _) if hidden(code) => reason(format_args!("the server answered {command}")),
            (Some((_, meaning)), true) => reason(format_args!("{meaning} ({code}: {said})")),
            (Some((_, meaning)), false) => reason(format_args!("{meaning} ({code})")),
            (None, true) => reason(format_args!("the server refused ({code}: {said})")),
            (None, false) => reason(format_args!("the server refused ({code})")),
        };
        Self {
            words,
            description,
            redirect: redirect(status),
            is_about_name: matches!(
                code,
                "NetStream.Publish.BadName" | "NetStream.Publish.Denied"
            ),
            fault: PublishFault::of_code(code),
        }
    }

    /// The codec that the server says it does not take, among those that it may mean.
    pub fn blames(&self, candidates: CodecSet) -> Option<Codec> {
        let said = self.description.as_bytes();
        let has = |words: &[&str]| words.iter().any(|word| contains(said, word));
        let refuses = has(&["unsupported", "not support", "invalid", "unknown", "reject"]);
        if !refuses || !has(&["codec", "format", "support"]) {
            return None;
        }
        let named = |codec: &Codec| has(names(*codec));
        candidates.iter().find(named).or_else(|| {
            let track = match (has(&["audio", "sound"]), has(&["video"])) {
                (true, false) => Track::Audio,
                (false, true) => Track::Video,
                _ => return None,
            };
            let mut of_track = candidates.iter().filter(|codec| codec.track() == track);
            // Only where there is no doubt which.
            of_track.next().filter(|_| of_track.next().is_none())
        })
    }
}

/// Whether words hold a secret, or what a server may make of one whose parameters it has read: its
/// name alone, or one value.
fn tells(words: &str, secret: &str) -> bool {
    let parts = secret.split(['?', '&']).map(|part| {
        let value = part.split_once('=');
        value.map_or(part, |(_, value)| value)
    });
    let mut parts = parts.filter(|part| part.len() >= SECRET_PART);
    !secret.is_empty() && (words.contains(secret) || parts.any(|part| words.contains(part)))
}

/// Bytes from which on a part of a secret is looked for: shorter ones are in many a word.
const SECRET_PART: usize = 4;

/// What servers call a codec.
const fn names(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["h264", "h.264", "avc"],
        Codec::Vp8 => &["vp8", "vp08"],
        Codec::Opus => &["opus"],
        Codec::Aac => &["aac", "mp4a"],
        Codec::Speex => &["speex"],
        Codec::Pcma => &["pcma", "g711a", "g.711", "g711", "alaw", "a-law"],
        Codec::Pcmu => &["pcmu", "g711u", "g.711", "g711", "ulaw", "mulaw", "mu-law"],
    }
}

/// Whether a text holds a word of lower case, whatever the text's case.
fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// Where a refused client is sent: `redirect` of the object `ex` with the code 302, as Adobe Media
/// Server, Wowza and SRS say it.
fn redirect(status: &StatusInfo<'_>) -> Option<String<RTMP_URL_BYTES>> {
    let ex = status.object.get("ex")?.as_object()?;
    let moved = match ex.get("code") {
        Some(Amf0::Number(code)) => code == 302.0,
        Some(Amf0::String(code)) => code == b"302",
        _ => false,
    };
    let to = ex
        .get_str("redirect")
        .filter(|to| moved && !to.is_empty())?;
    String::try_from(to).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(words: &str, candidates: &[Codec]) -> Option<Codec> {
        let refusal = Refusal {
            words: Reason::new(),
            description: String::try_from(words).unwrap(),
            redirect: None,
            is_about_name: false,
            fault: PublishFault::Refused,
        };
        refusal.blames(CodecSet::of(candidates))
    }

    #[test]
    fn a_codec_is_blamed_by_its_name_or_its_track() {
        let sent = [Codec::Pcma, Codec::Vp8];
        for (words, blame) in [
            ("unsupported audio codec=7(PCMA)", Some(Codec::Pcma)),
            ("Audio codec not supported", Some(Codec::Pcma)),
            ("Unsupported codec G.711 A-LAW", Some(Codec::Pcma)),
            ("video codec is not supported", Some(Codec::Vp8)),
            ("VP8 is not supported here", Some(Codec::Vp8)),
            ("unsupported codec", None),
            ("unsupported audio and video", None),
            ("already publishing", None),
            ("invalid stream key", None),
            ("invalid key for audio room", None),
            ("", None),
        ] {
            assert_eq!(blamed(words, &sent), blame, "{words}");
        }
        assert_eq!(blamed("unsupported codec PCMA", &[Codec::Vp8]), None);
    }

    #[test]
    fn parts_of_a_name_with_parameters_are_as_secret_as_the_whole() {
        let key = "studio?token=abcd&n=1";
        for words in [
            "studio?token=abcd&n=1",
            "studio is in use",
            "bad token abcd",
        ] {
            assert!(tells(words, key), "{words}");
        }
        for words in ["the token has expired", "1 publisher is enough", ""] {
            assert!(!tells(words, key), "{words}");
        }
        assert!(!tells("anything", ""));
    }

    #[test]
    fn every_meaning_leaves_room_for_its_code() {
        for (code, meaning) in MEANINGS {
            assert!(
                code.len() + meaning.len() + 3 <= crate::limits::RTMP_REASON_BYTES,
                "{code}"
            );
        }
    }
}
