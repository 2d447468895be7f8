//! Floor 2: RTP and RTCP (RFC 3550).

#![forbid(unsafe_code)]
