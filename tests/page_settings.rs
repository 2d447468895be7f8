//! The settings as the page reads, checks and saves them: through the clerk, on files of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use trunkcast::base::redact::Secret;
use trunkcast::base::rng::Rng;
use trunkcast::cli::config_file::load;
use trunkcast::cli::config_source::ConfigSource;
use trunkcast::cli::settings::document::Doc;
use trunkcast::cli::settings::{Settings, draft, patch, print, secrets};
use trunkcast::cli::yaml;
use trunkcast::gateway::desk::{Clerk, DeskAnswer, DeskWork};
use trunkcast::limits::DESK_ANSWER_BYTES;

const FULL: &str = include_str!("data/config/full.yml");
const EXAMPLE: &str = include_str!("data/config/example.yml");
const WCS: &str = include_str!("data/config/wcs.yml");
const WCS_PRINTED: &str = include_str!("data/config/wcs_printed.yml");
const BROKEN: &str = include_str!("data/config/broken.yml");

/// A hash as the page writes it.
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$hunter2hunter2";

/// A settings file in a folder of its own, and who looks after it.
struct Box_ {
    folder: PathBuf,
    clerk: Settings,
}

/// What the page is answered.
struct Answer {
    status: u16,
    body: Value,
    changed: bool,
    raw: String,
}

impl Box_ {
    fn new(name: &str, text: Option<&str>) -> Self {
        let folder =
            std::env::temp_dir().join(format!("trunkcast-page-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if let Some(text) = text {
            fs::write(folder.join("f.yml"), text).unwrap();
        }
        Self {
            clerk: Settings::new(Some(ConfigSource::new(Some(folder.join("f.yml"))))),
            folder,
        }
    }

    fn source(&self) -> ConfigSource {
        ConfigSource::new(Some(self.folder.join("f.yml")))
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.join("f.yml")).unwrap()
    }

    fn ask(&mut self, work: DeskWork) -> Answer {
        let name = work.name();
        match self.clerk.work(work) {
            DeskAnswer::Document {
                status,
                body,
                changed,
                kind,
            } => {
                let raw = String::from_utf8(body).unwrap();
                let body = match kind {
                    "application/json" => serde_json::from_str(&raw).unwrap(),
                    _ => Value::Null,
                };
                Answer {
                    status,
                    body,
                    changed,
                    raw,
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    fn read(&mut self) -> Answer {
        self.ask(DeskWork::ReadSettings)
    }

    /// The settings, and the revision that they go with.
    fn settings(&mut self) -> (Value, Value) {
        let answer = self.read();
        (
            answer.body["settings"].clone(),
            answer.body["revision"].clone(),
        )
    }

    fn check(&mut self, settings: &Value) -> Answer {
        let document = serde_json::to_vec(&json!({ "settings": settings })).unwrap();
        self.ask(DeskWork::CheckSettings { document })
    }

    fn save(&mut self, settings: &Value) -> Answer {
        let document = serde_json::to_vec(&json!({ "settings": settings })).unwrap();
        self.ask(DeskWork::SaveSettings { document })
    }

    fn restore(&mut self, text: &str) -> Answer {
        let file = serde_json::to_vec(&json!({ "text": text })).unwrap();
        self.ask(DeskWork::Restore { file })
    }

    /// Saves a change of what is there; the answer has to be a success.
    fn change(&mut self, change: impl FnOnce(&mut Value)) -> Answer {
        let (mut settings, _) = self.settings();
        change(&mut settings);
        let answer = self.save(&settings);
        assert_eq!(answer.status, 200, "{}", answer.raw);
        answer
    }
}

impl Drop for Box_ {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn fields(answer: &Answer) -> Vec<&str> {
    let problems = answer.body["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|problem| problem["field"].as_str().unwrap())
        .collect()
}

/// `full.yml` without files that this machine does not have.
fn full() -> String {
    let without = |line: &&str| !line.contains("/etc/trunkcast/");
    let lines: String = FULL
        .lines()
        .filter(without)
        .map(|l| format!("{l}\n"))
        .collect();
    lines
        .replace(", certificate: /srv/rest.pem, key: /srv/rest.key", "")
        .replace(", caFile: /srv/ca.pem", "")
}

#[test]
fn a_file_read_and_saved_as_it_was_stays_as_it_was() {
    for (at, text) in [full().as_str(), EXAMPLE, WCS, WCS_PRINTED]
        .iter()
        .enumerate()
    {
        let mut it = Box_::new(&format!("same{at}"), Some(text));
        let read = it.read();
        assert_eq!(read.body["problems"], json!([]), "{}", read.raw);
        let answer = it.change(|_| {});
        assert_eq!(answer.body["preview"], json!([]));
        assert!(!answer.changed && answer.body["saved"] == true);
        assert_eq!(it.text(), **text);
        assert!(!it.folder.join("f.yml.previous").exists());
    }
}

#[test]
fn no_answer_holds_a_secret() {
    let text = full()
        + &format!("page: {{passwordHash: \"{HASH}\"}}\n# password: hunter2\n")
        + "# url: rtmp://joe:hunter2@old/live\n";
    let mut it = Box_::new("secrets", Some(&text));
    let mut seen = it.read().raw;
    let (settings, _) = it.settings();
    let office = &settings["trunks"]["pbx_t0"];
    assert_eq!(office["register"]["password"], json!({"secret": true}));
    assert_eq!(office["url"], "rtmp://***@192.0.2.20/live");
    assert_eq!(settings["page"]["passwordHash"], json!({"secret": true}));
    assert_eq!(settings["hooks"]["url"], "http://***@backend/MyAPI?***");
    let mut changed = settings.clone();
    changed["trunks"]["pbx_t0"]["register"] = json!({"login": "other", "password": "hunter2"});
    changed["trunks"]["pbx_t0"]["url"] = json!("rtmp://joe:hunter2@192.0.2.21/live?k=hunter2");
    changed["trunks"]["pbx_t0"]["streamName"] = json!("hunter2");
    changed["hooks"]["url"] = json!("http//joe:hunter2@backend");
    changed["rest"]["password"] = json!("hunter2\n");
    changed["rest"]["pasword"] = json!("hunter2");
    seen += &it.check(&changed).raw;
    seen += &it.save(&changed).raw;
    changed["trunks"]["pbx_t0"]["streamName"] = json!(".hunter2");
    changed["trunks"]["pbx_t0"]["sessionTimer"] = json!({"password": ["hunter2"]});
    seen += &it.check(&changed).raw;
    changed = settings.clone();
    changed["trunks"]["pbx_t0"]["register"]["password"] = json!("hunter2 and more");
    let saved = it.save(&changed);
    assert_eq!(saved.status, 200, "{}", saved.raw);
    seen += &saved.raw;
    seen += &it.read().raw;
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(it.text().contains("hunter2 and more"));
}

#[test]
fn a_list_in_place_of_a_secret_does_not_show_either() {
    let text = EXAMPLE.to_owned() + "rest: {password: [hunter2, {a: hunter2}]}\n";
    let mut it = Box_::new("lists", Some(&text));
    let answer = it.read();
    assert!(!answer.raw.contains("hunter2"), "{}", answer.raw);
}

#[test]
fn secrets_that_are_not_touched_are_kept() {
    let mut it = Box_::new("kept", Some(&full()));
    let answer = it.change(|settings| settings["trunks"]["pbx_t0"]["visibleName"] = json!("Door"));
    assert!(answer.changed);
    assert_eq!(
        it.text(),
        full().replace("visibleName: Lobby", "visibleName: Door")
    );
    let previous = fs::read_to_string(it.folder.join("f.yml.previous")).unwrap();
    assert_eq!(previous, full());
    // With another name of the trunk, by what the page says of it or by its port.
    it.change(|settings| {
        let mut trunk = settings["trunks"]["pbx_t0"].take();
        trunk["visibleName"] = json!("Lobby");
        settings["trunks"].as_object_mut().unwrap().remove("pbx_t0");
        settings["trunks"]["lobby"] = trunk;
    });
    assert_eq!(it.text(), full().replace("  pbx_t0:", "  lobby:"));
}

#[test]
fn a_secret_that_cannot_be_told_is_asked_for_in_words() {
    let mut it = Box_::new("lost", Some(&full()));
    let (mut settings, _) = it.settings();
    let trunks = settings["trunks"].as_object_mut().unwrap();
    let mut trunk = trunks.remove("pbx_t0").unwrap();
    trunks.remove("pbx_t1");
    trunk["localPort"] = json!("40100");
    trunks.insert("a".to_owned(), trunk);
    trunks.insert(
        "b".to_owned(),
        json!({"localPort": 40102, "allow": ["1.2.3.4"]}),
    );
    let answer = it.save(&settings);
    assert_eq!(answer.status, 422);
    assert_eq!(
        fields(&answer),
        ["trunks.a.register.password", "trunks.a.url"]
    );
    assert_eq!(answer.body["problems"][0]["code"], "secretAgain");
    assert_eq!(answer.body["problems"][1]["code"], "addressAgain");
    let document = json!({"settings": settings, "renamed": {"a": "pbx_t0"}});
    let document = serde_json::to_vec(&document).unwrap();
    let answer = it.ask(DeskWork::SaveSettings { document });
    assert_eq!(answer.status, 200, "{}", answer.raw);
    assert!(it.text().contains("password: hunter2"));
}

#[test]
fn half_an_address_is_not_kept() {
    let mut it = Box_::new("half", Some(&full()));
    let (mut settings, _) = it.settings();
    settings["trunks"]["pbx_t0"]["url"] = json!("rtmp://***@192.0.2.99/live");
    let answer = it.check(&settings);
    assert_eq!(fields(&answer), ["trunks.pbx_t0.url"]);
}

#[test]
fn the_key_of_a_stream_does_not_show_because_its_server_goes() {
    let text = EXAMPLE.replace("\"rtmp_{callee}\"", "abcd-hunter2");
    let mut it = Box_::new("key", Some(&text));
    let (mut settings, _) = it.settings();
    assert_eq!(
        settings["trunks"]["pbx_t0"]["streamName"],
        json!({"secret": true})
    );
    it.change(|settings| settings["trunks"]["pbx_t0"]["visibleName"] = json!("x"));
    assert!(it.text().contains("abcd-hunter2"));
    settings["trunks"]["pbx_t0"]
        .as_object_mut()
        .unwrap()
        .remove("url");
    let answer = it.save(&settings);
    assert_eq!(fields(&answer), ["trunks.pbx_t0.streamName"]);
    assert!(!answer.raw.contains("hunter2"));
}

#[test]
fn the_hash_of_the_password_is_changed_by_nothing_but_its_own_order() {
    let text =
        format!("# mine\n{EXAMPLE}page: {{listen: \"0.0.0.0:8080\", passwordHash: \"{HASH}\"}}\n");
    let mut it = Box_::new("hash", Some(&text));
    for page in [
        json!({"passwordHash": "$argon2id$evil"}),
        json!({}),
        Value::Null,
    ] {
        it.change(|settings| settings["page"] = page);
        assert!(
            it.text().contains(HASH) && !it.text().contains("evil"),
            "{}",
            it.text()
        );
    }
    it.change(|settings| {
        settings.as_object_mut().unwrap().remove("page");
    });
    assert!(it.text().contains(HASH), "{}", it.text());
    let answer = it.restore(&format!(
        "{EXAMPLE}page: {{passwordHash: $argon2id$evil}}\n"
    ));
    assert_eq!(answer.status, 200, "{}", answer.raw);
    assert!(
        it.text().contains(HASH) && !it.text().contains("evil"),
        "{}",
        it.text()
    );
    let hash = Secret::new("$argon2id$new".to_owned());
    let answer = it.ask(DeskWork::SetPasswordHash { hash });
    assert!(answer.status == 200 && answer.changed);
    assert!(it.text().contains("$argon2id$new") && !it.text().contains(HASH));
}

#[test]
fn the_first_save_makes_the_file_and_its_folder() {
    let mut it = Box_::new("first", None);
    let path = it.folder.join("etc/trunkcast/t.yml");
    it.clerk = Settings::new(Some(ConfigSource::new(Some(path.clone()))));
    let read = it.read();
    assert_eq!(read.body["exists"], false);
    assert_eq!(read.body["guide"], true);
    assert_eq!(read.body["writable"], true);
    assert_eq!(
        read.body["settings"]["trunks"]["default"]["localPort"],
        "40000"
    );
    let hash = Secret::new(HASH.to_owned());
    let answer = it.ask(DeskWork::SetPasswordHash { hash });
    assert_eq!(
        (answer.status, answer.changed),
        (200, true),
        "{}",
        answer.raw
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let read = it.read();
    assert_eq!(
        (&read.body["exists"], &read.body["guide"]),
        (&json!(true), &json!(true))
    );
    it.change(|settings| {
        settings["trunks"] = json!({"office": {"localPort": 40000, "proxyIp": "192.0.2.10"}});
    });
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("office:") && text.contains(HASH) && !text.contains("default"),
        "{text}"
    );
    assert_eq!(it.read().body["guide"], false);
}

#[test]
fn a_file_that_cannot_be_written_is_told_with_the_reason() {
    let mut it = Box_::new("readonly", None);
    it.clerk = Settings::new(Some(ConfigSource::new(Some("/proc/self/t.yml".into()))));
    let read = it.read();
    assert_eq!(read.body["writable"], false);
    assert!(
        read.body["detail"]
            .as_str()
            .unwrap()
            .starts_with("/proc/self/t.yml: ")
    );
    let settings = json!({"trunks": {"a": {"localPort": 1, "proxyIp": "192.0.2.10"}}});
    let answer = it.save(&settings);
    assert_eq!((answer.status, answer.changed), (500, false));
    assert_eq!(answer.body["problem"], "notWritable");
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("/proc/self/t.yml: ")
    );
    it.clerk = Settings::new(None);
    assert_eq!(it.read().body["writable"], false);
    let answer = it.save(&settings);
    assert_eq!(answer.body["problem"], "notWritable");
    let hash = Secret::new(HASH.to_owned());
    let answer = it.ask(DeskWork::SetPasswordHash { hash });
    assert_eq!((answer.status, answer.changed), (200, false));
}

#[test]
fn answers_are_bounded_whatever_was_sent() {
    let mut it = Box_::new("bounded", Some(EXAMPLE));
    let mut trunks = Map::new();
    for at in 0..900 {
        trunks.insert(
            format!("{at}\u{1}{}", "\u{202e}".repeat(60)),
            json!({"x": "\u{1}".repeat(40)}),
        );
    }
    let answer = it.check(&json!({ "trunks": trunks }));
    assert_eq!(answer.status, 200);
    assert!(
        answer.raw.len() <= DESK_ANSWER_BYTES,
        "{}",
        answer.raw.len()
    );
    assert!(answer.body["problems"].as_array().unwrap().len() <= 100);
}

#[test]
fn a_file_that_somebody_else_changed_is_not_overwritten() {
    let mut it = Box_::new("meanwhile", Some(EXAMPLE));
    let (settings, revision) = it.settings();
    let document = |revision: &Value| {
        serde_json::to_vec(&json!({"settings": settings, "revision": revision})).unwrap()
    };
    let answer = it.ask(DeskWork::SaveSettings {
        document: document(&revision),
    });
    assert_eq!(answer.status, 200, "{}", answer.raw);
    let theirs = EXAMPLE.replace("Lobby", "Theirs");
    fs::write(it.folder.join("f.yml"), &theirs).unwrap();
    for work in [
        DeskWork::CheckSettings {
            document: document(&revision),
        },
        DeskWork::SaveSettings {
            document: document(&revision),
        },
    ] {
        let answer = it.ask(work);
        assert_eq!(answer.status, 409);
        assert_eq!(answer.body, json!({"problem": "changedMeanwhile"}));
    }
    assert_eq!(it.text(), theirs);
    let after = it.change(|settings| settings["trunks"]["pbx_t0"]["visibleName"] = json!("Ours"));
    assert_eq!(after.body["revision"], it.read().body["revision"]);
}

#[test]
fn problems_are_those_of_check_beside_their_fields() {
    let mut it = Box_::new("problems", Some(EXAMPLE));
    let (mut settings, _) = it.settings();
    let trunk = &mut settings["trunks"]["pbx_t0"];
    trunk["localPort"] = json!(70000);
    trunk["proxyIP"] = json!("x");
    trunk["rules"] = json!([{"match": {"method": "INVITE"}}]);
    settings["extra"] = json!("y");
    let answer = it.save(&settings);
    assert_eq!((answer.status, answer.changed), (422, false));
    assert_eq!(it.text(), EXAMPLE);
    let mut found = fields(&answer);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "extra",
            "trunks.pbx_t0.localPort",
            "trunks.pbx_t0.proxyIP",
            "trunks.pbx_t0.rules[1]"
        ]
    );
    let problems = answer.body["problems"].as_array().unwrap();
    let port = problems
        .iter()
        .find(|it| it["code"] == "portNumber")
        .unwrap();
    assert_eq!(
        port["expected"],
        "expected a port from 1 to 65535; found \"70000\""
    );
    assert!(
        port["ru"].as_str().unwrap().contains("от 1 до 65535"),
        "{port}"
    );
    for problem in problems {
        assert!(
            problem["code"].is_string() && problem["ru"].is_string(),
            "{problem}"
        );
    }
}

#[test]
fn every_problem_of_the_broken_file_has_a_code_and_russian_words() {
    let mut it = Box_::new("broken", Some(BROKEN));
    let answer = it.read();
    let problems = answer.body["problems"].as_array().unwrap();
    assert!(problems.len() > 50);
    for problem in problems {
        assert!(problem["code"].is_string(), "{problem}");
        assert!(problem["ru"].is_string(), "{problem}");
    }
    assert!(!answer.raw.contains("hunter2"));
}

#[test]
fn what_waits_for_the_next_start_is_named() {
    let mut it = Box_::new("restart", Some(EXAMPLE));
    let answer = it.change(|settings| {
        settings["limits"]["calls"] = json!(16);
        settings["trunks"]["pbx_t0"]["visibleName"] = json!("x");
    });
    assert_eq!(answer.body["restart"], json!(["limits.calls"]));
    let kinds: Vec<_> = answer.body["preview"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["kind"] != "same" && line["kind"] != "gap")
        .map(|line| {
            format!(
                "{}{}",
                line["kind"].as_str().unwrap(),
                line["text"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "remove    visibleName: Lobby",
            "add    visibleName: x",
            "removelimits: {calls: 32, memoryMiB: 96}",
            "addlimits: {calls: 16, memoryMiB: 96}",
        ]
    );
}

#[test]
fn a_wcs_file_keeps_its_form_through_changes_and_restores() {
    let mut it = Box_::new("wcs", Some(EXAMPLE));
    let answer = it.restore(WCS_PRINTED);
    assert_eq!(
        (answer.status, answer.changed),
        (200, true),
        "{}",
        answer.raw
    );
    assert_eq!(it.text(), WCS_PRINTED);
    it.change(|settings| {
        let trunk = &mut settings["trunks"]["pbx_t0"];
        assert!(
            trunk["sdp"]
                .as_str()
                .unwrap()
                .contains("a=rtpmap:96 opus/48000/2\n")
        );
        trunk["remotePort"] = json!(5070);
    });
    assert_eq!(it.text(), WCS_PRINTED.replace("5060", "5070"));
    assert_eq!(it.ask(DeskWork::Backup).raw, it.text());
}

#[test]
fn a_file_that_is_wrong_is_not_restored() {
    let mut it = Box_::new("restore", Some(EXAMPLE));
    let large = format!("{EXAMPLE}# {}\n", "x".repeat(300_000));
    for text in [BROKEN, "", "a: b: c", "trunks: [", "\u{0}", &large, "- x\n"] {
        let answer = it.restore(text);
        assert_eq!(
            (answer.status, answer.changed),
            (422, false),
            "{:.60}",
            answer.raw
        );
        assert!(!fields(&answer).is_empty());
        assert_eq!(it.text(), EXAMPLE);
    }
    let answer = it.ask(DeskWork::Restore {
        file: b"{}".to_vec(),
    });
    assert_eq!(answer.status, 400);
}

#[test]
fn a_file_that_is_no_yaml_can_be_replaced() {
    let mut it = Box_::new("garbage", Some("password: hunter2\n\tx: [\n"));
    let read = it.read();
    assert_eq!(
        (&read.body["settings"], &read.body["text"]),
        (&Value::Null, &json!(""))
    );
    assert!(!read.body["problems"].as_array().unwrap().is_empty());
    let answer = it.restore(EXAMPLE);
    assert_eq!(answer.status, 200);
    assert!(!answer.raw.contains("hunter2"));
    assert_eq!(it.text(), EXAMPLE);
    assert!(it.folder.join("f.yml.previous").exists());
}

#[test]
fn hostile_documents_change_nothing() {
    let mut it = Box_::new("hostile", Some(EXAMPLE));
    let deep = format!("{{\"settings\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let deeper = format!("{{\"settings\":{}", "{\"a\":".repeat(100_000));
    let wide = format!(
        "{{\"settings\":{{\"trunks\":[{}0]}}}}",
        "0,".repeat(100_000)
    );
    let twice = r#"{"settings":{"trunks":{},"trunks":{}}}"#;
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "\"settings\"",
        "{\"settings\":",
        twice,
        &deep,
        &deeper,
        &wide,
    ] {
        let document = body.as_bytes().to_vec();
        let answer = it.ask(DeskWork::SaveSettings { document });
        assert!(
            matches!(answer.status, 400 | 422),
            "{body:.40} {}",
            answer.status
        );
        assert!(!answer.changed && answer.raw.len() < 20_000);
    }
    for settings in [
        json!(null),
        json!([]),
        json!("trunks"),
        json!({}),
        json!({"trunks": "a: b"}),
        json!({"trunks": {"a": {"secret": true}}}),
        json!({"secret": true}),
        json!({"trunks": {"<<": {"localPort": 1}}}),
        json!({"trunks": {"a": {"localPort": {"secret": true}}}}),
        json!({"page": {"secret": true}}),
        json!({"page": [1]}),
    ] {
        let answer = it.save(&settings);
        assert_eq!((answer.status, answer.changed), (422, false), "{settings}");
    }
    assert_eq!(it.text(), EXAMPLE);
}

#[test]
fn a_text_cannot_become_a_setting() {
    let evil = "x\n    register: {login: evil, password: evil}\nrest: {password: evil}\n# ";
    let mut it = Box_::new("inject", Some(EXAMPLE));
    for text in [
        evil, "&a x", "*a", "x # y", "x: y", "{a: b}", "!!int 3", "---", "- x", "<<",
    ] {
        let (mut settings, _) = it.settings();
        settings["trunks"]["pbx_t0"]["streamName"] = json!("rtmp_{callee}");
        settings["trunks"]["pbx_t0"]["visibleName"] = json!(text);
        let answer = it.save(&settings);
        if text == evil {
            assert_eq!(fields(&answer), ["trunks.pbx_t0.visibleName"]);
            continue;
        }
        assert_eq!(answer.status, 200, "{text} {}", answer.raw);
        let (settings, _) = it.settings();
        assert_eq!(settings["trunks"]["pbx_t0"]["visibleName"], text);
        assert_eq!(settings["rest"], Value::Null);
        assert!(it.text().contains("# the PBX: may call"), "comments stay");
    }
}

#[test]
fn values_mean_the_same_on_both_sides() {
    let mut it = Box_::new("same-meaning", Some(EXAMPLE));
    it.change(|settings| {
        let trunk = &mut settings["trunks"]["pbx_t0"];
        trunk["visibleName"] = json!("007");
        trunk["mediaTimeout"] = json!("off");
        trunk["register"] = json!({"login": "0049301234567", "password": "yes"});
        trunk["sdp"] = json!("m=audio 0 RTP/AVP 8\na=recvonly\n");
    });
    let (settings, _) = it.settings();
    let trunk = &settings["trunks"]["pbx_t0"];
    assert_eq!(trunk["visibleName"], "007");
    assert_eq!(trunk["mediaTimeout"], "off");
    assert_eq!(trunk["register"]["login"], "0049301234567");
    assert_eq!(trunk["sdp"], "m=audio 0 RTP/AVP 8\na=recvonly\n");
    assert!(it.text().contains("sdp: |\n"));
    let (config, _) = it.source().load().unwrap();
    let register = config.trunks[0].register.as_ref().unwrap();
    assert_eq!(register.password.expose(), "yes");
}

#[test]
fn a_draft_is_what_saving_it_would_run_and_writes_nothing() {
    let mut it = Box_::new("draft", Some(&full()));
    let (mut settings, _) = it.settings();
    settings["trunks"]["pbx_t0"]["proxyIp"] = json!("192.0.2.77");
    let body = serde_json::to_vec(&json!({"settings": settings, "trunk": "pbx_t0"})).unwrap();
    let config = draft(Some(&it.source()), &body).unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.proxy.as_ref().unwrap().to_string(), "192.0.2.77");
    assert_eq!(
        trunk.register.as_ref().unwrap().password.expose(),
        "hunter2"
    );
    assert_eq!(it.text(), full());
    settings["trunks"]["pbx_t0"]["localPort"] = json!("x");
    let body = serde_json::to_vec(&json!({ "settings": settings })).unwrap();
    let problems = draft(Some(&it.source()), &body).unwrap_err();
    assert_eq!(problems[0].field, "trunks.pbx_t0.localPort");
    assert!(draft(Some(&it.source()), b"{").is_err());
}

/// Something a page or an attacker may send in place of a value.
fn anything(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => Value::Null,
        1 => json!(rng.below(70_000)),
        2 => json!({"secret": true}),
        3 => json!([anything_short(rng)]),
        4 => {
            let mut map = Map::new();
            map.insert(anything_short(rng), json!(anything_short(rng)));
            Value::Object(map)
        }
        _ => json!(anything_short(rng)),
    }
}

fn anything_short(rng: &mut Rng) -> String {
    let texts = [
        "",
        "x",
        "off",
        "***",
        "rtmp://***@192.0.2.20/live",
        "a\nb",
        "password",
        "url",
        "trunks",
        "\u{0}",
        "rtmp://a:b@c/d",
        "hooks",
        "0",
        "}",
        "- ",
    ];
    texts[rng.below(texts.len() as u32) as usize].to_owned()
}

#[test]
fn mutated_documents_never_break_leak_or_write_what_check_refuses() {
    let mut it = Box_::new("mutated", Some(&full()));
    let (settings, _) = it.settings();
    let mut rng = Rng::from_number(6);
    let mut saved = 0;
    for _ in 0..250 {
        let mut document = settings.clone();
        for _ in 0..rng.below(3) + 1 {
            let mut here = &mut document;
            loop {
                let count = match &*here {
                    Value::Object(map) => map.len(),
                    Value::Array(items) => items.len(),
                    _ => 0,
                };
                if count == 0 || rng.below(5) == 0 {
                    *here = anything(&mut rng);
                    break;
                }
                let at = rng.below(count as u32) as usize;
                here = match here {
                    Value::Object(map) => map.iter_mut().nth(at).unwrap().1,
                    Value::Array(items) => &mut items[at],
                    _ => unreachable!(),
                };
            }
        }
        let answer = it.save(&document);
        assert!(!answer.raw.contains("hunter2"), "{}", answer.raw);
        match answer.status {
            200 => {
                saved += 1;
                let loaded = it.source().load();
                assert!(loaded.is_ok(), "{:?}", loaded.err());
                fs::write(it.folder.join("f.yml"), full()).unwrap();
            }
            422 => assert_eq!(it.text(), full()),
            other => panic!("{other} {}", answer.raw),
        }
    }
    assert!(saved > 5, "{saved}");
}

#[test]
fn every_key_goes_to_the_page_and_back_with_its_meaning() {
    for text in [full().as_str(), EXAMPLE, WCS, WCS_PRINTED] {
        let doc = Doc::of_file(&yaml::parse(text).unwrap());
        let sent = serde_json::to_vec(&doc).unwrap();
        let printed = print::file(&Doc::of_json(&sent).unwrap());
        let same = |text: &str| load(text, "f").unwrap_or_else(|found| panic!("{found:?}\n{text}"));
        assert_eq!(same(&printed), same(text), "{printed}");
    }
}

/// Changes what there is of a file, and looks whether the text says just that.
fn assert_changes(text: &str) {
    let Ok(root) = yaml::parse(text) else {
        return;
    };
    let mut wanted = Doc::of_file(&root);
    if !matches!(wanted, Doc::Map(_)) {
        return;
    }
    assert_eq!(patch::updated(text, &wanted, &[]), text);
    // Hiding secrets leaves the lines where they are.
    let masked = secrets::masked_text(text, &root);
    assert_eq!(
        masked.split('\n').count(),
        text.split('\n').count(),
        "{text}\n{masked}"
    );
    let first = wanted.entries().first().map(|(key, _)| key.clone());
    wanted.put(&first.unwrap_or_default(), Some(Doc::text("x: y")));
    wanted.put("limits", Some(Doc::List(vec![Doc::text("z")])));
    let mut trunks = wanted.get("trunks").cloned().unwrap_or(Doc::Nothing);
    let mut trunk = trunks.get("pbx_t0").cloned().unwrap_or(Doc::Nothing);
    trunk.put("localPort", Some(Doc::text("40010")));
    trunk.put("url", None);
    trunks.put("pbx_t0", Some(trunk));
    wanted.put("trunks", Some(trunks));
    let new = patch::updated(text, &wanted, &[]);
    let read = Doc::of_file(&yaml::parse(&new).unwrap_or_else(|e| panic!("{e:?}\n{text}\n{new}")));
    assert!(read.is_like(&wanted), "{text}\n{new}");
}

#[test]
fn files_cut_off_or_damaged_anywhere_are_changed_rightly_or_not_at_all() {
    for text in [FULL, WCS_PRINTED] {
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_changes(&text[..at]);
        }
    }
    let mut rng = Rng::from_number(9);
    let pieces = [
        "\n", " ", "#", ":", "{", "}", "- ", "|", "\"", "'", "&a ", "*a", "<<: ", "\t", "\r\n", "x",
    ];
    for _ in 0..600 {
        let mut text = full();
        for _ in 0..rng.below(3) + 1 {
            let at = rng.below(text.len() as u32) as usize;
            match rng.below(3) {
                0 => text.insert_str(at, pieces[rng.below(pieces.len() as u32) as usize]),
                1 => {
                    text.remove(at);
                }
                _ => {
                    let line = text
                        .lines()
                        .nth(rng.below(40) as usize)
                        .unwrap_or("")
                        .to_owned();
                    text.insert_str(at, &format!("{line}\n"));
                }
            }
        }
        assert_changes(&text);
    }
}
