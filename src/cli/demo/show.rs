//! The demonstration's call, seen from both ends: a caller on one side, a viewer on the other, and
//! a line a second of what they count.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::test_caller::{CallOptions, CallState, Caller, CallerStats};
use crate::cli::viewer::{Viewer, ViewerStats};

/// The number that is dialled.
pub const NUMBER: &str = "1001";

/// The application of the local play-out.
pub const APP: &str = "live";

/// From the answer to the caller's first packet: time for the viewer to come in, so that it sees
/// the call from its first picture on.
const MEDIA_AFTER: Duration = Duration::from_millis(300);

/// How long the end of the call may take.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// Where the gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// SIP over UDP.
    pub sip: SocketAddr,
    /// RTMP play-out.
    pub rtmp: SocketAddr,
}

impl Stage {
    /// What a player is given.
    pub fn watch_url(&self) -> String {
        format!("rtmp://{}/{APP}/{}", self.rtmp, stream())
    }
}

/// The stream's name by the default pattern.
fn stream() -> String {
    format!("rtmp_{NUMBER}")
}

/// Makes a call of `seconds`, telling `out` how it goes; whether frames came out of RTMP as they
/// should.
pub fn show(stage: &Stage, seconds: u64, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(
        out,
        "SIP    {} over UDP; the test caller dials {NUMBER}",
        stage.sip
    )?;
    writeln!(out, "watch  ffplay {}", stage.watch_url())?;
    writeln!(out)?;
    let mut viewer = Viewer::watch(stage.rtmp, APP, &stream())?;
    let options = CallOptions {
        media_after: MEDIA_AFTER,
        ..CallOptions::default()
    };
    let caller = Caller::place(stage.sip, NUMBER, options)?;
    let began = Instant::now();
    let mut before = 0;
    for second in 1..=seconds {
        let next = began + Duration::from_secs(second);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let (sent, seen) = (caller.stats(), viewer.stats());
        writeln!(
            out,
            "{}",
            progress(second, &sent, &seen, seen.measure.bytes - before)
        )?;
        out.flush()?;
        before = seen.measure.bytes;
        if matches!(sent.state, CallState::Ended(_)) {
            break;
        }
    }
    let during = caller.stats();
    // What is counted after the end would be the next attempt to play.
    let seen = viewer.stats();
    caller.hang_up();
    caller.wait_ended(END_PATIENCE);
    viewer.stop();
    summary(&caller.stats(), &seen, out)?;
    let faults = faults(&during, &seen);
    for fault in &faults {
        writeln!(out, "FAILED: {fault}")?;
    }
    if faults.is_empty() {
        writeln!(out, "The call came out of RTMP whole.")?;
    }
    Ok(faults.is_empty())
}

/// One line of progress; `bytes` came in the last second.
fn progress(second: u64, sent: &CallerStats, seen: &ViewerStats, bytes: u64) -> String {
    let measure = &seen.measure;
    let skew = measure
        .skew
        .map_or("-".to_owned(), |skew| format!("{skew:+} ms"));
    format!(
        "{second:>3} s  {:<12} RTP {:>5} packets {:>4} frames   RTMP {:>4} frames {:>4} audio \
         {:>4} kbit/s   skew {skew}",
        state(&sent.state),
        sent.audio_packets + sent.video_packets,
        sent.video_frames,
        measure.video,
        measure.audio,
        bytes * 8 / 1_000,
    )
}

fn state(state: &CallState) -> &str {
    match state {
        CallState::Calling => "calling",
        CallState::Ringing => "ringing",
        CallState::Established => "established",
        CallState::Ended(words) => words,
    }
}

fn summary(sent: &CallerStats, seen: &ViewerStats, out: &mut dyn Write) -> io::Result<()> {
    let measure = &seen.measure;
    let millis = |time: Option<Duration>| match time {
        Some(time) => format!("{:.1} ms", time.as_secs_f64() * 1_000.0),
        None => "never".to_owned(),
    };
    writeln!(out)?;
    writeln!(
        out,
        "call       answered after {}; {}",
        millis(sent.set_up),
        state(&sent.state)
    )?;
    writeln!(
        out,
        "in         {} frames in {} video packets, {} audio packets; {} lost by RTCP reports",
        sent.video_frames,
        sent.video_packets,
        sent.audio_packets,
        sent.video_lost
            .max(0)
            .saturating_add(sent.audio_lost.max(0)),
    )?;
    writeln!(
        out,
        "back       {} packets of silence, {} RTCP reports, {} keyframe requests",
        sent.received_packets,
        sent.reports_received,
        sent.picture_loss + sent.full_intra + sent.info_keyframes,
    )?;
    writeln!(
        out,
        "out        {} frames, {} of them keyframes, {} audio messages, {} kB; first frame after {}",
        measure.video,
        measure.keyframes,
        measure.audio,
        measure.bytes / 1_000,
        millis(delay(sent, seen)),
    )?;
    match measure.worst_skew {
        Some(skew) => writeln!(
            out,
            "lip-sync   flash and beep at most {} ms apart",
            skew.abs()
        )?,
        None => writeln!(
            out,
            "lip-sync   not measured: no whole group of pictures with its beep"
        )?,
    }
    writeln!(out)
}

/// From the first packet in to the first frame out.
fn delay(sent: &CallerStats, seen: &ViewerStats) -> Option<Duration> {
    Some(
        seen.first_picture?
            .saturating_duration_since(sent.media_began?),
    )
}

/// What is wrong with a call of which this was sent and that was seen; nothing for a good one.
fn faults(sent: &CallerStats, seen: &ViewerStats) -> Vec<String> {
    let mut faults = Vec::new();
    let measure = &seen.measure;
    if sent.state != CallState::Established {
        faults.push(format!("the call is not up: {}", state(&sent.state)));
    }
    // Half of them: some are on the way, and a viewer that comes late waits for a keyframe.
    if measure.video == 0 || measure.video < sent.video_frames / 2 {
        let (came, went) = (measure.video, sent.video_frames);
        faults.push(format!("{came} frames of {went} came out of RTMP"));
    }
    if measure.audio == 0 || measure.audio < sent.audio_packets / 2 {
        let (came, went) = (measure.audio, sent.audio_packets);
        faults.push(format!("{came} audio packets of {went} came out of RTMP"));
    }
    if measure.began_well == Some(false) {
        faults.push("the first frame was no keyframe with a sequence header before it".into());
    }
    if measure.backward > 0 {
        faults.push(format!(
            "{} messages whose time did not rise",
            measure.backward
        ));
    }
    if let Some(error) = seen.last_error.as_ref().filter(|_| measure.video == 0) {
        faults.push(format!("the viewer's last attempt ended: {error}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (CallerStats, ViewerStats) {
        let sent = CallerStats {
            state: CallState::Established,
            video_frames: 100,
            audio_packets: 200,
            ..CallerStats::default()
        };
        let mut seen = ViewerStats::default();
        seen.measure.video = 98;
        seen.measure.audio = 196;
        seen.measure.began_well = Some(true);
        (sent, seen)
    }

    #[test]
    fn a_call_that_came_out_has_no_fault() {
        let (sent, seen) = good();
        assert_eq!(faults(&sent, &seen), [""; 0]);
    }

    #[test]
    fn each_thing_missing_is_a_fault_of_its_own() {
        let with = |change: &dyn Fn(&mut CallerStats, &mut ViewerStats)| {
            let (mut sent, mut seen) = good();
            change(&mut sent, &mut seen);
            faults(&sent, &seen)
        };
        let all = [
            with(&|sent, _| sent.state = CallState::Ended("answered with 503".into())),
            with(&|_, seen| seen.measure.video = 0),
            with(&|_, seen| seen.measure.video = 49),
            with(&|_, seen| seen.measure.audio = 0),
            with(&|_, seen| seen.measure.began_well = Some(false)),
            with(&|_, seen| seen.measure.backward = 1),
        ];
        for faults in &all {
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
        assert_eq!(all[0], ["the call is not up: answered with 503"]);
    }

    #[test]
    fn without_a_gateway_the_demonstration_fails_and_says_so() {
        // Bound and silent, so that nobody else answers there.
        let sip = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let rtmp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stage = Stage {
            sip: sip.local_addr().unwrap(),
            rtmp: rtmp.local_addr().unwrap(),
        };
        drop(rtmp);
        let mut text = Vec::new();
        assert!(!show(&stage, 1, &mut text).unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("  1 s  calling"), "{text}");
        assert!(
            text.contains("FAILED: the call is not up: calling"),
            "{text}"
        );
        assert!(text.contains(&format!("ffplay {}", stage.watch_url())));
    }
}
