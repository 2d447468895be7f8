//! The way in: who may see the page, and what is known of them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;

use crate::gateway::Gateway;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::page::{Outcome, Reply};

/// What the way in remembers.
#[derive(Debug, Default)]
pub struct Door {}

impl Gateway {
    /// Whether somebody at that address may reach the page; a refusal is counted.
    pub fn may_visit(&mut self, from: IpAddr) -> bool {
        let may = self.config.page.allows(from);
        if !may {
            self.http.counters.not_allowed += 1;
        }
        may
    }
}

/// Answers `GET /healthz`.
pub(super) fn health(_: &mut Exchange<'_>) -> Outcome {
    Reply::new(200, "text/plain;charset=UTF-8", b"ok".to_vec()).into()
}

/// Answers `GET /page/session`.
pub(super) fn session(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `POST /page/password`.
pub(super) fn first_password(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `POST /page/login`.
pub(super) fn login(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `POST /page/logout`.
pub(super) fn logout(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `POST /page/password/change`.
pub(super) fn change_password(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `POST /page/restart`.
pub(super) fn restart(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}

/// Answers `GET /page/diagnostics`.
pub(super) fn diagnostics(_: &mut Exchange<'_>) -> Outcome {
    Reply::problem(501, "notYet").into()
}
