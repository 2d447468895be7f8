//! `/stream/find`, `/stream/find_all` and `/stream/terminate`: the streams of calls.

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
use crate::gateway::outlet::{CallIndex, Level};
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, Texts, read, take};
use crate::gateway::rest::stream_object::{StreamObject, has_stream};
use crate::gateway::rest::stream_statistics::{Metrics, Statistics};
use crate::gateway::rest::{ANY_ORIGIN, JSON};
use crate::limits::HTTP_ANSWER_BYTES;

/// What a stream must have to be meant; what is absent any stream has.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    media_session_id: Field<'a>,
    media_session_ids: Texts,
    name: Field<'a>,
    published: Field<'a>,
    has_audio: Field<'a>,
    has_video: Field<'a>,
    status: Field<'a>,
    display: Texts,
}

/// Answers with the streams that match.
pub fn find(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let filter: Filter<'_> = read(&body)?;
    list(exchange, &filter)
}

/// Answers with every stream.
pub fn find_all(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    list(exchange, &Filter::default())
}

/// Ends the calls of the streams that match; without a filter, of every stream.
pub fn terminate(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let filter: Filter<'_> = read(&body)?;
    let (now, from) = (exchange.now, exchange.remote);
    let found = matching(exchange, &filter)?;
    if found.is_empty() {
        return Err(Failure::not_found("no stream matches"));
    }
    for index in found {
        if let Some(call) = exchange.gateway.calls.get(index) {
            let line = format_args!("REST {from}: ends stream of {}", call.label);
            exchange.outlet.note(Level::Info, line);
        }
        exchange.gateway.terminate_at(now, index, exchange.outlet);
    }
    super::done(exchange)
}

fn list(exchange: &mut Exchange<'_>, filter: &Filter<'_>) -> Result<(), Failure> {
    let found = matching(exchange, filter)?;
    let (gateway, now) = (&*exchange.gateway, exchange.now);
    let wants_metrics = filter.display.contains("metrics");
    let mut body = Vec::new();
    for index in found {
        let call = gateway.calls.get(index);
        let object = StreamObject::of(gateway, now, index);
        let (Some(call), Some(mut object)) = (call, object) else {
            continue;
        };
        object.metrics = wants_metrics.then(|| Metrics::of(gateway, now, index, call));
        object.statistics = Some(Statistics::of(gateway, now, index, call));
        body.push(if body.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut body, &object)
            .map_err(|_| Failure::internal("a stream cannot be shown"))?;
        if body.len() >= HTTP_ANSWER_BYTES {
            let words = "more streams than an answer holds; name some by a filter";
            return Err(Failure::internal(words));
        }
    }
    if body.is_empty() {
        return Err(Failure::not_found("no stream matches"));
    }
    body.push(b']');
    super::respond(exchange, 200, &[JSON, ANY_ORIGIN], &body)
}

/// The calls whose streams match.
fn matching(exchange: &Exchange<'_>, filter: &Filter<'_>) -> Result<Vec<CallIndex>, Failure> {
    let wanted = filter.checked()?;
    let gateway = &*exchange.gateway;
    let calls = gateway.calls.iter().filter(|(_, call)| has_stream(call));
    let mut found = Vec::new();
    for (index, _) in calls {
        let object = StreamObject::of(gateway, exchange.now, index);
        if object.is_some_and(|object| filter.matches(&object, &wanted)) {
            found.push(index);
        }
    }
    Ok(found)
}

/// The booleans of a filter; `None` where any will do.
struct Wanted {
    published: Option<bool>,
    has_audio: Option<bool>,
    has_video: Option<bool>,
}

impl Filter<'_> {
    fn checked(&self) -> Result<Wanted, Failure> {
        self.media_session_ids.check("mediaSessionIds")?;
        self.display.check("display")?;
        let wanted = |name, field: &Field<'_>| match field {
            Field::Absent => Ok(None),
            Field::Text(text) if text.is_empty() => Ok(None),
            field => field.boolean(name, true).map(Some),
        };
        Ok(Wanted {
            published: wanted("published", &self.published)?,
            has_audio: wanted("hasAudio", &self.has_audio)?,
            has_video: wanted("hasVideo", &self.has_video)?,
        })
    }

    fn matches(&self, object: &StreamObject<'_>, wanted: &Wanted) -> bool {
        let is = |field: &Field<'_>, value: &str| match field {
            Field::Absent => true,
            Field::Text(text) => text == value,
            Field::Number(number) => number.to_string() == value,
            Field::Bool(_) | Field::Other => false,
        };
        let same = |wanted: Option<bool>, value| wanted.is_none_or(|wanted| wanted == value);
        let ids = &self.media_session_ids;
        is(&self.media_session_id, object.media_session_id)
            && (ids.is_absent() || ids.contains(object.media_session_id))
            && is(&self.name, object.name)
            && is(&self.status, object.status)
            // What others play of a stream is no stream of its own.
            && same(wanted.published, true)
            && same(wanted.has_audio, object.has_audio)
            && same(wanted.has_video, object.has_video)
    }
}
