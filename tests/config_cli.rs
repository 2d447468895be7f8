//! The program's command line: what it prints, where, and how it exits.

mod own_program;

use std::path::{Path, PathBuf};
use std::process::Output;

fn data(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/data/config").join(name)
}

fn trunkcast(args: &[&str]) -> Output {
    own_program::trunkcast().args(args).output().unwrap()
}

/// Standard output, standard error and exit code of a run on a file of `tests/data/config`.
fn on_file(command: &str, file: &str) -> (String, String, i32) {
    texts(&trunkcast(&[
        command,
        "--config",
        data(file).to_str().unwrap(),
    ]))
}

fn texts(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    (text(&output.stdout), text(&output.stderr), code)
}

#[test]
fn a_stream_key_is_not_in_the_summary() {
    let folder = std::env::temp_dir().join(format!("trunkcast-check-key-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("key.yml");
    let text = "trunks:\n  a:\n    localPort: 40000\n    proxyIp: 192.0.2.1\n    \
                url: rtmp://a.rtmp.youtube.com/live2\n    streamName: abcd-efgh\n";
    std::fs::write(&config, text).unwrap();
    let ran = trunkcast(&["check", "--config", config.to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    let (out, err, code) = texts(&ran);
    assert_eq!((err.as_str(), code), ("", 0));
    assert!(
        out.contains("  published to rtmp://a.rtmp.youtube.com/live2 as ***\n"),
        "{out}"
    );
    assert!(!out.contains("abcd-efgh"), "{out}");
}

#[test]
fn check_tells_each_problem_on_standard_error_and_exits_1() {
    let (out, err, code) = on_file("check", "broken.yml");
    assert_eq!((out.as_str(), code), ("", 1));
    let listed = std::fs::read_to_string(data("broken.problems.txt")).unwrap();
    let directory = format!("{}/", data("").parent().unwrap().join("config").display());
    assert_eq!(err.replace(&directory, ""), listed);
}

#[test]
fn check_tells_what_would_run_without_secrets_and_exits_0() {
    let folder = std::env::temp_dir().join(format!("trunkcast-cli-{}-full", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let text = std::fs::read_to_string(data("full.yml")).unwrap();
    let text = [
        "/etc/trunkcast/pbx.pem",
        "/etc/trunkcast/box.pem",
        "/srv/rest.pem",
        "/srv/ca.pem",
    ]
    .iter()
    .fold(text, |text, name| text.replace(name, &file("server.pem")));
    let text = ["/etc/trunkcast/box.key", "/srv/rest.key"]
        .iter()
        .fold(text, |text, name| text.replace(name, &file("server.key")));
    let config = folder.join("full.yml");
    std::fs::write(&config, text).unwrap();
    let ran = trunkcast(&["check", "--config", config.to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    let (out, err, code) = texts(&ran);
    assert_eq!((err.as_str(), code), ("", 0));
    for words in [
        "trunk pbx_t0: SIP on TLS port 40000\n",
        "  calls from 192.0.2.10, 192.0.2.11, 192.0.2.0/24, 2001:db8::/32\n",
        "  codecs h264, opus, pcma, pcmu\n",
        "  published to rtmp://***@192.0.2.20/live as door_{callee} (sink nginx-rtmp)\n",
        "state: /srv/state\n",
        "trunk pbx_t1: SIP on UDP and TCP port 40002\n",
        "  stays here: rtmp://THIS-BOX:1936/live/rtmp_{callee}\n",
        "play-out: rtmp on 0.0.0.0:1936\n",
        "rest: http on 0.0.0.0:8082, with a password\n",
        "rest: https on 0.0.0.0:8444, the certificate given\n",
        "media: address 192.0.2.1, UDP ports 31000-31399\n",
        "limits: 50 calls at once\n",
        "memory budget: ",
        "hooks: http://***@backend/MyAPI, incoming calls wait for its word\n",
    ] {
        assert!(out.contains(words), "{words:?} is missing:\n{out}");
    }
    assert!(!out.contains("hunter2") && !out.contains("joe"), "{out}");
}

#[test]
fn check_takes_a_wcs_file() {
    for file in ["wcs.yml", "wcs_printed.yml"] {
        let (out, err, code) = on_file("check", file);
        assert_eq!((err.as_str(), code), ("", 0));
        assert!(out.contains("  calls from pbx_address\n"), "{out}");
        assert!(
            out.contains("published to rtmp://rtmp_server/live as rtmp_{callee}\n"),
            "{out}"
        );
    }
}

#[test]
fn nothing_starts_with_a_broken_file() {
    let (out, err, code) = on_file("run", "broken.yml");
    assert_eq!((out.as_str(), code), ("", 1));
    assert_eq!(
        err.lines().count(),
        on_file("check", "broken.yml").1.lines().count()
    );
}

#[test]
fn a_named_file_that_cannot_be_read_is_a_problem() {
    for name in ["missing.yml", "."] {
        let (_, err, code) = on_file("check", name);
        assert_eq!(code, 1);
        assert!(err.contains(": expected a readable file: "), "{err}");
    }
    let path = std::env::temp_dir().join(format!("trunkcast-utf8-{}.yml", std::process::id()));
    std::fs::write(&path, b"trunks:\n  t:\n    visibleName: \xff\n").unwrap();
    let (_, err, code) = texts(&trunkcast(&["check", "--config", path.to_str().unwrap()]));
    std::fs::write(&path, "é".repeat(200_000)).unwrap();
    let (_, large, _) = texts(&trunkcast(&["check", "--config", path.to_str().unwrap()]));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code, 1);
    assert!(err.ends_with(".yml:3: expected text in UTF-8\n"), "{err}");
    assert!(
        large.ends_with(".yml: expected at most 262144 bytes\n"),
        "{large}"
    );
}

#[test]
fn a_file_of_authorities_without_any_is_a_problem() {
    let folder = std::env::temp_dir().join(format!("trunkcast-ca-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("empty.pem", "no certificate\n");
    let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    write("broken.pem", broken);
    let other = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    write("other.pem", other);
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls/server.pem");
    std::fs::copy(good, folder.join("good.pem")).unwrap();
    for (file, expected) in [
        ("missing.pem", Some("I/O error: No such file or directory")),
        ("empty.pem", Some("no certificate in it")),
        ("broken.pem", Some("")),
        ("other.pem", Some("")),
        ("good.pem", None),
    ] {
        let ca_file = folder.join(file);
        let shown = ca_file.display();
        let trunk = "trunks:\n  t:\n    localPort: 40000\n    proxyIp: 127.0.0.1\n";
        let rtmp = format!("# caFile: of the trunk below\nrtmp:\n  caFile: {shown}\n");
        write(
            "t.yml",
            &format!("{rtmp}{trunk}    url: rtmps://server/live\n"),
        );
        let config = folder.join("t.yml");
        let config = config.to_str().unwrap();
        for command in ["check", "run"] {
            if expected.is_none() && command == "run" {
                continue;
            }
            let (out, err, code) = texts(&trunkcast(&[command, "--config", config]));
            let Some(expected) = expected else {
                assert_eq!((err.as_str(), code), ("", 0));
                let trusted = format!("rtmps: servers trusted by {shown}\n");
                assert!(out.contains(&trusted), "{out}");
                assert!(out.contains("TLS of calls"), "{out}");
                continue;
            };
            let start = format!(
                "{config}:3: rtmp.caFile: expected a PEM file of certificates: rtmp.caFile \
                 {shown}: {expected}"
            );
            assert!(err.starts_with(&start), "{err}");
            assert_eq!(
                (out.as_str(), code, err.lines().count()),
                ("", 1, 1),
                "{err}"
            );
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn files_of_a_trunk_that_cannot_be_used_are_told_by_check_and_run_with_their_lines() {
    let folder = std::env::temp_dir().join(format!("trunkcast-cli-{}-trunk", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let good = data.join("server.pem");
    let good = good.display();
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let empty = empty.display();
    let config = folder.join("t.yml");
    let head = format!("rtmp:\n  caFile: {good}\n");
    let trunk = "localPort: 40000\n    proxyIp: 127.0.0.1\n    transport: tls\n";
    for (keys, line, expected) in [
        (
            format!("    caFile: {empty}\n"),
            8,
            format!(
                "trunks.t.caFile: expected a PEM file of certificates: caFile of trunk t \
                 {empty}: no certificate in it"
            ),
        ),
        (
            format!("    certificate: {empty}\n    key: {empty}\n"),
            8,
            format!(
                "trunks.t.certificate: expected PEM files of a certificate and its key: \
                 certificate of trunk t: {empty}: "
            ),
        ),
        (
            format!("    certificate: {good}\n    key: {good}\n"),
            8,
            format!(
                "trunks.t.certificate: expected PEM files of a certificate and its key: \
                 key of trunk t: {good}: "
            ),
        ),
    ] {
        let text = format!("{head}trunks:\n  t:\n    {trunk}{keys}");
        std::fs::write(&config, text).unwrap();
        let shown = config.to_str().unwrap();
        for command in ["check", "run"] {
            let (out, err, code) = texts(&trunkcast(&[command, "--config", shown]));
            let start = format!("{shown}:{line}: {expected}");
            assert!(err.starts_with(&start), "{err}");
            assert_eq!((out.as_str(), code, err.lines().count()), ("", 1, 1));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn wrong_usage_exits_2_with_the_nearest_name() {
    let (out, err, code) = texts(&trunkcast(&["chekc"]));
    assert_eq!((out.as_str(), code), ("", 2));
    assert!(
        err.contains("unknown command chekc; did you mean check?"),
        "{err}"
    );
    assert_eq!(trunkcast(&["check", "--confg", "x"]).status.code(), Some(2));
}

#[test]
fn help_and_version_exit_0() {
    let (out, _, code) = texts(&trunkcast(&["--help"]));
    assert_eq!(code, 0);
    for words in [
        "[run] [--config FILE]",
        "check [--config FILE]",
        "demo [--seconds N]",
    ] {
        assert!(out.contains(words), "{out}");
    }
    let (out, _, code) = texts(&trunkcast(&["--version"]));
    assert_eq!(
        (out, code),
        (format!("trunkcast {}\n", env!("CARGO_PKG_VERSION")), 0)
    );
}

#[test]
fn the_password_of_the_page_is_forgotten_and_nothing_else_is() {
    let folder = std::env::temp_dir().join(format!("trunkcast-forget-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("box.yml");
    let forget = || {
        texts(&trunkcast(&[
            "forget-password",
            "--config",
            config.to_str().unwrap(),
        ]))
    };
    // No file, no password.
    assert_eq!(forget().2, 0);
    let with = |hash: &str| {
        format!(
            "# the office\ntrunks:\n  a: {{localPort: 40000}} # its line\npage:\n{hash}  \
             listen: 0.0.0.0:80 # where\n\nlimits: {{calls: 8}}\n"
        )
    };
    std::fs::write(&config, with("  passwordHash: $argon2id$v=19$x\n")).unwrap();
    let (out, _, code) = forget();
    assert_eq!(code, 0);
    assert!(out.contains("has no password"), "{out}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), with(""));
    let (out, _, code) = forget();
    assert_eq!(code, 0);
    assert!(out.contains("no password of the page was set"), "{out}");
    // Also where something else is wrong with the file, or the hash is all that the section has.
    std::fs::write(&config, "page: {passwordHash: x}\ntrunks: [wrong]\n").unwrap();
    assert_eq!(forget().2, 0);
    assert_eq!(
        std::fs::read_to_string(&config).unwrap(),
        "trunks: [wrong]\n"
    );
    std::fs::write(&config, "page: {passwordHash: x\n").unwrap();
    let (_, error, code) = forget();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code, 1);
    assert!(error.contains("no YAML"), "{error}");
}
