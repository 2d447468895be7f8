//! One call pushed to several servers at once by the REST interface, as a client does it.

use std::time::Duration;

mod support;

use serde_json::{Value, json};
use support::daemon::Settings;
use support::flv::Flv;
use support::phone::Play;
use support::{Clip, Daemon, Nginx, Phone, Ports, Rest, probe};

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
