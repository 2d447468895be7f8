//! A defect in the code of one call, or of one player, ends that one and nothing else.
//!
//! Work for a call runs in [`contained`]. A panic in it leaves the call's state unknown, so nothing
//! of it is used any more: the call is taken out of the table, the caller gets a BYE, sockets are
//! closed and readers are sent away. The same holds for a player by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::codec::Track;
use crate::base::ids::{CallId, ConnId};
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::sip::{Cause, SipEvent};

/// Runs work of one call or player; `None` when a defect ended it.
pub(super) fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The call that an event is of.
pub(super) fn call_of(event: &SipEvent) -> Option<CallId> {
    match event {
        SipEvent::Invite { id, .. }
        | SipEvent::Confirmed { id, .. }
        | SipEvent::Reinvite { id, .. }
        | SipEvent::ReinviteConfirmed { id, .. }
        | SipEvent::ReinviteCancelled { id }
        | SipEvent::Ended { id, .. } => Some(*id),
        SipEvent::Disconnect { .. } => None,
    }
}

impl Gateway {
    /// Ends a call whose state is unknown, without using any of it but its handles.
    pub(super) fn crash_call(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        let Some(mut call) = self.calls.remove(index) else {
            return;
        };
        self.counters.calls_crashed += 1;
        outlet.note(
            Level::Error,
            format_args!("{}: ended by a defect of this program", call.label),
        );
        if let (Some(sip), Some(trunk)) = (call.sip, self.trunks.get_mut(call.trunk)) {
            // A call that is over already needs no end.
            let _ = trunk.endpoint.hangup(now, sip, Cause::new(500, "a defect"));
            trunk.dirty = true;
        }
        self.close_tracks(index, &mut call.ports, outlet);
        let link = call.publishing.as_mut().and_then(|p| p.link.take());
        if let Some(link) = link {
            self.connections.remove(link.conn);
            outlet.close(link.conn);
        }
        for at in std::mem::take(&mut call.players) {
            if let Some(viewer) = self.players.get_mut(at) {
                viewer.call = None;
                viewer.player.end(now);
                self.touch_player(at);
            }
        }
        // What is broken may break once more.
        contained(move || drop(call));
    }

    /// Ends the call whose event could not be handled, whether or not it is in the table yet.
    pub(super) fn crash_event(
        &mut self,
        now: Instant,
        at: usize,
        sip: CallId,
        outlet: &mut dyn Outlet,
    ) {
        if let Some(index) = self.call_of(at, sip) {
            // A negotiation that was under way may have opened more than the call knows of.
            outlet.close_media(index, Track::Audio);
            outlet.close_media(index, Track::Video);
            self.crash_call(now, index, outlet);
        } else {
            self.counters.calls_crashed += 1;
            outlet.note(
                Level::Error,
                format_args!("a call was refused for a defect of this program"),
            );
            if let Some(index) = self.calls.vacant() {
                outlet.close_media(index, Track::Audio);
                outlet.close_media(index, Track::Video);
            }
            if let Some(trunk) = self.trunks.get_mut(at) {
                if trunk.endpoint.reject(now, sip, 500, "", None).is_err() {
                    let _ = trunk.endpoint.hangup(now, sip, Cause::new(500, "a defect"));
                }
                trunk.dirty = true;
            }
        }
        let Self { ports, calls, .. } = self;
        ports.retain(|port| {
            calls
                .iter()
                .any(|(_, call)| call.ports.audio == Some(port) || call.ports.video == Some(port))
        });
    }

    /// Ends a player whose state is unknown.
    pub(super) fn crash_player(&mut self, at: usize, outlet: &mut dyn Outlet) {
        let Some(viewer) = self.players.get(at) else {
            return;
        };
        self.counters.players_crashed += 1;
        outlet.note(
            Level::Error,
            format_args!(
                "player {}: ended by a defect of this program",
                viewer.remote
            ),
        );
        let conn = viewer.link.conn;
        self.connections.remove(conn);
        outlet.close(conn);
        self.leave(at);
        let viewer = self.players.remove(at);
        contained(move || drop(viewer));
    }

    /// Ends a SIP connection on which something came that a defect kept from being handled.
    pub(super) fn crash_connection(
        &mut self,
        now: Instant,
        conn: ConnId,
        at: usize,
        outlet: &mut dyn Outlet,
    ) {
        self.counters.inputs_crashed += 1;
        outlet.note(
            Level::Error,
            format_args!("a SIP connection was closed for a defect of this program"),
        );
        self.connections.remove(conn);
        outlet.close(conn);
        if let Some(trunk) = self.trunks.get_mut(at) {
            contained(|| trunk.endpoint.handle_disconnected(now, conn));
        }
    }
}
