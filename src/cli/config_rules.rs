//! The rules of a trunk: `match` and one of `set`, `add`, `remove` and `reject`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;

use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{number, parse_network, port};
use crate::gateway::config::{Expected, Host};
use crate::limits::{SIP_RULE_CHANGES, SIP_RULE_CONDITIONS, SIP_RULE_TEXT_BYTES, SIP_RULES};
use crate::sip::rules::{
    Action, Change, Condition, HeaderChange, HeaderTo, Pattern, Rule, Rules, UriChange, Wanted,
};

const RULE_KEYS: &[&str] = &["match", "set", "add", "remove", "reject"];
const MATCH_KEYS: &[&str] = &[
    "method", "header", "uriUser", "uriHost", "uriPort", "source",
];
const SET_KEYS: &[&str] = &["header", "uriUser", "uriHost", "uriPort", "uriParam"];

/// What says that something is not there, or is to be taken away.
const NONE: &str = "none";

/// The rules of one trunk.
pub fn read_rules(reader: &mut Reader<'_>, section: &Section<'_>) -> Rules {
    let rules: Vec<Rule> = reader
        .sections(section, "rules", SIP_RULES, RULE_KEYS)
        .iter()
        .filter_map(|section| read_rule(reader, section))
        .collect();
    // Each of them was counted where it was read.
    Rules::new(rules).unwrap_or_default()
}

fn read_rule(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Rule> {
    if !section.has("match") {
        let expected =
            "expected what to look for, such as {method: INVITE}, but the key is missing";
        reader.problem_at(section, "match", expected.to_owned());
    }
    let conditions = reader
        .child(section, "match", MATCH_KEYS)
        .map(|section| read_conditions(reader, &section));
    let changes = read_changes(reader, section);
    let action = match (section.has("reject"), changes.is_empty()) {
        (true, true) => {
            let (code, reason) = reader.value(section, "reject", reject)?;
            Action::Reject { code, reason }
        }
        (true, false) => {
            let expected =
                "expected no set, add or remove beside it: a request is changed or refused";
            reader.problem_at(section, "reject", expected.to_owned());
            return None;
        }
        (false, _) => Action::Change(changes),
    };
    if !RULE_KEYS.iter().skip(1).any(|key| section.has(key)) {
        let expected = "expected one of set, add, remove and reject beside match";
        reader.problem_at(section, "", expected.to_owned());
    }
    Some(Rule {
        conditions: conditions?,
        action,
    })
}

fn read_conditions(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let method = reader.value(section, "method", pattern);
    conditions.extend(method.map(Condition::Method));
    let header = |name: &str, text: &str| {
        let name = header_name(name)?;
        let wanted = wanted(text)?;
        Ok(Condition::Header { name, wanted })
    };
    conditions.extend(reader.pairs(section, "header", SIP_RULE_CONDITIONS, header));
    let user = reader.value(section, "uriUser", wanted);
    conditions.extend(user.map(Condition::UriUser));
    let host = reader.value(section, "uriHost", wanted);
    conditions.extend(host.map(Condition::UriHost));
    let port = reader.value(section, "uriPort", wanted);
    conditions.extend(port.map(Condition::UriPort));
    let source = reader.value(section, "source", parse_network);
    conditions.extend(source.map(Condition::Source));
    if section.is_empty() || conditions.len() > SIP_RULE_CONDITIONS {
        let count = conditions.len();
        let expected = format!("expected 1 to {SIP_RULE_CONDITIONS} conditions, found {count}");
        reader.problem_at(section, "", expected);
        conditions.truncate(SIP_RULE_CONDITIONS);
    }
    conditions
}

fn read_changes(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(set) = reader.child(section, "set", SET_KEYS) {
        let user = reader.value(&set, "uriUser", or_none(uri_user));
        changes.extend(user.map(|user| Change::Uri(UriChange::User(user))));
        let host = reader.value(&set, "uriHost", uri_host);
        changes.extend(host.map(|host| Change::Uri(UriChange::Host(host))));
        let port = reader.value(&set, "uriPort", or_none(port));
        changes.extend(port.map(|port| Change::Uri(UriChange::Port(port))));
        let param = |name: &str, text: &str| {
            let (name, value) = (param_name(name)?, or_none(param_value)(text)?);
            Ok(Change::Uri(UriChange::Param(name, value)))
        };
        changes.extend(reader.pairs(&set, "uriParam", SIP_RULE_CHANGES, param));
        let header = |name: &str, text: &str| {
            let to = HeaderTo::Set(header_value(text)?);
            header_change(name, to)
        };
        changes.extend(reader.pairs(&set, "header", SIP_RULE_CHANGES, header));
    }
    let add = |name: &str, text: &str| header_change(name, HeaderTo::Added(header_value(text)?));
    changes.extend(reader.pairs(section, "add", SIP_RULE_CHANGES, add));
    let remove = |name: &str| header_change(name, HeaderTo::Removed);
    let removed = reader.list(section, "remove", SIP_RULE_CHANGES, remove);
    changes.extend(removed.into_iter().flatten());
    if changes.len() > SIP_RULE_CHANGES {
        let count = changes.len();
        let expected = format!("expected at most {SIP_RULE_CHANGES} changes, found {count}");
        reader.problem_at(section, "", expected);
        changes.truncate(SIP_RULE_CHANGES);
    }
    changes
}

/// A value, or nothing for `none`.
fn or_none<T>(
    read: impl Fn(&str) -> Result<T, Expected>,
) -> impl Fn(&str) -> Result<Option<T>, Expected> {
    move |text| match text {
        NONE => Ok(None),
        text => read(text).map(Some).map_err(|error| {
            let words = error.to_string();
            Expected::new(format!("{words}, or none"))
        }),
    }
}

fn pattern(text: &str) -> Result<Pattern, Expected> {
    Pattern::new(text).ok_or_else(|| {
        Expected::new(format!(
            "a text of 1 to {SIP_RULE_TEXT_BYTES} bytes in which * stands for anything"
        ))
    })
}

fn wanted(text: &str) -> Result<Wanted, Expected> {
    match text {
        NONE => Ok(Wanted::Absent),
        text => {
            let like = pattern(text).map(Wanted::Like);
            like.map_err(|error| Expected::new(format!("none, or {error}")))
        }
    }
}

/// `403`, or `403 Not for you`.
fn reject(text: &str) -> Result<(u16, Option<String>), Expected> {
    let form =
        || Expected::new("a code from 400 to 699 and perhaps words, such as 403 Not for you");
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let code = number(code, 400, 699).map_err(|_| form())?;
    let reason = reason.trim();
    if reason.len() > SIP_RULE_TEXT_BYTES || reason.chars().any(char::is_control) {
        return Err(form());
    }
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    Ok((code as u16, reason))
}

fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

fn header_name(text: &str) -> Result<String, Expected> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Expected::new("the name of a header field, such as Subject"))
}

fn header_change(name: &str, to: HeaderTo) -> Result<Change, Expected> {
    let name = header_name(name)?;
    if !HeaderChange::may_change(&name) {
        return Err(Expected::new(format!(
            "another header field: {name} tells messages apart and is not changed"
        )));
    }
    Ok(Change::Header(HeaderChange { name, to }))
}

fn header_value(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    if text.len() > SIP_RULE_TEXT_BYTES || text.chars().any(char::is_control) {
        return Err(Expected::new(format!(
            "one line of at most {SIP_RULE_TEXT_BYTES} bytes"
        )));
    }
    Ok(text.to_owned())
}

fn uri_user(text: &str) -> Result<String, Expected> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%#".contains(&b);
    if !(1..=128).contains(&text.len()) || !text.bytes().all(legal) {
        return Err(Expected::new(
            "the user part of an address, 1 to 128 bytes, anything odd as %HH",
        ));
    }
    Ok(text.to_owned())
}

fn uri_host(text: &str) -> Result<String, Expected> {
    Ok(match text.parse()? {
        Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string(),
    })
}

fn param_name(text: &str) -> Result<String, Expected> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Expected::new("the name of a URI parameter, such as user"))
}

/// The value of a parameter; without text it has a name only.
fn param_value(text: &str) -> Result<Option<String>, Expected> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$%".contains(&b);
    if text.len() > SIP_RULE_TEXT_BYTES || !text.bytes().all(legal) {
        return Err(Expected::new(
            "a parameter's value, anything odd as %HH, or nothing for its name alone",
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
