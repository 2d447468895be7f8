//! What a peer says that it can: its Allow and Supported (RFC 3261 sections 20.5 and 20.37).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::wire::sip_index::SipHeaders;
use crate::wire::sip_name::HeaderName;

/// What one peer can, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    /// It takes UPDATE (RFC 3311).
    pub(super) update: bool,
    /// It takes INFO; also when it never said what it takes.
    pub(super) info: bool,
    /// It knows reliable provisional answers (RFC 3262).
    pub(super) reliable: bool,
    /// It knows session timers (RFC 4028).
    pub(super) timer: bool,
}

impl Abilities {
    /// As a message says, and where it does not, as they were before.
    pub(super) fn after(mut self, headers: &SipHeaders<'_>) -> Self {
        if headers.first(HeaderName::Allow).is_some() {
            self.update = headers.has_token(HeaderName::Allow, "UPDATE");
            self.info = headers.has_token(HeaderName::Allow, "INFO");
        }
        if headers.first(HeaderName::Supported).is_some() {
            self.reliable = headers.has_token(HeaderName::Supported, "100rel");
            self.timer = headers.has_token(HeaderName::Supported, "timer");
        }
        self
    }

    /// Of a peer that has said nothing.
    pub(super) const UNKNOWN: Self = Self {
        update: false,
        info: true,
        reliable: false,
        timer: false,
    };
}
