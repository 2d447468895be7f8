//! Rules for requests that come in: whatever they change, the message stays the one that came.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::limits::{SIP_MESSAGE_BYTES, SIP_RULES};
use trunkcast::sip::rules::{
    Action, Change, Condition, HeaderChange, HeaderTo, Pattern, Rule, Rules, UriChange, Wanted,
};
use trunkcast::sip::{SessionTimers, SipConfig, SipEndpoint};
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_rewrite::rewrite;
use trunkcast_fuzz::Choices;

const NAMES: [&str; 8] = [
    "Route",
    "Contact",
    "X-Any",
    "Require",
    "Max-Forwards",
    "Content-Type",
    "m",
    "Supported",
];

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut rules = Vec::new();
    for _ in 0..usize::from(choices.byte()) % (SIP_RULES + 1) {
        rules.push(rule(&mut choices));
    }
    let bytes = choices.rest();
    if let Ok(message) = SipMessage::parse(bytes) {
        let changes = rules.iter().flat_map(|rule| match &rule.action {
            Action::Change(changes) => changes.as_slice(),
            Action::Reject { .. } => &[],
        });
        written_anew(&message, changes);
    }
    let Some(rules) = Rules::new(rules) else {
        return;
    };
    let mut endpoint = SipEndpoint::new(config(), Rng::from_number(1));
    endpoint.set_rules(rules);
    let peer: SocketAddr = ([192, 0, 2, 10], 5_060).into();
    let now = Instant::from_millis(1_000);
    endpoint.handle_datagram(now, peer, bytes);
    while let Some(transmit) = endpoint.poll_transmit() {
        assert!(transmit.bytes.len() <= SIP_MESSAGE_BYTES);
    }
    while endpoint.poll_event().is_some() {}
    endpoint.check_invariants();
});

fn written_anew<'a>(message: &SipMessage<'a>, changes: impl Iterator<Item = &'a Change>) {
    let mut out = vec![0; SIP_MESSAGE_BYTES];
    let Ok(length) = rewrite(message, changes, &mut out) else {
        return;
    };
    let Ok(changed) = SipMessage::parse(&out[..length]) else {
        return;
    };
    assert_eq!(changed.call_id(), message.call_id());
    assert_eq!(changed.cseq(), message.cseq());
    assert_eq!(changed.via().branch, message.via().branch);
    assert_eq!(changed.from().tag(), message.from().tag());
    assert_eq!(changed.to().tag(), message.to().tag());
    assert_eq!(changed.body(), message.body());
    assert_eq!(changed.method(), message.method());
}

fn rule(choices: &mut Choices<'_>) -> Rule {
    let conditions = (0..choices.byte() & 3)
        .filter_map(|_| condition(choices))
        .collect();
    let action = match choices.byte() & 7 {
        0 => Action::Reject {
            code: 400 + choices.number() % 300,
            reason: choices.flag().then(|| choices.text()),
        },
        count => Action::Change((0..count).map(|_| change(choices)).collect()),
    };
    Rule { conditions, action }
}

fn condition(choices: &mut Choices<'_>) -> Option<Condition> {
    let kind = choices.byte() % 6;
    let wanted = |choices: &mut Choices<'_>| match choices.byte() & 3 {
        0 => Some(Wanted::Absent),
        1 => Pattern::new("*").map(Wanted::Like),
        _ => Pattern::new(&choices.text()).map(Wanted::Like),
    };
    Some(match kind {
        0 => Condition::Method(Pattern::new(
            choices.pick(&["INVITE", "*", "RE*", "OPTIONS"]),
        )?),
        1 => Condition::Header {
            name: choices.pick(&NAMES).into(),
            wanted: wanted(choices)?,
        },
        2 => Condition::UriUser(wanted(choices)?),
        3 => Condition::UriHost(wanted(choices)?),
        4 => Condition::UriPort(wanted(choices)?),
        _ => Condition::Source("192.0.2.0/24".parse().ok()?),
    })
}

fn change(choices: &mut Choices<'_>) -> Change {
    match choices.byte() % 7 {
        0 => Change::Uri(UriChange::User(choices.flag().then(|| choices.text()))),
        1 => Change::Uri(UriChange::Host(choices.text())),
        2 => Change::Uri(UriChange::Port(choices.flag().then(|| choices.number()))),
        3 => {
            let name = choices.pick(&["transport", "user", "lr", "x"]).into();
            let value = match choices.byte() % 3 {
                0 => None,
                1 => Some(None),
                _ => Some(Some(choices.text())),
            };
            Change::Uri(UriChange::Param(name, value))
        }
        kind => Change::Header(HeaderChange {
            name: choices.pick(&NAMES).into(),
            to: match kind {
                4 => HeaderTo::Set(choices.text()),
                5 => HeaderTo::Added(choices.text()),
                _ => HeaderTo::Removed,
            },
        }),
    }
}

fn config() -> SipConfig {
    SipConfig {
        local: ([192, 0, 2, 1], 40_000).into(),
        user_agent: "trunkcast".into(),
        display_name: None,
        allow: vec!["192.0.2.0/24".parse().expect("a network")],
        calls: 1,
        secure_only: false,
        session_timer: Some(SessionTimers::default()),
    }
}
