//! What a server takes steers what is negotiated: known of its kind, told by it, or learned from a
//! call that had to go on without a track.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Codec;
use trunkcast::gateway::config::{Config, rtmp_url};
use trunkcast::gateway::sink::profile::Profile;
use trunkcast::gateway::status::CallStatus;

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "rtmp://198.51.100.5/live";

/// A moment of 2027, in seconds since 1970.
const WALL: u64 = 1_800_000_000;

const AAC: &str = "a=rtpmap:97 mpeg4-generic/48000/1\r\n\
    a=fmtp:97 streamtype=5; profile-level-id=1; mode=AAC-hbr; config=1188; sizeLength=13; \
    indexLength=3; indexDeltaLength=3\r\n";
const OPUS: &str = "a=rtpmap:98 opus/48000/2\r\n";

/// A phone that offers H.264 and, in this order, these payload types of sound.
fn phone(number: &str, sounds: &str) -> Phone {
    let mut phone = Phone::new(number);
    let audio = format!("m=audio 4000 RTP/AVP {sounds} 101\r\na=rtpmap:8 PCMA/8000\r\n{AAC}{OPUS}");
    let old = "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n";
    assert!(phone.sdp.contains(old), "{}", phone.sdp);
    phone.sdp = phone.sdp.replace(old, &audio);
    phone
}

fn world_of(config: Config, policy: Policy) -> World {
    let mut world = World::new(config);
    world.policy = policy;
    world.gateway.set_wall_clock(world.now, WALL);
    world
}

fn world(policy: Policy) -> World {
    world_of(config(4, Some(URL)), policy)
}

/// Places a call, films for some seconds and hangs up; the payload types of sound that the answer
/// names, none where it refuses sound.
fn call(world: &mut World, phone: &mut Phone, seconds: u32) -> Vec<String> {
    world.call(phone);
    film(world, phone, seconds);
    let told = sounds(phone);
    world.bye(phone);
    world.advance(5 * SECOND);
    told
}

fn film(world: &mut World, phone: &Phone, seconds: u32) {
    let mut camera = Camera::new(1);
    camera.with_audio = phone.told.contains("m=audio") && sounds(phone).contains(&"8".to_owned());
    camera.film(world, phone, seconds * SECOND);
}

/// Payload types of sound in the answer, but for keys.
fn sounds(phone: &Phone) -> Vec<String> {
    let line = phone.told.lines().find_map(|l| l.strip_prefix("m=audio "));
    let mut words = line.unwrap_or("0").split(' ');
    if words.next() == Some("0") {
        return Vec::new();
    }
    let types = words.skip(1).filter(|kind| *kind != "101");
    types.map(str::to_owned).collect()
}

#[test]
fn a_server_that_closes_at_g711_gets_the_picture_alone_and_the_next_call_is_right() {
    let mut world = world(Policy::RefusesG711);
    let mut first = phone("4711", "8");
    world.call(&mut first);
    film(&mut world, &first, 40);
    let running = world.find("rtmp_4711").unwrap();
    assert_eq!(running.status, CallStatus::Established);
    assert_eq!(running.audio.codec, Some(Codec::Pcma));
    let words = running.audio.left_out();
    let words = words.expect("sound is left out").to_string();
    assert!(
        words.starts_with("audio left out: the server refused G.711"),
        "{words}"
    );
    assert!(running.video.left_out().is_none());
    // It goes on with pictures, on one connection.
    let (connections, pictures) = (world.servers.len(), world.server().pictures());
    film(&mut world, &first, 5);
    assert_eq!(world.servers.len(), connections);
    assert!(world.server().pictures() > pictures);
    assert_eq!(world.server().sounds(), 0);
    world.bye(&mut first);
    world.advance(5 * SECOND);
    assert_eq!(
        world
            .notes(": audio left out: the server refused G.711")
            .len(),
        1
    );
    let ends = world.notes("ended after");
    assert!(
        ends[0].contains("; audio left out: the server refused"),
        "{ends:?}"
    );
    assert_eq!(world.outlet.facts().len(), 2, "met, and refused");

    // Sound is refused where there is only G.711, and is AAC where there is that too.
    let connections = world.servers.len();
    let mut second = phone("4712", "8");
    assert_eq!(call(&mut world, &mut second, 5), [""; 0]);
    let notes = world.notes("audio left out: the server refused G.711");
    assert!(notes.iter().any(|note| note.contains("4712")), "{notes:?}");
    let mut third = phone("4713", "8 97");
    assert_eq!(call(&mut world, &mut third, 1), ["97"]);
    assert_eq!(world.servers.len(), connections + 2, "no attempt failed");
}

#[test]
fn what_was_learned_is_known_after_a_restart_and_forgotten_with_the_server() {
    let mut before = world(Policy::RefusesG711);
    call(&mut before, &mut phone("4711", "8"), 40);
    let kept = std::mem::take(&mut before.outlet.kept);
    let restarted = |config: Config| {
        let mut world = world_of(config, Policy::Accept);
        world.gateway.set_wall_clock(world.now, WALL + 3_600);
        world
            .gateway
            .recall(kept.iter().map(|(_, record)| record.as_slice()));
        world
    };
    let mut same = restarted(config(4, Some(URL)));
    assert_eq!(call(&mut same, &mut phone("4711", "8"), 1), [""; 0]);
    assert_eq!(same.outlet.facts(), [], "nothing new");
    let mut later = restarted(config(4, Some(URL)));
    later
        .gateway
        .set_wall_clock(later.now, WALL + 7 * 24 * 3_600 + 3_600);
    assert_eq!(call(&mut later, &mut phone("4711", "8"), 1), ["8"]);

    // Another server, or the same one called by another kind.
    let mut other = restarted(config(4, Some("rtmp://198.51.100.5/live2")));
    assert_eq!(call(&mut other, &mut phone("4711", "8"), 1), ["8"]);
    let mut config = config(4, Some(URL));
    config.trunks[0].sink = Some(Profile::NginxRtmp);
    let mut named = restarted(config);
    assert_eq!(call(&mut named, &mut phone("4711", "8"), 1), ["8"]);
    let forgotten = named
        .outlet
        .kept
        .iter()
        .filter(|(_, record)| record.is_empty());
    assert_eq!(forgotten.count(), 1);
}

#[test]
fn a_reload_with_another_address_forgets_the_server_it_leaves() {
    let mut world = world(Policy::RefusesG711);
    call(&mut world, &mut phone("4711", "8"), 40);
    let mut away = config(4, Some(URL));
    away.trunks[0].url = Some(rtmp_url("rtmp://198.51.100.6/live").unwrap());
    world.policy = Policy::Accept;
    world.gateway.reload(away).unwrap();
    assert_eq!(call(&mut world, &mut phone("4712", "8"), 1), ["8"]);
    world.gateway.reload(config(4, Some(URL))).unwrap();
    assert_eq!(call(&mut world, &mut phone("4713", "8"), 1), ["8"]);
}

#[test]
fn a_server_that_lists_opus_gets_it_from_the_second_call_on() {
    let mut world = world(Policy::ListsOpus);
    let mut first = phone("4711", "98 8");
    assert_eq!(call(&mut world, &mut first, 1), ["8"], "G.711 is likelier");
    let mut second = phone("4712", "98 8");
    assert_eq!(call(&mut world, &mut second, 1), ["98"]);
    assert_eq!(world.outlet.facts().len(), 1, "nothing new was learned");
}

#[test]
fn a_server_that_lists_nothing_is_not_offered_opus_again() {
    let mut world = world(Policy::Accept);
    // Nothing else is there: it is tried.
    let mut first = phone("4711", "98");
    assert_eq!(call(&mut world, &mut first, 1), ["98"]);
    let mut second = phone("4712", "98");
    assert_eq!(call(&mut world, &mut second, 1), [""; 0]);
    assert_eq!(world.notes("4712: audio left out: ").len(), 1);
}

#[test]
fn a_named_kind_is_right_from_the_first_call() {
    let mut config = config(4, Some(URL));
    config.trunks[0].sink = Some(Profile::YouTube);
    let mut world = world_of(config, Policy::Accept);
    assert_eq!(call(&mut world, &mut phone("4711", "8 98"), 1), [""; 0]);
    assert_eq!(call(&mut world, &mut phone("4712", "8 97 98"), 1), ["97"]);
    // Nothing of it is left: no call.
    let mut deaf = phone("4713", "8");
    deaf.sdp = deaf.sdp.split("m=video").next().unwrap().to_owned();
    let answers = world.invite(&mut deaf);
    let last = answers.last().unwrap();
    assert_eq!(status(last), 488);
}

#[test]
fn a_held_call_keeps_its_codecs() {
    let mut world = world(Policy::Accept);
    let mut phone = phone("4711", "8 97");
    world.call(&mut phone);
    let told = sounds(&phone);
    let again = phone.sdp.replace("sendrecv", "sendonly");
    assert_eq!(status(&world.reinvite(&mut phone, &again)), 200);
    assert_eq!(sounds(&phone), told);
}

#[test]
fn without_a_server_players_get_what_flv_has_a_number_for() {
    let mut world = World::local(4);
    assert_eq!(call(&mut world, &mut phone("4711", "98 8"), 1), ["8"]);
    assert_eq!(call(&mut world, &mut phone("4712", "98"), 1), ["98"]);
    assert_eq!(world.outlet.facts(), []);
}
