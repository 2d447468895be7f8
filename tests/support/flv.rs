//! A reader of FLV files, exact where ffmpeg's would smooth things over.

use std::fs;
use std::path::Path;

use super::clip::{nal_type, slices};

/// A picture in an FLV file.
pub struct Picture {
    /// Time in milliseconds.
    pub time: u32,
    /// Whether the tag is marked as a keyframe.
    pub keyframe: bool,
    /// Presentation after decoding, in milliseconds.
    pub composition: i32,
    /// Its NAL units.
    pub nals: Vec<Vec<u8>>,
}

/// A sound tag in an FLV file.
pub struct Sound {
    /// Time in milliseconds.
    pub time: u32,
    /// First byte of the tag: format, rate, size, channels.
    pub format: u8,
    /// What follows it.
    pub data: Vec<u8>,
}

/// What an FLV file holds.
#[derive(Default)]
pub struct Flv {
    /// AVC sequence headers, with the number of pictures before each.
    pub sequence_headers: Vec<(usize, Vec<u8>)>,
    /// Pictures.
    pub pictures: Vec<Picture>,
    /// Sequence headers of sound, AAC's for one, with the number of sound tags before each.
    pub sound_headers: Vec<(usize, Vec<u8>)>,
    /// Sound.
    pub sounds: Vec<Sound>,
    /// Script tags.
    pub scripts: Vec<Vec<u8>>,
}

impl Flv {
    /// Reads a file; one cut off in a tag is read as far as it goes.
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&bytes[..3], b"FLV", "{} is no FLV file", path.display());
        let mut flv = Self::default();
        let mut rest = &bytes[13..];
        while rest.len() >= 15 {
            let size = be(&rest[1..4]) as usize;
            let time = be(&[rest[7], rest[4], rest[5], rest[6]]);
            let Some(body) = rest.get(11..11 + size) else {
                break;
            };
            flv.tag(rest[0] & 0x1f, time, body);
            rest = rest.get(11 + size + 4..).unwrap_or_default();
        }
        flv
    }

    /// The slices of every picture, in order.
    pub fn slices(&self) -> Vec<Vec<Vec<u8>>> {
        self.pictures
            .iter()
            .map(|picture| slices(&picture.nals))
            .collect()
    }

    /// All sound, joined.
    pub fn sound(&self) -> Vec<u8> {
        self.sounds
            .iter()
            .flat_map(|sound| sound.data.iter().copied())
            .collect()
    }

    /// Demands what every output of the gateway has: headers first, a keyframe first, and times
    /// that never go back within a track.
    pub fn check_order(&self) {
        assert!(!self.pictures.is_empty(), "no pictures");
        assert_eq!(
            self.sequence_headers[0].0, 0,
            "a picture came before the sequence header"
        );
        assert!(
            self.pictures[0].keyframe,
            "the first picture is not a keyframe"
        );
        for picture in &self.pictures {
            let idr = picture.nals.iter().any(|nal| nal_type(nal) == 5);
            assert_eq!(
                picture.keyframe, idr,
                "keyframe flag at {} ms",
                picture.time
            );
        }
        for pair in self.pictures.windows(2) {
            assert!(
                pair[0].time <= pair[1].time,
                "video went back to {} ms",
                pair[1].time
            );
        }
        for pair in self.sounds.windows(2) {
            assert!(
                pair[0].time <= pair[1].time,
                "audio went back to {} ms",
                pair[1].time
            );
        }
    }

    fn tag(&mut self, kind: u8, time: u32, body: &[u8]) {
        match (kind, body) {
            // AAC says what a tag holds.
            (8, [format, 0, header @ ..]) if format >> 4 == 10 => {
                self.sound_headers
                    .push((self.sounds.len(), header.to_vec()));
            }
            (8, [format, 1, data @ ..]) if format >> 4 == 10 => self.sounds.push(Sound {
                time,
                format: *format,
                data: data.to_vec(),
            }),
            (8, [format, data @ ..]) => {
                self.sounds.push(Sound {
                    time,
                    format: *format,
                    data: data.to_vec(),
                });
            }
            (9, [_, 0, _, _, _, header @ ..]) => {
                self.sequence_headers
                    .push((self.pictures.len(), header.to_vec()));
            }
            (9, [first, 1, high, middle, low, data @ ..]) => self.pictures.push(Picture {
                time,
                keyframe: first >> 4 == 1,
                // 24 bits with a sign, in the upper three bytes.
                composition: i32::from_be_bytes([*high, *middle, *low, 0]) >> 8,
                nals: length_prefixed(data),
            }),
            (18, data) => self.scripts.push(data.to_vec()),
            _ => {}
        }
    }
}

fn length_prefixed(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    while data.len() >= 4 {
        let length = be(&data[..4]) as usize;
        nals.push(data[4..4 + length].to_vec());
        data = &data[4 + length..];
    }
    assert!(data.is_empty(), "a picture ends within a length");
    nals
}

fn be(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u32::from(byte))
}
