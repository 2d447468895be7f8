//! SIP on a stream: any pieces of it give what the whole gives.

#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use trunkcast::wire::sip_frame::{StreamError, StreamFramer, StreamItem};
use trunkcast::wire::sip_message::SipMessage;
use trunkcast_fuzz::Choices;

#[derive(Debug, PartialEq)]
enum Item {
    Message(Vec<u8>),
    KeepAlive,
    Unframed(Vec<u8>),
    Error(StreamError),
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut sizes = Vec::new();
    for _ in 0..choices.byte() & 31 {
        sizes.push(usize::from(choices.byte()) + 1);
    }
    let stream = choices.rest();
    let whole = framed(stream, |_| stream.len());
    let pieces = framed(stream, |at| sizes.get(at).copied().unwrap_or(stream.len()));
    assert_eq!(pieces, whole);
    if stream.len() < 2_048 {
        assert_eq!(framed(stream, |_| 1), whole);
    }
    for item in &whole {
        if let Item::Message(bytes) | Item::Unframed(bytes) = item {
            let _ = black_box(SipMessage::parse_stream(bytes));
        }
    }
});

/// What the framer makes of a stream in pieces of these sizes, up to the error that ends it.
fn framed(mut stream: &[u8], size: impl Fn(usize) -> usize) -> Vec<Item> {
    let mut framer = StreamFramer::new();
    let mut items = Vec::new();
    let mut at = 0;
    while !stream.is_empty() {
        let (mut piece, rest) = stream.split_at(size(at).clamp(1, stream.len()));
        stream = rest;
        at += 1;
        while !piece.is_empty() {
            let taken = framer.push(piece);
            assert!(taken > 0, "a framer whose items are taken has room");
            piece = &piece[taken..];
            loop {
                match framer.next_item() {
                    Ok(Some(StreamItem::Message(bytes))) => items.push(Item::Message(bytes.into())),
                    Ok(Some(StreamItem::Unframed(bytes))) => {
                        items.push(Item::Unframed(bytes.into()));
                    }
                    Ok(Some(StreamItem::KeepAlive)) => items.push(Item::KeepAlive),
                    Ok(None) => break,
                    Err(error) => {
                        items.push(Item::Error(error));
                        return items;
                    }
                }
            }
        }
    }
    items
}
