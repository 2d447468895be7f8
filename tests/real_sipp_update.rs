//! SIPp sends UPDATE and PRACK, as caller and as callee.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::Pbx;

#[test]
fn a_caller_may_hold_by_update() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/caller_holds");
    pbx.logs("ESTABLISHED; audio PCMA");
    let held = pbx.logs_after(0, ": HOLD; audio");
    pbx.logs_after(held, ": ESTABLISHED; audio");
    pbx.done(sipp);
}

#[test]
fn an_update_without_a_usable_codec_leaves_the_call_as_it_was() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/refused");
    pbx.logs("re-INVITE refused");
    pbx.done(sipp);
}

#[test]
fn an_update_beside_a_reinvite_is_told_to_wait() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/pending");
    pbx.done(sipp);
}

#[test]
fn an_update_after_the_end_finds_no_call() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/unknown");
    pbx.done(sipp);
}

#[test]
fn the_bye_goes_where_an_update_said() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/callee_moves");
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(300));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn other_media_wait_for_the_answer() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/early");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    let log = pbx.done(sipp);
    assert_eq!(log.matches("audio PCM").count(), 1, "{log}");
}

#[test]
fn an_early_dialog_may_be_updated_without_an_offer() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/early_refresh");
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(200));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn an_offer_that_crosses_ours_is_refused() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/early_too_soon");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_callee_may_hold_by_update() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/callee_holds");
    pbx.logs("ESTABLISHED; audio PCMA");
    let held = pbx.logs_after(0, ": HOLD; audio");
    pbx.logs_after(held, ": ESTABLISHED; audio");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_caller_that_requires_it_hears_reliable_ringing() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/prack_required");
    pbx.done(sipp);
}

#[test]
fn a_prack_for_nothing_is_refused_and_the_call_stands() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/prack_unknown");
    pbx.done(sipp);
}
