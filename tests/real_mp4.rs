//! Files of recordings, read by ffmpeg: every pair of codecs decodes to what was encoded, with the
//! times that it was sent with, and so does what is left of a file that was cut off anywhere.

mod rtmp_support;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use rtmp_support::Source;
use rtmp_support::codecs::{aac, opus, plain, vp8};
use support::program::run;
use support::{Scratch, opus_vp8, probe};
use trunkcast::base::codec::{Codec, CodecConfig, H264Config, ParameterSet, Track};
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::limits::FILE_CHUNK_BYTES;
use trunkcast::media_file::{Fault, FaultAt, FileReader};
use trunkcast::mp4::{Extent, Mp4Writer, Pushed};

/// Seconds of every clip.
const SECONDS: u64 = 4;

/// A frame as an encoder made it.
struct Encoded {
    config: Rc<CodecConfig>,
    /// Microseconds.
    time: i64,
    composition: u32,
    keyframe: bool,
    bytes: Vec<u8>,
}

/// One track: its frames, and the file that ffmpeg reads them from itself.
struct Encoding {
    frames: Vec<Encoded>,
    theirs: PathBuf,
}

/// Encodes with ffmpeg into a file of this name.
fn encode(folder: &Scratch, name: &str, input: &str, arguments: &str) -> (PathBuf, Vec<u8>) {
    let path = folder.join(name);
    let time = SECONDS.to_string();
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", input])
        .args(arguments.split(' '))
        .args(["-t", &time, "-flags", "+bitexact"])
        .arg(&path));
    let bytes = std::fs::read(&path).expect("the file was written");
    (path, bytes)
}

/// Tags of an FLV file: kind, milliseconds, body.
fn tags(file: &[u8]) -> Vec<(u8, i64, Vec<u8>)> {
    let mut tags = Vec::new();
    let mut rest = &file[13..];
    while let [kind, a, b, c, t1, t2, t3, t0, _, _, _, body @ ..] = rest {
        let size = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let time = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        tags.push((*kind, i64::from(time), body[..size].to_vec()));
        rest = &body[size + 4..];
    }
    tags
}

fn h264(record: &[u8]) -> Rc<CodecConfig> {
    let sps_len = usize::from(u16::from_be_bytes([record[6], record[7]]));
    let (sps, rest) = record[8..].split_at(sps_len);
    let pps_len = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
    let mut pps = heapless::Vec::new();
    let set = ParameterSet::from_slice(&rest[3..3 + pps_len]).unwrap();
    pps.push(set).unwrap();
    Rc::new(CodecConfig::H264(H264Config {
        sps: ParameterSet::from_slice(sps).unwrap(),
        pps,
        width: 320,
        height: 240,
    }))
}

fn frame(config: &Rc<CodecConfig>, time: i64, bytes: &[u8]) -> Encoded {
    Encoded {
        config: Rc::clone(config),
        time,
        composition: 0,
        keyframe: true,
        bytes: bytes.to_vec(),
    }
}

fn encoding(folder: &Scratch, codec: Codec) -> Encoding {
    let picture = "testsrc=size=320x240:rate=25";
    let sound = |rate: u32| format!("sine=frequency=440:sample_rate={rate}");
    match codec {
        Codec::H264 => {
            let arguments = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -b_strategy 0 \
                             -g 50 -threads 1";
            let (theirs, file) = encode(folder, "h264.flv", picture, arguments);
            let (mut frames, mut config) = (Vec::new(), None);
            for (kind, millis, body) in tags(&file) {
                match (kind, &body[..]) {
                    (9, [0x17, 0, _, _, _, record @ ..]) => config = Some(h264(record)),
                    (9, [first, 1, high, middle, low, picture @ ..]) => frames.push(Encoded {
                        composition: u32::from_be_bytes([0, *high, *middle, *low]) * 1_000,
                        keyframe: first >> 4 == 1,
                        ..frame(config.as_ref().unwrap(), millis * 1_000, picture)
                    }),
                    _ => {}
                }
            }
            assert!(
                frames.iter().any(|it| it.composition > 80_000),
                "no B pictures"
            );
            Encoding { frames, theirs }
        }
        Codec::Vp8 => {
            let arguments = "-c:v libvpx -deadline realtime -b:v 400k -g 50 -auto-alt-ref 0";
            let (theirs, file) = encode(folder, "vp8.ivf", picture, arguments);
            let config = vp8(320, 240);
            let frames = opus_vp8::ivf_frames(&file).into_iter().enumerate();
            let frames = frames.map(|(number, (_, bytes))| Encoded {
                keyframe: bytes[0] & 1 == 0,
                ..frame(&config, number as i64 * 40_000, &bytes)
            });
            let frames = frames.collect();
            Encoding { frames, theirs }
        }
        Codec::Opus => {
            let arguments = "-ac 2 -c:a libopus -frame_duration 20";
            let (theirs, file) = encode(folder, "opus.opus", &sound(48_000), arguments);
            let config = opus();
            let packets = opus_vp8::ogg_packets(&file);
            let frames = packets[2..].iter().enumerate();
            let frames =
                frames.map(|(number, bytes)| frame(&config, number as i64 * 20_000, bytes));
            let frames = frames.collect();
            Encoding { frames, theirs }
        }
        Codec::Aac => {
            let arguments = "-ac 2 -c:a aac";
            let (theirs, file) = encode(folder, "aac.flv", &sound(44_100), arguments);
            let (mut frames, mut config): (Vec<Encoded>, _) = (Vec::new(), None);
            for (kind, _, body) in tags(&file) {
                match (kind, &body[..]) {
                    (8, [_, 0, specific @ ..]) => config = Some(aac(specific, 44_100)),
                    (8, [_, 1, bytes @ ..]) => {
                        let time = frames.len() as i64 * 1_024 * 1_000_000 / 44_100;
                        frames.push(frame(config.as_ref().unwrap(), time, bytes));
                    }
                    _ => {}
                }
            }
            Encoding { frames, theirs }
        }
        Codec::Pcma | Codec::Pcmu => {
            let (law, config) = match codec {
                Codec::Pcma => ("alaw", CodecConfig::Pcma),
                _ => ("mulaw", CodecConfig::Pcmu),
            };
            let arguments = format!("-ac 1 -c:a pcm_{law}");
            // Wave, as raw samples tell nothing of themselves.
            let name = format!("{law}.wav");
            let (theirs, file) = encode(folder, &name, &sound(8_000), &arguments);
            let samples = &file[file.len() - SECONDS as usize * 8_000..];
            let config = plain(config);
            let frames = samples.chunks(160).enumerate();
            let frames =
                frames.map(|(number, bytes)| frame(&config, number as i64 * 20_000, bytes));
            let frames = frames.collect();
            Encoding { frames, theirs }
        }
        Codec::Speex => panic!("Speex is not written"),
    }
}

/// A piece of a file, and the time at which it was handed on.
type Piece = (u64, Vec<u8>);

/// Writes tracks as a call would bring their frames: in order, each when it is due.
fn written(tracks: &[&Encoding]) -> Vec<Piece> {
    let mut frames: Vec<&Encoded> = tracks.iter().flat_map(|track| &track.frames).collect();
    frames.sort_by_key(|frame| frame.time);
    let has = |video: bool| {
        let mut all = tracks.iter().filter_map(|track| track.frames.first());
        all.any(|it| matches!(it.config.codec(), Codec::H264 | Codec::Vp8) == video)
    };
    let mut source = Source::new();
    let mut writer = Mp4Writer::new(has(false), has(true));
    let mut pieces = Vec::new();
    let mut position = 0;
    for frame in frames {
        let now = Instant::from_micros(frame.time as u64);
        source.frame(
            &frame.config,
            frame.time,
            frame.composition,
            frame.keyframe,
            &frame.bytes,
        );
        let view = source.log.get(position).expect("the frame");
        assert_eq!(writer.push(now, view, usize::MAX), Pushed::Taken);
        position += 1;
        source.log.release_before(position);
        while let Some(piece) = writer.poll_transmit() {
            pieces.push((now.as_micros(), piece));
        }
    }
    writer.finish();
    let end = pieces.last().map_or(0, |(at, _)| *at);
    pieces.extend(writer.poll_transmit().map(|piece| (end, piece)));
    pieces
}

fn file(folder: &Scratch, name: &str, pieces: &[Piece]) -> PathBuf {
    let bytes: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
    folder.write(name, bytes)
}

/// Checksums of decoded pictures, or one of all decoded samples.
fn decoded(input: &Path, track: &str) -> String {
    let format = if track == "v" { "framemd5" } else { "md5" };
    let text = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(input)
        .args(["-map", &format!("0:{track}"), "-fps_mode", "passthrough"])
        .args(["-f", format, "-"]));
    let sums = text.lines().filter(|line| !line.starts_with('#'));
    sums.map(|line| line.rsplit(',').next().unwrap().trim().to_owned() + "\n")
        .collect()
}

/// Presentation times of a track in order, in microseconds.
fn times(input: &Path, track: &str) -> Vec<i64> {
    let text = run(Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", track])
        .args(["-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(input));
    let seconds = text.lines().map(|line| line.trim_end_matches(','));
    let micros = seconds.map(|it| (it.parse::<f64>().expect("a time") * 1e6).round() as i64);
    let mut times: Vec<i64> = micros.collect();
    times.sort_unstable();
    times
}

/// The last presentation times of picture and sound, in microseconds.
fn ends(input: &Path) -> [i64; 2] {
    let text = run(Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "packet=stream_index,pts_time",
        ])
        .args(["-of", "csv=p=0"])
        .arg(input));
    let mut ends = [0; 2];
    for line in text.lines() {
        let (track, time) = line
            .trim_end_matches(',')
            .split_once(',')
            .expect("two numbers");
        let micros = (time.parse::<f64>().expect("a time") * 1e6) as i64;
        let end = &mut ends[track.parse::<usize>().expect("a number")];
        *end = micros.max(*end);
    }
    ends
}

fn name_of(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::Vp8 => "vp8",
        Codec::Opus => "opus",
        Codec::Aac => "aac",
        Codec::Speex => "speex",
        Codec::Pcma => "pcm_alaw",
        Codec::Pcmu => "pcm_mulaw",
    }
}

/// Demands that a file decodes to what was encoded, at the times of it.
fn check(path: &Path, encodings: &[(Codec, &Encoding)]) {
    probe::decode_strictly(path);
    let streams = probe::streams(path);
    for (codec, encoding) in encodings {
        let is_video = matches!(codec, Codec::H264 | Codec::Vp8);
        let track = if is_video { "v" } else { "a" };
        let said = if is_video {
            &streams.video
        } else {
            &streams.audio
        };
        assert_eq!(said.as_ref().unwrap().0, name_of(*codec));
        if is_video {
            assert_eq!(said.as_ref().unwrap(), &(name_of(*codec).into(), 320, 240));
            assert_eq!(streams.pictures, encoding.frames.len());
        }
        // ffmpeg cuts the lead-in of what it wrote itself, and cannot know of that here.
        if !matches!(codec, Codec::Opus | Codec::Aac) {
            assert_eq!(
                decoded(path, track),
                decoded(&encoding.theirs, track),
                "{codec}"
            );
        }
        let sent = encoding
            .frames
            .iter()
            .map(|it| it.time + i64::from(it.composition));
        let mut sent: Vec<i64> = sent.collect();
        sent.sort_unstable();
        let told = times(path, track);
        // Microseconds are not whole ticks of every clock, and ffprobe prints six digits.
        let off = |(sent, told): (&i64, &i64)| (sent - told).abs() > 130;
        assert_eq!(sent.len(), told.len(), "{codec}");
        assert!(
            !sent.iter().zip(&told).any(off),
            "{codec}: {sent:?} {told:?}"
        );
    }
    assert_eq!(
        streams.video.is_some(),
        encodings
            .iter()
            .any(|(it, _)| matches!(it, Codec::H264 | Codec::Vp8))
    );
}

#[test]
fn every_pair_of_codecs_decodes_as_it_was_encoded() {
    let folder = Scratch::new("mp4");
    let sounds = [Codec::Pcma, Codec::Pcmu, Codec::Aac, Codec::Opus];
    let sounds = sounds.map(|codec| (codec, encoding(&folder, codec)));
    for video in [Codec::H264, Codec::Vp8] {
        let pictures = encoding(&folder, video);
        for (audio, sound) in &sounds {
            let name = format!("{}-{}.mp4", name_of(video), name_of(*audio));
            let path = file(&folder, &name, &written(&[&pictures, sound]));
            check(&path, &[(video, &pictures), (*audio, sound)]);
        }
        let path = file(&folder, "pictures.mp4", &written(&[&pictures]));
        check(&path, &[(video, &pictures)]);
    }
    for (audio, sound) in &sounds {
        let path = file(&folder, "sound.mp4", &written(&[sound]));
        check(&path, &[(*audio, sound)]);
    }
}

#[test]
fn other_players_read_the_same() {
    let folder = Scratch::new("mp4");
    for (video, audio, decoders) in [
        (Codec::H264, Codec::Pcma, ["avdec_h264", "alawdec"]),
        (Codec::Vp8, Codec::Opus, ["vp8dec", "opusdec"]),
        (Codec::H264, Codec::Pcmu, ["avdec_h264", "mulawdec"]),
        (Codec::H264, Codec::Aac, ["avdec_h264", "avdec_aac"]),
    ] {
        let (pictures, sound) = (encoding(&folder, video), encoding(&folder, audio));
        let path = file(&folder, "both.mp4", &written(&[&pictures, &sound]));
        let [of_video, of_audio] = decoders;
        // An error of any element ends it with a status that `run` does not take.
        run(Command::new("gst-launch-1.0")
            .args(["-q", "filesrc"])
            .arg({
                let mut location = std::ffi::OsString::from("location=");
                location.push(&path);
                location
            })
            .args(
                format!(
                    "! qtdemux name=d d.video_0 ! queue ! {of_video} ! fakesink sync=false \
             d.audio_0 ! queue ! {of_audio} ! fakesink sync=false"
                )
                .split_whitespace(),
            ));
    }
}

/// Bytes of a file up to its last whole fragment, as the recorder finds them.
fn whole(bytes: &[u8]) -> usize {
    let mut extent = Extent::new(bytes.len() as u64);
    while let Some(at) = extent.wants() {
        let at = at as usize;
        extent.take(bytes[at..at + 8].try_into().unwrap());
    }
    extent.whole_bytes() as usize
}

#[test]
fn a_file_that_is_cut_off_anywhere_plays_up_to_its_last_two_seconds() {
    let folder = Scratch::new("mp4");
    let (pictures, sound) = (
        encoding(&folder, Codec::H264),
        encoding(&folder, Codec::Pcma),
    );
    let pieces = written(&[&pictures, &sound]);
    let bytes: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
    let mut rng = Rng::from_number(1);
    let last = pieces.len() - 1;
    for round in 0..100 {
        let cut = rng.below(bytes.len() as u32) as usize;
        let kept = whole(&bytes[..cut]);
        // The pieces before the cut are whole, and the next is written within the second after.
        let (mut end, mut number) = (0, 0);
        while number < last && end + pieces[number].1.len() <= cut {
            end += pieces[number].1.len();
            number += 1;
        }
        assert!(kept >= end, "cut at {cut}: {kept} of {end}");
        if kept == 0 {
            assert!(cut < pieces[0].1.len(), "nothing is left of {cut}");
            continue;
        }
        let cut_at = pieces[number].0 as i64;
        let path = folder.write("cut.mp4", &bytes[..kept]);
        // As it was left, without the recorder's cut: a torn picture is passed over. In the midst of
        // what describes a fragment, ffmpeg 5 reads nothing of a file before it is cut.
        let in_media = bytes[kept..cut].windows(4).any(|kind| kind == b"mdat");
        if round % 4 == 0 && in_media {
            let torn = folder.write("torn.mp4", &bytes[..cut]);
            assert!(times(&torn, "v").len() >= times(&path, "v").len());
        }
        probe::decode_strictly(&path);
        let played = ends(&path);
        let reached = played.iter().all(|end| end + 2_000_000 >= cut_at);
        assert!(reached, "to {played:?}, cut at {cut_at}");
    }
}

/// What a reader gives of a track: presentation time, size and whether it is a keyframe.
type Packets = Vec<(i64, usize, bool)>;

fn read(path: &Path) -> Result<[Packets; 2], FaultAt> {
    let bytes = std::fs::read(path).unwrap();
    let mut packets = [Packets::new(), Packets::new()];
    let mut reader = FileReader::default();
    let mut rest = &bytes[..];
    while !rest.is_empty() || reader.has_frame() {
        let step = reader.take(&rest[..rest.len().min(FILE_CHUNK_BYTES)])?;
        rest = &rest[step.taken..];
        if let Some(frame) = step.frame {
            let shown = frame.time + i64::from(frame.composition);
            let packet = (shown, frame.bytes.len(), frame.keyframe);
            packets[usize::from(frame.track == Track::Audio)].push(packet);
        }
    }
    assert_eq!(reader.end(), None);
    Ok(packets)
}

/// The same by ffprobe.
fn listed(path: &Path, track: &str) -> Packets {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", track, "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts_time,size,flags"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let packet = |line: &str| {
        let mut fields = line.split(',');
        let time: f64 = fields.next()?.parse().ok()?;
        let size = fields.next()?.parse().ok()?;
        let keyframe = fields.next()?.starts_with('K');
        Some(((time * 1_000_000.0).round() as i64, size, keyframe))
    };
    text.lines().filter_map(packet).collect()
}

#[test]
fn files_of_ffmpeg_are_read_packet_by_packet() {
    let folder = Scratch::new("mp4read");
    let ffmpeg = |arguments: &str| {
        run(Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y"])
            .args(arguments.split_ascii_whitespace())
            .current_dir(folder.path()));
    };
    let source = "-f lavfi -i testsrc=size=320x240:rate=25:duration=5 \
                  -f lavfi -i sine=duration=5 -pix_fmt yuv420p";
    ffmpeg(&format!("{source} -c:v libx264 -g 50 -c:a aac x.mp4"));
    ffmpeg(&format!(
        "{source} -c:v libx264 -g 50 -bf 0 -c:a pcm_alaw -ar 8000 -ac 1 x.mov"
    ));
    ffmpeg(&format!(
        "{source} -c:v libx264 -bf 0 -c:a libopus opus.mp4"
    ));
    let fault = read(&folder.join("x.mp4")).unwrap_err();
    assert_eq!(fault.fault, Fault::Mp4Late);
    // The very words make of it what is read.
    let words = fault.to_string();
    let (_, command) = words.split_once("convert it: ffmpeg ").unwrap();
    let (command, _) = command.split_once(" (at byte").unwrap();
    ffmpeg(command);
    ffmpeg("-i x.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg("-i x.mov -c copy -movflags +faststart front.mov");
    ffmpeg(&command.replace("x.mp4", "x.mov").replace("y.mp4", "y.mov"));
    ffmpeg(
        &command
            .replace("x.mp4", "opus.mp4")
            .replace("y.mp4", "opus-y.mp4"),
    );
    ffmpeg("-i x.mp4 -c copy -movflags frag_keyframe mixed.mp4");
    for name in [
        "y.mp4",
        "front.mp4",
        "mixed.mp4",
        "y.mov",
        "front.mov",
        "opus-y.mp4",
    ] {
        let path = folder.join(name);
        let packets = read(&path).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        for (packets, track) in packets.iter().zip(["v:0", "a:0"]) {
            let listed = listed(&path, track);
            assert!(listed.len() > 4, "{name} {track}");
            if name.ends_with("mov") && track == "a:0" {
                // Packets of G.711 may be cut anywhere: ours are 20 ms, or up to 40 ms.
                let bytes = |packets: &Packets| packets.iter().map(|it| it.1).sum::<usize>();
                assert_eq!(bytes(packets), bytes(&listed), "{name}");
                let mut passed = 0;
                for (time, size, _) in packets {
                    assert!(time.abs_diff(passed * 125) < 1_000, "{name}: {time}");
                    assert!(*size <= 320, "{name}: {size}");
                    passed += *size as i64;
                }
                continue;
            }
            assert_eq!(packets.len(), listed.len(), "{name} {track}");
            for (ours, theirs) in packets.iter().zip(&listed) {
                assert_eq!((ours.1, ours.2), (theirs.1, theirs.2), "{name} {track}");
                assert!(
                    ours.0.abs_diff(theirs.0) < 1_000,
                    "{name} {track}: {ours:?} {theirs:?}"
                );
            }
        }
    }
}
