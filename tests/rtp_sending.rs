//! What we send in both tracks of a call, with the reports about it and the answers to the peer's
//! requests, on the virtual clock.

use std::net::SocketAddr;
use std::time::Duration;

use trunkcast::base::codec::Track;
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::limits::RTCP_COMPOUND_BYTES;
use trunkcast::rtp::bitrate::BitrateFeedback;
use trunkcast::rtp::keyframe::Feedback;
use trunkcast::rtp::session::{Session, SessionConfig};
use trunkcast::rtp::stream::{Codec, StreamConfig};
use trunkcast::wire::rtcp::{self, CompoundWriter, RtcpPacket};
use trunkcast::wire::rtp::RtpHeader;

const H264: Codec = Codec::H264 { sprop: Vec::new() };

fn peer() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

fn config(codec: Codec, payload_type: u8, clock_rate: u32) -> StreamConfig {
    StreamConfig {
        codec,
        payload_type,
        send_payload_type: payload_type,
        telephone_event: None,
        send_telephone_event: None,
        remote_rtp: Some(peer()),
        remote_rtcp: None,
        rtcp_mux: false,
        send: true,
        receive: true,
        feedback: Feedback::default(),
        srtp: None,
        nack: false,
        bitrate_feedback: BitrateFeedback::default(),
        bitrate: None,
        clock_rate,
    }
}

fn video(codec: Codec) -> StreamConfig {
    config(codec, 97, 90_000)
}

/// A packet that went out.
struct Sent {
    at: Instant,
    track: Track,
    rtcp: bool,
    bytes: Vec<u8>,
}

impl Sent {
    fn header(&self) -> RtpHeader {
        RtpHeader::parse(&self.bytes).unwrap()
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[self.header().payload()]
    }

    fn reports(&self) -> Vec<RtcpPacket> {
        rtcp::packets(&self.bytes).map(Result::unwrap).collect()
    }
}

struct Rig {
    session: Session,
    log: Box<FrameLog>,
    now: Instant,
}

impl Rig {
    fn new(audio: Option<StreamConfig>, video: Option<StreamConfig>) -> Self {
        let config = SessionConfig {
            cname: "box".into(),
            epoch: NtpTime(0xe000_0000 << 32),
        };
        let mut rig = Self {
            session: Session::new(config, Rng::from_number(1)),
            log: Box::new(FrameLog::new()),
            now: Instant::from_millis(100),
        };
        rig.session.configure(rig.now, Track::Audio, audio);
        rig.session.configure(rig.now, Track::Video, video);
        rig
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut buffer = [0; RTCP_COMPOUND_BYTES];
        let mut sent = Vec::new();
        while let Some(transmit) = self.session.poll_transmit(self.now, &mut buffer) {
            sent.push(Sent {
                at: self.now,
                track: transmit.track,
                rtcp: transmit.rtcp,
                bytes: buffer[..transmit.len].to_vec(),
            });
        }
        sent
    }

    fn run(&mut self, millis: u64) -> Vec<Sent> {
        let until = self.now + Duration::from_millis(millis);
        let mut sent = self.sent();
        while let Some(next) = self.session.poll_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now, &mut self.log);
            sent.extend(self.sent());
        }
        self.now = until;
        sent
    }

    fn rtcp(&mut self, track: Track, from: &str, write: impl FnOnce(&mut CompoundWriter)) {
        let mut buffer = [0; RTCP_COMPOUND_BYTES];
        let mut writer = CompoundWriter::new(&mut buffer);
        write(&mut writer);
        let len = writer.finish().unwrap();
        let from = from.parse().unwrap();
        self.session
            .handle_rtcp(self.now, track, from, &buffer[..len]);
    }
}

fn media(sent: &[Sent], track: Track) -> Vec<&Sent> {
    let media = sent.iter().filter(|sent| !sent.rtcp);
    media.filter(|sent| sent.track == track).collect()
}

/// When pictures left, in milliseconds.
fn pictures(sent: &[Sent]) -> Vec<u64> {
    let ends = media(sent, Track::Video).into_iter();
    ends.filter(|sent| sent.header().marker)
        .map(|sent| sent.at.as_micros() / 1_000)
        .collect()
}

fn ssrc(sent: &[Sent], track: Track) -> u32 {
    media(sent, track)[0].header().ssrc
}

#[test]
fn sender_reports_tell_of_both_tracks_what_left_by_then() {
    let mut rig = Rig::new(Some(config(Codec::Pcma, 8, 8_000)), Some(video(H264)));
    let sent = rig.run(30_000);
    for (track, rate) in [(Track::Audio, 8_000), (Track::Video, 90_000)] {
        let (mut packets, mut octets, mut last, mut seen) = (0, 0, None, 0);
        for sent in sent.iter().filter(|sent| sent.track == track) {
            if !sent.rtcp {
                packets += 1;
                octets += sent.payload().len() as u32;
                last = Some((sent.header(), sent.at));
                continue;
            }
            let reports = sent.reports();
            let RtcpPacket::SenderReport { ssrc, info, .. } = &reports[0] else {
                panic!("{track}: {reports:?}");
            };
            let (header, at) = last.as_ref().unwrap();
            assert_eq!(
                (*ssrc, info.packets, info.octets),
                (header.ssrc, packets, octets)
            );
            // The report's moment on both clocks.
            let passed = sent.at.since(*at).as_micros() as u64;
            let ticks = info.rtp_timestamp.wrapping_sub(header.timestamp);
            assert!(u64::from(ticks).abs_diff(passed * rate / 1_000_000) <= 1);
            let micros = (u128::from(info.ntp.0 - (0xe000_0000 << 32)) * 1_000_000) >> 32;
            assert!(micros.abs_diff(u128::from(sent.at.as_micros())) <= 1);
            seen += 1;
        }
        assert!(seen >= 4, "{track}: {seen} reports");
    }
    assert_ne!(ssrc(&sent, Track::Audio), ssrc(&sent, Track::Video));
}

#[test]
fn a_peer_that_asks_gets_a_picture_at_once_but_not_more_than_two_a_second() {
    let mut rig = Rig::new(None, Some(video(H264)));
    let sent = rig.run(700);
    let ours = ssrc(&sent, Track::Video);
    assert_eq!(pictures(&sent), [100]);
    rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
        compound.picture_loss(7, ours);
    });
    // Before any time passes.
    assert_eq!(pictures(&rig.sent()), [800]);
    rig.run(100);
    rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
        compound.full_intra(7, ours, 1);
        compound.picture_loss(7, ours);
    });
    assert_eq!(pictures(&rig.run(1_000)), [1_300]);
    assert_eq!(rig.session.rtcp_counters().keyframes_asked, 3);
    // A request that bears its number again is one.
    rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
        compound.full_intra(7, ours, 1);
    });
    assert_eq!(pictures(&rig.sent()), [1_900]);
}

#[test]
fn requests_of_strangers_and_about_others_move_nothing() {
    let mut rig = Rig::new(None, Some(video(H264)));
    let ours = ssrc(&rig.run(700), Track::Video);
    rig.rtcp(Track::Video, "203.0.113.1:4001", |compound| {
        compound.picture_loss(7, ours);
    });
    rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
        compound.picture_loss(7, ours.wrapping_add(1));
        compound.full_intra(7, ours.wrapping_add(1), 1);
        compound.missing(7, ours.wrapping_add(1), &[1, 2]);
    });
    assert_eq!(pictures(&rig.run(1_000)), [1_100]);
    let counters = rig.session.rtcp_counters();
    assert_eq!((counters.keyframes_asked, counters.missing_asked), (0, 0));
}

#[test]
fn what_a_peer_misses_of_ours_is_counted_and_not_sent_again() {
    let mut rig = Rig::new(Some(config(Codec::Pcma, 8, 8_000)), Some(video(H264)));
    let sent = rig.run(700);
    for track in [Track::Audio, Track::Video] {
        let ours = ssrc(&sent, track);
        let sequence = media(&sent, track)[0].header().sequence;
        rig.rtcp(track, "192.0.2.1:4001", |compound| {
            compound.missing(7, ours, &[sequence]);
        });
        rig.rtcp(track, "192.0.2.1:4001", |compound| {
            compound.picture_loss(7, ours);
        });
        let again = rig.sent();
        assert!(again.iter().all(|sent| sent.header().sequence != sequence));
        assert_eq!(media(&again, Track::Audio).len(), 0);
    }
    let counters = rig.session.rtcp_counters();
    assert_eq!((counters.missing_asked, counters.malformed), (2, 0));
    // Cut behind its header, it is malformed and no request.
    for bytes in [vec![0x81, 205, 0, 0], vec![0x81, 205, 0, 1, 0, 0, 0, 7]] {
        rig.session
            .handle_rtcp(rig.now, Track::Video, peer(), &bytes);
    }
    let counters = rig.session.rtcp_counters();
    assert_eq!((counters.missing_asked, counters.malformed), (2, 2));
}

#[test]
fn a_limit_asked_of_us_is_said_to_be_kept_once() {
    let mut rig = Rig::new(None, Some(video(H264)));
    let ours = ssrc(&rig.run(700), Track::Video);
    for media in [ours, ours.wrapping_add(1)] {
        rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
            compound.bitrate_request(7, media, 2_000_000, 40);
        });
        let sent = rig.sent();
        if media != ours {
            assert!(sent.is_empty());
            continue;
        }
        let [told] = &sent[..] else {
            panic!("{} packets", sent.len());
        };
        let reports = told.reports();
        let owners = [7].into_iter().collect();
        let sender = ours;
        assert!(matches!(reports[0], RtcpPacket::SenderReport { .. }));
        assert_eq!(
            reports[2],
            RtcpPacket::BitrateNotification { sender, owners }
        );
        // 2,000,000 = 125,000 * 2^4, and the overhead, as they were asked for.
        let entry = 4 << 26 | 125_000 << 9 | 40_u32;
        assert!(told.bytes.ends_with(&entry.to_be_bytes()));
    }
    let bytes = [0x83, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1];
    rig.session
        .handle_rtcp(rig.now, Track::Video, peer(), &bytes);
    assert_eq!(rig.session.rtcp_counters().malformed, 1);
}

#[test]
fn a_held_line_gets_no_picture_and_goes_on_where_it_was() {
    let mut rig = Rig::new(None, Some(video(H264)));
    let before = rig.run(3_000);
    let hold = StreamConfig {
        send: false,
        ..video(H264)
    };
    rig.session.configure(rig.now, Track::Video, Some(hold));
    rig.rtcp(Track::Video, "192.0.2.1:4001", |compound| {
        compound.picture_loss(7, ssrc(&before, Track::Video));
    });
    let held = rig.run(60_000);
    assert!(media(&held, Track::Video).is_empty());
    // It is no sender for long: RFC 3550, section 6.3.8.
    let last = held.iter().rfind(|sent| sent.rtcp).unwrap().reports();
    assert!(matches!(last[0], RtcpPacket::ReceiverReport { .. }));
    rig.session
        .configure(rig.now, Track::Video, Some(video(H264)));
    let after = rig.run(5_000);
    assert_eq!(pictures(&after)[0], 63_100, "at once");
    let [before, after] = [before, after].map(|sent| {
        let media = media(&sent, Track::Video);
        [media[0], media[media.len() - 1]].map(Sent::header)
    });
    assert_eq!(after[0].ssrc, before[1].ssrc);
    assert_eq!(after[0].sequence, before[1].sequence.wrapping_add(1));
    let passed = after[0].timestamp.wrapping_sub(before[0].timestamp);
    assert_eq!(passed, 63_000 * 90);
}

#[test]
fn a_new_answer_changes_codec_and_payload_type_and_keeps_the_source() {
    let mut rig = Rig::new(None, Some(video(H264)));
    let before = rig.run(2_500);
    let answer = config(Codec::Vp8, 98, 90_000);
    rig.session.configure(rig.now, Track::Video, Some(answer));
    let after = rig.run(2_500);
    let after = media(&after, Track::Video);
    assert!(after.len() >= 3);
    for sent in &after {
        assert_eq!(sent.header().payload_type, 98);
        assert_eq!(sent.payload()[0], 0x10);
    }
    assert_eq!(after[0].header().ssrc, ssrc(&before, Track::Video));
}

#[test]
fn nothing_of_ours_leaves_in_a_track_that_is_not_agreed_on_or_after_the_end() {
    let mut rig = Rig::new(Some(config(Codec::Pcmu, 0, 8_000)), Some(video(Codec::Vp8)));
    let sent = rig.run(5_000);
    let sources = [Track::Audio, Track::Video].map(|track| ssrc(&sent, track));
    rig.session.configure(rig.now, Track::Video, None);
    let sent = rig.run(5_000);
    assert!(media(&sent, Track::Video).is_empty());
    rig.session
        .configure(rig.now, Track::Video, Some(video(Codec::Vp8)));
    let second = ssrc(&rig.run(5_000), Track::Video);
    assert_ne!(second, sources[1], "another source after the line was gone");
    rig.session.bye();
    let last = rig.run(60_000);
    let goodbyes: Vec<_> = last.iter().map(Sent::reports).collect();
    assert_eq!(goodbyes.len(), 2);
    for (reports, ours) in goodbyes.iter().zip([sources[0], second]) {
        assert!(
            matches!(&reports[..], [RtcpPacket::SenderReport { ssrc, .. }, .., RtcpPacket::Bye(left)]
                if *ssrc == ours && left[..] == [ours]),
            "{reports:?}"
        );
    }
}
