//! The AVC decoder configuration record (ISO/IEC 14496-15, section 5.2.4.1), read.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use crate::base::codec::{H264Config, ParameterSet};
use crate::wire::h264::SpsHead;

/// The parameter sets of a record; `None` for one that cannot be read, without any, or whose frames
/// have lengths of other than four bytes. Of several sequence parameter sets the first counts.
pub(super) fn read(record: &[u8]) -> Option<H264Config> {
    let [1, _, _, _, lengths, count, rest @ ..] = record else {
        return None;
    };
    if lengths & 3 != 3 {
        return None;
    }
    let mut rest = rest;
    let mut sps = None;
    for _ in 0..count & 0x1f {
        sps = sps.or(Some(set(&mut rest)?));
    }
    let sps = sps?;
    let head = SpsHead::parse(&sps)?;
    let (count, mut rest) = rest.split_first()?;
    let mut pps = heapless::Vec::new();
    for _ in 0..*count {
        pps.push(set(&mut rest)?).ok()?;
    }
    if pps.is_empty() {
        return None;
    }
    Some(H264Config {
        sps,
        pps,
        width: head.size.width,
        height: head.size.height,
    })
}

fn set(rest: &mut &[u8]) -> Option<ParameterSet> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    ParameterSet::from_slice(bytes).ok()
}
