//! What the box is told to do: the configuration as checked, plain values.
//!
//! Reading the file is floor 5's matter (`cli::config_file`). A value here is whole: what its type
//! allows, the gateway can do, except for the parts named in [`Config::notices`], which are read
//! and checked but not acted on yet.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod hooks;
mod page;
mod recording;
mod restart;
mod signalling;
mod stream_name;
mod trunk_conflicts;
mod value;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

pub use hooks::{Hooks, OnCall, OnError};
pub use page::Page;
pub use recording::{Recording, Rotation, WhenFull};
pub use signalling::{
    AbuseLimits, Dtmf, HostPort, OutboundProxy, Register, SessionTimer, transport,
};
pub use stream_name::{CallNames, StreamName};
pub use value::{
    Expected, Host, HttpUrl, MediaAddress, PortRange, codec_name, codec_of_name, rtmp_url,
};

use crate::base::budget::Budget;
use crate::base::codec::Codec;
use crate::base::network::{Network, Transport};
use crate::base::redact::Secret;
use crate::base::srtp::SrtpPolicy;
use crate::gateway::sink::profile::Profile;
use crate::limits::{
    DESK_BYTES, FILE_STATE_BYTES, HTTP_CONNECTIONS, Limits, MEDIA_PORTS_PER_CALL, MP4_FILES,
    PAGE_CONNECTIONS, PAGE_STATE_BYTES, PUSHES, RECORDING_BYTES, RECORDING_FRAGMENT_BYTES,
    RECORDING_QUEUE_BYTES, SIP_SPARE_CONNECTIONS, TLS_HANDSHAKES, TLS_STATE_BYTES,
};
use crate::sdp::{CodecPlan, PlanError};
use crate::sip::rules::Rules;
use crate::wire::rtmp_url::RtmpUrl;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where calls come in, in the order of the file; at least one.
    pub trunks: Vec<Trunk>,
    /// Where local players connect.
    pub rtmp_listen: SocketAddr,
    /// File of the certificate authorities that RTMP servers are trusted by; the system's without
    /// one.
    pub rtmp_ca_file: Option<String>,
    /// The REST interface.
    pub rest: Rest,
    /// The local page.
    pub page: Page,
    /// Addresses and ports of RTP.
    pub media: Media,
    /// The backend that is told of calls, if any.
    pub hooks: Option<Hooks>,
    /// Capacities.
    pub limits: Limits,
    /// Folder of the media files that may be sent into calls; none without it.
    pub files_directory: Option<String>,
    /// Folder of what outlives a restart; `None` keeps nothing.
    pub state_directory: Option<String>,
    /// Recordings; none are made without it.
    pub recording: Option<Recording>,
    /// Lines for whoever starts the program: what was configured and is not active yet.
    pub notices: Vec<String>,
}

/// One SIP port and what happens to its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Name in the file, for log lines and `{trunk}`.
    pub name: String,
    /// SIP port: UDP and TCP both, or TLS alone where that is the [`Self::transport`].
    pub local_port: u16,
    /// How SIP that we begin is carried; of TLS, also what [`Self::local_port`] takes.
    pub transport: Transport,
    /// The PBX; may call, beside [`Self::allow`].
    pub proxy: Option<Host>,
    /// SIP port of the PBX, for what we send there unasked. Without one a name is looked up by SRV
    /// first, and [`Self::usual_port`] stands in.
    pub remote_port: Option<u16>,
    /// Further addresses of the PBX, in the order to try them; those that are no names may call.
    pub targets: Vec<HostPort>,
    /// The proxy that requests of ours go through.
    pub outbound_proxy: Option<OutboundProxy>,
    /// Host part of our address of record; that of the PBX without it.
    pub domain: Option<Host>,
    /// PEM file of the authorities that the PBX is trusted by; the system's without one.
    pub ca_file: Option<String>,
    /// PEM file of our certificate and those that vouch for it, for connections to our port.
    pub certificate: Option<String>,
    /// PEM file of its private key.
    pub key: Option<String>,
    /// RTMP server and application to publish to; none keeps the stream on the box.
    pub url: Option<RtmpUrl>,
    /// Display name towards PBX and caller.
    pub visible_name: Option<String>,
    /// Template of the SDP answer, lines ending in LF.
    pub sdp: Option<String>,
    /// Lines put into the SDP, such as `b=AS:2000`.
    pub sdp_params: Vec<String>,
    /// Networks that may call, beside the PBX.
    pub allow: Vec<Network>,
    /// Registration at the PBX.
    pub register: Option<Register>,
    /// What kind of server [`Self::url`] is, which tells the codecs that it takes.
    pub sink: Option<Profile>,
    /// Codecs that may be negotiated, most wanted first. Without a list, all of them, in the order
    /// of the template or of the offer.
    pub codecs: Option<Vec<Codec>>,
    /// When its calls have their media protected.
    pub srtp: SrtpPolicy,
    /// How a call's stream is named.
    pub stream_name: StreamName,
    /// How often the PBX is asked whether it is there, if at all.
    pub ping: Option<Duration>,
    /// Calls at once by this trunk; as many as there may be at all without it.
    pub calls: Option<usize>,
    /// How long nothing may come from a caller that should send; for ever without it.
    pub media_timeout: Option<Duration>,
    /// Session timers, if they are used.
    pub session_timer: Option<SessionTimer>,
    /// How keys are sent.
    pub dtmf: Dtmf,
    /// How much is looked at of those who flood.
    pub abuse: AbuseLimits,
    /// What is changed in requests that come in, or refused of them.
    pub rules: Rules,
    /// Whether its calls are recorded; as [`Recording::all`] says without it.
    pub record: Option<bool>,
}

/// The REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Where it listens; beyond loopback only with a password.
    pub listen: SocketAddr,
    /// Password that every request but one for health must bring, if any.
    ///
    /// As HTTP Basic with any user name, or as Bearer.
    pub password: Option<Secret<String>>,
    /// The same interface over TLS, where it is wished.
    pub tls: Option<RestTls>,
}

/// The REST interface, or the local page, over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestTls {
    /// Where it listens; REST beyond loopback only with a password.
    pub listen: SocketAddr,
    /// PEM file of our certificate and those that vouch for it; without one we make our own.
    pub certificate: Option<String>,
    /// PEM file of its private key.
    pub key: Option<String>,
}

/// Addresses and ports of RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// The address named in SDP.
    pub address: MediaAddress,
    /// Ports of RTP and RTCP.
    pub ports: PortRange,
}

impl Trunk {
    /// How often a PBX that is named is asked whether it is there, unless the file says otherwise.
    pub const PING: Duration = Duration::from_secs(60);

    /// How long nothing may come from a caller that should send, unless the file says otherwise.
    pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);

    /// A trunk of defaults on a port; nobody may call yet.
    pub fn new(name: &str, local_port: u16) -> Self {
        Self {
            name: name.to_owned(),
            local_port,
            transport: Transport::Udp,
            proxy: None,
            remote_port: None,
            targets: Vec::new(),
            outbound_proxy: None,
            domain: None,
            ca_file: None,
            certificate: None,
            key: None,
            url: None,
            visible_name: None,
            sdp: None,
            sdp_params: Vec::new(),
            allow: Vec::new(),
            register: None,
            sink: None,
            codecs: None,
            srtp: SrtpPolicy::default(),
            stream_name: StreamName::default(),
            ping: None,
            calls: None,
            media_timeout: Some(Self::MEDIA_TIMEOUT),
            session_timer: Some(SessionTimer::default()),
            dtmf: Dtmf::default(),
            abuse: AbuseLimits::default(),
            rules: Rules::default(),
            record: None,
        }
    }

    /// Whether the name of its streams may be the secret key of a platform: it is the same for every call,
    /// and they are published.
    pub fn has_stream_key(&self) -> bool {
        self.url.is_some() && self.stream_name.is_literal()
    }

    /// The port of a PBX where neither the file nor the name system says one: 5060, with TLS 5061.
    pub const fn usual_port(&self) -> u16 {
        match self.transport {
            Transport::Tls => 5_061,
            Transport::Udp | Transport::Tcp => 5_060,
        }
    }

    /// Addresses of the PBX in the order to try them.
    pub fn pbx(&self) -> impl Iterator<Item = HostPort> + '_ {
        let proxy = self.proxy.clone();
        let proxy = proxy.map(|host| HostPort::new(host, self.remote_port));
        proxy.into_iter().chain(self.targets.iter().cloned())
    }

    /// Host part of our address of record, if a domain or a PBX is named.
    pub fn own_domain(&self) -> Option<&Host> {
        let first = self.targets.first().map(|target| &target.host);
        self.domain.as_ref().or(self.proxy.as_ref()).or(first)
    }

    /// What `codecs`, `sdp` and `sdpParams` amount to.
    ///
    /// # Errors
    ///
    /// The template or a line cannot be read; never in a configuration that was loaded.
    pub fn codec_plan(&self) -> Result<CodecPlan, PlanError> {
        let names = |codecs: &Vec<Codec>| codecs.iter().map(|codec| codec_name(*codec)).collect();
        let codecs: Option<Vec<&str>> = self.codecs.as_ref().map(names);
        let params: Vec<&str> = self.sdp_params.iter().map(String::as_str).collect();
        CodecPlan::new(codecs.as_deref(), self.sdp.as_deref(), &params)
    }

    /// Networks that may call, apart from a PBX given by name.
    pub fn sources(&self) -> impl Iterator<Item = Network> + '_ {
        let targets = self.targets.iter().map(|target| &target.host);
        let pbx = self
            .proxy
            .iter()
            .chain(targets)
            .filter_map(|host| match host {
                Host::Ip(address) => Some(Network::host(*address)),
                Host::Name(_) => None,
            });
        pbx.chain(self.allow.iter().copied())
    }

    /// Names of the PBX, to be looked up.
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        let targets = self.targets.iter().map(|target| &target.host);
        self.proxy
            .iter()
            .chain(targets)
            .filter_map(|host| match host {
                Host::Name(name) => Some(name.as_str()),
                Host::Ip(_) => None,
            })
    }
}

impl Rest {
    /// Where it listens, plainly and over TLS.
    pub fn listens(&self) -> (SocketAddr, Option<SocketAddr>) {
        (self.listen, self.tls.as_ref().map(|tls| tls.listen))
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8_081),
            password: None,
            tls: None,
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            address: MediaAddress::Auto,
            ports: PortRange::DEFAULT,
        }
    }
}

/// The embedded defaults: one trunk on port 40000 for callers of [`Network::LOCAL`], whose streams
/// stay on the box.
impl Default for Config {
    fn default() -> Self {
        Self {
            trunks: vec![Trunk {
                allow: Network::LOCAL.to_vec(),
                ..Trunk::new("default", 40_000)
            }],
            rtmp_listen: Self::RTMP_LISTEN,
            rtmp_ca_file: None,
            rest: Rest::default(),
            page: Page::default(),
            media: Media::default(),
            hooks: None,
            limits: Limits::default(),
            files_directory: None,
            state_directory: None,
            recording: None,
            notices: Vec::new(),
        }
    }
}

/// A value that does not go together with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Path of the field as in the file: `trunks.pbx_t0.localPort`.
    pub field: String,
    /// Path of the field that it does not go together with.
    pub with: String,
    /// What was expected, as a sentence.
    pub expected: String,
}

impl Config {
    /// Where local players connect, unless the file says otherwise.
    pub const RTMP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1_935);

    /// The memory that these limits cost.
    pub fn budget(&self) -> Budget {
        let mut budget = Budget::new(&self.limits, self.trunks.len());
        let has_tls = |trunk: &Trunk| trunk.url.as_ref().is_some_and(RtmpUrl::is_tls);
        if self.trunks.iter().any(has_tls) {
            budget.add("TLS of calls", self.limits.calls, TLS_STATE_BYTES);
        }
        // Any of them may be to a server of rtmps://.
        budget.add("TLS of pushes", PUSHES, TLS_STATE_BYTES);
        let of_sip = self.trunks.iter();
        let of_sip = of_sip
            .filter(|trunk| trunk.transport == Transport::Tls)
            .count();
        if of_sip > 0 {
            let open = self.limits.calls.saturating_add(SIP_SPARE_CONNECTIONS);
            let open = open.saturating_mul(of_sip).saturating_add(TLS_HANDSHAKES);
            budget.add("TLS of SIP", open, TLS_STATE_BYTES);
        }
        if let Some(hooks) = &self.hooks {
            hooks.add_to(&mut budget);
        }
        if self.recording.is_some() {
            let most = RECORDING_BYTES + RECORDING_QUEUE_BYTES + RECORDING_FRAGMENT_BYTES;
            budget.add("recordings", 1, most);
        }
        if self.files_directory.is_some() {
            budget.add("MP4 files", MP4_FILES, FILE_STATE_BYTES);
        }
        if self.rest.tls.is_some() {
            let open = HTTP_CONNECTIONS.saturating_add(TLS_HANDSHAKES);
            budget.add("TLS of HTTP", open, TLS_STATE_BYTES);
        }
        if self.page.listens() != (None, None) {
            budget.add("page", PAGE_CONNECTIONS, PAGE_STATE_BYTES);
            budget.add("work of page", 1, DESK_BYTES);
        }
        if self.page.tls.is_some() {
            let open = PAGE_CONNECTIONS.saturating_add(TLS_HANDSHAKES);
            budget.add("TLS of page", open, TLS_STATE_BYTES);
        }
        budget
    }

    /// Values that are right by themselves and wrong together.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut found = Vec::new();
        self.trunk_conflicts(&mut found);
        self.listen_conflicts(&mut found);
        let calls = self.limits.calls;
        let ports = self.media.ports;
        let room = ports.calls();
        if room < calls {
            let needed = calls.saturating_mul(MEDIA_PORTS_PER_CALL);
            found.push(Conflict {
                field: "media.ports".to_owned(),
                with: "limits.calls".to_owned(),
                expected: format!(
                    "expected room for {needed} ports, {MEDIA_PORTS_PER_CALL} for each of \
                     limits.calls ({calls}); {ports} is enough for {room} calls"
                ),
            });
        }
        if let Err(over) = self.budget().check() {
            found.push(Conflict {
                field: "limits.memoryMiB".to_owned(),
                with: "limits.calls".to_owned(),
                expected: format!(
                    "expected at least {}, which {calls} calls need; found {}",
                    over.needed_mib, over.allowed_mib
                ),
            });
        }
        found
    }

    fn listen_conflicts(&self, found: &mut Vec<Conflict>) {
        let mut listeners = heapless::Vec::<(&str, SocketAddr), 5>::from_array([
            ("rtmp.listen", self.rtmp_listen),
            ("rest.listen", self.rest.listen),
        ]);
        if let Some(tls) = &self.rest.tls {
            // There is a place for it.
            let _ = listeners.push(("rest.tls.listen", tls.listen));
        }
        let (page, page_tls) = self.page.listens();
        // There are places for both.
        listeners.extend(page.map(|listen| ("page.listen", listen)));
        listeners.extend(page_tls.map(|listen| ("page.tls.listen", listen)));
        for (at, (key, listen)) in listeners.iter().enumerate() {
            let port = listen.port();
            if let Some(trunk) = self.trunks.iter().find(|t| t.local_port == port) {
                let name = &trunk.name;
                found.push(Conflict {
                    field: (*key).to_owned(),
                    with: format!("trunks.{name}.localPort"),
                    expected: format!(
                        "expected another port, but {port} is localPort of trunk {name}"
                    ),
                });
            }
            let any = |ip: IpAddr| ip.is_unspecified();
            let earlier = listeners.iter().take(at).find(|(_, other)| {
                let same = any(other.ip()) || any(listen.ip()) || other.ip() == listen.ip();
                same && other.port() == port
            });
            if let Some((other, _)) = earlier {
                found.push(Conflict {
                    field: (*key).to_owned(),
                    with: (*other).to_owned(),
                    expected: format!("expected another port, but {other} has {port} too"),
                });
            }
            let open = !key.starts_with("rest.") || listen.ip().is_loopback();
            if !open && self.rest.password.is_none() {
                found.push(Conflict {
                    field: (*key).to_owned(),
                    with: "rest.listen".to_owned(),
                    expected: format!(
                        "expected a loopback address such as 127.0.0.1:{port}, or rest.password \
                         beside it; found {listen}"
                    ),
                });
            }
        }
        for (name, tls) in [("rest", &self.rest.tls), ("page", &self.page.tls)] {
            let Some(tls) = tls else { continue };
            let (has, wants) = match (&tls.certificate, &tls.key) {
                (Some(_), None) => ("certificate", "key"),
                (None, Some(_)) => ("key", "certificate"),
                _ => continue,
            };
            found.push(Conflict {
                field: format!("{name}.tls.{has}"),
                with: format!("{name}.tls"),
                expected: format!("expected {name}.tls.{wants} beside it"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(config: &Config) -> Vec<String> {
        config.conflicts().into_iter().map(|c| c.field).collect()
    }

    #[test]
    fn the_embedded_defaults_are_a_valid_configuration() {
        let config = Config::default();
        assert_eq!(config.conflicts(), []);
        let trunk = &config.trunks[0];
        assert_eq!((trunk.local_port, trunk.url.is_none()), (40_000, true));
        assert!(
            trunk
                .sources()
                .any(|net| net.contains("192.168.7.7".parse().unwrap()))
        );
        assert!(
            !trunk
                .sources()
                .any(|net| net.contains("203.0.113.7".parse().unwrap()))
        );
    }

    #[test]
    fn ports_that_are_wanted_twice_are_conflicts() {
        let mut config = Config::default();
        config.trunks.push(Trunk {
            allow: Network::LOCAL.to_vec(),
            ..Trunk::new("second", 40_000)
        });
        assert_eq!(fields(&config), ["trunks.second.localPort"]);
        config.trunks[1].local_port = 31_500;
        assert_eq!(fields(&config), ["trunks.second.localPort"]);
        config.trunks[1].local_port = 1_935;
        assert_eq!(fields(&config), ["rtmp.listen"]);
        config.trunks.pop();
        config.rest.listen = "127.0.0.1:1935".parse().unwrap();
        assert_eq!(fields(&config), ["rest.listen"]);
        config.rtmp_listen = "192.0.2.1:1935".parse().unwrap();
        assert_eq!(fields(&config), [""; 0]);
    }

    #[test]
    fn a_trunk_that_nobody_may_call_is_refused() {
        let mut config = Config::default();
        config.trunks[0].allow.clear();
        assert_eq!(fields(&config), ["trunks.default.proxyIp"]);
        config.trunks[0].proxy = Some(Host::Name("pbx".to_owned()));
        assert_eq!(fields(&config), [""; 0]);
    }

    #[test]
    fn rest_beyond_loopback_needs_a_password() {
        let mut config = Config::default();
        config.rest.listen = "0.0.0.0:8081".parse().unwrap();
        assert_eq!(fields(&config), ["rest.listen"]);
        config.rest.password = Some(Secret::new("x".to_owned()));
        assert_eq!(fields(&config), [""; 0]);
    }

    #[test]
    fn rest_over_tls_wants_a_port_a_password_and_both_files_or_none() {
        let mut config = Config::default();
        config.rest.tls = Some(RestTls {
            listen: "127.0.0.1:8444".parse().unwrap(),
            certificate: None,
            key: None,
        });
        assert_eq!(fields(&config), [""; 0]);
        let change = |change: fn(&mut RestTls)| {
            let mut config = config.clone();
            change(config.rest.tls.as_mut().unwrap());
            fields(&config)
        };
        assert_eq!(
            change(|tls| tls.listen = "[::]:8444".parse().unwrap()),
            ["rest.tls.listen"]
        );
        assert_eq!(
            change(|tls| tls.listen.set_port(8_081)),
            ["rest.tls.listen"]
        );
        assert_eq!(
            change(|tls| tls.listen.set_port(40_000)),
            ["rest.tls.listen"]
        );
        assert_eq!(
            change(|tls| tls.key = Some("/k".to_owned())),
            ["rest.tls.key"]
        );
        let one = |tls: &mut RestTls| tls.certificate = Some("/c".to_owned());
        assert_eq!(change(one), ["rest.tls.certificate"]);
    }

    #[test]
    fn calls_must_find_ports_and_memory() {
        let mut config = Config::default();
        config.limits.memory_mib = 128;
        config.limits.calls = 250;
        assert_eq!(fields(&config), [""; 0]);
        config.limits.calls = 251;
        assert_eq!(fields(&config), ["media.ports"]);
        config.limits.calls = 1;
        config.limits.memory_mib = 4;
        assert_eq!(fields(&config), ["limits.memoryMiB"]);
    }

    #[test]
    fn publishing_to_the_own_play_out_is_refused() {
        let mut config = Config::default();
        config.trunks[0].url = Some("rtmp://localhost/live".parse().unwrap());
        assert_eq!(fields(&config), ["trunks.default.url"]);
        config.rtmp_listen.set_port(1_936);
        assert_eq!(fields(&config), [""; 0]);
    }

    #[test]
    fn no_secret_is_printed() {
        let mut config = Config::default();
        config.rest.password = Some(Secret::new("hunter2".to_owned()));
        config.trunks[0].url = Some(
            "rtmp://joe:hunter2@192.0.2.1/live?key=hunter2"
                .parse()
                .unwrap(),
        );
        config.trunks[0].register = Some(Register {
            login: "box".to_owned(),
            authentication_name: "box".to_owned(),
            password: Secret::new("hunter2".to_owned()),
            expires: 600,
            registrar: None,
            contact: "box".to_owned(),
        });
        let backend = "http://joe:hunter2@backend/api?key=hunter2";
        config.hooks = Some(Hooks {
            password: Some(Secret::new("hunter2".to_owned())),
            ..Hooks::new(backend.parse().unwrap())
        });
        let shown = format!("{config:?} {:#?}", config);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
