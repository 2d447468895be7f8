//! Secrets that settings name as credentials: read at start and reload, kept by the page, never told.

mod own_program;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use trunkcast::cli::config_file::{load, load_with};
use trunkcast::cli::config_source::ConfigSource;
use trunkcast::cli::credentials::Credentials;
use trunkcast::cli::settings::Settings;
use trunkcast::gateway::config::Config;
use trunkcast::gateway::desk::{Clerk, DeskAnswer, DeskWork};

/// Every place that takes a credential.
const TEXT: &str = "\
trunks:
  office:
    localPort: 40000
    proxyIp: 192.0.2.1
    register: {login: box, password: {credential: pbx}}
    url: {credential: cloud-url} # whole
    streamName: {credential: cloud-key}
rest: {listen: 127.0.0.1:8081, password: {credential: rest}}
hooks:
  url: {credential: backend}
  username: ann
  password:
    credential: hooks
";

/// A secret of each credential.
const VALUES: [(&str, &str); 6] = [
    ("pbx", "hunter2"),
    ("cloud-url", "rtmps://live.example:443/app?key=hunter3\n"),
    ("cloud-key", "hunter4"),
    ("rest", "hunter5"),
    ("backend", "https://backend.example/hooks?hunter6"),
    ("hooks", "hunter7"),
];

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("trunkcast-credentials-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&folder.0);
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn full(name: &str) -> Self {
        let folder = Self::new(name);
        for (name, value) in VALUES {
            folder.write(name, value);
        }
        folder
    }

    fn load(&self) -> Result<Config, Vec<String>> {
        let loaded = load_with(TEXT, "box.yml", &Credentials::Folder(self.0.clone()));
        loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn each_secret_may_be_a_credential_and_a_changed_one_is_read_anew() {
    let folder = Folder::full("all");
    let config = folder.load().unwrap();
    let plain = TEXT
        .replace("{credential: pbx}", "hunter2")
        .replace(
            "{credential: cloud-url}",
            "\"rtmps://live.example:443/app?key=hunter3\"",
        )
        .replace("{credential: cloud-key}", "hunter4")
        .replace("{credential: rest}", "hunter5")
        .replace(
            "{credential: backend}",
            "\"https://backend.example/hooks?hunter6\"",
        )
        .replace("\n    credential: hooks", " hunter7");
    let plain = load(&plain, "box.yml").unwrap();
    assert_eq!(config.trunks, plain.trunks);
    assert_eq!(config.rest, plain.rest);
    assert_eq!(config.hooks, plain.hooks);
    assert!(config.notices.is_empty(), "{:?}", config.notices);

    folder.write("pbx", "other");
    let again = folder.load().unwrap();
    assert_ne!(again.trunks, config.trunks);
}

#[test]
fn what_is_wrong_with_a_credential_is_told_by_line_and_field_and_never_its_content() {
    let folder = Folder::full("wrong");
    fs::remove_file(folder.0.join("pbx")).unwrap();
    folder.write("cloud-url", "ftp://hunter3");
    folder.write("rest", "two\nlines of hunter5");
    let problems = folder.load().unwrap_err();
    assert!(!problems.join("\n").contains("hunter"), "{problems:?}");
    let place = folder.0.display();
    assert_eq!(
        problems[0],
        format!(
            "box.yml:5: trunks.office.register.password: credential pbx: no such file in {place}"
        )
    );
    assert!(
        problems[1].starts_with("box.yml:6: trunks.office.url: expected ")
            && problems[1].ends_with("; found something else in credential cloud-url"),
        "{problems:?}"
    );
    assert!(
        problems[2].starts_with("box.yml:8: rest.password: expected a password"),
        "{problems:?}"
    );
    assert_eq!(problems.len(), 3);
}

#[test]
fn what_is_no_secret_is_no_credential_either() {
    for text in [
        "trunks: {a: {localPort: {credential: port}, proxyIp: 192.0.2.1}}",
        "trunks: {a: {localPort: 1, proxyIp: {credential: host}}}",
        "trunks: {a: {localPort: 1, proxyIp: 192.0.2.1, url: {credential: a, more: b}}}",
        "trunks: {a: {localPort: 1, proxyIp: 192.0.2.1, url: {credential: [a]}}}",
        "trunks: {a: {localPort: 1, proxyIp: 192.0.2.1, url: {credential: ../passwd}}}",
    ] {
        let folder = Folder::new("no");
        folder.write("port", "1");
        let credentials = Credentials::Folder(folder.0.clone());
        assert!(load_with(text, "f", &credentials).is_err(), "{text}");
    }
}

#[test]
fn the_check_believes_in_credentials_that_nobody_hands_over_and_the_daemon_does_not() {
    let folder = Folder::full("cli");
    let config = folder.write("box.yml", TEXT);
    let run = |command: &str, given: bool| {
        let mut program = own_program::trunkcast();
        program.args([command, "--config"]).arg(&config);
        program.env_remove("CREDENTIALS_DIRECTORY");
        if given {
            program.env("CREDENTIALS_DIRECTORY", &folder.0);
        }
        let output = program.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("hunter"), "{text}");
        (output.status.code(), text)
    };
    let (code, text) = run("check", true);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("looked at before"), "{text}");
    let (code, text) = run("check", false);
    assert_eq!(code, Some(0), "{text}");
    let line = "box.yml:5: trunks.office.register.password: credential pbx is not looked at before the \
                start";
    assert!(text.contains(line), "{text}");
    let (code, text) = run("run", false);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("credential pbx: none are given here (CREDENTIALS_DIRECTORY is not set)"),
        "{text}"
    );
    fs::remove_file(folder.0.join("hooks")).unwrap();
    let (code, text) = run("check", true);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("box.yml:12: hooks.password: credential hooks: no such file in"),
        "{text}"
    );
}

/// What the clerk of the page's settings answers.
fn asked(clerk: &mut Settings, work: DeskWork) -> (u16, Value) {
    match clerk.work(work) {
        DeskAnswer::Document { status, body, .. } => {
            (status, serde_json::from_slice(&body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_page_keeps_a_reference_as_it_is_until_something_takes_its_place() {
    let folder = Folder::new("page");
    let path = folder.write("box.yml", TEXT);
    let source = ConfigSource::new(Some(path.clone())).before_start();
    let mut clerk = Settings::new(Some(source));
    let (_, read) = asked(&mut clerk, DeskWork::ReadSettings);
    let kept = json!({ "secret": true });
    let mut settings = read["settings"].clone();
    let office = &settings["trunks"]["office"];
    assert_eq!(office["register"]["password"], kept);
    assert_eq!(office["url"], kept);
    assert_eq!(office["streamName"], kept);
    assert_eq!(settings["hooks"]["password"], kept);
    // The text that is shown names them.
    let shown = read["text"].as_str().unwrap();
    assert_eq!(shown, TEXT);

    let mut save = |settings: &Value| {
        let document = json!({ "settings": settings }).to_string().into_bytes();
        let (status, answer) = asked(&mut clerk, DeskWork::SaveSettings { document });
        assert_eq!(status, 200, "{answer}");
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(save(&settings), TEXT);
    settings["trunks"]["office"]["localPort"] = json!("40010");
    assert_eq!(save(&settings), TEXT.replace("40000", "40010"));
    settings["trunks"]["office"]["register"]["password"] = json!("new one");
    settings["hooks"]["password"] = json!("plain");
    let text = save(&settings);
    assert!(text.contains("password: \"new one\""), "{text}");
    assert!(!text.contains("credential: pbx") && !text.contains("credential: hooks"));
    assert!(
        text.contains("url: {credential: cloud-url} # whole"),
        "{text}"
    );
    assert!(load_with(&text, "f", &Credentials::Later).is_ok(), "{text}");
}
