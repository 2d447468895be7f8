//! GStreamer sends what phones seldom do: AAC in both packings, Speex, B-frames.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

mod support;

use support::compare::{self, Match};
use support::flv::Flv;
use support::gstreamer::{Sender, Track};
use support::{Daemon, Dialogue, Nginx, Ports, probe};

/// SDP of the clip's own H.264, sent as payload type 96 from a port.
fn h264(port: u16) -> String {
    format!(
        "m=video {port} RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;profile-level-id=42c01e\r\n\
         a=rtcp-fb:96 nack pli\r\na=sendonly\r\n"
    )
}

/// The clip's own H.264.
fn clip_video(port: u16) -> Track {
    Track {
        kind: "video",
        encoder: "identity",
        coded: true,
        payloader: "rtph264pay config-interval=-1 pt=96",
        port,
        rtcp: 0,
    }
}

/// One sender at a time: two that encode are late for one another on two cores, which is measured.
static SENDING: Mutex<()> = Mutex::new(());

/// What a relayed call left behind.
struct Relayed {
    recording: PathBuf,
    sent: Flv,
    got: Flv,
    log: String,
    // Keeps the recording.
    _nginx: Nginx,
}

/// Sends sound (its SDP given without `m=` line's port, as `PORT`) with a picture through the
/// gateway to nginx.
fn relay(sound: Option<(Track, &str)>, picture: Track, rounds: u32) -> Relayed {
    let _alone = SENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let mut tracks = Vec::new();
    let mut media = String::new();
    if let Some((mut track, sdp)) = sound {
        (track.port, track.rtcp) = (ports.pair(), ports.pair());
        media += &sdp.replace("PORT", &track.port.to_string());
        tracks.push(track);
    }
    let mut picture = picture;
    (picture.port, picture.rtcp) = (ports.pair(), ports.pair());
    media += &h264(picture.port);
    tracks.push(picture);
    let call = Dialogue::call(&mut ports, gateway.sip(), "1000", &media);
    let sender = Sender::new(tracks, rounds);
    sender.play(&call, true);
    call.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    gateway.check_calm();
    let recording = nginx.recording("rtmp_1000");
    let (sent, got) = (Flv::read(&sender.reference()), Flv::read(&recording));
    got.check_order();
    Relayed {
        recording,
        sent,
        got,
        log: gateway.log().text(),
        _nginx: nginx,
    }
}

impl Relayed {
    /// Demands that all of it came as sent, in sync, and decodes.
    fn check(&self, frames: usize) {
        self.check_sounds(frames, &compare::sounds(&self.sent));
    }

    fn check_sounds(&self, frames: usize, sounds: &[(i64, &[u8])]) {
        probe::decode_strictly(&self.recording);
        let (sent, got) = (compare::pictures(&self.sent), compare::pictures(&self.got));
        let video = Match::of(
            "pictures",
            &compare::borrowed(&sent),
            &compare::borrowed(&got),
        );
        let audio = Match::of("sounds", sounds, &compare::sounds(&self.got));
        assert!(audio.frames >= frames, "{audio:?}");
        assert_eq!(
            (video.missing_at_start, video.missing_at_end),
            (0, 0),
            "{video:?}"
        );
        // Sound before the first picture is not kept for long.
        assert!(
            audio.missing_at_start <= 6 && audio.missing_at_end == 0,
            "{audio:?}"
        );
        assert!(
            video.step() <= 2 && audio.step() <= 2,
            "{video:?} {audio:?}"
        );
        assert!(video.skew(&audio) <= 20, "{video:?} {audio:?} {}", self.log);
    }
}

#[test]
fn aac_as_mpeg4_generic_is_relayed_untouched() {
    let track = Track {
        kind: "audio",
        encoder: "audio/x-raw,rate=48000,channels=1 ! voaacenc bitrate=64000 ! aacparse",
        coded: false,
        payloader: "rtpmp4gpay pt=97",
        port: 0,
        rtcp: 0,
    };
    let sdp = "m=audio PORT RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\n\
               a=fmtp:97 streamtype=5;profile-level-id=2;mode=AAC-hbr;config=1188;\
               sizelength=13;indexlength=3;indexdeltalength=3\r\na=sendonly\r\n";
    let relayed = relay(Some((track, sdp)), clip_video(0), 1);
    let streams = probe::streams(&relayed.recording);
    assert_eq!(streams.audio, Some(("aac".into(), 48_000, 1)));
    relayed.check(440);
}

#[test]
fn aac_as_latm_is_relayed_untouched() {
    let track = Track {
        kind: "audio",
        encoder: "audio/x-raw,rate=44100,channels=2 ! avenc_aac bitrate=96000 ! aacparse",
        coded: false,
        payloader: "rtpmp4apay pt=98",
        port: 0,
        rtcp: 0,
    };
    let sdp = "m=audio PORT RTP/AVP 98\r\na=rtpmap:98 MP4A-LATM/44100/2\r\n\
               a=fmtp:98 cpresent=0;config=40002420adca00\r\na=sendonly\r\n";
    let relayed = relay(Some((track, sdp)), clip_video(0), 1);
    let streams = probe::streams(&relayed.recording);
    assert_eq!(streams.audio, Some(("aac".into(), 44_100, 2)));
    relayed.check(400);
}

#[test]
fn speex_is_relayed_untouched() {
    let track = Track {
        kind: "audio",
        encoder: "audio/x-raw,rate=16000,channels=1 ! speexenc",
        coded: false,
        payloader: "rtpspeexpay pt=99",
        port: 0,
        rtcp: 0,
    };
    let sdp = "m=audio PORT RTP/AVP 99\r\na=rtpmap:99 speex/16000\r\na=sendonly\r\n";
    let relayed = relay(Some((track, sdp)), clip_video(0), 1);
    let streams = probe::streams(&relayed.recording);
    assert_eq!(streams.audio, Some(("speex".into(), 16_000, 1)));
    // GStreamer's FLV begins with the headers of Speex in Ogg and puts no times on the rest; the
    // first frame is shorter by what the encoder looks ahead, 143 samples.
    let sounds = compare::sounds(&relayed.sent).into_iter().skip(2);
    let sounds: Vec<_> = (0..)
        .map(|number| i64::max(20 * number - 9, 0))
        .zip(sounds.map(|sound| sound.1))
        .collect();
    relayed.check_sounds(480, &sounds);
}

#[test]
fn pictures_with_b_frames_keep_their_order_and_times() {
    let video = Track {
        encoder: "x264enc bframes=3 b-adapt=false key-int-max=50 speed-preset=superfast \
                  tune=0 ! video/x-h264,profile=main ! h264parse",
        coded: false,
        ..clip_video(0)
    };
    let track = Track {
        kind: "audio",
        encoder: "audio/x-raw,rate=8000,channels=1 ! alawenc",
        coded: false,
        payloader: "rtppcmapay pt=8 max-ptime=20000000",
        port: 0,
        rtcp: 0,
    };
    let sdp = "m=audio PORT RTP/AVP 8\r\na=sendonly\r\n";
    let relayed = relay(Some((track, sdp)), video, 1);
    let turned = relayed.sent.pictures.iter();
    let turned = turned.filter(|picture| picture.composition > 0).count();
    assert!(turned > 50, "the sender turned {turned} pictures around");
    probe::decode_strictly(&relayed.recording);
    let (sent, got) = (
        compare::pictures(&relayed.sent),
        compare::pictures(&relayed.got),
    );
    let video = Match::of(
        "pictures",
        &compare::borrowed(&sent),
        &compare::borrowed(&got),
    );
    // Times of presentation are as far apart as they were: ffmpeg shows the pictures in order.
    assert!(video.step() <= 2, "{video:?}");
    let early = relayed.got.pictures.iter();
    let early = early.filter(|picture| picture.composition < 0).count();
    assert_eq!(early, 0, "pictures shown before they are decoded");
}
