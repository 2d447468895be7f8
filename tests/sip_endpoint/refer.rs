//! Transfers (RFC 3515, RFC 4488): REFER of either side and the NOTIFYs that follow.

use trunkcast::base::ids::CallId;
use trunkcast::sip::{Cause, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, OFFER, Sent, ms, respond, secs, whats};
use crate::callee::{answered, call, named};

const TO: &str = "Refer-To: <sip:1003@192.0.2.10>\r\nReferred-By: <sip:1001@192.0.2.10>\r\n";

fn refer(bench: &mut Bench, caller: &mut Caller, lines: &str) -> Vec<Sent> {
    caller.extra = lines.into();
    let refer = caller.request("REFER");
    caller.extra.clear();
    bench.datagram(refer)
}

/// A call whose REFER was accepted, with the first NOTIFY.
fn accepted() -> (Bench, Caller, CallId, Sent) {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    assert!(refer(&mut bench, &mut caller, TO).is_empty());
    assert_eq!(
        bench.event(),
        SipEvent::Refer {
            id,
            to: "sip:1003@192.0.2.10".into(),
            replaces: None,
            referred_by: Some("<sip:1001@192.0.2.10>".into()),
        }
    );
    bench.command(|e, now| e.refer_accept(now, id)).unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["202", "NOTIFY"]);
    (bench, caller, id, sent[1].clone())
}

fn progress(bench: &mut Bench, id: CallId, code: u16) -> Vec<Sent> {
    let told = bench.command(|e, now| e.refer_progress(now, id, code, ""));
    assert_eq!(told, Ok(()), "{code}");
    bench.take()
}

fn body(sent: &Sent) -> String {
    String::from_utf8_lossy(sent.message().body()).into_owned()
}

#[test]
fn an_accepted_refer_is_told_of_until_the_outcome_one_state_at_a_time() {
    let (mut bench, caller, id, first) = accepted();
    assert_eq!(body(&first), "SIP/2.0 100 Trying\r\n");
    let event = format!("refer;id={}", caller.cseq);
    assert_eq!(first.header(HeaderName::Event), Some(event.clone()));
    let state = first.header(HeaderName::SubscriptionState).unwrap();
    assert_eq!(state, "active;expires=300");
    let kind = first.header(HeaderName::ContentType).unwrap();
    assert_eq!(kind, "message/sipfrag;version=2.0");
    assert!(first.header(HeaderName::Contact).is_some());
    // The next state waits for the answer, and only the newest is told.
    assert!(progress(&mut bench, id, 180).is_empty());
    assert!(progress(&mut bench, id, 183).is_empty());
    let second = bench.datagram(respond(&first, 200)).remove(0);
    assert_eq!(body(&second), "SIP/2.0 183 Session Progress\r\n");
    assert!(bench.datagram(respond(&second, 200)).is_empty());
    assert!(progress(&mut bench, id, 183).is_empty(), "nothing new");
    let last = progress(&mut bench, id, 200).remove(0);
    assert_eq!(body(&last), "SIP/2.0 200 OK\r\n");
    assert_eq!(last.header(HeaderName::Event), Some(event));
    let state = last.header(HeaderName::SubscriptionState).unwrap();
    assert_eq!(state, "terminated;reason=noresource");
    let again = bench.command(|e, now| e.refer_progress(now, id, 486, ""));
    assert_eq!(again, Err(SipRefusal::WrongState));
    assert!(bench.datagram(respond(&last, 200)).is_empty());
    assert_eq!(bench.endpoint.calls(), 1, "the call goes on");
}

#[test]
fn the_bye_of_a_transferred_call_waits_until_the_outcome_is_told() {
    let (mut bench, mut caller, id, first) = accepted();
    bench.datagram(respond(&first, 200));
    let last = progress(&mut bench, id, 200).remove(0);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "transferred")))
        .unwrap();
    assert!(bench.take().is_empty());
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    let again = bench.advance(ms(500));
    assert_eq!(again[0].bytes, last.bytes, "it was lost");
    let sent = bench.datagram(respond(&last, 200));
    assert_eq!(whats(&sent), ["BYE"]);
    bench.datagram(respond(&sent[0], 200));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);

    // The same where nobody answers, and where the peer is faster.
    let (mut bench, mut other, id, first) = accepted();
    bench.datagram(respond(&first, 200));
    progress(&mut bench, id, 200);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "transferred")))
        .unwrap();
    let sent = bench.advance(secs(33));
    assert_eq!(sent.iter().filter(|s| s.what() == "BYE").count(), 2);
    let (mut bench, _, id, first) = accepted();
    bench.datagram(respond(&first, 200));
    progress(&mut bench, id, 200);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "transferred")))
        .unwrap();
    std::mem::swap(&mut caller, &mut other);
    caller.to_tag = Some(first.message().from().tag().unwrap().into());
    caller.cseq += 10;
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_refer_that_cannot_be_followed_is_refused_and_the_call_goes_on() {
    for (lines, code) in [
        ("", "400"),
        ("Refer-To: <sip:a@b>\r\nRefer-To: <sip:a@b>\r\n", "400"),
        ("Refer-To: <tel:+493012345>\r\n", "416"),
        ("Refer-To: <http://example.test/>\r\n", "416"),
        ("Refer-To: <sip:a@b;method=BYE>\r\n", "403"),
        ("Refer-To: <sip:a@b?Replaces=%0D%0AX>\r\n", "400"),
    ] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        bench.call(&mut caller);
        let sent = refer(&mut bench, &mut caller, lines);
        assert_eq!(whats(&sent), [code], "{lines}");
        assert!(bench.events.is_empty());
        assert_eq!(bench.endpoint.calls(), 1);
    }
}

#[test]
fn one_transfer_at_a_time_within_calls_that_are_up_alone() {
    let (mut bench, mut caller, id, first) = accepted();
    let sent = refer(&mut bench, &mut caller, TO);
    assert_eq!(whats(&sent), ["491"]);
    let mine = bench.command(|e, now| e.refer(now, id, "sip:a@b", None));
    assert_eq!(mine, Err(SipRefusal::WrongState));
    bench.datagram(respond(&first, 200));
    let last = progress(&mut bench, id, 486).remove(0);
    bench.datagram(respond(&last, 200));
    assert!(refer(&mut bench, &mut caller, TO).is_empty());
    assert!(matches!(bench.event(), SipEvent::Refer { .. }));
    bench
        .command(|e, now| e.refer_refuse(now, id, 603))
        .unwrap();
    assert_eq!(whats(&bench.take()), ["603"]);
    let told = bench.command(|e, now| e.refer_progress(now, id, 200, ""));
    assert_eq!(told, Err(SipRefusal::WrongState));

    let mut bench = Bench::new();
    let mut stranger = Caller::new("b");
    let sent = refer(&mut bench, &mut stranger, TO);
    assert_eq!(whats(&sent), ["603"], "outside a dialog");
    let mut early = Caller::new("c");
    bench.invite(&mut early);
    early.to_tag = Some("unknown".into());
    assert_eq!(whats(&refer(&mut bench, &mut early, TO)), ["481"]);
}

#[test]
fn a_refer_in_a_call_that_ends_is_answered_and_nothing_is_left() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    refer(&mut bench, &mut caller, TO);
    let sent = bench.datagram(caller.request("BYE"));
    assert_eq!(whats(&sent), ["200", "487"]);
    let (mut other, mut caller, ..) = accepted();
    assert_eq!(whats(&other.datagram(caller.request("BYE"))), ["200"]);
    for bench in [&mut bench, &mut other] {
        assert!(bench.advance(secs(40)).is_empty(), "nobody is told");
        assert_eq!(bench.endpoint.busy(), 0);
    }
}

#[test]
fn who_wants_no_subscription_gets_none() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    refer(
        &mut bench,
        &mut caller,
        &format!("{TO}Refer-Sub: false\r\n"),
    );
    bench.command(|e, now| e.refer_accept(now, id)).unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["202"]);
    assert_eq!(named(&sent[0], "Refer-Sub").as_deref(), Some("false"));
    assert!(progress(&mut bench, id, 180).is_empty());
    assert!(progress(&mut bench, id, 200).is_empty());
    refer(&mut bench, &mut caller, TO);
    bench.event();
    assert!(matches!(bench.event(), SipEvent::Refer { .. }));
}

#[test]
fn a_peer_that_refuses_news_is_told_no_more() {
    for code in [Some(481), Some(489), None] {
        let (mut bench, _, id, first) = accepted();
        match code {
            Some(code) => drop(bench.datagram(respond(&first, code))),
            None => drop(bench.advance(secs(33))),
        }
        let told = bench.command(|e, now| e.refer_progress(now, id, 200, ""));
        assert_eq!(told, Err(SipRefusal::WrongState), "{code:?}");
        assert_eq!(bench.endpoint.calls(), 1);
    }
}

/// A call in which the peer was asked to call 1003; the REFER.
fn referring(bench: &mut Bench, caller: &mut Caller) -> (CallId, Sent) {
    let id = bench.call(caller);
    let sent = bench.command(|e, now| e.refer(now, id, "sip:1003@pbx.test", None));
    assert_eq!(sent, Ok(()));
    let mut sent = bench.take();
    assert_eq!(whats(&sent), ["REFER"]);
    (id, sent.remove(0))
}

fn notify(bench: &mut Bench, caller: &mut Caller, lines: &str, body: &str) -> Vec<Sent> {
    caller.extra = lines.into();
    let notify = caller.request_with("NOTIFY", "message/sipfrag;version=2.0", body);
    caller.extra.clear();
    bench.datagram(notify)
}

const ACTIVE: &str = "Event: refer\r\nSubscription-State: active;expires=60\r\n";
const OVER: &str = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n";

#[test]
fn news_of_our_refer_are_told_once_each_until_the_outcome() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let (id, refer) = referring(&mut bench, &mut caller);
    let to = named(&refer, "Refer-To").unwrap();
    assert_eq!(to, "<sip:1003@pbx.test>");
    let by = named(&refer, "Referred-By").unwrap();
    assert_eq!(by, "<sip:4711@192.0.2.1>");
    let told = |bench: &mut Bench, code, done| {
        assert_eq!(bench.event(), SipEvent::TransferProgress { id, code, done });
        assert!(bench.events.is_empty());
    };
    bench.datagram(respond(&refer, 202));
    told(&mut bench, 202, false);
    for (body, code) in [
        ("SIP/2.0 100 Trying\r\n", 100),
        ("SIP/2.0 180 Ringing", 180),
    ] {
        let sent = notify(&mut bench, &mut caller, ACTIVE, body);
        assert_eq!(whats(&sent), ["200"]);
        told(&mut bench, code, false);
        notify(&mut bench, &mut caller, ACTIVE, body);
        assert!(bench.events.is_empty(), "said before");
    }
    let named = format!(
        "Event: refer;id={}\r\nSubscription-State: terminated\r\n",
        refer.message().cseq().number
    );
    notify(&mut bench, &mut caller, &named, "SIP/2.0 200 OK\r\n");
    told(&mut bench, 200, true);
    let sent = notify(&mut bench, &mut caller, OVER, "SIP/2.0 200 OK\r\n");
    assert_eq!(whats(&sent), ["481"], "it is over");
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn a_notify_of_nothing_that_we_know_is_refused() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let (_, refer) = referring(&mut bench, &mut caller);
    bench.datagram(respond(&refer, 202));
    bench.event();
    for (lines, code) in [
        ("Subscription-State: active\r\n", "489"),
        ("Event: presence\r\nSubscription-State: active\r\n", "489"),
        (
            "Event: refer;id=77\r\nSubscription-State: active\r\n",
            "481",
        ),
        ("Event: refer;id=x\r\nSubscription-State: active\r\n", "481"),
    ] {
        let sent = notify(&mut bench, &mut caller, lines, "SIP/2.0 200 OK\r\n");
        assert_eq!(whats(&sent), [code], "{lines}");
    }
    caller.extra = ACTIVE.into();
    let other = caller.request_with("NOTIFY", "text/plain", "SIP/2.0 200 OK\r\n");
    assert_eq!(whats(&bench.datagram(other)), ["415"]);
    assert!(bench.events.is_empty());
    // Without a word of the outcome it has failed.
    notify(&mut bench, &mut caller, OVER, "");
    assert!(matches!(
        bench.event(),
        SipEvent::TransferProgress {
            code: 408,
            done: true,
            ..
        }
    ));
}

#[test]
fn a_refused_or_unanswered_refer_is_told_and_the_call_goes_on() {
    for code in [Some(403), Some(405), Some(603), None] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let (id, refer) = referring(&mut bench, &mut caller);
        match code {
            Some(code) => drop(bench.datagram(respond(&refer, code))),
            None => drop(bench.advance(secs(33))),
        }
        let code = code.unwrap_or(408);
        let done = true;
        let wanted = SipEvent::TransferProgress { id, code, done };
        assert_eq!(bench.event(), wanted);
        assert_eq!(bench.endpoint.calls(), 1);
        let again = bench.command(|e, now| e.refer(now, id, "sip:a@b", None));
        assert_eq!(again, Ok(()));
    }
    // Taken on, and never heard of again.
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let (_, refer) = referring(&mut bench, &mut caller);
    bench.datagram(respond(&refer, 202));
    bench.event();
    bench.advance(secs(179));
    assert!(bench.events.is_empty());
    bench.advance(secs(2));
    assert!(matches!(
        bench.event(),
        SipEvent::TransferProgress {
            code: 408,
            done: true,
            ..
        }
    ));
}

#[test]
fn an_attended_transfer_names_the_other_call_as_its_peer_knows_it() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let (other, invite, _) = answered(&mut bench, call());
    bench
        .command(|e, now| e.refer(now, id, "", Some(other)))
        .unwrap();
    let refer = bench.take().remove(0);
    let to = named(&refer, "Refer-To").unwrap();
    let call_id = invite.message().call_id();
    let from_tag = invite.message().from().tag().unwrap();
    assert_eq!(
        to,
        format!(
            "<sip:callee@192.0.2.10:5070?Replaces={call_id}%3Bto-tag%3Db%3Bfrom-tag%3D{from_tag}>"
        )
    );
    let own = bench.command(|e, now| e.refer(now, other, "", Some(other)));
    assert_eq!(own, Err(SipRefusal::WrongState));
    for to in ["", "tel:1", "sip:a@b>\r\nX: y", "1003"] {
        let bad = bench.command(|e, now| e.refer(now, other, to, None));
        assert_eq!(bad, Err(SipRefusal::BadField("to")), "{to}");
    }
}

#[test]
fn a_refer_that_is_challenged_goes_again_and_says_the_same() {
    let mut bench = Bench::new();
    let mut asked = call();
    asked.credentials = Some(std::rc::Rc::new(trunkcast::sip::Credentials {
        username: "1001".into(),
        password: trunkcast::base::redact::Secret::new("secret".into()),
    }));
    let (id, ..) = answered(&mut bench, asked);
    bench
        .command(|e, now| e.refer(now, id, "sip:1003@pbx.test", None))
        .unwrap();
    let first = bench.take().remove(0);
    let challenge = respond(&first, 407).replace(
        "Content-Length",
        "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5\r\nContent-Length",
    );
    let again = bench.datagram(challenge).remove(0);
    assert_eq!(again.what(), "REFER");
    assert!(again.header(HeaderName::ProxyAuthorization).is_some());
    assert_eq!(named(&again, "Refer-To"), named(&first, "Refer-To"));
    bench.datagram(respond(&again, 202));
    assert!(matches!(
        bench.event(),
        SipEvent::TransferProgress { code: 202, .. }
    ));
}

#[test]
fn a_refer_that_its_owner_never_answers_is_refused_when_its_sender_gives_up() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    assert!(refer(&mut bench, &mut caller, TO).is_empty());
    assert!(matches!(bench.event(), SipEvent::Refer { .. }));
    assert_eq!(whats(&bench.advance(secs(33))), ["487"]);
    let late = bench.command(|e, now| e.refer_accept(now, id));
    assert_eq!(late, Err(SipRefusal::WrongState));
    // Another one may come.
    assert!(refer(&mut bench, &mut caller, TO).is_empty());
    assert!(matches!(bench.event(), SipEvent::Refer { .. }));
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn a_refer_and_an_offer_from_before_the_ack_are_refused_when_the_ack_never_comes() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    assert!(refer(&mut bench, &mut caller, TO).is_empty());
    assert!(matches!(bench.event(), SipEvent::Refer { .. }));
    let update = caller.request_with("UPDATE", "application/sdp", OFFER);
    assert!(bench.datagram(update).is_empty());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
    let sent = whats(&bench.advance(secs(33)));
    let refused = |code| sent.iter().any(|what| what == code);
    assert!(refused("481") && refused("487"), "{sent:?}");
    let ended = bench
        .events
        .iter()
        .filter(|event| matches!(event, SipEvent::Ended { .. }));
    assert_eq!(ended.count(), 1);
    bench.advance(secs(70));
    assert_eq!(bench.endpoint.busy(), 0);
}
