//! The REST interface: what clients ask of calls, and what they are told.
//!
//! Every method is a path below `/rest-api`; `/healthz` and `/metrics` are beside it, and
//! `openapi.json` describes all of them. Bodies are JSON in both directions; whoever asks for a
//! change gets an empty answer, and whoever finds nothing a 404. Browsers of any origin may ask:
//! where no password is set, so may every page that a browser on this host shows.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod call_object;
mod dtmf;
mod failure;
mod fields;
mod find;
mod inject;
mod metrics;
mod openapi;
mod push;
mod push_object;
mod recorder;
mod startup;
mod stream;
pub mod stream_object;
pub mod stream_statistics;

use embedded_svc::http::server::{Handler, Middleware, Request};
use embedded_svc::http::{Headers, Method, Query};
use embedded_svc::io::Write;

use crate::gateway::Gateway;
use crate::gateway::http::exchange::{Exchange, ExchangeError};
use crate::gateway::http::guard::Verdict;
use crate::gateway::injection::InjectionRefused;
use crate::gateway::outlet::{Level, Outlet};
use crate::wire::http::HttpFault;
use crate::wire::http_answer::Answer;

use failure::Failure;

/// What every path of the interface begins with.
const BASE: &str = "/rest-api";

/// Where health is asked for; nobody needs a password for it.
const HEALTH: &str = "/healthz";

/// Where Prometheus asks.
const METRICS: &str = "/metrics";

/// What the paths of the description begin with.
const OPENAPI: &str = "/rest-api/openapi";

/// What answers a request.
type Work = fn(&mut Exchange<'_>) -> Result<(), Failure>;

/// Every method of the interface, by its path below [`BASE`].
const METHODS: &[(&str, Work)] = &[
    ("/openapi.json", openapi::handle),
    ("/call/startup", startup::handle),
    ("/call/find", find::find),
    ("/call/find_all", find::find_all),
    ("/call/terminate", find::terminate),
    ("/call/send_dtmf", dtmf::send),
    ("/call/inject_stream", inject::stream),
    ("/call/inject_stream/startup", inject::stream),
    ("/call/inject_stream/terminate", inject::terminate),
    ("/call/inject_sound", inject::sound),
    ("/stream/find", stream::find),
    ("/stream/find_all", stream::find_all),
    ("/stream/terminate", stream::terminate),
    ("/push/startup", push::startup),
    ("/push/find", push::find),
    ("/push/find_all", push::find_all),
    ("/push/terminate", push::terminate),
    ("/push/mute", push::mute),
    ("/push/unmute", push::unmute),
    ("/push/sound_on", push::sound_on),
    ("/push/sound_off", push::sound_off),
    ("/recorder/startup", recorder::startup),
    ("/recorder/terminate", recorder::terminate),
    ("/recorder/find_all", recorder::find_all),
    ("/stream/startRecording", recorder::startup),
    ("/stream/stopRecording", recorder::terminate),
];

const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");
const TEXT: (&str, &str) = ("Content-Type", "text/plain;charset=UTF-8");

/// What every answer tells browsers.
const ANY_ORIGIN: (&str, &str) = ("Access-Control-Allow-Origin", "*");

/// What a browser is told that asks before it asks.
const PREFLIGHT: [(&str, &str); 4] = [
    ANY_ORIGIN,
    ("Access-Control-Allow-Methods", ALLOWED),
    (
        "Access-Control-Allow-Headers",
        "content-type,x-requested-with,authorization",
    ),
    ("Access-Control-Max-Age", "600"),
];

const ALLOWED: &str = "POST,GET,OPTIONS";

/// Answers one request, whatever it is.
pub(super) fn handle(exchange: &mut Exchange<'_>) {
    let handler = Guarded.compose(Routes);
    if let Err(error) = handler.handle(exchange) {
        let path = exchange.path().to_owned();
        let failure = Failure::internal(error.to_string());
        exchange.discard_answer();
        let _ = failure.answer(exchange, &path);
    }
}

/// Everything that `/metrics` tells.
pub(super) fn metrics_text(gateway: &Gateway, outlet: &mut dyn Outlet) -> String {
    metrics::page(gateway, &outlet.figures())
}

/// The answer to what was no request.
pub(super) fn refusal(fault: HttpFault, unix_millis: u64) -> Answer {
    Failure::new(fault.status(), fault.to_string()).alone("", unix_millis)
}

/// The answer to a request that waited for what becomes of a file.
pub(super) fn late(done: Result<(), InjectionRefused>, path: &str, unix_millis: u64) -> Answer {
    match done {
        Ok(()) => {
            let mut answer = Answer::new(200);
            // It is a line.
            let _ = answer.header(ANY_ORIGIN.0, ANY_ORIGIN.1);
            answer
        }
        Err(refused) => Failure::from(refused).alone(path, unix_millis),
    }
}

/// The answer in place of one that there is no room for.
pub(super) fn overload(unix_millis: u64) -> Answer {
    Failure::new(503, "too many answers wait to be read").alone("", unix_millis)
}

/// The answer where a defect left none.
pub(super) fn defect(unix_millis: u64) -> Answer {
    Failure::internal("a defect of this program").alone("", unix_millis)
}

/// Lets pass who knows the password.
struct Guarded;

impl<'a, H: Handler<Exchange<'a>, Error = ExchangeError>> Middleware<Exchange<'a>, H> for Guarded {
    type Error = ExchangeError;

    fn handle(&self, exchange: &mut Exchange<'a>, next: &H) -> Result<(), ExchangeError> {
        // A browser asks its first question without the password.
        if exchange.path() == HEALTH || exchange.method() == Method::Options {
            return next.handle(exchange);
        }
        let (now, from) = (exchange.now, exchange.remote);
        // The exchange lends its fields one by one only to this function, not through itself.
        let field = exchange.header("Authorization").map(str::to_owned);
        let gateway = &mut *exchange.gateway;
        let password = gateway.config.rest.password.as_ref();
        let http = &mut gateway.http;
        let verdict = http.guard.judge(now, from, field.as_deref(), password);
        let failure = match verdict {
            Verdict::Open => return next.handle(exchange),
            Verdict::Missing => Failure::unauthorized("a password is needed"),
            Verdict::Wrong { last } => {
                http.counters.logins_failed += 1;
                if last {
                    let line = format_args!("REST {from}: too many wrong passwords, it must wait");
                    exchange.outlet.note(Level::Warn, line);
                }
                Failure::unauthorized("the password is another")
            }
            Verdict::Locked(seconds) => {
                http.counters.logins_locked += 1;
                Failure::new(429, "too many wrong passwords")
                    .with_header("Retry-After", seconds.to_string())
            }
        };
        let path = exchange.path().to_owned();
        failure.answer(exchange, &path)
    }
}

/// Finds who answers.
struct Routes;

impl<'a> Handler<Exchange<'a>> for Routes {
    type Error = ExchangeError;

    fn handle(&self, exchange: &mut Exchange<'a>) -> Result<(), ExchangeError> {
        let path = exchange.path().to_owned();
        match route(exchange, &path) {
            Ok(()) => Ok(()),
            Err(failure) => {
                exchange.discard_answer();
                failure.answer(exchange, &path)
            }
        }
    }
}

fn route(exchange: &mut Exchange<'_>, path: &str) -> Result<(), Failure> {
    let method = exchange.method();
    if method == Method::Options {
        return respond(exchange, 200, &PREFLIGHT, &[]);
    }
    if path == HEALTH {
        if !matches!(method, Method::Get | Method::Head) {
            return Err(Failure::method("GET,HEAD,OPTIONS"));
        }
        return respond(exchange, 200, &[TEXT, ANY_ORIGIN], b"ok");
    }
    let Some(work) = work(path) else {
        if !exchange.knows_method() {
            return Err(Failure::new(501, "unknown method"));
        }
        return Err(Failure::not_found("there is no such method"));
    };
    let taken = methods(path);
    if !taken.split(',').any(|name| name == method_name(method)) {
        return Err(Failure::method(taken));
    }
    work(exchange)
}

/// The methods that a path takes. GET is taken where nothing is asked for but to be told: a picture on
/// a page asks by it.
fn methods(path: &str) -> &'static str {
    match path {
        METRICS => "GET,OPTIONS",
        _ if path.starts_with(OPENAPI) => "GET,OPTIONS",
        _ if path.ends_with("/find") || path.ends_with("/find_all") => ALLOWED,
        _ => "POST,OPTIONS",
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        _ => "",
    }
}

/// Who answers at a path.
fn work(path: &str) -> Option<Work> {
    if path == METRICS {
        return Some(metrics::handle);
    }
    let called = path.strip_prefix(BASE)?;
    // As older clients ask for it.
    if called.starts_with("/openapi_") {
        return Some(openapi::handle);
    }
    // What is known and not done is told so.
    if called.starts_with("/multipleRecorder/") {
        return Some(recorder::multiple);
    }
    let mut methods = METHODS.iter();
    let (_, work) = methods.find(|(path, _)| *path == called)?;
    Some(*work)
}

/// Every path that is answered.
pub fn paths() -> impl Iterator<Item = String> {
    let methods = METHODS.iter().map(|(path, _)| format!("{BASE}{path}"));
    [HEALTH, METRICS]
        .map(str::to_owned)
        .into_iter()
        .chain(methods)
}

/// An answer without a body: what was asked for is done.
fn done(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    respond(exchange, 200, &[ANY_ORIGIN], &[])
}

fn respond(
    exchange: &mut Exchange<'_>,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(), Failure> {
    let request = Request::wrap(exchange);
    let mut response = request.into_response(status, None, headers)?;
    Ok(response.write_all(body)?)
}
