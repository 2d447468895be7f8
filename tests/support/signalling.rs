//! What SIPp proves of the signalling, the same over UDP (`u1`) and TCP (`t1`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::Settings;
use super::flv::Flv;
use super::raw_caller::RawCaller;
use super::sipp::Scenario;
use super::{Clip, Daemon, Nginx, Phone, Ports, probe};

/// Seconds of the clip that SIPp plays.
const PLAYED: u32 = 4;

/// A call whose media come whole through nginx; `scenario` must carry picture and sound, the
/// picture with `payload_type`.
pub fn call_is_relayed(scenario: &str, transport: &str, payload_type: u8) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    Scenario::new(scenario, transport, gateway.sip(), "001201234")
        .play(PLAYED, payload_type)
        .run(&mut ports);
    gateway.log().wait_for("ended", Duration::from_secs(3));
    let recording = nginx.recording("rtmp_001201234");
    let flv = Flv::read(&recording);
    flv.check_order();
    let clip = Clip::load();
    probe::compare_pictures(&clip.slices()[..PLAYED as usize * 25], &flv.slices());
    probe::check_sound(&clip.audio[..PLAYED as usize * 8_000], &flv.sound());
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
    let stranger = RawCaller::new("127.0.0.2", &mut ports, gateway.sip(), 1);
    for method in ["INVITE", "OPTIONS", "REGISTER"] {
        stranger.send(method, "", 1);
    }
    stranger.silence(Duration::from_millis(1_500));
    // The same from an allowed address is answered, so it was for the address.
    let known = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 2);
    known.send("OPTIONS", "", 1);
    assert_eq!(known.status(&["OPTIONS"]).0, 200);
}

/// Without ACK the 200 is sent again, at growing distances, until the ACK comes.
pub fn answer_is_resent_until_acknowledged() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let caller = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 200);
    for _ in 0..2 {
        assert_eq!(
            caller.status(&["INVITE"]),
            (200, "INVITE".to_owned(), tag.clone())
        );
    }
    caller.send("ACK", &tag, 1);
    caller.silence(Duration::from_millis(2_500));
    caller.send("BYE", &tag, 2);
    assert_eq!(caller.status(&["BYE"]).0, 200);
}

/// INVITE and CANCEL in one breath: a 200 that stands or a 487, never both, never neither.
pub fn invite_and_cancel_race() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let mut caller = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 0);
    for call in 0..20 {
        caller.call = call;
        caller.send("INVITE", "", 1);
        caller.send("CANCEL", "", 1);
        let (first, method, mut tag) = caller.status(&["INVITE", "CANCEL"]);
        let other = if method == "INVITE" {
            "CANCEL"
        } else {
            "INVITE"
        };
        let (second, _, other_tag) = caller.status(&[other]);
        let (invite, cancel) = if other == "CANCEL" {
            (first, second)
        } else {
            (second, first)
        };
        if other == "INVITE" {
            tag = other_tag;
        }
        assert!(matches!(invite, 200 | 487), "INVITE answered with {invite}");
        assert!(matches!(cancel, 200 | 481), "CANCEL answered with {cancel}");
        caller.send("ACK", &tag, 1);
        if invite == 200 {
            caller.send("BYE", &tag, 2);
            assert_eq!(caller.status(&["BYE"]).0, 200);
        }
    }
    gateway.check_calm();
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

/// Files of `tests/sipp` and of the folders below that no test would run are refused.
pub fn every_scenario_is_used() {
    let tests = super::scratch::tests_folder();
    let folders = ["", "support", "card", "card_support"].map(|name| tests.join(name));
    let sources: Vec<String> = folders
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .map(|path| fs::read_to_string(path).expect("a source can be read"))
        .collect();
    let folder = tests.join("sipp");
    let mut places = files(&folder, "xml");
    for group in files(&folder, "") {
        places.extend(files(&group, "xml"));
    }
    assert!(places.len() > 16, "scenarios are found: {places:?}");
    for place in places {
        let name = place.strip_prefix(&folder).expect("it is below");
        let quoted = format!("\"{}\"", name.with_extension("").display());
        assert!(
            sources.iter().any(|text| text.contains(&quoted)),
            "{quoted} is run by no test"
        );
    }
}

/// The files of a folder with an extension, or its folders where that is empty.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is part of the project");
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| match extension {
            "" => path.is_dir(),
            _ => path.extension().is_some_and(|kind| kind == extension),
        })
        .collect()
}
