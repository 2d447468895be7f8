//! Ends a call for who looks at it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use serde::Deserialize;

use crate::gateway::ending::Ending;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::Level;
use crate::gateway::page::reply::JSON;
use crate::gateway::page::{Outcome, Reply};

/// Which call: its number as `/page/now` gives it.
#[derive(Deserialize)]
struct Wish {
    call: String,
}

/// Answers `POST /page/hangup`.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let body = exchange.take_body();
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        return Reply::problem(400, "request").into();
    };
    let number: Option<u64> = wish.call.parse().ok();
    let (now, from) = (exchange.now, exchange.remote);
    let gateway = &mut *exchange.gateway;
    let found = number.and_then(|number| {
        let calls = &gateway.calls;
        calls.find(|call| call.is_live() && call.label.number == number)
    });
    let Some(index) = found else {
        return Reply::problem(404, "noSuchCall").into();
    };
    if let Some(call) = gateway.calls.get(index) {
        let line = format_args!("page {from}: ends {}", call.label);
        exchange.outlet.note(Level::Info, line);
    }
    gateway.end_at(now, index, Ending::HungUpOnPage, exchange.outlet);
    gateway.now_page.forget();
    Reply::new(200, JSON, b"{}".to_vec()).into()
}
