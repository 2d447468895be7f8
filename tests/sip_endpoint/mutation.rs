//! Cut and mutated messages, into datagrams and streams, while a call is going on.

use trunkcast::base::ids::ConnId;
use trunkcast::base::rng::Rng;
use trunkcast::sip::{Cause, SipEvent};

use crate::bench::{ANSWER, Bench, Caller, ms, secs};

/// Every message that a call brings, from either transport.
fn messages() -> Vec<String> {
    let mut caller = Caller::new("seed");
    caller.to_tag = Some("0123456789abcdef".into());
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK0;rport\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\
        Content-Length: 0\r\n\r\n";
    let mut all = vec![
        caller.invite(),
        caller.ack(),
        caller.cancel(),
        response.into(),
    ];
    for method in ["BYE", "INFO", "OPTIONS", "UPDATE", "DANCE"] {
        all.push(caller.request(method));
    }
    caller.to_tag = None;
    caller.extra = "Record-Route: <sip:192.0.2.30;lr>\r\nRequire: x\r\nExpires: 3\r\n".into();
    all.push(caller.invite());
    all
}

/// What an owner would do, whatever comes.
fn act(bench: &mut Bench) {
    for event in std::mem::take(&mut bench.events) {
        match event {
            SipEvent::Invite { id, .. } => {
                let _ = bench.command(|e, now| e.accept(now, id, ANSWER));
            }
            SipEvent::Reinvite { id, .. } => {
                let _ = bench.command(|e, now| e.answer_reinvite(now, id, ANSWER));
            }
            SipEvent::Confirmed { id, .. } => {
                let _ = bench.command(|e, now| e.hangup(now, id, Cause::new(200, "")));
            }
            _ => {}
        }
    }
    bench.take();
}

fn settle(mut bench: Bench) {
    bench.advance(secs(120));
    act(&mut bench);
    bench.advance(secs(120));
    assert_eq!(bench.endpoint.busy() - bench.endpoint.calls(), 0);
}

#[test]
fn every_cut_of_every_message_is_survived() {
    let mut bench = Bench::new();
    for message in messages() {
        for length in 0..message.len() {
            bench.datagram(&message.as_bytes()[..length]);
            act(&mut bench);
        }
        bench.advance(secs(40));
    }
    settle(bench);
}

#[test]
fn mutated_datagrams_are_survived() {
    let mut bench = Bench::new();
    let mut rng = Rng::from_number(7);
    let seeds = messages();
    for round in 0..20_000_u32 {
        let seed = &seeds[rng.below(seeds.len() as u32) as usize];
        let mutated = mutate(&mut rng, seed.as_bytes());
        bench.datagram(mutated);
        act(&mut bench);
        if round % 64 == 0 {
            bench.advance(ms(u64::from(rng.below(3_000))));
        }
    }
    settle(bench);
}

#[test]
fn mutated_streams_are_survived() {
    let mut bench = Bench::new();
    let mut rng = Rng::from_number(8);
    let seeds = messages();
    for number in 0..1_500_u32 {
        let conn = ConnId(number);
        bench.connect(conn);
        for _ in 0..rng.below(8) {
            let seed = &seeds[rng.below(seeds.len() as u32) as usize];
            let bytes = match rng.below(2) {
                0 => mutate(&mut rng, seed.as_bytes()),
                _ => seed.clone().into_bytes(),
            };
            let step = 1 + rng.below(400) as usize;
            for piece in bytes.chunks(step) {
                bench.stream(conn, piece);
                act(&mut bench);
            }
        }
        if rng.below(2) == 0 {
            bench.command(|e, now| e.handle_disconnected(now, conn));
        }
        bench.advance(ms(u64::from(rng.below(500))));
    }
    settle(bench);
}

fn mutate(rng: &mut Rng, seed: &[u8]) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"\r\n",
        b"\r\n ",
        b",",
        b";",
        b"\"",
        b"<",
        b">",
        b"z9hG4bK",
        b"\0",
        b"\xff\xfe",
        b"4294967296",
        b"Content-Length: -1\r\n",
    ];
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u32 + 1) as usize;
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] = rng.u32() as u8,
            1 => {
                let piece = PIECES[rng.below(PIECES.len() as u32) as usize];
                bytes.splice(at..at, piece.iter().copied());
            }
            2 => {
                let end = (at + rng.below(40) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + rng.below(80) as usize).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}
