//! What happens on the box at present, as JSON: trunks, calls, the last calls, the board, and how all
//! of it did lately.
//!
//! It is made at most once in a fifth of a second, however many pages ask. Text of callers and peers
//! is put on one line, cut, and quoted as JSON wants it.

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

mod call;
mod past;
mod trunk;

use core::fmt;
use core::time::Duration;

use serde::{Serialize, Serializer};

use crate::base::redact::OneLine;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::{BoardFigures, Outlet};
use crate::gateway::page::reply::JSON;
use crate::gateway::page::{Outcome, Reply};

use call::CallNow;
use past::{EndedNow, TrendNow};
use trunk::TrunkNow;

/// How long what was made is good for every page.
const FRESH: Duration = Duration::from_millis(200);

/// Characters of one name that is shown.
const NAME_CHARACTERS: usize = 96;

/// Characters of words about what failed.
const DETAIL_CHARACTERS: usize = 240;

/// What was made last.
#[derive(Debug, Default)]
pub struct NowPage {
    made: Option<(Instant, Vec<u8>)>,
    /// Times that it was made.
    renderings: u64,
}

impl NowPage {
    /// Times that it was made so far.
    pub fn renderings(&self) -> u64 {
        self.renderings
    }

    /// What was made is of the past: something was done about it.
    pub(super) fn forget(&mut self) {
        self.made = None;
    }
}

/// Everything.
#[derive(Serialize)]
struct Now<'a> {
    time: u64,
    version: &'static str,
    uptime: u64,
    trunks: Vec<TrunkNow<'a>>,
    calls: Vec<CallNow<'a>>,
    history: Vec<EndedNow<'a>>,
    #[serde(rename = "box")]
    board: &'a BoardFigures,
    trend: TrendNow,
}

/// Answers `GET /page/now`.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    match exchange.gateway.now_as_json(exchange.now, exchange.outlet) {
        Some(body) => Reply::new(200, JSON, body.to_vec()).into(),
        None => Reply::problem(500, "defect").into(),
    }
}

impl Gateway {
    /// What happens at present, as JSON; as it was a moment ago where it was asked for then.
    pub fn now_as_json(&mut self, now: Instant, outlet: &mut dyn Outlet) -> Option<&[u8]> {
        let made = self.now_page.made.as_ref();
        if made.is_none_or(|(at, _)| now.since(*at) >= FRESH || now < *at) {
            let board = outlet.board();
            let body = serde_json::to_vec(&Now::of(self, now, &board)).ok()?;
            self.now_page.made = Some((now, body));
            self.now_page.renderings = self.now_page.renderings.saturating_add(1);
        }
        self.now_page.made.as_ref().map(|(_, body)| body.as_slice())
    }

    /// What is kept of the page's view of the present.
    pub fn now_page(&self) -> &NowPage {
        &self.now_page
    }
}

impl<'a> Now<'a> {
    fn of(gateway: &'a Gateway, now: Instant, board: &'a BoardFigures) -> Self {
        let mut calls: Vec<_> = gateway
            .calls
            .iter()
            .filter(|(_, call)| call.is_live() && !call.crashed)
            .collect();
        calls.sort_unstable_by_key(|(_, call)| call.label.number);
        let calls = calls.into_iter();
        Self {
            time: gateway.unix_millis(now) / 1_000,
            version: env!("CARGO_PKG_VERSION"),
            uptime: now.since(Instant::ZERO).as_secs(),
            trunks: TrunkNow::all(gateway),
            calls: calls
                .map(|(index, call)| CallNow::of(gateway, now, index, call))
                .collect(),
            history: gateway.history.calls().map(EndedNow::of).collect(),
            board,
            trend: TrendNow::of(gateway),
        }
    }
}

/// Text of others, on one line and cut.
struct Shown<'a>(&'a str, usize);

impl<'a> Shown<'a> {
    /// A name.
    const fn name(text: &'a str) -> Self {
        Self(text, NAME_CHARACTERS)
    }

    /// Words about what failed.
    const fn detail(text: &'a str) -> Self {
        Self(text, DETAIL_CHARACTERS)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&OneLine::new(self.0, self.1))
    }
}

/// Whatever prints itself, as a string.
struct Printed<T>(T);

impl<T: fmt::Display> Serialize for Printed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
