//! The 49 messages of RFC 4475, each under its section: what the endpoint answers over UDP, and over a
//! stream wherever that is cut. `sip_torture` has what is read of each.

use crate::bench::peer;
use crate::torture::Torture;

fn message(name: &'static str, code: u16) -> Torture {
    Torture {
        folder: "rfc4475",
        name,
        code,
        from: peer(),
    }
}

/// One test for each: the file, and the answer; 100 for an INVITE that becomes a call, 0 for none at
/// all. `closes` are those whose end cannot be told on a stream.
macro_rules! messages {
    ($($(#[$doc:meta])* $section:ident: $name:literal => $code:literal $($closes:ident $closing:literal)?;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $section() {
                let message = message($name, $code);
                message.over_udp();
                messages!(@stream message $($closes $closing)?);
            }
        )*
        const NAMES: &[&str] = &[$($name),*];
    };
    (@stream $message:ident) => { $message.over_stream() };
    (@stream $message:ident closes $code:literal) => { $message.closes_stream($code) };
}

messages! {
    /// It has a To tag, and there is no such dialog.
    section_3_1_1_1_a_short_tortuous_invite: "wsinv" => 481;
    section_3_1_1_2_wide_range_of_valid_characters: "intmeth" => 501;
    section_3_1_1_3_valid_use_of_the_percent_escape: "esc01" => 100;
    section_3_1_1_4_escaped_nulls_in_uris: "escnull" => 405;
    section_3_1_1_5_use_of_percent_when_it_is_not_an_escape: "esc02" => 501;
    section_3_1_1_6_no_space_between_display_name_and_bracket: "lwsdisp" => 200;
    section_3_1_1_7_long_values_in_header_fields: "longreq" => 100;
    section_3_1_1_9_semicolon_separated_parameters_in_the_user_part: "semiuri" => 200;
    section_3_1_1_10_varied_and_unknown_transport_types: "transports" => 200;
    section_3_1_1_11_a_multipart_message_with_binary_in_it: "mpart01" => 405;
    section_3_1_1_12_unusual_reason_phrase: "unreason" => 0;
    section_3_1_1_13_empty_reason_phrase: "noreason" => 0;
    section_3_1_2_1_extraneous_separators: "badinv01" => 400;
    section_3_1_2_3_negative_content_length: "ncl" => 400 closes 400;
    section_3_1_2_4_request_scalars_too_large: "scalar02" => 400;
    section_3_1_2_5_response_scalars_too_large: "scalarlg" => 0;
    section_3_1_2_6_unterminated_quoted_string: "quotbal" => 400;
    section_3_1_2_7_brackets_around_the_request_uri: "ltgtruri" => 400;
    section_3_1_2_8_space_within_the_request_uri: "lwsruri" => 400;
    section_3_1_2_9_several_spaces_in_the_request_line: "lwsstart" => 400;
    section_3_1_2_10_spaces_at_the_end_of_the_request_line: "trws" => 400;
    section_3_1_2_11_escaped_headers_in_the_request_uri: "escruri" => 400;
    /// The field that is wrong in it is none that the endpoint reads.
    section_3_1_2_12_invalid_time_zone_in_date: "baddate" => 100;
    section_3_1_2_13_contact_uri_with_headers_not_in_brackets: "regbadct" => 400;
    section_3_1_2_14_spaces_within_addr_spec: "badaspec" => 400;
    section_3_1_2_16_unknown_protocol_version: "badvers" => 505;
    section_3_1_2_17_method_of_start_line_and_cseq_differ: "mismatch01" => 400;
    section_3_1_2_18_unknown_method_and_cseq_differ: "mismatch02" => 400;
    section_3_1_2_19_response_code_too_large: "bigcode" => 0;
    section_3_2_1_missing_transaction_identifier: "badbranch" => 200;
    section_3_3_1_missing_required_header_fields: "insuf" => 400;
    section_3_3_2_request_uri_with_unknown_scheme: "unkscm" => 416;
    section_3_3_3_request_uri_with_known_but_atypical_scheme: "novelsc" => 416;
    section_3_3_4_unknown_uri_schemes_in_header_fields: "unksm2" => 405;
    section_3_3_5_proxy_require_and_require: "bext01" => 420;
    section_3_3_6_unknown_content_type: "invut" => 415;
    section_3_3_7_unknown_authorization_scheme: "regaut01" => 405;
    section_3_3_8_several_values_in_single_value_fields: "multi01" => 400;
    section_3_3_9_several_content_length_values: "mcl01" => 400 closes 400;
    section_3_3_10_response_with_broadcast_via: "bcast" => 0;
    section_3_3_11_max_forwards_of_zero: "zeromf" => 200;
    section_3_3_12_contact_with_a_header_parameter: "cparam01" => 405;
    section_3_3_13_contact_with_a_uri_parameter: "cparam02" => 405;
    section_3_3_14_contact_uri_with_escaped_headers: "regescrt" => 405;
    section_3_3_15_accept_without_sdp: "sdp01" => 406;
    /// Without Content-Length a message on a stream has no end.
    section_3_4_1_an_invite_of_rfc_2543: "inv2543" => 100 closes 400;
}

/// Over UDP the INVITE behind the REGISTER is no part of it. On a stream it is the next message; what is
/// left behind its body is none, so that nothing after it can be told apart.
#[test]
fn section_3_1_1_8_extra_trailing_octets_in_a_datagram() {
    let message = message("dblreq", 405);
    message.over_udp();
    let outcome = message.streamed(&message.data(), b"");
    assert_eq!(outcome, (vec![405, 100], vec![], true));
}

/// On a stream the rest of its body is waited for, which makes it an INVITE like any other.
#[test]
fn section_3_1_2_2_content_length_larger_than_the_message() {
    let message = message("clerr", 400);
    message.over_udp();
    let missing = vec![b' '; 9_999 - body(&message.data())];
    message.waits_on_stream();
    let outcome = message.streamed(&message.data(), &missing);
    assert_eq!(outcome, (vec![100], vec![200], false));
}

/// The file has no empty line at its end. Without one the next message is taken for more of its header
/// fields, among them a second Content-Length.
#[test]
fn section_3_1_2_15_non_token_characters_in_a_display_name() {
    let message = message("baddn", 400);
    message.over_udp();
    message.waits_on_stream();
    let outcome = message.streamed(&message.data(), b"\r\n");
    assert_eq!(outcome, (vec![400], vec![200], false));
    let outcome = message.streamed(&message.data(), b"");
    assert_eq!(outcome, (vec![], vec![400], true));
}

/// Bytes of a body.
fn body(data: &[u8]) -> usize {
    let end = data.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    data.len() - end.unwrap() - 4
}

#[test]
fn all_messages_are_here() {
    assert_eq!(NAMES.len() + 3, 49);
}
