//! The source lock: which sender's packets are the call's media (symmetric RTP, RFC 4961; new
//! sources, RFC 3550, appendix A.1).
//!
//! - The negotiated address is accepted at once and closes the lock.
//! - Behind a NAT media comes from somewhere else. One other address is latched, once per
//!   offer/answer, after [`LATCH_PACKETS`] packets with successive sequence numbers, one SSRC and
//!   a negotiated payload type, within [`PROBATION_TIME`], while the accepted source, if any,
//!   stays silent. Later strangers never move it.
//! - The negotiated address takes a latched stream back after [`SWITCH_PACKETS`] such packets, and
//!   a new SSRC from the accepted address takes over after as many.
//! - A new offer/answer opens the lock anew; the source accepted before goes on meanwhile, unless
//!   the negotiated address changed.
//!
//! Packets on probation are kept and come out when their source is accepted: a phone that sends
//! one keyframe at the start of a call would lose it otherwise.

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

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Vec;

use crate::base::counter::count;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::PROBATION_PACKETS;
use crate::wire::rtp::RtpHeader;

/// Packets in sequence after which an address that was not negotiated is latched.
pub const LATCH_PACKETS: usize = 4;

/// Packets in sequence after which a new SSRC, or the negotiated address coming back, is accepted.
pub const SWITCH_PACKETS: usize = 2;

/// How long the probation of an address that was not negotiated may take, first packet to last.
pub const PROBATION_TIME: Duration = Duration::from_secs(2);

/// How far behind the newest packet one still counts as late.
const LATE_SEQUENCES: i16 = 100;

/// One received packet with its header read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its header.
    pub header: RtpHeader,
    /// The whole datagram.
    pub packet: Packet,
    /// When it came.
    pub received: Instant,
}

/// Packets let through by one call of [`SourceLock::admit`].
pub type Admitted = Vec<Arrival, PROBATION_PACKETS>;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// From the accepted source.
    Accepted,
    /// It made its source the accepted one: sequence and timestamps start anew. The packets kept
    /// from the probation come out with it.
    NewSource,
    /// Kept; its source is on probation.
    Probation,
    /// From an address that has no say here; dropped.
    Stranger,
}

/// Drops of the source lock, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounters {
    /// Packets of addresses that may not send here.
    pub strangers: u64,
    /// Packets of sources that did not pass their probation.
    pub probation_failed: u64,
    /// Addresses latched that were not negotiated.
    pub latched: u64,
    /// Sources that took over from another one.
    pub changed: u64,
}

/// Which sender's packets one stream takes.
#[derive(Debug, Default)]
pub struct SourceLock {
    negotiated: Option<SocketAddr>,
    accepted: Option<Accepted>,
    /// Another address may still be latched.
    open: bool,
    candidate: Option<Candidate>,
    counters: SourceCounters,
}

#[derive(Clone, Copy, Debug)]
struct Accepted {
    address: SocketAddr,
    ssrc: u32,
    newest: u16,
    /// Packets since the lock was opened, up to what closes it.
    confirmed: usize,
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    needed: usize,
    since: Instant,
    kept: Admitted,
}

impl SourceLock {
    /// A lock for a stream whose peer stated `negotiated` as its address, if it stated one.
    pub fn new(negotiated: Option<SocketAddr>) -> Self {
        Self {
            negotiated: negotiated.map(canonical),
            open: true,
            ..Self::default()
        }
    }

    /// A new offer/answer was completed: opens the lock anew.
    pub fn renegotiated(&mut self, negotiated: Option<SocketAddr>) {
        let negotiated = negotiated.map(canonical);
        if negotiated != self.negotiated {
            self.negotiated = negotiated;
            // Until the new address speaks, nobody is the source; it starts at once when it does.
            if self
                .accepted
                .is_some_and(|accepted| Some(accepted.address) != negotiated)
            {
                self.accepted = None;
            }
        }
        self.drop_candidate();
        self.open = true;
        if let Some(accepted) = &mut self.accepted {
            accepted.confirmed = 0;
        }
    }

    /// Judges one packet of the negotiated payload type; `out` gets what may go on, in order.
    ///
    /// `out` is emptied first. Work is bounded by [`PROBATION_PACKETS`].
    pub fn admit(&mut self, from: SocketAddr, arrival: Arrival, out: &mut Admitted) -> Admission {
        out.clear();
        let from = canonical(from);
        let needed = match &mut self.accepted {
            Some(accepted) if accepted.address == from && accepted.ssrc == arrival.header.ssrc => {
                let ahead = arrival
                    .header
                    .sequence
                    .wrapping_sub(accepted.newest)
                    .cast_signed();
                // A little behind is a late packet; far behind, the source started its numbers anew.
                if !(-LATE_SEQUENCES..=0).contains(&ahead) {
                    accepted.newest = arrival.header.sequence;
                    self.drop_candidate();
                }
                self.confirm();
                let _ = out.push(arrival);
                return Admission::Accepted;
            }
            Some(accepted) if accepted.address == from => SWITCH_PACKETS,
            None if Some(from) == self.negotiated => 1,
            Some(_) if Some(from) == self.negotiated => SWITCH_PACKETS,
            _ if self.open => LATCH_PACKETS,
            _ => {
                count(&mut self.counters.strangers);
                return Admission::Stranger;
            }
        };
        self.try_out(from, arrival, needed, out)
    }

    /// The address that media is sent back to: the accepted source's, else the negotiated one.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.accepted
            .map(|accepted| accepted.address)
            .or(self.negotiated)
    }

    /// The accepted source's SSRC.
    pub fn ssrc(&self) -> Option<u32> {
        self.accepted.map(|accepted| accepted.ssrc)
    }

    /// Whether a packet from `from` with this SSRC is of the accepted source.
    pub fn is_accepted(&self, from: SocketAddr, ssrc: u32) -> bool {
        self.accepted
            .is_some_and(|accepted| accepted.ssrc == ssrc && accepted.address == canonical(from))
    }

    /// Whether an address was latched that the peer did not state.
    pub fn is_latched(&self) -> bool {
        self.accepted
            .is_some_and(|accepted| Some(accepted.address) != self.negotiated)
    }

    /// Whether reports from `from` are to be believed: it is on the host that sends the media, or
    /// on the one that was negotiated.
    pub fn trusts_host_of(&self, from: SocketAddr) -> bool {
        let host = from.ip().to_canonical();
        self.accepted
            .is_some_and(|accepted| accepted.address.ip() == host)
            || self
                .negotiated
                .is_some_and(|negotiated| negotiated.ip() == host)
    }

    /// What was dropped and why.
    pub fn counters(&self) -> &SourceCounters {
        &self.counters
    }

    /// Puts a packet of a source that is not accepted on probation.
    fn try_out(
        &mut self,
        from: SocketAddr,
        arrival: Arrival,
        needed: usize,
        out: &mut Admitted,
    ) -> Admission {
        let now = arrival.received;
        let ssrc = arrival.header.ssrc;
        if let Some(candidate) = &self.candidate {
            let expired = now.since(candidate.since) > PROBATION_TIME;
            let same = candidate.address == from && candidate.ssrc == ssrc;
            // Who needs fewer packets is better known: a stranger cannot keep them out.
            if !expired && !same && candidate.needed <= needed && candidate.address != from {
                count(&mut self.counters.strangers);
                return Admission::Stranger;
            }
            // A known address may be slow: some phones send a picture in seconds.
            if !same || (expired && needed == LATCH_PACKETS) {
                self.drop_candidate();
            }
        }
        let candidate = self.candidate.get_or_insert_with(|| Candidate {
            address: from,
            ssrc,
            needed,
            since: now,
            kept: Admitted::new(),
        });
        candidate.needed = needed;
        if candidate.kept.is_full() {
            // As many packets and no run among them: this is no media.
            let dropped = candidate.kept.len() as u64;
            candidate.kept.clear();
            candidate.since = now;
            self.counters.probation_failed = self.counters.probation_failed.saturating_add(dropped);
        }
        // Room was made above.
        let _ = candidate.kept.push(arrival);
        if !candidate.has_run() {
            return Admission::Probation;
        }
        self.accept_candidate(out);
        Admission::NewSource
    }

    fn accept_candidate(&mut self, out: &mut Admitted) {
        let Some(mut candidate) = self.candidate.take() else {
            return;
        };
        let first = candidate
            .kept
            .first()
            .map_or(0, |arrival| arrival.header.sequence);
        candidate
            .kept
            .sort_unstable_by_key(|kept| kept.header.sequence.wrapping_sub(first).cast_signed());
        let newest = candidate
            .kept
            .last()
            .map_or(first, |arrival| arrival.header.sequence);
        if self.accepted.is_some() {
            count(&mut self.counters.changed);
        }
        let moved = self
            .accepted
            .is_none_or(|accepted| accepted.address != candidate.address);
        if moved {
            // The negotiated address and one latched both end the search.
            self.open = false;
            if Some(candidate.address) != self.negotiated {
                count(&mut self.counters.latched);
            }
        }
        self.accepted = Some(Accepted {
            address: candidate.address,
            ssrc: candidate.ssrc,
            newest,
            confirmed: LATCH_PACKETS,
        });
        *out = candidate.kept;
    }

    /// The source accepted before the last offer/answer closes the lock by going on.
    fn confirm(&mut self) {
        if let Some(accepted) = &mut self.accepted
            && self.open
        {
            accepted.confirmed = accepted.confirmed.saturating_add(1);
            self.open =
                accepted.confirmed < LATCH_PACKETS && Some(accepted.address) != self.negotiated;
        }
    }

    fn drop_candidate(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            let dropped = candidate.kept.len() as u64;
            self.counters.probation_failed = self.counters.probation_failed.saturating_add(dropped);
        }
    }
}

impl Candidate {
    /// Whether the kept packets have `needed` successive sequence numbers, in whatever order.
    fn has_run(&self) -> bool {
        let has = |wanted: u16| self.kept.iter().any(|kept| kept.header.sequence == wanted);
        self.kept.iter().any(|first| {
            (0..self.needed).all(|step| has(first.header.sequence.wrapping_add(step as u16)))
        })
    }
}

/// Two forms of one address compare equal: no IPv4 inside IPv6, no flow label or scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::packet_pool::PacketPool;

    const PEER: &str = "192.0.2.1:4000";
    const NAT: &str = "198.51.100.9:61000";
    const STRANGER: &str = "203.0.113.5:9999";

    struct Rig {
        pool: PacketPool,
        lock: SourceLock,
        now: Instant,
        out: Admitted,
    }

    impl Rig {
        fn new(negotiated: Option<&str>) -> Self {
            let negotiated = negotiated.map(|text| text.parse().unwrap());
            Self {
                pool: PacketPool::new(32),
                lock: SourceLock::new(negotiated),
                now: Instant::ZERO,
                out: Admitted::new(),
            }
        }

        fn send(&mut self, from: &str, ssrc: u32, sequence: u16) -> Admission {
            self.now = self.now + Duration::from_millis(20);
            let mut bytes = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
            bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let packet = self.pool.copy_from(&bytes).unwrap();
            let header = RtpHeader::parse(&packet).unwrap();
            let arrival = Arrival {
                header,
                packet,
                received: self.now,
            };
            self.lock
                .admit(from.parse().unwrap(), arrival, &mut self.out)
        }

        fn sequences(&self) -> Vec<u16, PROBATION_PACKETS> {
            self.out
                .iter()
                .map(|arrival| arrival.header.sequence)
                .collect()
        }
    }

    #[test]
    fn the_negotiated_address_is_accepted_at_once_and_strangers_never() {
        let mut rig = Rig::new(Some(PEER));
        assert_eq!(rig.send(PEER, 1, 100), Admission::NewSource);
        assert_eq!(rig.sequences(), [100]);
        for sequence in 0..50 {
            assert_eq!(rig.send(STRANGER, 9, sequence), Admission::Stranger);
        }
        assert_eq!(rig.send(PEER, 1, 101), Admission::Accepted);
        assert_eq!(rig.lock.counters().strangers, 50);
    }

    #[test]
    fn an_address_written_as_ipv4_inside_ipv6_is_the_same() {
        let mut rig = Rig::new(Some(PEER));
        assert_eq!(
            rig.send("[::ffff:192.0.2.1]:4000", 1, 100),
            Admission::NewSource
        );
    }

    #[test]
    fn one_other_address_is_latched_and_loses_no_packet_to_the_probation() {
        let mut rig = Rig::new(Some(PEER));
        for sequence in [65_534, 65_535, 1] {
            assert_eq!(rig.send(NAT, 1, sequence), Admission::Probation);
            assert!(rig.out.is_empty());
        }
        assert_eq!(rig.send(NAT, 1, 0), Admission::NewSource);
        assert_eq!(rig.sequences(), [65_534, 65_535, 0, 1]);
        assert!(rig.lock.is_latched());
        assert_eq!(rig.lock.remote(), Some(NAT.parse().unwrap()));
        for sequence in 0..50 {
            assert_eq!(rig.send(STRANGER, 9, sequence), Admission::Stranger);
        }
        assert_eq!(rig.send(NAT, 1, 2), Admission::Accepted);
    }

    #[test]
    fn packets_without_order_latch_nothing_and_give_their_buffers_back() {
        let mut rig = Rig::new(Some(PEER));
        for step in 0..100_u16 {
            assert_eq!(
                rig.send(STRANGER, 9, step.wrapping_mul(7)),
                Admission::Probation
            );
        }
        assert!(rig.pool.available() >= 32 - PROBATION_PACKETS);
        for step in 0..100_u16 {
            assert_eq!(
                rig.send(STRANGER, u32::from(step), step),
                Admission::Probation
            );
        }
        assert_eq!(rig.send(PEER, 1, 5), Admission::NewSource);
        rig.out.clear();
        assert_eq!(rig.pool.available(), 32);
    }

    #[test]
    fn a_known_address_may_take_its_time_to_change_its_source() {
        let mut rig = Rig::new(Some(PEER));
        rig.send(PEER, 1, 0);
        assert_eq!(rig.send(PEER, 2, 70), Admission::Probation);
        rig.now = rig.now + Duration::from_secs(9);
        assert_eq!(rig.send(PEER, 2, 71), Admission::NewSource);
        assert_eq!(rig.sequences(), [70, 71]);
    }

    #[test]
    fn the_probation_of_a_stranger_is_short() {
        let mut rig = Rig::new(None);
        for sequence in 0..12 {
            rig.now = rig.now + PROBATION_TIME;
            assert_eq!(rig.send(STRANGER, 9, sequence), Admission::Probation);
        }
    }

    #[test]
    fn the_negotiated_address_takes_a_latched_stream_back() {
        let mut rig = Rig::new(Some(PEER));
        for sequence in 0..4 {
            rig.send(STRANGER, 9, sequence);
        }
        assert!(rig.lock.is_latched());
        assert_eq!(rig.send(PEER, 1, 70), Admission::Probation);
        assert_eq!(rig.send(PEER, 1, 71), Admission::NewSource);
        assert_eq!(rig.sequences(), [70, 71]);
        assert_eq!(rig.send(STRANGER, 9, 4), Admission::Stranger);
    }

    #[test]
    fn a_stranger_on_probation_does_not_keep_the_peer_out() {
        let mut rig = Rig::new(Some(PEER));
        assert_eq!(rig.send(STRANGER, 9, 0), Admission::Probation);
        assert_eq!(rig.send(NAT, 1, 0), Admission::Stranger);
        assert_eq!(rig.send(PEER, 1, 0), Admission::NewSource);
        assert_eq!(rig.send(STRANGER, 9, 1), Admission::Stranger);
    }

    #[test]
    fn a_new_ssrc_is_accepted_after_two_packets_in_sequence() {
        let mut rig = Rig::new(Some(PEER));
        rig.send(PEER, 1, 100);
        assert_eq!(rig.send(PEER, 2, 9), Admission::Probation);
        // The old source is really gone: a late packet of it does not end the probation.
        assert_eq!(rig.send(PEER, 1, 99), Admission::Accepted);
        assert_eq!(rig.send(PEER, 2, 10), Admission::NewSource);
        assert_eq!(rig.sequences(), [9, 10]);
        assert_eq!(rig.lock.ssrc(), Some(2));
        assert_eq!(rig.lock.counters().changed, 1);
    }

    #[test]
    fn two_sources_at_once_do_not_take_turns() {
        let mut rig = Rig::new(Some(PEER));
        rig.send(PEER, 1, 0);
        for sequence in 1..50 {
            assert_eq!(rig.send(PEER, 2, sequence), Admission::Probation);
            assert_eq!(rig.send(PEER, 1, sequence), Admission::Accepted);
        }
        assert_eq!(rig.lock.ssrc(), Some(1));
    }

    #[test]
    fn a_new_offer_and_answer_opens_the_lock_once_more() {
        let mut rig = Rig::new(Some(PEER));
        for sequence in 0..4 {
            rig.send(NAT, 1, sequence);
        }
        rig.lock.renegotiated(Some(PEER.parse().unwrap()));
        // The source so far goes on, and going on closes the lock.
        for sequence in 4..8 {
            assert_eq!(rig.send(NAT, 1, sequence), Admission::Accepted);
        }
        assert_eq!(rig.send(STRANGER, 9, 0), Admission::Stranger);
        // Gone silent, it leaves its place to the phone's new address.
        rig.lock.renegotiated(Some(PEER.parse().unwrap()));
        for sequence in 8..11 {
            assert_eq!(rig.send(STRANGER, 1, sequence), Admission::Probation);
        }
        assert_eq!(rig.send(STRANGER, 1, 11), Admission::NewSource);
        assert_eq!(rig.send(NAT, 1, 12), Admission::Stranger);
    }

    #[test]
    fn a_renegotiated_address_replaces_the_old_one_at_once() {
        let mut rig = Rig::new(Some(PEER));
        rig.send(PEER, 1, 0);
        rig.lock.renegotiated(Some(NAT.parse().unwrap()));
        assert_eq!(rig.send(PEER, 1, 1), Admission::Probation);
        assert_eq!(rig.send(NAT, 1, 2), Admission::NewSource);
        assert_eq!(rig.send(PEER, 1, 3), Admission::Stranger);
    }
}
