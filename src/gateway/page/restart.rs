//! The program in place of itself: at once, or when nobody calls any more.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde_json::Value;

use crate::gateway::Gateway;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Level;
use crate::gateway::page::{Outcome, Reply};

/// When the program is to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// At once, which ends all calls.
    Now,
    /// When there is no call.
    Idle,
}

impl Gateway {
    /// Whether the program is to begin anew now.
    pub fn wants_restart(&self) -> bool {
        match self.restart {
            None => false,
            Some(Restart::Now) => true,
            Some(Restart::Idle) => self.calls.is_empty(),
        }
    }
}

/// Answers `POST /page/restart`.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let body = exchange.take_body();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let restart = match body.get("when").and_then(Value::as_str) {
        Some("now") => Restart::Now,
        Some("idle") => Restart::Idle,
        _ => return Reply::problem(400, "badRequest").into(),
    };
    let when = match restart {
        Restart::Now => "now",
        Restart::Idle => "when there is no call",
    };
    let from = exchange.remote;
    let line = format_args!("page {from}: restart asked for, {when}");
    exchange.outlet.note(Level::Info, line);
    exchange.gateway.restart = Some(restart);
    Reply::done(202).into()
}
