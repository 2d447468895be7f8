//! SIPp calls over UDP.

mod support;

use support::signalling;

#[test]
fn a_call_is_relayed_whole() {
    signalling::call_is_relayed("call", "u1", 96);
}

#[test]
fn a_call_with_a_late_offer_is_relayed_whole() {
    signalling::call_is_relayed("late_offer", "u1", 97);
}

#[test]
fn a_call_without_picture_is_relayed() {
    signalling::sound_alone_is_relayed("u1");
}

#[test]
fn hold_resume_move_and_video_changes_are_answered() {
    signalling::scenario_goes_well("reinvite", "u1");
}

#[test]
fn options_is_answered() {
    signalling::scenario_goes_well("options", "u1");
}

#[test]
fn a_late_cancel_leaves_the_call_standing() {
    signalling::scenario_goes_well("cancel_late", "u1");
}

#[test]
fn the_answer_is_resent_until_the_ack_comes() {
    signalling::answer_is_resent_until_acknowledged();
}

#[test]
fn a_repeated_invite_makes_one_call() {
    signalling::scenario_goes_well("repeated_invite", "u1");
}

#[test]
fn an_offer_without_a_usable_codec_is_refused() {
    signalling::scenario_goes_well("refused_codec", "u1");
}

#[test]
fn lines_without_use_are_refused_in_their_place() {
    signalling::scenario_goes_well("refused_lines", "u1");
}

#[test]
fn a_call_beyond_the_capacity_is_refused_with_retry_after() {
    signalling::call_beyond_capacity_is_refused("u1");
}

#[test]
fn the_end_of_the_gateway_ends_the_call() {
    signalling::stop_ends_the_call("u1");
}

#[test]
fn a_stranger_gets_no_answer() {
    signalling::stranger_gets_nothing();
}

#[test]
fn the_template_of_a_trunk_is_honoured() {
    signalling::template_is_honoured();
}

#[test]
fn every_scenario_is_run() {
    signalling::every_scenario_is_used();
}

#[test]
fn invite_and_cancel_at_once_leave_one_clear_outcome() {
    signalling::invite_and_cancel_race();
}
