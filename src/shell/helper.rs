//! The threads beside the loop: journal, recordings, media files, figures of the board, signals.
//!
//! A defect in one of them ends the program with status 101, as one in the loop does, and the
//! service manager starts it anew at once. A box that goes on without its recorder, or deaf to
//! signals, would look well and not be. Work that can be given up by itself is contained by its own
//! thread: look-ups ([`super::resolver`]), and what the page asks for ([`super::desk`]).

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
use std::process;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use super::log_out;

/// Status of a program whose main thread panicked.
const EXIT_DEFECT: i32 = 101;

/// Bytes of stack, where a thread needs no other number.
pub const STACK_BYTES: usize = 2 * 1_024 * 1_024;

/// Begins `work` on a thread of its own.
///
/// # Errors
///
/// No thread can be started.
pub fn start(
    name: &'static str,
    stack_bytes: usize,
    work: Box<dyn FnOnce() + Send>,
) -> io::Result<()> {
    let thread = Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    thread.spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            log::error!("the thread \"{name}\" broke by a defect of this program, which ends");
            log_out::flush();
            process::exit(EXIT_DEFECT);
        }
    })?;
    Ok(())
}

/// What a thread holds until it is done.
pub struct Doing {
    _held: SyncSender<()>,
}

/// Tells whoever ends the program that a thread is done.
pub struct Done(Option<Receiver<()>>);

impl Done {
    /// For one thread, with what that is to hold.
    pub fn new() -> (Doing, Self) {
        let (held, done) = sync_channel(1);
        (Doing { _held: held }, Self(Some(done)))
    }

    /// Waits until the thread is done, or `until`; a second time does not wait.
    pub fn wait(&mut self, until: Instant) {
        if let Some(done) = self.0.take() {
            let _ = done.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// Set for the process that breaks.
    const BREAK: &str = "TRUNKCAST_TEST_BREAK";

    #[test]
    fn a_thread_that_is_done_is_not_waited_for_and_one_that_hangs_only_once() {
        let (doing, mut done) = Done::new();
        start("done", STACK_BYTES, Box::new(move || drop(doing))).unwrap();
        let began = Instant::now();
        done.wait(began + Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));

        let (_doing, mut done) = Done::new();
        let until = Instant::now() + Duration::from_millis(50);
        done.wait(until);
        assert!(Instant::now() >= until, "it hangs");
        let began = Instant::now();
        done.wait(began + Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_thread_that_breaks_ends_the_program_with_status_101() {
        if env::var_os(BREAK).is_some() {
            let work = || panic!("a defect put in by a test");
            let _ = start("broken", STACK_BYTES, Box::new(work));
            // The test harness would end with 0, and say so.
            sleep(Duration::from_secs(20));
            return;
        }
        let name = "shell::helper::tests::a_thread_that_breaks_ends_the_program_with_status_101";
        // Built for another machine, the program is run by this.
        let runner = env::var("TRUNKCAST_RUNNER").unwrap_or_default();
        let exe = env::current_exe().unwrap().into_os_string();
        let mut words = runner.split_whitespace().map(Into::into).chain([exe]);
        let mut program = Command::new(words.next().unwrap());
        program.args(words).args(["--exact", name]).env(BREAK, "1");
        let output = program.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(EXIT_DEFECT), "{said}");
        assert!(!said.contains("test result"), "{said}");
    }
}
