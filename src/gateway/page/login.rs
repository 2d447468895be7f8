//! Passwords: the first one, signing in and out, another one.
//!
//! Hashes are computed at the desk; what is done with the result is a [`Step`].

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

use embedded_svc::http::Headers;
use serde_json::{Value, json};

use crate::base::redact::Secret;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Config;
use crate::gateway::desk::{DeskAnswer, DeskWork};
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::{Level, Outlet};
use crate::gateway::page::door;
use crate::gateway::page::{Late, Outcome, Reply};

/// Characters that a password has at least and at most.
const LENGTHS: core::ops::RangeInclusive<usize> = 8..=128;

/// What is done with the result of a piece of work.
#[derive(Debug)]
pub struct Step {
    next: Next,
    from: IpAddr,
    secure: bool,
}

#[derive(Debug)]
enum Next {
    /// The first password is hashed: into the settings file with it.
    SetFirst,
    /// The first password is in the settings file, or not.
    FirstIsSet(Secret<String>),
    /// A password was compared: its sender comes in.
    Enter,
    /// The old password was compared: the new one is hashed.
    HashNew(Secret<String>),
    /// The new password is hashed: into the settings file with it.
    SetNew,
    /// The new password is in the settings file, or not.
    NewIsSet(Secret<String>),
    /// The password was compared once more: the settings go out as a file.
    BackUp,
}

impl Next {
    /// Whether a password is being compared.
    const fn is_try(&self) -> bool {
        matches!(self, Self::Enter | Self::HashNew(_) | Self::BackUp)
    }

    /// Whether the first password is on its way.
    const fn is_first(&self) -> bool {
        matches!(self, Self::SetFirst | Self::FirstIsSet(_))
    }
}

impl Step {
    fn of(exchange: &Exchange<'_>, next: Next) -> Late {
        Late::Step(Self {
            next,
            from: exchange.remote,
            secure: exchange.face.is_secure(),
        })
    }
}

/// Answers `GET /page/session`.
pub(super) fn session(exchange: &mut Exchange<'_>) -> Outcome {
    let is_owner = door::is_owner(exchange);
    let gateway = &*exchange.gateway;
    let state = match &gateway.config.page.password_hash {
        None => "new",
        Some(_) if is_owner => "signedIn",
        Some(_) => "signedOut",
    };
    let host = exchange.header("Host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        if is_port { name } else { host }
    });
    let reply = json!({
        "state": state,
        "version": env!("CARGO_PKG_VERSION"),
        "host": host,
        "guide": gateway.config.trunks == Config::default().trunks,
    });
    Reply::json(200, &reply).into()
}

/// Answers `POST /page/password`: the first one.
pub(super) fn first_password(exchange: &mut Exchange<'_>) -> Outcome {
    let host = exchange.header("Host").unwrap_or_default();
    if !door::is_local_name(host) {
        exchange.gateway.http.door.counters.strange_hosts += 1;
        return Reply::problem(403, "hostNotLocal").into();
    }
    let body = exchange.take_body();
    let gateway = &mut *exchange.gateway;
    if gateway.config.page.password_hash.is_some() || gateway.http.door.setting {
        return Reply::problem(409, "passwordIsSet").into();
    }
    let password = match field(&body, "password").map(checked) {
        Some(Ok(password)) => password,
        Some(Err(reply)) => return reply.into(),
        None => return Reply::problem(400, "badRequest").into(),
    };
    gateway.http.door.setting = true;
    let late = Step::of(exchange, Next::SetFirst);
    Outcome::Later(DeskWork::Hash { password }, late)
}

/// Answers `POST /page/login`.
pub(super) fn login(exchange: &mut Exchange<'_>) -> Outcome {
    let body = exchange.take_body();
    try_password(exchange, field(&body, "password"), |()| Next::Enter)
}

/// Answers `POST /page/logout`.
pub(super) fn logout(exchange: &mut Exchange<'_>) -> Outcome {
    door::sign_out(exchange);
    let cookie = door::no_cookie(exchange.face.is_secure());
    Reply::done(200).header("Set-Cookie", cookie).into()
}

/// Answers `POST /page/password/change`.
pub(super) fn change_password(exchange: &mut Exchange<'_>) -> Outcome {
    let body = exchange.take_body();
    let new = match field(&body, "new").map(checked) {
        Some(Ok(new)) => new,
        Some(Err(reply)) => return reply.into(),
        None => return Reply::problem(400, "badRequest").into(),
    };
    try_password(exchange, field(&body, "old"), |()| Next::HashNew(new))
}

/// Answers `POST /page/backup`.
pub(super) fn backup(exchange: &mut Exchange<'_>) -> Outcome {
    let body = exchange.take_body();
    try_password(exchange, field(&body, "password"), |()| Next::BackUp)
}

/// Has a password compared with the one that is set.
fn try_password(
    exchange: &mut Exchange<'_>,
    password: Option<Secret<String>>,
    next: impl FnOnce(()) -> Next,
) -> Outcome {
    let Some(password) = password else {
        return Reply::problem(400, "badRequest").into();
    };
    let (now, from) = (exchange.now, exchange.remote);
    let gateway = &mut *exchange.gateway;
    let Some(hash) = gateway.config.page.password_hash.clone() else {
        return Reply::problem(409, "noPassword").into();
    };
    if let Err(reply) = gateway.http.door.try_password(now, from) {
        return reply.into();
    }
    let late = Step::of(exchange, next(()));
    Outcome::Later(DeskWork::Verify { password, hash }, late)
}

/// Goes on with what came of a piece of work.
pub(super) fn go_on(
    gateway: &mut Gateway,
    now: Instant,
    step: Step,
    done: DeskAnswer,
    outlet: &mut dyn Outlet,
) -> Outcome {
    let Step { next, from, secure } = step;
    let later = |work, next| Outcome::Later(work, Late::Step(Step { next, from, secure }));
    match (next, done) {
        (Next::SetFirst, DeskAnswer::Hashed(hash)) => {
            let work = DeskWork::SetPasswordHash { hash: hash.clone() };
            later(work, Next::FirstIsSet(hash))
        }
        (Next::FirstIsSet(hash), DeskAnswer::Document { status: 200, .. }) => {
            gateway.http.door.setting = false;
            outlet.note(
                Level::Info,
                format_args!("page {from}: the password is set"),
            );
            password_set(gateway, now, hash, secure)
        }
        (Next::SetNew, DeskAnswer::Hashed(hash)) => {
            let work = DeskWork::SetPasswordHash { hash: hash.clone() };
            later(work, Next::NewIsSet(hash))
        }
        (Next::NewIsSet(hash), DeskAnswer::Document { status: 200, .. }) => {
            outlet.note(
                Level::Info,
                format_args!("page {from}: the password is another now"),
            );
            password_set(gateway, now, hash, secure)
        }
        (next, DeskAnswer::Verified(right)) if next.is_try() => {
            let door = &mut gateway.http.door;
            if door.tried(now, from, right) {
                let line = format_args!("page {from}: too many wrong passwords, it must wait");
                outlet.note(Level::Warn, line);
            }
            match next {
                _ if !right => Reply::problem(401, "wrongPassword").into(),
                Next::HashNew(password) => later(DeskWork::Hash { password }, Next::SetNew),
                Next::BackUp => Outcome::Later(DeskWork::Backup, Late::File("trunkcast.yml")),
                _ => {
                    outlet.note(Level::Info, format_args!("page {from}: signed in"));
                    welcome(gateway, now, secure)
                }
            }
        }
        (next, done) => {
            undo(gateway, &next, from);
            match done {
                DeskAnswer::Document {
                    status, kind, body, ..
                } => Reply::new(status, kind, body).into(),
                DeskAnswer::Failed(words) => {
                    Reply::problem(500, "notWritable").detail(&words).into()
                }
                _ => Reply::problem(500, "defect").into(),
            }
        }
    }
}

/// What was begun comes to nothing.
pub(super) fn give_up(gateway: &mut Gateway, step: &Step) {
    undo(gateway, &step.next, step.from);
}

fn undo(gateway: &mut Gateway, next: &Next, from: IpAddr) {
    if next.is_first() {
        gateway.http.door.setting = false;
    }
    if next.is_try() {
        gateway.http.door.untried(from);
    }
}

/// A password was written: nobody else stays signed in.
fn password_set(
    gateway: &mut Gateway,
    now: Instant,
    hash: Secret<String>,
    secure: bool,
) -> Outcome {
    gateway.config.page.password_hash = Some(hash);
    gateway.http.door.sessions.end_all();
    gateway.http.door.counters.passwords_set += 1;
    welcome(gateway, now, secure)
}

fn welcome(gateway: &mut Gateway, now: Instant, secure: bool) -> Outcome {
    let door = &mut gateway.http.door;
    door.counters.logins += 1;
    let cookie = door.sign_in(now, secure);
    Reply::done(200)
        .header("Set-Cookie", cookie.expose().as_str())
        .into()
}

/// A text of a body of JSON.
fn field(body: &[u8], name: &str) -> Option<Secret<String>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => match fields.remove(name) {
            Some(Value::String(text)) => Some(Secret::new(text)),
            _ => None,
        },
        _ => None,
    }
}

/// A new password, if it is neither too short nor too long.
fn checked(password: Secret<String>) -> Result<Secret<String>, Reply> {
    // Counted no further than it may have.
    let length = password.expose().chars().take(LENGTHS.end() + 1).count();
    match length {
        _ if length < *LENGTHS.start() => Err(Reply::problem(422, "passwordTooShort")),
        _ if length > *LENGTHS.end() => Err(Reply::problem(422, "passwordTooLong")),
        _ => Ok(password),
    }
}
