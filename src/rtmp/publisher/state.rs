//! The steps of one published stream, each with the end of its wait.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::time::Instant;
use crate::rtmp::commands::{CONNECT, CREATE_STREAM};
use crate::rtmp::words::{Reason, reason};

/// How long the TCP connection may take.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may take for the handshake and for each answer.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that has said in another way that the stream may begin is waited for to say it
/// in the usual one.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(1);
/// How long a stream that is to move to another connection waits for a keyframe to begin there.
pub(super) const MOVE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the clean end may take.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What is being waited for, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The TCP connection.
    Connecting { until: Instant },
    /// The server's half of the handshake.
    Handshaking { until: Instant },
    /// The answer to the command of this transaction.
    Asking { transaction: u32, until: Instant },
    /// Nothing: media flows. Told as active once it has lasted.
    Active { since: Instant },
    /// The rest of the media, then of the farewell, to be taken by the kernel.
    Stopping { until: Instant, said: bool },
    /// The next attempt.
    Waiting { until: Instant },
    /// Nothing any more.
    Stopped,
}

impl State {
    /// When the wait ends, where there is one.
    pub const fn until(&self) -> Option<Instant> {
        match *self {
            Self::Connecting { until }
            | Self::Handshaking { until }
            | Self::Asking { until, .. }
            | Self::Stopping { until, .. }
            | Self::Waiting { until } => Some(until),
            Self::Active { .. } | Self::Stopped => None,
        }
    }

    /// Whether there is a connection to the server.
    pub const fn is_connected(&self) -> bool {
        !matches!(
            self,
            Self::Connecting { .. } | Self::Waiting { .. } | Self::Stopped
        )
    }

    /// What the wait was for, when it has ended in vain; `tls` tells whether the connection was to
    /// be one of TLS.
    pub fn overdue(&self, tls: bool) -> Reason {
        match self {
            Self::Connecting { .. } if tls => reason(format_args!(
                "no connection with TLS within 10 s: is there a server of rtmps:// on this port?"
            )),
            Self::Connecting { .. } => reason(format_args!("no connection within 10 s")),
            Self::Handshaking { .. } => reason(format_args!("no RTMP handshake within 10 s")),
            Self::Asking { transaction, .. } => {
                let what = match *transaction {
                    CONNECT => "connect",
                    CREATE_STREAM => "createStream",
                    _ => "publish",
                };
                reason(format_args!("no answer to {what} within 10 s"))
            }
            Self::Active { .. } | Self::Stopping { .. } | Self::Waiting { .. } | Self::Stopped => {
                Reason::new()
            }
        }
    }
}
