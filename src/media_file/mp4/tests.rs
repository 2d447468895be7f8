use super::*;
use crate::base::codec::{Codec, CodecConfig};
use crate::base::rng::Rng;
use crate::limits::{FILE_SAMPLES, FILE_STATE_BYTES, FILE_TAG_BYTES};
use crate::media_file::tests::{Frames, SPS, read, sound};
use crate::media_file::{FileReader, Form};

fn mp4_box(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = (body.len() as u32 + 8).to_be_bytes();
    [&length[..], kind, &body].concat()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_be_bytes()).collect()
}

/// A box of 32-bit numbers, the first of them its version and flags.
fn table(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
    mp4_box(kind, &[&words(numbers)])
}

fn ftyp() -> Vec<u8> {
    mp4_box(b"ftyp", &[b"isom\0\0\0\0isom"])
}

fn visual(kind: &[u8; 4], inner: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 78];
    (head[7], head[25], head[27]) = (1, 176, 144);
    mp4_box(kind, &[&head, inner])
}

fn audible(kind: &[u8; 4], channels: u8, rate: u16, inner: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 28];
    (head[7], head[17], head[19]) = (1, channels, 16);
    head[24..26].copy_from_slice(&rate.to_be_bytes());
    mp4_box(kind, &[&head, inner])
}

fn avc(lengths: u8) -> Vec<u8> {
    let record = [1, 0x42, 0xc0, 0x0a, 0xfc | lengths, 0xe1, 0, 23];
    let pps = [1, 0, 4, 0x68, 0xce, 0x32, 0xc8];
    visual(b"avc1", &mp4_box(b"avcC", &[&record, &SPS, &pps]))
}

fn alaw() -> Vec<u8> {
    audible(b"alaw", 1, 8_000, &[])
}

/// AAC-LC of one channel at 44,100 Hz, its lengths written in four bytes as ffmpeg does.
fn aac(kind: u8) -> Vec<u8> {
    let long = |tag: u8, length: u8| [tag, 0x80, 0x80, 0x80, length];
    let mut decoder = vec![kind, 0x15];
    decoder.extend([0; 11]);
    decoder.extend(long(5, 2));
    decoder.extend([0x12, 0x08]);
    let parts: [&[u8]; 5] = [
        &[0; 4],
        &long(3, 34),
        &[0, 2, 0],
        &long(4, decoder.len() as u8),
        &decoder,
    ];
    audible(b"mp4a", 2, 44_100, &mp4_box(b"esds", &parts))
}

fn opus(channels: u8) -> Vec<u8> {
    let head = [0, channels, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0];
    audible(b"Opus", channels, 48_000, &mp4_box(b"dOps", &[&head]))
}

/// One `trak`: its number, ticks a second, sample entry, tables beside `stsd`, and edit list.
fn trak(number: u32, clock: u32, entry: &[u8], tables: &[u8], edits: &[u32]) -> Vec<u8> {
    let is_video = matches!(&entry[4..8], b"avc1" | b"vp08" | b"avc3" | b"hev1");
    let sort: &[u8; 4] = if is_video { b"vide" } else { b"soun" };
    let stsd = mp4_box(b"stsd", &[&words(&[0, 1]), entry]);
    let stbl = mp4_box(b"stbl", &[&stsd, tables]);
    let handler = mp4_box(b"hdlr", &[&[0; 8], sort, &[0; 13]]);
    let edts = match edits {
        [] => Vec::new(),
        edits => mp4_box(b"edts", &[&table(b"elst", edits)]),
    };
    let mdia = [
        &table(b"mdhd", &[0, 0, 0, clock, 0, 0]),
        &handler[..],
        &mp4_box(b"minf", &[&stbl]),
    ];
    let head = table(b"tkhd", &[3, 0, 0, number, 0]);
    mp4_box(b"trak", &[&head, &edts, &mp4_box(b"mdia", &mdia)])
}

fn moov(traks: &[Vec<u8>], more: &[u8]) -> Vec<u8> {
    let head = table(b"mvhd", &[0, 0, 0, 1_000, 0]);
    mp4_box(b"moov", &[&head, &traks.concat(), more])
}

/// Tables without samples, as in a fragmented file.
fn none() -> Vec<u8> {
    [
        table(b"stts", &[0, 0]),
        table(b"stsc", &[0, 0]),
        table(b"stsz", &[0, 0, 0]),
        table(b"stco", &[0, 0]),
    ]
    .concat()
}

fn mvex(defaults: &[[u32; 4]]) -> Vec<u8> {
    let trex = defaults.iter().map(|[number, duration, size, flags]| {
        table(b"trex", &[0, *number, 1, *duration, *size, *flags])
    });
    mp4_box(b"mvex", &[&trex.collect::<Vec<_>>().concat()])
}

const DEPENDS: u32 = 0x01_0000;

fn picture(at: u32) -> Vec<u8> {
    vec![0, 0, 0, 2, 0x65, at as u8]
}

/// The head of a fragmented film of H.264 and A-law.
fn head() -> Vec<u8> {
    let traks = [
        trak(1, 90_000, &avc(3), &none(), &[]),
        trak(2, 8_000, &alaw(), &none(), &[]),
    ];
    let more = mvex(&[[1, 3_600, 0, DEPENDS], [2, 160, 160, 0]]);
    [ftyp(), moov(&traks, &more)].concat()
}

/// One second: 25 pictures, then 50 frames of sound. Pictures have sizes and compositions of their own
/// and the first its flags; all else are defaults.
fn fragment(second: u32) -> Vec<u8> {
    let build = |offset: u32| {
        let mut run = vec![0xa05, 25, offset, 0];
        run.extend((0..25).flat_map(|_| [6, 1_800]));
        let video = [
            table(b"tfhd", &[0x02_0000, 1]),
            table(b"tfdt", &[0, second * 90_000]),
            table(b"trun", &run),
        ];
        let audio = [
            table(b"tfhd", &[0x02_0000, 2]),
            table(b"tfdt", &[0x0100_0000, 0, second * 8_000]),
            table(b"trun", &[1, 50, offset + 25 * 6]),
        ];
        let trafs = [video, audio].map(|parts| mp4_box(b"traf", &[&parts.concat()]));
        mp4_box(b"moof", &[&table(b"mfhd", &[0, second]), &trafs.concat()])
    };
    let offset = build(0).len() as u32 + 8;
    let media = [
        (0..25).flat_map(picture).collect::<Vec<_>>(),
        sound(50 * 160),
    ];
    [build(offset), mp4_box(b"mdat", &[&media.concat()])].concat()
}

fn fragmented(seconds: u32) -> Vec<u8> {
    let fragments = (0..seconds).map(fragment).collect::<Vec<_>>();
    [head(), fragments.concat()].concat()
}

/// What each second of the film is, in the order of its times.
fn expected(seconds: u32) -> Frames {
    let mut frames = Vec::new();
    let spoken = sound(50 * 160);
    for at in 0..i64::from(seconds) * 50 {
        if at % 2 == 0 {
            let number = (at / 2 % 25) as u32;
            let time = at / 2 * 40_000;
            frames.push((Track::Video, time, number == 0, picture(number)));
        }
        let bytes = spoken[(at as usize % 50) * 160..][..160].to_vec();
        frames.push((Track::Audio, at * 20_000, true, bytes));
    }
    frames
}

/// A film with one index: chunks of five pictures and of ten frames of sound in turn.
fn indexed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let build = |begin: u32| {
        let chunk = 5 * 6 + 10 * 160;
        let places = |first: u32| (0..5).map(move |at| begin + first + at * chunk);
        let mut video = table(b"stts", &[0, 2, 10, 3_600, 15, 3_600]);
        video.extend(table(b"ctts", &[0, 1, 25, 1_800]));
        video.extend(table(b"stss", &[0, 1, 1]));
        video.extend(table(b"stsc", &[0, 2, 1, 5, 1, 4, 5, 1]));
        let sizes = [&[0, 0, 25][..], &[6; 25]].concat();
        video.extend(table(b"stsz", &sizes));
        video.extend(table(
            b"stco",
            &[&[0, 5][..], &places(0).collect::<Vec<_>>()].concat(),
        ));
        // As QuickTime has it: each byte is a sample.
        let mut audio = table(b"stts", &[0, 1, 8_000, 1]);
        audio.extend(table(b"stsc", &[0, 1, 1, 1_600, 1]));
        audio.extend(table(b"stsz", &[0, 1, 8_000]));
        let wide = places(30).flat_map(|place| [0, place]).collect::<Vec<_>>();
        audio.extend(table(b"co64", &[&[0, 5][..], &wide].concat()));
        let traks = [
            trak(1, 90_000, &avc(3), &video, &[]),
            trak(2, 8_000, &alaw(), &audio, &[]),
        ];
        [ftyp(), moov(&traks, &mp4_box(b"udta", &[&[0; 4]]))].concat()
    };
    let begin = build(0).len() as u32 + 8;
    let mut file = build(begin);
    let chunk = |at: u32| {
        let pictures = (at * 5..at * 5 + 5).flat_map(picture).collect::<Vec<_>>();
        let from = at as usize * 1_600;
        [pictures, sound(8_000)[from..][..1_600].to_vec()].concat()
    };
    let media = (0..5).map(chunk).collect::<Vec<_>>();
    file.extend(mp4_box(b"mdat", &[&media.concat()]));
    change(&mut file);
    file
}

fn whole(file: &[u8]) -> (Frames, Tracks, Option<FaultAt>) {
    read(file, || usize::MAX)
}

fn fault(file: &[u8]) -> Fault {
    let (frames, _, fault) = whole(file);
    assert_eq!(frames.len(), 0);
    fault.unwrap().fault
}

#[test]
fn frames_of_fragments_come_in_the_order_of_their_times_however_the_file_is_cut() {
    let mut rng = Rng::from_number(4);
    let file = fragmented(3);
    for round in 0..100 {
        let mut piece = || match round {
            0 => usize::MAX,
            _ => rng.below(900) as usize,
        };
        let (frames, tracks, fault) = read(&file, &mut piece);
        assert_eq!(fault, None);
        assert_eq!(tracks.audio.unwrap().codec(), Codec::Pcma);
        assert_eq!(tracks.video.unwrap().codec(), Codec::H264);
        assert!(frames == expected(3), "{round}");
    }
}

#[test]
fn frames_of_one_index_come_likewise() {
    let mut rng = Rng::from_number(4);
    let file = indexed(|_| ());
    for round in 0..100 {
        let mut piece = || match round {
            0 => usize::MAX,
            _ => rng.below(900) as usize,
        };
        let (frames, _, fault) = read(&file, &mut piece);
        assert_eq!(fault, None);
        assert!(frames == expected(1), "{round}");
    }
}

#[test]
fn pictures_are_shown_later_than_they_are_decoded() {
    for file in [fragmented(1), indexed(|_| ())] {
        let mut reader = FileReader::default();
        let mut rest = &file[..];
        loop {
            let step = reader.take(rest).unwrap();
            rest = &rest[step.taken..];
            if let Some(frame) = step.frame {
                assert_eq!((frame.track, frame.composition), (Track::Video, 20_000));
                break;
            }
        }
    }
}

#[test]
fn a_file_is_described_by_its_first_index_of_frames() {
    for (file, most) in [
        (fragmented(2), head().len() + fragment(0).len() - 8_000),
        (indexed(|_| ()), indexed(|_| ()).len() - 8_000),
    ] {
        let mut reader = FileReader::default();
        let mut at = 0;
        while !reader.is_described() {
            let step = reader.take(&file[at..]).unwrap();
            assert!(step.frame.is_none());
            at += step.taken;
        }
        assert!(at < most, "{at}");
    }
}

#[test]
fn a_torn_file_ends_with_its_last_whole_frame() {
    let file = fragmented(2);
    let all = expected(2);
    let begun = head().len();
    let mut least = 0;
    for length in 0..file.len() {
        let (frames, _, fault) = whole(&file[..length]);
        if length < begun {
            assert_eq!(fault.unwrap().fault, Fault::Short);
            continue;
        }
        assert_eq!(fault, None, "{length}");
        assert!(frames.len() >= least);
        least = frames.len();
        assert!(frames == all[..least]);
    }
    assert!(least > 140, "{least}");
    // What some file systems leave behind.
    let torn = [&file[..], &[0; 5_000]].concat();
    let (frames, _, fault) = whole(&torn);
    assert_eq!((frames.len(), fault), (150, None));
}

#[test]
fn an_index_behind_the_media_is_refused_with_what_puts_it_in_front() {
    let late = [ftyp(), mp4_box(b"free", &[]), mp4_box(b"mdat", &[&[7; 50]])].concat();
    let (_, _, found) = whole(&late);
    let found = found.unwrap();
    assert_eq!((found.fault, found.position), (Fault::Mp4Late, 28));
    let words = found.to_string();
    for part in [
        "ffmpeg -i x.mp4 -c copy",
        "-movflags frag_keyframe+empty_moov+default_base_moof y.mp4",
        "(at byte 28)",
    ] {
        assert!(words.contains(part), "{words}");
    }
    // Places in front of the index.
    let place = |file: &mut Vec<u8>| {
        let at = file.windows(4).position(|it| it == b"stco").unwrap();
        file[at + 12..][..4].fill(0);
    };
    assert_eq!(fault(&indexed(place)), Fault::Mp4Late);
}

/// A fragmented film whose only track is of this sample entry.
fn only(entry: &[u8]) -> Vec<u8> {
    let clock = 48_000;
    let head = moov(
        &[trak(1, clock, entry, &none(), &[])],
        &mvex(&[[1, 960, 4, 0]]),
    );
    let build = |offset: u32| {
        // Neither a time nor where offsets count from.
        let parts = [table(b"tfhd", &[0, 1]), table(b"trun", &[1, 3, offset])];
        mp4_box(b"moof", &[&mp4_box(b"traf", &[&parts.concat()])])
    };
    let moof = build(build(0).len() as u32 + 8);
    let mdat = mp4_box(b"mdat", &[b"one.two.six."]);
    [ftyp(), head, moof.clone(), mdat.clone(), moof, mdat].concat()
}

#[test]
fn every_codec_of_a_call_that_has_a_place_is_known_by_its_sample_entry() {
    let ulaw = audible(b"ulaw", 1, 8_000, &[]);
    for (entry, codec) in [
        (avc(3), Codec::H264),
        (visual(b"vp08", &mp4_box(b"vpcC", &[&[0; 12]])), Codec::Vp8),
        (aac(0x40), Codec::Aac),
        (opus(2), Codec::Opus),
        (alaw(), Codec::Pcma),
        (ulaw, Codec::Pcmu),
    ] {
        let (frames, tracks, fault) = whole(&only(&entry));
        assert_eq!(fault, None, "{codec}");
        let config = tracks.video.or(tracks.audio).unwrap();
        assert_eq!(config.codec(), codec);
        match &*config {
            CodecConfig::Vp8(config) => assert_eq!((config.width, config.height), (176, 144)),
            CodecConfig::Aac(config) => {
                assert_eq!((config.sample_rate, config.channels), (44_100, 1));
            }
            CodecConfig::Opus { channels } => assert_eq!(*channels, 2),
            _ => {}
        }
        let found = frames.iter().map(|(_, time, _, bytes)| (*time, &bytes[..]));
        let words: [&[u8]; 3] = [b"one.", b"two.", b"six."];
        let wanted = (0..6).map(|at| (at as i64 * 20_000, words[at % 3]));
        assert!(found.eq(wanted), "{codec}: {frames:?}");
    }
}

#[test]
fn other_codecs_and_forms_are_refused_with_what_they_are() {
    let rate = |rate, channels| Fault::G711Rate { rate, channels };
    for (entry, wanted, words) in [
        (
            avc(1),
            Fault::NalLengths(2),
            "lengths of NAL units of 2 bytes",
        ),
        (
            visual(b"avc1", &mp4_box(b"avcC", &[&[1, 2]])),
            Fault::BadAvc,
            "AVC configuration",
        ),
        (
            visual(b"avc1", &[]),
            Fault::Mp4Box(*b"avc1"),
            "the box avc1",
        ),
        (
            visual(b"hev1", &[]),
            Fault::Mp4Codec(Track::Video, *b"hev1"),
            "video of MP4 codec hev1 is none",
        ),
        (
            audible(b"so\nt", 2, 44_100, &[]),
            Fault::Mp4Codec(Track::Audio, *b"so\nt"),
            "audio of MP4 codec so\\nt is none",
        ),
        (
            aac(0x6b),
            Fault::Mp4Codec(Track::Audio, *b"mp4a"),
            "codec mp4a",
        ),
        (
            opus(6),
            Fault::Mp4Codec(Track::Audio, *b"Opus"),
            "codec Opus",
        ),
        (
            audible(b"alaw", 2, 8_000, &[]),
            rate(8_000, 2),
            "2 channels",
        ),
        (
            audible(b"ulaw", 1, 16_000, &[]),
            rate(16_000, 1),
            "16000 Hz",
        ),
    ] {
        let found = fault(&only(&entry));
        assert_eq!(found, wanted);
        assert!(found.to_string().contains(words), "{found}");
    }
    let empty = [ftyp(), moov(&[], &[])].concat();
    assert_eq!(fault(&empty), Fault::Mp4Empty);
}

#[test]
fn what_is_larger_than_is_kept_is_refused() {
    let trak = |tables: &[u8]| trak(1, 8_000, &opus(1), tables, &[]);
    let with = |numbers: [&[u32]; 4]| {
        let [times, chunks, sizes, places] = numbers;
        let tables = [
            table(b"stts", times),
            table(b"stsc", chunks),
            table(b"stsz", sizes),
            table(b"stco", places),
        ];
        [ftyp(), moov(&[trak(&tables.concat())], &[])].concat()
    };
    let most = u32::MAX;
    let many: &[u32] = &[0, 1, 1, most, 1];
    let times: &[u32] = &[0, 1, most, 1];
    assert_eq!(
        fault(&with([times, many, &[0, 3, most], &[0, 1, 5_000]])),
        Fault::Mp4Samples
    );
    let long = FILE_TAG_BYTES as u32 + 1;
    assert_eq!(
        fault(&with([times, many, &[0, long, 1], &[0, 1, 5_000]])),
        Fault::TooLong(long)
    );
    let moof = |run: &[u32]| {
        let parts = [table(b"tfhd", &[0, 1]), table(b"trun", run)];
        let head = moov(&[trak(&none())], &mvex(&[[1, 960, 0, 0]]));
        let moof = mp4_box(b"moof", &[&mp4_box(b"traf", &[&parts.concat()])]);
        [ftyp(), head, moof].concat()
    };
    // Samples of no bytes, of which a few bytes tell many.
    assert_eq!(fault(&moof(&[0, most])), Fault::Mp4Samples);
    assert_eq!(
        fault(&moof(&[0, FILE_SAMPLES as u32 + 1])),
        Fault::Mp4Samples
    );
    assert_eq!(whole(&moof(&[0, FILE_SAMPLES as u32])).2, None);
    let index = FILE_INDEX_BYTES as u32 + 1;
    let large = [&ftyp()[..], &words(&[index + 8]), b"moov"].concat();
    assert_eq!(fault(&large), Fault::Mp4Index(index.into()));
    let huge = [&ftyp()[..], &words(&[1]), b"moov", &[0xff; 8]].concat();
    assert_eq!(fault(&huge), Fault::Mp4Index(u64::MAX - 16));
}

/// A film whose pictures take so many bytes, with all sound behind them.
fn apart(size: u32) -> Vec<u8> {
    let build = |begin: u32| {
        let tables = |size: u32, place: u32| {
            [
                table(b"stts", &[0, 1, 4, 1]),
                table(b"stsc", &[0, 1, 1, 4, 1]),
                table(b"stsz", &[0, size, 4]),
                table(b"stco", &[0, 1, place]),
            ]
            .concat()
        };
        let traks = [
            trak(1, 10, &avc(3), &tables(size, begin), &[]),
            trak(2, 10, &alaw(), &tables(160, begin + size * 4), &[]),
        ];
        [ftyp(), moov(&traks, &[])].concat()
    };
    let begin = build(0).len() as u32 + 8;
    let media = vec![9; size as usize * 4 + 640];
    [build(begin), mp4_box(b"mdat", &[&media])].concat()
}

#[test]
fn sound_may_stand_behind_the_pictures_as_far_as_the_window_reaches() {
    // The first sound is needed behind the first picture, with three more in between.
    let most = (FILE_WINDOW_BYTES as u32 - 640) / 4;
    let (frames, _, found) = whole(&apart(most));
    assert_eq!((frames.len(), found), (8, None));
    let tracks: Vec<_> = frames.iter().map(|frame| frame.0).collect();
    assert_eq!(tracks, [Track::Video, Track::Audio].repeat(4));
    assert_eq!(fault(&apart(most * 3 / 2)), Fault::Mp4Apart);
}

#[test]
fn the_beginning_of_an_edit_list_moves_a_track() {
    for (edits, micros) in [
        (&[0, 1, 5_000, 400, 0x1_0000][..], -50_000),
        (
            &[0, 2, 250, u32::MAX, 0x1_0000, 5_000, 80, 0x1_0000],
            240_000,
        ),
        (&[0, 0], 0),
    ] {
        let tables = [
            table(b"stts", &[0, 1, 1, 160]),
            table(b"stsc", &[0, 1, 1, 1, 1]),
            table(b"stsz", &[0, 4, 1]),
        ]
        .concat();
        let build = |place: u32| {
            let tables = [&tables[..], &table(b"stco", &[0, 1, place])].concat();
            let trak = trak(1, 8_000, &alaw(), &tables, edits);
            [ftyp(), moov(&[trak], &[])].concat()
        };
        let mut file = build(build(0).len() as u32 + 8);
        file.extend(mp4_box(b"mdat", &[b"word"]));
        let (frames, _, fault) = whole(&file);
        assert_eq!(fault, None);
        assert_eq!(frames, [(Track::Audio, micros, true, b"word".to_vec())]);
    }
}

#[test]
fn a_second_track_of_a_sort_and_other_boxes_are_passed_over() {
    let traks = [
        trak(1, 8_000, &alaw(), &none(), &[]),
        trak(7, 8_000, &audible(b"sowt", 2, 44_100, &[]), &none(), &[]),
    ];
    let more = mvex(&[[1, 160, 4, 0], [7, 160, 4, 0]]);
    let run = |number, offset| {
        let parts = [
            table(b"tfhd", &[0x02_0000, number]),
            table(b"trun", &[1, 1, offset]),
        ];
        mp4_box(b"traf", &[&parts.concat()])
    };
    let build = |offset| mp4_box(b"moof", &[&run(7, offset), &run(1, offset + 4)]);
    let file = [
        ftyp(),
        mp4_box(b"free", &[&[0; 30]]),
        moov(&traks, &more),
        mp4_box(b"sidx", &[&[0; 30]]),
        build(build(0).len() as u32 + 16),
        // A length that 32 bits could hold, in 64.
        [&words(&[1])[..], b"mdat", &words(&[0, 24]), b"7777word"].concat(),
        mp4_box(b"mfra", &[]),
    ];
    let (frames, _, fault) = whole(&file.concat());
    assert_eq!(fault, None);
    assert_eq!(frames, [(Track::Audio, 0, true, b"word".to_vec())]);
}

#[test]
fn every_truncation_and_thousands_of_damages_are_survived_in_bounded_memory() {
    let mut rng = Rng::from_number(9);
    for file in [fragmented(2), indexed(|_| ()), only(&aac(0x40))] {
        for length in 0..file.len() {
            whole(&file[..length]);
        }
        for _ in 0..5_000 {
            let mut damaged = file.clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(file.len().min(1_600) as u32) as usize;
                damaged[at] = rng.u32() as u8;
            }
            let mut reader = FileReader::default();
            let mut rest = &damaged[..];
            while !rest.is_empty() || reader.has_frame() {
                let Ok(step) = reader.take(&rest[..rest.len().min(700)]) else {
                    break;
                };
                assert!(step.taken > 0 || step.frame.is_some(), "no progress");
                rest = &rest[step.taken..];
                if let Form::Mp4(mp4) = &reader.form {
                    let samples = mp4.tracks.iter().map(|it| it.samples().len());
                    let held = mp4.window.capacity() + mp4.index.capacity();
                    assert!(held + samples.sum::<usize>() * 24 <= FILE_STATE_BYTES);
                }
            }
        }
    }
}
