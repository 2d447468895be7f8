//! What a trial found: its steps in order, each with its time, and what failed as a code that the page
//! has words for.

use std::time::{Duration, Instant};

use serde::Serialize;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Problem {
    /// The settings cannot be tried: `field` says which one is missing or wrong.
    BadSettings,
    /// Another trial is under way.
    Busy,
    /// No address is known for the name.
    NameNotFound,
    /// No name server answers: this box may have no network.
    NameServerSilent,
    /// Nobody listens at that port.
    Refused,
    /// No answer came in time.
    NoAnswer,
    /// There is no way to that address.
    Unreachable,
    /// Nobody who is trusted vouches for the certificate.
    TlsUntrusted,
    /// The certificate has expired.
    TlsExpired,
    /// The certificate is not valid yet by the clock of this box, which is probably not set.
    TlsTimeNotSet,
    /// The certificate is for another name.
    TlsWrongName,
    /// No TLS is spoken at that port.
    NotTls,
    /// TLS failed in another way.
    TlsFailed,
    /// User name or password is wrong, or one is wanted.
    WrongPassword,
    /// The PBX refuses us.
    Forbidden,
    /// The PBX does not know the number.
    NotFound,
    /// The PBX refuses in another way: `code` is its status.
    Rejected,
    /// The server has trouble of its own: `code` is its status.
    ServerError,
    /// The server does not speak RTMP at that port.
    NotRtmp,
    /// The server has no such application, or lets nobody publish to it.
    AppRefused,
    /// The server refuses the stream's name or key.
    StreamRefused,
    /// The name is in use, or refused: servers say the same of both.
    StreamBusy,
    /// The server takes none of the codecs of video that the trunk negotiates.
    NoVideoCodec,
    /// The server takes none of the codecs of sound that the trunk negotiates.
    NoAudioCodec,
    /// The server refuses the sound: `codec` says what it was sent.
    AudioRefused,
    /// The server refuses the picture: `codec` says what it was sent.
    VideoRefused,
    /// The server ended the stream after `seconds`.
    Closed,
    /// The daemon stops, or the time of the trial was over.
    Stopped,
    /// This box could not do it: `detail` says why.
    Failed,
}

/// What is worth knowing of a step that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Note {
    /// Not tried again: what is at work with the same settings succeeds already.
    Live,
    /// The PBX does not answer OPTIONS, and yet takes the registration.
    OptionsSilent,
    /// This kind of server takes nothing of what the test could send of the track: `codec` says what
    /// it takes of calls.
    OtherCodec,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub problem: Problem,
    /// The same in words of the log.
    pub detail: String,
    /// Further values for the words of the page.
    pub facts: Box<Facts>,
}

/// Values for the words of the page; absent where they do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Transport: udp, tcp or tls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// Status code of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Name of a codec, or of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// How long it lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Key of a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What else is worth saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

impl Failed {
    /// A failure with these words.
    pub fn new(problem: Problem, detail: impl Into<String>) -> Self {
        Self {
            problem,
            detail: detail.into(),
            facts: Box::default(),
        }
    }

    /// The same, with values.
    pub fn with(mut self, facts: Facts) -> Self {
        *self.facts = facts;
        self
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `lookup`, `reach`, `options`, `register`, `connect`, `publish`, `video` or `audio`.
    pub step: &'static str,
    /// Whether it succeeded.
    pub ok: bool,
    /// What failed.
    pub problem: Option<Problem>,
    /// Words of the log; without secrets.
    pub detail: String,
    /// Milliseconds that it took.
    pub ms: u64,
    #[serde(flatten)]
    /// Values for the words of the page.
    pub facts: Facts,
}

/// What a trial found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every step succeeded.
    pub ok: bool,
    /// What was tried, up to the first failure that ends a trial.
    pub steps: Vec<Step>,
}

impl Report {
    /// Adds what came of a step that began then; whether it succeeded.
    pub fn add(
        &mut self,
        step: &'static str,
        began: Instant,
        result: Result<(String, Facts), Failed>,
    ) -> bool {
        self.add_timed(step, began.elapsed(), result)
    }

    /// The same of one that took that time.
    pub fn add_timed(
        &mut self,
        step: &'static str,
        took: Duration,
        result: Result<(String, Facts), Failed>,
    ) -> bool {
        let (problem, detail, facts) = match result {
            Ok((detail, facts)) => (None, detail, facts),
            Err(failed) => (Some(failed.problem), failed.detail, *failed.facts),
        };
        self.steps.push(Step {
            step,
            ok: problem.is_none(),
            problem,
            detail,
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            facts,
        });
        problem.is_none()
    }

    /// The report, all of whose steps are there.
    pub fn finish(mut self) -> Self {
        self.ok = !self.steps.is_empty() && self.steps.iter().all(|step| step.ok);
        self
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_ok_when_every_step_is() {
        let mut report = Report::default();
        let began = Instant::now();
        assert!(report.add("lookup", began, Ok(("1.2.3.4".into(), Facts::default()))));
        let whole = report.clone().finish();
        assert!(whole.ok);
        let facts = Facts {
            code: Some(403),
            ..Facts::default()
        };
        let failed = Failed::new(Problem::Forbidden, "403 No").with(facts);
        let took = Duration::from_millis(12);
        assert!(!report.add_timed("register", took, Err(failed)));
        let report = report.finish();
        assert!(!report.ok);
        let text = String::from_utf8(report.to_json()).unwrap();
        assert!(
            text.ends_with(
                r#"{"step":"register","ok":false,"problem":"forbidden","detail":"403 No","ms":12,"code":403}]}"#
            ),
            "{text}"
        );
        assert!(!Report::default().finish().ok, "nothing was tried");
    }
}
