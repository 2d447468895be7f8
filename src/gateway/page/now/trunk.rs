//! A trunk as the page shows it: whether its registrar knows it, and whether its PBX answers.

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

use serde::Serialize;

use crate::gateway::Gateway;
use crate::gateway::config::Host;
use crate::gateway::page::problem;
use crate::gateway::trunk::Trunk;
use crate::sip::{PeerState, RegistrationState, SipTarget};

use super::Shown;

/// A trunk.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrunkNow<'a> {
    name: &'a str,
    calls: usize,
    limit: Option<usize>,
    port: u16,
    transport: &'static str,
    registration: Option<RegistrationNow<'a>>,
    peers: Vec<PeerNow>,
    /// Why its port is not open yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Shown<'a>>,
}

/// Its registration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationNow<'a> {
    state: &'static str,
    problem: Option<&'static str>,
    detail: Option<Shown<'a>>,
    expires: Option<u32>,
    retry_seconds: Option<u64>,
    user: String,
}

/// A host of its PBX.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerNow {
    address: String,
    transport: &'static str,
    state: &'static str,
    problem: Option<&'static str>,
    detail: Option<String>,
    rtt_ms: Option<u64>,
}

impl<'a> TrunkNow<'a> {
    /// Every trunk, in the order of the configuration, then those whose port is not open yet.
    pub(super) fn all(gateway: &'a Gateway) -> Vec<Self> {
        gateway
            .trunks()
            .map(|view| (view.calls(), view.trunk()))
            .map(|(calls, trunk)| Self {
                name: &trunk.config.name,
                calls,
                limit: trunk.config.calls,
                port: trunk.config.local_port,
                transport: trunk.config.transport.via(),
                registration: RegistrationNow::of(trunk),
                peers: peers(trunk),
                waiting: None,
            })
            .chain(gateway.waiting_trunks().map(|(config, words)| Self {
                name: &config.name,
                calls: 0,
                limit: config.calls,
                port: config.local_port,
                transport: config.transport.via(),
                registration: None,
                peers: Vec::new(),
                waiting: Some(Shown::detail(words)),
            }))
            .collect()
    }
}

impl<'a> RegistrationNow<'a> {
    /// How the registration of a trunk is, if it is to have one.
    fn of(trunk: &'a Trunk) -> Option<Self> {
        let register = trunk.config.register.as_ref()?;
        let id = trunk.presence.registration();
        let name = id.and_then(|id| trunk.registrations.name(id));
        let user = match name {
            Some(name) => name.strip_prefix("sip:").unwrap_or(name).to_owned(),
            None => register.login.clone(),
        };
        let mut now = Self {
            state: "registering",
            problem: None,
            detail: None,
            expires: None,
            retry_seconds: None,
            user,
        };
        let Some(state) = id.and_then(|id| trunk.endpoint.registration(id)) else {
            if let Some(words) = &trunk.not_found {
                (now.state, now.problem) = ("failed", Some("nameNotFound"));
                now.detail = Some(Shown::detail(words));
            }
            return Some(now);
        };
        match state {
            RegistrationState::Registered { expires } => {
                now.state = "registered";
                now.expires = Some(*expires);
            }
            RegistrationState::Registering => {}
            RegistrationState::Unregistered => now.state = "unregistered",
            RegistrationState::Failed { code, words, retry } => {
                now.state = "failed";
                now.problem = Some(of_failure(*code, words));
                now.detail = Some(Shown::detail(words));
                now.retry_seconds = Some(retry.as_secs());
            }
            RegistrationState::AuthenticationFailed { words } => {
                now.state = "failed";
                now.problem = Some("wrongPassword");
                now.detail = Some(Shown::detail(words));
            }
        }
        Some(now)
    }
}

/// Why a registration failed: what a registrar answers with 503 is not the same as no registrar.
fn of_failure(code: u16, words: &str) -> &'static str {
    if words.contains("cannot be connected to") {
        return match problem::of_connection(words) {
            "other" => "unreachable",
            known => known,
        };
    }
    problem::of_status(code)
}

/// The hosts of a trunk's PBX: those that are asked, those that are not, and names without address.
fn peers(trunk: &Trunk) -> Vec<PeerNow> {
    let asked: Vec<(SipTarget, PeerState)> = trunk.endpoint.peers().collect();
    let is_asked = |target: &SipTarget| asked.iter().any(|(peer, _)| peer == target);
    let known = trunk.targets();
    let others = known.iter().filter(|target| !is_asked(target));
    let others = others.map(|target| (*target, PeerState::Unknown));
    let mut peers: Vec<_> = asked
        .iter()
        .copied()
        .chain(others)
        .map(|(target, state)| PeerNow::of(trunk, target, state))
        .collect();
    for pbx in trunk.unresolved() {
        if let Host::Name(name) = pbx.host {
            let failed = trunk.not_found.as_deref();
            peers.push(PeerNow {
                address: name,
                transport: trunk.config.transport.via(),
                state: if failed.is_some() { "down" } else { "unknown" },
                problem: failed.map(|_| "nameNotFound"),
                detail: failed.map(str::to_owned),
                rtt_ms: None,
            });
        }
    }
    peers
}

impl PeerNow {
    fn of(trunk: &Trunk, target: SipTarget, state: PeerState) -> Self {
        let (word, problem) = match state {
            PeerState::Unknown => ("unknown", None),
            PeerState::Alive { .. } => ("up", None),
            PeerState::Busy { .. } => ("down", Some("serverError")),
            PeerState::Silent => ("down", Some("noAnswer")),
            PeerState::Unreachable => ("down", Some("unreachable")),
        };
        let round_trip = trunk.endpoint.round_trip(target);
        let round_trip = round_trip.filter(|_| !state.is_down());
        Self {
            address: target.address.to_string(),
            transport: target.transport.via(),
            state: word,
            problem,
            detail: (state != PeerState::Unknown).then(|| state.to_string()),
            rtt_ms: round_trip.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
