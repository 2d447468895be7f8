//! The files that a configuration names: certificates and keys that can be used, told before anything
//! needs them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::path::Path;

use crate::cli::config_file::Problem;
use crate::cli::yaml::{self, Node, Value};
use crate::gateway::config::{Config, Trunk};
use crate::shell::tls::{Identity, Servers, Trust};

/// What is wrong with the files that a configuration names, whose text is that of the file `name`.
pub fn unusable_files(config: &Config, text: &str, name: &str) -> Vec<Problem> {
    let authorities = |servers, file: &str| {
        let words = Trust::new(servers, Some(file.into()), None).config().err();
        words.map(|words| format!("expected a PEM file of certificates: {words}"))
    };
    let of_rtmp = config.rtmp_ca_file.as_deref();
    let of_rtmp = of_rtmp.and_then(|file| authorities(Servers::Rtmp, file));
    let of_rtmp = of_rtmp.map(|expected| (None, "caFile", expected));
    let of_trunks = config.trunks.iter().flat_map(|trunk| {
        let servers = Servers::Sip(trunk.name.clone());
        let ca_file = trunk.ca_file.as_deref();
        let of_pbx = ca_file.and_then(|file| authorities(servers, file));
        let of_pbx = of_pbx.map(|expected| (Some(trunk), "caFile", expected));
        let own = identity(trunk).map(|expected| (Some(trunk), "certificate", expected));
        of_pbx.into_iter().chain(own)
    });
    let found: Vec<_> = of_rtmp.into_iter().chain(of_trunks).collect();
    if found.is_empty() {
        return Vec::new();
    }
    // It was read before.
    let root = yaml::parse(text).ok();
    let line = |trunk: Option<&Trunk>, key: &str| {
        let root = root.as_ref()?;
        let section = match trunk {
            None => child(root, "rtmp"),
            // They may stand beside `trunks:` as well.
            Some(trunk) => child(root, "trunks")
                .and_then(|(trunks, _)| child(trunks, &trunk.name))
                .or_else(|| child(root, &trunk.name)),
        };
        section.and_then(|(section, _)| Some(child(section, key)?.1))
    };
    let problems = found.into_iter().map(|(trunk, key, expected)| Problem {
        file: name.to_owned(),
        line: line(trunk, key).unwrap_or_default(),
        field: match trunk {
            None => format!("rtmp.{key}"),
            Some(trunk) => format!("trunks.{}.{key}", trunk.name),
        },
        expected,
    });
    problems.collect()
}

/// What is wrong with the certificate and key of a trunk.
fn identity(trunk: &Trunk) -> Option<String> {
    let (certificate, key) = (trunk.certificate.as_ref()?, trunk.key.as_ref()?);
    let read = Identity::read(&trunk.name, Path::new(certificate), Path::new(key));
    let words = read.err()?;
    Some(format!(
        "expected PEM files of a certificate and its key: {words}"
    ))
}

/// The value of a key of a mapping, and the line of the key.
fn child<'n>(node: &'n Node, key: &str) -> Option<(&'n Node, usize)> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some((&entry.value, entry.line))
}
