//! INFO within a call: keys and wishes for a keyframe, both ways.

use std::time::Duration;

use trunkcast::sip::{SipEvent, SipRefusal};
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
fn a_key_of_ours_goes_as_dtmf_relay_one_at_a_time() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.dtmf(now, id, '7', ms(160)))
        .unwrap();
    let info = bench.take().remove(0);
    assert_eq!(info.what(), "INFO");
    assert_eq!(
        info.header(HeaderName::ContentType).as_deref(),
        Some("application/dtmf-relay")
    );
    assert_eq!(info.message().body(), b"Signal=7\r\nDuration=160\r\n");
    let second = bench.command(|e, now| e.dtmf(now, id, '8', ms(160)));
    assert_eq!(second, Err(SipRefusal::WrongState));
    bench.datagram(respond(&info, 200));
    bench
        .command(|e, now| e.dtmf(now, id, '#', ms(160)))
        .unwrap();
    let no_key = bench.command(|e, now| e.dtmf(now, id, 'x', ms(160)));
    assert_eq!(no_key, Err(SipRefusal::WrongState));
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
