//! One registration: what the next REGISTER says, and what an answer to it means.

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
use core::time::Duration;

use rsip::Header;

use crate::base::network::Transport;
use crate::base::redact::OneLine;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::limits::{SIP_EXPIRES_MAX, SIP_REDIRECTS, SIP_SERVICE_ROUTES};
use crate::wire::sip_emit::uri_text;
use crate::wire::sip_message::{SipMessage, StartLine};
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::{Scheme, Uri};

use super::super::authentication::{AuthenticationError, Authenticator, Verdict};
use super::super::table::{Slot, Timed};
use super::super::target_order::TargetWalk;
use super::super::transaction_client::Unanswered;
use super::super::transmit::{SipTarget, SipTargets};
use super::{RegistrationConfig, RegistrationState, contact, schedule};

/// How long a registration that is taken back waits for its answer.
const LEAVE: Duration = Duration::from_secs(4);

/// Characters of a reason phrase that are shown.
const REASON_SHOWN: usize = 64;

/// What the endpoint is to do for a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sip) enum Step {
    /// Nothing.
    Nothing,
    /// Send a REGISTER.
    Send,
    /// Tell the owner how it is now.
    Tell,
    /// Send an empty line to the registrar.
    KeepAlive,
    /// Tell that it is no more, and forget it.
    Gone,
}

/// One registration.
#[derive(Debug)]
pub(in crate::sip) struct Registration {
    pub(super) config: RegistrationConfig,
    pub(super) state: RegistrationState,
    /// The REGISTER that waits for its answer.
    pub(super) transaction: Option<Slot>,
    /// Route values that requests to the peer carry (RFC 3608).
    pub(super) service_route: Vec<String>,
    /// Where the registrar sees us, where that is not our own address.
    pub(super) seen: Option<SocketAddr>,
    walk: TargetWalk,
    /// Request-URI: the configured one, or that of a redirection.
    registrar: String,
    is_redirected: bool,
    call_id: Box<str>,
    tag: Box<str>,
    cseq: u32,
    authenticator: Authenticator,
    /// Our address as the last REGISTER had it in its Via.
    local: SocketAddr,
    /// Seconds to ask for: the configured, or what a 423 wanted.
    asked: u32,
    /// The Contact of the last REGISTER.
    contact: Box<str>,
    /// The Contact before it, to be removed.
    old_contact: Option<Box<str>>,
    /// Until when the registrar knows us, as far as it said.
    bound_until: Option<Instant>,
    /// When to renew, to try again, or to give up.
    at: Option<Instant>,
    keep_alive: Option<Instant>,
    /// In a row.
    failures: u8,
    /// Since the last refresh was due.
    redirects: u8,
    corrections: u8,
    brief: u8,
    is_leaving: bool,
    /// The last REGISTER had no answer.
    is_silent: bool,
}

impl Timed for Box<Registration> {
    fn deadline(&self) -> Option<Instant> {
        Instant::earliest(self.at, self.keep_alive)
    }
}

impl Registration {
    pub(super) fn new(config: RegistrationConfig, walk: TargetWalk, rng: &mut Rng) -> Self {
        let local = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        Self {
            state: RegistrationState::Registering,
            transaction: None,
            service_route: Vec::new(),
            seen: None,
            walk,
            registrar: config.registrar.clone(),
            is_redirected: false,
            call_id: format!("{}{}", rng.token(), rng.token()).into(),
            tag: rng.token().as_str().into(),
            // Any start below 2^31 would do; a low one leaves the most room.
            cseq: 0,
            authenticator: Authenticator::new(config.credentials.clone()),
            local,
            asked: config.expires.clamp(1, SIP_EXPIRES_MAX),
            contact: "".into(),
            old_contact: None,
            bound_until: None,
            at: None,
            keep_alive: None,
            failures: 0,
            redirects: 0,
            corrections: 0,
            brief: 0,
            is_leaving: false,
            is_silent: false,
            config,
        }
    }

    /// Where the next REGISTER goes.
    pub(super) fn target(&self) -> Option<SipTarget> {
        self.walk.current()
    }

    /// Whether it speaks to that address.
    pub(in crate::sip) fn speaks_to(&self, address: IpAddr) -> bool {
        let current = self.target();
        let mut targets = self.config.targets.iter().chain(&current);
        targets.any(|target| target.address.ip() == address)
    }

    /// Whether it goes over a connection to that far end.
    pub(in crate::sip) fn goes_over(&self, remote: SocketAddr, secure: bool) -> bool {
        let transport = if secure {
            Transport::Tls
        } else {
            Transport::Tcp
        };
        self.target()
            .is_some_and(|t| (t.address, t.transport) == (remote, transport))
    }

    /// The next REGISTER, complete but for Via, sent to `target` from `local`.
    pub(super) fn request(
        &mut self,
        target: SipTarget,
        local: SocketAddr,
        rng: &mut Rng,
    ) -> rsip::Request {
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.at = None;
        self.local = local;
        if !self.is_leaving {
            let address = self.seen.unwrap_or(local);
            let contact = contact::uri(&self.config.contact_user, address, target.transport);
            if !self.contact.is_empty() && *self.contact != *contact && self.bound_until.is_some() {
                self.old_contact = Some(self.contact.clone());
            }
            self.contact = contact.into();
        }
        let uri = Uri::parse(self.registrar.as_bytes()).map(|uri| uri.to_rsip());
        let uri = uri.unwrap_or_default();
        let record = &self.config.address_of_record;
        let name = self.config.display_name.as_deref().map(|name| {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{name}\" ")
        });
        let name = name.unwrap_or_default();
        let expires = if self.is_leaving { 0 } else { self.asked };
        let mut headers = rsip::Headers::default();
        headers.push(Header::MaxForwards("70".into()));
        for route in &self.config.routes {
            headers.push(Header::Route(route.clone().into()));
        }
        headers.push(Header::From(
            format!("{name}<{record}>;tag={}", self.tag).into(),
        ));
        headers.push(Header::To(format!("<{record}>").into()));
        headers.push(Header::CallId(self.call_id.to_string().into()));
        headers.push(Header::CSeq(format!("{} REGISTER", self.cseq).into()));
        let contact = format!("<{}>;expires={expires}", self.contact);
        headers.push(Header::Contact(contact.into()));
        if let Some(old) = &self.old_contact {
            headers.push(Header::Contact(format!("<{old}>;expires=0").into()));
        }
        headers.push(Header::Expires(expires.to_string().into()));
        headers.push(Header::Supported("path".into()));
        let digest_uri = uri_text(&uri);
        for header in self
            .authenticator
            .headers("REGISTER", &digest_uri, b"", rng)
        {
            headers.push(header);
        }
        rsip::Request {
            method: rsip::Method::Register,
            uri,
            version: rsip::Version::V2,
            headers,
            body: Vec::new(),
        }
    }

    /// A final response came. `trusts` are hosts that a redirection may lead to with the password.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        response: &SipMessage<'_>,
        trusts: impl Fn(IpAddr) -> bool,
        rng: &mut Rng,
    ) -> Step {
        self.transaction = None;
        self.is_silent = false;
        let code = response.status().unwrap_or_default();
        if matches!(code, 401 | 407) {
            return match self.authenticator.challenged(response, code) {
                Verdict::Retry => Step::Send,
                Verdict::Failed(_) if self.is_leaving => Step::Gone,
                Verdict::Failed(error) => self.unauthenticated(now, code, &error, rng),
            };
        }
        if self.is_leaving {
            return Step::Gone;
        }
        let retry_after = schedule::retry_after(response.headers().first(HeaderName::RetryAfter));
        match code {
            200..300 => self.accepted(now, response, rng),
            300..400 => self.redirected(now, response, trusts, rng),
            423 => self.too_brief(now, response, rng),
            code if TargetWalk::is_failure(code) => {
                let words = self.said(response);
                self.target_failed(now, code, words, retry_after, rng)
            }
            403 if self.authenticator.is_undecided() => {
                let words = self.said(response);
                self.wrong_password(now, words, rng)
            }
            code => {
                let words = self.said(response);
                self.failed(now, code, words, retry_after, rng)
            }
        }
    }

    /// No final response will come; `words` say why there is no connection, where that is known.
    pub(super) fn unanswered(
        &mut self,
        now: Instant,
        why: Unanswered,
        words: Option<&str>,
        rng: &mut Rng,
    ) -> Step {
        self.transaction = None;
        if self.is_leaving {
            return Step::Gone;
        }
        self.is_silent = true;
        let peer = self.peer();
        let words = match (why, words) {
            (Unanswered::Timeout, _) => format!("{peer} does not answer"),
            (Unanswered::Unreachable, None) => format!("{peer} cannot be connected to"),
            (Unanswered::Unreachable, Some(words)) => {
                format!("{peer} cannot be connected to: {words}")
            }
        };
        self.target_failed(now, TargetWalk::code_of(why), words, None, rng)
    }

    /// Its REGISTER could not be sent.
    pub(super) fn unsent(&mut self, now: Instant, words: String, rng: &mut Rng) -> Step {
        if self.is_leaving {
            return Step::Gone;
        }
        self.failed(now, 503, words, None, rng)
    }

    /// Its time has come. `fresh` are its targets in the order to try them; where something is known
    /// of them, the order counts for refreshes as well.
    pub(super) fn due(
        &mut self,
        now: Instant,
        fresh: TargetWalk,
        order_counts: bool,
        rng: &mut Rng,
    ) -> Step {
        if self.at.is_some_and(|at| at <= now) {
            self.at = None;
            if self.is_leaving {
                return Step::Gone;
            }
            let is_up = matches!(self.state, RegistrationState::Registered { .. });
            if order_counts || self.is_redirected || !is_up {
                self.walk = fresh;
                self.registrar = self.config.registrar.clone();
                self.is_redirected = false;
            }
            let has_failed = matches!(self.state, RegistrationState::AuthenticationFailed { .. });
            if has_failed || (self.authenticator.is_withheld() && !self.is_redirected) {
                self.authenticator = Authenticator::new(self.config.credentials.clone());
            }
            (self.redirects, self.corrections, self.brief) = (0, 0, 0);
            return Step::Send;
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            self.keep_alive = Some(now + schedule::keep_alive(rng));
            return Step::KeepAlive;
        }
        Step::Nothing
    }

    /// It is to be taken back.
    pub(super) fn leave(&mut self, now: Instant) -> Step {
        if self.is_leaving {
            return Step::Nothing;
        }
        let is_bound = self.bound_until.is_some_and(|until| until > now);
        self.is_leaving = true;
        self.keep_alive = None;
        if !is_bound && self.transaction.is_none() {
            return Step::Gone;
        }
        // Bound, and none of the targets answered the last time: the first may by now.
        if self.target().is_none() {
            self.walk = TargetWalk::new(&self.config.targets, |_| false);
        }
        Step::Send
    }

    /// Bounds the wait for the answer of a REGISTER that takes it back; said after each is sent.
    pub(super) fn bound_leaving(&mut self, now: Instant) {
        if self.is_leaving {
            self.at = Some(now + LEAVE);
        }
    }

    /// The connection that it goes over is gone.
    pub(super) fn lost(&mut self, now: Instant, rng: &mut Rng) {
        self.keep_alive = None;
        if matches!(self.state, RegistrationState::Registered { .. }) && self.transaction.is_none()
        {
            self.at = Some(now + schedule::after_loss(rng));
        }
    }

    /// A peer answers; `is_back` where it did not before. Where it is the registrar, it may have been
    /// restarted then and know of us no more.
    pub(super) fn peer_answers(
        &mut self,
        now: Instant,
        peer: SipTarget,
        is_back: bool,
        rng: &mut Rng,
    ) {
        let is_wanted = match self.state {
            RegistrationState::Registered { .. } => is_back && self.target() == Some(peer),
            // One that answered and refused is left to its time.
            RegistrationState::Failed { .. } => {
                self.is_silent && self.config.targets.contains(&peer)
            }
            _ => false,
        };
        if is_wanted && !self.is_leaving && self.transaction.is_none() {
            let soon = now + schedule::after_loss(rng);
            self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// What kept it from being answered may be over.
    pub(super) fn retry_soon(&mut self, now: Instant, rng: &mut Rng) {
        let is_waiting = matches!(self.state, RegistrationState::Failed { .. }) && self.is_silent;
        if is_waiting && !self.is_leaving && self.transaction.is_none() {
            self.failures = 0;
            let soon = now + schedule::after_loss(rng);
            self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Where the peer is was looked up anew. One that waits after a failure is tried at once.
    pub(super) fn set_targets(&mut self, now: Instant, targets: &SipTargets, fresh: TargetWalk) {
        let is_waiting = matches!(self.state, RegistrationState::Failed { .. });
        let is_news = self.config.targets != *targets;
        self.config.targets = targets.clone();
        if is_news && self.transaction.is_none() {
            self.walk = fresh;
            if is_waiting {
                self.at = Some(now);
            }
        }
    }

    fn accepted(&mut self, now: Instant, response: &SipMessage<'_>, rng: &mut Rng) -> Step {
        self.authenticator.accepted(response);
        let expires = contact::bound_for(response, &self.contact, self.asked).min(SIP_EXPIRES_MAX);
        if expires == 0 {
            let words = format!("{} accepted us and kept no contact of ours", self.peer());
            return self.failed(now, 200, words, None, rng);
        }
        self.old_contact = None;
        self.bound_until = Some(now + Duration::from_secs(expires.into()));
        let routes = response.headers().values(HeaderName::ServiceRoute);
        self.service_route = routes
            .filter_map(crate::wire::sip_header::NameAddr::parse)
            .map(|route| route.to_text())
            .take(SIP_SERVICE_ROUTES)
            .collect();
        let transport = self
            .target()
            .map_or(Transport::Udp, |target| target.transport);
        let seen = contact::seen_elsewhere(response, self.local, transport);
        if seen != self.seen {
            self.seen = seen;
            // Once a refresh: behind some NATs every answer names another port.
            if self.corrections == 0 {
                self.corrections = 1;
                return Step::Send;
            }
        }
        self.failures = 0;
        self.at = Some(now + schedule::refresh(expires, rng));
        let keeps_alive = transport.is_reliable() || self.seen.is_some();
        self.keep_alive = keeps_alive.then(|| now + schedule::keep_alive(rng));
        let state = RegistrationState::Registered { expires };
        if self.state == state {
            return Step::Nothing;
        }
        self.state = state;
        Step::Tell
    }

    fn too_brief(&mut self, now: Instant, response: &SipMessage<'_>, rng: &mut Rng) -> Step {
        self.authenticator.accepted(response);
        match schedule::min_expires(response) {
            Some(least) if least > self.asked && least <= SIP_EXPIRES_MAX && self.brief == 0 => {
                self.asked = least;
                self.brief = 1;
                Step::Send
            }
            _ => {
                let words = self.said(response);
                self.failed(now, 423, words, None, rng)
            }
        }
    }

    fn redirected(
        &mut self,
        now: Instant,
        response: &SipMessage<'_>,
        trusts: impl Fn(IpAddr) -> bool,
        rng: &mut Rng,
    ) -> Step {
        let code = response.status().unwrap_or_default();
        let mut words = self.said(response);
        let contact = response.headers().contacts().next();
        if let Some(contact) = contact {
            let (place, shown) = (self.place_of(&contact.uri), contact.uri.text);
            words = format!("{words}, to {}", OneLine::new(shown, REASON_SHOWN));
            if let Some((registrar, target)) = place
                && usize::from(self.redirects) < SIP_REDIRECTS
            {
                self.redirects = self.redirects.saturating_add(1);
                self.is_redirected = true;
                let ip = target.address.ip();
                let mut known = self.config.targets.iter();
                if !trusts(ip) && !known.any(|known| known.address.ip() == ip) {
                    self.authenticator.withhold();
                }
                self.registrar = registrar;
                let target: SipTargets = [target].into_iter().collect();
                self.walk = TargetWalk::new(&target, |_| false);
                return Step::Send;
            }
        }
        self.failed(now, code, words, None, rng)
    }

    /// The registrar that a redirection names, where that is an address: names are not looked up here.
    fn place_of(&self, uri: &Uri<'_>) -> Option<(String, SipTarget)> {
        let address = uri.socket_addr()?;
        let named = |name: &str| {
            uri.transport()
                .is_some_and(|t| t.eq_ignore_ascii_case(name))
        };
        let transport = match uri.scheme {
            Scheme::Sips => Transport::Tls,
            _ if named("tls") => Transport::Tls,
            _ if named("tcp") => Transport::Tcp,
            _ if named("udp") => Transport::Udp,
            _ => self.target()?.transport,
        };
        // What was protected stays so.
        if self.target()?.transport == Transport::Tls && transport != Transport::Tls {
            return None;
        }
        Some((format!("sip:{address}"), SipTarget { transport, address }))
    }

    fn target_failed(
        &mut self,
        now: Instant,
        code: u16,
        words: String,
        retry_after: Option<Duration>,
        rng: &mut Rng,
    ) -> Step {
        self.authenticator.restart();
        match self.walk.failed() {
            Some(_) => Step::Send,
            None => self.failed(now, code, words, retry_after, rng),
        }
    }

    fn unauthenticated(
        &mut self,
        now: Instant,
        code: u16,
        error: &AuthenticationError,
        rng: &mut Rng,
    ) -> Step {
        let words = format!("{}: {error}", self.peer());
        if matches!(error, AuthenticationError::Endless(_)) {
            return self.failed(now, code, words, None, rng);
        }
        self.wrong_password(now, words, rng)
    }

    fn wrong_password(&mut self, now: Instant, words: String, rng: &mut Rng) -> Step {
        self.keep_alive = None;
        self.at = Some(now + schedule::after_wrong_password(rng));
        self.state = RegistrationState::AuthenticationFailed { words };
        Step::Tell
    }

    fn failed(
        &mut self,
        now: Instant,
        code: u16,
        words: String,
        retry_after: Option<Duration>,
        rng: &mut Rng,
    ) -> Step {
        self.authenticator.restart();
        self.keep_alive = None;
        self.failures = self.failures.saturating_add(1);
        let retry = schedule::backoff(self.failures, retry_after, rng);
        self.at = Some(now + retry);
        self.state = RegistrationState::Failed { code, words, retry };
        Step::Tell
    }

    /// What a response says, in words.
    fn said(&self, response: &SipMessage<'_>) -> String {
        let StartLine::Status { code, reason } = response.start() else {
            return String::new();
        };
        let reason = String::from_utf8_lossy(reason);
        let reason = OneLine::new(reason.trim(), REASON_SHOWN);
        format!("{} answered {code} {reason}", self.peer())
    }

    /// The registrar that is being asked, in words.
    fn peer(&self) -> String {
        match self.target() {
            Some(target) => format!("{} over {}", target.address, target.transport),
            None => "the registrar".into(),
        }
    }
}
