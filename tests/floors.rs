//! The law of the floors, kept by reading the sources: a floor imports only floors below it, the
//! machines of floor 2 are strangers to one another, and nothing below the shell reaches for a
//! socket, clock, file, thread, environment, random source or terminal.
//!
//! The scanner reads words, not types: it sees every path that is written out, and it insists that
//! what it must judge (`std::net::…`, `crate::…`) is imported by name. Test modules are left out.

#[path = "floors/scanner.rs"]
mod scanner;

use std::fs;
use std::path::{Path, PathBuf};

use scanner::{Source, paths, test_modules, tokens, without_tests};

/// Floor of each module of the crate's root.
const FLOORS: &[(&str, u8)] = &[
    ("limits", 0),
    ("base", 0),
    ("wire", 1),
    ("sip", 2),
    ("sdp", 2),
    ("media_file", 2),
    ("rtp", 2),
    ("rtmp", 2),
    ("mp4", 2),
    ("webm", 2),
    ("panel", 2),
    ("gateway", 3),
    ("shell", 4),
    ("cli", 5),
    ("main", 5),
];

/// The only file that may speak to the kernel by hand.
const UNSAFE_FILE: &str = "shell/sys.rs";

/// Names of `std::net` and `core::net` that are plain values.
const ADDRESS_TYPES: &[&str] = &[
    "AddrParseError",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "SocketAddrV4",
    "SocketAddrV6",
];

/// Crates and standard modules that floors 0 to 3 do without, and why.
const SHELL_ONLY: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::thread", "threads"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::io::stdin", "the terminal"),
    ("std::io::stdout", "the terminal"),
    ("std::io::stderr", "the terminal"),
    ("io::stdin", "the terminal"),
    ("io::stdout", "the terminal"),
    ("io::stderr", "the terminal"),
    ("std::os", "the operating system"),
    ("std::time::Instant", "the clock"),
    ("std::time::SystemTime", "the clock"),
    ("std::time::UNIX_EPOCH", "the clock"),
    ("std::sync::mpsc", "threads"),
    ("rand", "randomness"),
    ("getrandom", "randomness"),
    ("smol", "the reactor"),
    ("async_io", "the reactor"),
    ("async_signal", "signals"),
    ("socket2", "sockets"),
    ("libc", "the kernel"),
    ("sd_notify", "the service manager"),
    ("granit_parser", "the configuration file"),
];

/// Macros that print.
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// What is wrong with one source file, each as a sentence.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let Some(floor) = floor_of(&source.module) else {
        return vec![format!(
            "{} has no floor: add it to the table",
            source.module
        )];
    };
    let own = source.module.as_str();
    let tokens = without_tests(tokens(&source.text));
    for path in paths(&tokens, source) {
        let mut parts = path.split("::");
        let (root, first) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        if matches!(root, "crate" | "trunkcast") {
            match floor_of(first) {
                // Items of the root itself: macros and re-exports, of which there are none.
                None => found.push(format!("{path} is no module of a floor")),
                Some(other) if other > floor => {
                    found.push(format!("{path} is on floor {other}, above floor {floor}"));
                }
                Some(2) if floor == 2 && first != own => {
                    found.push(format!("{path} and {own} are both machines of floor 2"));
                }
                Some(_) => {}
            }
        }
        if floor < 4
            && let Some(reason) = shell_only(&path)
        {
            found.push(format!("{path} reaches for {reason}, the shell's matter"));
        }
    }
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map(String::as_str);
        if floor < 4 && next == Some("!") && PRINTING.contains(&token.as_str()) {
            found.push(format!("{token}! prints, the shell's matter"));
        }
        if token == "unsafe" && source.file != UNSAFE_FILE {
            found.push(format!("unsafe outside {UNSAFE_FILE}"));
        }
    }
    if source.is_head && floor != 4 && !tokens.join(" ").contains("# ! [ forbid ( unsafe_code ) ]")
    {
        found.push("the head of a floor's module lacks #![forbid(unsafe_code)]".to_owned());
    }
    found
}

fn floor_of(module: &str) -> Option<u8> {
    let entry = FLOORS.iter().find(|(name, _)| *name == module);
    entry.map(|(_, floor)| *floor)
}

/// What of the shell's a path reaches for, if anything.
fn shell_only(path: &str) -> Option<&'static str> {
    let path = path.replace("core::", "std::").replace("alloc::", "std::");
    if let Some(rest) = path.strip_prefix("std::net") {
        let name = rest
            .trim_start_matches("::")
            .split("::")
            .next()
            .unwrap_or_default();
        return (!ADDRESS_TYPES.contains(&name)).then_some("sockets, or addresses not by name");
    }
    if path == "std::time" || path == "std::time::*" || path == "std" || path == "std::*" {
        return Some("a whole module; import what is needed by name");
    }
    let under = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let found = SHELL_ONLY.iter().find(|(prefix, _)| under(prefix));
    found.map(|(_, reason)| *reason)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|file| !file.starts_with(root.join("patched")) && *file != root.join("lib.rs"));
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
            Source::new(name, fs::read_to_string(file).unwrap())
        })
        .collect();
    let tests: Vec<Vec<String>> = sources.iter().flat_map(test_modules).collect();
    sources.retain(|source| !tests.iter().any(|place| source.place.starts_with(place)));
    sources
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_source_keeps_to_its_floor() {
    let sources = sources();
    let mut found = Vec::new();
    for source in &sources {
        let wrong = violations(source).into_iter();
        found.extend(wrong.map(|sentence| format!("src/{}: {sentence}", source.file)));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    for (module, _) in FLOORS {
        assert!(
            sources.iter().any(|source| source.module == *module),
            "no source of {module}"
        );
    }
}

/// What the scanner says of a made-up file.
fn judged(file: &str, text: &str) -> Vec<String> {
    violations(&Source::new(file, text.to_owned()))
}

#[test]
fn imports_upwards_and_sideways_are_caught() {
    for (file, text) in [
        ("base/a.rs", "use crate::wire::rtp::RtpHeader;"),
        (
            "wire/a.rs",
            "use crate::{base::time::Instant, sip::{self, timer}};",
        ),
        ("wire/a.rs", "fn f() -> crate::gateway::Gateway {}"),
        ("sip/a.rs", "use crate::sdp::CodecPlan;"),
        ("rtp/a/b.rs", "use super::super::super::rtmp::Publisher;"),
        (
            "rtp/a.rs",
            "pub(in crate::rtp) use super::super::rtmp as r;",
        ),
        ("gateway/a.rs", "use crate::shell::clock;"),
        ("shell/a.rs", "use crate :: // gap\n cli::main;"),
        ("rtmp/a.rs", "use trunkcast::sip::SipEndpoint;"),
        ("rtmp/a.rs", "use crate::*;"),
        ("new/a.rs", "fn f() {}"),
    ] {
        assert!(!judged(file, text).is_empty(), "{file}: {text}");
    }
}

#[test]
fn sockets_clocks_and_the_like_are_caught_below_the_shell() {
    for text in [
        "use std::net::UdpSocket;",
        "use std::net::{IpAddr, ToSocketAddrs};",
        "use std::net;",
        "use std::net::*;",
        "use core::net::{self, IpAddr};",
        "fn f() { let s = std::net::TcpStream::connect(a); }",
        "use std::time::{Duration, Instant};",
        "use std::time;",
        "fn f() { let now = ::std::time::SystemTime::now(); }",
        "use std::{fs, rc::Rc};",
        "use std::fs::File as F;",
        "fn f() { std::thread::sleep(d) }",
        "fn f() { std::env::var(\"A\") }",
        "fn f() { rand::rng() }",
        "use smol::Timer;",
        "use std::io; fn f() { io::stderr() }",
        "fn f() { println!(\"x\") }",
        "fn f() { eprint ! (\"x\") }",
    ] {
        for floor in ["base", "wire", "sip", "gateway"] {
            assert_eq!(
                judged(&format!("{floor}/a.rs"), text).len(),
                1,
                "{floor}: {text}"
            );
        }
        assert_eq!(judged("shell/a.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn unsafe_code_is_caught_outside_its_file() {
    let text = "fn f() { unsafe { g() } }";
    assert_eq!(judged("wire/a.rs", text).len(), 1);
    assert_eq!(judged("shell/a.rs", text).len(), 1);
    assert_eq!(judged("shell/sys.rs", text), [""; 0]);
    assert_eq!(judged("wire/mod.rs", "//! Floor 1.\npub mod a;").len(), 1);
    assert_eq!(judged("limits.rs", "pub const A: usize = 1;").len(), 1);
    assert_eq!(
        judged("wire/mod.rs", "#![forbid(unsafe_code)]\npub mod a;"),
        [""; 0]
    );
}

#[test]
fn what_keeps_the_law_is_let_through() {
    for (file, text) in [
        (
            "sip/a.rs",
            "use crate::{base::time::Instant, limits, wire::{rtp, sdp as s}};",
        ),
        (
            "sip/a/b.rs",
            "use super::super::timer::Timer; use crate::sip::dialog;",
        ),
        (
            "sip/a.rs",
            "use std::net::{IpAddr, SocketAddr}; use core::time::Duration; fn f() -> std::io::Result<()> {}",
        ),
        (
            "sip/a.rs",
            "// use crate::shell;\n/* use std::fs; /* unsafe */ */ fn f() {}",
        ),
        (
            "sip/a.rs",
            "const A: &str = \"crate::shell println! unsafe\"; const B: char = '\"';",
        ),
        (
            "sip/a.rs",
            "const A: &str = r#\"use crate::shell; \"unsafe\" \"#; const B: u8 = b'\\'';",
        ),
        (
            "sip/a.rs",
            "fn f<'a>(x: &'a str) -> &'static str { x.env().thread() }",
        ),
        (
            "sip/a.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests { use crate::rtp::Session; fn g() { println!(\"}\"); } }",
        ),
        ("sip/a.rs", "#[cfg(test)]\nuse std::fs;\nfn f() {}"),
        ("sip/a.rs", "/// See [`crate::shell`].\nfn f() {}"),
        (
            "shell/a.rs",
            "use std::net::UdpSocket; use crate::gateway::Gateway;",
        ),
        (
            "gateway/a.rs",
            "use crate::{rtp::Session, sdp::CodecPlan, sip::SipEndpoint};",
        ),
    ] {
        assert_eq!(judged(file, text), [""; 0], "{file}: {text}");
    }
}

#[test]
fn test_modules_in_files_of_their_own_are_known() {
    let text = "#[cfg(test)]\nmod tests;\nmod other;\n#[cfg(test)] pub(crate) mod lab { mod x; }";
    let source = Source::new("sip/timer.rs", text.to_owned());
    assert_eq!(test_modules(&source), [["sip", "timer", "tests"]]);
}

#[test]
fn what_follows_a_test_module_is_still_read() {
    let text = "#[cfg(test)]\nmod tests { fn f() { if x { y } } }\nuse crate::shell::clock;";
    assert_eq!(judged("sip/a.rs", text).len(), 1);
    let text = "#[cfg(not(test))]\nuse crate::shell::clock;";
    assert_eq!(judged("sip/a.rs", text).len(), 1);
}
