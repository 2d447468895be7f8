//! One call pushed to several servers at once by the REST interface, as a client does it.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

mod support;

use serde_json::{Value, json};
use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::gstreamer::{Sender, Track};
use support::phone::Play;
use support::program::run;
use support::{
    Clip, Daemon, Dialogue, Enhanced, Nginx, Phone, Ports, Rest, Scratch, opus_vp8, probe,
};

/// Asks for a push; what is told of it.
fn push(client: &mut Rest, body: &Value) -> Value {
    let (status, body) = client.post("/rest-api/push/startup", body);
    let text = String::from_utf8_lossy(&body);
    assert_eq!(status, 200, "{text}");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn one_call_reaches_two_servers_whole_a_third_one_silenced_and_a_dead_one_never() {
    let mut ports = Ports::claim();
    let clip = Clip::load();
    let (first, second) = (Nginx::start(&mut ports), Nginx::start(&mut ports));
    let nobody = ports.address();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let mut client = Rest::connect(gateway.rest());
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "001201234");

    let to = |url: String| json!({"streamName": "rtmp_001201234", "rtmpUrl": url});
    for nginx in [&first, &second] {
        let told = push(&mut client, &to(nginx.url("live")));
        assert_eq!(told["streamName"], "rtmp_001201234");
    }
    let mut silent = to(format!("{}/silent", first.url("live")));
    silent["rtmpTransponderFullUrl"] = json!("true");
    silent["options"] = json!({"action": "mute"});
    push(&mut client, &silent);
    push(&mut client, &to(format!("rtmp://{nobody}/live")));

    phone.play(&clip, &Play::default());
    let (status, body) = client.ask("GET", "/rest-api/push/find_all", "", "");
    assert_eq!(status, 200);
    let pushes: Value = serde_json::from_slice(&body).unwrap();
    let states: Vec<_> = pushes
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["status"])
        .collect();
    let active = "RTMP_STREAM_ACTIVE";
    assert_eq!(states, [active, active, active, "RTMP_CONNECTION_FAILED"]);
    assert_eq!(
        (&pushes[0]["width"], &pushes[0]["height"]),
        (&json!(640), &json!(360))
    );

    let stream = json!({"name": "rtmp_001201234", "display": ["metrics"]});
    let (status, body) = client.post("/rest-api/stream/find", &stream);
    assert_eq!(status, 200);
    let streams: Value = serde_json::from_slice(&body).unwrap();
    let numbers = &streams[0]["statistics"];
    assert_eq!(numbers["video"]["frames"], clip.pictures.len());
    assert_eq!(numbers["readers"].as_array().unwrap().len(), 4);
    assert_eq!(streams[0]["metrics"]["VIDEO_WIDTH"], 640);

    phone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(4));
    for nginx in [&first, &second] {
        let recording = nginx.recording("rtmp_001201234");
        probe::check_clip_streams(&recording);
        probe::decode_strictly(&recording);
        probe::check_clip_identical(&clip, &recording);
    }
    let recording = first.recording("silent");
    probe::check_clip_streams(&recording);
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    probe::compare_pictures(&clip.slices(), &flv.slices());
    let sound = flv.sound();
    assert!(
        sound.len() + 320 >= clip.audio.len(),
        "{} bytes",
        sound.len()
    );
    assert!(sound.iter().all(|byte| *byte == 0xd5), "A-law silence");
    gateway.check_calm();
}

#[test]
fn a_push_ended_in_the_midst_leaves_a_whole_file_and_the_other_goes_on() {
    let mut ports = Ports::claim();
    let clip = Clip::load();
    let (first, second) = (Nginx::start(&mut ports), Nginx::start(&mut ports));
    let gateway = Daemon::start(&mut ports, Settings::default());
    let mut client = Rest::connect(gateway.rest());
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "4711");
    let to = |nginx: &Nginx| json!({"streamName": "rtmp_4711", "rtmpUrl": nginx.url("live")});
    push(&mut client, &to(&second));
    let early = push(&mut client, &to(&first));
    std::thread::scope(|scope| {
        let ends = scope.spawn(|| {
            first.wait_recorded("rtmp_4711", 100_000, Duration::from_secs(10));
            let named = json!({"mediaSessionId": early["mediaSessionId"]});
            let ended = client.post("/rest-api/push/terminate", &named);
            assert_eq!(ended, (200, Vec::new()));
        });
        phone.play(&clip, &Play::default());
        ends.join().unwrap();
    });
    phone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(4));
    probe::check_clip_identical(&clip, &second.recording("rtmp_4711"));
    let part = first.recording("rtmp_4711");
    probe::decode_strictly(&part);
    let pictures = Flv::read(&part).slices();
    let count = probe::check_contiguous(&clip, &pictures);
    assert!(
        count > 10 && count < clip.pictures.len(),
        "{count} pictures"
    );
    gateway.check_calm();
}

/// One encoder at a time.
static SENDING: Mutex<()> = Mutex::new(());

/// A box with a folder of media files.
fn with_files(ports: &mut Ports, folder: &Scratch) -> Daemon {
    let settings = Settings {
        top: vec![format!("files: {{directory: {}}}", folder.path().display())],
        ..Settings::default()
    };
    Daemon::start(ports, settings)
}

/// Runs an ffmpeg of these words in a folder.
fn ffmpeg(folder: &Scratch, words: &str) {
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(words.split(' '))
        .current_dir(folder.path()));
}

/// Two seconds of a tone, as a user may have them.
fn tone(folder: &Scratch) {
    let words = "-f lavfi -i sine=frequency=440:sample_rate=44100 -t 2 -ac 2 tone.wav";
    ffmpeg(folder, words);
}

/// Asks for a sound in a push; the status and the words of the answer.
fn sound_on(gateway: &Daemon, push: &Value, file: &str) -> (u16, String) {
    let body = json!({"mediaSessionId": push["mediaSessionId"], "soundFile": file});
    let answer = Rest::connect(gateway.rest()).post("/rest-api/push/sound_on", &body);
    let body = String::from_utf8(answer.1).expect("text");
    let words = serde_json::from_str::<Value>(&body).map_or(body, |json| {
        json["message"].as_str().unwrap_or_default().to_owned()
    });
    (answer.0, words)
}

/// Runs the command that a refusal names and gives the file that it makes.
fn obey(folder: &Scratch, words: &str) -> String {
    let (_, command) = words.split_once("ffmpeg ").expect("a command");
    let command = command.split(',').next().unwrap_or(command);
    ffmpeg(folder, command);
    command.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// Where frames stand among others in one run; demands that they do, each once.
fn run_of<T: AsRef<[u8]>>(frames: &[Vec<u8>], all: &[T]) -> usize {
    let is_there = |run: &[T]| {
        run.iter()
            .zip(frames)
            .all(|(one, other)| one.as_ref() == other)
    };
    let found = all.windows(frames.len()).position(is_there);
    found.unwrap_or_else(|| panic!("{} frames of {}", frames.len(), all.len()))
}

/// Sends sound in one codec from GStreamer, has a tone played in its place, and looks at what nginx
/// recorded. `other` makes a file that does not fit, of which these words are told.
fn tone_in_place(encoder: &'static str, payloader: &'static str, sdp: &str, other: (&str, &str)) {
    let _alone = SENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Ports::claim();
    let folder = Scratch::new("media");
    tone(&folder);
    let nginx = Nginx::start(&mut ports);
    let gateway = with_files(&mut ports, &folder);
    let mut client = Rest::connect(gateway.rest());
    let track = Track {
        kind: "audio",
        encoder,
        coded: false,
        payloader,
        port: ports.pair(),
        rtcp: ports.pair(),
    };
    let sdp = sdp.replace("PORT", &track.port.to_string());
    let call = Dialogue::call(&mut ports, gateway.sip(), "1000", &sdp);
    let body = json!({"streamName": "rtmp_1000", "rtmpUrl": nginx.url("live")});
    let pushed = push(&mut client, &body);
    let sender = Sender::new(vec![track], 1);
    let mut sending = sender.start(&call, false);
    nginx.wait_recorded("rtmp_1000", 10_000, Duration::from_secs(8));

    let (status, words) = sound_on(&gateway, &pushed, "tone.wav");
    assert_eq!(status, 415, "{words}");
    let file = obey(&folder, &words);
    let (command, expected) = other;
    ffmpeg(&folder, command);
    let (status, words) = sound_on(&gateway, &pushed, "other.flv");
    assert!(
        matches!(status, 409 | 415) && words.contains(expected),
        "{status} {words}"
    );
    assert_eq!(sound_on(&gateway, &pushed, &file), (200, String::new()));
    let program = &mut sending.program;
    if !program.ended_within(Duration::from_secs(14)) {
        program.signal("INT");
        program.wait(Duration::from_secs(5));
    }
    call.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(4));

    let recording = nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    let got = Flv::read(&recording).sounds;
    let made = Flv::read(&folder.join(&file)).sounds;
    let made: Vec<_> = made.into_iter().map(|sound| sound.data).collect();
    assert!(made.len() > 85, "{} frames", made.len());
    let data: Vec<_> = got.iter().map(|sound| &sound.data).collect();
    let first = run_of(&made, &data);
    assert!(
        first > 0 && first + made.len() + 50 < got.len(),
        "the caller before and behind"
    );
    // 20 ms, or 21.3: the clock of a call is slewed a little.
    for pair in got[first - 1..=first + made.len()].windows(2) {
        let between = pair[1].time - pair[0].time;
        assert!((19..=23).contains(&between), "{between} ms");
    }
    gateway.check_calm();
}

#[test]
fn a_tone_made_as_a_refusal_says_is_heard_in_the_place_of_aac() {
    tone_in_place(
        "audio/x-raw,rate=48000,channels=1 ! voaacenc bitrate=64000 ! aacparse",
        "rtpmp4gpay pt=97",
        "m=audio PORT RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\n\
         a=fmtp:97 streamtype=5;profile-level-id=2;mode=AAC-hbr;config=1188;\
         sizelength=13;indexlength=3;indexdeltalength=3\r\na=sendonly\r\n",
        (
            "-i tone.wav -c:a aac other.flv",
            "negotiated AAC of 48000 Hz and 1 channels (config=1188), and there is AAC of 44100 Hz and 2 channels",
        ),
    );
}

#[test]
fn a_tone_made_as_a_refusal_says_is_heard_in_the_place_of_speex() {
    tone_in_place(
        "audio/x-raw,rate=16000,channels=1 ! speexenc",
        "rtpspeexpay pt=99",
        "m=audio PORT RTP/AVP 99\r\na=rtpmap:99 speex/16000\r\na=sendonly\r\n",
        (
            "-i tone.wav -c:a aac other.flv",
            "AAC in place of the stream's Speex",
        ),
    );
}

#[test]
fn tones_are_heard_in_the_place_of_opus_also_in_longer_frames() {
    let _alone = SENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Ports::claim();
    let folder = Scratch::new("media");
    tone(&folder);
    let server = Enhanced::start(&mut ports, &["list=avc1,vp08,Opus,mp4a"]);
    let gateway = with_files(&mut ports, &folder);
    let mut client = Rest::connect(gateway.rest());
    let plan = Plan {
        audio: "opus/48000/2",
        video: "",
        seconds: 16,
        ..Plan::default()
    };
    let caller = Baresip::start(&mut ports, gateway.sip(), "1000", &plan);
    gateway
        .log()
        .wait_for("1000: ESTABLISHED", Duration::from_secs(10));
    let to = json!({"streamName": "rtmp_1000", "rtmpUrl": server.url("live")});
    let pushed = push(&mut client, &to);
    sleep(Duration::from_secs(2));
    let (status, words) = sound_on(&gateway, &pushed, "tone.wav");
    assert_eq!(status, 415, "{words}");
    let file = obey(&folder, &words);
    let longer = "-i tone.wav -c:a libopus -frame_duration 60 -movflags +faststart longer.mp4";
    ffmpeg(&folder, longer);
    for name in [&file, "longer.mp4"] {
        assert_eq!(sound_on(&gateway, &pushed, name), (200, String::new()));
        sleep(Duration::from_millis(3_500));
    }
    caller.finish(Duration::from_secs(20));
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(5));

    let recording = server.recording(0, "rtmp_1000");
    recording.check_order();
    let got = recording.frames("Opus");
    let data: Vec<_> = got.iter().map(|message| &message.body).collect();
    let mut after = 0;
    for (name, step) in [(&file[..], 20), ("longer.mp4", 60)] {
        let copied = format!("{name}.opus");
        ffmpeg(&folder, &format!("-i {name} -c copy {copied}"));
        let packets = std::fs::read(folder.join(&copied)).expect("it was made");
        let packets = opus_vp8::ogg_packets(&packets)[2..].to_vec();
        let first = after + run_of(&packets, &data[after..]);
        after = first + packets.len();
        for pair in got[first..after].windows(2) {
            let between = pair[1].time - pair[0].time;
            assert!(
                (step - 1..=step + 1).contains(&between),
                "{name}: {between} ms"
            );
        }
        let back = got[after].time - got[after - 1].time;
        assert!((step - 10..=step + 21).contains(&back), "{name}: {back} ms");
    }
    let decoded = recording.as_matroska(folder.join("got.mkv"), 640, 360);
    probe::decode_strictly(&decoded);
    gateway.check_calm();
}
