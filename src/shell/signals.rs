//! Signals of the service manager to orders.

use std::io;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use super::daemon::{Order, Remote};

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
