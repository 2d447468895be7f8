//! What a peer takes, and in which form: the codecs that it lists in its `connect`, or in the answer
//! to ours (Enhanced RTMP, version 2: `fourCcList`, `videoFourCcInfoMap`, `audioFourCcInfoMap`).
//!
//! Codecs that FLV has numbers for go to everybody, in legacy form: nobody lists G.711 or Speex, and
//! old clients list nothing. The `audioCodecs` and `videoCodecs` bits of old clients are not looked
//! at: they are 0 or wrong too often. The others go only to who lists them. H.264 and AAC stay in
//! legacy form even where `avc1` or `mp4a` is listed: every server takes that, and a server that
//! hands bodies on as they are may have players that know no other. [`Takes::enhanced`] chooses
//! otherwise.

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

use crate::base::codec::{Codec, CodecSet, Track};
use crate::wire::flv::{FourCc, TagForm, fourcc};
use crate::wire::rtmp_message::{Command, fourcc_flags, fourcc_list};

/// Flags of the info maps by which a peer can make use of a codec that it is sent: it decodes or it
/// forwards.
const USABLE: u32 = 0x01 | 0x04;

/// What may be sent to a peer, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    codecs: CodecSet,
    listed: CodecSet,
    enhanced: CodecSet,
}

impl Default for Takes {
    fn default() -> Self {
        Self::legacy()
    }
}

impl Takes {
    /// Codecs that legacy FLV has a place for.
    pub const LEGACY: CodecSet = CodecSet::of(&[
        Codec::H264,
        Codec::Aac,
        Codec::Speex,
        Codec::Pcma,
        Codec::Pcmu,
    ]);

    /// What goes to a peer that lists nothing.
    pub const fn legacy() -> Self {
        Self {
            codecs: Self::LEGACY,
            listed: CodecSet::NONE,
            enhanced: CodecSet::NONE,
        }
    }

    /// What may be sent to a peer that lists these FourCCs. A codec (or `*`, any) in an info map is
    /// taken by its flags there: one that the peer can but encode is not sent. One in no map is taken
    /// when the list has it or `*`.
    pub fn from_command(command: &Command<'_>) -> Self {
        let mut listed = CodecSet::NONE;
        for codec in Codec::ALL {
            let Some(name) = fourcc(codec) else { continue };
            let flags = match codec.track() {
                Track::Audio => fourcc_flags(command, "audioFourCcInfoMap", &name),
                Track::Video => fourcc_flags(command, "videoFourCcInfoMap", &name),
            };
            let is_taken = match flags {
                Some(flags) => flags & USABLE != 0,
                None => fourcc_list(command).any(|other| is_named(other, &name)),
            };
            if is_taken {
                listed = listed.union(CodecSet::of(&[codec]));
            }
        }
        Self::from_listed(listed)
    }

    /// What may be sent to a peer that lists the FourCCs of these codecs.
    pub const fn from_listed(listed: CodecSet) -> Self {
        Self {
            codecs: Self::LEGACY.union(listed),
            listed,
            enhanced: listed.without(Self::LEGACY),
        }
    }

    /// Everything that may be sent.
    pub const fn codecs(&self) -> CodecSet {
        self.codecs
    }

    /// The codecs that the peer listed by FourCC, as far as they are ours.
    pub const fn listed(&self) -> CodecSet {
        self.listed
    }

    /// This without some codecs.
    #[must_use]
    pub const fn without(self, codecs: CodecSet) -> Self {
        Self {
            codecs: self.codecs.without(codecs),
            ..self
        }
    }

    /// This with these codecs in enhanced form, as far as the peer listed them, and with the others
    /// in legacy form, as far as it has one.
    #[must_use]
    pub const fn enhanced(self, codecs: CodecSet) -> Self {
        let only = self.listed.without(Self::LEGACY);
        Self {
            enhanced: self.listed.intersection(codecs).union(only),
            ..self
        }
    }

    /// The form in which a codec is sent; `None` when it is not.
    pub const fn form(&self, codec: Codec) -> Option<TagForm> {
        if !self.codecs.contains(codec) {
            None
        } else if self.enhanced.contains(codec) {
            Some(TagForm::Enhanced)
        } else {
            Some(TagForm::Legacy)
        }
    }
}

/// Whether an entry of a list is a FourCC or stands for any.
fn is_named(entry: &str, name: &FourCc) -> bool {
    entry == "*" || entry.as_bytes() == name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::amf0::Amf0Writer;
    use crate::wire::rtmp_message::kind;

    fn takes(fill: impl FnOnce(&mut Amf0Writer<'_>)) -> Takes {
        let mut body = [0; 512];
        let mut writer = Amf0Writer::new(&mut body);
        writer.string(&["connect"]).number(1.0).object();
        writer.name("audioCodecs").number(0.0);
        fill(&mut writer);
        writer.end();
        let len = writer.finish().unwrap();
        Takes::from_command(&Command::parse(kind::COMMAND, &body[..len]).unwrap())
    }

    #[test]
    fn a_peer_that_lists_nothing_gets_legacy_forms_alone() {
        let takes = takes(|_| {});
        assert_eq!(takes, Takes::legacy());
        assert_eq!(takes.form(Codec::Pcma), Some(TagForm::Legacy));
        assert_eq!(takes.form(Codec::H264), Some(TagForm::Legacy));
        assert_eq!(takes.form(Codec::Opus), None);
        assert_eq!(takes.form(Codec::Vp8), None);
    }

    #[test]
    fn only_what_is_listed_is_sent_by_fourcc() {
        let takes = takes(|body| {
            body.name("fourCcList").strict_array(3);
            body.string(&["vp08"]).string(&["avc1"]).string(&["opus"]);
        });
        assert_eq!(takes.form(Codec::Vp8), Some(TagForm::Enhanced));
        assert_eq!(takes.form(Codec::Opus), None, "names are exact");
        assert_eq!(takes.form(Codec::H264), Some(TagForm::Legacy));
        assert_eq!(takes.listed(), CodecSet::of(&[Codec::H264, Codec::Vp8]));
        let chosen = takes.enhanced(CodecSet::of(&[Codec::H264, Codec::Aac]));
        assert_eq!(chosen.form(Codec::H264), Some(TagForm::Enhanced));
        assert_eq!(chosen.form(Codec::Aac), Some(TagForm::Legacy), "not listed");
        assert_eq!(chosen.form(Codec::Vp8), Some(TagForm::Enhanced));
        let refused = takes.without(CodecSet::of(&[Codec::Vp8, Codec::Pcma]));
        assert_eq!(refused.form(Codec::Vp8), None);
        assert_eq!(refused.form(Codec::Pcma), None);
        assert_eq!(refused.form(Codec::Pcmu), Some(TagForm::Legacy));
    }

    #[test]
    fn a_wildcard_stands_for_every_fourcc() {
        let all = takes(|body| {
            body.name("fourCcList").strict_array(1).string(&["*"]);
        });
        assert_eq!(all.codecs(), CodecSet::ALL);
        assert_eq!(all.form(Codec::Pcmu), Some(TagForm::Legacy));
    }

    #[test]
    fn flags_say_what_a_codec_may_be_sent_for() {
        for (flags, is_taken) in [
            (1.0, true),
            (2.0, false),
            (3.0, true),
            (4.0, true),
            (0.0, false),
            (-1.0, false),
            (f64::NAN, false),
        ] {
            for name in ["Opus", "*"] {
                let takes = takes(|body| {
                    body.name("audioFourCcInfoMap").object();
                    body.name(name).number(flags).end();
                });
                assert_eq!(takes.form(Codec::Opus).is_some(), is_taken, "{flags}");
                assert_eq!(takes.form(Codec::Vp8), None, "the map of the other track");
            }
        }
        let forwards = takes(|body| {
            body.name("videoFourCcInfoMap").object();
            body.name("vp08").number(2.0).name("*").number(4.0).end();
        });
        assert!(forwards.form(Codec::Vp8).is_some(), "flags add up");
        let encodes = takes(|body| {
            body.name("fourCcList").strict_array(1).string(&["vp08"]);
            body.name("videoFourCcInfoMap").object();
            body.name("vp08").number(2.0).end();
        });
        assert_eq!(encodes.form(Codec::Vp8), None, "the flags say it better");
    }

    #[test]
    fn truncated_and_mutated_lists_never_panic() {
        let mut out = [0; 512];
        let mut writer = Amf0Writer::new(&mut out);
        writer.string(&["connect"]).number(1.0).object();
        writer.name("fourCcList").strict_array(2);
        writer.string(&["vp08"]).string(&["*"]);
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            writer.name(map).object();
            writer.name("vp08").number(5.0).name("*").number(4.0).end();
        }
        writer.end();
        let len = writer.finish().unwrap();
        let look = |bytes: &[u8]| {
            if let Some(command) = Command::parse(kind::COMMAND, bytes) {
                let takes = Takes::from_command(&command);
                assert_eq!(takes.codecs().intersection(Takes::LEGACY), Takes::LEGACY);
            }
        };
        for cut in 0..len {
            look(&out[..cut]);
        }
        let mut rng = Rng::from_number(7);
        for _ in 0..10_000 {
            let mut bytes = out;
            for _ in 0..=rng.below(3) {
                bytes[rng.below(len as u32) as usize] = rng.u32() as u8;
            }
            look(&bytes[..len]);
        }
    }
}
