//! A network namespace of a test's own, for peers that want an address beside loopback and for
//! lines that lose packets. Needs root, iproute2 and, where the line is impaired, socat.

use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::impaired::{Counts, Impaired, Line};
use super::program::run;
use super::scratch::Scratch;
use super::{Ports, Program};

/// A namespace joined to this one by a line, with an address of RFC 2544's at either end.
pub struct Namespace {
    name: String,
    number: u16,
    line: Option<(Impaired, [Program; 2], Scratch)>,
}

impl Namespace {
    /// A namespace at the end of a perfect line, a veth pair.
    pub fn new(ports: &Ports) -> Self {
        let namespace = Self::bare(ports);
        let (near, far) = (namespace.near(), namespace.far());
        let name = &namespace.name;
        ip(&format!(
            "link add {near} type veth peer name {far} netns {name}"
        ));
        ip(&format!("addr add {}/30 dev {near}", namespace.ours()));
        ip(&format!("link set {near} up"));
        ip(&format!(
            "-n {name} addr add {}/30 dev {far}",
            namespace.theirs()
        ));
        ip(&format!("-n {name} link set {far} up"));
        namespace.finish()
    }

    /// A namespace at the end of a bad line. The kernel's netem is not built everywhere, so the
    /// line is two TUN devices with [`Impaired`] between them: every IP packet goes through it.
    pub fn impaired(ports: &Ports, line: Line) -> Self {
        let mut namespace = Self::bare(ports);
        let folder = Scratch::new("line");
        let paths = ["near", "far"].map(|end| (folder.join(end), folder.join(&format!("{end}2"))));
        let relay = Impaired::start(line, [&paths[0].1, &paths[1].1], [&paths[0].0, &paths[1].0]);
        let ends = [
            (Command::new("socat"), namespace.near(), namespace.ours()),
            (
                namespace.command("socat"),
                namespace.far(),
                namespace.theirs(),
            ),
        ];
        let mut paths = paths.iter();
        let programs = ends.map(|(mut command, device, address)| {
            let (own, other) = paths.next().expect("one for each end");
            Program::start(
                command
                    .args(["-b", "65536"])
                    .arg(format!(
                        "TUN:{address}/30,tun-name={device},tun-type=tun,iff-no-pi,iff-up"
                    ))
                    .arg(format!(
                        "UNIX-SENDTO:{},bind={}",
                        other.display(),
                        own.display()
                    )),
            )
        });
        namespace.line = Some((relay, programs, folder));
        let devices = [
            format!("addr show dev {}", namespace.near()),
            format!("-n {} addr show dev {}", namespace.name, namespace.far()),
        ];
        for device in devices {
            let deadline = Instant::now() + Duration::from_secs(5);
            let shown = || {
                let output = Command::new("ip").args(device.split(' ')).output();
                output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("inet "))
            };
            while !shown() {
                assert!(Instant::now() < deadline, "no TUN device: ip {device}");
                thread::sleep(Duration::from_millis(20));
            }
        }
        namespace.finish()
    }

    /// The address at this end.
    pub fn ours(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number as u8, 1)
    }

    /// The address within the namespace.
    pub fn theirs(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number as u8, 2)
    }

    /// What an impaired line did so far.
    pub fn counts(&self) -> &Counts {
        let line = self.line.as_ref().expect("the line is impaired");
        line.0.counts()
    }

    /// A program that will live within.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// A namespace without a way in or out. One that a killed test left behind makes room: the
    /// block of ports, and with it the number, is this test's alone.
    fn bare(ports: &Ports) -> Self {
        let number = ports.block();
        let namespace = Self {
            name: format!("trunkcast{number}"),
            number,
            line: None,
        };
        namespace.remove();
        ip(&format!("netns add {}", namespace.name));
        ip(&format!("-n {} link set lo up", namespace.name));
        namespace
    }

    fn finish(self) -> Self {
        ip(&format!(
            "-n {} route add default via {}",
            self.name,
            self.ours()
        ));
        self
    }

    fn near(&self) -> String {
        format!("tc{}near", self.number)
    }

    fn far(&self) -> String {
        format!("tc{}far", self.number)
    }

    fn remove(&self) {
        for arguments in [
            format!("link del {}", self.near()),
            format!("netns del {}", self.name),
        ] {
            let _ = Command::new("ip").args(arguments.split(' ')).output();
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}
