//! Frames put together from complete packets, in the simplest way: what may be published.

use super::capture::Packet;

/// A frame as its packets tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Ticks since the track's first packet.
    pub ticks: i64,
    pub keyframe: bool,
    /// H.264: its slices, each NAL unit by itself. Else one element.
    pub parts: Vec<Vec<u8>>,
}

/// The packets of one timestamp are whole when their numbers go on from the picture before to a
/// marker. A picture that is not whole spoils those that follow up to a keyframe.
pub fn pictures(packets: &[Packet], read: impl Fn(&[&Packet]) -> Frame) -> Vec<Frame> {
    let mut groups: Vec<Vec<&Packet>> = Vec::new();
    for packet in packets {
        match groups.last_mut() {
            Some(group) if group[0].ticks == packet.ticks => group.push(packet),
            _ => groups.push(vec![packet]),
        }
    }
    let mut unspoilt = Vec::new();
    let mut next = packets[0].sequence;
    let mut spoilt = true;
    for group in &groups {
        let mut numbers = (next..).zip(group);
        let whole = numbers.all(|(next, packet)| next == packet.sequence)
            && group.last().is_some_and(|packet| packet.marker);
        next = group.last().map_or(next, |packet| packet.sequence + 1);
        if !whole {
            spoilt = true;
            continue;
        }
        let frame = read(group);
        spoilt &= !frame.keyframe;
        if !spoilt {
            unspoilt.push(frame);
        }
    }
    unspoilt
}

/// Slices of single NAL units and FU-A (RFC 6184); no phone here sends anything else.
pub fn h264(packets: &[&Packet]) -> Frame {
    let mut units: Vec<Vec<u8>> = Vec::new();
    for packet in packets {
        let payload = &packet.payload;
        match payload[0] & 0x1f {
            1..=23 => units.push(payload.clone()),
            28 => {
                if payload[1] & 0x80 != 0 {
                    units.push(vec![payload[0] & 0xe0 | payload[1] & 0x1f]);
                }
                units.last_mut().unwrap().extend_from_slice(&payload[2..]);
            }
            other => panic!("NAL unit of type {other}"),
        }
    }
    units.retain(|unit| matches!(unit[0] & 0x1f, 1..=5));
    Frame {
        ticks: packets[0].ticks,
        keyframe: units.iter().any(|unit| unit[0] & 0x1f == 5),
        parts: units,
    }
}

/// The first parameter set of a type.
pub fn parameter_set(packets: &[Packet], kind: u8) -> Vec<u8> {
    let is_set = |packet: &&Packet| packet.payload[0] & 0x1f == kind;
    packets.iter().find(is_set).unwrap().payload.clone()
}

/// A VP8 frame without the descriptors (RFC 7741, section 4.2).
pub fn vp8(packets: &[&Packet]) -> Frame {
    let mut data = Vec::new();
    for packet in packets {
        let payload = &packet.payload;
        let mut head = 1;
        if payload[0] & 0x80 != 0 {
            let extensions = payload[1];
            head += 1;
            if extensions & 0x80 != 0 {
                head += if payload[2] & 0x80 != 0 { 2 } else { 1 };
            }
            head += usize::from(extensions & 0x40 != 0);
            head += usize::from(extensions & 0x30 != 0);
        }
        data.extend_from_slice(&payload[head..]);
    }
    Frame {
        ticks: packets[0].ticks,
        keyframe: data[0] & 1 == 0,
        parts: vec![data],
    }
}

/// How sound is packed.
#[derive(Clone, Copy, Debug)]
pub enum Sound {
    /// One frame a packet: G.711, Opus, Speex.
    Plain,
    /// AAC-hbr of RFC 3640: headers of sixteen bits, their count in bits before them.
    Generic,
    /// One AudioMuxElement a packet without configuration (RFC 6416): its length in bytes of up to
    /// 255, then the frame.
    Latm,
}

/// Frames of sound.
pub fn sounds(packets: &[Packet], sound: Sound) -> Vec<Frame> {
    let mut frames = Vec::new();
    for packet in packets {
        let payload = &packet.payload[..];
        let mut add = |number: usize, data: &[u8]| {
            frames.push(Frame {
                ticks: packet.ticks + 1_024 * number as i64,
                keyframe: true,
                parts: vec![data.to_vec()],
            });
        };
        match sound {
            Sound::Plain => add(0, payload),
            Sound::Generic => {
                let bits = usize::from(u16::from_be_bytes([payload[0], payload[1]]));
                let (heads, mut data) = payload[2..].split_at(bits / 8);
                for (number, head) in heads.chunks(2).enumerate() {
                    let size = usize::from(u16::from_be_bytes([head[0], head[1]]) >> 3);
                    let (frame, rest) = data.split_at(size);
                    add(number, frame);
                    data = rest;
                }
                assert!(data.is_empty(), "bytes without a header");
            }
            Sound::Latm => {
                assert!(packet.marker, "a fragment");
                let full = payload.iter().take_while(|byte| **byte == 255).count();
                let size = 255 * full + usize::from(payload[full]);
                let data = &payload[full + 1..];
                assert_eq!(data.len(), size, "more than one frame");
                add(0, data);
            }
        }
    }
    frames
}
