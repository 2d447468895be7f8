//! SIPp over UDP, TCP and IPv6: which way messages go.

mod support;

use serde_json::json;
use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Script};

const CALL: &str = "gate->1000: FINISH (200 the caller hung up";

/// A gateway with further lines for its trunk.
fn gateway(ports: &mut Ports, trunk: &[&str]) -> Daemon {
    Daemon::start(
        ports,
        Settings {
            trunk: trunk.iter().map(|&line| line.to_owned()).collect(),
            media: "auto".to_owned(),
            ..Settings::default()
        },
    )
}

/// A scenario that makes a call and ends it.
fn goes_well(name: &str, over_tcp: bool) {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, &[]);
    let mut script = Script::new(name, gateway.sip());
    if over_tcp {
        script = script.over_tcp();
    }
    script.run(&mut ports);
    gateway.wait_after(0, CALL, 3);
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn with_rport_the_answer_goes_where_the_request_came_from() {
    goes_well("transport/rport", false);
}

#[test]
fn over_tcp_the_answer_takes_the_connection_whatever_via_says() {
    goes_well("transport/rport", true);
}

#[test]
fn without_rport_the_port_of_via_counts_and_not_its_host() {
    goes_well("transport/received", false);
}

#[test]
fn all_of_several_vias_come_back_in_their_order() {
    goes_well("transport/many_vias", false);
}

#[test]
fn an_invite_of_more_than_five_kilobytes_is_taken_over_tcp() {
    goes_well("transport/large", true);
}

#[test]
fn three_requests_in_one_segment_get_three_answers() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, &[]);
    let script = Script::new("transport/one_segment", gateway.sip());
    let trace = script.over_tcp().run(&mut ports);
    assert_eq!(trace.matches("\nSIP/2.0 200").count(), 3, "{trace}");
    gateway.check_calm();
}

/// A call over IPv6, signalling and media.
fn ipv6(name: &str, over_tcp: bool) {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, &["allow: [\"::1\"]"]);
    let mut target = gateway.sip();
    target.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
    let mut script = Script::new(name, target).from("::1");
    if over_tcp {
        script = script.over_tcp();
    }
    script.run(&mut ports);
    gateway.wait_after(0, "ESTABLISHED from [::1]:", 3);
    gateway.wait_after(0, CALL, 3);
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_call_over_ipv6_and_udp_has_its_media_there_too() {
    ipv6("transport/ipv6_udp", false);
}

#[test]
fn a_call_over_ipv6_and_tcp_has_its_media_there_too() {
    ipv6("transport/ipv6_tcp", true);
}

#[test]
fn several_calls_share_a_connection_to_their_end() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            trunk: vec!["streamName: \"{callee}-{caller}\"".to_owned()],
            ..Settings::default()
        },
    );
    let mut callers = Vec::new();
    for number in ["1", "2", "3"] {
        let script = Script::new("transport/connection_shared", gateway.sip());
        callers.push(script.over_tcp().number(number).start(&mut ports));
    }
    let mut operator = Operator::of(&gateway);
    operator.wait_for(3, "ESTABLISHED");
    operator.end_all();
    for caller in callers {
        caller.succeed();
    }
    operator.wait_for_none();
    assert!(!gateway.log().text().contains("cannot connect"));
    gateway.check_calm();
}

#[test]
fn a_connection_that_was_lost_is_opened_anew_for_the_end_of_the_call() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, &[]);
    let port = ports.pair();
    let begin = Script::new("transport/lost_connection_up", gateway.sip());
    begin.over_tcp().listen(port).run(&mut ports);
    let end = Script::new("transport/lost_connection_end", gateway.sip());
    let end = end.over_tcp().listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    end.succeed();
    operator.wait_for_none();
    gateway.check_calm();
}

#[test]
fn a_call_out_over_tcp_keeps_to_its_connection() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, &["transport: tcp"]);
    let port = ports.pair();
    let callee = Script::new("transport/callee", gateway.sip());
    let callee = callee.over_tcp().listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    assert_eq!(operator.place("out-1", port, &json!({})), 200);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    callee.succeed();
    operator.wait_for_none();
    gateway.check_calm();
}

#[test]
fn a_call_out_that_is_too_large_for_a_datagram_goes_by_tcp() {
    let mut ports = Ports::claim();
    // The offer is trimmed to what a datagram takes; the names of caller and callee are not.
    let gateway = gateway(&mut ports, &[]);
    let port = ports.pair();
    let callee = Script::new("transport/too_large", gateway.sip());
    let callee = callee.over_tcp().listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    let name = "n".repeat(120);
    let (caller, called) = ("1".repeat(120), "2".repeat(120));
    let more = json!({"visibleName": name, "sipLogin": caller, "callee": called});
    assert_eq!(operator.place(&"i".repeat(100), port, &more), 200);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    callee.succeed();
    operator.wait_for_none();
    gateway.check_calm();
}

#[test]
fn an_invite_is_repeated_until_the_callee_says_that_it_tries() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, &[]);
    let port = ports.pair();
    let callee = Script::new("transport/slow_callee", gateway.sip());
    let callee = callee.listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    assert_eq!(operator.place("out-1", port, &json!({})), 200);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    let trace = callee.succeed();
    // At 0, 0.5 and 1.5 s, and not at 3.5 s.
    assert_eq!(trace.matches("\nINVITE sip:1002").count(), 3, "{trace}");
    gateway.check_calm();
}
