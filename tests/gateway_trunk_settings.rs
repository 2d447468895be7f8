//! What a trunk's settings make of its calls: names, rules, patience and how many there may be.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::cli::config_file::load;
use trunkcast::gateway::config::Config;

/// A configuration whose one trunk the test phones may call, with more settings.
fn settings(more: &[&str]) -> Config {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "trunks:\n  pbx:\n    localPort: 40000\n    proxyIp: 192.0.2.10\n    ping: off\n{more}"
    );
    load(&text, "f.yml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

/// An INVITE with further header fields.
fn invite_with(phone: &mut Phone, lines: &str) -> String {
    phone
        .invite()
        .replacen("Call-ID:", &format!("{lines}Call-ID:"), 1)
}

/// The line that tells of the call's beginning.
fn beginning(world: &World) -> &str {
    let mut notes = world.outlet.notes.iter().map(|(_, line)| line.as_str());
    notes.find(|line| line.contains(" Call-ID ")).unwrap()
}

#[test]
fn a_call_tells_who_the_pbx_says_is_calling_and_its_stream_may_be_named_after_it() {
    let template = "streamName: '{asserted|strip:+}-{diverted|or:direct}-{display|lower}'";
    let mut world = World::new(settings(&[template]));
    let mut phone = Phone::new("2000");
    let invite = invite_with(
        &mut phone,
        "P-Asserted-Identity: \"Zoe Day\" <sip:+49301@pbx>\r\n\
         Diversion: <sip:100@pbx>;reason=no-answer\r\nPrivacy: id\r\n",
    );
    world.sip(phone.remote, invite);
    let line = beginning(&world);
    assert!(
        line.contains(" asserted +49301 diverted from 100 (no-answer) private"),
        "{line}"
    );
    assert!(line.contains(" stream 49301-100-"), "{line}");

    let mut world = World::new(settings(&[template]));
    let mut phone = Phone::new("2000");
    let invite = phone.invite();
    world.sip(phone.remote, invite);
    let line = beginning(&world);
    assert!(line.contains(" stream -direct-"), "{line}");
    assert!(!line.contains("asserted"), "{line}");
}

#[test]
fn a_hostile_name_stays_in_its_quotes() {
    let mut world = World::new(settings(&[]));
    let mut phone = Phone::new("2000");
    let invite = invite_with(
        &mut phone,
        "P-Asserted-Identity: \"x\\\" asserted 1 \x1b[2J\" <sip:7@pbx>\r\n",
    );
    let from = invite
        .lines()
        .find(|line| line.starts_with("From:"))
        .unwrap();
    let bare = from.replace(from.split_once('<').unwrap().0, "From: ");
    let invite = invite.replace(from, &bare);
    world.sip(phone.remote, invite);
    let line = beginning(&world);
    assert!(
        line.ends_with(r#"named "x\" asserted 1 \u{1b}[2J" asserted 7"#),
        "{line}"
    );
}

#[test]
fn the_rules_of_a_trunk_hold_for_its_calls_and_change_with_its_file() {
    let rule = "rules: [{match: {uriUser: '2000'}, set: {uriUser: '3000'}}]";
    let mut world = World::new(settings(&[rule]));
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    assert!(beginning(&world).contains(" stream rtmp_3000"));
    let refuse = settings(&["rules: [{match: {method: INVITE}, reject: 480 Closed today}]"]);
    world.gateway.reload(refuse).unwrap();
    let answers = world.invite(&mut Phone::new("2001"));
    assert!(
        answers[0].starts_with("SIP/2.0 480 Closed today\r\n"),
        "{answers:?}"
    );
}

#[test]
fn a_caller_that_vanishes_is_waited_for_as_long_as_its_trunk_says() {
    for (setting, waits) in [("mediaTimeout: 5", false), ("mediaTimeout: off", true)] {
        let mut world = World::new(settings(&[setting]));
        let mut phone = Phone::new("2000");
        world.call(&mut phone);
        world.advance(Duration::from_secs(11));
        assert_eq!(world.gateway.usage().calls == 1, waits, "{setting}");
        world.advance(Duration::from_secs(120));
        assert_eq!(world.gateway.usage().calls == 1, waits, "{setting}");
    }
}

#[test]
fn a_trunk_takes_no_more_calls_than_it_may_have() {
    let mut world = World::new(settings(&["calls: 1"]));
    world.call(&mut Phone::new("2000"));
    let answers = world.invite(&mut Phone::new("2001"));
    assert_eq!(status(answers.last().unwrap()), 503, "{answers:?}");
}
