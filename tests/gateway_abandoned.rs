//! A caller that goes away without a BYE is noticed, and its stream's name is free again.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::gateway::outlet::CallIndex;
use trunkcast::gateway::status::CallStatus;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_caller_that_vanishes_is_hung_up_and_its_number_can_be_called_again() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(30));
    world.advance(seconds(59));
    assert_eq!(
        world.gateway.usage().calls,
        1,
        "too early to give a call up"
    );
    world.advance(seconds(10));
    let sent = world.take(&phone);
    assert!(sent.iter().any(|m| m.starts_with("BYE ")), "{sent:?}");
    assert_eq!(world.gateway.usage().calls, 0);
    let mut again = Phone::new("2000");
    let answers = world.invite(&mut again);
    assert!(answers.iter().any(|m| status(m) == 200), "{answers:?}");
}

#[test]
fn a_caller_on_hold_is_waited_for() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(2));
    let hold = phone.offer("inactive", true);
    world.reinvite(&mut phone, &hold);
    world.advance(seconds(3_600));
    assert_eq!(world.gateway.usage().calls, 1);
}

/// The answer of a phone to a re-INVITE of ours, with a description.
fn accept(invite: &str, sdp: &str) -> String {
    let with = format!(
        "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    respond(invite, 200).replace("Content-Length: 0\r\n\r\n", &with)
}

fn call_status(world: &World) -> CallStatus {
    world.gateway.calls().next().unwrap().status
}

#[test]
fn a_call_without_rtp_ends_at_its_trunks_time_to_the_moment_and_bye_says_why() {
    let mut config = config(4, None);
    config.trunks[0].media_timeout = Some(seconds(20));
    let mut world = World::new(config);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(10));
    // The last packet came 20 ms before the end of the film.
    world.advance(Duration::from_millis(19_979));
    assert_eq!(world.gateway.usage().calls, 1, "too early");
    world.advance(Duration::from_millis(2));
    let sent = world.take(&phone);
    let bye = sent.iter().find(|m| m.starts_with("BYE ")).unwrap();
    let reason = headers(bye, "Reason");
    assert_eq!(
        reason,
        ["SIP;cause=408;text=\"RTP Timeout: no media for 20 s\""]
    );
}

#[test]
fn a_muted_phone_that_only_reports_keeps_its_call_and_reports_of_others_do_not() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(2));
    let report = |world: &mut World, phone: &Phone| {
        let report = sender_report(world.now, 1, 0);
        world.rtcp(phone, Track::Audio, &report);
    };
    for _ in 0..5 {
        world.advance(seconds(50));
        report(&mut world, &phone);
        assert_eq!(world.gateway.usage().calls, 1);
    }
    let mut stranger = Phone::new("2000");
    (stranger.audio_port, stranger.media) =
        (phone.audio_port, "198.51.100.7:4000".parse().unwrap());
    world.advance(seconds(30));
    report(&mut world, &stranger);
    world.advance(seconds(29));
    assert_eq!(world.gateway.usage().calls, 1, "too early");
    world.advance(seconds(2));
    let sent = world.take(&phone);
    assert!(sent.iter().any(|m| m.starts_with("BYE ")), "{sent:?}");
}

#[test]
fn one_track_that_flows_is_enough_and_no_time_is_never() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.with_video = false;
    camera.film(&mut world, &phone, seconds(100));
    assert_eq!(world.gateway.usage().calls, 1);

    let mut config = config(4, None);
    config.trunks[0].media_timeout = None;
    let mut world = World::new(config);
    world.call(&mut Phone::new("2001"));
    world.advance(seconds(3_600));
    assert_eq!(world.gateway.usage().calls, 1);
}

#[test]
fn a_held_call_whose_phone_forgot_it_is_found_out_within_ten_minutes() {
    let mut world = World::local(4);
    world.answers = false;
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(2));
    let hold = phone.offer("inactive", true);
    world.reinvite(&mut phone, &hold);
    for _ in 0..2 {
        world.advance(seconds(600));
        let sent = world.take(&phone);
        let options: Vec<_> = sent.iter().filter(|m| m.starts_with("OPTIONS ")).collect();
        assert_eq!(options.len(), 1, "{sent:?}");
        assert_eq!(world.gateway.usage().calls, 1);
        world.sip(phone.remote, respond(options[0], 200));
    }
    world.advance(seconds(600));
    let sent = world.take(&phone);
    world.sip(phone.remote, respond(sent.last().unwrap(), 481));
    world.advance(seconds(3));
    assert_eq!(world.gateway.usage().calls, 0);
}

#[test]
fn a_hold_from_our_side_keeps_stream_and_call_and_ends_with_resume() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, seconds(3));
    let connections = world.servers.len();
    let index = CallIndex(0);

    assert!(world.gateway.hold(world.now, index));
    world.settle();
    let sent = world.take(&phone);
    let invite = sent.iter().find(|m| m.starts_with("INVITE ")).unwrap();
    assert_eq!(invite.matches("a=sendonly").count(), 2, "{invite}");
    assert!(!invite.contains("a=sendrecv"), "{invite}");
    let answer = phone.offer("recvonly", true);
    world.sip(phone.remote, accept(invite, &answer));
    assert!(world.take(&phone).iter().any(|m| m.starts_with("ACK ")));
    assert_eq!(call_status(&world), CallStatus::Hold);
    world.advance(seconds(1_000));
    assert_eq!(world.gateway.usage().calls, 1);
    assert_eq!(world.servers.len(), connections, "the same connection");
    // An offer of the phone meanwhile does not end our hold.
    let theirs = phone.offer("sendrecv", true);
    let answer = world.reinvite(&mut phone, &theirs);
    assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
    assert_eq!(call_status(&world), CallStatus::Hold);

    assert!(world.gateway.resume(world.now, index));
    world.settle();
    let sent = world.take(&phone);
    let invite = sent.iter().find(|m| m.starts_with("INVITE ")).unwrap();
    assert_eq!(invite.matches("a=sendrecv").count(), 2, "{invite}");
    world.sip(phone.remote, accept(invite, &phone.offer("sendrecv", true)));
    assert_eq!(call_status(&world), CallStatus::Established);
    camera.film(&mut world, &phone, seconds(3));
    assert_eq!(world.servers.len(), connections);
    world.advance(seconds(70));
    assert_eq!(world.gateway.usage().calls, 0, "the watchdog is back");
}

#[test]
fn a_hold_that_the_phone_refuses_leaves_the_call_as_it_was() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    let index = CallIndex(0);
    for code in [488, 500] {
        assert!(world.gateway.hold(world.now, index));
        world.settle();
        let sent = world.take(&phone);
        let invite = sent.iter().find(|m| m.starts_with("INVITE ")).unwrap();
        world.sip(phone.remote, respond(invite, code));
        assert_eq!(call_status(&world), CallStatus::Established);
        let call = world.gateway.calls().next().unwrap();
        assert!(!call.negotiation.is_held());
    }
}

#[test]
fn a_hold_that_meets_the_phones_own_offer_comes_again() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    assert!(world.gateway.hold(world.now, CallIndex(0)));
    world.settle();
    let sent = world.take(&phone);
    let invite = sent.iter().find(|m| m.starts_with("INVITE ")).unwrap();
    world.sip(phone.remote, respond(invite, 491));
    world.take(&phone);
    world.advance(seconds(3));
    let sent = world.take(&phone);
    let invite = sent.iter().find(|m| m.starts_with("INVITE ")).unwrap();
    assert_eq!(invite.matches("a=sendonly").count(), 2, "{invite}");
    world.sip(phone.remote, accept(invite, &phone.offer("recvonly", true)));
    assert_eq!(call_status(&world), CallStatus::Hold);
}

#[test]
fn a_call_that_is_answered_and_then_stopped_gets_its_bye_in_time() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.invite(&mut phone);
    world.gateway.stop(world.now);
    world.settle();
    world.advance(Duration::from_millis(1_500));
    let sent = world.take(&phone);
    assert!(sent.iter().any(|m| m.starts_with("BYE ")), "{sent:?}");
    assert!(world.gateway.is_idle());
}
