//! Leases of even media port numbers (RFC 3550, section 11: RTP on the even port, RTCP on the next).

use crate::gateway::config::PortRange;

/// Which even ports of the configured range are in use.
///
/// Leases go round the range, so that a port that was just given back, where late packets of an
/// ended call may still arrive, is the last to be used again.
#[derive(Debug)]
pub struct MediaPorts {
    first: u16,
    used: Vec<bool>,
    next: usize,
    /// Leased ports of an earlier range that are not in this one.
    outside: Vec<u16>,
}

impl MediaPorts {
    /// The even ports of `range` whose odd neighbour lies in it too; a range begins even.
    pub fn new(range: PortRange) -> Self {
        Self {
            first: range.first(),
            used: vec![false; range.pairs()],
            next: 0,
            outside: Vec::new(),
        }
    }

    /// Leases from another range from now on; ports that are leased stay so.
    pub fn change(&mut self, range: PortRange) {
        let mut leased = core::mem::take(&mut self.outside);
        let before = (self.first..).step_by(2).zip(&self.used);
        leased.extend(before.filter(|(_, used)| **used).map(|(port, _)| port));
        *self = Self::new(range);
        for port in leased {
            match self.place(port) {
                Some(used) => *used = true,
                None => self.outside.push(port),
            }
        }
    }

    /// An even port that nobody uses; `None` when all are in use.
    pub fn lease(&mut self) -> Option<u16> {
        let count = self.used.len();
        let at = (0..count)
            .map(|step| self.next.wrapping_add(step).checked_rem(count).unwrap_or(0))
            .find(|at| self.used.get(*at) == Some(&false))?;
        *self.used.get_mut(at)? = true;
        self.next = at.saturating_add(1);
        self.first
            .checked_add(u16::try_from(at.saturating_mul(2)).ok()?)
    }

    /// Gives a leased port back.
    pub fn release(&mut self, port: u16) {
        self.outside.retain(|outside| *outside != port);
        if let Some(used) = self.place(port) {
            *used = false;
        }
    }

    /// Gives every leased port back that is not to be kept.
    pub fn retain(&mut self, keep: impl Fn(u16) -> bool) {
        for (port, used) in (self.first..).step_by(2).zip(&mut self.used) {
            *used = *used && keep(port);
        }
        self.outside.retain(|port| keep(*port));
    }

    /// Ports that can still be leased.
    pub fn available(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// Ports that are leased.
    pub fn leased(&self) -> usize {
        let inside = self.used.iter().filter(|used| **used).count();
        inside.saturating_add(self.outside.len())
    }

    /// Whether a port of the range is leased.
    fn place(&mut self, port: u16) -> Option<&mut bool> {
        let at = usize::from(port.checked_sub(self.first)?) / 2;
        self.used.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_even_ports_with_their_neighbour_are_leased() {
        let mut ports = MediaPorts::new("31000-31004".parse().unwrap());
        assert_eq!(ports.lease(), Some(31_000));
        assert_eq!(ports.lease(), Some(31_002));
        assert_eq!(ports.lease(), None);
    }

    #[test]
    fn a_released_port_is_the_last_to_be_leased_again() {
        let mut ports = MediaPorts::new("31000-31005".parse().unwrap());
        assert_eq!(ports.lease(), Some(31_000));
        ports.release(31_000);
        assert_eq!(ports.lease(), Some(31_002));
        assert_eq!(ports.lease(), Some(31_004));
        assert_eq!(ports.lease(), Some(31_000));
        assert_eq!(ports.available(), 0);
    }

    #[test]
    fn ports_that_nobody_names_are_given_back() {
        let mut ports = MediaPorts::new("31000-31005".parse().unwrap());
        while ports.lease().is_some() {}
        ports.retain(|port| port == 31_002);
        assert_eq!(ports.leased(), 1);
        assert_eq!(ports.lease(), Some(31_000));
    }

    #[test]
    fn leases_outlast_another_range() {
        let mut ports = MediaPorts::new("31000-31005".parse().unwrap());
        while ports.lease().is_some() {}
        ports.change("31004-31007".parse().unwrap());
        assert_eq!((ports.leased(), ports.available()), (3, 1));
        assert_eq!(ports.lease(), Some(31_006), "31004 is still leased");
        ports.release(31_000);
        ports.release(31_004);
        assert_eq!(ports.leased(), 2);
        assert_eq!(ports.lease(), Some(31_004), "31000 is not of the range");
        assert_eq!(ports.lease(), None);
        ports.change("31000-31005".parse().unwrap());
        assert_eq!(ports.leased(), 3);
        assert_eq!(ports.lease(), Some(31_000));
        ports.retain(|port| port == 31_006);
        assert_eq!(ports.leased(), 1);
    }

    #[test]
    fn the_last_port_of_the_range_is_reachable() {
        let mut ports = MediaPorts::new("65532-65535".parse().unwrap());
        assert_eq!(ports.lease(), Some(65_532));
        assert_eq!(ports.lease(), Some(65_534));
        assert_eq!(ports.lease(), None);
    }
}
