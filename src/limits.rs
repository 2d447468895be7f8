//! Every capacity of the program, in one place.
//!
//! What is full refuses in a typed way (503 on SIP, a counted drop on media) and never grows. The
//! numbers that an installation may set are in [`Limits`]; the rest are constants. What they cost
//! in memory is summed by [`Budget`](crate::base::budget::Budget).

#![forbid(unsafe_code)]

/// Bytes of one packet slot: an Ethernet frame's worth of UDP payload.
pub const PACKET_BYTES: usize = 1_500;

/// Bytes that a segment may carry before its payload: a NAL unit's length and header byte.
pub const SEGMENT_PREFIX_BYTES: usize = 5;

/// Frames that a stream keeps for its readers: two seconds of 60 pictures and 50 audio packets.
pub const LOG_FRAMES: usize = 224;

/// Segments of all frames in a stream's log.
pub const LOG_SEGMENTS: usize = 640;

/// Segments of one access unit; a larger one is dropped and counted.
pub const FRAME_SEGMENTS: usize = 448;

/// Bytes of one stored sequence or picture parameter set.
pub const PARAMETER_SET_BYTES: usize = 256;

/// Picture parameter sets kept for one stream.
pub const PICTURE_PARAMETER_SETS: usize = 4;

// SIP

/// Bytes of one SIP message, on either transport.
pub const SIP_MESSAGE_BYTES: usize = 16_384;

/// Header lines of one SIP message; more refuse it with a 400.
pub const SIP_HEADERS: usize = 128;

/// SIP messages that wait for the owner of an endpoint; it takes them after every step.
pub const SIP_TRANSMITS: usize = 512;

/// Stream connections of one SIP endpoint beyond one for every call.
pub const SIP_SPARE_CONNECTIONS: usize = 16;

/// Calls of one SIP endpoint that are over but for the peer's answer to our BYE, beyond as many as
/// may be up.
pub const SIP_SPARE_CALLS: usize = 16;

/// Server transactions of one SIP endpoint for every call: its INVITE, a re-INVITE, INFOs, the BYE.
pub const SIP_TRANSACTIONS_PER_CALL: usize = 4;

/// Server transactions of one SIP endpoint whatever the number of calls.
pub const SIP_SPARE_TRANSACTIONS: usize = 64;

/// Bytes of the user part of a Request-URI, escapes resolved: the number that was dialled.
pub const SIP_USER_BYTES: usize = 128;

// SDP

/// Media lines of one session description; more refuse the whole offer.
pub const SDP_MEDIA: usize = 12;

// RTP

/// Packets that one stream holds back while it waits for a missing one.
pub const REORDER_PACKETS: usize = 128;

// RTMP

/// Chunk size that is announced to RTMP peers; nginx-rtmp ends connections with very large ones.
pub const RTMP_CHUNK_BYTES: usize = 65_536;

// Gateway and shell

/// Bytes gathered for one write to a stream socket.
pub const GATHER_BYTES: usize = 131_072;

// What an installation may set, and what it costs

/// Calls at once that a configuration may ask for.
pub const CALLS_MAX: usize = 1_000;

/// Mebibytes of memory that a configuration may allow.
pub const MEMORY_MIB_MAX: usize = 16_384;

/// Trunks of one configuration.
pub const TRUNKS: usize = 16;

/// Media ports of one call: RTP and RTCP of an audio and a video stream.
pub const MEDIA_PORTS_PER_CALL: usize = 4;

/// Packet slots there are whatever the number of calls.
pub const POOL_PACKETS_BASE: usize = 1_024;

/// Packet slots added for every call that may be.
pub const POOL_PACKETS_PER_CALL: usize = 64;

/// Bytes of one call's state on every floor, its frame log included. An upper estimate: whoever
/// adds to a call keeps the sum of the `size_of` below it.
pub const CALL_STATE_BYTES: usize = 96 * 1_024;

/// Bytes of one trunk: its SIP endpoint, listeners and stream framers. An upper estimate.
pub const TRUNK_STATE_BYTES: usize = 256 * 1_024;

/// Bytes that are there once: the gather buffer, RTMP players and log queue. An upper estimate.
pub const FIXED_STATE_BYTES: usize = 2 * 1_024 * 1_024;

/// Bytes of the program itself: code, stacks and allocator. An upper estimate.
pub const PROGRAM_BYTES: usize = 8 * 1_024 * 1_024;

/// The capacities that an installation sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; one more is answered with 503.
    pub calls: usize,
    /// Mebibytes that the memory budget may reach.
    pub memory_mib: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 32,
            memory_mib: 64,
        }
    }
}

impl Limits {
    /// Slots of the packet pool.
    pub const fn pool_packets(&self) -> usize {
        POOL_PACKETS_BASE.saturating_add(POOL_PACKETS_PER_CALL.saturating_mul(self.calls))
    }
}
