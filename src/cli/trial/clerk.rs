//! Who does the trials that the page asks for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::clock::Clock;
use super::pbx::{is_same_registration, try_pbx};
use super::report::{Facts, Failed, Problem, Report};
use super::rtmp::{is_same_stream, try_rtmp};
use crate::cli::config_source::ConfigSource;
use crate::cli::{settings, with_state};
use crate::gateway::config::{Config, Trunk};
use crate::gateway::desk::{Clerk, DeskAnswer, DeskWork, Standing};
use crate::shell::sys;

/// How long the end of the program waits for a trial to end cleanly.
const END: Duration = Duration::from_secs(2);

/// Does trials, with settings that a document gives beside the file of a source.
pub struct Trials {
    /// `None` for the embedded defaults.
    source: Option<ConfigSource>,
    state: Arc<State>,
    /// Whether the thread was made one that gives way to others.
    is_lowered: bool,
}

#[derive(Default)]
struct State {
    stop: Arc<AtomicBool>,
    under_way: AtomicBool,
    end_began: OnceLock<Instant>,
}

/// Ends the trial under way, for whoever ends the program.
pub struct TrialsEnd(Arc<State>);

/// What the page sends, beside the settings.
#[derive(Deserialize)]
struct Asked {
    trunk: String,
}

impl Trials {
    /// With the settings of a source, or those that are embedded.
    pub fn new(source: Option<ConfigSource>) -> Self {
        Self {
            source,
            state: Arc::default(),
            is_lowered: false,
        }
    }

    /// What ends them.
    pub fn end(&self) -> TrialsEnd {
        TrialsEnd(Arc::clone(&self.state))
    }

    fn trial(
        &self,
        document: &[u8],
        work: impl FnOnce(&Config, &Trunk, &Clock) -> Report,
    ) -> DeskAnswer {
        let asked: Result<Asked, _> = serde_json::from_slice(document);
        let settings = match settings::draft(self.source.as_ref(), document) {
            Ok(settings) => with_state(settings),
            Err(problems) => {
                let body = serde_json::json!({"problem": "badSettings", "problems": problems});
                return answer(422, serde_json::to_vec(&body).unwrap_or_default());
            }
        };
        let name = asked.map_or_else(|_| String::new(), |asked| asked.trunk);
        let clock = Clock::start(Arc::clone(&self.state.stop));
        let report = match settings.trunks.iter().find(|trunk| trunk.name == name) {
            Some(trunk) => work(&settings, trunk, &clock),
            None => no_trunk(),
        };
        answer(200, report.to_json())
    }
}

fn no_trunk() -> Report {
    let facts = Facts {
        field: Some("trunk"),
        ..Facts::default()
    };
    let failed = Failed::new(Problem::BadSettings, "no such trunk").with(facts);
    let mut report = Report::default();
    report.add("lookup", Instant::now(), Err(failed));
    report.finish()
}

fn answer(status: u16, body: Vec<u8>) -> DeskAnswer {
    DeskAnswer::Document {
        status,
        kind: "application/json",
        body,
        changed: false,
    }
}

impl Clerk for Trials {
    fn work(&mut self, work: DeskWork) -> DeskAnswer {
        if !self.is_lowered {
            // Calls at work go first; where that cannot be had, a trial is little work anyway.
            sys::give_way();
            self.is_lowered = true;
        }
        let _under_way = UnderWay::begin(&self.state);
        match work {
            DeskWork::TryPbx { document, standing } => {
                self.trial(&document, |settings, trunk, clock| {
                    log::info!("test: the PBX of {}", trunk.name);
                    let report = try_pbx(settings, trunk, is_registered(&standing, trunk), clock);
                    told(trunk, report)
                })
            }
            DeskWork::TryRtmp { document, standing } => {
                self.trial(&document, |settings, trunk, clock| {
                    log::info!("test: the RTMP server of {}", trunk.name);
                    let report = try_rtmp(settings, trunk, is_published(&standing, trunk), clock);
                    told(trunk, report)
                })
            }
            other => DeskAnswer::Failed(format!("{} is no trial", other.name())),
        }
    }
}

/// Says in the log what a trial found.
fn told(trunk: &Trunk, report: Report) -> Report {
    match report.steps.iter().find(|step| !step.ok) {
        None => log::info!("test: {} passed", trunk.name),
        Some(step) => log::info!("test: {}: {}: {}", trunk.name, step.step, step.detail),
    }
    report
}

fn is_registered(standing: &Standing, trunk: &Trunk) -> bool {
    let mut live = standing.registered.iter();
    live.any(|live| is_same_registration(live, trunk))
}

fn is_published(standing: &Standing, trunk: &Trunk) -> bool {
    let mut live = standing.publishing.iter();
    live.any(|(url, stream)| is_same_stream(trunk, url, stream))
}

/// That a trial is under way, as long as it lives.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn begin(state: &Arc<State>) -> Self {
        state.under_way.store(true, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.store(false, Ordering::Relaxed);
    }
}

impl TrialsEnd {
    /// Ends it, and waits for nothing.
    pub fn begin(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.0.end_began.get_or_init(Instant::now);
    }

    /// Ends it, and waits for its farewells, a moment from when its end began.
    pub fn end(&self) {
        self.begin();
        let began = *self.0.end_began.get_or_init(Instant::now);
        while self.0.under_way.load(Ordering::Relaxed) && began.elapsed() < END {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
