//! What a server's messages mean to a publisher.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::{String, Vec};

use crate::limits::RTMP_URL_BYTES;
use crate::rtmp::words::{Reason, reason};
use crate::wire::rtmp_chunk::Incoming;
use crate::wire::rtmp_message::{Command, StatusInfo, fourcc_list};

/// FourCCs of a server that lists them (Enhanced RTMP); `*` stands as `"*   "`.
pub type FourCcs = Vec<[u8; 4], 16>;

/// A server's message, as far as it matters.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// `_result` of a transaction: the number in it, if any, and the codecs listed.
    Result {
        transaction: u32,
        number: Option<u32>,
        fourccs: FourCcs,
    },
    /// `_error` of a transaction.
    Error { transaction: u32, refusal: Refusal },
    /// The stream may be sent.
    PublishStart,
    /// The server ends or refuses the stream or the connection.
    Refused(Refusal),
}

/// Why a server refuses.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Its words, fit to be printed.
    pub words: Reason,
    /// Its description as it came, for authentication only: may hold anything.
    pub description: String<RTMP_URL_BYTES>,
}

impl Heard {
    /// Reads a message; `None` when it changes nothing. Words never hold one of `secrets`.
    pub fn read(incoming: &Incoming<'_>, secrets: &[&str]) -> Option<Self> {
        let Incoming::Message { head, body } = incoming else {
            return None;
        };
        let command = Command::parse(head.kind, body)?;
        let status = command.status();
        let refusal = || Refusal::new(command.name, status.as_ref(), secrets);
        // Casts of doubles saturate; what is no number matches no transaction.
        let transaction = command.transaction as u32;
        match command.name {
            "_result" => Some(Self::Result {
                transaction,
                number: command.second_number().map(|number| number as u32),
                fourccs: fourccs(&command),
            }),
            "_error" => Some(Self::Error {
                transaction,
                refusal: refusal(),
            }),
            "onStatus" => match status.as_ref()? {
                StatusInfo {
                    code: "NetStream.Publish.Start",
                    ..
                } => Some(Self::PublishStart),
                StatusInfo { level: "error", .. }
                | StatusInfo {
                    code:
                        "NetStream.Publish.BadName"
                        | "NetStream.Publish.Denied"
                        | "NetStream.Publish.Rejected"
                        | "NetStream.Unpublish.Success"
                        | "NetConnection.Connect.Closed"
                        | "NetConnection.Connect.Rejected"
                        | "NetConnection.Connect.ReconnectRequest",
                    ..
                } => Some(Self::Refused(refusal())),
                _ => None,
            },
            "close" => Some(Self::Refused(refusal())),
            _ => None,
        }
    }
}

impl Refusal {
    fn new(name: &str, status: Option<&StatusInfo<'_>>, secrets: &[&str]) -> Self {
        let hidden = |text: &str| secrets.iter().any(|s| !s.is_empty() && text.contains(s));
        let mut description = String::new();
        let words = match status {
            None => reason(format_args!("the server answered {name} without a reason")),
            Some(status) if hidden(status.code) => {
                reason(format_args!("the server answered {name}"))
            }
            Some(status) => {
                // One that is too long is no authentication challenge.
                let _ = description.push_str(status.description);
                let is_challenge = status.description.contains("authmod=");
                match (status.code, hidden(status.description) || is_challenge) {
                    ("NetStream.Publish.BadName", true) => reason(format_args!(
                        "the stream's name is in use or refused ({})",
                        status.code
                    )),
                    ("NetStream.Publish.BadName", false) => reason(format_args!(
                        "the stream's name is in use or refused ({}: {})",
                        status.code, status.description
                    )),
                    (code, true) => reason(format_args!("the server refused ({code})")),
                    (code, false) => reason(format_args!(
                        "the server refused ({code}: {})",
                        status.description
                    )),
                }
            }
        };
        Self { words, description }
    }
}

fn fourccs(command: &Command<'_>) -> FourCcs {
    let mut list = FourCcs::new();
    for name in fourcc_list(command) {
        let mut fourcc = [b' '; 4];
        for (to, from) in fourcc.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        if name.len() <= 4 && list.push(fourcc).is_err() {
            break;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amf0::Amf0Writer;
    use crate::wire::rtmp_message::{MessageHead, kind};

    fn heard(fill: impl FnOnce(&mut Amf0Writer<'_>)) -> Option<Heard> {
        let mut body = [0; 1_024];
        let mut writer = Amf0Writer::new(&mut body);
        fill(&mut writer);
        let len = writer.finish().unwrap();
        let head = MessageHead {
            kind: kind::COMMAND,
            ..MessageHead::default()
        };
        Heard::read(
            &Incoming::Message {
                head,
                body: &body[..len],
            },
            &["k3y", ""],
        )
    }

    fn status(code: &str, level: &str, description: &str) -> Option<Heard> {
        heard(|body| {
            body.string(&["onStatus"]).number(0.0).null().object();
            body.name("level")
                .string(&[level])
                .name("code")
                .string(&[code]);
            body.name("description").string(&[description]).end();
        })
    }

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        let Some(Heard::Refused(refusal)) =
            status("NetStream.Publish.BadName", "error", "Already publishing")
        else {
            panic!("not refused")
        };
        assert_eq!(
            refusal.words.as_str(),
            "the stream's name is in use or refused (NetStream.Publish.BadName: Already publishing)"
        );
        assert!(matches!(
            status("NetStream.Publish.Start", "status", ""),
            Some(Heard::PublishStart)
        ));
        assert!(status("NetStream.Data.Start", "status", "").is_none());
        assert!(matches!(
            status("Any.Thing", "error", "x"),
            Some(Heard::Refused(_))
        ));
    }

    #[test]
    fn words_never_hold_a_secret() {
        for (code, description) in [
            ("A.B", "name k3y is in use"),
            ("A.k3y", "x"),
            ("NetStream.Publish.BadName", "k3y"),
        ] {
            let Some(Heard::Refused(refusal)) = status(code, "error", description) else {
                panic!("not refused")
            };
            assert!(!refusal.words.contains("k3y"), "{}", refusal.words);
        }
    }

    #[test]
    fn listed_codecs_are_kept() {
        let Some(Heard::Result {
            transaction: 1,
            fourccs,
            ..
        }) = heard(|body| {
            body.string(&["_result"]).number(1.0).object();
            body.name("fourCcList").strict_array(3);
            body.string(&["vp08"])
                .string(&["*"])
                .string(&["too long"])
                .end();
        })
        else {
            panic!("no result")
        };
        assert_eq!(fourccs, [*b"vp08", *b"*   "]);
    }
}
