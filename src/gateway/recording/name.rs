//! Names of recordings: a template with tokens, as WCS has them, and never a path out of the folder.
//!
//! `{streamName}`, `{sessionId}`, `{mediaSessionId}`, `{login}`, `{audioCodec}`, `{videoCodec}`,
//! `{startTime}` and `{startTimeMillis}` are known when a file begins. `{endTime}`,
//! `{endTimeMillis}` and `{duration}` stay in its name as they are until it ends. What is not a
//! letter, a digit or one of `-_.~` is escaped as in a URL, in template and values alike.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::fmt::{self, Write as _};
use core::str::FromStr;

use crate::gateway::config::Expected;
use crate::limits::{RECORDING_NAME_BYTES, RECORDING_TEMPLATE_BYTES};
use crate::wire::http_date::FileDate;

/// What every file's name ends with.
pub const EXTENSION: &str = ".mp4";

/// What is added to the name of a file that is being written.
pub const UNFINISHED: &str = ".part";

/// Bytes of a name before its extension: room is left for the number of a part, one more number
/// where a name is taken, and what marks a file as unfinished.
const STEM_BYTES: usize = RECORDING_NAME_BYTES
    .saturating_sub(EXTENSION.len())
    .saturating_sub(UNFINISHED.len())
    .saturating_sub(2_usize.saturating_mul("_99999".len()));

/// A token and the most characters of its value.
const TOKENS: [(&str, Token, usize); 11] = [
    ("{streamName}", Token::StreamName, 128),
    ("{sessionId}", Token::SessionId, 60),
    ("{mediaSessionId}", Token::MediaSessionId, 36),
    ("{login}", Token::Login, 32),
    ("{audioCodec}", Token::AudioCodec, 4),
    ("{videoCodec}", Token::VideoCodec, 4),
    ("{startTime}", Token::StartTime, 20),
    ("{startTimeMillis}", Token::StartTimeMillis, 20),
    ("{endTime}", Token::EndTime, 20),
    ("{endTimeMillis}", Token::EndTimeMillis, 20),
    ("{duration}", Token::Duration, 20),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    StreamName,
    SessionId,
    MediaSessionId,
    Login,
    AudioCodec,
    VideoCodec,
    StartTime,
    StartTimeMillis,
    EndTime,
    EndTimeMillis,
    Duration,
}

/// What a name may tell of a recording when a file begins.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Name of the stream, as it may be printed.
    pub stream: &'a str,
    /// The client's name of the session.
    pub session: &'a str,
    /// The same as REST knows it.
    pub media_session: &'a str,
    /// User part of who calls.
    pub login: &'a str,
    /// Short name of the audio codec.
    pub audio: &'a str,
    /// Short name of the video codec.
    pub video: &'a str,
    /// When it begins, in milliseconds since 1970.
    pub start_millis: u64,
}

/// What a file is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Default for Template {
    fn default() -> Self {
        Self("stream-{mediaSessionId}-{login}".to_owned())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Template {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let fits = (1..=RECORDING_TEMPLATE_BYTES).contains(&text.len());
        if !fits || text.chars().any(char::is_control) {
            return Err(Expected::new(format!(
                "a file name of 1 to {RECORDING_TEMPLATE_BYTES} bytes, such as \
                 {{streamName}}-{{startTime}}"
            )));
        }
        let mut rest = text;
        while let Some((_, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
            let Some((token, _)) = token_at(from) else {
                let known: Vec<&str> = TOKENS.iter().map(|(name, ..)| *name).collect();
                let known = known.join(", ");
                return Err(Expected::new(format!("only tokens of {known}")));
            };
            rest = from.get(token.len()..).unwrap_or_default();
        }
        let bare = match text.len().checked_sub(EXTENSION.len()) {
            Some(at) if at > 0 => text
                .split_at_checked(at)
                .filter(|(_, extension)| extension.eq_ignore_ascii_case(EXTENSION)),
            _ => None,
        };
        Ok(Self(bare.map_or(text, |(bare, _)| bare).to_owned()))
    }
}

impl Template {
    /// A name that is meant as it is, braces and all.
    pub fn literal(name: &str) -> Stem {
        let name = name.strip_suffix(EXTENSION).unwrap_or(name);
        let mut stem = Stem::default();
        stem.escape(name);
        stem.or_unnamed()
    }

    /// The name of a file that begins, without number and extension.
    pub fn stem(&self, facts: &Facts<'_>) -> Stem {
        let mut stem = Stem::default();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            if let Some((name, token)) = token_at(rest) {
                rest = rest.get(name.len()..).unwrap_or_default();
                stem.token(name, token, facts);
                continue;
            }
            let next = rest.char_indices().skip(1).find(|(_, c)| *c == '{');
            let end = next.map_or(rest.len(), |(at, _)| at);
            let (text, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            stem.escape(text);
            rest = after;
        }
        stem.or_unnamed()
    }
}

fn token_at(text: &str) -> Option<(&'static str, Token)> {
    let mut tokens = TOKENS.iter();
    let found = tokens.find(|(name, ..)| text.starts_with(name));
    found.map(|(name, token, _)| (*name, *token))
}

/// A name without number and extension, of characters that every file system takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stem(String);

impl Stem {
    /// The name of a file that is complete: part `number`, where others follow it.
    pub fn finished(&self, number: Option<u32>, end_millis: u64, seconds: u64) -> String {
        let mut name = finish(&self.0, end_millis, seconds).0;
        if let Some(number) = number {
            // Writing to a string does not fail.
            let _ = write!(name, "_{number}");
        }
        name.push_str(EXTENSION);
        name
    }

    /// The name while the file is written.
    pub fn unfinished(&self) -> String {
        format!("{}{EXTENSION}", self.0)
    }

    fn token(&mut self, name: &'static str, token: Token, facts: &Facts<'_>) {
        let value = match token {
            Token::StreamName => facts.stream.to_owned(),
            Token::SessionId => base64(facts.session.as_bytes()),
            Token::MediaSessionId => facts.media_session.to_owned(),
            Token::Login => facts.login.to_owned(),
            Token::AudioCodec => facts.audio.to_owned(),
            Token::VideoCodec => facts.video.to_owned(),
            Token::StartTime => FileDate(facts.start_millis / 1_000).to_string(),
            Token::StartTimeMillis => facts.start_millis.to_string(),
            Token::EndTime | Token::EndTimeMillis | Token::Duration => {
                self.push(name);
                return;
            }
        };
        let most = TOKENS.iter().find(|(of, ..)| *of == name);
        let most = most.map_or(0, |(.., most)| *most);
        let end = value.char_indices().nth(most).map(|(at, _)| at);
        self.escape(value.get(..end.unwrap_or(value.len())).unwrap_or_default());
    }

    /// Adds text, escaped; what finds no room is left out.
    fn escape(&mut self, text: &str) {
        for char in text.chars() {
            let mut unit = String::new();
            let is_plain = char.is_ascii_alphanumeric() || "-_.~".contains(char);
            // No hidden file, and no way up.
            if is_plain && !(char == '.' && self.0.is_empty()) {
                unit.push(char);
            } else {
                let mut bytes = [0; 4];
                for byte in char.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(unit, "%{byte:02X}");
                }
            }
            if !self.push(&unit) {
                return;
            }
        }
    }

    fn push(&mut self, unit: &str) -> bool {
        let fits = self.0.len().saturating_add(unit.len()) <= STEM_BYTES;
        if fits {
            self.0.push_str(unit);
        }
        fits
    }

    fn or_unnamed(mut self) -> Self {
        if self.0.is_empty() {
            self.push("recording");
        }
        self
    }
}

/// Puts in what is known at the end of a file.
pub fn finish(name: &str, end_millis: u64, seconds: u64) -> Stem {
    let mut stem = Stem::default();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let length = match token_at(rest) {
            Some((name, token)) => {
                let value = match token {
                    Token::EndTime => FileDate(end_millis / 1_000).to_string(),
                    Token::EndTimeMillis => end_millis.to_string(),
                    Token::Duration => seconds.to_string(),
                    _ => String::new(),
                };
                stem.push(&value);
                name.len()
            }
            None => {
                let length = if first == '%' { 3 } else { first.len_utf8() };
                if !stem.push(rest.get(..length).unwrap_or_default()) {
                    break;
                }
                length
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    stem
}

/// Base64 with the alphabet for file names and without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = 0_u32;
        for at in 0..3 {
            group = group << 8 | chunk.get(at).copied().map_or(0, u32::from);
        }
        for at in 0..=chunk.len() {
            let shift = 18_u32.saturating_sub(6_u32.saturating_mul(at as u32));
            let index = group.checked_shr(shift).unwrap_or(0) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or_default();
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn facts<'a>(stream: &'a str, session: &'a str, login: &'a str) -> Facts<'a> {
        Facts {
            stream,
            session,
            media_session: session,
            login,
            audio: "pcma",
            video: "h264",
            start_millis: 784_111_777_123,
        }
    }

    fn stem(template: &str, facts: &Facts<'_>) -> Stem {
        template.parse::<Template>().unwrap().stem(facts)
    }

    #[test]
    fn every_token_is_put_in() {
        let facts = facts("room", "a1-b2", "1001");
        let template = "{streamName}_{sessionId}_{mediaSessionId}_{login}_{audioCodec}_\
                        {videoCodec}_{startTime}_{startTimeMillis}_{endTime}_{endTimeMillis}_\
                        {duration}.mp4";
        let stem = stem(template, &facts);
        let known = "room_YTEtYjI_a1-b2_1001_pcma_h264_1994-11-06-08-49-37_784111777123_";
        assert_eq!(
            stem.unfinished(),
            format!("{known}{{endTime}}_{{endTimeMillis}}_{{duration}}.mp4")
        );
        assert_eq!(
            stem.finished(None, 784_111_780_000, 3),
            format!("{known}1994-11-06-08-49-40_784111780000_3.mp4")
        );
        assert!(stem.finished(Some(2), 0, 0).ends_with("_0_2.mp4"));
    }

    #[test]
    fn the_template_of_wcs_is_the_default() {
        let stem = Template::default().stem(&facts("s", "call-1", "1001"));
        assert_eq!(stem.finished(None, 0, 0), "stream-call-1-1001.mp4");
        assert_eq!(stem.finished(Some(1), 0, 0), "stream-call-1-1001_1.mp4");
    }

    #[test]
    fn values_are_cut_to_what_their_token_allows() {
        let long = "x".repeat(300);
        let facts = facts(&long, &long, &long);
        let length = |template: &str| stem(template, &facts).unfinished().len() - EXTENSION.len();
        assert_eq!(length("{login}"), 32);
        assert_eq!(length("{mediaSessionId}"), 36);
        assert_eq!(length("{sessionId}"), 60);
        assert_eq!(length("{audioCodec}"), 4);
        assert_eq!(length("{streamName}"), 128);
    }

    #[test]
    fn nothing_leads_out_of_the_folder_or_hides_a_file() {
        let facts = facts("../../etc/passwd", "{endTime}", ".");
        assert_eq!(
            stem("{streamName}", &facts).unfinished(),
            "%2E.%2F..%2Fetc%2Fpasswd.mp4"
        );
        assert_eq!(stem("{login}{login}", &facts).unfinished(), "%2E..mp4");
        // A token in a value is none.
        let stem = stem("{mediaSessionId}", &facts);
        assert_eq!(stem.finished(None, 0, 0), "%7BendTime%7D.mp4");
        assert_eq!(
            Template::literal("a/{b}.mp4").unfinished(),
            "a%2F%7Bb%7D.mp4"
        );
        assert_eq!(Template::literal(".mp4").unfinished(), "recording.mp4");
    }

    #[test]
    fn a_template_of_unknown_tokens_is_refused() {
        for wrong in [
            "",
            "{",
            "{x}",
            "a{streamName",
            "{streamName}{",
            "a\nb",
            "{{login}}x{",
        ] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
        assert!("x".repeat(256).parse::<Template>().is_err());
    }

    #[test]
    fn whatever_the_values_a_name_is_one_short_component() {
        let mut rng = Rng::from_number(7);
        let chars = [
            '/', '.', '\\', '%', '\0', '\n', 'é', '🦀', 'a', '{', '}', '-', ':', '~',
        ];
        let mut text = || -> String {
            let length = rng.u64() % 200;
            (0..length)
                .map(|_| chars[(rng.u64() % chars.len() as u64) as usize])
                .collect()
        };
        for _ in 0..500 {
            let (a, b, c) = (text(), text(), text());
            let facts = facts(&a, &b, &c);
            let stem = stem(
                "{streamName}{mediaSessionId}{endTimeMillis}{login}{duration}",
                &facts,
            );
            for name in [
                stem.finished(None, u64::MAX, u64::MAX),
                stem.finished(Some(99_999), u64::MAX, u64::MAX),
                stem.unfinished(),
            ] {
                assert!(
                    name.len() + UNFINISHED.len() <= RECORDING_NAME_BYTES,
                    "{name}"
                );
                assert!(!name.starts_with('.'), "{name}");
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~%{}".contains(c);
                assert!(name.chars().all(fits), "{name}");
                for (at, _) in name.match_indices('%') {
                    let hex = name.get(at + 1..at + 3).unwrap();
                    assert!(hex.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
                }
            }
        }
    }
}
