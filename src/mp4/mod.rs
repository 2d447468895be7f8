//! Floor 2: fragmented MP4 files (ISO/IEC 14496-12), written as their frames come.
//!
//! A file begins with `ftyp` and a `moov` that names the tracks and no samples; then come pairs of
//! `moof` and `mdat`, about one each second. What is on the disk after a power cut plays up to its
//! last whole pair, and [`Extent`] finds where that ends. Tracks are H.264 (`avc1`, ISO/IEC
//! 14496-15), VP8 (`vp08`), AAC (`mp4a`, ISO/IEC 14496-14), Opus (`Opus`), and G.711 as QuickTime
//! registered it (`alaw`, `ulaw`), which the players in use take in MP4 too. Speex has no place in
//! the format. Not written: `sidx`, `mfra`, edit lists, encryption.
//!
//! [`Mp4Writer`] is a reader of a frame log that hands out whole pieces of the file: who stores
//! them is not its matter. [`live`] makes pieces of single tracks, each from frames that are still in
//! a log.

#![forbid(unsafe_code)]

mod boxes;
mod extent;
mod fragment;
mod header;
pub mod live;
mod sample_entry;
mod writer;

pub use extent::{Extent, FILE_MARK_BYTES, file_mark};
pub use sample_entry::has_place;
pub use writer::{Mp4Writer, NewFile, Pushed, WhyNewFile};
