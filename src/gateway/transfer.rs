//! Transfers: a call's stream goes on with another party (RFC 3515, RFC 3891, RFC 5589).
//!
//! Three ways lead there. The peer refers us: we call the target over the same trunk, and when it
//! answers, the call takes that dialog over; when it does not, the call goes on as it was. Another party
//! takes the call over by an INVITE with Replaces. Or we refer the peer, and the call ends once the peer
//! has reached the target.

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

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::ending::Ending;
use crate::gateway::outgoing::escaped;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::sip::{Cause, SipRefusal};
use crate::wire::sip_uri::Uri;

pub(super) use leg::{Leg, Referred};

mod leg;
mod take_over;
mod way;

/// How far a transfer is, in the words of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStatus {
    /// Asked for.
    Pending,
    /// Whoever was asked has taken it on.
    Accepted,
    /// The target is being called.
    Trying,
    /// The target has answered.
    Completed,
    /// It was refused, or the target was not reached; the call goes on as before.
    Failed,
}

impl fmt::Display for TransferStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Accepted => "ACCEPTED",
            Self::Trying => "TRYING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        })
    }
}

/// The last transfer of a call.
#[derive(Debug)]
pub struct Transfer {
    /// How far it is.
    pub status: TransferStatus,
    /// Whom it leads to, as it was asked for.
    pub target: String,
    /// Code of the last response of the target; 0 before the first.
    pub code: u16,
    /// The call to the target, until it is answered or over.
    pub(super) leg: Option<Leg>,
}

/// Why a transfer was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferRefused {
    /// No live call has the name.
    NoSuchCall,
    /// The target is neither a number, nor a SIP address, nor another call of the same trunk.
    Target,
    /// The call is not up, or a transfer of it is under way.
    WrongState,
    /// SIP could not send the request.
    Sip(SipRefusal),
}

impl fmt::Display for TransferRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchCall => "there is no such call",
            Self::Target => "target: expected a number, a SIP address or a call of the same trunk",
            Self::WrongState => "the call is not in a state for a transfer",
            Self::Sip(refusal) => return refusal.fmt(f),
        })
    }
}

impl core::error::Error for TransferRefused {}

impl Gateway {
    /// Asks the peer of a call to go on with somebody else: with a number, with a SIP address, or with
    /// the peer of the call that has this name (attended). How it goes is in [`Call::transfer`]; once the
    /// target has answered, the call ends.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    pub fn transfer(
        &mut self,
        now: Instant,
        call_id: &str,
        target: &str,
        outlet: &mut dyn Outlet,
    ) -> Result<(), TransferRefused> {
        let named = |name: &str| {
            let is_it = |call: &Call| call.is_live() && call.sip_call_id == name;
            self.calls.find(is_it)
        };
        let index = named(call_id).ok_or(TransferRefused::NoSuchCall)?;
        let other = named(target).filter(|other| *other != index);
        let other = other.and_then(|other| self.calls.get_mut(other).map(|c| (c.trunk, c.sip)));
        let call = self.calls.touch_mut(index);
        let call = call.ok_or(TransferRefused::NoSuchCall)?;
        let (Some(sip), Some(_)) = (call.sip, call.answered) else {
            return Err(TransferRefused::WrongState);
        };
        if call.is_moving() {
            return Err(TransferRefused::WrongState);
        }
        let replaces = match other {
            Some((trunk, Some(other))) if trunk == call.trunk => Some(other),
            Some(_) => return Err(TransferRefused::Target),
            None => None,
        };
        let trunk = self.trunks.get_mut(call.trunk);
        let trunk = trunk.ok_or(TransferRefused::NoSuchCall)?;
        let is_uri = target.starts_with("sip:") || target.starts_with("sips:");
        let to = match (replaces, is_uri) {
            (Some(_), _) => String::new(),
            (None, true) => target.to_owned(),
            (None, false) if target.is_empty() => return Err(TransferRefused::Target),
            (None, false) => {
                let domain = trunk.domain_of(sip).ok_or(TransferRefused::Target)?;
                format!("sip:{}@{domain}", escaped(target))
            }
        };
        trunk.dirty = true;
        match trunk.endpoint.refer(now, sip, &to, replaces) {
            Ok(()) => {}
            Err(SipRefusal::BadField(_)) => return Err(TransferRefused::Target),
            Err(SipRefusal::WrongState) => return Err(TransferRefused::WrongState),
            Err(refusal) => return Err(TransferRefused::Sip(refusal)),
        }
        let transfer = Transfer {
            status: TransferStatus::Pending,
            target: target.to_owned(),
            code: 0,
            leg: None,
        };
        outlet.note(
            Level::Info,
            format_args!("{}: transfer to {target} asked for", call.label),
        );
        call.transfer = Some(Box::new(transfer));
        Ok(())
    }

    /// What the peer says of a transfer that we asked for.
    pub(super) fn handle_transfer_progress(
        &mut self,
        now: Instant,
        index: CallIndex,
        (code, done): (u16, bool),
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(transfer) = &mut call.transfer else {
            return;
        };
        transfer.code = code;
        transfer.status = match (code, done) {
            // A peer that tells nothing more has taken it on, and ends the call by itself.
            (202, _) => TransferStatus::Accepted,
            (200..300, true) => TransferStatus::Completed,
            (_, true) => TransferStatus::Failed,
            _ => TransferStatus::Trying,
        };
        let status = transfer.status;
        let level = match status {
            TransferStatus::Failed => Level::Warn,
            _ => Level::Info,
        };
        let target = &transfer.target;
        outlet.note(
            level,
            format_args!("{}: transfer to {target} {status} ({code})", call.label),
        );
        if status == TransferStatus::Completed {
            call.ending = Some(Ending::Transferred);
            self.hang_up(now, index, Cause::new(200, "transferred"));
        }
    }
}

impl Call {
    /// Whether the target of a transfer is being called for it.
    pub(super) fn is_moving(&self) -> bool {
        self.leg().is_some()
    }

    pub(super) fn leg(&self) -> Option<&Leg> {
        self.transfer.as_ref()?.leg.as_ref()
    }

    /// Whether that handle of SIP is the call to the target of its transfer.
    pub(super) fn has_leg(&self, sip: CallId) -> bool {
        self.leg().is_some_and(|leg| leg.sip == sip)
    }
}

impl super::trunk::Trunk {
    /// The host that numbers of a call's PBX are at, with its port where it has no name.
    fn domain_of(&self, sip: CallId) -> Option<String> {
        if let Some(domain) = self.config.own_domain() {
            return Some(super::config::HostPort::new(domain.clone(), None).to_string());
        }
        let own = self.endpoint.own_address(sip)?;
        let own_host = Uri::parse(own.as_bytes())?.host?.to_string();
        let peer = self.endpoint.peer(sip)?.address;
        // An INVITE to us names us: the numbers are the peer's.
        let is_ours = self.endpoint.is_called(sip);
        Some(if is_ours { peer.to_string() } else { own_host })
    }
}
