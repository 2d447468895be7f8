//! The silence that we send is silence to a decoder: ffmpeg takes every packet of it without an
//! error, and what it hears is nothing.

use std::fs;
use std::process::Command;

mod support;

use support::Scratch;
use trunkcast::base::codec::AacConfig;
use trunkcast::rtp::silence::Sound;
use trunkcast::rtp::stream::Codec;
use trunkcast::wire::aac::{
    AacPacking, Latm, Mpeg4Generic, audio_specific_config, stream_mux_config,
};

/// Packets that are decoded in a row.
const PACKETS: usize = 100;

fn payload(codec: &Codec, clock_rate: u32) -> Vec<u8> {
    Sound::of(codec, clock_rate).unwrap().payload.to_vec()
}

/// Decodes a file, or panics at the first error; samples of all channels.
fn decode(options: &[&str], file: &std::path::Path, more: &[&str]) -> Vec<i16> {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-err_detect", "explode"])
        .args(options)
        .arg("-i")
        .arg(file)
        .args(more)
        .args(["-f", "s16le", "-"])
        .output()
        .expect("ffmpeg starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    // The times of a stream that has none are no matter of the decoder.
    let harmless = [
        "Guessed Channel Layout",
        "Estimating duration",
        "monotonically increasing dts",
    ];
    let faults = words
        .lines()
        .filter(|line| !harmless.iter().any(|words| line.contains(words)));
    assert_eq!(faults.count(), 0, "{words}");
    let bytes = output.stdout.chunks_exact(2);
    bytes
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn assert_silent(samples: &[i16], at_least: usize) {
    assert!(samples.len() >= at_least, "{} samples", samples.len());
    let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max();
    assert_eq!(loudest, Some(0));
}

/// An Ogg stream (RFC 3533) of one packet a page, each `samples` long.
fn ogg(packets: &[Vec<u8>], headers: usize, samples: u64) -> Vec<u8> {
    let mut file = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        let flags = match at {
            0 => 2,
            at if at + 1 == packets.len() => 4,
            _ => 0,
        };
        let time = (at + 1).saturating_sub(headers) as u64 * samples;
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend(time.to_le_bytes());
        page.extend(1_u32.to_le_bytes());
        page.extend((at as u32).to_le_bytes());
        page.extend([0; 4]);
        page.push(packet.len() as u8 / 255 + 1);
        page.extend(vec![255; packet.len() / 255]);
        page.push((packet.len() % 255) as u8);
        page.extend(packet);
        let mut crc = 0_u32;
        for byte in &page {
            crc ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                crc = (crc << 1)
                    ^ if crc & 0x8000_0000 != 0 {
                        0x04c1_1db7
                    } else {
                        0
                    };
            }
        }
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        file.extend(page);
    }
    file
}

#[test]
fn opus_is_silent_in_mono_and_stereo() {
    let folder = Scratch::new("silence-opus");
    for channels in [1, 2] {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend([0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0]);
        let tags = b"OpusTags\0\0\0\0\0\0\0\0".to_vec();
        let mut packets = vec![head, tags];
        packets.extend(vec![payload(&Codec::Opus { channels }, 48_000); PACKETS]);
        let file = folder.write("silence.opus", ogg(&packets, 2, 960));
        for decoder in ["libopus", "opus"] {
            let samples = decode(&["-c:a", decoder], &file, &[]);
            assert_silent(&samples, (PACKETS - 1) * 960 * usize::from(channels));
        }
    }
}

#[test]
fn speex_is_silent() {
    let folder = Scratch::new("silence-speex");
    let sound = payload(&Codec::Speex, 16_000);
    let mut file = b"FLV\x01\x04\0\0\0\x09\0\0\0\0".to_vec();
    for at in 0..PACKETS {
        let size = sound.len() as u32 + 1;
        let time = at as u32 * 20;
        file.push(8);
        file.extend(&size.to_be_bytes()[1..]);
        file.extend(&time.to_be_bytes()[1..]);
        file.extend([0, 0, 0, 0]);
        // Speex, 16 bits, mono; the rate's bits mean nothing.
        file.push(0xb2);
        file.extend(&sound);
        file.extend((size + 11).to_be_bytes());
    }
    let file = folder.write("silence.flv", file);
    for decoder in ["libspeex", "speex"] {
        let samples = decode(&["-c:a", decoder], &file, &[]);
        assert_silent(&samples, (PACKETS - 1) * 320);
    }
}

fn generic(config: AacConfig) -> Codec {
    Codec::Aac(AacPacking::Generic(Mpeg4Generic {
        config,
        size_length: 13,
        index_length: 3,
        index_delta_length: 3,
        constant_size: None,
    }))
}

#[test]
fn aac_is_silent_by_generic_packets() {
    let folder = Scratch::new("silence-aac");
    // Index of the rate, by the rates' order in the standard.
    for (rate_index, channels, config) in [
        (4, 2, [0x12, 0x10]),
        (3, 1, [0x11, 0x88]),
        (8, 1, [0x14, 0x08]),
    ] {
        let codec = generic(audio_specific_config(&config).unwrap());
        let sound = payload(&codec, 48_000);
        assert_eq!(sound[..2], [0, 16]);
        let unit = &sound[4..];
        assert_eq!(
            u16::from_be_bytes([sound[2], sound[3]]) >> 3,
            unit.len() as u16
        );
        let mut file = Vec::new();
        for _ in 0..PACKETS {
            let length = unit.len() as u16 + 7;
            file.extend([0xff, 0xf1, 0x40 | (rate_index << 2)]);
            file.push((channels << 6) | (length >> 11) as u8);
            file.push((length >> 3) as u8);
            file.extend([(length << 5) as u8 | 0x1f, 0xfc]);
            file.extend(unit);
        }
        let file = folder.write("silence.aac", file);
        let samples = decode(&[], &file, &[]);
        assert_silent(&samples, (PACKETS - 1) * 1_024 * usize::from(channels));
    }
}

#[test]
fn aac_is_silent_by_latm() {
    let folder = Scratch::new("silence-latm");
    let mono = stream_mux_config(&[0x40, 0x00, 0x23, 0x10, 0x3f, 0xc0]).unwrap();
    let stereo = stream_mux_config(&[0x40, 0x00, 0x26, 0x20, 0x3f, 0xc0]).unwrap();
    for (config, channels) in [(Some(mono), 1), (Some(stereo), 2), (None, 1)] {
        let latm = |in_band| {
            let config = config.clone();
            Codec::Aac(AacPacking::Latm(Latm {
                config,
                in_band,
                clock_rate: 48_000,
            }))
        };
        // The multiplex in band stands in LOAS as in RTP.
        let element = payload(&latm(true), 48_000);
        let mut file = Vec::new();
        for _ in 0..PACKETS {
            let length = element.len() as u16;
            file.extend([0x56, 0xe0 | (length >> 8) as u8, length as u8]);
            file.extend(&element);
        }
        let file = folder.write("silence.loas", file);
        let samples = decode(&["-f", "loas"], &file, &[]);
        assert_silent(&samples, (PACKETS - 2) * 1_024 * channels);
        // Without it the same access unit follows its length.
        if config.is_some() {
            let bare = payload(&latm(false), 48_000);
            assert_eq!(usize::from(bare[0]), bare.len() - 1);
            let unit = &payload(
                &generic(
                    audio_specific_config(&[0x12, if channels == 1 { 8 } else { 16 }]).unwrap(),
                ),
                48_000,
            )[4..];
            assert_eq!(&bare[1..], unit);
        }
    }
    assert!(fs::metadata(folder.join("silence.loas")).is_ok());
}
