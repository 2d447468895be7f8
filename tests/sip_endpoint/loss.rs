//! Calls over a network that loses messages, on the virtual clock.

use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{Cause, SipEvent};

use crate::bench::{ANSWER, Bench, Sent, ms, peer, secs};
use crate::phone::{Phone, Plan};

/// What the owner of the endpoint does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Answers at once.
    Accept,
    /// Answers at once and hangs up after a second.
    AcceptThenHangUp,
    /// Refuses at once.
    Reject,
    /// Rings for three seconds first.
    RingThenAccept,
}

enum Carried {
    ToEndpoint(String),
    ToPhone(Sent),
}

/// How a call went.
#[derive(Debug)]
struct Outcome {
    /// Messages that the network was given.
    messages: usize,
    /// Final answer to the first INVITE.
    answer: Option<u16>,
    confirmed: bool,
    ended: usize,
    over: bool,
    /// The call was up with nobody at the other end. The silence of its media tells that in the end,
    /// which is not the endpoint's matter.
    abandoned: bool,
}

/// Runs a call over a network that takes 20 ms and loses the messages that `loses` picks.
fn run(plan: Plan, owner: Owner, mut loses: impl FnMut(usize) -> bool) -> Outcome {
    let mut bench = Bench::new();
    let mut phone = Phone::new(plan, bench.now);
    let mut carried: Vec<(Instant, Carried)> = Vec::new();
    let mut call = None;
    let mut owner_acts: Option<(Instant, trunkcast::base::ids::CallId)> = None;
    let mut outcome = Outcome {
        messages: 0,
        answer: None,
        confirmed: false,
        ended: 0,
        over: false,
        abandoned: false,
    };
    let end = bench.now + secs(300);
    loop {
        let out = phone
            .out
            .drain(..)
            .map(Carried::ToEndpoint)
            .collect::<Vec<_>>();
        let back = bench.take().into_iter().map(Carried::ToPhone);
        for message in out.into_iter().chain(back) {
            if !loses(outcome.messages) {
                carried.push((bench.now + ms(20), message));
            }
            outcome.messages += 1;
        }
        let events = std::mem::take(&mut bench.events);
        let quiet = events.is_empty();
        for event in events {
            match event {
                SipEvent::Invite { id, .. } => {
                    call = Some(id);
                    match owner {
                        Owner::Accept | Owner::AcceptThenHangUp => {
                            bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
                            if owner == Owner::AcceptThenHangUp {
                                owner_acts = Some((bench.now + secs(1), id));
                            }
                        }
                        Owner::Reject => {
                            bench
                                .command(|e, now| e.reject(now, id, 488, "", None))
                                .unwrap();
                        }
                        Owner::RingThenAccept => {
                            bench.command(|e, now| e.ring(now, id)).unwrap();
                            owner_acts = Some((bench.now + secs(3), id));
                        }
                    }
                }
                SipEvent::Reinvite { id, .. } => {
                    bench
                        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
                        .unwrap();
                }
                SipEvent::Confirmed { .. } => outcome.confirmed = true,
                SipEvent::Ended { .. } => outcome.ended += 1,
                _ => {}
            }
        }
        if !quiet || !bench.sent.is_empty() || !phone.out.is_empty() {
            continue;
        }
        let deadlines = [
            carried.iter().map(|(at, _)| *at).min(),
            phone.next_deadline(),
            bench.endpoint.poll_timeout(),
            owner_acts.map(|(at, _)| at),
        ];
        let Some(at) = deadlines.into_iter().flatten().min() else {
            if bench.endpoint.calls() == 0 {
                break;
            }
            outcome.abandoned = true;
            let id = call.take().unwrap();
            let silence = Cause::new(408, "no media");
            bench.command(|e, now| e.hangup(now, id, silence)).unwrap();
            continue;
        };
        assert!(
            at < end,
            "a call that does not end: {plan:?} {owner:?} {outcome:?}"
        );
        bench.now = bench.now.max(at);
        let now = bench.now;
        if let Some((_, id)) = owner_acts.filter(|(at, _)| *at <= now) {
            owner_acts = None;
            // The caller may have been quicker.
            let _ = bench.command(|e, now| match owner {
                Owner::RingThenAccept => e.accept(now, id, ANSWER),
                _ => e.hangup(now, id, Cause::new(200, "")),
            });
        }
        while let Some(place) = carried.iter().position(|(at, _)| *at <= now) {
            match carried.remove(place).1 {
                Carried::ToEndpoint(message) => {
                    bench
                        .endpoint
                        .handle_datagram(now, peer(), message.as_bytes());
                    bench.drain();
                }
                Carried::ToPhone(sent) => phone.receive(now, &sent),
            }
        }
        phone.handle_timeout(now);
        bench.endpoint.handle_timeout(now);
        bench.drain();
    }
    assert_eq!(bench.endpoint.busy(), 0, "{plan:?} {owner:?}");
    assert!(phone.is_idle());
    outcome.answer = phone.answer;
    outcome.over = phone.over;
    outcome
}

const STORIES: [(Plan, Owner, u16); 7] = [
    (Plan::HangUp, Owner::Accept, 200),
    (Plan::Wait, Owner::AcceptThenHangUp, 200),
    (Plan::HangUp, Owner::AcceptThenHangUp, 200),
    (Plan::HangUp, Owner::RingThenAccept, 200),
    (Plan::Reinvite, Owner::Accept, 200),
    (Plan::HangUp, Owner::Reject, 488),
    (Plan::Cancel, Owner::RingThenAccept, 487),
];

#[test]
fn without_loss_every_story_goes_as_told() {
    for (plan, owner, answer) in STORIES {
        let outcome = run(plan, owner, |_| false);
        assert_eq!(outcome.answer, Some(answer), "{plan:?} {owner:?}");
        assert_eq!(outcome.confirmed, answer == 200, "{plan:?} {owner:?}");
        assert_eq!(outcome.ended, 1);
        assert!(outcome.over);
    }
}

#[test]
fn any_one_message_may_be_lost() {
    for (plan, owner, answer) in STORIES {
        let messages = run(plan, owner, |_| false).messages;
        assert!(messages >= 4);
        for lost in 0..messages {
            let outcome = run(plan, owner, |number| number == lost);
            let story =
                format!("{plan:?} {owner:?}, message {lost} of {messages} lost: {outcome:?}");
            assert_eq!(outcome.answer, Some(answer), "{story}");
            assert_eq!(outcome.ended, 1, "{story}");
            assert!(outcome.over && !outcome.abandoned, "{story}");
        }
    }
}

#[test]
fn any_two_messages_may_be_lost() {
    for (plan, owner, answer) in STORIES {
        let messages = run(plan, owner, |_| false).messages + 2;
        for first in 0..messages {
            for second in first + 1..messages {
                let outcome = run(plan, owner, |number| number == first || number == second);
                let story = format!("{plan:?} {owner:?}, {first} and {second} lost: {outcome:?}");
                assert_eq!(outcome.answer, Some(answer), "{story}");
                assert_eq!(outcome.ended, 1, "{story}");
                assert!(outcome.over && !outcome.abandoned, "{story}");
            }
        }
    }
}

#[test]
fn a_call_over_a_bad_network_ends_cleanly_at_any_rate() {
    for seed in 0..300 {
        let mut rng = Rng::from_number(seed);
        let (plan, owner, _) = STORIES[seed as usize % STORIES.len()];
        let percent = 10 + rng.below(60);
        let outcome = run(plan, owner, |_| rng.below(100) < percent);
        assert!(outcome.ended <= 1, "{seed}: {outcome:?}");
        assert!(outcome.answer.is_some(), "{seed}: {outcome:?}");
    }
}

#[test]
fn a_caller_that_vanishes_after_any_message_leaves_nothing() {
    for (plan, owner, _) in STORIES {
        let messages = run(plan, owner, |_| false).messages;
        for last in 1..messages {
            let outcome = run(plan, owner, |number| number >= last);
            assert!(outcome.ended <= 1, "{plan:?} {owner:?} {last}: {outcome:?}");
        }
    }
}
