//! `/call/send_dtmf`.

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
use crate::gateway::keys::{KeyWay, KeysRefused};
use crate::gateway::outlet::Level;
use crate::gateway::rest::failure::Failure;
use crate::gateway::rest::fields::{Field, call_id, read, take, wrong};
use crate::limits::DTMF_KEYS;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SendDtmf<'a> {
    #[serde(borrow)]
    call_id: Field<'a>,
    dtmf: Field<'a>,
    r#type: Field<'a>,
}

/// Presses keys in a call.
pub fn send(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let body = take(exchange);
    let body: SendDtmf<'_> = read(&body)?;
    let call_id = call_id(&body.call_id)?;
    let keys = body.dtmf.required("dtmf", DTMF_KEYS)?;
    let way = match body.r#type.text("type", DTMF_KEYS)?.as_deref() {
        None => None,
        Some(text) if text.eq_ignore_ascii_case("RFC2833") => Some(KeyWay::Rfc2833),
        Some(text) if text.eq_ignore_ascii_case("INFO") => Some(KeyWay::Info),
        Some(text) if text.eq_ignore_ascii_case("INFO_RELAY") => Some(KeyWay::InfoRelay),
        Some(_) => return Err(wrong("type", "RFC2833, INFO or INFO_RELAY")),
    };
    let (now, from) = (exchange.now, exchange.remote);
    exchange.gateway.press_keys(now, &call_id, &keys, way)?;
    // Which keys is not said: they may be a secret number.
    let count = keys.chars().count();
    let line = format_args!("REST {from}: presses {count} keys in call {call_id}");
    exchange.outlet.note(Level::Info, line);
    super::done(exchange)
}

impl From<KeysRefused> for Failure {
    fn from(refused: KeysRefused) -> Self {
        let status = match refused {
            KeysRefused::NoSuchCall => 404,
            KeysRefused::NoKey(_) => 400,
            KeysRefused::NotEstablished | KeysRefused::NotNegotiated | KeysRefused::NotSending => {
                409
            }
            KeysRefused::Full => 429,
        };
        Self::new(status, refused.to_string())
    }
}
