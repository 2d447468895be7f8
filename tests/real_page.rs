//! The local page in Chromium, against SIPp and nginx: from the first visit to the first call seen live,
//! settings, the guard, and what happens when the box goes away.

mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::daemon::Settings;
use support::page::{Browsing, SECRET, file_of, set_password, settings_of};
use support::sipp::Scenario;
use support::{Daemon, Nginx, Ports, Program, Scratch};

const SHORT: Duration = Duration::from_secs(5);

/// A gateway with a page and its password set.
fn gateway(ports: &mut Ports, url: Option<String>) -> Daemon {
    let gateway = Daemon::start(
        ports,
        Settings {
            url,
            page: Some(String::new()),
            rest: format!(", password: {SECRET}"),
            ..Settings::default()
        },
    );
    set_password(&gateway);
    gateway
}

fn with(mut settings: Value, more: Value) -> Value {
    let (Some(all), Value::Object(more)) = (settings.as_object_mut(), more) else {
        panic!("settings are objects");
    };
    all.extend(more);
    settings
}

#[test]
fn the_first_visit_leads_to_the_first_call_seen_live() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let folder = Scratch::new("first-visit");
    let (page, rtmp, rest) = (ports.address(), ports.address(), ports.address());
    let (sip, pbx_port) = (ports.address(), ports.pair());
    let (first, last) = ports.media();
    // The trunk is the one of a box that nobody has set up.
    let file = folder.write(
        "trunkcast.yml",
        format!(
            "trunks:\n  default:\n    localPort: 40000\n    allow: [{}]\n\
             page: {{listen: \"{page}\"}}\nrtmp: {{listen: \"{rtmp}\"}}\n\
             rest: {{listen: \"{rest}\"}}\nstate: {{directory: {}}}\n\
             media: {{address: 127.0.0.1, ports: {first}-{last}}}\n",
            trunkcast::base::network::Network::LOCAL
                .map(|network| format!("\"{network}\""))
                .join(", "),
            folder.path().display()
        ),
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trunkcast"));
    let gateway = Program::start(command.args(["run", "--config"]).arg(&file));
    gateway.wait_for("ready", SHORT);

    let pbx = Scenario::new("page/pbx", "u1", sip, "pbx").times(20, 20);
    let _pbx = pbx.start_at(pbx_port, &mut ports);
    let settings = json!({
        "url": format!("http://{page}/"),
        "password": support::page::PASSWORD,
        "pbxPort": pbx_port,
        "sipPort": sip.port(),
        "wrongUrl": nginx.url("nowhere"),
        "url2": nginx.url("live"),
    });
    let visit = Browsing::start("first_visit", settings);
    visit.wait_for("waiting for the call", 90);
    let caller = Scenario::new("page/hung_up", "u1", sip, "1001").play(35, 96);
    let caller = caller.start(&mut ports);
    visit.wait_for("hung up", 60);
    visit.succeed(20);
    caller.succeed();
    nginx.wait_recorded("rtmp_1001", 100_000, SHORT);
    let text = std::fs::read_to_string(&file).expect("the file is there");
    assert!(text.contains("sink: nginx-rtmp"), "{text}");
    assert!(!gateway.text().contains("panicked"), "{}", gateway.text());
}

#[test]
fn settings_are_checked_previewed_saved_backed_up_and_restored() {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, None);
    let second = ports.pair();
    let settings = with(settings_of(&gateway), json!({ "secondPort": second }));
    Browsing::start("settings", settings).succeed(120);
    let text = std::fs::read_to_string(file_of(&gateway)).expect("the file is there");
    assert!(text.contains(SECRET), "{text}");
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn wrong_passwords_are_locked_out_and_a_hostile_name_is_text() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, None);
    let visit = Browsing::start("guarded", settings_of(&gateway));
    visit.wait_for("waiting for the attack", 60);
    let caller = Scenario::new("page/attack", "u1", gateway.sip(), "1001").play(6, 96);
    let caller = caller.start(&mut ports);
    visit.wait_for("seen", 40);
    caller.succeed();
    visit.succeed(90);
    gateway.check_calm();
}

#[test]
fn a_box_that_goes_away_and_comes_back_costs_nothing_that_was_typed() {
    let mut ports = Ports::claim();
    let mut gateway = gateway(&mut ports, None);
    let visit = Browsing::start("offline", settings_of(&gateway));
    visit.wait_for("cut it off", 60);
    gateway.cut_off();
    visit.wait_for("bring it back", 30);
    gateway.restart();
    visit.succeed(60);
}

#[test]
fn a_setting_is_changed_by_the_keyboard_alone() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, None);
    Browsing::start("keyboard", settings_of(&gateway)).succeed(90);
    gateway.check_calm();
}

#[test]
fn the_guide_speaks_russian_keeps_what_was_typed_and_the_page_restarts_the_box() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, None);
    let from = gateway.log().mark();
    Browsing::start("russian", settings_of(&gateway)).succeed(120);
    gateway.wait_after(from, "ready", 5);
    gateway.check_calm();
}

#[test]
fn the_page_can_be_used_at_once() {
    let mut ports = Ports::claim();
    let gateway = gateway(&mut ports, None);
    let text = Browsing::start("quick", settings_of(&gateway)).succeed(60);
    let line = text.lines().find(|line| line.starts_with("usable after"));
    println!("{}", line.expect("it is measured"));
}
