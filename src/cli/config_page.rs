//! The section `page` of the configuration file.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;

use crate::base::redact::Secret;
use crate::cli::config_file::read_rest_tls;
use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{listen, parse_network};
use crate::gateway::config::{Expected, Page};

/// What may be in the section.
pub const PAGE_KEYS: &[&str] = &["listen", "allow", "passwordHash", "tls"];

/// Networks that one list may have.
const NETWORKS: usize = 64;

/// Bytes of a hash in the PHC string format.
const HASH_BYTES: usize = 256;

/// Reads the section.
pub fn read_page(reader: &mut Reader<'_>, section: &Section<'_>) -> Page {
    let default = Page::default();
    let tls = reader.child(section, "tls", &["listen", "certificate", "key"]);
    let allow = reader.list(section, "allow", NETWORKS, parse_network);
    Page {
        listen: reader
            .value(section, "listen", listen_or_off)
            .unwrap_or(default.listen),
        allow: allow.unwrap_or(default.allow),
        password_hash: reader.secret(section, "passwordHash", password_hash),
        tls: tls.and_then(|tls| read_rest_tls(reader, &tls)),
    }
}

/// An address and port to listen on, or none.
fn listen_or_off(text: &str) -> Result<Option<SocketAddr>, Expected> {
    match text {
        "off" => Ok(None),
        _ => listen(text)
            .map(Some)
            .map_err(|_| Expected::new("an address and port such as 0.0.0.0:8080, or off")),
    }
}

/// A hash of a password.
fn password_hash(text: &str) -> Result<Secret<String>, Expected> {
    match text.starts_with("$argon2id$") && text.len() <= HASH_BYTES && text.is_ascii() {
        true => Ok(Secret::new(text.to_owned())),
        false => Err(Expected::new(
            "a hash that begins with $argon2id$, as the page itself writes it",
        )),
    }
}
