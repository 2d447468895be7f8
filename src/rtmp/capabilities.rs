//! What a server says of itself in its answer to `connect` (Enhanced RTMP, version 2, "Enhancing
//! NetConnection connect Command").
//!
//! Read wherever servers put it, in either object of the answer. What may be sent to it follows from
//! the lists as [`Takes`] reads them.

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

use core::fmt::Write;

use heapless::{String, Vec};

use crate::base::codec::CodecSet;
use crate::limits::RTMP_VERSION_BYTES;
use crate::rtmp::takes::Takes;
use crate::wire::amf0::{Amf0, Amf0Object};
use crate::wire::rtmp_message::{Command, fourcc_list};

/// FourCCs of a server that lists them (Enhanced RTMP); `*` stands as `"*   "`.
pub type FourCcs = Vec<[u8; 4], 16>;

/// Flag of an info map: the peer passes it on.
pub(super) const CAN_FORWARD: u32 = 4;
/// Flag of `capsEx`: the peer moves when it is asked to.
pub(super) const RECONNECT: u32 = 1;

/// What a server can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// The FourCCs that it names, known or not.
    pub fourccs: FourCcs,
    /// Codecs among them that are known here.
    pub listed: CodecSet,
    /// Whether there was any list, also an empty one.
    pub lists: bool,
    /// Extended capabilities, as a mask.
    pub caps_ex: u32,
    /// Its version in its own words, cut and without control characters; empty when not said.
    pub version: String<RTMP_VERSION_BYTES>,
}

impl Capabilities {
    /// Reads the answer to `connect`.
    pub fn read(command: &Command<'_>) -> Self {
        let mut found = Self {
            listed: Takes::from_command(command).listed(),
            ..Self::default()
        };
        fourcc_list(command).for_each(|name| found.add(name));
        let mut arguments = command.arguments;
        let objects = core::iter::from_fn(|| arguments.value().ok());
        for object in objects.filter_map(|value| value.as_object()) {
            found.read_object(&object);
        }
        found
    }

    /// What may be sent to this server, and in which form.
    pub fn takes(&self) -> Takes {
        Takes::from_listed(self.listed)
    }

    fn read_object(&mut self, object: &Amf0Object<'_>) {
        for (name, value) in object.properties() {
            match (name, value) {
                (b"fourCcList", _) => self.lists = true,
                (b"videoFourCcInfoMap" | b"audioFourCcInfoMap", Amf0::Object(map)) => {
                    self.lists = true;
                    let names = map.properties().map(|(name, _)| name);
                    names
                        .filter_map(|name| core::str::from_utf8(name).ok())
                        .for_each(|name| self.add(name));
                }
                // Casts of doubles saturate, and NaN becomes 0.
                (b"capsEx", Amf0::Number(mask)) => self.caps_ex = mask as u32,
                (b"fmsVer", value) => {
                    self.version.clear();
                    for letter in value.as_str().unwrap_or_default().chars() {
                        let letter = if letter.is_control() { ' ' } else { letter };
                        if self.version.write_char(letter).is_err() {
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, name: &str) {
        if name.len() > 4 || name.is_empty() {
            return;
        }
        let mut fourcc = [b' '; 4];
        for (to, from) in fourcc.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        if !self.fourccs.contains(&fourcc) {
            // For show: the known ones count however many there are.
            let _ = self.fourccs.push(fourcc);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::Codec;
    use crate::base::rng::Rng;
    use crate::wire::amf0::Amf0Writer;
    use crate::wire::rtmp_message::kind;

    fn written(fill: impl FnOnce(&mut Amf0Writer<'_>)) -> std::vec::Vec<u8> {
        let mut body = [0; 1_024];
        let mut writer = Amf0Writer::new(&mut body);
        writer.string(&["_result"]).number(1.0).object();
        fill(&mut writer);
        writer.end();
        let len = writer.finish().unwrap();
        body[..len].to_vec()
    }

    fn read(fill: impl FnOnce(&mut Amf0Writer<'_>)) -> Capabilities {
        let body = written(fill);
        Capabilities::read(&Command::parse(kind::COMMAND, &body).unwrap())
    }

    #[test]
    fn a_list_counts_in_every_form() {
        let video = CodecSet::of(&[Codec::Vp8]);
        let array = read(|body| {
            body.name("fourCcList").strict_array(3);
            body.string(&["hvc1"]).string(&["vp08"]).string(&["long1"]);
        });
        assert_eq!((array.listed, array.lists), (video, true));
        assert_eq!(array.fourccs, [*b"hvc1", *b"vp08"]);
        let object = read(|body| {
            body.name("fourCcList").object();
            body.name("0").string(&["vp08"]).end();
        });
        assert_eq!((object.listed, object.lists), (video, true));
        let ecma = read(|body| {
            body.name("fourCcList").ecma_array(1);
            body.name("0").string(&["vp08"]).end();
        });
        assert_eq!((ecma.listed, ecma.lists), (video, true));
        let one = read(|body| {
            body.name("fourCcList").string(&["vp08"]);
        });
        assert_eq!((one.listed, one.lists), (video, true));
        let empty = read(|body| {
            body.name("fourCcList").strict_array(0);
        });
        assert_eq!((empty.listed, empty.lists), (CodecSet::NONE, true));
    }

    #[test]
    fn maps_count_what_is_decoded_or_forwarded() {
        let found = read(|body| {
            body.name("videoFourCcInfoMap").object();
            body.name("vp08").number(1.0).name("avc1").number(2.0).end();
            body.name("audioFourCcInfoMap").object();
            body.name("*").number(4.0).end();
            body.name("capsEx").number(5.0);
            body.name("fmsVer").string(&["SRS/6\n"]);
        });
        let expected = CodecSet::of(&[Codec::Vp8, Codec::Opus, Codec::Aac]);
        assert_eq!(
            found.listed, expected,
            "the wildcard is that of its own map"
        );
        assert_eq!((found.caps_ex, found.version.as_str()), (5, "SRS/6 "));
        assert!(found.lists);
    }

    #[test]
    fn a_wildcard_stands_for_every_codec() {
        let found = read(|body| {
            body.name("fourCcList").strict_array(1).string(&["*"]);
        });
        assert_eq!(found.takes().codecs(), CodecSet::ALL);
        assert_eq!(found.fourccs, [*b"*   "]);
    }

    #[test]
    fn a_server_without_a_list_takes_legacy_codecs_only() {
        let found = read(|body| {
            body.name("fmsVer").string(&["FMS/3,0,1,123"]);
        });
        assert!(!found.lists);
        assert_eq!(found.takes(), Takes::legacy());
    }

    #[test]
    fn truncated_and_mutated_answers_never_panic() {
        let body = written(|body| {
            body.name("videoFourCcInfoMap").object();
            body.name("vp08").number(1.0).end();
            body.name("fourCcList").strict_array(2);
            body.string(&["vp08"]).string(&["Opus"]);
        });
        let look = |body: &[u8]| {
            if let Some(command) = Command::parse(kind::COMMAND, body) {
                let _ = Capabilities::read(&command);
            }
        };
        for len in 0..body.len() {
            look(&body[..len]);
        }
        let mut rng = Rng::from_number(8);
        for _ in 0..10_000 {
            let mut body = body.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(body.len() as u32) as usize;
                body[at] = rng.u32() as u8;
            }
            look(&body);
        }
    }
}
