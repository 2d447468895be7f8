//! How the daemon is, as the front of the box shows it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::gateway::Gateway;
use crate::gateway::status::CallStatus;
use crate::gateway::trunk_view::TrunkView;
use crate::panel::Facts;
use crate::rtmp::RtmpStatus;
use crate::sip::RegistrationState;

impl Gateway {
    /// What the LEDs of the box show. It is a look at every trunk, call and push.
    ///
    /// Registered is a box whose trunks that register are all registered. Where none does, it is one
    /// whose ports are all open, and of whose PBXs each has a host that answers, or that is not asked.
    /// A fault is what the owner had better look at: a port that is not open, a registration that was
    /// refused, a PBX that is not found or does not answer, a stream that its RTMP server does not
    /// take.
    pub fn front(&self) -> Facts {
        let is_up = |status| matches!(status, CallStatus::Established | CallStatus::Hold);
        let calls = self.calls().filter(|call| is_up(call.status)).count();
        let trunks = &self.config.trunks;
        let registering = trunks.iter().filter(|trunk| trunk.register.is_some());
        let registering = registering.count();
        let registered = self.trunks().filter(TrunkView::is_registered).count();
        let are_open = self.waiting_trunks().next().is_none();
        let is_unreachable = self.trunks().any(|trunk| trunk.is_unreachable());
        Facts {
            registered: match registering {
                0 => are_open && !is_unreachable,
                registering => registered >= registering,
            },
            calls: u16::try_from(calls).unwrap_or(u16::MAX),
            fault: !are_open
                || is_unreachable
                || self.trunks().any(|trunk| trunk.is_refused())
                || self.has_stream_trouble(),
        }
    }

    /// Whether a stream is not at an RTMP server where it should be.
    fn has_stream_trouble(&self) -> bool {
        let is_trouble = |status| matches!(status, RtmpStatus::Lost | RtmpStatus::Failed);
        let mut calls = self.calls().filter(|call| call.is_live());
        calls.any(|call| call.rtmp_status().is_some_and(is_trouble))
            || self.pushes().any(|(_, push)| is_trouble(push.status()))
    }
}

impl TrunkView<'_> {
    /// Whether its own registration is good.
    fn is_registered(&self) -> bool {
        matches!(
            self.registration(),
            Some(RegistrationState::Registered { .. })
        )
    }

    /// Whether its own registration failed, or its PBX has a name that nobody knows.
    fn is_refused(&self) -> bool {
        let failed = matches!(
            self.registration(),
            Some(RegistrationState::Failed { .. } | RegistrationState::AuthenticationFailed { .. })
        );
        failed || self.trunk().not_found.is_some()
    }

    /// Whether no host of its PBX answers, of those that are asked.
    fn is_unreachable(&self) -> bool {
        let mut peers = self.peers().peekable();
        peers.peek().is_some() && peers.all(|(_, state)| state.is_down())
    }
}
