//! The fixed table of calls, with what each is due for.

use crate::base::time::Instant;
use crate::gateway::call::Call;
use crate::gateway::outlet::CallIndex;

/// Calls by index, the ones that have something to write, and the deadline of each.
pub struct CallTable {
    calls: Vec<Option<Box<Call>>>,
    deadlines: Vec<Option<Instant>>,
    free: Vec<CallIndex>,
    /// Calls touched since they were last drained, each once.
    dirty: Vec<CallIndex>,
    is_dirty: Vec<bool>,
}

impl CallTable {
    /// Room for `capacity` calls.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.min(usize::from(u16::MAX));
        Self {
            calls: (0..capacity).map(|_| None).collect(),
            deadlines: vec![None; capacity],
            free: (0..capacity as u16).rev().map(CallIndex).collect(),
            dirty: Vec::with_capacity(capacity),
            is_dirty: vec![false; capacity],
        }
    }

    /// The place that the next call will have; `None` when the table is full.
    pub fn vacant(&self) -> Option<CallIndex> {
        self.free.last().copied()
    }

    /// Puts a call into the vacant place `index`, which [`Self::vacant`] gave.
    pub fn insert(&mut self, index: CallIndex, call: Box<Call>) {
        self.free.retain(|free| *free != index);
        if let Some(place) = self.calls.get_mut(usize::from(index.0)) {
            *place = Some(call);
        }
        self.touch(index);
    }

    /// Takes a call out of the table.
    pub fn remove(&mut self, index: CallIndex) -> Option<Box<Call>> {
        let call = self.calls.get_mut(usize::from(index.0))?.take()?;
        self.set_deadline(index, None);
        self.free.push(index);
        Some(call)
    }

    /// The call at a place.
    pub fn get(&self, index: CallIndex) -> Option<&Call> {
        self.calls.get(usize::from(index.0))?.as_deref()
    }

    /// The calls at two places that are not the same.
    pub fn pair_mut(
        &mut self,
        one: CallIndex,
        other: CallIndex,
    ) -> (Option<&mut Call>, Option<&mut Call>) {
        let places = [usize::from(one.0), usize::from(other.0)];
        match self.calls.get_disjoint_mut(places) {
            Ok([one, other]) => (one.as_deref_mut(), other.as_deref_mut()),
            Err(_) => (None, None),
        }
    }

    /// The call at a place, for change.
    pub fn get_mut(&mut self, index: CallIndex) -> Option<&mut Call> {
        self.calls.get_mut(usize::from(index.0))?.as_deref_mut()
    }

    /// The call of which there is most, by this measure.
    pub fn largest(&mut self, measure: impl Fn(&Call) -> usize) -> Option<&mut Call> {
        self.calls
            .iter_mut()
            .filter_map(|call| call.as_deref_mut())
            .max_by_key(|call| measure(call))
    }

    /// The first call that fits.
    pub fn find(&self, fits: impl Fn(&Call) -> bool) -> Option<CallIndex> {
        self.iter()
            .find(|(_, call)| fits(call))
            .map(|(index, _)| index)
    }

    /// The first call from place `from` on that fits.
    pub fn find_from(&self, from: CallIndex, fits: impl Fn(&Call) -> bool) -> Option<CallIndex> {
        let mut calls = self.iter().filter(|(index, _)| *index >= from);
        calls.find(|(_, call)| fits(call)).map(|(index, _)| index)
    }

    /// Every call with its place.
    pub fn iter(&self) -> impl Iterator<Item = (CallIndex, &Call)> + Clone {
        (0_u16..)
            .map(CallIndex)
            .zip(&self.calls)
            .filter_map(|(at, call)| Some((at, call.as_deref()?)))
    }

    /// The call at a place and a note that it is to be drained.
    pub fn touch_mut(&mut self, index: CallIndex) -> Option<&mut Call> {
        self.touch(index);
        self.get_mut(index)
    }

    /// Notes that a call is to be drained.
    pub fn touch(&mut self, index: CallIndex) {
        if let Some(flag) = self.is_dirty.get_mut(usize::from(index.0))
            && !*flag
        {
            *flag = true;
            self.dirty.push(index);
        }
    }

    /// A call that is to be drained; it is no longer noted.
    pub fn next_touched(&mut self) -> Option<CallIndex> {
        let index = self.dirty.pop()?;
        if let Some(flag) = self.is_dirty.get_mut(usize::from(index.0)) {
            *flag = false;
        }
        Some(index)
    }

    /// Sets when a call's timers are due next.
    pub fn set_deadline(&mut self, index: CallIndex, deadline: Option<Instant>) {
        if let Some(place) = self.deadlines.get_mut(usize::from(index.0)) {
            *place = deadline;
        }
    }

    /// The earliest deadline of all calls.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// The first call from place `from` on whose deadline has come.
    pub fn due(&self, from: CallIndex, now: Instant) -> Option<CallIndex> {
        let start = usize::from(from.0);
        let due = |deadline: &Option<Instant>| deadline.is_some_and(|at| at <= now);
        let at = self.deadlines.get(start..)?.iter().position(due)?;
        u16::try_from(start.saturating_add(at)).ok().map(CallIndex)
    }

    /// Calls in the table.
    pub fn len(&self) -> usize {
        self.calls.len().saturating_sub(self.free.len())
    }

    /// Whether there is no call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
