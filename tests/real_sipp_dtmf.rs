//! SIPp presses keys: by INFO and as RTP events, as caller and as callee.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::Pbx;
use support::rtp::{RtpStream, capture};

/// A capture of two keys, 5 and #, each 160 ms long with an end that comes three times (RFC 4733
/// section 2.5).
fn events() -> Vec<u8> {
    let mut stream = RtpStream::new(101, 0x0a0d_0003, 700, 16_000);
    let mut packets = Vec::new();
    for (press, key) in [5_u8, 11].into_iter().enumerate() {
        for step in 0..10_u16 {
            let end = if step >= 7 { 0x80 } else { 0 };
            let duration = (step.min(7) + 1) * 160;
            let [high, low] = duration.to_be_bytes();
            let payload = [key, end | 10, high, low];
            let at = press as u64 * 300_000 + u64::from(step) * 20_000;
            let time = press as u32 * 2_400;
            packets.push((at, 0, stream.packet(time, step == 0, &payload)));
        }
    }
    capture(&packets)
}

#[test]
fn keys_by_dtmf_relay_are_noted() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("dtmf/caller_relays");
    let log = pbx.done(sipp);
    assert_eq!(log.matches("a key was pressed").count(), 2, "{log}");
}

#[test]
fn a_key_by_dtmf_is_noted() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("dtmf/caller_sends_plain");
    let log = pbx.done(sipp);
    assert_eq!(log.matches("a key was pressed").count(), 1, "{log}");
}

#[test]
fn an_info_of_another_kind_is_no_key() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls("dtmf/caller_sends_other");
    let log = pbx.done(sipp);
    assert_eq!(log.matches("a key was pressed").count(), 0, "{log}");
}

#[test]
fn a_key_of_a_callee_is_noted() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("dtmf/callee_relays");
    pbx.logs("a key was pressed");
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn keys_as_rtp_events_are_noted_once_each() {
    let mut pbx = Pbx::new();
    let sipp = pbx.calls_playing("dtmf/caller_plays_events", &events());
    let log = pbx.done(sipp);
    assert_eq!(log.matches("a key was pressed").count(), 2, "{log}");
}

#[test]
fn keys_of_a_callee_as_rtp_events_are_noted_once_each() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called_playing("dtmf/callee_plays_events", &events());
    pbx.wait("ESTABLISHED");
    sleep(Duration::from_millis(900));
    pbx.hang_up();
    let log = pbx.done(sipp);
    assert_eq!(log.matches("a key was pressed").count(), 2, "{log}");
}
