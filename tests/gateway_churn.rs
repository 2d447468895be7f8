//! A thousand calls of every kind leave nothing behind.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::gateway::Usage;

const SECOND: Duration = Duration::from_secs(1);
const CALLS: usize = 1_000;

/// What becomes of a call.
const KINDS: [&str; 10] = [
    "the caller hangs up",
    "we hang up",
    "cancelled",
    "no codec of ours",
    "broken SDP",
    "no ACK",
    "no media",
    "over TCP",
    "the connection breaks",
    "the stream breaks",
];

fn settle_down(world: &mut World) {
    world.advance(40 * SECOND);
    world.gateway.check_invariants();
    assert_eq!(world.gateway.usage(), Usage::default());
    assert_eq!(world.pool.available(), world.pool.capacity());
    assert_eq!(world.outlet.connections(), 0);
    assert!(world.outlet.media.is_empty());
    assert!(world.gateway.is_idle());
    // With nothing to do there is nothing to wake up for.
    assert_eq!(world.gateway.poll_timeout(), None);
}

#[test]
fn a_thousand_calls_leave_everything_as_it_was() {
    let mut world = World::publishing(32);
    world.checks = false;
    world.outlet.forgetful = true;
    let (mut answered, mut refused) = (0, 0);
    for at in 0..CALLS {
        let kind = KINDS[at % KINDS.len()];
        let mut phone = Phone::new(&format!("number{at}"));
        match kind {
            "no codec of ours" => {
                phone.sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\n\
                             c=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n\
                             m=video 4002 RTP/AVP 31\r\n"
                    .into();
            }
            "broken SDP" => phone.sdp = "v=0\r\nm=audio\r\n".into(),
            "we hang up" => phone.sdp.clear(),
            _ => {}
        }
        if kind == "over TCP" || kind == "the connection breaks" {
            phone.transport = "TCP";
            by_tcp(&mut world, &mut phone, kind == "the connection breaks");
            answered += 1;
            continue;
        }
        let answers = world.invite(&mut phone);
        let last = answers.last().unwrap().clone();
        let code = status(&last);
        if kind == "no codec of ours" || kind == "broken SDP" {
            assert!(matches!(code, 400 | 488), "{kind}: {last}");
            let ack = phone.ack_refusal(&last);
            world.sip(phone.remote, ack);
            refused += 1;
            continue;
        }
        assert_eq!(code, 200, "{kind}: {last}");
        answered += 1;
        if kind == "no ACK" {
            // Its 200 is repeated for 32 s, and then there is a BYE.
            let (cancel, remote) = (phone.cancel(), phone.remote);
            world.sip(remote, cancel);
            continue;
        }
        // Without an offer of the caller, an ACK without an answer ends the call.
        let ack = phone.ack("");
        if kind == "cancelled" {
            let cancel = phone.cancel();
            world.sip(phone.remote, cancel);
        }
        world.sip(phone.remote, ack);
        if kind != "no media" && kind != "we hang up" {
            let player = world.play(&phone_stream(&phone));
            Camera::new(at as u64).film(&mut world, &phone, SECOND / 5);
            assert!(world.players[player].pictures().0 >= 4, "{kind}");
            assert!(
                world.servers.iter().any(|server| server.pictures() >= 4),
                "{kind}"
            );
        }
        if kind == "the stream breaks" {
            world.kill_server();
        }
        if kind != "we hang up" {
            assert_eq!(status(&world.bye(&mut phone)[0]), 200, "{kind}");
        }
        if at % 7 == 0 {
            world.advance(SECOND);
        }
        world.inbox.clear();
        world.servers.clear();
        world.players.clear();
    }
    let counters = *world.gateway.counters();
    assert_eq!(
        (counters.calls, counters.calls_without_media),
        (answered, refused)
    );
    assert_eq!((counters.calls_refused, counters.calls_crashed), (0, 0));
    settle_down(&mut world);
    // And one more, as the first.
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, SECOND);
    assert_eq!(world.server().pictures(), 25);
    world.bye(&mut phone);
    settle_down(&mut world);
}

#[test]
fn calls_that_change_their_codecs_and_servers_leave_everything_as_it_was() {
    use HandsetPicture::*;
    use HandsetSound::*;
    // What a server does, and the codecs that a call begins and goes on with.
    for (policy, before, after) in [
        (Policy::Accept, (H264, Pcma), (H264, Generic)),
        (Policy::RefusesG711, (H264, Pcma), (H264, Latm)),
        (Policy::Redirects(ELSEWHERE), (Vp8, Opus), (H264, Opus)),
        (Policy::ListsAll, (Vp8, Opus), (Vp8, LatmInBand)),
        (Policy::ListsAll, (H264, Speex), (Vp8, Speex)),
    ] {
        let mut world = World::publishing(4);
        world.checks = false;
        world.outlet.forgetful = true;
        world.policy = policy;
        let mut pictures = 0;
        for at in 0..100 {
            let mut phone = phone_of(&format!("number{at}"), before.0, before.1);
            world.call(&mut phone);
            for (picture, sound) in [before, after] {
                let answer = world.reinvite(&mut phone, &offer_of(picture, sound));
                assert_eq!(status(&answer), 200, "{policy:?}: {answer}");
                let mut handset = Handset::new(picture, sound, at);
                handset.live(&mut world, SECOND / 5, |world, track, bytes| {
                    world.media(&phone, track, &bytes);
                });
            }
            pictures += world
                .servers
                .iter()
                .map(RtmpServer::pictures)
                .sum::<usize>();
            if at % 10 == 3 {
                world.kill_server();
            }
            assert_eq!(status(&world.bye(&mut phone)[0]), 200, "{policy:?}");
            if at % 7 == 0 {
                world.advance(SECOND);
            }
            world.inbox.clear();
            world.servers.clear();
        }
        // One that ends its stream at the first sound gets few.
        assert!(pictures >= 100, "{policy:?}: {pictures} pictures");
        settle_down(&mut world);
        let counters = *world.gateway.counters();
        assert_eq!((counters.calls, counters.calls_crashed), (100, 0));
    }
}

fn phone_stream(phone: &Phone) -> String {
    format!("rtmp_{}", phone.callee)
}

/// A call whose signalling goes over a connection of its own, which breaks in the midst of it.
fn by_tcp(world: &mut World, phone: &mut Phone, breaks: bool) {
    let conn = world.sip_connect(phone.remote);
    let invite = phone.invite();
    // In two pieces.
    let (first, second) = invite.split_at(invite.len() / 3);
    world.sip_stream(conn, first);
    world.sip_stream(conn, second);
    let answers = world.take(phone).concat();
    let at = answers.find("SIP/2.0 200").expect("a 200 over TCP");
    phone.learn(&answers[at..]);
    let ack = phone.ack("");
    world.sip_stream(conn, ack);
    Camera::new(1).film(world, phone, SECOND / 5);
    if breaks {
        world.disconnect(conn, "Connection reset by peer");
        let again = world.sip_connect(phone.remote);
        let bye = phone.request("BYE");
        world.sip_stream(again, bye);
        world.disconnect(again, "closed by the peer");
    } else {
        let bye = phone.request("BYE");
        world.sip_stream(conn, bye);
        world.disconnect(conn, "closed by the peer");
    }
    // Nothing comes to a port that was closed.
    world.media(phone, Track::Audio, &[0x80; 172]);
}
