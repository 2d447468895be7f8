//! The commands of a publisher, in the order in which they are said.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::{Codec, Track};
use crate::limits::RTMP_CHUNK_BYTES;
use crate::rtmp::capabilities::{CAN_FORWARD, RECONNECT};
use crate::rtmp::control_queue::{ControlQueue, QueueFull};
use crate::rtmp::link::WINDOW_BYTES;
use crate::wire::flv::{self, FourCc};
use crate::wire::rtmp_message::{Control, kind};
use crate::wire::rtmp_url::{RtmpUrl, StreamKey};

/// Transaction of this command.
pub(super) const CONNECT: u32 = 1;
const RELEASE: u32 = 2;
const FC_PUBLISH: u32 = 3;
/// Transaction of this command.
pub(super) const CREATE_STREAM: u32 = 4;
/// Transaction of this command.
pub(super) const PUBLISH: u32 = 5;
const FC_UNPUBLISH: u32 = 6;
const DELETE_STREAM: u32 = 7;

/// The codecs that have a FourCC, with it.
fn fourccs() -> impl Iterator<Item = (Codec, FourCc)> {
    Codec::ALL
        .into_iter()
        .filter_map(|codec| Some((codec, flv::fourcc(codec)?)))
}

/// A FourCC as text: they are of ASCII letters.
fn text(fourcc: &FourCc) -> &str {
    core::str::from_utf8(fourcc).unwrap_or_default()
}

/// `connect`, with what authentication adds to the application's query and what this side can do
/// (Enhanced RTMP, version 2): it passes on the codecs listed, as it gets them, and moves to another
/// connection when it is asked to.
pub(super) fn connect(
    queue: &mut ControlQueue,
    url: &RtmpUrl,
    auth: Option<&str>,
) -> Result<(), QueueFull> {
    let app = url.app_with_query();
    let (join, auth) = match auth {
        Some(auth) => (if app.contains('?') { "&" } else { "?" }, auth),
        None => ("", ""),
    };
    let version = env!("CARGO_PKG_VERSION");
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["connect"])
            .number(f64::from(CONNECT))
            .object();
        body.name("app").string(&[app, join, auth]);
        body.name("type").string(&["nonprivate"]);
        body.name("flashVer")
            .string(&["FMLE/3.0 (compatible; trunkcast ", version, ")"]);
        body.name("tcUrl").string(&[url.tc_url(), join, auth]);
        body.name("fourCcList")
            .strict_array(fourccs().count() as u32);
        for (_, fourcc) in fourccs() {
            body.string(&[text(&fourcc)]);
        }
        for (name, track) in [
            ("videoFourCcInfoMap", Track::Video),
            ("audioFourCcInfoMap", Track::Audio),
        ] {
            body.name(name).object();
            for (_, fourcc) in fourccs().filter(|(codec, _)| codec.track() == track) {
                body.name(text(&fourcc)).number(f64::from(CAN_FORWARD));
            }
            body.end();
        }
        body.name("capsEx").number(f64::from(RECONNECT)).end();
    })
}

/// Our window and chunk size, the preliminaries that some servers want, and `createStream`.
pub(super) fn create_stream(queue: &mut ControlQueue, key: &StreamKey) -> Result<(), QueueFull> {
    queue.control(Control::WindowAckSize(WINDOW_BYTES))?;
    queue.control(Control::SetChunkSize(RTMP_CHUNK_BYTES as u32))?;
    for (name, transaction) in [("releaseStream", RELEASE), ("FCPublish", FC_PUBLISH)] {
        queue.command(kind::COMMAND, 0, |body| {
            body.string(&[name]).number(f64::from(transaction)).null();
            body.string(&[key.reveal()]);
        })?;
    }
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["createStream"])
            .number(f64::from(CREATE_STREAM))
            .null();
    })
}

/// `publish`, live.
pub(super) fn publish(
    queue: &mut ControlQueue,
    key: &StreamKey,
    stream_id: u32,
) -> Result<(), QueueFull> {
    queue.command(kind::COMMAND, stream_id, |body| {
        body.string(&["publish"]).number(f64::from(PUBLISH)).null();
        body.string(&[key.reveal()]).string(&["live"]);
    })
}

/// The answer to a server's call: a number, as to measures of the connection.
pub(super) fn answer(queue: &mut ControlQueue, transaction: u32) -> Result<(), QueueFull> {
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["_result"]).number(f64::from(transaction));
        body.null().number(0.0);
    })
}

/// `FCUnpublish` and `deleteStream`.
pub(super) fn farewell(
    queue: &mut ControlQueue,
    key: &StreamKey,
    stream_id: u32,
) -> Result<(), QueueFull> {
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["FCUnpublish"])
            .number(f64::from(FC_UNPUBLISH))
            .null();
        body.string(&[key.reveal()]);
    })?;
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["deleteStream"])
            .number(f64::from(DELETE_STREAM))
            .null();
        body.number(f64::from(stream_id));
    })
}
