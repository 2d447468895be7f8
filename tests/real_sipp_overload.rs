//! SIPp where there is no room: here, at the callee, at the PBX.

mod support;

use serde_json::json;
use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Script};

/// A gateway with further lines for its trunk and at the top level.
fn gateway(ports: &mut Ports, trunk: &[&str], top: &[&str]) -> Daemon {
    let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    Daemon::start(
        ports,
        Settings {
            trunk: lines(trunk),
            top: lines(top),
            ..Settings::default()
        },
    )
}

#[test]
fn a_call_beyond_the_limit_of_its_trunk_is_turned_away_and_the_next_taken() {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, &["calls: 1"], &[]);
    let taken = |number| Script::new("overload/taken", gateway.sip()).number(number);
    let first = taken("1").start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");
    let second = Script::new("overload/turned_away", gateway.sip());
    second.number("2").run(&mut ports);
    gateway.wait_after(0, "gate->2: 503, every call of the trunk is taken", 2);
    operator.end_all();
    first.succeed();
    operator.wait_for_none();
    let third = taken("3").start(&mut ports);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    third.succeed();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_full_trunk_leaves_room_for_another() {
    let mut ports = Ports::claim();
    let other = ports.address();
    let mut gateway = Daemon::start(
        &mut ports,
        Settings {
            trunk: vec!["calls: 1".to_owned()],
            second: Some((other.port(), "rtmp://127.0.0.1:1/live".to_owned())),
            ..Settings::default()
        },
    );
    let first = Script::new("overload/taken", gateway.sip()).number("1");
    let first = first.start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");
    let second = Script::new("overload/taken", other).number("2");
    let second = second.start(&mut ports);
    operator.wait_for(2, "ESTABLISHED");
    operator.end_all();
    first.succeed();
    second.succeed();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_call_whose_stream_is_there_already_finds_it_busy() {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, &[], &[]);
    let first = Script::new("overload/taken", gateway.sip()).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");
    Script::new("overload/same_stream", gateway.sip()).run(&mut ports);
    gateway.wait_after(0, "gate->1000: 486, its stream name is in use", 2);
    operator.wait_for(1, "ESTABLISHED");
    operator.end_all();
    first.succeed();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn of_a_burst_as_many_are_taken_as_there_is_room_for() {
    let mut ports = Ports::claim();
    let top = ["limits: {calls: 8, memoryMiB: 64}"];
    let mut gateway = gateway(&mut ports, &[], &top);
    let burst = Script::new("overload/burst", gateway.sip());
    burst.calls(30, 200).run(&mut ports);
    Operator::of(&gateway).wait_for_none();
    gateway.terminate();
    let log = gateway.log().text();
    let finished = log.matches("FINISH (200 the caller hung up").count();
    assert_eq!(finished, 8, "{log}");
    assert!(log.contains("calls_refused: 22,"), "{log}");
    // A burst of calls is none of lines.
    let lines = log
        .matches("every call is taken; answered with 503: ")
        .count();
    assert!((1..3).contains(&lines), "{log}");
    gateway.check_calm();
}

/// A call out that a callee refuses, as the log tells it.
fn is_refused(name: &str, told: &str) {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, &[], &[]);
    let port = ports.pair();
    let callee = Script::new(name, gateway.sip()).listen(port);
    let callee = callee.start(&mut ports);
    let mut operator = Operator::of(&gateway);
    assert_eq!(operator.place("out-1", port, &json!({})), 200);
    gateway.wait_after(0, told, 3);
    callee.succeed();
    operator.wait_for_none();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_callee_without_room_is_told_with_its_own_words() {
    let told = "1001->1002: FAILED (503 Service Unavailable; retry after 30 s)";
    is_refused("overload/callee_overloaded", told);
}

#[test]
fn a_callee_that_does_not_pick_up_is_told_with_the_reason() {
    is_refused("overload/callee_away", "no answer");
}

#[test]
fn an_overloaded_pbx_has_another_stand_in_for_it() {
    let mut ports = Ports::claim();
    let (first, second) = (ports.pair(), ports.pair());
    let settings = Settings {
        pbx: Some(([127, 0, 0, 1], first).into()),
        trunk: vec![
            format!("targets: [\"127.0.0.1:{second}\"]"),
            "ping: off".into(),
        ],
        ..Settings::default()
    };
    let mut gateway = Daemon::start(&mut ports, settings);
    let busy = Script::new("overload/callee_overloaded", gateway.sip()).listen(first);
    let busy = busy.start(&mut ports);
    let other = Script::new("overload/second_target", gateway.sip()).listen(second);
    let other = other.start(&mut ports);
    let mut operator = Operator::of(&gateway);
    assert_eq!(operator.place("out-1", first, &json!({})), 200);
    operator.wait_for(1, "ESTABLISHED");
    busy.succeed();
    operator.end_all();
    other.succeed();
    operator.wait_for_none();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_pbx_that_takes_no_calls_for_now_is_told() {
    let mut ports = Ports::claim();
    let port = ports.pair();
    let pbx = Script::new("overload/pinged", ([127, 0, 0, 1], 9).into());
    let pbx = pbx.listen(port).start(&mut ports);
    // The address of another PBX of this trunk is asked as well.
    let target = format!("targets: [\"127.0.0.1:{port}\"]");
    let mut gateway = gateway(&mut ports, &[&target, "ping: 60"], &[]);
    gateway.wait_after(
        0,
        &format!("test: 127.0.0.1:{port} over UDP takes no calls (503) for 5 s"),
        5,
    );
    pbx.succeed();
    gateway.terminate();
    gateway.check_calm();
}
