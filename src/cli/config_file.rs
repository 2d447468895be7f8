//! The configuration file: YAML text in, a whole [`Config`] or every problem found out.
//!
//! The keys are a contract, and a WCS `sip_trunk.yml` is a valid file as it stands, also with its
//! trunks at column 0 beside `trunks:`, as copies of it are often printed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::cli::config_hooks::{HOOKS_KEYS, read_hooks};
use crate::cli::config_page::{PAGE_KEYS, read_page};
use crate::cli::config_recording::{RECORDING_KEYS, read_recording};
use crate::cli::config_section::{Reader, Section};
use crate::cli::config_trunk::{TRUNK_KEYS, read_trunks, trunk_hint};
use crate::cli::config_value::{certificates, directory, file, listen, number, parse, password};
use crate::cli::credentials::Credentials;
use crate::cli::nearest::nearest;
use crate::cli::yaml::{self, Entry, Node, Value};
use crate::gateway::config::{Config, Media, Rest, RestTls};
use crate::limits::{CALLS_MAX, Limits, MEMORY_MIB_MAX};

pub use crate::cli::config_problem::Problem;

/// Bytes of a configuration file; a larger one is refused.
pub const FILE_BYTES: usize = 262_144;

const TOP_KEYS: &[&str] = &[
    "trunks",
    "rtmp",
    "rest",
    "page",
    "media",
    "hooks",
    "limits",
    "state",
    "recording",
    "files",
];

/// Reads a configuration. `file` is only named in problems: nothing is opened, so a reload can
/// look at a text without touching what runs.
///
/// # Errors
///
/// Every problem found, in the order of the file; there is no partial result.
pub fn load(text: &str, file: &str) -> Result<Config, Vec<Problem>> {
    load_with(text, file, &Credentials::None)
}

/// As [`load`], with the values of credentials that the text names.
///
/// # Errors
///
/// As [`load`].
pub fn load_with(
    text: &str,
    file: &str,
    credentials: &Credentials,
) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(file).with_credentials(credentials.clone());
    if text.len() > FILE_BYTES {
        reader.problem(0, "", format!("expected at most {FILE_BYTES} bytes"));
        return Err(reader.into_problems());
    }
    let config = match yaml::parse(text) {
        Ok(root) => read_root(&mut reader, &root),
        Err(error) => {
            let field = error.duplicate.unwrap_or_default();
            let expected = if field.is_empty() {
                format!("expected YAML: {}", error.message)
            } else {
                "expected once, but this key was given before".to_owned()
            };
            reader.problem(error.line, &field, expected);
            None
        }
    };
    if let Some(config) = &config {
        for conflict in config.conflicts() {
            let line = match reader.line_of(&conflict.field) {
                0 => reader.line_of(&conflict.with),
                line => line,
            };
            reader.problem(line, &conflict.field, conflict.expected);
        }
    }
    match config {
        Some(mut config) if !reader.has_problems() => {
            config.notices = reader.into_notices();
            Ok(config)
        }
        _ => Err(reader.into_problems()),
    }
}

/// The values of a whole file. `None` only when there is nothing to check any further.
fn read_root(reader: &mut Reader<'_>, root: &Node) -> Option<Config> {
    let entries = match &root.value {
        Value::Map(entries) => entries,
        Value::Nothing => {
            reader.problem(
                root.line,
                "trunks",
                "expected at least one trunk".to_owned(),
            );
            return None;
        }
        _ => {
            let expected = format!("expected a mapping with {}", TOP_KEYS.join(", "));
            reader.problem(root.line, "", expected);
            return None;
        }
    };
    let trunks = entries.iter().find(|entry| entry.key == "trunks");
    let empty = trunks.is_none_or(|entry| matches!(&entry.value.value, Value::Nothing));
    let (flat, entries): (Vec<&Entry>, Vec<&Entry>) = entries
        .iter()
        .partition(|entry| empty && is_flat_trunk(entry));
    let top = reader.section("", root.line, &entries, TOP_KEYS, top_hint);

    let mut config = Config {
        trunks: Vec::new(),
        ..Config::default()
    };
    match trunks {
        _ if !flat.is_empty() => read_trunks(reader, root.line, &flat, &mut config),
        Some(Entry { line, value, .. }) => match &value.value {
            Value::Map(named) => {
                let named: Vec<&Entry> = named.iter().collect();
                read_trunks(reader, *line, &named, &mut config);
            }
            Value::Nothing => reader.problem(
                *line,
                "trunks",
                "expected at least one trunk below it, indented: a name and its settings"
                    .to_owned(),
            ),
            _ => reader.problem(
                value.line,
                "trunks",
                "expected names of trunks, each with its settings".to_owned(),
            ),
        },
        None => reader.problem(
            root.line,
            "trunks",
            "expected at least one trunk".to_owned(),
        ),
    }
    if let Some(rtmp) = reader.child(&top, "rtmp", &["listen", "caFile"]) {
        config.rtmp_listen = reader
            .value(&rtmp, "listen", listen)
            .unwrap_or(config.rtmp_listen);
        config.rtmp_ca_file = reader.value(&rtmp, "caFile", certificates);
    }
    if let Some(rest) = reader.child(&top, "rest", &["listen", "password", "tls"]) {
        config.rest = read_rest(reader, &rest);
    }
    if let Some(page) = reader.child(&top, "page", PAGE_KEYS) {
        config.page = read_page(reader, &page);
    }
    if let Some(media) = reader.child(&top, "media", &["address", "ports"]) {
        let default = Media::default();
        config.media = Media {
            address: reader
                .value(&media, "address", parse)
                .unwrap_or(default.address),
            ports: reader
                .value(&media, "ports", parse)
                .unwrap_or(default.ports),
        };
    }
    if let Some(hooks) = reader.child(&top, "hooks", HOOKS_KEYS) {
        config.hooks = read_hooks(reader, &hooks);
    }
    if let Some(limits) = reader.child(&top, "limits", &["calls", "memoryMiB"]) {
        let default = Limits::default();
        let calls = reader.value(&limits, "calls", |text| number(text, 1, CALLS_MAX));
        let memory = reader.value(&limits, "memoryMiB", |text| number(text, 1, MEMORY_MIB_MAX));
        config.limits = Limits {
            calls: calls.unwrap_or(default.calls),
            memory_mib: memory.unwrap_or(default.memory_mib),
        };
    }
    if let Some(state) = reader.child(&top, "state", &["directory"]) {
        config.state_directory = reader.value(&state, "directory", directory);
    }
    if let Some(files) = reader.child(&top, "files", &["directory"]) {
        config.files_directory = reader.value(&files, "directory", directory);
    }
    if let Some(recording) = reader.child(&top, "recording", RECORDING_KEYS) {
        config.recording = read_recording(reader, &recording);
    }
    Some(config)
}

/// A trunk whose indentation was lost: beside `trunks:` instead of below it.
pub(super) fn is_flat_trunk(entry: &Entry) -> bool {
    let Value::Map(settings) = &entry.value.value else {
        return false;
    };
    !TOP_KEYS.contains(&entry.key.as_str()) && settings.iter().any(|s| s.key == "localPort")
}

fn top_hint(key: &str) -> Option<String> {
    trunk_hint(key).or_else(|| {
        let known = nearest(key, TRUNK_KEYS.iter().copied())?;
        nearest(key, TOP_KEYS.iter().copied())
            .is_none()
            .then(|| format!("unknown key; {known} belongs inside a trunk"))
    })
}

fn read_rest(reader: &mut Reader<'_>, section: &Section<'_>) -> Rest {
    let default = Rest::default();
    let tls = reader.child(section, "tls", &["listen", "certificate", "key"]);
    Rest {
        listen: reader
            .value(section, "listen", listen)
            .unwrap_or(default.listen),
        password: reader.secret(section, "password", password),
        tls: tls.and_then(|tls| read_rest_tls(reader, &tls)),
    }
}

/// A section `tls` of REST or of the page.
pub(crate) fn read_rest_tls(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<RestTls> {
    let listen = reader.required(section, "listen", listen);
    let certificate = reader.value(section, "certificate", |text| {
        file(text, "/etc/trunkcast/rest.pem")
    });
    let key = reader.value(section, "key", |text| {
        file(text, "/etc/trunkcast/rest-key.pem")
    });
    Some(RestTls {
        listen: listen?,
        certificate,
        key,
    })
}
