use super::*;
use crate::base::packet_pool::PacketPool;
use crate::limits::RTCP_COMPOUND_BYTES;
use crate::rtp::bitrate::BitrateFeedback;
use crate::rtp::keyframe::Feedback;
use crate::rtp::stream::Codec;
use crate::wire::rtcp::{CompoundWriter, ReportBlock, RtcpPacket, SenderInfo};
use crate::wire::rtp::RtpHeader;

const PEER: &str = "192.0.2.1:4000";
const PEER_RTCP: &str = "192.0.2.1:4001";
const NAT: &str = "198.51.100.9:61000";

struct Rig {
    pool: PacketPool,
    session: Session,
    log: Box<FrameLog>,
    now: Instant,
}

fn audio() -> StreamConfig {
    StreamConfig {
        codec: Codec::Pcma,
        payload_type: 8,
        send_payload_type: 8,
        telephone_event: Some(101),
        send_telephone_event: None,
        remote_rtp: Some(PEER.parse().unwrap()),
        remote_rtcp: None,
        rtcp_mux: false,
        send: true,
        receive: true,
        feedback: Feedback::default(),
        nack: false,
        bitrate_feedback: BitrateFeedback::default(),
        bitrate: None,
        clock_rate: 8_000,
        srtp: None,
    }
}

fn video() -> StreamConfig {
    StreamConfig {
        codec: Codec::H264 { sprop: Vec::new() },
        payload_type: 96,
        send_payload_type: 96,
        telephone_event: None,
        send_telephone_event: None,
        feedback: Feedback {
            pli: true,
            fir: false,
        },
        nack: false,
        bitrate_feedback: BitrateFeedback::default(),
        bitrate: None,
        clock_rate: 90_000,
        ..audio()
    }
}

impl Rig {
    fn new(audio: Option<StreamConfig>, video: Option<StreamConfig>) -> Self {
        let config = SessionConfig {
            cname: "box".into(),
            epoch: NtpTime(0xe000_0000 << 32),
        };
        let mut rig = Self {
            pool: PacketPool::new(64),
            session: Session::new(config, Rng::from_number(1)),
            log: Box::new(FrameLog::new()),
            now: Instant::from_millis(100),
        };
        rig.session.configure(rig.now, Track::Audio, audio);
        rig.session.configure(rig.now, Track::Video, video);
        rig
    }

    fn rtp(&mut self, track: Track, from: &str, kind: u8, sequence: u16, payload: &[u8]) {
        self.now = self.now + Duration::from_millis(20);
        let mut bytes = vec![0x80, kind];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend((u32::from(sequence) * 160).to_be_bytes());
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend(payload);
        let packet = self.pool.copy_from(&bytes).unwrap();
        self.session.handle_rtp(
            self.now,
            track,
            from.parse().unwrap(),
            packet,
            &mut self.log,
        );
    }

    fn rtcp(&mut self, from: &str, write: impl FnOnce(&mut CompoundWriter)) {
        let mut buffer = [0; RTCP_COMPOUND_BYTES];
        let mut writer = CompoundWriter::new(&mut buffer);
        write(&mut writer);
        let len = writer.finish().unwrap();
        let from = from.parse().unwrap();
        self.session
            .handle_rtcp(self.now, Track::Audio, from, &buffer[..len]);
    }

    fn sent(&mut self) -> Vec<(SessionTransmit, Vec<u8>)> {
        let mut buffer = [0; RTCP_COMPOUND_BYTES];
        let mut sent = Vec::new();
        while let Some(transmit) = self.session.poll_transmit(self.now, &mut buffer) {
            sent.push((transmit, buffer[..transmit.len].to_vec()));
        }
        sent
    }

    /// Runs for a time; what was sent.
    fn run(&mut self, time: Duration) -> Vec<(SessionTransmit, Vec<u8>)> {
        let until = self.now + time;
        let mut sent = self.sent();
        while let Some(next) = self.session.poll_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now, &mut self.log);
            sent.extend(self.sent());
        }
        self.now = until;
        sent
    }

    fn packets(sent: &[(SessionTransmit, Vec<u8>)]) -> Vec<RtcpPacket> {
        let reports = sent.iter().filter(|(_, bytes)| rtcp::is_rtcp(bytes));
        reports
            .flat_map(|(_, bytes)| rtcp::packets(bytes).map(Result::unwrap))
            .collect()
    }

    fn events(&mut self) -> Vec<SessionEvent> {
        core::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

#[test]
fn silence_and_reports_go_to_the_negotiated_addresses_from_the_start() {
    let mut rig = Rig::new(Some(audio()), Some(video()));
    let sent = rig.run(Duration::from_secs(1));
    let of = |track| {
        let media = sent.iter().filter(|(transmit, _)| !transmit.rtcp);
        media.filter(move |(transmit, _)| transmit.track == track)
    };
    assert_eq!(of(Track::Video).count(), 6, "two pictures");
    let silence: Vec<_> = of(Track::Audio).collect();
    assert_eq!(silence.len(), 51);
    for (transmit, bytes) in silence {
        assert_eq!(transmit.to, PEER.parse().unwrap());
        let header = RtpHeader::parse(bytes).unwrap();
        assert_eq!(header.payload_type, 8);
        assert!(bytes[header.payload()].iter().all(|sample| *sample == 0xd5));
    }
    let reports: Vec<_> = sent.iter().filter(|(transmit, _)| transmit.rtcp).collect();
    assert!(
        reports
            .iter()
            .all(|(transmit, _)| transmit.to == PEER_RTCP.parse().unwrap())
    );
    for track in [Track::Audio, Track::Video] {
        assert!(
            reports.iter().any(|(transmit, _)| transmit.track == track),
            "{track}"
        );
    }
}

#[test]
fn what_we_send_follows_a_latched_source() {
    let mut rig = Rig::new(Some(audio()), None);
    for sequence in 0..4 {
        rig.rtp(Track::Audio, NAT, 8, sequence, &[1; 160]);
    }
    let sent = rig.run(Duration::from_secs(6));
    assert!(sent.len() > 100);
    for (transmit, _) in sent {
        let port = 61_000 + u16::from(transmit.rtcp);
        assert_eq!(
            transmit.to,
            SocketAddr::new("198.51.100.9".parse().unwrap(), port)
        );
    }
    // Its own reports tell where they are to be answered.
    rig.rtcp("198.51.100.9:61377", |compound| {
        compound.receiver_report(7, None)
    });
    let sent = rig.run(Duration::from_secs(8));
    let (report, _) = sent.iter().find(|(transmit, _)| transmit.rtcp).unwrap();
    assert_eq!(report.to.port(), 61_377);
}

#[test]
fn multiplexed_reports_share_the_media_port() {
    let mut rig = Rig::new(
        Some(StreamConfig {
            rtcp_mux: true,
            ..audio()
        }),
        None,
    );
    let sent = rig.run(Duration::from_secs(2));
    assert!(!Rig::packets(&sent).is_empty());
    assert!(
        sent.iter()
            .all(|(sent, _)| !sent.rtcp && sent.to == PEER.parse().unwrap())
    );
    rig.rtp(Track::Audio, PEER, 8, 0, &[1; 160]);
    let bye = rig.pool.copy_from(&[0x81, 203, 0, 1, 0, 0, 0, 7]).unwrap();
    let from = PEER.parse().unwrap();
    rig.session
        .handle_rtp(rig.now, Track::Audio, from, bye, &mut rig.log);
    assert_eq!(
        rig.events(),
        [SessionEvent::Bye {
            track: Track::Audio
        }]
    );
}

#[test]
fn nothing_is_sent_to_nowhere_and_no_timer_runs_for_it() {
    let mut rig = Rig::new(
        Some(StreamConfig {
            remote_rtp: None,
            ..audio()
        }),
        None,
    );
    assert!(rig.run(Duration::from_secs(10)).is_empty());
    assert_eq!(rig.session.poll_timeout(), None);
    for sequence in 0..4 {
        rig.rtp(Track::Audio, NAT, 8, sequence, &[1; 160]);
    }
    assert!(rig.run(Duration::from_secs(1)).len() >= 50);
}

#[test]
fn reports_of_strangers_are_dropped_and_the_peers_are_answered() {
    let mut rig = Rig::new(Some(audio()), None);
    rig.rtp(Track::Audio, PEER, 8, 0, &[1; 160]);
    let info = SenderInfo {
        ntp: NtpTime(0x1234_5678_9abc_def0),
        ..SenderInfo::default()
    };
    rig.rtcp("203.0.113.1:4001", |compound| {
        compound.sender_report(7, &info, None)
    });
    rig.rtcp("203.0.113.1:4001", |compound| compound.bye(7));
    assert_eq!(rig.session.rtcp_counters().strangers, 2);
    assert_eq!(rig.events(), []);
    rig.rtcp(PEER_RTCP, |compound| compound.sender_report(7, &info, None));
    let sent = rig.run(Duration::from_secs(1));
    let blocks: Vec<ReportBlock> = Rig::packets(&sent)
        .into_iter()
        .filter_map(|packet| match packet {
            RtcpPacket::SenderReport { blocks, .. } => blocks.first().copied(),
            _ => None,
        })
        .collect();
    assert_eq!(blocks[0].ssrc, 7);
    assert_eq!(blocks[0].last_report, 0x5678_9abc);
    rig.rtcp(PEER_RTCP, |compound| compound.bye(8));
    assert_eq!(rig.events(), [], "another source left");
    rig.rtcp(PEER_RTCP, |compound| compound.bye(7));
    assert_eq!(
        rig.events(),
        [SessionEvent::Bye {
            track: Track::Audio
        }]
    );
}

#[test]
fn keys_are_told_once_and_are_not_audio() {
    let mut rig = Rig::new(Some(audio()), None);
    rig.rtp(Track::Audio, PEER, 8, 0, &[1; 160]);
    for (sequence, end) in [(1_u16, 0), (2, 0), (3, 0x80), (4, 0x80)] {
        let mut bytes = vec![0x80, 101, 0, sequence as u8, 0, 0, 1, 0, 0, 0, 0, 7];
        bytes.extend([5, end, 0, 160]);
        let packet = rig.pool.copy_from(&bytes).unwrap();
        let from = PEER.parse().unwrap();
        rig.session
            .handle_rtp(rig.now, Track::Audio, from, packet, &mut rig.log);
    }
    rig.rtp(Track::Audio, PEER, 8, 5, &[1; 160]);
    let event = TelephoneEvent {
        duration: 160,
        event: 5,
        timestamp: 256,
    };
    assert_eq!(rig.events(), [SessionEvent::TelephoneEvent(event)]);
    assert_eq!(rig.log.end(), 2);
    let stats = rig.session.stats(Track::Audio);
    assert_eq!((stats.telephone_events, stats.reorder.lost), (1, 0));
}

#[test]
fn packets_of_other_payload_types_are_dropped() {
    let mut rig = Rig::new(Some(audio()), Some(video()));
    rig.rtp(Track::Audio, PEER, 0, 0, &[1; 160]);
    rig.rtp(Track::Audio, PEER, 96, 1, &[1; 160]);
    rig.rtp(Track::Video, PEER, 101, 1, &[1; 160]);
    assert_eq!(rig.session.stats(Track::Audio).wrong_payload_type, 2);
    assert_eq!(rig.session.stats(Track::Video).wrong_payload_type, 1);
    assert_eq!(rig.log.end(), 0);
}

#[test]
fn a_track_on_hold_takes_nothing_and_asks_for_nothing() {
    let mut rig = Rig::new(None, Some(video()));
    rig.rtp(Track::Video, PEER, 96, 0, &[0x41, 0x9a, 1]);
    rig.run(Duration::from_millis(30));
    assert_eq!(rig.session.keyframes_asked(), 1);
    let hold = StreamConfig {
        receive: false,
        ..video()
    };
    rig.session.configure(rig.now, Track::Video, Some(hold));
    rig.rtp(Track::Video, PEER, 96, 1, &[0x41, 0x9a, 1]);
    rig.run(Duration::from_secs(20));
    assert_eq!(rig.session.keyframes_asked(), 1);
    assert_eq!(rig.session.stats(Track::Video).on_hold, 1);
    rig.session.configure(rig.now, Track::Video, Some(video()));
    rig.rtp(Track::Video, PEER, 96, 2, &[0x41, 0x9a, 1]);
    rig.run(Duration::from_millis(30));
    assert_eq!(rig.session.keyframes_asked(), 2);
}

#[test]
fn a_new_reader_makes_us_ask_once_a_source_is_known() {
    let mut rig = Rig::new(None, Some(video()));
    rig.session.request_keyframe(rig.now);
    assert_eq!(rig.session.keyframes_asked(), 0);
    // A parameter set: nothing is wrong with the stream so far.
    rig.rtp(Track::Video, PEER, 96, 0, &[0x67, 1, 2, 3]);
    assert_eq!(Rig::packets(&rig.sent()), []);
    rig.session.request_keyframe(rig.now);
    let asked = Rig::packets(&rig.sent());
    assert!(
        matches!(asked.last(), Some(RtcpPacket::PictureLoss { media: 7, .. })),
        "{asked:?}"
    );
}

#[test]
fn a_call_without_feedback_is_asked_by_info_too() {
    let config = StreamConfig {
        feedback: Feedback::default(),
        ..video()
    };
    let mut rig = Rig::new(None, Some(config));
    rig.rtp(Track::Video, PEER, 96, 0, &[0x41, 0x9a, 1]);
    rig.run(Duration::from_millis(20));
    assert_eq!(rig.events(), [SessionEvent::KeyframeByInfo]);
}

#[test]
fn a_new_answer_changes_the_codec_and_keeps_the_timeline() {
    let mut rig = Rig::new(Some(audio()), None);
    rig.rtp(Track::Audio, PEER, 8, 0, &[1; 160]);
    let answer = StreamConfig {
        codec: Codec::Pcmu,
        payload_type: 0,
        send_payload_type: 0,
        ..audio()
    };
    rig.session.configure(rig.now, Track::Audio, Some(answer));
    rig.rtp(Track::Audio, PEER, 0, 1, &[1; 160]);
    let frame = |at| rig.log.get(at).unwrap().frame().clone();
    assert_eq!(frame(0).config.codec(), crate::base::codec::Codec::Pcma);
    assert_eq!(frame(1).config.codec(), crate::base::codec::Codec::Pcmu);
    let step = frame(1).time.micros_since(frame(0).time);
    assert!((19_000..=21_000).contains(&step), "{step}");
    let sent = rig.run(Duration::from_millis(20));
    assert!(
        sent.iter()
            .filter(|(sent, _)| !sent.rtcp)
            .all(|(_, bytes)| bytes[12] == 0xff)
    );
}

#[test]
fn a_track_taken_away_gives_its_buffers_back_and_may_return() {
    let mut rig = Rig::new(Some(audio()), Some(video()));
    rig.rtp(Track::Audio, PEER, 8, 0, &[1; 160]);
    rig.rtp(Track::Audio, PEER, 8, 2, &[1; 160]);
    rig.rtp(Track::Video, PEER, 96, 0, &[0x65, 0x88, 1]);
    rig.session.configure(rig.now, Track::Audio, None);
    rig.session.configure(rig.now, Track::Video, None);
    rig.log.release_before(u64::MAX);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
    rig.rtp(Track::Audio, PEER, 8, 3, &[1; 160]);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
    rig.now = rig.now + Duration::from_secs(3);
    rig.session.configure(rig.now, Track::Audio, Some(audio()));
    rig.rtp(Track::Audio, PEER, 8, 900, &[1; 160]);
    let time = rig.log.get(rig.log.start()).unwrap().frame().time;
    assert!(
        (3_000_000..3_200_000).contains(&time.as_micros()),
        "{time:?}"
    );
}

#[test]
fn the_end_is_one_bye_for_each_track() {
    let mut rig = Rig::new(Some(audio()), Some(video()));
    rig.run(Duration::from_secs(3));
    rig.session.bye();
    let sent = rig.sent();
    assert_eq!(sent.len(), 2);
    let byes = Rig::packets(&sent)
        .into_iter()
        .filter(|p| matches!(p, RtcpPacket::Bye(_)));
    assert_eq!(byes.count(), 2);
    rig.session.bye();
    assert!(rig.run(Duration::from_secs(20)).is_empty());
    assert_eq!(rig.session.poll_timeout(), None);
}

fn feedback_of(sent: &[(SessionTransmit, Vec<u8>)], packet_type: u8, format: u8) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (_, bytes) in sent.iter().filter(|(_, bytes)| rtcp::is_rtcp(bytes)) {
        let mut rest = &bytes[..];
        while rest.len() >= 4 {
            let len = 4 + 4 * usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if rest[1] == packet_type && rest[0] & 0x1f == format {
                found.push(rest[..len].to_vec());
            }
            rest = &rest[len..];
        }
    }
    found
}

#[test]
fn a_missing_packet_is_asked_for_where_that_was_offered_and_its_answer_is_used() {
    let mut config = audio();
    config.nack = true;
    let mut rig = Rig::new(Some(config), None);
    for sequence in [1, 2, 4] {
        rig.rtp(Track::Audio, PEER, 8, sequence, &[0; 160]);
    }
    assert_eq!(rig.log.end(), 2, "the packet behind the gap waits");
    let sent = rig.run(Duration::from_millis(10));
    let asked = feedback_of(&sent, 205, 1);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][12..], [0, 3, 0, 0]);
    // 50 ms after the gap was noticed: later than the hold without asking.
    rig.run(Duration::from_millis(20));
    rig.rtp(Track::Audio, PEER, 8, 3, &[0; 160]);
    assert_eq!(rig.log.end(), 4);
    let stats = rig.session.stats(Track::Audio);
    assert_eq!(
        (stats.retransmission.asked, stats.retransmission.came),
        (1, 1)
    );
    assert_eq!(stats.reorder.lost, 0);
    rig.session.check_invariants();
}

#[test]
fn nothing_missing_is_asked_for_where_that_was_not_offered() {
    let mut rig = Rig::new(Some(audio()), None);
    for sequence in [1, 2, 4] {
        rig.rtp(Track::Audio, PEER, 8, sequence, &[0; 160]);
    }
    let sent = rig.run(Duration::from_millis(500));
    assert!(feedback_of(&sent, 205, 1).is_empty());
    assert_eq!(rig.session.stats(Track::Audio).reorder.lost, 1);
}

#[test]
fn the_bit_rate_is_asked_for_until_the_sender_keeps_it() {
    let mut config = video();
    config.bitrate = Some(1_000_000);
    config.bitrate_feedback = BitrateFeedback {
        tmmbr: true,
        remb: true,
    };
    let mut rig = Rig::new(None, Some(config));
    assert!(feedback_of(&rig.run(Duration::from_secs(1)), 205, 3).is_empty());
    rig.rtp(Track::Video, PEER, 96, 1, &[0x67, 0x42, 0xc0, 0x0d]);
    let sent = rig.run(Duration::from_millis(1_500));
    assert_eq!(feedback_of(&sent, 205, 3).len(), 2);
    assert_eq!(feedback_of(&sent, 206, 15).len(), 2);
    let request = feedback_of(&sent, 205, 3).remove(0);
    let mut notification = request.clone();
    notification[0] = 0x84;
    // The owner of the limit is who asked for it.
    notification.copy_within(4..8, 12);
    let from = PEER_RTCP.parse().unwrap();
    rig.session
        .handle_rtcp(rig.now, Track::Video, from, &notification);
    let sent = rig.run(Duration::from_secs(9));
    assert_eq!(
        feedback_of(&sent, 205, 3).len(),
        1,
        "once more, and then seldom"
    );
}

#[test]
fn no_deadline_stands_still_while_nothing_missing_can_be_asked_for() {
    let hold = |config: &mut StreamConfig| config.receive = false;
    let nowhere = |config: &mut StreamConfig| config.remote_rtp = None;
    let changes: [fn(&mut StreamConfig); 2] = [hold, nowhere];
    for change in changes {
        let mut config = video();
        config.nack = true;
        let mut rig = Rig::new(None, Some(config.clone()));
        for sequence in [1, 3] {
            rig.rtp(Track::Video, PEER, 96, sequence, &[0x67, 0x42, 0xc0, 0x0d]);
        }
        change(&mut config);
        rig.session.configure(rig.now, Track::Video, Some(config));
        let until = rig.now + Duration::from_secs(1);
        let mut steps = 0;
        while let Some(next) = rig.session.poll_timeout().filter(|next| *next <= until) {
            rig.now = rig.now.max(next);
            rig.session.handle_timeout(rig.now, &mut rig.log);
            rig.sent();
            steps += 1;
            assert!(steps < 100, "awake without end at {:?}", rig.now);
        }
    }
}

#[test]
fn requests_for_missing_packets_are_paced_whatever_the_pattern_of_loss() {
    let mut config = video();
    config.nack = true;
    let mut rig = Rig::new(None, Some(config));
    rig.rtp(Track::Video, PEER, 96, 1, &[0x67, 0x42, 0xc0, 0x0d]);
    let (mut sent, begin) = (Vec::new(), rig.now);
    for sequence in (3..203_u16).step_by(2) {
        // Each is a gap of its own, noticed at a time of its own.
        rig.now = begin + Duration::from_millis(u64::from(sequence));
        let mut bytes = vec![0x80, 96, 0, sequence as u8];
        bytes.extend(u32::from(sequence).to_be_bytes());
        bytes.extend([0, 0, 0, 7, 0x41, 0x9a]);
        let packet = rig.pool.copy_from(&bytes).unwrap();
        let from = PEER.parse().unwrap();
        let track = Track::Video;
        rig.session
            .handle_rtp(rig.now, track, from, packet, &mut rig.log);
        sent.extend(rig.run(Duration::from_millis(2)));
    }
    let asked = feedback_of(&sent, 205, 1).len();
    assert!((10..=42).contains(&asked), "{asked} requests in 200 ms");
}

#[test]
fn a_source_leaves_once_however_often_it_says_so() {
    let mut rig = Rig::new(Some(audio()), None);
    rig.rtp(Track::Audio, PEER, 8, 1, &[0xd5; 160]);
    let mut told = Vec::new();
    for _ in 0..50 {
        rig.rtcp(PEER_RTCP, |compound| {
            compound.receiver_report(7, None);
            compound.bye(7);
        });
        told.extend(rig.events());
    }
    let track = Track::Audio;
    assert_eq!(told, [SessionEvent::Bye { track }]);
}
