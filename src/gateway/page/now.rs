//! What happens on the box at present, as JSON.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::gateway::http::exchange::Exchange;
use crate::gateway::page::{Outcome, Reply};

/// Answers `GET /page/now`.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let _ = exchange;
    Reply::problem(501, "notYet").into()
}
