//! Changes in the midst of a call: the stream goes on in the same RTMP connection, with a new
//! sequence header before what is new, and its times go on without a jump.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::{Codec, Track};

const SECOND: Duration = Duration::from_secs(1);

/// Milliseconds from picture to picture.
const FRAME: u32 = 40;

/// Films for two seconds after a change; nothing is published late, and the times of either track
/// go on with no step that is off by more than a frame.
fn assert_goes_on(studio: &mut Studio, what: &str) {
    let (mark, sent) = (studio.mark(), studio.sent.len());
    studio.film(2 * SECOND);
    let published = studio.check();
    let all: Vec<usize> = (sent..studio.sent.len()).collect();
    assert!(published.ends_with(&all), "{what}: {published:?}");
    // From the frames before the change on.
    let before = mark.saturating_sub(6);
    for (track, frame) in [(Track::Video, FRAME), (Track::Audio, 20)] {
        let steps = studio.steps(track, before);
        assert!(steps.len() >= 49, "{what}: {track} {steps:?}");
        assert!(
            steps.iter().all(|step| *step <= 2 * frame),
            "{what}: {track} {steps:?}"
        );
    }
}

#[test]
fn every_change_of_the_picture_goes_through_one_connection() {
    let wide = Picture::h264(1_280, 720);
    let mut studio = Studio::call(Some(Sound::PCMA), Some(wide.clone()));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    let changes = [
        ("other parameters", wide.clone().with_other_pps()),
        ("resolution", Picture::h264(640, 480)),
        ("rotation", Picture::h264(720, 1_280)),
        ("rotation back", wide.clone()),
        ("profile", wide.clone().with_profile(0x64)),
    ];
    for (what, picture) in changes {
        studio.picture = picture;
        assert_goes_on(&mut studio, what);
    }
    assert_eq!(studio.keyframes_asked(), 0, "nothing was missing");
    studio.other_camera();
    assert_goes_on(&mut studio, "another source of video");
    studio.other_microphone();
    assert_goes_on(&mut studio, "another source of audio");
    assert!(studio.keyframes_asked() <= 1);
    studio.check_player(0);
}

#[test]
fn codecs_change_by_reinvite_and_back() {
    let (h264, vp8) = (Picture::h264(1_280, 720), Picture::vp8(640, 480));
    let mut studio = Studio::call(Some(Sound::PCMA), Some(h264.clone()));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    let changes = [
        ("mu-law", Sound::PCMU, h264.clone()),
        ("AAC", Sound::AAC, h264.clone()),
        ("Opus", Sound::OPUS, h264.clone()),
        ("VP8", Sound::OPUS, vp8.clone()),
        ("another size of VP8", Sound::OPUS, Picture::vp8(320, 240)),
        ("H.264", Sound::OPUS, h264.clone()),
        ("both at once", Sound::PCMA, vp8.clone()),
        ("both back", Sound::AAC, h264.clone()),
    ];
    for (what, sound, picture) in changes {
        studio.agree(Some(sound), Some(picture), "sendrecv");
        assert_goes_on(&mut studio, what);
        let heard = studio.heard();
        let last = heard.iter().rev().find_map(|heard| match heard {
            Heard::Audio { codec, .. } => *codec,
            _ => None,
        });
        assert_eq!(last, Some(sound.codec), "{what}");
    }
    studio.check_player(0);
}

#[test]
fn payload_numbers_may_change_and_nothing_else_does() {
    let picture = Picture::h264(1_280, 720);
    let mut studio = Studio::call(Some(Sound::OPUS), Some(picture.clone()));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    let mark = studio.mark();
    for numbers in [110, 96, 120] {
        let sound = Sound::new(Codec::Opus, numbers + 1);
        // The camera goes on with the pictures that it is at.
        let picture = picture.clone().numbered(numbers);
        studio.agree(Some(sound), Some(picture.clone()), "sendrecv");
        studio.sent.last_mut().unwrap().kind = picture;
        assert_goes_on(&mut studio, "renumbered");
    }
    let heard = studio.heard();
    let same = |heard: &Heard| matches!(heard, Heard::Audio { .. } | Heard::Video { .. });
    assert!(heard[mark..].iter().all(same), "no header is sent again");
    assert_eq!(studio.keyframes_asked(), 0);
    studio.check_player(0);
}

/// Both tracks are apart by no more than a frame of video at the end of what was heard.
fn assert_together(studio: &mut Studio) {
    let heard = studio.heard();
    let last = |track: Track| {
        let times = heard.iter().rev().find_map(|heard| match (heard, track) {
            (Heard::Video { timestamp, .. }, Track::Video)
            | (Heard::Audio { timestamp, .. }, Track::Audio) => Some(*timestamp),
            _ => None,
        });
        times.unwrap()
    };
    let (audio, video) = (last(Track::Audio), last(Track::Video));
    assert!(audio.abs_diff(video) <= FRAME, "{audio} and {video}");
}

/// The step of a track since a mark that is longer than two frames: a pause.
fn pause(studio: &mut Studio, track: Track, mark: usize) -> u32 {
    let steps = studio.steps(track, mark);
    let long: Vec<u32> = steps.into_iter().filter(|step| *step > 80).collect();
    assert_eq!(long.len(), 1, "{track}: {long:?}");
    long[0]
}

#[test]
fn a_muted_track_pauses_and_the_other_goes_on() {
    let (sound, picture) = (Sound::PCMA, Picture::h264(640, 480));
    let mut studio = Studio::call(Some(sound), Some(picture));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    for (audio, track) in [(false, Track::Audio), (true, Track::Video)] {
        let mark = studio.mark() - 6;
        (studio.with_audio, studio.with_video) = (audio, !audio);
        studio.film(90 * SECOND);
        (studio.with_audio, studio.with_video) = (true, true);
        let sent = studio.sent.len();
        assert_goes_on(&mut studio, "unmuted");
        let pause = pause(&mut studio, track, mark);
        assert!(pause.abs_diff(90_000) <= FRAME, "{track}: {pause}");
        assert!(!studio.sent[sent].keyframe, "nothing was lost");
        assert_together(&mut studio);
    }
    assert_eq!(studio.keyframes_asked(), 0);
    studio.check_player(0);
}

#[test]
fn a_call_held_for_an_hour_goes_on_in_the_same_connection() {
    let (sound, picture) = (Sound::PCMA, Picture::h264(640, 480));
    for (how, address) in [
        ("inactive", "192.0.2.10"),
        ("sendonly", "192.0.2.10"),
        ("sendrecv", "0.0.0.0"),
    ] {
        let mut studio = Studio::call(Some(sound), Some(picture.clone()));
        studio.world.play("rtmp_4711");
        studio.film(2 * SECOND);
        let mark = studio.mark() - 6;

        let hold = studio.offer(Some(sound), Some(&picture), how);
        let hold = hold.replace("c=IN IP4 192.0.2.10", &format!("c=IN IP4 {address}"));
        assert_eq!(
            status(&studio.world.reinvite(&mut studio.phone, &hold)),
            200
        );
        (studio.with_audio, studio.with_video) = (false, false);
        studio.film(10 * SECOND);
        studio.world.advance(3_590 * SECOND);
        // A camera that was off the whole time goes on with its numbers, and its clock ran on.
        let micros = u64::from(studio.video.timestamp) + 3_590 * 90_000;
        studio.video.timestamp = micros as u32;
        studio.resume_sound(3_590 * SECOND);
        let asked = studio.keyframes_asked();
        let sent = studio.sent.len();
        studio.agree(Some(sound), Some(picture.clone()), "sendrecv");
        studio.film(2 * SECOND);
        let published = studio.check();
        let first = published.iter().find(|number| **number >= sent);
        let first = *first.expect("video comes back");
        assert!(first <= sent + 2, "{how}: the picture comes at once");
        if how == "inactive" {
            assert!(
                studio.sent[first].keyframe,
                "what came meanwhile is unknown"
            );
            assert_eq!(studio.keyframes_asked(), asked + 1, "{how}");
        }
        for track in [Track::Audio, Track::Video] {
            let pause = pause(&mut studio, track, mark);
            assert!(pause.abs_diff(3_600_000) <= 160, "{how}, {track}: {pause}");
        }
        assert_together(&mut studio);
        studio.check_player(0);
    }
}

#[test]
fn video_comes_after_ten_minutes_goes_and_comes_again() {
    let (sound, picture) = (Sound::PCMA, Picture::h264(640, 480));
    let mut studio = Studio::call(Some(sound), None);
    studio.film(SECOND);
    studio.world.play("rtmp_4711");
    studio.film(599 * SECOND);
    let mut mark = 0;
    for picture in [picture, Picture::vp8(320, 240)] {
        studio.agree(Some(sound), Some(picture), "sendrecv");
        studio.film(2 * SECOND);
        let published = studio.check();
        assert!(published.ends_with(&[studio.sent.len() - 2, studio.sent.len() - 1]));
        assert_together(&mut studio);
        studio.agree(Some(sound), None, "sendrecv");
        studio.film(60 * SECOND);
        let steps = studio.steps(Track::Audio, mark);
        assert!(steps.iter().all(|step| (19..=21).contains(step)));
        mark = studio.mark();
    }
    assert_eq!(
        studio.check().len(),
        studio.sent.len(),
        "every picture went out"
    );
    studio.check_player(0);
}

/// Milliseconds from the first packet of sound to the first that the server has, and whether any
/// was lost before it.
fn start_of_sound(studio: &mut Studio) -> u128 {
    let begin = studio.world.now;
    while studio.world.server().sounds() == 0 {
        studio.film(Duration::from_millis(20));
        assert!(
            studio.world.now.since(begin) < 5 * SECOND,
            "no sound at all"
        );
    }
    let waited = studio.world.now.since(begin).as_millis() - 20;
    let sounds = studio.world.server().sounds() as u128;
    assert_eq!(sounds, waited / 20 + 1, "nothing is lost at the start");
    waited
}

#[test]
fn an_offer_with_video_answered_or_sent_without_is_a_good_stream_of_sound() {
    let (sound, picture) = (Sound::PCMA, Picture::h264(640, 480));
    let codecs = |codecs: &[Codec]| {
        let mut config = config(4, Some("rtmp://198.51.100.5/live"));
        config.trunks[0].codecs = Some(codecs.to_vec()).filter(|codecs| !codecs.is_empty());
        config
    };
    // We answer without video: the trunk does not want any.
    let only_sound = codecs(&[Codec::Pcma]);
    let mut studio = Studio::call_with(only_sound, Some(sound), Some(picture.clone()));
    assert_eq!(studio.phone.video_port, None, "{}", studio.phone.told);
    studio.with_video = false;
    let player = studio.world.play("rtmp_4711");
    assert_eq!(start_of_sound(&mut studio), 0);
    assert_eq!(studio.world.players[player].sounds(), 1);
    assert!(!studio.heard().iter().any(promises_video));

    // Agreed on and never sent: sound waits for a picture for a second, and nothing of it is lost.
    let mut studio = Studio::call(Some(sound), Some(picture.clone()));
    studio.with_video = false;
    let waited = start_of_sound(&mut studio);
    assert!(waited <= 1_000, "{waited} ms");
    studio.film(60 * SECOND);
    assert_eq!(
        studio.world.server().sounds(),
        (60_000 + waited as usize) / 20 + 1
    );
    assert!(!studio.heard().iter().any(promises_video));
    // A caller who says so before the first packet is not waited for.
    let mut studio = Studio::call(Some(sound), Some(picture.clone()));
    studio.agree(Some(sound), None, "sendrecv");
    assert_eq!(start_of_sound(&mut studio), 0);

    // Pictures alone, answered so or sent so.
    let only_pictures = codecs(&[Codec::H264]);
    for config in [only_pictures, codecs(&[])] {
        let mut studio = Studio::call_with(config, Some(sound), Some(picture.clone()));
        studio.with_audio = false;
        studio.film(2 * SECOND);
        assert_eq!(studio.check().len(), 50, "every picture is there");
        let steps = studio.steps(Track::Video, 0);
        assert!(
            steps.iter().all(|step| (39..=41).contains(step)),
            "{steps:?}"
        );
    }
}

fn promises_video(heard: &Heard) -> bool {
    matches!(heard, Heard::Metadata(metadata) if metadata.video_codec.is_some())
}

/// Packets of the former codec that are on their way when an answer gives their number to another
/// one (against RFC 3264, section 8.3.2) are not taken for the new one's.
#[test]
fn a_number_given_to_another_codec_makes_no_garbage_of_what_was_under_way() {
    let h264 = Picture::h264(640, 480).numbered(96);
    let vp8 = Picture::vp8(640, 480).numbered(96);
    let mut studio = Studio::call(Some(Sound::new(Codec::Opus, 97)), Some(h264.clone()));
    studio.world.play("rtmp_4711");
    studio.film(2 * SECOND);
    for (round, (codec, picture)) in [
        (Codec::Aac, vp8.clone()),
        (Codec::Opus, h264.clone()),
        (Codec::Pcmu, vp8),
        (Codec::Aac, h264),
    ]
    .into_iter()
    .enumerate()
    {
        let what = format!("{codec} and {}", picture.codec);
        let sounds = sounds_of(&mut studio, codec).len();
        studio.agree(Some(Sound::new(codec, 97)), Some(picture), "sendrecv");
        // Three more pictures and six more sounds of what was before.
        let under_way = studio.under_way(120);
        assert_eq!(
            sounds_of(&mut studio, codec).len(),
            sounds,
            "{what}: garbage"
        );
        if round % 2 == 1 {
            // A sender that makes a new source of it.
            studio.other_microphone();
            studio.other_camera();
        }
        let sent = studio.sent.len();
        studio.film(2 * SECOND);
        let published = studio.check();
        let garbage = under_way.iter().find(|number| published.contains(number));
        assert_eq!(garbage, None, "{what}: a picture of the former codec");
        let first = published.iter().find(|number| **number >= sent);
        assert_eq!(
            first,
            Some(&sent),
            "{what}: the first picture of the new codec is there"
        );
        let came = sounds_of(&mut studio, codec).len() - sounds;
        assert!(came >= 90, "{what}: {came} sounds came");
    }
    studio.check_player(0);
}

/// Times of the sounds that were published in a codec.
fn sounds_of(studio: &mut Studio, wanted: Codec) -> Vec<u32> {
    let heard = studio.heard();
    let times = heard.iter().filter_map(|heard| match heard {
        Heard::Audio {
            codec, timestamp, ..
        } if *codec == Some(wanted) => Some(*timestamp),
        _ => None,
    });
    times.collect()
}
