//! Digest authentication as a client (RFC 3261 section 22, RFC 7616, RFC 8760).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::redact::Secret;

/// What a registrar or proxy is answered with when it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret<String>,
}
