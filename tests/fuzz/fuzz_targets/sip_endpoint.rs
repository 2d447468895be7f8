//! The SIP machine under any sequence of datagrams, pieces of streams, time, and commands of its owner:
//! calls in and out, registrations, pings. Its tables agree after every step, each call ends once, and
//! nothing is left when all is over.

#![no_main]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkcast::base::ids::{CallId, ConnId};
use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::limits::SIP_MESSAGE_BYTES;
use trunkcast::sip::{
    CallOut, Cause, Credentials, KeyForm, PingConfig, RegistrationConfig, RegistrationId,
    SessionTimers, SipConfig, SipDestination, SipEndpoint, SipEvent, SipTarget, SipTargets,
};
use trunkcast_fuzz::Choices;
use trunkcast_fuzz::peer::{OFFER, Peer};

const STEPS: usize = 200;
/// Timers within a second: far more than all tables have.
const TIMERS: usize = 2_000;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut world = World::new(&mut choices);
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
    }
    world.finish();
});

struct World {
    now: Instant,
    endpoint: SipEndpoint,
    peer: Peer,
    /// Calls that were told of, and whether their end was.
    calls: BTreeMap<CallId, bool>,
    recent: Vec<CallId>,
    registrations: Vec<RegistrationId>,
    /// Connections that the endpoint wants.
    wanted: Vec<(SocketAddr, bool)>,
    connections: Vec<ConnId>,
    next: u32,
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let how = choices.byte();
        let config = SipConfig {
            local: ([192, 0, 2, 1], 40_000).into(),
            user_agent: "trunkcast".into(),
            display_name: (how & 1 == 1).then(|| "Lobby".into()),
            allow: vec!["192.0.2.0/24".parse().expect("a network")],
            calls: 1 + usize::from(how >> 1 & 3),
            secure_only: how & 0x38 == 0x38,
            session_timer: (how & 0x40 == 0).then(SessionTimers::default),
        };
        Self {
            now: Instant::from_millis(1_000),
            endpoint: SipEndpoint::new(config, Rng::from_number(1)),
            peer: Peer::default(),
            calls: BTreeMap::new(),
            recent: Vec::new(),
            registrations: Vec::new(),
            wanted: Vec::new(),
            connections: Vec::new(),
            next: 0,
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        match choices.byte() & 31 {
            0..=11 => {
                let remote = choices.pick(&[source(10), source(10), source(11), stranger()]);
                let message = self.peer.message(choices);
                self.endpoint.handle_datagram(now, remote, &message);
            }
            12..=14 => {
                let message = self.peer.message(choices);
                let at = usize::from(choices.number()) % (message.len() + 1);
                if let Some(conn) = self.connection(choices) {
                    for piece in [&message[..at], &message[at..]] {
                        self.endpoint.handle_stream(now, conn, piece);
                        self.drain();
                    }
                }
            }
            15..=17 => {
                let [scale, count] = [choices.byte(), choices.byte()];
                let unit = [1, 100, 500, 4_000, 32_000, 60_000][usize::from(scale) % 6];
                self.pass(Duration::from_millis(unit * u64::from(count & 63)));
            }
            18 => self.open(choices),
            19 => {
                if let Some(conn) = self.connection(choices) {
                    self.connections.retain(|open| *open != conn);
                    self.endpoint.handle_disconnected(now, conn);
                }
            }
            20 => self.call(choices),
            21 => self.register(choices),
            22 => {
                let targets = targets(choices);
                let config = choices.flag().then(|| PingConfig {
                    request_uri: "sip:pbx.example".into(),
                    from: "sip:trunkcast@192.0.2.1".into(),
                    interval: Duration::from_secs(30),
                    targets,
                });
                let _ = self.endpoint.set_pings(now, config);
            }
            _ => self.command(choices),
        }
        self.drain();
    }

    /// A command for a call.
    fn command(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        let what = choices.byte();
        let Some(id) = self.recall(choices) else {
            return;
        };
        let endpoint = &mut self.endpoint;
        let _ = match what & 31 {
            0 => endpoint.ring(now, id),
            1 => endpoint.progress(now, id, 183, Some(OFFER)),
            2 | 3 => endpoint.accept(now, id, OFFER),
            4 => endpoint.reject(now, id, 486, "Busy", Some(5)),
            5 | 6 => endpoint.answer_reinvite(now, id, OFFER),
            7 => endpoint.refuse_reinvite(now, id, 488),
            8 => endpoint.info_keyframe(now, id),
            9 => endpoint.probe(now, id),
            10 => endpoint.reinvite(now, id, OFFER).map(drop),
            11 => endpoint.update(now, id, OFFER),
            12 => endpoint.dtmf(now, id, "5", KeyForm::Relay(Duration::from_millis(160))),
            15 => endpoint.dtmf(now, id, "12#", KeyForm::Plain),
            13 => endpoint.follow(now, id, targets(choices)),
            14 => endpoint.hangup(now, id, Cause::new(200, "over")),
            16 => endpoint.refer_accept(now, id),
            17 => endpoint.refer_refuse(now, id, 603),
            18 => endpoint.refer_progress(now, id, 180, "Ringing"),
            19 => endpoint.refer_progress(now, id, 200, "OK"),
            20 => endpoint.refer(now, id, "sip:1003@192.0.2.12", None),
            21 => endpoint.refer(now, id, "", self.recent.first().copied()),
            _ => {
                endpoint.hurry(now + Duration::from_secs(1));
                Ok(())
            }
        };
    }

    fn call(&mut self, choices: &mut Choices<'_>) {
        let how = choices.byte();
        let uri = match how & 1 {
            0 => "sip:1002@pbx.example",
            _ => "sips:1002@pbx.example",
        };
        let mut call = CallOut::new(uri, "sip:1001@pbx.example", targets(choices), OFFER);
        call.credentials = (how & 2 != 0).then(credentials);
        call.session_expires = (how & 4 != 0).then_some(120);
        if how & 8 != 0 {
            call.routes = vec!["<sip:192.0.2.10;lr>".into()];
        }
        if how & 16 != 0 {
            call.display_name = Some(choices.text());
            call.contact_user = choices.text();
            call.headers = vec![("X-Any".into(), choices.text())];
        }
        if how & 32 != 0 {
            // Longer than a datagram may be.
            call.sdp = format!("{OFFER}a=x:{}\r\n", "y".repeat(1_300));
        }
        if let Ok(id) = self.endpoint.call(self.now, call) {
            self.begun(id);
        }
    }

    fn register(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        let how = choices.byte();
        if how & 3 == 0
            && let Some(id) = self.registrations.pop()
        {
            return self.endpoint.unregister(now, id);
        }
        let config = RegistrationConfig {
            registrar: "sip:pbx.example".into(),
            address_of_record: "sip:1000@pbx.example".into(),
            display_name: None,
            contact_user: "1000".into(),
            expires: 60 + u32::from(choices.number()),
            routes: Vec::new(),
            targets: targets(choices),
            credentials: (how & 4 == 0).then(credentials),
        };
        self.registrations
            .extend(self.endpoint.register(now, config));
    }

    /// Opens a connection that the endpoint waits for, or one of the peer's.
    fn open(&mut self, choices: &mut Choices<'_>) {
        let how = choices.byte();
        let conn = ConnId(self.next);
        self.next += 1;
        let taken = match (how & 3, self.wanted.pop()) {
            (0, Some((remote, secure))) => {
                return self
                    .endpoint
                    .handle_connect_failed(self.now, remote, secure, "refused");
            }
            (1 | 2, Some((remote, secure))) => self
                .endpoint
                .handle_connected(self.now, conn, remote, secure),
            _ => {
                let remote = choices.pick(&[source(10), source(11), stranger()]);
                let remote = SocketAddr::new(remote.ip(), 50_000 + choices.number() % 1_000);
                self.endpoint
                    .handle_accepted(self.now, conn, remote, how & 4 != 0)
            }
        };
        if taken.is_ok() {
            self.connections.push(conn);
        }
    }

    /// Lets time pass, stopping at every deadline.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let (mut timers, mut since) = (0, self.now);
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.drain();
            timers += 1;
            if self.now.since(since) > Duration::from_secs(1) {
                (timers, since) = (0, self.now);
            }
            assert!(timers < TIMERS, "timers without end");
        }
        self.now = until;
    }

    /// Takes out what waits, as an owner does after every step.
    fn drain(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            assert!(transmit.bytes.len() <= SIP_MESSAGE_BYTES);
            self.peer.hear(transmit.bytes);
            if let SipDestination::Stream {
                conn: None,
                remote,
                secure,
            } = transmit.destination
                && !self.wanted.contains(&(remote, secure))
            {
                self.wanted.push((remote, secure));
            }
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.take(&event);
        }
        self.endpoint.check_invariants();
    }

    fn take(&mut self, event: &SipEvent) {
        match event {
            SipEvent::Invite { id, .. } => self.begun(*id),
            SipEvent::Disconnect { conn } => self.connections.retain(|open| open != conn),
            SipEvent::Ended { id, .. } => {
                let ended = self.calls.get_mut(id).expect("a call that began");
                assert!(!*ended, "a call ends once");
                *ended = true;
            }
            SipEvent::Progress { id, .. }
            | SipEvent::Answered { id, .. }
            | SipEvent::Confirmed { id, .. }
            | SipEvent::Reinvite { id, .. }
            | SipEvent::Reinvited { id, .. }
            | SipEvent::ReinviteConfirmed { id, .. }
            | SipEvent::ReinviteRefused { id, .. }
            | SipEvent::OfferWanted { id, .. }
            | SipEvent::Refer { id, .. }
            | SipEvent::TransferProgress { id, .. }
            | SipEvent::Redirected { id, .. } => {
                assert_eq!(
                    self.calls.get(id),
                    Some(&false),
                    "nothing of a call that is over"
                );
            }
            _ => {}
        }
    }

    fn begun(&mut self, id: CallId) {
        assert!(
            self.calls.insert(id, false).is_none(),
            "a handle is used once"
        );
        self.recent.push(id);
    }

    fn recall(&self, choices: &mut Choices<'_>) -> Option<CallId> {
        let back = usize::from(choices.byte() & 3);
        let at = self.recent.len().checked_sub(1)?.saturating_sub(back);
        self.recent.get(at).copied()
    }

    fn connection(&self, choices: &mut Choices<'_>) -> Option<ConnId> {
        let at = usize::from(choices.byte());
        self.connections
            .get(at % self.connections.len().max(1))
            .copied()
    }

    /// The owner ends all that it began, the peers say nothing more, and time passes.
    fn finish(mut self) {
        let live = self.calls.iter().filter(|(_, ended)| !**ended);
        for id in live.map(|(id, _)| *id).collect::<Vec<_>>() {
            let _ = self.endpoint.hangup(self.now, id, Cause::new(200, "over"));
            self.drain();
        }
        for id in std::mem::take(&mut self.registrations) {
            self.endpoint.unregister(self.now, id);
            self.drain();
        }
        let _ = self.endpoint.set_pings(self.now, None);
        self.drain();
        for _ in 0..20 {
            for (remote, secure) in std::mem::take(&mut self.wanted) {
                self.endpoint
                    .handle_connect_failed(self.now, remote, secure, "refused");
                self.drain();
            }
            self.pass(Duration::from_secs(64));
        }
        assert!(self.calls.values().all(|ended| *ended), "every call ends");
        assert_eq!(self.endpoint.calls(), 0);
        assert_eq!(self.endpoint.busy(), 0, "something is left");
        assert_eq!(self.endpoint.registrations(), 0);
    }
}

fn targets(choices: &mut Choices<'_>) -> SipTargets {
    let mut targets = SipTargets::new();
    for _ in 0..choices.byte() & 3 {
        let address = choices.pick(&[source(10), source(10), source(12), elsewhere()]);
        let transport = choices.pick(&[
            Transport::Udp,
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
        ]);
        let _ = targets.push(SipTarget { transport, address });
    }
    targets
}

fn credentials() -> Rc<Credentials> {
    Rc::new(Credentials {
        username: "1000".into(),
        password: Secret::new("s3cret".into()),
    })
}

fn source(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 5_060).into()
}

fn stranger() -> SocketAddr {
    ([203, 0, 113, 66], 5_060).into()
}

/// A place that may be called, though it may not call.
fn elsewhere() -> SocketAddr {
    ([198, 51, 100, 7], 5_060).into()
}
