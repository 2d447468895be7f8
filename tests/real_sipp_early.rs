//! SIPp as the callee of calls of ours: early media, forks, reliable provisional answers, refusals.

mod support;

use support::Pbx;

#[test]
fn ringing_is_told_until_the_answer() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/ringing");
    assert_eq!(pbx.wait("RING")["sipStatus"], 180);
    assert_eq!(pbx.wait("ESTABLISHED")["sipStatus"], 200);
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn early_media_go_on_with_the_answer() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/media");
    assert_eq!(pbx.wait("SESSION_PROGRESS")["sipStatus"], 183);
    pbx.logs("audio PCMA");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    let log = pbx.done(callee);
    assert_eq!(log.matches("audio PCMA").count(), 1, "{log}");
}

#[test]
fn the_fork_that_answers_has_the_call() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/forks");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn an_answer_that_differs_from_the_early_one_holds() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/other_answer");
    pbx.logs("audio PCMA");
    pbx.wait("ESTABLISHED");
    pbx.logs("audio PCMU");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn a_reliable_answer_gets_its_prack_and_settles_the_media() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/reliable");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn every_reliable_answer_gets_its_own_prack() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/two_reliable");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn a_repeated_reliable_answer_gets_one_prack() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/repeated_reliable");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn a_reliable_answer_before_its_turn_gets_no_prack() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/missing_reliable");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn every_repetition_of_an_answer_is_acknowledged() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called_with("early/repeated_answer", &["-nr"]);
    pbx.wait("ESTABLISHED");
    std::thread::sleep(std::time::Duration::from_millis(200));
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn of_two_callees_that_answer_one_is_hung_up_on() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/two_answers");
    pbx.wait("ESTABLISHED");
    std::thread::sleep(std::time::Duration::from_millis(300));
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn busy_after_early_media_is_told_with_its_reason() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/progress_then_busy");
    pbx.wait("SESSION_PROGRESS");
    let line = pbx.logs("BUSY (486 Busy Here");
    assert!(line.contains("User busy"), "{line}");
    pbx.done(callee);
}

#[test]
fn a_redirect_is_followed() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/redirected");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn redirects_in_a_circle_end() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/redirected_in_a_circle");
    pbx.logs("FAILED (302");
    pbx.done(callee);
}

#[test]
fn an_absent_callee_is_told_with_its_reason() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/unavailable");
    let line = pbx.logs("FAILED (480 Temporarily Unavailable");
    assert!(line.contains("No answer from user"), "{line}");
    pbx.done(callee);
}

#[test]
fn an_overloaded_pbx_is_told_with_its_time_to_wait() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/overloaded");
    let line = pbx.logs("FAILED (503 Service Unavailable");
    assert!(
        line.contains("Congestion") && line.contains("retry after 30 s"),
        "{line}"
    );
    pbx.done(callee);
}

#[test]
fn an_answer_without_a_description_ends_the_call() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/no_description");
    pbx.logs("FAILED (488");
    pbx.done(callee);
}

#[test]
fn early_media_stay_while_it_rings_after_them() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/ringing_after_media");
    pbx.logs("SESSION_PROGRESS (183");
    pbx.logs("RING (180");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    let log = pbx.done(callee);
    assert_eq!(log.matches("audio PCMA").count(), 1, "{log}");
}

#[test]
fn forks_count_their_reliable_answers_by_themselves() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/reliable_forks");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn a_callee_without_extensions_is_called_without_them() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called("early/no_extensions");
    pbx.wait("ESTABLISHED");
    pbx.hang_up();
    pbx.done(callee);
}

#[test]
fn every_repetition_of_a_refusal_is_acknowledged() {
    let mut pbx = Pbx::new();
    let callee = pbx.is_called_with("early/repeated_refusal", &["-nr"]);
    pbx.logs("BUSY (486");
    pbx.done(callee);
}
