//! Session timers in either role (RFC 4028).

use trunkcast::base::ids::CallId;
use trunkcast::sip::{EndedBy, SessionTimers, SipConfig, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, Sent, config, ms, respond, secs, whats};

/// A call whose INVITE and ACK came with these lines; its 200.
fn call(bench: &mut Bench, caller: &mut Caller, lines: &str) -> (CallId, Sent) {
    caller.extra = lines.into();
    let id = bench.invite(caller);
    let ok = bench.accept(id, caller);
    bench.datagram(caller.ack());
    bench.event();
    caller.extra.clear();
    (id, ok)
}

fn session_expires(sent: &Sent) -> Option<String> {
    sent.header(HeaderName::SessionExpires)
}

/// An answer with further lines.
fn respond_with(request: &Sent, code: u16, lines: &str) -> String {
    respond(request, code).replace("Content-Length", &format!("{lines}Content-Length"))
}

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n";

#[test]
fn we_refresh_by_update_at_half_of_the_interval_and_again() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
    let (_, ok) = call(&mut bench, &mut caller, &lines);
    assert_eq!(session_expires(&ok).as_deref(), Some("600;refresher=uas"));
    assert_eq!(ok.header(HeaderName::Require).as_deref(), Some("timer"));
    for _ in 0..3 {
        assert!(bench.advance(ms(299_999)).is_empty());
        let sent = bench.advance(ms(1));
        assert_eq!(whats(&sent), ["UPDATE"]);
        assert_eq!(
            session_expires(&sent[0]).as_deref(),
            Some("600;refresher=uac")
        );
        assert!(sent[0].message().body().is_empty());
        assert!(sent[0].header(HeaderName::Contact).is_some());
        let lines = "Require: timer\r\nSession-Expires: 600;refresher=uac\r\n";
        bench.datagram(respond_with(&sent[0], 200, lines));
    }
    assert_eq!(bench.endpoint.counters().refreshes, 3);
    assert!(bench.events.is_empty(), "the owner is not bothered");
}

#[test]
fn without_update_the_owner_refreshes_by_reinvite() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = "Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n";
    let (id, _) = call(&mut bench, &mut caller, lines);
    assert!(bench.advance(secs(300)).is_empty());
    assert_eq!(bench.event(), SipEvent::OfferWanted { id, refresh: true });
    assert_eq!(
        bench.command(|e, now| e.reinvite(now, id, ANSWER)),
        Ok(true)
    );
    let invite = bench.take().remove(0);
    assert_eq!(invite.what(), "INVITE");
    assert_eq!(
        session_expires(&invite).as_deref(),
        Some("600;refresher=uac")
    );
    bench.datagram(respond_with(
        &invite,
        200,
        "Session-Expires: 600;refresher=uac\r\n",
    ));
    assert!(bench.advance(secs(299)).is_empty());
    bench.events.clear();
    bench.advance(secs(1));
    assert_eq!(bench.event(), SipEvent::OfferWanted { id, refresh: true });
}

#[test]
fn an_update_that_is_not_served_is_followed_by_a_reinvite_at_once() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
    let (id, _) = call(&mut bench, &mut caller, &lines);
    let update = bench.advance(secs(300)).remove(0);
    bench.datagram(respond(&update, 501));
    bench.advance(ms(0));
    assert_eq!(bench.event(), SipEvent::OfferWanted { id, refresh: true });
}

#[test]
fn a_refresh_that_the_peer_does_not_know_or_answer_ends_the_call_with_bye() {
    for code in [Some(481), Some(408), None] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
        call(&mut bench, &mut caller, &lines);
        let update = bench.advance(secs(300)).remove(0);
        let sent = match code {
            Some(code) => bench.datagram(respond(&update, code)),
            None => bench.advance(secs(32)),
        };
        assert_eq!(sent.last().unwrap().what(), "BYE", "{code:?}");
        let SipEvent::Ended { cause, by, .. } = bench.event() else {
            panic!("no end");
        };
        assert_eq!((cause.code, by), (code.unwrap_or(408), EndedBy::Silence));
    }
}

#[test]
fn another_refusal_of_a_refresh_is_tried_again_until_the_session_expires() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
    call(&mut bench, &mut caller, &lines);
    let began = bench.now;
    let mut tries = 0;
    loop {
        let sent = bench.advance(secs(1));
        let Some(request) = sent.first() else {
            assert!(bench.now.since(began) < secs(600));
            continue;
        };
        if request.what() == "BYE" {
            break;
        }
        tries += 1;
        bench.datagram(respond(request, 503));
    }
    assert!((3..20).contains(&tries), "{tries}");
    let lasted = bench.now.since(began);
    assert!((secs(566)..=secs(569)).contains(&lasted), "{lasted:?}");
}

#[test]
fn a_422_to_our_refresh_raises_the_interval() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
    call(&mut bench, &mut caller, &lines);
    let update = bench.advance(secs(300)).remove(0);
    bench.datagram(respond_with(&update, 422, "Min-SE: 900\r\n"));
    let again = bench.advance(ms(0)).remove(0);
    assert_eq!(
        session_expires(&again).as_deref(),
        Some("900;refresher=uac")
    );
    assert_eq!(again.header(HeaderName::MinSe).as_deref(), Some("900"));
}

#[test]
fn the_caller_refreshes_or_the_call_ends_in_time() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n";
    let (_, ok) = call(&mut bench, &mut caller, lines);
    assert_eq!(session_expires(&ok).as_deref(), Some("600;refresher=uac"));
    assert_eq!(ok.header(HeaderName::Require).as_deref(), Some("timer"));
    bench.advance(secs(300));
    caller.extra = lines.into();
    let sent = bench.datagram(caller.request("UPDATE"));
    assert_eq!(whats(&sent), ["200"]);
    assert_eq!(
        session_expires(&sent[0]).as_deref(),
        Some("600;refresher=uac")
    );
    assert!(bench.events.is_empty());
    assert!(bench.advance(ms(567_999)).is_empty());
    assert_eq!(whats(&bench.advance(ms(1))), ["BYE"]);
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Silence,
            ..
        }
    ));
}

#[test]
fn too_short_an_interval_is_422_to_who_knows_of_it() {
    let mut bench = Bench::with_config(SipConfig {
        session_timer: Some(SessionTimers {
            expires: 1_800,
            min: 120,
        }),
        ..config(4)
    });
    let mut caller = Caller::new("a");
    caller.extra = "Supported: timer\r\nSession-Expires: 100\r\n".into();
    let sent = bench.datagram(caller.invite());
    assert_eq!(whats(&sent), ["422"]);
    assert_eq!(sent[0].header(HeaderName::MinSe).as_deref(), Some("120"));
    bench.datagram(caller.ack_refusal(&sent[0]));
    assert!(bench.events.is_empty());

    let mut caller = Caller::new("b");
    let (_, ok) = call(&mut bench, &mut caller, "Session-Expires: 100\r\n");
    assert_eq!(session_expires(&ok).as_deref(), Some("100;refresher=uas"));
    assert_eq!(ok.header(HeaderName::Require), None);
    caller.extra = "Supported: timer\r\nSession-Expires: 119\r\n".into();
    assert_eq!(whats(&bench.datagram(caller.request("UPDATE"))), ["422"]);
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["422"]);
}

#[test]
fn a_refresh_by_reinvite_starts_the_timer_anew() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n";
    let (id, _) = call(&mut bench, &mut caller, lines);
    bench.advance(secs(560));
    caller.extra = lines.into();
    bench.datagram(caller.reinvite());
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let ok = bench.take().remove(0);
    assert_eq!(session_expires(&ok).as_deref(), Some("600;refresher=uac"));
    bench.datagram(caller.ack());
    bench.events.clear();
    assert!(bench.advance(secs(567)).is_empty());
    assert!(bench.endpoint.has_session_timer(id));
    assert_eq!(whats(&bench.advance(secs(1))), ["BYE"]);
}

#[test]
fn a_lost_update_is_repeated_and_one_answer_is_enough() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let lines = format!("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n{ALLOW}");
    call(&mut bench, &mut caller, &lines);
    let first = bench.advance(secs(300)).remove(0);
    let again = bench.advance(ms(1_500));
    assert_eq!(whats(&again), ["UPDATE", "UPDATE"]);
    assert_eq!(again[1].bytes, first.bytes);
    let ok = respond_with(&first, 200, "Session-Expires: 600;refresher=uac\r\n");
    bench.datagram(&ok);
    bench.datagram(&ok);
    assert!(bench.advance(secs(200)).is_empty());
    assert_eq!(bench.endpoint.counters().refreshes, 1);
}

#[test]
fn an_update_before_the_answer_starts_no_timer() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n".into();
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    caller.to_tag = bench.take()[0].to_tag();
    caller.extra = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n".into();
    let ok = bench.datagram(caller.request("UPDATE"));
    assert_eq!(whats(&ok), ["200"]);
    assert_eq!(session_expires(&ok[0]), None, "there is no session yet");
    bench.advance(secs(100));
    assert!(bench.events.is_empty(), "it goes on ringing");
    let ok = bench.accept(id, &mut caller);
    assert_eq!(session_expires(&ok).as_deref(), Some("600;refresher=uac"));
}
