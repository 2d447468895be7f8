//! Whose name a TLS server of SIP has to prove: the domain that led to its address (RFC 5922).

use std::net::SocketAddr;
use std::rc::Rc;

use heapless::Vec;

use crate::limits::TRUNK_NAMES;
use crate::sip::SipTarget;

/// The domains of the addresses that one trunk was led to; the oldest goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsNames(Vec<(SocketAddr, Rc<str>), TRUNK_NAMES>);

impl TlsNames {
    /// Notes that those targets are the hosts of a domain: its name is what a certificate there has to
    /// be for (RFC 5922 section 7.1), and not that of the host.
    pub fn set(&mut self, domain: &str, targets: &[SipTarget]) {
        let domain: Rc<str> = domain.into();
        for SipTarget { address, .. } in targets {
            self.0.retain(|(known, _)| known != address);
            if self.0.is_full() {
                self.0.remove(0);
            }
            // Room was made above.
            let _ = self.0.push((*address, Rc::clone(&domain)));
        }
    }

    /// The domain that led to an address; the address itself where none did.
    pub fn of(&self, remote: SocketAddr) -> Rc<str> {
        let known = self.0.iter().find(|(address, _)| *address == remote);
        known.map_or_else(
            || remote.ip().to_string().into(),
            |(_, name)| Rc::clone(name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::network::Transport;

    fn target(port: u16) -> SipTarget {
        SipTarget {
            transport: Transport::Tls,
            address: SocketAddr::from(([192, 0, 2, 1], port)),
        }
    }

    #[test]
    fn the_domain_that_led_to_an_address_last_is_its_name() {
        let mut names = TlsNames::default();
        assert_eq!(&*names.of(target(1).address), "192.0.2.1");
        names.set("a.example", &[target(1), target(2)]);
        names.set("b.example", &[target(2)]);
        assert_eq!(&*names.of(target(1).address), "a.example");
        assert_eq!(&*names.of(target(2).address), "b.example");
        for port in 3..3 + TRUNK_NAMES as u16 {
            names.set("c.example", &[target(port)]);
        }
        assert_eq!(&*names.of(target(1).address), "192.0.2.1");
        assert_eq!(&*names.of(target(3).address), "c.example");
    }
}
