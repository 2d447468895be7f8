use super::*;
use crate::base::codec::Codec;
use crate::base::rng::Rng;

/// What a reader gave: track, time, keyframe and bytes of each frame; or the fault.
pub(super) type Frames = Vec<(Track, i64, bool, Vec<u8>)>;

pub(super) fn read(
    bytes: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Frames, Tracks, Option<FaultAt>) {
    let mut reader = FileReader::default();
    let mut frames = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (mut part, after) = rest.split_at(piece().clamp(1, rest.len()));
        rest = after;
        while !part.is_empty() {
            match reader.take(part) {
                Ok(step) => {
                    assert!(step.taken > 0 || step.frame.is_some(), "no progress");
                    part = &part[step.taken..];
                    if let Some(frame) = step.frame {
                        frames.push((frame.track, frame.time, frame.keyframe, frame.bytes.into()));
                    }
                }
                Err(fault) => return (frames, reader.tracks(), Some(fault)),
            }
        }
    }
    while reader.has_frame() {
        let frame = reader.take(&[]).unwrap().frame.unwrap();
        frames.push((frame.track, frame.time, frame.keyframe, frame.bytes.into()));
    }
    let fault = reader.end();
    (frames, reader.tracks(), fault)
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut all = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
    all.resize(all.len().next_multiple_of(2), 0);
    all
}

fn format(code: u16, channels: u16, rate: u32) -> Vec<u8> {
    let mut body = code.to_le_bytes().to_vec();
    body.extend(channels.to_le_bytes());
    body.extend(rate.to_le_bytes());
    body.extend(rate.to_le_bytes());
    body.extend([1, 0, 8, 0, 0, 0]);
    chunk(b"fmt ", &body)
}

fn wav(chunks: &[Vec<u8>]) -> Vec<u8> {
    [&b"RIFF\0\0\0\0WAVE"[..], &chunks.concat()].concat()
}

pub(super) fn sound(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| at as u8).collect()
}

fn tag(kind: u8, millis: u32, body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u32).to_be_bytes();
    let [t3, t0, t1, t2] = millis.to_be_bytes();
    let head = [kind, size[1], size[2], size[3], t0, t1, t2, t3, 0, 0, 0];
    let end = (body.len() as u32 + 11).to_be_bytes();
    [&head[..], body, &end].concat()
}

fn flv(flags: u8, tags: &[Vec<u8>]) -> Vec<u8> {
    [
        &[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0][..],
        &tags.concat(),
    ]
    .concat()
}

pub(super) const SPS: [u8; 23] = [
    0x67, 0x42, 0xc0, 0x0a, 0xda, 0x0b, 0x13, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00,
    0x03, 0x00, 0x02, 0x0f, 0x12, 0x26, 0xa0,
];

/// A film of H.264 and A-law.
fn film() -> Vec<u8> {
    let mut record = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, 23];
    record.extend(SPS);
    record.extend([1, 0, 4, 0x68, 0xce, 0x32, 0xc8]);
    let mut tags = vec![tag(18, 0, b"metadata"), tag(9, 0, &record)];
    for at in 0..10_u32 {
        let head = [if at == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 40];
        let nal = [0, 0, 0, 2, 0x65, at as u8];
        tags.push(tag(9, at * 40, &[&head[..], &nal].concat()));
        tags.push(tag(8, at * 40, &[&[0x72][..], &sound(160)].concat()));
    }
    flv(5, &tags)
}

#[test]
fn sound_of_wav_comes_in_frames_of_20_ms_however_the_file_is_cut() {
    let mut rng = Rng::from_number(3);
    for (code, codec) in [(6, Codec::Pcma), (7, Codec::Pcmu)] {
        let list = chunk(b"LIST", b"odd");
        let file = wav(&[
            list.clone(),
            format(code, 1, 8_000),
            chunk(b"fact", &[]),
            chunk(b"data", &sound(1_000)),
            list,
        ]);
        for round in 0..200 {
            let mut piece = || {
                if round == 0 {
                    usize::MAX
                } else {
                    rng.below(300) as usize
                }
            };
            let (frames, tracks, fault) = read(&file, &mut piece);
            assert_eq!(fault, None);
            assert_eq!(tracks.audio.unwrap().codec(), codec);
            assert_eq!(frames.len(), 6, "the rest is less than a frame");
            for (at, (track, time, keyframe, bytes)) in frames.iter().enumerate() {
                assert_eq!(
                    (*track, *time, *keyframe),
                    (Track::Audio, at as i64 * 20_000, true)
                );
                assert_eq!(bytes[..], sound(1_000)[at * 160..][..160]);
            }
        }
    }
}

#[test]
fn a_wav_file_of_something_else_is_refused_with_what_it_is() {
    for (file, fault, position) in [
        (wav(&[format(1, 1, 8_000)]), Fault::WavFormat(1), 20),
        (wav(&[format(0xfffe, 2, 48_000)]), Fault::WavFormat(1), 20),
        (wav(&[format(49, 1, 8_000)]), Fault::WavFormat(49), 20),
        (
            wav(&[format(6, 2, 8_000)]),
            Fault::G711Rate {
                rate: 8_000,
                channels: 2,
            },
            20,
        ),
        (
            wav(&[format(7, 1, 16_000)]),
            Fault::G711Rate {
                rate: 16_000,
                channels: 1,
            },
            20,
        ),
        (wav(&[chunk(b"data", &[1])]), Fault::WavOrder, 12),
        (wav(&[chunk(b"fmt ", &[6, 0])]), Fault::Short, 12),
        (b"OggS\0\0\0\0\0\0\0\0".to_vec(), Fault::Unknown, 0),
        (b"RIFF".to_vec(), Fault::Short, 4),
        (Vec::new(), Fault::Short, 0),
        (
            flv(5, &[tag(9, 0, &[0x17, 0, 0, 0, 0, 9])]),
            Fault::BadAvc,
            24,
        ),
        (flv(5, &[tag(8, 0, &[0xaf, 0, 0xff])]), Fault::BadAac, 24),
        (
            flv(5, &[tag(8, 0, &[0x2f, 0, 0xff])]),
            Fault::FlvCodec(Track::Audio, 2),
            24,
        ),
        (
            flv(1, &[tag(9, 0, &[0x12, 0, 0xff])]),
            Fault::FlvCodec(Track::Video, 2),
            24,
        ),
    ] {
        let (_, _, found) = read(&file, || usize::MAX);
        assert_eq!(found, Some(FaultAt { fault, position }), "{fault}");
    }
}

#[test]
fn sound_and_pictures_of_flv_come_with_their_times_however_the_file_is_cut() {
    let mut rng = Rng::from_number(3);
    let file = film();
    for round in 0..200 {
        let mut piece = || {
            if round == 0 {
                usize::MAX
            } else {
                rng.below(90) as usize
            }
        };
        let (frames, tracks, fault) = read(&file, &mut piece);
        assert_eq!(fault, None);
        assert_eq!(tracks.audio.unwrap().codec(), Codec::Pcma);
        let CodecConfig::H264(config) = (*tracks.video.unwrap()).clone() else {
            panic!("H.264");
        };
        assert_eq!(
            (config.width, config.height, config.pps.len()),
            (176, 144, 1)
        );
        assert_eq!(frames.len(), 20);
        for (at, two) in frames.chunks(2).enumerate() {
            let time = at as i64 * 40_000;
            let nal = vec![0, 0, 0, 2, 0x65, at as u8];
            assert_eq!(two[0], (Track::Video, time, at == 0, nal));
            assert_eq!(two[1], (Track::Audio, time, true, sound(160)));
        }
    }
}

#[test]
fn a_file_is_described_by_its_head_or_after_some_tags() {
    let file = film();
    let mut reader = FileReader::default();
    let mut at = 0;
    while !reader.is_described() {
        at += reader.take(&file[at..]).unwrap().taken;
    }
    // Behind the first frame of sound.
    assert!(at < 400, "{at}");
    // The head promises pictures that never come.
    let tags: Vec<_> = (0..100).map(|at| tag(8, at * 20, &[0x72, 1])).collect();
    let file = flv(5, &tags);
    let mut reader = FileReader::default();
    let mut at = 0;
    while at < file.len() {
        at += reader.take(&file[at..]).unwrap().taken;
    }
    assert!(reader.is_described());
}

#[test]
fn every_truncation_and_thousands_of_damages_are_survived() {
    let mut rng = Rng::from_number(9);
    let wav = wav(&[format(6, 1, 8_000), chunk(b"data", &sound(500))]);
    for file in [film(), wav] {
        for length in 0..file.len() {
            read(&file[..length], || usize::MAX);
        }
        for _ in 0..20_000 {
            let mut damaged = file.clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(file.len().min(300) as u32) as usize;
                damaged[at] = rng.u32() as u8;
            }
            read(&damaged, || 700);
        }
    }
}
