//! The forms of single values of a configuration file: text in, a checked value or what was expected
//! out.

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
use core::str::FromStr;

use crate::base::codec::Codec;
use crate::base::network::Network;
use crate::base::redact::Secret;
use crate::cli::nearest::nearest;
use crate::gateway::config::{Expected, codec_name, codec_of_name};
use crate::gateway::sink::profile::Profile;

/// Bytes of a trunk's name, display name, login or password.
const NAME_BYTES: usize = 128;

/// Bytes of a folder's path.
const PATH_BYTES: usize = 1_024;

/// Bytes of an SDP template.
const SDP_BYTES: usize = 4_096;

/// A value of a type that reads itself.
pub fn parse<T: FromStr<Err = Expected>>(text: &str) -> Result<T, Expected> {
    text.parse()
}

/// A network, as in `allow`.
pub fn parse_network(text: &str) -> Result<Network, Expected> {
    text.parse()
        .map_err(|error| Expected::new(format!("{error}")))
}

/// A port to bind or to call; 0 is none.
pub fn port(text: &str) -> Result<u16, Expected> {
    number(text, 1, usize::from(u16::MAX))
        .map(|port| port as u16)
        .map_err(|_| Expected::new("a port from 1 to 65535"))
}

/// A decimal number within bounds.
pub fn number(text: &str, least: usize, most: usize) -> Result<usize, Expected> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && (least..=most).contains(number))
        .ok_or_else(|| Expected::new(format!("a number from {least} to {most}")))
}

/// An address and port to listen on.
pub fn listen(text: &str) -> Result<SocketAddr, Expected> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0 && !address.ip().is_multicast())
        .ok_or_else(|| Expected::new("an address and port such as 0.0.0.0:1935 or [::]:1935"))
}

/// A codec by its name.
pub fn codec(text: &str) -> Result<Codec, Expected> {
    codec_of_name(text).ok_or_else(|| one_of("a codec", text, &Codec::ALL.map(codec_name)))
}

/// A kind of RTMP server by its name.
pub fn sink(text: &str) -> Result<Profile, Expected> {
    Profile::from_name(text)
        .ok_or_else(|| one_of("a kind of server", text, &Profile::ALL.map(Profile::name)))
}

/// What was expected where the names are known: all of them, the nearest one first.
fn one_of(what: &str, text: &str, names: &[&str]) -> Expected {
    let all = names.join(", ");
    Expected::new(match nearest(text, names.iter().copied()) {
        Some(name) => format!("{what}, perhaps {name} (one of {all})"),
        None => format!("one of {all}"),
    })
}

/// The path of a folder, from the root.
pub fn directory(text: &str) -> Result<String, Expected> {
    path(text, "a folder", "/var/lib/trunkcast")
}

/// The path of the folder of recordings, from the root.
pub fn recordings(text: &str) -> Result<String, Expected> {
    path(text, "a folder", "/var/lib/trunkcast/records")
}

/// Yes or no.
pub fn boolean(text: &str) -> Result<bool, Expected> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Expected::new("true or false")),
    }
}

/// The path of a file of certificate authorities, from the root.
pub fn certificates(text: &str) -> Result<String, Expected> {
    path(text, "a PEM file", "/etc/trunkcast/ca.pem")
}

/// The path of another PEM file, from the root.
pub fn file(text: &str, example: &str) -> Result<String, Expected> {
    path(text, "a PEM file", example)
}

fn path(text: &str, what: &str, example: &str) -> Result<String, Expected> {
    let clean = !text.chars().any(char::is_control);
    if !text.starts_with('/') || text.len() > PATH_BYTES || !clean {
        return Err(Expected::new(format!(
            "the path of {what} from the root, such as {example}, at most {PATH_BYTES} bytes"
        )));
    }
    Ok(text.to_owned())
}

/// A trunk's name.
pub fn name(text: &str) -> Result<String, Expected> {
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

/// A name to show, which YAML may give with a line end.
pub fn display_name(text: &str) -> Result<String, Expected> {
    name(text.trim_end())
}

/// A user of a registrar.
pub fn login(text: &str) -> Result<String, Expected> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~+*#@".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES || !text.chars().all(allowed) {
        return Err(Expected::new("letters, digits and -_.~+*#@ only"));
    }
    Ok(text.to_owned())
}

/// A password; problems never repeat it.
pub fn password(text: &str) -> Result<Secret<String>, Expected> {
    if text.is_empty() || text.len() > NAME_BYTES || text.chars().any(char::is_control) {
        return Err(Expected::new(format!(
            "a password of 1 to {NAME_BYTES} bytes"
        )));
    }
    Ok(Secret::new(text.to_owned()))
}

/// The template of an answer: lines of SDP, of which `v=` and `s=` may be missing.
pub fn sdp(text: &str) -> Result<String, Expected> {
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

/// A line that is added to each answer.
pub fn sdp_param(text: &str) -> Result<String, Expected> {
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
