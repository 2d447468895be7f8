//! Where an attempt to publish failed, and by whom: for those who have to say what to do about it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::{Codec, CodecSet};
use crate::rtmp::commands::CONNECT;
use crate::rtmp::publisher::Publisher;
use crate::rtmp::publisher::state::State;

/// The step at which an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishStep {
    /// The connection, with TLS where the target asks for it.
    Connection,
    /// The handshake of RTMP.
    Handshake,
    /// `connect`, which names the application.
    Connect,
    /// `createStream` or `publish`, which names the stream.
    Publish,
    /// Nothing was asked for any more: media flowed.
    Media,
}

/// What ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishFault {
    /// The connection failed or was closed.
    Closed,
    /// The server did not answer in time.
    Silent,
    /// What the server sent cannot be read, or more was wanted than there is room for.
    Protocol,
    /// The server wants user and password, or other ones.
    Credentials,
    /// The stream's name is in use, or refused: servers say the same of both.
    NameTaken,
    /// Publishing under this name is not allowed.
    NotAllowed,
    /// There is no such application, or it takes no publishers.
    NoApplication,
    /// The server says that it does not take this codec.
    Codec(Codec),
    /// The server refused in another way.
    Refused,
}

/// How the last attempt that failed did so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishFailure {
    /// The step at which it ended.
    pub step: PublishStep,
    /// What ended it.
    pub fault: PublishFault,
}

impl PublishStep {
    pub(super) fn of(state: State) -> Self {
        match state {
            State::Connecting { .. } => Self::Connection,
            State::Handshaking { .. } => Self::Handshake,
            State::Asking {
                transaction: CONNECT,
                ..
            } => Self::Connect,
            // The stream is named before createStream already.
            State::Asking { .. } => Self::Publish,
            State::Active { .. }
            | State::Stopping { .. }
            | State::Waiting { .. }
            | State::Stopped => Self::Media,
        }
    }
}

impl PublishFault {
    /// What a status code of a server means.
    pub(in crate::rtmp) fn of_code(code: &str) -> Self {
        match code {
            "NetStream.Publish.BadName" => Self::NameTaken,
            "NetStream.Publish.Denied"
            | "NetStream.Publish.Rejected"
            | "NetStream.Connect.Rejected" => Self::NotAllowed,
            "NetConnection.Connect.InvalidApp" | "NetConnection.Connect.Rejected" => {
                Self::NoApplication
            }
            _ => Self::Refused,
        }
    }
}

impl Publisher {
    /// Codecs that may be sent to the server, as far as it is known: of its last answer to `connect`,
    /// and of what it was found to refuse.
    pub fn accepts(&self) -> CodecSet {
        self.takes().codecs()
    }

    /// The step at which it is; [`PublishStep::Media`] too where it waits or has ended.
    pub fn step(&self) -> PublishStep {
        PublishStep::of(self.state)
    }

    /// How the last attempt that failed did so; `None` while none has.
    pub fn failure(&self) -> Option<PublishFailure> {
        self.failure
    }
}
