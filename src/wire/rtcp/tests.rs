use super::writer::exponent_and_mantissa;
use super::*;
use crate::base::rng::Rng;
use crate::limits::{RTCP_CNAME_BYTES, RTCP_COMPOUND_BYTES, RTCP_NACK_ENTRIES};

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 12,
    cumulative_lost: -3,
    highest_sequence: 0x0001_fffe,
    jitter: 99,
    last_report: 0xaabb_ccdd,
    delay_since_report: 65_536,
};

const INFO: SenderInfo = SenderInfo {
    ntp: NtpTime(0xe0e1_e2e3_8000_0000),
    rtp_timestamp: 0xffff_fff0,
    packets: 7,
    octets: 1_120,
};

/// What a request for 2 Mbit/s with 40 bytes of overhead says: 125,000 * 2^4.
const LIMIT: BitrateLimit = BitrateLimit {
    owner: 1,
    media: 2,
    entry: 4 << 26 | 125_000 << 9 | 40,
};

/// Packets of [`everything`].
const PACKETS: usize = 10;

fn write_everything(compound: &mut CompoundWriter) {
    compound.sender_report(1, &INFO, Some(&BLOCK));
    compound.receiver_report(1, None);
    compound.cname(1, "someone@192.0.2.1");
    compound.picture_loss(1, 2);
    compound.full_intra(1, 2, 200);
    compound.missing(1, 2, &[65_530, 65_531, 10, 11, 27]);
    compound.bitrate_request(1, 2, 2_000_000, 40);
    compound.bitrate_notification(1, &LIMIT);
    compound.bitrate_estimate(1, 2, 2_000_000);
    compound.bye(1);
}

/// Everything that we write, in one datagram.
fn everything() -> Vec<u8> {
    let mut out = [0; RTCP_COMPOUND_BYTES];
    let mut compound = CompoundWriter::new(&mut out);
    write_everything(&mut compound);
    let len = compound.finish().unwrap();
    out[..len].to_vec()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = everything();
    let read: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
    assert_eq!(
        read,
        [
            RtcpPacket::SenderReport {
                ssrc: 1,
                info: INFO,
                blocks: [BLOCK].into_iter().collect()
            },
            RtcpPacket::ReceiverReport {
                ssrc: 1,
                blocks: Blocks::new()
            },
            RtcpPacket::Other(SDES),
            RtcpPacket::PictureLoss {
                sender: 1,
                media: 2
            },
            RtcpPacket::FullIntra {
                sender: 1,
                media: 2,
                sequence: 200
            },
            RtcpPacket::Missing {
                sender: 1,
                media: 2
            },
            RtcpPacket::BitrateRequest(LIMIT),
            RtcpPacket::BitrateNotification {
                sender: 1,
                owners: [1].into_iter().collect()
            },
            RtcpPacket::Other(PAYLOAD_FEEDBACK),
            RtcpPacket::Bye([1].into_iter().collect()),
        ]
    );
}

#[test]
fn a_strict_reader_takes_the_whole_compound() {
    let bytes = everything();
    let compound = types::Compound::parse(&bytes).unwrap();
    assert_eq!(compound.map(Result::unwrap).count(), PACKETS);
}

fn written(write: impl FnOnce(&mut CompoundWriter)) -> Vec<u8> {
    let mut out = [0; RTCP_COMPOUND_BYTES];
    let mut compound = CompoundWriter::new(&mut out);
    write(&mut compound);
    let len = compound.finish().unwrap();
    out[..len].to_vec()
}

#[test]
fn missing_packets_are_named_one_by_one_across_the_wrap() {
    let missing = [65_530, 65_531, 10, 11, 27, 200];
    let bytes = written(|compound| compound.missing(1, 2, &missing));
    let feedback = types::TransportFeedback::parse(&bytes).unwrap();
    assert_eq!((feedback.sender_ssrc(), feedback.media_ssrc()), (1, 2));
    let nack = feedback.parse_fci::<types::Nack>().unwrap();
    assert_eq!(nack.entries().collect::<Vec<_>>(), missing);
    assert!(written(|compound| compound.missing(1, 2, &[])).is_empty());
    let many: Vec<u16> = (0..100).map(|n| n * 20).collect();
    let bytes = written(|compound| compound.missing(1, 2, &many));
    let feedback = types::TransportFeedback::parse(&bytes).unwrap();
    let nack = feedback.parse_fci::<types::Nack>().unwrap();
    assert!(nack.entries().eq(many[..RTCP_NACK_ENTRIES].iter().copied()));
}

#[test]
fn a_bit_rate_is_written_as_mantissa_and_power_of_two() {
    let bytes = written(|compound| compound.bitrate_request(1, 2, 2_000_000, 40));
    // 2,000,000 = 125,000 * 2^4.
    let entry = 4 << 26 | 125_000 << 9 | 40_u32;
    let mut expected = vec![0x83, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
    expected.extend(entry.to_be_bytes());
    assert_eq!(bytes, expected);

    let bytes = written(|compound| compound.bitrate_estimate(1, 2, 2_000_000));
    // 2,000,000 = 250,000 * 2^3.
    let entry = 1 << 24 | 3 << 18 | 250_000_u32;
    let mut expected = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    expected.extend(b"REMB");
    expected.extend(entry.to_be_bytes());
    expected.extend([0, 0, 0, 2]);
    assert_eq!(bytes, expected);
    for number in [0, 1, 0x1_ffff, 0x2_0000, u64::MAX] {
        let (exponent, mantissa) = exponent_and_mantissa(number, 17);
        assert!(mantissa < 1 << 17);
        assert!(u128::from(mantissa) << exponent <= u128::from(number));
        assert!((u128::from(mantissa) + 1) << exponent > u128::from(number));
    }
}

#[test]
fn the_limits_that_a_sender_keeps_are_read() {
    let mut bytes = vec![0x84, 205, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0];
    for owner in [1_u32, 77] {
        bytes.extend(owner.to_be_bytes());
        bytes.extend([0; 4]);
    }
    let read: Vec<_> = packets(&bytes).collect();
    let owners = [1, 77].into_iter().collect();
    assert_eq!(
        read,
        [Ok(RtcpPacket::BitrateNotification { sender: 9, owners })]
    );
    let short = [0x84, 205, 0, 1, 0, 0, 0, 9];
    assert_eq!(packets(&short).next(), Some(Err(RtcpError::Malformed)));
}

#[test]
fn canonical_names_of_every_length_are_padded_to_words() {
    for len in 0..=RTCP_CNAME_BYTES + 5 {
        let name = "n".repeat(len);
        let mut out = [0xee; RTCP_COMPOUND_BYTES];
        let mut compound = CompoundWriter::new(&mut out);
        compound.cname(9, &name);
        let len = compound.finish().unwrap();
        let sdes = types::Sdes::parse(&out[..len]).unwrap();
        let chunk = sdes.chunks().next().unwrap();
        let item = chunk.items().next();
        let value = item.map(types::SdesItem::value).unwrap_or_default();
        assert_eq!(value, &name.as_bytes()[..name.len().min(RTCP_CNAME_BYTES)]);
        assert_eq!(chunk.ssrc(), 9);
    }
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let whole = everything().len();
    for len in 0..whole {
        let mut out = vec![0; len];
        let mut compound = CompoundWriter::new(&mut out);
        write_everything(&mut compound);
        assert_eq!(compound.finish(), None, "{len} bytes");
    }
}

#[test]
fn the_loss_count_saturates_at_24_bits() {
    for (lost, wire) in [
        (i32::MIN, -0x80_0000),
        (i32::MAX, 0x7f_ffff),
        (-1, -1),
        (5, 5),
    ] {
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut compound = CompoundWriter::new(&mut out);
        compound.receiver_report(
            1,
            Some(&ReportBlock {
                cumulative_lost: lost,
                ..BLOCK
            }),
        );
        let len = compound.finish().unwrap();
        let Some(Ok(RtcpPacket::ReceiverReport { blocks, .. })) = packets(&out[..len]).next()
        else {
            panic!("no receiver report")
        };
        assert_eq!(blocks[0].cumulative_lost, wire);
    }
}

#[test]
fn a_malformed_packet_is_stepped_over() {
    // A FIR without its entry, which makes other readers panic, before a BYE.
    let bytes = [
        0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x81, 203, 0, 1, 0, 0, 0, 9,
    ];
    let read: Vec<_> = packets(&bytes).collect();
    assert_eq!(
        read,
        [
            Err(RtcpError::Malformed),
            Ok(RtcpPacket::Bye([9].into_iter().collect()))
        ]
    );
}

#[test]
fn a_length_beyond_the_datagram_ends_the_walk() {
    let bytes = [0x81, 203, 0, 2, 0, 0, 0, 9];
    assert_eq!(
        packets(&bytes).collect::<Vec<_>>(),
        [Err(RtcpError::Truncated)]
    );
    let bytes = [0x41, 203, 0, 1, 0, 0, 0, 9];
    assert_eq!(
        packets(&bytes).collect::<Vec<_>>(),
        [Err(RtcpError::Version)]
    );
}

#[test]
fn a_datagram_of_many_small_packets_is_bounded() {
    let bytes = [0x80, 203, 0, 0].repeat(370);
    assert_eq!(packets(&bytes).count(), RTCP_PACKETS);
}

#[test]
fn more_blocks_and_sources_than_kept_are_passed_over() {
    let mut bytes = vec![0x9f, 201, 0, 187, 0, 0, 0, 1];
    bytes.resize(752, 3);
    bytes.extend([0x9f, 203, 0, 31]);
    bytes.resize(752 + 128, 4);
    let read: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
    assert!(matches!(&read[0], RtcpPacket::ReceiverReport { blocks, .. } if blocks.is_full()));
    assert!(matches!(&read[1], RtcpPacket::Bye(sources) if sources.is_full()));
}

#[test]
fn rtp_and_rtcp_are_told_apart_on_one_port() {
    assert!(is_rtcp(&everything()));
    assert!(!is_rtcp(&[0x80, 96, 0, 1]));
    assert!(!is_rtcp(&[0x80, 0x80 | 96, 0, 1]));
    assert!(!is_rtcp(&[0x80]));
}

#[test]
fn no_truncation_and_no_mutation_panics() {
    let whole = everything();
    for len in 0..=whole.len() {
        assert!(packets(&whole[..len]).count() <= PACKETS);
    }
    let mut rng = Rng::from_number(5);
    for _ in 0..50_000 {
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(6) {
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = rng.u32() as u8;
        }
        bytes.truncate(rng.below(bytes.len() as u32 + 1) as usize);
        assert!(packets(&bytes).count() <= RTCP_PACKETS);
    }
}
