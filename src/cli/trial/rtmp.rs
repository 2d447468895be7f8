//! The trial of an RTMP server: its name, the way there, and two seconds of the demonstration's clip,
//! really published by a gateway of our own.
//!
//! A server that ends the stream while both tracks flow is tried with each of them alone, which tells
//! what it did not take.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::reach::{facts_of, look_up, reach};
use super::report::{Facts, Failed, Note, Problem, Report};
use super::stage::Stage;
use crate::base::codec::{Codec, CodecSet, Track};
use crate::base::network::{Network, Transport};
use crate::base::redact::Secret;
use crate::cli::test_caller::{CallOptions, CallState, Caller};
use crate::gateway::Gateway;
use crate::gateway::config::{Config, MediaAddress, StreamName, Trunk};
use crate::rtmp::{
    LeftOut, PublishFailure, PublishFault, PublishStep, Publisher, RtmpStatus, WhyLeftOut,
};
use crate::shell::dns::SipHost;
use crate::shell::tls::{Servers, Trust};
use crate::sip::SipTarget;
use crate::wire::rtmp_url::RtmpUrl;

/// What the stream is called where its name depends on the call.
const STREAM: &str = "trunkcast_test";

/// The number that the test dials.
const NUMBER: &str = "test";

/// How long the clip is published.
const CLIP: Duration = Duration::from_secs(2);

/// How long the server may take until it accepts the stream.
const ACCEPT: Duration = Duration::from_secs(6);

/// How long a name that the test itself had just now may stay in use.
const NAME_FREE: Duration = Duration::from_secs(2);

/// How long the call inside this process may take.
const CALL: Duration = Duration::from_secs(3);

/// How long the end of it may take.
const CALL_END: Duration = Duration::from_millis(200);

/// Frames of a track that are enough to say that it flows.
const FLOWING: u64 = 10;

/// What one publication came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It lasted as long as it should.
    Played(Played),
    /// The server ended it, or would not have it.
    Refused {
        failure: PublishFailure,
        words: String,
        /// From the server's consent on, where it gave it.
        lasted: Option<Duration>,
    },
    /// The server did not get as far in time.
    Late(PublishStep),
    /// This box could not do it, in words.
    Failed(String),
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Played {
    /// From the beginning to the server's consent.
    accepted: Duration,
    video: Flow,
    audio: Flow,
    /// What the server takes.
    takes: CodecSet,
}

/// One track of what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Flow {
    frames: u64,
    left_out: Option<LeftOut>,
    /// It was not agreed on: a server of this kind is known not to take it.
    refused: bool,
}

/// Which tracks are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracks {
    Both,
    Only(Track),
}

impl Tracks {
    fn has(self, track: Track) -> bool {
        self == Self::Both || self == Self::Only(track)
    }
}

/// Tries the RTMP server of a trunk. `is_live` says that a call publishes there under the same name
/// now: a server may end that stream for another one, so nothing is published.
pub fn try_rtmp(settings: &Config, trunk: &Trunk, is_live: bool, clock: &Clock) -> Report {
    let mut report = Report::default();
    let Some(url) = &trunk.url else {
        let facts = Facts {
            field: Some("url"),
            ..Facts::default()
        };
        let none = Failed::new(Problem::BadSettings, "no RTMP address is named").with(facts);
        report.add("lookup", Instant::now(), Err(none));
        return report.finish();
    };
    let began = Instant::now();
    let host = SipHost {
        name: url.host().to_owned(),
        port: Some(url.port()),
        transport: Some(transport(url)),
    };
    let (targets, result) = match look_up(&host, clock) {
        Ok(targets) => {
            let all: Vec<_> = targets.iter().map(|t| t.address.to_string()).collect();
            (targets, Ok((all.join(", "), Facts::default())))
        }
        Err(failed) => (Default::default(), Err(failed)),
    };
    if !report.add("lookup", began, result) {
        return report.finish();
    }
    let began = Instant::now();
    let reached = connect(settings, url, &targets, clock);
    let connected = began.elapsed();
    let target = match reached {
        Ok(target) => target,
        Err(failed) => {
            report.add_timed("connect", connected, Err(failed));
            return report.finish();
        }
    };
    let there = || Ok((target.address.to_string(), facts_of(&target)));
    if is_live {
        report.add_timed("connect", connected, there());
        let facts = Facts {
            note: Some(Note::Live),
            ..Facts::default()
        };
        let words = "a call is published there now".to_owned();
        report.add_timed("publish", Duration::ZERO, Ok((words, facts)));
        return report.finish();
    }
    let outcome = publish(settings, trunk, url, Tracks::Both, clock);
    let took = began.elapsed();
    match outcome {
        Outcome::Played(played) => {
            report.add_timed("connect", connected, there());
            report.add_timed("publish", played.accepted, accepted());
            tracks(&mut report, trunk, &played);
        }
        Outcome::Refused {
            failure,
            words,
            lasted: Some(lasted),
        } => {
            report.add_timed("connect", connected, there());
            report.add_timed("publish", took.saturating_sub(lasted), accepted());
            one_by_one(
                &mut report,
                settings,
                trunk,
                url,
                clock,
                &Ended {
                    failure,
                    words,
                    lasted,
                },
            );
        }
        Outcome::Refused { failure, words, .. } => {
            let failed = Failed::new(problem_of(failure), words).with(facts_of(&target));
            refuse(&mut report, failure.step, connected, took, there(), failed);
        }
        Outcome::Late(step) => {
            let problem = match step {
                PublishStep::Handshake => Problem::NotRtmp,
                _ => Problem::NoAnswer,
            };
            let failed = Failed::new(problem, "the server does not go on in time");
            let failed = failed.with(facts_of(&target));
            refuse(&mut report, step, connected, took, there(), failed);
        }
        Outcome::Failed(words) => {
            report.add_timed("connect", connected, there());
            report.add_timed("publish", took, Err(Failed::new(Problem::Failed, words)));
        }
    }
    report.finish()
}

/// Whether a trial would publish where that stream goes now, under its name.
pub fn is_same_stream(trunk: &Trunk, url: &RtmpUrl, stream: &str) -> bool {
    let name = trunk.stream_name.fixed();
    let there = |other: &RtmpUrl| {
        (other.host(), other.port(), other.app()) == (url.host(), url.port(), url.app())
    };
    name.as_deref() == Some(stream) && trunk.url.as_ref().is_some_and(there)
}

/// A stream that the server ended after it had accepted it.
struct Ended {
    failure: PublishFailure,
    words: String,
    lasted: Duration,
}

fn accepted() -> Result<(String, Facts), Failed> {
    Ok((
        "the server accepted the stream".to_owned(),
        Facts::default(),
    ))
}

fn transport(url: &RtmpUrl) -> Transport {
    match url.is_tls() {
        true => Transport::Tls,
        false => Transport::Tcp,
    }
}

fn connect(
    settings: &Config,
    url: &RtmpUrl,
    targets: &[SipTarget],
    clock: &Clock,
) -> Result<SipTarget, Failed> {
    let ca_file = settings.rtmp_ca_file.as_ref().map(Into::into);
    let trust = url
        .is_tls()
        .then(|| Trust::new(Servers::Rtmp, ca_file, None));
    if let Some(Err(words)) = trust.as_ref().map(Trust::config) {
        let facts = Facts {
            field: Some("rtmp.caFile"),
            ..Facts::default()
        };
        return Err(Failed::new(Problem::BadSettings, words).with(facts));
    }
    let tls = trust.as_ref().map(|trust| (trust, url.host()));
    reach(targets, tls, clock)
}

/// Says that the server refused at a step, and that those before it succeeded.
fn refuse(
    report: &mut Report,
    step: PublishStep,
    connected: Duration,
    took: Duration,
    there: Result<(String, Facts), Failed>,
    failed: Failed,
) {
    match step {
        PublishStep::Connection | PublishStep::Handshake | PublishStep::Connect => {
            report.add_timed("connect", took, Err(failed));
        }
        PublishStep::Publish | PublishStep::Media => {
            report.add_timed("connect", connected, there);
            report.add_timed("publish", took.saturating_sub(connected), Err(failed));
        }
    }
}

/// Publishes each track alone, where the server ended a stream of both.
fn one_by_one(
    report: &mut Report,
    settings: &Config,
    trunk: &Trunk,
    url: &RtmpUrl,
    clock: &Clock,
    ended: &Ended,
) {
    let told = match ended.failure.fault {
        PublishFault::Codec(codec) => Some(codec.track()),
        // What it said is not about codecs.
        PublishFault::NameTaken | PublishFault::NotAllowed => {
            let problem = problem_of(ended.failure);
            let failed = Failed::new(problem, ended.words.as_str());
            report.steps.pop();
            report.add_timed("publish", ended.lasted, Err(failed));
            return;
        }
        _ => None,
    };
    // Sound is what servers refuse: picture alone is tried first.
    for alone in [Track::Video, Track::Audio] {
        let refused = match alone {
            Track::Video => Track::Audio,
            Track::Audio => Track::Video,
        };
        if told == Some(alone) {
            continue;
        }
        let began = Instant::now();
        if let Outcome::Played(played) = publish(settings, trunk, url, Tracks::Only(alone), clock) {
            let took = began.elapsed();
            let flow = match alone {
                Track::Video => &played.video,
                Track::Audio => &played.audio,
            };
            let alone = (step_of(alone), took, seen(alone, flow));
            let failed = refusal(refused, &ended.words);
            let refused = (step_of(refused), ended.lasted, Err(failed));
            let (first, second) = match alone.0 {
                "video" => (alone, refused),
                _ => (refused, alone),
            };
            report.add_timed(first.0, first.1, first.2);
            report.add_timed(second.0, second.1, second.2);
            return;
        }
    }
    let facts = Facts {
        seconds: Some(ended.lasted.as_secs()),
        ..Facts::default()
    };
    let failed = Failed::new(Problem::Closed, ended.words.as_str()).with(facts);
    report.add_timed("video", ended.lasted, Err(failed));
}

/// Says how the tracks of a stream that lasted did.
fn tracks(report: &mut Report, trunk: &Trunk, played: &Played) {
    for (track, flow) in [(Track::Video, &played.video), (Track::Audio, &played.audio)] {
        let result = match none_in_common(trunk, track, played.takes) {
            Some(failed) => Err(failed),
            None if flow.is_other() => Ok(other_codec(trunk, track, played.takes)),
            None => seen(track, flow),
        };
        report.add_timed(step_of(track), CLIP, result);
    }
}

impl Flow {
    /// Whether a server of this kind is known to take no such codec, so that nothing was tried.
    fn is_other(&self) -> bool {
        let by_profile = |out: LeftOut| out.why == WhyLeftOut::Profile;
        self.refused || self.left_out.is_some_and(by_profile)
    }
}

/// That a track goes to this kind of server in other codecs only than the clip's.
fn other_codec(trunk: &Trunk, track: Track, takes: CodecSet) -> (String, Facts) {
    let wanted = |codec: &Codec| {
        let codecs = trunk.codecs.as_ref();
        codec.track() == track && codecs.is_none_or(|codecs| codecs.contains(codec))
    };
    let names: Vec<_> = takes.iter().filter(wanted).map(Codec::name).collect();
    let names = names.join(", ");
    let words = format!("this kind of server takes {track} in {names} alone");
    let facts = Facts {
        codec: Some(names),
        note: Some(Note::OtherCodec),
        ..Facts::default()
    };
    (words, facts)
}

const fn step_of(track: Track) -> &'static str {
    match track {
        Track::Video => "video",
        Track::Audio => "audio",
    }
}

/// Whether a track flowed.
fn seen(track: Track, flow: &Flow) -> Result<(String, Facts), Failed> {
    if let Some(left_out) = flow.left_out {
        let facts = Facts {
            codec: Some(left_out.codec.name().to_owned()),
            ..Facts::default()
        };
        let words = left_out.to_string();
        return Err(Failed::new(refused_problem(track), words).with(facts));
    }
    if flow.frames < FLOWING {
        let words = format!("{} frames of {track} were sent", flow.frames);
        return Err(Failed::new(Problem::Failed, words));
    }
    Ok((format!("{} frames", flow.frames), Facts::default()))
}

const fn refused_problem(track: Track) -> Problem {
    match track {
        Track::Video => Problem::VideoRefused,
        Track::Audio => Problem::AudioRefused,
    }
}

/// That the server takes a stream without that track, and ended the one with it.
fn refusal(track: Track, words: &str) -> Failed {
    let codec = match track {
        Track::Video => Codec::H264,
        Track::Audio => Codec::Pcma,
    };
    Failed::new(refused_problem(track), words).with(Facts {
        codec: Some(codec.name().to_owned()),
        ..Facts::default()
    })
}

/// That the server takes none of the codecs of a track that calls of the trunk may have.
fn none_in_common(trunk: &Trunk, track: Track, takes: CodecSet) -> Option<Failed> {
    let codecs = trunk.codecs.as_ref()?.iter();
    let of_track: Vec<Codec> = codecs
        .filter(|codec| codec.track() == track)
        .copied()
        .collect();
    if of_track.is_empty() || of_track.iter().any(|codec| takes.contains(*codec)) {
        return None;
    }
    let names: Vec<_> = of_track.iter().map(|codec| codec.name()).collect();
    let names = names.join(", ");
    let problem = match track {
        Track::Video => Problem::NoVideoCodec,
        Track::Audio => Problem::NoAudioCodec,
    };
    Some(
        Failed::new(problem, format!("the server takes no {names}")).with(Facts {
            codec: Some(names),
            ..Facts::default()
        }),
    )
}

/// What a refusal means.
fn problem_of(failure: PublishFailure) -> Problem {
    use PublishFault as Fault;
    match (failure.step, failure.fault) {
        (_, Fault::Silent) => Problem::NoAnswer,
        (_, Fault::Credentials) => Problem::WrongPassword,
        (_, Fault::NameTaken) => Problem::StreamBusy,
        (_, Fault::NotAllowed) => Problem::StreamRefused,
        (_, Fault::NoApplication) => Problem::AppRefused,
        (_, Fault::Codec(codec)) => refused_problem(codec.track()),
        (PublishStep::Connection, _) => Problem::Closed,
        (PublishStep::Handshake, _) => Problem::NotRtmp,
        (PublishStep::Connect, _) => Problem::AppRefused,
        (PublishStep::Publish, _) => Problem::StreamRefused,
        (PublishStep::Media, _) => Problem::Closed,
    }
}

/// Publishes the clip for [`CLIP`], by a call of our own to a gateway of our own.
fn publish(
    settings: &Config,
    trunk: &Trunk,
    url: &RtmpUrl,
    tracks: Tracks,
    clock: &Clock,
) -> Outcome {
    let fixed = trunk.stream_name.fixed();
    let hidden = fixed.clone().unwrap_or_default();
    let loopback = Network::host(Ipv4Addr::LOCALHOST.into());
    let trial = Trunk {
        url: Some(url.clone()),
        sink: trunk.sink,
        stream_name: match fixed {
            Some(_) => trunk.stream_name.clone(),
            None => stream_name(),
        },
        allow: vec![loopback],
        media_timeout: None,
        session_timer: None,
        ..Trunk::new(&trunk.name, 0)
    };
    let mut settings = settings.clone();
    settings.media.address = MediaAddress::Fixed(Ipv4Addr::LOCALHOST.into());
    let stage = Stage::bind(trial, &settings, Secret::new(hidden), clock);
    let mut stage = match stage {
        Ok(stage) => stage,
        Err(failed) => return Outcome::Failed(failed.detail),
    };
    let options = CallOptions {
        user: NUMBER.to_owned(),
        audio: tracks.has(Track::Audio),
        video: tracks.has(Track::Video),
        ..CallOptions::default()
    };
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, stage.sip_port()));
    let caller = match Caller::place(target, NUMBER, options) {
        Ok(caller) => caller,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let outcome = watch(&mut stage, &caller, tracks);
    caller.hang_up();
    stage.end();
    if !caller.wait_ended(CALL_END) {
        // It goes on saying goodbye for half a minute, to nobody.
        let _ = std::thread::Builder::new().spawn(move || drop(caller));
    }
    outcome
}

fn stream_name() -> StreamName {
    STREAM.parse().unwrap_or_default()
}

/// Watches a call until the clip was published, or the server refused it.
fn watch(stage: &mut Stage, caller: &Caller, tracks: Tracks) -> Outcome {
    let began = Instant::now();
    let refused = |publisher: &Publisher, since: Option<Instant>| {
        let failure = publisher.failure()?;
        // A stream of ours that just ended may not have left its name yet.
        let waits = failure.fault == PublishFault::NameTaken
            && tracks != Tracks::Both
            && began.elapsed() < NAME_FREE;
        (!waits).then(|| Outcome::Refused {
            failure,
            words: publisher.reason().to_owned(),
            lasted: since
                .map(|since| since.elapsed())
                .or((failure.step == PublishStep::Media).then_some(Duration::ZERO)),
        })
    };
    let mut step = PublishStep::Connection;
    let accepted = stage.drive(ACCEPT, |gateway| {
        if let CallState::Ended(words) = caller.stats().state {
            return Some(Some(Outcome::Failed(words)));
        }
        let Some(publisher) = publisher(gateway) else {
            let late = began.elapsed() > CALL;
            return late.then(|| Some(Outcome::Failed("the call was not answered".to_owned())));
        };
        step = publisher.step();
        match publisher.status() {
            RtmpStatus::Active => Some(None),
            _ => refused(publisher, None).map(Some),
        }
    });
    match accepted {
        None => return Outcome::Late(step),
        Some(Some(outcome)) => return outcome,
        Some(None) => {}
    }
    let since = Instant::now();
    let ended = stage.drive(CLIP, |gateway| {
        let publisher = publisher(gateway)?;
        let is_active = publisher.status() == RtmpStatus::Active;
        (!is_active).then(|| refused(publisher, Some(since)))?
    });
    if let Some(outcome) = ended {
        return outcome;
    }
    if since.elapsed() < CLIP {
        return Outcome::Failed("the test was broken off".to_owned());
    }
    let mut played = None;
    stage.drive(Duration::ZERO, |gateway| {
        let publisher = publisher(gateway)?;
        let counters = publisher.media_counters();
        let call = gateway.calls().next()?;
        let flow = |track, frames| Flow {
            frames,
            left_out: publisher.left_out(track),
            refused: match track {
                Track::Audio => call.audio.refused.is_some(),
                Track::Video => call.video.refused.is_some(),
            },
        };
        played = Some(Played {
            accepted: since.saturating_duration_since(began),
            video: flow(Track::Video, counters.video_frames),
            audio: flow(Track::Audio, counters.audio_frames),
            takes: publisher.accepts(),
        });
        Some(())
    });
    match played {
        Some(played) => Outcome::Played(played),
        None => Outcome::Failed("the call ended".to_owned()),
    }
}

fn publisher(gateway: &Gateway) -> Option<&Publisher> {
    let call = gateway.calls().next()?;
    Some(&call.publishing.as_ref()?.publisher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_its_code() {
        use PublishFault as Fault;
        use PublishStep as Step;
        for (step, fault, problem) in [
            (Step::Handshake, Fault::Closed, Problem::NotRtmp),
            (Step::Handshake, Fault::Protocol, Problem::NotRtmp),
            (Step::Connect, Fault::Closed, Problem::AppRefused),
            (Step::Connect, Fault::Refused, Problem::AppRefused),
            (Step::Connect, Fault::Credentials, Problem::WrongPassword),
            (Step::Connect, Fault::NotAllowed, Problem::StreamRefused),
            (Step::Connect, Fault::Silent, Problem::NoAnswer),
            (Step::Publish, Fault::Closed, Problem::StreamRefused),
            (Step::Publish, Fault::NameTaken, Problem::StreamBusy),
            (Step::Publish, Fault::NoApplication, Problem::AppRefused),
            (
                Step::Publish,
                Fault::Codec(Codec::Pcma),
                Problem::AudioRefused,
            ),
            (
                Step::Publish,
                Fault::Codec(Codec::H264),
                Problem::VideoRefused,
            ),
            (Step::Media, Fault::Closed, Problem::Closed),
            (Step::Media, Fault::NotAllowed, Problem::StreamRefused),
        ] {
            assert_eq!(
                problem_of(PublishFailure { step, fault }),
                problem,
                "{step:?}"
            );
        }
    }

    #[test]
    fn a_refusal_belongs_to_the_step_at_which_it_came() {
        let steps = |step| {
            let mut report = Report::default();
            let failed = Failed::new(Problem::AppRefused, "words");
            let times = (Duration::from_millis(5), Duration::from_millis(9));
            refuse(&mut report, step, times.0, times.1, accepted(), failed);
            let steps = report
                .steps
                .iter()
                .map(|step| (step.step, step.ok, step.ms));
            steps.collect::<Vec<_>>()
        };
        assert_eq!(steps(PublishStep::Connect), [("connect", false, 9)]);
        let expected = [("connect", true, 5), ("publish", false, 4)];
        assert_eq!(steps(PublishStep::Publish), expected);
    }

    #[test]
    fn a_track_is_judged_by_the_codecs_that_calls_may_have() {
        let mut trunk = Trunk::new("office", 40_000);
        let takes = CodecSet::of(&[Codec::H264, Codec::Aac]);
        assert!(none_in_common(&trunk, Track::Audio, takes).is_none());
        trunk.codecs = Some(vec![Codec::H264, Codec::Opus, Codec::Pcma]);
        assert!(none_in_common(&trunk, Track::Video, takes).is_none());
        let failed = none_in_common(&trunk, Track::Audio, takes).unwrap();
        assert_eq!(failed.problem, Problem::NoAudioCodec);
        assert_eq!(failed.facts.codec.as_deref(), Some("Opus, G.711 A-law"));
        trunk.codecs = Some(vec![Codec::H264]);
        assert!(
            none_in_common(&trunk, Track::Audio, takes).is_none(),
            "no sound is wanted"
        );
    }

    #[test]
    fn tracks_that_did_not_flow_are_told() {
        let mut flow = Flow {
            frames: 50,
            ..Flow::default()
        };
        assert!(seen(Track::Video, &flow).is_ok());
        flow.left_out = Some(LeftOut {
            codec: Codec::Pcma,
            why: WhyLeftOut::Refused,
        });
        let failed = seen(Track::Audio, &flow).unwrap_err();
        assert_eq!(failed.problem, Problem::AudioRefused);
        assert!(!flow.is_other());
        flow.left_out = Some(LeftOut {
            codec: Codec::Pcma,
            why: WhyLeftOut::Profile,
        });
        assert!(flow.is_other());
        assert!(seen(Track::Video, &Flow::default()).is_err());
    }

    #[test]
    fn a_stream_is_the_same_by_server_and_name() {
        let mut trunk = Trunk::new("office", 40_000);
        let url: RtmpUrl = "rtmp://host/app?token=1".parse().unwrap();
        trunk.url = Some("rtmp://host:1935/app".parse().unwrap());
        assert!(
            !is_same_stream(&trunk, &url, "rtmp_100"),
            "each call has its own"
        );
        trunk.stream_name = "key".parse().unwrap();
        assert!(is_same_stream(&trunk, &url, "key"));
        assert!(!is_same_stream(&trunk, &url, "other"));
        trunk.url = Some("rtmp://host/other".parse().unwrap());
        assert!(!is_same_stream(&trunk, &url, "key"));
    }
}
