//! A call as clients of the interface are shown it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde::Serialize;

use crate::gateway::call::Call;
use crate::gateway::outgoing::Outgoing;
use crate::gateway::status::CallStatus;
use crate::wire::rtmp_url::RtmpUrl;

/// Every key is there, null where there is nothing to tell.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallObject<'a> {
    custom: Nothing,
    node_id: Option<&'a str>,
    app_key: Option<&'a str>,
    session_id: Option<&'a str>,
    pub call_id: &'a str,
    parent_call_id: Option<&'a str>,
    incoming: bool,
    pub status: String,
    sip_status: Option<u16>,
    rtmp_url: Option<String>,
    rtmp_stream: Option<&'a str>,
    stream_name: Option<&'a str>,
    rtmp_stream_status: Option<String>,
    caller: &'a str,
    pub callee: &'a str,
    has_audio: bool,
    has_video: bool,
    sdp: Option<&'a str>,
    visible_name: &'a str,
    invite_parameters: Option<Nothing>,
    media_provider: &'a str,
    sip_message_raw: Option<&'a str>,
    is_msrp: bool,
    target: Option<&'a str>,
    hold_for_transfer: bool,
}

/// An object without keys.
#[derive(Serialize)]
struct Nothing {}

/// Whether a call has not ended yet.
pub fn is_live(call: &Call) -> bool {
    let over = matches!(call.status, CallStatus::Finish | CallStatus::Failed);
    !over && !call.crashed && call.is_live()
}

impl<'a> CallObject<'a> {
    /// A call as it stands.
    pub fn of(call: &'a Call) -> Self {
        let outgoing = call.outgoing.as_deref();
        let publisher = call.publishing.as_ref().map(|it| &it.publisher);
        let (audio, video) = match outgoing {
            Some(outgoing) => (outgoing.has_audio, outgoing.has_video),
            None => (call.audio.codec.is_some(), call.video.codec.is_some()),
        };
        let asked = |of: fn(&Outgoing) -> Option<&str>| outgoing.and_then(of);
        let rtmp_stream = match outgoing {
            Some(outgoing) => outgoing
                .rtmp_stream
                .as_ref()
                .map(|name| name.expose().as_str()),
            None => publisher.map(|_| call.stream.as_str()),
        };
        let stream = asked(|outgoing| outgoing.to_stream.as_deref());
        Self {
            custom: Nothing {},
            node_id: None,
            app_key: None,
            session_id: None,
            call_id: &call.sip_call_id,
            parent_call_id: None,
            incoming: outgoing.is_none(),
            status: call.status.to_string(),
            sip_status: outgoing.and_then(|outgoing| outgoing.sip_status),
            // Without user, password and query.
            rtmp_url: call.target().map(RtmpUrl::to_string),
            rtmp_stream,
            stream_name: Some(stream.unwrap_or(&call.stream)).filter(|name| !name.is_empty()),
            rtmp_stream_status: call.rtmp_status().map(|status| status.to_string()),
            caller: &call.label.caller,
            callee: &call.label.callee,
            has_audio: audio,
            has_video: video,
            sdp: None,
            visible_name: asked(|outgoing| outgoing.visible_name.as_deref())
                .unwrap_or(&call.label.caller),
            invite_parameters: None,
            media_provider: "Flash",
            sip_message_raw: None,
            is_msrp: false,
            target: None,
            hold_for_transfer: false,
        }
    }
}
