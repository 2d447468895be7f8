//! The units of `systemd/`: as systemd reads and rates them, with the users and folders that they name,
//! and the daemon within as much of its sandbox as there is without systemd.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use support::phone::{Phone, Play};
use support::{Clip, Manager, Ports, Program, Scratch};

/// Programs of others that units run; nothing else may be named.
const OTHERS: [&str; 3] = ["rm", "kill", "systemctl"];

/// An unprivileged user that is nobody else.
const USER: u32 = 61_234;

fn tree() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A root file system as a card has it, of what a unit may need to be looked at: our files by the one
/// script that lays them, systemd's own units of this machine, and stand-ins for the programs of others.
fn staged(purpose: &str) -> Scratch {
    let root = Scratch::new(purpose);
    let at = |name: &str| root.join(name);
    for folder in ["usr/bin", "usr/lib/systemd/system", "etc"] {
        fs::create_dir_all(at(folder)).expect("a folder can be made");
    }
    symlink("usr/bin", at("bin")).expect("a link can be made");
    for name in OTHERS {
        let program = root.write(&format!("usr/bin/{name}"), "#!/bin/sh\n");
        fs::set_permissions(program, Permissions::from_mode(0o755)).expect("it is ours");
    }
    for unit in fs::read_dir("/usr/lib/systemd/system").expect("systemd is installed") {
        let unit = unit.expect("a unit").path();
        let name = unit.file_name().expect("a name").to_string_lossy();
        if unit.is_file() && !name.starts_with("trunkcast") {
            let _ = fs::copy(&unit, at("usr/lib/systemd/system").join(&*name));
        }
    }
    succeed(
        Command::new(tree().join("board/common/install"))
            .arg(root.path())
            .arg("qemuarm64")
            .arg(env!("CARGO_BIN_EXE_trunkcast")),
    );
    root
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program is installed");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Units of ours with one of these endings.
fn units(endings: &[&str]) -> Vec<String> {
    let folder = fs::read_dir(tree().join("systemd")).expect("the folder of units");
    let names = folder.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.into_string().expect("a name"))
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
        .collect();
    names.sort();
    names
}

#[test]
fn systemd_finds_nothing_wrong_with_any_unit() {
    let root = staged("verify");
    let names = units(&[".service", ".path", ".timer", ".socket"]);
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=yes"])
            .arg(format!("--root={}", root.path().display()))
            .arg(name.replace("@.", "@sdb1."))
            .output()
            .expect("systemd-analyze is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("trunkcast"))
            .collect();
        assert!(output.status.success() && ours.is_empty(), "{name}: {said}");
    }
}

#[test]
fn a_unit_with_something_wrong_is_found() {
    let root = staged("wrong");
    root.write(
        "usr/lib/systemd/system/trunkcast-wrong.service",
        "[Service]\nExecStart=/usr/bin/nothing\nNoSuchSetting=1\n",
    );
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(format!("--root={}", root.path().display()))
        .arg("trunkcast-wrong.service")
        .output()
        .expect("systemd-analyze is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("/usr/bin/nothing is not executable"),
        "{said}"
    );
}

#[test]
fn what_units_expose_is_little() {
    // In tenths, as systemd-analyze takes it.
    for (unit, most) in [
        ("trunkcast.service", 15),
        ("trunkcast-panel.service", 5),
        ("trunkcast-password-reset.service", 5),
    ] {
        let rated = |threshold: u32| {
            let mut command = Command::new("systemd-analyze");
            command
                .args(["security", "--offline=true", "--no-pager"])
                .arg(format!("--threshold={threshold}"))
                .arg(tree().join("systemd").join(unit));
            command.output().expect("systemd-analyze is installed")
        };
        let output = rated(most);
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{}", said.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{unit}: {said}");
        assert!(said.contains("Overall exposure level"), "{said}");
        // The rating is one that can fail.
        assert!(!rated(1).status.success(), "{unit} exposes nothing at all?");
    }
}

#[test]
fn users_and_folders_are_made_and_settings_that_are_there_stay() {
    let root = staged("users");
    let rooted = format!("--root={}", root.path().display());
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it was made");
    let make = || {
        succeed(Command::new("systemd-sysusers").args([&rooted, "trunkcast.conf"]));
        let args = ["--create", &rooted, "trunkcast.conf"];
        succeed(Command::new("systemd-tmpfiles").args(args));
    };
    // As it is where nobody has laid them.
    fs::remove_dir_all(root.join("etc/credstore")).expect("it was laid");
    make();
    let passwd = read("etc/passwd");
    let id = |user: &str| -> u32 {
        let mut lines = passwd.lines();
        let line = lines.find(|line| line.split(':').next() == Some(user));
        let fields: Vec<&str> = line.expect("the user was made").split(':').collect();
        assert_eq!(fields.last(), Some(&"/usr/sbin/nologin"));
        fields[2].parse().expect("a number")
    };
    let (daemon, panel) = (id("trunkcast"), id("trunkcast-panel"));
    assert!(daemon != 0 && panel != 0 && daemon != panel);
    let group = read("etc/group");
    let members = group
        .lines()
        .find_map(|line| line.strip_prefix("trunkcast:"));
    assert!(
        members.expect("the group").ends_with(":trunkcast-panel"),
        "{group}"
    );

    let state = |name: &str| {
        let found = fs::metadata(root.join(name)).expect("it was made");
        (found.mode() & 0o7777, found.uid())
    };
    assert_eq!(state("etc/trunkcast"), (0o750, daemon));
    assert_eq!(state("etc/trunkcast/trunkcast.yml"), (0o600, daemon));
    assert_eq!(state("etc/credstore/trunkcast"), (0o700, 0));
    let factory = read("usr/share/trunkcast/trunkcast.yml");
    assert_eq!(read("etc/trunkcast/trunkcast.yml"), factory);
    let settings = root.write("etc/trunkcast/trunkcast.yml", "# mine\n");
    make();
    assert_eq!(fs::read_to_string(settings).expect("it stays"), "# mine\n");
}

/// System calls of a set, the sets within it with it.
fn set(name: &str, into: &mut BTreeSet<String>) {
    let listed = succeed(Command::new("systemd-analyze").args(["syscall-filter", name]));
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    for line in text.lines().skip(1).map(str::trim) {
        match line {
            "" => {}
            line if line.starts_with('#') => {}
            line if line.starts_with('@') => set(line, into),
            line => {
                into.insert(line.to_owned());
            }
        }
    }
}

/// What the daemon tries and does without where it is refused: the owner of a settings file that is
/// written anew.
const TRIED: &str = "fchown";

/// The system calls that the daemon's unit allows.
fn allowed() -> BTreeSet<String> {
    let unit = fs::read_to_string(tree().join("systemd/trunkcast.service")).expect("the unit");
    let mut allowed = BTreeSet::new();
    for line in unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let (denies, names) = match line.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, line),
        };
        for name in names.split(' ') {
            let mut these = BTreeSet::from([name.to_owned()]);
            if name.starts_with('@') {
                these.clear();
                set(name, &mut these);
            }
            match denies {
                true => allowed.retain(|call| !these.contains(call)),
                false => allowed.extend(these),
            }
        }
    }
    // Always permitted, whatever is denied.
    set("@default", &mut allowed);
    allowed
}

/// Asks the page for something; status and the cookie that it set.
fn ask(page: SocketAddr, path: &str, cookie: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(page).expect("the page listens");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {page}\r\nContent-Type: application/json\r\nX-Trunkcast: 1\r\n\
         Cookie: {cookie}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a socket waits");
    let (mut answer, mut bytes) = (Vec::new(), [0; 4_096]);
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        answer.extend_from_slice(&bytes[..length]);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let set = text
        .lines()
        .find_map(|line| line.strip_prefix("Set-Cookie: "));
    let cookie = set.and_then(|set| set.split(';').next());
    (status, cookie.unwrap_or_default().to_owned())
}

/// The one child of a process.
fn child(parent: u32) -> String {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    children.expect("it runs").trim().to_owned()
}

fn signal(process: &str, name: &str) {
    succeed(Command::new("kill").args([&format!("-{name}"), process]));
}

/// The command that runs the daemon as its unit does: another user without any capability, the file
/// system read-only but for one folder, as many descriptors as the unit allows; every system call is
/// written down.
fn confined(config: &Path, state: &Path, calls: &Path) -> Command {
    let script = format!(
        "mount --make-rprivate / && mount --bind {state} {state} && mount -o remount,bind,ro / && \
         exec strace -f -qq -e signal=none -o {calls} \
         prlimit --nofile=8192 --core=0 \
         setpriv --reuid={USER} --regid={USER} --clear-groups --bounding-set=-all --inh-caps=-all \
         --ambient-caps=-all --no-new-privs {program} run --config {config}",
        state = state.display(),
        calls = calls.display(),
        program = env!("CARGO_BIN_EXE_trunkcast"),
        config = config.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command
}

#[test]
fn the_daemon_takes_calls_and_begins_anew_within_its_sandbox() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("sandbox");
    let state = folder.join("state");
    fs::create_dir(&state).expect("a folder can be made");
    std::os::unix::fs::chown(&state, Some(USER), Some(USER)).expect("as root");
    let mut manager = Manager::listen(&state);
    let (sip, page) = (ports.address(), ports.address());
    let (first, last) = ports.media();
    let config = format!(
        "trunks:\n  test:\n    localPort: {}\n    proxyIp: 127.0.0.1\n    transport: udp\n\
         rtmp: {{listen: \"{}\"}}\nrest: {{listen: \"{}\"}}\npage: {{listen: \"{page}\"}}\n\
         media: {{address: 127.0.0.1, ports: {first}-{last}}}\nstate: {{directory: {dir}}}\n\
         recording: {{directory: {dir}/recordings, all: true}}\n",
        sip.port(),
        ports.address(),
        ports.address(),
        dir = state.display(),
    );
    let config = {
        let path = state.join("trunkcast.yml");
        fs::write(&path, config).expect("a file can be written");
        std::os::unix::fs::chown(&path, Some(USER), Some(USER)).expect("as root");
        path
    };
    let traced = state.join("calls.txt");
    let mut command = confined(&config, &state, &traced);
    let mut program = Program::start(manager.manage(&mut command, Duration::from_secs(20)));
    let ready = manager.wait_for(0, "READY=1", 30);
    // What was started is strace.
    let daemon = child(program.id());
    let status = fs::read_to_string(format!("/proc/{daemon}/status")).expect("it runs");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        &format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}"),
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }

    let clip = Clip::load();
    let mut phone = Phone::dial(&mut ports, sip, "5551");
    phone.play(&clip, &Play::default());
    let called = manager.wait_for(ready, "STATUS=ready, 1 call", 20);
    phone.hang_up();
    manager.wait_for(called, "STATUS=ready, no calls", 20);

    // The page writes the settings, and has the program begin anew: the same process says so.
    let password = r#"{"password":"correct horse battery"}"#;
    let (status, cookie) = ask(page, "/page/password", "", password);
    assert_eq!(status, "200", "{}", program.text());
    assert!(
        fs::read_to_string(&config)
            .expect("settings")
            .contains("passwordHash")
    );
    signal(&daemon, "HUP");
    let reloading = manager.wait_for(called, "RELOADING=1", 20);
    let reloaded = manager.wait_for(reloading, "READY=1", 20);
    let (status, cookie) = match ask(page, "/page/restart", &cookie, r#"{"when":"now"}"#) {
        (status, _) if status == "202" => (status, cookie),
        // The reload ended the session.
        _ => {
            let (_, cookie) = ask(page, "/page/login", "", password);
            ask(page, "/page/restart", &cookie, r#"{"when":"now"}"#)
        }
    };
    assert_eq!(status, "202", "{cookie}");
    let anew = manager.wait_for(reloaded, "READY=1", 30);
    Phone::dial(&mut ports, sip, "5552").hang_up();
    assert_eq!(child(program.id()), daemon);
    signal(&daemon, "TERM");
    manager.wait_for(anew, "STOPPING=1", 20);
    assert!(program.wait(Duration::from_secs(20)).success());
    assert!(!program.text().contains("panicked"), "{}", program.text());

    // What systemd would have denied: nothing that the daemon needs.
    let allowed = allowed();
    let text = fs::read_to_string(&traced).expect("strace wrote");
    let (_, ours) = text
        .split_once(&format!("execve(\"{}\"", env!("CARGO_BIN_EXE_trunkcast")))
        .expect("the daemon was begun");
    assert!(ours.contains("execve("), "it began anew by itself");
    let used: BTreeSet<&str> = ours
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(_, call)| call.trim_start().split_once('('))
        .map(|(name, _)| name)
        .filter(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
        .collect();
    assert!(used.contains("recvmmsg") && used.len() > 30, "{used:?}");
    let denied: Vec<&&str> = used
        .iter()
        .filter(|call| !allowed.contains(**call) && **call != TRIED)
        .collect();
    assert!(denied.is_empty(), "{denied:?}");
}
