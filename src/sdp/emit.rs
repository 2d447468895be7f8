//! Our descriptions, section by section.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

use crate::base::codec::Codec;
use crate::limits::SDP_ECHO_BYTES;
use crate::sdp::choose::{Choice, Events};
use crate::sdp::codec_plan::CodecPlan;
use crate::sdp::format::{Format, kind_of};
use crate::wire::sdp::Direction;
use crate::wire::sdp_media::{FeedbackScope, MediaKind, MediaLine};

/// Milliseconds of audio in a packet of ours.
const PTIME: &str = "20";

/// The events of a telephone keypad (RFC 4733, section 3.2).
const KEYPAD_EVENTS: &str = "0-15";

/// The feedback messages that our offers name; `goog-remb` is known to those only that offer it
/// themselves.
const OFFERED_FEEDBACK: [&str; 4] = ["nack pli", "ccm fir", "nack", "ccm tmmbr"];

/// The session section around media sections.
///
/// `origin` stays the same for a whole session; `address` is where media goes now; `time` is that of
/// the offer, which an answer repeats (RFC 3264, section 6).
pub(super) fn session(
    plan: &CodecPlan,
    (session_id, version): (u32, u64),
    (origin, address): (IpAddr, IpAddr),
    time: Option<&Time>,
    medias: Vec<Media>,
) -> Session {
    let (user, name) = plan.names();
    Session {
        origin: Origin {
            username: user.map(str::to_owned),
            ..Origin::with_ip_addr(session_id, version, origin)
        },
        session_name: name.to_owned(),
        session_description: None,
        uri: None,
        emails: Vec::new(),
        phones: Vec::new(),
        connection: Some(Connection::from_ip_addr(address)),
        bandwidths: plan.bandwidths().cloned().collect(),
        times: vec![Time {
            start_time: time.map_or(0, |time| time.start_time),
            stop_time: time.map_or(0, |time| time.stop_time),
            repeats: Vec::new(),
        }],
        time_zones: Vec::new(),
        key: None,
        attributes: plan.attributes().cloned().collect(),
        medias,
    }
}

/// The refusal of a line in its place: port 0, protocol and formats as they came.
pub(super) fn refused(offered: &Media) -> Media {
    let mut formats = String::new();
    for format in offered.fmt.split_ascii_whitespace() {
        let longer = formats.len().saturating_add(format.len()).saturating_add(1);
        if longer > SDP_ECHO_BYTES {
            break;
        }
        if !formats.is_empty() {
            formats.push(' ');
        }
        formats.push_str(format);
    }
    if formats.is_empty() {
        formats.push('0');
    }
    bare(offered.media.clone(), 0, offered.proto.clone(), formats)
}

/// The answer to a line that is used.
pub(super) fn accepted(
    offered: &MediaLine<'_>,
    choice: &Choice,
    port: u16,
    direction: Direction,
    rtcp_mux: bool,
    plan: &CodecPlan,
) -> Media {
    let kind = kind_of(choice.format.codec());
    let section = offered.section();
    let mut out = Lines(bare(
        section.media.clone(),
        port,
        section.proto.clone(),
        String::new(),
    ));
    out.codec(choice.payload_type, &choice.format.rtpmap());
    if let Some(text) = choice.format.answer_fmtp() {
        out.fmtp(choice.payload_type, &text);
    }
    if let Some(events) = choice.telephone_event {
        let offered = offered
            .fmtp(events.payload_type)
            .find(|text| is_event_list(text));
        out.events(events, offered.unwrap_or(KEYPAD_EVENTS));
    }
    if kind == MediaKind::Video {
        let all = offered.feedback(FeedbackScope::All);
        let one = offered.feedback(FeedbackScope::PayloadType(choice.payload_type));
        let number = choice.payload_type.to_string();
        for ((what, in_all), (_, in_one)) in all.messages().into_iter().zip(one.messages()) {
            if in_all || in_one {
                out.feedback(if in_all { "*" } else { &number }, what);
            }
        }
    }
    // The length of an AAC frame is its own.
    if kind == MediaKind::Audio && choice.format.codec() != Codec::Aac {
        out.add("ptime", Some(PTIME.to_owned()));
    }
    out.finish(kind, direction, rtcp_mux, plan)
}

/// One payload type of an offer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OfferedFormat {
    /// A codec and the text of its `a=fmtp`, where it has one.
    Codec(Box<Format>, Option<String>),
    /// telephone-event at this clock rate.
    Events(u32),
}

/// A line of an offer of ours.
pub(super) fn offered(
    kind: MediaKind,
    (port, proto): (u16, &str),
    formats: &[(u8, OfferedFormat)],
    direction: Direction,
    rtcp_mux: bool,
    plan: &CodecPlan,
) -> Media {
    let name = if kind == MediaKind::Video {
        "video"
    } else {
        "audio"
    };
    let mut out = Lines(bare(name.to_owned(), port, proto.to_owned(), String::new()));
    for (number, format) in formats {
        match format {
            OfferedFormat::Codec(format, fmtp) => {
                out.codec(*number, &format.rtpmap());
                if let Some(text) = fmtp {
                    out.fmtp(*number, text);
                }
            }
            OfferedFormat::Events(clock_rate) => {
                let events = Events {
                    payload_type: *number,
                    send_payload_type: *number,
                    clock_rate: *clock_rate,
                };
                out.events(events, KEYPAD_EVENTS);
            }
        }
    }
    if kind == MediaKind::Video {
        for what in OFFERED_FEEDBACK {
            out.feedback("*", what);
        }
    }
    if kind == MediaKind::Audio {
        out.add("ptime", Some(PTIME.to_owned()));
    }
    out.finish(kind, direction, rtcp_mux, plan)
}

/// The text of `a=rtpmap` for telephone-event at a clock rate.
pub(super) fn events_rtpmap(clock_rate: u32) -> String {
    format!("telephone-event/{clock_rate}")
}

/// A list of events and ranges as in RFC 4733, section 2.4.1.
fn is_event_list(text: &str) -> bool {
    let short = !text.is_empty() && text.len() <= 64;
    short
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b','))
}

fn bare(media: String, port: u16, proto: String, fmt: String) -> Media {
    Media {
        media,
        port,
        num_ports: None,
        proto,
        fmt,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

/// A section being written.
struct Lines(Media);

impl Lines {
    fn add(&mut self, name: &str, value: Option<String>) {
        self.0.attributes.push(Attribute {
            attribute: name.to_owned(),
            value,
        });
    }

    fn format(&mut self, number: u8) {
        if !self.0.fmt.is_empty() {
            self.0.fmt.push(' ');
        }
        self.0.fmt.push_str(&number.to_string());
    }

    fn codec(&mut self, number: u8, rtpmap: &str) {
        self.format(number);
        self.add("rtpmap", Some(format!("{number} {rtpmap}")));
    }

    fn events(&mut self, events: Events, list: &str) {
        self.codec(events.payload_type, &events_rtpmap(events.clock_rate));
        self.fmtp(events.payload_type, list);
    }

    fn fmtp(&mut self, number: u8, text: &str) {
        self.add("fmtp", Some(format!("{number} {text}")));
    }

    fn feedback(&mut self, scope: &str, what: &str) {
        self.add("rtcp-fb", Some(format!("{scope} {what}")));
    }

    /// What stands at the end of every section in use, the template's additions among it.
    fn finish(
        mut self,
        kind: MediaKind,
        direction: Direction,
        rtcp_mux: bool,
        plan: &CodecPlan,
    ) -> Media {
        if rtcp_mux {
            self.add("rtcp-mux", None);
        }
        if let Some(template) = plan.section(kind) {
            self.0
                .bandwidths
                .extend(template.bandwidths.iter().cloned());
            self.0
                .attributes
                .extend(template.attributes.iter().cloned());
        }
        self.add(direction.attribute(), None);
        self.0
    }
}
