//! What each TCP connection is for.

use crate::base::ids::ConnId;
use crate::gateway::outlet::CallIndex;
use crate::gateway::pushes::PushIndex;
use crate::limits::STREAMS;

/// The user of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// SIP of the trunk at this place.
    Sip(usize),
    /// The RTMP publisher of a call.
    Publisher(CallIndex),
    /// The push at this place.
    Push(PushIndex),
    /// The player at this place.
    Player(usize),
    /// The HTTP connection at this place.
    Http(usize),
    /// The connection to the backend of hooks at this place.
    Hook(usize),
}

/// The user of every connection, by its place in the shell's table.
#[derive(Debug)]
pub struct Connections {
    users: Vec<Option<(ConnId, User)>>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            users: vec![None; STREAMS],
        }
    }
}

impl Connections {
    /// Notes the user of a new connection.
    pub fn insert(&mut self, conn: ConnId, user: User) {
        if let Some(place) = self.users.get_mut(slot(conn)) {
            *place = Some((conn, user));
        }
    }

    /// Who uses a connection; `None` once it is gone.
    pub fn user(&self, conn: ConnId) -> Option<User> {
        match self.users.get(slot(conn)) {
            Some(Some((held, user))) if *held == conn => Some(*user),
            _ => None,
        }
    }

    /// Forgets a connection; who used it.
    pub fn remove(&mut self, conn: ConnId) -> Option<User> {
        let user = self.user(conn)?;
        *self.users.get_mut(slot(conn))? = None;
        Some(user)
    }

    /// Every connection with its user.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, User)> {
        self.users.iter().flatten().copied()
    }
}

fn slot(conn: ConnId) -> usize {
    usize::from(conn.0 as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_place_does_not_answer_to_the_old_connection() {
        let mut connections = Connections::default();
        connections.insert(ConnId(5), User::Sip(0));
        connections.insert(ConnId(1 << 16 | 5), User::Player(3));
        assert_eq!(connections.user(ConnId(5)), None);
        assert_eq!(connections.remove(ConnId(5)), None);
        assert_eq!(connections.user(ConnId(1 << 16 | 5)), Some(User::Player(3)));
    }
}
