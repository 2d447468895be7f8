//! What our answers say beyond what they repeat of the request (RFC 3261 section 8.2.6).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;

use rsip::{Header, StatusCode};

use crate::base::counter::count;
use crate::base::network::Transport;
use crate::wire::sip_emit::{host_text, reason_phrase, write_request, write_response};
use crate::wire::sip_index::SipHeaders;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_reply::ReplyHead;

use super::endpoint::SipEndpoint;
use super::session::Session;
use super::table::hash;
use super::transmit::Printed;

/// The methods that are served.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, OPTIONS, BYE, INFO, UPDATE, PRACK, REFER, NOTIFY";

/// Seconds after which a caller that found no room may try again.
pub(super) const RETRY_AFTER: u32 = 5;

/// An answer without what it repeats of its request.
#[derive(Clone, Debug)]
pub(super) struct Answer(rsip::Response);

impl Answer {
    /// With the usual phrase of the code.
    pub(super) fn code(code: u16) -> Self {
        Self::status(StatusCode::Other(code, reason_phrase(code).into()))
    }

    /// With a phrase of its own.
    pub(super) fn phrase(code: u16, phrase: &str) -> Self {
        Self::status(StatusCode::Other(code, phrase.into()))
    }

    /// With a status.
    pub(super) fn status(status_code: StatusCode) -> Self {
        Self(rsip::Response {
            status_code,
            ..rsip::Response::default()
        })
    }

    /// With another header.
    pub(super) fn with(mut self, header: Header) -> Self {
        self.0.headers.push(header);
        self
    }

    /// With Retry-After in seconds, if any.
    pub(super) fn retry_after(self, seconds: Option<u32>) -> Self {
        match seconds {
            Some(seconds) => self.with(Header::RetryAfter(seconds.to_string().into())),
            None => self,
        }
    }

    /// With what is wrong with an offer (RFC 3261 sections 13.3.1.3 and 20.43). `agent` is our product
    /// as User-Agent has it.
    pub(super) fn warning(self, agent: &str, words: &str) -> Self {
        let is_token = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let mut agent: String = agent.chars().take_while(is_token).collect();
        if agent.is_empty() {
            agent.push('-');
        }
        let words = words.replace('\\', "\\\\").replace('"', "\\\"");
        let value = format!("305 {agent} \"{words}\"");
        self.with(Header::Warning(value.into()))
    }

    /// With the methods that are served.
    pub(super) fn allow(self) -> Self {
        self.with(Header::Allow(ALLOW.into()))
    }

    /// With what is read and which extensions are supported.
    pub(super) fn capabilities(self, supported: &str) -> Self {
        self.allow()
            .with(Header::Accept("application/sdp".into()))
            .with(Header::Supported(supported.into()))
    }

    /// With a session description.
    pub(super) fn sdp(mut self, sdp: &str) -> Self {
        self.0.body = sdp.as_bytes().to_vec();
        self.with(Header::ContentType("application/sdp".into()))
    }

    /// Its status code.
    pub(super) fn number(&self) -> u16 {
        self.0.status_code.code()
    }
}

/// The extensions that are supported, session timers among them or not.
pub(super) const fn supported(timer: bool) -> &'static str {
    match timer {
        true => "100rel, timer, replaces, norefersub",
        false => "100rel, replaces, norefersub",
    }
}

impl SipEndpoint {
    /// The extensions that are supported.
    pub(super) fn supported(&self) -> &'static str {
        supported(self.config.session_timer.is_some())
    }

    /// Prints an answer. Nothing, when it does not fit.
    pub(super) fn print(
        &mut self,
        head: &ReplyHead,
        to_tag: &str,
        answer: Answer,
    ) -> Option<Printed> {
        // RFC 3261 section 8.2.6.2: a 100 may go without the tag, and is the same for all.
        let to_tag = (answer.number() > 100).then_some(to_tag);
        let Answer(mut response) = answer;
        let server = self.config.user_agent.clone();
        response.headers.push(Header::Server(server.into()));
        let length = write_response(head, to_tag, &response, &mut self.scratch);
        self.printed(length.ok())
    }

    /// Prints a request of ours.
    pub(super) fn print_request(&mut self, mut request: rsip::Request) -> Option<Printed> {
        let agent = self.config.user_agent.clone();
        request.headers.push(Header::UserAgent(agent.into()));
        let length = write_request(&request, &mut self.scratch);
        self.printed(length.ok())
    }

    /// Our Contact within a call; a SIPS URI, which needs no transport (RFC 5630 section 3.1.2), where
    /// the call asks for that.
    pub(super) fn contact_of(&self, session: &Session) -> Header {
        let dialog = &session.dialog;
        let user = match (&session.placed, session.calling()) {
            (Some(placed), _) => &placed.contact_user,
            (None, Some(calling)) => &calling.call.contact_user[..],
            (None, None) => "",
        };
        let transport = match dialog.is_sips() {
            true => None,
            false => Some(dialog.arrival().transport()),
        };
        self.contact_by(user, dialog.local_address(), transport)
    }

    /// Our Contact at an address of ours, for a peer on that transport; without a user where that is
    /// empty.
    pub(super) fn contact(&self, user: &str, local: IpAddr, transport: Transport) -> Header {
        self.contact_by(user, local, Some(transport))
    }

    /// The same; a SIPS URI without a transport.
    fn contact_by(&self, user: &str, local: IpAddr, transport: Option<Transport>) -> Header {
        let host = host_text(local);
        let port = self.config.local.port();
        let is_sips = transport.is_none();
        let transport = match transport {
            None | Some(Transport::Udp) => "",
            Some(Transport::Tcp) => ";transport=tcp",
            Some(Transport::Tls) => ";transport=tls",
        };
        let scheme = if is_sips { "sips" } else { "sip" };
        let at = if user.is_empty() { "" } else { "@" };
        let uri = format!("<{scheme}:{user}{at}{host}:{port}{transport}>");
        let contact = match &self.config.display_name {
            Some(name) => {
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{name}\" {uri}")
            }
            None => uri,
        };
        Header::Contact(contact.into())
    }

    /// The Via of a request of ours from an address of ours.
    pub(super) fn via(&self, local: IpAddr, transport: Transport, branch: &str) -> Header {
        let transport = transport.via();
        let host = host_text(local);
        let port = self.config.local.port();
        Header::Via(format!("SIP/2.0/{transport} {host}:{port};branch={branch};rport").into())
    }

    /// The To tag of answers that leave no state: the same for every repetition of the request
    /// (section 8.2.7).
    pub(super) fn stateless_tag(&self, headers: &SipHeaders<'_>) -> String {
        let names = [HeaderName::CallId, HeaderName::From, HeaderName::CSeq];
        let values = names.map(|name| headers.first(name).unwrap_or_default());
        format!("{:016x}", hash(self.secret, &values))
    }

    fn printed(&mut self, length: Option<usize>) -> Option<Printed> {
        let printed = length.and_then(|length| self.scratch.get(..length));
        if printed.is_none() {
            count(&mut self.counters.oversized);
        }
        printed.map(Printed::from)
    }
}
