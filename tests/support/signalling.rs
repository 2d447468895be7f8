//! What SIPp proves of the signalling, the same over UDP (`u1`) and TCP (`t1`).

use std::fs;
use std::time::Duration;

use super::daemon::Settings;
use super::flv::Flv;
use super::sipp::Scenario;
use super::{Clip, Daemon, Nginx, Phone, Ports, probe};

/// Seconds of the clip that SIPp plays.
const PLAYED: u32 = 4;

/// A call whose media come whole through nginx; `scenario` must carry picture and sound.
pub fn call_is_relayed(scenario: &str, transport: &str) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    Scenario::new(scenario, transport, gateway.sip(), "001201234")
        .play(PLAYED)
        .run(&mut ports);
    gateway.log().wait_for("ended", Duration::from_secs(3));
    let recording = nginx.recording("rtmp_001201234");
    let flv = Flv::read(&recording);
    flv.check_order();
    let clip = Clip::load();
    probe::compare_pictures(&clip.slices()[..PLAYED as usize * 25], &flv.slices());
    let sound = flv.sound();
    assert_eq!(sound.len(), PLAYED as usize * 8_000, "bytes of sound");
    assert!(
        sound == clip.audio[..sound.len()],
        "the sound is not the clip's"
    );
    probe::check_clip_streams(&recording);
    probe::decode_strictly(&recording);
    gateway.check_calm();
}

/// A call without picture.
pub fn sound_alone_is_relayed(transport: &str) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    Scenario::new("audio_only", transport, gateway.sip(), "1000")
        .sound(PLAYED)
        .run(&mut ports);
    gateway.log().wait_for("ended", Duration::from_secs(3));
    let flv = Flv::read(&nginx.recording("rtmp_1000"));
    assert!(flv.pictures.is_empty() && flv.sequence_headers.is_empty());
    let sound = flv.sound();
    let clip = Clip::load();
    assert_eq!(sound.len(), PLAYED as usize * 8_000, "bytes of sound");
    assert!(
        sound == clip.audio[..sound.len()],
        "the sound is not the clip's"
    );
}

/// A scenario that needs nothing but a gateway.
pub fn scenario_goes_well(name: &str, transport: &str) {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    Scenario::new(name, transport, gateway.sip(), "1000").run(&mut ports);
    gateway.check_calm();
}

/// One call stands, there is room for no other.
pub fn call_beyond_capacity_is_refused(transport: &str) {
    let mut ports = Ports::claim();
    let top = vec!["limits: {calls: 1, memoryMiB: 64}".to_owned()];
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            top,
            ..Settings::default()
        },
    );
    let phone = Phone::dial(&mut ports, gateway.sip(), "1");
    Scenario::new("busy", transport, gateway.sip(), "2").run(&mut ports);
    phone.hang_up();
    gateway.log().wait_for("ended", Duration::from_secs(3));
    Phone::dial(&mut ports, gateway.sip(), "3").hang_up();
}

/// From an address that is neither `proxyIp` nor in `allow` nothing is answered.
pub fn stranger_gets_nothing() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    Scenario::new("stranger", "u1", gateway.sip(), "1000")
        .from("127.0.0.2")
        .run(&mut ports);
}

/// SIGTERM in a call: BYE to the caller, an end of the stream that nginx sees, within two seconds.
pub fn stop_ends_the_call(transport: &str) {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let sipp =
        Scenario::new("ended_by_gateway", transport, gateway.sip(), "1000").start(&mut ports);
    gateway
        .log()
        .wait_for("ESTABLISHED", Duration::from_secs(5));
    gateway.terminate();
    sipp.succeed();
}

/// A WCS file with an `sdp` template and `sdpParams` shows in the answer.
pub fn template_is_honoured() {
    let mut ports = Ports::claim();
    let trunk = "sdpParams: [b=AS:2000]\nsdp: |\n  o=10009 2469 1555 IN IP4 0.0.0.0\n  \
                 c=IN IP4 0.0.0.0\n  t=0 0\n  m=audio 7270 RTP/AVP 8\n  a=rtpmap:8 PCMA/8000\n  \
                 a=recvonly\n  m=video 7272 RTP/AVP 96\n  a=rtpmap:96 H264/90000\n  \
                 a=fmtp:96 profile-level-id=42801F\n  a=recvonly";
    let trunk = trunk.lines().map(str::to_owned).collect();
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            trunk,
            ..Settings::default()
        },
    );
    Scenario::new("template", "u1", gateway.sip(), "1000").run(&mut ports);
}

/// Files of `tests/sipp` that no test would run are refused.
pub fn every_scenario_is_used(sources: &[&str]) {
    let folder = super::scratch::tests_folder().join("sipp");
    for entry in fs::read_dir(folder)
        .expect("the scenarios are part of the project")
        .flatten()
    {
        let name = entry
            .path()
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        let quoted = format!("\"{}\"", name.unwrap_or_default());
        assert!(
            sources.iter().any(|text| text.contains(&quoted)),
            "{quoted} is run by no test"
        );
    }
}
