//! The direction of a media line after an offer and its answer (RFC 3264, sections 6.1 and 8.4).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub use crate::wire::sdp::Direction;

use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

/// Our direction when the other side says `theirs` and we wish for `ours`.
///
/// The same table serves both ways: for an answer of ours, `theirs` is what was offered and `ours`
/// what we could do; for an answer of theirs, `ours` is what we offered. We send only where they
/// receive, and receive only where they send.
pub const fn agree(theirs: Direction, ours: Direction) -> Direction {
    match (theirs, ours) {
        (SendRecv, SendRecv) => SendRecv,
        (SendRecv, SendOnly) => SendOnly,
        (SendRecv, RecvOnly) => RecvOnly,
        (SendOnly, SendRecv | RecvOnly) => RecvOnly,
        (SendOnly, SendOnly) => Inactive,
        (RecvOnly, SendRecv | SendOnly) => SendOnly,
        (RecvOnly, RecvOnly) => Inactive,
        (Inactive, _) | (_, Inactive) => Inactive,
    }
}

/// The direction of a side whose address is unspecified (`c=0.0.0.0`): nothing can be sent to it,
/// whatever it says.
pub const fn without_receiving(theirs: Direction) -> Direction {
    Direction::new(theirs.sends(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3264, section 6.1, read off the text: (offered, our wish, answer).
    const TABLE: [(Direction, Direction, Direction); 16] = [
        (SendRecv, SendRecv, SendRecv),
        (SendRecv, SendOnly, SendOnly),
        (SendRecv, RecvOnly, RecvOnly),
        (SendRecv, Inactive, Inactive),
        (SendOnly, SendRecv, RecvOnly),
        (SendOnly, SendOnly, Inactive),
        (SendOnly, RecvOnly, RecvOnly),
        (SendOnly, Inactive, Inactive),
        (RecvOnly, SendRecv, SendOnly),
        (RecvOnly, SendOnly, SendOnly),
        (RecvOnly, RecvOnly, Inactive),
        (RecvOnly, Inactive, Inactive),
        (Inactive, SendRecv, Inactive),
        (Inactive, SendOnly, Inactive),
        (Inactive, RecvOnly, Inactive),
        (Inactive, Inactive, Inactive),
    ];

    #[test]
    fn answers_follow_the_table() {
        for (offered, wish, answer) in TABLE {
            assert_eq!(
                agree(offered, wish),
                answer,
                "offered {offered}, wish {wish}"
            );
        }
    }

    #[test]
    fn nobody_sends_to_a_side_that_does_not_receive() {
        for (offered, wish, answer) in TABLE {
            assert_eq!(answer.sends(), wish.sends() && offered.receives());
            assert_eq!(answer.receives(), wish.receives() && offered.sends());
        }
    }

    #[test]
    fn an_unspecified_address_takes_receiving_away() {
        let got = Direction::ALL.map(without_receiving);
        assert_eq!(got, [SendOnly, SendOnly, Inactive, Inactive]);
    }
}
