//! What is over, as the page shows it: the last calls, and how the box did lately.

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

use serde::Serialize;

use crate::gateway::Gateway;
use crate::gateway::ending::Ending;
use crate::gateway::page::history::EndedCall;
use crate::gateway::page::trend::{Sample, TREND_INTERVAL};

use super::call::direction;

/// A call that is over. Its texts are cut already.
#[derive(Serialize)]
pub(super) struct EndedNow<'a> {
    began: u64,
    seconds: u32,
    direction: &'static str,
    caller: &'a str,
    callee: &'a str,
    trunk: &'a str,
    stream: &'a str,
    end: Ending,
    detail: &'a str,
    frames: u64,
    lost: u64,
    times: u32,
}

impl<'a> EndedNow<'a> {
    pub(super) fn of(call: &'a EndedCall) -> Self {
        Self {
            began: call.began,
            seconds: call.seconds,
            direction: direction(call.outgoing),
            caller: &call.caller,
            callee: &call.callee,
            trunk: &call.trunk,
            stream: &call.stream,
            end: call.ending,
            detail: &call.detail,
            frames: call.frames,
            lost: call.lost,
            times: call.times,
        }
    }
}

/// How the box did lately, oldest first.
#[derive(Serialize)]
pub(super) struct TrendNow {
    every: u64,
    kbps: Vec<u32>,
    lost: Vec<u32>,
    calls: Vec<u16>,
}

impl TrendNow {
    pub(super) fn of(gateway: &Gateway) -> Self {
        let samples: Vec<Sample> = gateway.trend.samples().collect();
        Self {
            every: TREND_INTERVAL.as_secs(),
            kbps: samples.iter().map(|sample| sample.kbps).collect(),
            lost: samples.iter().map(|sample| sample.lost).collect(),
            calls: samples.iter().map(|sample| sample.calls).collect(),
        }
    }
}
