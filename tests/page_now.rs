//! What the page is told of the present, field by field, and why calls ended, way by way.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::post;
use serde_json::{Value, json};
use trunkcast::base::codec::Codec;
use trunkcast::base::journal::{JOURNAL_BYTES, Journal};
use trunkcast::gateway::config::{Config, Hooks, Host, OnCall, OnError, Register};
use trunkcast::gateway::outlet::LookUpId;
use trunkcast::gateway::stored::Stored;
use trunkcast::limits::{HISTORY_CALLS, HISTORY_TEXT_BYTES, JOURNAL_SLOT_BYTES, TREND_SAMPLES};

const SECOND: Duration = Duration::from_secs(1);

/// The PBX of calls out.
const PBX: &str = "203.0.113.9:5060";

/// What the page is told at this moment.
fn now(world: &mut World) -> Value {
    let World {
        gateway,
        outlet,
        now,
        ..
    } = world;
    let body = gateway.now_as_json(*now, outlet).expect("it can be shown");
    serde_json::from_slice(body).expect("it is JSON")
}

/// The only call.
fn call(world: &mut World) -> Value {
    let calls = now(world)["calls"].clone();
    assert_eq!(calls.as_array().unwrap().len(), 1, "{calls}");
    calls[0].clone()
}

/// The newest call of the history, after everything has come to rest; there is but one.
fn ended(world: &mut World) -> Value {
    world.advance(5 * SECOND);
    let all = now(world)["history"].clone();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    all[0].clone()
}

fn assert_ended(world: &mut World, code: &str) -> Value {
    let ended = ended(world);
    assert_eq!(ended["end"], code, "{ended}");
    ended
}

/// A call out over REST, and whom it reached.
fn start(world: &mut World, more: &[(&str, &str)]) {
    let mut body = json!({
        "callId": "one", "callee": "1002", "sipLogin": "1001", "sipDomain": "203.0.113.9",
        "sipPort": "5060", "hasAudio": "true", "hasVideo": "true", "toStream": "room",
    });
    for (key, value) in more {
        body[*key] = Value::from(*value);
    }
    let reply = post(world, "/rest-api/call/startup", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
}

fn hooked(change: impl FnOnce(&mut Hooks)) -> World {
    let url = format!("http://203.0.113.77:{BACKEND_PORT}/MyAPI");
    let mut hooks = Hooks::new(url.parse().unwrap());
    change(&mut hooks);
    World::new(Config {
        hooks: Some(hooks),
        ..config(4, None)
    })
}

fn refuse(world: &mut World, phone: &mut Phone) -> u16 {
    let answers = world.invite(phone);
    let last = answers.last().expect("an answer").clone();
    let ack = phone.ack_refusal(&last);
    world.sip(phone.remote, ack);
    status(&last)
}

#[test]
fn a_trunk_whose_port_is_taken_is_shown_with_the_reason() {
    let mut world = World::local(4);
    world.outlet.taken_ports.push(40_002);
    let mut more = config(4, None);
    let mut second = more.trunks[0].clone();
    (second.name, second.local_port) = ("second".to_owned(), 40_002);
    more.trunks.push(second);
    world.gateway.reload(more).unwrap();
    world.advance(SECOND);
    let trunks = now(&mut world)["trunks"].clone();
    assert_eq!(trunks[0].get("waiting"), None);
    assert_eq!(trunks[1]["name"], "second");
    assert_eq!(trunks[1]["waiting"], "Address already in use");
}

#[test]
fn a_track_that_is_left_out_says_why_by_a_code() {
    let mut picture_alone = config(4, None);
    picture_alone.trunks[0].codecs = Some(vec![Codec::H264, Codec::Opus]);
    let mut world = World::new(picture_alone.clone());
    world.call(&mut Phone::new("4711"));
    let named = json!({"problem": "noAudioCodec", "codec": "G.711 A-law"});
    assert_eq!(call(&mut world)["audio"]["leftOut"], named);

    picture_alone.trunks[0].codecs = Some(vec![Codec::H264]);
    let mut world = World::new(picture_alone);
    world.call(&mut Phone::new("4711"));
    let told = json!({"detail": "media type not wanted on this trunk"});
    assert_eq!(call(&mut world)["audio"]["leftOut"], told);
}

#[test]
fn a_call_is_shown_with_what_it_carries_and_where_it_goes() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, Duration::from_secs(10));
    world.play("rtmp_4711");
    let pushed =
        json!({"streamName": "rtmp_4711", "rtmpUrl": "rtmp://joe:hunter2@198.51.100.7/live"});
    let reply = post(&mut world, "/rest-api/push/startup", &pushed);
    assert_eq!(reply.status, 200);
    let all = now(&mut world);
    assert!(!all.to_string().contains("hunter2"));
    let call = &all["calls"][0];
    for (key, wanted) in [
        ("id", json!("1")),
        ("direction", json!("in")),
        ("caller", json!("1001")),
        ("callee", json!("4711")),
        ("display", json!("Caller")),
        ("trunk", json!("pbx")),
        ("stream", json!("rtmp_4711")),
        ("state", json!("ESTABLISHED")),
        ("seconds", json!(10)),
        ("pushes", json!(1)),
        ("recording", json!(false)),
        ("players", json!(1)),
    ] {
        assert_eq!(call[key], wanted, "{key}: {call}");
    }
    let (audio, video) = (&call["audio"], &call["video"]);
    assert_eq!(
        (&audio["codec"], &audio["kbps"]),
        (&json!("PCMA"), &json!(64))
    );
    assert_eq!(
        (&audio["lost"], &audio["leftOut"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(audio["received"], 500, "{audio}");
    assert_eq!(
        (&video["codec"], &video["fps"]),
        (&json!("H.264"), &json!(25))
    );
    let (width, height) = (video["width"].as_u64(), video["height"].as_u64());
    assert!(width.unwrap() > 0 && height.unwrap() > 0, "{video}");
    let age = video["keyframeAge"].as_f64().unwrap();
    assert!((0.0..3.0).contains(&age), "{video}");
    assert!(call["skewMs"].is_null() || call["skewMs"].is_i64());
    let rtmp = &call["rtmp"];
    assert_eq!(rtmp["target"], "rtmp://198.51.100.5/live");
    assert_eq!(rtmp["state"], "publishing", "{rtmp}");
    assert_eq!(
        (&rtmp["problem"], &rtmp["retrySeconds"]),
        (&Value::Null, &Value::Null)
    );
    let live = &call["live"];
    let name = live["video"].as_str().unwrap();
    assert!(name.starts_with("avc1.") && name.len() == 11, "{live}");
    assert_eq!(
        (&live["audio"], &live["why"]),
        (&json!("pcma"), &Value::Null)
    );
    let trunk = &all["trunks"][0];
    assert_eq!(
        (
            &trunk["name"],
            &trunk["calls"],
            &trunk["limit"],
            &trunk["port"]
        ),
        (&json!("pbx"), &json!(1), &Value::Null, &json!(40_000))
    );
    assert_eq!(
        (&trunk["transport"], &trunk["registration"]),
        (&json!("UDP"), &Value::Null)
    );
    assert_eq!(all["version"], env!("CARGO_PKG_VERSION"));
    assert!(all["uptime"].as_u64().unwrap() >= 10);
    assert_eq!(all["trend"]["every"], 10);
    assert_eq!(all["trend"]["calls"], json!([1]));
    let kbps = all["trend"]["kbps"][0].as_u64().unwrap();
    assert!(kbps > 60, "{kbps}");
}

#[test]
fn a_call_before_its_first_keyframe_and_one_not_answered_have_no_live_picture() {
    let mut world = World::local(4);
    world.call(&mut Phone::new("4711"));
    world.advance(SECOND);
    let shown = call(&mut world);
    assert_eq!(
        shown["live"],
        json!({"video": null, "audio": null, "why": "noPicture"})
    );
    assert_eq!(shown["rtmp"], Value::Null);
    let mut world = World::local(4);
    start(&mut world, &[]);
    world.advance(SECOND);
    let shown = call(&mut world);
    assert_eq!(
        (&shown["direction"], &shown["state"], &shown["seconds"]),
        (&json!("out"), &json!("TRYING"), &json!(0))
    );
    assert_eq!(shown["live"]["why"], "notAnswered");
}

#[test]
fn a_server_that_does_not_take_the_stream_is_told_by_a_code_and_words() {
    for (policy, state, problem) in [
        (Policy::BadName, "refused", "streamBusy"),
        (Policy::Refuse, "waiting", "refused"),
        (Policy::Silent, "waiting", "noAnswer"),
    ] {
        let mut world = World::publishing(4);
        world.policy = policy;
        let mut phone = Phone::new("4711");
        world.call(&mut phone);
        // The first of two attempts has failed.
        let mut camera = Camera::new(1);
        let mut rtmp = Value::Null;
        for _ in 0..120 {
            camera.film(&mut world, &phone, Duration::from_millis(250));
            rtmp = call(&mut world)["rtmp"].clone();
            if rtmp["retrySeconds"].is_u64() {
                break;
            }
        }
        assert_eq!(
            (&rtmp["state"], &rtmp["problem"]),
            (&json!(state), &json!(problem)),
            "{rtmp}"
        );
        assert!(!rtmp["detail"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_stream_key_that_is_the_same_for_every_call_does_not_show() {
    let mut config = config(4, Some("rtmp://198.51.100.5/live?token=s3cret"));
    config.trunks[0].stream_name = "abcd-efgh-key".parse().unwrap();
    let mut world = World::new(config);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.advance(SECOND);
    assert_eq!(call(&mut world)["stream"], "***");
    world.bye(&mut phone);
    let ended = ended(&mut world);
    assert_eq!(ended["stream"], "***");
    let all = now(&mut world).to_string();
    assert!(
        !all.contains("abcd-efgh-key") && !all.contains("s3cret"),
        "{all}"
    );
}

#[test]
fn a_call_that_its_caller_ends_is_history_with_all_that_is_known() {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, 10 * SECOND);
    let began = now(&mut world)["time"].as_u64().unwrap() - 10;
    world.bye(&mut phone);
    let ended = assert_ended(&mut world, "callerHungUp");
    for (key, wanted) in [
        ("seconds", json!(10)),
        ("direction", json!("in")),
        ("caller", json!("1001")),
        ("callee", json!("4711")),
        ("trunk", json!("pbx")),
        ("stream", json!("rtmp_4711")),
        ("detail", json!("200 the caller hung up")),
        ("lost", json!(0)),
        ("times", json!(1)),
    ] {
        assert_eq!(ended[key], wanted, "{key}: {ended}");
    }
    assert!(
        ended["began"].as_u64().unwrap().abs_diff(began) <= 1,
        "{ended}"
    );
    let frames = ended["frames"].as_u64().unwrap();
    assert!((740..=750).contains(&frames), "{ended}");
}

#[test]
fn a_call_ended_on_the_page_gets_its_bye_and_another_number_ends_nothing() {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let id: u64 = call(&mut world)["id"].as_str().unwrap().parse().unwrap();
    let from = "192.168.1.2".parse().unwrap();
    let hang_up = |world: &mut World, number| {
        let (gateway, outlet) = (&mut world.gateway, &mut world.outlet);
        let done = gateway.hang_up_on_page(world.now, number, from, outlet);
        world.settle();
        done
    };
    assert!(!hang_up(&mut world, id + 1));
    assert_eq!(world.take(&phone).len(), 0);
    assert!(hang_up(&mut world, id));
    let sent = world.take(&phone);
    assert!(sent[0].starts_with("BYE "), "{sent:?}");
    assert_eq!(world.notes("page 192.168.1.2: ends call 1").len(), 1);
    assert_eq!(now(&mut world)["calls"], json!([]), "told at once");
    assert!(!hang_up(&mut world, id), "it is over");
    assert_ended(&mut world, "hungUpOnPage");
}

#[test]
fn ends_of_calls_in_have_their_codes() {
    // A client of the interface.
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let body = json!({ "callId": phone.call_id });
    let reply = post(&mut world, "/rest-api/call/terminate", &body);
    assert_eq!(reply.status, 200);
    assert_ended(&mut world, "hungUpByRest");

    // Silence.
    let mut world = World::local(4);
    world.call(&mut Phone::new("4711"));
    world.advance(120 * SECOND);
    let ended = assert_ended(&mut world, "noMedia");
    assert!(
        ended["detail"].as_str().unwrap().contains("no media for"),
        "{ended}"
    );

    // No ACK.
    let mut world = World::local(4);
    world.invite(&mut Phone::new("4711"));
    world.advance(40 * SECOND);
    assert_ended(&mut world, "peerGone");

    // The end of the program.
    let mut world = World::local(4);
    world.call(&mut Phone::new("4711"));
    world.gateway.stop(world.now);
    world.settle();
    assert_ended(&mut world, "stopped");

    // A defect.
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.outlet.defect = Defect::Note("HOLD");
    let invite = phone.reinvite(&phone.offer("inactive", true));
    world.sip(phone.remote, invite);
    world.outlet.defect = Defect::None;
    assert_ended(&mut world, "defect");
}

#[test]
fn a_session_that_is_not_refreshed_is_told_apart_from_a_peer_that_is_gone() {
    let mut config = config(4, None);
    config.trunks[0].media_timeout = None;
    let mut world = World::new(config);
    world.answers = false;
    let mut phone = Phone::new("4711");
    let lines = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\nContent-Type";
    let invite = phone.invite().replacen("Content-Type", lines, 1);
    world.sip(phone.remote, invite);
    let answers = world.take(&phone);
    phone.learn(answers.last().unwrap());
    let ack = phone.ack("");
    world.sip(phone.remote, ack);
    world.advance(150 * SECOND);
    assert_ended(&mut world, "sessionTimer");
}

#[test]
fn calls_that_are_not_taken_are_history_with_who_called() {
    // Nothing in common.
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    phone.sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
                 m=audio 4000 RTP/AVP 18\r\n"
        .to_owned();
    assert_eq!(refuse(&mut world, &mut phone), 488);
    let ended = assert_ended(&mut world, "noCodecInCommon");
    assert_eq!(
        (&ended["caller"], &ended["callee"]),
        (&json!("1001"), &json!("4711"))
    );
    assert_eq!(
        (&ended["seconds"], &ended["stream"]),
        (&json!(0), &json!(""))
    );
    assert!(
        ended["detail"].as_str().unwrap().starts_with("488, "),
        "{ended}"
    );

    // No offer at all.
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    phone.sdp = "v=9\r\nthis is none\r\n".to_owned();
    assert_eq!(refuse(&mut world, &mut phone), 400);
    assert_ended(&mut world, "badOffer");

    // The name of its stream is in use.
    let mut world = World::local(4);
    world.call(&mut Phone::new("4711"));
    let mut second = Phone::new("4711");
    second.call_id = "second@192.0.2.10".to_owned();
    assert_eq!(refuse(&mut world, &mut second), 486);
    assert_ended(&mut world, "streamNameInUse");

    // The trunk is full, and the box.
    let mut config = config(4, None);
    config.trunks[0].calls = Some(1);
    let mut world = World::new(config);
    world.call(&mut Phone::new("4711"));
    assert_eq!(refuse(&mut world, &mut Phone::new("4712")), 503);
    let ended = assert_ended(&mut world, "capacity");
    assert_eq!(ended["callee"], "4712");
    let mut world = World::local(1);
    world.call(&mut Phone::new("4711"));
    assert_eq!(refuse(&mut world, &mut Phone::new("4712")), 503);
    assert_ended(&mut world, "capacity");
}

#[test]
fn the_word_of_the_backend_and_its_lack_are_told_apart() {
    let mut world = hooked(|hooks| hooks.on_call = OnCall::Ask);
    world.backend.mood = Mood::Judge(403);
    assert_eq!(refuse(&mut world, &mut Phone::new("4711")), 403);
    assert_ended(&mut world, "refusedByBackend");

    let mut world = hooked(|_| {});
    world.backend.mood = Mood::Judge(403);
    let mut phone = Phone::new("4711");
    world.invite(&mut phone);
    let ack = phone.ack("");
    world.sip(phone.remote, ack);
    assert_ended(&mut world, "refusedByBackend");

    let mut world = hooked(|hooks| {
        hooks.on_call = OnCall::Ask;
        hooks.on_error = OnError::Fail;
    });
    world.backend.mood = Mood::Stall;
    world.invite(&mut Phone::new("4711"));
    world.advance(20 * SECOND);
    assert_ended(&mut world, "backendSilent");

    let mut world = hooked(|hooks| hooks.on_call = OnCall::Ask);
    world.backend.mood = Mood::Stall;
    let mut phone = Phone::new("4711");
    world.invite(&mut phone);
    let cancel = phone.cancel();
    world.sip(phone.remote, cancel);
    assert_ended(&mut world, "cancelled");
}

#[test]
fn a_call_whose_peer_goes_on_elsewhere_was_transferred() {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let (gateway, outlet) = (&mut world.gateway, &mut world.outlet);
    let asked = gateway.transfer(world.now, &phone.call_id, "1003", outlet);
    asked.unwrap();
    world.settle();
    let sent = world.take(&phone);
    world.sip(phone.remote, respond(&sent[0], 202));
    let body = "SIP/2.0 200 OK";
    let lines = format!(
        "Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n\
         Content-Length: {}",
        body.len()
    );
    let notify = phone.request("NOTIFY");
    let notify = notify.replacen("Content-Length: 0", &lines, 1) + body;
    world.sip(phone.remote, notify);
    assert_ended(&mut world, "transferred");
}

#[test]
fn ends_of_calls_out_have_their_codes() {
    for (status, lines, code) in [
        (486, "", "busy"),
        (600, "", "busy"),
        (603, "", "refused"),
        (403, "", "refused"),
        (500, "", "refused"),
        (404, "", "notFound"),
        (480, "", "noAnswer"),
        (488, "", "noCodecInCommon"),
        (302, "", "redirected"),
        (
            407,
            "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5\r\n",
            "wrongPassword",
        ),
    ] {
        let mut world = World::local(4);
        start(&mut world, &[]);
        let callee = Callee::called(&mut world, PBX);
        callee.refuse(&mut world, status, lines);
        let ended = assert_ended(&mut world, code);
        assert_eq!(
            (&ended["direction"], &ended["callee"]),
            (&json!("out"), &json!("1002"))
        );
        assert!(
            ended["detail"]
                .as_str()
                .unwrap()
                .starts_with(&status.to_string()),
            "{ended}"
        );
    }

    // Nobody is there.
    let mut world = World::local(4);
    world.answers = false;
    start(&mut world, &[]);
    world.advance(60 * SECOND);
    assert_ended(&mut world, "noAnswer");

    // Its name is none.
    let mut world = World::local(4);
    start(&mut world, &[("sipDomain", "pbx.example")]);
    let (id, name, _) = world.outlet.look_ups.remove(0);
    assert_eq!(name, "pbx.example");
    world
        .gateway
        .handle_looked_up(world.now, id, Err("no such name"));
    world.settle();
    assert_ended(&mut world, "nameNotFound");

    // Whom it reached hangs up, and we do before that.
    let mut world = World::local(4);
    start(&mut world, &[]);
    let mut callee = Callee::called(&mut world, PBX);
    let answer = callee.answer();
    callee.respond(&mut world, 200, "t", &answer);
    world.advance(SECOND);
    callee.request(&mut world, "BYE", "t");
    let ended = assert_ended(&mut world, "calleeHungUp");
    assert_eq!(
        (&ended["seconds"], &ended["stream"]),
        (&json!(1), &json!("room"))
    );
    let mut world = World::local(4);
    start(&mut world, &[]);
    let callee = Callee::called(&mut world, PBX);
    callee.respond(&mut world, 180, "t", "");
    assert!(
        world
            .gateway
            .terminate_call(world.now, "one", &mut world.outlet)
    );
    world.settle();
    assert_ended(&mut world, "hungUpByRest");

    // There is no room for it.
    let mut world = World::local(1);
    start(&mut world, &[]);
    let body = json!({"callId": "two", "callee": "1003", "sipLogin": "1001",
        "sipDomain": "203.0.113.9", "toStream": "other"});
    let reply = post(&mut world, "/rest-api/call/startup", &body);
    assert_ne!(reply.status, 200);
    world.advance(SECOND);
    let history = now(&mut world)["history"].clone();
    assert_eq!(
        (&history[0]["end"], &history[0]["callee"]),
        (&json!("capacity"), &json!("1003"))
    );
}

#[test]
fn a_registration_that_fails_is_told_for_the_trunk_and_for_the_call() {
    let mut config = config(4, None);
    config.trunks[0].proxy = Some("203.0.113.9".parse::<Host>().unwrap());
    config.trunks[0].register = Some(Register {
        login: "box".into(),
        authentication_name: "box".into(),
        password: "hunter2".to_owned().into(),
        expires: 600,
        registrar: None,
        contact: "box".into(),
    });
    let mut world = World::new(config);
    world.advance(Duration::from_millis(1));
    let registration = |world: &mut World| now(world)["trunks"][0]["registration"].clone();
    let first = registration(&mut world);
    assert_eq!(
        (&first["state"], &first["user"]),
        (&json!("registering"), &json!("box@203.0.113.9"))
    );
    let answer = |world: &mut World, code: u16, lines: &str| {
        let place = world
            .inbox
            .iter()
            .position(|(_, text)| text.starts_with("REGISTER "));
        let (to, text) = world.inbox.remove(place.expect("a REGISTER"));
        let answer =
            respond(&text, code).replacen("Content-Length", &format!("{lines}Content-Length"), 1);
        world.sip(to, answer);
        world.advance(SECOND);
    };
    answer(&mut world, 403, "");
    let failed = registration(&mut world);
    assert_eq!(
        (&failed["state"], &failed["problem"]),
        (&json!("failed"), &json!("forbidden")),
        "{failed}"
    );
    assert!(
        failed["detail"].as_str().unwrap().contains("403"),
        "{failed}"
    );
    assert!(failed["retrySeconds"].is_u64());
    assert!(!now(&mut world).to_string().contains("hunter2"));
}

#[test]
fn a_pbx_whose_name_is_none_is_down_with_that_reason() {
    let mut config = config(4, None);
    config.trunks[0].proxy = Some("pbx.example".parse::<Host>().unwrap());
    config.trunks[0].ping = Some(30 * SECOND);
    let mut world = World::new(config);
    // OPTIONS are answered below.
    world.answers = false;
    world.gateway.look_up_pbxs(&mut world.outlet);
    let id: LookUpId = world.outlet.look_ups[0].0;
    let peers = |world: &mut World| {
        world.advance(SECOND);
        now(world)["trunks"][0]["peers"].clone()
    };
    assert_eq!(peers(&mut world)[0]["state"], "unknown");
    let words = "cannot resolve pbx.example: no address";
    world.gateway.handle_looked_up(world.now, id, Err(words));
    let shown = peers(&mut world);
    assert_eq!(
        shown,
        json!([{"address": "pbx.example", "transport": "UDP", "state": "down",
            "problem": "nameNotFound", "detail": words, "rttMs": null}])
    );
    let target = trunkcast::sip::SipTarget {
        transport: trunkcast::base::network::Transport::Udp,
        address: PBX.parse().unwrap(),
    };
    world.gateway.handle_looked_up(world.now, id, Ok(&[target]));
    world.gateway.drain(world.now, &mut world.outlet);
    world.settle();
    let shown = peers(&mut world);
    assert_eq!(shown[0]["address"], PBX, "{shown}");
    let mut asked = world.inbox.iter();
    let place = asked.position(|(_, text)| text.starts_with("OPTIONS "));
    let (to, text) = world.inbox.remove(place.expect("it is asked"));
    world.sip(to, respond(&text, 200));
    let shown = peers(&mut world);
    assert_eq!(
        (&shown[0]["state"], &shown[0]["problem"]),
        (&json!("up"), &Value::Null),
        "{shown}"
    );
    assert!(shown[0]["rttMs"].as_u64().unwrap() >= 900, "{shown}");
}

/// A journal as the shell keeps it.
struct File(Journal, Vec<u8>);

impl File {
    fn of(kept: &[(u64, Vec<u8>)]) -> Self {
        let mut file = Self(Journal::default(), vec![0; JOURNAL_BYTES]);
        for (about, record) in kept {
            let write = file.0.put(*about, record).unwrap();
            let at = write.offset as usize;
            file.1[at..at + JOURNAL_SLOT_BYTES].copy_from_slice(&write.bytes);
        }
        file
    }

    /// The history after a start with this file.
    fn history(&self) -> Vec<Value> {
        let mut world = World::local(4);
        let (_, records) = Journal::read(&self.1);
        let records = records.iter().map(|record| record.bytes.as_slice());
        world.gateway.recall(records);
        now(&mut world)["history"].as_array().unwrap().clone()
    }
}

#[test]
fn the_history_outlives_a_restart_and_a_torn_journal_loses_one_call() {
    let mut world = World::local(4);
    for at in 0..HISTORY_CALLS + 8 {
        let mut phone = Phone::new(&format!("{}", 100 + at));
        world.call(&mut phone);
        world.advance(SECOND);
        world.bye(&mut phone);
        world.advance(5 * SECOND);
    }
    let before = now(&mut world)["history"].as_array().unwrap().clone();
    assert_eq!(before.len(), HISTORY_CALLS);
    assert_eq!(
        world.outlet.kept.len(),
        HISTORY_CALLS + 8,
        "one write for each"
    );
    let file = File::of(&world.outlet.kept);
    assert_eq!(file.history(), before);
    let sizes = world.outlet.kept.iter().map(|(_, record)| record.len());
    assert!(sizes.max().unwrap() <= 224);

    // A power cut within any slot.
    let mut lost = 0;
    for slot in 0..JOURNAL_BYTES / JOURNAL_SLOT_BYTES {
        let mut torn = File(file.0.clone(), file.1.clone());
        let middle = slot * JOURNAL_SLOT_BYTES + 20;
        torn.1[middle..middle + 30].fill(0x5a);
        let after = torn.history();
        assert!(after.len() >= HISTORY_CALLS - 1, "{slot}");
        lost += usize::from(after != before);
    }
    assert!((HISTORY_CALLS..HISTORY_CALLS + 9).contains(&lost), "{lost}");

    // What goes on after a restart takes the places that are oldest.
    let (_, records) = Journal::read(&file.1);
    let mut world = World::local(4);
    let records = records.iter().map(|record| record.bytes.as_slice());
    world.gateway.recall(records);
    let mut phone = Phone::new("new");
    world.call(&mut phone);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    let after = now(&mut world)["history"].as_array().unwrap().clone();
    assert_eq!(after[0]["callee"], "new");
    assert_eq!(after[1..], before[..HISTORY_CALLS - 1]);
}

#[test]
fn hostile_names_are_strings_on_one_line_and_of_bounded_length() {
    for name in [
        "</script><script>alert(1)</script>",
        "\u{202e}gnp.exe",
        "\\u0000\\\" , \\\"calls\\\": []",
        "'; drop table calls; --",
        "\u{1f600}\u{1f600}\u{1f600}",
    ] {
        let mut world = World::local(4);
        let mut phone = Phone::new("4711");
        let long = format!("{name}{}", "x".repeat(2_000));
        let invite = phone.invite();
        let invite = invite.replacen("\"Caller\" ", &format!("\"{long}\" "), 1);
        let user = format!("sip:{}@192.0.2.10>;tag=from", "9".repeat(100));
        let invite = invite.replacen("sip:1001@192.0.2.10>;tag=from", &user, 1);
        world.sip(phone.remote, invite);
        let answers = world.take(&phone);
        assert_eq!(status(answers.last().unwrap()), 200, "{answers:?}");
        let shown = call(&mut world);
        let display = shown["display"].as_str().unwrap();
        assert!(display.chars().count() <= 120, "{display}");
        assert!(
            !display.contains(['\u{202e}', '\r', '\n', '\0']),
            "{display:?}"
        );
        world.advance(60 * SECOND);
        let ended = ended(&mut world);
        for key in ["caller", "callee", "stream", "detail", "trunk"] {
            assert!(ended[key].as_str().unwrap().len() <= 160, "{ended}");
        }
        assert!(ended["caller"].as_str().unwrap().len() <= HISTORY_TEXT_BYTES);
        let (_, record) = world.outlet.kept.last().unwrap();
        assert!(matches!(
            Stored::from_bytes(record),
            Some(Stored::CallV1(_))
        ));
    }
}

#[test]
fn callers_who_are_refused_again_and_again_push_nobody_out_and_are_seldom_written() {
    let mut world = World::local(4);
    let mut good = Phone::new("4711");
    world.call(&mut good);
    world.bye(&mut good);
    world.advance(5 * SECOND);
    let written = world.outlet.kept.len();
    for at in 0..300 {
        let mut phone = Phone::new(&format!("bad-{at}"));
        phone.sdp = good.sdp.replace("RTP/AVP", "TCP/MSRP");
        assert_eq!(refuse(&mut world, &mut phone), 488);
    }
    world.advance(5 * SECOND);
    let history = now(&mut world)["history"].as_array().unwrap().clone();
    assert!(history.len() <= HISTORY_CALLS);
    assert!(
        history.iter().any(|it| it["end"] == "callerHungUp"),
        "{history:?}"
    );
    assert!(
        world.outlet.kept.len() - written <= 3,
        "{}",
        world.outlet.kept.len()
    );
}

#[test]
fn it_is_made_once_for_every_page_and_what_it_costs_is_small() {
    let mut config = config(32, Some("rtmp://198.51.100.5/live"));
    config.limits.calls = 32;
    let mut world = World::new(config);
    world.checks = false;
    let mut phones: Vec<_> = (0..HISTORY_CALLS)
        .map(|at| Phone::new(&format!("a{at}")))
        .collect();
    for phone in &mut phones {
        world.call(phone);
        world.bye(phone);
    }
    world.advance(5 * SECOND);
    for at in 0..32 {
        world.call(&mut Phone::new(&format!("b{at}")));
    }
    world.advance(SECOND);
    let before = world.gateway.now_page().renderings();
    for _ in 0..20 {
        now(&mut world);
    }
    assert_eq!(world.gateway.now_page().renderings(), before + 1);
    world.advance(Duration::from_millis(199));
    now(&mut world);
    assert_eq!(world.gateway.now_page().renderings(), before + 1);
    let mut longest = 0;
    let start = std::time::Instant::now();
    const TIMES: u32 = 20;
    for _ in 0..TIMES {
        world.now = world.now + Duration::from_millis(200);
        let body = world.gateway.now_as_json(world.now, &mut world.outlet);
        longest = longest.max(body.unwrap().len());
    }
    let each = start.elapsed() / TIMES;
    println!("32 calls and 32 of the past: {longest} bytes in {each:?}");
    assert_eq!(
        world.gateway.now_page().renderings(),
        before + 1 + u64::from(TIMES)
    );
    assert!(longest < 64 * 1_024, "{longest}");
    // Without optimisation, on a busy machine.
    assert!(each < Duration::from_millis(50), "{each:?}");
}

#[test]
fn the_trend_has_half_an_hour_and_no_more() {
    let mut world = World::local(4);
    world.checks = false;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.advance(40 * SECOND);
    world.bye(&mut phone);
    world.advance(3_000 * SECOND);
    world.call(&mut Phone::new("4712"));
    let trend = now(&mut world)["trend"].clone();
    for key in ["kbps", "lost", "calls"] {
        assert_eq!(trend[key].as_array().unwrap().len(), TREND_SAMPLES, "{key}");
    }
    assert_eq!(trend["calls"][TREND_SAMPLES - 1], 0, "{trend}");
}
