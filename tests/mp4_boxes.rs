//! Files of recordings, box by box, read by a parser of the tests' own.

mod mp4_support;
mod rtmp_support;

use std::rc::Rc;

use mp4_support::{AUDIO, Mp4, VIDEO};
use rtmp_support::codecs::{aac, opus, plain, vp8};
use rtmp_support::{PPS, SPS, Source, millis, video_config};
use trunkcast::base::codec::{Codec, CodecConfig};
use trunkcast::base::rng::Rng;
use trunkcast::limits::{RECORDING_FRAGMENT_BYTES, RECORDING_SAMPLES};
use trunkcast::mp4::{
    Extent, FILE_MARK_BYTES, Mp4Writer, Pushed, WhyNewFile, file_mark, has_place,
};

/// A writer that is fed frame by frame.
struct Recorder {
    source: Source,
    writer: Mp4Writer,
    position: u64,
    pieces: Vec<Vec<u8>>,
    memory: usize,
}

impl Recorder {
    fn new(expects_audio: bool, expects_video: bool) -> Self {
        Self {
            source: Source::new(),
            writer: Mp4Writer::new(expects_audio, expects_video),
            position: 0,
            pieces: Vec::new(),
            memory: usize::MAX,
        }
    }

    fn frame(
        &mut self,
        config: &Rc<CodecConfig>,
        at: u64,
        composition: u32,
        keyframe: bool,
        bytes: &[u8],
    ) -> Pushed {
        let micros = at as i64 * 1_000;
        self.source
            .frame(config, micros, composition, keyframe, bytes);
        let view = self.source.log.get(self.position).unwrap();
        self.position += 1;
        let memory = self.memory.saturating_sub(self.writer.held());
        let pushed = self.writer.push(millis(at), view, memory);
        self.source.log.release_before(self.position);
        self.pieces.extend(self.writer.poll_transmit());
        pushed
    }

    fn finish(mut self) -> Mp4 {
        self.writer.finish();
        self.pieces.extend(self.writer.poll_transmit());
        Mp4::read(&self.pieces.concat())
    }
}

/// The sample entry of a file of one frame.
fn entry(config: &Rc<CodecConfig>) -> (String, Vec<u8>) {
    let is_video = config.codec().track() == trunkcast::base::codec::Track::Video;
    let mut recorder = Recorder::new(!is_video, is_video);
    assert_eq!(recorder.frame(config, 0, 0, true, &[1; 40]), Pushed::Taken);
    let number = if is_video { VIDEO } else { AUDIO };
    recorder.finish().entry(number).unwrap()
}

#[test]
fn sample_entries_are_exact() {
    let (kind, body) = entry(&video_config(320, 240));
    assert_eq!(kind, "avc1");
    let mut expected = vec![0; 78];
    (expected[7], expected[24], expected[25]) = (1, 1, 64);
    (expected[27], expected[29], expected[33]) = (240, 0x48, 0x48);
    (expected[41], expected[75], expected[76], expected[77]) = (1, 24, 0xff, 0xff);
    assert_eq!(body[..78], expected);
    let mut record = vec![1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1, 0, SPS.len() as u8];
    record.extend(SPS);
    record.extend([1, 0, PPS.len() as u8]);
    record.extend(PPS);
    assert_eq!(body[78..82], (record.len() as u32 + 8).to_be_bytes());
    assert_eq!(&body[82..86], b"avcC");
    assert_eq!(body[86..], record);

    let (kind, body) = entry(&vp8(640, 480));
    assert_eq!(kind, "vp08");
    assert_eq!(
        body[78..],
        *b"\x00\x00\x00\x14vpcC\x01\x00\x00\x00\x00\x1e\x82\x02\x02\x06\x00\x00"
    );

    // Channels, 16 bits, and the rate in 16.16.
    let sound = |channels: u8, rate: u16| {
        let mut bytes = vec![0; 28];
        (bytes[7], bytes[17], bytes[19]) = (1, channels, 16);
        bytes[24..26].copy_from_slice(&rate.to_be_bytes());
        bytes
    };
    let (kind, body) = entry(&opus());
    assert_eq!(kind, "Opus");
    assert_eq!(body[..28], sound(2, 48_000));
    assert_eq!(
        body[28..],
        *b"\x00\x00\x00\x13dOps\x00\x02\x00\x00\x00\x00\xbb\x80\x00\x00\x00"
    );
    let (kind, body) = entry(&aac(&[0x12, 0x10], 44_100));
    assert_eq!(kind, "mp4a");
    assert_eq!(body[..28], sound(2, 44_100));
    assert_eq!(
        body[28..],
        *b"\x00\x00\x00\x27esds\x00\x00\x00\x00\x03\x19\x00\x00\x00\x04\x11\x40\x15\x00\x00\x00\
           \x00\x00\x00\x00\x00\x00\x00\x00\x05\x02\x12\x10\x06\x01\x02"
    );
    for (config, kind) in [(CodecConfig::Pcma, "alaw"), (CodecConfig::Pcmu, "ulaw")] {
        assert_eq!(entry(&plain(config)), (kind.to_owned(), sound(1, 8_000)));
    }
}

#[test]
fn a_file_begins_with_its_mark_and_tracks_without_samples() {
    let mut recorder = Recorder::new(true, true);
    let (video, audio) = (video_config(320, 240), plain(CodecConfig::Pcma));
    recorder.frame(&audio, 0, 0, true, &[1; 160]);
    recorder.frame(&video, 5, 0, true, &[2; 900]);
    recorder.writer.finish();
    let bytes = recorder.writer.poll_transmit().unwrap();
    assert_eq!(bytes[..FILE_MARK_BYTES], *file_mark());
    let mp4 = Mp4::read(&bytes);
    for number in [VIDEO, AUDIO] {
        let track = mp4.track(number).unwrap();
        for table in ["stts", "stsc", "stco"] {
            assert_eq!(track.at_path(&format!("mdia/minf/stbl/{table}")).u32(4), 0);
        }
        assert_eq!(track.at_path("mdia/minf/dinf/dref").body.len(), 20);
    }
    assert_eq!((mp4.clock(VIDEO), mp4.clock(AUDIO)), (90_000, 8_000));
    let tkhd = mp4.track(VIDEO).unwrap().at_path("tkhd");
    assert_eq!((tkhd.u32(76), tkhd.u32(80)), (320 << 16, 240 << 16));
    let trex = mp4
        .moov()
        .at_path("mvex")
        .children
        .iter()
        .map(|it| it.u32(4));
    assert_eq!(trex.collect::<Vec<_>>(), [VIDEO, AUDIO]);
    // Times begin with the earlier of the two.
    assert_eq!((mp4.of(AUDIO)[0].time, mp4.of(VIDEO)[0].time), (0, 450));
}

#[test]
fn pictures_out_of_order_keep_both_of_their_times() {
    let mut recorder = Recorder::new(false, true);
    let video = video_config(320, 240);
    for (number, composition) in [40_000, 120_000, 40_000, 0, 0].into_iter().enumerate() {
        recorder.frame(
            &video,
            number as u64 * 40,
            composition,
            number == 0,
            &[3; 100],
        );
    }
    let mp4 = recorder.finish();
    let samples = mp4.of(VIDEO);
    let times: Vec<(u64, i32)> = samples.iter().map(|it| (it.time, it.composition)).collect();
    assert_eq!(
        times,
        [
            (0, 3_600),
            (3_600, 10_800),
            (7_200, 3_600),
            (10_800, 0),
            (14_400, 0)
        ]
    );
    let sync: Vec<bool> = samples.iter().map(|it| it.sync).collect();
    assert_eq!(sync, [true, false, false, false, false]);
}

#[test]
fn fragments_begin_with_keyframes_and_last_a_second_at_most() {
    let mut recorder = Recorder::new(true, true);
    let (video, audio) = (video_config(320, 240), plain(CodecConfig::Pcma));
    for number in 0..500_u64 {
        recorder.frame(&audio, number * 20, 0, true, &[1; 160]);
        if number % 2 == 0 {
            recorder.frame(&video, number * 20 + 3, 0, number % 30 == 0, &[2; 300]);
        }
    }
    let pieces = recorder.pieces.len();
    let mp4 = recorder.finish();
    assert!((9..20).contains(&pieces), "{pieces}");
    let pictures = mp4.of(VIDEO);
    for pair in pictures.windows(2) {
        let begins = pair[1].fragment != pair[0].fragment;
        assert_eq!(begins, pair[1].sync, "{pair:?}");
        assert_eq!(pair[1].time - pair[0].time, 3_600);
        assert_eq!(pair[0].duration, 3_600, "exact, between fragments too");
    }
    let sounds = mp4.of(AUDIO);
    assert!(
        sounds
            .windows(2)
            .all(|pair| pair[1].time - pair[0].time == 160)
    );

    // Without keyframes, and without pictures.
    for with_video in [true, false] {
        let mut recorder = Recorder::new(true, with_video);
        for number in 0..500_u64 {
            recorder.frame(&audio, number * 20, 0, true, &[1; 160]);
            if with_video {
                recorder.frame(&video, number * 20, 0, number == 0, &[2; 300]);
            }
        }
        let mp4 = recorder.finish();
        let mut number = 1;
        while let Some(first) = mp4.samples.iter().find(|it| it.fragment == number) {
            let own = mp4.of(first.track);
            let own: Vec<_> = own.iter().filter(|it| it.fragment == number).collect();
            let lasts: u64 = own.iter().map(|it| u64::from(it.duration)).sum();
            assert!(lasts <= u64::from(mp4.clock(first.track)), "{lasts}");
            number += 1;
        }
        assert!(number > 10);
    }
}

#[test]
fn what_waits_is_written_when_its_time_comes() {
    let mut recorder = Recorder::new(true, true);
    let audio = plain(CodecConfig::Pcma);
    assert_eq!(recorder.writer.poll_timeout(), None);
    recorder.frame(&audio, 1_000, 0, true, &[1; 160]);
    // A picture is expected, and waited for.
    let due = recorder.writer.poll_timeout().unwrap();
    assert_eq!(due, millis(2_500));
    recorder.writer.handle_timeout(millis(2_499));
    assert_eq!(recorder.writer.poll_transmit(), None);
    recorder.writer.handle_timeout(due);
    assert!(recorder.writer.poll_transmit().is_some());
    assert_eq!(recorder.writer.poll_timeout(), None);
    recorder.frame(&audio, 3_000, 0, true, &[1; 160]);
    assert_eq!(recorder.writer.poll_timeout(), Some(millis(4_300)));
    // The picture that came too late begins another file.
    let pushed = recorder.frame(&video_config(320, 240), 3_010, 0, true, &[2; 300]);
    assert!(
        matches!(pushed, Pushed::New(new) if new.why == WhyNewFile::Late),
        "{pushed:?}"
    );
}

#[test]
fn what_a_file_cannot_hold_is_told() {
    let (video, audio) = (video_config(320, 240), plain(CodecConfig::Pcma));
    let mut recorder = Recorder::new(true, true);
    let speex = plain(CodecConfig::Speex);
    assert_eq!(
        recorder.frame(&speex, 0, 0, true, &[1; 60]),
        Pushed::NoPlace(Codec::Speex)
    );
    assert!(
        Codec::ALL
            .iter()
            .all(|codec| has_place(*codec) == (*codec != Codec::Speex))
    );
    assert_eq!(
        recorder.frame(&video, 0, 0, false, &[1; 60]),
        Pushed::NeedsKeyframe
    );
    assert!(recorder.writer.wants_keyframe());
    assert_eq!(recorder.frame(&video, 10, 0, true, &[1; 60]), Pushed::Taken);
    assert_eq!(
        recorder.frame(&audio, 10, 0, true, &[1; 160]),
        Pushed::Taken
    );
    recorder.writer.handle_gap();
    assert_eq!(
        recorder.frame(&video, 50, 0, false, &[1; 60]),
        Pushed::NeedsKeyframe
    );
    assert_eq!(recorder.frame(&video, 90, 0, true, &[1; 60]), Pushed::Taken);
    let changed = |pushed| matches!(pushed, Pushed::New(new) if new.why == WhyNewFile::Changed);
    assert!(changed(recorder.frame(
        &video_config(640, 480),
        130,
        0,
        true,
        &[1; 60]
    )));
    assert!(changed(recorder.frame(
        &plain(CodecConfig::Pcmu),
        130,
        0,
        true,
        &[1; 160]
    )));
    // The same in another place is no change.
    assert_eq!(
        recorder.frame(&video_config(320, 240), 170, 0, true, &[1; 60]),
        Pushed::Taken
    );
    let mp4 = recorder.finish();
    assert_eq!((mp4.of(VIDEO).len(), mp4.of(AUDIO).len()), (3, 1));
}

#[test]
fn a_fragment_is_bounded_in_frames_and_bytes_and_by_the_memory_there_is() {
    let video = video_config(320, 240);
    let mut recorder = Recorder::new(false, true);
    for number in 0..2_000_u64 {
        // All at the same moment: times still rise.
        assert_eq!(
            recorder.frame(&video, 7, 0, number == 0, &[1; 10]),
            Pushed::Taken
        );
    }
    assert_eq!(recorder.pieces.len(), 2_000 / RECORDING_SAMPLES);
    let mp4 = recorder.finish();
    assert!(
        mp4.of(VIDEO)
            .windows(2)
            .all(|pair| pair[1].time > pair[0].time)
    );

    let mut recorder = Recorder::new(false, true);
    for number in 0..40_u64 {
        let pushed = recorder.frame(&video, number, 0, number == 0, &vec![1; 100_000]);
        assert_eq!(pushed, Pushed::Taken);
        assert!(recorder.writer.held() <= RECORDING_FRAGMENT_BYTES);
    }
    assert_eq!(recorder.finish().of(VIDEO).len(), 40);

    let mut recorder = Recorder::new(false, true);
    recorder.memory = 250_000;
    for number in 0..40_u64 {
        let pushed = recorder.frame(&video, number, 0, number == 0, &vec![1; 100_000]);
        assert_eq!(pushed, Pushed::Taken, "{number}");
        assert!(recorder.writer.held() <= 250_000);
    }
    let pushed = recorder.frame(&video, 50, 0, false, &vec![1; 300_000]);
    assert_eq!(pushed, Pushed::NoRoom);
    assert_eq!(recorder.finish().of(VIDEO).len(), 40);
}

#[test]
fn times_far_apart_and_backwards_stay_times() {
    let audio = plain(CodecConfig::Pcma);
    let mut recorder = Recorder::new(true, false);
    for at in [5_000, 5_020, 4_000, 900_000_000, 1, 1_000_000_000] {
        assert_eq!(
            recorder.frame(&audio, at, 0, true, &[1; 160]),
            Pushed::Taken
        );
    }
    let mp4 = recorder.finish();
    let times: Vec<u64> = mp4.of(AUDIO).iter().map(|it| it.time).collect();
    assert!(times.windows(2).all(|pair| pair[1] > pair[0]), "{times:?}");
    assert!(times[5] > u64::from(u32::MAX), "64 bits: {times:?}");
}

#[test]
fn the_end_of_what_is_whole_is_found_in_any_bytes() {
    let extent = |bytes: &[u8]| {
        let mut extent = Extent::new(bytes.len() as u64);
        let mut steps = 0;
        while let Some(at) = extent.wants() {
            let at = at as usize;
            extent.take(bytes[at..at + 8].try_into().unwrap());
            steps += 1;
            assert!(steps <= bytes.len() / 8 + 1, "it goes on for ever");
        }
        extent.whole_bytes() as usize
    };
    let mut recorder = Recorder::new(true, false);
    for number in 0..200_u64 {
        recorder.frame(&plain(CodecConfig::Pcma), number * 20, 0, true, &[1; 160]);
    }
    let ends: Vec<usize> = recorder
        .pieces
        .iter()
        .scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        })
        .collect();
    let file = recorder.pieces.concat();
    for cut in 0..=file.len() {
        let expected = ends.iter().rev().find(|end| **end <= cut);
        assert_eq!(extent(&file[..cut]), expected.copied().unwrap_or(0));
    }
    let mut rng = Rng::from_number(5);
    for _ in 0..2_000 {
        let mut broken = file.clone();
        for _ in 0..=rng.below(8) {
            let at = rng.below(file.len() as u32) as usize;
            broken[at] = rng.below(256) as u8;
        }
        assert!(extent(&broken) <= broken.len());
    }
}
