//! The keys of the backend that is told of calls.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{certificates, name, number, parse, password};
use crate::gateway::config::{Expected, Hooks, HttpUrl};
use crate::gateway::hooks::{Method, MethodSet};
use crate::limits::{HOOK_APP_KEY_BYTES, HOOK_CONNECTIONS_MAX};

/// The keys.
pub const HOOKS_KEYS: &[&str] = &[
    "url",
    "timeoutSeconds",
    "retrySeconds",
    "username",
    "password",
    "appKey",
    "connections",
    "onCall",
    "onError",
    "methods",
    "caFile",
];

/// Seconds that an event may be repeated: a day.
const RETRY_SECONDS_MAX: usize = 86_400;

/// The backend of a file; `None` where its address is wrong.
pub fn read_hooks(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Hooks> {
    let url: Option<HttpUrl> = reader.required_url(section, "url", parse);
    let timeout = reader.value(section, "timeoutSeconds", |text| number(text, 1, 300));
    let retry = reader.value(section, "retrySeconds", |text| {
        number(text, 0, RETRY_SECONDS_MAX)
    });
    let username = reader.value(section, "username", user);
    let password = reader.secret(section, "password", password);
    for (has, other, missing) in [
        (section.has("username"), "password", "username"),
        (section.has("password"), "username", "password"),
    ] {
        if has && !section.has(other) {
            let expected = format!("expected {other} beside it");
            reader.problem_at(section, missing, expected);
        }
    }
    let app_key = reader.value(section, "appKey", app_key);
    let connections = reader.value(section, "connections", |text| {
        number(text, 1, HOOK_CONNECTIONS_MAX)
    });
    let on_call = reader.value(section, "onCall", parse);
    let on_error = reader.value(section, "onError", parse);
    let methods = reader.list(section, "methods", Method::ALL.len(), parse::<Method>);
    let ca_file = reader.value(section, "caFile", certificates);
    let default = Hooks::new(url?);
    Some(Hooks {
        timeout: timeout.map_or(default.timeout, seconds),
        retry: retry.map_or(default.retry, seconds),
        username,
        password,
        app_key: app_key.unwrap_or(default.app_key),
        connections: connections.unwrap_or(default.connections),
        on_call: on_call.unwrap_or_default(),
        on_error: on_error.unwrap_or_default(),
        methods: methods.map_or(default.methods, |methods| MethodSet::of(&methods)),
        ca_file,
        url: default.url,
    })
}

fn seconds(number: usize) -> Duration {
    Duration::from_secs(number as u64)
}

/// A user of Basic authentication, which ends at the first colon.
fn user(text: &str) -> Result<String, Expected> {
    match text.contains(':') {
        true => Err(Expected::new("a user's name without a colon")),
        false => name(text),
    }
}

fn app_key(text: &str) -> Result<String, Expected> {
    match text.len() > HOOK_APP_KEY_BYTES {
        true => Err(Expected::new(format!("at most {HOOK_APP_KEY_BYTES} bytes"))),
        false => name(text),
    }
}
