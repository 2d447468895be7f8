//! The backend that is told of calls, as configured.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::str::FromStr;
use core::time::Duration;

use crate::base::budget::Budget;
use crate::base::redact::Secret;
use crate::gateway::config::{Expected, HttpUrl};
use crate::gateway::hooks::MethodSet;
use crate::limits::{
    HOOK_CALLS_ASKED, HOOK_CONNECTION_BYTES, HOOK_QUEUE_BYTES, SIP_MESSAGE_BYTES, TLS_STATE_BYTES,
};

/// What an incoming call does while the backend has not answered `OnCallEvent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCall {
    /// It is answered at once; one that the backend then refuses is ended by BYE.
    #[default]
    Notify,
    /// It waits, for at most [`Hooks::timeout`].
    Ask,
}

/// What an incoming call that waited does when the backend gave no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It goes on, with a line in the journal.
    #[default]
    Log,
    /// It is refused with 503.
    Fail,
}

/// The backend that is told of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Base address of its methods.
    pub url: HttpUrl,
    /// How long one answer may take, its connection included.
    pub timeout: Duration,
    /// How long an event is repeated that the backend did not take; not at all where it is zero.
    pub retry: Duration,
    /// User of Basic authentication; that of the address without one.
    pub username: Option<String>,
    /// Password of Basic authentication; that of the address without one.
    pub password: Option<Secret<String>>,
    /// The application that bodies name.
    pub app_key: String,
    /// Connections to the backend at once.
    pub connections: usize,
    /// What incoming calls wait for.
    pub on_call: OnCall,
    /// What becomes of those that waited in vain.
    pub on_error: OnError,
    /// What the backend is told of.
    pub methods: MethodSet,
    /// File of the certificate authorities that it is trusted by; the system's without one.
    pub ca_file: Option<String>,
}

impl Hooks {
    /// Seconds that an answer may take where the file names none.
    pub const TIMEOUT_SECONDS: u64 = 15;

    /// Seconds that an event is repeated where the file names none.
    pub const RETRY_SECONDS: u64 = 300;

    /// Connections at once where the file names no number.
    pub const CONNECTIONS: usize = 4;

    /// The application of calls that REST makes, as backends know it.
    pub const APP_KEY: &str = "callApp";

    /// A backend at an address, with defaults.
    pub fn new(url: HttpUrl) -> Self {
        Self {
            url,
            timeout: Duration::from_secs(Self::TIMEOUT_SECONDS),
            retry: Duration::from_secs(Self::RETRY_SECONDS),
            username: None,
            password: None,
            app_key: Self::APP_KEY.to_owned(),
            connections: Self::CONNECTIONS,
            on_call: OnCall::default(),
            on_error: OnError::default(),
            methods: MethodSet::ALL,
            ca_file: None,
        }
    }

    /// User and password of Basic authentication, if the backend is told any.
    pub fn credentials(&self) -> Option<(String, Secret<String>)> {
        match (&self.username, &self.password) {
            (None, None) => self.url.credentials(),
            (user, password) => Some((
                user.clone().unwrap_or_default(),
                password.clone().unwrap_or_default(),
            )),
        }
    }

    /// Adds the memory that it costs.
    pub(super) fn add_to(&self, budget: &mut Budget) {
        budget.add("events of hooks", 1, HOOK_QUEUE_BYTES);
        if self.on_call == OnCall::Ask {
            let waiting = "calls that hooks are asked of";
            budget.add(waiting, HOOK_CALLS_ASKED, SIP_MESSAGE_BYTES);
        }
        let tls = if self.url.is_tls() {
            TLS_STATE_BYTES
        } else {
            0
        };
        let each = HOOK_CONNECTION_BYTES.saturating_add(tls);
        budget.add("connections of hooks", self.connections, each);
    }
}

impl FromStr for OnCall {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text {
            "notify" => Ok(Self::Notify),
            "ask" => Ok(Self::Ask),
            _ => Err(Expected::new("notify or ask")),
        }
    }
}

impl FromStr for OnError {
    type Err = Expected;

    /// In the words of restClientConfig, in either case.
    fn from_str(text: &str) -> Result<Self, Expected> {
        match text.to_ascii_uppercase().as_str() {
            "LOG" => Ok(Self::Log),
            "FAIL" => Ok(Self::Fail),
            _ => Err(Expected::new("LOG or FAIL")),
        }
    }
}
