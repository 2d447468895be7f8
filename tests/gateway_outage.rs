//! An RTMP server that is not there, goes, comes back, refuses or stands still: the call does not
//! notice, the states say what is so, and the stream comes back from its beginning.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::gateway::status::CallStatus;
use trunkcast::limits::{LOG_SEGMENTS, POOL_PACKETS_PER_CALL};
use trunkcast::rtmp::RtmpStatus;

const SECOND: Duration = Duration::from_secs(1);

/// A call that is filmed.
struct Filmed {
    world: World,
    phone: Phone,
    camera: Camera,
}

impl Filmed {
    fn new(policy: Policy) -> Self {
        let mut world = World::publishing(4);
        world.policy = policy;
        let mut phone = Phone::new("4711");
        world.call(&mut phone);
        let mut camera = Camera::new(1);
        // Like many phones: a keyframe at the start and whenever it is asked for, and no other.
        camera.keyframe_interval = 1_000_000;
        camera.obeys = true;
        Self {
            world,
            phone,
            camera,
        }
    }

    fn film(&mut self, seconds: u32) {
        self.camera
            .film(&mut self.world, &self.phone, seconds * SECOND);
        self.assert_untouched();
    }

    /// The call is up, and nobody spoke of it.
    fn assert_untouched(&mut self) {
        let call = self.world.find("rtmp_4711").unwrap();
        assert_eq!(call.status, CallStatus::Established);
        assert!(call.log.segments() <= LOG_SEGMENTS);
        let said = self.world.take(&self.phone);
        assert!(
            said.iter().all(|text| !text.starts_with("BYE ")),
            "{said:?}"
        );
        assert_eq!(self.world.pool_empty, 0);
    }

    fn status(&self) -> RtmpStatus {
        let call = self.world.find("rtmp_4711").unwrap();
        call.publishing.as_ref().unwrap().publisher.status()
    }

    /// The statuses in the journal, in order, repetitions left out.
    fn statuses(&self) -> Vec<&str> {
        let mut words: Vec<_> = self
            .world
            .notes("RTMP_")
            .iter()
            .filter_map(|line| line.split(' ').find(|word| word.starts_with("RTMP_")))
            .collect();
        words.dedup();
        words
    }

    /// The newest connection began as a stream has to.
    fn assert_fresh_start(&mut self) {
        let media = self.world.server().media();
        assert!(matches!(media[0], Heard::Metadata(_)), "{:?}", media[0]);
        let picture = media
            .iter()
            .position(|heard| matches!(heard, Heard::Video { .. }))
            .unwrap();
        assert!(matches!(
            media[picture],
            Heard::Video { keyframe: true, .. }
        ));
        assert!(matches!(media[picture - 1], Heard::SequenceHeader { .. }));
    }

    fn end(mut self) {
        self.world.bye(&mut self.phone);
        self.world.advance(40 * SECOND);
        assert_eq!(self.world.gateway.usage(), Default::default());
        assert_eq!(self.world.pool.available(), self.world.pool.capacity());
    }
}

/// Waits that grow, within 0.25 s and 30 s (and what an attempt itself takes).
fn assert_backs_off(filmed: &Filmed, longest: Duration) {
    let waits: Vec<_> = filmed
        .world
        .attempts
        .windows(2)
        .map(|two| two[1].since(two[0]))
        .collect();
    assert!(waits.len() >= 6, "{waits:?}");
    assert!(waits[0] <= SECOND, "{waits:?}");
    assert!(
        waits
            .iter()
            .all(|wait| *wait >= SECOND / 8 && *wait <= longest),
        "{waits:?}"
    );
    assert!(waits.iter().any(|wait| *wait > 8 * SECOND), "{waits:?}");
}

#[test]
fn a_server_that_is_not_there_yet_gets_the_stream_when_it_comes() {
    let mut filmed = Filmed::new(Policy::Refuse);
    filmed.film(120);
    assert_eq!(filmed.statuses(), ["RTMP_CONNECTION_FAILED"]);
    assert_eq!(filmed.status(), RtmpStatus::Failed);
    assert!(!filmed.world.notes("Connection refused").is_empty());
    assert_backs_off(&filmed, 30 * SECOND);
    let asked = reports_of(&filmed.world.outlet.sent_media);

    filmed.world.policy = Policy::Accept;
    filmed.film(40);
    assert_eq!(
        filmed.statuses(),
        ["RTMP_CONNECTION_FAILED", "RTMP_STREAM_ACTIVE"]
    );
    assert!(
        reports_of(&filmed.world.outlet.sent_media) > asked,
        "no keyframe was asked for"
    );
    filmed.assert_fresh_start();
    assert!(filmed.world.server().pictures() > 20);
    filmed.end();
}

#[test]
fn a_server_that_dies_gets_the_stream_again_from_its_beginning() {
    let mut filmed = Filmed::new(Policy::Accept);
    filmed.film(20);
    assert_eq!(filmed.world.server().pictures(), 500);
    for lives in 2..5 {
        let asked = reports_of(&filmed.world.outlet.sent_media);
        filmed.world.kill_server();
        assert_eq!(filmed.status(), RtmpStatus::Lost);
        filmed.film(20);
        assert_eq!(filmed.status(), RtmpStatus::Active);
        assert_eq!(filmed.world.servers.len(), lives);
        filmed.assert_fresh_start();
        assert!(reports_of(&filmed.world.outlet.sent_media) > asked);
        let pictures = filmed.world.server().pictures();
        assert!(pictures > 400, "{pictures}");
    }
    let turns = ["RTMP_CONNECTION_LOST", "RTMP_STREAM_ACTIVE"];
    let expected: Vec<_> = ["RTMP_STREAM_ACTIVE"]
        .into_iter()
        .chain(turns.repeat(3))
        .collect();
    assert_eq!(filmed.statuses(), expected);
    filmed.end();
}

#[test]
fn a_server_that_stays_away_is_tried_ever_more_rarely() {
    let mut filmed = Filmed::new(Policy::Accept);
    filmed.film(5);
    filmed.world.policy = Policy::Refuse;
    filmed.world.kill_server();
    filmed.world.attempts.clear();
    filmed.film(150);
    assert_backs_off(&filmed, 30 * SECOND);
    assert_eq!(
        filmed.statuses(),
        ["RTMP_STREAM_ACTIVE", "RTMP_CONNECTION_LOST"]
    );
    filmed.world.policy = Policy::Accept;
    filmed.film(40);
    assert_eq!(filmed.status(), RtmpStatus::Active);
    filmed.assert_fresh_start();
    filmed.end();
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_tried_again() {
    for policy in [Policy::Silent, Policy::Mute] {
        let mut filmed = Filmed::new(policy);
        filmed.film(60);
        assert_eq!(filmed.statuses(), ["RTMP_CONNECTION_FAILED"]);
        let attempts = filmed.world.attempts.len();
        assert!((3..=6).contains(&attempts), "{attempts} attempts");
        assert!(filmed.world.outlet.connections() <= 1);
        filmed.world.policy = Policy::Accept;
        filmed.film(40);
        assert_eq!(filmed.status(), RtmpStatus::Active);
        filmed.assert_fresh_start();
        filmed.end();
    }
}

#[test]
fn a_name_that_is_in_use_is_waited_for() {
    let mut filmed = Filmed::new(Policy::BadName);
    filmed.film(90);
    assert_eq!(filmed.statuses(), ["RTMP_CONNECTION_FAILED"]);
    assert!(!filmed.world.notes("NetStream.Publish.BadName").is_empty());
    assert_backs_off(&filmed, 30 * SECOND);
    for server in &filmed.world.servers {
        assert!(
            server.media().is_empty(),
            "media under a name that is another's"
        );
    }
    filmed.world.policy = Policy::Accept;
    filmed.film(40);
    assert_eq!(
        filmed.statuses(),
        ["RTMP_CONNECTION_FAILED", "RTMP_STREAM_ACTIVE"]
    );
    filmed.assert_fresh_start();
    filmed.end();
}

#[test]
fn a_server_that_stands_still_loses_its_own_backlog_only() {
    let mut filmed = Filmed::new(Policy::Accept);
    let player = filmed.world.play("rtmp_4711");
    filmed.film(5);
    let conn = filmed.world.server().conn;
    filmed.world.outlet.set_room(conn, 0);
    filmed.film(5);
    // Two seconds of it are kept, of 25 pictures and 50 packets of sound; video beyond is dropped.
    let held = filmed.world.find("rtmp_4711").unwrap().log.segments();
    assert!(held > 50 && held <= LOG_SEGMENTS, "{held}");
    assert_eq!(filmed.world.players[player].pictures().0, 250);
    assert_eq!(filmed.world.players[player].sounds(), 500);
    let before = filmed.world.server().pictures();

    filmed.world.unstall(conn);
    filmed.film(5);
    assert_eq!(
        filmed.world.servers.len(),
        1,
        "a short stall ended the connection"
    );
    assert_eq!(filmed.statuses(), ["RTMP_STREAM_ACTIVE"]);
    let pictures = filmed.world.server().pictures() - before;
    assert!((100..=175).contains(&pictures), "{pictures}");

    // For good: it is given up after 15 s, and there is another one.
    filmed.world.outlet.set_room(conn, 0);
    filmed.film(40);
    assert_eq!(
        filmed.statuses()[..2],
        ["RTMP_STREAM_ACTIVE", "RTMP_CONNECTION_LOST"]
    );
    assert_eq!(filmed.status(), RtmpStatus::Active);
    assert_eq!(filmed.world.servers.len(), 2);
    filmed.assert_fresh_start();
    assert!(filmed.world.players[player].pictures().0 >= 1_370);
    filmed.end();
}

#[test]
fn a_player_that_stands_still_harms_no_other() {
    let mut filmed = Filmed::new(Policy::Accept);
    let slow = filmed.world.play("rtmp_4711");
    let quick = filmed.world.play("rtmp_4711");
    filmed.film(5);
    let conn = filmed.world.players[slow].conn;
    // In the midst of a message.
    filmed.world.outlet.set_room(conn, 1_000);
    filmed.film(10);
    assert_eq!(filmed.world.players[quick].pictures().0, 375);
    assert_eq!(filmed.world.server().pictures(), 375);
    filmed.film(10);
    // Given up after 15 s, which frees what it held.
    assert!(!filmed.world.players[slow].connected);
    assert_eq!(filmed.world.gateway.usage().players, 1);
    assert_eq!(filmed.world.find("rtmp_4711").unwrap().log.segments(), 0);
    assert_eq!(filmed.world.players[quick].pictures().0, 625);
    assert_eq!(filmed.world.server().sounds(), 1_250);
    filmed.end();
}

#[test]
fn a_player_that_stands_still_for_a_while_goes_on_at_a_keyframe() {
    let mut filmed = Filmed::new(Policy::Accept);
    let slow = filmed.world.play("rtmp_4711");
    filmed.film(5);
    let conn = filmed.world.players[slow].conn;
    filmed.world.outlet.set_room(conn, 1_000);
    filmed.film(10);
    let (pictures, keyframes) = filmed.world.players[slow].pictures();
    filmed.world.unstall(conn);
    filmed.film(5);
    let after = filmed.world.players[slow].pictures();
    assert!(after.0 > pictures + 100 && after.1 > keyframes, "{after:?}");
    assert_eq!(filmed.world.players[slow].end(), None);
    filmed.end();
}

#[test]
fn streams_without_a_server_leave_packet_slots_to_the_others() {
    let mut world = World::publishing(8);
    world.checks = false;
    let mut phones: Vec<_> = (0..8).map(|at| Phone::new(&at.to_string())).collect();
    let mut cameras: Vec<_> = (0..8).map(Camera::new).collect();
    // One stream has a server; the others have none, and keep what they have for a later one.
    world.call(&mut phones[0]);
    world.policy = Policy::Refuse;
    for (at, phone) in phones.iter_mut().enumerate().skip(1) {
        phone.media.set_port(4_000 + 10 * at as u16);
        world.call(phone);
    }
    for camera in &mut cameras {
        camera.keyframe_interval = 250;
    }
    for _ in 0..12 * 50 {
        for (phone, camera) in phones.iter().zip(&mut cameras) {
            camera.tick(&mut world, phone);
        }
        world.advance(SECOND / 50);
    }
    assert_eq!(world.pool_empty, 0);
    assert!(
        world.gateway.counters().frames_shed > 0,
        "the pool was never scarce"
    );
    assert!(world.pool.available() >= POOL_PACKETS_PER_CALL);
    assert_eq!(world.servers[0].pictures(), 300);
    assert_eq!(world.servers[0].sounds(), 600);
    world.policy = Policy::Accept;
    for _ in 0..25 * 50 {
        for (phone, camera) in phones.iter().zip(&mut cameras) {
            camera.tick(&mut world, phone);
        }
        world.advance(SECOND / 50);
    }
    assert_eq!(world.servers.len(), 8);
    assert!(world.servers.iter().all(|server| server.pictures() > 100));
    for phone in &mut phones {
        world.bye(phone);
    }
    world.advance(40 * SECOND);
    assert_eq!(world.gateway.usage(), Default::default());
    assert_eq!(world.pool.available(), world.pool.capacity());
}
