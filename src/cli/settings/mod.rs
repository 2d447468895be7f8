//! The settings file as the page reads and writes it.
//!
//! The page sees the tree of the file as JSON ([`document`]), without its secrets ([`secrets`]). What
//! it sends back is checked as `trunkcast check` checks a file, and written where it changed something
//! ([`patch`]), at once or not at all ([`mod@file`]). A document goes with the revision of the file that it
//! was made of: a file that somebody else wrote meanwhile is not overwritten.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod defaults;
pub mod diff;
pub mod document;
pub mod file;
pub mod patch;
pub mod print;
pub mod secrets;
pub mod words;

use serde::Serialize;

use crate::base::redact::Secret;
use crate::cli::config_file::{self, Problem};
use crate::cli::config_source::ConfigSource;
use crate::cli::yaml::{self, Node};
use crate::gateway::config::Config;
use crate::gateway::desk::{Clerk, DeskAnswer, DeskWork};
use crate::limits::DESK_ANSWER_BYTES;

use diff::{Line, Shown};
use document::Doc;
use words::{Told, told};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// Problems that the page is told of at once.
const PROBLEMS: usize = 100;

/// Looks after the settings file.
pub struct Settings {
    /// `None` where settings come from nowhere and go nowhere.
    source: Option<ConfigSource>,
}

/// What the file says at present.
struct Current {
    /// The file itself, if it is there.
    bytes: Option<Vec<u8>>,
    /// Its text, or that of the embedded defaults.
    text: String,
    /// Its tree, if it is YAML.
    root: Option<Node>,
    /// The tree with trunks in their place.
    doc: Doc,
    /// What it amounts to, or what is wrong.
    config: Result<Config, Vec<Problem>>,
}

/// What the page sent.
struct Sent {
    settings: Doc,
    revision: Option<String>,
    renamed: Option<Doc>,
}

/// A change that was looked at.
struct Change {
    text: String,
    problems: Vec<Problem>,
    config: Option<Config>,
}

#[derive(Serialize)]
struct ReadAnswer<'a> {
    settings: Doc,
    defaults: Doc,
    file: String,
    exists: bool,
    guide: bool,
    writable: bool,
    detail: Option<String>,
    revision: String,
    problems: Vec<Told>,
    text: &'a str,
}

#[derive(Serialize)]
struct ChangeAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    saved: bool,
    revision: String,
    problems: Vec<Told>,
    preview: Vec<Line>,
    restart: Vec<String>,
    notices: Vec<String>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    problem: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// What becomes of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Look,
    Write,
}

impl Clerk for Settings {
    fn work(&mut self, work: DeskWork) -> DeskAnswer {
        let done = match work {
            DeskWork::ReadSettings => self.read(),
            DeskWork::CheckSettings { document } => self.change(&document, Purpose::Look),
            DeskWork::SaveSettings { document } => self.change(&document, Purpose::Write),
            DeskWork::Restore { file } => self.restore(&file),
            DeskWork::Backup => self.backup(),
            DeskWork::SetPasswordHash { hash } => self.set_password(&hash),
            DeskWork::Hash { .. }
            | DeskWork::Verify { .. }
            | DeskWork::TryPbx { .. }
            | DeskWork::TryRtmp { .. } => Err("no matter of settings".to_owned()),
        };
        done.unwrap_or_else(DeskAnswer::Failed)
    }
}

/// The configuration that a document sent by the page would be, kept secrets in their place; nothing
/// is written.
///
/// # Errors
///
/// What is wrong with it, or that it is no document, in words.
pub fn draft(source: Option<&ConfigSource>, body: &[u8]) -> Result<Config, Vec<Told>> {
    let plain = |expected: String| {
        vec![told(&Problem {
            file: String::new(),
            line: 0,
            field: String::new(),
            expected,
        })]
    };
    let current = Current::read(source).map_err(plain)?;
    let sent = Sent::read(body).map_err(plain)?;
    let change = current.changed(source, &sent);
    match change.config {
        Some(config) if change.problems.is_empty() => Ok(config),
        _ => Err(change.problems.iter().map(told).collect()),
    }
}

impl Settings {
    /// Those of a source, or of none: then they can be looked at only.
    pub const fn new(source: Option<ConfigSource>) -> Self {
        Self { source }
    }

    fn read(&self) -> Result<DeskAnswer, String> {
        let current = Current::read(self.source.as_ref())?;
        let writable = self.can_write();
        let problems = current.config.as_ref().err();
        let is_embedded = |config: &Config| config.trunks == Config::default().trunks;
        let shown = current.shown();
        let mut answer = ReadAnswer {
            settings: secrets::masked(&current.doc),
            defaults: defaults::defaults(),
            file: self.name(),
            exists: current.bytes.is_some(),
            guide: current.config.as_ref().is_ok_and(is_embedded),
            writable: writable.is_ok(),
            detail: writable.err(),
            revision: file::revision(current.bytes.as_deref()),
            problems: problems
                .into_iter()
                .flatten()
                .take(PROBLEMS)
                .map(told)
                .collect(),
            text: &shown,
        };
        let mut body = json(&answer);
        if body.len() > DESK_ANSWER_BYTES {
            answer.text = "";
            body = json(&answer);
        }
        Ok(document(200, JSON, body, false))
    }

    fn change(&self, body: &[u8], purpose: Purpose) -> Result<DeskAnswer, String> {
        let sent = match Sent::read(body) {
            Ok(sent) => sent,
            Err(words) => return Ok(refusal(400, "badRequest", Some(&words))),
        };
        let current = Current::read(self.source.as_ref())?;
        let revision = file::revision(current.bytes.as_deref());
        if sent.revision.as_ref().is_some_and(|sent| *sent != revision) {
            return Ok(refusal(409, "changedMeanwhile", None));
        }
        let change = current.changed(self.source.as_ref(), &sent);
        Ok(self.conclude(&current, change, purpose))
    }

    fn restore(&self, body: &[u8]) -> Result<DeskAnswer, String> {
        let doc = match Doc::of_json(body) {
            Ok(doc) => doc,
            Err(words) => return Ok(refusal(400, "badRequest", Some(&words))),
        };
        let Some(text) = doc.text_of("text") else {
            return Ok(refusal(400, "badRequest", Some("text is missing")));
        };
        let current = Current::read(self.source.as_ref())?;
        let change = current.restored(self.source.as_ref(), text);
        Ok(self.conclude(&current, change, Purpose::Write))
    }

    fn backup(&self) -> Result<DeskAnswer, String> {
        let current = Current::read(self.source.as_ref())?;
        let bytes = current.bytes.unwrap_or(current.text.into_bytes());
        Ok(document(200, YAML, bytes, false))
    }

    fn set_password(&self, hash: &Secret<String>) -> Result<DeskAnswer, String> {
        if self.source.is_none() {
            // Whoever asked remembers it for as long as the demonstration lasts.
            return Ok(document(200, JSON, b"{}".to_vec(), false));
        }
        let current = Current::read(self.source.as_ref())?;
        let mut doc = current.doc.clone();
        secrets::set_hash(&mut doc, Some(Doc::text(hash.expose())));
        let text = patch::updated(&current.text, &doc, &[]);
        if let Err(problems) = check(self.source.as_ref(), &text) {
            let words = problems.first().map(ToString::to_string);
            return Ok(refusal(500, "notWritable", words.as_deref()));
        }
        Ok(match self.write(&current, &text) {
            Ok(()) => document(200, JSON, b"{}".to_vec(), true),
            Err(words) => refusal(500, "notWritable", Some(&words)),
        })
    }

    /// Takes the page's password out of the file, whatever else is right or wrong there; whether there
    /// was one. The page then asks its next visitor for a new one.
    ///
    /// # Errors
    ///
    /// Why it is in there still.
    pub fn forget_password(&self) -> Result<bool, String> {
        let current = Current::read(self.source.as_ref())?;
        if current.bytes.is_none() {
            return Ok(false);
        }
        if current.root.is_none() {
            return Err(format!("{}: no YAML, left as it is", self.name()));
        }
        let mut doc = current.doc.clone();
        secrets::set_hash(&mut doc, None);
        if doc == current.doc {
            return Ok(false);
        }
        let text = patch::updated(&current.text, &doc, &[]);
        let left = yaml::parse(&text).map(|root| Doc::of_file(&root));
        if !left.is_ok_and(|left| left.is_like(&doc)) {
            return Err(format!("{}: cannot be changed, left as it is", self.name()));
        }
        self.write(&current, &text)?;
        Ok(true)
    }

    /// Tells of a change, and writes it where that is wanted and nothing is wrong.
    fn conclude(&self, current: &Current, change: Change, purpose: Purpose) -> DeskAnswer {
        let shown = change.shown();
        let old_shown = current.shown();
        let old = Shown {
            text: &current.text,
            shown: &old_shown,
        };
        let new = Shown {
            text: &change.text,
            shown: &shown,
        };
        let restart = match (&current.config, &change.config) {
            (Ok(old), Some(new)) => old.waits_for_start(new),
            _ => Vec::new(),
        };
        let notices = change.config.as_ref().map(|config| config.notices.clone());
        let mut answer = ChangeAnswer {
            problem: None,
            detail: None,
            saved: false,
            revision: file::revision(current.bytes.as_deref()),
            problems: change.problems.iter().take(PROBLEMS).map(told).collect(),
            preview: diff::preview(old, new),
            restart,
            notices: notices.unwrap_or_default(),
        };
        let same = current.bytes.is_some() && current.text == change.text;
        let (status, changed) = match purpose {
            Purpose::Look => (200, false),
            Purpose::Write if !answer.problems.is_empty() => {
                answer.problem = Some("invalid");
                (422, false)
            }
            Purpose::Write if same => {
                answer.saved = true;
                (200, false)
            }
            Purpose::Write => match self.write(current, &change.text) {
                Ok(()) => {
                    answer.saved = true;
                    answer.revision = file::revision(Some(change.text.as_bytes()));
                    (200, true)
                }
                Err(words) => {
                    answer.problem = Some("notWritable");
                    answer.detail = Some(words);
                    (500, false)
                }
            },
        };
        let mut body = json(&answer);
        if body.len() > DESK_ANSWER_BYTES {
            answer.preview = Vec::new();
            body = json(&answer);
        }
        document(status, JSON, body, changed)
    }

    fn write(&self, current: &Current, text: &str) -> Result<(), String> {
        let Some(source) = &self.source else {
            return Err("the demonstration has no settings file".to_owned());
        };
        let path = source.path();
        let written = file::read(path).and_then(|now| match now == current.bytes {
            true => file::write(path, text.as_bytes(), current.bytes.as_deref()),
            false => Err(std::io::Error::other("it was changed meanwhile")),
        });
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn can_write(&self) -> Result<(), String> {
        let Some(source) = &self.source else {
            return Err("the demonstration has no settings file".to_owned());
        };
        let path = source.path();
        let can = file::can_write(path);
        can.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn name(&self) -> String {
        let path = self.source.as_ref().map(ConfigSource::path);
        path.map_or(String::new(), |path| path.display().to_string())
    }
}

impl Current {
    fn read(source: Option<&ConfigSource>) -> Result<Self, String> {
        let bytes = match source {
            None => None,
            Some(source) => {
                let path = source.path();
                let read = file::read(path);
                read.map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        let text = match &bytes {
            None => print::file(&defaults::embedded()),
            // What is no text is replaced whole.
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        let root = yaml::parse(&text).ok();
        let doc = root.as_ref().map_or(Doc::Nothing, Doc::of_file);
        let config = check(source, &text);
        Ok(Self {
            bytes,
            text,
            root,
            doc,
            config,
        })
    }

    /// The text without secrets; nothing where they cannot be told.
    fn shown(&self) -> String {
        let root = self.root.as_ref();
        root.map_or(String::new(), |root| secrets::masked_text(&self.text, root))
    }

    /// What a document of the page makes of it.
    fn changed(&self, source: Option<&ConfigSource>, sent: &Sent) -> Change {
        let renamed = secrets::renamed(&sent.settings, &self.doc, sent.renamed.as_ref());
        let (doc, mut problems) = secrets::revealed(&sent.settings, &self.doc, &renamed);
        let is_map = matches!(doc, Doc::Map(_));
        let text = match &self.bytes {
            Some(_) if is_map => patch::updated(&self.text, &doc, &renamed),
            _ => print::file(&doc),
        };
        let (config, found) = match check(source, &text) {
            Ok(config) => (Some(config), Vec::new()),
            Err(found) => (None, found),
        };
        let is_new = |problem: &Problem| !problems.iter().any(|known| known.field == problem.field);
        let found: Vec<Problem> = found.into_iter().filter(is_new).collect();
        problems.extend(found);
        Change {
            text,
            problems,
            config,
        }
    }

    /// What a whole file in its place would be: the page's password stays as it is.
    fn restored(&self, source: Option<&ConfigSource>, text: &str) -> Change {
        let mut text = text.to_owned();
        let checked = check(source, &text).and_then(|_| {
            if let Ok(root) = yaml::parse(&text) {
                let mut doc = Doc::of_file(&root);
                secrets::keep_hash(&mut doc, &self.doc);
                text = patch::updated(&text, &doc, &[]);
            }
            check(source, &text)
        });
        let (config, problems) = match checked {
            Ok(config) => (Some(config), Vec::new()),
            Err(problems) => (None, problems),
        };
        Change {
            text,
            problems,
            config,
        }
    }
}

impl Change {
    /// The text without secrets; nothing where they cannot be told.
    fn shown(&self) -> String {
        let root = yaml::parse(&self.text).ok();
        root.map_or(String::new(), |root| {
            secrets::masked_text(&self.text, &root)
        })
    }
}

impl Sent {
    fn read(body: &[u8]) -> Result<Self, String> {
        let doc = Doc::of_json(body)?;
        let Some(settings) = doc.get("settings").cloned() else {
            return Err("settings are missing".to_owned());
        };
        Ok(Self {
            settings,
            revision: doc.text_of("revision").map(str::to_owned),
            renamed: doc.get("renamed").cloned(),
        })
    }
}

fn check(source: Option<&ConfigSource>, text: &str) -> Result<Config, Vec<Problem>> {
    match source {
        Some(source) => source.check(text),
        None => config_file::load(text, ""),
    }
}

fn json(answer: &impl Serialize) -> Vec<u8> {
    // Only a key that is no text could be in its way.
    serde_json::to_vec(answer).unwrap_or_default()
}

fn refusal(status: u16, problem: &str, detail: Option<&str>) -> DeskAnswer {
    document(status, JSON, json(&Refusal { problem, detail }), false)
}

fn document(status: u16, kind: &'static str, body: Vec<u8>, changed: bool) -> DeskAnswer {
    DeskAnswer::Document {
        status,
        kind,
        body,
        changed,
    }
}
