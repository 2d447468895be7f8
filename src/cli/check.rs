//! `trunkcast check`: what a configuration would run.

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

use crate::base::codec::Codec;
use crate::base::network::Transport;
use crate::base::redact::HIDDEN;
use crate::gateway::config::{Config, Host, OnCall, Page, Rest, Trunk, codec_name};

/// What a configuration would run, in a few lines and without secrets.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    config: &'a Config,
    source: &'a str,
}

impl<'a> Summary<'a> {
    /// The summary of a configuration that came from `source`.
    pub const fn new(config: &'a Config, source: &'a str) -> Self {
        Self { config, source }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, source } = self;
        writeln!(f, "configuration: {source}")?;
        for trunk in &config.trunks {
            write_trunk(f, trunk, config.rtmp_listen.port())?;
        }
        writeln!(f, "play-out: rtmp on {}", config.rtmp_listen)?;
        write_rest(f, &config.rest)?;
        write_page(f, &config.page)?;
        if let Some(hooks) = &config.hooks {
            let waits = match hooks.on_call {
                OnCall::Ask => ", incoming calls wait for its word",
                OnCall::Notify => "",
            };
            writeln!(f, "hooks: {}{waits}", hooks.url)?;
        }
        if let Some(file) = &config.rtmp_ca_file {
            writeln!(f, "rtmps: servers trusted by {file}")?;
        }
        if let Some(directory) = &config.state_directory {
            writeln!(f, "state: {directory}")?;
        }
        if let Some(directory) = &config.files_directory {
            writeln!(
                f,
                "files: media files of {directory} may be sent into calls"
            )?;
        }
        let (media, limits) = (&config.media, &config.limits);
        let (address, ports) = (media.address, media.ports);
        writeln!(f, "media: address {address}, UDP ports {ports}")?;
        writeln!(f, "limits: {} calls at once", limits.calls)?;
        write!(f, "{}", config.budget())?;
        for notice in &config.notices {
            write!(f, "\nnote: {notice}")?;
        }
        Ok(())
    }
}

fn write_rest(f: &mut fmt::Formatter<'_>, rest: &Rest) -> fmt::Result {
    let guarded = match rest.password {
        Some(_) => "with a password",
        None => "for everybody on this box, pages in its browsers included",
    };
    writeln!(f, "rest: http on {}, {guarded}", rest.listen)?;
    if let Some(tls) = &rest.tls {
        let certificate = match &tls.certificate {
            Some(_) => "the certificate given",
            None => "a certificate of our own making",
        };
        writeln!(f, "rest: https on {}, {certificate}", tls.listen)?;
    }
    Ok(())
}

fn write_page(f: &mut fmt::Formatter<'_>, page: &Page) -> fmt::Result {
    let guarded = match page.password_hash {
        Some(_) => "with a password",
        None => "the first visitor sets its password",
    };
    match page.listens() {
        (None, None) => writeln!(f, "page: off"),
        (plain, tls) => {
            if let Some(plain) = plain {
                writeln!(f, "page: http on {plain}, {guarded}")?;
            }
            if let Some(tls) = tls {
                writeln!(f, "page: https on {tls}, {guarded}")?;
            }
            Ok(())
        }
    }
}

fn write_trunk(f: &mut fmt::Formatter<'_>, trunk: &Trunk, play_port: u16) -> fmt::Result {
    let name = &trunk.name;
    let port = trunk.local_port;
    match (trunk.transport, &trunk.certificate) {
        (Transport::Tls, Some(_)) => writeln!(f, "trunk {name}: SIP on TLS port {port}")?,
        (Transport::Tls, None) => writeln!(f, "trunk {name}: SIP over TLS, no port")?,
        _ => writeln!(f, "trunk {name}: SIP on UDP and TCP port {port}")?,
    }
    let names = trunk.proxy.iter().filter_map(|host| match host {
        Host::Name(name) => Some(name.clone()),
        Host::Ip(_) => None,
    });
    let callers: Vec<String> = names
        .chain(trunk.sources().map(|net| net.to_string()))
        .collect();
    writeln!(f, "  calls from {}", callers.join(", "))?;
    let codecs = trunk.codecs.as_deref().unwrap_or(&Codec::ALL);
    let codecs: Vec<&str> = codecs.iter().map(|codec| codec_name(*codec)).collect();
    writeln!(f, "  codecs {}", codecs.join(", "))?;
    let stream = &trunk.stream_name;
    match &trunk.url {
        Some(url) => {
            match trunk.has_stream_key() {
                true => write!(f, "  published to {url} as {HIDDEN}")?,
                false => write!(f, "  published to {url} as {stream}")?,
            }
            match trunk.sink {
                Some(sink) => writeln!(f, " (sink {})", sink.name()),
                None => writeln!(f),
            }
        }
        None => writeln!(f, "  stays here: rtmp://THIS-BOX:{play_port}/live/{stream}"),
    }
}
