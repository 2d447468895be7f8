//! Servers with habits of their own.

use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::phone::Play;
use support::scratch::Scratch;
use support::{Clip, Daemon, Dialogue, Enhanced, Nginx, Phone, Ports, Program, probe};

#[test]
fn ffmpeg_as_a_server_receives_a_whole_call() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("ffmpeg");
    let address = ports.address();
    let file = folder.join("got.flv");
    let mut ffmpeg = Program::start(
        Command::new("ffmpeg")
            .args([
                "-nostdin", "-v", "info", "-y", "-listen", "1", "-f", "flv", "-i",
            ])
            .arg(format!("rtmp://{address}/live/rtmp_1000"))
            .args(["-c", "copy", "-copyts", "-f", "flv"])
            .arg(&file),
    );
    sleep(Duration::from_secs(1));
    let gateway = Daemon::publishing_to(&mut ports, &format!("rtmp://{address}/live"));
    let clip = Clip::load();
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "1000");
    gateway
        .log()
        .wait_for("RTMP_STREAM_ACTIVE", Duration::from_secs(5));
    phone.play(&clip, &Play::default());
    phone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    ffmpeg.wait(Duration::from_secs(10));
    probe::check_clip_streams(&file);
    let flv = Flv::read(&file);
    flv.check_order();
    probe::compare_pictures(&clip.slices(), &flv.slices());
    probe::check_sound(&clip.audio, &flv.sound());
    gateway.check_calm();
}

#[test]
fn g711_is_left_out_for_a_server_that_closes_on_it_and_stays_so() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let server = Enhanced::start(&mut ports, &["close=7,8"]);
    let gateway = Daemon::publishing_to(&mut ports, &server.url("live"));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "audio left out: the server refused G.711", 20);
    // A refusal is certain when the stream has lasted without the sound.
    sleep(Duration::from_secs(11));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the refusal ended the call");
    phone.hang_up();
    let mark = gateway.wait_after(0, "ended after", 3);
    let publishes = server.publishes();
    let last = server.recording(publishes - 1, "rtmp_1000");
    let log = gateway.log().text();
    assert!(publishes <= 4, "{publishes} attempts\n{log}");
    assert_eq!(last.codecs(), ["flv7"], "{log}");
    assert!(last.messages.iter().all(|message| message.video), "{log}");
    assert!(last.frames("flv7").len() >= 50, "{log}");

    // The next call knows: what the server refuses is not agreed on.
    let media = "m=audio 4000 RTP/AVP 8\r\na=sendonly\r\n\
                 m=video 4002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=sendonly\r\n";
    let call = Dialogue::call(&mut ports, gateway.sip(), "2000", media);
    assert_eq!(call.port("audio"), 0, "{}", call.answer);
    assert_ne!(call.port("video"), 0, "{}", call.answer);
    call.hang_up();
    gateway.wait_after(mark, "ended after", 3);
    gateway.check_calm();
}

#[test]
fn opus_is_not_negotiated_for_a_legacy_server() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        audio: "opus/48000/2,PCMU/8000/1",
        ..Plan::default()
    };
    let sent =
        Baresip::start(&mut ports, gateway.sip(), "1000", &plan).finish(Duration::from_secs(20));
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    let recording = nginx.recording("rtmp_1000");
    let streams = probe::streams(&recording);
    assert_eq!(streams.audio, Some(("pcm_mulaw".into(), 8_000, 1)));
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(flv.sounds.iter().all(|sound| sound.format >> 4 == 8));
    let sounds = flv.sounds.len();
    assert!(
        (sent.audio_packets - 2..=sent.audio_packets).contains(&sounds),
        "{sounds} of {sent:?}"
    );
    assert_eq!(streams.pictures, flv.pictures.len(), "pictures that decode");
    assert!(flv.pictures.len() >= 150, "{} pictures", flv.pictures.len());
    gateway.check_calm();
}

#[test]
fn a_server_that_lists_nothing_of_use_gets_the_legacy_form() {
    let mut ports = Ports::claim();
    let server = Enhanced::start(&mut ports, &["list=av01,hvc1", "audio=fLaC"]);
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            url: Some(server.url("live")),
            ..Settings::default()
        },
    );
    let clip = Arc::new(Clip::load());
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    sleep(Duration::from_secs(3));
    playing.stop().0.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    let recording = server.recording(0, "rtmp_1000");
    recording.check_order();
    let mut codecs = recording.codecs();
    codecs.sort_unstable();
    // 7 is both AVC and A-law.
    assert_eq!(codecs, ["flv7"]);
    assert!(recording.messages.iter().any(|message| message.video));
    assert!(recording.messages.iter().any(|message| !message.video));
    gateway.check_calm();
}
