//! What is given up when packet slots become scarce, so that one peer never costs others theirs.
//!
//! What is held only for those who watch on the page goes first, then old frames. Then whoever holds most: a stalled reader the rest of a frame that it takes
//! no more of, or a caller an access unit without end.

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::outlet::CallIndex;
use crate::gateway::pushes::PushIndex;
use crate::limits::POOL_PACKETS_PER_CALL;
use crate::rtmp::Publisher;

/// Who holds packet slots beside the frame logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The media of a call that is not a frame yet.
    Session(CallIndex),
    /// The publisher of a call.
    Publisher(CallIndex),
    /// The push at this place.
    Push(PushIndex),
    /// The player at this place.
    Player(usize),
}

impl Gateway {
    /// Makes room while slots are scarce; whether there is something to drain for it.
    pub(super) fn shed(&mut self, now: Instant) -> bool {
        self.shed_watched();
        self.shed_frames();
        let mut touched = false;
        while self.pool.available() < self.pool.capacity() / 8 {
            let Some(holder) = self.largest_holder() else {
                break;
            };
            touched = true;
            match holder {
                Holder::Session(index) => {
                    self.counters.units_shed += 1;
                    if let Some(call) = self.calls.touch_mut(index) {
                        call.session.shed();
                    }
                }
                Holder::Publisher(index) => {
                    self.counters.readers_shed += 1;
                    self.with_publisher(index, |publishing| publishing.publisher.give_up(now));
                }
                Holder::Push(at) => {
                    self.counters.readers_shed += 1;
                    self.with_pushed(at, |publishing| publishing.publisher.give_up(now));
                }
                Holder::Player(at) => {
                    self.counters.readers_shed += 1;
                    if let Some(viewer) = self.players.get_mut(at) {
                        viewer.player.give_up();
                    }
                    self.touch_player(at);
                }
            }
        }
        touched
    }

    /// Takes old frames from the calls that hold most.
    fn shed_frames(&mut self) {
        while self.pool.available() < self.pool.capacity() / 4 {
            let Some(call) = self.calls.largest(|call| call.log.segments()) else {
                return;
            };
            let held = call.log.segments();
            if held <= POOL_PACKETS_PER_CALL {
                return;
            }
            let before = call.log.start();
            call.log.shed(POOL_PACKETS_PER_CALL.max(held / 2));
            let gone = call.log.start().saturating_sub(before);
            self.counters.frames_shed = self.counters.frames_shed.saturating_add(gone);
        }
    }

    fn largest_holder(&self) -> Option<Holder> {
        let calls = self.calls.iter().filter(|(_, call)| !call.crashed);
        let of_calls = calls.flat_map(|(index, call)| {
            let session = call.session.held();
            let beyond = session > POOL_PACKETS_PER_CALL;
            let publishing = call.publishing.as_ref();
            let published = publishing.map_or(0, |publishing| publishing.publisher.held());
            [
                (Holder::Session(index), if beyond { session } else { 0 }),
                (Holder::Publisher(index), published),
            ]
        });
        let pushes = self.pushes.iter().filter(|(_, push)| !push.crashed);
        let of_pushes = pushes.map(|(at, push)| {
            let held = push.publisher().map_or(0, Publisher::held);
            (Holder::Push(at), held)
        });
        let players = self.players.places().filter(|(_, viewer)| !viewer.crashed);
        let of_players = players.map(|(at, viewer)| (Holder::Player(at), viewer.player.held()));
        of_calls
            .chain(of_pushes)
            .chain(of_players)
            .filter(|(_, held)| *held > 0)
            .max_by_key(|(_, held)| *held)
            .map(|(holder, _)| holder)
    }
}
