//! SIPp with the descriptions that are met in the field.

mod support;

use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Script};

/// A call with an odd description; the log tells of it in these words.
fn is_agreed(name: &str, told: &str) {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    Script::new(name, gateway.sip()).run(&mut ports);
    gateway.wait_after(0, told, 3);
    gateway.wait_after(0, "gate->1000: FI", 3);
    Operator::of(&gateway).wait_for_none();
    gateway.terminate();
    gateway.check_calm();
}

/// The same for one of which nothing is left.
fn is_refused(name: &str, told: &str) {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    Script::new(name, gateway.sip()).run(&mut ports);
    gateway.wait_after(0, told, 3);
    assert!(!gateway.log().text().contains("ESTABLISHED"));
    assert!(Operator::of(&gateway).calls().is_empty());
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_picture_that_is_refused_in_the_ack_leaves_the_sound() {
    is_agreed("sdp/late_answer_without_picture", "audio PCMA payload 8");
}

#[test]
fn an_ack_without_the_answer_it_owes_ends_the_call() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    Script::new("sdp/late_answer_missing", gateway.sip()).run(&mut ports);
    gateway.wait_after(0, "gate->1000: FAILED (", 3);
    Operator::of(&gateway).wait_for_none();
    gateway.check_calm();
}

#[test]
fn codecs_that_nobody_knows_are_passed_over() {
    is_agreed("sdp/unknown_codecs", "video H264 payload 97");
}

#[test]
fn a_payload_number_may_be_used_once_a_line() {
    is_agreed("sdp/same_number_twice", "video H264 payload 97");
}

#[test]
fn payload_numbers_with_a_fixed_meaning_need_no_rtpmap() {
    is_agreed("sdp/numbers_alone", "audio PCM");
}

#[test]
fn sound_that_is_switched_off_stays_off() {
    is_agreed("sdp/sound_switched_off", "video H264 payload 97");
}

#[test]
fn an_offer_of_which_nothing_is_left_is_refused() {
    is_refused("sdp/nothing_left", "gate->1000: 488, ");
}

#[test]
fn an_address_in_each_line_is_as_good_as_one_for_all() {
    is_agreed(
        "sdp/address_in_the_lines",
        "audio PCMA payload 8 from 127.0.0.1",
    );
}

#[test]
fn a_call_that_begins_on_hold_can_be_taken_up() {
    is_agreed("sdp/held_from_the_start", "video H264 payload 97");
}

#[test]
fn sendonly_is_answered_with_recvonly() {
    is_agreed("sdp/sendonly", "audio PCMA payload 8");
}

#[test]
fn recvonly_is_answered_with_sendonly() {
    is_agreed("sdp/recvonly", "gate->1000");
}

#[test]
fn inactive_is_answered_with_inactive() {
    is_agreed("sdp/inactive", "gate->1000");
}

#[test]
fn of_several_lines_for_sound_the_first_usable_one_is_taken() {
    is_agreed("sdp/several_sounds", "audio PCMA payload 8");
}

#[test]
fn rtcp_goes_to_the_port_of_rtp_where_that_is_offered() {
    is_agreed("sdp/one_port_for_rtcp", "video H264 payload 97");
}

#[test]
fn bandwidth_lines_of_any_kind_do_no_harm() {
    is_agreed("sdp/bandwidth", "video H264 payload 97");
}

#[test]
fn the_profile_with_feedback_is_answered_with_itself() {
    is_agreed("sdp/feedback_profile", "video H264 payload 97");
}

#[test]
fn a_description_among_other_parts_is_found() {
    is_agreed("sdp/among_other_parts", "video H264 payload 97");
}

#[test]
fn a_description_that_cannot_be_read_is_refused() {
    is_refused("sdp/unreadable", "gate->1000: 400, ");
}
