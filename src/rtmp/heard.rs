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

use heapless::String;

use crate::limits::RTMP_URL_BYTES;
use crate::rtmp::capabilities::Capabilities;
use crate::rtmp::refusal::Refusal;
use crate::wire::rtmp_chunk::Incoming;
use crate::wire::rtmp_message::{Command, StatusInfo};

/// A server's message, as far as it matters.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// `_result` of a transaction: the number in it, if any, and what the server can do.
    Result {
        transaction: u32,
        number: Option<u32>,
        capabilities: Capabilities,
    },
    /// `_error` of a transaction.
    Error { transaction: u32, refusal: Refusal },
    /// The stream may be sent.
    PublishStart,
    /// The stream may be sent, by a word that most servers say besides [`Self::PublishStart`].
    PublishStartByName,
    /// The server ends or refuses the stream or the connection.
    Refused(Refusal),
    /// The server ended the stream, unless that was asked of it.
    Unpublished(Refusal),
    /// The server wants the stream on a new connection: to another address, or to the same one.
    Move { to: Option<String<RTMP_URL_BYTES>> },
    /// The server calls and waits for an answer, as some do to measure the connection.
    Call { transaction: u32 },
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
                capabilities: Capabilities::read(&command),
            }),
            "_error" => Some(Self::Error {
                transaction,
                refusal: refusal(),
            }),
            "onStatus" => Self::read_status(status.as_ref()?, refusal),
            "onFCPublish" => match status.as_ref()? {
                StatusInfo {
                    code: "NetStream.Publish.Start",
                    ..
                } => Some(Self::PublishStartByName),
                StatusInfo { level: "error", .. }
                | StatusInfo {
                    code: "NetStream.Publish.BadName",
                    ..
                } => Some(Self::Refused(refusal())),
                _ => None,
            },
            "onFCUnpublish" => Some(Self::Unpublished(refusal())),
            "close" => Some(Self::Refused(refusal())),
            "_checkbw" | "_onbwcheck" | "onBWCheck" | "ping" if transaction > 0 => {
                Some(Self::Call { transaction })
            }
            _ => None,
        }
    }

    fn read_status(status: &StatusInfo<'_>, refusal: impl Fn() -> Refusal) -> Option<Self> {
        match *status {
            StatusInfo {
                code: "NetStream.Publish.Start",
                ..
            } => Some(Self::PublishStart),
            StatusInfo {
                code: "NetConnection.Connect.ReconnectRequest",
                object,
                ..
            } => match object.get_str("tcUrl").filter(|to| !to.is_empty()) {
                None => Some(Self::Move { to: None }),
                // An address that is too long is none that we can go to.
                Some(to) => Some(match String::try_from(to) {
                    Ok(to) => Self::Move { to: Some(to) },
                    Err(_) => Self::Refused(refusal()),
                }),
            },
            StatusInfo {
                code: "NetStream.Unpublish.Success",
                ..
            } => Some(Self::Unpublished(refusal())),
            StatusInfo {
                code:
                    "NetStream.Publish.BadName"
                    | "NetStream.Publish.Denied"
                    | "NetStream.Publish.Rejected"
                    | "NetStream.Publish.Failed"
                    | "NetConnection.Connect.AppShutdown"
                    | "NetConnection.Connect.Closed"
                    | "NetConnection.Connect.Failed"
                    | "NetConnection.Connect.InvalidApp"
                    | "NetConnection.Connect.Rejected",
                ..
            } => Some(Self::Refused(refusal())),
            // A command that the server does not know and a recording that it cannot make do not
            // end the stream.
            StatusInfo {
                level: "error",
                code,
                ..
            } if !code.starts_with("NetConnection.Call.")
                && !code.starts_with("NetStream.Record.") =>
            {
                Some(Self::Refused(refusal()))
            }
            _ => None,
        }
    }
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
            "the stream's name is in use or refused; waiting for it (NetStream.Publish.BadName: \
             Already publishing)"
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
            capabilities,
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
        assert_eq!(capabilities.fourccs, [*b"vp08", *b"*   "]);
    }
}
