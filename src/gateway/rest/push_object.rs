//! A push as clients of the interface are shown it.

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

use crate::gateway::Gateway;
use crate::gateway::pushes::Push;
use crate::gateway::rest::push::server_name;
use crate::wire::rtmp_url::RtmpUrl;

/// Every key is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushObject<'a> {
    media_session_id: &'a str,
    stream_name: String,
    rtmp_url: String,
    width: u16,
    height: u16,
    muted: bool,
    sound_enabled: bool,
    options: Options<'a>,
    /// How it stands, as the stream of a call does.
    status: String,
    /// Why it stands so, in words.
    reason: String,
}

/// What is heard of a push, as it would have to be asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound_file: Option<&'a str>,
}

impl<'a> PushObject<'a> {
    /// A push as it stands; `knows_url` tells that the client has just named the whole address.
    pub fn of(gateway: &Gateway, push: &'a Push, knows_url: bool) -> Self {
        let (width, height) = gateway.picture_size(push.call);
        let plays = push.plays_sound();
        let sound = push.voice.sound.as_ref().filter(|_| plays);
        let action = match (sound, push.voice.muted) {
            (Some(_), _) => Some("sound_on"),
            (None, true) => Some("mute"),
            (None, false) => None,
        };
        let mut reason = push.reason().to_owned();
        if push.leaves_out_sound() {
            reason += "; sound that nothing can stand in for is left out";
        }
        Self {
            media_session_id: &push.id,
            stream_name: server_name(&push.stream),
            rtmp_url: url(push, knows_url),
            width,
            height,
            muted: push.voice.muted,
            sound_enabled: plays,
            options: Options {
                action,
                sound_file: sound.map(|(name, _)| name.as_str()),
            },
            status: push.status().to_string(),
            reason,
        }
    }
}

/// The address as it was given; without user, password and key for those who do not know it.
fn url(push: &Push, knows_url: bool) -> String {
    let given = push.target.given.expose();
    let is_plain = |url: &RtmpUrl| url.credentials().is_none() && !given.contains('?');
    if knows_url || (!push.target.is_whole && is_plain(&push.target.url)) {
        given.clone()
    } else {
        push.target.to_string()
    }
}
