//! SIPp holds, resumes and moves calls by re-INVITE, as caller and as callee, and meets re-INVITEs of
//! ours.

mod support;

use std::sync::LazyLock;
use std::thread::sleep;
use std::time::Duration;

use support::{Pbx, Slow};

/// Our re-INVITEs are those that refresh a session, after half of the shortest interval: 15 s.
static SLOW: LazyLock<Slow> = LazyLock::new(|| {
    Slow::start(&[
        ("hold/caller_glare", calls),
        ("hold/callee_glare", is_called),
        ("hold/callee_crosses", is_called),
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

#[test]
fn a_caller_that_sends_only_is_answered_recvonly() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_sends_only");
    pbx.done(sipp);
}

#[test]
fn a_call_that_the_caller_holds_is_on_hold() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_inactive");
    pbx.logs("ESTABLISHED; audio PCMA");
    let held = pbx.logs_after(0, ": HOLD; audio");
    pbx.logs_after(held, ": ESTABLISHED; audio");
    pbx.done(sipp);
}

#[test]
fn a_caller_that_only_listens_is_answered_sendonly() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_receives_only");
    pbx.logs("ESTABLISHED; audio PCMA");
    let held = pbx.logs_after(0, ": HOLD; audio");
    pbx.logs_after(held, ": ESTABLISHED; audio");
    pbx.done(sipp);
}

#[test]
fn the_zero_address_is_a_hold() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_zero_address");
    pbx.done(sipp);
}

#[test]
fn the_callers_media_may_move() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_moves");
    pbx.logs("audio PCMU");
    pbx.done(sipp);
}

#[test]
fn a_picture_may_come_and_go() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_adds_and_drops_video");
    pbx.logs("video H264");
    let log = pbx.done(sipp);
    assert_eq!(log.matches("video none").count(), 2, "{log}");
}

#[test]
fn a_reinvite_without_an_offer_is_answered_with_one() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_wants_an_offer");
    pbx.done(sipp);
}

#[test]
fn a_reinvite_without_a_usable_codec_leaves_the_call_as_it_was() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_offers_nothing_usable");
    pbx.logs("re-INVITE refused");
    pbx.done(sipp);
}

#[test]
fn a_reinvite_out_of_order_is_refused() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_out_of_order");
    pbx.done(sipp);
}

#[test]
fn a_reinvite_before_the_ack_of_the_last_is_told_to_wait() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_overlaps");
    pbx.done(sipp);
}

#[test]
fn a_reinvite_after_the_end_finds_no_call() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("hold/caller_unknown");
    pbx.done(sipp);
}

#[test]
fn a_call_that_the_callee_holds_is_on_hold() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("hold/callee_holds");
    pbx.logs("ESTABLISHED; audio PCMA");
    let held = pbx.logs_after(0, ": HOLD; audio");
    pbx.logs_after(held, ": ESTABLISHED; audio");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn the_bye_goes_where_a_reinvite_said() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("hold/callee_moves");
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(300));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_callee_may_offer_anew_at_once() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("hold/callee_reoffers_at_once");
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(500));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn glare_with_a_caller_is_over_within_two_seconds() {
    SLOW.finish("hold/caller_glare");
}

#[test]
fn glare_with_a_callee_is_over_after_two_seconds() {
    SLOW.finish("hold/callee_glare");
}

#[test]
fn of_reinvites_that_cross_both_come_through() {
    SLOW.finish("hold/callee_crosses");
}
