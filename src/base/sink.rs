//! What is known of the codecs that a sink takes, and words for it.

use core::fmt;

use crate::base::codec::{Codec, CodecSet};

/// What is known of a sink: an RTMP server, or the readers on the box.
///
/// A codec in neither set may or may not be taken; one in both counts as refused, because a refusal
/// was seen and a list was only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkView {
    /// Taken for certain: listed by the server, seen to work, or known of its kind.
    pub takes: CodecSet,
    /// Refused for certain.
    pub refuses: CodecSet,
}

/// How well a sink suits a codec, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suits {
    /// It takes the codec: it says so, or every server and player does.
    Certainly,
    /// Most servers and players take it.
    Likely,
    /// Only few do.
    Perhaps,
    /// It does not take it.
    Never,
}

impl SinkView {
    /// A sink that nothing is known of: no server at all, or one that was never met.
    pub const UNKNOWN: Self = Self {
        takes: CodecSet::NONE,
        refuses: CodecSet::NONE,
    };

    /// How well the sink suits a codec.
    ///
    /// Where nothing is known, H.264 and AAC are what every RTMP server and player takes; G.711 and
    /// Speex have a code in FLV and are taken by many; Opus and VP8 have none and need Enhanced
    /// RTMP.
    pub const fn suits(self, codec: Codec) -> Suits {
        if self.refuses.contains(codec) {
            return Suits::Never;
        }
        if self.takes.contains(codec) {
            return Suits::Certainly;
        }
        match codec {
            Codec::H264 | Codec::Aac => Suits::Certainly,
            Codec::Pcma | Codec::Pcmu | Codec::Speex => Suits::Likely,
            Codec::Opus | Codec::Vp8 => Suits::Perhaps,
        }
    }
}

/// A set of codecs for people: `AAC, G.711 and Speex`. Both laws of G.711 are one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecNames(pub CodecSet);

impl CodecNames {
    const G711: CodecSet = CodecSet::of(&[Codec::Pcma, Codec::Pcmu]);

    fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        let both = self.0.intersection(Self::G711) == Self::G711;
        Codec::ALL.into_iter().filter_map(move |codec| {
            let merged = both && codec == Codec::Pcma;
            let hidden = both && codec == Codec::Pcmu;
            match codec {
                _ if !self.0.contains(codec) || hidden => None,
                _ if merged => Some("G.711"),
                _ => Some(codec.name()),
            }
        })
    }
}

impl fmt::Display for CodecNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        listed(f, self.names())
    }
}

/// Writes words as a list: commas between them, `and` before the last.
pub fn listed<'a>(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut words = words.peekable();
    let mut first = true;
    while let Some(word) = words.next() {
        if !first {
            f.write_str(if words.peek().is_some() {
                ", "
            } else {
                " and "
            })?;
        }
        f.write_str(word)?;
        first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_more_than_a_list_and_knowledge_more_than_habit() {
        let view = SinkView {
            takes: CodecSet::of(&[Codec::Opus, Codec::Pcma]),
            refuses: CodecSet::of(&[Codec::Pcma, Codec::Aac]),
        };
        assert_eq!(view.suits(Codec::Opus), Suits::Certainly);
        assert_eq!(view.suits(Codec::Pcma), Suits::Never);
        assert_eq!(view.suits(Codec::Aac), Suits::Never);
        assert_eq!(view.suits(Codec::Pcmu), Suits::Likely);
        assert_eq!(view.suits(Codec::Vp8), Suits::Perhaps);
        assert_eq!(SinkView::UNKNOWN.suits(Codec::Aac), Suits::Certainly);
        assert_eq!(SinkView::UNKNOWN.suits(Codec::Opus), Suits::Perhaps);
    }

    #[test]
    fn sets_are_named_as_people_do() {
        let names = |codecs: &[Codec]| CodecNames(CodecSet::of(codecs)).to_string();
        assert_eq!(names(&[]), "");
        assert_eq!(names(&[Codec::Pcmu]), "G.711 mu-law");
        assert_eq!(names(&[Codec::Pcmu, Codec::Pcma]), "G.711");
        assert_eq!(names(&[Codec::Opus, Codec::Vp8]), "VP8 and Opus");
        let all = CodecNames(CodecSet::ALL).to_string();
        assert_eq!(all, "H.264, VP8, Opus, AAC, Speex and G.711");
    }
}
