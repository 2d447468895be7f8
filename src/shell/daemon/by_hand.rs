//! A daemon that somebody else drives, turn by turn on a thread of their own: for trials beside the
//! one that is at work. It waits on its own sockets alone, never in the executor that both share.

use std::io;
use std::time::Duration;

use super::{Daemon, StartError, Wait};
use crate::base::redact::Secret;
use crate::base::time::Instant;
use crate::gateway::config::Config;

impl Daemon {
    /// Binds as [`Daemon::bind`] does; every line of the log says that it is a test, and `hidden` is
    /// in none of them.
    ///
    /// # Errors
    ///
    /// As those of [`Daemon::bind`].
    pub fn bind_trial(config: Config, hidden: Secret<String>) -> Result<Box<Self>, StartError> {
        let mut daemon = Self::bind(config)?;
        daemon.sockets.trial = Some(hidden);
        Ok(daemon)
    }

    /// One turn of the loop, at most about `most` long.
    ///
    /// # Errors
    ///
    /// Those of the wait for sockets.
    pub fn step(&mut self, most: Duration) -> io::Result<()> {
        let now = self.clock.now();
        let mut deadline = self.gateway.poll_timeout();
        deadline = Instant::earliest(deadline, self.sockets.half_open.deadline());
        if self.gateway.has_names() {
            deadline = Instant::earliest(deadline, Some(self.next_look_up));
        }
        let due = deadline.map_or(most, |at| at.since(now).min(most));
        let is_due = !self.reads.is_empty() || self.sockets.has_failures();
        let wait = match self.pace.wait(now, deadline) {
            _ if is_due => Duration::ZERO,
            Wait::Park => due,
            Wait::Poll(time) | Wait::Gather(time) => time.min(due),
        };
        let count = self.sockets.epoll.wait(wait)?;
        let now = self.clock.now();
        self.turn(now, count);
        Ok(())
    }

    /// Ends calls and takes registrations back; [`Daemon::is_idle`] tells when that is done.
    pub fn stop(&mut self) {
        let now = self.clock.now();
        self.gateway.stop(now);
        self.gateway.drain(now, &mut self.sockets);
    }

    /// Whether nothing is left to be ended.
    pub fn is_idle(&self) -> bool {
        self.gateway.is_idle()
    }
}
