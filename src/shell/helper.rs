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
use std::thread::Builder;

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
