//! The local page for everyone: what axe finds in every view, in both languages, themes and widths, with
//! pictures in `target/screenshots`; and for many at once, none of whom costs a call a packet.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use support::daemon::Settings;
use support::page::{Browsing, SECRET, set_password, settings_of};
use support::{Clip, Daemon, Nginx, Phone, Ports};

fn gateway(ports: &mut Ports, url: String) -> Daemon {
    let gateway = Daemon::start(
        ports,
        Settings {
            url: Some(url),
            page: Some(String::new()),
            rest: format!(", password: {SECRET}"),
            ..Settings::default()
        },
    );
    set_password(&gateway);
    gateway
}

#[test]
fn axe_finds_nothing_serious_in_any_view() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = gateway(&mut ports, nginx.url("live"));
    // One call that is over, and one that stands.
    Phone::dial(&mut ports, gateway.sip(), "1001").hang_up();
    let phone = Phone::dial(&mut ports, gateway.sip(), "1002");
    let play = phone.play_in_background(&Arc::new(Clip::load()));
    Browsing::start("everyone", settings_of(&gateway)).succeed(400);
    play.stop().0.hang_up();
    gateway.check_calm();
}

#[test]
fn a_call_loses_nothing_while_twenty_pages_watch() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = gateway(&mut ports, nginx.url("live"));
    let mut settings = settings_of(&gateway);
    settings["seconds"] = json!(10);
    let visit = Browsing::start("twenty", settings);
    visit.wait_for("twenty pages", 120);
    let phone = Phone::dial(&mut ports, gateway.sip(), "2020");
    let play = phone.play_in_background(&Arc::new(Clip::load()));
    visit.wait_for("watched", 90);
    visit.succeed(60);
    let (phone, report) = play.stop();
    phone.hang_up();
    thread::sleep(Duration::from_millis(200));
    let line = gateway
        .log()
        .wait_for("ended after", Duration::from_secs(5));
    assert!(report.pictures > 200, "{report:?}");
    assert_eq!(line.matches(" 0 packets lost").count(), 2, "{line}");
    assert!(
        !line.contains("dropped") && !line.contains("damaged"),
        "{line}"
    );
    gateway.check_calm();
}
