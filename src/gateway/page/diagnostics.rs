//! The diagnostics: one file of text for whoever helps, with nothing secret in it.
//!
//! Settings come masked from the clerk. What is secret all the same where others print it, such as the
//! name of a stream that is its key, is taken out of the whole text at the end.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;

use serde_json::Value;

use crate::base::redact::HIDDEN;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Config;
use crate::gateway::desk::{DeskAnswer, DeskWork};
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Outlet;
use crate::gateway::page::{Late, Outcome, Reply};
use crate::gateway::rest;

/// Bytes of a secret below which it is not looked for: it would be found everywhere.
const SECRET_BYTES: usize = 5;

/// Answers `GET /page/diagnostics`.
pub(super) fn handle(_: &mut Exchange<'_>) -> Outcome {
    Outcome::Later(DeskWork::ReadSettings, Late::Diagnostics)
}

/// The answer when the settings are read, or cannot be.
pub(super) fn late(
    gateway: &mut Gateway,
    now: Instant,
    settings: DeskAnswer,
    outlet: &mut dyn Outlet,
) -> Reply {
    let mut text = String::new();
    let (version, unix) = (env!("CARGO_PKG_VERSION"), gateway.unix_millis(now) / 1_000);
    let uptime = now.as_micros() / 1_000_000;
    // Writing to memory does not fail, here and below.
    let _ = writeln!(text, "trunkcast {version}");
    let _ = writeln!(text, "time {unix}, up for {uptime} s");
    section(&mut text, "settings", &settings_text(settings, gateway));
    section(&mut text, "memory", &gateway.config.budget().to_string());
    let at_present = gateway.now_as_json(now, outlet).unwrap_or_default();
    section(&mut text, "now", &String::from_utf8_lossy(at_present));
    section(&mut text, "metrics", &rest::metrics_text(gateway, outlet));
    section(&mut text, "log", &outlet.last_lines());
    for secret in secrets(&gateway.config) {
        text = text.replace(&secret, HIDDEN);
    }
    let name = "attachment; filename=\"trunkcast-diagnostics.txt\"";
    Reply::new(200, "text/plain;charset=UTF-8", text.into_bytes())
        .header("Content-Disposition", name)
}

fn section(text: &mut String, name: &str, body: &str) {
    let _ = writeln!(text, "\n== {name} ==\n{}", body.trim_end());
}

/// The settings as they stand in their file, or else as they were understood; masked.
fn settings_text(settings: DeskAnswer, gateway: &Gateway) -> String {
    if let DeskAnswer::Document {
        status: 200, body, ..
    } = settings
        && let Ok(document) = serde_json::from_slice::<Value>(&body)
        && let Some(text) = document.get("text").and_then(Value::as_str)
    {
        return text.to_owned();
    }
    format!("{:#?}", gateway.config)
}

/// Texts of a configuration that nobody else is to see, the longest first.
fn secrets(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(config.rest.password.as_ref().map(|it| it.expose().clone()));
    found.extend(
        config
            .page
            .password_hash
            .as_ref()
            .map(|it| it.expose().clone()),
    );
    if let Some(hooks) = &config.hooks {
        let credentials = hooks.credentials();
        found.extend(credentials.map(|(_, password)| password.expose().clone()));
    }
    for trunk in &config.trunks {
        let register = trunk.register.as_ref();
        found.extend(register.map(|register| register.password.expose().clone()));
        // Where one place is published to under one name, that name is the key to it.
        if trunk.url.is_some() {
            let name = trunk.stream_name.to_string();
            found.extend((!name.contains('{')).then_some(name));
        }
    }
    found.retain(|secret| secret.len() >= SECRET_BYTES);
    found.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
    found
}
