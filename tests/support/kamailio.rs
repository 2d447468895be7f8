//! Kamailio as a registrar that asks for a password.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

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

/// A running Kamailio that keeps registrations in memory, over UDP and TCP on one port.
pub struct Kamailio {
    program: Program,
    folder: Scratch,
    address: SocketAddr,
}

impl Kamailio {
    /// Starts on a free port.
    pub fn start(ports: &mut Ports, registrar: &Registrar) -> Self {
        let address = ports.address();
        let folder = Scratch::new("kamailio");
        let control = folder.join("control");
        let mut text = String::from("#!KAMAILIO\ndebug=2\nlog_stderror=yes\nchildren=1\n");
        text += "tcp_children=1\nauto_aliases=no\nenable_tls=no\n";
        for transport in ["udp", "tcp"] {
            let _ = writeln!(text, "listen={transport}:{address}");
        }
        for module in [
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
        ] {
            let _ = writeln!(text, "loadmodule \"{module}.so\"");
        }
        let Registrar {
            password,
            algorithm,
            longest,
        } = registrar;
        for (module, name, value) in [
            ("ctl", "binrpc", format!("\"unix:{}\"", control.display())),
            ("usrloc", "db_mode", "0".to_owned()),
            ("usrloc", "timer_interval", "1".to_owned()),
            ("registrar", "max_expires", longest.to_string()),
            ("registrar", "min_expires", "1".to_owned()),
            ("auth", "algorithm", format!("\"{algorithm}\"")),
        ] {
            let _ = writeln!(text, "modparam(\"{module}\", \"{name}\", {value})");
        }
        let _ = write!(
            text,
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
        let config = folder.write("kamailio.cfg", text);
        let program = Program::start(
            Command::new("/usr/sbin/kamailio")
                .args(["-DD", "-E", "-m", "32", "-M", "8", "-w"])
                .arg(folder.path())
                .arg("-Y")
                .arg(folder.path())
                .arg("-f")
                .arg(config),
        );
        let kamailio = Self {
            program,
            folder,
            address,
        };
        kamailio.wait_until_it_answers();
        kamailio
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The program, for its log.
    pub fn log(&self) -> &Program {
        &self.program
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
        for _ in 0..200 {
            if answers() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("Kamailio does not start:\n{}", self.program.text());
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its processes end with the first one when that is asked to.
        self.program.signal("TERM");
        self.program.ended_within(Duration::from_secs(5));
    }
}
