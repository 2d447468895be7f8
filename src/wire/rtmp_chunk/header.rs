//! The header of a chunk as it comes in (RTMP 1.0, section 5.3.1): basic header, message header of
//! format 0 to 3, extended timestamp.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::Vec;

use crate::wire::rtmp_chunk::EXTENDED;

/// Bytes of the longest header: basic header, message header of format 0, extended timestamp.
const HEADER_BYTES: usize = 3 + 11 + 4;

/// The bytes of a header that may not be whole yet.
#[derive(Default)]
pub(super) struct HeaderBytes(Vec<u8, HEADER_BYTES>);

/// A whole header. What its format leaves out is as it was in the chunk stream's last one.
pub(super) struct ChunkHeader {
    /// From 0, which has all fields, to 3, which has none.
    pub format: u8,
    /// The chunk stream.
    pub chunk_stream: u32,
    /// Timestamp (format 0) or what is added to the last one.
    pub time: Option<u32>,
    /// The timestamp stands in a field of its own.
    pub extended: bool,
    /// Length and type of the message (formats 0 and 1).
    pub length_and_kind: Option<(u32, u8)>,
    /// The message stream (format 0).
    pub stream_id: Option<u32>,
}

/// The part of a header that tells the rest.
struct BasicHeader {
    format: u8,
    chunk_stream: u32,
    /// Its own bytes.
    len: usize,
}

impl HeaderBytes {
    /// How many more bytes the header has for sure, as far as those that are here tell; 0 when it is
    /// whole. `is_extended` tells whether a chunk stream's last header was.
    pub fn missing(&self, is_extended: impl FnOnce(u32) -> bool) -> usize {
        self.known_length(is_extended).saturating_sub(self.0.len())
    }

    /// Adds the next byte.
    pub fn push(&mut self, byte: u8) {
        // There is room for the longest header, and none is longer than what was missing.
        let _ = self.0.push(byte);
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Reads the header once nothing is missing.
    pub fn parse(&self) -> Option<ChunkHeader> {
        let BasicHeader {
            format,
            chunk_stream,
            len,
        } = self.basic()?;
        let fields = self.0.get(len..).unwrap_or_default();
        let (time, extended) = if format == 3 {
            let time = fields.first_chunk().copied().map(u32::from_be_bytes);
            (time, time.is_some())
        } else {
            let field = u24(fields).unwrap_or_default();
            let last = fields.last_chunk().copied().map(u32::from_be_bytes);
            if field == EXTENDED {
                (last, true)
            } else {
                (Some(field), false)
            }
        };
        let length_and_kind = (format < 2).then(|| {
            let length = fields.get(3..).and_then(u24).unwrap_or_default();
            (length, fields.get(6).copied().unwrap_or_default())
        });
        let stream_id = (format == 0).then(|| {
            let id = fields.get(7..).and_then(|id| id.first_chunk()).copied();
            u32::from_le_bytes(id.unwrap_or_default())
        });
        Some(ChunkHeader {
            format,
            chunk_stream,
            time,
            extended,
            length_and_kind,
            stream_id,
        })
    }

    fn known_length(&self, is_extended: impl FnOnce(u32) -> bool) -> usize {
        let Some(basic) = self.basic() else {
            return match self.0.first().map(|first| first & 0x3f) {
                None => 1,
                Some(0) => 2,
                Some(_) => 3,
            };
        };
        let message: usize = match basic.format {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => 0,
        };
        let fixed = basic.len.saturating_add(message);
        if self.0.len() < fixed {
            return fixed;
        }
        let extended = if basic.format == 3 {
            is_extended(basic.chunk_stream)
        } else {
            self.0.get(basic.len..).and_then(u24) == Some(EXTENDED)
        };
        if extended {
            fixed.saturating_add(4)
        } else {
            fixed
        }
    }

    /// The basic header, once it is here.
    fn basic(&self) -> Option<BasicHeader> {
        let first = *self.0.first()?;
        let (chunk_stream, len) = match first & 0x3f {
            0 => (u32::from(*self.0.get(1)?).saturating_add(64), 2),
            1 => {
                let low = u32::from(*self.0.get(1)?);
                let high = u32::from(*self.0.get(2)?);
                let above = high.saturating_mul(256).saturating_add(low);
                (above.saturating_add(64), 3)
            }
            id => (u32::from(id), 1),
        };
        Some(BasicHeader {
            format: first >> 6,
            chunk_stream,
            len,
        })
    }
}

fn u24(bytes: &[u8]) -> Option<u32> {
    let [a, b, c] = *bytes.first_chunk()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one header byte by byte; gives it with its length.
    fn read(bytes: &[u8], extended: bool) -> (ChunkHeader, usize) {
        let mut header = HeaderBytes::default();
        let mut len = 0;
        while header.missing(|_| extended) > 0 {
            header.push(bytes[len]);
            len += 1;
        }
        (header.parse().unwrap(), len)
    }

    #[test]
    fn each_format_has_its_fields_and_takes_no_byte_more() {
        let fields = [0, 1, 2, 0, 3, 4, 9, 5, 0, 0, 0, 0xee, 0xee, 0xee, 0xee];
        for (format, len, time, length_and_kind, stream_id) in [
            (0, 12, Some(0x102), Some((0x304, 9)), Some(5)),
            (1, 8, Some(0x102), Some((0x304, 9)), None),
            (2, 4, Some(0x102), None, None),
            (3, 1, None, None, None),
        ] {
            let bytes = [&[format << 6 | 4], &fields[..]].concat();
            let (header, taken) = read(&bytes, false);
            assert_eq!(
                (header.format, header.chunk_stream, taken),
                (format, 4, len)
            );
            assert_eq!((header.time, header.extended), (time, false));
            assert_eq!(header.length_and_kind, length_and_kind);
            assert_eq!(header.stream_id, stream_id);
        }
    }

    #[test]
    fn the_extended_timestamp_stands_last() {
        let bytes = [0x84, 0xff, 0xff, 0xff, 1, 2, 3, 4, 0xee];
        let (header, taken) = read(&bytes, false);
        assert_eq!(
            (header.time, header.extended, taken),
            (Some(0x0102_0304), true, 8)
        );
        let (header, taken) = read(&[0xc4, 1, 2, 3, 4, 0xee], true);
        assert_eq!(
            (header.time, header.extended, taken),
            (Some(0x0102_0304), true, 5)
        );
    }
}
