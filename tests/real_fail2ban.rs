//! The filter of the README, applied by fail2ban to lines of a running box.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::daemon::Settings;
use support::program::run;
use support::raw_caller::RawCaller;
use support::{Daemon, Ports, Scratch};

/// The filter as the README has it.
fn filter() -> &'static str {
    let readme = include_str!("../README.md");
    let (_, rest) = readme
        .split_once("# /etc/fail2ban/filter.d/trunkcast.conf\n")
        .expect("the README shows the filter");
    rest.split_once("```").expect("a block ends").0
}

/// Addresses that fail2ban finds in a log.
fn banned(lines: &str) -> Vec<String> {
    let fail2ban = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/fail2ban");
    let script = fail2ban.join("usr/bin/fail2ban-regex");
    assert!(
        script.exists(),
        "{} is missing: tests/run real puts Debian's fail2ban there, or apt-get download fail2ban \
         and dpkg -x fail2ban_*.deb {}",
        script.display(),
        fail2ban.display()
    );
    let folder = Scratch::new("fail2ban");
    let common = fs::read(fail2ban.join("etc/fail2ban/filter.d/common.conf"));
    folder.write("common.conf", common.expect("it is part of fail2ban"));
    let filter = folder.write("trunkcast.conf", filter());
    let log = folder.write("log", lines);
    let found = run(Command::new("/usr/bin/python3")
        .arg(script)
        .arg("-c")
        .arg(fail2ban.join("etc/fail2ban"))
        .args(["-o", "ip"])
        .args([log, filter])
        .env("PYTHONPATH", fail2ban.join("usr/lib/python3/dist-packages")));
    found.lines().map(str::to_owned).collect()
}

#[test]
fn who_abuses_the_box_is_found_and_nobody_else() {
    let mut ports = Ports::claim();
    let settings = Settings {
        trunk: vec!["abuse: {perSource: 1, total: 1}".to_owned()],
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let stranger = RawCaller::new("127.0.0.2", &mut ports, gateway.sip(), 1);
    let pbx = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 2);
    for cseq in 0..30 {
        stranger.send("REGISTER", "", cseq);
        pbx.send("OPTIONS", "", cseq);
    }
    gateway.wait_after(0, "sip abuse from 127.0.0.2 on trunk test: ", 5);
    let of_the_pbx = "messages of the peer 127.0.0.1 refused";
    let patience = Duration::from_secs(5);
    gateway.log().wait_for(of_the_pbx, patience);

    // What the journal makes of a line: the time, host and program in the place of ours.
    let text = gateway.log().text();
    let words = text.lines().filter_map(|line| line.get(20..));
    let mut lines: Vec<String> = words.map(str::to_owned).collect();
    lines.push(
        "sip abuse from 2001:db8::9 on trunk test: 1 messages refused in 60 s, last no word".into(),
    );
    lines.push("call 3 test \"sip abuse from 192.0.2.1 on trunk test: 9 messages\" ended".into());
    let log: String = lines
        .iter()
        .map(|line| {
            format!(
                "Nov 21 10:00:00 box trunkcast[812]: {}\n",
                line.trim_start_matches("WARN  ")
            )
        })
        .collect();
    assert_eq!(banned(&log), ["127.0.0.2", "2001:db8::9"], "{log}");
}
