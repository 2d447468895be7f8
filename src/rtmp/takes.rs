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
