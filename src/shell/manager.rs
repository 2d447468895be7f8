//! The service manager: what it is told, and the watchdog that it may have set on us.
//!
//! Told are (sd_notify(3)): that we are ready, that settings are read again, that we end, and in one line
//! how we are. The watchdog is fed from the loop, and only while [`heart`] has its proofs; those of
//! signalling and media are [`probes`]. Without a service manager there is none of it, at no cost.

pub mod heart;
pub mod notify;
pub mod probes;
pub mod status;

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;

use super::sockets::Sockets;
use super::sys;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use heart::{Beat, Heart, Proof};
use notify::Notifier;
use probes::Probes;
use status::{Figures, Status};

/// Later than this no timer is served while all is well.
const OVERDUE: Duration = Duration::from_secs(3);

/// The service manager that started us.
#[derive(Debug)]
pub struct Manager {
    notifier: Notifier,
    status: Status,
    /// How long the watchdog waits, until it has begun.
    allowed: Option<Duration>,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    heart: Heart,
    probes: Probes,
}

impl Manager {
    /// The one that the environment tells of, if we have one.
    pub fn from_env() -> Option<Self> {
        let notifier = Notifier::from_env()?;
        Some(Self::new(notifier, sd_notify::watchdog_enabled()))
    }

    /// One that is told by `notifier`, and bites when it is not fed for `watchdog`.
    pub fn new(notifier: Notifier, watchdog: Option<Duration>) -> Self {
        Self {
            notifier,
            status: Status::default(),
            allowed: watchdog.filter(|time| !time.is_zero()),
            watchdog: None,
        }
    }

    /// Everything is bound and the loop begins: says so, and begins to feed the watchdog.
    pub fn begin(&mut self, now: Instant, gateway: &Gateway, sockets: &mut Sockets) {
        if let Some(allowed) = self.allowed {
            if let Err(error) = Probes::open_media(sockets) {
                log::warn!("watchdog: no proof of media: {error}");
            }
            self.watchdog = Some(Watchdog {
                heart: Heart::new(now, allowed),
                probes: Probes::default(),
            });
        }
        let line = Figures::of(gateway).to_string();
        if !self
            .notifier
            .say(&[NotifyState::Ready, NotifyState::Status(&line)])
        {
            log::warn!("the service manager was not told that we are ready");
        }
    }

    /// Settings are about to be read, or the program to begin anew: until [`Self::ready`].
    pub fn reloading(&self) {
        match sys::monotonic_micros() {
            Ok(now) => self.notifier.say(&[
                NotifyState::Reloading,
                NotifyState::MonotonicUsec(now.into()),
            ]),
            Err(_) => self.notifier.say(&[NotifyState::Reloading]),
        };
    }

    /// They were read.
    pub fn ready(&self) {
        self.notifier.say(&[NotifyState::Ready]);
    }

    /// Calls are about to end, and then the program.
    pub fn stopping(&self) {
        self.notifier
            .say(&[NotifyState::Stopping, NotifyState::Status("ends")]);
    }

    /// When the next turn of the loop is due for our sake.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let beat = self.watchdog.as_ref().map(|it| it.heart.poll_timeout());
        Instant::earliest(beat, self.status.poll_timeout())
    }

    /// A turn of the loop is over.
    pub fn turned(&mut self, now: Instant, gateway: &Gateway, sockets: &Sockets) {
        if let Some(figures) = self.status.changed(now, || Figures::of(gateway)) {
            let line = figures.to_string();
            if !self.notifier.say(&[NotifyState::Status(&line)]) {
                self.status.not_taken();
            }
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.turned(now, gateway, sockets, &self.notifier);
        }
    }

    /// A datagram was read at a SIP socket. Whether it was but a probe, and is for nobody else.
    pub fn datagram_came(&mut self, place: usize, from: SocketAddr) -> bool {
        let Some(watchdog) = &mut self.watchdog else {
            return false;
        };
        let (proves, is_probe) = watchdog.probes.datagram_came(place, from);
        watchdog.prove_signalling(proves);
        is_probe
    }

    /// A connection was accepted. Whether it was but a probe, and is for nobody else.
    pub fn connection_came(&mut self, place: usize, from: SocketAddr) -> bool {
        let Some(watchdog) = &mut self.watchdog else {
            return false;
        };
        let (proves, is_probe) = watchdog.probes.connection_came(place, from);
        watchdog.prove_signalling(proves);
        is_probe
    }

    /// A packet was read at a media socket.
    pub fn media_came(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.heart.prove(Proof::Media);
        }
    }
}

impl Watchdog {
    fn prove_signalling(&mut self, proves: bool) {
        if proves {
            self.heart.prove(Proof::Signalling);
        }
    }

    fn turned(&mut self, now: Instant, gateway: &Gateway, sockets: &Sockets, notifier: &Notifier) {
        if now < self.heart.poll_timeout() {
            return;
        }
        let due = gateway.poll_timeout();
        if due.is_none_or(|due| now.since(due) <= OVERDUE) {
            self.heart.prove(Proof::Timers);
        }
        match self.heart.beat(now) {
            Some(Beat::Feed { after }) => {
                if let Some(after) = after {
                    log::warn!("watchdog: fed again after {:.1} s", after.as_secs_f32());
                }
                if !notifier.say(&[NotifyState::Watchdog]) {
                    self.heart.not_taken(now);
                }
            }
            Some(Beat::Withhold { news }) if !news.is_empty() => {
                log::error!("watchdog: not fed: {news}");
            }
            Some(Beat::Withhold { .. }) | None => {}
        }
        let asked = self.probes.send(sockets);
        self.heart.demand(asked.with(Proof::Timers));
    }
}
