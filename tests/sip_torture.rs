//! The messages of RFC 4475, each under its section, and what reading them gives.
//!
//! Every file is also sent over the stream framer, cut at every place.

use trunkcast::wire::sip_fault::SipFault;
use trunkcast::wire::sip_frame::{StreamError, StreamFramer, StreamItem};
use trunkcast::wire::sip_message::{SipMessage, StartLine};
use trunkcast::wire::sip_name::HeaderName;
use trunkcast::wire::sip_uri::{Host, Scheme};

fn data(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/data/rfc4475/{name}.dat",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn accepted(bytes: &[u8]) -> SipMessage<'_> {
    SipMessage::parse(bytes).unwrap_or_else(|error| panic!("{:?}", error.fault))
}

/// A request that is refused with an answer.
fn answered(name: &str, fault: SipFault, code: u16) {
    let bytes = data(name);
    let error = SipMessage::parse(&bytes).expect_err(name);
    assert_eq!((error.fault, error.fault.code()), (fault, code), "{name}");
    assert!(error.answer_to.is_some(), "{name} can be answered");
}

/// A response that is refused: nothing is sent.
fn dropped(name: &str, fault: SipFault) {
    let bytes = data(name);
    let error = SipMessage::parse(&bytes).expect_err(name);
    assert_eq!(error.fault, fault, "{name}");
    assert!(error.answer_to.is_none(), "{name} is not to be answered");
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.expect("a value").to_vec()).unwrap()
}

#[test]
fn section_3_1_1_1_a_short_tortuous_invite() {
    let bytes = data("wsinv");
    let message = accepted(&bytes);
    assert_eq!(message.method().unwrap(), rsip::Method::Invite);
    let target = message.request_uri().unwrap();
    assert_eq!(target.user, Some("vivekg"));
    assert_eq!(target.param("unknownparam"), Some(None));
    assert_eq!(message.to().tag(), Some("1918181833n"));
    assert_eq!(message.to().uri.text, "sip:vivekg@chair-dnrc.example.com");
    assert_eq!(message.from().tag(), Some("98asjd8"));
    assert_eq!(message.from().display_name().unwrap(), "J Rosenberg \\\"");
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(message.call_id(), "wsinv.ndaksdj@192.0.2.1");
    assert_eq!(
        (message.cseq().number, message.cseq().method.as_str()),
        (9, "INVITE")
    );
    let vias: Vec<_> = message
        .vias()
        .map(|via| (via.transport, via.host.to_string(), via.branch))
        .collect();
    assert_eq!(
        vias,
        [
            ("UDP", "192.0.2.2".to_string(), Some("390skdjuw")),
            (
                "TCP",
                "spindle.example.com".to_string(),
                Some("z9hG4bK9ikj8")
            ),
            ("UDP", "192.168.255.111".to_string(), Some("z9hG4bK30239")),
        ]
    );
    assert_eq!(message.via().transaction_branch(), None);
    assert_eq!(message.first(HeaderName::Subject), Some(&b""[..]));
    assert_eq!(
        message.all_named("newfangledheader").next().unwrap(),
        b"newfangled value\r\n continued newfangled value"
    );
    assert_eq!(
        message
            .all_named("UnknownHeaderWithUnusualValue")
            .next()
            .unwrap(),
        b";;,,;;,;"
    );
    let route = message.routes().next().unwrap();
    assert!(route.uri.is_loose_route());
    assert_eq!(route.uri.param("unknownwith"), Some(Some("value")));
    let contact = message.contact().unwrap();
    assert_eq!(contact.display_name().unwrap(), "Quoted string \"\"");
    assert_eq!(contact.params.token("newparam"), Some("newvalue"));
    assert_eq!(contact.params.token("q"), Some("0.33"));
    assert!(message.content_type().unwrap().is("application", "sdp"));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn section_3_1_1_2_wide_range_of_valid_characters() {
    const METHOD: &str = "!interesting-Method0123456789_*+`.%indeed'~";
    let bytes = data("intmeth");
    let message = accepted(&bytes);
    let method = message.method().unwrap();
    assert_eq!((method.as_str(), method.to_rsip()), (METHOD, None));
    assert_eq!(message.cseq().method.as_str(), METHOD);
    assert_eq!(message.cseq().number, 139_122_385);
    let target = message.request_uri().unwrap();
    assert_eq!(
        target.user,
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        target.password,
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    assert_eq!(target.host, Some(Host::Name("example.com")));
    assert_eq!(
        message.to().display_name().unwrap(),
        "BEL:\u{7} NUL:\0 DEL:\u{7f}"
    );
    assert_eq!(
        message.from().display_name().unwrap(),
        "token1~` token2'+_ token3*%!.-"
    );
    assert_eq!(message.from().tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        message
            .from()
            .params
            .get("fromParam''~+*_!.-%")
            .unwrap()
            .value,
        Some(
            "\"\u{440}\u{430}\u{431}\u{43e}\u{442}\u{430}\u{44e}\u{449}\u{438}\u{439}\"".as_bytes()
        )
    );
    assert_eq!(
        message.call_id(),
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert_eq!(
        message.via().transaction_branch(),
        Some("z9hG4bK-.!%66*_+`'~")
    );
    assert_eq!(message.max_forwards(), Some(255));
    assert_eq!(message.all_named("extensionHeader-!.%*+_`'~").count(), 1);
}

#[test]
fn section_3_1_1_3_valid_use_of_the_percent_escape() {
    let bytes = data("esc01");
    let message = accepted(&bytes);
    let target = message.request_uri().unwrap();
    assert_eq!(target.scheme, Scheme::Sip);
    assert_eq!(target.user_text().unwrap(), "sips:user@example.com");
    assert_eq!(target.host, Some(Host::Name("example.net")));
    assert_eq!(message.to().uri.user_text().unwrap(), "user");
    assert_eq!(message.from().uri.user_text().unwrap(), "I have spaces");
    let contact = message.contact().unwrap().uri;
    assert_eq!(contact.user_text().unwrap(), "caller");
    assert!(contact.is_loose_route());
    assert_eq!(contact.param("name"), Some(Some("v%61lue%25%34%31")));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn section_3_1_1_4_escaped_nulls_in_uris() {
    let bytes = data("escnull");
    let message = accepted(&bytes);
    assert_eq!(message.to().uri.user_text().unwrap(), "null-\0-null");
    let contacts: Vec<_> = message
        .contacts()
        .map(|contact| contact.uri.user_text().unwrap())
        .collect();
    assert_eq!(contacts, ["\0", "\0\0"]);
    assert_eq!(message.body(), b"");
}

#[test]
fn section_3_1_1_5_use_of_percent_when_it_is_not_an_escape() {
    let bytes = data("esc02");
    let message = accepted(&bytes);
    assert_eq!(message.method().unwrap().as_str(), "RE%47IST%45R");
    assert_ne!(message.method().unwrap(), rsip::Method::Register);
    assert_eq!(message.from().display_name().unwrap(), "%Z%45");
    assert_eq!(
        message.via().transaction_branch(),
        Some("z9hG4bK209%fzsnel234")
    );
    let contacts: Vec<_> = message.contacts().map(|c| c.uri.user).collect();
    assert_eq!(contacts, [Some("alias1"), Some("alias3")]);
    assert_eq!(message.all_named("C%6Fntact").count(), 1);
}

#[test]
fn section_3_1_1_6_no_space_between_display_name_and_bracket() {
    let bytes = data("lwsdisp");
    let message = accepted(&bytes);
    assert_eq!(message.from().display_name().unwrap(), "caller");
    assert_eq!(message.from().uri.text, "sip:caller@example.com");
    assert_eq!(message.from().tag(), Some("323"));
}

#[test]
fn section_3_1_1_7_long_values_in_header_fields() {
    let bytes = data("longreq");
    let message = accepted(&bytes);
    assert_eq!(message.vias().count(), 34);
    assert_eq!(message.via().host, Host::Name("sip33.example.com"));
    let last = message.vias().last().unwrap();
    assert_eq!(last.received, "192.0.2.5".parse().ok());
    assert!(last.branch.unwrap().starts_with("verylonglong"));
    assert!(message.call_id().starts_with("longreq.onereally"));
    assert_eq!(message.to().uri.port, Some(6000));
    assert!(message.from().tag().unwrap().starts_with("12982982982982"));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn section_3_1_1_8_extra_trailing_octets_in_a_datagram() {
    let bytes = data("dblreq");
    let message = accepted(&bytes);
    assert_eq!(message.method().unwrap(), rsip::Method::Register);
    assert_eq!(message.call_id(), "dblreq.0ha0isndaksdj99sdfafnl3lk233412");
    assert_eq!(message.body(), b"", "what follows is no part of it");
}

#[test]
fn section_3_1_1_9_semicolon_separated_parameters_in_the_user_part() {
    let bytes = data("semiuri");
    let message = accepted(&bytes);
    let target = message.request_uri().unwrap();
    assert_eq!(target.user_text().unwrap(), "user;par=u@example.net");
    assert_eq!(target.host, Some(Host::Name("example.com")));
    assert_eq!(target.params().count(), 0);
    let accepts: Vec<_> = message
        .values(HeaderName::Accept)
        .map(|value| text(Some(value)))
        .collect();
    assert_eq!(
        accepts,
        [
            "application/sdp",
            "application/pkcs7-mime",
            "multipart/mixed",
            "multipart/signed",
            "message/sip",
            "message/sipfrag"
        ]
    );
}

#[test]
fn section_3_1_1_10_varied_and_unknown_transport_types() {
    let bytes = data("transports");
    let message = accepted(&bytes);
    let transports: Vec<_> = message.vias().map(|via| via.transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    assert_eq!(message.call_id(), "transports.kijh4akdnaqjkwendsasfdj");
}

#[test]
fn section_3_1_1_11_a_multipart_message_with_binary_in_it() {
    let bytes = data("mpart01");
    let message = accepted(&bytes);
    let kind = message.content_type().unwrap();
    assert!(kind.is("multipart", "mixed"));
    assert_eq!(kind.params.token("boundary"), Some("7a9cbec02ceef655"));
    assert_eq!(message.via().rport, Some(None));
    assert_eq!(message.body().len(), 553);
    assert!(message.body().contains(&0));
    assert!(message.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
}

#[test]
fn section_3_1_1_12_unusual_reason_phrase() {
    let bytes = data("unreason");
    let message = accepted(&bytes);
    let StartLine::Status { code, reason } = *message.start() else {
        panic!("a response");
    };
    assert_eq!(code, 200);
    assert!(text(Some(reason)).starts_with("= 2**3 * 5**2 \u{43d}\u{43e}"));
    assert_eq!(message.to().tag(), Some("2229"));
    assert_eq!(message.body().len(), 154);
}

#[test]
fn section_3_1_1_13_empty_reason_phrase() {
    let bytes = data("noreason");
    let message = accepted(&bytes);
    assert_eq!(
        *message.start(),
        StartLine::Status {
            code: 100,
            reason: b""
        }
    );
}

#[test]
fn section_3_1_2_1_extraneous_separators() {
    answered("badinv01", SipFault::Malformed(HeaderName::Via), 400);
}

#[test]
fn section_3_1_2_2_content_length_larger_than_the_message() {
    answered("clerr", SipFault::BodyCut, 400);
}

#[test]
fn section_3_1_2_3_negative_content_length() {
    answered("ncl", SipFault::Malformed(HeaderName::ContentLength), 400);
}

#[test]
fn section_3_1_2_4_request_scalars_too_large() {
    answered("scalar02", SipFault::Malformed(HeaderName::CSeq), 400);
    let bytes = String::from_utf8(data("scalar02")).unwrap();
    let bytes = bytes.replace("36893488147419103232", "1");
    let error = SipMessage::parse(bytes.as_bytes()).unwrap_err();
    assert_eq!(
        error.fault,
        SipFault::Malformed(HeaderName::MaxForwards),
        "300 is more than there can be"
    );
    let bytes = bytes.replace("Max-Forwards: 300", "Max-Forwards: 30");
    assert_eq!(accepted(bytes.as_bytes()).expires(), Some(u32::MAX));
}

#[test]
fn section_3_1_2_5_response_scalars_too_large() {
    dropped("scalarlg", SipFault::Malformed(HeaderName::CSeq));
}

#[test]
fn section_3_1_2_6_unterminated_quoted_string() {
    answered("quotbal", SipFault::Malformed(HeaderName::To), 400);
}

#[test]
fn section_3_1_2_7_brackets_around_the_request_uri() {
    answered("ltgtruri", SipFault::RequestUri, 400);
}

#[test]
fn section_3_1_2_8_space_within_the_request_uri() {
    answered("lwsruri", SipFault::StartLine, 400);
}

#[test]
fn section_3_1_2_9_several_spaces_in_the_request_line() {
    answered("lwsstart", SipFault::StartLine, 400);
}

#[test]
fn section_3_1_2_10_spaces_at_the_end_of_the_request_line() {
    answered("trws", SipFault::StartLine, 400);
}

#[test]
fn section_3_1_2_11_escaped_headers_in_the_request_uri() {
    answered("escruri", SipFault::RequestUri, 400);
}

/// The RFC lets an element that does not use Date ignore it. Nothing here uses it.
#[test]
fn section_3_1_2_12_invalid_time_zone_in_date() {
    let bytes = data("baddate");
    let message = accepted(&bytes);
    assert_eq!(
        text(message.first(HeaderName::Date)),
        "Fri, 01 Jan 2010 16:00:00 EST"
    );
    assert_eq!(message.body().len(), 150);
}

#[test]
fn section_3_1_2_13_contact_uri_with_headers_not_in_brackets() {
    answered("regbadct", SipFault::Malformed(HeaderName::Contact), 400);
}

#[test]
fn section_3_1_2_14_spaces_within_addr_spec() {
    answered("badaspec", SipFault::Malformed(HeaderName::To), 400);
}

#[test]
fn section_3_1_2_15_non_token_characters_in_a_display_name() {
    answered("baddn", SipFault::HeadersNotEnded, 400);
    let whole = [&data("baddn")[..], b"\r\n"].concat();
    let error = SipMessage::parse(&whole).unwrap_err();
    assert_eq!(error.fault, SipFault::Malformed(HeaderName::From));
    assert!(error.answer_to.is_some());
}

#[test]
fn section_3_1_2_16_unknown_protocol_version() {
    answered("badvers", SipFault::Version, 505);
}

#[test]
fn section_3_1_2_17_method_of_start_line_and_cseq_differ() {
    answered("mismatch01", SipFault::CSeqMethod, 400);
}

#[test]
fn section_3_1_2_18_unknown_method_and_cseq_differ() {
    answered("mismatch02", SipFault::CSeqMethod, 400);
}

#[test]
fn section_3_1_2_19_response_code_too_large() {
    dropped("bigcode", SipFault::StartLine);
}

/// For the transaction floor: a request of the kind that RFC 2543 made.
#[test]
fn section_3_2_1_missing_transaction_identifier() {
    let bytes = data("badbranch");
    let message = accepted(&bytes);
    assert_eq!(message.via().branch, Some("z9hG4bK"));
    assert_eq!(message.via().transaction_branch(), None);
}

#[test]
fn section_3_3_1_missing_required_header_fields() {
    answered("insuf", SipFault::Missing(HeaderName::From), 400);
}

#[test]
fn section_3_3_2_request_uri_with_unknown_scheme() {
    answered("unkscm", SipFault::Scheme, 416);
}

#[test]
fn section_3_3_3_request_uri_with_known_but_atypical_scheme() {
    answered("novelsc", SipFault::Scheme, 416);
}

#[test]
fn section_3_3_4_unknown_uri_schemes_in_header_fields() {
    let bytes = data("unksm2");
    let message = accepted(&bytes);
    assert_eq!(message.to().uri.scheme, Scheme::Other("isbn"));
    assert_eq!(message.from().uri.text, "http://www.example.com");
    assert_eq!(message.from().tag(), Some("3234233"));
    assert_eq!(message.contact().unwrap().uri.text, "name:John_Smith");
}

/// For the user agent: 420 with what it does not support.
#[test]
fn section_3_3_5_proxy_require_and_require() {
    let bytes = data("bext01");
    let message = accepted(&bytes);
    let required: Vec<_> = message.tokens(HeaderName::Require).collect();
    assert_eq!(
        required,
        ["nothingSupportsThis", "nothingSupportsThisEither"]
    );
    assert!(message.has_token(HeaderName::ProxyRequire, "NoProxiesSupportThis"));
}

/// For the user agent: 415.
#[test]
fn section_3_3_6_unknown_content_type() {
    let bytes = data("invut");
    let message = accepted(&bytes);
    assert!(!message.content_type().unwrap().is("application", "sdp"));
    assert_eq!(message.body().len(), 40);
}

#[test]
fn section_3_3_7_unknown_authorization_scheme() {
    let bytes = data("regaut01");
    assert_eq!(
        text(accepted(&bytes).first(HeaderName::Authorization)),
        "NoOneKnowsThisScheme opaque-data=here"
    );
}

#[test]
fn section_3_3_8_several_values_in_single_value_fields() {
    answered("multi01", SipFault::Repeated(HeaderName::From), 400);
}

#[test]
fn section_3_3_9_several_content_length_values() {
    answered("mcl01", SipFault::Repeated(HeaderName::ContentLength), 400);
}

/// For the transaction floor: a response whose top Via is none of ours is dropped there.
#[test]
fn section_3_3_10_response_with_broadcast_via() {
    let bytes = data("bcast");
    let message = accepted(&bytes);
    assert_eq!(message.status(), Some(200));
    assert_eq!(message.via().host.to_string(), "192.0.2.198");
    assert_eq!(message.vias().count(), 2);
}

#[test]
fn section_3_3_11_max_forwards_of_zero() {
    let bytes = data("zeromf");
    assert_eq!(accepted(&bytes).max_forwards(), Some(0));
}

#[test]
fn section_3_3_12_contact_with_a_header_parameter() {
    let bytes = data("cparam01");
    let contact = accepted(&bytes).contact().unwrap();
    assert!(contact.params.get("unknownparam").is_some());
    assert_eq!(contact.uri.param("unknownparam"), None);
}

#[test]
fn section_3_3_13_contact_with_a_uri_parameter() {
    let bytes = data("cparam02");
    let contact = accepted(&bytes).contact().unwrap();
    assert!(contact.params.get("unknownparam").is_none());
    assert_eq!(contact.uri.param("unknownparam"), Some(None));
}

#[test]
fn section_3_3_14_contact_uri_with_escaped_headers() {
    let bytes = data("regescrt");
    let contact = accepted(&bytes).contact().unwrap();
    assert_eq!(contact.uri.headers, Some("Route=%3Csip:sip.example.com%3E"));
}

/// For the user agent: 406.
#[test]
fn section_3_3_15_accept_without_sdp() {
    let bytes = data("sdp01");
    let message = accepted(&bytes);
    let accepts: Vec<_> = message.values(HeaderName::Accept).collect();
    assert_eq!(accepts, [b"text/nobodyKnowsThis"]);
}

#[test]
fn section_3_4_1_an_invite_of_rfc_2543() {
    let bytes = data("inv2543");
    let message = accepted(&bytes);
    assert_eq!(message.via().branch, None);
    assert_eq!(message.from().tag(), None);
    assert_eq!(message.max_forwards(), None);
    assert_eq!(message.contact(), None);
    let route = message.record_routes().next().unwrap();
    assert_eq!(route.uri.param("maddr"), Some(Some("ss1.example.com")));
    assert!(!route.uri.is_loose_route());
    assert_eq!(message.to().params.token("user"), Some("phone"));
    assert_eq!(message.body().len(), 105, "all of the datagram");
}

/// What a stream gave: the bytes of each item, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Framed {
    messages: Vec<Vec<u8>>,
    unframed: Option<Vec<u8>>,
    error: Option<StreamError>,
}

impl Framed {
    fn take(&mut self, framer: &mut StreamFramer, mut bytes: &[u8]) {
        while self.error.is_none() && !bytes.is_empty() {
            let taken = framer.push(bytes);
            bytes = &bytes[taken..];
            loop {
                match framer.next_item() {
                    Ok(Some(StreamItem::Message(message))) => self.messages.push(message.to_vec()),
                    Ok(Some(StreamItem::Unframed(head))) => self.unframed = Some(head.to_vec()),
                    Ok(Some(StreamItem::KeepAlive)) => panic!("none is in the data"),
                    Ok(None) => break,
                    Err(error) => {
                        self.error = Some(error);
                        break;
                    }
                }
            }
        }
    }
}

fn all_names() -> Vec<String> {
    let folder = format!("{}/tests/data/rfc4475", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".dat").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_stream_gives_the_same_messages_wherever_it_is_cut() {
    let names = all_names();
    assert_eq!(names.len(), 49);
    for name in names {
        let bytes = data(&name);
        let mut whole = Framed::default();
        whole.take(&mut StreamFramer::new(), &bytes);
        match name.as_str() {
            // No readable length: the header fields are given to be answered, and that is all.
            "inv2543" | "mcl01" | "ncl" => {
                assert!(whole.messages.is_empty(), "{name}");
                assert!(bytes.starts_with(whole.unframed.as_ref().unwrap()));
            }
            // The rest of the message may still come.
            "clerr" | "baddn" => assert_eq!(whole, Framed::default(), "{name}"),
            // Two messages; the Content-Length of the second leaves bytes over that are none.
            "dblreq" => {
                assert_eq!(whole.messages.len(), 2);
                assert!(whole.messages[1].starts_with(b"INVITE "));
            }
            _ => assert_eq!(whole.messages, [&bytes[..]], "{name}"),
        }
        for cut in 1..bytes.len() {
            let mut framer = StreamFramer::new();
            let mut parts = Framed::default();
            let (before, after) = bytes.split_at(cut);
            parts.take(&mut framer, before);
            parts.take(&mut framer, after);
            assert_eq!(parts, whole, "{name} cut at {cut}");
        }
        let mut framer = StreamFramer::new();
        let mut single = Framed::default();
        for byte in &bytes {
            single.take(&mut framer, &[*byte]);
        }
        assert_eq!(single, whole, "{name} byte by byte");
    }
}

#[test]
fn a_message_of_a_stream_reads_as_its_datagram_does() {
    for name in all_names() {
        let bytes = data(&name);
        let mut framed = Framed::default();
        framed.take(&mut StreamFramer::new(), &bytes);
        let Some(first) = framed.messages.first() else {
            continue;
        };
        let outcome = |read: Result<SipMessage<'_>, _>| match read {
            Ok(message) => Ok((message.call_id().to_owned(), message.body().to_vec())),
            Err(trunkcast::wire::sip_fault::SipError { fault, .. }) => Err(fault),
        };
        assert_eq!(
            outcome(SipMessage::parse_stream(first)),
            outcome(SipMessage::parse(&bytes)),
            "{name}"
        );
    }
}

#[test]
fn a_stream_message_without_a_length_is_answered_and_ends_the_stream() {
    for (name, fault) in [
        ("inv2543", SipFault::Missing(HeaderName::ContentLength)),
        ("mcl01", SipFault::Repeated(HeaderName::ContentLength)),
        ("ncl", SipFault::Malformed(HeaderName::ContentLength)),
    ] {
        let bytes = data(name);
        let mut framed = Framed::default();
        framed.take(&mut StreamFramer::new(), &bytes);
        let head = framed.unframed.unwrap();
        let error = SipMessage::parse_stream(&head).unwrap_err();
        assert_eq!(error.fault, fault);
        assert!(error.answer_to.is_some());
        assert_eq!(framed.error, Some(StreamError::Unframed));
    }
}
