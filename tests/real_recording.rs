//! The daemon records calls into files that ffmpeg reads: all that was sent and nothing else, in
//! every pair of codecs, and up to the last two seconds where it was killed in the midst of it.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::gstreamer::{Sender, Track};
use support::phone::Play;
use support::program::run;
use support::{Clip, Daemon, Dialogue, Phone, Ports, Rest, Scratch, lipsync, probe};

const SECOND: Duration = Duration::from_secs(1);

/// A daemon that records into a folder of the test's.
fn recording(ports: &mut Ports, folder: &Scratch, more: &str, trunk: &str) -> Daemon {
    let records = folder.join("records");
    let settings = Settings {
        top: vec![format!(
            "recording: {{directory: {}, minFreeMiB: 16{more}}}",
            records.display()
        )],
        trunk: vec![trunk.to_owned()],
        ..Settings::default()
    };
    Daemon::start(ports, settings)
}

/// A small disk in the place of the folder, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One with so much beside what the configuration keeps free.
    fn new(folder: &Scratch, kib: u32) -> Self {
        let path = folder.join("records");
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={}k,mode=755", 16 * 1_024 + kib);
        let mount = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        run(Command::new("mount").args(mount).arg(&path));
        Self(path)
    }

    /// Demands that what is to be kept free is free.
    fn check_free(&self) {
        let free = run(Command::new("df")
            .args(["--output=avail", "-k"])
            .arg(&self.0));
        let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
        assert!(free >= 16 * 1_024, "{free} KiB are free");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Files of the folder by name.
fn files(folder: &Scratch) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("records")).expect("the folder was made");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The one file there is, which is finished.
fn the_file(folder: &Scratch) -> PathBuf {
    let files = files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files.into_iter().next().unwrap();
    assert_eq!(file.extension().unwrap(), "mp4");
    file
}

/// Samples of a file's A-law, untouched.
fn sound(file: &Path, folder: &Scratch) -> Vec<u8> {
    let path = folder.join("sound.alaw");
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-xerror", "-i"])
        .arg(file)
        .args(["-map", "0:a", "-c", "copy", "-f", "alaw"])
        .arg(&path));
    std::fs::read(path).unwrap()
}

#[test]
fn a_recorded_clip_is_the_clip() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let mut gateway = recording(&mut ports, &folder, "", "record: true");
    let clip = Clip::load();
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "1000");
    phone.play(&clip, &Play::default());
    phone.hang_up();
    let line = gateway.log().wait_for("recorded stream-", 5 * SECOND);
    let file = the_file(&folder);
    assert!(line.contains(file.file_name().unwrap().to_str().unwrap()));
    probe::check_clip_streams(&file);
    probe::decode_strictly(&file);
    assert_eq!(
        probe::picture_sums(&file),
        probe::picture_sums(&Clip::video_path())
    );
    probe::check_sound(&clip.audio, &sound(&file, &folder));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn vp8_and_opus_are_recorded_in_step() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let more = ", all: true, template: \"{streamName}.{videoCodec}.{audioCodec}\"";
    let gateway = recording(&mut ports, &folder, more, "codecs: [vp8, opus]");
    let plan = Plan {
        audio: "opus/48000/2,PCMU/8000/1",
        video: "VP8",
        seconds: 10,
        ..Plan::default()
    };
    Baresip::start(&mut ports, gateway.sip(), "1000", &plan).finish(Duration::from_secs(30));
    gateway
        .log()
        .wait_for("recorded rtmp_1000.vp8.opus.mp4", 5 * SECOND);
    let file = the_file(&folder);
    probe::decode_strictly(&file);
    let streams = probe::streams(&file);
    assert_eq!(streams.video, Some(("vp8".into(), 640, 360)));
    assert_eq!(streams.audio, Some(("opus".into(), 48_000, 2)));
    // libvpx is slow on a busy machine: how many baresip encodes is its own matter.
    assert!(streams.pictures >= 60, "{}", streams.pictures);
    let skews = lipsync::decoded_skews(&file);
    let mut apart: Vec<f64> = skews.iter().map(|skew| skew.abs()).collect();
    apart.sort_by(f64::total_cmp);
    assert!(apart.len() >= 5, "{skews:?}");
    // Times are proven to the tick elsewhere; a busy machine captures pictures late.
    assert!(apart[apart.len() / 2] <= 40.0, "{skews:?}");
    gateway.check_calm();
}

#[test]
fn h264_and_aac_are_recorded_over_rest_in_parts() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let mut gateway = recording(&mut ports, &folder, "", "calls: 4");
    let mut tracks = [
        Track {
            kind: "audio",
            encoder: "audio/x-raw,rate=48000,channels=1 ! voaacenc bitrate=64000 ! aacparse",
            coded: false,
            payloader: "rtpmp4gpay pt=97",
            port: 0,
            rtcp: 0,
        },
        Track {
            kind: "video",
            encoder: "identity",
            coded: true,
            payloader: "rtph264pay config-interval=-1 pt=96",
            port: 0,
            rtcp: 0,
        },
    ];
    for track in &mut tracks {
        (track.port, track.rtcp) = (ports.pair(), ports.pair());
    }
    let media = format!(
        "m=audio {} RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\n\
         a=fmtp:97 streamtype=5;profile-level-id=2;mode=AAC-hbr;config=1188;\
         sizelength=13;indexlength=3;indexdeltalength=3\r\na=sendonly\r\n\
         m=video {} RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;profile-level-id=42c01e\r\n\
         a=rtcp-fb:96 nack pli\r\na=sendonly\r\n",
        tracks[0].port, tracks[1].port
    );
    let call = Dialogue::call(&mut ports, gateway.sip(), "1000", &media);
    let mut client = Rest::connect(gateway.rest());
    let (_, body) = client.post("/rest-api/call/find_all", &json!({}));
    let calls: Value = serde_json::from_slice(&body).unwrap();
    let session = &calls[0]["callId"];
    let body = json!({
        "mediaSessionId": session,
        "config": {"fileTemplate": "door-{startTimeMillis}-{endTime}", "rotation": "5"}
    });
    let answer = client.post("/rest-api/recorder/startup", &body);
    assert_eq!(answer, (200, Vec::new()));
    let (status, body) = client.post("/rest-api/recorder/find_all", &json!({}));
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &told[0]["mediaSessionId"]), (200, session));
    let name = told[0]["fileName"].as_str().unwrap();
    assert!(
        name.starts_with("door-1") && name.ends_with("-{endTime}.mp4"),
        "{name}"
    );
    let sender = Sender::new(tracks.into(), 2);
    sender.play(&call, false);
    call.hang_up();
    gateway.log().wait_for("ended after", 3 * SECOND);
    gateway.terminate();
    let files = files(&folder);
    assert!((3..=5).contains(&files.len()), "{files:?}");
    let numbered = files
        .iter()
        .filter(|file| file.to_string_lossy().contains("_"));
    assert_eq!(numbered.count(), files.len() - 1, "{files:?}");
    let (mut pictures, mut seconds) = (0, 0.0);
    for file in &files {
        probe::decode_strictly(file);
        let streams = probe::streams(file);
        assert_eq!(streams.audio, Some(("aac".into(), 48_000, 1)));
        assert_eq!(streams.video, Some(("h264".into(), 640, 360)));
        pictures += streams.pictures;
        seconds += probe::end_of(file, "a");
    }
    // Two rounds of 250 pictures, but for those before the first keyframe.
    assert!((440..=500).contains(&pictures), "{pictures}");
    assert!(seconds > 18.0, "{seconds}");
    gateway.check_calm();
}

#[test]
fn sound_alone_is_recorded() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let mut gateway = recording(&mut ports, &folder, ", all: true", "codecs: [pcma]");
    let clip = Clip::load();
    let mut phone = Phone::dial_for_anything(&mut ports, gateway.sip(), "1000");
    phone.play(&clip, &Play::default());
    phone.hang_up();
    gateway.log().wait_for("recorded stream-", 5 * SECOND);
    let file = the_file(&folder);
    probe::decode_strictly(&file);
    let streams = probe::streams(&file);
    assert_eq!(
        (streams.video, streams.audio),
        (None, Some(("pcm_alaw".into(), 8_000, 1)))
    );
    probe::check_sound(&clip.audio, &sound(&file, &folder));
    gateway.terminate();
}

#[test]
fn a_disk_without_room_ends_the_recording_and_not_the_call() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    // A round of the clip takes 470 KiB.
    let disk = SmallDisk::new(&folder, 300);
    let mut gateway = recording(&mut ports, &folder, ", whenFull: stop", "record: true");
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "1000");
    let report = phone.play(&Clip::load(), &Play::default());
    let words = "the recording ends: less than 16 MiB of the disk are free";
    gateway.log().wait_for(words, SECOND);
    disk.check_free();
    assert!(!report.ended_by_gateway);
    phone.hang_up();
    gateway.log().wait_for("FINISH (200", 5 * SECOND);
    let file = the_file(&folder);
    probe::decode_strictly(&file);
    let played = probe::end_of(&file, "v");
    assert!((2.0..9.0).contains(&played), "{played}");
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn the_oldest_recording_gives_way_to_the_newest() {
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let disk = SmallDisk::new(&folder, 800);
    let template = ", template: \"{streamName}\"";
    let mut gateway = recording(&mut ports, &folder, template, "record: true");
    for number in ["1000", "1001"] {
        let mut phone = Phone::dial(&mut ports, gateway.sip(), number);
        phone.play(&Clip::load(), &Play::default());
        phone.hang_up();
        let recorded = format!("recorded rtmp_{number}");
        gateway.log().wait_for(&recorded, 5 * SECOND);
    }
    gateway.log().wait_for("was deleted: less than", SECOND);
    disk.check_free();
    let file = the_file(&folder);
    assert!(file.to_string_lossy().ends_with("rtmp_1001.mp4"));
    probe::decode_strictly(&file);
    assert!(probe::end_of(&file, "v") > 9.0);
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_killed_daemon_leaves_files_that_play_up_to_the_last_two_seconds() {
    const CALLS: usize = 4;
    let kills = std::env::var("RECORDING_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let (mut ports, folder) = (Ports::claim(), Scratch::new("recording"));
    let template = ", all: true, template: \"{streamName}-{startTimeMillis}\"";
    let mut gateway = recording(&mut ports, &folder, template, "calls: 8");
    let clip = Arc::new(Clip::load());
    for round in 0..kills {
        let mut ports = Ports::claim();
        let mut begun = Vec::new();
        let mut playing = Vec::new();
        for call in 0..CALLS {
            let number = format!("{round}0{call}");
            let phone = Phone::dial(&mut ports, gateway.sip(), &number);
            begun.push((number, Instant::now()));
            playing.push(phone.play_in_background(&clip));
            // So that they are at different places when the end comes.
            sleep(Duration::from_millis(170));
        }
        sleep(Duration::from_millis(2_000 + round % 10 * 97));
        let killed = Instant::now();
        gateway.restart();
        for phone in playing {
            phone.stop();
        }
        let cut_off = format!("recording rtmp_{round}00-");
        gateway.log().wait_for(&cut_off, 5 * SECOND);
        // All of them are ended before anything new is recorded.
        let deadline = Instant::now() + 5 * SECOND;
        let left = || {
            files(&folder)
                .iter()
                .filter(|it| it.extension().unwrap() == "part")
                .count()
        };
        while left() > 0 {
            assert!(Instant::now() < deadline, "{:?}", files(&folder));
            sleep(Duration::from_millis(20));
        }
        for (number, begun) in begun {
            let name = format!("rtmp_{number}-");
            let files = files(&folder);
            let mut own = files
                .iter()
                .filter(|it| it.to_string_lossy().contains(&name));
            let file = own
                .next()
                .unwrap_or_else(|| panic!("no file of {number}: {files:?}"));
            assert_eq!(own.next(), None);
            probe::decode_strictly(file);
            let lasted = killed.duration_since(begun).as_secs_f64();
            for track in ["a", "v"] {
                let played = probe::end_of(file, track);
                assert!(
                    played >= lasted - 2.0,
                    "{track}: {played} of {lasted} in {}",
                    file.display()
                );
            }
        }
    }
    gateway.terminate();
    gateway.check_calm();
}
