//! How a published stream stands, in the words of the status contract.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

/// How the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtmpStatus {
    /// Being set up for the first time.
    #[default]
    Wait,
    /// Connected and sending.
    Active,
    /// Was up and broke; it is being tried again.
    Lost,
    /// Never was up so far; it is being tried again.
    Failed,
}

impl RtmpStatus {
    /// Whether the stream has been up so far.
    pub(super) const fn was_active(self) -> bool {
        matches!(self, Self::Active | Self::Lost)
    }
}

impl fmt::Display for RtmpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "RTMP_STREAM_WAIT",
            Self::Active => "RTMP_STREAM_ACTIVE",
            Self::Lost => "RTMP_CONNECTION_LOST",
            Self::Failed => "RTMP_CONNECTION_FAILED",
        })
    }
}
