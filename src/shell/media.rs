//! The media sockets of every call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use super::listen;
use super::sys::{Epoll, Interest};
use super::token::Token;
use crate::base::codec::Track;
use crate::gateway::outlet::{CallIndex, MediaPort};
use crate::limits::MEDIA_SOCKET_BYTES;

#[derive(Default)]
struct Pair {
    rtp: Option<UdpSocket>,
    rtcp: Option<UdpSocket>,
}

/// Socket pairs by call and track.
pub struct MediaSockets {
    calls: Vec<[Pair; 2]>,
    /// The socket that stands for them where the watchdog asks; that of [`Self::PROBE`].
    pub probe: Option<UdpSocket>,
}

impl MediaSockets {
    /// The call that is none: there are never as many.
    pub const PROBE: CallIndex = CallIndex(u16::MAX);

    /// Room for `calls` calls.
    pub fn new(calls: usize) -> Self {
        Self {
            calls: (0..calls).map(|_| Default::default()).collect(),
            probe: None,
        }
    }

    /// Binds `port` and the next for a track and watches both.
    pub fn open(
        &mut self,
        epoll: &Epoll,
        call: CallIndex,
        track: Track,
        local: IpAddr,
        port: u16,
    ) -> io::Result<()> {
        let ip = match local {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let bind = |port: u16| listen::udp(SocketAddr::new(ip, port), Some(MEDIA_SOCKET_BYTES));
        let pair = Pair {
            rtp: Some(bind(port)?),
            rtcp: Some(bind(port.saturating_add(1))?),
        };
        for (socket, which) in [(&pair.rtp, MediaPort::Rtp), (&pair.rtcp, MediaPort::Rtcp)] {
            if let Some(socket) = socket {
                let token = Token::Media(call, track, which).pack();
                epoll.add(socket.as_fd(), token, Interest::Readable)?;
            }
        }
        match self.pair_mut(call, track) {
            Some(place) => *place = pair,
            None => return Err(io::Error::other("no such call")),
        }
        Ok(())
    }

    /// Closes a track's sockets.
    pub fn close(&mut self, call: CallIndex, track: Track) {
        if let Some(pair) = self.pair_mut(call, track) {
            *pair = Pair::default();
        }
    }

    /// One of the sockets, while it is open.
    pub fn socket(&self, call: CallIndex, track: Track, port: MediaPort) -> Option<&UdpSocket> {
        if call == Self::PROBE {
            return self.probe.as_ref();
        }
        let pair = self
            .calls
            .get(usize::from(call.0))?
            .get(usize::from(track == Track::Video))?;
        match port {
            MediaPort::Rtp => pair.rtp.as_ref(),
            MediaPort::Rtcp => pair.rtcp.as_ref(),
        }
    }

    fn pair_mut(&mut self, call: CallIndex, track: Track) -> Option<&mut Pair> {
        self.calls
            .get_mut(usize::from(call.0))?
            .get_mut(usize::from(track == Track::Video))
    }
}
