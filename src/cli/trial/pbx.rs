//! The trial of a PBX: its name, the way there, OPTIONS, and REGISTER where the trunk registers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::reach::{facts_of, look_up, reach};
use super::report::{Facts, Failed, Note, Problem, Report};
use super::stage::{Stage, failed};
use crate::base::network::Transport;
use crate::base::redact::Secret;
use crate::gateway::config::{Config, HostPort, Register, Trunk};
use crate::shell::dns::SipHost;
use crate::shell::sip_tls::SipTls;
use crate::shell::tls::{Identity, Trust};
use crate::sip::{PeerState, RegistrationState, SipTarget, SipTargets};

/// How long OPTIONS is waited for.
const OPTIONS: Duration = Duration::from_secs(5);

/// How long REGISTER is waited for.
const REGISTER: Duration = Duration::from_secs(6);

/// Seconds that a trial registers for: should it not be taken back, calls come here no longer.
const EXPIRES: u32 = 60;

/// How often OPTIONS would be sent; once is enough.
const PING: Duration = Duration::from_secs(60);

/// A host that requests go to.
struct Place {
    host: HostPort,
    transport: Transport,
    /// Whether that is a PBX, which is asked by OPTIONS.
    is_pbx: bool,
}

/// Tries the PBX of a trunk. `is_live` says that the trunk at work, with the same settings, is
/// registered: another registration could take its place at the PBX, so it is left out.
pub fn try_pbx(settings: &Config, trunk: &Trunk, is_live: bool, clock: &Clock) -> Report {
    let mut report = Report::default();
    let places = places(trunk);
    if places.is_empty() {
        let facts = Facts {
            field: Some("proxyIp"),
            ..Facts::default()
        };
        let none = Failed::new(Problem::BadSettings, "no PBX is named").with(facts);
        report.add("lookup", Instant::now(), Err(none));
        return report.finish();
    }
    let began = Instant::now();
    let found = find(&places, clock);
    let (found, result) = match found {
        Ok(found) => {
            let words = words_of(&found);
            (found, Ok((words, Facts::default())))
        }
        Err(failed) => (Vec::new(), Err(failed)),
    };
    if !report.add("lookup", began, result) {
        return report.finish();
    }
    let began = Instant::now();
    let result = reach_all(settings, trunk, &found, clock);
    let result = result.map(|target| (target.address.to_string(), facts_of(&target)));
    if !report.add("reach", began, result) {
        return report.finish();
    }
    let has_pbx = found.iter().any(|(place, _)| place.is_pbx);
    let mut silent = false;
    if has_pbx {
        let began = Instant::now();
        let result = options(settings, trunk, clock);
        silent = result
            .as_ref()
            .is_err_and(|failed| failed.problem == Problem::NoAnswer);
        if !report.add("options", began, result) && !silent {
            return report.finish();
        }
    }
    if let Some(register) = &trunk.register {
        let began = Instant::now();
        let result = if is_live {
            let facts = Facts {
                note: Some(Note::Live),
                ..Facts::default()
            };
            Ok(("the trunk at work is registered".to_owned(), facts))
        } else {
            registration(settings, trunk, register, clock)
        };
        // Some take registrations and do not answer OPTIONS.
        if report.add("register", began, result)
            && silent
            && let Some(step) = report.steps.iter_mut().find(|step| step.step == "options")
        {
            step.ok = true;
            step.problem = None;
            step.facts.note = Some(Note::OptionsSilent);
        }
    }
    report.finish()
}

/// Whether one trunk is registered exactly as another would be.
pub fn is_same_registration(live: &Trunk, trunk: &Trunk) -> bool {
    let how = |trunk: &Trunk| {
        let pbx: Vec<HostPort> = trunk.pbx().collect();
        (pbx, trunk.transport, trunk.domain.clone())
    };
    trunk.register.is_some()
        && live.register == trunk.register
        && live.outbound_proxy == trunk.outbound_proxy
        && how(live) == how(trunk)
}

/// Where requests of a trunk go: to its PBX, and its REGISTER perhaps elsewhere.
fn places(trunk: &Trunk) -> Vec<Place> {
    let mut places: Vec<Place> = trunk
        .pbx()
        .map(|host| Place {
            host,
            transport: trunk.transport,
            is_pbx: true,
        })
        .collect();
    if let Some(register) = &trunk.register {
        let hop = match &trunk.outbound_proxy {
            Some(proxy) => Some((&proxy.address, proxy.transport.unwrap_or(trunk.transport))),
            None => register.registrar.as_ref().map(|r| (r, trunk.transport)),
        };
        if let Some((host, transport)) = hop
            && !places
                .iter()
                .any(|place| place.host == *host && place.transport == transport)
        {
            places.push(Place {
                host: host.clone(),
                transport,
                is_pbx: false,
            });
        }
    }
    places
}

/// Where the places are: one of the PBX's is enough, and that of REGISTER is needed.
fn find<'a>(places: &'a [Place], clock: &Clock) -> Result<Vec<(&'a Place, SipTargets)>, Failed> {
    let mut found = Vec::new();
    let mut failure = None;
    for place in places {
        let host = SipHost {
            name: place.host.host.to_string(),
            port: place.host.port,
            transport: Some(place.transport),
        };
        match look_up(&host, clock) {
            Ok(targets) => found.push((place, targets)),
            Err(failed) if place.is_pbx => failure = failure.or(Some(failed)),
            Err(failed) => return Err(failed),
        }
    }
    match failure {
        Some(failed) if !found.iter().any(|(place, _)| place.is_pbx) => Err(failed),
        _ => Ok(found),
    }
}

/// Connects to one of the PBX's places, and to the one that REGISTER goes to; the last of them.
fn reach_all(
    settings: &Config,
    trunk: &Trunk,
    found: &[(&Place, SipTargets)],
    clock: &Clock,
) -> Result<SipTarget, Failed> {
    let mut trust = None;
    let mut reached = Err(Failed::new(Problem::NameNotFound, "no address"));
    for (place, targets) in found {
        if reached.is_ok() && place.is_pbx {
            continue;
        }
        let host = place.host.host.to_string();
        let tls = match (&trust, place.transport) {
            (None, Transport::Tls) => Some(trust.insert(trust_of(settings, trunk)?)),
            (Some(_), Transport::Tls) => trust.as_mut(),
            _ => None,
        };
        let tls = tls.map(|trust| (&**trust, host.as_str()));
        let result = reach(targets, tls, clock);
        if !place.is_pbx && result.is_err() {
            return result;
        }
        // The first failure is that of the PBX that is named first.
        if result.is_ok() || matches!(&reached, Err(f) if f.facts.address.is_none()) {
            reached = result;
        }
    }
    reached
}

/// Whom a trunk trusts.
fn trust_of(settings: &Config, trunk: &Trunk) -> Result<Arc<Trust>, Failed> {
    let only = Config {
        trunks: vec![trunk.clone()],
        state_directory: settings.state_directory.clone(),
        ..Config::default()
    };
    let tls = SipTls::load(&only);
    let trust = tls.map(|tls| tls.trust(0));
    match trust {
        Ok(Some(trust)) => {
            trust.config().map_err(|words| bad_file(&words))?;
            Ok(trust)
        }
        Ok(None) => Err(failed(&"no trust")),
        Err(words) => Err(bad_file(&words)),
    }
}

fn bad_file(words: &str) -> Failed {
    let facts = Facts {
        field: Some("caFile"),
        ..Facts::default()
    };
    Failed::new(Problem::BadSettings, words).with(facts)
}

/// A trunk as far as a trial needs it: it takes no calls, and does nothing by itself.
fn quiet(settings: &Config, trunk: &Trunk) -> Trunk {
    let mut quiet = Trunk {
        register: None,
        ping: None,
        url: None,
        calls: Some(0),
        ..trunk.clone()
    };
    // A certificate of our own making is that of the state directory, where no trial writes.
    if quiet.transport == Transport::Tls
        && quiet.certificate.is_none()
        && let Some(directory) = &settings.state_directory
        && let Some((certificate, key)) = Identity::kept(Path::new(directory))
    {
        quiet.certificate = Some(certificate);
        quiet.key = Some(key);
    }
    quiet
}

/// Asks the PBX whether it is there.
fn options(settings: &Config, trunk: &Trunk, clock: &Clock) -> Result<(String, Facts), Failed> {
    let asking = Trunk {
        ping: Some(PING),
        ..quiet(settings, trunk)
    };
    let mut stage = Stage::bind(asking, settings, Secret::default(), clock)?;
    let answer = stage.drive(OPTIONS, |gateway| {
        let peers = gateway.trunks().next()?;
        let peers: Vec<_> = peers.peers().collect();
        of_peers(&peers)
    });
    let words = "no answer to OPTIONS";
    let answer = answer.unwrap_or_else(|| Err(Failed::new(Problem::NoAnswer, words)));
    stage.end();
    answer
}

/// What the peers of a trunk have come to, once that is known.
fn of_peers(peers: &[(SipTarget, PeerState)]) -> Option<Result<(String, Facts), Failed>> {
    let answered = peers.iter().find_map(|(target, state)| match state {
        PeerState::Alive { code } => Some((target, *code)),
        PeerState::Busy { .. } => Some((target, 503)),
        _ => None,
    });
    if let Some((target, code)) = answered {
        let facts = Facts {
            code: Some(code),
            ..facts_of(target)
        };
        return Some(Ok((format!("{code} to OPTIONS"), facts)));
    }
    let all = |state: PeerState| peers.iter().all(|(_, other)| *other == state);
    let (target, _) = peers.first()?;
    let (problem, words) = match () {
        () if all(PeerState::Unreachable) => (Problem::Refused, "the connection was not kept"),
        () if peers.iter().all(|(_, state)| state.is_down()) => {
            (Problem::NoAnswer, "no answer to OPTIONS")
        }
        () => return None,
    };
    Some(Err(Failed::new(problem, words).with(facts_of(target))))
}

/// Registers, and takes it back.
fn registration(
    settings: &Config,
    trunk: &Trunk,
    register: &Register,
    clock: &Clock,
) -> Result<(String, Facts), Failed> {
    let registering = Trunk {
        register: Some(Register {
            expires: register.expires.min(EXPIRES),
            ..register.clone()
        }),
        ..quiet(settings, trunk)
    };
    let mut stage = Stage::bind(registering, settings, Secret::default(), clock)?;
    let answer = stage.drive(REGISTER, |gateway| {
        of_registration(gateway.trunks().next()?.registration()?)
    });
    stage.end();
    answer.unwrap_or_else(|| {
        Err(Failed::new(
            Problem::NoAnswer,
            "no answer to REGISTER in time",
        ))
    })
}

/// What a registration has come to, once that is known.
fn of_registration(state: &RegistrationState) -> Option<Result<(String, Facts), Failed>> {
    match state {
        RegistrationState::Unregistered | RegistrationState::Registering => None,
        RegistrationState::Registered { .. } => {
            Some(Ok(("registered".to_owned(), Facts::default())))
        }
        RegistrationState::AuthenticationFailed { words } => {
            Some(Err(Failed::new(Problem::WrongPassword, words.as_str())))
        }
        RegistrationState::Failed { code, words, .. } => {
            let facts = Facts {
                code: Some(*code),
                ..Facts::default()
            };
            let problem = problem_of_status(*code);
            Some(Err(Failed::new(problem, words.as_str()).with(facts)))
        }
    }
}

/// What a final answer to REGISTER means; 408 stands for none.
fn problem_of_status(code: u16) -> Problem {
    match code {
        401 | 407 => Problem::WrongPassword,
        403 => Problem::Forbidden,
        404 | 410 => Problem::NotFound,
        408 => Problem::NoAnswer,
        500..=699 => Problem::ServerError,
        _ => Problem::Rejected,
    }
}

/// The addresses that were found, as one line.
fn words_of(found: &[(&Place, SipTargets)]) -> String {
    let all = found.iter().flat_map(|(_, targets)| targets);
    let all: Vec<_> = all.map(|target| target.address.to_string()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> SipTarget {
        SipTarget {
            transport: Transport::Udp,
            address: ([192, 0, 2, 1], port).into(),
        }
    }

    #[test]
    fn any_answer_of_any_peer_says_that_the_pbx_is_there() {
        let alive = PeerState::Alive { code: 405 };
        let peers = [(target(1), PeerState::Silent), (target(2), alive)];
        let (words, facts) = of_peers(&peers).unwrap().unwrap();
        assert_eq!((words.as_str(), facts.code), ("405 to OPTIONS", Some(405)));
        assert_eq!(facts.address.as_deref(), Some("192.0.2.1:2"));
        let busy = PeerState::Busy { retry_after: None };
        let (_, facts) = of_peers(&[(target(1), busy)]).unwrap().unwrap();
        assert_eq!(facts.code, Some(503));
    }

    #[test]
    fn peers_are_waited_for_until_the_last_has_failed() {
        let unknown = PeerState::Unknown;
        assert!(of_peers(&[]).is_none());
        assert!(of_peers(&[(target(1), PeerState::Silent), (target(2), unknown)]).is_none());
        let problem = |states: &[PeerState]| {
            let peers: Vec<_> = states.iter().map(|state| (target(1), *state)).collect();
            of_peers(&peers).unwrap().unwrap_err().problem
        };
        assert_eq!(problem(&[PeerState::Silent]), Problem::NoAnswer);
        assert_eq!(problem(&[PeerState::Unreachable]), Problem::Refused);
        let mixed = [PeerState::Unreachable, PeerState::Silent];
        assert_eq!(problem(&mixed), Problem::NoAnswer);
    }

    #[test]
    fn states_of_a_registration_become_codes() {
        let failed = |code| RegistrationState::Failed {
            code,
            words: "words".to_owned(),
            retry: Duration::from_secs(30),
        };
        for (code, problem) in [
            (403, Problem::Forbidden),
            (404, Problem::NotFound),
            (408, Problem::NoAnswer),
            (423, Problem::Rejected),
            (500, Problem::ServerError),
            (503, Problem::ServerError),
            (603, Problem::ServerError),
        ] {
            let failed = of_registration(&failed(code)).unwrap().unwrap_err();
            assert_eq!((failed.problem, failed.facts.code), (problem, Some(code)));
        }
        let wrong = RegistrationState::AuthenticationFailed {
            words: "words".to_owned(),
        };
        let failed = of_registration(&wrong).unwrap().unwrap_err();
        assert_eq!(failed.problem, Problem::WrongPassword);
        assert!(of_registration(&RegistrationState::Registering).is_none());
        let registered = RegistrationState::Registered { expires: 60 };
        assert!(of_registration(&registered).unwrap().is_ok());
    }

    #[test]
    fn without_a_pbx_there_is_nothing_to_try() {
        let settings = Config::default();
        let report = try_pbx(
            &settings,
            &settings.trunks[0],
            false,
            &Clock::start(Arc::default()),
        );
        assert!(!report.ok);
        assert_eq!(report.steps[0].problem, Some(Problem::BadSettings));
        assert_eq!(report.steps[0].facts.field, Some("proxyIp"));
    }
}
