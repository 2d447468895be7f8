//! SRTP and SRTCP: forged, damaged, repeated and true packets in any order, with keys that change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkcast::base::rng::Rng;
use trunkcast::base::srtp::{MasterKey, Mki, SrtpKeys, Suite};
use trunkcast::base::time::Instant;
use trunkcast::rtp::srtp::{Srtp, TRAILER_BYTES};
use trunkcast_fuzz::Choices;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let suite = choices.pick(&Suite::ALL);
    let mki = choices.flag().then_some(Mki { value: 7, len: 2 });
    let mut ours = keys(suite, 1, mki);
    let mut here = Srtp::new(Box::new(ours.clone()));
    let mut there = Srtp::new(Box::new(mirrored(&ours)));
    let mut now = Instant::from_millis(1_000);
    let mut last = Vec::new();
    for _ in 0..256 {
        if choices.is_empty() {
            break;
        }
        match choices.byte() % 6 {
            // Anything.
            0 => {
                let length = usize::from(choices.number()) % 1_600;
                let mut packet = choices.bytes(length).to_vec();
                take(&mut here, now, &mut packet, choices.flag());
            }
            // What the peer protects, as it is or damaged.
            kind @ (1 | 2) => {
                let is_rtp = kind == 1;
                let mut packet = packet(&mut choices, is_rtp);
                let plain = packet.clone();
                packet.resize(plain.len() + TRAILER_BYTES + 4, 0);
                let sent = match is_rtp {
                    true => there.protect_rtp(&mut packet, plain.len()),
                    false => there.protect_rtcp(&mut packet, plain.len()),
                };
                let Ok(length) = sent else {
                    continue;
                };
                packet.truncate(length);
                last.clone_from(&packet);
                if choices.byte() & 3 == 0 {
                    let at = usize::from(choices.number()) % packet.len();
                    packet[at] ^= choices.byte();
                }
                let is_whole = packet == last;
                let taken = take(&mut here, now, &mut packet, is_rtp);
                if let (Some(taken), true, None) = (taken, is_whole, mki) {
                    assert_eq!(packet.get(..taken), Some(&plain[..]));
                }
            }
            // The packet before once more: never taken twice under one key.
            3 => {
                let mut packet = last.clone();
                take(&mut here, now, &mut packet, choices.flag());
            }
            4 => {
                ours = keys(suite, u64::from(choices.byte()), mki);
                here.rekey(now, Box::new(ours.clone()));
                if choices.flag() {
                    there.rekey(now, Box::new(mirrored(&ours)));
                }
            }
            _ => now = now + std::time::Duration::from_millis(u64::from(choices.number())),
        }
    }
});

/// What is taken is no longer than what came; what is not stays as it came.
fn take(srtp: &mut Srtp, now: Instant, packet: &mut [u8], is_rtp: bool) -> Option<usize> {
    let before = packet.to_vec();
    let taken = match is_rtp {
        true => srtp.unprotect_rtp(now, packet),
        false => srtp.unprotect_rtcp(now, packet),
    };
    match taken {
        Ok(length) => assert!(length < before.len()),
        Err(_) => assert_eq!(packet, before),
    }
    taken.ok()
}

fn packet(choices: &mut Choices<'_>, is_rtp: bool) -> Vec<u8> {
    let mut packet = match is_rtp {
        true => {
            let mut header = vec![0x80 | choices.byte() & 0x3f, 96];
            header.extend(choices.number().to_be_bytes());
            header.extend([0, 0, 0, 1, 0, 0, 0, choices.byte() & 3]);
            header
        }
        false => vec![0x80, 201, 0, 1, 0, 0, 0, choices.byte() & 3],
    };
    let length = usize::from(choices.byte());
    packet.extend(choices.bytes(length));
    packet
}

fn keys(suite: Suite, seed: u64, remote_mki: Option<Mki>) -> SrtpKeys {
    let mut rng = Rng::from_number(seed);
    SrtpKeys {
        local: MasterKey::random(suite, &mut rng),
        remote: MasterKey::random(suite, &mut rng),
        remote_mki,
    }
}

fn mirrored(keys: &SrtpKeys) -> SrtpKeys {
    SrtpKeys {
        local: keys.remote.clone(),
        remote: keys.local.clone(),
        remote_mki: None,
    }
}
