//! Threads for work of the page: computations, the settings file, trials.
//!
//! There are two lanes, each a thread: passwords and settings, which change one another and are done in
//! order out of a bounded queue, and trials, which take seconds: one at a time, and none waits. A panic
//! in a piece of work ends that piece alone.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::cell::Cell;
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
    /// The trial under way.
    trying: Cell<Option<DeskId>>,
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
            trying: Cell::default(),
        })
    }

    /// Takes work; false when too much waits, or a trial is under way and this is another.
    pub fn give(&self, id: DeskId, work: DeskWork) -> bool {
        if !work.is_trial() {
            return self.settings.try_send((id, work)).is_ok();
        }
        let is_taken = self.trying.get().is_none() && self.trials.try_send((id, work)).is_ok();
        if is_taken {
            self.trying.set(Some(id));
        }
        is_taken
    }

    /// Work that is done, if any.
    pub fn done(&self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        if self.trying.get() == Some(done.0) {
            self.trying.set(None);
        }
        Some(done)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::desk::Standing;
    use crate::shell::waker::Alarm;

    /// Answers a trial when it is told to.
    struct Slow(Receiver<()>);

    impl Clerk for Slow {
        fn work(&mut self, _: DeskWork) -> DeskAnswer {
            let _ = self.0.recv();
            DeskAnswer::Failed(String::new())
        }
    }

    #[test]
    fn one_trial_is_under_way_at_a_time_and_settings_do_not_wait_for_it() {
        let (_alarm, waker) = Alarm::new().unwrap();
        let (end, ended) = sync_channel(0);
        let (end_settings, settings_ended) = sync_channel(1);
        let clerks = [ended, settings_ended].map(|ended| Box::new(Slow(ended)));
        let [trials, settings] = clerks;
        let desk = Desk::start(settings, trials, &waker).unwrap();
        let trial = || DeskWork::TryPbx {
            document: Vec::new(),
            standing: Standing::default(),
        };
        assert!(desk.give(DeskId(1), trial()));
        assert!(
            !desk.give(DeskId(2), trial()),
            "another trial waits for none"
        );
        assert!(desk.give(DeskId(3), DeskWork::ReadSettings));
        end_settings.send(()).unwrap();
        let wait = || loop {
            if let Some((id, _)) = desk.done() {
                break id;
            }
            std::thread::yield_now();
        };
        assert_eq!(wait(), DeskId(3));
        assert!(!desk.give(DeskId(4), trial()));
        end.send(()).unwrap();
        assert_eq!(wait(), DeskId(1));
        assert!(desk.give(DeskId(5), trial()), "the first one is over");
        end.send(()).unwrap();
        assert_eq!(wait(), DeskId(5));
    }
}
