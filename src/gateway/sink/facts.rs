//! What was learned of RTMP servers: the codecs that each listed, and those that it refused.
//!
//! A refusal, and a list, are believed for [`BELIEVED`], a refusal no longer than until the server
//! lists a codec that it did not list before. A change of the trunk's `url` or `sink` is another server, of which nothing is
//! known; [`SinkFacts::retain`] forgets the one that no trunk has any more.

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

use core::time::Duration;

use heapless::Vec as FixedVec;
use md5::{Digest, Md5};

use crate::base::codec::{Codec, CodecSet};
use crate::base::sink::SinkView;
use crate::base::time::WallTime;
use crate::gateway::sink::profile::{Abilities, Profile};
use crate::gateway::sink::record::{StoredCodec, StoredList, StoredRefusal, StoredSink};
use crate::gateway::stored::{Stored, StoredBytes};
use crate::limits::SINKS;
use crate::wire::rtmp_url::RtmpUrl;

/// How long what was learned is believed. Time of which the clock knows nothing does not count.
pub const BELIEVED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How old a list must be before the same one again is worth a write.
const REFRESH: Duration = Duration::from_secs(24 * 3_600);

/// Which sink: a digest of scheme, host, port and application, and of the kind that the trunk calls
/// it. Of user, password, query and stream name nothing goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkKey([u8; 16]);

impl SinkKey {
    /// Of the server that a trunk publishes to.
    pub fn of(url: &RtmpUrl, profile: Option<Profile>) -> Self {
        let scheme = if url.is_tls() { "rtmps" } else { "rtmp" };
        let kind = profile.map_or("", Profile::name);
        let mut digest = Md5::new();
        digest.update(scheme);
        digest.update([0]);
        digest.update(url.host().to_ascii_lowercase());
        digest.update([0]);
        digest.update(url.port().to_be_bytes());
        digest.update(url.app());
        digest.update([0]);
        digest.update(kind);
        Self(digest.finalize().into())
    }

    /// The name of its record in the journal.
    fn about(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// A codec that a sink refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which codec.
    pub codec: Codec,
    /// When it was learned.
    pub at: WallTime,
}

/// What is known of one sink.
#[derive(Clone, Debug)]
struct Sink {
    key: SinkKey,
    /// What its last answer listed, and when; `None` before it was met.
    listed: Option<(CodecSet, WallTime)>,
    refused: FixedVec<Refused, { Codec::ALL.len() }>,
    /// When it was used last, as a running number.
    used: u64,
    /// Whether the journal has not got it yet.
    changed: bool,
}

/// A record for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What it is about.
    pub about: u64,
    /// The record; empty when the sink is forgotten.
    pub record: StoredBytes,
}

/// What was learned of every sink.
#[derive(Clone, Debug, Default)]
pub struct SinkFacts {
    sinks: FixedVec<Sink, SINKS>,
    /// Forgotten, and the journal not told yet. When more are forgotten at once than there is room
    /// for, the journal keeps a record that the next start forgets.
    forgotten: FixedVec<SinkKey, SINKS>,
    uses: u64,
}

impl SinkFacts {
    /// Takes over what an earlier run has kept.
    pub fn recall(&mut self, stored: &StoredSink) {
        let key = SinkKey(stored.key);
        let listed = stored.listed.as_ref().map(|list| {
            let codecs = set(list.codecs.iter().copied().map(Codec::from));
            (codecs, list.at.into())
        });
        let refused = |refusal: &StoredRefusal| Refused {
            codec: refusal.codec.into(),
            at: refusal.at.into(),
        };
        self.change(key, |sink| {
            sink.listed = listed;
            sink.refused = stored.refused.iter().map(refused).collect();
        });
    }

    /// Forgets every sink that is not among these.
    pub fn retain(&mut self, keys: impl Iterator<Item = SinkKey> + Clone) {
        while let Some(at) = self
            .sinks
            .iter()
            .position(|sink| !keys.clone().any(|key| key == sink.key))
        {
            self.forget(at);
        }
    }

    /// What SDP may build on, for a sink of these abilities.
    pub fn view(&mut self, now: WallTime, key: SinkKey, abilities: Abilities) -> SinkView {
        let Some(sink) = self.used(key) else {
            return SinkView {
                takes: abilities.takes,
                refuses: abilities.refuses,
            };
        };
        sink.expire(now);
        let (of_list, not_of_list) = match sink.listed {
            Some((listed, _)) => (
                abilities.by_list.intersection(listed),
                abilities.by_list.without(listed),
            ),
            None => (CodecSet::NONE, CodecSet::NONE),
        };
        let refuses = abilities
            .refuses
            .union(not_of_list)
            .union(sink.refused_set());
        SinkView {
            takes: abilities.takes.union(of_list).without(refuses),
            refuses,
        }
    }

    /// The codecs that a sink was found to refuse, with when.
    pub fn refused(&self, key: SinkKey) -> &[Refused] {
        let sink = self.sinks.iter().find(|sink| sink.key == key);
        sink.map_or(&[], |sink| &sink.refused)
    }

    /// A server's answer to `connect` listed these codecs.
    pub fn learned_list(&mut self, now: WallTime, key: SinkKey, listed: CodecSet) {
        self.change(key, |sink| {
            let (before, fresh) = match sink.listed {
                Some((before, at)) => (before, now.since(at) < REFRESH),
                None => (CodecSet::NONE, false),
            };
            if fresh && before == listed {
                return;
            }
            sink.listed = Some((listed, now));
            sink.changed = true;
            let new = listed.without(before);
            sink.refused.retain(|refused| !new.contains(refused.codec));
        });
    }

    /// A server was found to refuse a codec.
    pub fn learned_refusal(&mut self, now: WallTime, key: SinkKey, codec: Codec) {
        self.change(key, |sink| {
            sink.refused.retain(|refused| refused.codec != codec);
            // One place for each codec.
            let _ = sink.refused.push(Refused { codec, at: now });
            sink.changed = true;
        });
    }

    /// The next record that the journal has to keep.
    pub fn poll_keep(&mut self) -> Option<Keep> {
        if let Some(key) = self.forgotten.pop() {
            return Some(Keep {
                about: key.about(),
                record: StoredBytes::new(),
            });
        }
        let sink = self.sinks.iter_mut().find(|sink| sink.changed)?;
        sink.changed = false;
        Some(Keep {
            about: sink.key.about(),
            record: Stored::SinkV1(sink.to_stored()).to_bytes()?,
        })
    }

    fn used(&mut self, key: SinkKey) -> Option<&mut Sink> {
        self.uses = self.uses.saturating_add(1);
        let sink = self.sinks.iter_mut().find(|sink| sink.key == key)?;
        sink.used = self.uses;
        Some(sink)
    }

    /// Changes the sink of a key; a new one takes the place of the one that was used longest ago,
    /// if there is no other room.
    fn change(&mut self, key: SinkKey, change: impl FnOnce(&mut Sink)) {
        if self.used(key).is_none() {
            let oldest = self.sinks.iter().enumerate().min_by_key(|(_, s)| s.used);
            let oldest = oldest.map(|(at, _)| at);
            if let (true, Some(at)) = (self.sinks.is_full(), oldest) {
                self.forget(at);
            }
            // Room was just made.
            let _ = self.sinks.push(Sink {
                key,
                listed: None,
                refused: FixedVec::new(),
                used: self.uses,
                changed: false,
            });
        }
        if let Some(sink) = self.used(key) {
            change(sink);
        }
    }

    fn forget(&mut self, at: usize) {
        if at < self.sinks.len() {
            let key = self.sinks.swap_remove(at).key;
            let _ = self.forgotten.push(key);
        }
    }
}

impl Sink {
    /// Forgets what is too old. What was learned, or stands, at a time that the clock cannot have
    /// known is as old as the first moment that it can tell.
    fn expire(&mut self, now: WallTime) {
        if !now.is_believable() {
            return;
        }
        let refused = self.refused.iter_mut().map(|refused| &mut refused.at);
        let listed = self.listed.as_mut().map(|(_, at)| at);
        for at in refused.chain(listed) {
            if !at.is_believable() || at.seconds() > now.seconds() {
                *at = now;
                self.changed = true;
            }
        }
        let before = (self.refused.len(), self.listed);
        self.refused
            .retain(|refused| now.since(refused.at) < BELIEVED);
        self.listed = self.listed.filter(|(_, at)| now.since(*at) < BELIEVED);
        self.changed |= (self.refused.len(), self.listed) != before;
    }

    fn refused_set(&self) -> CodecSet {
        set(self.refused.iter().map(|refused| refused.codec))
    }

    fn to_stored(&self) -> StoredSink {
        StoredSink {
            key: self.key.0,
            listed: self.listed.map(|(codecs, at)| StoredList {
                codecs: codecs.iter().map(StoredCodec::from).collect(),
                at: at.into(),
            }),
            refused: self
                .refused
                .iter()
                .map(|refused| StoredRefusal {
                    codec: refused.codec.into(),
                    at: refused.at.into(),
                })
                .collect(),
        }
    }
}

fn set(codecs: impl Iterator<Item = Codec>) -> CodecSet {
    codecs.fold(CodecSet::NONE, |set, codec| {
        set.union(CodecSet::of(&[codec]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600;
    const NOW: u64 = 1_800_000_000;

    fn key(url: &str) -> SinkKey {
        SinkKey::of(&RtmpUrl::parse(url).unwrap(), None)
    }

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix(seconds)
    }

    fn refuses(facts: &mut SinkFacts, now: WallTime, key: SinkKey) -> CodecSet {
        facts.view(now, key, Abilities::UNKNOWN).refuses
    }

    fn kept(facts: &mut SinkFacts) -> Vec<Keep> {
        std::iter::from_fn(|| facts.poll_keep()).collect()
    }

    /// A run that begins with what another one has kept.
    fn restarted(kept: &[Keep]) -> SinkFacts {
        let mut facts = SinkFacts::default();
        for keep in kept {
            if let Some(Stored::SinkV1(sink)) = Stored::from_bytes(&keep.record) {
                facts.recall(&sink);
            }
        }
        facts
    }

    #[test]
    fn a_server_is_known_by_address_application_and_kind_and_by_nothing_secret() {
        let plain = key("rtmp://host.example/live");
        for same in [
            "rtmp://HOST.example:1935/live",
            "rtmp://user:secret@host.example/live",
            "rtmp://host.example/live?token=secret",
        ] {
            assert_eq!(key(same), plain, "{same}");
        }
        for other in [
            "rtmps://host.example/live",
            "rtmp://host.example:1936/live",
            "rtmp://host.example/live2",
            "rtmp://host2.example/live",
        ] {
            assert_ne!(key(other), plain, "{other}");
        }
        let url = RtmpUrl::parse("rtmp://host.example/live").unwrap();
        assert_ne!(SinkKey::of(&url, Some(Profile::Srs)), plain);
    }

    #[test]
    fn what_is_known_of_a_server_grows() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        let view = facts.view(at(NOW), sink, Abilities::UNKNOWN);
        assert_eq!(view.refuses, CodecSet::NONE);
        assert_eq!(view.takes, CodecSet::of(&[Codec::H264, Codec::Aac]));
        facts.learned_list(at(NOW), sink, CodecSet::of(&[Codec::Opus]));
        facts.learned_refusal(at(NOW), sink, Codec::Pcma);
        let view = facts.view(at(NOW), sink, Abilities::UNKNOWN);
        let takes = [Codec::H264, Codec::Aac, Codec::Opus];
        assert_eq!(view.takes, CodecSet::of(&takes));
        assert_eq!(view.refuses, CodecSet::of(&[Codec::Vp8, Codec::Pcma]));
        // Of another one nothing is known.
        assert!(refuses(&mut facts, at(NOW), key("rtmp://b/live")).is_empty());
    }

    #[test]
    fn a_kind_that_refuses_is_not_talked_out_of_it() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        facts.learned_list(at(NOW), sink, CodecSet::ALL);
        let view = facts.view(at(NOW), sink, Profile::YouTube.abilities());
        assert_eq!(view.takes, CodecSet::of(&[Codec::H264, Codec::Aac]));
        assert_eq!(view.refuses, CodecSet::ALL.without(view.takes));
    }

    #[test]
    fn a_refusal_lasts_for_seven_days() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        facts.learned_refusal(at(NOW), sink, Codec::Pcma);
        let later = |days: u64| at(NOW + days * DAY);
        assert!(!refuses(&mut facts, at(NOW + 7 * DAY - 1), sink).is_empty());
        assert_eq!(kept(&mut facts).len(), 1);
        assert!(refuses(&mut facts, later(7), sink).is_empty());
        assert_eq!(kept(&mut facts).len(), 1, "the journal forgets it too");
    }

    #[test]
    fn time_counts_only_by_a_clock_that_can_be_believed() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        facts.learned_refusal(at(1_000), sink, Codec::Pcma);
        assert!(!refuses(&mut facts, at(1_000 + 90 * DAY), sink).is_empty());
        // The clock is set: only from here on.
        assert!(!refuses(&mut facts, at(NOW), sink).is_empty());
        assert!(!refuses(&mut facts, at(NOW + 6 * DAY), sink).is_empty());
        // It is set back: not for longer than from then on.
        assert!(!refuses(&mut facts, at(NOW - 100 * DAY), sink).is_empty());
        assert!(refuses(&mut facts, at(NOW - 93 * DAY), sink).is_empty());
    }

    #[test]
    fn a_server_that_begins_to_list_a_codec_refuses_it_no_more() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        let opus = CodecSet::of(&[Codec::Opus]);
        facts.learned_list(at(NOW), sink, CodecSet::NONE);
        facts.learned_refusal(at(NOW), sink, Codec::Opus);
        facts.learned_list(at(NOW), sink, opus);
        assert!(!refuses(&mut facts, at(NOW), sink).contains(Codec::Opus));
        // One that it lists and refuses is refused, however often it says so.
        facts.learned_refusal(at(NOW), sink, Codec::Opus);
        facts.learned_list(at(NOW), sink, opus);
        assert!(refuses(&mut facts, at(NOW), sink).contains(Codec::Opus));
    }

    #[test]
    fn a_list_is_believed_for_seven_days_and_written_once_a_day() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        facts.learned_list(at(NOW), sink, CodecSet::NONE);
        assert_eq!(kept(&mut facts).len(), 1);
        facts.learned_list(at(NOW + DAY - 1), sink, CodecSet::NONE);
        assert_eq!(kept(&mut facts).len(), 0);
        facts.learned_list(at(NOW + DAY), sink, CodecSet::NONE);
        assert_eq!(kept(&mut facts).len(), 1);
        let vp8 = |codecs: CodecSet| codecs.contains(Codec::Vp8);
        assert!(vp8(refuses(&mut facts, at(NOW + 8 * DAY - 1), sink)));
        assert!(!vp8(refuses(&mut facts, at(NOW + 8 * DAY), sink)));
    }

    #[test]
    fn only_what_changed_is_kept_and_a_restart_knows_it() {
        let (mut facts, sink) = (SinkFacts::default(), key("rtmp://a/live"));
        facts.learned_list(at(NOW), sink, CodecSet::of(&[Codec::Vp8]));
        facts.learned_refusal(at(NOW), sink, Codec::Pcmu);
        let records = kept(&mut facts);
        assert_eq!(records.len(), 1);
        facts.learned_list(at(NOW), sink, CodecSet::of(&[Codec::Vp8]));
        let before = facts.view(at(NOW), sink, Abilities::UNKNOWN);
        assert_eq!(kept(&mut facts), []);
        let mut facts = restarted(&records);
        assert_eq!(facts.view(at(NOW), sink, Abilities::UNKNOWN), before);
        assert_eq!(facts.refused(sink)[0].at, at(NOW));
        assert_eq!(kept(&mut facts), [], "nothing to write at a start");
        // Its trunk goes elsewhere.
        facts.retain([key("rtmp://b/live")].into_iter());
        assert!(refuses(&mut facts, at(NOW), sink).is_empty());
        let forgotten = kept(&mut facts);
        assert_eq!(forgotten[0].about, records[0].about);
        assert!(forgotten[0].record.is_empty());
    }

    #[test]
    fn the_server_used_longest_ago_gives_way() {
        let mut facts = SinkFacts::default();
        let nth = |number: usize| key(&format!("rtmp://host{number}/live"));
        for number in 0..SINKS {
            facts.learned_refusal(at(NOW), nth(number), Codec::Pcma);
        }
        assert!(!refuses(&mut facts, at(NOW), nth(0)).is_empty());
        facts.learned_refusal(at(NOW), nth(SINKS), Codec::Pcma);
        assert!(!refuses(&mut facts, at(NOW), nth(0)).is_empty());
        assert!(refuses(&mut facts, at(NOW), nth(1)).is_empty());
        assert!(!refuses(&mut facts, at(NOW), nth(SINKS)).is_empty());
    }
}
