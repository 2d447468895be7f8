//! Session timers with SIPp as caller and as callee: both roles, both ways to refresh, and the end of a
//! call that is not refreshed.

mod support;

use std::sync::LazyLock;
use std::thread::sleep;
use std::time::Duration;

use support::{Pbx, Slow};

/// The shortest interval there is has 30 s: we refresh after 15 s and give up after 20 s.
static SLOW: LazyLock<Slow> = LazyLock::new(|| {
    Slow::start(&[
        ("timer/renews_by_update", is_called),
        ("timer/renews_by_reinvite", calls),
        ("timer/renews_after_422", is_called_and_hangs_up),
        ("timer/renews_without_update", is_called_and_hangs_up),
        ("timer/expired", is_called),
        ("timer/renewal_481", is_called),
    ])
});

fn calls(scenario: &str) -> String {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls(scenario);
    pbx.done(sipp)
}

fn is_called(scenario: &str) -> String {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called(scenario);
    pbx.done(sipp)
}

fn is_called_and_hangs_up(scenario: &str) -> String {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called(scenario);
    sleep(Duration::from_millis(16_500));
    pbx.hang_up();
    pbx.done(sipp)
}

#[test]
fn a_caller_may_refresh_itself() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/caller_refreshes");
    pbx.done(sipp);
}

#[test]
fn a_caller_may_let_us_refresh() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/gateway_refreshes");
    pbx.done(sipp);
}

#[test]
fn an_interval_below_the_least_is_refused_with_the_least() {
    let mut pbx = Pbx::with(&["sessionTimer: {expires: 600, min: 120}"]);
    let sipp = pbx.calls("timer/too_small");
    pbx.done(sipp);
}

#[test]
fn a_long_interval_is_lowered_to_what_the_caller_takes() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/lowered");
    pbx.done(sipp);
}

#[test]
fn a_caller_that_knows_no_timer_is_refreshed_by_us() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/not_known");
    pbx.done(sipp);
}

#[test]
fn a_caller_may_refresh_by_reinvite() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/refreshed_by_reinvite");
    let log = pbx.done(sipp);
    assert_eq!(log.matches("audio PCMA").count(), 1, "{log}");
}

#[test]
fn a_caller_may_refresh_by_update() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("timer/refreshed_by_update");
    pbx.done(sipp);
}

#[test]
fn a_call_of_ours_asks_for_the_interval_of_the_trunk() {
    let mut pbx = Pbx::with(&["sessionTimer: {expires: 600, min: 90}"]);
    let sipp = pbx.is_called("timer/asked_for");
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(300));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_call_of_ours_gives_way_to_a_longer_interval() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("timer/told_422");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_call_of_ours_gives_way_once() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("timer/told_422_again");
    pbx.logs("FAILED (422");
    pbx.done(sipp);
}

#[test]
fn a_trunk_without_timer_promises_none() {
    let mut pbx = Pbx::with(&["sessionTimer: off"]);
    let sipp = pbx.is_called("timer/off");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn we_refresh_by_update_at_half_the_interval() {
    SLOW.finish("timer/renews_by_update");
}

#[test]
fn we_refresh_by_reinvite_where_update_is_not_taken() {
    SLOW.finish("timer/renews_by_reinvite");
}

#[test]
fn a_refresh_that_was_too_soon_comes_again_at_once() {
    SLOW.finish("timer/renews_after_422");
}

#[test]
fn a_refresh_goes_by_reinvite_where_update_is_refused() {
    SLOW.finish("timer/renews_without_update");
}

#[test]
fn a_call_that_nobody_refreshes_is_ended() {
    let log = SLOW.finish("timer/expired");
    assert!(log.contains("FAILED (408"), "{log}");
}

#[test]
fn a_refresh_that_meets_no_call_ends_ours() {
    let log = SLOW.finish("timer/renewal_481");
    assert!(log.contains("FAILED (481"), "{log}");
}
