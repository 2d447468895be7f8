//! SIPp: calls, and requests that are none, as RFC 3261 has them.

mod support;

use serde_json::json;
use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Script};

/// A scenario that calls a gateway; the log tells of it in these words.
fn goes_well(name: &str, told: &str) {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    Script::new(name, gateway.sip()).run(&mut ports);
    gateway.wait_after(0, told, 3);
    Operator::of(&gateway).wait_for_none();
    gateway.terminate();
    gateway.check_calm();
}

/// The same for what makes no call.
fn makes_no_call(name: &str) {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    Script::new(name, gateway.sip()).run(&mut ports);
    assert!(Operator::of(&gateway).calls().is_empty());
    assert!(!gateway.log().text().contains("ESTABLISHED"));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn the_200_says_where_and_how_the_call_goes_on() {
    goes_well(
        "basic/answered",
        "gate->1000: FINISH (200 the caller hung up",
    );
}

#[test]
fn compact_headers_in_any_order_make_a_call() {
    goes_well(
        "basic/compact",
        "gate->1000: FINISH (200 the caller hung up",
    );
}

#[test]
fn the_route_of_a_dialog_is_kept_and_followed() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let caller = Script::new("basic/record_route", gateway.sip()).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    caller.succeed();
    operator.wait_for_none();
    gateway.check_calm();
}

#[test]
fn an_unknown_method_is_answered_with_those_that_are_served() {
    makes_no_call("basic/unknown_method");
}

#[test]
fn a_known_method_that_is_not_served_is_answered_with_those_that_are() {
    makes_no_call("basic/message");
}

#[test]
fn a_required_extension_that_is_not_known_is_named() {
    makes_no_call("basic/unsupported");
}

#[test]
fn a_bye_for_no_call_gets_481() {
    makes_no_call("basic/unknown_dialog");
}

#[test]
fn options_within_a_call_leaves_it_standing() {
    goes_well(
        "basic/options_inside",
        "gate->1000: FINISH (200 the caller hung up",
    );
}

#[test]
fn a_body_of_another_kind_is_refused_with_what_would_do() {
    makes_no_call("basic/body_of_another_kind");
}

#[test]
fn an_invite_that_comes_by_two_ways_makes_one_call() {
    goes_well("basic/merged", "gate->1000: FINISH (200 the caller hung up");
}

#[test]
fn a_call_out_rings_is_answered_and_hung_up_by_the_callee() {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let port = ports.pair();
    let callee = Script::new("basic/callee", gateway.sip());
    let callee = callee.listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    let more = json!({"visibleName": "Door"});
    assert_eq!(operator.place("out-1", port, &more), 200);
    gateway.wait_after(0, "1001->1002: RING (180 Ringing)", 3);
    gateway.wait_after(0, "1001->1002: ESTABLISHED", 3);
    callee.succeed();
    gateway.wait_after(0, "1001->1002: FINISH (200", 3);
    operator.wait_for_none();
    gateway.terminate();
    gateway.check_calm();
}
