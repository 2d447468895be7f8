//! Floor 2: SIP (RFC 3261), the machine of one trunk.
//!
//! [`SipEndpoint`] is the user agent server that takes calls over UDP and TCP on one port. It
//! implements the UAS core and dialogs of RFC 3261, server transactions with RFC 6026, non-INVITE
//! client transactions, symmetric response routing (RFC 3581), keep-alives on streams (RFC 5626 section
//! 4.4.1), session timers (RFC 4028), reliable provisional answers (RFC 3262), UPDATE (RFC 3311),
//! picture_fast_update (RFC 5168) and keys by INFO. It hands session descriptions up and down unread.
//!
//! Not here yet: registration, authentication, name resolution, TLS.
//!
//! ```text
//! handle_datagram ─┐                        ┌─ poll_transmit
//! handle_stream ───┤ transaction → dialog → ├─ poll_event
//! handle_timeout ──┤    → session           ├─ poll_timeout
//! commands ────────┘                        ┘
//! ```
//!
//! All three polls are to be drained after every call that changes the endpoint, before the next one.

#![forbid(unsafe_code)]

mod abilities;
mod answer;
pub mod authentication;
mod body;
mod call_out;
mod call_out_check;
mod call_out_redirect;
mod call_out_response;
mod calling;
mod commands;
mod connections;
mod dialog;
mod endpoint;
mod event;
mod exchange;
pub mod guard;
mod info;
mod invite;
mod invite_client;
pub mod keep_alive;
mod peers;
mod ping;
mod prack;
mod reason;
mod receive;
mod registration;
mod reinvite_client;
mod reply;
pub mod rules;
mod ruling;
mod session;
mod session_timer;
mod table;
mod target_order;
mod timeouts;
pub mod timer;
mod transaction_client;
mod transaction_invite;
mod transaction_server;
mod transmit;
mod uac;
mod uas;
mod update;

pub use authentication::{AuthenticationError, Authenticator, Credentials, Verdict};
pub use call_out::{CallOut, RING};
pub use endpoint::{ConnectionRefused, SipConfig, SipEndpoint};
pub use event::{Cause, EndedBy, SipCounters, SipEvent, SipRefusal};
pub use ping::{PeerState, PingConfig};
pub use registration::{RegistrationConfig, RegistrationId, RegistrationState};
pub use session_timer::SessionTimers;
pub use target_order::TargetWalk;
pub use transmit::{SipDestination, SipTarget, SipTargets, SipTransmit};
