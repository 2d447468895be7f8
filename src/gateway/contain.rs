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
use crate::gateway::ending::Ending;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::page::history::RefusedCall;
use crate::sip::{Cause, EndedBy, SipEvent};

/// Runs work of one call or player; `None` when a defect ended it.
pub(super) fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The call that an event is of.
pub(super) fn call_of(event: &SipEvent) -> Option<CallId> {
    match event {
        SipEvent::Invite { id, .. }
        | SipEvent::Progress { id, .. }
        | SipEvent::Answered { id, .. }
        | SipEvent::Redirected { id, .. }
        | SipEvent::Confirmed { id, .. }
        | SipEvent::Reinvite { id, .. }
        | SipEvent::ReinviteConfirmed { id, .. }
        | SipEvent::ReinviteCancelled { id }
        | SipEvent::ProvisionalConfirmed { id, .. }
        | SipEvent::OfferWanted { id, .. }
        | SipEvent::Reinvited { id, .. }
        | SipEvent::ReinviteRefused { id, .. }
        | SipEvent::KeyframeWanted { id }
        | SipEvent::Dtmf { id, .. }
        | SipEvent::DtmfRefused { id, .. }
        | SipEvent::Refer { id, .. }
        | SipEvent::TransferProgress { id, .. }
        | SipEvent::Ended { id, .. } => Some(*id),
        SipEvent::Registration { .. } | SipEvent::Peer { .. } => None,
        SipEvent::Disconnect { .. } | SipEvent::Abuse(_) => None,
    }
}

impl Gateway {
    /// Ends a call whose state is unknown, without using any of it but its handles.
    pub(super) fn crash_call(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.release_registration(now, index);
        self.drop_leg(now, index);
        self.tell_hooks(now, index, true, outlet);
        if let Some(call) = self.calls.get_mut(index) {
            let is_over = !call.is_live();
            call.crashed = true;
            call.ending = Some(Ending::Defect);
            // One whose stream was still ending is in the history already.
            if !is_over {
                let cause = Cause::new(500, Cause::DEFECT);
                self.remember_call(now, index, (&cause, EndedBy::Local), outlet);
            }
        }
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
            let _ = trunk
                .endpoint
                .hangup(now, sip, Cause::new(500, Cause::DEFECT));
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
        self.forget_injection(index, call.injection.take(), outlet);
        if let Some(mut outputs) = call.outputs.take() {
            for listener in std::mem::take(&mut outputs.listeners) {
                self.end_injection(now, listener, "its stream ended", outlet);
            }
            self.release_outputs(*outputs, outlet);
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
            let trunk = self.trunks.get(at).map(|it| it.config.name.clone());
            let refused = RefusedCall {
                outgoing: false,
                trunk: &trunk.unwrap_or_default(),
                caller: "",
                callee: "",
                ending: Ending::Defect,
                words: format_args!("500 {}", Cause::DEFECT),
                times: 1,
            };
            self.remember_refused(now, &refused, outlet);
            if let Some(index) = self.calls.vacant() {
                outlet.close_media(index, Track::Audio);
                outlet.close_media(index, Track::Video);
            }
            if let Some(trunk) = self.trunks.get_mut(at) {
                if trunk.endpoint.reject(now, sip, 500, "", None).is_err() {
                    let _ = trunk
                        .endpoint
                        .hangup(now, sip, Cause::new(500, Cause::DEFECT));
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt;
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::base::packet_pool::PacketPool;
    use crate::base::rng::Rng;
    use crate::base::time::NtpTime;
    use crate::gateway::config::Config;
    use crate::gateway::desk::{DeskId, DeskWork};
    use crate::gateway::outlet::{
        FileId, LookUp, LookUpId, MediaPort, Origin, RecordEnd, RecordId, Security,
    };

    const HEAD: &str = "INVITE sip:4711@127.0.0.1:40000 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
        From: <sip:1@127.0.0.1>;tag=1\r\nTo: <sip:4711@127.0.0.1>\r\nCall-ID: 1\r\n\
        CSeq: 1 INVITE\r\nContact: <sip:1@127.0.0.1>\r\nContent-Type: application/sdp\r\n";
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
        t=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

    /// Counts open sockets.
    #[derive(Default)]
    struct Counts {
        sockets: i32,
    }

    impl Outlet for Counts {
        fn listen_sip(
            &mut self,
            _: usize,
            _: &crate::gateway::config::Trunk,
        ) -> Result<(), String> {
            Ok(())
        }
        fn close_sip(&mut self, _: usize) {}
        fn send_sip(&mut self, _: usize, _: SocketAddr, _: &[u8]) {}
        fn connect(&mut self, _: &str, _: u16, _: Security) -> Option<ConnId> {
            None
        }
        fn write(&mut self, _: ConnId, _: &[u8]) -> usize {
            0
        }
        fn send_stream(&mut self, _: ConnId, _: &[u8]) {}
        fn close(&mut self, _: ConnId) {}
        fn open_media(&mut self, _: CallIndex, _: Track, _: IpAddr, _: u16) -> io::Result<()> {
            self.sockets += 1;
            Ok(())
        }
        fn close_media(&mut self, _: CallIndex, _: Track) {
            self.sockets -= 1;
        }
        fn send_media(&mut self, _: CallIndex, _: Track, _: MediaPort, _: SocketAddr, _: &[u8]) {}
        fn connect_sip(&mut self, _: usize, _: SocketAddr, _: Option<&str>) -> Option<ConnId> {
            None
        }
        fn look_up(&mut self, _: LookUpId, _: LookUp<'_>) -> bool {
            false
        }
        fn local_address(&mut self, remote: IpAddr) -> IpAddr {
            remote
        }
        fn keep(&mut self, _: u64, _: &[u8]) {}
        fn open_file(&mut self, _: FileId, _: &str) -> bool {
            false
        }
        fn read_file(&mut self, _: FileId) {}
        fn close_file(&mut self, _: FileId) {}
        fn record_open(&mut self, _: RecordId, _: &str) -> bool {
            true
        }
        fn record_append(&mut self, _: RecordId, _: Vec<u8>) -> bool {
            true
        }
        fn record_close(&mut self, _: RecordId, _: RecordEnd) -> bool {
            true
        }
        fn desk(&mut self, _: DeskId, _: DeskWork) -> bool {
            false
        }
        fn note_from(&mut self, _: Origin, _: Level, _: fmt::Arguments<'_>) {}
    }

    #[test]
    fn a_call_whose_input_or_timer_broke_is_fed_nothing_more_and_ends_with_the_next_drain() {
        let pool = PacketPool::new(8);
        let rng = Rng::from_number(1);
        let mut gateway = Gateway::new(Config::default(), rng, NtpTime(0), pool.clone()).unwrap();
        let mut outlet = Counts::default();
        let (now, from) = (Instant::from_millis(1), "127.0.0.1:5060".parse().unwrap());
        let length = OFFER.len();
        let invite = format!("{HEAD}Content-Length: {length}\r\n\r\n{OFFER}");
        gateway.handle_sip_datagram(now, 0, from, invite.as_bytes(), &mut outlet);
        gateway.drain(now, &mut outlet);
        assert_eq!((gateway.usage().calls, outlet.sockets), (1, 1));

        // As handle_media, handle_timeout and the publisher's entries leave it.
        let index = CallIndex(0);
        gateway.calls.touch_mut(index).unwrap().crashed = true;
        let packet = pool.copy_from(&[0x80; 172]).unwrap();
        gateway.handle_media(now, index, Track::Audio, MediaPort::Rtp, from, packet);
        assert_eq!(gateway.counters().stray_packets, 1);
        let fed = Cell::new(false);
        gateway.with_publisher(index, |_| fed.set(true));
        assert!(!fed.get());

        gateway.drain(now, &mut outlet);
        assert_eq!(gateway.counters().calls_crashed, 1);
        let usage = gateway.usage();
        assert_eq!((usage.calls, usage.ports, outlet.sockets), (0, 0, 0));
        gateway.check_invariants();
        assert_eq!(pool.available(), 8);
    }

    #[test]
    fn a_timer_of_sip_that_breaks_takes_its_call_along_and_nothing_else() {
        let pool = PacketPool::new(8);
        let rng = Rng::from_number(1);
        let mut gateway = Gateway::new(Config::default(), rng, NtpTime(0), pool).unwrap();
        let mut outlet = Counts::default();
        let (now, from) = (Instant::from_millis(1), "127.0.0.1:5060".parse().unwrap());
        let length = OFFER.len();
        let invite = format!("{HEAD}Content-Length: {length}\r\n\r\n{OFFER}");
        gateway.handle_sip_datagram(now, 0, from, invite.as_bytes(), &mut outlet);
        gateway.drain(now, &mut outlet);
        let endpoint = &mut gateway.trunks.first_mut().unwrap().endpoint;
        // The repetition of the 200 is due then.
        let due = endpoint.poll_timeout().unwrap();
        endpoint.break_next_timer();
        gateway.handle_timeout(due);
        gateway.drain(due, &mut outlet);
        assert_eq!(gateway.counters().timers_crashed, 1);
        assert_eq!(gateway.trunks.first().unwrap().endpoint.calls(), 0);
        let later = due + core::time::Duration::from_secs(3);
        gateway.handle_timeout(later);
        gateway.drain(later, &mut outlet);
        assert_eq!((gateway.usage().calls, outlet.sockets), (0, 0));
        assert!(gateway.poll_timeout().is_none_or(|at| at > later));
    }

    #[test]
    fn a_panic_is_told_and_goes_no_further() {
        assert_eq!(contained(|| 1), Some(1));
        assert_eq!(
            contained(|| -> u8 { panic!("a defect put in by a test") }),
            None
        );
    }
}
