//! Calls out: what is asked for, why it may be refused, and what is kept of it.
//!
//! A request comes whole and checked from the REST interface. That the peer does not answer, or
//! declines, is no refusal: the call exists from the moment it is accepted here, and ends as every
//! call does.

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
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Host;
use crate::gateway::outlet::Outlet;
use crate::wire::rtmp_url::RtmpUrl;

/// What the name of every stream at an RTMP server begins with.
pub const RTMP_PREFIX: &str = "rtmp_";

/// A call to be placed. Every text is bounded by the limit that its field names.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// The client's name of the call, unique among live calls, and the `Call-ID` of the INVITE;
    /// characters of a `word` (RFC 3261, section 25.1), with at most one `@`.
    /// [`REST_CALL_ID_BYTES`](crate::limits::REST_CALL_ID_BYTES).
    pub call_id: String,
    /// User part of the address that is called, unescaped.
    /// [`SIP_USER_BYTES`](crate::limits::SIP_USER_BYTES).
    pub callee: String,
    /// User part of our own address, unescaped; no space and no reserved character.
    /// [`SIP_USER_BYTES`](crate::limits::SIP_USER_BYTES).
    pub login: String,
    /// User name of digest authentication: the login where the client gave none. Bounded alike.
    pub authentication_name: String,
    /// Password of digest authentication; none lets a challenge end the call.
    /// [`REST_PASSWORD_BYTES`](crate::limits::REST_PASSWORD_BYTES).
    pub password: Option<Secret<String>>,
    /// The domain of both addresses, and the registrar.
    pub domain: Host,
    /// Where requests go first; the domain without one.
    pub outbound_proxy: Option<Host>,
    /// SIP port of outbound proxy or domain; without one it is found by name, or is 5060.
    pub port: Option<u16>,
    /// Whether to register before the call.
    pub register: bool,
    /// Display name of our own address.
    /// [`REST_NAME_BYTES`](crate::limits::REST_NAME_BYTES).
    pub visible_name: Option<String>,
    /// Whether sound is offered `sendrecv`; `recvonly` if not.
    pub has_audio: bool,
    /// The same for video.
    pub has_video: bool,
    /// Name of the stream on this box.
    /// [`RTMP_NAME_BYTES`](crate::limits::RTMP_NAME_BYTES).
    pub to_stream: Option<String>,
    /// RTMP server to publish to. Always together with [`Self::rtmp_stream`].
    pub rtmp_url: Option<RtmpUrl>,
    /// Name of the stream at that server, as the client gave it. Bounded like
    /// [`Self::to_stream`]; may be a secret stream key.
    pub rtmp_stream: Option<Secret<String>>,
    /// Application whose hooks are told of the call.
    /// [`REST_NAME_BYTES`](crate::limits::REST_NAME_BYTES).
    pub app_key: Option<String>,
}

impl CallRequest {
    /// Name of the stream at the RTMP server: with [`RTMP_PREFIX`], unless it begins so already.
    pub fn published_name(&self) -> Option<String> {
        let name = self.rtmp_stream.as_ref()?.expose();
        Some(match name.starts_with(RTMP_PREFIX) {
            true => name.clone(),
            false => format!("{RTMP_PREFIX}{name}"),
        })
    }
}

/// Why a call out is not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// A live call has this name.
    SameCallId,
    /// A live call publishes to the same RTMP server under the same name.
    SameTarget,
    /// A live call has the same stream name on this box.
    SameStream,
    /// Something is used up: what, in words such as `every call is taken`.
    Full(&'static str),
    /// The box is stopping.
    Stopping,
    /// It cannot be placed with this configuration: why, in words.
    Impossible(&'static str),
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameCallId => "a call with this callId exists already",
            Self::SameTarget => "a call to this rtmpUrl and rtmpStream exists already",
            Self::SameStream => "a call with this stream name exists already",
            Self::Full(words) | Self::Impossible(words) => words,
            Self::Stopping => "the gateway stops",
        })
    }
}

impl core::error::Error for CallRefused {}

/// What is kept of a call out for as long as it lives, beside what every call has.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Application whose hooks are told of the call.
    pub app_key: Option<String>,
    /// Display name of our own address.
    pub visible_name: Option<String>,
    /// Whether sound was asked for.
    pub has_audio: bool,
    /// Whether video was asked for.
    pub has_video: bool,
    /// Name of the stream on this box, if one was asked for.
    pub to_stream: Option<String>,
    /// RTMP server that was asked for.
    pub rtmp_url: Option<RtmpUrl>,
    /// Name of the stream at that server, as the client gave it.
    pub rtmp_stream: Option<Secret<String>>,
    /// Code of the last response to the INVITE.
    pub sip_status: Option<u16>,
}

impl Gateway {
    /// Places a call. It is among [`Gateway::calls`] from now on, whatever becomes of it.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    pub fn start_call(
        &mut self,
        _now: Instant,
        _request: CallRequest,
        _outlet: &mut dyn Outlet,
    ) -> Result<(), CallRefused> {
        Err(CallRefused::Impossible("calls out are not built yet"))
    }

    /// Ends the call of this name: CANCEL before its answer, BYE after it. False when no live call
    /// has the name.
    pub fn terminate_call(
        &mut self,
        _now: Instant,
        _call_id: &str,
        _outlet: &mut dyn Outlet,
    ) -> bool {
        false
    }
}
