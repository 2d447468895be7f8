//! The bodies of hooks: JSON objects in which nothing is null.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::{Display, Write};

use crate::base::redact::Secret;
use crate::gateway::call::Call;
use crate::gateway::rest::stream_object::StreamObject;
use crate::gateway::status::CallStatus;
use crate::gateway::transfer::Transfer;
use crate::sip::RegistrationState;
use crate::wire::rtmp_url::RtmpUrl;

/// Characters of a display name, or of the words of a peer, that are told; the rest is cut.
const TEXT_CHARS: usize = 160;

/// What every body has.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// Which box.
    pub node: &'a str,
    /// Which application.
    pub app_key: &'a str,
    /// Whose session.
    pub session: &'a str,
}

impl<'a> Common<'a> {
    /// The same for a call that names an application of its own.
    pub fn of_call(self, call: &'a Call) -> Self {
        let named = call
            .outgoing
            .as_ref()
            .and_then(|out| out.app_key.as_deref());
        Self {
            app_key: named.unwrap_or(self.app_key),
            ..self
        }
    }
}

/// A JSON object in the making.
struct Object(String);

impl Object {
    fn new(common: Common<'_>) -> Self {
        Self("{".to_owned())
            .text("nodeId", common.node)
            .text("appKey", common.app_key)
            .text("sessionId", common.session)
    }

    fn text(self, key: &str, value: &str) -> Self {
        match serde_json::to_string(value) {
            Ok(value) => self.plain(key, value),
            // Text is always JSON; without it the key is left out.
            Err(_) => self,
        }
    }

    fn optional(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A number, a boolean, or an object.
    fn plain(mut self, key: &str, value: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing into a string does not fail.
        let _ = write!(self.0, "\"{key}\":{value}");
        self
    }

    fn end(mut self) -> Box<str> {
        self.0.push('}');
        self.0.into_boxed_str()
    }
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(TEXT_CHARS);
    end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// What a call is, whether or not it was taken into the table.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Its name: the Call-ID of the INVITE.
    pub call_id: &'a str,
    /// Who calls.
    pub caller: &'a str,
    /// Who is called.
    pub callee: &'a str,
    /// Display name of the caller.
    pub display: Option<&'a str>,
    /// Whether it has sound.
    pub has_audio: bool,
    /// Whether it has a picture.
    pub has_video: bool,
}

/// `OnCallEvent`, or `CallStatusEvent` of a call that came in and was not taken.
pub fn incoming(
    common: Common<'_>,
    party: Party<'_>,
    status: &str,
    info: Option<&str>,
) -> Box<str> {
    Object::new(common)
        .text("callId", party.call_id)
        .plain("incoming", true)
        .text("status", status)
        .text("caller", party.caller)
        .text("callee", party.callee)
        .plain("hasAudio", party.has_audio)
        .plain("hasVideo", party.has_video)
        .text("visibleName", cut(party.display.unwrap_or(party.caller)))
        .text("mediaProvider", "Flash")
        .plain("isMsrp", false)
        .optional("info", info.map(cut))
        .end()
}

/// `CallStatusEvent`, `call` and `OnCallEvent` of a call as it stands, in this status.
pub fn call(common: Common<'_>, call: &Call, status: CallStatus, info: Option<&str>) -> Box<str> {
    let outgoing = call.outgoing.as_deref();
    let rtmp_stream = match outgoing {
        Some(outgoing) => outgoing.rtmp_stream.as_ref().map(|it| it.expose().as_str()),
        None => call.publishing.as_ref().map(|_| call.stream.as_str()),
    };
    let stream = match outgoing {
        Some(outgoing) => outgoing.to_stream.as_deref(),
        None => Some(call.stream.as_str()),
    };
    let (audio, video) = tracks(call);
    let named = match outgoing {
        Some(outgoing) => outgoing.visible_name.as_deref(),
        None => call.display.as_deref(),
    };
    let url = call.target().map(full_url);
    let rtmp_status = call.rtmp_status().map(|status| status.to_string());
    let mut object = Object::new(common.of_call(call))
        .text("callId", &call.sip_call_id)
        .plain("incoming", outgoing.is_none())
        .text("status", &status.to_string());
    if let Some(code) = outgoing.and_then(|outgoing| outgoing.sip_status) {
        object = object.plain("sipStatus", code);
    }
    object
        .optional("rtmpUrl", url.as_ref().map(|url| url.expose().as_str()))
        .optional("rtmpStream", rtmp_stream)
        .optional("streamName", stream.filter(|name| !name.is_empty()))
        .optional("rtmpStreamStatus", rtmp_status.as_deref())
        .text("caller", &call.label.caller)
        .text("callee", &call.label.callee)
        .plain("hasAudio", audio)
        .plain("hasVideo", video)
        .text("visibleName", cut(named.unwrap_or(&call.label.caller)))
        .text("mediaProvider", "Flash")
        .plain("isMsrp", false)
        .optional("info", info.map(cut))
        .end()
}

/// `hangup` of a call.
pub fn hangup(common: Common<'_>, call: &Call) -> Box<str> {
    Object::new(common.of_call(call))
        .text("callId", &call.sip_call_id)
        .end()
}

/// `StreamStatusEvent` of a call's stream.
pub fn stream<'a>(
    common: Common<'a>,
    mut stream: StreamObject<'a>,
    status: &'static str,
    info: Option<&'a str>,
) -> Box<str> {
    let info = info.map(cut);
    stream.node_id = Some(common.node);
    stream.app_key = Some(common.app_key);
    stream.session_id = Some(common.session);
    stream.status = status;
    stream.info = info;
    // A bean of text and numbers is always JSON.
    let mut object = serde_json::to_value(stream).unwrap_or_default();
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object.to_string().into_boxed_str()
}

/// `ConnectionStatusEvent` of the session that a call out has.
pub fn connection(common: Common<'_>, call: &Call, status: &str) -> Box<str> {
    let outgoing = call.outgoing.as_deref();
    let visible = outgoing.and_then(|outgoing| outgoing.visible_name.as_deref());
    let own = outgoing.map(|outgoing| outgoing.way.address_of_record.as_str());
    let domain = own.and_then(|own| Some(own.rsplit_once('@')?.1));
    Object::new(common.of_call(call))
        .text("status", status)
        .plain("mediaProviders", "[\"Flash\"]")
        .text("sipLogin", &call.label.caller)
        .optional("sipDomain", domain)
        .optional("sipVisibleName", visible.map(cut))
        .end()
}

/// `sendDtmf`: a key that was heard, and how it came.
pub fn dtmf(common: Common<'_>, call: &Call, key: char, kind: &str) -> Box<str> {
    Object::new(common.of_call(call))
        .text("callId", &call.sip_call_id)
        .text("dtmf", key.encode_utf8(&mut [0; 4]))
        .text("type", kind)
        .end()
}

/// `TransferStatusEvent` of a call's last transfer.
pub fn transfer(common: Common<'_>, call: &Call, transfer: &Transfer) -> Box<str> {
    let mut object = Object::new(common.of_call(call))
        .text("callId", &call.sip_call_id)
        .plain("incoming", call.outgoing.is_none())
        .text("status", &transfer.status.to_string());
    if transfer.code != 0 {
        object = object.plain("sipStatus", transfer.code);
    }
    object
        .text("caller", &call.label.caller)
        .text("callee", &call.label.callee)
        .text("target", &transfer.target)
        .end()
}

/// `RegistrationStatusEvent` of an address of record; `None` while nothing is decided.
pub fn registration(
    common: Common<'_>,
    address: &str,
    state: &RegistrationState,
) -> Option<Box<str>> {
    let (status, info) = match state {
        RegistrationState::Registering => return None,
        RegistrationState::Registered { .. } => ("REGISTERED", None),
        RegistrationState::Unregistered => ("UNREGISTERED", None),
        RegistrationState::Failed { words, .. } => ("UNREGISTERED", Some(words)),
        RegistrationState::AuthenticationFailed { words } => ("AUTHENTICATION_FAIL", Some(words)),
    };
    let bare = address
        .trim_start_matches("sips:")
        .trim_start_matches("sip:");
    let (login, domain) = bare.rsplit_once('@').unwrap_or(("", bare));
    let mut object = Object::new(common)
        .text("status", status)
        .text("sipLogin", login)
        .text("sipDomain", domain)
        .plain("sipRegisterRequired", true);
    if let RegistrationState::Failed { code, .. } = state {
        object = object.plain("sipStatus", code);
    }
    Some(object.optional("info", info.map(|words| cut(words))).end())
}

/// What a call has, or was to have.
fn tracks(call: &Call) -> (bool, bool) {
    match call.outgoing.as_deref() {
        Some(outgoing) => (outgoing.has_audio, outgoing.has_video),
        None => (call.audio.codec.is_some(), call.video.codec.is_some()),
    }
}

/// The whole address, user and password included: who gave it is who is told.
fn full_url(url: &RtmpUrl) -> Secret<String> {
    let plain = url.tc_url();
    let (Some(credentials), Some((scheme, rest))) = (url.credentials(), plain.split_once("://"))
    else {
        return Secret::new(plain.to_owned());
    };
    let (user, password) = (
        percent_encoded(credentials.user()),
        percent_encoded(credentials.password()),
    );
    Secret::new(format!("{scheme}://{user}:{password}@{rest}"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: Common<'_> = Common {
        node: "0123456789abcdef0123456789abcdef@203.0.113.5",
        app_key: "callApp",
        session: "127.0.0.1:14036498705",
    };

    #[test]
    fn text_of_strangers_stays_text() {
        let party = Party {
            call_id: "1\"@x",
            caller: "10\\01",
            callee: "\n",
            display: Some("\u{1}é"),
            has_audio: true,
            has_video: false,
        };
        let body = incoming(COMMON, party, "RING", None);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["callId"], "1\"@x");
        assert_eq!(value["caller"], "10\\01");
        assert_eq!(value["callee"], "\n");
        assert_eq!(value["visibleName"], "\u{1}é");
        assert_eq!(value["hasAudio"], true);
        assert!(value.get("info").is_none());
        assert!(body.starts_with("{\"nodeId\":\"0123456789abcdef0123456789abcdef@203.0.113.5\""));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(500)), "é".repeat(TEXT_CHARS));
        assert_eq!(cut("abc"), "abc");
    }

    #[test]
    fn an_address_is_told_with_its_password() {
        for text in [
            "rtmp://cdn.example.net:1936/live",
            "rtmps://j%40e:p%2Fw@cdn.example.net/live/x?key=1",
        ] {
            let url = RtmpUrl::parse(text).unwrap();
            let full = full_url(&url);
            assert_eq!(RtmpUrl::parse(full.expose()), Ok(url));
            assert_eq!(full.expose(), text);
        }
    }

    #[test]
    fn registrations_are_told_in_the_words_of_the_contract() {
        let told = |state: &RegistrationState| {
            let body = registration(COMMON, "sip:1001@pbx.example.net", state)?;
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["sipLogin"], "1001");
            assert_eq!(value["sipDomain"], "pbx.example.net");
            Some((
                value["status"].as_str().unwrap().to_owned(),
                value["info"].as_str().map(str::to_owned),
            ))
        };
        let told_as =
            |status: &str, info: Option<&str>| Some((status.to_owned(), info.map(str::to_owned)));
        assert_eq!(told(&RegistrationState::Registering), None);
        let registered = RegistrationState::Registered { expires: 600 };
        assert_eq!(told(&registered), told_as("REGISTERED", None));
        let words = "wrong".to_owned();
        let refused = RegistrationState::AuthenticationFailed { words };
        assert_eq!(
            told(&refused),
            told_as("AUTHENTICATION_FAIL", Some("wrong"))
        );
        let gone = RegistrationState::Unregistered;
        assert_eq!(told(&gone), told_as("UNREGISTERED", None));
    }
}
