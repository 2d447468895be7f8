//! The measuring tools themselves: what they must find, they find; what they must not, they don't.

use std::process::Command;
use std::time::Duration;

mod support;

use support::flv::Flv;
use support::program::{Program, run};
use support::{Clip, Nginx, Ports, Scratch, lipsync, probe};

#[test]
fn a_clip_muxed_by_ffmpeg_is_found_identical() {
    let folder = Scratch::new("readers");
    let clip = Clip::load();
    assert_eq!(clip.pictures.len(), 250);
    assert_eq!(clip.audio.len(), 80_000);
    let file = Clip::as_flv(&folder, 0);
    probe::check_clip_streams(&file);
    probe::decode_strictly(&file);
    probe::check_clip_identical(&clip, &file);
    assert_eq!(probe::streams(&file).pictures, 250);
}

#[test]
fn a_missing_picture_is_noticed() {
    let clip = Clip::load();
    let mut slices = clip.slices();
    slices.remove(77);
    assert!(std::panic::catch_unwind(|| probe::compare_pictures(&clip.slices(), &slices)).is_err());
    assert!(std::panic::catch_unwind(|| probe::check_contiguous(&clip, &slices)).is_err());
}

#[test]
fn a_picture_without_its_middle_is_noticed_by_the_strict_decoder() {
    let folder = Scratch::new("damaged");
    let mut stream = std::fs::read(Clip::video_path()).expect("the clip is part of the project");
    let clip = Clip::load();
    let slice = &clip.pictures[30][0];
    let place = stream
        .windows(slice.len())
        .position(|window| window == slice)
        .expect("it is in");
    stream.drain(place + 300..place + 800);
    let damaged = folder.write("damaged.h264", stream);
    assert!(std::panic::catch_unwind(|| probe::decode_strictly(&damaged)).is_err());
}

#[test]
fn lip_sync_is_measured_to_a_few_milliseconds() {
    let folder = Scratch::new("lipsync");
    for (late, expected) in [(0, 0.0), (40, -40.0), (-120, 120.0)] {
        let skews = lipsync::skews(&Clip::as_flv(&folder, late));
        assert!(skews.len() >= 9, "{} flashes with a beep", skews.len());
        for skew in skews {
            assert!(
                (skew - expected).abs() < 2.0,
                "sound {late} ms late gave {skew} ms"
            );
        }
    }
}

#[test]
fn nginx_records_and_plays_what_ffmpeg_publishes() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("nginx-readers");
    let nginx = Nginx::start(&mut ports);
    let url = format!("{}/clip", nginx.url("live"));
    let viewed = folder.join("viewed.flv");
    let _viewer = probe::view(&url, &viewed, Some(5));
    let source = Clip::as_flv(&folder, 0);
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-i"])
        .arg(source)
        .args(["-c", "copy", "-f", "flv", &url]));
    let recording = nginx.recording("clip");
    probe::check_clip_streams(&recording);
    probe::check_clip_identical(&Clip::load(), &recording);
    for skew in lipsync::skews(&recording) {
        assert!(skew.abs() < 2.0, "{skew} ms");
    }
    let pictures = Flv::read(&viewed).slices();
    assert!(probe::check_contiguous(&Clip::load(), &pictures) > 100);
}

#[test]
fn a_refusing_nginx_refuses() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("refusing");
    let nginx = Nginx::start(&mut ports);
    let mut publisher = Program::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-re", "-i"])
            .arg(Clip::as_flv(&folder, 0))
            .args([
                "-c",
                "copy",
                "-f",
                "flv",
                &format!("{}/clip", nginx.url("refused")),
            ]),
    );
    assert!(!publisher.wait(Duration::from_secs(9)).success());
    assert_eq!(nginx.recorded("clip"), 0);
}
