//! Keys that a client of the gateway presses in a call.

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

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::config::Dtmf;
use crate::gateway::outlet::CallIndex;
use crate::gateway::status::CallStatus;
use crate::rtp::session::DtmfRefused;
use crate::rtp::telephone_event_sender::{PRESS, event_of};
use crate::sip::{KeyForm, SipRefusal};

/// How keys are told to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// As telephone events in RTP (RFC 4733, formerly RFC 2833).
    Rfc2833,
    /// As INFO with `application/dtmf`.
    Info,
    /// As INFO with `application/dtmf-relay`.
    InfoRelay,
}

/// Why keys are not pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysRefused {
    /// No live call has this name.
    NoSuchCall,
    /// The call is not answered, or it is on its way to its end.
    NotEstablished,
    /// This is no key.
    NoKey(char),
    /// More wait already than there is room for.
    Full,
    /// Telephone events were not agreed on.
    NotNegotiated,
    /// Nothing may be sent in the sound of the call at present.
    NotSending,
}

impl fmt::Display for KeysRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchCall => "no call has this callId",
            Self::NotEstablished => "the call is not established",
            Self::NoKey(key) => {
                return write!(f, "dtmf: expected 0 to 9, *, #, A to D or !, not {key:?}");
            }
            Self::Full => "too many keys of this call wait to be sent",
            Self::NotNegotiated => {
                "the other side takes no telephone-event; type INFO or INFO_RELAY would do"
            }
            Self::NotSending => {
                "nothing may be sent in the sound of the call; type INFO or INFO_RELAY would do"
            }
        })
    }
}

impl Gateway {
    /// The live call of this name.
    pub(super) fn call_named(&self, call_id: &str) -> Option<CallIndex> {
        let live = |call: &Call| call.is_live() && !call.crashed && call.sip_call_id == call_id;
        self.calls.find(live)
    }

    /// Presses keys in an established call, one after the other: 0 to 9, `*`, `#`, A to D or `!`, in the
    /// trunk's usual way where none is given. All of them, or none.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn press_keys(
        &mut self,
        now: Instant,
        call_id: &str,
        keys: &str,
        way: Option<KeyWay>,
    ) -> Result<(), KeysRefused> {
        let index = self.call_named(call_id).ok_or(KeysRefused::NoSuchCall)?;
        if let Some(key) = keys.chars().find(|key| event_of(*key).is_none()) {
            return Err(KeysRefused::NoKey(key));
        }
        let call = self.calls.touch_mut(index);
        let call = call.ok_or(KeysRefused::NoSuchCall)?;
        let is_up = matches!(call.status, CallStatus::Established | CallStatus::Hold);
        let (Some(sip), true) = (call.sip, is_up) else {
            return Err(KeysRefused::NotEstablished);
        };
        let trunk = self.trunks.get_mut(call.trunk);
        let trunk = trunk.ok_or(KeysRefused::NotEstablished)?;
        let usual = match trunk.config.dtmf {
            Dtmf::Rfc2833 => KeyWay::Rfc2833,
            Dtmf::Info => KeyWay::InfoRelay,
        };
        let form = match way.unwrap_or(usual) {
            KeyWay::Rfc2833 => {
                return call
                    .session
                    .send_dtmf(keys)
                    .map_err(|refused| match refused {
                        DtmfRefused::NoAudio | DtmfRefused::NotNegotiated => {
                            KeysRefused::NotNegotiated
                        }
                        DtmfRefused::NotSending => KeysRefused::NotSending,
                        DtmfRefused::Full => KeysRefused::Full,
                        DtmfRefused::NoKey(key) => KeysRefused::NoKey(key),
                    });
            }
            KeyWay::Info => KeyForm::Plain,
            KeyWay::InfoRelay => KeyForm::Relay(PRESS),
        };
        trunk.dirty = true;
        let told = trunk.endpoint.dtmf(now, sip, keys, form);
        told.map_err(|refused| match refused {
            SipRefusal::Full | SipRefusal::TooLarge => KeysRefused::Full,
            SipRefusal::NoSuchCall | SipRefusal::WrongState | SipRefusal::BadField(_) => {
                KeysRefused::NotEstablished
            }
        })
    }
}
