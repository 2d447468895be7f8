//! The fixed table of local players.

use std::net::SocketAddr;

use crate::base::ids::ConnId;
use crate::gateway::outlet::CallIndex;
use crate::gateway::relay::Link;
use crate::limits::PLAYERS;
use crate::rtmp::Player;

/// One player of a stream, from its connection's first byte on.
pub struct Viewer {
    /// The RTMP side.
    pub player: Player,
    /// Its connection.
    pub link: Link,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// The call whose stream it plays, once it asked for one.
    pub call: Option<CallIndex>,
    /// A defect left it in an unknown state: it is ended with the next drain.
    pub crashed: bool,
}

/// Every player, by place.
pub struct Players {
    viewers: Vec<Option<Box<Viewer>>>,
    /// Places from here on are empty: every packet asks for the timers of all players.
    end: usize,
}

impl Default for Players {
    fn default() -> Self {
        Self {
            viewers: (0..PLAYERS).map(|_| None).collect(),
            end: 0,
        }
    }
}

impl Players {
    /// Takes a player in; its place, or `None` when the table is full.
    pub fn insert(&mut self, conn: ConnId, remote: SocketAddr, player: Player) -> Option<usize> {
        let at = self.viewers.iter().position(Option::is_none)?;
        let viewer = Viewer {
            player,
            link: Link::new(conn),
            remote,
            call: None,
            crashed: false,
        };
        *self.viewers.get_mut(at)? = Some(Box::new(viewer));
        self.end = self.end.max(at.saturating_add(1));
        Some(at)
    }

    /// Takes a player out.
    pub fn remove(&mut self, at: usize) -> Option<Box<Viewer>> {
        let viewer = self.viewers.get_mut(at)?.take();
        let last = self.viewers.iter().rposition(Option::is_some);
        self.end = last.map_or(0, |last| last.saturating_add(1));
        viewer
    }

    /// The player at a place.
    pub fn get(&self, at: usize) -> Option<&Viewer> {
        self.viewers.get(at)?.as_deref()
    }

    /// The player at a place, for change.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Viewer> {
        self.viewers.get_mut(at)?.as_deref_mut()
    }

    /// Every player.
    pub fn iter(&self) -> impl Iterator<Item = &Viewer> {
        let viewers = self.viewers.iter().take(self.end);
        viewers.flatten().map(|viewer| &**viewer)
    }

    /// Players with their places.
    pub fn places(&self) -> impl Iterator<Item = (usize, &Viewer)> {
        self.viewers
            .iter()
            .take(self.end)
            .enumerate()
            .filter_map(|(at, v)| Some((at, v.as_deref()?)))
    }

    /// Players with their places, for change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Viewer)> {
        self.viewers
            .iter_mut()
            .take(self.end)
            .enumerate()
            .filter_map(|(at, v)| Some((at, v.as_deref_mut()?)))
    }

    /// Players in the table.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no player.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
