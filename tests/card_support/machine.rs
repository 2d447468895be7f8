//! The card in a machine: `qemu-system-aarch64`, with U-Boot as the firmware.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::console::Console;
use super::files;
use super::owner::Owner;
use super::qmp::Qmp;
use super::stick::Stick;
use crate::support::program::run;
use crate::support::{Ports, Program, Scratch};

/// Until a card has booted, emulated on a busy machine.
pub const BOOT: Duration = Duration::from_secs(900);

/// The page's port on the card, and SIP's.
const PAGE: u16 = 80;
const SIP: u16 = 40_000;

/// What the card's network socket leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// QEMU's own network with a DHCP server: this host is 10.0.2.2, and ports of loopback lead to the
    /// card.
    User,
    /// A TAP device of this host, with an address of the network that the card falls back to, and nobody
    /// who gives addresses away.
    Tap(String),
}

/// How a machine is put together.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of its log.
    pub name: String,
    /// Its network.
    pub network: Network,
    /// What its clock says at power on, in UTC, such as `2020-01-01T00:00:00`; otherwise it is right.
    pub clock: Option<String>,
    /// A file that gets every write to the card in order, with the flushes between them.
    pub write_log: Option<PathBuf>,
    /// Whether it has USB ports.
    pub has_usb: bool,
}

impl Plan {
    /// An ordinary machine.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            network: Network::User,
            clock: None,
            write_log: None,
            has_usb: false,
        }
    }
}

/// A running machine.
pub struct Machine {
    program: Program,
    /// Its serial console.
    pub console: Console,
    qmp: Qmp,
    page: SocketAddr,
    sip: SocketAddr,
    media: (u16, u16),
    /// How many were put in so far.
    sticks: u32,
    started: Instant,
    folder: Scratch,
}

impl Machine {
    /// Switches a machine on with a card in it. The ports that lead to it are those of the test: two for
    /// the page and SIP, and all of its media.
    pub fn start(disk: &super::Disk, ports: &mut Ports, plan: &Plan) -> Self {
        let folder = Scratch::new("card");
        let (page, sip) = (ports.address(), ports.address());
        let media = ports.media();
        let (serial, monitor) = (folder.join("serial"), folder.join("qmp"));
        let log = files::log(&plan.name);
        let mut command = Command::new("qemu-system-aarch64");
        command
            .args(["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512"])
            .args(["-display", "none", "-monitor", "none", "-no-user-config"])
            .args(["-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin"])
            .arg("-chardev")
            .arg(format!(
                "socket,id=serial,path={},server=on,wait=on,logfile={},logappend=on",
                serial.display(),
                log.display()
            ))
            .args(["-serial", "chardev:serial"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()))
            .args([
                "-device",
                "virtio-rng-pci",
                "-device",
                "virtio-keyboard-pci",
            ])
            .args(drive(disk, plan))
            .args(["-device", "virtio-blk-pci,drive=card,serial=card"])
            .args([
                "-device",
                "virtio-net-pci,netdev=net,romfile=,mac=52:54:00:12:34:56",
            ]);
        match &plan.network {
            Network::User => {
                let mut net = "user,id=net".to_owned();
                let _ = write!(net, ",hostfwd=tcp:{page}-:{PAGE}");
                for protocol in ["udp", "tcp"] {
                    let _ = write!(net, ",hostfwd={protocol}:{sip}-:{SIP}");
                }
                // The card names these very ports in its SDP.
                for port in media.0..=media.1 {
                    let _ = write!(net, ",hostfwd=udp:127.0.0.1:{port}-:{port}");
                }
                command.arg("-netdev").arg(net);
            }
            Network::Tap(device) => {
                let net = format!("tap,id=net,ifname={device},script=no,downscript=no");
                command.arg("-netdev").arg(net);
            }
        }
        if let Some(clock) = &plan.clock {
            command.arg("-rtc").arg(format!("base={clock}"));
        }
        if plan.has_usb {
            command.args(["-device", "qemu-xhci,id=usb"]);
        }
        let program = Program::start(&mut command);
        let console = Console::connect(&serial);
        let qmp = Qmp::connect(&monitor);
        Self {
            program,
            console,
            qmp,
            page,
            sip,
            media,
            sticks: 0,
            started: Instant::now(),
            folder,
        }
    }

    /// Waits until the page answers; what it says of its visitor.
    pub fn wait_for_page(&mut self) -> serde_json::Value {
        self.wait_for_page_at(self.page)
    }

    /// The same at an address.
    pub fn wait_for_page_at(&mut self, page: SocketAddr) -> serde_json::Value {
        let deadline = Instant::now() + BOOT;
        loop {
            if let Some(session) = Owner::at(page).session() {
                return session;
            }
            assert!(
                Instant::now() < deadline,
                "the page at {page} never answered; the console's end:\n{}",
                self.console.tail()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until the page answers and the console has a shell; prints how long it took.
    pub fn wait_until_up(&mut self) -> serde_json::Value {
        let session = self.wait_for_page();
        let page = self.started.elapsed();
        self.console.wait_for_shell(BOOT);
        println!("page after {:.1} s of this host's time", page.as_secs_f32());
        session
    }

    /// Somebody who visits the page.
    pub fn owner(&self) -> Owner {
        Owner::at(self.page)
    }

    /// Where SIP leads to the card.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// The ports of its media, the same at either end.
    pub fn media(&self) -> (u16, u16) {
        self.media
    }

    /// Presses a key of its keyboard, or lets go of it.
    pub fn key(&mut self, name: &str, is_down: bool) {
        self.qmp.key(name, is_down);
    }

    /// Puts a USB stick in.
    pub fn plug(&mut self, stick: &Stick) {
        self.sticks += 1;
        let (node, device) = (
            format!("stick{}", self.sticks),
            format!("plugged{}", self.sticks),
        );
        let file = json!({"driver": "file", "filename": stick.path()});
        let drive = json!({"driver": "raw", "node-name": node, "file": file});
        self.qmp.order("blockdev-add", drive);
        let driver = json!({"driver": "usb-storage", "id": device, "drive": node, "bus": "usb.0"});
        self.qmp.order("device_add", driver);
    }

    /// Pulls it out again.
    pub fn unplug(&mut self) {
        let device = format!("plugged{}", self.sticks);
        self.qmp.order("device_del", json!({"id": device}));
    }

    /// Pulls the reset line: nothing that runs learns of it.
    pub fn reset(&mut self) {
        self.console.forget();
        self.started = Instant::now();
        self.qmp.order("system_reset", json!({}));
    }

    /// Asks the card to restart, as its power menu would.
    pub fn reboot(&mut self) {
        self.console.say("systemctl reboot");
        self.console.forget();
        self.started = Instant::now();
        // Its shell must not be taken for that of the next boot.
        self.wait_for_slot(BOOT);
        self.started = Instant::now();
    }

    /// Waits until the boot loader has chosen a slot; which.
    pub fn wait_for_slot(&mut self, patience: Duration) -> char {
        let slots = ["slots: booting A", "slots: booting B"];
        match self.console.wait_any(&slots, patience) {
            0 => 'A',
            _ => 'B',
        }
    }

    /// Cuts the power.
    pub fn cut(mut self) {
        self.program.kill();
    }

    /// When it was switched on or reset.
    pub fn started(&self) -> Instant {
        self.started
    }
}

/// The card as a drive whose writes stay with QEMU until they are flushed.
fn drive(disk: &super::Disk, plan: &Plan) -> Vec<String> {
    let file = disk.path().display();
    match &plan.write_log {
        None => vec![
            "-drive".into(),
            format!("if=none,id=card,format=raw,cache=writeback,file={file}"),
        ],
        Some(log) => {
            std::fs::write(log, "").expect("a log can be written");
            let nodes = [
                json!({"driver": "file", "node-name": "log", "filename": log}),
                json!({"driver": "file", "node-name": "whole", "filename": disk.path()}),
                json!({"driver": "blklogwrites", "node-name": "card", "file": "whole", "log": "log"}),
            ];
            let option = |node: &serde_json::Value| ["-blockdev".to_owned(), node.to_string()];
            nodes.iter().flat_map(option).collect()
        }
    }
}

/// A TAP device with addresses, gone with the value.
pub struct Tap {
    name: String,
}

impl Tap {
    /// Makes one that is up. Needs root.
    pub fn new(ports: &Ports, addresses: &[String]) -> Self {
        let tap = Self {
            name: format!("tccard{}", ports.block()),
        };
        tap.remove();
        let name = &tap.name;
        let mut orders = vec![format!("tuntap add dev {name} mode tap")];
        orders.extend(
            addresses
                .iter()
                .map(|it| format!("addr add {it} dev {name}")),
        );
        orders.push(format!("link set {name} up"));
        for order in orders {
            run(Command::new("ip").args(order.split(' ')));
        }
        tap
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn remove(&self) {
        let order = ["tuntap", "del", "dev", &self.name, "mode", "tap"];
        let _ = Command::new("ip").args(order).output();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.remove();
    }
}
