//! Floor 2: RTMP.

#![forbid(unsafe_code)]
