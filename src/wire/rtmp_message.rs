//! RTMP messages: their heads, protocol control and user control messages (RTMP 1.0, sections 5.4
//! and 7.1.7), and AMF0 commands (section 7.2) with the status objects they carry.
//!
//! AMF3 command messages are read when their values are AMF0, as every known sender writes them.
//! Shared objects and aggregates are not read.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::Vec;

use crate::wire::amf0::{Amf0, Amf0Object, Amf0Reader};

/// Message types.
pub mod kind {
    /// Set chunk size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User control message.
    pub const USER_CONTROL: u8 = 4;
    /// Window acknowledgement size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set peer bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// Command in AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND: u8 = 20;
}

/// What a chunk stream says of a message before its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageHead {
    /// Chunk stream that carries it.
    pub chunk_stream: u32,
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp: u32,
    /// Bytes of the body.
    pub length: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Message stream; 0 for the connection itself.
    pub stream_id: u32,
}

/// A protocol control or user control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The sender's chunks may be this long from now on.
    SetChunkSize(u32),
    /// The rest of the message on this chunk stream will not come.
    Abort(u32),
    /// Bytes received so far, wrapping.
    Acknowledgement(u32),
    /// The receiver is to acknowledge every so many bytes.
    WindowAckSize(u32),
    /// The receiver is to limit what is unacknowledged to `window`.
    SetPeerBandwidth {
        /// Bytes.
        window: u32,
        /// 0 hard, 1 soft, 2 dynamic.
        limit: u8,
    },
    /// A message stream became usable.
    StreamBegin(u32),
    /// Playback of a message stream is over.
    StreamEof(u32),
    /// The client's buffer.
    SetBufferLength {
        /// Message stream.
        stream: u32,
        /// Milliseconds.
        millis: u32,
    },
    /// Is to be answered by [`Self::PingResponse`] with the same number.
    PingRequest(u32),
    /// Answer to a ping.
    PingResponse(u32),
    /// A user control event that means nothing here.
    OtherEvent(u16),
}

impl Control {
    /// Reads the body of a control message; `None` when it is another kind or too short.
    pub fn parse(kind: u8, body: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            body.get(at..)?
                .first_chunk()
                .copied()
                .map(u32::from_be_bytes)
        };
        Some(match kind {
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(number(0)?),
            kind::ABORT => Self::Abort(number(0)?),
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(number(0)?),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(number(0)?),
            kind::SET_PEER_BANDWIDTH => Self::SetPeerBandwidth {
                window: number(0)?,
                limit: body.get(4).copied().unwrap_or_default(),
            },
            kind::USER_CONTROL => match u16::from_be_bytes(*body.first_chunk()?) {
                0 => Self::StreamBegin(number(2)?),
                1 => Self::StreamEof(number(2)?),
                3 => Self::SetBufferLength {
                    stream: number(2)?,
                    millis: number(6)?,
                },
                6 => Self::PingRequest(number(2)?),
                7 => Self::PingResponse(number(2)?),
                event => Self::OtherEvent(event),
            },
            _ => return None,
        })
    }

    /// The message's kind and body.
    pub fn encode(&self) -> (u8, Vec<u8, 10>) {
        let plain = |kind, number: u32| (kind, None, number, None);
        let event = |event: u16, number: u32| (kind::USER_CONTROL, Some(event), number, None);
        let (kind, event, number, more) = match *self {
            Self::SetChunkSize(size) => plain(kind::SET_CHUNK_SIZE, size),
            Self::Abort(stream) => plain(kind::ABORT, stream),
            Self::Acknowledgement(total) => plain(kind::ACKNOWLEDGEMENT, total),
            Self::WindowAckSize(size) => plain(kind::WINDOW_ACK_SIZE, size),
            Self::SetPeerBandwidth { window, .. } => plain(kind::SET_PEER_BANDWIDTH, window),
            Self::StreamBegin(stream) => event(0, stream),
            Self::StreamEof(stream) => event(1, stream),
            Self::SetBufferLength { stream, millis } => {
                (kind::USER_CONTROL, Some(3), stream, Some(millis))
            }
            Self::PingRequest(number) => event(6, number),
            Self::PingResponse(number) => event(7, number),
            Self::OtherEvent(number) => event(number, 0),
        };
        let mut body = Vec::new();
        // Two, four and four bytes fit ten.
        if let Some(event) = event {
            let _ = body.extend_from_slice(&event.to_be_bytes());
        }
        let _ = body.extend_from_slice(&number.to_be_bytes());
        if let Some(more) = more {
            let _ = body.extend_from_slice(&more.to_be_bytes());
        }
        if let Self::SetPeerBandwidth { limit, .. } = self {
            let _ = body.push(*limit);
        }
        (kind, body)
    }
}

/// A command: its name, transaction number and the values after them.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Name, for example `connect` or `onStatus`.
    pub name: &'a str,
    /// Transaction number; 0 where no answer is wanted.
    pub transaction: f64,
    /// The values after the transaction number.
    pub arguments: Amf0Reader<'a>,
}

impl<'a> Command<'a> {
    /// Reads a command message; `None` when it is another kind or has no name.
    pub fn parse(kind: u8, body: &'a [u8]) -> Option<Self> {
        let body = match kind {
            kind::COMMAND => body,
            kind::COMMAND_AMF3 => body.strip_prefix(&[0])?,
            _ => return None,
        };
        let mut arguments = Amf0Reader::new(body);
        let name = arguments.string()?;
        let mut after = arguments;
        let transaction = match after.number() {
            Some(number) => {
                arguments = after;
                number
            }
            // Some servers leave the number out of onStatus.
            None => 0.0,
        };
        Some(Self {
            name,
            transaction,
            arguments,
        })
    }

    /// The first object among the arguments.
    pub fn object(&self) -> Option<Amf0Object<'a>> {
        let mut arguments = self.arguments;
        core::iter::from_fn(|| arguments.value().ok()).find_map(|value| value.as_object())
    }

    /// The first string among the arguments.
    pub fn first_string(&self) -> Option<&'a str> {
        let mut arguments = self.arguments;
        core::iter::from_fn(|| arguments.value().ok()).find_map(|value| value.as_str())
    }

    /// The second argument, after the command object: the stream number of createStream's result.
    pub fn second_number(&self) -> Option<f64> {
        let mut arguments = self.arguments;
        arguments.value().ok()?;
        arguments.number()
    }

    /// The status object: the last argument that has a `code`.
    pub fn status(&self) -> Option<StatusInfo<'a>> {
        let mut arguments = self.arguments;
        core::iter::from_fn(|| arguments.value().ok())
            .filter_map(|value| value.as_object())
            .filter_map(|object| {
                Some(StatusInfo {
                    code: object.get_str("code")?,
                    level: object.get_str("level").unwrap_or_default(),
                    description: object.get_str("description").unwrap_or_default(),
                    object,
                })
            })
            .last()
    }
}

/// The status object of `onStatus`, `_result` and `_error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatusInfo<'a> {
    /// For example `NetStream.Publish.Start`.
    pub code: &'a str,
    /// `status`, `warning` or `error`.
    pub level: &'a str,
    /// Words for people.
    pub description: &'a str,
    /// Everything else.
    pub object: Amf0Object<'a>,
}

/// The FourCCs that a peer lists in its `connect` or the answer to it (Enhanced RTMP, version 2):
/// a strict array of strings, in either of the two objects. Read too as an object or ECMA array of
/// strings, and as a single string, as some peers write it.
pub fn fourcc_list<'a>(command: &Command<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut arguments = command.arguments;
    core::iter::from_fn(move || arguments.value().ok())
        .filter_map(|value| value.as_object())
        .filter_map(|object| object.get("fourCcList"))
        .flat_map(|list| {
            let (array, object) = match list {
                Amf0::Array(array) => (Some(array), None),
                Amf0::Object(object) => (None, Some(object)),
                _ => (None, None),
            };
            let elements = array.into_iter().flat_map(|array| array.values());
            let properties = object.into_iter().flat_map(|object| object.properties());
            elements
                .chain(properties.map(|(_, value)| value))
                .chain(Some(list))
        })
        .filter_map(|value| value.as_str())
}

/// The flags that a peer gives a codec in one of its info maps (Enhanced RTMP, version 2), those of
/// `*` included; `None` when the map has neither or is not there.
pub fn fourcc_flags(command: &Command<'_>, map: &str, fourcc: &[u8; 4]) -> Option<u32> {
    let mut arguments = command.arguments;
    core::iter::from_fn(move || arguments.value().ok())
        .filter_map(|value| value.as_object())
        .filter_map(|object| object.get(map)?.as_object())
        .flat_map(|map| map.properties())
        .filter(|(name, _)| *name == b"*" || name == fourcc)
        // A cast that saturates; what is no number has no flags.
        .map(|(_, flags)| flags.as_number().unwrap_or_default() as u32)
        .reduce(|all, flags| all | flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::amf0::Amf0Writer;

    #[test]
    fn control_messages_read_back() {
        for control in [
            Control::SetChunkSize(4_096),
            Control::Abort(6),
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth {
                window: 5,
                limit: 2,
            },
            Control::StreamBegin(1),
            Control::StreamEof(1),
            Control::SetBufferLength {
                stream: 1,
                millis: 3_000,
            },
            Control::PingRequest(77),
            Control::PingResponse(77),
        ] {
            let (kind, body) = control.encode();
            assert_eq!(Control::parse(kind, &body), Some(control));
            let cut = if kind == kind::SET_PEER_BANDWIDTH {
                4
            } else {
                body.len()
            };
            for len in 0..cut {
                assert_eq!(Control::parse(kind, &body[..len]), None);
            }
        }
    }

    fn status() -> std::vec::Vec<u8> {
        let mut out = [0; 256];
        let mut writer = Amf0Writer::new(&mut out);
        writer.string(&["_error"]).number(1.0).null().object();
        writer
            .name("level")
            .string(&["error"])
            .name("code")
            .string(&["NetConnection.X"]);
        writer
            .name("description")
            .string(&["no"])
            .name("fourCcList")
            .strict_array(1);
        writer.string(&["vp08"]).end();
        let len = writer.finish().unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn a_status_is_found_after_null() {
        let bytes = status();
        let command = Command::parse(kind::COMMAND, &bytes).unwrap();
        assert_eq!((command.name, command.transaction), ("_error", 1.0));
        let status = command.status().unwrap();
        assert_eq!((status.code, status.level), ("NetConnection.X", "error"));
        assert_eq!(
            fourcc_list(&command).collect::<std::vec::Vec<_>>(),
            ["vp08"]
        );
        let mut amf3 = vec![0];
        amf3.extend_from_slice(&bytes);
        assert_eq!(
            Command::parse(kind::COMMAND_AMF3, &amf3).unwrap().name,
            "_error"
        );
        assert!(Command::parse(kind::DATA, &bytes).is_none());
    }

    #[test]
    fn truncated_and_mutated_commands_never_panic() {
        let bytes = status();
        let look = |bytes: &[u8]| {
            if let Some(command) = Command::parse(kind::COMMAND, bytes) {
                let _ = (command.status(), command.object(), command.second_number());
                let _ = (command.first_string(), fourcc_list(&command).count());
            }
        };
        for len in 0..bytes.len() {
            look(&bytes[..len]);
        }
        let mut rng = Rng::from_number(4);
        for _ in 0..10_000 {
            let mut bytes = bytes.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            look(&bytes);
        }
    }
}
