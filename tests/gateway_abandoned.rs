//! A caller that goes away without a BYE is noticed, and its stream's name is free again.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_caller_that_vanishes_is_hung_up_and_its_number_can_be_called_again() {
    let mut world = World::local(4);
    let mut phone = Phone::new("2000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, seconds(30));
    world.advance(seconds(60));
    assert_eq!(
        world.gateway.usage().calls,
        1,
        "too early to give a call up"
    );
    world.advance(seconds(90));
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
