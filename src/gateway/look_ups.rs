//! SIP hosts that are looked up by name: what for, and what comes of it.

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Host;
use crate::gateway::outlet::{Level, LookUp, LookUpId, Outlet};
use crate::gateway::trunk::Trunk;
use crate::sip::SipTarget;

/// The look-ups of first hops, by their number, have this bit.
const HOP: u32 = 1 << 24;

/// What a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The PBX of the trunk at this place: the address at that place of its configuration.
    Pbx {
        /// The trunk's place.
        trunk: u8,
        /// Which of its PBXs, as it counts them.
        turn: u8,
        /// The address's place.
        place: u8,
    },
    /// What the requests of the trunk at this place go through first: its outbound proxy or registrar.
    Hop {
        /// The trunk's place.
        trunk: u8,
        /// Which of its PBXs, as it counts them.
        turn: u8,
    },
}

impl Wanted {
    /// The number of a look-up: its kind, then what it is about.
    pub fn id(self) -> LookUpId {
        match self {
            Self::Pbx { trunk, turn, place } => {
                LookUpId(u32::from_be_bytes([0, trunk, turn, place]))
            }
            Self::Hop { trunk, turn } => LookUpId(HOP | u32::from_be_bytes([0, trunk, turn, 0])),
        }
    }

    /// What a number stands for, if anything.
    pub fn of(id: LookUpId) -> Option<Self> {
        let [kind, trunk, turn, place] = id.0.to_be_bytes();
        match kind {
            0 => Some(Self::Pbx { trunk, turn, place }),
            1 => Some(Self::Hop { trunk, turn }),
            _ => None,
        }
    }
}

impl Gateway {
    /// Whether a PBX is known by name, so that [`Self::look_up_pbxs`] has something to do.
    pub fn has_names(&self) -> bool {
        let mut trunks = self.trunks.iter().filter(|trunk| trunk.is_working());
        trunks.any(|trunk| {
            let hop = trunk.first_hop().map(|(hop, _)| &hop.host);
            trunk.config.names().next().is_some() || matches!(hop, Some(Host::Name(_)))
        })
    }

    /// The trunk whose PBX a look-up is for, if it is for one.
    pub fn trunk_of_look_up(&self, id: LookUpId) -> Option<&str> {
        let (Wanted::Pbx { trunk, turn, .. } | Wanted::Hop { trunk, turn }) = Wanted::of(id)?;
        let trunk = self.trunks.get(usize::from(trunk))?;
        (trunk.look_ups == turn).then_some(trunk.config.name.as_str())
    }

    /// Begins to look up every PBX that is known by name; to be called now and then.
    pub fn look_up_pbxs(&mut self, outlet: &mut dyn Outlet) {
        let trunks = self.trunks.iter().enumerate();
        for (at, trunk) in trunks.filter(|(_, trunk)| trunk.is_working()) {
            let (trunk_at, turn) = (at as u8, trunk.look_ups);
            let transport = trunk.config.transport;
            let pbxs = trunk.config.pbx().enumerate().map(|(place, pbx)| {
                let place = place as u8;
                let trunk = trunk_at;
                (Wanted::Pbx { trunk, turn, place }, pbx, transport)
            });
            let hop = trunk.first_hop().map(|(hop, transport)| {
                let trunk = trunk_at;
                (Wanted::Hop { trunk, turn }, hop.clone(), transport)
            });
            for (wanted, pbx, transport) in pbxs.chain(hop) {
                let Host::Name(host) = &pbx.host else {
                    continue;
                };
                let what = LookUp {
                    host,
                    port: pbx.port,
                    transport: Some(transport),
                };
                if !outlet.look_up(wanted.id(), what) {
                    let name = &trunk.config.name;
                    outlet.note(
                        Level::Warn,
                        format_args!("{name}: {host}: too many names are being resolved"),
                    );
                }
            }
        }
    }

    /// A look-up is done: where the host is reached, at least one place, in the order to try; or why
    /// that is not known. What follows from it goes out with the next drain.
    pub fn handle_looked_up(
        &mut self,
        _now: Instant,
        id: LookUpId,
        result: Result<&[SipTarget], &str>,
    ) {
        match (Wanted::of(id), result) {
            (Some(Wanted::Pbx { trunk, turn, place }), Ok(targets)) => {
                if let Some(trunk) = self.asking(trunk, turn) {
                    trunk.not_found = None;
                    trunk.set_found(usize::from(place), targets);
                }
            }
            (Some(Wanted::Hop { trunk, turn }), Ok(targets)) => {
                if let Some(trunk) = self.asking(trunk, turn) {
                    trunk.not_found = None;
                    trunk.set_hop(targets);
                }
            }
            // What was found before stays in use.
            (Some(Wanted::Pbx { trunk, turn, .. } | Wanted::Hop { trunk, turn }), Err(words)) => {
                if let Some(trunk) = self.asking(trunk, turn) {
                    trunk.not_found = Some(words.into());
                }
            }
            (None, result) => self.call_looked_up(id, result),
        }
    }

    /// The trunk that a look-up was begun for, if it still has that PBX.
    fn asking(&mut self, trunk: u8, turn: u8) -> Option<&mut Trunk> {
        let trunk = self.trunks.get_mut(usize::from(trunk))?;
        (trunk.is_working() && trunk.look_ups == turn).then_some(trunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_what_it_was_made_of() {
        for (trunk, turn, place) in [(0, 0, 0), (15, 3, 7), (u8::MAX, u8::MAX, u8::MAX)] {
            let wanted = Wanted::Pbx { trunk, turn, place };
            assert_eq!(Wanted::of(wanted.id()), Some(wanted));
        }
        for (trunk, turn) in [(0, 0), (15, 3), (u8::MAX, u8::MAX)] {
            let wanted = Wanted::Hop { trunk, turn };
            assert_eq!(Wanted::of(wanted.id()), Some(wanted));
        }
        // Calls have the other half of the numbers.
        assert_eq!(Wanted::of(LookUpId(1 << 31)), None);
    }
}
