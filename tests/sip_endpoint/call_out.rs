//! Calls of ours: the INVITE, its ways, progress and the answer.

use std::time::Duration;

use trunkcast::base::ids::ConnId;
use trunkcast::base::network::Transport;
use trunkcast::sip::{Cause, EndedBy, SipDestination, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, OFFER, ms, peer, respond, secs, whats};
use crate::callee::{
    CONTACT, THEIRS, answered, branch, call, ended, header, named, ok, place, reply, stream,
    target, udp, within,
};

#[test]
fn an_invite_has_all_that_a_request_needs() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.display_name = Some("Anna \"A\" \\".into());
    wanted.contact_user = "1001".into();
    wanted.call_id = Some("wanted@here".into());
    wanted.session_expires = Some(1_800);
    wanted.headers = vec![("P-Preferred-Identity".into(), "<sip:1001@pbx.test>".into())];
    wanted.routes = vec!["<sip:proxy.test;lr>".into()];
    let (_, invite) = place(&mut bench, wanted);
    assert_eq!(invite.to, SipDestination::Udp(peer()));
    let tag = invite.message().from().tag().unwrap().to_owned();
    let expected = format!(
        "INVITE sip:1002@pbx.test SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:40000;branch={};rport\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:proxy.test;lr>\r\n\
         From: \"Anna \\\"A\\\" \\\\\" <sip:1001@pbx.test>;tag={tag}\r\n\
         To: <sip:1002@pbx.test>\r\n\
         Call-ID: wanted@here\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:1001@192.0.2.1:40000>\r\n\
         Allow: {}\r\n\
         Supported: {}\r\n\
         Session-Expires: 1800\r\n\
         P-Preferred-Identity: <sip:1001@pbx.test>\r\n\
         Content-Type: application/sdp\r\n\
         User-Agent: trunkcast\r\n\
         Content-Length: {}\r\n\r\n{OFFER}",
        branch(&invite),
        header(&invite, HeaderName::Allow),
        header(&invite, HeaderName::Supported),
        OFFER.len()
    );
    assert_eq!(invite.text(), expected);
    for option in ["100rel", "timer"] {
        assert!(
            invite
                .message()
                .headers()
                .has_token(HeaderName::Supported, option)
        );
    }
}

#[test]
fn a_strict_outbound_proxy_is_put_into_the_request_uri() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.routes = vec!["<sip:proxy.test>".into()];
    let (_, invite) = place(&mut bench, wanted);
    assert!(
        invite
            .text()
            .starts_with("INVITE sip:proxy.test SIP/2.0\r\n")
    );
    assert_eq!(header(&invite, HeaderName::Route), "<sip:1002@pbx.test>");
}

#[test]
fn contact_is_the_address_and_transport_that_the_peer_reaches() {
    let mut bench = Bench::new();
    bench.endpoint.set_local(
        "192.0.2.10".parse().unwrap(),
        "203.0.113.7".parse().unwrap(),
    );
    let mut wanted = call();
    wanted.targets = [target(Transport::Tcp, "192.0.2.10:5060")]
        .into_iter()
        .collect();
    wanted.contact_user = "1001".into();
    let (_, invite) = place(&mut bench, wanted);
    assert_eq!(invite.to, stream(None, "192.0.2.10:5060"));
    assert_eq!(
        header(&invite, HeaderName::Contact),
        "<sip:1001@203.0.113.7:40000;transport=tcp>"
    );
    assert!(header(&invite, HeaderName::Via).starts_with("SIP/2.0/TCP 203.0.113.7:40000;"));
    let mut wanted = call();
    wanted.request_uri = "sips:1002@pbx.test".into();
    wanted.targets = [target(Transport::Tls, "192.0.2.10:5061")]
        .into_iter()
        .collect();
    let (_, invite) = place(&mut bench, wanted);
    assert_eq!(
        header(&invite, HeaderName::Contact),
        "<sips:203.0.113.7:40000>"
    );
    assert!(header(&invite, HeaderName::Via).starts_with("SIP/2.0/TLS "));
}

#[test]
fn a_field_that_would_be_more_than_itself_is_named_and_nothing_sent() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.from = "sip:10\r\nX: y@pbx.test".into();
    let refused = bench.command(|e, now| e.call(now, wanted));
    assert_eq!(refused, Err(SipRefusal::BadField("from")));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "from cannot stand in a SIP request"
    );
    assert!(bench.take().is_empty());
    assert_eq!((bench.endpoint.calls(), bench.endpoint.busy()), (0, 0));
}

#[test]
fn what_does_not_fit_a_message_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.sdp = "v".repeat(20_000);
    let refused = bench.command(|e, now| e.call(now, wanted));
    assert_eq!(refused, Err(SipRefusal::TooLarge));
    assert_eq!((bench.endpoint.calls(), bench.endpoint.busy()), (0, 0));
}

#[test]
fn an_unanswered_invite_is_repeated_by_timer_a_and_given_up_by_timer_b() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let began = bench.now;
    let sent = bench.advance(secs(40));
    let times: Vec<Duration> = sent.iter().map(|s| s.at.since(began)).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500].map(ms));
    assert!(sent.iter().all(|s| s.bytes == invite.bytes));
    assert_eq!(ended(&mut bench).0, 408);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn over_a_stream_nothing_is_repeated() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = [target(Transport::Tcp, "192.0.2.10:5060")]
        .into_iter()
        .collect();
    place(&mut bench, wanted);
    assert!(bench.advance(secs(31)).is_empty());
    assert!(bench.advance(secs(2)).is_empty());
    assert_eq!(ended(&mut bench).0, 408);
}

#[test]
fn a_provisional_response_stops_the_repetition_and_is_told_once() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 100, "", "", ""));
    assert!(bench.advance(secs(60)).is_empty());
    assert!(bench.events.is_empty());
    for _ in 0..3 {
        assert!(
            bench
                .datagram(reply(&invite, 180, "b", CONTACT, ""))
                .is_empty()
        );
    }
    let told = SipEvent::Progress {
        id,
        code: 180,
        reason: "Words".into(),
        answer: None,
    };
    assert_eq!(bench.event(), told);
    assert!(bench.events.is_empty());
    bench.datagram(reply(&invite, 183, "b", CONTACT, THEIRS));
    let SipEvent::Progress { code, answer, .. } = bench.event() else {
        panic!();
    };
    assert_eq!((code, answer.as_deref()), (183, Some(THEIRS.as_bytes())));
    // Without a tag it is early media all the same.
    bench.datagram(reply(&invite, 183, "", "", ANSWER));
    let SipEvent::Progress { answer, .. } = bench.event() else {
        panic!();
    };
    assert_eq!(answer.as_deref(), Some(ANSWER.as_bytes()));
}

#[test]
fn an_answer_is_acknowledged_the_dialogs_way_and_again_whenever_it_comes() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    let routes = "Record-Route: <sip:192.0.2.12;lr>, <sip:192.0.2.11:5090;lr>\r\n";
    let ok = reply(&invite, 200, "b", &format!("{routes}{CONTACT}"), THEIRS);
    let sent = bench.datagram(&ok);
    assert_eq!(whats(&sent), ["ACK"]);
    let ack = &sent[0];
    let way: std::net::SocketAddr = "192.0.2.11:5090".parse().unwrap();
    assert_eq!(ack.to, SipDestination::Udp(way));
    let expected = format!(
        "ACK sip:callee@192.0.2.10:5070 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:40000;branch={};rport\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:192.0.2.11:5090;lr>\r\n\
         Route: <sip:192.0.2.12;lr>\r\n\
         From: {}\r\n\
         To: <sip:1002@pbx.test>;tag=b\r\n\
         Call-ID: {}\r\n\
         CSeq: 1 ACK\r\n\
         User-Agent: trunkcast\r\n\
         Content-Length: 0\r\n\r\n",
        branch(ack),
        header(&invite, HeaderName::From),
        header(&invite, HeaderName::CallId),
    );
    assert_eq!(ack.text(), expected);
    assert_ne!(branch(ack), branch(&invite));
    let answer = THEIRS.as_bytes().into();
    assert_eq!(bench.event(), SipEvent::Answered { id, answer });
    for _ in 0..5 {
        let again = bench.datagram(&ok);
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].bytes, again[0].to), (&ack.bytes, ack.to));
        bench.advance(secs(4));
    }
    assert!(bench.events.is_empty());
    // Timer M: nothing of the transaction is left.
    bench.advance(secs(20));
    assert!(bench.datagram(&ok).is_empty());
    assert_eq!((bench.endpoint.busy(), bench.endpoint.calls()), (1, 1));
}

#[test]
fn our_bye_goes_by_the_reversed_record_route_and_ends_it_all() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    let routes = "Record-Route: <sip:192.0.2.12;lr>\r\nRecord-Route: <sip:proxy.test;lr>\r\n";
    bench.datagram(reply(
        &invite,
        200,
        "b",
        &format!("{routes}{CONTACT}"),
        THEIRS,
    ));
    bench.event();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["BYE"]);
    let bye = &sent[0];
    assert!(
        bye.text()
            .starts_with("BYE sip:callee@192.0.2.10:5070 SIP/2.0\r\n")
    );
    let message = bye.message();
    let routes: Vec<_> = message
        .headers()
        .routes()
        .map(|r| r.uri.text.to_owned())
        .collect();
    assert_eq!(routes, ["sip:proxy.test;lr", "sip:192.0.2.12;lr"]);
    assert_eq!(header(bye, HeaderName::CSeq), "2 BYE");
    // A name is not looked up: the way of the INVITE leads there.
    assert_eq!(bye.to, SipDestination::Udp(peer()));
    bench.datagram(respond(bye, 200));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn what_the_called_party_asks_within_the_call_is_served() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.contact_user = "1001".into();
    let (id, invite, _) = answered(&mut bench, wanted);
    assert_eq!(
        whats(&bench.datagram(within(&invite, "b", "INFO", 7, "", ""))),
        ["200"]
    );
    assert_eq!(
        whats(&bench.datagram(within(&invite, "b", "OPTIONS", 8, "", ""))),
        ["200"]
    );
    assert_eq!(
        whats(&bench.datagram(within(&invite, "b", "INFO", 6, "", ""))),
        ["500"]
    );
    assert_eq!(
        whats(&bench.datagram(within(&invite, "other", "INFO", 9, "", ""))),
        ["481"]
    );
    let sent = bench.datagram(within(&invite, "b", "INVITE", 10, "", OFFER));
    assert_eq!(whats(&sent), ["100"]);
    let offer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvite { id, offer });
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["200"]);
    assert!(header(&sent[0], HeaderName::Contact).contains("sip:1001@192.0.2.1:40000"));
    assert!(
        bench
            .datagram(within(&invite, "b", "ACK", 10, "", ""))
            .is_empty()
    );
    assert!(matches!(bench.event(), SipEvent::ReinviteConfirmed { .. }));
    let reason = "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n";
    assert_eq!(
        whats(&bench.datagram(within(&invite, "b", "BYE", 11, reason, ""))),
        ["200"]
    );
    let cause = Cause::new(200, "Normal call clearing");
    let by = EndedBy::Remote;
    assert_eq!(bench.event(), SipEvent::Ended { id, cause, by });
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn an_answer_with_other_media_than_the_ringing_is_handed_up_as_it_is() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 183, "b", CONTACT, ANSWER));
    bench.event();
    bench.datagram(ok(&invite, "b"));
    let answer = THEIRS.as_bytes().into();
    assert_eq!(bench.event(), SipEvent::Answered { id, answer });
}

#[test]
fn an_answer_without_media_has_those_of_its_ringing() {
    for (ringing, tag) in [("b", "b"), ("", "b"), ("", "")] {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, call());
        bench.datagram(reply(&invite, 183, ringing, CONTACT, ANSWER));
        bench.event();
        let sent = bench.datagram(reply(&invite, 200, tag, CONTACT, ""));
        assert_eq!(whats(&sent), ["ACK"]);
        let answer = ANSWER.as_bytes().into();
        assert_eq!(bench.event(), SipEvent::Answered { id, answer });
    }
}

#[test]
fn an_answer_without_any_media_is_acknowledged_and_ended() {
    let kinds = ["", "Content-Type: text/plain\r\n"];
    for (kind, sdp) in kinds.into_iter().zip(["", "hello"]) {
        let mut bench = Bench::new();
        let (_, invite) = place(&mut bench, call());
        let mut text = reply(&invite, 200, "b", &format!("{CONTACT}{kind}"), "");
        text = text.replace("Content-Length: 0\r\n\r\n", "");
        text += &format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len());
        let sent = bench.datagram(&text);
        assert_eq!(whats(&sent), ["ACK", "BYE"]);
        assert_eq!(header(&sent[1], HeaderName::CSeq), "2 BYE");
        assert_eq!(ended(&mut bench).0, 488);
        // The ACK comes again when the answer does, the BYE does not.
        assert_eq!(whats(&bench.datagram(&text)), ["ACK"]);
        bench.datagram(respond(&sent[1], 200));
        bench.advance(secs(40));
        assert_eq!(bench.endpoint.busy(), 0);
        assert!(bench.events.is_empty());
    }
}

#[test]
fn an_answer_without_tag_or_contact_makes_a_call_all_the_same() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    let sent = bench.datagram(reply(&invite, 200, "", "", THEIRS));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(
        sent[0]
            .text()
            .starts_with("ACK sip:1002@pbx.test SIP/2.0\r\n")
    );
    assert_eq!(sent[0].to_tag(), None);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert_eq!(bye.to, SipDestination::Udp(peer()));
}

#[test]
fn a_phone_that_rings_too_long_is_cancelled() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.ring = secs(20);
    let (id, invite) = place(&mut bench, wanted);
    bench.datagram(reply(&invite, 180, "b", CONTACT, ""));
    bench.event();
    assert!(bench.advance(ms(19_900)).is_empty());
    let sent = bench.advance(ms(100));
    assert_eq!(whats(&sent), ["CANCEL"]);
    let cause = Cause::new(408, "nobody answered within 20 s");
    let by = EndedBy::Silence;
    assert_eq!(bench.event(), SipEvent::Ended { id, cause, by });
    assert_eq!(
        (bench.endpoint.calls(), bench.endpoint.closing_calls()),
        (0, 1)
    );
    bench.datagram(respond(&sent[0], 200));
    assert_eq!(
        whats(&bench.datagram(reply(&invite, 487, "b", "", ""))),
        ["ACK"]
    );
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    assert!(bench.events.is_empty());
}

#[test]
fn a_large_request_takes_tcp_and_udp_only_when_that_does_not_open() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.sdp = format!("{OFFER}a=x:{}\r\n", "y".repeat(1_000));
    wanted.contact_user = "1001".into();
    let (_, invite) = place(&mut bench, wanted.clone());
    assert_eq!(invite.to, stream(None, "192.0.2.10:5060"));
    assert!(header(&invite, HeaderName::Via).starts_with("SIP/2.0/TCP "));
    assert_eq!(
        header(&invite, HeaderName::Contact),
        "<sip:1001@192.0.2.1:40000>"
    );
    bench.command(|e, now| e.handle_connect_failed(now, peer(), false, "refused"));
    let sent = bench.take();
    assert_eq!(whats(&sent), ["INVITE"]);
    let again = &sent[0];
    assert_eq!(again.to, SipDestination::Udp(peer()));
    assert!(header(again, HeaderName::Via).starts_with("SIP/2.0/UDP "));
    assert_eq!(branch(again), branch(&invite));
    assert_eq!(header(again, HeaderName::CSeq), "1 INVITE");
    // From here on it is a request over UDP like any other.
    assert_eq!(whats(&bench.advance(ms(500))), ["INVITE"]);
    let sent = bench.datagram(ok(again, "b"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(matches!(sent[0].to, SipDestination::Udp(_)));
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));

    // A connection that neither opens nor fails is waited for no longer than some seconds.
    let mut bench = Bench::new();
    place(&mut bench, wanted.clone());
    assert!(bench.advance(ms(3_900)).is_empty());
    let again = bench.advance(ms(200));
    assert_eq!(whats(&again), ["INVITE"]);
    assert_eq!(again[0].to, SipDestination::Udp(peer()));

    // Where the connection opens, all of it goes there.
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, wanted);
    bench
        .command(|e, now| e.handle_connected(now, ConnId(4), peer(), false))
        .unwrap();
    let sent = bench.stream(ConnId(4), ok(&invite, "b"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
}

#[test]
fn the_size_that_takes_tcp_is_1_300_bytes() {
    let size = |sdp: String| {
        let mut bench = Bench::new();
        let mut wanted = call();
        wanted.sdp = sdp;
        let (_, invite) = place(&mut bench, wanted);
        (invite.bytes.len(), invite.to.is_reliable())
    };
    let (empty, _) = size("v".repeat(700));
    assert_eq!(size("v".repeat(700 + 1_300 - empty)), (1_300, false));
    assert!(size("v".repeat(701 + 1_300 - empty)).1);
}

#[test]
fn targets_are_tried_in_turn_when_nobody_answers() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = udp(&["192.0.2.10:5060", "192.0.2.20:5062"]);
    wanted
        .targets
        .push(target(Transport::Tcp, "192.0.2.30:5060"))
        .unwrap();
    let (id, first) = place(&mut bench, wanted);
    let sent = bench.advance(secs(32));
    let second = sent.last().unwrap().clone();
    assert_eq!(
        second.to,
        SipDestination::Udp("192.0.2.20:5062".parse().unwrap())
    );
    assert_ne!(branch(&second), branch(&first));
    assert_eq!(header(&second, HeaderName::CSeq), "2 INVITE");
    for name in [HeaderName::CallId, HeaderName::From] {
        assert_eq!(header(&second, name), header(&first, name));
    }
    // 503 goes on at once.
    let sent = bench.datagram(reply(&second, 503, "x", "", ""));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    assert_eq!((sent[0].to, branch(&sent[0])), (second.to, branch(&second)));
    let third = sent[1].clone();
    assert_eq!(third.to, stream(None, "192.0.2.30:5060"));
    assert!(bench.events.is_empty());
    // What the first one says after all is for nobody, and its answer gets a BYE.
    assert!(
        bench
            .datagram(reply(&first, 180, "late", "", ""))
            .is_empty()
    );
    bench.command(|e, now| {
        e.handle_connect_failed(now, "192.0.2.30:5060".parse().unwrap(), false, "refused")
    });
    let SipEvent::Ended { cause, by, .. } = bench.event() else {
        panic!();
    };
    assert_eq!((cause.code, by), (503, EndedBy::Silence));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    let gone = bench.command(|e, now| e.hangup(now, id, Cause::new(200, "")));
    assert_eq!(gone, Err(SipRefusal::NoSuchCall));
}

#[test]
fn a_late_answer_of_a_target_that_was_left_is_acknowledged_and_ended() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = udp(&["192.0.2.10:5060", "192.0.2.20:5060"]);
    let (_, first) = place(&mut bench, wanted);
    let sent = bench.datagram(reply(&first, 503, "x", "", ""));
    let second = sent[1].clone();
    // Refused once, an INVITE has no other end.
    assert!(bench.datagram(ok(&first, "z")).is_empty());
    let sent = bench.datagram(ok(&second, "b"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
}

#[test]
fn an_invite_on_a_connection_that_breaks_goes_again_once() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = [target(Transport::Tcp, "192.0.2.10:5060")]
        .into_iter()
        .collect();
    let (_, invite) = place(&mut bench, wanted);
    bench
        .command(|e, now| e.handle_connected(now, ConnId(1), peer(), false))
        .unwrap();
    bench.command(|e, now| e.handle_disconnected(now, ConnId(1)));
    let sent = bench.take();
    assert_eq!(whats(&sent), ["INVITE"]);
    assert_eq!(
        (&sent[0].bytes, sent[0].to),
        (&invite.bytes, stream(None, "192.0.2.10:5060"))
    );
    bench
        .command(|e, now| e.handle_connected(now, ConnId(2), peer(), false))
        .unwrap();
    bench.command(|e, now| e.handle_disconnected(now, ConnId(2)));
    assert!(bench.take().is_empty());
    assert_eq!(ended(&mut bench).0, 503);
}

#[test]
fn a_ringing_call_survives_its_connection() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = [target(Transport::Tcp, "192.0.2.10:5060")]
        .into_iter()
        .collect();
    let (_, invite) = place(&mut bench, wanted);
    bench
        .command(|e, now| e.handle_connected(now, ConnId(1), peer(), false))
        .unwrap();
    bench.stream(ConnId(1), reply(&invite, 180, "b", CONTACT, ""));
    bench.event();
    bench.command(|e, now| e.handle_disconnected(now, ConnId(1)));
    assert!(bench.take().is_empty());
    bench.connect(ConnId(2));
    let contact = "Contact: <sip:callee@192.0.2.10:5060;transport=tcp>\r\n";
    let sent = bench.stream(ConnId(2), reply(&invite, 200, "b", contact, THEIRS));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
}

#[test]
fn the_call_is_full_when_calls_or_tables_are() {
    let mut bench = Bench::with_calls(2);
    let (first, _) = place(&mut bench, call());
    place(&mut bench, call());
    let refused = bench.command(|e, now| e.call(now, call()));
    assert_eq!(refused, Err(SipRefusal::Full));
    bench
        .command(|e, now| e.hangup(now, first, Cause::new(200, "")))
        .unwrap();
    place(&mut bench, call());
    // Calls taken back before anybody answered hold their places until timer B.
    let mut full = 0;
    for _ in 0..200 {
        match bench.command(|e, now| e.call(now, call())) {
            Ok(id) => bench
                .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
                .unwrap(),
            Err(refusal) => {
                assert_eq!(refusal, SipRefusal::Full);
                full += 1;
            }
        }
    }
    assert!(full > 0);
    assert_eq!(bench.endpoint.calls(), 2);
    bench.advance(secs(70));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn an_owner_that_does_not_drain_hears_of_every_end() {
    let mut bench = Bench::with_calls(4);
    for _ in 0..300 {
        let now = bench.now;
        let Ok(_) = bench.endpoint.call(now, call()) else {
            break;
        };
        let mut invite = None;
        while let Some(transmit) = bench.endpoint.poll_transmit() {
            invite = Some(crate::bench::Sent {
                at: now,
                to: transmit.destination,
                bytes: transmit.bytes.to_vec(),
            });
        }
        let invite = invite.unwrap();
        for number in 0..20 {
            let ringing = reply(&invite, 101 + number, "b", "", "");
            bench
                .endpoint
                .handle_datagram(now, peer(), ringing.as_bytes());
        }
        let busy = reply(&invite, 486, "b", "", "");
        bench.endpoint.handle_datagram(now, peer(), busy.as_bytes());
    }
    bench.drain();
    let ended = bench
        .events
        .iter()
        .filter(|e| matches!(e, SipEvent::Ended { .. }))
        .count();
    assert!(ended >= 4, "{ended}");
    assert_eq!(bench.endpoint.calls(), 0);
}

#[test]
fn a_min_se_that_is_too_small_is_raised_and_asked_again() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.session_expires = Some(90);
    let (_, invite) = place(&mut bench, wanted);
    let sent = bench.datagram(reply(&invite, 422, "b", "Min-SE: 1800;x=y\r\n", ""));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    assert_eq!(named(&sent[1], "Min-SE").as_deref(), Some("1800"));
    assert_eq!(header(&sent[1], HeaderName::SessionExpires), "1800");
    assert_eq!(header(&sent[1], HeaderName::CSeq), "2 INVITE");
    // The same again leads nowhere.
    let sent = bench.datagram(reply(&sent[1], 422, "b", "Min-SE: 1800\r\n", ""));
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(ended(&mut bench).0, 422);
}
