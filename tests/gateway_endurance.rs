//! Calls of every kind, in and out, by the ten thousand, on the virtual clock: memory, tables and
//! sockets are the same after the last one as after the first thousand.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

mod gateway_support;
mod rtp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::callee::{Callee, respond_in};
use gateway_support::*;
use trunkcast::base::redact::Secret;
use trunkcast::gateway::Usage;
use trunkcast::gateway::outgoing::CallRequest;

/// Without optimisation, where a call takes milliseconds, a tenth shows the same.
const CALLS: usize = if cfg!(debug_assertions) {
    10_000
} else {
    100_000
};

/// From here on nothing may grow.
const FIRST: usize = 1_000;

/// The PBX that is called; it is no host that may call.
const PBX: &str = "203.0.113.9:5060";

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

struct Counting;

thread_local! {
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    if COUNTED.get() {
        BYTES.set(BYTES.get() + bytes);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn start(world: &mut World, call_id: &str, register: bool) {
    // The gateway lets go of its texts, and so they count.
    COUNTED.set(true);
    let request = CallRequest {
        call_id: call_id.to_owned(),
        callee: "1002".to_owned(),
        login: "1001".to_owned(),
        authentication_name: "1001".to_owned(),
        password: Some(Secret::new("hunter2".to_owned())),
        domain: "203.0.113.9".parse().unwrap(),
        outbound_proxy: None,
        port: None,
        register,
        visible_name: Some("Lobby".to_owned()),
        has_audio: true,
        has_video: true,
        to_stream: Some(format!("stream-of-{call_id}")),
        rtmp_url: None,
        rtmp_stream: None,
        rtmp_name_as_given: false,
        app_key: None,
    };
    let started = world
        .gateway
        .start_call(world.now, request, &mut world.outlet);
    COUNTED.set(false);
    started.unwrap();
    world.settle();
}

fn terminate(world: &mut World, call_id: &str) {
    COUNTED.set(true);
    let known = world
        .gateway
        .terminate_call(world.now, call_id, &mut world.outlet);
    COUNTED.set(false);
    assert!(known, "{call_id}");
    world.settle();
}

/// Answers the REGISTER that went out last, where one did.
fn let_register(world: &mut World) -> bool {
    let wanted = |(_, text): &(SocketAddr, String)| text.starts_with("REGISTER ");
    let Some(at) = world.inbox.iter().position(wanted) else {
        return false;
    };
    let (pbx, register) = world.inbox.remove(at);
    let contact = headers(&register, "Contact")[0];
    let text = respond_in(&register, 200, "registrar", pbx, "");
    let bare = format!("Contact: <sip:{pbx}>\r\n");
    let bound = match contact.contains("expires=0") {
        true => String::new(),
        false => format!("Contact: {contact}\r\n"),
    };
    world.sip(pbx, text.replace(&bare, &bound));
    true
}

/// A call that comes in over UDP.
fn comes_in(world: &mut World, phone: &mut Phone) {
    world.call(phone);
    assert_eq!(status(&world.bye(phone)[0]), 200);
}

/// The same over a connection of its own.
fn comes_in_by_tcp(world: &mut World, phone: &mut Phone) {
    phone.transport = "TCP";
    let conn = world.sip_connect(phone.remote);
    let invite = phone.invite();
    world.sip_stream(conn, invite);
    let answers = world.take(phone).concat();
    let at = answers.find("SIP/2.0 200").expect("a 200 over TCP");
    phone.learn(&answers[at..]);
    for request in [phone.ack(""), phone.request("BYE")] {
        world.sip_stream(conn, request);
    }
    world.disconnect(conn, "closed by the peer");
}

fn is_cancelled_in(world: &mut World, phone: &mut Phone) {
    let answers = world.invite(phone);
    assert_eq!(status(answers.last().unwrap()), 200);
    // Too late, as the answer was immediate: the caller ends what it did not want.
    let (cancel, ack) = (phone.cancel(), phone.ack(""));
    world.sip(phone.remote, cancel);
    world.sip(phone.remote, ack);
    world.bye(phone);
}

fn is_rejected_in(world: &mut World, phone: &mut Phone) {
    phone.sdp = "v=0\r\nm=audio\r\n".into();
    let answers = world.invite(phone);
    let last = answers.last().unwrap();
    assert_eq!(status(last), 400, "{last}");
    let ack = phone.ack_refusal(last);
    world.sip(phone.remote, ack);
}

/// Two that share a registration; one is refused, the other answered and ended by request.
fn two_go_out(world: &mut World, name: &str) {
    let second = format!("{name}-b");
    start(world, name, true);
    assert!(let_register(world), "no REGISTER");
    let busy = Callee::called(world, PBX);
    start(world, &second, true);
    let callee = Callee::called(world, PBX);
    busy.refuse(world, 486, "");
    assert!(!let_register(world), "the registration is not shared");
    callee.respond(world, 180, "one", "");
    callee.respond(world, 200, "one", &callee.answer());
    terminate(world, &second);
    assert!(let_register(world), "the registration is not taken back");
}

fn is_cancelled_out(world: &mut World, name: &str) {
    start(world, name, false);
    let callee = Callee::called(world, PBX);
    callee.respond(world, 180, "one", "");
    terminate(world, name);
    let heard = callee.heard(world);
    let cancel = heard.iter().find(|text| text.starts_with("CANCEL "));
    callee.cancelled(world, cancel.expect("no CANCEL"));
}

/// One that proves its password, is held by us and hung up by the other side.
fn is_held_out(world: &mut World, name: &str) {
    start(world, name, false);
    Callee::called(world, PBX).refuse(world, 401, CHALLENGE);
    let mut callee = Callee::called(world, PBX);
    assert_eq!(headers(&callee.invite, "Authorization").len(), 1);
    callee.respond(world, 200, "one", &callee.answer());
    let port = callee.phone.audio_port.unwrap();
    let (index, _) = world.outlet.media_at(port).unwrap();
    COUNTED.set(true);
    assert!(world.gateway.hold(world.now, index));
    COUNTED.set(false);
    world.settle();
    let hold = Callee::called(world, PBX);
    assert!(hold.offer().contains("a=sendonly") || hold.offer().contains("a=inactive"));
    let answer = gateway_support::callee::answer(hold.phone.media, "recvonly");
    hold.respond(world, 200, "one", &answer);
    let answers = callee.request(world, "BYE", "one");
    assert!(
        answers.iter().any(|text| status(text) == 200),
        "{answers:?}"
    );
}

/// Bytes that the gateway holds with nothing going on.
fn at_rest(world: &mut World) -> i64 {
    // Connections to the PBX are closed when they were idle for long.
    world.advance(Duration::from_secs(700));
    world.gateway.check_invariants();
    assert_eq!(world.gateway.usage(), Usage::default());
    assert_eq!(world.pool.available(), world.pool.capacity());
    assert_eq!(world.outlet.connections(), 0);
    assert!(world.outlet.media.is_empty());
    assert!(world.gateway.is_idle());
    assert_eq!(world.gateway.counters().calls_crashed, 0);
    BYTES.get()
}

#[test]
fn calls_of_every_kind_by_the_ten_thousand_leave_no_byte_behind() {
    let mut world = World::local(4);
    world.checks = false;
    world.counted = true;
    world.outlet.forgetful = true;
    let mut first = None;
    let (mut at, mut turn) = (0, 0);
    while at < CALLS {
        // Names of one length: what is kept of a call is as long as its name.
        let name = format!("call-{at:06}");
        let mut phone = Phone::new(&format!("{at:06}"));
        match turn % 8 {
            0 | 4 => comes_in(&mut world, &mut phone),
            1 => comes_in_by_tcp(&mut world, &mut phone),
            2 => is_cancelled_in(&mut world, &mut phone),
            3 => is_rejected_in(&mut world, &mut phone),
            5 => two_go_out(&mut world, &name),
            6 => is_cancelled_out(&mut world, &name),
            _ => is_held_out(&mut world, &name),
        }
        at += if turn % 8 == 5 { 2 } else { 1 };
        turn += 1;
        if turn % 8 == 0 {
            world.advance(Duration::from_secs(33));
        }
        world.inbox.clear();
        world.outlet.notes.clear();
        world.outlet.origins.clear();
        if at >= FIRST && first.is_none() {
            first = Some(at_rest(&mut world));
        }
    }
    let last = at_rest(&mut world);
    assert_eq!(Some(last), first, "bytes after {at} calls");
    println!("{at} calls: {last} bytes as after the first {FIRST}");
}
