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

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;

use crate::base::network::Network;
use crate::base::redact::Secret;
use crate::cli::config_section::{Reader, Section};
use crate::cli::nearest::nearest;
use crate::cli::yaml::{self, Entry, Node, Value};
use crate::gateway::config::{
    Codec, Config, Expected, Hooks, Host, Media, Register, Rest, Trunk, rtmp_url,
};
use crate::limits::{CALLS_MAX, Limits, MEMORY_MIB_MAX, TRUNKS};

/// Bytes of a configuration file; a larger one is refused.
pub const FILE_BYTES: usize = 262_144;

/// Bytes of a trunk's name, display name, login or password.
const NAME_BYTES: usize = 128;

/// Bytes of an SDP template.
const SDP_BYTES: usize = 4_096;

/// Lines of `sdpParams`.
const SDP_PARAMS: usize = 16;

/// Networks of one `allow`.
const ALLOW: usize = 64;

const TOP_KEYS: &[&str] = &["trunks", "rtmp", "rest", "media", "hooks", "limits"];
const TRUNK_KEYS: &[&str] = &[
    "localPort",
    "proxyIp",
    "remotePort",
    "url",
    "visibleName",
    "sdp",
    "sdpParams",
    "allow",
    "register",
    "codecs",
    "streamName",
];
const REGISTER_KEYS: &[&str] = &["login", "authenticationName", "password", "expires"];

/// One thing that is wrong with a file. Prints as `FILE:LINE: field: what was expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, as it was given.
    pub file: String,
    /// Line, counted from 1; 0 when no line is at fault.
    pub line: usize,
    /// Path of the field, such as `trunks.pbx_t0.localPort`; empty for the file as a whole.
    pub field: String,
    /// What was expected, as a sentence.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.expected)
    }
}

/// Reads a configuration. `file` is only named in problems: nothing is opened, so a reload can
/// look at a text without touching what runs.
///
/// # Errors
///
/// Every problem found, in the order of the file; there is no partial result.
pub fn load(text: &str, file: &str) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(file);
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
    if let Some(rtmp) = reader.child(&top, "rtmp", &["listen"]) {
        config.rtmp_listen = reader
            .value(&rtmp, "listen", listen)
            .unwrap_or(config.rtmp_listen);
    }
    if let Some(rest) = reader.child(&top, "rest", &["listen", "password"]) {
        config.rest = read_rest(reader, &rest);
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
    if let Some(hooks) = reader.child(&top, "hooks", &["url", "timeoutSeconds"]) {
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
    Some(config)
}

/// A trunk whose indentation was lost: beside `trunks:` instead of below it.
fn is_flat_trunk(entry: &Entry) -> bool {
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

fn trunk_hint(key: &str) -> Option<String> {
    TRUNK_KEYS
        .contains(&key)
        .then(|| "expected inside a trunk: indent it below the trunk's name".to_owned())
}

fn read_trunks(reader: &mut Reader<'_>, line: usize, named: &[&Entry], config: &mut Config) {
    reader.note_line("trunks", line);
    if named.is_empty() || named.len() > TRUNKS {
        let expected = format!("expected 1 to {TRUNKS} trunks, found {}", named.len());
        reader.problem(line, "trunks", expected);
    }
    for entry in named.iter().take(TRUNKS) {
        let path = format!("trunks.{}", entry.key);
        if let Err(expected) = name(&entry.key) {
            reader.problem(
                entry.line,
                &path,
                format!("expected {expected} as a trunk's name"),
            );
            continue;
        }
        if let Value::Map(settings) = &entry.value.value {
            let settings: Vec<&Entry> = settings.iter().collect();
            let section = reader.section(&path, entry.line, &settings, TRUNK_KEYS, |_| None);
            config
                .trunks
                .extend(read_trunk(reader, &entry.key, &section));
        } else {
            let expected = trunk_hint(&entry.key)
                .unwrap_or_else(|| "expected the trunk's settings below its name".to_owned());
            reader.problem(entry.line, &path, expected);
        }
    }
}

/// The settings of one trunk. Where one is wrong, a default stands in for the checks to come.
fn read_trunk(reader: &mut Reader<'_>, name: &str, section: &Section<'_>) -> Option<Trunk> {
    let local_port = reader.required(section, "localPort", port);
    let proxy = reader.value(section, "proxyIp", parse::<Host>);
    let remote_port = reader.value(section, "remotePort", port);
    let url = reader.url(section, "url", rtmp_url);
    let visible_name = reader.value(section, "visibleName", display_name);
    let sdp = reader.value(section, "sdp", sdp);
    let sdp_params = reader.list(section, "sdpParams", SDP_PARAMS, sdp_param);
    let allow = reader.list(section, "allow", ALLOW, parse_network);
    let register = reader
        .child(section, "register", REGISTER_KEYS)
        .and_then(|section| read_register(reader, &section));
    let codecs = read_codecs(reader, section);
    let stream_name = reader.value(section, "streamName", parse);

    let default = Trunk::new(name, local_port?);
    // Callers that were named wrongly are one problem, not also the lack of any.
    let named = section.has("proxyIp") || section.has("allow");
    let stand_in = || named.then(|| Host::Name(String::new()));
    let nobody = proxy.is_none() && allow.is_none();
    Some(Trunk {
        proxy: if nobody { stand_in() } else { proxy },
        remote_port: remote_port.unwrap_or(default.remote_port),
        url,
        visible_name,
        sdp,
        sdp_params: sdp_params.unwrap_or_default(),
        allow: allow.unwrap_or_default(),
        register,
        codecs,
        stream_name: stream_name.unwrap_or(default.stream_name),
        ..Trunk::new(name, default.local_port)
    })
}

fn read_codecs(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Vec<Codec>> {
    let mut codecs = reader.list(section, "codecs", Codec::ALL.len() * 2, codec)?;
    let mut seen = Vec::new();
    codecs.retain(|codec| {
        !seen.contains(codec) && {
            seen.push(*codec);
            true
        }
    });
    let names = |codecs: &[Codec]| {
        codecs
            .iter()
            .map(|c| c.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let idle: Vec<Codec> = codecs.iter().copied().filter(|c| !c.is_relayed()).collect();
    if idle.len() == codecs.len() {
        let expected = format!("expected at least one of {}", names(&Codec::RELAYED));
        reader.problem_at(section, "codecs", expected);
    } else if !idle.is_empty() {
        let notice = format!("{} not relayed yet: calls go without", names(&idle));
        reader.notice(section, "codecs", &notice);
    }
    Some(codecs)
}

fn read_register(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Register> {
    reader.notice(
        section,
        "",
        "read and checked, but the trunk does not register yet",
    );
    let login = reader.required(section, "login", login);
    let authentication_name = reader.value(section, "authenticationName", self::login);
    let password = reader.required_secret(section, "password", password);
    let expires = reader.value(section, "expires", |text| number(text, 60, 86_400));
    let login = login?;
    Some(Register {
        authentication_name: authentication_name.unwrap_or_else(|| login.clone()),
        login,
        password: password?,
        expires: expires.unwrap_or(600) as u32,
    })
}

fn read_rest(reader: &mut Reader<'_>, section: &Section<'_>) -> Rest {
    reader.notice(
        section,
        "",
        "read and checked, but the REST service is not there yet",
    );
    Rest {
        listen: reader
            .value(section, "listen", listen)
            .unwrap_or(Rest::default().listen),
        password: reader.secret(section, "password", password),
    }
}

fn read_hooks(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Hooks> {
    reader.notice(section, "", "read and checked, but no hook is called yet");
    let url = reader.required_url(section, "url", parse);
    let seconds = reader.value(section, "timeoutSeconds", |text| number(text, 1, 300));
    Some(Hooks {
        url: url?,
        timeout: Duration::from_secs(seconds.map_or(Hooks::TIMEOUT_SECONDS, |s| s as u64)),
    })
}

fn parse<T: FromStr<Err = Expected>>(text: &str) -> Result<T, Expected> {
    text.parse()
}

fn parse_network(text: &str) -> Result<Network, Expected> {
    text.parse()
        .map_err(|error| Expected::new(format!("{error}")))
}

fn port(text: &str) -> Result<u16, Expected> {
    number(text, 1, usize::from(u16::MAX))
        .map(|port| port as u16)
        .map_err(|_| Expected::new("a port from 1 to 65535"))
}

fn number(text: &str, least: usize, most: usize) -> Result<usize, Expected> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && (least..=most).contains(number))
        .ok_or_else(|| Expected::new(format!("a number from {least} to {most}")))
}

fn listen(text: &str) -> Result<SocketAddr, Expected> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0 && !address.ip().is_multicast())
        .ok_or_else(|| Expected::new("an address and port such as 0.0.0.0:1935 or [::]:1935"))
}

fn codec(text: &str) -> Result<Codec, Expected> {
    Codec::from_name(text).ok_or_else(|| {
        let names = Codec::ALL.map(Codec::name);
        Expected::new(match nearest(text, names) {
            Some(name) => format!("a codec, perhaps {name}"),
            None => format!("one of {}", names.join(", ")),
        })
    })
}

fn name(text: &str) -> Result<String, Expected> {
    let graphic = text
        .chars()
        .all(|c| !c.is_control() && c != '"' && c != '\\');
    if text.trim().is_empty() || text.len() > NAME_BYTES || !graphic {
        return Err(Expected::new(format!(
            "1 to {NAME_BYTES} bytes of text without quotes, backslashes and control characters"
        )));
    }
    Ok(text.to_owned())
}

fn display_name(text: &str) -> Result<String, Expected> {
    name(text.trim_end())
}

fn login(text: &str) -> Result<String, Expected> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~+*#@".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES || !text.chars().all(allowed) {
        return Err(Expected::new("letters, digits and -_.~+*#@ only"));
    }
    Ok(text.to_owned())
}

fn password(text: &str) -> Result<Secret<String>, Expected> {
    if text.is_empty() || text.len() > NAME_BYTES || text.chars().any(char::is_control) {
        return Err(Expected::new(format!(
            "a password of 1 to {NAME_BYTES} bytes"
        )));
    }
    Ok(Secret::new(text.to_owned()))
}

/// The template of an answer: lines of SDP, of which `v=` and `s=` may be missing.
fn sdp(text: &str) -> Result<String, Expected> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    if text.len() > SDP_BYTES {
        return Err(Expected::new(format!("at most {SDP_BYTES} bytes of SDP")));
    }
    if !lines().all(is_sdp_line) {
        return Err(Expected::new(
            "lines of SDP such as a=recvonly, below `sdp: |`",
        ));
    }
    if !lines().any(|line| line.starts_with("m=audio ") || line.starts_with("m=video ")) {
        return Err(Expected::new("SDP with an m=audio or m=video line"));
    }
    Ok(lines().map(|line| format!("{line}\n")).collect())
}

fn sdp_param(text: &str) -> Result<String, Expected> {
    let bandwidth = text
        .strip_prefix("b=")
        .and_then(|value| value.split_once(':'))
        .is_some_and(|(kind, value)| {
            !kind.is_empty() && !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())
        });
    let attribute = text.starts_with("a=") && is_sdp_line(text);
    if text.len() > NAME_BYTES || !(bandwidth || attribute) {
        return Err(Expected::new("a line such as b=AS:2000 or a=…"));
    }
    Ok(text.to_owned())
}

fn is_sdp_line(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.next() == Some('=')
        && chars.next().is_some()
        && !line.chars().any(char::is_control)
}
