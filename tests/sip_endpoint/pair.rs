//! Two endpoints against each other over a network that loses, doubles and delays: whatever happens
//! to their messages, every call has one end on each side and leaves nothing behind.

use std::time::Duration;

use trunkcast::base::ids::CallId;
use trunkcast::base::network::Transport;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{
    CallOut, Cause, SipConfig, SipDestination, SipEndpoint, SipEvent, SipTarget, SipTargets,
};

use crate::bench::{ANSWER, OFFER, config, ms, secs};

/// What the called owner does with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Accept,
    RingThenAccept,
    Reject,
    RingForEver,
}

const PLANS: [Plan; 4] = [
    Plan::Accept,
    Plan::RingThenAccept,
    Plan::Reject,
    Plan::RingForEver,
];

/// One endpoint and how its only call went.
struct Side {
    address: &'static str,
    endpoint: SipEndpoint,
    call: Option<CallId>,
    /// The calls that began, were up and ended.
    began: usize,
    up: usize,
    ended: Vec<u16>,
    accepts_at: Option<Instant>,
    hangs_up_at: Option<Instant>,
}

impl Side {
    fn new(address: &'static str, seed: u64) -> Self {
        let config = SipConfig {
            local: address.parse().unwrap(),
            ..config(4)
        };
        Self {
            address,
            endpoint: SipEndpoint::new(config, Rng::from_number(seed)),
            call: None,
            began: 0,
            up: 0,
            ended: Vec::new(),
            accepts_at: None,
            hangs_up_at: None,
        }
    }

    fn take_events(&mut self, now: Instant, plan: Plan) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                SipEvent::Invite { id, .. } => {
                    self.began += 1;
                    self.call = Some(id);
                    match plan {
                        Plan::Accept => self.endpoint.accept(now, id, ANSWER).unwrap(),
                        Plan::Reject => self.endpoint.reject(now, id, 486, "", None).unwrap(),
                        Plan::RingThenAccept | Plan::RingForEver => {
                            self.endpoint.ring(now, id).unwrap();
                            self.accepts_at = (plan == Plan::RingThenAccept).then(|| now + secs(2));
                        }
                    }
                }
                SipEvent::Answered { answer, .. } => {
                    assert_eq!(&*answer, ANSWER.as_bytes());
                    self.is_up(now);
                }
                SipEvent::Confirmed { .. } => self.is_up(now),
                SipEvent::Progress { code, .. } => assert_eq!(code, 180),
                SipEvent::Ended { id, cause, .. } => {
                    assert_eq!(self.call, Some(id), "the end of another call");
                    self.ended.push(cause.code);
                    (self.accepts_at, self.hangs_up_at) = (None, None);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nobody talks for ever, though session timers would let them.
    fn is_up(&mut self, now: Instant) {
        self.up += 1;
        self.hangs_up_at.get_or_insert(now + secs(100));
    }

    fn act(&mut self, now: Instant) {
        let Some(id) = self.call else {
            return;
        };
        if self.accepts_at.is_some_and(|at| at <= now) {
            self.accepts_at = None;
            self.endpoint.accept(now, id, ANSWER).unwrap();
        }
        if self.hangs_up_at.is_some_and(|at| at <= now) {
            self.hangs_up_at = None;
            // The other side may have been faster.
            let _ = self.endpoint.hangup(now, id, Cause::new(200, "done"));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = Instant::earliest(self.accepts_at, self.hangs_up_at);
        let own = own.filter(|_| self.call.is_some());
        Instant::earliest(own, self.endpoint.poll_timeout())
    }
}

fn run(seed: u64) {
    let mut rng = Rng::from_number(seed);
    let plan = PLANS[rng.below(4) as usize];
    let (loss, double) = (rng.below(45), rng.below(20));
    let jitter = 1 + rng.below(1_500);
    let mut now = Instant::from_millis(1_000);
    let mut sides = [
        Side::new("192.0.2.1:5060", seed * 2 + 1),
        Side::new("192.0.2.2:5060", seed * 2 + 2),
    ];
    let target = SipTarget {
        transport: Transport::Udp,
        address: sides[1].address.parse().unwrap(),
    };
    let mut call = CallOut::new(
        "sip:b@192.0.2.2",
        "sip:a@192.0.2.1",
        SipTargets::from_slice(&[target]).unwrap(),
        OFFER,
    );
    call.ring = secs(60);
    sides[0].call = Some(sides[0].endpoint.call(now, call).unwrap());
    // Either may lose patience at any time, or both.
    let patience = |rng: &mut Rng| Duration::from_millis(u64::from(rng.below(8_000)));
    for side in &mut sides {
        if rng.below(3) > 0 {
            side.hangs_up_at = Some(now + patience(&mut rng));
        }
    }
    let mut carried: Vec<(Instant, usize, Vec<u8>)> = Vec::new();
    let end = now + secs(400);
    loop {
        for (from, side) in sides.iter_mut().enumerate() {
            side.act(now);
            side.take_events(now, plan);
            while let Some(transmit) = side.endpoint.poll_transmit() {
                let SipDestination::Udp(_) = transmit.destination else {
                    panic!("{transmit:?}");
                };
                let copies = u32::from(rng.below(100) >= loss) + u32::from(rng.below(100) < double);
                for _ in 0..copies {
                    let at = now + ms(u64::from(1 + rng.below(jitter)));
                    carried.push((at, 1 - from, transmit.bytes.to_vec()));
                }
            }
            side.endpoint.check_invariants();
        }
        let deadlines = sides.iter().filter_map(Side::next_deadline);
        let Some(at) = deadlines.chain(carried.iter().map(|(at, ..)| *at)).min() else {
            // Nothing is going on but perhaps a call that is up: one side ends it.
            match sides.iter_mut().find(|side| side.endpoint.calls() > 0) {
                Some(side) => {
                    side.hangs_up_at = Some(now + secs(1));
                    continue;
                }
                None => break,
            }
        };
        now = now.max(at);
        assert!(now < end, "seed {seed}: no end");
        let due = carried.iter().position(|(at, ..)| *at <= now);
        if let Some((_, to, bytes)) = due.map(|due| carried.swap_remove(due)) {
            let from = sides[1 - to].address.parse().unwrap();
            sides[to].endpoint.handle_datagram(now, from, &bytes);
        } else {
            for side in &mut sides {
                side.endpoint.handle_timeout(now);
            }
        }
    }
    for (side, name) in sides.iter().zip(["caller", "called"]) {
        let story = format!(
            "seed {seed}, {name}, {plan:?}: {:?} {} up",
            side.ended, side.up
        );
        assert_eq!(side.endpoint.busy(), 0, "{story}");
        assert_eq!(side.endpoint.calls(), 0, "{story}");
        assert!(side.up <= 1, "{story}");
    }
    let (caller, called) = (&sides[0], &sides[1]);
    assert_eq!(caller.ended.len(), 1, "seed {seed}: {:?}", caller.ended);
    assert_eq!(
        called.ended.len(),
        called.began,
        "seed {seed}: {:?}",
        called.ended
    );
    assert!(called.began <= 1, "seed {seed}");
    // Who was refused was never up.
    if plan == Plan::Reject || plan == Plan::RingForEver {
        assert_eq!((caller.up, called.up), (0, 0), "seed {seed}");
    }
}

#[test]
fn two_endpoints_end_every_call_whatever_the_network_does() {
    for seed in 0..1_000 {
        run(seed);
    }
}
