//! `trunkcast demo`: the gateway with embedded defaults, a caller and a viewer in one process, over
//! real sockets. The gateway has the main thread; caller and viewer meet it from threads of theirs.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::thread;

use crate::cli::clerks;
use crate::cli::demo::clerk::DemoClerk;
use crate::gateway::config::Config;
use crate::shell::daemon::{Daemon, Order, Remote};

mod clerk;
pub mod show;

use show::{Stage, show};

/// Seconds of a demonstration where none are asked for.
pub const SECONDS: u64 = 10;

/// Ports that are tried where the usual one is taken.
const ATTEMPTS: usize = 16;

/// Runs the demonstration; success only if frames really came out of RTMP.
pub fn run(seconds: Option<u64>) -> ExitCode {
    match demonstrate(seconds.unwrap_or(SECONDS), io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "trunkcast: demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the gateway, shows a call of `seconds` through it, and stops it.
pub fn demonstrate(
    seconds: u64,
    mut out: impl Write + Send + 'static,
) -> Result<bool, Box<dyn std::error::Error>> {
    let mut config = Config::default();
    writeln!(
        out,
        "trunkcast demo: a call of {seconds} s through the gateway in this process\n"
    )?;
    for trunk in config.trunks.iter_mut().take(1) {
        trunk.local_port = port("SIP", trunk.local_port, is_sip_free, &mut out)?;
    }
    let rtmp_port = config.rtmp_listen.port();
    config
        .rtmp_listen
        .set_port(port("RTMP", rtmp_port, is_tcp_free, &mut out)?);
    // Nobody asks a demonstration anything.
    config.rest.listen.set_port(0);
    if let Some(page) = &mut config.page.listen {
        page.set_port(port("page", page.port(), is_tcp_free, &mut out)?);
        writeln!(
            out,
            "the page of the box is at http://127.0.0.1:{}/",
            page.port()
        )?;
    }
    let sip_port = config.trunks.first().map_or(0, |trunk| trunk.local_port);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let stage = Stage {
        sip: SocketAddr::new(loopback, sip_port),
        rtmp: SocketAddr::new(loopback, config.rtmp_listen.port()),
    };
    let mut daemon = Daemon::bind(config)?;
    let (trials, trials_end) = clerks::trials(None);
    let settings = DemoClerk(clerks::settings(None));
    daemon.set_clerks(Box::new(settings), trials)?;
    let stop = StopAtEnd(daemon.remote());
    let shown = thread::Builder::new().name("demo".into()).spawn(move || {
        let _stop = stop;
        show(&stage, seconds, &mut out)
    })?;
    let ended = smol::block_on(daemon.run(|| None, |_, _| {}));
    trials_end.end();
    ended?;
    match shown.join() {
        Ok(result) => Ok(result?),
        Err(_) => Err("the demonstration broke off".into()),
    }
}

/// Stops the gateway when the show is over, however it ends.
struct StopAtEnd(Remote);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.order(Order::Stop);
    }
}

/// The usual port, or a free one with a line that says so.
fn port(what: &str, usual: u16, is_free: fn(u16) -> bool, out: &mut impl Write) -> io::Result<u16> {
    if is_free(usual) {
        return Ok(usual);
    }
    for _ in 0..ATTEMPTS {
        let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?
            .local_addr()?
            .port();
        if is_free(other) {
            writeln!(out, "{what} port {usual} is taken; this time it is {other}")?;
            return Ok(other);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("no free port for {what}"),
    ))
}

fn is_sip_free(port: u16) -> bool {
    is_free(|host| UdpSocket::bind((host, port))) && is_tcp_free(port)
}

fn is_tcp_free(port: u16) -> bool {
    is_free(|host| TcpListener::bind((host, port)))
}

/// Whether neither family says that the port is in use; other errors are the gateway's to tell.
fn is_free<T>(bind: impl Fn(IpAddr) -> io::Result<T>) -> bool {
    let hosts = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let in_use = |error: io::Error| error.kind() == io::ErrorKind::AddrInUse;
    !hosts.into_iter().any(|host| bind(host).is_err_and(in_use))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_replaced_with_a_notice() {
        let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
        let usual = taken.local_addr().unwrap().port();
        let mut text = Vec::new();
        let other = port("SIP", usual, is_sip_free, &mut text).unwrap();
        assert_ne!(other, usual);
        let notice = format!("SIP port {usual} is taken; this time it is {other}\n");
        assert_eq!(String::from_utf8(text).unwrap(), notice);
    }

    #[test]
    fn a_free_port_is_taken_as_it_is() {
        let free = TcpListener::bind("0.0.0.0:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut text = Vec::new();
        assert_eq!(port("RTMP", free, is_tcp_free, &mut text).unwrap(), free);
        assert_eq!(text, b"");
    }
}
