//! What the program tells the service manager that started it.

mod own_program;
mod support;

use std::net::TcpStream;
use std::time::Duration;

use support::phone::Phone;
use support::{Manager, Ports, Program, Scratch};

/// What the watchdog allows.
const WATCHDOG: Duration = Duration::from_millis(1_500);

#[test]
fn ready_status_reloads_and_the_end_are_told_and_the_watchdog_is_fed_meanwhile() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("manager");
    let mut manager = Manager::listen(folder.path());
    let (sip, rtmp, rest, page) = (
        ports.address(),
        ports.address(),
        ports.address(),
        ports.address(),
    );
    let (first, last) = ports.media();
    let state = folder.path().display();
    let config = format!(
        "trunks:\n  test:\n    localPort: {}\n    proxyIp: 127.0.0.1\nrtmp: {{listen: \"{rtmp}\"}}\n\
         rest: {{listen: \"{rest}\"}}\npage: {{listen: \"{page}\"}}\n\
         media: {{address: 127.0.0.1, ports: {first}-{last}}}\nstate: {{directory: {state}}}\n",
        sip.port()
    );
    let config = folder.write("trunkcast.yml", config);
    let mut command = own_program::trunkcast();
    command.args(["run", "--config"]).arg(&config);
    let mut program = Program::start(manager.manage(&mut command, WATCHDOG));

    let ready = manager.wait_for(0, "READY=1", 10);
    assert_eq!(manager.told()[0], "READY=1");
    for listener in [rtmp, rest, page, sip] {
        TcpStream::connect(listener).expect("what is ready listens");
    }
    let quiet = manager.wait_for(ready, "STATUS=ready, no calls", 5);
    let phone = Phone::dial(&mut ports, sip, "5551");
    let called = manager.wait_for(quiet, "STATUS=ready, 1 call", 5);
    phone.hang_up();
    let over = manager.wait_for(called, "STATUS=ready, no calls", 10);

    program.signal("HUP");
    let reloading = manager.wait_for(over, "RELOADING=1", 5);
    assert!(
        manager.told()[reloading].starts_with("MONOTONIC_USEC="),
        "{:?}",
        manager.told()
    );
    let again = manager.wait_for(reloading, "READY=1", 5);

    let fed = manager.count("WATCHDOG=1");
    assert!(fed >= 1, "{:?}", manager.told());
    let mut at = again;
    for _ in 0..3 {
        at = manager.wait_for(at, "WATCHDOG=1", 5);
    }
    program.signal("TERM");
    manager.wait_for(at, "STOPPING=1", 5);
    assert!(program.wait(Duration::from_secs(5)).success());
    let log = program.text();
    assert!(!log.contains("watchdog"), "{log}");
}

#[test]
fn a_watchdog_that_is_set_on_somebody_else_is_not_fed() {
    let folder = Scratch::new("manager");
    let mut manager = Manager::listen(folder.path());
    let mut ports = Ports::claim();
    let config = format!(
        "trunks: {{a: {{localPort: {}, proxyIp: 127.0.0.1}}}}\nrtmp: {{listen: \"{}\"}}\nrest: {{listen: \"{}\"}}\n\
         page: {{listen: off}}\nstate: {{directory: {}}}\n",
        ports.address().port(),
        ports.address(),
        ports.address(),
        folder.path().display()
    );
    let config = folder.write("trunkcast.yml", config);
    let mut command = own_program::trunkcast();
    command.args(["run", "--config"]).arg(&config);
    let command = manager
        .manage(&mut command, Duration::from_millis(300))
        .env("WATCHDOG_PID", "1");
    let _program = Program::start(command);
    manager.wait_for(0, "READY=1", 10);
    manager.listen_for(Duration::from_secs(1));
    assert_eq!(manager.count("WATCHDOG=1"), 0);
}
