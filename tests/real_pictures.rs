//! B pictures in FLV: ffmpeg decodes every one and presents it when it was sent to be.

mod rtp_support;

#[path = "rtp_pictures/film.rs"]
mod film;

use std::path::Path;
use std::process::Command;

use film::{SPACING, decoding_order, play};
use rtp_support::World;
use trunkcast::wire::flv::{self, SEQUENCE_HEADER_BYTES, TagForm};

#[test]
fn every_picture_is_decoded_and_presented_in_the_order_that_was_sent() {
    let (world, displayed) = play(1, true, |_| false);
    let file = std::env::temp_dir().join(format!("trunkcast-pictures-{}.flv", std::process::id()));
    std::fs::write(&file, flv(&world)).unwrap();

    let packets = ffprobe(&file, "packet=pts_time,dts_time");
    assert_eq!(packets.len(), displayed.len());
    let first = packets[0][0];
    for (packet, display) in packets.iter().zip(&displayed) {
        let [presented, decoded] = packet[..] else {
            panic!("{packet:?}")
        };
        assert!(decoded <= presented, "{packet:?}");
        let off = presented - first - *display as f64 * SPACING as f64 / 1e6;
        // Slewing, and a millisecond of rounding.
        assert!(off.abs() <= 0.012, "{display}: {off}");
    }
    assert!(packets.windows(2).all(|pair| pair[0][1] < pair[1][1]));

    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/media/b_pictures.h264");
    let sums = picture_sums(&file);
    assert_eq!(sums.len(), decoding_order().len());
    assert_eq!(sums, picture_sums(&clip));
    std::fs::remove_file(&file).unwrap();
}

/// The frames that came out, as an FLV file.
fn flv(world: &World) -> Vec<u8> {
    let mut file = b"FLV\x01\x01\0\0\0\x09\0\0\0\0".to_vec();
    let mut tag = |millis: i64, body: &[u8]| {
        let start = file.len();
        let [high, a, b, c] = (millis as u32).to_be_bytes();
        file.push(9);
        file.extend(&(body.len() as u32).to_be_bytes()[1..]);
        file.extend([a, b, c, high, 0, 0, 0]);
        file.extend(body);
        let length = file.len() - start;
        file.extend((length as u32).to_be_bytes());
    };
    let mut headed = false;
    for out in world.video() {
        let form = TagForm::Legacy;
        let decoded = out.time.as_micros() / 1_000;
        if !std::mem::replace(&mut headed, true) {
            let mut header = [0; SEQUENCE_HEADER_BYTES];
            let length = flv::write_sequence_header(&out.config, form, &mut header).unwrap();
            tag(decoded, &header[..length]);
        }
        let presented = (out.time.as_micros() + i64::from(out.composition)) / 1_000;
        let late = (presented - decoded) as i32;
        let head = flv::frame_head(&out.config, form, out.keyframe, late).unwrap();
        tag(decoded, &[&head, &out.bytes[..]].concat());
    }
    file
}

fn ffprobe(file: &Path, entries: &str) -> Vec<Vec<f64>> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", entries])
        .arg(file)
        .output()
        .expect("ffprobe");
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let lines = String::from_utf8(out.stdout).unwrap();
    let numbers = |line: &str| {
        line.split(',')
            .filter_map(|field| field.parse().ok())
            .collect()
    };
    lines.lines().map(numbers).collect()
}

/// A sum of each decoded picture, in the order of presentation.
fn picture_sums(file: &Path) -> Vec<String> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg");
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let lines = String::from_utf8(out.stdout).unwrap();
    let sums = lines.lines().filter(|line| !line.starts_with('#'));
    sums.filter_map(|line| line.rsplit(',').next())
        .map(|sum| sum.trim().to_owned())
        .collect()
}
