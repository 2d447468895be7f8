//! Opus in Ogg (RFC 3533, RFC 7845) and VP8 in IVF, as ffmpeg writes and reads them.

/// The packets of an Ogg stream, its headers first.
pub fn ogg_packets(mut file: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while file.len() >= 27 {
        assert_eq!(&file[..4], b"OggS");
        let (lacing, mut body) = file[27..].split_at(usize::from(file[26]));
        for &size in lacing {
            let (piece, rest) = body.split_at(usize::from(size));
            packet.extend_from_slice(piece);
            body = rest;
            if size < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        file = body;
    }
    packets
}

/// An Ogg stream of one packet a page: the identification header and packets of 20 ms each.
pub fn ogg_stream(id_header: &[u8], packets: &[Vec<u8>]) -> Vec<u8> {
    let tags = b"OpusTags\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let headers = [(id_header.to_vec(), 0), (tags, 0)];
    let frames = packets.iter().enumerate();
    let frames = frames.map(|(number, packet)| (packet.clone(), (number as u64 + 1) * 960));
    let last = packets.len() + 1;
    let mut file = Vec::new();
    for (number, (packet, granule)) in headers.into_iter().chain(frames).enumerate() {
        let flags = match number {
            0 => 2,
            number if number == last => 4,
            _ => 0,
        };
        let mut page = b"OggS\x00".to_vec();
        page.push(flags);
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&[1, 0, 0, 0]);
        page.extend_from_slice(&(number as u32).to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push((packet.len() / 255 + 1) as u8);
        page.extend(std::iter::repeat_n(255, packet.len() / 255));
        page.push((packet.len() % 255) as u8);
        page.extend_from_slice(&packet);
        let sum = checksum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        file.extend(page);
    }
    file
}

/// The frames of an IVF file, each with its time.
pub fn ivf_frames(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = &file[32..];
    while let Some((head, body)) = rest.split_at_checked(12) {
        let (size, time) = head.split_at(4);
        let size = u32::from_le_bytes(size.try_into().unwrap()) as usize;
        let time = u64::from_le_bytes(time.try_into().unwrap());
        let (frame, after) = body.split_at(size);
        frames.push((time, frame.to_vec()));
        rest = after;
    }
    frames
}

/// An IVF file with the head of another one.
pub fn ivf_file(like: &[u8], frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = like[..32].to_vec();
    for (time, frame) in frames {
        file.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        file.extend_from_slice(&time.to_le_bytes());
        file.extend_from_slice(frame);
    }
    file
}

/// The checksum of a page whose own is zero.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            let next = sum << 1;
            if sum & 0x8000_0000 != 0 {
                next ^ 0x04c1_1db7
            } else {
                next
            }
        })
    })
}
