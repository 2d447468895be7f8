//! Whether the peers of a trunk are there: OPTIONS outside dialogs (RFC 3261 section 11).
//!
//! Any answer proves a peer alive, whatever it says; 503 says that it takes no calls for now. One that
//! does not answer is asked more often until it does.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use rsip::Header;

use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::limits::SIP_TARGETS;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::Uri;

use super::endpoint::SipEndpoint;
use super::event::{SipEvent, SipRefusal};
use super::registration::retry_after;
use super::table::Slot;
use super::target_order::TargetWalk;
use super::transaction_client::{Owner, Unanswered};
use super::transmit::{SipTarget, SipTargets};

/// How long a peer may take to answer: four transmissions over UDP.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often a peer that does not answer is asked, at most.
const DOWN_INTERVAL: Duration = Duration::from_secs(5);

/// Which peers are asked, how, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingConfig {
    /// Request-URI and To: `sip:pbx.example.net`.
    pub request_uri: String,
    /// From: `sip:trunkcast@192.0.2.1`.
    pub from: String,
    /// From one question to the next, give or take a quarter.
    pub interval: Duration,
    /// The peers.
    pub targets: SipTargets,
}

/// How a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerState {
    /// It was not asked, or has not answered yet.
    #[default]
    Unknown,
    /// It answered.
    Alive {
        /// With that code.
        code: u16,
    },
    /// It answered 503.
    Busy {
        /// Until when, as far as it said so.
        retry_after: Option<Duration>,
    },
    /// It did not answer.
    Silent,
    /// It could not be reached: no connection.
    Unreachable,
}

impl PeerState {
    /// Whether requests had better go elsewhere.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Silent | Self::Unreachable)
    }

    /// Whether the difference is worth telling: another code of an answer is not.
    const fn is_like(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Unknown, Self::Unknown)
                | (Self::Alive { .. }, Self::Alive { .. })
                | (Self::Busy { .. }, Self::Busy { .. })
                | (Self::Silent, Self::Silent)
                | (Self::Unreachable, Self::Unreachable)
        )
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known yet"),
            Self::Alive { code } => write!(f, "answers OPTIONS with {code}"),
            Self::Busy { retry_after: None } => f.write_str("takes no calls (503)"),
            Self::Busy {
                retry_after: Some(after),
            } => write!(f, "takes no calls (503) for {} s", after.as_secs()),
            Self::Silent => f.write_str("does not answer OPTIONS"),
            Self::Unreachable => f.write_str("cannot be connected to"),
        }
    }
}

#[derive(Debug)]
struct Ping {
    target: SipTarget,
    state: PeerState,
    /// The question that waits for its answer.
    transaction: Option<Slot>,
    /// When it was asked last, and how long the last answer took.
    asked: Instant,
    round_trip: Option<Duration>,
    /// When to ask, or until when to wait for the answer.
    at: Instant,
    call_id: Box<str>,
    cseq: u32,
}

/// The peers of an endpoint that are asked.
#[derive(Debug, Default)]
pub(super) struct Pings {
    config: Option<Box<PingConfig>>,
    peers: heapless::Vec<Box<Ping>, SIP_TARGETS>,
}

impl Pings {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.peers.iter().map(|ping| ping.at).min()
    }

    /// Whether one of the peers has that address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|ping| ping.target.address.ip() == address)
    }

    fn due(&self, now: Instant) -> Option<usize> {
        self.peers.iter().position(|ping| ping.at <= now)
    }
}

impl SipEndpoint {
    /// Says which peers are asked from now on. What is known of those that stay is kept; none are
    /// asked without a configuration.
    pub fn set_pings(
        &mut self,
        now: Instant,
        config: Option<PingConfig>,
    ) -> Result<(), SipRefusal> {
        if let Some(config) = &config {
            let uris = [&config.request_uri, &config.from];
            if uris.iter().any(|uri| Uri::parse(uri.as_bytes()).is_none()) {
                return Err(SipRefusal::WrongState);
            }
        }
        let mut before = core::mem::take(&mut self.pings.peers);
        for ping in &mut before {
            if let Some(transaction) = ping.transaction.take() {
                self.clients.remove(transaction);
            }
        }
        for (at, target) in config.iter().flat_map(|c| &c.targets).enumerate() {
            let known = before.iter().find(|ping| ping.target == *target);
            // The first questions a little apart, so that they do not come as one burst.
            let apart = Duration::from_millis(200).saturating_mul(u32::try_from(at).unwrap_or(0));
            let ping = Ping {
                target: *target,
                state: known.map(|known| known.state).unwrap_or_default(),
                transaction: None,
                asked: now,
                round_trip: known.and_then(|known| known.round_trip),
                at: now + apart,
                call_id: self.rng.token().as_str().into(),
                cseq: 0,
            };
            // There are as many places as targets.
            let _ = self.pings.peers.push(Box::new(ping));
        }
        self.pings.config = config.map(Box::new);
        self.settle();
        Ok(())
    }

    /// The peers that are asked, and how each is.
    pub fn peers(&self) -> impl Iterator<Item = (SipTarget, PeerState)> + '_ {
        let peers = self.pings.peers.iter();
        peers.map(|ping| (ping.target, ping.state))
    }

    /// How long a peer took for its last answer to a question whether it is there.
    pub fn round_trip(&self, target: SipTarget) -> Option<Duration> {
        let mut peers = self.pings.peers.iter();
        peers.find(|ping| ping.target == target)?.round_trip
    }

    /// The targets of a request in the order to try them.
    pub fn walk(&self, targets: &SipTargets) -> TargetWalk {
        TargetWalk::new(targets, |target| {
            let mut peers = self.peers();
            peers.any(|(peer, state)| peer == *target && state.is_down())
        })
    }

    /// Asks one peer, or gives up waiting for one; false when nothing is due.
    pub(super) fn one_ping(&mut self, now: Instant) -> bool {
        let Some(at) = self.pings.due(now) else {
            return false;
        };
        let waiting = self
            .pings
            .peers
            .get_mut(at)
            .and_then(|p| p.transaction.take());
        match waiting {
            Some(transaction) => {
                self.clients.remove(transaction);
                self.note_peer(now, at, PeerState::Silent);
            }
            None => self.send_ping(now, at),
        }
        true
    }

    pub(super) fn ping_answered(
        &mut self,
        now: Instant,
        target: u8,
        response: Result<&SipMessage<'_>, Unanswered>,
    ) {
        let at = usize::from(target);
        if let Some(ping) = self.pings.peers.get_mut(at) {
            ping.transaction = None;
            ping.round_trip = response.is_ok().then(|| now.since(ping.asked));
        }
        let state = match response {
            Ok(response) => match response.status().unwrap_or_default() {
                503 => PeerState::Busy {
                    retry_after: retry_after(response.headers().first(HeaderName::RetryAfter)),
                },
                code => PeerState::Alive { code },
            },
            Err(Unanswered::Timeout) => PeerState::Silent,
            Err(Unanswered::Unreachable) => PeerState::Unreachable,
        };
        self.note_peer(now, at, state);
    }

    fn note_peer(&mut self, now: Instant, at: usize, state: PeerState) {
        let Some(config) = &self.pings.config else {
            return;
        };
        let Some(ping) = self.pings.peers.get_mut(at) else {
            return;
        };
        let is_news = !ping.state.is_like(state);
        let was_down = ping.state.is_down();
        ping.state = state;
        ping.at = now + next_ping(config.interval, state, &mut self.rng);
        let target = ping.target;
        if is_news {
            self.push_event(SipEvent::Peer { target, state });
        }
        if !state.is_down() {
            self.peer_answers(now, target, was_down);
        }
    }

    fn send_ping(&mut self, now: Instant, at: usize) {
        let Some(ping) = self.pings.peers.get_mut(at) else {
            return;
        };
        ping.cseq = ping.cseq.wrapping_add(1) & 0x7fff_ffff;
        ping.asked = now;
        let target = ping.target;
        let (Some(config), Some(ping)) = (&self.pings.config, self.pings.peers.get(at)) else {
            return;
        };
        let mut headers = rsip::Headers::default();
        headers.push(Header::MaxForwards("70".into()));
        headers.push(Header::From(
            format!("<{}>;tag={}", config.from, self.rng.token()).into(),
        ));
        headers.push(Header::To(format!("<{}>", config.request_uri).into()));
        headers.push(Header::CallId(ping.call_id.to_string().into()));
        headers.push(Header::CSeq(format!("{} OPTIONS", ping.cseq).into()));
        headers.push(Header::Accept("application/sdp".into()));
        let uri = Uri::parse(config.request_uri.as_bytes());
        let mut request = rsip::Request {
            method: rsip::Method::Options,
            uri: uri.map(|uri| uri.to_rsip()).unwrap_or_default(),
            version: rsip::Version::V2,
            headers,
            body: Vec::new(),
        };
        let local = self.local_for(target.address.ip());
        request
            .headers
            .push(self.contact("", local, target.transport));
        let owner = Owner::Ping(u8::try_from(at).unwrap_or(u8::MAX));
        let sent = self.send_client(now, owner, request, target.destination(), local);
        if let Some(ping) = self.pings.peers.get_mut(at) {
            ping.transaction = sent.ok();
            // Without room it is asked again as if it were down.
            ping.at = now
                + if sent.is_ok() {
                    PATIENCE
                } else {
                    DOWN_INTERVAL
                };
        }
    }
}

/// How long until a peer in that state is asked again.
fn next_ping(interval: Duration, state: PeerState, rng: &mut Rng) -> Duration {
    match state {
        PeerState::Silent | PeerState::Unreachable => rng.jitter(interval.min(DOWN_INTERVAL)),
        _ => rng.jitter(interval),
    }
}
