//! The gateway itself, run as a user runs it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::scratch::Scratch;
use super::{Namespace, Ports, Program};

/// What a test sets; the rest of the configuration is chosen for it.
#[derive(Default)]
pub struct Settings {
    /// The trunk's `url`; none lets the stream stay on the box.
    pub url: Option<String>,
    /// The PBX; nobody listens where it is otherwise said to be.
    pub pbx: Option<SocketAddr>,
    /// Further lines of the trunk, without their indentation.
    pub trunk: Vec<String>,
    /// Further lines at the top level.
    pub top: Vec<String>,
    /// Address for SDP; loopback if empty.
    pub media: String,
    /// Inside of the section `rtmp`, after its first entry.
    pub rtmp: String,
    /// The same for the section `rest`.
    pub rest: String,
    /// The same for the section `page`; no page without it.
    pub page: Option<String>,
    /// A second trunk: its SIP port and its `url`.
    pub second: Option<(u16, String)>,
    /// File of certificate authorities that the daemon is to take for the system's.
    pub system_roots: Option<PathBuf>,
}

/// A running gateway with one trunk on a port of its own.
pub struct Daemon {
    program: Program,
    sip: SocketAddr,
    rtmp: SocketAddr,
    rest: SocketAddr,
    page: Option<SocketAddr>,
    folder: Scratch,
    system_roots: Option<PathBuf>,
}

impl Daemon {
    /// Starts a gateway whose trunk publishes to `url`.
    pub fn publishing_to(ports: &mut Ports, url: &str) -> Self {
        Self::start(
            ports,
            Settings {
                url: Some(url.to_owned()),
                ..Settings::default()
            },
        )
    }

    /// The same for callers in a namespace: their addresses may call, and the gateway finds out
    /// by itself which of its own to name to them.
    pub fn reached_from(ports: &mut Ports, namespace: &Namespace, url: &str) -> Self {
        let mut gateway = Self::start(
            ports,
            Settings {
                url: Some(url.to_owned()),
                trunk: vec![format!("allow: [{}]", namespace.theirs())],
                media: "auto".to_owned(),
                ..Settings::default()
            },
        );
        gateway.sip.set_ip(namespace.ours().into());
        gateway
    }

    /// Starts a gateway and waits until it listens.
    pub fn start(ports: &mut Ports, settings: Settings) -> Self {
        let sip = ports.address();
        let rtmp = ports.address();
        let rest = ports.address();
        let (first, last) = ports.media();
        let mut yaml = format!("trunks:\n  test:\n    localPort: {}\n", sip.port());
        let pbx = settings.pbx;
        let pbx = pbx.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 5060)));
        let _ = writeln!(yaml, "    proxyIp: {}", pbx.ip());
        let _ = writeln!(yaml, "    remotePort: {}", pbx.port());
        if let Some(url) = &settings.url {
            let _ = writeln!(yaml, "    url: {url}");
        }
        for line in &settings.trunk {
            let _ = writeln!(yaml, "    {line}");
        }
        if let Some((port, url)) = &settings.second {
            let _ = writeln!(yaml, "  second:\n    localPort: {port}");
            let _ = writeln!(yaml, "    proxyIp: 127.0.0.1\n    url: {url}");
        }
        let _ = writeln!(yaml, "rtmp: {{listen: \"{rtmp}\"{}}}", settings.rtmp);
        let _ = writeln!(yaml, "rest: {{listen: \"{rest}\"{}}}", settings.rest);
        let page = match &settings.page {
            Some(more) => {
                let page = ports.address();
                let _ = writeln!(yaml, "page: {{listen: \"{page}\"{more}}}");
                Some(page)
            }
            None => {
                yaml.push_str("page: {listen: off}\n");
                None
            }
        };
        let media = match &settings.media[..] {
            "" => "127.0.0.1",
            media => media,
        };
        let _ = writeln!(yaml, "media: {{address: {media}, ports: {first}-{last}}}");
        for line in &settings.top {
            let _ = writeln!(yaml, "{line}");
        }
        let folder = Scratch::new("gateway");
        let _ = writeln!(yaml, "state: {{directory: {}}}", folder.path().display());
        let file = folder.write("trunkcast.yml", yaml);
        Self {
            program: run(&file, settings.system_roots.as_deref()),
            sip,
            rtmp,
            rest,
            page,
            folder,
            system_roots: settings.system_roots,
        }
    }

    /// Cuts it off as a power failure does.
    pub fn cut_off(&mut self) {
        self.program.kill();
    }

    /// Cuts it off as a power failure does, and starts it again with the same file.
    pub fn restart(&mut self) {
        self.program.kill();
        let roots = self.system_roots.as_deref();
        self.program = run(&self.folder.join("trunkcast.yml"), roots);
    }

    /// Where the trunk takes SIP, over UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where REST clients connect.
    pub fn rest(&self) -> SocketAddr {
        self.rest
    }

    /// Where the page is; only where the settings have one.
    pub fn page(&self) -> SocketAddr {
        self.page.expect("a page was asked for")
    }

    /// Where players connect.
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    /// The folder of what outlives a restart.
    pub fn state(&self) -> &Path {
        self.folder.path()
    }

    /// The address at which the stream of a dialled number is played locally.
    pub fn play_url(&self, number: &str) -> String {
        format!("rtmp://{}/live/rtmp_{number}", self.rtmp)
    }

    /// The program, for its log.
    pub fn log(&self) -> &Program {
        &self.program
    }

    /// Waits for a line with `text` after line `from` of the log; returns the line after it.
    pub fn wait_after(&self, from: usize, text: &str, seconds: u64) -> usize {
        self.program
            .wait_for_after(from, text, Duration::from_secs(seconds))
            .0
    }

    /// Asks it to end, as systemd does, and demands that it does so within its two seconds.
    pub fn terminate(&mut self) {
        self.program.signal("TERM");
        let status = self.program.wait(Duration::from_secs(4));
        assert!(
            status.success(),
            "the gateway ended with {status}:\n{}",
            self.program.text()
        );
    }

    /// Demands that nothing panicked and that no call is left.
    pub fn check_calm(&self) {
        let log = self.program.text();
        assert!(!log.contains("panicked"), "the gateway panicked:\n{log}");
    }
}

/// Starts the gateway with a file and waits until it listens.
fn run(file: &Path, system_roots: Option<&Path>) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkcast"));
    if let Some(roots) = system_roots {
        command.env("SSL_CERT_FILE", roots);
    }
    let program = Program::start(command.args(["run", "--config"]).arg(file));
    program.wait_for("ready", Duration::from_secs(5));
    program
}
