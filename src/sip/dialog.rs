//! Dialogs (RFC 3261 section 12): identity, sequence numbers, route set and remote target.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, SocketAddr};

use crate::base::ids::ConnId;
use crate::base::network::Transport;
use crate::wire::sip_emit::uri_text;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_uri::{Scheme, Uri};

use super::table::hash;
use super::transmit::{SipDestination, SipTarget};

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Where from.
    pub(super) remote: SocketAddr,
    /// The connection; none over UDP.
    pub(super) conn: Option<ConnId>,
    /// Whether it came over a connection, be it one that is not known yet.
    pub(super) stream: bool,
    /// Whether that connection is protected by TLS.
    pub(super) secure: bool,
    /// Where to open another connection once that one is gone: sent-by's port at the address that the
    /// message came from (section 18.2.2).
    pub(super) back: SocketAddr,
}

impl Arrival {
    /// Over UDP.
    pub(super) fn datagram(remote: SocketAddr) -> Self {
        Self {
            remote,
            conn: None,
            stream: false,
            secure: false,
            back: remote,
        }
    }

    /// As if it had come from where a request of ours went.
    pub(super) fn from_target(target: SipTarget) -> Self {
        Self {
            remote: target.address,
            conn: None,
            stream: target.transport.is_reliable(),
            secure: target.transport == Transport::Tls,
            back: target.address,
        }
    }

    /// As if it had come from where a request of ours went, over the connection of its response.
    pub(super) fn of_request(way: SipDestination, response: Self) -> Self {
        let target = SipTarget {
            transport: way.transport(),
            address: way.remote(),
        };
        Self {
            conn: response.conn.filter(|_| way.is_reliable()),
            ..Self::from_target(target)
        }
    }

    /// The transport.
    pub(super) fn transport(&self) -> Transport {
        match (self.stream, self.secure) {
            (_, true) => Transport::Tls,
            (true, false) => Transport::Tcp,
            (false, false) => Transport::Udp,
        }
    }

    /// Over a connection.
    pub(super) fn stream(conn: ConnId, remote: SocketAddr, secure: bool) -> Self {
        let transport = if secure {
            Transport::Tls
        } else {
            Transport::Tcp
        };
        Self {
            remote,
            conn: Some(conn),
            stream: true,
            secure,
            back: SocketAddr::new(remote.ip(), transport.default_port()),
        }
    }

    /// With the way back that the request's top Via tells.
    pub(super) fn of(mut self, message: &SipMessage<'_>) -> Self {
        if self.conn.is_some() {
            let port = message.via().port.filter(|port| *port != 0);
            let port = port.unwrap_or(self.transport().default_port());
            self.back = SocketAddr::new(self.remote.ip(), port);
        }
        self
    }

    /// Where answers go to a request that came this way, `address` being where they go over UDP.
    pub(super) fn answers_to(&self, address: SocketAddr) -> SipDestination {
        match self.conn {
            Some(conn) => SipDestination::Stream {
                secure: self.secure,
                conn: Some(conn),
                remote: self.back,
            },
            None => SipDestination::Udp(address),
        }
    }
}

/// One dialog, whoever called.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    call_id: Box<str>,
    local_tag: Box<str>,
    remote_tag: Box<str>,
    /// From of our requests, tag included.
    local: Box<str>,
    /// To of our requests, tag included.
    remote: Box<str>,
    /// URI that our requests are for.
    target: Box<str>,
    /// Route values, the nearest first.
    routes: Vec<Box<str>>,
    local_cseq: u32,
    remote_cseq: u32,
    arrival: Arrival,
    /// Our address as the peer sees it.
    local_address: IpAddr,
    /// Whether our Contact is to be a SIPS URI.
    is_sips: bool,
}

/// A request of ours, complete but for Via and what it is about.
#[derive(Clone, Debug)]
pub(super) struct DialogRequest {
    pub(super) request: rsip::Request,
    /// URI of the first hop as text.
    pub(super) next_hop: Box<str>,
}

impl Dialog {
    /// The dialog that an INVITE makes with our tag (section 12.1.1).
    pub(super) fn new(
        invite: &SipMessage<'_>,
        local_tag: &str,
        arrival: Arrival,
        local_address: IpAddr,
    ) -> Self {
        let local = format!("{};tag={local_tag}", invite.to().to_text());
        let routes = invite.headers().record_routes();
        let mut dialog = Self {
            call_id: invite.call_id().into(),
            local_tag: local_tag.into(),
            remote_tag: invite.from().tag().unwrap_or_default().into(),
            local: local.into(),
            remote: invite.from().to_text().into(),
            // A peer of RFC 2543 may send no Contact: requests go to its From then.
            target: invite.from().uri.text.into(),
            routes: routes.map(|route| route.to_text().into()).collect(),
            local_cseq: 0,
            remote_cseq: invite.cseq().number,
            arrival,
            local_address,
            is_sips: wants_sips(invite),
        };
        dialog.refresh_target(invite);
        dialog
    }

    /// A dialog that an INVITE of ours may make (section 12.1.2), before anybody has answered: `from`
    /// and `to` are name-addr values without tags. Its requests are the INVITE and what belongs to it.
    pub(super) fn outgoing(
        call_id: &str,
        local_tag: &str,
        (from, to): (&str, &str),
        target: &str,
        routes: Vec<Box<str>>,
        arrival: Arrival,
        local_address: IpAddr,
    ) -> Self {
        Self {
            call_id: call_id.into(),
            local_tag: local_tag.into(),
            remote_tag: "".into(),
            local: format!("{from};tag={local_tag}").into(),
            remote: to.into(),
            target: target.into(),
            routes,
            local_cseq: 0,
            remote_cseq: 0,
            arrival,
            local_address,
            is_sips: target.starts_with("sips:"),
        }
    }

    /// Takes tag, remote target and route set of a response that makes the dialog (section 12.1.2).
    pub(super) fn answered(&mut self, response: &SipMessage<'_>) {
        self.remote_tag = response.to().tag().unwrap_or_default().into();
        self.remote = response.to().to_text().into();
        let routes = response.headers().record_routes();
        let mut routes: Vec<Box<str>> = routes.map(|route| route.to_text().into()).collect();
        routes.reverse();
        self.routes = routes;
        self.refresh_target(response);
    }

    /// The dialog that a 2xx to an INVITE of ours makes, of which nothing else is kept.
    pub(super) fn of_fork(
        invite: &rsip::Request,
        response: &SipMessage<'_>,
        arrival: Arrival,
        local_address: IpAddr,
    ) -> Self {
        let mut dialog = Self {
            call_id: response.call_id().into(),
            local_tag: response.from().tag().unwrap_or_default().into(),
            remote_tag: "".into(),
            local: response.from().to_text().into(),
            remote: "".into(),
            target: uri_text(&invite.uri).into(),
            routes: Vec::new(),
            local_cseq: response.cseq().number,
            remote_cseq: 0,
            arrival,
            local_address,
            is_sips: false,
        };
        dialog.answered(response);
        dialog
    }

    /// Sets where the INVITE of ours goes next, and at which address of ours that place reaches us.
    pub(super) fn aim(&mut self, target: SipTarget, local_address: IpAddr) {
        self.arrival = Arrival::from_target(target);
        self.local_address = local_address;
    }

    /// Sets whom the INVITE of ours is for: a redirect named another.
    pub(super) fn redirect(&mut self, uri: &str) {
        self.target = uri.into();
    }

    /// Notes the connection that a response came on.
    pub(super) fn heard(&mut self, arrival: Arrival) {
        if arrival.conn.is_some() && arrival.remote.ip() == self.arrival.remote.ip() {
            self.arrival.conn = arrival.conn;
        }
    }

    /// The tag of the peer; empty for one of RFC 2543.
    pub(super) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// The place in a table of the dialog with that Call-ID and tag of ours.
    pub(super) fn hash(call_id: &str, local_tag: &str) -> u64 {
        hash(0, &[call_id.as_bytes(), local_tag.as_bytes()])
    }

    /// Whether a request with a To tag belongs here (section 12.2.2).
    pub(super) fn has(&self, request: &SipMessage<'_>) -> bool {
        *self.call_id == *request.call_id()
            && Some(&*self.local_tag) == request.to().tag()
            && *self.remote_tag == *request.from().tag().unwrap_or_default()
    }

    /// Whether it has this Call-ID, this tag of ours and this one of the peer, which is 0 for none
    /// (RFC 3891 section 3).
    pub(super) fn is(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> bool {
        let same_remote = *self.remote_tag == *remote_tag;
        let is_none = remote_tag == "0" && self.remote_tag.is_empty();
        *self.call_id == *call_id && *self.local_tag == *local_tag && (same_remote || is_none)
    }

    /// What a Replaces header says of it to the peer.
    pub(super) fn replaces(&self) -> String {
        let peer = match &*self.remote_tag {
            "" => "0",
            tag => tag,
        };
        format!("{};to-tag={peer};from-tag={}", self.call_id, self.local_tag)
    }

    /// URI that our requests are for.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Our own address, without display name and tag.
    pub(super) fn own_address(&self) -> &str {
        address(&self.local).unwrap_or_default()
    }

    /// The sequence number of our last request.
    pub(super) fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Whether our Contact is to be a SIPS URI (section 12.1.1).
    pub(super) fn is_sips(&self) -> bool {
        self.is_sips
    }

    /// The tag that is ours.
    pub(super) fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// Our address as the peer sees it.
    pub(super) fn local_address(&self) -> IpAddr {
        self.local_address
    }

    /// How the peer's last request came.
    pub(super) fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// Notes a request of the peer; false when it is older than one before (section 12.2.2). An
    /// INVITE has to be newer, since its ACK is known by the number alone.
    pub(super) fn take(&mut self, request: &SipMessage<'_>, arrival: Arrival) -> bool {
        let number = request.cseq().number;
        let is_invite = request.method().is_some_and(|m| m == rsip::Method::Invite);
        if number < self.remote_cseq || (is_invite && number == self.remote_cseq) {
            return false;
        }
        self.remote_cseq = number;
        self.arrival = arrival;
        true
    }

    /// Takes the Contact of a message for the remote target (section 12.2.1.2 and 12.2.2).
    pub(super) fn refresh_target(&mut self, message: &SipMessage<'_>) {
        if let Some(contact) = message.headers().contacts().next() {
            self.target = contact.uri.text.into();
        }
    }

    /// The next request of ours (section 12.2.1.1), with its route by RFC 3261 or RFC 2543 proxies.
    pub(super) fn request(&mut self, method: rsip::Method) -> DialogRequest {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.request_as(method, self.local_cseq)
    }

    /// A request of ours with that sequence number: an ACK has that of its INVITE.
    pub(super) fn request_as(&self, method: rsip::Method, number: u32) -> DialogRequest {
        let first = self.routes.first().and_then(|route| address(route));
        let is_strict = first
            .and_then(|uri| Uri::parse(uri.as_bytes()))
            .is_some_and(|uri| !uri.is_loose_route());
        let next_hop = first.unwrap_or(&self.target);
        // A strict router takes its own URI for the Request-URI and the target at the end of Route.
        let routes = self.routes.iter().skip(usize::from(is_strict));
        let last = is_strict.then(|| format!("<{}>", self.target));
        let request_uri = if is_strict { next_hop } else { &self.target };
        let mut headers = rsip::Headers::default();
        headers.push(rsip::Header::MaxForwards("70".into()));
        for route in routes.map(|route| route.to_string()).chain(last) {
            headers.push(rsip::Header::Route(route.into()));
        }
        headers.push(rsip::Header::From(self.local.to_string().into()));
        headers.push(rsip::Header::To(self.remote.to_string().into()));
        headers.push(rsip::Header::CallId(self.call_id.to_string().into()));
        let cseq = format!("{number} {method}");
        headers.push(rsip::Header::CSeq(cseq.into()));
        let uri = Uri::parse(request_uri.as_bytes());
        DialogRequest {
            next_hop: next_hop.into(),
            request: rsip::Request {
                method,
                uri: uri.map(|uri| uri.to_rsip()).unwrap_or_default(),
                version: rsip::Version::V2,
                headers,
                body: Vec::new(),
            },
        }
    }
}

/// Whether an INVITE demands a SIPS URI as our Contact: its Request-URI is one, or its top Record-Route,
/// or without one its Contact (section 12.1.1).
fn wants_sips(invite: &SipMessage<'_>) -> bool {
    let is_sips = |uri: &Uri<'_>| uri.scheme == Scheme::Sips;
    let headers = invite.headers();
    let route = headers.record_routes().next().map(|route| route.uri);
    let hop = route.or_else(|| headers.contacts().next().map(|contact| contact.uri));
    invite.request_uri().is_some_and(is_sips) || hop.as_ref().is_some_and(is_sips)
}

/// The URI within a name-addr value that was checked before.
fn address(value: &str) -> Option<&str> {
    let uri = crate::wire::sip_header::NameAddr::parse(value.as_bytes())?.uri;
    Some(uri.text)
}
