use super::*;
use crate::base::rng::Rng;

fn read(text: &str) -> Result<Option<Response>, ResponseFault> {
    ResponseReader::default().push(text.as_bytes())
}

/// The response of a text that must hold exactly one, read at once and byte by byte.
fn whole(text: &str) -> Response {
    let at_once = read(text).unwrap().expect("not whole");
    let mut reader = ResponseReader::default();
    let (last, before) = text.as_bytes().split_last().unwrap();
    for byte in before {
        assert_eq!(reader.push(&[*byte]), Ok(None), "{text}");
        assert!(!reader.is_untouched());
    }
    assert_eq!(reader.push(&[*last]).unwrap().as_ref(), Some(&at_once));
    // It is ready for the next one.
    assert!(reader.is_untouched());
    assert_eq!(reader.status(), None);
    at_once
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;name=\"value\"\r\nhello\r\n1 \r\n \r\n05\r\nworld\r\n0\r\nTrailer: dropped\r\n\r\n";

#[test]
fn a_body_of_a_length_is_read() {
    let response = whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((response.status, response.keep_alive), (200, true));
    assert_eq!(response.body, b"hello");
    let empty = whole("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((empty.status, empty.body.len()), (403, 0));
}

#[test]
fn chunks_are_put_together() {
    let response = whole(CHUNKED);
    assert_eq!(response.body, b"hello world");
    assert!(response.keep_alive);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut reader = ResponseReader::default();
    let text = b"HTTP/1.0 200 OK\r\nServer: SimpleHTTP\r\n\r\nhello";
    assert_eq!(reader.push(text), Ok(None));
    assert_eq!(reader.status(), Some(200));
    let response = reader.end().unwrap();
    assert_eq!(
        (response.body.as_slice(), response.keep_alive),
        (&b"hello"[..], false)
    );
    for text in ["", "HTTP/1.1 200 OK\r\n", &CHUNKED[..CHUNKED.len() - 2]] {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.push(text.as_bytes()), Ok(None));
        assert_eq!(reader.end(), Err(ResponseFault::CutShort), "{text}");
    }
}

#[test]
fn some_responses_have_no_body() {
    for text in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(whole(text).body.is_empty(), "{text}");
    }
}

#[test]
fn whether_the_connection_goes_on_is_told() {
    for (head, kept) in [
        ("HTTP/1.1 200 OK\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", true),
    ] {
        let response = whole(&format!("{head}Content-Length: 0\r\n\r\n"));
        assert_eq!(response.keep_alive, kept, "{head}");
    }
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(!read(more).unwrap().unwrap().keep_alive);
}

#[test]
fn every_oddity_is_a_fault_in_words() {
    let long = "x".repeat(HTTP_RESPONSE_HEAD_BYTES);
    let lines = "A: b\r\n".repeat(HTTP_RESPONSE_HEADERS + 1);
    let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(usize::from(HTTP_RESPONSE_INTERIMS) + 1);
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let chunked = |body: &str| ok("Transfer-Encoding: chunked\r\n") + body;
    for (text, fault) in [
        ("\x16\x03\x01".to_owned(), ResponseFault::Syntax),
        ("SSH-2.0".to_owned(), ResponseFault::Syntax),
        ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), ResponseFault::Syntax),
        ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), ResponseFault::Syntax),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), ResponseFault::Version),
        ("HTTP/1.1 200 OK\n".to_owned(), ResponseFault::BareLf),
        (ok(&format!("A: {long}\r\n")), ResponseFault::HeadTooLarge),
        (ok(&lines), ResponseFault::HeadTooLarge),
        (interims, ResponseFault::Interims),
        ("HTTP/1.1 101 Go\r\n\r\n".to_owned(), ResponseFault::Upgrade),
        (ok("Content-Length: -1\r\n"), ResponseFault::Length),
        (ok("Content-Length: 1, 1\r\n"), ResponseFault::Length),
        (ok("Content-Length:\r\n"), ResponseFault::Length),
        (
            ok("Content-Length: 1\r\nContent-Length: 1\r\n"),
            ResponseFault::Length,
        ),
        (
            ok("Content-Length: 99999999999999999999999\r\n"),
            ResponseFault::BodyTooLarge,
        ),
        (
            ok("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            ResponseFault::TwoLengths,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            ResponseFault::TwoLengths,
        ),
        (
            ok("Transfer-Encoding: gzip, chunked\r\n"),
            ResponseFault::Coding,
        ),
        (
            ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ResponseFault::Coding,
        ),
        (chunked("\r\n"), ResponseFault::Chunk),
        (chunked("-1\r\n"), ResponseFault::Chunk),
        (chunked("0x5\r\n"), ResponseFault::Chunk),
        (chunked("5\n"), ResponseFault::Chunk),
        (chunked("1\r\nab\r\n"), ResponseFault::Chunk),
        (
            chunked(&"0".repeat(HTTP_CHUNK_LINE_BYTES + 1)),
            ResponseFault::Chunk,
        ),
        (
            chunked("ffffffffffffffffff\r\n"),
            ResponseFault::BodyTooLarge,
        ),
        (
            chunked(&format!("0\r\n{}", "A: b\r\n".repeat(2_000))),
            ResponseFault::HeadTooLarge,
        ),
    ] {
        let shown = text.chars().take(80).collect::<String>();
        assert_eq!(read(&text), Err(fault), "{shown}");
        assert!(!fault.to_string().is_empty());
    }
}

#[test]
fn a_body_is_bounded_however_its_length_is_told() {
    let mut reader = ResponseReader::default();
    reader.push(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let piece = vec![b'x'; HTTP_RESPONSE_BODY_BYTES];
    assert_eq!(reader.push(&piece), Ok(None));
    assert_eq!(reader.push(b"x"), Err(ResponseFault::BodyTooLarge));
    assert_eq!(reader.status(), Some(200));
    let mut reader = ResponseReader::default();
    reader
        .push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let faults = (0..8).find_map(|_| reader.push(chunk.as_bytes()).err());
    assert_eq!(faults, Some(ResponseFault::BodyTooLarge));
}

#[test]
fn no_cut_and_no_mutation_gets_out_of_bounds() {
    let texts = [
        CHUNKED,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500 No\r\n\r\nbody",
    ];
    let mut rng = Rng::from_number(5);
    for text in texts {
        for length in 0..text.len() {
            let mut reader = ResponseReader::default();
            let cut = reader.push(&text.as_bytes()[..length]);
            assert!(matches!(cut, Ok(None)), "{text} cut at {length}");
        }
        for _ in 0..4_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                match rng.below(4) {
                    0 => bytes[at] = rng.below(256) as u8,
                    1 => bytes.insert(at, rng.below(256) as u8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes[at] ^= 1 << rng.below(8),
                }
            }
            let mut reader = ResponseReader::default();
            let middle = rng.below(bytes.len() as u32) as usize;
            let (first, second) = bytes.split_at(middle);
            let mut whole = reader.push(first);
            if let Ok(None) = whole {
                whole = reader.push(second);
            }
            if let Ok(None) = whole {
                whole = reader.end().map(Some);
            }
            let mut reader = ResponseReader::default();
            let at_once = match reader.push(&bytes) {
                Ok(None) => reader.end().map(Some),
                whole => whole,
            };
            let known = |read: Result<Option<Response>, ResponseFault>| {
                read.map(|it| it.map(|it| (it.status, it.body)))
            };
            assert_eq!(known(at_once), known(whole.clone()), "{bytes:?}");
            if let Ok(Some(response)) = whole {
                assert!((200..1_000).contains(&response.status));
                assert!(response.body.len() <= bytes.len());
            }
        }
    }
}
