//! Connections with more to read than one turn of the loop takes, and how much a turn takes.
//!
//! Streams are read with a budget over all of them, so that peers that send without end, however
//! many, hold up the media of calls by no more than the time for that many bytes. Who was not
//! served is first in the next turn.

use std::collections::VecDeque;

use crate::base::ids::ConnId;
use crate::limits::{STREAM_BYTES_A_WAKE, STREAMS};

/// The connections that wait to be read, each once.
#[derive(Debug)]
pub struct ReadQueue {
    waiting: VecDeque<ConnId>,
    left: usize,
}

impl Default for ReadQueue {
    fn default() -> Self {
        Self {
            waiting: VecDeque::with_capacity(STREAMS),
            left: STREAM_BYTES_A_WAKE,
        }
    }
}

impl ReadQueue {
    /// Begins a turn with a full budget; how many connections wait for it.
    pub fn begin_turn(&mut self) -> usize {
        self.left = STREAM_BYTES_A_WAKE;
        self.waiting.len()
    }

    /// Whether this turn has bytes left.
    pub fn has_budget(&self) -> bool {
        self.left > 0
    }

    /// Takes bytes that were read off the budget; the last read may exceed it.
    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// The connection that has waited longest.
    pub fn pop(&mut self) -> Option<ConnId> {
        self.waiting.pop_front()
    }

    /// Lets a connection wait for the next turn, behind those that wait already.
    pub fn wait(&mut self, conn: ConnId) {
        if !self.waiting.contains(&conn) {
            self.waiting.push_back(conn);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_once_however_often_it_is_ready() {
        let mut queue = ReadQueue::default();
        for _ in 0..3 {
            queue.wait(ConnId(1));
            queue.wait(ConnId(2));
        }
        assert_eq!(queue.begin_turn(), 2);
        assert_eq!(queue.pop(), Some(ConnId(1)));
        queue.wait(ConnId(1));
        assert_eq!(queue.pop(), Some(ConnId(2)), "served in turn");
        assert_eq!(queue.pop(), Some(ConnId(1)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_turn_reads_so_much_and_the_next_one_again() {
        let mut queue = ReadQueue::default();
        queue.begin_turn();
        queue.spend(STREAM_BYTES_A_WAKE - 1);
        assert!(queue.has_budget());
        queue.spend(9_999);
        assert!(!queue.has_budget());
        queue.begin_turn();
        assert!(queue.has_budget());
    }
}
