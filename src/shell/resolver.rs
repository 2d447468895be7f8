//! Host names to addresses, on the executor's threads for blocking work, bounded. For a TLS
//! connection the authorities are read there too.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use heapless::Vec;
use smol::channel::{Receiver, Sender, bounded};

use super::dns::{SipHost, SipNames};
use super::sys;
use super::tls::Trust;
use super::waker::Waker;
use crate::base::ids::ConnId;
use crate::base::rng::Rng;
use crate::gateway::outlet::LookUpId;
use crate::limits::{HOST_ADDRESSES, RESOLUTIONS};
use crate::sip::SipTargets;

/// Addresses of one host, in the order to try them.
pub type Addresses = Vec<SocketAddr, HOST_ADDRESSES>;

/// An answer: what was found, or the reason for its lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Addresses for a connection.
    Connection(ConnId, Result<Addresses, String>),
    /// Places where SIP is spoken.
    Sip(LookUpId, Result<SipTargets, String>),
}

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

    /// Begins to resolve a name for a connection; false when too many are under way. One with TLS
    /// brings its `trust`, which is ready with the answer.
    pub fn start(
        &mut self,
        conn: ConnId,
        host: &str,
        port: u16,
        trust: Option<Arc<Trust>>,
    ) -> bool {
        let host = host.to_owned();
        self.work(move || {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let found = || {
                trust.map_or(Ok(()), |trust| trust.config().map(drop))?;
                (bare, port)
                    .to_socket_addrs()
                    .map(|all| all.take(HOST_ADDRESSES).collect::<Addresses>())
                    .map_err(|error| format!("cannot resolve {host}: {error}"))
            };
            let found = catch_unwind(AssertUnwindSafe(found));
            let defect = || Err(format!("{host}: a defect of this program"));
            Resolved::Connection(conn, found.unwrap_or_else(|_| defect()))
        })
    }

    /// Begins to look up where SIP is spoken; false when too many are under way.
    pub fn look_up(&mut self, id: LookUpId, host: SipHost) -> bool {
        self.work(move || {
            // The reader of answers is another's work, and a name server may be anyone.
            let found = catch_unwind(AssertUnwindSafe(|| {
                let mut seed = [0; 32];
                sys::random(&mut seed).map_err(|error| error.to_string())?;
                SipNames::of_system(Rng::from_seed(seed)).look_up(&host)
            }));
            let defect = || Err(format!("{}: a defect of this program", host.name));
            Resolved::Sip(id, found.unwrap_or_else(|_| defect()))
        })
    }

    fn work(&mut self, work: impl FnOnce() -> Resolved + Send + 'static) -> bool {
        if self.under_way >= RESOLUTIONS {
            return false;
        }
        self.under_way += 1;
        let (answer, waker) = (self.answer.clone(), self.waker.clone());
        smol::unblock(move || {
            // There is room for every name under way.
            let _ = answer.try_send(work());
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
