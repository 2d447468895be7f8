//! INFO with picture_fast_update.

use trunkcast::sip::{EndedBy, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, respond, secs};

#[test]
fn a_keyframe_is_asked_for_one_at_a_time() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    let early = bench.command(|e, now| e.info_keyframe(now, id));
    assert_eq!(early, Err(SipRefusal::WrongState));
    bench.accept(id, &mut caller);
    bench.datagram(caller.ack());
    bench.event();
    bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    let info = bench.take().remove(0);
    assert_eq!(info.what(), "INFO");
    let kind = info.header(HeaderName::ContentType);
    assert_eq!(kind.as_deref(), Some("application/media_control+xml"));
    assert!(info.text().contains("<picture_fast_update/>"));
    let twice = bench.command(|e, now| e.info_keyframe(now, id));
    assert_eq!(twice, Err(SipRefusal::WrongState));
    bench.datagram(respond(&info, 200));
    bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    let second = bench.take().remove(0);
    assert_eq!(
        second.message().cseq().number,
        info.message().cseq().number + 1
    );
}

#[test]
fn a_phone_that_knows_no_info_keeps_its_call() {
    for code in [415, 405, 501, 500, 408] {
        let mut bench = Bench::new();
        let id = bench.call(&mut Caller::new("a"));
        bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
        let info = bench.take().remove(0);
        bench.datagram(respond(&info, code));
        assert!(bench.events.is_empty(), "{code}");
        bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    }
    let mut bench = Bench::new();
    let id = bench.call(&mut Caller::new("a"));
    bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    bench.advance(secs(40));
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.counters().requests_unanswered, 1);
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn an_info_answered_481_ends_the_call() {
    let mut bench = Bench::new();
    let id = bench.call(&mut Caller::new("a"));
    bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    let info = bench.take().remove(0);
    bench.datagram(respond(&info, 481));
    let SipEvent::Ended { cause, by, .. } = bench.event() else {
        panic!("not ended");
    };
    assert_eq!((cause.code, by), (481, EndedBy::Remote));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn an_info_without_answer_is_not_repeated_once_the_call_is_over() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.command(|e, now| e.info_keyframe(now, id)).unwrap();
    bench.datagram(caller.request("BYE"));
    assert!(bench.advance(secs(40)).is_empty());
    assert_eq!(bench.endpoint.busy(), 0);
}
