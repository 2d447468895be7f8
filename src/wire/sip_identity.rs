//! Who calls and how a call came here, as the PBX says it: P-Asserted-Identity (RFC 3325),
//! Remote-Party-ID, Diversion (RFC 5806), History-Info (RFC 7044) and Privacy (RFC 3323).
//!
//! Read leniently: what cannot be read is passed over. Whether it is to be believed is for those who
//! know where the request came from. P-Preferred-Identity is not read: it is what a phone wishes.

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

use super::sip_header::NameAddr;
use super::sip_index::SipHeaders;
use super::sip_name::HeaderName;
use super::sip_text;
use super::sip_uri::Uri;
use crate::limits::{SIP_IDENTITY_BYTES, SIP_IDENTITY_VALUES};

/// A party of a call by number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// User part of its address, escapes resolved; its host where it has none.
    pub number: String,
    /// Its display name.
    pub display: Option<String>,
}

/// A party that a call was meant for before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diversion {
    /// Which one.
    pub from: Party,
    /// Why the call went on from there, as written: `no-answer`, or `408` of History-Info.
    pub reason: Option<String>,
}

/// What a request says of its caller beside From.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The caller as the network vouches for it: P-Asserted-Identity, else Remote-Party-ID.
    pub asserted: Option<Party>,
    /// The party that the call was diverted from last: Diversion, else History-Info.
    pub diverted: Option<Diversion>,
    /// Whether the caller wants its number kept from those it calls.
    pub private: bool,
}

impl Identity {
    /// Reads the header fields of a request; nothing where they say nothing.
    pub fn read(headers: &SipHeaders<'_>) -> Option<Box<Self>> {
        let (party, withheld) = match asserted(headers) {
            Some(party) => (Some(party), false),
            None => remote_party(headers),
        };
        let identity = Self {
            asserted: party,
            diverted: diversion(headers).or_else(|| history(headers)),
            private: withheld || asks_for_privacy(headers),
        };
        (identity != Self::default()).then(|| Box::new(identity))
    }
}

impl Party {
    fn of(value: &NameAddr<'_>) -> Option<Self> {
        let number = number(&value.uri)?;
        let display = value.display_name().map(|name| cut(name.trim()));
        Some(Self {
            number,
            display: display.filter(|name| !name.is_empty()),
        })
    }
}

/// The number of an address: without the parameters that telephone numbers have within the user part
/// (RFC 3966).
fn number(uri: &Uri<'_>) -> Option<String> {
    let host = || uri.host.map(|host| host.to_string());
    let user = uri.user_text().or_else(host)?;
    Some(cut(user.split(';').next().unwrap_or_default())).filter(|number| !number.is_empty())
}

/// At most `SIP_IDENTITY_BYTES` of it.
fn cut(text: &str) -> String {
    let mut end = text.len().min(SIP_IDENTITY_BYTES);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The first values of a name in all its lines.
fn values<'h, 'a>(
    headers: &'h SipHeaders<'a>,
    name: &'h str,
) -> impl Iterator<Item = &'a [u8]> + 'h {
    headers.values_named(name).take(SIP_IDENTITY_VALUES)
}

/// RFC 3325 section 9.1: one or two values, a sip and a tel URI; the one with a name is better.
fn asserted(headers: &SipHeaders<'_>) -> Option<Party> {
    let all = values(headers, HeaderName::PAssertedIdentity.as_str());
    let read = all.filter_map(NameAddr::parse);
    let mut parties = read.filter_map(|value| Party::of(&value));
    let first = parties.next()?;
    if first.display.is_some() {
        return Some(first);
    }
    let named = parties.find(|party| party.display.is_some());
    Some(Party {
        display: named.and_then(|party| party.display),
        ..first
    })
}

/// The caller of Remote-Party-ID (an expired draft that many PBXs still send), and whether it is to be
/// withheld.
fn remote_party(headers: &SipHeaders<'_>) -> (Option<Party>, bool) {
    let mut read = values(headers, "Remote-Party-ID").filter_map(NameAddr::parse);
    let calling = read.find(|value| {
        let is_calling = |party: &str| party.eq_ignore_ascii_case("calling");
        value.params.token("party").is_none_or(is_calling)
    });
    let Some(value) = calling else {
        return (None, false);
    };
    let privacy = value.params.token("privacy").unwrap_or("off");
    (Party::of(&value), !privacy.eq_ignore_ascii_case("off"))
}

/// RFC 5806 section 4: the last diversion stands first.
fn diversion(headers: &SipHeaders<'_>) -> Option<Diversion> {
    let mut read = values(headers, "Diversion").filter_map(NameAddr::parse);
    read.find_map(|value| {
        let reason = value.params.get("reason").and_then(|reason| reason.value);
        Some(Diversion {
            from: Party::of(&value)?,
            reason: reason.map(unquoted).filter(|reason| !reason.is_empty()),
        })
    })
}

fn unquoted(value: &[u8]) -> String {
    cut(sip_text::text(value).trim_matches('"'))
}

/// RFC 7044 section 10: entries stand in the order of the call's way, the last one is we; the one
/// before it is who it was diverted from, if a cause or reason says that it was.
fn history(headers: &SipHeaders<'_>) -> Option<Diversion> {
    let mut entries: heapless::Vec<NameAddr<'_>, SIP_IDENTITY_VALUES> = heapless::Vec::new();
    for value in headers.values_named("History-Info") {
        if let Some(entry) = NameAddr::parse(value) {
            if entries.is_full() {
                entries.remove(0);
            }
            // Room was made.
            let _ = entries.push(entry);
        }
    }
    let ours = entries.pop()?;
    let from = entries.last()?;
    // The cause of the target that was gone to (RFC 4458), or why the one before was left: a Reason
    // escaped into its URI (RFC 3326).
    let cause = ours.uri.param("cause").flatten().map(str::to_owned);
    let cause = cause.or_else(|| escaped_cause(from.uri.headers?))?;
    Some(Diversion {
        from: Party::of(from)?,
        reason: Some(cut(&cause)),
    })
}

/// The cause of `Reason=SIP%3Bcause%3D302`.
fn escaped_cause(headers: &str) -> Option<String> {
    let mut named = headers.split('&').filter_map(|one| one.split_once('='));
    let (_, reason) = named.find(|(name, _)| name.eq_ignore_ascii_case("Reason"))?;
    let reason: Vec<u8> = sip_text::unescaped(reason.as_bytes()).collect();
    let reason = sip_text::text(&reason);
    let mut params = reason.split(';').filter_map(|one| one.split_once('='));
    let (_, cause) = params.find(|(name, _)| name.trim().eq_ignore_ascii_case("cause"))?;
    let cause = cause.trim();
    let digits = !cause.is_empty() && cause.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| cause.to_owned())
}

/// Whether Privacy asks to keep the caller's identity (RFC 3325 section 9.3, RFC 3323 section 4.2).
fn asks_for_privacy(headers: &SipHeaders<'_>) -> bool {
    values(headers, "Privacy").any(|value| {
        let mut tokens = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        tokens.any(|token| {
            [&b"id"[..], b"user", b"header"]
                .iter()
                .any(|wanted| token.eq_ignore_ascii_case(wanted))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn read(lines: &str) -> Option<Identity> {
        let text = format!("{lines}\r\n\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r");
        let indexed = SipHeaders::index(text.as_bytes());
        assert_eq!(indexed.fault, None, "{lines}");
        Identity::read(&indexed.headers).map(|identity| *identity)
    }

    fn asserted(lines: &str) -> (String, Option<String>) {
        let party = read(lines).unwrap().asserted.unwrap();
        (party.number, party.display)
    }

    fn diverted(lines: &str) -> Option<(String, Option<String>)> {
        let diversion = read(lines)?.diverted?;
        Some((diversion.from.number, diversion.reason))
    }

    #[test]
    fn the_asserted_identity_is_number_and_name() {
        let some = |text: &str| Some(text.to_owned());
        for (lines, number, display) in [
            (
                "P-Asserted-Identity: \"Zoe \\\"Z\\\" Day\" <sip:+4930123@pbx;user=phone>",
                "+4930123",
                some("Zoe \"Z\" Day"),
            ),
            (
                "P-Asserted-Identity: tel:+4930123;phone-context=x, \"Zoe\" <sip:1001@pbx>",
                "+4930123",
                some("Zoe"),
            ),
            ("P-Asserted-Identity: \"\" <sip:10%301@pbx>", "1001", None),
            (
                "P-Asserted-Identity: <sip:pbx.example>",
                "pbx.example",
                None,
            ),
            (
                "P-Asserted-Identity: <broken, <sip:x@\nP-Asserted-Identity: sip:7@h",
                "7",
                None,
            ),
            (
                "P-Asserted-Identity: <sip:1@h>\nRemote-Party-ID: \"No\" <sip:2@h>;privacy=full",
                "1",
                None,
            ),
            (
                "Remote-Party-ID: <sip:9@h>;party=called\nRemote-Party-ID: Zoe <sip:8@h>;party=calling;screen=yes",
                "8",
                some("Zoe"),
            ),
        ] {
            assert_eq!(asserted(lines), (number.to_owned(), display), "{lines}");
        }
        assert_eq!(read("P-Preferred-Identity: <sip:1@h>"), None);
        assert_eq!(read("P-Asserted-Identity: *"), None);
    }

    #[test]
    fn the_last_diversion_counts() {
        let both = "Diversion: \"Lobby\" <sip:200@pbx>;reason=no-answer;counter=1, <sip:100@pbx>;reason=\"user-busy\"\n\
                    Diversion: <sip:50@pbx>";
        assert_eq!(
            diverted(both),
            Some(("200".into(), Some("no-answer".into())))
        );
        assert_eq!(
            diverted("Diversion: <sip:x y>\nDiversion: <tel:+491>;reason=\"user-busy\""),
            Some(("+491".into(), Some("user-busy".into())))
        );
        assert_eq!(diverted("Diversion: <sip:1@h>"), Some(("1".into(), None)));
    }

    #[test]
    fn history_tells_who_was_left_and_why() {
        for (lines, wanted) in [
            (
                "History-Info: <sip:100@pbx?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1, <sip:200@pbx>;index=1.1;mp=1",
                Some(("100", "302")),
            ),
            (
                "History-Info: <sip:100@pbx>;index=1\nHistory-Info: <sip:200@pbx;cause=408>;index=1.1\nHistory-Info: <sip:300@box;cause=486>;index=1.2",
                Some(("200", "486")),
            ),
            // Routed on, not diverted.
            (
                "History-Info: <sip:100@pbx>;index=1, <sip:100@box>;index=1.1",
                None,
            ),
            (
                "History-Info: <sip:100@pbx?Reason=SIP%3Bcause%3Dx>;index=1, <sip:1@box>;index=1.1",
                None,
            ),
            ("History-Info: <sip:100@pbx;cause=302>;index=1", None),
        ] {
            let wanted = wanted.map(|(n, r)| (n.to_owned(), Some(r.to_owned())));
            assert_eq!(diverted(lines), wanted, "{lines}");
        }
        let long: String = (1..=20)
            .map(|n| format!("History-Info: <sip:{n}@pbx;cause=302>;index={n}\n"))
            .collect();
        assert_eq!(diverted(long.trim_end()).unwrap().0, "19");
    }

    #[test]
    fn a_wish_for_privacy_is_seen() {
        for (lines, wanted) in [
            ("Privacy: id", true),
            ("Privacy: none", false),
            ("Privacy: critical ; ID", true),
            ("Privacy: session", false),
            ("Remote-Party-ID: <sip:1@h>;privacy=full", true),
            ("Remote-Party-ID: <sip:1@h>;privacy=off", false),
        ] {
            let private = read(lines).is_some_and(|identity| identity.private);
            assert_eq!(private, wanted, "{lines}");
        }
        assert_eq!(read("Subject: id"), None);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let lines = format!("P-Asserted-Identity: \"x{}\" <sip:1@h>", "é".repeat(200));
        let (_, display) = asserted(&lines);
        assert_eq!(display.unwrap().len(), SIP_IDENTITY_BYTES - 1);
    }

    #[test]
    fn nothing_makes_it_panic_or_grow() {
        let text = "P-Asserted-Identity: \"Zoe \\\"Z\\\" Day\" <sip:+4930123@pbx;user=phone>, tel:+4\r\n\
            Remote-Party-ID: Zoe <sip:8@h>;party=calling;privacy=full\r\n\
            Diversion: \"Lobby\" <sip:200@pbx>;reason=no-answer, <sip:100@pbx>;reason=\"busy\"\r\n\
            History-Info: <sip:100@pbx?Reason=SIP%3Bcause%3D302>;index=1, <sip:2@b;cause=302>;index=1.1\r\n\
            Privacy: id;user\r\n\r\n";
        let check = |bytes: &[u8]| {
            let indexed = SipHeaders::index(bytes);
            let Some(identity) = Identity::read(&indexed.headers) else {
                return;
            };
            let diverted = identity.diverted.map(|it| it.from);
            for party in [identity.asserted, diverted].into_iter().flatten() {
                assert!(party.number.len() <= SIP_IDENTITY_BYTES);
                assert!(
                    party
                        .display
                        .is_none_or(|name| name.len() <= SIP_IDENTITY_BYTES)
                );
            }
        };
        for length in 0..text.len() {
            check(&text.as_bytes()[..length]);
        }
        let mut rng = Rng::from_number(3);
        for _ in 0..20_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = b"\",;<>@=%\\\r\n :?&x\xe9"[rng.below(17) as usize];
            }
            check(&bytes);
        }
    }
}
