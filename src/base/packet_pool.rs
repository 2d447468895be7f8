//! The fixed pool of packet buffers.
//!
//! Every received datagram lives in one slot from the socket to the last reader. A [`Packet`] is a
//! counted view of a slot: cloning or narrowing it shares the bytes, and the slot returns to the
//! pool when the last view is dropped, so no path can lose or return a slot twice. All slots are
//! allocated at start; afterwards the pool neither allocates nor frees.

use core::fmt;
use core::ops::{Deref, Range};
use std::cell::RefCell;
use std::rc::{Rc, Weak};

use crate::limits::PACKET_BYTES;

struct Slot {
    bytes: [u8; PACKET_BYTES],
    home: Weak<Free>,
}

struct Free {
    slots: RefCell<Vec<Rc<Slot>>>,
    capacity: usize,
}

/// A fixed set of packet buffers, cheap to clone: clones share the set.
#[derive(Clone)]
pub struct PacketPool(Rc<Free>);

impl PacketPool {
    /// Bytes of memory that one slot takes, bookkeeping included.
    pub const SLOT_BYTES: usize = size_of::<Slot>() + 4 * size_of::<usize>();

    /// A pool of `capacity` slots, all allocated now.
    pub fn new(capacity: usize) -> Self {
        Self(Rc::new_cyclic(|home| Free {
            slots: RefCell::new(
                (0..capacity)
                    .map(|_| {
                        Rc::new(Slot {
                            bytes: [0; PACKET_BYTES],
                            home: home.clone(),
                        })
                    })
                    .collect(),
            ),
            capacity,
        }))
    }

    /// An unshared packet of full length, or `None` when every slot is in use.
    pub fn take(&self) -> Option<Packet> {
        let slot = self.0.slots.borrow_mut().pop()?;
        Some(Packet {
            slot: Some(slot),
            start: 0,
            end: PACKET_BYTES as u16,
        })
    }

    /// A packet that holds a copy of `bytes`; `None` when the pool is empty or `bytes` too long.
    pub fn copy_from(&self, bytes: &[u8]) -> Option<Packet> {
        let mut packet = self.take()?;
        packet
            .buffer_mut()?
            .get_mut(..bytes.len())?
            .copy_from_slice(bytes);
        packet.truncate(bytes.len());
        Some(packet)
    }

    /// Slots not in use.
    pub fn available(&self) -> usize {
        self.0.slots.borrow().len()
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }
}

impl fmt::Debug for PacketPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PacketPool({} of {} free)",
            self.available(),
            self.capacity()
        )
    }
}

/// A counted view of bytes in one pool slot.
pub struct Packet {
    /// Empty only while being dropped.
    slot: Option<Rc<Slot>>,
    start: u16,
    end: u16,
}

impl Packet {
    /// The whole slot for writing, while no other view of it exists.
    pub fn buffer_mut(&mut self) -> Option<&mut [u8; PACKET_BYTES]> {
        self.slot
            .as_mut()
            .and_then(Rc::get_mut)
            .map(|slot| &mut slot.bytes)
    }

    /// The view's own bytes for writing, while no other view of the slot exists.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let range = usize::from(self.start)..usize::from(self.end);
        self.buffer_mut()?.get_mut(range)
    }

    /// An unshared packet of full length from the same pool; `None` when every slot is in use.
    pub fn fresh(&self) -> Option<Self> {
        let home = self.slot.as_ref()?.home.upgrade()?;
        PacketPool(home).take()
    }

    /// Shortens the view to its first `len` bytes; longer than the view changes nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.start.saturating_add(len as u16);
        }
    }

    /// A view of part of this one, sharing its slot; `None` when `range` lies outside it.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        Some(Self {
            slot: self.slot.clone(),
            start: self.start.saturating_add(range.start as u16),
            end: self.start.saturating_add(range.end as u16),
        })
    }
}

impl Clone for Packet {
    fn clone(&self) -> Self {
        Self {
            slot: self.slot.clone(),
            start: self.start,
            end: self.end,
        }
    }
}

impl Deref for Packet {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let range = usize::from(self.start)..usize::from(self.end);
        self.slot
            .as_ref()
            .and_then(|slot| slot.bytes.get(range))
            .unwrap_or_default()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if Rc::strong_count(&slot) == 1
            && let Some(home) = slot.home.upgrade()
        {
            home.slots.borrow_mut().push(slot);
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_returns_when_its_last_view_is_dropped() {
        let pool = PacketPool::new(1);
        let packet = pool.copy_from(b"abcdef").unwrap();
        let part = packet.slice(2..4).unwrap();
        drop(packet);
        assert_eq!(&*part, b"cd");
        assert_eq!(pool.available(), 0);
        assert!(pool.take().is_none());
        drop(part);
        assert_eq!(pool.available(), 1);
    }

    #[test]
    fn a_shared_slot_cannot_be_written() {
        let pool = PacketPool::new(2);
        let mut packet = pool.take().unwrap();
        let other = packet.clone();
        assert!(packet.buffer_mut().is_none());
        drop(other);
        assert!(packet.buffer_mut().is_some());
    }

    #[test]
    fn a_view_that_is_alone_can_be_written() {
        let pool = PacketPool::new(1);
        let packet = pool.copy_from(b"abcdef").unwrap();
        let mut part = packet.slice(2..4).unwrap();
        assert!(part.bytes_mut().is_none());
        drop(packet);
        part.bytes_mut().unwrap().copy_from_slice(b"xy");
        assert_eq!(&*part, b"xy");
        assert_eq!(part.buffer_mut().unwrap()[..6], *b"abxyef");
    }

    #[test]
    fn a_packet_leads_to_others_of_its_pool() {
        let pool = PacketPool::new(2);
        let packet = pool.copy_from(b"a").unwrap();
        let fresh = packet.fresh().unwrap();
        assert_eq!((fresh.len(), pool.available()), (PACKET_BYTES, 0));
        assert!(packet.fresh().is_none());
        drop(fresh);
        assert_eq!(pool.available(), 1);
        drop(pool);
        assert!(packet.fresh().is_none());
    }

    #[test]
    fn views_never_reach_outside_their_parent() {
        let pool = PacketPool::new(1);
        let packet = pool.copy_from(b"abcdef").unwrap().slice(1..5).unwrap();
        assert!(packet.slice(0..5).is_none());
        assert_eq!(&*packet.slice(4..4).unwrap(), b"");
        assert_eq!(&*packet.slice(1..3).unwrap(), b"cd");
    }

    #[test]
    fn packets_outlive_their_pool() {
        let packet = PacketPool::new(1).copy_from(b"x").unwrap();
        assert_eq!(&*packet, b"x");
    }
}
