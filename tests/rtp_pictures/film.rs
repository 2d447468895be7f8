//! A clip with B pictures through a session: what was sent and what came out.

use std::time::Duration;

use rtp::codecs::h264::H264Payloader;
use rtp::packetizer::Payloader;
use trunkcast::base::codec::Track;

use crate::rtp_support::{Network, VIDEO_TYPE, World, packet};

const CLIP: &[u8] = include_bytes!("../data/media/b_pictures.h264");

/// Microseconds from picture to picture.
pub const SPACING: i64 = 40_000;

/// Pictures of one group, which is a second.
pub const GROUP: usize = 25;

/// Display numbers in decoding order, of a clip of two groups.
pub fn decoding_order() -> Vec<usize> {
    let mut order = Vec::new();
    for group in [0, GROUP] {
        order.push(group);
        for four in (0..GROUP - 1).step_by(4) {
            order.extend([4, 2, 1, 3].map(|number| group + four + number));
        }
    }
    order
}

/// The clip's access units, in Annex B form without parameter sets, and those apart.
pub fn units() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut sets = Vec::new();
    let starts: Vec<usize> = (0..CLIP.len())
        .filter(|at| CLIP[*at..].starts_with(&[0, 0, 1]))
        .collect();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(CLIP.len());
        let mut nal = &CLIP[start + 3..end];
        while nal.last() == Some(&0) {
            nal = &nal[..nal.len() - 1];
        }
        match nal[0] & 0x1f {
            7 | 8 if sets.len() < 2 => sets.push(nal.to_vec()),
            1 | 5 => units.push([&[0, 0, 0, 1], nal].concat()),
            _ => {}
        }
    }
    (units, sets)
}

/// Sends the clip `rounds` times. `told`: its parameter sets say how deep it is reordered.
pub fn play(rounds: usize, told: bool, lost: impl Fn(usize) -> bool) -> (World, Vec<usize>) {
    let mut world = World::new(Network::default(), 1);
    let (units, mut sets) = units();
    if !told {
        sets[0] = without_restrictions(&sets[0]);
    }
    let sets: Vec<u8> = sets
        .iter()
        .flat_map(|set| [&[0, 0, 0, 1], &set[..]].concat())
        .collect();
    let order = decoding_order();
    assert_eq!(units.len(), order.len());
    let mut payloader = H264Payloader::default();
    let (mut sequence, mut displayed) = (65_500_u16, Vec::new());
    for number in 0..rounds * units.len() {
        let (round, at) = (number / units.len(), number % units.len());
        let mut unit = units[at].clone();
        if unit[4] & 0x1f == 5 {
            unit = [&sets[..], &unit].concat();
        }
        let display = round * units.len() + order[at];
        displayed.push(display);
        let timestamp = 0xffff_8000_u32.wrapping_add(display as u32 * 3_600);
        let payloads = payloader.payload(1_200, &unit.into()).unwrap();
        let mut packets = Vec::new();
        for (part, payload) in payloads.iter().enumerate() {
            let marker = part + 1 == payloads.len();
            packets.push(packet(VIDEO_TYPE, marker, sequence, timestamp, 7, payload));
            sequence = sequence.wrapping_add(1);
        }
        if !lost(number) {
            world.send(Track::Video, packets);
        }
        world.run_until(world.now + Duration::from_micros(SPACING as u64));
    }
    (world, displayed)
}

/// The set without its bitstream restrictions, by the flag of the VUI: a sender that leaves the
/// rest of the set away, too.
fn without_restrictions(sps: &[u8]) -> Vec<u8> {
    // The flag is followed by the restrictions: 1, ue(0), ue(0), ue(11) or so, ..., and the stop bit.
    let bits: Vec<u8> = sps
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    for at in (0..bits.len()).rev() {
        if bits[at] == 0 {
            continue;
        }
        let mut cut = bits[..at].to_vec();
        cut.extend([0, 1]);
        cut.resize(cut.len().div_ceil(8) * 8, 0);
        let bytes: Vec<u8> = cut
            .chunks(8)
            .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit))
            .collect();
        let depth = trunkcast::wire::h264::reorder_depth(&bytes);
        let size = trunkcast::wire::h264::SpsHead::parse(&bytes);
        if depth.is_none() && size.is_some() {
            return bytes;
        }
    }
    panic!("the set has no restrictions");
}
