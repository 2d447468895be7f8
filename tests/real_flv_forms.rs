//! What a viewer is sent, read by ffmpeg: legacy forms written into FLV files as they are, Opus and
//! VP8 taken out of their enhanced forms, which the ffmpeg of the tests does not read.

mod rtmp_support;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use rtmp_support::client::{Client, Told};
use rtmp_support::codecs::{aac, opus, plain, vp8};
use rtmp_support::{Source, millis};
use support::program::run;
use support::{Scratch, opus_vp8, probe};
use trunkcast::base::codec::{CodecConfig, H264Config, ParameterSet};
use trunkcast::wire::flv::{AudioHead, Part, VideoHead};

/// A tag of an FLV file: kind, time, body.
type Tag = (u8, u32, Vec<u8>);

/// Encodes two seconds with ffmpeg into an FLV file, its own.
fn encoded(folder: &Scratch, name: &str, arguments: &str) -> Vec<Tag> {
    let path = folder.join(name);
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments.split(' '))
        .args(["-t", "2", "-flags", "+bitexact", "-f", "flv"])
        .arg(&path));
    let bytes = std::fs::read(&path).expect("the file was written");
    let mut tags = Vec::new();
    let mut rest = &bytes[13..];
    while let [kind, a, b, c, t1, t2, t3, t0, _, _, _, body @ ..] = rest {
        let size = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let time = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        tags.push((*kind, time, body[..size].to_vec()));
        rest = &body[size + 4..];
    }
    tags
}

/// Writes what a client was told into an FLV file.
fn written(folder: &Scratch, name: &str, told: &[Told]) -> std::path::PathBuf {
    let mut file = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00".to_vec();
    for told in told {
        let (kind, time, body) = match told {
            Told::Metadata(data) => {
                let mut body = vec![0; 512];
                let len = data.write(false, &mut body).expect("room");
                (18, 0, body[..len].to_vec())
            }
            Told::Audio(at, body) => (8, *at, body.clone()),
            Told::Video(at, body) => (9, *at, body.clone()),
        };
        let size = body.len() as u32;
        file.push(kind);
        file.extend_from_slice(&size.to_be_bytes()[1..]);
        file.extend_from_slice(&time.to_be_bytes()[1..]);
        file.push(time.to_be_bytes()[0]);
        file.extend_from_slice(&[0; 3]);
        file.extend_from_slice(&body);
        file.extend_from_slice(&(size + 11).to_be_bytes());
    }
    folder.write(name, file)
}

/// The configuration in an AVC sequence header of one SPS and one PPS.
fn h264(record: &[u8], width: u16, height: u16) -> Rc<CodecConfig> {
    let sps_len = usize::from(u16::from_be_bytes([record[6], record[7]]));
    let (sps, rest) = record[8..].split_at(sps_len);
    let pps_len = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
    let mut pps = heapless::Vec::new();
    pps.push(ParameterSet::from_slice(&rest[3..3 + pps_len]).unwrap())
        .unwrap();
    Rc::new(CodecConfig::H264(H264Config {
        sps: ParameterSet::from_slice(sps).unwrap(),
        pps,
        width,
        height,
    }))
}

/// Hands the frames of ffmpeg's file to a viewer as if they had come from a call, in order of time.
fn relayed(tags: &[Tag], expect_video: bool, audio: Option<Rc<CodecConfig>>) -> Vec<Told> {
    let mut source = Source::new();
    let mut client = Client::join(0, &source.log, expect_video, |_| {});
    let (mut video, mut audio) = (None, audio);
    let mut told = Vec::new();
    for (kind, time, body) in tags {
        let micros = i64::from(*time) * 1_000;
        match (kind, &body[..]) {
            (9, [0x17, 0, _, _, _, record @ ..]) => video = Some(h264(record, 320, 240)),
            (9, [first, 1, high, middle, low, picture @ ..]) => {
                let composition = u32::from_be_bytes([0, *high, *middle, *low]) * 1_000;
                let config = video.as_ref().expect("a sequence header");
                source.frame(config, micros, composition, first >> 4 == 1, picture);
            }
            (8, [0xae | 0xaf, 0, specific @ ..]) => audio = Some(aac(specific, 44_100)),
            (8, [0xae | 0xaf, 1, frame @ ..]) | (8, [_, frame @ ..]) if !frame.is_empty() => {
                source.frame(
                    audio.as_ref().expect("its configuration"),
                    micros,
                    0,
                    true,
                    frame,
                );
            }
            _ => continue,
        }
        client.pump(millis(u64::from(*time)), &source.log);
        source.log.release_before(client.player.position());
        told.extend(client.take());
    }
    assert_eq!(client.left_out, []);
    told
}

/// Decoded samples or pictures of one track, as a checksum.
fn decoded(input: &Path, track: &str) -> String {
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(input)
        .args(["-map", track, "-fps_mode", "passthrough", "-f", "md5", "-"]))
}

/// Times of every packet of a track, by decoding time, in milliseconds.
fn times(input: &Path, track: &str) -> BTreeMap<i64, i64> {
    let text = run(Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", track])
        .args(["-show_entries", "packet=pts,dts", "-of", "csv=p=0"])
        .arg(input));
    let number = |text: &str| text.parse::<i64>().expect("a number");
    text.lines()
        .map(|line| {
            let mut numbers = line.trim_end_matches(',').split(',').map(number);
            let presented = numbers.next().expect("pts");
            (numbers.next().expect("dts"), presented)
        })
        .collect()
}

fn check_audio(
    name: &str,
    arguments: &str,
    config: Option<CodecConfig>,
    expected: (&str, u32, u32),
) {
    let folder = Scratch::new("flv-forms");
    let tags = encoded(&folder, "theirs.flv", arguments);
    let told = relayed(&tags, false, config.map(plain));
    let ours = written(&folder, "ours.flv", &told);
    let theirs = folder.join("theirs.flv");
    probe::decode_strictly(&ours);
    let (codec, rate, channels) = expected;
    let said = probe::streams(&ours);
    assert_eq!(
        said.audio,
        Some((codec.to_owned(), rate, channels)),
        "{name}"
    );
    assert_eq!(said.video, None);
    assert_eq!(decoded(&ours, "0:a"), decoded(&theirs, "0:a"), "{name}");
    assert_eq!(times(&ours, "a"), times(&theirs, "a"), "{name}");
}

#[test]
fn aac_decodes_as_it_was_encoded() {
    check_audio(
        "AAC",
        "-f lavfi -i sine=frequency=440:sample_rate=44100 -ac 2 -c:a aac",
        None,
        ("aac", 44_100, 2),
    );
}

#[test]
fn speex_decodes_as_it_was_encoded() {
    check_audio(
        "Speex",
        "-f lavfi -i sine=frequency=440:sample_rate=16000 -ac 1 -c:a libspeex",
        Some(CodecConfig::Speex),
        ("speex", 16_000, 1),
    );
}

#[test]
fn g711_decodes_as_it_was_encoded() {
    for (codec, config) in [("alaw", CodecConfig::Pcma), ("mulaw", CodecConfig::Pcmu)] {
        let arguments =
            format!("-f lavfi -i sine=frequency=440:sample_rate=8000 -ac 1 -c:a pcm_{codec}");
        let name = format!("pcm_{codec}");
        check_audio(codec, &arguments, Some(config), (&name, 8_000, 1));
    }
}

#[test]
fn pictures_out_of_order_are_presented_when_they_should_be() {
    let folder = Scratch::new("flv-forms");
    let tags = encoded(
        &folder,
        "theirs.flv",
        "-f lavfi -i testsrc=size=320x240:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 \
         -c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -b_strategy 0 -g 25 \
         -x264-params repeat-headers=1 -c:a aac -ac 2",
    );
    let composed = tags.iter().filter(|(kind, _, body)| {
        *kind == 9
            && body
                .get(1..5)
                .is_some_and(|head| head[0] == 1 && head[1..] != [0; 3])
    });
    assert!(
        composed.count() > 20,
        "the clip has no pictures out of order"
    );
    let told = relayed(&tags, true, None);
    let (ours, theirs) = (
        written(&folder, "ours.flv", &told),
        folder.join("theirs.flv"),
    );
    probe::decode_strictly(&ours);
    let said = probe::streams(&ours);
    assert_eq!(said.video, Some(("h264".to_owned(), 320, 240)));
    assert_eq!(said.audio, Some(("aac".to_owned(), 44_100, 2)));
    assert_eq!(said.pictures, 50);
    assert_eq!(probe::picture_sums(&ours), probe::picture_sums(&theirs));
    assert_eq!(times(&ours, "v"), times(&theirs, "v"));
    // A viewer who waits for a picture is not sent the sound before it.
    let (ours, theirs) = (times(&ours, "a"), times(&theirs, "a"));
    assert!(ours.len() + 3 > theirs.len());
    assert!(ours.iter().all(|(at, _)| theirs.contains_key(at)));
}

/// What stands behind the heads of a kind.
fn payloads<'a>(
    told: &'a [Told],
    part: Part,
    is_video: bool,
) -> impl Iterator<Item = (u32, Vec<u8>)> + 'a {
    told.iter().filter_map(move |told| match told {
        Told::Audio(at, body) if !is_video => {
            let head = AudioHead::parse(body).expect("a head");
            (head.part == part).then(|| (*at, body[head.length..].to_vec()))
        }
        Told::Video(at, body) if is_video => {
            let head = VideoHead::parse(body).expect("a head");
            (head.part == part).then(|| (*at, body[head.length..].to_vec()))
        }
        _ => None,
    })
}

#[test]
fn opus_decodes_with_the_header_that_it_is_sent_with() {
    let folder = Scratch::new("flv-forms");
    let theirs = folder.join("theirs.opus");
    run(Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "sine=sample_rate=48000",
        ])
        .args([
            "-t",
            "2",
            "-ac",
            "2",
            "-c:a",
            "libopus",
            "-frame_duration",
            "20",
        ])
        .arg(&theirs));
    let packets = opus_vp8::ogg_packets(&std::fs::read(&theirs).expect("the file was written"));
    let packets = &packets[2..];
    let (mut source, config) = (Source::new(), opus());
    let mut client = Client::join(0, &source.log, false, |connect| {
        connect.name("fourCcList").strict_array(1).string(&["Opus"]);
    });
    let mut told = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        let at = number as u64 * 20;
        source.frame(&config, at as i64 * 1_000, 0, true, packet);
        client.pump(millis(at), &source.log);
        source.log.release_before(client.player.position());
        told.extend(client.take());
    }
    let headers: Vec<_> = payloads(&told, Part::SequenceHeader, false).collect();
    assert_eq!(headers.len(), 1);
    let got: Vec<_> = payloads(&told, Part::Frame, false)
        .map(|(_, packet)| packet)
        .collect();
    assert_eq!(got, packets);
    let ours = folder.write("ours.opus", opus_vp8::ogg_stream(&headers[0].1, &got));
    probe::decode_strictly(&ours);
    assert_eq!(
        probe::streams(&ours).audio,
        Some(("opus".to_owned(), 48_000, 2))
    );
    // Nothing is cut: every 20 ms that were sent are heard, the encoder's lead-in too.
    let samples = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(&ours)
        .args(["-f", "framehash", "-"]));
    let lengths = samples.lines().filter(|line| !line.starts_with('#'));
    let length: usize = lengths
        .filter_map(|line| line.split(',').nth(3)?.trim().parse::<usize>().ok())
        .sum();
    assert_eq!(length, packets.len() * 960);
}

#[test]
fn vp8_decodes_as_it_was_encoded() {
    let folder = Scratch::new("flv-forms");
    let theirs = folder.join("theirs.ivf");
    run(Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x240:rate=25",
        ])
        .args([
            "-t",
            "2",
            "-c:v",
            "libvpx",
            "-deadline",
            "realtime",
            "-g",
            "25",
            "-auto-alt-ref",
            "0",
        ])
        .arg(&theirs));
    let file = std::fs::read(&theirs).expect("the file was written");
    let frames = opus_vp8::ivf_frames(&file);
    assert_eq!(frames.len(), 50);
    let (mut source, config) = (Source::new(), vp8(320, 240));
    let mut client = Client::join(0, &source.log, true, |connect| {
        connect.name("videoFourCcInfoMap").object();
        connect.name("vp08").number(1.0).end();
    });
    let mut told = Vec::new();
    for (time, frame) in &frames {
        let keyframe = frame[0] & 1 == 0;
        source.frame(&config, *time as i64 * 40_000, 0, keyframe, frame);
        client.pump(millis(time * 40), &source.log);
        source.log.release_before(client.player.position());
        told.extend(client.take());
    }
    assert_eq!(payloads(&told, Part::SequenceHeader, true).count(), 1);
    let got: Vec<_> = payloads(&told, Part::Frame, true)
        .map(|(at, frame)| (u64::from(at) / 40, frame))
        .collect();
    let ours = folder.write("ours.ivf", opus_vp8::ivf_file(&file, &got));
    probe::decode_strictly(&ours);
    assert_eq!(probe::picture_sums(&ours), probe::picture_sums(&theirs));
}
