//! What the play-out answers its viewers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::limits::RTMP_CHUNK_BYTES;
use crate::rtmp::control_queue::{ControlQueue, QueueFull};
use crate::rtmp::link::WINDOW_BYTES;
use crate::wire::rtmp_message::{Control, kind};

/// The one message stream of a connection.
pub(super) const STREAM_ID: u32 = 1;

/// Window, bandwidth and chunk size, then the result of `connect`.
pub(super) fn connect(
    queue: &mut ControlQueue,
    transaction: f64,
    amf3: bool,
) -> Result<(), QueueFull> {
    queue.control(Control::WindowAckSize(WINDOW_BYTES))?;
    queue.control(Control::SetPeerBandwidth {
        window: WINDOW_BYTES,
        limit: 2,
    })?;
    queue.control(Control::SetChunkSize(RTMP_CHUNK_BYTES as u32))?;
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["_result"]).number(transaction).object();
        body.name("fmsVer").string(&["FMS/3,0,1,123"]);
        body.name("capabilities").number(31.0).end();
        body.object().name("level").string(&["status"]);
        body.name("code").string(&["NetConnection.Connect.Success"]);
        body.name("description").string(&["Connection succeeded."]);
        body.name("objectEncoding")
            .number(if amf3 { 3.0 } else { 0.0 })
            .end();
    })
}

/// A result that is a number.
pub(super) fn number(
    queue: &mut ControlQueue,
    transaction: f64,
    number: u32,
) -> Result<(), QueueFull> {
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["_result"]).number(transaction).null();
        body.number(f64::from(number));
    })
}

/// The refusal of a command that is not known, where an answer is wanted.
pub(super) fn error(queue: &mut ControlQueue, transaction: f64) -> Result<(), QueueFull> {
    if transaction == 0.0 {
        return Ok(());
    }
    queue.command(kind::COMMAND, 0, |body| {
        body.string(&["_error"]).number(transaction).null().object();
        body.name("level").string(&["error"]);
        body.name("code").string(&["NetConnection.Call.Failed"]);
        body.name("description").string(&["not known here"]).end();
    })
}

/// What stands before a stream's media.
pub(super) fn start(queue: &mut ControlQueue) -> Result<(), QueueFull> {
    queue.control(Control::StreamBegin(STREAM_ID))?;
    queue.status(
        STREAM_ID,
        "status",
        "NetStream.Play.Reset",
        "playing a live stream",
    )?;
    queue.status(
        STREAM_ID,
        "status",
        "NetStream.Play.Start",
        "the stream starts",
    )?;
    queue.command(kind::DATA, STREAM_ID, |body| {
        body.string(&["|RtmpSampleAccess"])
            .boolean(true)
            .boolean(true);
    })
}

/// What stands after a stream's media, in all the ways that clients wait for.
pub(super) fn end(queue: &mut ControlQueue) -> Result<(), QueueFull> {
    queue.command(kind::DATA, STREAM_ID, |body| {
        body.string(&["onPlayStatus"]).object();
        body.name("level").string(&["status"]);
        body.name("code").string(&["NetStream.Play.Complete"]).end();
    })?;
    queue.control(Control::StreamEof(STREAM_ID))?;
    let words = "the stream is over";
    queue.status(STREAM_ID, "status", "NetStream.Play.UnpublishNotify", words)?;
    queue.status(STREAM_ID, "status", "NetStream.Play.Stop", words)
}
