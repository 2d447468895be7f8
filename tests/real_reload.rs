//! The file changed and SIGHUP sent while a call is up: trunks come and go at their ports.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Rest, Script};

/// Changes the file and has the gateway read it again.
fn edit(gateway: &Daemon, change: impl Fn(&str) -> String) {
    let file = gateway.state().join("trunkcast.yml");
    let text = fs::read_to_string(&file).expect("it was started with it");
    fs::write(&file, change(&text)).expect("the folder is ours");
    let from = gateway.log().mark();
    gateway.log().signal("HUP");
    gateway.wait_after(from, "configuration read again", 3);
}

fn is_free(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}

#[test]
fn trunks_come_and_go_while_a_call_is_up() {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let old = gateway.sip();
    let new = ports.address();
    let caller = Script::new("basic/record_route", old).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    operator.wait_for(1, "ESTABLISHED");

    let port = format!("localPort: {}", old.port());
    let second = format!(
        "  second:\n    localPort: {}\n    proxyIp: 127.0.0.1\n",
        new.port()
    );
    edit(&gateway, |text| {
        text.replace("rtmp:", &format!("{second}rtmp:"))
    });
    gateway.wait_after(0, &format!("second: port {} is open", new.port()), 3);
    Script::new("basic/answered", new)
        .number("2000")
        .run(&mut ports);

    // The first trunk moves: its call goes on at the old port, new ones come in at the new one.
    let moved = ports.address();
    edit(&gateway, |text| {
        text.replace(&port, &format!("localPort: {}", moved.port()))
    });
    gateway.wait_after(0, &format!("test: port {} is open", moved.port()), 3);
    Script::new("basic/answered", moved)
        .number("2001")
        .run(&mut ports);
    operator.wait_for(1, "ESTABLISHED");
    assert!(!is_free(old));

    operator.end_all();
    caller.succeed();
    gateway.wait_after(0, &format!("port {} is closed", old.port()), 6);
    assert!(is_free(old));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn listeners_move_and_one_that_cannot_stays() {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let rest = |address: SocketAddr| format!("rest: {{listen: \"{address}\"");
    let (old, new) = (gateway.rest(), ports.address());
    edit(&gateway, |text| text.replace(&rest(old), &rest(new)));
    assert!(is_free(old));
    assert_eq!(Rest::connect(new).ask("GET", "/healthz", "", "").0, 200);

    let taken = ports.address();
    let _holder = TcpListener::bind(taken).expect("it is free");
    edit(&gateway, |text| text.replace(&rest(new), &rest(taken)));
    gateway.wait_after(0, &format!("rest: cannot listen on {taken}"), 3);
    assert_eq!(Rest::connect(new).ask("GET", "/healthz", "", "").0, 200);

    let rtmp = |address: SocketAddr| format!("rtmp: {{listen: \"{address}\"");
    let players = ports.address();
    let before = gateway.rtmp();
    edit(&gateway, |text| text.replace(&rtmp(before), &rtmp(players)));
    assert!(is_free(before) && !is_free(players));
    gateway.terminate();
    gateway.check_calm();
}
