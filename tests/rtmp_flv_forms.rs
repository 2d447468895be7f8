//! Frames of every codec as they come to a viewer, by what it takes.

mod rtmp_support;

use std::rc::Rc;

use rtmp_support::client::{Client, Told};
use rtmp_support::codecs::{aac, opus, plain, vp8};
use rtmp_support::{Source, millis, video_config};
use trunkcast::base::codec::{Codec, CodecConfig, CodecSet, Track};
use trunkcast::wire::amf0::Amf0Writer;
use trunkcast::wire::flv::{
    AudioHead, Metadata, Part, SEQUENCE_HEADER_BYTES, TagForm, VideoHead, frame_head,
    write_sequence_header,
};

/// Lists everything that Enhanced RTMP has a name for.
fn everything(connect: &mut Amf0Writer<'_>) {
    connect.name("fourCcList").strict_array(1).string(&["*"]);
}

/// What clients of old say.
fn nothing(connect: &mut Amf0Writer<'_>) {
    connect.name("audioCodecs").number(0.0);
    connect.name("videoCodecs").number(252.0);
}

fn said(configs: &[(&Rc<CodecConfig>, TagForm)]) -> Told {
    let empty = Metadata::default();
    Told::Metadata(
        configs
            .iter()
            .fold(empty, |data, (config, form)| data.with(config, *form)),
    )
}

fn header(config: &CodecConfig, form: TagForm) -> Vec<u8> {
    let mut body = [0; SEQUENCE_HEADER_BYTES];
    let len = write_sequence_header(config, form, &mut body).expect("a sequence header");
    body[..len].to_vec()
}

fn frame(config: &CodecConfig, form: TagForm, keyframe: bool, bytes: &[u8]) -> Vec<u8> {
    let head = frame_head(config, form, keyframe, 0).expect("a head");
    [&head[..], bytes].concat()
}

/// The part and time of every message of a track.
fn parts(told: &[Told], track: Track) -> Vec<(u32, Option<Codec>, Part)> {
    let parts = told.iter().filter_map(|told| match (told, track) {
        (Told::Audio(at, body), Track::Audio) => {
            let head = AudioHead::parse(body).unwrap();
            Some((*at, head.codec, head.part))
        }
        (Told::Video(at, body), Track::Video) => {
            let head = VideoHead::parse(body).unwrap();
            Some((*at, head.codec, head.part))
        }
        _ => None,
    });
    parts.collect()
}

fn metadata(told: &[Told]) -> Vec<Metadata> {
    let data = told.iter().filter_map(|told| match told {
        Told::Metadata(data) => Some(*data),
        _ => None,
    });
    data.collect()
}

#[test]
fn each_audio_codec_has_its_legacy_form() {
    let legacy = TagForm::Legacy;
    for config in [
        aac(&[0x12, 0x10], 44_100),
        plain(CodecConfig::Speex),
        plain(CodecConfig::Pcma),
        plain(CodecConfig::Pcmu),
    ] {
        let mut source = Source::new();
        let mut client = Client::join(0, &source.log, false, nothing);
        source.frame(&config, 0, 0, true, b"first");
        source.frame(&config, 20_000, 0, true, b"second");
        client.pump(millis(20), &source.log);
        let mut expected = vec![said(&[(&config, legacy)])];
        if config.codec() == Codec::Aac {
            expected.push(Told::Audio(0, vec![0xaf, 0, 0x12, 0x10]));
        }
        expected.push(Told::Audio(0, frame(&config, legacy, true, b"first")));
        expected.push(Told::Audio(20, frame(&config, legacy, true, b"second")));
        assert_eq!(client.take(), expected, "{}", config.codec());
    }
}

#[test]
fn opus_and_vp8_go_by_fourcc_to_who_lists_them() {
    let (audio, video, enhanced) = (opus(), vp8(640, 480), TagForm::Enhanced);
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, everything);
    source.frame(&video, 0, 0, true, &[1; 3_000]);
    source.frame(&audio, 0, 0, true, b"sound");
    source.frame(&video, 40_000, 0, false, &[2; 700]);
    client.pump(millis(40), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&audio, enhanced), (&video, enhanced)]),
            Told::Video(0, header(&video, enhanced)),
            Told::Video(0, frame(&video, enhanced, true, &[1; 3_000])),
            Told::Audio(0, header(&audio, enhanced)),
            Told::Audio(0, frame(&audio, enhanced, true, b"sound")),
            Told::Video(40, frame(&video, enhanced, false, &[2; 700])),
        ]
    );
    assert_eq!(client.left_out, []);
}

#[test]
fn h264_and_aac_stay_in_legacy_form_for_who_lists_them() {
    let (audio, video, legacy) = (
        aac(&[0x11, 0x90], 48_000),
        video_config(320, 240),
        TagForm::Legacy,
    );
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, everything);
    source.frame(&video, 0, 0, true, b"key");
    source.frame(&audio, 0, 0, true, b"sound");
    client.pump(millis(0), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&audio, legacy), (&video, legacy)]),
            Told::Video(0, header(&video, legacy)),
            Told::Video(0, frame(&video, legacy, true, b"key")),
            Told::Audio(0, header(&audio, legacy)),
            Told::Audio(0, frame(&audio, legacy, true, b"sound")),
        ]
    );
    let chosen = client.player.takes().enhanced(CodecSet::ALL);
    assert_eq!(chosen.form(Codec::H264), Some(TagForm::Enhanced));
}

#[test]
fn what_a_client_does_not_take_is_left_out_and_told_once() {
    let (audio, video) = (opus(), vp8(640, 480));
    let mut source = Source::new();
    let mut client = Client::join_to(0, &source.log, true, Some(Codec::Vp8), nothing);
    for at in (0..400).step_by(20) {
        source.frame(&video, at * 1_000, 0, at == 0, &[1; 900]);
        source.frame(&audio, at * 1_000, 0, true, b"sound");
        client.pump(millis(at as u64), &source.log);
    }
    assert_eq!(client.take(), []);
    assert_eq!(client.left_out, [Codec::Opus, Codec::Vp8]);
    assert_eq!(client.player.left_out(Track::Audio), Some(Codec::Opus));
    assert_eq!(client.player.media_counters().not_taken, 40);
    assert_eq!(client.keyframes_wanted, 0, "no keyframe would help");
}

#[test]
fn a_track_that_is_left_out_does_not_hold_up_the_other() {
    let (pcma, video) = (plain(CodecConfig::Pcma), vp8(640, 480));
    let legacy = TagForm::Legacy;
    // Video that comes shows by itself that it will not be sent.
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, nothing);
    source.frame(&video, 0, 0, false, &[1; 900]);
    source.frame(&pcma, 5_000, 0, true, b"sound");
    client.pump(millis(5), &source.log);
    let first = Told::Audio(0, frame(&pcma, legacy, true, b"sound"));
    assert_eq!(client.take(), [said(&[(&pcma, legacy)]), first.clone()]);
    // Video that does not come yet is known from the negotiation.
    let mut source = Source::new();
    let mut client = Client::join_to(0, &source.log, true, Some(Codec::Vp8), nothing);
    source.frame(&pcma, 5_000, 0, true, b"sound");
    client.pump(millis(5), &source.log);
    assert_eq!(client.take(), [said(&[(&pcma, legacy)]), first.clone()]);
    assert_eq!(client.keyframes_wanted, 0);
    // A client that takes it waits for its picture.
    let mut client = Client::join_to(5, &source.log, true, Some(Codec::Vp8), everything);
    source.frame(&pcma, 25_000, 0, true, b"sound");
    client.pump(millis(25), &source.log);
    assert_eq!(client.take(), []);
    assert_eq!(client.keyframes_wanted, 1);
    source.frame(&video, 30_000, 0, true, &[1; 900]);
    client.pump(millis(30), &source.log);
    let told = client.take();
    assert_eq!(told.first(), Some(&said(&[(&video, TagForm::Enhanced)])));
    assert_eq!(parts(&told, Track::Video).len(), 2);
    // And video goes without the sound that is left out.
    let (audio, video) = (opus(), video_config(320, 240));
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, nothing);
    source.frame(&audio, 0, 0, true, b"sound");
    source.frame(&video, 10_000, 0, true, b"key");
    source.frame(&audio, 10_000, 0, true, b"sound");
    client.pump(millis(10), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&video, legacy)]),
            Told::Video(0, header(&video, legacy)),
            Told::Video(0, frame(&video, legacy, true, b"key")),
        ]
    );
    assert_eq!(client.left_out, [Codec::Opus]);
}

#[test]
fn a_new_codec_begins_with_metadata_a_header_and_a_keyframe() {
    let (pcma, opus) = (plain(CodecConfig::Pcma), opus());
    let (h264, vp8) = (video_config(320, 240), vp8(640, 480));
    let (legacy, enhanced) = (TagForm::Legacy, TagForm::Enhanced);
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, everything);
    source.frame(&h264, 0, 0, true, b"key");
    source.frame(&pcma, 0, 0, true, b"old");
    client.pump(millis(0), &source.log);
    client.take();
    source.frame(&opus, 20_000, 0, true, b"new");
    source.frame(&vp8, 40_000, 0, false, b"inter");
    source.frame(&opus, 40_000, 0, true, b"new");
    client.pump(millis(40), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&h264, legacy), (&opus, enhanced)]),
            Told::Audio(20, header(&opus, enhanced)),
            Told::Audio(20, frame(&opus, enhanced, true, b"new")),
            Told::Audio(40, frame(&opus, enhanced, true, b"new")),
        ]
    );
    source.frame(&vp8, 80_000, 0, true, b"key");
    source.frame(&vp8, 120_000, 0, false, b"inter");
    client.pump(millis(120), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&vp8, enhanced), (&opus, enhanced)]),
            Told::Video(80, header(&vp8, enhanced)),
            Told::Video(80, frame(&vp8, enhanced, true, b"key")),
            Told::Video(120, frame(&vp8, enhanced, false, b"inter")),
        ]
    );
}

#[test]
fn a_codec_that_comes_back_has_its_header_again() {
    let (aac, pcmu) = (aac(&[0x11, 0x90], 48_000), plain(CodecConfig::Pcmu));
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, false, nothing);
    for (at, config) in [&aac, &pcmu, &aac].into_iter().enumerate() {
        source.frame(config, at as i64 * 20_000, 0, true, b"sound");
    }
    client.pump(millis(60), &source.log);
    let told = client.take();
    assert_eq!(
        parts(&told, Track::Audio),
        [
            (0, Some(Codec::Aac), Part::SequenceHeader),
            (0, Some(Codec::Aac), Part::Frame),
            (20, Some(Codec::Pcmu), Part::Frame),
            (40, Some(Codec::Aac), Part::SequenceHeader),
            (40, Some(Codec::Aac), Part::Frame),
        ]
    );
    let rates: Vec<_> = metadata(&told)
        .iter()
        .map(|data| data.sample_rate)
        .collect();
    assert_eq!(rates, [48_000, 8_000, 48_000]);
}

#[test]
fn a_track_that_turns_to_what_is_not_taken_goes_from_the_metadata() {
    let (pcma, opus, h264) = (plain(CodecConfig::Pcma), opus(), video_config(320, 240));
    let legacy = TagForm::Legacy;
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, nothing);
    source.frame(&h264, 0, 0, true, b"key");
    source.frame(&pcma, 0, 0, true, b"old");
    source.frame(&opus, 20_000, 0, true, b"new");
    source.frame(&h264, 40_000, 0, false, b"inter");
    client.pump(millis(40), &source.log);
    let told = client.take();
    let both = Metadata::default().with(&h264, legacy).with(&pcma, legacy);
    assert_eq!(metadata(&told), [both, both.without(Track::Audio)]);
    assert_eq!(client.left_out, [Codec::Opus]);
    source.frame(&pcma, 60_000, 0, true, b"old");
    client.pump(millis(60), &source.log);
    assert_eq!(metadata(&client.take()), [both]);
    assert_eq!(client.player.left_out(Track::Audio), None);
}

#[test]
fn a_new_size_or_configuration_is_said_before_its_frame() {
    let (small, large) = (video_config(320, 240), video_config(640, 480));
    let (slow, fast) = (aac(&[0x13, 0x90], 22_050), aac(&[0x11, 0x90], 48_000));
    let legacy = TagForm::Legacy;
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, nothing);
    source.frame(&small, 0, 0, true, b"key");
    source.frame(&slow, 0, 0, true, b"sound");
    client.pump(millis(0), &source.log);
    client.take();
    source.frame(&large, 40_000, 0, true, b"key");
    source.frame(&fast, 40_000, 0, true, b"sound");
    client.pump(millis(40), &source.log);
    assert_eq!(
        client.take(),
        [
            said(&[(&large, legacy), (&slow, legacy)]),
            Told::Video(40, header(&large, legacy)),
            Told::Video(40, frame(&large, legacy, true, b"key")),
            said(&[(&large, legacy), (&fast, legacy)]),
            Told::Audio(40, header(&fast, legacy)),
            Told::Audio(40, frame(&fast, legacy, true, b"sound")),
        ]
    );
    // The same picture turned has another SPS: a header, and nothing new to say of its size.
    let turned = video_config(640, 480);
    source.frame(&turned, 80_000, 0, true, b"key");
    client.pump(millis(80), &source.log);
    assert_eq!(
        client.take(),
        [
            Told::Video(80, header(&turned, legacy)),
            Told::Video(80, frame(&turned, legacy, true, b"key")),
        ]
    );
}

#[test]
fn a_late_client_gets_both_headers_first() {
    let (aac, vp8) = (aac(&[0x11, 0x90], 48_000), vp8(640, 480));
    let mut source = Source::new();
    let mut early = Client::join(0, &source.log, true, everything);
    for at in (0..1_000).step_by(20) {
        source.frame(&vp8, at * 1_000, 0, at % 400 == 0, b"picture");
        source.frame(&aac, at * 1_000, 0, true, b"sound");
        early.pump(millis(at as u64), &source.log);
    }
    let mut late = Client::join(1_000, &source.log, true, everything);
    let told = late.take();
    let video = parts(&told, Track::Video);
    assert_eq!(video[0], (0, Some(Codec::Vp8), Part::SequenceHeader));
    assert_eq!(video[1], (0, Some(Codec::Vp8), Part::Frame));
    let Told::Video(_, first) = told
        .iter()
        .filter(|told| matches!(told, Told::Video(..)))
        .nth(1)
        .expect("a picture")
    else {
        unreachable!()
    };
    assert!(VideoHead::parse(first).unwrap().keyframe);
    let audio = parts(&told, Track::Audio);
    assert_eq!(audio[0].2, Part::SequenceHeader);
    assert!(audio[1..].iter().all(|(_, _, part)| *part == Part::Frame));
    assert!(matches!(told[0], Told::Metadata(_)));
}

#[test]
fn decoding_and_composition_time_add_up_to_the_time_of_presentation() {
    let video = video_config(320, 240);
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, true, nothing);
    // 30 pictures a second with two B-frames in a row, and two pictures in one millisecond.
    let frame = 33_333_i64;
    let order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8];
    let mut expected = Vec::new();
    for (decode, present) in order.into_iter().enumerate() {
        let decoded = decode as i64 * frame;
        let presented = (present + 2) * frame;
        let composition = (presented - decoded) as u32;
        source.frame(&video, decoded, composition, decode == 0, b"picture");
        expected.push((decoded / 1_000, presented / 1_000));
    }
    let decoded = 9 * frame + 2;
    source.frame(&video, decoded, 66_666, false, b"picture");
    // What would be decoded in the same millisecond is moved by one, and presented when it should.
    expected.push((decoded / 1_000 + 1, (decoded + 66_666) / 1_000));
    client.pump(millis(400), &source.log);
    let got: Vec<_> = client
        .take()
        .iter()
        .filter_map(|told| match told {
            Told::Video(at, body) => Some((i64::from(*at), VideoHead::parse(body).unwrap())),
            _ => None,
        })
        .filter(|(_, head)| head.part == Part::Frame)
        .map(|(at, head)| (at, at + i64::from(head.composition_millis)))
        .collect();
    assert_eq!(got, expected);
}
