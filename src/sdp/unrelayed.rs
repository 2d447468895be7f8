//! Names for what was offered and cannot be relayed.

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

use core::fmt;

use crate::base::sink::listed;
use crate::wire::sdp_codec::RtpMap;

/// Encoding names of SDP and what people call them.
const KNOWN: [(&str, &str); 30] = [
    ("G722", "G.722"),
    ("G729", "G.729"),
    ("G729D", "G.729"),
    ("G729E", "G.729"),
    ("G7221", "G.722.1"),
    ("G719", "G.719"),
    ("G723", "G.723.1"),
    ("G728", "G.728"),
    ("GSM", "GSM"),
    ("GSM-EFR", "GSM"),
    ("iLBC", "iLBC"),
    ("AMR", "AMR"),
    ("AMR-WB", "AMR-WB"),
    ("EVS", "EVS"),
    ("SILK", "SILK"),
    ("L16", "uncompressed sound"),
    ("opus", "Opus with a number of channels other than 2"),
    ("multiopus", "Opus of many channels"),
    ("speex", "Speex at another rate than 16 kHz"),
    ("PCMA", "G.711 in an unusual form"),
    ("PCMU", "G.711 in an unusual form"),
    ("H264", "H.264 in an unusual form"),
    ("H264-SVC", "H.264 SVC"),
    ("H265", "H.265"),
    ("H263", "H.263"),
    ("H263-1998", "H.263"),
    ("H263-2000", "H.263"),
    ("MP4V-ES", "MPEG-4 video"),
    ("VP9", "VP9"),
    ("AV1", "AV1"),
];

/// Payload formats that stand beside a codec and are none themselves.
const COMPANIONS: [&str; 8] = [
    "telephone-event",
    "CN",
    "rtx",
    "red",
    "ulpfec",
    "flexfec-03",
    "x-ulpfecuc",
    "tone",
];

/// Encodings that were offered and cannot be relayed, each named once in words of ours.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Unrelayed(u64);

impl Unrelayed {
    /// The bit of what has no name here.
    const OTHER: u64 = 1 << KNOWN.len();

    /// Adds the encoding of one payload type, or one without an encoding.
    pub(super) fn add(&mut self, map: Option<&RtpMap<'_>>) {
        let is = |name: &str| map.is_some_and(|map| map.encoding.eq_ignore_ascii_case(name));
        if COMPANIONS.into_iter().any(is) {
            return;
        }
        let known = KNOWN.iter().find(|(encoding, _)| is(encoding));
        // Encodings of one name share the bit of the first.
        let at = known.and_then(|(_, name)| KNOWN.iter().position(|(_, other)| other == name));
        self.0 |= at.map_or(Self::OTHER, |at| 1 << at);
    }

    /// What either has.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing was added.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let named = KNOWN
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| self.0 & (1 << at) != 0);
        let other = (self.0 & Self::OTHER != 0).then_some("unknown codecs");
        named.map(|(_, (_, name))| name).chain(other)
    }
}

impl fmt::Display for Unrelayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        listed(f, self.names())
    }
}

impl fmt::Debug for Unrelayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_named_once_and_companions_are_not() {
        let words = |maps: &[&str]| {
            let mut set = Unrelayed::default();
            for map in maps {
                set.add(RtpMap::parse(map).map(|(_, map)| map).as_ref());
            }
            set.to_string()
        };
        assert_eq!(words(&["18 G729/8000", "9 g722/8000"]), "G.722 and G.729");
        assert_eq!(words(&["96 H263-1998/90000", "34 H263/90000"]), "H.263");
        assert_eq!(
            words(&["96 whatever/1", "97 iLBC/8000", "98 x/1"]),
            "iLBC and unknown codecs"
        );
        assert_eq!(words(&["13 CN/8000", "101 telephone-event/8000"]), "");
        assert_eq!(words(&[""]), "unknown codecs");
    }
}
