//! Answers that are given later: when it is known what becomes of a file, or when work at the desk is
//! done. There is one a connection at most, and none is waited for without end.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use super::connection::Face;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::contain::contained;
use crate::gateway::desk::{DeskAnswer, DeskId};
use crate::gateway::injection::InjectionRefused;
use crate::gateway::outlet::{FileId, Outlet};
use crate::gateway::page::{Late, Outcome};
use crate::gateway::{Gateway, page, rest};
use crate::wire::http_answer::{Answer, Printing};

/// How long an answer waits for work at the desk.
pub const DESK_PATIENCE: Duration = Duration::from_secs(60);

/// What an answer waits for, and how it is made then.
pub enum Wait {
    /// What becomes of a file.
    File(FileId),
    /// Work at the desk, until some time.
    Desk(DeskId, Late, Instant),
}

/// An answer that waits.
pub struct Deferred {
    /// What it waits for.
    pub wait: Wait,
    /// The place of its connection.
    pub at: usize,
    /// The connection itself: another one may have the place by then.
    pub conn: ConnId,
    /// What that is shown.
    pub face: Face,
    /// The path of the request.
    pub path: String,
    /// How the answer is printed.
    pub printing: Printing,
}

impl Deferred {
    /// Until when it waits, if there is an end to that here.
    pub fn until(&self) -> Option<Instant> {
        match self.wait {
            Wait::File(_) => None,
            Wait::Desk(_, _, until) => Some(until),
        }
    }
}

impl Gateway {
    /// It is known what becomes of a file: the client that asked for it is told, if it is still there.
    pub(in crate::gateway) fn finish_file(
        &mut self,
        now: Instant,
        id: FileId,
        done: Result<(), InjectionRefused>,
        outlet: &mut dyn Outlet,
    ) {
        let is_it = |wait: &Wait| matches!(wait, Wait::File(waits) if *waits == id);
        let Some(deferred) = self.take_deferred(|deferred| is_it(&deferred.wait)) else {
            return;
        };
        let answer = rest::late(done, &deferred.path, self.unix_millis(now));
        self.finish(now, &deferred, answer, outlet);
    }

    /// Work of the page is done: the client that asked for it is told, if it is still there.
    pub fn handle_desk(
        &mut self,
        now: Instant,
        id: DeskId,
        answer: DeskAnswer,
        outlet: &mut dyn Outlet,
    ) {
        let is_it = |wait: &Wait| matches!(wait, Wait::Desk(waits, ..) if *waits == id);
        let Some(mut deferred) = self.take_deferred(|deferred| is_it(&deferred.wait)) else {
            return;
        };
        let Some(late) = deferred.wait.take_late() else {
            return;
        };
        let secure = deferred.face.is_secure();
        let outcome = contained(|| page::late(self, now, late, answer, outlet));
        match self.settle_outcome(now, secure, outcome, outlet) {
            Ok(answer) => self.finish(now, &deferred, answer, outlet),
            Err(wait) => self.http.deferred.push(Deferred { wait, ..deferred }),
        }
    }

    /// Answers what has waited for too long.
    pub(super) fn time_deferred(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        let is_late = |deferred: &Deferred| deferred.until().is_some_and(|until| until <= now);
        while let Some(mut deferred) = self.take_deferred(is_late) {
            if let Some(late) = deferred.wait.take_late() {
                page::give_up(self, late);
            }
            let answer = page::too_slow(deferred.face.is_secure());
            self.finish(now, &deferred, answer, outlet);
        }
    }

    /// Makes an answer of what the page says, or orders the work that it waits for.
    pub(super) fn settle_outcome(
        &mut self,
        now: Instant,
        secure: bool,
        outcome: Option<Outcome>,
        outlet: &mut dyn Outlet,
    ) -> Result<Answer, Wait> {
        match outcome {
            Some(Outcome::Now(reply)) => Ok(reply.into_answer(secure)),
            Some(Outcome::Later(work, late)) => {
                let id = DeskId(self.http.next_desk);
                self.http.next_desk = self.http.next_desk.wrapping_add(1);
                if outlet.desk(id, work) {
                    return Err(Wait::Desk(id, late, now + DESK_PATIENCE));
                }
                page::give_up(self, late);
                Ok(page::busy(secure))
            }
            None => {
                self.note_defect(outlet);
                Ok(page::defect(secure))
            }
        }
    }

    fn take_deferred(&mut self, is_it: impl Fn(&Deferred) -> bool) -> Option<Deferred> {
        let place = self.http.deferred.iter().position(is_it)?;
        Some(self.http.deferred.remove(place))
    }

    /// Gives an answer that waited to its connection, if that is still there.
    fn finish(
        &mut self,
        now: Instant,
        deferred: &Deferred,
        answer: Answer,
        outlet: &mut dyn Outlet,
    ) {
        let at = deferred.at;
        let client = self.http.get(at);
        if client.is_some_and(|client| client.conn() == deferred.conn) {
            self.send_answer(now, at, answer, deferred.printing);
            self.settle_http(now, at, outlet);
        }
    }
}

impl Wait {
    /// Takes how the answer is made when work at the desk is done.
    fn take_late(&mut self) -> Option<Late> {
        match self {
            Self::File(_) => None,
            Self::Desk(_, late, _) => Some(core::mem::replace(late, Late::Document)),
        }
    }
}
