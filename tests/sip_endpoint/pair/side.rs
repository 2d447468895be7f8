//! One endpoint with an owner of many whims.

use trunkcast::base::ids::{CallId, ConnId};
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{
    CallOut, Cause, KeyForm, SessionTimers, SipConfig, SipEndpoint, SipEvent, SipRefusal,
};

use super::network::Network;
use crate::bench::{ANSWER, OFFER, config, ms, secs};

/// What the called owner does with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Accept,
    RingThenAccept,
    /// Early media, reliably where the caller knows how, before the answer.
    EarlyThenAccept,
    Reject,
    RingForEver,
}

impl Plan {
    pub fn any(rng: &mut Rng) -> Self {
        match rng.below(8) {
            0 => Self::Accept,
            1 | 2 => Self::RingThenAccept,
            3..6 => Self::EarlyThenAccept,
            6 => Self::Reject,
            _ => Self::RingForEver,
        }
    }

    pub fn accepts(self) -> bool {
        !matches!(self, Self::Reject | Self::RingForEver)
    }
}

/// One endpoint and how its only call went.
pub struct Side {
    pub address: &'static str,
    pub endpoint: SipEndpoint,
    pub plan: Plan,
    /// The call that goes on.
    call: Option<CallId>,
    /// The calls that began, were up and ended, and how.
    pub began: usize,
    pub up: usize,
    pub ended: Vec<(u16, String)>,
    /// Calls that may begin here: more than one where an INVITE comes by another way too.
    pub most_calls: u8,
    /// Offers that were answered, and provisional answers that came.
    pub reinvited: usize,
    pub early: usize,
    accepts_at: Option<Instant>,
    answers_at: Option<Instant>,
    does_at: Option<Instant>,
    pub hangs_up_at: Option<Instant>,
    /// Whether anything came for it since it acted last.
    pub touched: bool,
}

impl Side {
    pub fn new(address: &'static str, rng: &mut Rng, plan: Plan) -> Self {
        let timers = SessionTimers {
            expires: 90,
            min: 90,
        };
        let config = SipConfig {
            local: address.parse().unwrap(),
            session_timer: (rng.below(4) > 0).then_some(timers),
            ..config(1)
        };
        Self {
            address,
            endpoint: SipEndpoint::new(config, rng.fork()),
            plan,
            call: None,
            began: 0,
            up: 0,
            ended: Vec::new(),
            most_calls: 2,
            reinvited: 0,
            early: 0,
            accepts_at: None,
            answers_at: None,
            does_at: None,
            hangs_up_at: None,
            touched: true,
        }
    }

    /// Whether there is anything to be done.
    pub fn is_touched(&self, now: Instant) -> bool {
        self.touched || self.own_deadline().is_some_and(|at| at <= now)
    }

    pub fn call(&mut self, now: Instant, call: CallOut) {
        self.began += 1;
        self.call = Some(self.endpoint.call(now, call).unwrap());
    }

    /// What is told when something is wrong.
    pub fn story(&self) -> String {
        format!(
            "{:?}, {} calls, {} up, ended {:?}, {} busy, {} closing, next {:?}, {:?}",
            self.plan,
            self.began,
            self.up,
            self.ended,
            self.endpoint.busy(),
            self.endpoint.closing_calls(),
            self.endpoint.poll_timeout(),
            self.endpoint.counters()
        )
    }

    /// Does what it wants to do by now, and takes what there is to know.
    pub fn act(&mut self, now: Instant, rng: &mut Rng, network: &mut Network, number: usize) {
        self.touched = false;
        if let Some(id) = self.call {
            let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
            if is_due(&mut self.accepts_at) {
                self.endpoint.accept(now, id, ANSWER).unwrap();
            }
            if is_due(&mut self.answers_at) {
                // It may have been taken back.
                let _ = self.endpoint.answer_reinvite(now, id, ANSWER);
            }
            if is_due(&mut self.does_at) {
                self.do_something(now, id, rng);
            }
            if is_due(&mut self.hangs_up_at) {
                let (code, words) = match rng.below(3) {
                    0 => (603, "had enough"),
                    _ => (200, "done"),
                };
                // The other side may have been faster.
                let _ = self.endpoint.hangup(now, id, Cause::new(code, words));
            }
        }
        let mut events = 0;
        while let Some(event) = self.endpoint.poll_event() {
            events += 1;
            self.take_event(now, event, rng, network, number);
        }
        assert!(events < 20, "{events} events at once");
    }

    fn take_event(
        &mut self,
        now: Instant,
        event: SipEvent,
        rng: &mut Rng,
        network: &mut Network,
        number: usize,
    ) {
        let soon = |rng: &mut Rng| now + ms(u64::from(rng.below(4_000)));
        match event {
            SipEvent::Invite { id, .. } => {
                self.began += 1;
                if self.call.is_some() {
                    return self.endpoint.reject(now, id, 486, "", None).unwrap();
                }
                self.call = Some(id);
                self.invited(now, id, rng);
            }
            SipEvent::Answered { id, .. } | SipEvent::Confirmed { id, .. } => {
                assert_eq!(self.call, Some(id));
                self.up += 1;
                // Nobody talks for ever, though session timers would let them.
                let most = secs(u64::from(5 + rng.below(70)));
                self.hangs_up_at.get_or_insert(now + most);
                self.does_at = Some(soon(rng));
            }
            SipEvent::Progress { code, .. } => {
                assert!(matches!(code, 180 | 183));
                self.early += 1;
            }
            SipEvent::Reinvite { id, .. } => {
                assert_eq!(self.call, Some(id));
                match rng.below(4) {
                    0 => self.endpoint.refuse_reinvite(now, id, 488).unwrap(),
                    1 => self.answers_at = Some(soon(rng)),
                    _ => self.endpoint.answer_reinvite(now, id, ANSWER).unwrap(),
                }
            }
            SipEvent::OfferWanted { id, .. } => {
                assert_eq!(self.call, Some(id));
                // An offer of theirs, or the end, may wait behind this.
                let sent = self.endpoint.reinvite(now, id, OFFER);
                assert!(matches!(sent, Ok(_) | Err(SipRefusal::NoSuchCall)));
            }
            SipEvent::Reinvited { id, .. } => {
                assert_eq!(self.call, Some(id));
                self.reinvited += 1;
            }
            SipEvent::Ended { id, cause, .. } => {
                self.ended.push((cause.code, cause.words));
                if self.call != Some(id) {
                    return;
                }
                self.call = None;
                (self.accepts_at, self.answers_at) = (None, None);
                (self.does_at, self.hangs_up_at) = (None, None);
            }
            SipEvent::ReinviteConfirmed { id, .. }
            | SipEvent::ReinviteCancelled { id }
            | SipEvent::ReinviteRefused { id, .. }
            | SipEvent::KeyframeWanted { id }
            | SipEvent::ProvisionalConfirmed { id, .. }
            | SipEvent::DtmfRefused { id, .. }
            | SipEvent::Dtmf { id, .. } => assert_eq!(self.call, Some(id)),
            SipEvent::Disconnect { conn } => network.close(now, number, conn),
            other => panic!("{other:?}"),
        }
    }

    fn invited(&mut self, now: Instant, id: CallId, rng: &mut Rng) {
        match self.plan {
            Plan::Accept => self.endpoint.accept(now, id, ANSWER).unwrap(),
            Plan::Reject => self.endpoint.reject(now, id, 486, "", None).unwrap(),
            Plan::EarlyThenAccept => {
                let early = self.endpoint.progress(now, id, 183, Some(ANSWER));
                early.unwrap();
                self.accepts_at = Some(now + ms(u64::from(rng.below(6_000))));
            }
            Plan::RingThenAccept | Plan::RingForEver => {
                self.endpoint.ring(now, id).unwrap();
                self.accepts_at = (self.plan == Plan::RingThenAccept).then(|| now + secs(2));
            }
        }
    }

    /// A whim within a call that is up. What cannot be done now is refused and no more.
    fn do_something(&mut self, now: Instant, id: CallId, rng: &mut Rng) {
        let endpoint = &mut self.endpoint;
        let done = match rng.below(8) {
            0..3 => endpoint.reinvite(now, id, OFFER).map(drop),
            3 => endpoint.update(now, id, OFFER),
            4 => endpoint.info_keyframe(now, id),
            5 => endpoint.dtmf(now, id, "5", KeyForm::Relay(ms(160))),
            6 => endpoint.probe(now, id),
            _ => Ok(()),
        };
        let is_fine = match done {
            Ok(()) | Err(SipRefusal::WrongState | SipRefusal::NoSuchCall) => true,
            Err(_) => false,
        };
        assert!(is_fine, "{done:?}");
        let pause = if rng.below(3) == 0 { 100 } else { 20_000 };
        self.does_at = Some(now + ms(u64::from(rng.below(pause))));
    }

    pub fn connected(&mut self, now: Instant, conn: ConnId, remote: &str, opened: bool) {
        let remote = remote.parse().unwrap();
        let taken = if opened {
            self.endpoint.handle_connected(now, conn, remote, false)
        } else {
            self.endpoint.handle_accepted(now, conn, remote, false)
        };
        taken.unwrap();
    }

    fn own_deadline(&self) -> Option<Instant> {
        let own = [
            self.accepts_at,
            self.answers_at,
            self.does_at,
            self.hangs_up_at,
        ];
        let own = own.into_iter().flatten().min();
        own.filter(|_| self.call.is_some())
    }

    /// When it has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        Instant::earliest(self.own_deadline(), self.endpoint.poll_timeout())
    }
}
