//! Rules of a trunk for the requests that it takes: what to look for, and what to change or refuse.
//!
//! Every rule looks at the request as it came; the changes of all rules that match are made in their
//! order, and the first one that matches and refuses ends it. Responses are left alone; ACK and CANCEL
//! are changed and never refused, since no answer of ours could be told apart by its sender. Work is
//! bounded by [`SIP_RULES`], [`SIP_RULE_CONDITIONS`] and the length of the request.

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

mod pattern;

use core::net::IpAddr;
use std::sync::Arc;

use crate::base::network::Network;
use crate::limits::{SIP_RULE_CHANGES, SIP_RULE_CONDITIONS, SIP_RULES};
use crate::wire::sip_message::SipMessage;

pub use crate::wire::sip_rewrite::{Change, HeaderChange, HeaderTo, UriChange};
pub use pattern::Pattern;

/// The rules of one trunk, in their order. Copies share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Arc<[Rule]>);

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What a request has to be, all of it.
    pub conditions: Vec<Condition>,
    /// What happens to it.
    pub action: Action,
}

/// Something a request has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Of a method; upper and lower case matter.
    Method(Pattern),
    /// With a header field, or without any of that name.
    Header {
        /// Name of the field, in any case, in full or compact.
        name: String,
        /// What one of its lines is like.
        wanted: Wanted,
    },
    /// What the user part of the Request-URI is like, escapes resolved.
    UriUser(Wanted),
    /// What the host of a sip or sips Request-URI is like; IPv6 stands in brackets.
    UriHost(Wanted),
    /// What the port of a sip or sips Request-URI is like.
    UriPort(Wanted),
    /// From a network.
    Source(Network),
}

/// What is wanted of something that may be there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That it is not there.
    Absent,
    /// That it is there and fits.
    Like(Pattern),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Changes, in their order.
    Change(Vec<Change>),
    /// Refuses.
    Reject {
        /// 400 to 699.
        code: u16,
        /// The phrase; the usual one of the code without it.
        reason: Option<String>,
    },
}

/// What the rules make of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'r> {
    /// It stays as it is.
    Pass,
    /// These rules have something to change.
    Change(Matching<'r>),
    /// It is refused.
    Reject(u16, Option<&'r str>),
}

/// The rules that match a request and change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matching<'r>(heapless::Vec<&'r Rule, SIP_RULES>);

impl<'r> Matching<'r> {
    /// What is to be changed, in order.
    pub(super) fn changes(&self) -> impl Iterator<Item = &'r Change> + '_ {
        self.0.iter().flat_map(|rule| match &rule.action {
            Action::Change(changes) => changes.as_slice(),
            Action::Reject { .. } => &[],
        })
    }
}

impl Rules {
    /// Rules in their order. `None` for more than [`SIP_RULES`], or where one has more than
    /// [`SIP_RULE_CONDITIONS`] or [`SIP_RULE_CHANGES`].
    pub fn new(rules: Vec<Rule>) -> Option<Self> {
        let fits = |rule: &Rule| {
            let changes = match &rule.action {
                Action::Change(changes) => changes.len(),
                Action::Reject { .. } => 0,
            };
            rule.conditions.len() <= SIP_RULE_CONDITIONS && changes <= SIP_RULE_CHANGES
        };
        (rules.len() <= SIP_RULES && rules.iter().all(fits)).then(|| Self(rules.into()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What they make of a request from `source`.
    pub(super) fn judge(&self, request: &SipMessage<'_>, source: IpAddr) -> Verdict<'_> {
        let mut matching = Matching::default();
        let spared = request
            .method()
            .is_none_or(|method| method == rsip::Method::Ack || method == rsip::Method::Cancel);
        for rule in self.0.iter() {
            if !rule.conditions.iter().all(|c| c.is_met(request, source)) {
                continue;
            }
            match &rule.action {
                Action::Reject { .. } if spared => {}
                Action::Reject { code, reason } => {
                    return Verdict::Reject(*code, reason.as_deref());
                }
                // There is room for every rule.
                Action::Change(_) => drop(matching.0.push(rule)),
            }
        }
        if matching.0.is_empty() {
            return Verdict::Pass;
        }
        Verdict::Change(matching)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl Condition {
    fn is_met(&self, request: &SipMessage<'_>, source: IpAddr) -> bool {
        let Some(uri) = request.request_uri() else {
            return false;
        };
        match self {
            Self::Method(pattern) => {
                let method = request.method();
                method.is_some_and(|method| pattern.fits(method.as_str()))
            }
            Self::Header { name, wanted } => match wanted {
                Wanted::Absent => request.headers().texts_named(name).next().is_none(),
                Wanted::Like(pattern) => {
                    let mut lines = request.headers().texts_named(name);
                    lines.any(|line| pattern.fits_any_case(&line))
                }
            },
            Self::UriUser(wanted) => wanted.is(uri.user_text(), Pattern::fits),
            Self::UriHost(wanted) => {
                let host = uri.host.map(|host| host.to_string());
                host.is_some() && wanted.is(host, Pattern::fits_any_case)
            }
            // A telephone number has no port, and none that could be missing.
            Self::UriPort(wanted) => {
                let port = uri.port.map(|port| port.to_string());
                uri.host.is_some() && wanted.is(port, Pattern::fits)
            }
            Self::Source(network) => network.contains(source),
        }
    }
}

impl Wanted {
    fn is(&self, found: Option<String>, fits: impl Fn(&Pattern, &str) -> bool) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (Self::Like(pattern), Some(found)) => fits(pattern, &found),
            (Self::Like(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str) -> Wanted {
        Wanted::Like(Pattern::new(text).unwrap())
    }

    fn met(start: &str, condition: Condition) -> bool {
        let method = start.split(' ').next().unwrap();
        let text = format!(
            "{start} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nX-Own: one,\r\n\ttwo\r\nk: Timer\r\n\r\n"
        );
        let request = SipMessage::parse(text.as_bytes()).unwrap();
        condition.is_met(&request, "192.0.2.7".parse().unwrap())
    }

    #[test]
    fn conditions_look_at_method_uri_header_and_source() {
        let header = |name: &str, wanted| Condition::Header {
            name: name.to_owned(),
            wanted,
        };
        let invite = "INVITE sip:10%301@Pbx.example:5060";
        for (start, condition, wanted) in [
            (
                invite,
                Condition::Method(Pattern::new("INV*").unwrap()),
                true,
            ),
            (
                invite,
                Condition::Method(Pattern::new("invite").unwrap()),
                false,
            ),
            (invite, Condition::UriUser(like("1001")), true),
            (invite, Condition::UriUser(Wanted::Absent), false),
            ("OPTIONS sip:h", Condition::UriUser(Wanted::Absent), true),
            ("OPTIONS sip:h", Condition::UriUser(like("*")), false),
            (invite, Condition::UriHost(like("pbx.*")), true),
            (invite, Condition::UriPort(like("5060")), true),
            (invite, Condition::UriPort(Wanted::Absent), false),
            ("INVITE sip:h", Condition::UriPort(Wanted::Absent), true),
            ("INVITE tel:+1", Condition::UriPort(Wanted::Absent), false),
            ("INVITE tel:+1", Condition::UriUser(like("+1")), true),
            ("INVITE tel:+1", Condition::UriHost(Wanted::Absent), false),
            (invite, header("x-own", like("ONE, two")), true),
            (invite, header("Supported", like("timer")), true),
            (invite, header("k", like("tim*")), true),
            (invite, header("X-Other", Wanted::Absent), true),
            (invite, header("X-Own", Wanted::Absent), false),
            (
                invite,
                Condition::Source("192.0.2.0/24".parse().unwrap()),
                true,
            ),
            (
                invite,
                Condition::Source("198.51.100.1".parse().unwrap()),
                false,
            ),
        ] {
            assert_eq!(
                met(start, condition.clone()),
                wanted,
                "{start} {condition:?}"
            );
        }
    }

    #[test]
    fn there_are_no_more_rules_than_there_may_be() {
        let rule = |conditions, changes| Rule {
            conditions: vec![Condition::UriPort(Wanted::Absent); conditions],
            action: Action::Change(vec![Change::Uri(UriChange::Port(None)); changes]),
        };
        assert!(Rules::new(vec![rule(8, 8); 16]).is_some());
        assert_eq!(Rules::new(vec![rule(1, 1); 17]), None);
        assert_eq!(Rules::new(vec![rule(9, 1)]), None);
        assert_eq!(Rules::new(vec![rule(1, 9)]), None);
    }
}
