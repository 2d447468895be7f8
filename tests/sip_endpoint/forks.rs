//! One INVITE, several answers: early dialogs, reliable provisional responses (RFC 3262), and the one
//! answer that counts.

use trunkcast::limits::SIP_FORKS;
use trunkcast::sip::{CallOut, Cause, SipDestination, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, OFFER, Sent, respond, secs, whats};
use crate::callee::{CONTACT, THEIRS, branch, call, header, named, ok, place, reply, within};

fn reliable(invite: &Sent, tag: &str, rseq: u32, sdp: &str) -> String {
    let lines = format!("Require: 100rel\r\nRSeq: {rseq}\r\n{CONTACT}");
    reply(invite, 183, tag, &lines, sdp)
}

#[test]
fn the_first_answer_wins_and_every_other_is_ended() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    for tag in ["a", "b", "c"] {
        bench.datagram(reply(&invite, 180, tag, CONTACT, ""));
        bench.event();
    }
    assert_eq!(whats(&bench.datagram(ok(&invite, "b"))), ["ACK"]);
    let answer = THEIRS.as_bytes().into();
    assert_eq!(bench.event(), SipEvent::Answered { id, answer });
    let sent = bench.datagram(ok(&invite, "a"));
    assert_eq!(whats(&sent), ["ACK", "BYE"]);
    for message in &sent {
        assert_eq!(message.to_tag().as_deref(), Some("a"));
        assert_eq!(
            header(message, HeaderName::From),
            header(&invite, HeaderName::From)
        );
        assert!(
            message
                .text()
                .contains(" sip:callee@192.0.2.10:5070 SIP/2.0\r\n")
        );
    }
    assert_eq!(header(&sent[0], HeaderName::CSeq), "1 ACK");
    assert_eq!(header(&sent[1], HeaderName::CSeq), "2 BYE");
    // That it was answered ends that dialog alone.
    bench.datagram(respond(&sent[1], 200));
    assert_eq!(whats(&bench.datagram(ok(&invite, "a"))), ["ACK"]);
    assert_eq!(whats(&bench.datagram(ok(&invite, "b"))), ["ACK"]);
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.calls(), 1);
    assert_eq!(
        whats(&bench.datagram(within(&invite, "b", "BYE", 1, "", ""))),
        ["200"]
    );
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn each_fork_has_its_own_media() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 183, "a", CONTACT, ANSWER));
    bench.datagram(reply(&invite, 183, "b", CONTACT, THEIRS));
    assert_eq!(bench.events.len(), 2);
    bench.events.clear();
    bench.datagram(reply(&invite, 200, "a", CONTACT, ""));
    let answer = ANSWER.as_bytes().into();
    assert_eq!(bench.event(), SipEvent::Answered { id, answer });
}

#[test]
fn forks_are_bounded_and_those_beyond_are_ended_when_they_answer() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    for number in 0..SIP_FORKS + 5 {
        bench.datagram(reply(&invite, 183, &format!("t{number}"), CONTACT, THEIRS));
    }
    assert_eq!(bench.events.len(), SIP_FORKS);
    bench.events.clear();
    let last = format!("t{}", SIP_FORKS + 4);
    assert_eq!(whats(&bench.datagram(ok(&invite, &last))), ["ACK"]);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    let mut ends = 0;
    for number in 0..SIP_FORKS + 4 {
        let sent = bench.datagram(ok(&invite, &format!("t{number}")));
        ends += sent.iter().filter(|s| s.what() == "BYE").count();
    }
    assert_eq!(ends, SIP_FORKS - 1);
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn a_reliable_response_is_acknowledged_once_by_its_numbers() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    let first = reliable(&invite, "b", 4_711, THEIRS);
    let sent = bench.datagram(&first);
    assert_eq!(whats(&sent), ["PRACK"]);
    let prack = &sent[0];
    assert_eq!(named(prack, "RAck").as_deref(), Some("4711 1 INVITE"));
    assert_eq!(header(prack, HeaderName::CSeq), "2 PRACK");
    assert_eq!(prack.to_tag().as_deref(), Some("b"));
    assert!(
        prack
            .text()
            .starts_with("PRACK sip:callee@192.0.2.10:5070 SIP/2.0\r\n")
    );
    assert_ne!(branch(prack), branch(&invite));
    assert!(matches!(
        bench.event(),
        SipEvent::Progress {
            code: 183,
            answer: Some(_),
            ..
        }
    ));
    // It comes again until the PRACK arrives, which goes again by itself.
    assert!(bench.datagram(&first).is_empty());
    assert!(bench.events.is_empty());
    let again = bench.advance(crate::bench::ms(500));
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].bytes, prack.bytes);
    bench.datagram(respond(prack, 200));
    // One that is missing before it is waited for.
    assert!(bench.datagram(reliable(&invite, "b", 4_713, "")).is_empty());
    let sent = bench.datagram(reliable(&invite, "b", 4_712, ""));
    assert_eq!(named(&sent[0], "RAck").as_deref(), Some("4712 1 INVITE"));
    assert_eq!(header(&sent[0], HeaderName::CSeq), "3 PRACK");
    let sent = bench.datagram(reliable(&invite, "b", 4_713, ""));
    assert_eq!(named(&sent[0], "RAck").as_deref(), Some("4713 1 INVITE"));
    // The numbers go on within the dialog.
    let sent = bench.datagram(reply(&invite, 200, "b", CONTACT, ""));
    assert_eq!(header(&sent[0], HeaderName::CSeq), "1 ACK");
    let answer = THEIRS.as_bytes().into();
    assert_eq!(bench.event(), SipEvent::Answered { id, answer });
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    assert_eq!(header(&bench.take()[0], HeaderName::CSeq), "5 BYE");
}

#[test]
fn every_fork_has_numbers_and_a_way_of_its_own() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let one = bench.datagram(reliable(&invite, "a", 1, ""));
    let lines = "Require: 100rel\r\nRSeq: 900\r\nRecord-Route: <sip:192.0.2.77;lr>\r\n\
        Contact: <sip:other@192.0.2.78>\r\n";
    let two = bench.datagram(reply(&invite, 180, "b", lines, ""));
    assert_eq!(header(&one[0], HeaderName::CSeq), "2 PRACK");
    assert_eq!(header(&two[0], HeaderName::CSeq), "2 PRACK");
    let way: std::net::SocketAddr = "192.0.2.77:5060".parse().unwrap();
    assert_eq!(two[0].to, SipDestination::Udp(way));
    assert!(
        two[0]
            .text()
            .starts_with("PRACK sip:other@192.0.2.78 SIP/2.0\r\n")
    );
    assert_eq!(header(&two[0], HeaderName::Route), "<sip:192.0.2.77;lr>");
}

#[test]
fn an_early_dialog_whose_prack_is_481_is_forgotten() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let prack = bench.datagram(reliable(&invite, "a", 1, ANSWER)).remove(0);
    bench.events.clear();
    bench.datagram(respond(&prack, 481));
    assert_eq!(bench.endpoint.calls(), 1);
    // Another begins under the same tag, with its own numbers and without the old answer.
    let sent = bench.datagram(reliable(&invite, "a", 50, ""));
    assert_eq!(whats(&sent), ["PRACK"]);
    let sent = bench.datagram(reply(&invite, 200, "a", CONTACT, ""));
    assert_eq!(whats(&sent), ["ACK", "BYE"]);
}

#[test]
fn a_prack_that_nobody_answers_leaves_the_call_ringing() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    bench.datagram(reliable(&invite, "a", 1, ANSWER));
    bench.events.clear();
    bench.advance(secs(40));
    assert!(bench.events.is_empty());
    bench.datagram(ok(&invite, "a"));
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
}

#[test]
fn what_only_looks_reliable_is_not_acknowledged() {
    for lines in [
        "RSeq: 1\r\n",
        "Require: 100rel\r\n",
        "Require: 100rel\r\nRSeq: 0\r\n",
        "Require: 100rel\r\nRSeq: 99999999999\r\n",
        "Supported: 100rel\r\nRSeq: 1\r\n",
    ] {
        let mut bench = Bench::new();
        let (_, invite) = place(&mut bench, call());
        assert!(
            bench
                .datagram(reply(&invite, 180, "b", lines, ""))
                .is_empty(),
            "{lines}"
        );
    }
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let lines = "Require: 100rel\r\nRSeq: 1\r\n";
    assert!(
        bench
            .datagram(reply(&invite, 180, "", lines, ""))
            .is_empty()
    );
}

#[test]
fn an_early_dialog_takes_updates_of_names_and_no_other_media() {
    let mut bench = Bench::new();
    let named = CallOut {
        contact_user: "1001".into(),
        ..call()
    };
    let (_, invite) = place(&mut bench, named);
    bench.datagram(reply(&invite, 180, "b", CONTACT, ""));
    bench.event();
    // Where we are reached does not change with the answer.
    let update = within(&invite, "b", "UPDATE", 1, "", "");
    let answer = bench.datagram(update).remove(0);
    let contact = |sent: &Sent| {
        let contact = sent.header(HeaderName::Contact).unwrap();
        contact.contains("<sip:1001@192.0.2.1:40000>")
    };
    assert!(contact(&invite) && contact(&answer));
    let mut cseq = 1;
    let mut ask = |bench: &mut Bench, method: &str, sdp: &str| {
        cseq += 1;
        let sent = bench.datagram(within(&invite, "b", method, cseq, "", sdp));
        assert_eq!(sent.len(), 1);
        sent[0].what()
    };
    assert_eq!(ask(&mut bench, "UPDATE", ""), "200");
    assert_eq!(ask(&mut bench, "UPDATE", OFFER), "491");
    bench.datagram(reply(&invite, 183, "b", CONTACT, THEIRS));
    bench.event();
    assert_eq!(ask(&mut bench, "UPDATE", OFFER), "488");
    assert_eq!(ask(&mut bench, "INFO", ""), "200");
    assert_eq!(ask(&mut bench, "OPTIONS", ""), "200");
    assert_eq!(ask(&mut bench, "INVITE", OFFER), "491");
    assert_eq!(ask(&mut bench, "BYE", ""), "481");
    let old = bench.datagram(within(&invite, "b", "INFO", 1, "", ""));
    assert_eq!(whats(&old), ["500"]);
    for method in ["BYE", "INFO", "UPDATE"] {
        let request = within(&invite, "nobody", method, 1, "", "");
        assert_eq!(whats(&bench.datagram(request)), ["481"], "{method}");
    }
    assert!(bench.events.is_empty());
    // Its numbers go on once the call is up.
    bench.datagram(ok(&invite, "b"));
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    let old = bench.datagram(within(&invite, "b", "OPTIONS", 2, "", ""));
    assert_eq!(whats(&old), ["500"]);
    let bye = bench.datagram(within(&invite, "b", "BYE", 20, "", ""));
    assert_eq!(whats(&bye), ["200"]);
}
