//! Hooks within the gateway: what of connections and time is theirs, and what the backend's answers do
//! to calls.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::config;
use crate::gateway::connections::User;
use crate::gateway::contain::contained;
use crate::gateway::ending::Ending;
use crate::gateway::hooks::asking::Word;
use crate::gateway::hooks::client::Client;
use crate::gateway::hooks::queue::QueueCounters;
use crate::gateway::hooks::{HookCounters, Hooks, Line, Task, Verdict};
use crate::gateway::outlet::{Level, Outlet};
use crate::sip::{Cause, EndedBy};

impl Gateway {
    /// What hooks did so far, and what was dropped; `None` where no backend is configured.
    pub fn hook_counters(&self) -> Option<(HookCounters, QueueCounters)> {
        let hooks = self.hooks.as_ref()?;
        Some((hooks.counters, hooks.queue.counters))
    }

    /// Events that wait for the backend or are under way to it.
    pub fn hook_events(&self) -> usize {
        self.hooks.as_ref().map_or(0, |hooks| hooks.queue.len())
    }

    /// Whether there is something left to say to a backend that listens.
    pub(in crate::gateway) fn owes_hooks(&self) -> bool {
        self.hooks
            .as_ref()
            .is_some_and(|hooks| !hooks.queue.is_empty() && hooks.health.probe_at().is_none())
    }

    pub(in crate::gateway) fn hook_timeout(&self) -> Option<Instant> {
        self.hooks.as_ref()?.poll_timeout()
    }

    pub(in crate::gateway) fn time_hooks(&mut self, now: Instant) {
        if let Some(hooks) = &mut self.hooks {
            hooks.handle_timeout(now);
        }
    }

    pub(in crate::gateway) fn hook_connected(&mut self, at: usize) {
        self.with_line(at, |line| line.client.handle_connected());
    }

    pub(in crate::gateway) fn hook_disconnected(&mut self, at: usize, reason: &str) {
        self.with_line(at, |line| {
            line.conn = None;
            line.client.handle_disconnected(reason);
        });
    }

    pub(in crate::gateway) fn hook_bytes(&mut self, now: Instant, at: usize, bytes: &[u8]) {
        self.with_line(at, |line| line.client.handle_bytes(now, bytes));
    }

    pub(in crate::gateway) fn hook_writable(&mut self, at: usize) {
        self.with_line(at, |_| {});
    }

    fn with_line(&mut self, at: usize, work: impl FnOnce(&mut Line)) {
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        hooks.dirty = true;
        if let Some(line) = hooks.lines.get_mut(at)
            && contained(|| work(line)).is_none()
        {
            // Ended by the next drain, which finds it in no state to go on.
            line.client = Client::default();
            hooks.counters.crashed += 1;
            if let Some(Task::Event(id, ..)) = line.task.take() {
                hooks.queue.delivered(id);
            }
        }
    }

    /// Sends what is to be sent to the backend and does what its answers say; whether that leaves
    /// something for another round.
    pub(in crate::gateway) fn drain_hooks(
        &mut self,
        now: Instant,
        outlet: &mut dyn Outlet,
    ) -> bool {
        if let Some(wanted) = self.hooks_wanted.take() {
            self.change_hooks(now, *wanted, outlet);
        }
        let Some(hooks) = self.hooks.as_mut().filter(|hooks| hooks.dirty) else {
            return false;
        };
        hooks.dirty = false;
        let connections = &mut self.connections;
        let Some(verdicts) = contained(|| hooks.drive(now, connections, outlet)) else {
            self.crash_hooks(now, outlet);
            return true;
        };
        let has_said = !verdicts.is_empty();
        for verdict in verdicts {
            match verdict {
                Verdict::Word(asked, word) => {
                    if let Some(hooks) = &mut self.hooks {
                        match &word {
                            Word::Take => {}
                            Word::Refuse(_) => hooks.counters.calls_rejected += 1,
                            Word::Nothing(_) => hooks.counters.questions_unanswered += 1,
                        }
                    }
                    self.go_on(now, asked, word, outlet);
                }
                Verdict::End(number, status) => self.end_refused(now, number, status, outlet),
            }
        }
        has_said
    }

    /// Ends a call that the backend has refused after it was taken.
    fn end_refused(&mut self, now: Instant, number: u64, status: u16, outlet: &mut dyn Outlet) {
        let is_it = |call: &Call| call.label.number == number && call.is_live();
        let Some(index) = self.calls.find(is_it) else {
            return;
        };
        if let Some(hooks) = &mut self.hooks {
            hooks.counters.calls_rejected += 1;
        }
        if let Some(call) = self.calls.touch_mut(index) {
            let label = &call.label;
            let line = format_args!("{label}: refused by the backend ({status})");
            outlet.note(Level::Warn, line);
            call.ending = Some(Ending::RefusedByBackend);
        }
        let cause = Cause::new(403, "refused by the backend");
        self.give_up(now, index, cause, EndedBy::Local, outlet);
    }

    /// Makes, changes or forgets the backend.
    fn change_hooks(
        &mut self,
        now: Instant,
        wanted: Option<config::Hooks>,
        outlet: &mut dyn Outlet,
    ) {
        let Self {
            hooks, connections, ..
        } = self;
        match (wanted, hooks) {
            (Some(config), Some(hooks)) => {
                if hooks.config != config {
                    hooks.reconfigure(config, connections, outlet);
                }
            }
            (Some(config), hooks) => {
                let calls = self.config.limits.calls;
                *hooks = Some(Box::new(Hooks::new(config, calls, self.next_call)));
            }
            (None, Some(hooks)) => {
                hooks.hang_up(connections, outlet);
                let asked = core::mem::take(&mut hooks.asked);
                self.hooks = None;
                for asked in asked {
                    let words = "no backend is configured any more".to_owned();
                    self.go_on(now, asked, Word::Nothing(words), outlet);
                }
            }
            (None, None) => {}
        }
    }

    /// Begins anew after a defect, without any event that waited.
    pub(super) fn crash_hooks(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        let line = format_args!("hooks: what waited is lost to a defect of this program");
        outlet.note(Level::Error, line);
        let Some(broken) = self.hooks.take() else {
            return;
        };
        let of_hooks = |(conn, user)| matches!(user, User::Hook(_)).then_some(conn);
        let open: Vec<ConnId> = self.connections.iter().filter_map(of_hooks).collect();
        for conn in open {
            self.connections.remove(conn);
            outlet.close(conn);
        }
        let Hooks {
            config,
            asked,
            told,
            mut counters,
            node,
            next_session,
            next_lane,
            first_call,
            ..
        } = *broken;
        counters.crashed += 1;
        self.hooks = Some(Box::new(Hooks {
            told,
            counters,
            node,
            next_session,
            next_lane,
            ..Hooks::new(config, 0, first_call)
        }));
        for asked in asked {
            let words = "a defect of this program".to_owned();
            self.go_on(now, asked, Word::Nothing(words), outlet);
        }
    }

    /// Lets every call that waits for the backend go its way: the gateway stops.
    pub(in crate::gateway) fn stop_asking(&mut self, now: Instant) {
        if let Some(hooks) = &mut self.hooks {
            for asked in &mut hooks.asked {
                asked.until = now;
            }
            hooks.dirty = true;
        }
    }

    /// Panics where hooks and connections disagree; for tests and fuzzers.
    pub(in crate::gateway) fn check_hooks(&self) {
        let Some(hooks) = &self.hooks else {
            return;
        };
        hooks.queue.check();
        for (at, line) in hooks.lines.iter().enumerate() {
            if let Some(conn) = line.conn {
                assert_eq!(self.connections.user(conn), Some(User::Hook(at)));
            }
        }
        assert!(
            hooks.seen.is_empty(),
            "the session of a call that never began"
        );
    }

    /// Whether a connection to the backend is at this place; for [`Self::check_invariants`].
    pub(in crate::gateway) fn has_line(&self, at: usize) -> bool {
        let hooks = self.hooks.as_ref();
        hooks.is_some_and(|hooks| hooks.lines.get(at).is_some_and(|it| it.conn.is_some()))
    }
}
