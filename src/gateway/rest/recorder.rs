//! `/recorder/startup`, `/recorder/terminate` and `/recorder/find_all`, and the older names of the
//! first two, `/stream/startRecording` and `/stream/stopRecording`.
//!
//! A session is named by its `mediaSessionId`, for which the `callId` stands too. Several streams in
//! one file, `/multipleRecorder/*`, are not made.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gateway::config::Expected;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Level;
use crate::gateway::recording::{RecordingRefused, RecordingRequest};
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, Nested, read, take, wrong};
use crate::gateway::rest::{ANY_ORIGIN, JSON};
use crate::limits::{HTTP_BODY_BYTES, RECORDING_NAME_BYTES, RECORDING_TEMPLATE_BYTES};

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    media_session_id: Field<'a>,
    call_id: Field<'a>,
    config: Nested<Config<'a>>,
    file_name: Field<'a>,
    force: Field<'a>,
}

/// How files are named and how long they get.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config<'a> {
    #[serde(borrow)]
    file_template: Field<'a>,
    rotation: Field<'a>,
}

/// A recording, as a client sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordingObject<'a> {
    file_name: &'a str,
    media_session_id: &'a str,
}

/// Begins a recording.
pub fn startup(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Body<'_> = read(&body)?;
    let session = session(&body)?;
    let request = request(body)?;
    let (now, from) = (exchange.now, exchange.remote);
    let started = exchange
        .gateway
        .start_recording(now, &session, request, exchange.outlet);
    started.map_err(|refused| {
        if refused != RecordingRefused::NoSession {
            let line = format_args!("REST {from}: recording of {session} refused: {refused}");
            exchange.outlet.note(Level::Warn, line);
        }
        Failure::from(refused)
    })?;
    super::done(exchange)
}

/// Ends a recording.
pub fn terminate(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Body<'_> = read(&body)?;
    let session = session(&body)?;
    let now = exchange.now;
    if !exchange
        .gateway
        .stop_recording(now, &session, exchange.outlet)
    {
        let words = "no stream of this mediaSessionId is recorded";
        return Err(Failure::not_found(words));
    }
    super::done(exchange)
}

/// Answers with every recording.
pub fn find_all(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let mut body = Vec::new();
    for (file_name, media_session_id) in exchange.gateway.recordings() {
        let object = RecordingObject {
            file_name: &file_name,
            media_session_id,
        };
        body.push(if body.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut body, &object)
            .map_err(|_| Failure::internal("a recording cannot be shown"))?;
    }
    if body.is_empty() {
        return Err(Failure::not_found("nothing is recorded"));
    }
    body.push(b']');
    super::respond(exchange, 200, &[JSON, ANY_ORIGIN], &body)
}

/// Answers whoever wants several streams in one file.
pub fn multiple(_: &mut Exchange<'_>) -> Result<(), Failure> {
    Err(Failure::new(
        501,
        "several streams are not recorded into one file: /recorder/startup records each into its own",
    ))
}

fn session(body: &Body<'_>) -> Result<String, Failure> {
    let name = "mediaSessionId";
    let field = match (&body.media_session_id, &body.call_id) {
        (Field::Absent, Field::Absent) => {
            return Err(wrong(name, "text; the field is missing"));
        }
        (Field::Absent, call_id) => call_id,
        (session, _) => session,
    };
    match field {
        // The name of a call that came in is its caller's choice: whatever it is.
        Field::Text(text) => Ok(text.clone().into_owned()),
        other => other.required(name, HTTP_BODY_BYTES),
    }
}

fn request(body: Body<'_>) -> Result<RecordingRequest, Failure> {
    let config = body.config.object("config")?;
    Ok(RecordingRequest {
        template: parsed("config.fileTemplate", &config.file_template)?,
        rotation: parsed("config.rotation", &config.rotation)?,
        file_name: body.file_name.text("fileName", RECORDING_NAME_BYTES)?,
        force: body.force.boolean("force", false)?,
    })
}

fn parsed<T: FromStr<Err = Expected>>(
    name: &'static str,
    field: &Field<'_>,
) -> Result<Option<T>, Failure> {
    let text = field.text(name, RECORDING_TEMPLATE_BYTES)?;
    let read = text.map(|text| text.parse().map_err(|expected| wrong(name, expected)));
    read.transpose()
}

impl From<RecordingRefused> for Failure {
    fn from(refused: RecordingRefused) -> Self {
        let status = match refused {
            RecordingRefused::NoSession => 404,
            RecordingRefused::NoFolder | RecordingRefused::Full => 500,
        };
        Self::new(status, refused.to_string())
    }
}
