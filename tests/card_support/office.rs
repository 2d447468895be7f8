//! What stands around a card: a PBX and an RTMP server on this host, and callers.

use serde_json::json;

use super::{Machine, Owner, Registrar};
use crate::support::sipp::Scenario;
use crate::support::{Nginx, Ports, probe};

/// This host, as the card sees it.
pub const HOST: &str = "10.0.2.2";

/// A PBX that takes registrations, and nginx.
pub struct Office {
    /// The PBX.
    pub registrar: Registrar,
    nginx: Nginx,
}

impl Office {
    /// Begins to serve.
    pub fn open(ports: &mut Ports) -> Self {
        Self {
            nginx: Nginx::start(ports),
            registrar: Registrar::start(ports.address()),
        }
    }

    /// Where calls are relayed to, as the card sees it.
    pub fn url(&self) -> String {
        format!("rtmp://{HOST}:{}/live", self.nginx.address().port())
    }

    /// What somebody enters in the guide: the PBX with a number there, and the RTMP server.
    pub fn set_up(&self, owner: &Owner, machine: &Machine) {
        let (first, last) = machine.media();
        owner.change(|settings| {
            settings["trunks"] = json!({"office": {
                "localPort": 40000,
                "proxyIp": HOST,
                "remotePort": self.registrar.address().port(),
                "register": {"login": "box", "password": "of a test"},
                "url": self.url(),
                "sink": "nginx-rtmp",
            }});
            // This host reaches the card's ports at its own loopback address.
            settings["media"] = json!({"address": "127.0.0.1", "ports": format!("{first}-{last}")});
        });
    }

    /// Calls the card, demands that what nginx got of it is the call, and looks on `meanwhile`.
    pub fn call(
        &self,
        machine: &mut Machine,
        ports: &mut Ports,
        number: &str,
        meanwhile: impl FnOnce(&mut Machine),
    ) {
        let caller = Scenario::new("card", "u1", machine.sip(), number).play(20, 96);
        let caller = caller.start(ports);
        meanwhile(machine);
        caller.succeed();
        let recording = self.nginx.recording(&format!("rtmp_{number}"));
        probe::check_clip_streams(&recording);
        let streams = probe::streams(&recording);
        println!("relayed by the card and decoded: {streams:?}");
        assert!(streams.pictures > 400, "{streams:?} of 500 pictures sent");
    }
}
