//! Floor 1: bytes to checked views, and representations to bytes.

#![forbid(unsafe_code)]
