//! A registrar that checks digests by itself, for the tests of registrations.

use md5::{Digest as _, Md5};
use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::sip::{
    Credentials, RegistrationConfig, RegistrationId, RegistrationState, SipEvent, SipTarget,
};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Sent, respond};

pub const PASSWORD: &str = "s3cret";

pub fn target(transport: Transport, address: &str) -> SipTarget {
    let address = address.parse().unwrap();
    SipTarget { transport, address }
}

pub fn udp() -> SipTarget {
    target(Transport::Udp, "192.0.2.10:5060")
}

pub fn config(targets: &[SipTarget]) -> RegistrationConfig {
    RegistrationConfig {
        registrar: "sip:pbx.example".into(),
        address_of_record: "sip:1000@pbx.example".into(),
        display_name: Some("Lobby".into()),
        contact_user: "1000".into(),
        expires: 600,
        routes: Vec::new(),
        targets: targets.iter().copied().collect(),
        credentials: Some(
            Credentials {
                username: "1000".into(),
                password: Secret::new(PASSWORD.into()),
            }
            .into(),
        ),
    }
}

/// A parameter of the credentials in a request, quotes left out.
pub fn parameter(credentials: &str, name: &str) -> Option<String> {
    let list = credentials.strip_prefix("Digest ").unwrap();
    let mut pairs = list.split(", ").filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(given, _)| *given == name)?.1;
    Some(value.trim_matches('"').to_owned())
}

/// Whether credentials of MD5 with `qop=auth` prove the password.
pub fn proves(credentials: &str, method: &str, password: &str) -> bool {
    let get = |name| parameter(credentials, name).unwrap_or_default();
    let hash = |text: String| -> String {
        let bytes = Md5::digest(text.as_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let ha1 = hash(format!("{}:{}:{password}", get("username"), get("realm")));
    let ha2 = hash(format!("{method}:{}", get("uri")));
    let (nonce, nc, cnonce) = (get("nonce"), get("nc"), get("cnonce"));
    get("response") == hash(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"))
}

/// An answer with further header lines.
pub fn answer(request: &Sent, code: u16, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let text = respond(request, code);
    text.replace(
        "Content-Length: 0\r\n",
        &format!("{lines}Content-Length: 0\r\n"),
    )
}

/// A 401 with that nonce.
pub fn challenge(request: &Sent, nonce: &str, more: &str) -> String {
    let line =
        format!("WWW-Authenticate: Digest realm=\"pbx\", nonce=\"{nonce}\", qop=\"auth\"{more}");
    answer(request, 401, &[&line])
}

/// A 200 that binds the Contact of the request for so many seconds.
pub fn bound(request: &Sent, seconds: u32) -> String {
    let contact = request.header(HeaderName::Contact).unwrap();
    let uri = contact.split(';').next().unwrap().to_owned();
    let transport = contact.contains("transport=tcp");
    let uri = match transport {
        true => contact.split(">;").next().unwrap().to_owned() + ">",
        false => uri,
    };
    answer(
        request,
        200,
        &[&format!("Contact: {uri};expires={seconds}")],
    )
}

impl Bench {
    /// Registers; the REGISTER.
    pub fn register(&mut self, config: RegistrationConfig) -> (RegistrationId, Sent) {
        let id = self.command(|e, now| e.register(now, config)).unwrap();
        assert_eq!(self.registration(), RegistrationState::Registering);
        let mut sent = self.take();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].what(), "REGISTER");
        (id, sent.remove(0))
    }

    /// The one REGISTER that an answer led to.
    pub fn answered(&mut self, answer: String) -> Sent {
        let mut sent = self.datagram(answer);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].what(), "REGISTER");
        sent.remove(0)
    }

    /// The next event, which is of a registration.
    pub fn registration(&mut self) -> RegistrationState {
        match self.event() {
            SipEvent::Registration { state, .. } => state,
            event => panic!("{event:?}"),
        }
    }
}
