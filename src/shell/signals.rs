//! Signals of the service manager to orders.

use std::io;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use super::daemon::{Order, Remote};
use super::waker::Waker;

/// Turns SIGTERM and SIGINT into [`Order::Stop`] and SIGHUP into [`Order::Reload`], on a thread of
/// its own that sleeps between signals.
pub fn watch(remote: Remote) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            smol::block_on(async {
                while let Some(Ok(signal)) = signals.next().await {
                    remote.order(match signal {
                        Signal::Hup => Order::Reload,
                        _ => Order::Stop,
                    });
                }
            });
        })?;
    Ok(())
}

/// Wakes whoever waits when SIGTERM or SIGINT comes, on a thread of its own.
///
/// # Errors
///
/// Signals cannot be watched, or no thread can be started.
pub fn watch_end(waker: Waker) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            smol::block_on(async {
                while let Some(Ok(_)) = signals.next().await {
                    waker.wake();
                }
            });
        })?;
    Ok(())
}
