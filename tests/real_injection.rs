//! A stream from one phone, and files, sent into a call with another, over real sockets: what baresip
//! shows and plays of them.

mod support;

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::{CallOut, Clip, Daemon, Ports, Rest, Scratch};

/// A box with a folder of media files, and a baresip that it has called.
fn called(ports: &mut Ports, folder: &Scratch) -> (Daemon, Baresip, CallOut) {
    let settings = Settings {
        top: vec![format!("files: {{directory: {}}}", folder.path().display())],
        ..Settings::default()
    };
    let gateway = Daemon::start(ports, settings);
    let plan = Plan {
        seconds: 60,
        ..Plan::default()
    };
    let phone = Baresip::listen(ports, "1002", Answers::AtOnce, &plan);
    let target = ("rtmp://127.0.0.1:9/live", "hears");
    let more = json!({"rtmpUrl": null, "rtmpStream": null, "toStream": "hears"});
    let mut call = CallOut::place(&gateway, ("1002", phone.sip()), target, &more);
    call.wait_for("status", "ESTABLISHED", 5);
    (gateway, phone, call)
}

/// Posts a request that is to be answered with nothing.
fn ask(gateway: &Daemon, path: &str, key: &str, name: &str) {
    let body = json!({"callId": "out-hears", key: name});
    let answer = Rest::connect(gateway.rest()).post(path, &body);
    let words = String::from_utf8_lossy(&answer.1).into_owned();
    assert_eq!((answer.0, &words[..]), (200, ""));
}

/// Makes another file of one by ffmpeg.
fn convert(folder: &Scratch, from: &str, how: &str, to: &str) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", from])
        .args(how.split(' '))
        .arg(to)
        .current_dir(folder.path())
        .status();
    assert!(status.unwrap().success(), "{from} to {to}");
}

/// Width and height of a PNG picture.
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// The clip's own size.
const CLIP: (u32, u32) = (640, 360);

/// Demands the clip's beeps: sound at the beginning of each second and silence between.
fn assert_beeps(heard: &[i16], least: usize) {
    let loud: Vec<bool> = heard
        .chunks(400)
        .map(|part| part.iter().any(|sample| sample.unsigned_abs() > 2_000))
        .collect();
    let begins = loud.windows(2).filter(|two| !two[0] && two[1]).count();
    let quiet = loud.iter().filter(|it| !**it).count();
    assert!(
        begins >= least,
        "{begins} beeps in {} s",
        heard.len() / 8_000
    );
    assert!(quiet > loud.len() / 2, "{quiet} of {}", loud.len());
}

#[test]
fn a_stream_of_one_baresip_is_seen_and_heard_by_another() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("media");
    let (mut gateway, phone, mut call) = called(&mut ports, &folder);
    // Before, it is shown our still picture.
    phone
        .log()
        .wait_for("receiving with resolution", Duration::from_secs(5));
    assert_eq!(size(&phone.snapshot()), (176, 144));
    let caller = Baresip::call(&mut ports, gateway.sip(), "4711", "PCMA", 20);
    gateway
        .log()
        .wait_for("4711: ESTABLISHED", Duration::from_secs(10));
    sleep(Duration::from_secs(2));
    let path = "/rest-api/call/inject_stream/startup";
    ask(&gateway, path, "streamName", "rtmp_4711");
    sleep(Duration::from_secs(6));
    assert_eq!(size(&phone.snapshot()), CLIP);
    drop(caller);
    let heard = phone.heard();
    assert_beeps(&heard, 4);
    let log = gateway.log().text();
    assert!(!log.contains("left out"), "{log}");
    call.terminate_if_there();
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn files_are_heard_and_seen_by_their_names_and_damaged_or_other_ones_refused() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("media");
    Clip::as_flv(&folder, 0);
    Clip::as_wav(&folder);
    // baresip chooses packetization-mode 0, in which a slice has to fit a packet.
    let slices = "-c:v libx264 -profile:v baseline -x264-params slice-max-size=1100 -c:a copy";
    convert(&folder, "clip0.flv", slices, "small.flv");
    let law = "-c:a pcm_alaw -ar 8000 -ac 1";
    convert(&folder, "clip.wav", law, "clip-alaw.wav");
    // As the words for a file with its index at the end have it.
    convert(&folder, "small.flv", "-c copy", "late.mov");
    let fragments = "-c copy -frag_duration 1000000 \
                     -movflags frag_keyframe+empty_moov+default_base_moof";
    convert(&folder, "late.mov", fragments, "small.mov");
    let (mut gateway, phone, mut call) = called(&mut ports, &folder);
    let mut client = Rest::connect(gateway.rest());
    // The words name the very command by which the other file was made.
    let linear = json!({"callId": "out-hears", "fileName": "clip.wav"});
    let (status, body) = client.post("/rest-api/call/inject_sound", &linear);
    let words = String::from_utf8(body).unwrap();
    assert_eq!(status, 415, "{words}");
    let command = "ffmpeg -i clip.wav -c:a pcm_alaw -ar 8000 -ac 1 clip-alaw.wav";
    assert!(words.contains(command), "{words}");
    folder.write(
        "torn.flv",
        &fs::read(folder.join("clip0.flv")).unwrap()[..9],
    );
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link.wav")).unwrap();
    for (name, wanted) in [
        ("torn.flv", 415),
        ("late.mov", 415),
        ("none.wav", 404),
        ("link.wav", 500),
    ] {
        let body = json!({"callId": "out-hears", "fileName": name});
        let answer = client.post("/rest-api/call/inject_sound", &body);
        assert_eq!(answer.0, wanted, "{name}");
    }

    ask(
        &gateway,
        "/rest-api/call/inject_sound",
        "fileName",
        "clip-alaw.wav",
    );
    sleep(Duration::from_secs(4));
    ask(
        &gateway,
        "/rest-api/call/inject_stream",
        "streamName",
        "clip0.flv",
    );
    gateway
        .log()
        .wait_for("mode 0 carries no NAL unit", Duration::from_secs(3));
    ask(
        &gateway,
        "/rest-api/call/inject_stream",
        "streamName",
        "small.flv",
    );
    sleep(Duration::from_secs(4));
    assert_eq!(size(&phone.snapshot()), CLIP);
    // A connection that asks nothing for long is closed.
    call.wait_for("status", "ESTABLISHED", 5);
    ask(
        &gateway,
        "/rest-api/call/inject_sound",
        "fileName",
        "small.mov",
    );
    sleep(Duration::from_secs(4));
    assert_eq!(size(&phone.snapshot()), CLIP);
    gateway.log().wait_for(
        "hears small.mov no more: the file ended",
        Duration::from_secs(12),
    );
    let heard = phone.heard();
    assert_beeps(&heard, 16);
    call.terminate_if_there();
    gateway.terminate();
    gateway.check_calm();
}
