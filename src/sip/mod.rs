//! Floor 2: SIP (RFC 3261).

#![forbid(unsafe_code)]
