//! Two endpoints against each other over a network that loses, doubles, delays and reorders, whose
//! connections break, and with a proxy on it that may ask for credentials: whatever happens to their
//! messages and whatever their owners do, every call has one end on each side and leaves nothing
//! behind.

mod network;
mod side;

use std::rc::Rc;
use std::time::Duration;

use trunkcast::base::network::Transport;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{CallOut, Credentials, SipTarget, SipTargets};

use crate::bench::{OFFER, ms, secs};
use network::{Network, Proxy};
use side::{Plan, Side};

/// How long a call may take from its INVITE to the last trace of it.
const LONGEST: Duration = Duration::from_secs(900);

/// Steps that one of them may take: a call that never comes to rest takes more.
const STEPS: usize = 20_000;

/// One call as a seed makes it.
struct World {
    seed: u64,
    now: Instant,
    rng: Rng,
    sides: [Side; 2],
    network: Network,
    proxy: Option<Proxy>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let plan = Plan::any(&mut rng);
        let (caller, called) = ("192.0.2.1:5060", "192.0.2.2:5060");
        let sides = [
            Side::new(caller, &mut rng, plan),
            Side::new(called, &mut rng, plan),
        ];
        let network = Network::new(&mut rng, [caller, called]);
        let proxy = (rng.below(4) == 0).then(Proxy::new);
        Self {
            seed,
            now: Instant::from_millis(1_000),
            rng,
            sides,
            network,
            proxy,
        }
    }

    fn begin(&mut self) {
        let transport = match self.rng.below(3) {
            0 => Transport::Tcp,
            _ => Transport::Udp,
        };
        let at = |address: &str| SipTarget {
            transport,
            address: address.parse().unwrap(),
        };
        // Nobody is at the first one.
        let mut targets = SipTargets::new();
        if self.rng.below(8) == 0 {
            targets.push(at("192.0.2.99:5060")).unwrap();
        }
        targets.push(at(self.sides[1].address)).unwrap();
        let mut call = CallOut::new("sip:b@192.0.2.2", "sip:a@192.0.2.1", targets, OFFER);
        call.ring = secs(60);
        if self.proxy.is_some() && self.rng.below(8) > 0 {
            call.credentials = Some(Rc::new(Credentials {
                username: "a".into(),
                password: "secret".to_owned().into(),
            }));
        }
        self.sides[0].call(self.now, call);
        // Either may lose patience at any time, or both.
        for side in &mut self.sides {
            if self.rng.below(3) == 0 {
                side.hangs_up_at = Some(self.now + ms(u64::from(self.rng.below(8_000))));
            }
        }
    }

    /// Everything that is due now, on both sides, until both are quiet.
    fn settle(&mut self) {
        for from in 0..2 {
            let side = &mut self.sides[from];
            if !side.is_touched(self.now) {
                continue;
            }
            side.act(self.now, &mut self.rng, &mut self.network, from);
            side.endpoint.check_invariants();
            let mut sent = 0;
            while let Some(transmit) = side.endpoint.poll_transmit() {
                sent += 1;
                let asked = self.proxy.as_mut().filter(|_| from == 0);
                let asked = asked.and_then(|proxy| proxy.asks(self.now, transmit.bytes));
                match asked {
                    Some(challenge) => {
                        self.network
                            .answer(self.now, &mut self.rng, from, &transmit, challenge);
                    }
                    None => self.network.carry(self.now, &mut self.rng, from, &transmit),
                }
            }
            assert!(sent < 100, "seed {}: {sent} messages at once", self.seed);
            assert_eq!(side.endpoint.counters().transmits_dropped, 0);
        }
    }

    /// When anything happens next.
    fn next(&self) -> Option<Instant> {
        let sides = self.sides.iter().filter_map(Side::next_deadline);
        sides.chain(self.network.next_deadline()).min()
    }

    /// Whether nothing is left of the call.
    fn is_over(&self) -> bool {
        let quiet = |side: &Side| side.endpoint.busy() == 0;
        self.sides.iter().all(quiet) && self.network.is_quiet()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.network
            .deliver(self.now, &mut self.rng, &mut self.sides);
        for side in &mut self.sides {
            if side
                .endpoint
                .poll_timeout()
                .is_some_and(|at| at <= self.now)
            {
                side.touched = true;
                side.endpoint.handle_timeout(self.now);
                let due = side.endpoint.poll_timeout();
                let is_served = due.is_none_or(|at| at > self.now);
                assert!(is_served, "seed {}: a deadline was passed over", self.seed);
            }
        }
    }

    fn check(&self) {
        for (side, name) in self.sides.iter().zip(["caller", "called"]) {
            let story = format!("seed {}, {name}: {}", self.seed, side.story());
            assert_eq!(side.endpoint.busy(), 0, "{story}");
            assert_eq!(side.endpoint.calls(), 0, "{story}");
            assert_eq!(side.endpoint.closing_calls(), 0, "{story}");
            assert_eq!(side.ended.len(), side.began, "{story}");
            assert!(side.up <= side.began, "{story}");
            assert_eq!(side.endpoint.counters().oversized, 0, "{story}");
        }
        let [caller, called] = &self.sides;
        assert_eq!((caller.began, caller.ended.len()), (1, 1));
        // Another INVITE of the same call is another call to whom is called.
        assert!(
            called.began <= usize::from(called.most_calls),
            "{}",
            self.seed
        );
        assert!(caller.up == 0 || called.began > 0, "seed {}", self.seed);
        // Who was refused was never up.
        if !called.plan.accepts() {
            assert_eq!((caller.up, called.up), (0, 0), "seed {}", self.seed);
        }
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    world.begin();
    let end = world.now + LONGEST;
    for _ in 0..STEPS {
        world.settle();
        if world.is_over() {
            world.check();
            return world;
        }
        let at = world.next();
        let stories = || world.sides.iter().map(Side::story).collect::<Vec<_>>();
        let at = at.unwrap_or_else(|| panic!("seed {seed}: nothing is due: {:?}", stories()));
        assert!(at < end, "seed {seed}: no end: {:?}", stories());
        world.step(at);
    }
    panic!("seed {seed}: no rest");
}

/// What happened in a range of seeds.
#[derive(Debug, Default)]
struct Seen {
    up: usize,
    refused: usize,
    resent: u64,
    reinvites: usize,
    glares: u64,
    refreshes: u64,
    infos: u64,
    challenges: usize,
    broken: usize,
    early: usize,
}

fn run_all(seeds: std::ops::Range<u64>) {
    let mut seen = Seen::default();
    for seed in seeds {
        let world = run(seed);
        let [caller, called] = &world.sides;
        seen.up += usize::from(caller.up == 1 && called.up == 1);
        seen.refused += usize::from(caller.up == 0);
        seen.challenges += world.proxy.as_ref().map_or(0, |proxy| proxy.asked);
        seen.broken += world.network.broken;
        for side in &world.sides {
            let counters = side.endpoint.counters();
            seen.resent += counters.resent;
            seen.glares += counters.glares;
            seen.refreshes += counters.refreshes;
            seen.infos += counters.infos;
            seen.reinvites += side.reinvited;
            seen.early += side.early;
        }
    }
    // All of it was really there.
    let Seen {
        up,
        refused,
        resent,
        reinvites,
        glares,
        refreshes,
        infos,
        challenges,
        broken,
        early,
    } = seen;
    assert!(up > 300 && refused > 300, "{up} up, {refused} refused");
    assert!(reinvites > 100 && glares > 10, "{reinvites}, {glares}");
    assert!(refreshes > 100 && infos > 100, "{refreshes}, {infos}");
    assert!(challenges > 100 && broken > 100, "{challenges}, {broken}");
    assert!(resent > 1_000 && early > 100, "{resent}, {early}");
}

/// Two halves, that they may run side by side.
#[test]
fn two_endpoints_end_every_call_whatever_the_network_does() {
    run_all(0..5_000);
}

#[test]
fn two_endpoints_end_every_call_whatever_their_owners_do() {
    run_all(5_000..10_000);
}
