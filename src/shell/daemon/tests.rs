//! What a service manager is told of a daemon that runs, and of one that does not turn any more.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::base::network::Transport;
use crate::base::packet_pool::Packet;
use crate::shell::listen;
use crate::shell::manager::Manager;
use crate::shell::manager::notify::Notifier;
use crate::shell::sockets::SipSocket;

/// What the watchdog allows; long enough for a busy machine to keep within it.
const ALLOWED: Duration = Duration::from_millis(900);

/// A service manager that only listens.
struct FakeManager {
    path: PathBuf,
    socket: UnixDatagram,
    told: Vec<(Instant, String)>,
}

impl FakeManager {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkcast-notify-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            path,
            socket,
            told: Vec::new(),
        }
    }

    fn listen(&mut self, now: Instant) {
        let mut bytes = [0; 512];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            self.told.push((now, text));
        }
    }

    /// Runs a daemon for a time, with a watchdog; `each_turn` looks on.
    fn run(&mut self, mut daemon: Box<Daemon>, time: Duration, mut each_turn: impl FnMut(Instant)) {
        let notifier = Notifier::to(self.path.as_os_str()).unwrap();
        daemon.set_manager(Some(Manager::new(notifier, Some(ALLOWED))));
        let remote = daemon.remote();
        let end = std::thread::spawn(move || {
            std::thread::sleep(time);
            remote.order(Order::Stop);
        });
        let run = daemon.run(
            || None,
            |now, _| {
                self.listen(now);
                each_turn(now);
            },
        );
        smol::block_on(run).unwrap();
        end.join().unwrap();
        self.listen(Instant::from_micros(u64::MAX));
    }

    /// How often the watchdog was fed from one moment to another.
    fn fed(&self, from: Instant, to: Instant) -> usize {
        let told = self.told.iter();
        told.filter(|(at, text)| (from..to).contains(at) && text == "WATCHDOG=1\n")
            .count()
    }
}

impl Drop for FakeManager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A daemon with one trunk and nothing else that can be had at any port.
fn daemon(transport: Transport) -> Box<Daemon> {
    let free = || {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let mut config = Config::default();
    config.trunks.truncate(1);
    config.trunks[0].local_port = free().port();
    config.trunks[0].transport = transport;
    config.rtmp_listen = free();
    config.rest.listen = free();
    config.page.listen = None;
    Daemon::bind(config).unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn ready_comes_first_then_food_for_the_watchdog_until_the_end() {
    for transport in [Transport::Udp, Transport::Tls] {
        let mut manager = FakeManager::new();
        let daemon = daemon(transport);
        manager.run(daemon, Duration::from_millis(2_000), |_| {});
        let (_, first) = &manager.told[0];
        assert_eq!(first, "READY=1\nSTATUS=ready, no calls\n");
        let fed = manager.fed(Instant::ZERO, at(u64::MAX));
        assert!((4..=8).contains(&fed), "{transport:?}: {:?}", manager.told);
        let (_, last) = manager.told.last().unwrap();
        assert_eq!(last, "STOPPING=1\nSTATUS=ends\n");
    }
}

#[test]
fn probes_are_nobody_s_abuse() {
    let mut manager = FakeManager::new();
    let daemon = daemon(Transport::Udp);
    let before = format!("{:?}", daemon.gateway.sip_counters().next().unwrap());
    let notifier = Notifier::to(manager.path.as_os_str()).unwrap();
    let mut daemon = daemon;
    daemon.set_manager(Some(Manager::new(notifier, Some(ALLOWED))));
    let remote = daemon.remote();
    let mut after = String::new();
    let run = daemon.run(
        || None,
        |now, gateway| {
            manager.listen(now);
            after = format!("{:?}", gateway.sip_counters().next().unwrap());
            if now >= at(1_000) {
                remote.order(Order::Stop);
            }
        },
    );
    smol::block_on(run).unwrap();
    assert!(manager.fed(Instant::ZERO, at(u64::MAX)) >= 2);
    assert_eq!(before, after);
}

#[test]
fn a_sip_port_that_is_not_read_starves_the_watchdog() {
    let mut manager = FakeManager::new();
    let mut daemon = daemon(Transport::Udp);
    // Open, and watched by nobody.
    for place in &mut daemon.sockets.sip {
        let trunk = place.as_ref().unwrap().trunk;
        let socket = listen::udp(SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        *place = Some(SipSocket { trunk, socket });
    }
    manager.run(daemon, Duration::from_millis(2_000), |_| {});
    // Once as it begins, before any proof can be there.
    assert_eq!(manager.fed(Instant::ZERO, at(u64::MAX)), 1);
}

#[test]
fn media_that_find_no_packet_slot_starve_the_watchdog_until_there_is_one() {
    let mut manager = FakeManager::new();
    let daemon = daemon(Transport::Udp);
    let pool = daemon.pool.clone();
    let mut held: Vec<Packet> = Vec::new();
    manager.run(daemon, Duration::from_millis(5_000), |now| {
        if (at(1_500)..at(3_200)).contains(&now) {
            held.extend(std::iter::from_fn(|| pool.take()));
        } else {
            held.clear();
        }
    });
    assert!(manager.fed(Instant::ZERO, at(1_500)) >= 3);
    // What came just before may still be told.
    assert_eq!(manager.fed(at(2_100), at(3_200)), 0);
    assert!(
        manager.fed(at(3_200), at(u64::MAX)) >= 2,
        "{:?}",
        manager.told
    );
}
