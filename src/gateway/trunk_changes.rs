//! Trunks that come, go and move while calls go on.
//!
//! A trunk is known by its port and how SIP comes in there: with both the same it takes its new settings
//! over, its name among them, and its calls go on. One that is gone takes no more calls; its port is closed
//! when the last of those it has is over. A new one gets the first free place, at once or as soon as its
//! port is free.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config;
use crate::gateway::connections::User;
use crate::gateway::outlet::{Level, Outlet};
use crate::gateway::trunk::{Stage, Trunk};
use crate::limits::TRUNK_PLACES;
use crate::sdp::{CodecPlan, PlanError};

/// When a port that could not be bound is tried again.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// How long a trunk without calls has to take its registrations back.
const FAREWELL: Duration = Duration::from_secs(2);

/// A trunk of the configuration that has no port yet.
pub(super) struct Waiting {
    config: config::Trunk,
    /// Why, in words; nothing before the first try.
    words: Option<String>,
}

/// What trunks have still to become.
#[derive(Default)]
pub(super) struct TrunkChanges {
    waiting: Vec<Waiting>,
    /// When ports are tried again, or a trunk is looked at that goes.
    next: Option<Instant>,
}

impl TrunkChanges {
    /// When [`Gateway::settle_trunks`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

/// What a trunk is known by.
fn port_of(trunk: &config::Trunk) -> (u16, bool) {
    (trunk.local_port, trunk.transport == Transport::Tls)
}

impl Gateway {
    /// Takes the trunks of a new configuration over: those that there are at once, the others with the
    /// next drain.
    pub(super) fn change_trunks(&mut self, trunks: &[config::Trunk]) -> Result<(), PlanError> {
        let plans = trunks
            .iter()
            .map(config::Trunk::codec_plan)
            .collect::<Result<Vec<CodecPlan>, _>>()?;
        let mut kept = [false; TRUNK_PLACES];
        let mut waiting = Vec::new();
        for (new, plan) in trunks.iter().zip(plans) {
            let is_it = |trunk: &Trunk| {
                trunk.stage != Stage::Vacant && port_of(&trunk.config) == port_of(new)
            };
            let Some(at) = self.trunks.iter().position(is_it) else {
                waiting.push(Waiting {
                    config: new.clone(),
                    words: None,
                });
                continue;
            };
            if let (Some(trunk), Some(kept)) = (self.trunks.get_mut(at), kept.get_mut(at)) {
                *kept = true;
                trunk.stage = Stage::Working;
                trunk.reconfigure(new.clone(), plan);
            }
        }
        for (trunk, kept) in self.trunks.iter_mut().zip(kept) {
            if !kept && trunk.stage == Stage::Working {
                trunk.stage = Stage::Leaving { empty_since: None };
                trunk.unsettle();
            }
        }
        let changing = !waiting.is_empty() || self.trunks.iter().any(Trunk::is_leaving);
        self.trunk_changes = TrunkChanges {
            waiting,
            next: changing.then_some(Instant::ZERO),
        };
        Ok(())
    }

    /// Closes the ports of trunks that are gone and opens those of new ones, where that is due.
    pub(super) fn settle_trunks(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        if self.stopping {
            self.trunk_changes.next = None;
        }
        if self.trunk_changes.next.is_none_or(|due| now < due) {
            return;
        }
        for at in 0..self.trunks.len() {
            self.wind_up(now, at, outlet);
        }
        let waiting = core::mem::take(&mut self.trunk_changes.waiting);
        for mut one in waiting {
            let Err(words) = self.open_trunk(&one.config, outlet) else {
                continue;
            };
            if one.words.as_ref() != Some(&words) {
                let (name, port) = (&one.config.name, one.config.local_port);
                let line = format_args!("{name}: port {port} is not open yet: {words}");
                outlet.note(Level::Warn, line);
            }
            one.words = Some(words);
            self.trunk_changes.waiting.push(one);
        }
        self.trunk_changes.next = if self.trunks.iter().any(Trunk::is_leaving) {
            Some(now + FAREWELL)
        } else if self.trunk_changes.waiting.is_empty() {
            None
        } else {
            Some(now + BIND_RETRY)
        };
    }

    /// Has a trunk that is gone say farewell, and frees its place once nothing of it is left.
    fn wind_up(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let has_calls = self.calls.iter().any(|(_, call)| call.trunk == at);
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        let Stage::Leaving { empty_since } = &mut trunk.stage else {
            return;
        };
        let endpoint = &mut trunk.endpoint;
        if has_calls || endpoint.calls() > 0 || endpoint.closing_calls() > 0 {
            *empty_since = None;
            return;
        }
        let since = *empty_since.get_or_insert(now);
        if endpoint.registrations() > 0 && now < since + FAREWELL {
            return;
        }
        let name = core::mem::take(&mut trunk.config.name);
        let port = trunk.config.local_port;
        outlet.note(Level::Info, format_args!("{name}: port {port} is closed"));
        self.vacate(at, outlet);
    }

    fn vacate(&mut self, at: usize, outlet: &mut dyn Outlet) {
        let connections = self.connections.iter();
        let of_it = connections.filter(|(_, user)| *user == User::Sip(at));
        let of_it: Vec<_> = of_it.map(|(conn, _)| conn).collect();
        for conn in of_it {
            self.connections.remove(conn);
            outlet.close(conn);
        }
        outlet.close_sip(at);
        self.forget_registration_states(at);
        let rng = self.rng.fork();
        // Nothing in it that could be wrong.
        if let (Some(place), Ok(vacant)) = (
            self.trunks.get_mut(at),
            Trunk::new(config::Trunk::new("", 0), 0, rng),
        ) {
            let look_ups = place.look_ups;
            *place = vacant;
            place.stage = Stage::Vacant;
            place.look_ups = look_ups.wrapping_add(1);
            place.unsettled = false;
        }
    }

    /// Opens the port of a new trunk; or why not, in words.
    fn open_trunk(
        &mut self,
        config: &config::Trunk,
        outlet: &mut dyn Outlet,
    ) -> Result<(), String> {
        let same_port = |trunk: &Trunk| {
            trunk.stage != Stage::Vacant && trunk.config.local_port == config.local_port
        };
        if self.trunks.iter().any(same_port) {
            return Err("calls at it are not over yet".to_owned());
        }
        let vacant = |trunk: &Trunk| trunk.stage == Stage::Vacant;
        let at = self.trunks.iter().position(vacant);
        let at = at.unwrap_or(self.trunks.len());
        if at >= TRUNK_PLACES {
            return Err("calls of trunks that are gone are not over yet".to_owned());
        }
        outlet.listen_sip(at, config)?;
        let rng = self.rng.fork();
        let made = Trunk::new(config.clone(), self.config.limits.calls, rng);
        let mut made = made.map_err(|error| {
            outlet.close_sip(at);
            error.to_string()
        })?;
        let (name, port) = (&config.name, config.local_port);
        outlet.note(Level::Info, format_args!("{name}: port {port} is open"));
        match self.trunks.get_mut(at) {
            Some(place) => {
                made.look_ups = place.look_ups;
                *place = made;
            }
            None => self.trunks.push(made),
        }
        Ok(())
    }

    /// Trunks of the configuration whose port is not open yet, and why in words.
    pub fn waiting_trunks(&self) -> impl Iterator<Item = (&config::Trunk, &str)> {
        self.trunk_changes.waiting.iter().map(|waiting| {
            let words = waiting.words.as_deref().unwrap_or("about to be opened");
            (&waiting.config, words)
        })
    }
}
