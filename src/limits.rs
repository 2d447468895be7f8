//! Every capacity of the program, in one place.
//!
//! What is full refuses in a typed way (503 on SIP, a counted drop on media) and never grows. The
//! numbers that an installation may set are in [`Limits`]; the rest are constants.

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

// SDP

/// Media lines of one session description; more refuse the whole offer.
pub const SDP_MEDIA: usize = 12;

// RTP

/// Packets that one stream holds back while it waits for a missing one.
pub const REORDER_PACKETS: usize = 128;

// RTMP

/// Chunk size that is announced to RTMP peers; nginx-rtmp ends connections with very large ones.
pub const RTMP_CHUNK_BYTES: usize = 65_536;

/// Chunk streams that one peer may use; another one ends the connection.
pub const RTMP_CHUNK_STREAMS: usize = 16;

/// Bytes of one command or data message that is read; a longer one is skipped and counted.
pub const RTMP_COMMAND_BYTES: usize = 4_096;

/// Commands that a peer may have begun at once, on different chunk streams.
pub const RTMP_COMMANDS_BEGUN: usize = 2;

/// Bytes of handshake, commands and answers that wait to be sent: a handshake (3,073) and the
/// longest `connect`. A peer that asks for more without reading ends the connection.
pub const RTMP_CONTROL_BYTES: usize = 8_192;

/// Bytes of an RTMP address.
pub const RTMP_URL_BYTES: usize = 512;

/// Bytes of a user's name or password in an RTMP address.
pub const RTMP_CREDENTIAL_BYTES: usize = 128;

/// Bytes of an application's or stream's name.
pub const RTMP_NAME_BYTES: usize = 256;

/// Bytes of the words that tell why a connection is not up; the rest is cut.
pub const RTMP_REASON_BYTES: usize = 160;

/// Messages gathered for one write.
pub const RTMP_GATHER_MESSAGES: usize = 64;

/// How far behind, in milliseconds, a connection may fall before its video is dropped to the next
/// keyframe.
pub const RTMP_BACKLOG_MILLIS: u64 = 2_000;

// Gateway and shell

/// Bytes gathered for one write to a stream socket.
pub const GATHER_BYTES: usize = 131_072;
