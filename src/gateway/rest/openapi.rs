//! The description of the interface for programs (OpenAPI 3.1).

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
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::{ANY_ORIGIN, JSON};

const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the whole description.
pub fn handle(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    super::respond(exchange, 200, &[JSON, ANY_ORIGIN], DOCUMENT.as_bytes())
}
