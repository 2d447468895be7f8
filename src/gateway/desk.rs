//! Work of the local page that waits for something: a computation, a file, somebody else's server.
//!
//! The gateway hands it out by [`Outlet::desk`](super::outlet::Outlet::desk) and is answered by
//! [`Gateway::handle_desk`](super::Gateway::handle_desk). Threads of the shell do it; what concerns the
//! settings file and trials is done by a [`Clerk`] of the floor above.

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

use crate::base::redact::Secret;
use crate::gateway::config::Trunk;
use crate::gateway::{Gateway, trunk};
use crate::sip::RegistrationState;
use crate::wire::rtmp_url::RtmpUrl;

/// A piece of work, as the gateway numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeskId(pub u32);

/// A piece of work. Prints as its name alone: it may hold passwords.
pub enum DeskWork {
    /// Makes a hash of a password, answered by [`DeskAnswer::Hashed`].
    Hash {
        /// The password.
        password: Secret<String>,
    },
    /// Compares a password with a hash, answered by [`DeskAnswer::Verified`].
    Verify {
        /// The password.
        password: Secret<String>,
        /// The hash, in the PHC string format.
        hash: Secret<String>,
    },
    /// Writes the hash of the page's password into the settings file.
    SetPasswordHash {
        /// The hash.
        hash: Secret<String>,
    },
    /// The settings, for the forms of the page.
    ReadSettings,
    /// What is wrong with settings, and what they would change.
    CheckSettings {
        /// JSON as the page sent it.
        document: Vec<u8>,
    },
    /// The same, and writes them if nothing is wrong.
    SaveSettings {
        /// JSON as the page sent it.
        document: Vec<u8>,
    },
    /// The settings file itself, secrets included; the password was asked for again.
    Backup,
    /// Takes a settings file in place of the present one.
    Restore {
        /// JSON as the page sent it.
        file: Vec<u8>,
    },
    /// Tries whether a PBX can be reached.
    TryPbx {
        /// JSON as the page sent it.
        document: Vec<u8>,
        /// What works now.
        standing: Standing,
    },
    /// Tries whether an RTMP server takes a stream.
    TryRtmp {
        /// JSON as the page sent it.
        document: Vec<u8>,
        /// What works now.
        standing: Standing,
    },
}

/// What works now, which no trial is to disturb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Trunks that are registered, with the settings that they are registered with.
    pub registered: Vec<Trunk>,
    /// Streams that go to RTMP servers: where to, and their names.
    pub publishing: Vec<(RtmpUrl, String)>,
}

impl Standing {
    /// Of a gateway.
    pub fn of(gateway: &Gateway) -> Self {
        let is_registered = |trunk: &&trunk::Trunk| {
            let id = trunk.presence.registration();
            let state = id.and_then(|id| trunk.endpoint.registration(id));
            matches!(state, Some(RegistrationState::Registered { .. }))
        };
        let registered = gateway.trunks.iter().filter(is_registered);
        let publishing = gateway.calls().filter_map(|call| {
            let publisher = &call.publishing.as_ref()?.publisher;
            Some((publisher.url().clone(), call.stream.clone()))
        });
        Self {
            registered: registered.map(|trunk| trunk.config.clone()).collect(),
            publishing: publishing.collect(),
        }
    }
}

impl DeskWork {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hash { .. } => "hash",
            Self::Verify { .. } => "verify",
            Self::SetPasswordHash { .. } => "set password",
            Self::ReadSettings => "read settings",
            Self::CheckSettings { .. } => "check settings",
            Self::SaveSettings { .. } => "save settings",
            Self::Backup => "back-up",
            Self::Restore { .. } => "restore",
            Self::TryPbx { .. } => "try PBX",
            Self::TryRtmp { .. } => "try RTMP",
        }
    }

    /// Whether it is a trial, which takes seconds and has a thread of its own.
    pub const fn is_trial(&self) -> bool {
        matches!(self, Self::TryPbx { .. } | Self::TryRtmp { .. })
    }
}

impl fmt::Debug for DeskWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a piece of work. Prints without the document, which may hold passwords.
pub enum DeskAnswer {
    /// The hash, in the PHC string format.
    Hashed(Secret<String>),
    /// Whether the password is the one of the hash.
    Verified(bool),
    /// What the page is answered with.
    Document {
        /// The status code of HTTP.
        status: u16,
        /// The media type of the body.
        kind: &'static str,
        /// The body, at most [`DESK_ANSWER_BYTES`](crate::limits::DESK_ANSWER_BYTES).
        body: Vec<u8>,
        /// Whether the settings file was written.
        changed: bool,
    },
    /// It could not be done; why, in words without secrets.
    Failed(String),
}

impl fmt::Debug for DeskAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashed(_) => f.write_str("Hashed"),
            Self::Verified(is) => write!(f, "Verified({is})"),
            Self::Document { status, body, .. } => {
                write!(f, "Document({status}, {} bytes)", body.len())
            }
            Self::Failed(words) => write!(f, "Failed({words:?})"),
        }
    }
}

/// Does work that concerns the settings file, or trials.
pub trait Clerk: Send {
    /// Does one piece of it, waiting as long as that takes.
    fn work(&mut self, work: DeskWork) -> DeskAnswer;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_be_secret_is_printed() {
        let secret = || Secret::new("hunter2".to_owned());
        let document = || b"hunter2".to_vec();
        for work in [
            DeskWork::Hash { password: secret() },
            DeskWork::SetPasswordHash { hash: secret() },
            DeskWork::SaveSettings {
                document: document(),
            },
            DeskWork::TryPbx {
                document: document(),
                standing: Standing::default(),
            },
        ] {
            assert!(!format!("{work:?}").contains("hunter2"));
        }
        let answer = DeskAnswer::Document {
            status: 200,
            kind: "application/json",
            body: document(),
            changed: false,
        };
        assert_eq!(format!("{answer:?}"), "Document(200, 7 bytes)");
        assert_eq!(format!("{:?}", DeskAnswer::Hashed(secret())), "Hashed");
    }
}
