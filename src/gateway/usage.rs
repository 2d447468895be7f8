//! What of the gateway's capacities is in use, and whether its tables agree.

use crate::gateway::Gateway;
use crate::gateway::connections::User;

/// What is in use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls in the table, those whose stream still ends included.
    pub calls: usize,
    /// Local players, those that have not asked for a stream yet included.
    pub players: usize,
    /// Pushes, those that say farewell included.
    pub pushes: usize,
    /// HTTP connections.
    pub clients: usize,
    /// Connections that belong to a trunk, a publisher, a player or a client.
    pub connections: usize,
    /// Even media ports that are leased.
    pub ports: usize,
    /// Sessions and transactions of all SIP endpoints.
    pub sip: usize,
}

impl Gateway {
    /// What is in use now.
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.len(),
            players: self.players.len(),
            pushes: self.pushes.len(),
            clients: self.http.len(),
            connections: self.connections.iter().count(),
            ports: self.ports.leased(),
            sip: self.trunks.iter().map(|trunk| trunk.endpoint.busy()).sum(),
        }
    }

    /// Panics when tables disagree, here or in a machine below; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.check_recordings();
        for trunk in &self.trunks {
            trunk.endpoint.check_invariants();
        }
        let mut leased = 0;
        for (index, call) in self.calls.iter() {
            call.session.check_invariants();
            call.log.check_invariants();
            leased += usize::from(call.ports.audio.is_some());
            leased += usize::from(call.ports.video.is_some());
            if let Some(publishing) = &call.publishing {
                publishing.publisher.check_invariants();
                if let Some(link) = &publishing.link {
                    let user = self.connections.user(link.conn);
                    assert_eq!(
                        user,
                        Some(User::Publisher(index)),
                        "a publisher's connection"
                    );
                }
            }
            for at in &call.players {
                let player = self.players.get(*at).map(|viewer| viewer.call);
                assert_eq!(player, Some(Some(index)), "a player of a call");
            }
        }
        assert_eq!(leased, self.ports.leased(), "ports leased and ports held");
        for (at, viewer) in self.players.places() {
            viewer.player.check_invariants();
            let user = self.connections.user(viewer.link.conn);
            assert_eq!(user, Some(User::Player(at)), "a player's connection");
            let call = viewer.call.map(|index| {
                self.calls
                    .iter()
                    .any(|(place, call)| place == index && call.players.contains(&at))
            });
            assert_ne!(call, Some(false), "a player's call does not know it");
        }
        for (at, push) in self.pushes.iter() {
            let outputs = self.calls.get(push.call).and_then(|it| it.outputs.as_ref());
            let known = outputs.is_some_and(|outputs| outputs.pushes.contains(&at));
            assert!(known, "a push whose call does not know it");
            if let Some(publishing) = &push.publishing {
                publishing.publisher.check_invariants();
                if let Some(link) = &publishing.link {
                    let user = self.connections.user(link.conn);
                    assert_eq!(user, Some(User::Push(at)), "a push's connection");
                }
            }
        }
        let outputs = self
            .calls
            .iter()
            .filter_map(|(_, call)| call.outputs.as_ref());
        let known: usize = outputs.map(|outputs| outputs.pushes.len()).sum();
        assert_eq!(known, self.pushes.len(), "pushes of calls and of the table");
        self.check_http();
        self.check_hooks();
        for (_, user) in self.connections.iter() {
            let held = match user {
                User::Sip(at) => at < self.trunks.len(),
                User::Player(at) => self.players.get(at).is_some(),
                User::Http(at) => self.http.get(at).is_some(),
                User::Hook(at) => self.has_line(at),
                User::Push(at) => self.pushes.get(at).is_some(),
                User::Publisher(index) => self
                    .calls
                    .iter()
                    .any(|(place, call)| place == index && call.publishing.is_some()),
            };
            assert!(held, "a connection of nobody: {user:?}");
        }
    }
}
