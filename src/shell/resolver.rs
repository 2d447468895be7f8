//! Host names to addresses, on the executor's threads for blocking work, bounded. For a TLS
//! connection the authorities are read there too.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use heapless::Vec;
use smol::channel::{Receiver, Sender, bounded};

use super::tls::Trust;
use super::waker::Waker;
use crate::base::ids::ConnId;
use crate::limits::{HOST_ADDRESSES, RESOLUTIONS};

/// Addresses of one host, in the order to try them.
pub type Addresses = Vec<SocketAddr, HOST_ADDRESSES>;

/// What a name is resolved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A connection to it.
    Connection(ConnId),
    /// The sources that the trunk at this place accepts.
    Proxy(usize),
}

/// An answer: what it is for, and the addresses or the reason for their lack.
pub type Resolved = (Purpose, Result<Addresses, String>);

/// Resolves names, several at a time.
pub struct Resolver {
    answers: Receiver<Resolved>,
    answer: Sender<Resolved>,
    under_way: usize,
    waker: Waker,
}

impl Resolver {
    /// A resolver that wakes the loop with each answer.
    pub fn new(waker: Waker) -> Self {
        let (answer, answers) = bounded(RESOLUTIONS);
        Self {
            answers,
            answer,
            under_way: 0,
            waker,
        }
    }

    /// The address itself when `host` is one; otherwise `None`, and [`Self::start`] is needed.
    pub fn literal(host: &str, port: u16) -> Option<Addresses> {
        let ip: IpAddr = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()?;
        Addresses::from_slice(&[SocketAddr::new(ip, port)]).ok()
    }

    /// Begins to resolve a name; false when too many are under way.
    pub fn start(&mut self, purpose: Purpose, host: &str, port: u16) -> bool {
        self.start_with(purpose, host, port, None)
    }

    /// The same for a connection with TLS: `trust` is ready with the answer.
    pub fn start_tls(
        &mut self,
        purpose: Purpose,
        host: &str,
        port: u16,
        trust: Arc<Trust>,
    ) -> bool {
        self.start_with(purpose, host, port, Some(trust))
    }

    fn start_with(
        &mut self,
        purpose: Purpose,
        host: &str,
        port: u16,
        trust: Option<Arc<Trust>>,
    ) -> bool {
        if self.under_way >= RESOLUTIONS {
            return false;
        }
        self.under_way += 1;
        let (host, answer, waker) = (host.to_owned(), self.answer.clone(), self.waker.clone());
        smol::unblock(move || {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let found = (bare, port)
                .to_socket_addrs()
                .map(|all| all.take(HOST_ADDRESSES).collect::<Addresses>())
                .map_err(|error| format!("cannot resolve {host}: {error}"));
            let trusted = trust.map_or(Ok(()), |trust| trust.config().map(drop));
            let found = trusted.and(found);
            // There is room for every name under way.
            let _ = answer.try_send((purpose, found));
            waker.wake();
        })
        .detach();
        true
    }

    /// An answer that has come, if any.
    pub fn answered(&mut self) -> Option<Resolved> {
        let resolved = self.answers.try_recv().ok()?;
        self.under_way = self.under_way.saturating_sub(1);
        Some(resolved)
    }
}
