//! Kamailio as registrar and PBX: the box registers, is called and calls out through it over UDP, TCP
//! and TLS, on loopback, with callees that are SIPp or baresip.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

mod support;

use serde_json::{Value, json};
use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::kamailio::{Exchange, Registrar};
use support::sipp::{Scenario, Sipp};
use support::{Authority, Clip, Daemon, Kamailio, Nginx, Ports, Rest, Validity, probe};

const PASSWORD: &str = "correct horse";
/// Seconds of the clip that SIPp plays.
const PLAYED: u32 = 3;
const FIND: &str = "/rest-api/call/find";

/// How the box and its PBX talk to each other.
#[derive(Clone, Copy)]
struct How {
    transport: &'static str,
    algorithm: &'static str,
    /// Whether the PBX reaches the box over the connection that it opened.
    flows: bool,
    /// Whether the trunk itself registers, as 1000.
    registers: bool,
    /// Whether the PBX has UDP and nothing else.
    datagrams_only: bool,
}

const fn over(transport: &'static str) -> How {
    How {
        transport,
        algorithm: "MD5",
        flows: false,
        registers: false,
        datagrams_only: false,
    }
}

/// An RTMP server, a PBX and a box that belongs to it.
struct Site {
    gateway: Daemon,
    kamailio: Kamailio,
    nginx: Nginx,
    ports: Ports,
    transport: &'static str,
    /// Its files are read when they are needed.
    _authority: Authority,
}

impl Site {
    fn new(how: How) -> Self {
        Self::with(how, &[])
    }

    /// The same with further lines of the trunk.
    fn with(how: How, more: &[String]) -> Self {
        let mut ports = Ports::claim();
        let nginx = Nginx::start(&mut ports);
        let authority = Authority::new();
        let kamailio = pbx(&mut ports, &authority, how, 60);
        let mut trunk = trunk(how, &authority);
        trunk.extend(more.iter().cloned());
        let settings = Settings {
            url: Some(nginx.url("live")),
            pbx: Some(sip_of(&kamailio, how.transport)),
            trunk,
            ..Settings::default()
        };
        let gateway = Daemon::start(&mut ports, settings);
        let site = Self {
            gateway,
            kamailio,
            nginx,
            ports,
            transport: how.transport,
            _authority: authority,
        };
        if how.registers {
            site.gateway
                .wait_after(0, "sip:1000@127.0.0.1 is registered for 60 s", 5);
        }
        site
    }

    fn rest(&self) -> Rest {
        Rest::connect(self.gateway.rest())
    }

    /// Starts SIPp as a callee that is registered as `user`, and waits until it listens.
    fn callee(&mut self, scenario: &str, user: &str, seconds: u32) -> Sipp {
        let port = self.ports.pair();
        let callee = Scenario::new(scenario, "u1", self.kamailio.address(), user)
            .play(seconds, 97)
            .start_at(port, &mut self.ports);
        self.kamailio.register(user, port);
        callee
    }

    /// Has the box call `callee`; `more` is put into the request.
    fn call(&self, client: &mut Rest, call_id: &str, callee: &str, more: &Value) {
        let port = sip_of(&self.kamailio, self.transport).port();
        let mut asked = json!({
            "callId": call_id, "callee": callee, "sipLogin": "1001",
            "sipAuthenticationName": "1001", "sipPassword": PASSWORD, "sipDomain": "127.0.0.1",
            "sipPort": port.to_string(), "sipRegisterRequired": "false",
            "hasAudio": "true", "hasVideo": "true",
            "rtmpUrl": self.nginx.url("live"), "rtmpStream": format!("rtmp_{call_id}"),
        });
        let fields = asked.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        let answer = client.post("/rest-api/call/startup", &asked);
        let words = String::from_utf8_lossy(&answer.1).into_owned();
        assert_eq!((answer.0, &words[..]), (200, ""));
    }

    /// A call comes in from the PBX, and the box ends it by the route that it came.
    fn is_called_and_hangs_up(&mut self) {
        let target = self.kamailio.address();
        let caller = Scenario::new("ended_by_gateway", "u1", target, "1000").start(&mut self.ports);
        let mut client = self.rest();
        let call = wait_for(&mut client, &json!({"callee": "1000"}), "ESTABLISHED");
        assert_eq!(call["incoming"], true);
        terminate(&mut client, &call["callId"]);
        caller.succeed();
        let id = call["callId"].as_str().expect("text");
        let bye = format!("within: BYE {id} over {} ", self.transport);
        let said = self.kamailio.log().text();
        assert!(said.contains(&bye), "no {bye}:\n{said}");
    }

    /// What every test ends with.
    fn end(mut self) {
        self.gateway.terminate();
        self.gateway.check_calm();
        let log = self.gateway.log().text();
        assert!(!log.contains(PASSWORD), "{log}");
        let routes = self.kamailio.log().text();
        assert!(!routes.contains("no route: "), "{routes}");
    }
}

/// Starts a PBX that grants registrations of so many seconds.
fn pbx(ports: &mut Ports, authority: &Authority, how: How, longest: u32) -> Kamailio {
    let certificate = authority.certify("IP:127.0.0.1", Validity::Now);
    let registrar = Registrar {
        password: PASSWORD,
        algorithm: how.algorithm,
        longest,
    };
    let exchange = Exchange {
        certificate: (how.transport == "tls").then_some(&certificate),
        flows: how.flows,
        datagrams_only: how.datagrams_only,
        address: None,
    };
    Kamailio::exchange(ports, &registrar, &exchange)
}

/// The lines of a trunk that trusts an authority.
fn trunk(how: How, authority: &Authority) -> Vec<String> {
    let mut lines = vec![format!("transport: {}", how.transport)];
    if how.transport == "tls" {
        lines.push(format!("caFile: {}", authority.file().display()));
    }
    if how.registers {
        let register = format!("register: {{login: \"1000\", password: \"{PASSWORD}\"}}");
        lines.push(register);
    }
    lines
}

/// Where a PBX takes SIP over a transport.
fn sip_of(kamailio: &Kamailio, transport: &str) -> SocketAddr {
    match transport {
        "tls" => kamailio.secure(),
        _ => kamailio.address(),
    }
}

/// What REST tells of the calls that match, waited for until one of them has that status.
fn wait_for(client: &mut Rest, question: &Value, wanted: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let (status, body) = client.post(FIND, question);
        let calls: Value = serde_json::from_slice(&body).expect("JSON");
        if status == 200 && calls[0]["status"] == wanted {
            return calls[0].clone();
        }
        assert!(
            Instant::now() < deadline,
            "never {wanted}: {status} {calls}"
        );
        sleep(Duration::from_millis(10));
    }
}

fn terminate(client: &mut Rest, call_id: &Value) {
    let answer = client.post("/rest-api/call/terminate", &json!({"callId": call_id}));
    assert_eq!(answer, (200, Vec::new()));
}

/// Demands that a recording is the first seconds of the clip, whole.
fn check_recording(nginx: &Nginx, stream: &str, seconds: u32) {
    let recording = nginx.recording(stream);
    let flv = Flv::read(&recording);
    flv.check_order();
    let clip = Clip::load();
    probe::compare_pictures(&clip.slices()[..seconds as usize * 25], &flv.slices());
    probe::check_sound(&clip.audio[..seconds as usize * 8_000], &flv.sound());
}

/// A caller of the PBX dials the number that the box registered; once the caller hangs up, once the
/// box does.
fn is_called(how: How) {
    let mut site = Site::new(How {
        registers: true,
        ..how
    });
    let transport = how.transport;
    let target = site.kamailio.address();
    Scenario::new("call", "u1", target, "1000")
        .play(PLAYED, 96)
        .run(&mut site.ports);
    site.gateway.wait_after(0, "ended after", 3);
    check_recording(&site.nginx, "rtmp_1000", PLAYED);
    let said = site.kamailio.log().text();
    let routed = said
        .lines()
        .find(|line| line.contains("routed: INVITE"))
        .expect("the call came by");
    let own = site.gateway.sip().to_string();
    let parameter = match transport {
        "udp" => String::new(),
        _ => format!(";transport={transport}"),
    };
    assert!(
        routed.contains(&format!("sip:1000@{own}{parameter}")),
        "{routed}"
    );
    // A flow is named by the far end of the connection, which is no port that the box listens on.
    let by_flow = how.flows && transport != "udp";
    let via = format!(";transport={transport}");
    assert_eq!(routed.matches(&via).count() == 2, by_flow, "{routed}");

    site.is_called_and_hangs_up();
    site.end();
}

#[test]
fn a_caller_reaches_the_registered_box_over_udp() {
    is_called(over("udp"));
}

#[test]
fn a_caller_reaches_the_registered_box_over_tcp() {
    is_called(over("tcp"));
}

#[test]
fn a_caller_reaches_the_registered_box_over_its_own_tcp_connection() {
    is_called(How {
        flows: true,
        ..over("tcp")
    });
}

#[test]
fn a_caller_reaches_the_registered_box_over_tls() {
    is_called(over("tls"));
}

#[test]
fn a_caller_reaches_the_registered_box_over_its_own_tls_connection() {
    is_called(How {
        flows: true,
        ..over("tls")
    });
}

#[test]
fn a_caller_who_falls_silent_is_hung_up_through_the_proxies_route() {
    let how = How {
        registers: true,
        ..over("tcp")
    };
    let mut site = Site::with(how, &["mediaTimeout: 5".to_owned()]);
    let target = site.kamailio.address();
    Scenario::new("ended_by_gateway", "u1", target, "1000").run(&mut site.ports);
    let said = site.kamailio.log().text();
    assert!(
        said.lines()
            .any(|line| line.contains("within: BYE ") && line.contains(" over tcp ")),
        "{said}"
    );
    site.end();
}

/// The box calls out: challenged, from its transport to the callee's, with media before the answer.
fn calls_out(how: How, register: bool) {
    let mut site = Site::new(how);
    let callee = site.callee("proxied_early", "2001", PLAYED);
    let mut client = site.rest();
    let more = json!({"sipRegisterRequired": register.to_string()});
    site.call(&mut client, "early", "2001", &more);
    let question = json!({"callId": "early"});
    wait_for(&mut client, &question, "SESSION_PROGRESS");
    let up = wait_for(&mut client, &question, "ESTABLISHED");
    assert_eq!(
        (&up["sipStatus"], &up["callee"]),
        (&json!(200), &json!("2001"))
    );
    // The clip is over when nothing more of it comes.
    let recorded = |site: &Site| site.nginx.recorded("rtmp_early");
    let mut before = 0;
    while before == 0 || recorded(&site) > before {
        before = recorded(&site);
        sleep(Duration::from_millis(500));
    }
    let up = wait_for(&mut client, &question, "ESTABLISHED");
    assert_eq!(up["rtmpStreamStatus"], "RTMP_STREAM_ACTIVE");
    terminate(&mut client, &json!("early"));
    callee.succeed();
    assert_eq!(client.post(FIND, &question).0, 404);
    check_recording(&site.nginx, "rtmp_early", PLAYED);

    let said = site.kamailio.log().text();
    // With credentials it is too large for a datagram (RFC 3261 section 18.1.1).
    assert_eq!(
        said.matches("asked: INVITE early over udp").count(),
        usize::from(how.transport == "udp")
    );
    let transport = match how.transport {
        "udp" if !how.datagrams_only => "tcp",
        other => other,
    };
    let count = |text: &str| said.matches(text).count();
    assert_eq!(count("asked: INVITE early over"), 1, "{said}");
    assert_eq!(
        count(&format!("routed: INVITE early over {transport} ")),
        1,
        "{said}"
    );
    assert_eq!(
        count(&format!("within: ACK early over {transport} ")),
        1,
        "{said}"
    );
    assert_eq!(
        count(&format!("within: BYE early over {transport} ")),
        1,
        "{said}"
    );
    let contact = format!("<sip:1001@{}", site.gateway.sip());
    let saved = said.lines().find(|line| line.contains("saved: 1001 over "));
    assert_eq!(
        saved.is_some_and(|line| line.contains(&contact)),
        register,
        "{said}"
    );
    site.end();
}

#[test]
fn a_call_out_over_udp_is_challenged_and_relayed() {
    calls_out(over("udp"), false);
}

#[test]
fn a_call_out_over_udp_registers_first_with_sha_256() {
    calls_out(
        How {
            algorithm: "SHA-256",
            ..over("udp")
        },
        true,
    );
}

#[test]
fn a_call_out_to_a_pbx_without_tcp_falls_back_to_udp() {
    calls_out(
        How {
            datagrams_only: true,
            ..over("udp")
        },
        true,
    );
}

#[test]
fn a_call_out_over_tcp_is_challenged_and_relayed() {
    calls_out(over("tcp"), false);
}

#[test]
fn a_call_out_over_tcp_registers_first_with_sha_256() {
    calls_out(
        How {
            algorithm: "SHA-256",
            ..over("tcp")
        },
        true,
    );
}

#[test]
fn a_call_out_over_tls_is_challenged_with_sha_256_and_relayed() {
    calls_out(
        How {
            algorithm: "SHA-256",
            ..over("tls")
        },
        false,
    );
}

#[test]
fn a_call_out_over_tls_registers_first() {
    calls_out(
        How {
            flows: true,
            ..over("tls")
        },
        true,
    );
}

/// The other ends that a call out may have.
fn calls_out_otherwise(transport: &'static str) {
    let mut site = Site::new(How {
        flows: true,
        ..over(transport)
    });
    let mut client = site.rest();

    let none = json!({});
    site.call(&mut client, "nobody", "2999", &none);
    site.gateway.wait_after(0, "FAILED (404 Not Found", 5);

    let from = site.gateway.log().mark();
    let callee = site.callee("uas_busy", "2002", 0);
    site.call(&mut client, "busy", "2002", &none);
    site.gateway.wait_after(from, "BUSY (486", 5);
    callee.succeed();

    // The call is taken back while it rings.
    let callee = site.callee("proxied_ringing", "2003", 0);
    site.call(&mut client, "rings", "2003", &none);
    let question = json!({"callId": "rings"});
    wait_for(&mut client, &question, "RING");
    terminate(&mut client, &json!("rings"));
    callee.succeed();

    // Two phones of one number: one answers, the other one stops to ring.
    let rings = site.callee("proxied_ringing", "2004", 0);
    let answers = site.callee("proxied_hold", "2004", PLAYED);
    let from = site.gateway.log().mark();
    site.call(&mut client, "fork", "2004", &none);
    rings.succeed();
    // It holds the call, resumes it and hangs up.
    answers.succeed();
    site.gateway.wait_after(from, "ended after", 5);
    assert_eq!(client.post(FIND, &json!({"callId": "fork"})).0, 404);
    check_recording(&site.nginx, "rtmp_fork", PLAYED);
    site.end();
}

#[test]
fn over_udp_a_call_out_may_find_nobody_be_refused_fork_and_be_held() {
    calls_out_otherwise("udp");
}

#[test]
fn over_tcp_a_call_out_may_find_nobody_be_refused_fork_and_be_held() {
    calls_out_otherwise("tcp");
}

#[test]
fn over_tls_a_call_out_may_find_nobody_be_refused_fork_and_be_held() {
    calls_out_otherwise("tls");
}

#[test]
fn a_pbx_of_another_authority_is_named_by_the_state_of_the_registration() {
    let mut ports = Ports::claim();
    let (own, other) = (Authority::new(), Authority::named("another authority"));
    let how = How {
        registers: true,
        ..over("tls")
    };
    let kamailio = pbx(&mut ports, &other, how, 60);
    let settings = Settings {
        pbx: Some(kamailio.secure()),
        trunk: trunk(how, &own),
        ..Settings::default()
    };
    let mut gateway = Daemon::start(&mut ports, settings);
    let (_, line) = gateway.log().wait_for_after(
        0,
        "test: sip:1000@127.0.0.1 could not be registered: ",
        Duration::from_secs(5),
    );
    for words in [
        format!(
            "{} over TLS cannot be connected to: TLS: ",
            kamailio.secure()
        ),
        "is signed by an authority that this box does not know".to_owned(),
        "; again in ".to_owned(),
    ] {
        assert!(line.contains(&words), "{line}");
    }
    let mut client = Rest::connect(gateway.rest());
    let asked = json!({
        "callId": "refused", "callee": "2001", "sipLogin": "1001", "sipPassword": PASSWORD,
        "sipDomain": "127.0.0.1", "sipPort": kamailio.secure().port(),
    });
    assert_eq!(client.post("/rest-api/call/startup", &asked).0, 200);
    let (_, line) = gateway
        .log()
        .wait_for_after(0, "FAILED (503 ", Duration::from_secs(5));
    assert!(
        line.contains("authority that this box does not know"),
        "{line}"
    );
    assert!(!kamailio.locations().contains("1000"));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_call_out_with_srtp_is_relayed_over_tls() {
    let how = How {
        flows: true,
        ..over("tls")
    };
    let mut site = Site::with(how, &["srtp: required".to_owned()]);
    let plan = Plan {
        encryption: Some("srtp-mand"),
        seconds: 30,
        ..Plan::default()
    };
    let registrar = site.kamailio.secure();
    let callee = Baresip::answer(&mut site.ports, registrar, "2001", &plan);
    site.kamailio
        .log()
        .wait_for("saved: 2001 over tls ", Duration::from_secs(8));
    let mut client = site.rest();
    site.call(&mut client, "secret", "2001", &json!({}));
    wait_for(&mut client, &json!({"callId": "secret"}), "ESTABLISHED");
    let log = site.gateway.log();
    log.wait_for("RTMP_STREAM_ACTIVE", Duration::from_secs(10));
    let stream = "rtmp_secret";
    site.nginx
        .wait_recorded(stream, 300_000, Duration::from_secs(15));
    terminate(&mut client, &json!("secret"));
    site.gateway.wait_after(0, "ended after", 5);
    let log = site.gateway.log().text();
    assert_eq!(
        log.matches(" with AES_CM_128_HMAC_SHA1_80").count(),
        2,
        "{log}"
    );
    assert!(!log.contains("inline:"), "{log}");
    drop(callee);
    let recording = site.nginx.recording(stream);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(flv.pictures.len() > 25 && flv.sounds.len() > 50);
    probe::decode_strictly(&recording);
    site.end();
}

/// The PBX is cut off, forgets everything, and comes back.
fn registers_anew(transport: &'static str) {
    let how = How {
        registers: true,
        ..over(transport)
    };
    let mut site = Site::with(how, &["ping: 5".to_owned()]);
    let address = sip_of(&site.kamailio, transport);
    let shown = format!("test: {address} over {}", transport.to_uppercase());
    site.gateway
        .wait_after(0, &format!("{shown} answers OPTIONS with 200"), 5);
    let from = site.gateway.log().mark();
    site.kamailio.kill();
    let down = match transport {
        "udp" => "does not answer OPTIONS",
        _ => "cannot be connected to",
    };
    let from = site
        .gateway
        .wait_after(from, &format!("{shown} {down}"), 20);
    site.kamailio.restart();
    assert!(!site.kamailio.locations().contains("1000"));
    site.gateway
        .wait_after(from, &format!("{shown} answers OPTIONS with 200"), 15);
    let saved = format!("saved: 1000 over {transport} ");
    site.kamailio.log().wait_for(&saved, Duration::from_secs(5));
    site.is_called_and_hangs_up();
    site.end();
}

#[test]
fn a_pbx_that_was_restarted_is_registered_with_anew_over_udp() {
    registers_anew("udp");
}

#[test]
fn a_pbx_that_was_restarted_is_registered_with_anew_over_tcp() {
    registers_anew("tcp");
}

#[test]
fn a_pbx_that_was_restarted_is_registered_with_anew_over_tls() {
    registers_anew("tls");
}

#[test]
fn another_pbx_takes_registrations_and_calls_over() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let authority = Authority::new();
    let how = How {
        registers: true,
        ..over("tcp")
    };
    let mut first = pbx(&mut ports, &authority, how, 60);
    let second = pbx(&mut ports, &authority, how, 60);
    let mut lines = trunk(how, &authority);
    lines.push(format!("targets: [\"{}\"]", second.address()));
    lines.push("ping: 5".to_owned());
    let settings = Settings {
        url: Some(nginx.url("live")),
        pbx: Some(first.address()),
        trunk: lines,
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    gateway.wait_after(0, "sip:1000@127.0.0.1 is registered for 60 s", 5);
    gateway.wait_after(
        0,
        &format!("{} over TCP answers OPTIONS with 200", second.address()),
        5,
    );
    assert!(first.locations().contains("1000"));
    assert!(!second.locations().contains("1000"));

    first.kill();
    let patience = Duration::from_secs(20);
    second.log().wait_for("saved: 1000 over tcp ", patience);
    // Calls come in by the second one, and go out by it though the first one was asked for.
    Scenario::new("call", "u1", second.address(), "1000")
        .play(1, 96)
        .run(&mut ports);
    gateway.wait_after(0, "ended after", 5);
    check_recording(&nginx, "rtmp_1000", 1);
    let mut site = Site {
        gateway,
        kamailio: second,
        nginx,
        ports,
        transport: "tcp",
        _authority: authority,
    };
    let callee = site.callee("proxied_hold", "2001", 1);
    let mut client = site.rest();
    let port = json!({"sipPort": first.address().port().to_string()});
    site.call(&mut client, "over", "2001", &port);
    callee.succeed();
    check_recording(&site.nginx, "rtmp_over", 1);
    site.end();
}
