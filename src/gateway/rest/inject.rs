//! `/call/inject_stream/startup` and `terminate`, `/call/inject_stream` as clients of old know it, and
//! `/call/inject_sound`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde::Deserialize;

use crate::gateway::http::exchange::Exchange;
use crate::gateway::injection::InjectionRefused;
use crate::gateway::outlet::Level;
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, call_id, read, take};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Inject<'a> {
    #[serde(borrow)]
    call_id: Field<'a>,
    stream_name: Field<'a>,
    file_name: Field<'a>,
}

/// Sends a stream into a call.
pub fn stream(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Inject<'_> = read(&body)?;
    let call_id = call_id(&body.call_id)?;
    let stream = body.stream_name.name("streamName")?;
    let (now, from) = (exchange.now, exchange.remote);
    let (gateway, outlet) = (&mut *exchange.gateway, &mut *exchange.outlet);
    match gateway.inject_stream(now, &call_id, &stream, outlet) {
        // A name of no stream may be that of a file.
        Err(InjectionRefused::NoSuchStream) => {
            let id = gateway.inject_file(now, &call_id, &stream, outlet)?;
            exchange.defer(id);
            return Ok(());
        }
        done => done?,
    }
    let line = format_args!("REST {from}: injects a stream into call {call_id}");
    outlet.note(Level::Info, line);
    super::done(exchange)
}

/// Sends a file into a call; the answer comes when it is known that the call can hear it.
pub fn sound(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Inject<'_> = read(&body)?;
    let call_id = call_id(&body.call_id)?;
    let name = body.file_name.name("fileName")?;
    let now = exchange.now;
    let (gateway, outlet) = (&mut *exchange.gateway, &mut *exchange.outlet);
    let id = gateway.inject_file(now, &call_id, &name, outlet)?;
    exchange.defer(id);
    Ok(())
}

/// Ends what is sent into a call.
pub fn terminate(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Inject<'_> = read(&body)?;
    let call_id = call_id(&body.call_id)?;
    let now = exchange.now;
    let (gateway, outlet) = (&mut *exchange.gateway, &mut *exchange.outlet);
    gateway.stop_injection(now, &call_id, outlet)?;
    super::done(exchange)
}

impl From<InjectionRefused> for Failure {
    fn from(refused: InjectionRefused) -> Self {
        let status = match refused {
            InjectionRefused::NoSuchCall
            | InjectionRefused::NoSuchStream
            | InjectionRefused::NoSuchFile
            | InjectionRefused::NoFolder
            | InjectionRefused::Nothing => 404,
            InjectionRefused::Unreadable => 500,
            InjectionRefused::TooManyFiles => 429,
            InjectionRefused::BadFile(_) => 415,
            InjectionRefused::NotEstablished
            | InjectionRefused::Itself
            | InjectionRefused::Misfit(_)
            | InjectionRefused::Full => 409,
        };
        Self::new(status, refused.to_string())
    }
}
