//! Kamailio as a registrar that asks for a password, and as the PBX of the phones that are registered.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::authority::Certificate;
use super::scratch::Scratch;
use super::{Ports, Program, program};

/// How a registrar is to be.
pub struct Registrar {
    /// The password of every user.
    pub password: &'static str,
    /// The algorithm of its challenges.
    pub algorithm: &'static str,
    /// The longest registration that it grants, in seconds.
    pub longest: u32,
}

/// What makes a PBX of a registrar: it routes numbers to the phones that are registered, and stays in
/// their calls.
///
/// Numbers that begin with 10 are asked for their password, in REGISTER with 401 and in INVITE with
/// 407. All others are trusted, for callers and callees that know no passwords.
#[derive(Default)]
pub struct Exchange<'a> {
    /// Its certificate; without it there is no TLS.
    pub certificate: Option<&'a Certificate>,
    /// Whether phones behind TCP and TLS are reached over the connection that they opened, as if
    /// behind NAT, and not at the address that they name.
    pub flows: bool,
    /// Whether it has UDP and nothing else.
    pub datagrams_only: bool,
    /// Its address, where that is not loopback; it has the usual ports there, which some phones take
    /// whatever port they were told.
    pub address: Option<IpAddr>,
}

/// A running Kamailio that keeps registrations in memory, over UDP and TCP on one port and TLS on
/// another one.
///
/// Its processes live in a process namespace of their own, so that none outlives the first.
pub struct Kamailio {
    program: Program,
    folder: Scratch,
    address: SocketAddr,
    secure: SocketAddr,
}

/// Modules, and those that a PBX has besides.
const MODULES: [&str; 11] = [
    "kex",
    "tm",
    "sl",
    "pv",
    "xlog",
    "textops",
    "siputils",
    "ctl",
    "usrloc",
    "registrar",
    "auth",
];
/// Where a flow is kept between the modules.
const RECEIVED: &str = "\"$avp(received)\"";
const OF_EXCHANGE: [&str; 3] = ["rr", "tmx", "nathelper"];

impl Kamailio {
    /// Starts a registrar on a free port. It answers everything else with 200.
    pub fn start(ports: &mut Ports, registrar: &Registrar) -> Self {
        let password = registrar.password;
        let routes = format!(
            r#"request_route {{
    if (!is_method("REGISTER")) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (!pv_www_authenticate("$td", "{password}", "0")) {{
        xlog("L_NOTICE", "asked: $rm $ci $cs\n");
        www_challenge("$td", "1");
        exit;
    }}
    if (save("location")) {{
        xlog("L_NOTICE", "saved: $rP $hdr(Contact) $hdr(Expires)\n");
    }}
    exit;
}}
"#
        );
        Self::start_with(ports, registrar, &MODULES, &Exchange::default(), &routes)
    }

    /// Starts a PBX on free ports.
    pub fn exchange(ports: &mut Ports, registrar: &Registrar, exchange: &Exchange<'_>) -> Self {
        let modules = [&MODULES[..], &OF_EXCHANGE].concat();
        let routes = exchange_routes(registrar.password, exchange.flows);
        Self::start_with(ports, registrar, &modules, exchange, &routes)
    }

    fn start_with(
        ports: &mut Ports,
        registrar: &Registrar,
        modules: &[&str],
        exchange: &Exchange<'_>,
        routes: &str,
    ) -> Self {
        let Exchange {
            certificate,
            datagrams_only,
            ..
        } = exchange;
        let (mut address, mut secure) = (ports.address(), ports.address());
        if let Some(home) = exchange.address {
            (address, secure) = (SocketAddr::new(home, 5060), SocketAddr::new(home, 5061));
        }
        let folder = Scratch::new("kamailio");
        let control = folder.join("control");
        let mut text = String::from("#!KAMAILIO\ndebug=2\nlog_stderror=yes\nchildren=1\n");
        text += "tcp_children=1\nauto_aliases=no\ntcp_accept_aliases=no\n";
        let tls = if certificate.is_some() { "yes" } else { "no" };
        let _ = writeln!(text, "enable_tls={tls}");
        let plain: &[&str] = match datagrams_only {
            true => &["udp"],
            false => &["udp", "tcp"],
        };
        for transport in plain {
            let _ = writeln!(text, "listen={transport}:{address}");
        }
        for module in modules {
            let _ = writeln!(text, "loadmodule \"{module}.so\"");
        }
        if let Some(Certificate { certificate, key }) = certificate {
            let _ = writeln!(text, "listen=tls:{secure}\nloadmodule \"tls.so\"");
            for (name, file) in [("certificate", certificate), ("private_key", key)] {
                let file = file.display();
                let _ = writeln!(text, "modparam(\"tls\", \"{name}\", \"{file}\")");
            }
        }
        let Registrar {
            algorithm, longest, ..
        } = registrar;
        for (module, name, value) in [
            ("ctl", "binrpc", format!("\"unix:{}\"", control.display())),
            ("usrloc", "db_mode", "0".to_owned()),
            ("usrloc", "timer_interval", "1".to_owned()),
            ("registrar", "max_expires", longest.to_string()),
            ("registrar", "min_expires", "1".to_owned()),
            ("auth", "algorithm", format!("\"{algorithm}\"")),
            ("registrar", "received_avp", RECEIVED.to_owned()),
            ("nathelper", "received_avp", RECEIVED.to_owned()),
            ("tls", "tls_method", "\"TLSv1.2+\"".to_owned()),
        ] {
            let loaded = format!("loadmodule \"{module}.so\"");
            if text.contains(&loaded) {
                let _ = writeln!(text, "modparam(\"{module}\", \"{name}\", {value})");
            }
        }
        text += routes;
        folder.write("kamailio.cfg", text);
        let kamailio = Self {
            program: run(&folder),
            folder,
            address,
            secure,
        };
        kamailio.wait_until_it_answers();
        kamailio
    }

    /// Where it listens for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn secure(&self) -> SocketAddr {
        self.secure
    }

    /// The program, for its log.
    pub fn log(&self) -> &Program {
        &self.program
    }

    /// Cuts it off as a power failure does; what it knew is lost.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Starts it again after that, with the same file.
    pub fn restart(&mut self) {
        self.program = run(&self.folder);
        self.wait_until_it_answers();
    }

    /// Registers a phone that is reached over UDP at a port of this host.
    pub fn register(&self, user: &str, port: u16) {
        self.register_at(user, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }

    /// Registers a phone that is reached over UDP at an address.
    pub fn register_at(&self, user: &str, phone: SocketAddr) {
        let port = phone.port();
        let socket = UdpSocket::bind((self.address.ip(), 0)).expect("a port is free");
        let patience = Duration::from_secs(5);
        socket
            .set_read_timeout(Some(patience))
            .expect("a timeout is possible");
        let local = socket.local_addr().expect("the socket is bound");
        let address = self.address;
        let request = format!(
            "REGISTER sip:{address} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{user}-{port}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{address}>;tag={port}\r\nTo: <sip:{user}@{address}>\r\n\
             Call-ID: phone-{user}-{port}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:{user}@{phone}>;expires=3600\r\nContent-Length: 0\r\n\r\n"
        );
        socket
            .send_to(request.as_bytes(), address)
            .expect("loopback takes it");
        let mut buffer = [0; 4_096];
        let length = socket.recv(&mut buffer).expect("an answer comes");
        let answer = String::from_utf8_lossy(&buffer[..length]);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }

    /// Everything it knows of who is registered.
    pub fn locations(&self) -> String {
        program::run(&mut self.control("ul.dump"))
    }

    fn control(&self, command: &str) -> Command {
        let mut kamcmd = Command::new("kamcmd");
        let control = self.folder.join("control");
        kamcmd.arg("-s").arg(format!("unix:{}", control.display()));
        kamcmd.arg(command);
        kamcmd
    }

    fn wait_until_it_answers(&self) {
        let answers = || {
            let output = self.control("core.uptime").output();
            output.is_ok_and(|output| output.status.success())
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !answers() {
            let patience = Instant::now() < deadline;
            assert!(
                patience,
                "Kamailio does not start:\n{}",
                self.program.text()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Starts Kamailio with the file in a folder.
fn run(folder: &Scratch) -> Program {
    Program::start(
        Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child=KILL", "--"])
            .args(["/usr/sbin/kamailio", "-DD", "-E", "-m", "64", "-M", "8"])
            .arg("-w")
            .arg(folder.path())
            .arg("-Y")
            .arg(folder.path())
            .arg("-f")
            .arg(folder.join("kamailio.cfg")),
    )
}

/// What a PBX does with a message.
fn exchange_routes(password: &str, flows: bool) -> String {
    let (flow, alias) = match flows {
        true => (
            "if ($proto != \"udp\") fix_nated_register();",
            "if ($proto != \"udp\") set_contact_alias();",
        ),
        false => ("", ""),
    };
    format!(
        r#"request_route {{
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    t_check_trans();
    if (has_totag()) {{
        if (loose_route()) {{
            {alias}
            handle_ruri_alias();
            xlog("L_NOTICE", "within: $rm $ci over $proto to $ru $du\n");
            t_relay();
            exit;
        }}
        if (is_method("ACK")) exit;
        xlog("L_NOTICE", "no route: $rm $ci over $proto\n");
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (is_method("OPTIONS")) {{
        xlog("L_NOTICE", "ping over $proto\n");
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if ($tU =~ "^10" && !pv_www_authenticate("$td", "{password}", "0")) {{
            www_challenge("$td", "1");
            exit;
        }}
        {flow}
        if (save("location")) {{
            xlog("L_NOTICE", "saved: $tU over $proto $hdr(Contact)\n");
        }}
        exit;
    }}
    if ($fU =~ "^10") {{
        if (!pv_proxy_authenticate("$fd", "{password}", "0")) {{
            xlog("L_NOTICE", "asked: $rm $ci over $proto\n");
            proxy_challenge("$fd", "1");
            exit;
        }}
        consume_credentials();
    }}
    remove_hf("Route");
    record_route();
    {alias}
    if (!lookup("location")) {{
        sl_send_reply("404", "Not Found");
        exit;
    }}
    xlog("L_NOTICE", "routed: $rm $ci over $proto to $ru $du\n");
    t_on_reply("PHONE");
    t_relay();
}}

onreply_route[PHONE] {{
    {alias}
    xlog("L_NOTICE", "answered: $rs $rr $ci over $proto\n");
}}
"#
    )
}
