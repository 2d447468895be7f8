//! The other end of a stream: which codecs an RTMP server takes, as its kind is known
//! ([`profile`]), as it says, and as was learned from it ([`facts`]).
//!
//! What is learned in a call is right in the next one: a running call goes on without the track
//! that the server refuses, and nothing is negotiated anew for it.

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

pub mod facts;
pub mod profile;
pub mod record;

use crate::base::codec::{Codec, CodecSet};
use crate::base::sink::SinkView;
use crate::base::time::{Instant, WallTime};
use crate::gateway::Gateway;
use crate::gateway::config;
use crate::gateway::hooks::node::Node;
use crate::gateway::outlet::Outlet;
use crate::gateway::sink::facts::{SinkFacts, SinkKey};
use crate::gateway::sink::profile::{Abilities, Profile};
use crate::gateway::stored::Stored;
use crate::wire::rtmp_url::RtmpUrl;

/// Both laws of G.711: a server that refuses one refuses the other.
const G711: CodecSet = CodecSet::of(&[Codec::Pcma, Codec::Pcmu]);

/// Where the streams of a trunk go; a call keeps the one that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Which server; `None` for the players at the box.
    pub key: Option<SinkKey>,
    /// What is known of its kind.
    pub abilities: Abilities,
}

impl Sink {
    /// The sink of a trunk.
    pub fn of(trunk: &config::Trunk) -> Self {
        Self::to(trunk.url.as_ref(), trunk.sink)
    }

    /// A server of this kind, where that is known; without one, the players at the box.
    pub fn to(url: Option<&RtmpUrl>, profile: Option<Profile>) -> Self {
        match url {
            Some(url) => Self {
                key: Some(SinkKey::of(url, profile)),
                abilities: Abilities::of(profile),
            },
            None => Self {
                key: None,
                abilities: Abilities::LOCAL,
            },
        }
    }
}

/// What was learned of sinks, and the clock that dates it.
#[derive(Debug)]
pub struct SinkMemory {
    /// What was learned.
    facts: Box<SinkFacts>,
    /// The last reading of the wall clock, and when it was taken.
    wall: (Instant, WallTime),
}

impl SinkMemory {
    /// Nothing learned yet; the wall clock as it stood at [`Instant::ZERO`].
    pub fn new(epoch: WallTime) -> Self {
        Self {
            facts: Box::default(),
            wall: (Instant::ZERO, epoch),
        }
    }

    /// What SDP may build on.
    pub fn view(&mut self, now: Instant, sink: Sink) -> SinkView {
        let wall = self.wall(now);
        match sink.key {
            Some(key) => self.facts.view(wall, key, sink.abilities),
            None => SinkView {
                takes: sink.abilities.takes,
                refuses: sink.abilities.refuses,
            },
        }
    }

    /// The codecs that a sink was found to refuse.
    pub fn refused(&self, sink: Sink) -> CodecSet {
        let refused = sink.key.map(|key| self.facts.refused(key));
        refused
            .unwrap_or_default()
            .iter()
            .fold(CodecSet::NONE, |set, refused| {
                set.union(CodecSet::of(&[refused.codec]))
            })
    }

    /// A server's answer to `connect` listed these codecs.
    pub fn learned_list(&mut self, now: Instant, sink: Sink, listed: CodecSet) {
        let wall = self.wall(now);
        if let Some(key) = sink.key {
            self.facts.learned_list(wall, key, listed);
        }
    }

    /// A server was found to refuse a codec.
    pub fn learned_refusal(&mut self, now: Instant, sink: Sink, codec: Codec) {
        let wall = self.wall(now);
        let refused = if G711.contains(codec) {
            G711
        } else {
            CodecSet::of(&[codec])
        };
        if let Some(key) = sink.key {
            for codec in refused.iter() {
                self.facts.learned_refusal(wall, key, codec);
            }
        }
    }

    fn wall(&self, now: Instant) -> WallTime {
        let (at, wall) = self.wall;
        wall.after(now.since(at))
    }
}

impl Gateway {
    /// What the wall clock says, in milliseconds since 1970.
    pub(super) fn unix_millis(&self, now: Instant) -> u64 {
        let (at, wall) = self.sinks.wall;
        let millis = u64::try_from(now.since(at).as_millis()).unwrap_or_default();
        wall.seconds().saturating_mul(1_000).saturating_add(millis)
    }

    /// Takes over what earlier runs have kept: the records of [`Outlet::keep`], oldest first.
    /// Records of no use any more are forgotten with the next drain.
    pub fn recall<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) {
        for record in records {
            match Stored::from_bytes(record) {
                Some(Stored::SinkV1(sink)) => self.sinks.facts.recall(&sink),
                Some(Stored::NodeV1(bytes)) => self.node = Node::recalled(bytes),
                Some(Stored::CallV1(call)) => self.history.recall(&call),
                // Of a later version of this program: left where it is.
                None => {}
            }
        }
        self.forget_sinks();
    }

    /// Tells what the wall clock says, in seconds since 1970: it may be set while we run. Whether it was
    /// since the last time; registrations that failed without an answer, as they do while certificates
    /// are not valid yet, are then tried again soon. All else that failed is so in half a minute anyway.
    pub fn set_wall_clock(&mut self, now: Instant, seconds: u64) -> bool {
        let (at, before) = self.sinks.wall;
        let wall = WallTime::from_unix(seconds);
        let was_set = wall.is_set_after(before.after(now.since(at)));
        self.sinks.wall = (now, wall);
        if was_set {
            for trunk in &mut self.trunks {
                trunk.endpoint.retry_registrations(now);
                trunk.dirty = true;
            }
        }
        was_set
    }

    /// Whether the wall clock has been set, as far as can be told.
    pub fn knows_wall_clock(&self) -> bool {
        self.sinks.wall.1.is_believable()
    }

    /// Forgets the sinks that no trunk and no call has any more.
    pub(super) fn forget_sinks(&mut self) {
        let keys = self.trunks.iter().filter_map(|trunk| trunk.sink.key);
        let of_calls = self.calls.iter().filter_map(|(_, call)| call.sink.key);
        let of_pushes = self.pushes.iter().filter_map(|(_, push)| push.sink.key);
        let keys: Vec<_> = keys.chain(of_calls).chain(of_pushes).collect();
        self.sinks.facts.retain(keys.iter().copied());
    }

    /// Hands out what was learned and is not kept yet.
    pub(super) fn keep_facts(&mut self, outlet: &mut dyn Outlet) {
        while let Some(keep) = self.sinks.facts.poll_keep() {
            outlet.keep(keep.about, &keep.record);
        }
    }
}
