//! What a viewer's commands ask of the play-out.

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

use crate::limits::RTMP_NAME_BYTES;
use crate::rtmp::takes::Takes;
use crate::wire::rtmp_chunk::Incoming;
use crate::wire::rtmp_message::Command;

/// The name of an application or stream.
pub type Name = String<RTMP_NAME_BYTES>;

/// A client's command, as far as it matters.
pub(super) enum Asked {
    Connect {
        app: Option<Name>,
        amf3: bool,
        takes: Takes,
    },
    CreateStream,
    Play {
        name: Option<Name>,
    },
    Publish,
    /// Answered with a number.
    Length,
    Subscribe {
        name: Option<Name>,
    },
    Pause {
        on: bool,
    },
    Seek,
    CloseStream,
    /// Not known; refused when an answer is wanted.
    Unknown,
    /// Needs nothing.
    Nothing,
}

/// Reads a message; the command with its transaction number.
pub(super) fn read(incoming: &Incoming<'_>) -> Option<(Asked, f64)> {
    let Incoming::Message { head, body } = incoming else {
        return None;
    };
    let command = Command::parse(head.kind, body)?;
    let asked = match command.name {
        "connect" => {
            let object = command.object();
            let app = object
                .and_then(|object| object.get_str("app"))
                .unwrap_or_default();
            let encoding = object.and_then(|object| object.get("objectEncoding"));
            let amf3 = encoding.and_then(|encoding| encoding.as_number()) == Some(3.0);
            Asked::Connect {
                app: name(app),
                amf3,
                takes: Takes::from_command(&command),
            }
        }
        "createStream" => Asked::CreateStream,
        "play" => Asked::Play {
            name: command
                .first_string()
                .and_then(name)
                .filter(|name| !name.is_empty()),
        },
        "publish" | "FCPublish" | "releaseStream" => {
            // Only `publish` itself is refused; the others are a publisher's preliminaries.
            if command.name == "publish" {
                Asked::Publish
            } else {
                Asked::Unknown
            }
        }
        "getStreamLength" => Asked::Length,
        "FCSubscribe" => Asked::Subscribe {
            name: command.first_string().and_then(name),
        },
        "pause" | "pauseRaw" => {
            let mut arguments = command.arguments;
            let _ = arguments.value();
            let on = arguments.value().ok().and_then(|value| value.as_bool());
            Asked::Pause {
                on: on.unwrap_or(true),
            }
        }
        "seek" => Asked::Seek,
        "closeStream" | "deleteStream" => Asked::CloseStream,
        "_result" | "_error" | "onStatus" | "receiveAudio" | "receiveVideo" => Asked::Nothing,
        _ => Asked::Unknown,
    };
    Some((asked, command.transaction))
}

/// A name without query and outer slashes; `None` when it is too long.
fn name(text: &str) -> Option<Name> {
    let plain = text.split_once('?').map_or(text, |(plain, _)| plain);
    Name::try_from(plain.trim_matches('/')).ok()
}
