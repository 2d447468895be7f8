//! The keys of a trunk that say how it speaks SIP.

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

use crate::base::srtp::{SrtpPolicy, UnknownPolicy};
use crate::cli::config_rules::read_rules;
use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{certificates, file, login, number, parse, password, port};
use crate::gateway::config::{
    AbuseLimits, Expected, Host, HostPort, Register, SessionTimer, Trunk, transport,
};
use crate::limits::{CALLS_MAX, SIP_TARGETS};

const REGISTER_KEYS: &[&str] = &[
    "login",
    "authenticationName",
    "password",
    "expires",
    "registrar",
    "contact",
];

/// Further addresses of a PBX, beside `proxyIp`.
const TARGETS: usize = SIP_TARGETS - 1;

/// The signalling settings of one trunk; everything else is as in a trunk of defaults.
pub fn read_signalling(reader: &mut Reader<'_>, section: &Section<'_>) -> Trunk {
    let default = Trunk::new("", 0);
    let register = reader
        .child(section, "register", REGISTER_KEYS)
        .and_then(|section| read_register(reader, &section));
    let ping = match reader.value(section, "ping", |text| seconds(text, 5, 3_600)) {
        Some(ping) => ping,
        None if section.has("ping") => None,
        None => section.has("proxyIp").then_some(Trunk::PING),
    };
    let media_timeout = reader.value(section, "mediaTimeout", |text| seconds(text, 5, 86_400));
    let srtp = |text: &str| {
        let policy = text.parse::<SrtpPolicy>();
        policy.map_err(|error: UnknownPolicy| Expected::new(error.to_string()))
    };
    Trunk {
        transport: reader
            .value(section, "transport", transport)
            .unwrap_or(default.transport),
        remote_port: reader.value(section, "remotePort", port),
        targets: reader
            .list(section, "targets", TARGETS, parse::<HostPort>)
            .unwrap_or_default(),
        outbound_proxy: reader.value(section, "outboundProxy", parse),
        domain: reader.value(section, "domain", parse::<Host>),
        ca_file: reader.value(section, "caFile", certificates),
        certificate: reader.value(section, "certificate", |text| {
            file(text, "/etc/trunkcast/certificate.pem")
        }),
        key: reader.value(section, "key", |text| file(text, "/etc/trunkcast/key.pem")),
        srtp: reader.value(section, "srtp", srtp).unwrap_or(default.srtp),
        register,
        ping,
        calls: reader.value(section, "calls", |text| number(text, 1, CALLS_MAX)),
        media_timeout: media_timeout.unwrap_or(default.media_timeout),
        session_timer: read_session_timer(reader, section),
        dtmf: reader.value(section, "dtmf", parse).unwrap_or(default.dtmf),
        abuse: read_abuse(reader, section),
        rules: read_rules(reader, section),
        ..default
    }
}

/// A number of seconds, or `off`.
fn seconds(text: &str, least: usize, most: usize) -> Result<Option<Duration>, Expected> {
    if text == "off" {
        return Ok(None);
    }
    let seconds = number(text, least, most)
        .map_err(|_| Expected::new(format!("seconds from {least} to {most}, or off")))?;
    Ok(Some(Duration::from_secs(seconds as u64)))
}

fn read_register(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Register> {
    let login = reader.required(section, "login", login);
    let authentication_name = reader.value(section, "authenticationName", self::login);
    let password = reader.required_secret(section, "password", password);
    let expires = reader.value(section, "expires", |text| number(text, 60, 86_400));
    let registrar = reader.value(section, "registrar", parse::<HostPort>);
    let contact = reader.value(section, "contact", self::login);
    let login = login?;
    Some(Register {
        authentication_name: authentication_name.unwrap_or_else(|| login.clone()),
        contact: contact.unwrap_or_else(|| login.clone()),
        login,
        password: password?,
        expires: expires.unwrap_or(600) as u32,
        registrar,
    })
}

fn read_session_timer(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<SessionTimer> {
    const KEY: &str = "sessionTimer";
    let default = SessionTimer::default();
    if section.text(KEY) == Some("off") {
        return None;
    }
    let Some(timer) = reader.child(section, KEY, &["expires", "min"]) else {
        return Some(default);
    };
    let least = SessionTimer::LEAST as usize;
    let expires = reader.value(&timer, "expires", |text| number(text, least, 86_400));
    let min = reader.value(&timer, "min", |text| number(text, least, 86_400));
    Some(SessionTimer {
        expires: expires.map_or(default.expires, |seconds| seconds as u32),
        min: min.map_or(default.min, |seconds| seconds as u32),
    })
}

fn read_abuse(reader: &mut Reader<'_>, section: &Section<'_>) -> AbuseLimits {
    let default = AbuseLimits::default();
    let Some(abuse) = reader.child(section, "abuse", &["perSource", "total"]) else {
        return default;
    };
    let per_source = reader.value(&abuse, "perSource", |text| number(text, 1, 10_000));
    let total = reader.value(&abuse, "total", |text| number(text, 1, 100_000));
    AbuseLimits {
        per_source: per_source.map_or(default.per_source, |packets| packets as u32),
        total: total.map_or(default.total, |packets| packets as u32),
    }
}
