//! SIPp sends UPDATE and PRACK, as caller and as callee.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::Pbx;

#[test]
fn a_caller_may_hold_by_update() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("update/caller_holds");
    pbx.wait("HOLD");
    pbx.wait("ESTABLISHED");
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
fn a_callee_may_offer_anew_before_it_answers() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("update/early");
    pbx.logs("audio PCMU");
    pbx.wait("ESTABLISHED");
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
    pbx.wait("ESTABLISHED");
    pbx.wait("HOLD");
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
