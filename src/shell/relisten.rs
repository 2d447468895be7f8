//! Listeners that move with another configuration; what is connected stays connected.

use std::io;
use std::net::SocketAddr;

use super::sockets::{Service, Sockets};
use crate::gateway::config::Config;

/// A kind of listener: where it is and where it is to be.
type Move = (Service, Option<SocketAddr>, Option<SocketAddr>);

impl Sockets {
    /// Moves the listeners of players, REST and the page to where another configuration has them. A
    /// section of which one cannot be bound stays as it was, in `new` too; why, in words.
    pub fn relisten(&mut self, old: &Config, new: &mut Config) -> Vec<String> {
        let mut problems = Vec::new();
        let rtmp = [(Service::Rtmp, Some(old.rtmp_listen), Some(new.rtmp_listen))];
        if let Err(words) = self.move_all(&rtmp) {
            problems.push(format!("rtmp: {words}"));
            new.rtmp_listen = old.rtmp_listen;
        }
        let (before, after) = (old.rest.listens(), new.rest.listens());
        let rest = [
            (Service::Http, Some(before.0), Some(after.0)),
            (Service::HttpTls, before.1, after.1),
        ];
        if let Err(words) = self.move_all(&rest) {
            problems.push(format!("rest: {words}"));
            new.rest = old.rest.clone();
        }
        let (before, after) = (old.page.listens(), new.page.listens());
        let page = [
            (Service::Page, before.0, after.0),
            (Service::PageTls, before.1, after.1),
        ];
        if let Err(words) = self.move_all(&page) {
            problems.push(format!("page: {words}"));
            new.page = old.page.clone();
        }
        problems
    }

    /// Moves all of them, or none.
    fn move_all(&mut self, moves: &[Move]) -> Result<(), String> {
        for (at, (service, from, to)) in moves.iter().enumerate() {
            if let Err(words) = self.move_one(*service, *from, *to) {
                for (service, from, to) in moves.iter().take(at) {
                    // They were there a moment ago.
                    let _ = self.move_one(*service, *to, *from);
                }
                return Err(words);
            }
        }
        Ok(())
    }

    fn move_one(
        &mut self,
        service: Service,
        from: Option<SocketAddr>,
        to: Option<SocketAddr>,
    ) -> Result<(), String> {
        if from == to {
            return Ok(());
        }
        // The new one may be the same port of other addresses.
        self.stop_listening(service);
        let bound = match to {
            Some(address) => self
                .listen(address, service)
                .map_err(|error| (address, error)),
            None => Ok(()),
        };
        let Err((address, error)) = bound else {
            log_move(service, to);
            return Ok(());
        };
        let back = from.map_or(Ok(()), |address| self.listen(address, service));
        Err(unmoved(address, &error, back))
    }
}

fn log_move(service: Service, to: Option<SocketAddr>) {
    match to {
        Some(address) => log::info!("{service:?}: listening on {address}"),
        None => log::info!("{service:?}: listening no more"),
    }
}

fn unmoved(address: SocketAddr, error: &io::Error, back: io::Result<()>) -> String {
    match back {
        Ok(()) => format!("cannot listen on {address}: {error}; listening where it was"),
        Err(lost) => format!("cannot listen on {address}: {error}; nor where it was: {lost}"),
    }
}
