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

use core::net::IpAddr;

use serde::Deserialize;

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::ending::Ending;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::{Level, Outlet};
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
    match number.is_some_and(|it| gateway.hang_up_on_page(now, it, from, exchange.outlet)) {
        true => Reply::new(200, JSON, b"{}".to_vec()).into(),
        false => Reply::problem(404, "noSuchCall").into(),
    }
}

impl Gateway {
    /// Ends the call of this number, for somebody who looks at the page from an address; false when
    /// no live call has it.
    pub fn hang_up_on_page(
        &mut self,
        now: Instant,
        number: u64,
        from: IpAddr,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let is_it = |call: &Call| call.is_live() && call.label.number == number;
        let Some(index) = self.calls.find(is_it) else {
            return false;
        };
        if let Some(call) = self.calls.get(index) {
            let line = format_args!("page {from}: ends {}", call.label);
            outlet.note(Level::Info, line);
        }
        self.end_at(now, index, Ending::HungUpOnPage, outlet);
        self.now_page.forget();
        true
    }
}
