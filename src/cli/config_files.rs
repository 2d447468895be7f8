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
use crate::gateway::config::Config;
use crate::shell::tls::{Identity, Servers, Trust};

/// What is wrong with a file: the keys that lead to the section that names it, the key there, and what
/// was expected.
type Found<'a> = (Vec<&'a str>, &'static str, String);

/// What is wrong with the files that a configuration names, whose text is that of the file `name`.
pub fn unusable_files(config: &Config, text: &str, name: &str) -> Vec<Problem> {
    let hooks = config.hooks.as_ref();
    let mut found: Vec<Found<'_>> = Vec::new();
    found.extend(authorities(
        vec!["rtmp"],
        Servers::Rtmp,
        config.rtmp_ca_file.as_ref(),
    ));
    let of_hooks = hooks.and_then(|hooks| hooks.ca_file.as_ref());
    found.extend(authorities(vec!["hooks"], Servers::Backend, of_hooks));
    for (section, owner, tls) in [
        ("rest", "rest.tls", &config.rest.tls),
        ("page", "page.tls", &config.page.tls),
    ] {
        let tls = tls.as_ref();
        let files = tls.and_then(|tls| tls.certificate.as_ref().zip(tls.key.as_ref()));
        found.extend(identity(vec![section, "tls"], owner, files));
    }
    for trunk in &config.trunks {
        let path = || vec!["trunks", trunk.name.as_str()];
        let servers = Servers::Sip(trunk.name.clone());
        found.extend(authorities(path(), servers, trunk.ca_file.as_ref()));
        let files = trunk.certificate.as_ref().zip(trunk.key.as_ref());
        found.extend(identity(path(), &format!("trunk {}", trunk.name), files));
    }
    if found.is_empty() {
        return Vec::new();
    }
    // It was read before.
    let root = yaml::parse(text).ok();
    let line = |path: &[&str], key: &str| {
        let root = root.as_ref()?;
        let at = |path: &[&str]| {
            let mut node = root;
            for key in path {
                node = child(node, key)?.0;
            }
            Some(child(node, key)?.1)
        };
        // Trunks may stand beside `trunks:` as well.
        at(path).or_else(|| at(path.get(1..)?))
    };
    let problems = found.into_iter().map(|(path, key, expected)| Problem {
        file: name.to_owned(),
        line: line(&path, key).unwrap_or_default(),
        field: format!("{}.{key}", path.join(".")),
        expected,
    });
    let mut problems: Vec<Problem> = problems.collect();
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// What is wrong with a file of authorities.
fn authorities<'a>(
    path: Vec<&'a str>,
    servers: Servers,
    file: Option<&String>,
) -> Option<Found<'a>> {
    let words = Trust::new(servers, Some(file?.into()), None)
        .config()
        .err()?;
    let expected = format!("expected a PEM file of certificates: {words}");
    Some((path, "caFile", expected))
}

/// What is wrong with a certificate and its key.
fn identity<'a>(
    path: Vec<&'a str>,
    owner: &str,
    files: Option<(&String, &String)>,
) -> Option<Found<'a>> {
    let (certificate, key) = files?;
    let words = Identity::read(owner, Path::new(certificate), Path::new(key)).err()?;
    let expected = format!("expected PEM files of a certificate and its key: {words}");
    Some((path, "certificate", expected))
}

/// The value of a key of a mapping, and the line of the key.
fn child<'n>(node: &'n Node, key: &str) -> Option<(&'n Node, usize)> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some((&entry.value, entry.line))
}
