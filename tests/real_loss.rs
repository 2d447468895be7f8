//! A line that loses, delays and swaps packets: what comes out is whole all the same.

use std::sync::atomic::Ordering;
use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::compare::{self, borrowed};
use support::daemon::Settings;
use support::flv::Flv;
use support::gstreamer::{Sender, Track};
use support::impaired::Line;
use support::{Daemon, Dialogue, Namespace, Nginx, Ports, probe};

#[test]
fn a_call_over_a_bad_line_shows_no_damaged_picture() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let sip = ports.peek();
    let line = Line {
        lost: 200,
        overtaken: 100,
        jitter: Duration::from_millis(20),
        held: Duration::from_millis(15),
        spared_port: sip,
        seed: 7,
    };
    let namespace = Namespace::impaired(&ports, line);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let plan = Plan {
        seconds: 15,
        namespace: Some(&namespace),
        ..Plan::default()
    };
    let baresip = Baresip::start(&mut ports, gateway.sip(), "1000", &plan);
    let sent = baresip.finish(Duration::from_secs(30));
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(5));
    let counts = namespace.counts();
    let lost = counts.lost.load(Ordering::Relaxed);
    assert!(lost > 20, "the line lost only {lost} packets");

    let recording = nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    // Each loss costs the pictures up to the next keyframe, which baresip makes only when asked.
    assert!((3..=20).contains(&sent.keyframes), "{sent:?}");
    let keyframes = flv.pictures.iter().filter(|picture| picture.keyframe);
    assert!(keyframes.count() >= 3, "keyframes that came through");
    let mut times: Vec<u32> = flv.pictures.iter().map(|picture| picture.time).collect();
    times.push(flv.sounds.last().map_or(0, |sound| sound.time));
    let gap = times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max();
    // Askings are at most three seconds apart, and one in ten may get lost itself.
    assert!(gap <= Some(6_500), "no picture for {gap:?} ms");
    // Sound is lost packet by packet and nothing beside.
    let sounds = flv.sounds.len();
    assert!(
        sounds * 100 >= sent.audio_packets * 94,
        "{sounds} of {sent:?}"
    );
    gateway.check_calm();
}

#[test]
fn packets_that_are_asked_for_again_close_the_gaps() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let line = Line {
        lost: 200,
        overtaken: 100,
        jitter: Duration::from_millis(10),
        held: Duration::from_millis(15),
        spared_port: 0,
        seed: 11,
    };
    let namespace = Namespace::impaired(&ports, line);
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            url: Some(nginx.url("live")),
            media: namespace.ours().to_string(),
            ..Settings::default()
        },
    );
    let (sound, picture) = (ports.pair(), ports.pair());
    let media = format!(
        "m=audio {sound} RTP/AVP 8\r\na=sendonly\r\n\
         m=video {picture} RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;profile-level-id=42c01e\r\n\
         a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=sendonly\r\n"
    );
    let call = Dialogue::call_for(
        &mut ports,
        gateway.sip(),
        "1000",
        &media,
        namespace.theirs(),
    );
    let tracks = vec![
        Track {
            kind: "audio",
            encoder: "audio/x-raw,rate=8000,channels=1 ! alawenc",
            coded: false,
            payloader: "rtppcmapay pt=8 max-ptime=20000000",
            port: sound,
            rtcp: ports.pair(),
        },
        Track {
            kind: "video",
            encoder: "identity",
            coded: true,
            payloader: "rtph264pay config-interval=-1 mtu=1200 pt=96 ! rtprtxqueue name=again",
            port: picture,
            rtcp: ports.pair(),
        },
    ];
    let sender = Sender::new(tracks, 2);
    sender.play_in(&call, true, Some(&namespace));
    call.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    gateway.check_calm();
    let lost = namespace.counts().lost.load(Ordering::Relaxed);
    assert!(lost > 20, "the line lost only {lost} packets");

    let recording = nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    let (sent, got) = (Flv::read(&sender.reference()), Flv::read(&recording));
    got.check_order();
    // Whatever came is a picture that was sent, whole and in its order.
    let (sent, got) = (compare::pictures(&sent), compare::pictures(&got));
    let mut rest = borrowed(&sent).into_iter();
    for (number, picture) in borrowed(&got).into_iter().enumerate() {
        assert!(
            rest.any(|sent| sent.1 == picture.1),
            "picture {number} was not sent so"
        );
    }
    println!(
        "{} of {} pictures, {lost} packets lost",
        got.len(),
        sent.len()
    );
    assert!(
        got.len() * 100 >= sent.len() * 80,
        "{} of {}",
        got.len(),
        sent.len()
    );
}
