use super::*;
use crate::base::rng::Rng;
use crate::base::srtp::{MasterKey, Mki};
use crate::limits::SRTP_SOURCES;

const SSRC: u32 = 0x1122_3344;
const NOW: Instant = Instant::ZERO;

fn key(suite: Suite, fill: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..suite.master_bytes())
        .map(|at| fill.wrapping_add((at as u8).wrapping_mul(37)))
        .collect();
    MasterKey::new(suite, &bytes).unwrap()
}

fn srtp(local: MasterKey, remote: MasterKey) -> Srtp {
    let keys = SrtpKeys {
        local,
        remote,
        remote_mki: None,
    };
    Srtp::new(Box::new(keys))
}

/// Two ends of one line.
fn pair(suite: Suite) -> (Srtp, Srtp) {
    let (one, two) = (key(suite, 1), key(suite, 2));
    (srtp(one.clone(), two.clone()), srtp(two, one))
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, 0, 0, 0, 1, 2];
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A receiver report and a source description.
fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 202, 0, 3]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([1, 4, b'a', b'b', b'c', b'd', 0, 0]);
    packet
}

fn protect_rtp(by: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1_500];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = by.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer[..len].to_vec()
}

fn protect_rtcp(by: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1_500];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = by.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer[..len].to_vec()
}

fn unprotect_rtp(by: &mut Srtp, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let before = packet.clone();
    match by.unprotect_rtp(NOW, &mut packet) {
        Ok(len) => {
            packet.truncate(len);
            Ok(packet)
        }
        Err(error) => {
            assert_eq!(packet, before, "a packet that fails stays as it came");
            Err(error)
        }
    }
}

fn unprotect_rtcp(by: &mut Srtp, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = by.unprotect_rtcp(NOW, &mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[test]
fn what_one_end_protects_the_other_reads_and_nobody_else_does() {
    for suite in Suite::ALL {
        let (mut one, mut two) = pair(suite);
        for (step, len) in (0..1_300).step_by(7).enumerate() {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let packet = rtp(SSRC, 65_500_u16.wrapping_add(step as u16), &payload);
            let protected = protect_rtp(&mut one, &packet);
            assert_eq!(protected.len(), packet.len() + suite.tag_bytes());
            assert_eq!(protected[..12], packet[..12]);
            if len > 16 {
                assert_ne!(protected[12..packet.len()], packet[12..]);
            }
            assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
        }
        for _ in 0..5 {
            let report = rtcp(SSRC);
            let protected = protect_rtcp(&mut two, &report);
            assert_eq!(protected.len(), report.len() + TRAILER_BYTES);
            assert_eq!(protected[..8], report[..8]);
            assert_ne!(protected[8..report.len()], report[8..]);
            assert_eq!(unprotect_rtcp(&mut one, &protected), Ok(report));
        }
        let (_, mut stranger) = pair(suite);
        stranger.rekey(
            NOW,
            Box::new(SrtpKeys {
                local: key(suite, 8),
                remote: key(suite, 9),
                remote_mki: None,
            }),
        );
        let protected = protect_rtp(&mut one, &rtp(SSRC, 400, b"secret"));
        let error = Err(SrtpError::Unauthentic);
        let later = Instant::ZERO + FORMER_KEY_TIME;
        let mut packet = protected.clone();
        assert_eq!(
            stranger.unprotect_rtp(later, &mut packet).map(|_| ()),
            error
        );
    }
}

/// The packet that libraries and RFC 3711 implementations test with: AES_CM_128_HMAC_SHA1_80, the
/// keys of appendix B.3, sixteen bytes of 0xab.
#[test]
fn the_reference_packet_of_the_keys_of_rfc_3711_is_protected_as_known() {
    let hex = |text: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(pair).collect()
    };
    let master = hex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6");
    let master = MasterKey::new(Suite::Aes128Tag80, &master).unwrap();
    let mut end = srtp(master.clone(), master);
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    let known = hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    assert_eq!(protect_rtp(&mut end, &plain), known);
    assert_eq!(unprotect_rtp(&mut end, &known), Ok(plain));
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    for suite in Suite::ALL {
        let (mut one, mut two) = pair(suite);
        let packet = rtp(SSRC, 7, b"a payload of some length");
        let protected = protect_rtp(&mut one, &packet);
        for at in 0..protected.len() {
            for bit in 0..8 {
                let mut changed = protected.clone();
                changed[at] ^= 1 << bit;
                assert!(unprotect_rtp(&mut two, &changed).is_err(), "{at} {bit}");
            }
        }
        let report = protect_rtcp(&mut one, &rtcp(SSRC));
        for at in 0..report.len() {
            for bit in 0..8 {
                let mut changed = report.clone();
                changed[at] ^= 1 << bit;
                assert!(unprotect_rtcp(&mut two, &changed).is_err(), "{at} {bit}");
            }
        }
        // None of it did any harm.
        assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
        assert_eq!(unprotect_rtcp(&mut two, &report), Ok(rtcp(SSRC)));
        let tries = 8 * (protected.len() + report.len()) as u64;
        assert_eq!(two.counters().dropped(), tries);
    }
}

#[test]
fn a_packet_cut_short_anywhere_is_dropped() {
    for suite in Suite::ALL {
        let (mut one, mut two) = pair(suite);
        let mut packet = rtp(SSRC, 7, b"payload");
        // Two contributing sources and a header extension of one word.
        packet[0] = 0x92;
        packet.splice(
            12..12,
            [0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 5, 5, 5, 5],
        );
        let protected = protect_rtp(&mut one, &packet);
        assert_eq!(protected[..28], packet[..28]);
        let report = protect_rtcp(&mut one, &rtcp(SSRC));
        for len in 0..protected.len() {
            assert!(unprotect_rtp(&mut two, &protected[..len]).is_err());
        }
        for len in 0..report.len() {
            assert!(unprotect_rtcp(&mut two, &report[..len]).is_err());
        }
        assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
        assert_eq!(unprotect_rtcp(&mut two, &report), Ok(rtcp(SSRC)));
    }
}

#[test]
fn noise_of_any_kind_is_dropped() {
    let mut rng = Rng::from_number(77);
    let (mut one, mut two) = pair(Suite::Aes128Tag32);
    let good = protect_rtp(&mut one, &rtp(SSRC, 7, &[1; 100]));
    for _ in 0..20_000 {
        let mut noise = good.clone();
        noise.truncate(rng.below(good.len() as u32 + 1) as usize);
        for _ in 0..=rng.below(4) {
            if let Some(byte) = noise.get_mut(rng.below(40) as usize) {
                *byte = byte.wrapping_add(1 + (rng.u32() % 255) as u8);
            }
        }
        if noise == good {
            continue;
        }
        assert!(unprotect_rtp(&mut two, &noise).is_err());
        assert!(unprotect_rtcp(&mut two, &noise).is_err());
    }
    assert!(unprotect_rtp(&mut two, &good).is_ok());
}

#[test]
fn a_packet_is_taken_once() {
    let (mut one, mut two) = pair(Suite::Aes128Tag80);
    let mut sent: Vec<_> = (0..200_u16)
        .map(|step| {
            protect_rtp(
                &mut one,
                &rtp(SSRC, 65_436_u16.wrapping_add(step), &[7; 20]),
            )
        })
        .collect();
    // Some come late.
    sent.swap(10, 60);
    sent.swap(99, 104);
    for packet in &sent {
        assert!(unprotect_rtp(&mut two, packet).is_ok());
    }
    for packet in &sent {
        assert_eq!(unprotect_rtp(&mut two, packet), Err(SrtpError::Replayed));
    }
    let reports: Vec<_> = (0..5)
        .map(|_| protect_rtcp(&mut one, &rtcp(SSRC)))
        .collect();
    for report in reports.iter().rev() {
        assert!(unprotect_rtcp(&mut two, report).is_ok());
        assert_eq!(unprotect_rtcp(&mut two, report), Err(SrtpError::Replayed));
    }
    assert_eq!(two.counters().replayed, 205);
}

#[test]
fn a_forged_packet_far_ahead_moves_nothing() {
    let (mut one, mut two) = pair(Suite::Aes128Tag80);
    let first = protect_rtp(&mut one, &rtp(SSRC, 100, b"one"));
    unprotect_rtp(&mut two, &first).unwrap();
    for sequence in [200, 30_000, 33_000, 65_000] {
        let mut forged = rtp(SSRC, sequence, b"forged");
        forged.extend([0; 10]);
        assert!(unprotect_rtp(&mut two, &forged).is_err());
    }
    let second = protect_rtp(&mut one, &rtp(SSRC, 101, b"two"));
    assert!(unprotect_rtp(&mut two, &second).is_ok());
}

#[test]
fn numbers_come_round_many_times_with_losses() {
    let (mut one, mut two) = pair(Suite::Aes128Tag32);
    let mut rng = Rng::from_number(5);
    let mut sequence = 60_000_u16;
    let mut rounds = 0;
    while rounds < 20 {
        // Up to a quarter of all numbers are missing.
        let next = sequence.wrapping_add(1 + rng.below(16_000) as u16);
        rounds += u32::from(next < sequence);
        sequence = next;
        let packet = rtp(SSRC, sequence, b"x");
        let protected = protect_rtp(&mut one, &packet);
        assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
    }
    // One from before the wrap that comes after it.
    let (mut one, mut two) = pair(Suite::Aes128Tag80);
    let sent: Vec<_> = [65_534, 65_535, 0, 1]
        .map(|sequence| protect_rtp(&mut one, &rtp(SSRC, sequence, b"x")))
        .into();
    for at in [0, 2, 1, 3] {
        assert!(unprotect_rtp(&mut two, &sent[at]).is_ok());
    }
}

#[test]
fn a_source_that_came_round_before_it_was_heard_is_understood() {
    let (mut one, mut two) = pair(Suite::Aes256Tag80);
    protect_rtp(&mut one, &rtp(SSRC, 65_535, b"lost"));
    let packet = rtp(SSRC, 0, b"heard");
    let protected = protect_rtp(&mut one, &packet);
    assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
}

#[test]
fn a_key_ends_with_its_last_index() {
    let (mut one, mut two) = pair(Suite::Aes128Tag80);
    let last = (1 << 48) - 1;
    one.outbound.wind_to(SSRC, last - 1, (1 << 31) - 1);
    two.inbound.wind_to(SSRC, last - 1);
    let packet = rtp(SSRC, 65_535, b"the last");
    let protected = protect_rtp(&mut one, &packet);
    assert_eq!(unprotect_rtp(&mut two, &protected), Ok(packet));
    let mut buffer = [0; 100];
    let next = rtp(SSRC, 0, b"");
    buffer[..12].copy_from_slice(&next);
    let error = Err(SrtpError::KeyExhausted);
    assert_eq!(one.protect_rtp(&mut buffer, 12), error);
    // What would be index 0 again is not taken either.
    let mut forged = next;
    forged.extend([0; 10]);
    assert_eq!(unprotect_rtp(&mut two, &forged), Err(SrtpError::Replayed));

    let protected = protect_rtcp(&mut one, &rtcp(SSRC));
    assert_eq!(unprotect_rtcp(&mut two, &protected), Ok(rtcp(SSRC)));
    let report = rtcp(SSRC);
    buffer[..report.len()].copy_from_slice(&report);
    assert_eq!(one.protect_rtcp(&mut buffer, report.len()), error);
    assert_eq!(one.counters().unsent, 2);
}

#[test]
fn no_key_stream_of_ours_is_used_twice() {
    let (mut one, _) = pair(Suite::Aes128Tag80);
    protect_rtp(&mut one, &rtp(SSRC, 9, b"one"));
    let mut buffer = [0; 100];
    for sequence in [9, 8, 40_000] {
        buffer[..15].copy_from_slice(&rtp(SSRC, sequence, b"two"));
        assert_eq!(one.protect_rtp(&mut buffer, 15), Err(SrtpError::OutOfOrder));
    }
    buffer[..15].copy_from_slice(&rtp(SSRC + 1, 10, b"two"));
    let error = one.protect_rtp(&mut buffer, 15);
    assert_eq!(error, Err(SrtpError::TooManySources));
}

#[test]
fn protection_needs_room_and_rtp() {
    let (mut one, _) = pair(Suite::Aes128Tag80);
    let mut buffer = rtp(SSRC, 9, b"one");
    let len = buffer.len();
    assert_eq!(one.protect_rtp(&mut buffer, len), Err(SrtpError::NoRoom));
    let mut noise = [0; 64];
    assert_eq!(one.protect_rtp(&mut noise, 20), Err(SrtpError::Malformed));
    assert_eq!(one.protect_rtcp(&mut noise, 20), Err(SrtpError::Malformed));
    assert_eq!(one.protect_rtcp(&mut noise, 60), Err(SrtpError::NoRoom));
}

#[test]
fn sources_under_one_key_are_counted() {
    let (_, mut two) = pair(Suite::Aes128Tag80);
    for ssrc in 0..SRTP_SOURCES as u32 {
        let (mut one, _) = pair(Suite::Aes128Tag80);
        let protected = protect_rtp(&mut one, &rtp(ssrc, 9, b"x"));
        assert!(unprotect_rtp(&mut two, &protected).is_ok());
    }
    let (mut one, _) = pair(Suite::Aes128Tag80);
    let protected = protect_rtp(&mut one, &rtp(999, 9, b"x"));
    let error = Err(SrtpError::TooManySources);
    assert_eq!(unprotect_rtp(&mut two, &protected), error);
    assert_eq!(two.counters().too_many_sources, 1);
    // Those that are known go on.
    let (mut one, _) = pair(Suite::Aes128Tag80);
    let protected = protect_rtp(&mut one, &rtp(3, 10, b"x"));
    assert!(unprotect_rtp(&mut two, &protected).is_ok());
}

#[test]
fn a_new_key_begins_anew_and_the_former_is_taken_for_a_moment() {
    let suite = Suite::Aes128Tag80;
    let (mut one, mut two) = pair(suite);
    for sequence in [30_000, 60_000, 20_000] {
        let packet = protect_rtp(&mut one, &rtp(SSRC, sequence, b"x"));
        unprotect_rtp(&mut two, &packet).unwrap();
    }
    let backward = protect_rtp(&mut two, &rtp(5, 1, b"back"));
    unprotect_rtp(&mut one, &backward).unwrap();
    let on_its_way = protect_rtp(&mut one, &rtp(SSRC, 20_001, b"late"));
    let later = protect_rtp(&mut one, &rtp(SSRC, 20_002, b"later"));

    let (new, same) = (key(suite, 3), key(suite, 2));
    let keys = |local: &MasterKey, remote: &MasterKey| {
        Box::new(SrtpKeys {
            local: local.clone(),
            remote: remote.clone(),
            remote_mki: None,
        })
    };
    one.rekey(NOW, keys(&new, &same));
    two.rekey(NOW, keys(&same, &new));
    // The same keys once more change nothing.
    two.rekey(NOW, keys(&same, &new));
    let first = protect_rtp(&mut one, &rtp(SSRC, 20_003, b"new"));
    assert!(unprotect_rtp(&mut two, &first).is_ok());
    let mut packet = on_its_way;
    assert!(two.unprotect_rtp(NOW, &mut packet).is_ok());
    let mut packet = later;
    let error = Err(SrtpError::Unauthentic);
    assert_eq!(two.unprotect_rtp(NOW + FORMER_KEY_TIME, &mut packet), error);
    // The direction whose key stayed goes on, and still knows what came.
    assert_eq!(unprotect_rtp(&mut one, &backward), Err(SrtpError::Replayed));
    let backward = protect_rtp(&mut two, &rtp(5, 2, b"back"));
    assert!(unprotect_rtp(&mut one, &backward).is_ok());
}

#[test]
fn a_key_identifier_is_looked_at_and_taken_off() {
    let suite = Suite::Aes128Tag80;
    let mki = Mki {
        value: 0x0102,
        len: 2,
    };
    let (mut one, _) = pair(suite);
    let mut two = Srtp::new(Box::new(SrtpKeys {
        local: key(suite, 2),
        remote: key(suite, 1),
        remote_mki: Some(mki),
    }));
    let packet = rtp(SSRC, 1, b"payload");
    let protected = protect_rtp(&mut one, &packet);
    let with = |id: [u8; 2], whole: &[u8]| {
        let mut bytes = whole.to_vec();
        let at = bytes.len() - 10;
        bytes.splice(at..at, id);
        bytes
    };
    let other = with([1, 3], &protected);
    assert_eq!(unprotect_rtp(&mut two, &other), Err(SrtpError::Unauthentic));
    let right = with([1, 2], &protected);
    assert_eq!(unprotect_rtp(&mut two, &right), Ok(packet));
    let report = protect_rtcp(&mut one, &rtcp(SSRC));
    let right = with([1, 2], &report);
    assert_eq!(unprotect_rtcp(&mut two, &right), Ok(rtcp(SSRC)));
    assert!(unprotect_rtcp(&mut two, &report).is_err());
}

#[test]
fn nothing_of_a_key_is_printed() {
    let (one, _) = pair(Suite::Aes128Tag80);
    let shown = format!("{one:?} {:?}", one.keys);
    assert!(shown.contains("AES_CM_128_HMAC_SHA1_80") && shown.contains("***"));
    assert!(!shown.contains("[1, 38"));
}

#[test]
fn protection_is_as_small_as_its_document_says() {
    let (all, former) = (size_of::<Srtp>(), size_of::<Inbound>());
    assert!(all <= 5 * 1_024, "{all}");
    // Both lines of a call, with their keys, while each has a former one.
    let most = 2 * (all + former + size_of::<SrtpKeys>());
    assert!(most + 512 <= crate::limits::SRTP_CALL_BYTES, "{most}");
}
