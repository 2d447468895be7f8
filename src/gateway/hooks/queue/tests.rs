use super::*;
use crate::base::rng::Rng;

const NOW: Instant = Instant::ZERO;
const PATIENCE: Duration = Duration::from_secs(60);

fn event(method: Method, body: &str, is_final: bool) -> Event {
    Event {
        method,
        body: body.into(),
        is_final,
    }
}

fn state(body: &str) -> Event {
    event(Method::CallStatusEvent, body, false)
}

/// Takes everything that goes out one after another.
fn told(queue: &mut Queue) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(next) = queue.next(NOW) {
        told.push(next.event.body.to_string());
        let id = next.id;
        queue.delivered(id);
        queue.check();
    }
    told
}

#[test]
fn one_event_of_a_call_is_under_way_and_those_of_others_meanwhile() {
    let mut queue = Queue::default();
    for (call, body) in [(1, "1a"), (1, "1b"), (2, "2a"), (1, "1c")] {
        queue.push(NOW, Lane::Call(call), state(body));
    }
    let first = queue.next(NOW).unwrap().id;
    assert_eq!(&*queue.next(NOW).unwrap().event.body, "2a");
    assert!(queue.next(NOW).is_none() && !queue.has_next(NOW));
    queue.delivered(first);
    assert_eq!(told(&mut queue), ["1b", "1c"]);
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_failed_event_keeps_its_call_waiting_and_no_other() {
    let mut queue = Queue::default();
    queue.push(NOW, Lane::Call(1), state("1a"));
    queue.push(NOW, Lane::Call(1), state("1b"));
    let id = queue.next(NOW).unwrap().id;
    assert!(queue.failed(NOW, id, PATIENCE));
    queue.push(NOW, Lane::Call(2), state("2a"));
    assert_eq!(told(&mut queue), ["2a"]);
    let again = queue.poll_timeout().unwrap();
    assert_eq!(again, NOW + FIRST_WAIT);
    assert_eq!(&*queue.next(again).unwrap().event.body, "1a");
}

#[test]
fn an_event_is_given_up_in_bounded_time() {
    let mut queue = Queue::default();
    queue.push(NOW, Lane::Call(1), state("1a"));
    queue.push(NOW, Lane::Call(1), state("1b"));
    let (mut now, mut tries) = (NOW, 0);
    while queue.counters.expired == 0 {
        now = queue.poll_timeout().unwrap();
        let id = queue.next(now).unwrap().id;
        queue.failed(now, id, PATIENCE);
        tries += 1;
    }
    // After 1, 2, 4, 8, 16 and 30 s: the seventh would be too late.
    assert_eq!((tries, now), (6, NOW + Duration::from_secs(31)));
    assert_eq!(&*queue.next(now).unwrap().event.body, "1b");
    assert_eq!(queue.expire(now + PATIENCE, PATIENCE), 0, "it is under way");
}

#[test]
fn what_nobody_could_be_told_is_dropped_after_its_time() {
    let mut queue = Queue::default();
    queue.push(NOW, Lane::Call(1), state("old"));
    let later = NOW + Duration::from_secs(30);
    queue.push(later, Lane::Call(1), state("new"));
    assert_eq!(queue.expire(NOW + PATIENCE, PATIENCE), 0);
    assert_eq!(queue.expire(later + Duration::from_secs(31), PATIENCE), 1);
    assert_eq!(told(&mut Queue::default()), [""; 0]);
    assert_eq!(&*queue.next(later).unwrap().event.body, "new");
}

#[test]
fn the_newest_state_of_a_call_takes_the_place_of_older_ones() {
    let mut queue = Queue::default();
    let key = event(Method::SendDtmf, "key", false);
    queue.push(NOW, Lane::Call(1), key);
    for n in 1..HOOK_EVENTS_A_CALL {
        queue.push(NOW, Lane::Call(1), state(&n.to_string()));
    }
    queue.push(
        NOW,
        Lane::Call(1),
        event(Method::CallStatusEvent, "FINISH", true),
    );
    queue.check();
    assert_eq!(queue.counters.superseded, HOOK_EVENTS_A_CALL as u64 - 1);
    assert_eq!(told(&mut queue), ["key", "FINISH"]);
}

#[test]
fn keys_of_one_call_do_not_crowd_out_its_end() {
    let mut queue = Queue::default();
    for n in 0..HOOK_EVENTS_A_CALL + 3 {
        let key = event(Method::SendDtmf, &n.to_string(), false);
        queue.push(NOW, Lane::Call(1), key);
    }
    assert_eq!(queue.counters.crowded_out, 3);
    queue.push(
        NOW,
        Lane::Call(1),
        event(Method::CallStatusEvent, "FINISH", true),
    );
    queue.check();
    let told = told(&mut queue);
    assert_eq!(told.len(), HOOK_EVENTS_A_CALL);
    assert_eq!(told.last().unwrap(), "FINISH");
}

#[test]
fn a_full_queue_keeps_the_last_word_of_every_call() {
    let mut queue = Queue::default();
    let calls = HOOK_EVENTS as u64 / 2;
    for call in 0..calls {
        for body in ["TRYING", "ESTABLISHED"] {
            queue.push(NOW, Lane::Call(call), state(body));
        }
    }
    assert_eq!(queue.len(), HOOK_EVENTS);
    for call in 0..calls {
        let finish = event(Method::CallStatusEvent, "FINISH", true);
        queue.push(NOW, Lane::Call(call), finish);
    }
    queue.check();
    let told = told(&mut queue);
    assert_eq!(
        told.iter().filter(|body| *body == "FINISH").count(),
        calls as usize
    );
}

#[test]
fn a_body_that_is_too_long_is_dropped() {
    let mut queue = Queue::default();
    queue.push(NOW, Lane::Call(1), state(&"x".repeat(HOOK_BODY_BYTES + 1)));
    assert_eq!((queue.len(), queue.counters.oversized), (0, 1));
}

#[test]
fn whatever_comes_the_queue_stays_in_order_and_bounds() {
    let mut rng = Rng::from_number(9);
    let mut queue = Queue::default();
    let (mut now, mut sent, mut bodies) = (NOW, Vec::new(), 0_u64);
    let mut last: [u64; 8] = [0; 8];
    for _ in 0..8_000 {
        now = now + Duration::from_millis(u64::from(rng.below(400)));
        match rng.below(8) {
            0..4 => {
                bodies += 1;
                let call = rng.below(8);
                let method = Method::ALL[rng.below(9) as usize];
                let body = format!("{call} {bodies} {}", "x".repeat(rng.below(4_000) as usize));
                let event = event(method, &body, rng.below(6) == 0);
                queue.push(now, Lane::Call(u64::from(call)), event);
            }
            4 | 5 => {
                if let Some(next) = queue.next(now) {
                    sent.push((next.id, next.event.body.to_string()));
                }
            }
            6 if !sent.is_empty() => {
                let (id, body) = sent.remove(rng.below(sent.len() as u32) as usize);
                let mut words = body.split(' ');
                let call: usize = words.next().unwrap().parse().unwrap();
                let number: u64 = words.next().unwrap().parse().unwrap();
                assert!(number > last[call], "out of order");
                last[call] = number;
                queue.delivered(id);
            }
            7 if !sent.is_empty() => {
                let (id, _) = sent.remove(rng.below(sent.len() as u32) as usize);
                queue.failed(now, id, PATIENCE);
                queue.expire(now, PATIENCE);
            }
            _ => {}
        }
        queue.check();
    }
    assert!(queue.counters.crowded_out > 0 && queue.counters.superseded > 0);
}
