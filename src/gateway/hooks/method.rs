//! The methods of the backend.

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
use core::str::FromStr;

use crate::gateway::config::Expected;

/// One method: what the backend is told of, or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The session of a call that REST makes begins or ends.
    ConnectionStatusEvent,
    /// A registration has changed.
    RegistrationStatusEvent,
    /// A call comes in.
    OnCallEvent,
    /// A call goes out.
    Call,
    /// A call, or the state of its stream at the RTMP server, has changed.
    CallStatusEvent,
    /// The stream of a call begins or ends.
    StreamStatusEvent,
    /// A transfer has changed.
    TransferStatusEvent,
    /// The other side pressed a key.
    SendDtmf,
    /// A client ends a call.
    Hangup,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 9] = [
        Self::ConnectionStatusEvent,
        Self::RegistrationStatusEvent,
        Self::OnCallEvent,
        Self::Call,
        Self::CallStatusEvent,
        Self::StreamStatusEvent,
        Self::TransferStatusEvent,
        Self::SendDtmf,
        Self::Hangup,
    ];

    /// Its name, the last part of its address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionStatusEvent => "ConnectionStatusEvent",
            Self::RegistrationStatusEvent => "RegistrationStatusEvent",
            Self::OnCallEvent => "OnCallEvent",
            Self::Call => "call",
            Self::CallStatusEvent => "CallStatusEvent",
            Self::StreamStatusEvent => "StreamStatusEvent",
            Self::TransferStatusEvent => "TransferStatusEvent",
            Self::SendDtmf => "sendDtmf",
            Self::Hangup => "hangup",
        }
    }

    /// Whether a later one of the same call says all that matters of an earlier one.
    pub const fn is_state(self) -> bool {
        matches!(
            self,
            Self::ConnectionStatusEvent
                | Self::RegistrationStatusEvent
                | Self::CallStatusEvent
                | Self::StreamStatusEvent
                | Self::TransferStatusEvent
        )
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let known = Self::ALL.into_iter().find(|method| method.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Expected::new(format!("one of {names}"))
        })
    }
}

/// Some of the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSet(u16);

impl MethodSet {
    /// Every method.
    pub const ALL: Self = Self(u16::MAX);

    /// These methods.
    pub fn of(methods: &[Method]) -> Self {
        Self(methods.iter().fold(0, |set, method| set | method.bit()))
    }

    /// Whether a method is among them.
    pub const fn contains(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_apart() {
        for method in Method::ALL {
            assert_eq!(method.name().parse(), Ok(method));
            let set = MethodSet::of(&[method]);
            let others = Method::ALL.into_iter().filter(|it| set.contains(*it));
            assert_eq!(others.collect::<Vec<_>>(), [method]);
            assert!(MethodSet::ALL.contains(method));
        }
        assert!("Call".parse::<Method>().is_err());
    }
}
