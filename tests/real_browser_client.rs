//! The demo page `sip-as-rtmp-4` of WCS's own websdk package, as it stands, in Chromium: a whole call by
//! its buttons, with baresip as the callee and nginx as the server that the stream is pushed to.

use std::time::Duration;

mod support;

use support::baresip::{Answers, Baresip, Plan};
use support::browser::{Browser, rest_url};
use support::daemon::Settings;
use support::flv::Flv;
use support::{Daemon, Nginx, Ports, probe};

const SHORT: Duration = Duration::from_secs(5);
const PAGE: &str = "examples/demo/sip/sip-as-rtmp-4/sip-as-rtmp-4.html";

/// Fills the page's fields and presses its buttons, and tells how far that is. What it waits for is what
/// the page shows.
const SCRIPT: &str = r##"
const tell = line => fetch("/tell", {method: "POST", body: line});
window.onerror = words => tell("error " + words);
window.onunhandledrejection = event => tell("error " + event.reason);
const until = async (what, test) => {
    const end = Date.now() + 20000;
    while (!test()) {
        if (Date.now() > end) { tell("error never " + what + ": " + $("#callStatus").text()); throw what; }
        await new Promise(done => setTimeout(done, 50));
    }
    tell(what);
};
// Its five seconds between two looks are no part of what is tried here.
REST_POLLING_INTERVAL = 1000;
const drive = async () => {
    const fields = {
        restUrl: "@REST@", sipLogin: "1001", sipAuthenticationName: "1001", sipPassword: "hunter2",
        sipDomain: "127.0.0.1", sipOutboundProxy: "127.0.0.1", sipPort: "@PORT@",
        appKey: "defaultApp", callee: "1002", rtmpUrl: "@RTMP@", rtmpStream: "page", dtmf: "12#",
    };
    for (const [name, value] of Object.entries(fields)) $("#" + name).val(value);
    $("#hasAudio")[0].click();
    $("#hasVideo")[0].click();
    $("#callBtn")[0].click();
    await until("established", () => $("#callStatus").text() == "ESTABLISHED");
    $("#dtmfBtn")[0].click();
    $("#startRtmp")[0].click();
    await until("pushing", () => $("#startRtmp").text() == "Stop");
    // Two looks at the push find it.
    await new Promise(done => setTimeout(done, 4000));
    await until("still pushing", () => $("#startRtmp").text() == "Stop" && rtmpStreamStarted);
    $("#startRtmp")[0].click();
    await until("not pushing", () => $("#startRtmp").text() == "Start");
    await until("call goes on", () => $("#callBtn").text() == "Hangup");
    $("#callBtn")[0].click();
    await until("finished", () => $("#callStatus").text() == "FINISHED");
};
$(() => { drive(); });
"##;

#[test]
fn the_demo_page_calls_presses_keys_pushes_and_hangs_up() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let plan = Plan {
        seconds: 60,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let script = SCRIPT
        .replace("@REST@", &rest_url(gateway.rest()))
        .replace("@PORT@", &phone.sip().port().to_string())
        .replace("@RTMP@", &nginx.url("live"));
    let page = Browser::open(&mut ports, PAGE, &script);
    page.wait_for("established", 6 * SHORT);
    for key in ['1', '2', '#'] {
        let pressed = format!("received event: '{key}'");
        phone.log().wait_for(&pressed, SHORT);
    }
    page.wait_for("pushing", 2 * SHORT);
    nginx.wait_recorded("rtmp_page", 200_000, 3 * SHORT);
    page.wait_for("not pushing", 4 * SHORT);
    page.wait_for("finished", 3 * SHORT);
    gateway
        .log()
        .wait_for("FINISH (200 ended by request", SHORT);
    let sent = phone.quit();
    assert!(sent.pictures > 60, "{sent:?}");
    let recording = nginx.recording("rtmp_page");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(flv.pictures.len() > 40 && flv.sounds.len() > 80);
    gateway.terminate();
    gateway.check_calm();
}
