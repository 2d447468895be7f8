//! `/call/startup`: a call is asked for.

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

use serde::Deserialize;

use crate::base::redact::Secret;
use crate::gateway::config::{Host, rtmp_url};
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outgoing::{CallRequest, RTMP_PREFIX};
use crate::gateway::outlet::Level;
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, read, take, wrong};
use crate::limits::{
    REST_CALL_ID_BYTES, REST_NAME_BYTES, REST_PASSWORD_BYTES, RTMP_NAME_BYTES, RTMP_URL_BYTES,
    SIP_USER_BYTES,
};
use crate::wire::rtmp_url::StreamKey;

/// What clients know as the answer to a name that SIP does not take.
const RESERVED: &str = "SIP login or authentication name contains reserved symbols";

/// Bytes of a host name.
const HOST_BYTES: usize = 253;

/// Bytes of a stream's name, so that it still fits with its prefix.
const STREAM_BYTES: usize = RTMP_NAME_BYTES - RTMP_PREFIX.len();

/// Bytes of an RTMP address with user and password, each byte of which may be escaped by three.
const URL_BYTES: usize = 3 * RTMP_URL_BYTES;

/// The body, field by field.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Startup<'a> {
    #[serde(borrow)]
    call_id: Field<'a>,
    callee: Field<'a>,
    sip_login: Field<'a>,
    sip_authentication_name: Field<'a>,
    sip_password: Field<'a>,
    sip_domain: Field<'a>,
    sip_outbound_proxy: Field<'a>,
    sip_port: Field<'a>,
    sip_register_required: Field<'a>,
    app_key: Field<'a>,
    visible_name: Field<'a>,
    has_audio: Field<'a>,
    has_video: Field<'a>,
    to_stream: Field<'a>,
    rtmp_url: Field<'a>,
    rtmp_stream: Field<'a>,
    rtmp_transponder_full_url: Field<'a>,
}

/// Answers the request.
pub fn handle(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let request = request(&body)?;
    let call_id = request.call_id.clone();
    let (now, from) = (exchange.now, exchange.remote);
    let started = exchange.gateway.start_call(now, request, exchange.outlet);
    if let Err(refused) = started {
        let line = format_args!("REST {from}: call {call_id} refused: {refused}");
        exchange.outlet.note(Level::Warn, line);
        return Err(refused.into());
    }
    super::done(exchange)
}

/// What a body asks for, every field checked.
pub fn request(body: &[u8]) -> Result<CallRequest, Failure> {
    let body: Startup<'_> = read(body)?;
    let call_id = body.call_id.required("callId", REST_CALL_ID_BYTES)?;
    if !is_call_id(&call_id) {
        return Err(wrong(
            "callId",
            "characters of a SIP Call-ID, such as 1a-2b",
        ));
    }
    let callee = body.callee.required("callee", SIP_USER_BYTES)?;
    if callee.contains(|char: char| char.is_whitespace() || "<>\"@".contains(char)) {
        return Err(wrong("callee", "a number or user, without domain"));
    }
    let login = body.sip_login.required("sipLogin", SIP_USER_BYTES)?;
    reserved(&login, is_login)?;
    let name = "sipAuthenticationName";
    let authentication_name = body.sip_authentication_name.text(name, SIP_USER_BYTES)?;
    if let Some(text) = &authentication_name {
        reserved(text, is_authentication_name)?;
    }
    let domain = body.sip_domain.required("sipDomain", HOST_BYTES)?;
    let proxy = body
        .sip_outbound_proxy
        .text("sipOutboundProxy", HOST_BYTES)?;
    let url = body.rtmp_url.text("rtmpUrl", URL_BYTES)?;
    let rtmp_stream = stream("rtmpStream", &body.rtmp_stream)?;
    match (&url, &rtmp_stream) {
        (Some(_), None) => return Err(wrong("rtmpStream", "a stream name beside rtmpUrl")),
        (None, Some(_)) => return Err(wrong("rtmpUrl", "an address beside rtmpStream")),
        _ => {}
    }
    let url = url.map(|url| rtmp_url(&url).map_err(|expected| wrong("rtmpUrl", expected)));
    let password = body.sip_password.text("sipPassword", REST_PASSWORD_BYTES)?;
    Ok(CallRequest {
        authentication_name: authentication_name.unwrap_or_else(|| login.clone()),
        call_id,
        callee,
        login,
        password: password.map(Secret::new),
        domain: host("sipDomain", &domain)?,
        outbound_proxy: proxy
            .map(|proxy| host("sipOutboundProxy", &proxy))
            .transpose()?,
        port: body.sip_port.port("sipPort")?,
        register: body
            .sip_register_required
            .boolean("sipRegisterRequired", false)?,
        visible_name: body.visible_name.text("visibleName", REST_NAME_BYTES)?,
        has_audio: body.has_audio.boolean("hasAudio", true)?,
        has_video: body.has_video.boolean("hasVideo", false)?,
        to_stream: stream("toStream", &body.to_stream)?,
        rtmp_url: url.transpose()?,
        rtmp_stream: rtmp_stream.map(Secret::new),
        rtmp_name_as_given: body
            .rtmp_transponder_full_url
            .boolean("rtmpTransponderFullUrl", false)?,
        app_key: body.app_key.text("appKey", REST_NAME_BYTES)?,
    })
}

fn host(name: &'static str, text: &str) -> Result<Host, Failure> {
    // What nobody can register at is for the call to find out, as samples have such addresses.
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_multicast() => Ok(Host::Ip(ip)),
        _ => text.parse().map_err(|expected| wrong(name, expected)),
    }
}

fn stream(name: &'static str, field: &Field<'_>) -> Result<Option<String>, Failure> {
    let text = field.text(name, STREAM_BYTES)?;
    match &text {
        Some(text) if StreamKey::new(text).is_none() || text.contains(char::is_whitespace) => {
            Err(wrong(name, "a stream name without spaces"))
        }
        _ => Ok(text),
    }
}

/// `word` or `word@word` (RFC 3261, section 25.1).
fn is_call_id(text: &str) -> bool {
    let is_word = |word: &str| {
        let fits =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\/\"[]?{}".contains(&byte);
        !word.is_empty() && word.bytes().all(fits)
    };
    match text.split_once('@') {
        Some((word, host)) => is_word(word) && is_word(host),
        None => is_word(text),
    }
}

/// What the user part of an address holds without escapes, its parameters and separators left out.
fn is_login(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()+&=$".contains(&byte)
}

/// Providers give out names with their domain.
fn is_authentication_name(byte: u8) -> bool {
    is_login(byte) || byte == b'@'
}

fn reserved(text: &str, fits: fn(u8) -> bool) -> Result<(), Failure> {
    if text.bytes().all(fits) {
        return Ok(());
    }
    Err(Failure::internal(RESERVED))
}

#[cfg(test)]
mod tests;
