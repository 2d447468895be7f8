//! A transfer between two endpoints over a network that loses, doubles and delays: its outcome is told
//! once, as it is or as unknown, and nothing is left.

use trunkcast::base::ids::CallId;
use trunkcast::base::network::Transport;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{
    CallOut, Cause, SipConfig, SipDestination, SipEndpoint, SipEvent, SipTarget, SipTargets,
};

use crate::bench::{ANSWER, OFFER, config, ms, secs};

const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

struct Run {
    now: Instant,
    rng: Rng,
    sides: [SipEndpoint; 2],
    calls: [Option<CallId>; 2],
    carried: Vec<(Instant, usize, Vec<u8>)>,
    /// What the side that was asked does next, and when.
    acts: Vec<(Instant, u16)>,
    /// When whoever is still in the call hangs up.
    end: Instant,
    loss: u32,
    outcomes: Vec<u16>,
    asked: usize,
    ended: [usize; 2],
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let side = |at: usize| {
            let config = SipConfig {
                local: ADDRESSES[at].parse().unwrap(),
                ..config(4)
            };
            SipEndpoint::new(config, Rng::from_number(seed * 2 + at as u64))
        };
        Self {
            now: Instant::from_millis(1_000),
            end: Instant::from_millis(1_000) + secs(300),
            loss: rng.below(40),
            rng,
            sides: [side(0), side(1)],
            calls: [None, None],
            carried: Vec::new(),
            acts: Vec::new(),
            outcomes: Vec::new(),
            asked: 0,
            ended: [0, 0],
        }
    }

    fn events(&mut self, at: usize, wanted: u16) {
        let now = self.now;
        while let Some(event) = self.sides[at].poll_event() {
            match event {
                SipEvent::Invite { id, .. } => {
                    self.calls[at] = Some(id);
                    self.sides[at].accept(now, id, ANSWER).unwrap();
                }
                SipEvent::Answered { id, .. } => {
                    self.sides[at]
                        .refer(now, id, "sip:c@192.0.2.9", None)
                        .unwrap();
                }
                SipEvent::Refer { id, .. } => {
                    self.asked += 1;
                    self.sides[at].refer_accept(now, id).unwrap();
                    self.acts = vec![(now + ms(300), 180), (now + secs(2), wanted)];
                }
                SipEvent::TransferProgress { code, done, .. } if done => self.outcomes.push(code),
                SipEvent::Ended { .. } => self.ended[at] += 1,
                _ => {}
            }
        }
    }

    fn act(&mut self) {
        let Some((at, code)) = self.acts.first().copied().filter(|(at, _)| *at <= self.now) else {
            return;
        };
        self.acts.remove(0);
        let id = self.calls[1].unwrap();
        // Its peer may be gone, or may have refused the news.
        let _ = self.sides[1].refer_progress(at, id, code, "");
        if (200..300).contains(&code) {
            let _ = self.sides[1].hangup(self.now, id, Cause::new(200, "transferred"));
        }
    }

    fn carry(&mut self, from: usize) {
        while let Some(transmit) = self.sides[from].poll_transmit() {
            assert!(matches!(transmit.destination, SipDestination::Udp(_)));
            let copies =
                u32::from(self.rng.below(100) >= self.loss) + u32::from(self.rng.below(100) < 10);
            for _ in 0..copies {
                let at = self.now + ms(u64::from(1 + self.rng.below(400)));
                self.carried.push((at, 1 - from, transmit.bytes.to_vec()));
            }
        }
    }

    fn step(&mut self) -> bool {
        let deadlines = self.sides.iter().filter_map(SipEndpoint::poll_timeout);
        let carried = self.carried.iter().map(|(at, ..)| *at);
        let acts = self.acts.first().map(|(at, _)| *at);
        let end = (self.now < self.end).then_some(self.end);
        let Some(at) = deadlines.chain(carried).chain(acts).chain(end).min() else {
            return false;
        };
        self.now = self.now.max(at);
        let now = self.now;
        let due = self.carried.iter().position(|(at, ..)| *at <= now);
        if let Some((_, to, bytes)) = due.map(|due| self.carried.swap_remove(due)) {
            let from = ADDRESSES[1 - to].parse().unwrap();
            self.sides[to].handle_datagram(now, from, &bytes);
        } else {
            self.act();
            self.sides
                .iter_mut()
                .for_each(|side| side.handle_timeout(now));
        }
        true
    }
}

fn run(seed: u64, wanted: u16) -> Vec<u16> {
    let mut run = Run::new(seed);
    let target = SipTarget {
        transport: Transport::Udp,
        address: ADDRESSES[1].parse().unwrap(),
    };
    let targets = SipTargets::from_slice(&[target]).unwrap();
    let mut call = CallOut::new("sip:b@192.0.2.2", "sip:a@192.0.2.1", targets, OFFER);
    call.ring = secs(60);
    run.calls[0] = Some(run.sides[0].call(run.now, call).unwrap());
    let end = run.end;
    loop {
        for at in 0..2 {
            run.events(at, wanted);
            run.carry(at);
            run.sides[at].check_invariants();
        }
        if run.now >= end {
            for at in 0..2 {
                if let Some(id) = run.calls[at] {
                    let _ = run.sides[at].hangup(run.now, id, Cause::new(200, "done"));
                }
            }
        }
        assert!(run.now < end + secs(200), "seed {seed}: no end");
        let busy = run.sides.iter().any(|side| side.busy() > 0);
        if !busy || !run.step() {
            break;
        }
    }
    for side in &run.sides {
        assert_eq!((side.busy(), side.calls()), (0, 0), "seed {seed}");
    }
    assert!(run.asked <= 1, "seed {seed}: asked {}", run.asked);
    assert!(run.outcomes.len() <= 1, "seed {seed}: {:?}", run.outcomes);
    assert_eq!(run.ended[0], 1, "seed {seed}");
    run.outcomes
}

#[test]
fn the_outcome_of_a_transfer_is_told_at_most_once_whatever_the_network_does() {
    let mut told = 0;
    for seed in 0..300 {
        let wanted = if seed % 2 == 0 { 200 } else { 486 };
        match *run(seed, wanted).as_slice() {
            [] | [408 | 481] => {}
            [code] => {
                assert_eq!(code, wanted, "seed {seed}");
                told += 1;
            }
            _ => unreachable!(),
        }
    }
    assert!(told > 200, "{told}");
}
