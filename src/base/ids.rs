//! Names of things that more than one floor talks about.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

/// A stream connection, as the shell numbers it. A number is not used again while anything may still
/// remember its earlier bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// A call of one SIP endpoint: a place in its table and which bearer of that place is meant, so that
/// the handle of a call that is over never reaches its successor. Not the `Call-ID` of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    index: u16,
    generation: u32,
}

impl CallId {
    /// The `generation`-th bearer of place `index`.
    pub const fn new(index: u16, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The place in the table.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// Which bearer of the place.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}.{}", self.index, self.generation)
    }
}
