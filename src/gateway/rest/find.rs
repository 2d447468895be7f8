//! `/call/find`, `/call/find_all` and `/call/terminate`.

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

use crate::gateway::call::Call;
use crate::gateway::config::rtmp_url;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Level;
use crate::gateway::rest::call_object::{CallObject, is_live};
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, call_id, read, take};
use crate::gateway::rest::{ANY_ORIGIN, JSON};
use crate::limits::HTTP_ANSWER_BYTES;

/// What a call must have to be found; what is absent any call has.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    call_id: Field<'a>,
    callee: Field<'a>,
    rtmp_url: Field<'a>,
    status: Field<'a>,
}

/// Whose end is asked for.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Terminate<'a> {
    #[serde(borrow)]
    call_id: Field<'a>,
}

/// Answers with the calls that match.
pub fn find(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let filter: Filter<'_> = read(&body)?;
    list(exchange, |call, object| filter.matches(call, object))
}

/// Answers with every call.
pub fn find_all(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    list(exchange, |_, _| true)
}

/// Ends a call.
pub fn terminate(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Terminate<'_> = read(&body)?;
    let call_id = call_id(&body.call_id)?;
    let (now, from) = (exchange.now, exchange.remote);
    if !exchange
        .gateway
        .terminate_call(now, &call_id, exchange.outlet)
    {
        return Err(Failure::not_found("no call has this callId"));
    }
    let line = format_args!("REST {from}: ends call {call_id}");
    exchange.outlet.note(Level::Info, line);
    super::done(exchange)
}

fn list(
    exchange: &mut Exchange<'_>,
    matches: impl Fn(&Call, &CallObject<'_>) -> bool,
) -> Result<(), Failure> {
    let mut body = Vec::new();
    for call in exchange.gateway.calls().filter(|call| is_live(call)) {
        let object = CallObject::of(call);
        if !matches(call, &object) {
            continue;
        }
        body.push(if body.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut body, &object)
            .map_err(|_| Failure::internal("a call cannot be shown"))?;
        if body.len() >= HTTP_ANSWER_BYTES {
            let words = "more calls than an answer holds; name some by a filter";
            return Err(Failure::internal(words));
        }
    }
    if body.is_empty() {
        return Err(Failure::not_found("no call matches"));
    }
    body.push(b']');
    super::respond(exchange, 200, &[JSON, ANY_ORIGIN], &body)
}

impl Filter<'_> {
    fn matches(&self, call: &Call, object: &CallObject<'_>) -> bool {
        let is = |field: &Field<'_>, value: &str| match field {
            Field::Absent => true,
            Field::Text(text) => text == value,
            Field::Number(number) => number.to_string() == value,
            Field::Bool(_) | Field::Other => false,
        };
        let url = match &self.rtmp_url {
            Field::Absent => true,
            // However it is written: with the usual port, with a slash at its end.
            Field::Text(text) => {
                let wanted = rtmp_url(text).ok();
                let target = call.target();
                wanted.is_some_and(|url| target.is_some_and(|it| it.tc_url() == url.tc_url()))
            }
            _ => false,
        };
        url && is(&self.call_id, object.call_id)
            && is(&self.callee, object.callee)
            && is(&self.status, &object.status)
    }
}
