//! The local page: how the owner of the box looks after it with a browser.
//!
//! A request is answered from the table of [`ROUTES`]. What takes long goes to a thread of the shell by
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
mod door;
mod hangup;
mod history;
mod live;
mod now;
mod reply;
mod session;
mod settings;

use embedded_svc::http::{Method, Query};

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::desk::DeskAnswer;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Outlet;
use crate::wire::http::HttpFault;
use crate::wire::http_answer::Answer;

pub use door::Door;
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
    ("/healthz", Method::Get, For::Anybody, door::health),
    ("/page/session", Method::Get, For::Anybody, door::session),
    ("/page/password", Method::Post, For::Anybody, door::first_password),
    ("/page/login", Method::Post, For::Anybody, door::login),
    ("/page/logout", Method::Post, For::Anybody, door::logout),
    ("/page/password/change", Method::Post, For::Owner, door::change_password),
    ("/page/restart", Method::Post, For::Owner, door::restart),
    ("/page/diagnostics", Method::Get, For::Owner, door::diagnostics),
    ("/page/now", Method::Get, For::Owner, now::handle),
    ("/page/hangup", Method::Post, For::Owner, hangup::handle),
    ("/page/live", Method::Get, For::Owner, live::handle),
    ("/page/settings", Method::Get, For::Owner, settings::read),
    ("/page/settings/check", Method::Post, For::Owner, settings::check),
    ("/page/settings/save", Method::Post, For::Owner, settings::save),
    ("/page/backup", Method::Post, For::Owner, settings::backup),
    ("/page/restore", Method::Post, For::Owner, settings::restore),
    ("/page/try/pbx", Method::Post, For::Owner, settings::try_pbx),
    ("/page/try/rtmp", Method::Post, For::Owner, settings::try_rtmp),
];

/// Answers one request, whatever it is.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let method = exchange.method();
    let path = exchange.path();
    if let Some(asset) = assets::find(path) {
        return Reply::new(200, asset.kind, asset.bytes.to_vec()).into();
    }
    let Some((_, wanted, _, work)) = ROUTES.iter().find(|(known, ..)| *known == path) else {
        return Reply::problem(404, "notFound").into();
    };
    if method != *wanted {
        return Reply::problem(405, "method").into();
    }
    work(exchange)
}

/// The work that an answer waited for is done: the answer, or what it waits for next.
pub(super) fn late(
    gateway: &mut Gateway,
    now: Instant,
    late: Late,
    done: DeskAnswer,
    outlet: &mut dyn Outlet,
) -> Outcome {
    let _ = (gateway, now, outlet);
    match (late, done) {
        (
            Late::Document,
            DeskAnswer::Document {
                status, kind, body, ..
            },
        ) => Reply::new(status, kind, body).into(),
        (_, DeskAnswer::Failed(words)) => Reply::problem(500, "failed").detail(&words).into(),
        _ => Reply::problem(500, "failed").into(),
    }
}

/// The answer to what was no request.
pub(super) fn refusal(fault: HttpFault) -> Answer {
    Reply::problem(fault.status(), "request")
        .detail(&fault.to_string())
        .into_answer()
}

/// The answer while too much work waits already.
pub(super) fn busy() -> Answer {
    Reply::problem(503, "busy").into_answer()
}

/// The answer where a defect left none.
pub(super) fn defect() -> Answer {
    Reply::problem(500, "defect").into_answer()
}
