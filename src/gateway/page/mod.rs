//! The local page: how the owner of the box looks after it with a browser.
//!
//! A request is answered from the table of `ROUTES`. What takes long goes to a thread of the shell by
//! way of [`desk`](super::desk), and the answer is made when that is done.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod assets;
mod diagnostics;
mod door;
mod hangup;
pub mod history;
mod live;
mod live_cut;
mod live_watch;
mod login;
pub mod now;
pub mod problem;
mod reply;
mod restart;
mod session;
mod settings;
pub mod trend;

use embedded_svc::http::{Headers, Method, Query};

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::desk::DeskAnswer;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Outlet;
use crate::wire::http::HttpFault;
use crate::wire::http_answer::Answer;

pub use door::{Door, PageCounters};
pub use live_watch::LiveWatch;
pub use restart::Restart;

pub use reply::{Late, Outcome, Reply};

/// What answers a request.
type Work = fn(&mut Exchange<'_>) -> Outcome;

/// Whom a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Everybody who reaches the page.
    Anybody,
    /// Who has signed in.
    Owner,
}

/// Everything that is answered beside the files of [`assets`].
#[rustfmt::skip]
const ROUTES: &[(&str, Method, For, Work)] = &[
    ("/healthz", Method::Get, For::Anybody, health),
    ("/page/session", Method::Get, For::Anybody, login::session),
    ("/page/password", Method::Post, For::Anybody, login::first_password),
    ("/page/login", Method::Post, For::Anybody, login::login),
    ("/page/logout", Method::Post, For::Anybody, login::logout),
    ("/page/password/change", Method::Post, For::Owner, login::change_password),
    ("/page/restart", Method::Post, For::Owner, restart::handle),
    ("/page/diagnostics", Method::Get, For::Owner, diagnostics::handle),
    ("/page/now", Method::Get, For::Owner, now::handle),
    ("/page/hangup", Method::Post, For::Owner, hangup::handle),
    ("/page/live", Method::Get, For::Owner, live::handle),
    ("/page/settings", Method::Get, For::Owner, settings::read),
    ("/page/settings/check", Method::Post, For::Owner, settings::check),
    ("/page/settings/save", Method::Post, For::Owner, settings::save),
    ("/page/backup", Method::Post, For::Owner, login::backup),
    ("/page/restore", Method::Post, For::Owner, settings::restore),
    ("/page/try/pbx", Method::Post, For::Owner, settings::try_pbx),
    ("/page/try/rtmp", Method::Post, For::Owner, settings::try_rtmp),
];

/// Answers one request, whatever it is.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let path = exchange.path().to_owned();
    let method = match exchange.method() {
        // Whoever prints the answer leaves the body out.
        Method::Head => Method::Get,
        method => method,
    };
    if let Some(asset) = assets::find(&path) {
        return match method {
            Method::Get => assets::answer(asset, exchange.header("If-None-Match")).into(),
            _ => wrong_method(Method::Get).into(),
        };
    }
    let route = ROUTES.iter().find(|(known, ..)| *known == path);
    let Some((_, wanted, whom, work)) = route else {
        return Reply::problem(404, "notFound").into();
    };
    if method != *wanted {
        return wrong_method(*wanted).into();
    }
    if door::is_cross_site(exchange, method == Method::Post) {
        exchange.gateway.http.door.counters.cross_site += 1;
        return Reply::problem(403, "crossSite").into();
    }
    if *whom == For::Owner && !door::is_owner(exchange) {
        return Reply::problem(401, "signedOut").into();
    }
    work(exchange)
}

fn wrong_method(wanted: Method) -> Reply {
    let allowed = match wanted {
        Method::Get => "GET, HEAD",
        _ => "POST",
    };
    Reply::problem(405, "method").header("Allow", allowed)
}

/// Answers `GET /healthz`.
fn health(_: &mut Exchange<'_>) -> Outcome {
    Reply::new(200, "text/plain;charset=UTF-8", b"ok".to_vec()).into()
}

/// The work that an answer waited for is done: the answer, or what it waits for next.
pub(super) fn late(
    gateway: &mut Gateway,
    now: Instant,
    late: Late,
    done: DeskAnswer,
    outlet: &mut dyn Outlet,
) -> Outcome {
    if matches!(late, Late::Registered) {
        gateway.renew_registrations(now);
    }
    match (late, done) {
        (Late::Step(step), done) => login::go_on(gateway, now, step, done, outlet),
        (Late::Diagnostics, done) => diagnostics::late(gateway, now, done, outlet).into(),
        (
            Late::File(name),
            DeskAnswer::Document {
                status: 200,
                kind,
                body,
                ..
            },
        ) => {
            let place = format!("attachment; filename=\"{name}\"");
            let reply = Reply::new(200, kind, body);
            reply.header("Content-Disposition", place).into()
        }
        (
            _,
            DeskAnswer::Document {
                status, kind, body, ..
            },
        ) => Reply::new(status, kind, body).into(),
        (_, DeskAnswer::Failed(words)) => Reply::problem(500, "failed").detail(&words).into(),
        _ => Reply::problem(500, "defect").into(),
    }
}

/// The work that an answer waited for will not be done, or too late.
pub(super) fn give_up(gateway: &mut Gateway, late: Late) {
    if let Late::Step(step) = late {
        login::give_up(gateway, &step);
    }
}

/// The answer to what was no request.
pub(super) fn refusal(fault: HttpFault, secure: bool) -> Answer {
    let code = match fault {
        HttpFault::BodyTooLarge => "tooLarge",
        _ => "badRequest",
    };
    let reply = Reply::problem(fault.status(), code).detail(&fault.to_string());
    reply.into_answer(secure)
}

/// The answer while too much waits already.
pub(super) fn busy(secure: bool) -> Answer {
    let reply = Reply::problem(503, "busy").header("Retry-After", "1");
    reply.into_answer(secure)
}

/// The answer in place of one that did not come in time.
pub(super) fn too_slow(secure: bool) -> Answer {
    Reply::problem(504, "tooSlow").into_answer(secure)
}

/// The answer where a defect left none.
pub(super) fn defect(secure: bool) -> Answer {
    Reply::problem(500, "defect").into_answer(secure)
}
