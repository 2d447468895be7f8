//! A defect in the code of one call or one player ends that one, is counted, and harms no other.
//!
//! The outlet stands in for the defect: it panics in the midst of a call's own code.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::gateway::outlet::CallIndex;
use trunkcast::gateway::status::CallStatus;

const SECOND: Duration = Duration::from_secs(1);

/// Two calls that are filmed, with a player each.
struct Two {
    world: World,
    phones: [Phone; 2],
    cameras: [Camera; 2],
}

impl Two {
    fn new() -> Self {
        let mut world = World::publishing(4);
        let mut phones = [Phone::new("1"), Phone::new("2")];
        phones[1].media.set_port(5_000);
        for phone in &mut phones {
            world.call(phone);
        }
        world.play("rtmp_1");
        world.play("rtmp_2");
        let mut two = Self {
            world,
            phones,
            cameras: [Camera::new(1), Camera::new(2)],
        };
        two.film(10);
        two
    }

    /// Films both for as many tenths of a second.
    fn film(&mut self, tenths: u32) {
        for _ in 0..tenths * 5 {
            for (phone, camera) in self.phones.iter().zip(&mut self.cameras) {
                camera.tick(&mut self.world, phone);
            }
            self.world.advance(SECOND / 50);
        }
    }

    fn place(&self, phone: usize) -> CallIndex {
        self.world
            .outlet
            .media_at(self.phones[phone].audio_port.unwrap())
            .unwrap()
            .0
    }

    /// The first call is over, with a BYE and nothing left of it; the second goes on.
    fn assert_only_the_first_ended(mut self) {
        self.world.outlet.defect = Defect::None;
        assert_eq!(self.world.gateway.counters().calls_crashed, 1);
        assert_eq!(self.world.errors(), 1);
        let heard = self.world.take(&self.phones[0]);
        assert!(
            heard.iter().any(|text| text.starts_with("BYE ")),
            "{heard:?}"
        );
        assert!(self.world.find("rtmp_1").is_none());
        assert_eq!(self.world.players[0].end(), Some("the stream is over"));
        let usage = self.world.gateway.usage();
        assert_eq!(
            (usage.calls, usage.ports, usage.players, usage.connections),
            (1, 2, 1, 2)
        );

        let before = (
            self.world.players[1].pictures().0,
            self.world.servers[1].pictures(),
        );
        self.film(10);
        assert_eq!(
            self.world.find("rtmp_2").unwrap().status,
            CallStatus::Established
        );
        assert!(self.world.players[1].pictures().0 >= before.0 + 20);
        assert!(self.world.servers[1].pictures() >= before.1 + 20);
        assert!(
            self.world
                .take(&self.phones[1])
                .iter()
                .all(|text| !text.starts_with("BYE "))
        );

        // The caller may call again, and in the end nothing is left.
        let mut again = Phone::new("1");
        again.call_id = "again@192.0.2.10".into();
        self.world.call(&mut again);
        Camera::new(3).film(&mut self.world, &again, SECOND);
        assert!(self.world.server().pictures() > 20);
        self.world.bye(&mut again);
        self.world.bye(&mut self.phones[1]);
        self.world.advance(40 * SECOND);
        assert_eq!(self.world.gateway.usage(), Default::default());
        assert_eq!(self.world.pool.available(), self.world.pool.capacity());
    }
}

#[test]
fn while_media_is_sent() {
    let mut two = Two::new();
    two.world.outlet.defect = Defect::Media(two.place(0));
    two.film(5);
    two.assert_only_the_first_ended();
}

#[test]
fn while_the_stream_is_published() {
    let mut two = Two::new();
    two.world.outlet.defect = Defect::Write(two.world.servers[0].conn);
    two.film(5);
    two.assert_only_the_first_ended();
}

#[test]
fn while_a_timer_of_the_call_runs() {
    let mut two = Two::new();
    two.world.outlet.defect = Defect::Media(two.place(0));
    // Silence and reports are due without anything coming in.
    two.world.advance(SECOND);
    two.assert_only_the_first_ended();
}

#[test]
fn while_another_offer_is_answered() {
    let mut two = Two::new();
    two.world.outlet.defect = Defect::Note("call 1 pbx 1001->1: HOLD");
    let offer = two.phones[0].offer("inactive", true);
    let invite = two.phones[0].reinvite(&offer);
    let remote = two.phones[0].remote;
    two.world.sip(remote, invite);
    // The re-INVITE was answered before; the BYE may wait for its ACK.
    two.world.outlet.defect = Defect::None;
    let ack = two.phones[0].ack("");
    two.world.sip(remote, ack);
    two.assert_only_the_first_ended();
}

#[test]
fn while_a_player_is_served() {
    let mut two = Two::new();
    two.world.outlet.defect = Defect::Write(two.world.players[0].conn);
    two.film(5);
    two.world.outlet.defect = Defect::None;
    assert_eq!(two.world.gateway.counters().calls_crashed, 0);
    assert_eq!(two.world.gateway.counters().players_crashed, 1);
    assert_eq!(two.world.gateway.usage().players, 1);
    assert!(!two.world.players[0].connected);
    let before = (
        two.world.players[1].pictures().0,
        two.world.servers[0].pictures(),
    );
    two.film(10);
    assert!(two.world.players[1].pictures().0 >= before.0 + 20);
    assert!(two.world.servers[0].pictures() >= before.1 + 20);
}

#[test]
fn while_a_call_is_admitted() {
    let mut world = World::publishing(4);
    world.outlet.defect = Defect::OpenVideo;
    let mut phone = Phone::new("1");
    let answers = world.invite(&mut phone);
    let last = answers.last().unwrap();
    assert_eq!(status(last), 500, "{last}");
    let ack = phone.ack_refusal(last);
    world.sip(phone.remote, ack);
    assert_eq!(world.gateway.counters().calls_crashed, 1);
    let usage = world.gateway.usage();
    assert_eq!((usage.calls, usage.ports, usage.connections), (0, 0, 0));
    assert!(world.outlet.media.is_empty());
    world.outlet.defect = Defect::None;
    let mut again = Phone::new("2");
    world.call(&mut again);
}
