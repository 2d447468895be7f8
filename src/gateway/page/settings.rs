//! The settings file, by way of the clerk who knows it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::gateway::desk::{DeskWork, Standing};
use crate::gateway::http::exchange::Exchange;
use crate::gateway::page::{Late, Outcome};

/// Answers `GET /page/settings`.
pub(super) fn read(_: &mut Exchange<'_>) -> Outcome {
    Outcome::Later(DeskWork::ReadSettings, Late::Document)
}

/// Answers `POST /page/settings/check`.
pub(super) fn check(exchange: &mut Exchange<'_>) -> Outcome {
    let document = exchange.take_body();
    Outcome::Later(DeskWork::CheckSettings { document }, Late::Document)
}

/// Answers `POST /page/settings/save`.
pub(super) fn save(exchange: &mut Exchange<'_>) -> Outcome {
    let document = exchange.take_body();
    Outcome::Later(DeskWork::SaveSettings { document }, Late::Document)
}

/// Answers `POST /page/restore`.
pub(super) fn restore(exchange: &mut Exchange<'_>) -> Outcome {
    let file = exchange.take_body();
    Outcome::Later(DeskWork::Restore { file }, Late::Document)
}

/// Answers `POST /page/try/pbx`.
pub(super) fn try_pbx(exchange: &mut Exchange<'_>) -> Outcome {
    let document = exchange.take_body();
    let standing = Standing::of(exchange.gateway);
    Outcome::Later(DeskWork::TryPbx { document, standing }, Late::Registered)
}

/// Answers `POST /page/try/rtmp`.
pub(super) fn try_rtmp(exchange: &mut Exchange<'_>) -> Outcome {
    let document = exchange.take_body();
    let standing = Standing::of(exchange.gateway);
    Outcome::Later(DeskWork::TryRtmp { document, standing }, Late::Document)
}
