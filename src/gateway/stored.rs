//! The records of the journal: everything that outlives a restart, behind one version.
//!
//! A record is postcard; the journal's slot around it has the checksum. Postcard cannot tell fields
//! apart, so a stored type never changes: what is new is a new variant at the end.

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

use heapless::Vec as FixedVec;
use serde::{Deserialize, Serialize};

use crate::gateway::page::history::StoredCall;
use crate::gateway::sink::record::StoredSink;
use crate::limits::JOURNAL_RECORD_BYTES;

/// A record. Variants are only ever added at the end.
#[allow(clippy::large_enum_variant, reason = "one at a time, for a moment")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// What is known of an RTMP server, first form.
    SinkV1(StoredSink),
    /// What this box is called by backends.
    NodeV1([u8; 16]),
    /// A call that is over.
    CallV1(StoredCall),
}

/// A record as bytes.
pub type StoredBytes = FixedVec<u8, JOURNAL_RECORD_BYTES>;

impl Stored {
    /// The bytes to keep; `None` for a record that does not fit, which none does.
    pub fn to_bytes(&self) -> Option<StoredBytes> {
        let mut room = [0; JOURNAL_RECORD_BYTES];
        let bytes = postcard::to_slice(self, &mut room).ok()?;
        StoredBytes::from_slice(bytes).ok()
    }

    /// The record of these bytes; `None` for one of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::Codec;
    use crate::base::rng::Rng;
    use crate::gateway::sink::record::{StoredCodec, StoredList, StoredRefusal, StoredTime};

    fn sink() -> Stored {
        Stored::SinkV1(StoredSink {
            key: *b"0123456789abcdef",
            listed: Some(StoredList {
                codecs: FixedVec::from_slice(&[StoredCodec::Vp8, StoredCodec::Opus]).unwrap(),
                at: StoredTime {
                    seconds: 300,
                    believable: false,
                },
            }),
            refused: FixedVec::from_slice(&[StoredRefusal {
                codec: StoredCodec::Pcma,
                at: StoredTime {
                    seconds: 1_800_000_000,
                    believable: true,
                },
            }])
            .unwrap(),
        })
    }

    #[test]
    fn sinks_of_the_first_version_stay_readable() {
        let written = [
            b"\x00".as_slice(),
            b"0123456789abcdef",
            b"\x01\x02\x01\x02\xac\x02\x00",
            b"\x01\x05\x80\xa4\xa7\xda\x06\x01",
        ]
        .concat();
        assert_eq!(Stored::from_bytes(&written), Some(sink()));
        assert_eq!(sink().to_bytes().unwrap().as_slice(), written);
    }

    #[test]
    fn the_name_of_the_box_stays_readable() {
        let written = [b"\x01".as_slice(), b"0123456789abcdef"].concat();
        let node = Stored::NodeV1(*b"0123456789abcdef");
        assert_eq!(Stored::from_bytes(&written), Some(node.clone()));
        assert_eq!(node.to_bytes().unwrap().as_slice(), written);
    }

    #[test]
    fn the_longest_record_fits() {
        let at = StoredTime {
            seconds: u64::MAX,
            believable: true,
        };
        let refused = Codec::ALL.map(|codec| StoredRefusal {
            codec: codec.into(),
            at,
        });
        let codecs = Codec::ALL.into_iter().map(StoredCodec::from).collect();
        let longest = Stored::SinkV1(StoredSink {
            key: [0xff; 16],
            listed: Some(StoredList { codecs, at }),
            refused: FixedVec::from_slice(&refused).unwrap(),
        });
        let bytes = longest.to_bytes().unwrap();
        assert_eq!(Stored::from_bytes(&bytes), Some(longest));
    }

    #[test]
    fn bytes_that_are_no_record_are_none() {
        let bytes = sink().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(Stored::from_bytes(&bytes[..length]), None, "{length}");
        }
        // The variant after the last one: a record of a later version.
        assert_eq!(Stored::from_bytes(&[3, 0, 0]), None);
        let mut rng = Rng::from_number(3);
        for _ in 0..2_000 {
            let mut random = [0; JOURNAL_RECORD_BYTES];
            rng.fill(&mut random);
            // Whatever it gives, it must not panic.
            let _ = Stored::from_bytes(&random);
        }
    }
}
