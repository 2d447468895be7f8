//! What the journal says of sources whose SIP is not taken.
//!
//! The line of a scanner has a fixed form, which programs that ban addresses read. That of the PBX,
//! which must not be banned for being busy, has another one.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::gateway::Gateway;
use crate::gateway::config::AbuseLimits;
use crate::gateway::outlet::{Level, Outlet};
use crate::sip::{Abuse, Rates, Standing};

impl From<AbuseLimits> for Rates {
    fn from(limits: AbuseLimits) -> Self {
        Self {
            per_source: limits.per_source,
            per_peer: limits.of_pbx(),
            total: limits.total,
        }
    }
}

impl Gateway {
    pub(super) fn handle_abuse(&self, at: usize, abuse: &Abuse, outlet: &mut dyn Outlet) {
        let name = self.trunk_name(at);
        let messages = abuse.messages;
        // Never none: the first messages of a flood come within no time.
        let seconds = abuse.time.as_secs().max(1);
        let last = abuse.last;
        match abuse.source {
            Some((source, Standing::Stranger | Standing::Caller)) => outlet.note(
                Level::Warn,
                format_args!(
                    "sip abuse from {source} on trunk {name}: {messages} messages refused in \
                     {seconds} s, last {last}"
                ),
            ),
            Some((source, Standing::Peer)) => outlet.note(
                Level::Warn,
                format_args!(
                    "{name}: {messages} messages of the peer {source} refused in {seconds} s, last \
                     {last}: see abuse"
                ),
            ),
            None => outlet.note(
                Level::Warn,
                format_args!(
                    "{name}: {messages} messages of too many other sources refused in {seconds} s"
                ),
            ),
        }
    }
}
