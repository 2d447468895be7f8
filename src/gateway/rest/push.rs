//! `/push/*`: streams published to further RTMP servers, and what is heard of them there.

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

use crate::base::redact::Secret;
use crate::gateway::config::rtmp_url;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outgoing::RTMP_PREFIX;
use crate::gateway::outlet::Level;
use crate::gateway::pushes::{Push, PushIndex, PushRefused, PushRequest, PushTarget, PushVoice};
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, Nested, read, take, wrong};
use crate::gateway::rest::push_object::PushObject;
use crate::gateway::rest::{ANY_ORIGIN, JSON};
use crate::limits::{HTTP_ANSWER_BYTES, REST_NAME_BYTES, RTMP_URL_BYTES};

/// Bytes of an RTMP address with user and password, each byte of which may be escaped by three.
const URL_BYTES: usize = 3 * RTMP_URL_BYTES;

/// The body of `/push/startup`, field by field.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Startup<'a> {
    #[serde(borrow)]
    stream_name: Field<'a>,
    rtmp_url: Field<'a>,
    options: Nested<Options<'a>>,
    rtmp_transponder_full_url: Field<'a>,
}

/// What is to be heard from the start.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options<'a> {
    #[serde(borrow)]
    action: Field<'a>,
    sound_file: Field<'a>,
    r#loop: Field<'a>,
}

/// What a push must have to be found; what is absent any push has.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    media_session_id: Field<'a>,
    stream_name: Field<'a>,
    rtmp_url: Field<'a>,
}

/// Which push is meant, and what sound.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named<'a> {
    #[serde(borrow)]
    media_session_id: Field<'a>,
    sound_file: Field<'a>,
    r#loop: Field<'a>,
}

/// The name of a stream at a server that it is pushed to.
pub fn server_name(stream: &str) -> String {
    match stream.starts_with(RTMP_PREFIX) {
        true => stream.to_owned(),
        false => format!("{RTMP_PREFIX}{stream}"),
    }
}

/// Answers `/push/startup`.
pub fn startup(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Startup<'_> = read(&body)?;
    let stream = body.stream_name.name("streamName")?;
    let target = target(&body, &stream)?;
    let options = body.options.object("options")?;
    let action = options.action.text("options.action", REST_NAME_BYTES)?;
    let (muted, plays) = match action.as_deref() {
        None => (false, None),
        Some("mute") => (true, None),
        Some("sound_on") => {
            let file = ("options.soundFile", &options.sound_file);
            let sound = sound(file, ("options.loop", &options.r#loop))?;
            (false, Some(sound))
        }
        Some(_) => return Err(wrong("options.action", "mute or sound_on")),
    };
    let voice = PushVoice { muted, sound: None };
    let request = PushRequest {
        stream,
        target,
        voice,
    };
    let (now, from) = (exchange.now, exchange.remote);
    let shown = request.target.to_string();
    match exchange.gateway.start_push(now, request, exchange.outlet) {
        Ok(at) => {
            if let Some((name, repeats)) = plays {
                let (gateway, outlet) = (&mut *exchange.gateway, &mut *exchange.outlet);
                // It is heard as soon as it is read; what becomes of it then is in the journal.
                if let Err(refused) = gateway.load_push_sound(now, at, (&name, repeats), outlet) {
                    gateway.end_push(now, at);
                    return Err(refused.into());
                }
            }
            let push = exchange.gateway.pushes.get(at);
            let object = push.map(|push| PushObject::of(exchange.gateway, push, true));
            let body = object.and_then(|object| serde_json::to_vec(&object).ok());
            let body = body.ok_or_else(|| Failure::internal("the push ended at once"))?;
            super::respond(exchange, 200, &[JSON, ANY_ORIGIN], &body)
        }
        Err(refused) => {
            let line = format_args!("REST {from}: push to {shown} refused: {refused}");
            exchange.outlet.note(Level::Warn, line);
            Err(refused.into())
        }
    }
}

/// Answers `/push/find` with the pushes that match.
pub fn find(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let filter: Filter<'_> = read(&body)?;
    list(exchange, &filter)
}

/// Answers `/push/find_all` with every push.
pub fn find_all(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    list(exchange, &Filter::default())
}

/// Ends a push.
pub fn terminate(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    with_push(exchange, |exchange, at, _| {
        let (now, from) = (exchange.now, exchange.remote);
        if let Some(push) = exchange.gateway.pushes.get(at) {
            let line = format_args!("REST {from}: ends push to {}", push.target);
            exchange.outlet.note(Level::Info, line);
        }
        exchange.gateway.end_push(now, at);
        Ok(())
    })
}

/// The caller is not heard of a push any more.
pub fn mute(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    with_push(exchange, |exchange, at, _| {
        change(exchange, at, |voice| voice.muted = true);
        Ok(())
    })
}

/// The caller is heard again.
pub fn unmute(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    with_push(exchange, |exchange, at, _| {
        change(exchange, at, |voice| voice.muted = false);
        Ok(())
    })
}

/// A sound is heard in place of the caller.
pub fn sound_on(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    with_push(exchange, |exchange, at, body| {
        let file = ("soundFile", &body.sound_file);
        let (name, repeats) = sound(file, ("loop", &body.r#loop))?;
        let (now, gateway) = (exchange.now, &mut *exchange.gateway);
        // Another one takes its place at once.
        let id = gateway.load_push_sound(now, at, (&name, repeats), exchange.outlet)?;
        exchange.defer(id);
        Ok(())
    })
}

/// The sound ends.
pub fn sound_off(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    with_push(exchange, |exchange, at, _| {
        change(exchange, at, |voice| voice.sound = None);
        Ok(())
    })
}

/// Runs work on the push that a body names.
fn with_push(
    exchange: &mut Exchange<'_>,
    work: impl FnOnce(&mut Exchange<'_>, PushIndex, &Named<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let body = take(exchange);
    let body: Named<'_> = read(&body)?;
    let id = body.media_session_id.name("mediaSessionId")?;
    let at = exchange.gateway.pushes.find(&id);
    let at = at.ok_or_else(|| Failure::not_found("no push has this mediaSessionId"))?;
    work(exchange, at, &body)?;
    match exchange.deferred() {
        Some(_) => Ok(()),
        None => super::done(exchange),
    }
}

fn change(exchange: &mut Exchange<'_>, at: PushIndex, change: impl FnOnce(&mut PushVoice)) {
    let push = exchange.gateway.pushes.get(at);
    if let Some(mut voice) = push.map(|push| push.voice.clone()) {
        change(&mut voice);
        exchange.gateway.set_push_voice(at, voice);
    }
}

/// The name of a sound in a body, and whether it begins anew at its end.
fn sound(
    (name, file): (&'static str, &Field<'_>),
    (loop_name, repeats): (&'static str, &Field<'_>),
) -> Result<(String, bool), Failure> {
    let file = file.name(name)?;
    Ok((file, repeats.boolean(loop_name, false)?))
}

fn list(exchange: &mut Exchange<'_>, filter: &Filter<'_>) -> Result<(), Failure> {
    let mut body = Vec::new();
    let gateway = &*exchange.gateway;
    for (_, push) in gateway.pushes.live() {
        if !filter.matches(push) {
            continue;
        }
        let object = PushObject::of(gateway, push, filter.knows_url(push));
        body.push(if body.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut body, &object)
            .map_err(|_| Failure::internal("a push cannot be shown"))?;
        if body.len() >= HTTP_ANSWER_BYTES {
            let words = "more pushes than an answer holds; name some by a filter";
            return Err(Failure::internal(words));
        }
    }
    if body.is_empty() {
        return Err(Failure::not_found("no push matches"));
    }
    body.push(b']');
    super::respond(exchange, 200, &[JSON, ANY_ORIGIN], &body)
}

impl Filter<'_> {
    fn matches(&self, push: &Push) -> bool {
        let is = |field: &Field<'_>, matches: &dyn Fn(&str) -> bool| match field {
            Field::Absent => true,
            Field::Text(text) => matches(text),
            Field::Number(number) => matches(&number.to_string()),
            Field::Bool(_) | Field::Other => false,
        };
        is(&self.media_session_id, &|text| text == push.id)
            // With and without the prefix.
            && is(&self.stream_name, &|text| {
                text == push.stream || text == server_name(&push.stream)
            })
            && is(&self.rtmp_url, &|text| push.target.is_given_as(text))
    }

    /// Whether the client has named the whole address of a push.
    fn knows_url(&self, push: &Push) -> bool {
        matches!(&self.rtmp_url, Field::Text(text) if text == push.target.given.expose())
    }
}

/// Where a push is to go.
fn target(body: &Startup<'_>, stream: &str) -> Result<PushTarget, Failure> {
    let given = body.rtmp_url.required("rtmpUrl", URL_BYTES)?;
    let name = "rtmpTransponderFullUrl";
    let is_whole = body.rtmp_transponder_full_url.boolean(name, false)?;
    let (address, name) = match is_whole {
        true => {
            let words = "an address with application and stream name, as in rtmp://host/live/name";
            let (address, name) = parts(&given).ok_or_else(|| wrong("rtmpUrl", words))?;
            (address, name.to_owned())
        }
        false => (&*given, server_name(stream)),
    };
    Ok(PushTarget {
        url: rtmp_url(address).map_err(|expected| wrong("rtmpUrl", expected))?,
        name: Secret::new(name),
        is_whole,
        given: Secret::new(given),
    })
}

/// A whole address as those of application and stream. The query is the stream's, unless the stream's
/// name follows it.
fn parts(address: &str) -> Option<(&str, &str)> {
    let from = address.find("://")?.checked_add(3)?;
    let rest = address.get(from..)?;
    let path_end = rest.find('?').unwrap_or(rest.len());
    let path = rest.get(..path_end)?;
    // Host, application, name.
    let at = match path.trim_end_matches('/').matches('/').count() {
        0 => return None,
        1 => rest.rfind('/').filter(|at| *at > path_end)?,
        _ => path.rfind('/')?,
    };
    let (before, after) = rest.split_at_checked(at)?;
    let name = after.get(1..).filter(|name| !name.is_empty())?;
    if name.starts_with('?') {
        return None;
    }
    Some((address.get(..from.checked_add(before.len())?)?, name))
}

impl From<PushRefused> for Failure {
    fn from(refused: PushRefused) -> Self {
        let status = match refused {
            PushRefused::NoStream => 404,
            PushRefused::SameTarget => 409,
            PushRefused::OwnPlayOut | PushRefused::Name => 400,
            PushRefused::Full | PushRefused::Stopping => 503,
        };
        Self::new(status, refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_address_is_taken_apart_at_its_last_name() {
        for (whole, address, name) in [
            ("rtmp://h/live/key", "rtmp://h/live", "key"),
            ("rtmps://h:443/a/b/key", "rtmps://h:443/a/b", "key"),
            ("rtmp://h/live/key?a=b/c", "rtmp://h/live", "key?a=b/c"),
            ("rtmp://h/app?token=x/key", "rtmp://h/app?token=x", "key"),
            ("rtmp://u:p@h/live/key", "rtmp://u:p@h/live", "key"),
        ] {
            assert_eq!(parts(whole), Some((address, name)), "{whole}");
        }
        for whole in [
            "rtmp://h",
            "rtmp://h/",
            "rtmp://h/live",
            "rtmp://h/live/",
            "rtmp://h/live?x=1",
            "rtmp://h/live/?x=1",
            "rtmp://h//",
            "live/key",
            "",
            "://",
            "é://é/é",
        ] {
            assert_eq!(parts(whole), None, "{whole}");
        }
    }

    #[test]
    fn names_at_servers_have_their_prefix_once() {
        assert_eq!(server_name("a"), "rtmp_a");
        assert_eq!(server_name("rtmp_a"), "rtmp_a");
    }
}
