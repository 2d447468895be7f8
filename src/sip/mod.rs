//! Floor 2: SIP (RFC 3261), the machine of one trunk.
//!
//! [`SipEndpoint`] is the user agent that takes and places calls on one port. It implements the UAS
//! and UAC cores and dialogs of RFC 3261, server and client transactions with RFC 6026, failover of
//! RFC 3263 section 4.3, symmetric response routing (RFC 3581), keep-alives on streams (RFC 5626 section
//! 4.4.1), session timers (RFC 4028), reliable provisional answers (RFC 3262), UPDATE (RFC 3311),
//! picture_fast_update (RFC 5168) and keys by INFO, and transfers by REFER, NOTIFY and Replaces (RFC 3515,
//! RFC 3891, RFC 4488). It hands session descriptions up and down unread.
//!
//! As a client it calls, registers (section 10.2) with digest authentication (RFC 7616, RFC 8760), and
//! asks peers by OPTIONS whether they are there. Names are looked up and TLS is spoken elsewhere.
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
mod abuse;
mod answer;
pub mod authentication;
mod body;
mod call_out;
mod call_out_check;
mod call_out_redirect;
mod call_out_request;
mod call_out_response;
mod calling;
mod commands;
mod connections;
mod dialog;
mod endpoint;
mod event;
mod exchange;
mod guard;
mod info;
mod invite;
mod invite_client;
pub mod keep_alive;
mod keys;
mod peers;
mod ping;
mod prack;
mod reason;
mod receive;
mod refer;
mod refer_out;
mod refer_to;
mod registration;
mod reinvite_client;
mod replaces;
mod reply;
pub mod rules;
mod ruling;
mod session;
mod session_timer;
mod sipfrag;
mod standing;
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

pub use abuse::{Abuse, Standing};
pub use authentication::{AuthenticationError, Authenticator, Credentials, Verdict};
pub use call_out::{CallOut, RING};
pub use endpoint::{ConnectionRefused, SipConfig, SipEndpoint};
pub use event::{Cause, EndedBy, SipCounters, SipEvent, SipRefusal};
pub use guard::Rates;
pub use keys::KeyForm;
pub use ping::{PeerState, PingConfig};
pub use registration::{RegistrationConfig, RegistrationId, RegistrationState};
pub use session_timer::SessionTimers;
pub use target_order::TargetWalk;
pub use transmit::{SipDestination, SipTarget, SipTargets, SipTransmit};
