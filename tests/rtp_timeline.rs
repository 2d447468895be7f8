//! The call's clock on virtual time: right from the first packet, refined by sender reports without a
//! step, and undisturbed by drift, wraps, pauses and senders that err.

mod rtp_support;
#[path = "rtp_timeline/sources.rs"]
mod sources;

use std::rc::Rc;

use sources::*;
use trunkcast::base::codec::{CodecConfig, H264Config, ParameterSet, Track};
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, MediaTime, NtpTime};
use trunkcast::rtp::call_clock::{CallClock, ClockCounters};

fn h264(sps: &[u8]) -> Rc<CodecConfig> {
    Rc::new(CodecConfig::H264(H264Config {
        sps: ParameterSet::from_slice(sps).unwrap(),
        pps: heapless::Vec::new(),
        width: 16,
        height: 16,
    }))
}

/// In microseconds.
const HOUR: i64 = 3_600_000_000;

#[test]
fn times_are_right_from_the_first_packet_without_reports() {
    let mut clock = CallClock::new();
    let out = run(&mut clock, &[audio(), video()], 0, 2_000_000, 1);
    for (at, frame) in out.audio.iter().enumerate() {
        assert_eq!(frame.time, at as i64 * 20_000);
    }
    assert!(
        out.video
            .iter()
            .all(|frame| (frame.time - frame.at).abs() <= 12)
    );
    assert_eq!(clock.counters(), &ClockCounters::default());
}

#[test]
fn flash_and_beep_stay_together_with_and_without_reports() {
    for reports in [None, Some(4_500_000)] {
        for audio_starts in [0, 250_000, 3_000_000] {
            for jitter in [0, 15_000] {
                let sources = [
                    Source {
                        starts: audio_starts,
                        jitter,
                        reports,
                        ..audio()
                    },
                    Source {
                        jitter,
                        reports,
                        ..video()
                    },
                ];
                let mut clock = CallClock::new();
                let out = run(&mut clock, &sources, 0, 60_000_000, 7);
                let skew = out.worst_skew(audio_starts);
                assert!(
                    skew <= 20_000,
                    "{reports:?} {audio_starts} {jitter}: {skew}"
                );
                assert!(out.published <= 20_000);
                assert_eq!(clock.is_reported(), reports.is_some());
            }
        }
    }
}

#[test]
fn an_hour_of_drift_either_way_is_followed() {
    for reports in [None, Some(4_500_000)] {
        for (audio_ppm, video_ppm) in [(200, 0), (-200, 0), (0, 200), (200, -200), (-200, 200)] {
            let sources = [
                Source {
                    ppm: audio_ppm,
                    reports,
                    ..audio()
                },
                Source {
                    ppm: video_ppm,
                    reports,
                    ..video()
                },
            ];
            let mut clock = CallClock::new();
            let out = run(&mut clock, &sources, 0, 3_600_000_000, 3);
            let skew = out.worst_skew(0);
            assert!(skew <= 6_000, "{audio_ppm} {video_ppm} {reports:?}: {skew}");
            // Neither runs away from arrival.
            let last = out.audio.last().unwrap();
            assert!((last.time - last.at).abs() <= 6_000);
            assert_eq!(clock.counters().jumps, 0);
        }
    }
}

#[test]
fn reports_are_slewed_to_by_5_ms_a_second_and_never_in_a_step() {
    // An encoder that takes 120 ms: arrival puts the picture late by as much.
    let reports = Some(4_500_000);
    let sources = [
        Source { reports, ..audio() },
        Source {
            delay: 150_000,
            reports,
            ..video()
        },
    ];
    let mut clock = CallClock::new();
    let out = run(&mut clock, &sources, 0, 60_000_000, 1);
    let skews = out.skews(0);
    assert!(skews[0] > 110_000);
    assert!(
        skews
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= 5_300),
        "{skews:?}"
    );
    assert!(
        skews[45..].iter().all(|skew| skew.abs() <= 2_000),
        "{skews:?}"
    );
    for pair in out.video.windows(2) {
        let step = (pair[1].time - pair[0].time) - (pair[1].at - pair[0].at);
        assert!(step.abs() <= 33_333 / 200 + 24, "{step}");
    }
}

#[test]
fn a_report_before_the_first_frame_starts_the_track_right() {
    let mut clock = CallClock::new();
    run(
        &mut clock,
        &[Source {
            reports: Some(1_000_000),
            ..audio()
        }],
        0,
        4_000_000,
        1,
    );
    let video = Source {
        delay: 150_000,
        starts: 4_000_000,
        ..video()
    };
    clock.handle_sender_report(
        Track::Video,
        instant(4_140_000),
        ntp(4_000_000),
        video.rtp(4_000_000),
    );
    let out = run(&mut clock, &[audio(), video], 4_000_000, 6_000_000, 1);
    assert!(
        out.worst_skew(4_000_000) <= 1_000,
        "{:?}",
        out.skews(4_000_000)
    );
    assert!(clock.is_reported());
}

#[test]
fn reports_that_are_plainly_wrong_change_nothing() {
    let mut clock = CallClock::new();
    let reports = Some(4_500_000);
    let sources = [Source { reports, ..audio() }, Source { reports, ..video() }];
    run(&mut clock, &sources, 0, 20_000_000, 1);
    let at = instant(20_050_000);
    let rtp = video().rtp(20_000_000);
    clock.handle_sender_report(Track::Video, at, ntp(20_000_000), rtp);
    let believed = clock.counters().reports;
    let at = instant(20_250_000);
    let rtp = video().rtp(20_200_000);
    for (wall, rtp_timestamp) in [
        (NtpTime(0), rtp),
        // The wall clock goes back a little and a lot, and far ahead.
        (ntp(19_700_000), rtp),
        (ntp(5_000_000), rtp),
        (ntp(900_000_000), rtp),
        // The RTP time is a minute off.
        (ntp(20_200_000), rtp.wrapping_add(60 * VIDEO_RATE)),
    ] {
        clock.handle_sender_report(Track::Video, at, wall, rtp_timestamp);
    }
    assert_eq!(clock.counters().reports_ignored, 5);
    assert_eq!(clock.counters().reports, believed);
    assert!(clock.is_reported());
    let out = run(&mut clock, &[audio(), video()], 20_260_000, 40_000_000, 1);
    assert!(out.worst_skew(20_260_000) <= 2_000);
}

#[test]
fn reports_that_contradict_arrival_are_ignored_and_counted() {
    // The picture's wall clock is another one than the voice's.
    let mut clock = CallClock::new();
    run(&mut clock, &[audio(), video()], 0, 1_000_000, 1);
    let (voice, picture) = (audio().rtp(1_000_000), video().rtp(1_000_000));
    let now = instant(1_030_000);
    clock.handle_sender_report(Track::Audio, now, ntp(1_000_000), voice);
    clock.handle_sender_report(Track::Video, now, ntp(9_000_000), picture);
    assert!(!clock.is_reported());
    assert_eq!(clock.counters().reports_ignored, 1);
    let out = run(&mut clock, &[audio(), video()], 1_020_000, 20_000_000, 1);
    assert!(out.worst_skew(1_020_000) <= 1_000);
}

#[test]
fn a_wall_clock_that_was_set_is_believed_again_without_a_wobble() {
    let mut clock = CallClock::new();
    let (audio, video) = (audio(), video());
    let mut out = Run::default();
    for second in 0..60 {
        let at = second * 1_000_000;
        let part = run(
            &mut clock,
            &[audio.clone(), video.clone()],
            at,
            at + 1_000_000,
            1,
        );
        out.audio.extend(part.audio);
        out.video.extend(part.video);
        if second % 5 == 4 {
            // Set back by half a minute at 22 seconds.
            let set = if second > 22 { -30_000_000 } else { 0 };
            for source in [&audio, &video] {
                let rtp = source.rtp(at);
                clock.handle_sender_report(source.track, instant(at), ntp(at + set), rtp);
            }
        }
    }
    assert_eq!(clock.counters().reports_ignored, 2);
    assert!(clock.is_reported());
    assert!(out.worst_skew(0) <= 1_000, "{:?}", out.skews(0));
}

#[test]
fn what_reports_told_is_kept_when_they_end_with_their_source() {
    let reports = Some(2_000_000);
    let voice = Source { reports, ..audio() };
    let picture = Source {
        delay: 100_000,
        reports,
        ..video()
    };
    let mut clock = CallClock::new();
    run(&mut clock, &[voice, picture], 0, 40_000_000, 1);
    clock.source_changed(Track::Video);
    let picture = Source {
        delay: 100_000,
        base: 77,
        ..video()
    };
    let out = run(&mut clock, &[audio(), picture], 40_000_000, 80_000_000, 1);
    assert!(!clock.is_reported());
    assert!(
        out.worst_skew(40_000_000) <= 5_000,
        "{:?}",
        out.skews(40_000_000)
    );
}

#[test]
fn another_source_continues_the_running_clock() {
    let mut clock = CallClock::new();
    let mut before = run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
    clock.source_changed(Track::Audio);
    clock.source_changed(Track::Video);
    let sources = [
        Source { base: 5, ..audio() },
        Source {
            base: 0x8000_0000,
            ..video()
        },
    ];
    let after = run(&mut clock, &sources, 10_000_000, 20_000_000, 2);
    for (before, after, spacing) in [
        (&before.audio, &after.audio, 20_000),
        (&before.video, &after.video, 33_333),
    ] {
        let gap = after[0].time - before.last().unwrap().time;
        assert!(gap > 0 && gap <= spacing + 12, "{gap}");
    }
    before.audio.extend(after.audio);
    before.video.extend(after.video);
    assert!(before.worst_skew(0) <= 1_000);
    assert_eq!(clock.counters().sources, 2);
    assert_eq!(clock.counters().jumps, 0);
}

#[test]
fn a_source_changed_before_any_frame_is_nothing() {
    let mut clock = CallClock::new();
    clock.source_changed(Track::Video);
    let out = run(&mut clock, &[video()], 0, 1_000_000, 1);
    assert_eq!(out.video[0].time, 0);
}

#[test]
fn timestamps_that_jump_are_anchored_to_the_running_clock() {
    for jump in [-60, -1, 1, 30, 20_000] {
        let mut clock = CallClock::new();
        let mut out = run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
        let ticks = jump * i64::from(VIDEO_RATE);
        let jumped = Source {
            base: video().base.wrapping_add(ticks as u32),
            ..video()
        };
        let after = run(&mut clock, &[audio(), jumped], 10_000_000, 20_000_000, 1);
        let spacing = after.video[2].time - after.video[1].time;
        assert!((spacing - 33_333).abs() <= 200, "{jump} s: {spacing}");
        out.audio.extend(after.audio);
        out.video.extend(after.video);
        assert!(out.worst_skew(0) <= 1_000, "{jump} s: {:?}", out.skews(0));
        assert_eq!(clock.counters().jumps, 1, "{jump} s");
    }
}

#[test]
fn a_frame_out_of_order_is_moved_up_and_counted() {
    let mut clock = CallClock::new();
    let mut times = Vec::new();
    for (at, frame) in [0_u32, 3, 1, 2, 4].into_iter().enumerate() {
        let received = instant(at as i64 * 33_333);
        times.push(clock.frame_time(Track::Video, frame * 3_000, VIDEO_RATE, received));
    }
    let micros: Vec<_> = times.iter().map(|time| time.as_micros()).collect();
    assert!((micros[1] - 100_000).abs() < 1_000, "{micros:?}");
    assert_eq!(micros[2] - micros[1], 1_000);
    assert_eq!(micros[3] - micros[2], 1_000);
    assert!((micros[4] - 133_333).abs() < 1_000, "{micros:?}");
    assert_eq!(clock.counters().clamped, 2);
    assert_eq!(clock.counters().jumps, 0);
}

#[test]
fn a_clock_that_stood_during_hold_is_caught_up() {
    // After a short hold it may have been the network; after a long one it is sure at once.
    for (hold, caught_up) in [(5, 1_100_000), (60, 0)] {
        let mut clock = CallClock::new();
        run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
        // The voice alone was on hold, and its timestamps know nothing of it.
        let end = 10_000_000 + hold * 1_000_000;
        let gone = hold as u32 * AUDIO_RATE;
        let voice = Source {
            base: audio().base.wrapping_sub(gone),
            ..audio()
        };
        run(&mut clock, &[video()], 10_000_000, end, 1);
        let out = run(&mut clock, &[voice, video()], end, end + 10_000_000, 1);
        assert!(
            out.worst_skew(end + caught_up) <= 1_000,
            "{hold} s: {:?}",
            out.skews(end)
        );
        assert_eq!(clock.counters().jumps, 1);
    }
}

#[test]
fn jitter_does_not_pull_a_track_along() {
    // The earliest packets count: jitter of the voice alone is no skew.
    let sources = [
        Source {
            jitter: 19_000,
            ..audio()
        },
        video(),
    ];
    let mut clock = CallClock::new();
    let out = run(&mut clock, &sources, 0, 60_000_000, 9);
    assert!(
        out.worst_skew(10_000_000) <= 2_000,
        "{:?}",
        out.skews(10_000_000)
    );
}

#[test]
fn a_network_that_stalls_and_delivers_late_moves_nothing() {
    let mut clock = CallClock::new();
    let times: Vec<_> = (0..500_i64)
        .map(|frame| {
            let sent = frame * 20_000;
            // From 4 to 7 seconds nothing comes; then all of it at once.
            let arrival = if (4_000_000..7_000_000).contains(&sent) {
                7_000_000
            } else {
                sent
            };
            clock.frame_time(
                Track::Audio,
                frame as u32 * 160,
                AUDIO_RATE,
                instant(arrival),
            )
        })
        .collect();
    for (frame, time) in times.iter().enumerate() {
        let off = time.as_micros() - frame as i64 * 20_000;
        assert!(off.abs() <= 1_000, "frame {frame}: {off}");
    }
    assert_eq!(clock.counters().jumps, 0);
}

#[test]
fn a_first_picture_that_comes_late_does_not_hold_the_others_back() {
    let mut clock = CallClock::new();
    let mut out = Run::default();
    for frame in 0..1_000_i64 {
        let at = frame * 20_000;
        let time = clock.frame_time(Track::Audio, frame as u32 * 160, AUDIO_RATE, instant(at));
        out.audio.push(Out {
            at,
            time: time.as_micros(),
        });
        // The encoder needs 400 ms for its first picture and has caught up after ten.
        let arrival = at + (400_000 - frame * 40_000).max(0);
        let rtp = frame as u32 * 1_800;
        let time = clock.frame_time(Track::Video, rtp, VIDEO_RATE, instant(arrival));
        out.video.push(Out {
            at,
            time: time.as_micros(),
        });
    }
    assert!(out.worst_skew(1_000_000) <= 81_000, "{:?}", out.skews(0));
    assert!(out.worst_skew(14_000_000) <= 20_000, "{:?}", out.skews(0));
}

#[test]
fn lateness_that_both_tracks_share_is_no_skew() {
    // 60 ms of jitter on the first packets only.
    let mut clock = CallClock::new();
    let late = |source: Source| Source {
        delay: 90_000,
        ..source
    };
    run(&mut clock, &[late(audio())], 0, 60_000, 1);
    let out = run(&mut clock, &[audio(), video()], 60_000, 30_000_000, 1);
    assert!(out.worst_skew(60_000) <= 20_000, "{:?}", out.skews(60_000));
}

#[test]
fn a_new_clock_rate_is_another_source() {
    let mut clock = CallClock::new();
    let before = run(&mut clock, &[audio()], 0, 1_000_000, 1);
    let wide = Source {
        rate: 16_000,
        base: 9,
        ..audio()
    };
    let after = run(&mut clock, &[wide], 1_000_000, 2_000_000, 1);
    assert_eq!(
        after.audio[0].time - before.audio.last().unwrap().time,
        20_000
    );
    assert_eq!(after.audio.last().unwrap().time, 1_980_000);
}

#[test]
fn whatever_comes_times_rise_and_nothing_panics() {
    let configs = [h264(rtp_support::SPS), h264(&[])];
    for seed in 0..20 {
        let mut rng = Rng::from_number(seed);
        let mut clock = CallClock::new();
        let mut now = 0_u64;
        let mut last = [MediaTime::from_micros(-1); 2];
        for _ in 0..5_000 {
            let track = if rng.below(2) == 0 {
                Track::Audio
            } else {
                Track::Video
            };
            now = match rng.below(50) {
                0 => rng.u64(),
                1 => u64::MAX - u64::from(rng.u32()),
                _ => now.saturating_add(u64::from(rng.below(40_000))),
            };
            let at = Instant::from_micros(now);
            match rng.below(20) {
                0 => clock.source_changed(track),
                1..4 => {
                    clock.handle_sender_report(track, at, NtpTime(rng.u64()), rng.u32());
                }
                4..8 => {
                    // Near one another, as reordered pictures are.
                    let timestamp = (now as u32 / 11).wrapping_add(rng.below(90_000));
                    let (key, config) = (rng.below(9) == 0, &configs[rng.below(2) as usize]);
                    let times = clock.picture_times(timestamp, 90_000, at, key, config);
                    assert!(times.time > last[1] || times.time.as_micros() == i64::MAX);
                    last[1] = times.time;
                }
                _ => {
                    let rate = if rng.below(100) == 0 {
                        rng.u32()
                    } else {
                        8_000
                    };
                    let time = clock.frame_time(track, rng.u32() >> rng.below(32), rate, at);
                    let last = &mut last[usize::from(track == Track::Video)];
                    assert!(time > *last || time.as_micros() == i64::MAX);
                    *last = time;
                }
            }
            clock.skew_micros();
        }
    }
}

#[test]
fn hours_of_drift_are_followed_on_either_track() {
    let slow = |source: Source| Source {
        spacing: 100_000,
        ..source
    };
    for reports in [None, Some(4_500_000)] {
        for (audio_ppm, video_ppm) in [(200, -200), (-200, 200), (200, 200)] {
            let sources = [
                Source {
                    ppm: audio_ppm,
                    reports,
                    ..slow(audio())
                },
                Source {
                    ppm: video_ppm,
                    reports,
                    ..slow(video())
                },
            ];
            let mut clock = CallClock::new();
            let out = run(&mut clock, &sources, 0, 6 * HOUR, 3);
            let skew = out.worst_skew(0);
            assert!(skew <= 6_000, "{audio_ppm} {video_ppm} {reports:?}: {skew}");
            for frames in [&out.audio, &out.video] {
                let worst = frames.iter().map(|out| (out.time - out.at).abs()).max();
                assert!(worst <= Some(8_000), "{audio_ppm} {video_ppm}: {worst:?}");
            }
            assert_eq!(clock.counters().jumps + clock.counters().clamped, 0);
            let stats = clock.skew_stats();
            assert!(stats.max <= 6, "{stats:?}");
            assert_eq!(stats.reported > 0, reports.is_some());
        }
    }
}

#[test]
fn reports_that_are_wrong_leave_picture_and_voice_where_arrival_puts_them() {
    let faults = [
        Fault::ZeroWall,
        Fault::Off(3_000_000),
        Fault::Off(-5_000_000),
        // Since 1970 instead of 1900.
        Fault::Off(-2_208_988_800_000_000),
        Fault::RandomRtp,
        Fault::RtpOff(2_500_000),
        Fault::RtpOff(-60_000_000),
        Fault::StaleRtp,
        Fault::Backwards,
        Fault::Stands,
    ];
    for fault in faults {
        for wrong in [Track::Audio, Track::Video] {
            let sources = [audio(), video()].map(|source| Source {
                reports: Some(4_500_000),
                fault: if source.track == wrong {
                    fault
                } else {
                    Fault::None
                },
                ..source
            });
            let mut clock = CallClock::new();
            let out = run(&mut clock, &sources, 0, 300_000_000, 5);
            let skew = out.worst_skew(0);
            assert!(skew <= 1_000, "{fault:?} of {wrong}: {skew}");
            let counters = clock.counters();
            assert!(counters.reports_ignored >= 40, "{fault:?}: {counters:?}");
            assert_eq!(counters.jumps, 0, "{fault:?}");
            assert!(!clock.is_reported(), "{fault:?} of {wrong}");
        }
    }
}

#[test]
fn reports_that_waver_do_not_make_the_picture_waver() {
    for (fault, most) in [
        (Fault::Noise(30_000), 25_000),
        (Fault::Noise(900_000), 300_000),
        (Fault::Arrival, 16_000),
    ] {
        for seed in 0..5 {
            let sources = [audio(), video()].map(|source| Source {
                reports: Some(4_500_000),
                jitter: 15_000,
                fault,
                ..source
            });
            let mut clock = CallClock::new();
            let out = run(&mut clock, &sources, 0, 600_000_000, seed);
            let skew = out.worst_skew(0);
            assert!(skew <= most, "{fault:?}: {skew}");
        }
    }
}

#[test]
fn the_first_reports_place_a_picture_that_waits_for_its_keyframe() {
    // The encoder takes 150 ms; both tracks report at once, and the keyframe comes 200 ms later.
    let mut clock = CallClock::new();
    let picture = Source {
        delay: 180_000,
        starts: 200_000,
        ..video()
    };
    let mut out = run(&mut clock, &[audio()], 0, 200_000, 1);
    for source in [&audio(), &picture] {
        let (at, rtp) = (instant(220_000), source.rtp(190_000));
        clock.handle_sender_report(source.track, at, ntp(190_000), rtp);
    }
    let after = run(&mut clock, &[audio(), picture], 200_000, 10_000_000, 1);
    out.audio.extend(after.audio);
    out.video.extend(after.video);
    assert!(out.worst_skew(0) <= 1_000, "{:?}", out.skews(0));
    assert_eq!(clock.skew_stats().max, 0);
}

#[test]
fn clock_steps_of_either_track_are_taken_in_at_once_and_counted() {
    for track in [Track::Audio, Track::Video] {
        for step in [-3_600.0, -7.0, -1.2, -0.3, 0.7, 3.0, 12.0, 3_600.0] {
            let mut clock = CallClock::new();
            let mut out = run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
            let sources = [audio(), video()].map(|source| {
                let ticks = if source.track == track {
                    (step * f64::from(source.rate)) as i64
                } else {
                    0
                };
                Source {
                    base: source.base.wrapping_add(ticks as u32),
                    ..source
                }
            });
            let after = run(&mut clock, &sources, 10_000_000, 20_000_000, 1);
            out.audio.extend(after.audio);
            out.video.extend(after.video);
            let skew = out.worst_skew(0);
            assert!(skew <= 1_000, "{track} {step} s: {:?}", out.skews(0));
            assert_eq!(clock.counters().jumps, 1, "{track} {step} s");
            for (frames, spacing) in [(&out.audio, 20_000), (&out.video, 33_333)] {
                for pair in frames.windows(2) {
                    let off = pair[1].time - pair[0].time - spacing;
                    assert!(off.abs() <= spacing, "{track} {step} s: {off}");
                }
            }
        }
    }
}

#[test]
fn an_hour_of_hold_is_an_hour_whether_timestamps_stand_or_run_on() {
    for stands in [false, true] {
        for reports in [None, Some(4_500_000)] {
            let sources = [audio(), video()].map(|source| Source { reports, ..source });
            let mut clock = CallClock::new();
            let before = run(&mut clock, &sources, 0, 30_000_000, 1);
            let end = 30_000_000 + HOUR;
            let sources = sources.map(|source| {
                let gone = if stands { 3_600 * source.rate } else { 0 };
                Source {
                    base: source.base.wrapping_sub(gone),
                    ..source
                }
            });
            let after = run(&mut clock, &sources, end, end + 30_000_000, 1);
            assert!(after.worst_skew(end) <= 1_000);
            for (before, after) in [(&before.audio, &after.audio), (&before.video, &after.video)] {
                let (last, next) = (before.last().unwrap(), after[0]);
                let off = (next.time - last.time) - (next.at - last.at);
                assert!(off.abs() <= 2_000, "{stands} {reports:?}: {off}");
                assert!(
                    after
                        .windows(2)
                        .all(|pair| pair[1].time - pair[0].time < 35_000)
                );
            }
        }
    }
}

#[test]
fn mute_is_a_pause_whether_timestamps_stand_or_run_on() {
    for (stands, settled) in [(false, 0), (true, 400_000)] {
        for seconds in [1, 4, 9, 40] {
            let mut clock = CallClock::new();
            run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
            let end = 10_000_000 + seconds * 1_000_000;
            run(&mut clock, &[video()], 10_000_000, end, 1);
            let gone = if stands {
                seconds as u32 * AUDIO_RATE
            } else {
                0
            };
            let voice = Source {
                base: audio().base.wrapping_sub(gone),
                ..audio()
            };
            let out = run(&mut clock, &[voice, video()], end, end + 10_000_000, 1);
            let skew = out.worst_skew(end + settled);
            assert!(skew <= 1_000, "{stands} {seconds} s: {:?}", out.skews(end));
            assert_eq!(clock.counters().jumps, u64::from(stands));
        }
    }
}

#[test]
fn video_that_is_added_after_ten_minutes_is_in_sync_from_its_first_picture() {
    for ppm in [-200, 200] {
        let added = 600_000_000;
        let sources = [
            Source { ppm, ..audio() },
            Source {
                starts: added,
                ..video()
            },
        ];
        let mut clock = CallClock::new();
        let out = run(&mut clock, &sources, 0, added + 60_000_000, 2);
        let late = |out: &Out| out.time - out.at;
        let voice = out.audio.iter().find(|out| out.at >= added).unwrap();
        let skew = late(&out.video[0]) - late(voice);
        assert!(skew.abs() <= 5_000, "{ppm}: {skew}");
        assert!(out.worst_skew(added) <= 6_000);
    }
}

#[test]
fn the_era_of_ntp_wraps_without_notice() {
    let mut clock = CallClock::new();
    let (audio, video) = (
        audio(),
        Source {
            delay: 80_000,
            ..video()
        },
    );
    let mut out = Run::default();
    // The era ends after half a minute.
    let wall = |at: i64| {
        let ticks = (i128::from(at) << 32).wrapping_div(1_000_000) as u64;
        NtpTime(ticks.wrapping_sub(30 << 32))
    };
    for second in 0..120 {
        let at = second * 1_000_000;
        let sources = [audio.clone(), video.clone()];
        let part = run(&mut clock, &sources, at, at + 1_000_000, 1);
        out.audio.extend(part.audio);
        out.video.extend(part.video);
        if second % 5 == 2 {
            for source in [&audio, &video] {
                let arrival = instant(at + source.delay);
                clock.handle_sender_report(source.track, arrival, wall(at), source.rtp(at));
            }
        }
    }
    assert_eq!(clock.counters().reports_ignored, 0);
    assert_eq!(clock.counters().reports, 48);
    assert!(out.worst_skew(20_000_000) <= 1_000, "{:?}", out.skews(0));
}

#[test]
fn sixty_days_pass_without_a_break() {
    let spacing = 4_000_000;
    let sources = [
        Source {
            spacing,
            ppm: 60,
            reports: Some(50_000_000),
            jitter: 5_000,
            ..audio()
        },
        Source {
            spacing,
            ppm: -60,
            reports: Some(50_000_000),
            jitter: 5_000,
            ..video()
        },
    ];
    let mut clock = CallClock::new();
    let mut last = [None; 2];
    for day in 0..60 {
        let from = day * 24 * HOUR;
        let out = run(&mut clock, &sources, from, from + 24 * HOUR, day as u64);
        for (last, frames) in last.iter_mut().zip([&out.audio, &out.video]) {
            for frame in frames {
                if let Some(last) = last.replace(frame.time) {
                    let step: i64 = frame.time - last - spacing;
                    assert!(step.abs() <= 20_000, "day {day}: {step}");
                }
                let off = (frame.time - frame.at).abs();
                assert!(off <= 40_000, "day {day}: {off}");
            }
        }
        let skew = out.worst_skew(from);
        assert!(skew <= 20_000, "day {day}: {skew}");
    }
    assert_eq!(clock.counters().jumps + clock.counters().clamped, 0);
    let stats = clock.skew_stats();
    assert!(stats.p99 <= 20 && stats.pictures == 1_296_000, "{stats:?}");
}

#[test]
fn skew_is_measured_for_every_picture() {
    let reports = Some(3_000_000);
    let sources = [
        Source { reports, ..audio() },
        Source {
            delay: 90_000,
            reports,
            ..video()
        },
    ];
    let mut clock = CallClock::new();
    let out = run(&mut clock, &sources, 0, 60_000_000, 1);
    let stats = clock.skew_stats();
    // Sixty milliseconds are slewed away in twelve seconds, which is a fifth of the call.
    assert!((50..=60).contains(&stats.max), "{stats:?}");
    assert!(stats.p50 <= 1 && stats.p99 >= 40, "{stats:?}");
    assert!(stats.pictures + 5 >= out.video.len() as u64);
    assert!(stats.reported > stats.pictures * 8 / 10);
    assert!(stats.now.is_some_and(|now| now.abs() <= 1_000));
    assert_eq!(stats.to_string(), format!("; skew p99 {} ms", stats.p99));
}

#[test]
fn pictures_sent_as_they_are_decoded_stay_beside_their_voice_without_reports() {
    let (config, interval) = (h264(&[]), 40_000_i64);
    let mut clock = CallClock::new();
    let (mut shown, mut heard) = (Vec::new(), Vec::new());
    // I0 P3 B1 B2 P6 B4 B5 and so on: each is sent at its place, B1 when it is to be shown.
    for place in 0..1_500_i64 {
        let sent = place * interval;
        let group = place % 49;
        let number = match (group, group % 3) {
            (0, _) => place,
            (_, 1) => place + 2,
            _ => place - 1,
        };
        for part in 0..2_i64 {
            let at = sent + part * 20_000;
            let time = clock.frame_time(Track::Audio, (at * 8 / 1_000) as u32, 8_000, instant(at));
            heard.push(time.as_micros() - at);
        }
        // The picture's own time is that of its place among those that are shown.
        let stamp = ((number + 1) * interval * 9 / 100) as u32;
        let key = group == 0;
        let times = clock.picture_times(stamp, 90_000, instant(sent), key, &config);
        let shown_at = times.time.as_micros() + i64::from(times.composition);
        shown.push(shown_at - (number + 1) * interval);
    }
    let apart = shown.last().unwrap() - heard.last().unwrap();
    assert!(apart.abs() <= interval, "{apart} microseconds apart");
    let moved = shown.last().unwrap() - shown[10];
    assert!(moved.abs() <= interval, "moved by {moved} microseconds");
    let skew = clock.skew_stats();
    assert!(skew.p99 <= 40, "{skew:?}");
}
