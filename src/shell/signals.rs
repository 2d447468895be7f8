//! Signals of the service manager to orders.

use std::io;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use super::daemon::{Order, Remote};
use super::helper;
use super::waker::Waker;

/// Turns SIGTERM and SIGINT into [`Order::Stop`] and SIGHUP into [`Order::Reload`], on a thread of
/// its own that sleeps between signals.
pub fn watch(remote: Remote) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    let work = move || {
        smol::block_on(async {
            while let Some(Ok(signal)) = signals.next().await {
                remote.order(match signal {
                    Signal::Hup => Order::Reload,
                    _ => Order::Stop,
                });
            }
        });
    };
    helper::start("signals", helper::STACK_BYTES, Box::new(work))
}

/// Wakes whoever waits when SIGTERM or SIGINT comes, on a thread of its own.
///
/// # Errors
///
/// Signals cannot be watched, or no thread can be started.
pub fn watch_end(waker: Waker) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let work = move || {
        smol::block_on(async {
            while let Some(Ok(_)) = signals.next().await {
                waker.wake();
            }
        });
    };
    helper::start("signals", helper::STACK_BYTES, Box::new(work))
}
