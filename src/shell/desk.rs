//! Threads for work of the page: computations, the settings file, trials.
//!
//! There are two lanes, each a thread with a bounded queue: passwords and settings, which change one
//! another and are done in order, and trials, which take seconds. A panic in a piece of work ends that
//! piece alone.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::password;
use super::waker::Waker;
use crate::gateway::desk::{Clerk, DeskAnswer, DeskId, DeskWork};
use crate::limits::{DESK_ANSWER_BYTES, DESK_DONE, DESK_QUEUE};

type Work = (DeskId, DeskWork);

/// Work that is done, and what became of it.
pub type Done = (DeskId, DeskAnswer);

/// Both lanes.
pub struct Desk {
    settings: SyncSender<Work>,
    trials: SyncSender<Work>,
    done: Receiver<Done>,
}

impl Desk {
    /// Begins to work; each answer wakes the loop.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(
        settings: Box<dyn Clerk>,
        trials: Box<dyn Clerk>,
        waker: &Waker,
    ) -> io::Result<Self> {
        let (answer, done) = sync_channel(DESK_DONE);
        Ok(Self {
            settings: lane("desk", settings, answer.clone(), waker.clone())?,
            trials: lane("trials", trials, answer, waker.clone())?,
            done,
        })
    }

    /// Takes work; false when too much waits.
    pub fn give(&self, id: DeskId, work: DeskWork) -> bool {
        let lane = match work.is_trial() {
            true => &self.trials,
            false => &self.settings,
        };
        lane.try_send((id, work)).is_ok()
    }

    /// Work that is done, if any.
    pub fn done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

fn lane(
    name: &str,
    mut clerk: Box<dyn Clerk>,
    done: SyncSender<Done>,
    waker: Waker,
) -> io::Result<SyncSender<Work>> {
    let (give, work) = sync_channel::<Work>(DESK_QUEUE);
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        while let Ok((id, work)) = work.recv() {
            let answer = catch_unwind(AssertUnwindSafe(|| answer(clerk.as_mut(), work)));
            let answer = answer
                .unwrap_or_else(|_| DeskAnswer::Failed("a defect of this program".to_owned()));
            if done.send((id, bounded(answer))).is_err() {
                return;
            }
            waker.wake();
        }
    })?;
    Ok(give)
}

fn answer(clerk: &mut dyn Clerk, work: DeskWork) -> DeskAnswer {
    match work {
        DeskWork::Hash { password } => password::hash(&password),
        DeskWork::Verify { password, hash } => {
            DeskAnswer::Verified(password::verify(&password, &hash))
        }
        other => clerk.work(other),
    }
}

fn bounded(answer: DeskAnswer) -> DeskAnswer {
    match answer {
        DeskAnswer::Document { body, .. } if body.len() > DESK_ANSWER_BYTES => {
            DeskAnswer::Failed("the answer is too long".to_owned())
        }
        answer => answer,
    }
}
