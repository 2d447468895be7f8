//! A flashed card from its first boot to its factory reset: it is itself and nothing more, takes calls,
//! mends its daemon, and comes up again as what it was.

use std::time::Duration;

use crate::card_support::machine::BOOT;
use crate::card_support::office::HOST;
use crate::card_support::{Console, Disk, Machine, Office, Owner, Plan, looks};
use crate::support::Ports;
use serde_json::{Value, json};

/// Bytes of the card beyond the image.
const ROOM: u64 = 1 << 30;
/// The keyboard key that is the card's button, see `board/qemuarm64/panel.yml`.
const BUTTON: &str = "f12";
const UNIT: &str = "trunkcast.service";

/// Where it is documented what listens.
const DOCUMENTED: &str = include_str!("../../board/qemuarm64/README.md");

#[test]
fn a_flashed_card_serves_mends_itself_and_comes_back_as_itself() {
    let mut ports = Ports::claim();
    let office = Office::open(&mut ports);
    let disk = Disk::flash("first", ROOM);
    let mut machine = Machine::start(&disk, &mut ports, &Plan::named("first-boot"));

    let session = machine.wait_until_up();
    assert_eq!(session["state"], "new", "{session}");
    assert_eq!(session["guide"], true, "{session}");
    print_times(&mut machine, "first boot");
    nothing_failed(&mut machine);
    the_card_is_as_documented(&mut machine);
    the_daemon_has_no_rights(&mut machine);
    nothing_else_listens(&mut machine);
    let identity = looks::machine_id(&mut machine.console);

    let mut owner = machine.owner();
    owner.set_password();
    office.set_up(&owner, &machine);
    a_call_is_relayed_and_the_leds_show_it(&mut machine, &mut ports, &office);
    assert_eq!(
        looks::property(&mut machine.console, UNIT, "NRestarts"),
        "0"
    );
    what_hangs_or_dies_is_started_again(&mut machine);
    nothing_failed(&mut machine);
    a_secret_is_laid_down(&mut machine, &office);

    machine.reboot();
    let session = machine.wait_until_up();
    assert_eq!(session["state"], "signedOut", "{session}");
    print_times(&mut machine, "second boot");
    assert_eq!(looks::machine_id(&mut machine.console), identity);
    nothing_failed(&mut machine);
    wait_for_leds(&mut machine, [1, 0, 0]);
    owner.sign_in();
    a_call_is_relayed_to_where_the_secret_says(&mut machine, &mut ports, &office, &owner);

    the_button_takes_the_password_away(&mut machine);
    the_button_takes_everything_away(&mut machine, &identity);
    print_times(&mut machine, "boot after the factory reset");
    nothing_failed(&mut machine);
}

/// Prints what the guest says of its start.
fn print_times(machine: &mut Machine, what: &str) {
    let (began, ready) = looks::ready_after(&mut machine.console, UNIT);
    let uptime = looks::uptime(&mut machine.console);
    let analysis = machine.console.run("systemd-analyze time").text;
    println!(
        "{what}: daemon started after {began:.1} s of the kernel's time, ready after {ready:.1} s"
    );
    println!("{what}: up for {uptime:.1} s when asked; {analysis}");
}

fn nothing_failed(machine: &mut Machine) {
    let console = &mut machine.console;
    let running = console.ask_until("systemctl is-system-running", BOOT, |shell| {
        !matches!(&shell.text[..], "starting" | "initializing")
    });
    let failed = console.ask("systemctl --failed --no-legend --plain");
    assert_eq!(failed, "", "units that failed");
    assert_eq!(running.text, "running");
    let errors = looks::errors(console);
    // What the test itself has brought about is no fault of the card.
    let ours = |line: &&String| line.contains("trunkcast") && !line.contains("Watchdog timeout");
    let ours: Vec<_> = errors.iter().filter(ours).collect();
    assert!(ours.is_empty(), "errors in the log: {ours:?}");
    println!("lines of errors in the log, of others: {errors:#?}");
}

fn the_card_is_as_documented(machine: &mut Machine) {
    let console = &mut machine.console;
    let root = console.ask("findmnt -no OPTIONS /");
    assert!(root.starts_with("ro,"), "the root is {root}");
    assert_ne!(
        console.run("touch /usr/here").code,
        0,
        "the root can be written"
    );
    assert_eq!(console.ask("cat /proc/sys/kernel/hostname"), "trunkcast");
    let lost = console.run("cat /run/trunkcast-data-lost");
    assert_ne!(lost.code, 0, "{}", lost.text);
    let data = console.ask_until("df -B1 --output=size /data | tail -n 1", BOOT, |shell| {
        shell
            .text
            .trim()
            .parse::<u64>()
            .is_ok_and(|size| size > ROOM * 9 / 10)
    });
    println!("the data partition has grown to {} bytes", data.text.trim());
    factory_settings(console);
    let settings = console.ask("stat -c '%U %a' /etc/trunkcast/trunkcast.yml");
    assert!(settings.starts_with("trunkcast 6"), "{settings}");
    let folder = console.ask("stat -c '%U %a' /etc/trunkcast");
    assert_eq!(folder, "trunkcast 750");
    console.ask("trunkcast check --config /etc/trunkcast/trunkcast.yml");
    let owner = machine.owner();
    let (status, head, page) = owner.ask("GET", "/", &Value::Null);
    assert_eq!(status, 200, "{head}");
    assert!(String::from_utf8_lossy(&page).contains("<html"), "no page");
}

fn the_daemon_has_no_rights(machine: &mut Machine) {
    let console = &mut machine.console;
    let mut property = |name| looks::property(console, UNIT, name);
    assert_eq!(property("User"), "trunkcast");
    assert_eq!(property("NRestarts"), "0");
    assert_eq!(property("Type"), "notify");
    assert_eq!(property("CapabilityBoundingSet"), "");
    assert_ne!(property("WatchdogUSec"), "0");
    assert_ne!(
        property("WatchdogTimestampMonotonic"),
        "0",
        "the watchdog was never fed"
    );
    let process = property("MainPID");
    let status = console.ask(&format!(
        "grep -E '^(Cap|Uid|NoNewPrivs|Seccomp:)' /proc/{process}/status"
    ));
    for line in status.lines() {
        let (name, value) = line.split_once(':').expect("a name and a value");
        let value = value.trim();
        match name {
            "NoNewPrivs" => assert_eq!(value, "1", "{status}"),
            "Seccomp" => assert_eq!(value, "2", "{status}"),
            "Uid" => assert!(!value.split('\t').any(|user| user == "0"), "{status}"),
            _ => assert_eq!(value, "0000000000000000", "{status}"),
        }
    }
    let memory = console.ask(&format!("grep VmRSS /proc/{process}/status"));
    let whole = console.ask("free -m | sed -n 2p");
    println!("the daemon at rest: {memory}; the card: {whole}");
}

/// What listens is what the table of the board's README has, no more and, but for what comes and goes, no
/// less.
fn nothing_else_listens(machine: &mut Machine) {
    let listeners = looks::listeners(&mut machine.console);
    let (_, table) = DOCUMENTED.split_once("## What listens").expect("a table");
    let (table, _) = table.split_once("\n## ").unwrap_or((table, ""));
    let cell = |row: &str, number| {
        row.split('|')
            .nth(number)
            .map(|cell| cell.trim().replace('`', ""))
    };
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = rows
        .map(|row| (cell(row, 1).unwrap_or_default(), row.contains("at times")))
        .collect();
    for listener in &listeners {
        let is_told = rows.iter().any(|(told, _)| told == listener);
        assert!(is_told, "{listener} is not documented: {listeners:#?}");
    }
    for (told, comes_and_goes) in &rows {
        assert!(
            *comes_and_goes || listeners.contains(told),
            "{told}: {listeners:#?}"
        );
    }
    assert!(rows.len() > 8, "{rows:?}");
}

/// The settings are those that the card left the factory with.
fn factory_settings(console: &mut Console) {
    let files = "/etc/trunkcast/trunkcast.yml /usr/share/trunkcast/trunkcast.yml";
    console.ask(&format!(
        "test $(sha256sum {files} | cut -c1-64 | uniq | wc -l) = 1"
    ));
}

fn a_call_is_relayed_and_the_leds_show_it(
    machine: &mut Machine,
    ports: &mut Ports,
    office: &Office,
) {
    wait_for_leds(machine, [1, 0, 0]);
    assert!(office.registrar.registered() > 0, "nobody registered");
    office.call(machine, ports, "1001", |machine| {
        wait_for_leds(machine, [1, 1, 0]);
    });
    wait_for_leds(machine, [1, 0, 0]);
    let counted = machine
        .console
        .run("journalctl -b -u trunkcast -q --no-pager -o cat | tail -n 3");
    println!("{}", counted.text);
}

/// A credential in the folder from which the unit loads them, with where calls are relayed to.
fn a_secret_is_laid_down(machine: &mut Machine, office: &Office) {
    let file = "/etc/credstore/trunkcast/cloud-url";
    let command = format!("umask 077; echo '{}' >{file} && sync {file}", office.url());
    machine.console.ask(&command);
}

fn a_call_is_relayed_to_where_the_secret_says(
    machine: &mut Machine,
    ports: &mut Ports,
    office: &Office,
    owner: &Owner,
) {
    owner.change(|settings| {
        settings["trunks"]["office"]["url"] = json!({"credential": "cloud-url"});
    });
    let file = machine.console.ask("cat /etc/trunkcast/trunkcast.yml");
    assert!(!file.contains("rtmp://"), "{file}");
    office.call(machine, ports, "1002", |_| {});
}

/// Waits until the lights for registered, in call and fault are as wanted.
fn wait_for_leds(machine: &mut Machine, wanted: [u8; 3]) {
    let command = "cat /sys/class/leds/*::numlock/brightness /sys/class/leds/*::capslock/brightness \
                   /sys/class/leds/*::scrolllock/brightness | tr '\\n' ' '";
    let wanted = wanted.map(|light| light.to_string()).join(" ");
    machine
        .console
        .ask_until(command, Duration::from_secs(180), |shell| {
            shell.text == wanted
        });
}

fn what_hangs_or_dies_is_started_again(machine: &mut Machine) {
    for (number, signal) in ["KILL", "STOP"].iter().enumerate() {
        let console = &mut machine.console;
        let before = looks::property(console, UNIT, "MainPID");
        let then = looks::uptime(console);
        console.ask(&format!("kill -s {signal} {before}"));
        if *signal == "STOP" {
            // Until the watchdog has ended it, it flashes for want of a word.
            wait_for_leds(machine, [0, 0, 1]);
        }
        let console = &mut machine.console;
        let restarts = (number + 1).to_string();
        console.ask_until(
            &format!("systemctl show -P NRestarts -P ActiveState {UNIT} | sort | tr '\\n' ' '"),
            BOOT,
            |shell| shell.text == format!("{restarts} active"),
        );
        let took = looks::uptime(console) - then;
        let after = looks::property(console, UNIT, "MainPID");
        assert_ne!(after, before);
        let session = machine.wait_for_page();
        assert_eq!(session["state"], "signedOut", "{session}");
        println!("SIG{signal}: another daemon was ready {took:.1} s later");
    }
    let console = &mut machine.console;
    let told = console.ask(&format!("journalctl -b -u {UNIT} -q --no-pager -o cat"));
    assert!(told.contains("Watchdog timeout"), "{told}");
    wait_for_leds(machine, [1, 0, 0]);
}

fn the_button_takes_the_password_away(machine: &mut Machine) {
    machine.key(BUTTON, true);
    wait_guest(machine, 7.0);
    machine.key(BUTTON, false);
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    loop {
        let session = machine.wait_for_page();
        if session["state"] == "new" {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the password stays: {session}"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut owner = machine.owner();
    owner.set_password();
    let (settings, _) = owner.settings();
    assert_eq!(settings["trunks"]["office"]["proxyIp"], HOST, "{settings}");
}

fn the_button_takes_everything_away(machine: &mut Machine, identity: &str) {
    machine.key(BUTTON, true);
    wait_guest(machine, 17.0);
    machine.key(BUTTON, false);
    machine.console.forget();
    machine.wait_for_slot(BOOT);
    let session = machine.wait_until_up();
    assert_eq!(session["state"], "new", "{session}");
    assert_eq!(session["guide"], true, "{session}");
    let console = &mut machine.console;
    factory_settings(console);
    // Whoever owned the box before does not recognise it.
    assert_ne!(looks::machine_id(console), identity);
}

/// Lets time pass on the card, which may be slower than ours.
fn wait_guest(machine: &mut Machine, seconds: f64) {
    let until = looks::uptime(&mut machine.console) + seconds;
    while looks::uptime(&mut machine.console) < until {
        std::thread::sleep(Duration::from_millis(300));
    }
}
