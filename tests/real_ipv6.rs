//! Phones over IPv6 alone: baresip calls and is called over UDP, TCP and TLS, with sound and pictures.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

mod support;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::{Authority, CallOut, Daemon, Nginx, Ports, Validity};

const SHORT: Duration = Duration::from_secs(5);
const HOME: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// An RTMP server, and an authority that box and phones trust.
struct Site {
    nginx: Nginx,
    ports: Ports,
    authority: Authority,
    transport: &'static str,
}

impl Site {
    fn new(transport: &'static str) -> Self {
        let mut ports = Ports::claim();
        let nginx = Nginx::start(&mut ports);
        Self {
            nginx,
            ports,
            authority: Authority::new(),
            transport,
        }
    }

    /// A box with a phone in the place of its PBX.
    fn gateway(&mut self, pbx: SocketAddr) -> Daemon {
        let own = self.authority.certify("IP:::1", Validity::Now);
        let mut trunk = vec![
            format!("allow: [\"{HOME}\"]"),
            format!("transport: {}", self.transport),
        ];
        if self.transport == "tls" {
            trunk.push("srtp: required".to_owned());
            trunk.push(format!("certificate: {}", own.certificate.display()));
            trunk.push(format!("key: {}", own.key.display()));
            trunk.push(format!("caFile: {}", self.authority.file().display()));
        }
        let settings = Settings {
            url: Some(self.nginx.url("live")),
            pbx: Some(pbx),
            trunk,
            media: "auto".to_owned(),
            ..Settings::default()
        };
        Daemon::start(&mut self.ports, settings)
    }

    /// Has a phone by a plan.
    fn phone(&mut self, seconds: u32, make: impl FnOnce(&mut Ports, &Plan) -> Baresip) -> Baresip {
        let own = self.authority.certify("IP:::1", Validity::Now);
        let is_secure = self.transport == "tls";
        let plan = Plan {
            address: HOME,
            seconds,
            tcp: self.transport == "tcp",
            tls: is_secure.then_some((&self.authority, &own)),
            encryption: is_secure.then_some("srtp-mand"),
            ..Plan::default()
        };
        make(&mut self.ports, &plan)
    }
}

/// Demands that everything in a phone's descriptions was of IPv6.
fn check_family(text: &str) {
    assert!(!text.contains("IN IP4"), "{text}");
}

fn is_called(transport: &'static str) {
    let mut site = Site::new(transport);
    let gateway = site.gateway(SocketAddr::new(HOME, 5060));
    let at = SocketAddr::new(HOME, gateway.sip().port());
    let phone = site.phone(6, |ports, plan| Baresip::start(ports, at, "1001", plan));
    gateway.log().wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
    let sent = phone.finish(4 * SHORT);
    gateway.log().wait_for("ended after", SHORT);
    assert!(sent.pictures > 60, "{sent:?}");
    sent.check_recorded(&site.nginx.recording("rtmp_1001"));
    let log = gateway.log().text();
    assert!(log.contains("from [::1]:"), "{log}");
    gateway.check_calm();
}

fn calls(transport: &'static str) {
    let mut site = Site::new(transport);
    let phone = site.phone(30, |ports, plan| {
        Baresip::listen(ports, "1002", Answers::AtOnce, plan)
    });
    let at = match transport {
        "tls" => phone.sip_tls(),
        _ => phone.sip(),
    };
    let gateway = site.gateway(at);
    let target = (&site.nginx.url("live")[..], "six");
    let mut call = CallOut::place(&gateway, ("1002", at), target, &json!({}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    site.nginx.wait_recorded("rtmp_six", 300_000, 2 * SHORT);
    let line = gateway.log().text();
    let way = format!("INVITE to {} {at}", transport.to_uppercase());
    assert!(line.contains(&way), "{line}");
    let text = phone.log().text();
    assert!(text.contains("c=IN IP6 ::1"), "{text}");
    check_family(&text);
    phone.order("hangup");
    gateway.log().wait_for("FINISH (200", SHORT);
    let sent = phone.quit();
    assert!(sent.pictures > 40, "{sent:?}");
    sent.check_recorded(&site.nginx.recording("rtmp_six"));
    gateway.check_calm();
}

#[test]
fn baresip_calls_over_udp() {
    is_called("udp");
}

#[test]
fn baresip_calls_over_tcp() {
    is_called("tcp");
}

#[test]
fn baresip_calls_over_tls_with_srtp() {
    is_called("tls");
}

#[test]
fn baresip_is_called_over_udp() {
    calls("udp");
}

#[test]
fn baresip_is_called_over_tcp() {
    calls("tcp");
}

#[test]
fn baresip_is_called_over_tls_with_srtp() {
    calls("tls");
}
