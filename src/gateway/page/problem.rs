//! What failed, as a code: the page has words for it, and what to do about it.
//!
//! Connections and publishers report in words, for the log. The words of servers stand among them in
//! brackets only, so that what comes before decides.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

/// What a publisher's reason has in it, and the code for it; the first that fits.
const RTMP: &[(&str, &str)] = &[
    ("the server refused user and password", "wrongPassword"),
    ("the server wants user and password", "wrongPassword"),
    ("the stream's name is in use or refused", "streamBusy"),
    ("publishing is not allowed", "streamRefused"),
    ("publishing was rejected", "streamRefused"),
    ("the server rejected the stream", "streamRefused"),
    (
        "the server accepted the stream and ended it at once",
        "streamRefused",
    ),
    ("the server has no such application", "appRefused"),
    ("the connection was rejected", "appRefused"),
    ("the server answered connect", "appRefused"),
    ("the server answered publish", "streamRefused"),
    ("the server answered createStream", "streamRefused"),
    ("createStream gave no stream", "streamRefused"),
    ("the server took nothing", "tooSlow"),
    ("the server is too slow", "tooSlow"),
    ("no connection with TLS within", "tlsFailed"),
    ("no connection within", "noAnswer"),
    ("no RTMP handshake within", "noAnswer"),
    ("no answer to ", "noAnswer"),
    ("the server could not", "serverError"),
    ("the application was shut down", "serverError"),
    ("proxy does not answer", "serverError"),
    ("the server ended the stream", "closed"),
    ("the server closed", "closed"),
    ("the server refused (", "streamRefused"),
];

/// The same of what a connection reports.
const CONNECTION: &[(&str, &str)] = &[
    ("signed by an authority", "tlsUntrusted"),
    ("signed by another authority", "tlsUntrusted"),
    ("names no host", "tlsWrongName"),
    ("is for another name", "tlsWrongName"),
    (
        "is a name that the server there does not know",
        "tlsWrongName",
    ),
    ("that of an authority", "tlsUntrusted"),
    ("was revoked", "tlsUntrusted"),
    ("has expired", "tlsExpired"),
    ("clock is not set yet", "tlsTimeNotSet"),
    ("is not valid yet", "tlsTimeNotSet"),
    ("does not speak TLS", "notTls"),
    ("TLS", "tlsFailed"),
    ("the name servers do not answer", "nameServerSilent"),
    ("cannot resolve", "nameNotFound"),
    ("says that it offers no SIP", "nameNotFound"),
    ("too many names are being resolved", "busy"),
    ("the table of connections is full", "busy"),
    ("Connection refused", "refused"),
    ("Connection reset", "closed"),
    ("Broken pipe", "closed"),
    ("closed by the peer", "closed"),
    ("No route to host", "unreachable"),
    ("unreachable", "unreachable"),
    ("timed out", "noAnswer"),
    ("nobody answered", "noAnswer"),
    ("does not answer", "noAnswer"),
    ("no address was found", "nameNotFound"),
];

/// What failed, by the reason that a publisher gives; `other` where that is none of the known.
pub fn of_rtmp(words: &str) -> &'static str {
    // What a server says comes in brackets, and must not look like a reason of ours.
    let ours = words.split(" (").next().unwrap_or(words);
    let known = find(RTMP, ours).or_else(|| find(RTMP, words));
    known.unwrap_or_else(|| of_connection(words))
}

/// What failed, by the words of a connection; `other` where they are none of the known.
pub fn of_connection(words: &str) -> &'static str {
    find(CONNECTION, words).unwrap_or("other")
}

/// What failed, by the status of a refusal (RFC 3261 section 21).
pub const fn of_status(status: u16) -> &'static str {
    match status {
        401 | 407 => "wrongPassword",
        403 => "forbidden",
        404 | 410 | 484 | 604 => "notFound",
        408 => "noAnswer",
        480 | 486 | 600 => "busy",
        500..600 => "serverError",
        _ => "rejected",
    }
}

fn find(table: &[(&str, &'static str)], words: &str) -> Option<&'static str> {
    let found = table.iter().find(|(part, _)| words.contains(part));
    found.map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_publishers_have_codes() {
        for (words, code) in [
            ("the server refused user and password", "wrongPassword"),
            (
                "the stream's name is in use or refused; waiting for it (NetStream.Publish.BadName)",
                "streamBusy",
            ),
            (
                "publishing is not allowed; check the stream's name or key (NetStream.Publish.Denied: \
                 the server took nothing)",
                "streamRefused",
            ),
            (
                "the server has no such application; check the path of the RTMP address \
                 (NetConnection.Connect.InvalidApp)",
                "appRefused",
            ),
            ("the server took nothing for 15 s", "tooSlow"),
            ("no connection within 10 s", "noAnswer"),
            ("no answer to publish within 10 s", "noAnswer"),
            (
                "the server refused (NetStream.Odd: whatever)",
                "streamRefused",
            ),
            ("Connection refused (os error 111)", "refused"),
            ("cannot resolve rtmp.example: no address", "nameNotFound"),
            ("No route to host (os error 113)", "unreachable"),
            ("closed by the peer", "closed"),
            (
                "TLS: the certificate of a.example has expired, or the clock of this box is wrong",
                "tlsExpired",
            ),
            (
                "TLS: the certificate of a.example is signed by an authority that this box does not \
                 know; name its file in rtmp.caFile",
                "tlsUntrusted",
            ),
            (
                "a.example does not speak TLS on this port: is it rtmp://?",
                "notTls",
            ),
            ("something new", "other"),
        ] {
            assert_eq!(of_rtmp(words), code, "{words}");
        }
    }
}
