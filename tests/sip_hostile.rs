//! Cut and damaged SIP messages: nothing panics, and what is accepted can be answered and read back.

use std::net::SocketAddr;

use trunkcast::base::rng::Rng;
use trunkcast::limits::SIP_MESSAGE_BYTES;
use trunkcast::wire::sip_emit::{write_request, write_response};
use trunkcast::wire::sip_fault::SipFault;
use trunkcast::wire::sip_frame::StreamFramer;
use trunkcast::wire::sip_index::SipHeaders;
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_name::HeaderName;
use trunkcast::wire::sip_reply::ReplyHead;

fn corpus() -> Vec<Vec<u8>> {
    let folder = format!("{}/tests/data/rfc4475", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "dat"))
        .collect();
    paths.sort();
    let mut corpus: Vec<_> = paths.iter().map(|p| std::fs::read(p).unwrap()).collect();
    assert_eq!(corpus.len(), 49);
    corpus.push(
        b"INVITE sip:100@[2001:db8::1]:5060;transport=tcp SIP/2.0\r\n\
          Via: SIP/2.0/TCP [2001:db8::2]:5070;rport;branch=z9hG4bK1;received=[::1], SIP/2.0/UDP h\r\n\
          Record-Route: <sip:p1.example;lr>, <sip:[::1];lr>\r\n\
          From: \"Andr\xe9, \\\"x\\\"\" <sip:a:b@h.example;user=phone?x=y>;tag=1\r\n\
          To: <tel:+1-555;phone-context=x>;\r\n\
          Call-ID: c@h\r\nCSeq: 1 INVITE\r\n\
          Contact: <sip:a@192.0.2.1;lr>;+sip.instance=\"<urn:uuid:1>\";expires=60\r\n\
          Content-Type: application/sdp;x=\"a;b\"\r\nTimestamp: 1\r\n\
          Content-Length: 4\r\n\r\nv=0\n"
            .to_vec(),
    );
    corpus
}

/// Everything that a user agent does with a message.
fn exercise(bytes: &[u8], out: &mut [u8]) -> bool {
    let source: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let _ = SipMessage::parse_stream(bytes).map(|message| message.body().len());
    let message = match SipMessage::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            if let Some(headers) = error.answer_to {
                assert_ne!(error.fault, SipFault::KeepAlive);
                answer(&headers, source, out);
            }
            return false;
        }
    };
    touch(&message);
    if message.method().is_some() {
        let length = answer(message.headers(), source, out);
        let Some(read) = read_back(&out[..length]) else {
            return true;
        };
        assert_eq!(read.call_id(), message.call_id());
        assert_eq!(read.cseq(), message.cseq());
        assert_eq!(read.via().branch, message.via().branch);
        assert_eq!(read.from().tag(), message.from().tag());
        assert_eq!(read.to().tag(), message.to().tag().or(Some("ours")));
        assert_eq!(read.count(HeaderName::Via), message.count(HeaderName::Via));
    }
    if let Some(rsip::SipMessage::Request(request)) = message.to_rsip() {
        let length = write_request(&request, out).expect("room");
        let Some(read) = read_back(&out[..length]) else {
            return true;
        };
        assert_eq!(read.call_id(), message.call_id());
        assert_eq!(read.body(), message.body());
        assert!(
            read.request_uri()
                .unwrap()
                .is_equivalent(message.request_uri().unwrap())
        );
    }
    true
}

/// What we printed, unless it grew beyond what is read.
fn read_back(bytes: &[u8]) -> Option<SipMessage<'_>> {
    let fits = bytes.len() <= SIP_MESSAGE_BYTES;
    fits.then(|| SipMessage::parse(bytes).unwrap_or_else(|error| panic!("{:?}", error.fault)))
}

fn answer(headers: &SipHeaders<'_>, source: SocketAddr, out: &mut [u8]) -> usize {
    let head = ReplyHead::new(headers, source);
    assert_eq!(head.destination().ip(), source.ip());
    write_response(&head, Some("ours"), &rsip::Response::default(), out).expect("room")
}

fn touch(message: &SipMessage<'_>) {
    for address in message.contacts().chain(message.routes()) {
        let _ = (address.display_name(), address.to_text());
        let _ = (address.uri.user_text(), address.uri.to_rsip().to_string());
        let long = address.uri.params().count() > 32
            || address
                .uri
                .headers
                .is_some_and(|h| h.split('&').count() > 32);
        assert!(long || address.uri.is_equivalent(&address.uri));
    }
    let _ = (message.vias().count(), message.record_routes().count());
    let _ = (message.expires(), message.content_type());
    let _ = (message.from().display_name(), message.to().display_name());
}

#[test]
fn every_truncation_of_every_message_is_read_without_a_panic() {
    let mut out = vec![0; 40_000];
    for message in corpus() {
        for length in 0..message.len() {
            exercise(&message[..length], &mut out);
        }
    }
}

#[test]
fn damaged_messages_are_read_without_a_panic_and_accepted_ones_answer_well() {
    let corpus = corpus();
    let mut rng = Rng::from_number(4475);
    let mut out = vec![0; 40_000];
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = corpus[rng.below(corpus.len() as u32) as usize].clone();
        for _ in 0..=rng.below(4) {
            damage(&mut bytes, &corpus, &mut rng);
        }
        accepted += usize::from(exercise(&bytes, &mut out));
        frame(&bytes, &mut rng);
    }
    assert!(accepted > 1_000, "the damage leaves some whole: {accepted}");
}

/// Pushes in pieces; whatever comes, the framer ends or waits.
fn frame(bytes: &[u8], rng: &mut Rng) {
    let mut framer = StreamFramer::new();
    let mut rest = bytes;
    let mut items = 0;
    while !rest.is_empty() {
        let piece = rng.below(rest.len() as u32 + 1) as usize;
        let taken = framer.push(&rest[..piece.max(1)]);
        assert!(taken > 0, "a framer that waits has room");
        rest = &rest[taken..];
        loop {
            match framer.next_item() {
                Ok(Some(_)) => items += 1,
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(items <= bytes.len());
        }
    }
}

const SPICE: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b";",
    b",",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"@",
    b":",
    b"=",
    b"?",
    b"%",
    b"%00",
    b"[",
    b"]",
    b"\0",
    b"\xff",
    b"\r\n ",
    b"\r\n\r\n",
    b";tag=",
    b";rport",
    b"//",
    b"4294967296",
];

fn damage(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(bytes.len() as u32 + 1) as usize;
    let end = bytes.len().min(at + rng.below(20) as usize);
    match rng.below(5) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.u32() as u8;
            }
        }
        1 => {
            bytes.drain(at..end);
        }
        2 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        3 => {
            let spice = SPICE[rng.below(SPICE.len() as u32) as usize];
            bytes.splice(at..at, spice.iter().copied());
        }
        _ => {
            let other = &corpus[rng.below(corpus.len() as u32) as usize];
            let from = rng.below(other.len() as u32) as usize;
            let to = other.len().min(from + rng.below(60) as usize);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// The longest message of the shapes that could cost more than a pass over it.
#[test]
fn hostile_shapes_cost_a_bounded_time() {
    let head = "OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
                From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";
    let room = SIP_MESSAGE_BYTES - head.len() - 40;
    let mut out = vec![0; 40_000];
    let begin = std::time::Instant::now();
    for (start, unit, end) in [
        ("Contact: ", "<sip:a@h>,", "<sip:a@h>"),
        ("Contact: <sip:a@h>", ";a", ""),
        ("Contact: <sip:a@h", ";a", ">"),
        ("Contact: <sip:a@h?a=b", "&a=b", ">"),
        ("X: ", "\r\n ", "x"),
        ("X: ", "\"", ""),
        ("Via: ", "SIP/2.0/UDP h,", "SIP/2.0/UDP h"),
        ("Record-Route: ", "<", ""),
        ("Require: ", ",", "x"),
        ("", "A:\r\n", "B:"),
    ] {
        let filler = unit.repeat(room / unit.len());
        let message = format!("{head}{start}{filler}{end}\r\nl: 0\r\n\r\n");
        for _ in 0..3 {
            exercise(message.as_bytes(), &mut out);
            let mut framer = StreamFramer::new();
            for byte in message.as_bytes() {
                framer.push(&[*byte]);
                let _ = framer.next_item();
            }
        }
    }
    let taken = begin.elapsed();
    assert!(taken.as_secs() < 5, "{taken:?}");
}
