//! The name of this box towards the backend.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write;
use core::net::IpAddr;

use crate::base::rng::Rng;
use crate::gateway::outlet::Outlet;
use crate::gateway::stored::Stored;

/// What its record in the journal is about: the word `nodeId`, which no digest of a server's address
/// is likely to be.
const ABOUT: u64 = u64::from_le_bytes(*b"\0\0nodeId");

/// What of the name outlives a restart, where there is a journal.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    bytes: [u8; 16],
    is_kept: bool,
}

impl Node {
    /// A new one.
    pub fn new(rng: &mut Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Self {
            bytes,
            is_kept: false,
        }
    }

    /// That of an earlier start.
    pub const fn recalled(bytes: [u8; 16]) -> Self {
        Self {
            bytes,
            is_kept: true,
        }
    }

    /// The name of the box at this address: 32 characters, `@`, and the address.
    pub fn name(&self, address: IpAddr) -> Box<str> {
        let mut name = String::with_capacity(48);
        for byte in self.bytes {
            // Writing into a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        let _ = write!(name, "@{address}");
        name.into_boxed_str()
    }

    /// Keeps it over restarts, unless that was done.
    pub fn keep(&mut self, outlet: &mut dyn Outlet) {
        if !core::mem::replace(&mut self.is_kept, true)
            && let Some(record) = Stored::NodeV1(self.bytes).to_bytes()
        {
            outlet.keep(ABOUT, &record);
        }
    }
}
