//! INFO within a call: keys and wishes for a keyframe, both ways.

use std::time::Duration;

use trunkcast::limits::DTMF_KEYS;
use trunkcast::sip::{KeyForm, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, ms, respond, secs, whats};

#[test]
fn a_wish_for_a_keyframe_is_told_and_200() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let body = "<?xml version=\"1.0\"?><media_control><vc_primitive><to_encoder>\
        <picture_fast_update/></to_encoder></vc_primitive></media_control>";
    let info = caller.request_with("INFO", "application/media_control+xml", body);
    assert_eq!(whats(&bench.datagram(&info)), ["200"]);
    assert_eq!(bench.event(), SipEvent::KeyframeWanted { id });
    bench.datagram(&info);
    assert!(bench.events.is_empty(), "told once");
    assert_eq!(bench.endpoint.counters().infos, 1);
}

#[test]
fn keys_are_told_in_either_form() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    for (kind, body, key, millis) in [
        (
            "application/dtmf-relay",
            "Signal=5\r\nDuration=160\r\n",
            '5',
            160,
        ),
        ("application/dtmf-relay", "Signal= 11\r\n", '#', 250),
        ("application/dtmf", "*", '*', 250),
        ("application/dtmf", "Signal=D\r\nDuration=90", 'D', 90),
    ] {
        let sent = bench.datagram(caller.request_with("INFO", kind, body));
        assert_eq!(whats(&sent), ["200"]);
        let duration = Duration::from_millis(millis);
        assert_eq!(bench.event(), SipEvent::Dtmf { id, key, duration });
    }
}

#[test]
fn what_is_not_known_is_415_and_packages_are_469() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let sent = bench.datagram(caller.request_with("INFO", "text/plain", "hello"));
    assert_eq!(whats(&sent), ["415"]);
    let accept = sent[0].header(HeaderName::Accept).unwrap();
    assert!(accept.contains("application/dtmf-relay"), "{accept}");
    caller.extra = "Info-Package: nothing\r\n".into();
    let sent = bench.datagram(caller.request("INFO"));
    assert_eq!(whats(&sent), ["469"]);
    let message = sent[0].message();
    assert_eq!(message.headers().all_named("Recv-Info").count(), 1);
    assert!(bench.events.is_empty());
}

#[test]
fn keys_of_ours_go_one_by_one_each_after_the_answer_to_the_one_before() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let relay = KeyForm::Relay(ms(160));
    bench
        .command(|e, now| e.dtmf(now, id, "7#", relay))
        .unwrap();
    let plain = bench.command(|e, now| e.dtmf(now, id, "d", KeyForm::Plain));
    assert_eq!(plain, Ok(()));
    for (kind, body) in [
        ("application/dtmf-relay", "Signal=7\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Signal=#\r\nDuration=160\r\n"),
        ("application/dtmf", "D"),
    ] {
        let sent = bench.take();
        let [info] = &sent[..] else {
            panic!("one at a time: {}", sent.len());
        };
        assert_eq!(info.what(), "INFO");
        let told = info.header(HeaderName::ContentType);
        assert_eq!(told.as_deref(), Some(kind));
        assert_eq!(info.message().body(), body.as_bytes());
        bench.endpoint.handle_datagram(
            bench.now,
            crate::bench::peer(),
            respond(info, 200).as_bytes(),
        );
        bench.drain();
    }
    assert!(bench.take().is_empty());
    assert!(bench.events.is_empty());
}

#[test]
fn what_is_no_key_or_too_many_is_refused_whole() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let no_key = bench.command(|e, now| e.dtmf(now, id, "1x", KeyForm::Plain));
    assert_eq!(no_key, Err(SipRefusal::WrongState));
    let many = "1".repeat(DTMF_KEYS + 1);
    let full = bench.command(|e, now| e.dtmf(now, id, &many, KeyForm::Plain));
    assert_eq!(full, Err(SipRefusal::Full));
    assert!(bench.take().is_empty());
    let fits = bench.command(|e, now| e.dtmf(now, id, &many[1..], KeyForm::Plain));
    assert_eq!(fits, Ok(()));
}

#[test]
fn a_refused_key_is_told_and_the_rest_forgotten() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.dtmf(now, id, "123", KeyForm::Plain))
        .unwrap();
    let info = bench.take().remove(0);
    bench.datagram(respond(&info, 415));
    assert!(bench.take().is_empty());
    assert_eq!(bench.event(), SipEvent::DtmfRefused { id, code: 415 });
    // Others may follow.
    bench
        .command(|e, now| e.dtmf(now, id, "4", KeyForm::Plain))
        .unwrap();
    assert_eq!(bench.take().remove(0).message().body(), b"4");
}

#[test]
fn a_flood_of_keys_never_hides_the_end_of_a_call() {
    let mut bench = Bench::with_calls(1);
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    for _ in 0..200 {
        let info = caller.request_with("INFO", "application/dtmf", "1");
        bench
            .endpoint
            .handle_datagram(bench.now, crate::bench::peer(), info.as_bytes());
    }
    let bye = caller.request("BYE");
    bench.datagram(bye);
    assert!(matches!(bench.events.last(), Some(SipEvent::Ended { .. })));
    bench.advance(secs(40));
}
