//! Transfers of calls whose stream goes on: over one connection, with every frame whole.

mod gateway_support;
mod rtp_support;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use trunkcast::gateway::status::CallStatus;
use trunkcast::gateway::transfer::{TransferRefused, TransferStatus};

const SECOND: Duration = Duration::from_secs(1);

/// The phone that calls go on with, a host that may call.
const TARGET: &str = "192.0.2.20:5060";

/// A call that films, with a player.
fn filming() -> Studio {
    let mut studio = Studio::call(Some(Sound::PCMA), Some(Picture::h264(640, 480)));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    studio
}

/// A REFER of the caller; what came back.
fn refer(studio: &mut Studio, to: &str) -> Vec<String> {
    let text = studio.phone.request("REFER");
    let lines = format!("Refer-To: {to}\r\nReferred-By: <sip:1001@192.0.2.10>\r\nContent-Length");
    let text = text.replacen("Content-Length", &lines, 1);
    let remote = studio.phone.remote;
    studio.world.sip(remote, text);
    heard(studio)
}

/// What came to the caller, with every NOTIFY answered until there is no more.
fn heard(studio: &mut Studio) -> Vec<String> {
    let remote = studio.phone.remote;
    let mut heard = Vec::new();
    loop {
        let new = studio.world.take(&studio.phone);
        if new.is_empty() {
            return heard;
        }
        for text in new {
            if text.starts_with("NOTIFY ") {
                studio.world.sip(remote, respond(&text, 200));
            }
            heard.push(text);
        }
    }
}

/// The states that NOTIFYs told.
fn told(heard: &[String]) -> Vec<&str> {
    let bodies = heard.iter().filter(|text| text.starts_with("NOTIFY "));
    let lines = bodies.map(|text| text.split_once("\r\n\r\n").unwrap().1.trim());
    lines.map(|line| &line["SIP/2.0 ".len()..][..3]).collect()
}

/// The same sound and pictures by the numbers that the studio has.
fn answer(media: SocketAddr) -> String {
    let (ip, audio, video) = (media.ip(), media.port(), media.port() + 2);
    format!(
        "v=0\r\no=- 9 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {audio} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n\
         m=video {video} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
         a=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:* nack pli\r\n"
    )
}

/// Has the target film from now on: another source at another address, by the offer's numbers.
fn film_on(studio: &mut Studio, media: SocketAddr) {
    studio.phone.media = media;
    let moved = studio.picture.clone().numbered(97);
    studio.picture = moved.clone();
    studio.other_camera();
    studio.other_microphone();
    studio.film(3 * SECOND);
}

/// The stream came over one connection without a break, and frames of the last second are in it.
fn assert_one_stream(studio: &mut Studio, sent_before: usize) {
    assert_eq!(studio.world.attempts.len(), 1, "one publish");
    let published = studio.check();
    let last: Vec<usize> = (studio.sent.len() - 25..studio.sent.len()).collect();
    assert!(studio.sent.len() > sent_before + 25);
    assert!(published.ends_with(&last), "{published:?}");
    studio.check_player(0);
    studio.world.gateway.check_invariants();
    assert_eq!(studio.world.gateway.counters().calls_crashed, 0);
}

fn transfer(studio: &Studio) -> (TransferStatus, u16) {
    let call = studio.world.find("rtmp_4711").expect("the call is gone");
    let transfer = call.transfer.as_ref().expect("no transfer");
    (transfer.status, transfer.code)
}

#[test]
fn a_blind_transfer_goes_on_in_the_same_stream() {
    let mut studio = filming();
    let sent = refer(&mut studio, "<sip:1003@192.0.2.20>");
    assert_eq!(status(&sent[0]), 202, "{sent:?}");
    assert_eq!(told(&sent), ["100"]);
    assert_eq!(transfer(&studio), (TransferStatus::Accepted, 0));
    let callee = Callee::called(&mut studio.world, TARGET);
    assert!(callee.invite.starts_with("INVITE sip:1003@192.0.2.20 "));
    assert!(callee.invite.len() <= 1_200, "{}", callee.invite.len());
    let by = headers(&callee.invite, "Referred-By");
    assert_eq!(by, ["<sip:1001@192.0.2.10>"]);
    let ports = (studio.phone.audio_port, studio.phone.video_port);
    assert_eq!((callee.phone.audio_port, callee.phone.video_port), ports);
    callee.respond(&mut studio.world, 180, "t", "");
    assert_eq!(told(&heard(&mut studio)), ["180"]);
    // The caller is still seen while it rings.
    studio.film(SECOND);
    let before = studio.sent.len();
    callee.respond(&mut studio.world, 200, "t", &answer(callee.phone.media));
    let acks = callee.heard(&mut studio.world);
    assert!(acks[0].starts_with("ACK "), "{acks:?}");
    let sent = heard(&mut studio);
    assert_eq!(told(&sent), ["200"]);
    assert!(sent[0].contains("terminated"), "{sent:?}");
    assert!(sent.last().unwrap().starts_with("BYE "), "{sent:?}");
    assert_eq!(transfer(&studio), (TransferStatus::Completed, 200));
    film_on(&mut studio, callee.phone.media);
    assert_one_stream(&mut studio, before);
    assert_eq!(studio.world.gateway.calls().count(), 1);
    // The new party's BYE ends the call.
    let mut callee = callee;
    let sent = callee.request(&mut studio.world, "BYE", "t");
    assert_eq!(status(&sent[0]), 200);
    studio.world.advance(40 * SECOND);
    assert!(studio.world.gateway.is_idle());
    assert_eq!(studio.world.gateway.usage().sip, 0);
}

#[test]
fn a_target_that_is_busy_leaves_the_call_as_it_was() {
    for code in [486, 603, 404, 302] {
        let mut studio = filming();
        refer(&mut studio, "<sip:1003@192.0.2.20>");
        let callee = Callee::called(&mut studio.world, TARGET);
        // Nobody is called elsewhere than at hosts that may call.
        let lines = "Contact: <sip:00900123@expensive.test>\r\n";
        callee.refuse(&mut studio.world, code, lines);
        let sent = heard(&mut studio);
        assert_eq!(told(&sent), [code.to_string()], "{sent:?}");
        assert!(!sent.iter().any(|text| text.starts_with("BYE ")));
        assert_eq!(transfer(&studio), (TransferStatus::Failed, code));
        let before = studio.sent.len();
        studio.film(2 * SECOND);
        assert_one_stream(&mut studio, before);
        // And it can be tried again.
        let sent = refer(&mut studio, "<sip:1003@192.0.2.20>");
        assert_eq!(status(&sent[0]), 202);
    }
}

#[test]
fn an_answer_without_media_leaves_the_call_as_it_was() {
    let mut studio = filming();
    refer(&mut studio, "<sip:1003@192.0.2.20>");
    let callee = Callee::called(&mut studio.world, TARGET);
    let nothing = "v=0\r\no=- 9 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
                   m=audio 0 RTP/AVP 8\r\nm=video 0 RTP/AVP 97\r\n";
    callee.respond(&mut studio.world, 200, "t", nothing);
    let sent = callee.heard(&mut studio.world);
    assert!(sent.last().unwrap().starts_with("BYE "), "{sent:?}");
    assert_eq!(told(&heard(&mut studio)), ["488"]);
    let before = studio.sent.len();
    studio.film(2 * SECOND);
    assert_one_stream(&mut studio, before);
}

#[test]
fn a_caller_that_hangs_up_at_once_leaves_the_call_to_the_target() {
    let mut studio = filming();
    refer(&mut studio, "<sip:1003@192.0.2.20>");
    let callee = Callee::called(&mut studio.world, TARGET);
    let (world, phone) = (&mut studio.world, &mut studio.phone);
    assert_eq!(status(world.bye(phone).last().unwrap()), 200);
    callee.respond(world, 180, "t", "");
    world.advance(20 * SECOND);
    assert_eq!(world.gateway.calls().count(), 1);
    callee.respond(world, 200, "t", &answer(callee.phone.media));
    let before = studio.sent.len();
    film_on(&mut studio, callee.phone.media);
    assert_one_stream(&mut studio, before);
    let call = studio.world.find("rtmp_4711").unwrap();
    assert_eq!(call.status, CallStatus::Established);

    // Where the target is not reached, nobody is left.
    let mut studio = filming();
    refer(&mut studio, "<sip:1003@192.0.2.20>");
    let callee = Callee::called(&mut studio.world, TARGET);
    studio.world.bye(&mut studio.phone);
    callee.respond(&mut studio.world, 486, "t", "");
    studio.world.advance(40 * SECOND);
    assert!(studio.world.gateway.is_idle());
    assert_eq!(studio.world.gateway.usage().sip, 0);
}

#[test]
fn a_call_that_ends_takes_the_call_to_the_target_back() {
    for stops in [false, true] {
        let mut studio = filming();
        refer(&mut studio, "<sip:1003@192.0.2.20>");
        let callee = Callee::called(&mut studio.world, TARGET);
        callee.respond(&mut studio.world, 180, "t", "");
        let World {
            gateway,
            outlet,
            now,
            ..
        } = &mut studio.world;
        if stops {
            gateway.stop(*now);
        } else {
            let id = gateway.calls().next().unwrap().sip_call_id.clone();
            assert!(gateway.terminate_call(*now, &id, outlet));
        }
        studio.world.settle();
        let sent = callee.heard(&mut studio.world);
        let cancel = sent.iter().find(|text| text.starts_with("CANCEL "));
        callee.cancelled(&mut studio.world, cancel.expect("no CANCEL"));
        studio.world.advance(40 * SECOND);
        assert!(studio.world.gateway.is_idle());
        assert_eq!(studio.world.gateway.usage().sip, 0);
    }
}

#[test]
fn an_attended_transfer_goes_out_with_replaces() {
    let mut studio = filming();
    let to = "<sip:1003@192.0.2.20?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2>";
    let sent = refer(&mut studio, to);
    assert_eq!(status(&sent[0]), 202);
    let callee = Callee::called(&mut studio.world, TARGET);
    let replaces = headers(&callee.invite, "Replaces");
    assert_eq!(replaces, ["x@y;to-tag=1;from-tag=2"]);
    assert!(callee.invite.starts_with("INVITE sip:1003@192.0.2.20 "));
    callee.respond(&mut studio.world, 200, "t", &answer(callee.phone.media));
    let before = studio.sent.len();
    film_on(&mut studio, callee.phone.media);
    assert_one_stream(&mut studio, before);
}

#[test]
fn who_takes_a_call_over_gets_its_stream() {
    let mut studio = filming();
    let mut taker = Phone::new("taker");
    taker.remote = TARGET.parse().unwrap();
    taker.media = "192.0.2.20:4000".parse().unwrap();
    let to_tag = studio.phone.to_tag.clone().unwrap();
    let invite = taker.invite();
    let offer = answer(taker.media);
    let (head, _) = invite.split_once("\r\n\r\n").unwrap();
    let from = headers(&studio.phone.request("INFO"), "From")[0].to_owned();
    let from_tag = from.split_once(";tag=").unwrap().1.to_owned();
    let replaces = format!(
        "Replaces: {};to-tag={to_tag};from-tag={from_tag}\r\nContent-Length: {}",
        studio.phone.call_id,
        offer.len()
    );
    let at = head.find("Content-Length: ").unwrap();
    let line = head[at..].lines().next().unwrap();
    let invite = format!("{}\r\n\r\n{offer}", head.replacen(line, &replaces, 1));
    studio.world.sip(taker.remote, invite);
    let sent = studio.world.take(&taker);
    let ok = sent.last().unwrap();
    assert_eq!(status(ok), 200, "{sent:?}");
    taker.learn(ok);
    assert_eq!(taker.audio_port, studio.phone.audio_port);
    assert!(heard(&mut studio).is_empty(), "not before the ACK");
    let ack = taker.ack("");
    studio.world.sip(taker.remote, ack);
    let sent = heard(&mut studio);
    assert!(sent[0].starts_with("BYE "), "{sent:?}");
    let before = studio.sent.len();
    film_on(&mut studio, taker.media);
    assert_one_stream(&mut studio, before);
    assert_eq!(studio.world.gateway.calls().count(), 1);
    assert_eq!(status(studio.world.bye(&mut taker).last().unwrap()), 200);
    studio.world.advance(40 * SECOND);
    assert!(studio.world.gateway.is_idle());
}

#[test]
fn a_target_elsewhere_is_called_through_the_pbx_alone() {
    for (to, direct) in [
        ("<sip:00900123@203.0.113.66>", false),
        ("<sip:00900123@expensive.test>", false),
        ("<sip:1003@192.0.2.10>", true),
    ] {
        let mut studio = filming();
        let sent = refer(&mut studio, to);
        assert_eq!(status(&sent[0]), 202, "{to}");
        // To where the caller is, whatever the host.
        let callee = Callee::called(&mut studio.world, PHONE);
        let uri = to.trim_matches(['<', '>']);
        assert!(callee.invite.starts_with(&format!("INVITE {uri} ")));
        let routes = headers(&callee.invite, "Route");
        let through = format!("<sip:{PHONE};lr>");
        let wanted: &[&str] = if direct { &[] } else { &[&through] };
        assert_eq!(routes, wanted, "{to}");
    }
    let mut studio = filming();
    for (to, code) in [
        ("<sip:4711@192.0.2.1:40000>", 403),
        ("<sips:1003@192.0.2.20>", 416),
        ("<tel:+4930>", 416),
    ] {
        let sent = refer(&mut studio, to);
        assert_eq!(status(&sent[0]), code, "{to}");
        let calls = studio.world.inbox.iter();
        assert!(!calls.clone().any(|(_, text)| text.starts_with("INVITE ")));
    }
}

#[test]
fn a_configured_pbx_is_called_whatever_hosts_may_call() {
    let mut config = config(4, Some("rtmp://198.51.100.5/live"));
    let pbx = "192.0.2.10".parse().unwrap();
    config.trunks[0].targets = vec![trunkcast::gateway::config::HostPort::new(pbx, None)];
    let sound = Some(Sound::PCMA);
    let mut studio = Studio::call_with(config, sound, Some(Picture::h264(640, 480)));
    studio.film(SECOND);
    let sent = refer(&mut studio, "<sip:1003@192.0.2.20>");
    assert_eq!(status(&sent[0]), 202);
    let callee = Callee::called(&mut studio.world, PHONE);
    assert_eq!(
        headers(&callee.invite, "Route"),
        [format!("<sip:{PHONE};lr>")]
    );
}

/// Asks for a transfer of the only call.
fn ask(studio: &mut Studio, target: &str) -> Result<(), TransferRefused> {
    let World {
        gateway,
        outlet,
        now,
        ..
    } = &mut studio.world;
    let id = gateway.calls().next().unwrap().sip_call_id.clone();
    let asked = gateway.transfer(*now, &id, target, outlet);
    studio.world.settle();
    asked
}

#[test]
fn the_box_refers_its_caller_and_ends_the_call_once_that_is_done() {
    let mut studio = filming();
    assert_eq!(ask(&mut studio, ""), Err(TransferRefused::Target));
    assert_eq!(ask(&mut studio, "sip:a b"), Err(TransferRefused::Target));
    assert_eq!(ask(&mut studio, "1003"), Ok(()));
    assert_eq!(transfer(&studio), (TransferStatus::Pending, 0));
    let sent = studio.world.take(&studio.phone);
    let to = headers(&sent[0], "Refer-To");
    assert_eq!(to, ["<sip:1003@192.0.2.10:5060>"], "{sent:?}");
    assert_eq!(ask(&mut studio, "1004"), Err(TransferRefused::WrongState));
    let remote = studio.phone.remote;
    studio.world.sip(remote, respond(&sent[0], 202));
    assert_eq!(transfer(&studio), (TransferStatus::Accepted, 202));
    for (body, wanted) in [
        ("SIP/2.0 180 Ringing", Some(TransferStatus::Trying)),
        ("SIP/2.0 200 OK", None),
    ] {
        let text = studio.phone.request("NOTIFY");
        let lines = format!(
            "Event: refer\r\nSubscription-State: active\r\n\
             Content-Type: message/sipfrag\r\nContent-Length: {}",
            body.len()
        );
        let text = text.replacen("Content-Length: 0", &lines, 1) + body;
        studio.world.sip(remote, text);
        match wanted {
            Some(wanted) => assert_eq!(transfer(&studio).0, wanted),
            None => {
                let sent = studio.world.take(&studio.phone);
                assert!(sent.last().unwrap().starts_with("BYE "), "{sent:?}");
            }
        }
    }
    studio.world.advance(40 * SECOND);
    assert!(studio.world.gateway.is_idle());
}
