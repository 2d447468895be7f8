//! SIPp crosses CANCELs and BYEs with answers, requests and each other.

mod support;

use support::Pbx;

/// Lets SIPp see what is repeated, and repeat nothing by itself.
const NO_REPETITIONS: &[&str] = &["-nr"];
/// Lets SIPp pass over what comes earlier or later than the scenario has it.
const IN_ANY_ORDER: &[&str] = &["-nd"];

#[test]
fn a_call_is_taken_back_while_it_rings() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/cancelled_while_ringing");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_cancel_waits_for_a_sign_of_life() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/cancelled_before_anything");
    pbx.wait("TRYING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up_on() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/answered_despite_cancel");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn an_answer_after_a_cancel_without_effect_is_hung_up_on() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/cancel_not_found");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn busy_that_crosses_the_cancel_is_acknowledged() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/busy_despite_cancel");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_lost_cancel_comes_again() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called_with("races/lost_cancel", NO_REPETITIONS);
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_callee_may_hang_up_at_once() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called_with("races/hung_up_at_once", IN_ANY_ORDER);
    pbx.logs("the called party hung up");
    pbx.done(sipp);
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/byes_cross");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_bye_that_finds_no_call_ends_it() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/bye_without_call");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_lost_bye_comes_again() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called_with("races/lost_bye", NO_REPETITIONS);
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_reinvite_that_crosses_the_bye_finds_no_call() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/bye_crosses_reinvite");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_bye_in_an_early_dialog_changes_nothing() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/early_bye");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_bye_in_the_place_of_an_ack_ends_the_call() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("races/reinvite_then_bye");
    pbx.logs("the caller hung up");
    pbx.done(sipp);
}

#[test]
fn a_caller_may_hang_up_before_the_ack() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("races/bye_before_ack");
    pbx.logs("the caller hung up");
    pbx.done(sipp);
}

#[test]
fn a_repeated_bye_is_answered_again() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls_with("races/bye_twice", NO_REPETITIONS);
    pbx.done(sipp);
}

#[test]
fn a_cancel_of_nothing_leaves_the_call() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("races/cancel_of_nothing");
    pbx.done(sipp);
}

#[test]
fn two_answers_that_cross_the_cancel_are_both_hung_up_on() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/two_answers_despite_cancel");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_redirect_that_crosses_the_cancel_is_not_followed() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/redirected_despite_cancel");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_challenge_that_crosses_the_cancel_is_not_answered() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/challenged_despite_cancel");
    pbx.wait("RING");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn a_callee_may_hang_up_while_its_offer_is_answered() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("races/hung_up_while_offering");
    pbx.logs("the called party hung up");
    pbx.done(sipp);
}

#[test]
fn our_bye_waits_for_the_ack() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls_with("races/ended_before_ack", NO_REPETITIONS);
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(sipp);
}
