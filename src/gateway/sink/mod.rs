//! The other end of a stream: which codecs an RTMP server takes, as its kind is known
//! ([`profile`]), as it says, and as was learned from it ([`facts`]).

pub mod facts;
pub mod profile;
pub mod record;
