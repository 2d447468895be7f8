//! The trunks of a configuration file: the keys of a WCS `sip_trunk.yml` and those added to them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::Codec;
use crate::cli::config_section::{Reader, Section};
use crate::cli::config_signalling::read_signalling;
use crate::cli::config_value::{
    boolean, codec, display_name, name, parse, parse_network, port, sdp, sdp_param, sink,
};
use crate::cli::yaml::{Entry, Value};
use crate::gateway::config::{Config, Host, Trunk, rtmp_url};
use crate::limits::TRUNKS;

/// Lines of `sdpParams`.
const SDP_PARAMS: usize = 16;

/// Networks of one `allow`.
const ALLOW: usize = 64;

/// Keys of a trunk.
pub const TRUNK_KEYS: &[&str] = &[
    "localPort",
    "proxyIp",
    "remotePort",
    "url",
    "visibleName",
    "sdp",
    "sdpParams",
    "allow",
    "register",
    "sink",
    "codecs",
    "streamName",
    "transport",
    "targets",
    "outboundProxy",
    "domain",
    "caFile",
    "certificate",
    "key",
    "srtp",
    "ping",
    "calls",
    "mediaTimeout",
    "sessionTimer",
    "dtmf",
    "abuse",
    "rules",
    "record",
];

/// What to say of a trunk's key that stands where a trunk or section belongs.
pub fn trunk_hint(key: &str) -> Option<String> {
    TRUNK_KEYS
        .contains(&key)
        .then(|| "expected inside a trunk: indent it below the trunk's name".to_owned())
}

/// Adds the trunks that are named; `line` is where they begin.
pub fn read_trunks(reader: &mut Reader<'_>, line: usize, named: &[&Entry], config: &mut Config) {
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
    let url = reader.url(section, "url", rtmp_url);
    let visible_name = reader.value(section, "visibleName", display_name);
    let sdp = reader.value(section, "sdp", sdp);
    let sdp_params = reader.list(section, "sdpParams", SDP_PARAMS, sdp_param);
    let allow = reader.list(section, "allow", ALLOW, parse_network);
    let signalling = read_signalling(reader, section);
    let sink = reader.value(section, "sink", sink);
    let codecs = read_codecs(reader, section);
    let stream_name = reader.key(section, "streamName", parse);
    let record = reader.value(section, "record", boolean);

    let default = Trunk::new(name, local_port?);
    // Callers that were named wrongly are one problem, not also the lack of any.
    let named = section.has("proxyIp") || section.has("allow");
    let stand_in = || named.then(|| Host::Name(String::new()));
    let nobody = proxy.is_none() && allow.is_none();
    Some(Trunk {
        name: default.name,
        local_port: default.local_port,
        proxy: if nobody { stand_in() } else { proxy },
        url,
        visible_name,
        sdp,
        sdp_params: sdp_params.unwrap_or_default(),
        allow: allow.unwrap_or_default(),
        sink,
        codecs,
        stream_name: stream_name.unwrap_or(default.stream_name),
        record,
        ..signalling
    })
}

/// The codecs of the list, each once.
fn read_codecs(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Vec<Codec>> {
    let named = reader.list(section, "codecs", Codec::ALL.len() * 2, codec)?;
    let mut codecs = Vec::new();
    for codec in named {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    Some(codecs)
}
