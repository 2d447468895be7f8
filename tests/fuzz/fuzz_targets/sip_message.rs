//! A SIP message: read from a datagram and from a stream, looked at through every view, printed again,
//! answered.

#![no_main]

use std::hint::black_box;
use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use trunkcast::limits::SIP_MESSAGE_BYTES;
use trunkcast::wire::sip_emit::{write_request, write_response};
use trunkcast::wire::sip_index::SipHeaders;
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_name::HeaderName;
use trunkcast::wire::sip_reply::ReplyHead;
use trunkcast::wire::sip_uri::Uri;

fuzz_target!(|data: &[u8]| {
    for read in [SipMessage::parse(data), SipMessage::parse_stream(data)] {
        match read {
            Ok(message) => accepted(&message),
            Err(error) => {
                black_box(error.fault.to_string());
                if let Some(headers) = &error.answer_to {
                    black_box(answer(headers));
                }
            }
        }
    }
});

fn accepted(message: &SipMessage<'_>) {
    look(message.headers());
    for uri in [&message.from().uri, &message.to().uri] {
        look_at(uri);
    }
    message.request_uri().into_iter().for_each(look_at);
    black_box((message.from().display_name(), message.to().to_text()));
    black_box((message.body(), message.via().transaction_branch()));
    if let Some(rsip::SipMessage::Request(request)) = message.to_rsip() {
        let mut out = vec![0; SIP_MESSAGE_BYTES];
        let _ = black_box(write_request(&request, &mut out));
    }
    if message.method().is_some() {
        let reply = answer(message.headers()).expect("room for what came in as much");
        let reply = SipMessage::parse(&reply).expect("an answer to what was accepted reads back");
        assert_eq!(reply.status(), Some(200));
        assert_eq!(reply.call_id(), message.call_id());
        assert_eq!(reply.cseq(), message.cseq());
        assert_eq!(reply.from().tag(), message.from().tag());
        assert!(reply.to().tag().is_some());
        let branches = |message: &SipMessage<'_>| -> Vec<_> {
            message
                .vias()
                .map(|via| via.branch.map(str::to_owned))
                .collect()
        };
        assert_eq!(branches(&reply), branches(message));
    }
}

fn answer(headers: &SipHeaders<'_>) -> Option<Vec<u8>> {
    let source: SocketAddr = ([192, 0, 2, 9], 5_060).into();
    let head = ReplyHead::new(headers, source);
    black_box(head.destination());
    let mut out = vec![0; 3 * SIP_MESSAGE_BYTES];
    let length = write_response(&head, Some("t"), &rsip::Response::default(), &mut out).ok()?;
    out.truncate(length);
    Some(out)
}

fn look(headers: &SipHeaders<'_>) {
    for (name, written, value) in headers.iter() {
        black_box((name, written.len(), value.len()));
        black_box(headers.values(name).count());
        black_box(headers.tokens(name).count());
        black_box(headers.text(name));
        black_box(headers.has_token(name, "100rel"));
    }
    for name in [HeaderName::Via, HeaderName::Contact] {
        black_box((headers.count(name), headers.first(name)));
    }
    let named = headers
        .contacts()
        .chain(headers.routes())
        .chain(headers.record_routes());
    for named in named {
        look_at(&named.uri);
        black_box((named.display_name(), named.tag(), named.to_text()));
        black_box(named.params.iter().count());
    }
    for via in headers.vias() {
        black_box(via.response_address(([192, 0, 2, 9], 5_060).into()));
        black_box((
            via.transaction_branch(),
            via.host.to_string(),
            via.params.iter().count(),
        ));
    }
    black_box((
        headers.max_forwards(),
        headers.expires(),
        headers.content_length().ok(),
    ));
    if let Some(kind) = headers.content_type() {
        black_box((kind.is("application", "sdp"), kind.params.token("boundary")));
    }
}

fn look_at(uri: &Uri<'_>) {
    black_box((uri.user_text(), uri.params().count(), uri.transport()));
    black_box((uri.is_loose_route(), uri.socket_addr(), uri.to_rsip()));
}
