//! Floor 2: offer and answer (RFC 3264) over SDP (RFC 8866).

#![forbid(unsafe_code)]
