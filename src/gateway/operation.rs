//! What the operator does to a gateway that runs: another configuration, and the end.

use core::time::Duration;

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Config;
use crate::gateway::ending::Ending;
use crate::gateway::outgoing;
use crate::gateway::outlet::CallIndex;
use crate::gateway::trunk::Trunk;
use crate::sdp::PlanError;
use crate::sip::Cause;

/// How long the BYE of a call waits for an ACK that is missing while the process ends.
const ACK_PATIENCE: Duration = Duration::from_secs(1);

impl Gateway {
    /// Takes a new configuration over for coming calls.
    ///
    /// Ports of trunks are opened and closed with the next drain, those with calls when the calls are
    /// over. The other listeners are those that the configuration names: who cannot bind one hands its
    /// section over as it was. Capacities and folders are left as they were until the next start; returns
    /// whether any such part changed.
    pub fn reload(&mut self, config: Config) -> Result<bool, PlanError> {
        self.change_trunks(&config.trunks)?;
        self.forget_sinks();
        let waits = self.config.waits_for_start(&config);
        let same_folder = self.config.records_as(&config);
        self.hooks_wanted = Some(Box::new(config.hooks.clone()));
        self.config.hooks = config.hooks;
        if same_folder {
            self.config.recording = config.recording;
        }
        self.config.trunks = config.trunks;
        self.config.media = config.media;
        self.ports.change(config.media.ports);
        self.config.rtmp_listen = config.rtmp_listen;
        if config.rest != self.config.rest {
            self.http.end_all(|face| !face.is_page());
        }
        self.config.rest = config.rest;
        self.reconfigure_page(config.page);
        self.trunks.iter_mut().for_each(Trunk::unsettle);
        Ok(!waits.is_empty())
    }

    /// Ends every call with BYE and every stream with a clean unpublish; new calls get 503.
    pub fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.stop_asking(now);
        self.unregister_all(now);
        let sessions: Vec<_> = self
            .calls
            .iter()
            .filter_map(|(index, call)| Some((index, call.trunk, call.sip?)))
            .collect();
        for (index, at, sip) in sessions {
            if let Some(call) = self.calls.get_mut(index) {
                call.ending.get_or_insert(Ending::Stopped);
            }
            if let Some(trunk) = self.trunks.get_mut(at) {
                // A call that is over already needs no end.
                let _ = trunk
                    .endpoint
                    .hangup(now, sip, Cause::new(200, "the gateway stops"));
                trunk.dirty = true;
            }
        }
        // Those that are still on their way to the INVITE.
        let mut from = CallIndex(0);
        while let Some(index) = self.calls.find_from(from, |call| call.sip.is_none()) {
            let call = self.calls.touch_mut(index);
            let call = call.map(|call| (&mut call.ending, call.outgoing.as_mut()));
            if let Some((ending, Some(out))) = call {
                ending.get_or_insert(Ending::Stopped);
                out.stage = outgoing::Stage::Over(Cause::new(200, "the gateway stops"));
            }
            from = CallIndex(index.0.saturating_add(1));
        }
        for trunk in &mut self.trunks {
            trunk.endpoint.hurry(now + ACK_PATIENCE);
        }
    }

    /// Whether it was told to stop, or stops to begin anew.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether no call and no stream is left, and nothing of them to tell.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && !self.owes_hooks()
            && self.trunks.iter().all(|trunk| {
                trunk.endpoint.closing_calls() == 0 && trunk.endpoint.registrations() == 0
            })
    }
}
