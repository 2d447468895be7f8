//! Offers and answers in the midst of a call: the stream goes on in the same RTMP connection.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::gateway::status::CallStatus;

const SECOND: Duration = Duration::from_secs(1);

/// A call that has been filmed for a second, with a player.
struct Filmed {
    world: World,
    phone: Phone,
    camera: Camera,
}

impl Filmed {
    fn new(phone: Phone) -> Self {
        let mut filmed = Self {
            world: World::publishing(4),
            phone,
            camera: Camera::new(1),
        };
        filmed.world.call(&mut filmed.phone);
        filmed.world.play("rtmp_4711");
        filmed
    }

    /// Films for a second; the pictures and sounds that the RTMP server has got meanwhile.
    fn film(&mut self) -> (usize, usize) {
        let before = (self.world.server().pictures(), self.world.server().sounds());
        self.camera.film(&mut self.world, &self.phone, SECOND);
        let server = self.world.server();
        (server.pictures() - before.0, server.sounds() - before.1)
    }

    fn reinvite(&mut self, sdp: &str) -> u16 {
        status(&self.world.reinvite(&mut self.phone, sdp))
    }

    fn status(&self) -> CallStatus {
        self.world.find("rtmp_4711").unwrap().status
    }

    /// One connection to the server in all, and a clean end.
    fn end(mut self) {
        assert_eq!(self.world.servers.len(), 1, "the stream was interrupted");
        self.world.bye(&mut self.phone);
        let commands = self.world.server().commands();
        assert!(
            commands.ends_with(&["FCUnpublish", "deleteStream"]),
            "{commands:?}"
        );
        self.world.advance(40 * SECOND);
        assert_eq!(self.world.gateway.usage(), Default::default());
        assert_eq!(self.world.pool.available(), self.world.pool.capacity());
    }
}

#[test]
fn a_held_call_waits_and_goes_on_in_the_same_stream() {
    let mut filmed = Filmed::new(Phone::new("4711"));
    assert_eq!(filmed.film(), (25, 50));
    assert_eq!(filmed.status(), CallStatus::Established);

    let hold = filmed.phone.offer("inactive", true);
    assert_eq!(filmed.reinvite(&hold), 200);
    assert_eq!(filmed.status(), CallStatus::Hold);
    assert!(
        filmed.phone.told.contains("a=inactive"),
        "{}",
        filmed.phone.told
    );
    // Nothing is to come, and what comes is not for the stream.
    assert_eq!(filmed.film(), (0, 0));
    filmed.world.advance(20 * SECOND);
    assert_eq!(filmed.status(), CallStatus::Hold);

    let resume = filmed.phone.offer("sendrecv", true);
    assert_eq!(filmed.reinvite(&resume), 200);
    assert_eq!(filmed.status(), CallStatus::Established);
    filmed.camera.keyframe_interval = 26;
    let (pictures, sounds) = filmed.film();
    assert!(
        pictures > 0 && sounds > 45,
        "{pictures} pictures, {sounds} sounds"
    );
    assert_eq!(filmed.film(), (25, 50));
    filmed.end();
}

#[test]
fn a_call_that_begins_on_hold_says_so() {
    let mut phone = Phone::new("4711");
    phone.sdp = phone.offer("inactive", true);
    let mut filmed = Filmed::new(phone);
    assert_eq!(filmed.status(), CallStatus::Hold);
    let resume = filmed.phone.offer("sendrecv", true);
    assert_eq!(filmed.reinvite(&resume), 200);
    assert_eq!(filmed.status(), CallStatus::Established);
    assert_eq!(filmed.film().0, 25);
    filmed.end();
}

#[test]
fn a_phone_that_moves_is_followed_and_its_old_address_is_not() {
    let mut filmed = Filmed::new(Phone::new("4711"));
    assert_eq!(filmed.film(), (25, 50));
    let old = filmed.phone.clone();
    filmed.phone.media = "192.0.2.77:7000".parse().unwrap();
    let offer = filmed.phone.offer("sendrecv", true);
    assert_eq!(filmed.reinvite(&offer), 200);
    assert_eq!(filmed.phone.audio_port, old.audio_port);
    assert_eq!(filmed.film(), (25, 50));
    // What the gateway sends goes there too.
    filmed.world.outlet.sent_media.clear();
    filmed.world.advance(2 * SECOND);
    let sent = &filmed.world.outlet.sent_media;
    assert!(sent.len() > 50);
    assert!(
        sent.iter()
            .all(|sent| sent.to.ip().to_string() == "192.0.2.77")
    );
    // The old address is a stranger now.
    let sounds = filmed.world.server().sounds();
    for at in 0..10 {
        let bytes = rtp_support::packet(8, false, 30_000 + at, 9_000, 77, &[1; 160]);
        filmed.world.media(&old, Track::Audio, &bytes);
    }
    assert_eq!(filmed.world.server().sounds(), sounds);
    filmed.end();
}

#[test]
fn video_may_come_and_go_within_a_call() {
    let mut phone = Phone::new("4711");
    phone.sdp = phone.offer("sendrecv", false);
    let mut filmed = Filmed::new(phone);
    filmed.camera.with_video = false;
    assert_eq!(filmed.film(), (0, 50));
    assert_eq!(filmed.phone.video_port, None);

    let with_video = filmed.phone.offer("sendrecv", true);
    assert_eq!(filmed.reinvite(&with_video), 200);
    assert!(filmed.phone.video_port.is_some());
    filmed.camera.with_video = true;
    assert_eq!(filmed.film(), (25, 50));
    let heard = filmed.world.server().media();
    let described = heard.iter().any(|heard| {
        matches!(heard, Heard::Metadata(data) if data.video_codec == Some(7) && data.sound_format == Some(7))
    });
    assert!(described);
    let first = heard
        .iter()
        .position(|heard| matches!(heard, Heard::Video { .. }))
        .unwrap();
    assert!(matches!(heard[first], Heard::Video { keyframe: true, .. }));
    assert!(
        heard[..first]
            .iter()
            .any(|heard| matches!(heard, Heard::SequenceHeader { .. }))
    );
    assert!(filmed.world.players[0].pictures().0 >= 24);

    let without = format!(
        "{}m=video 0 RTP/AVP 96\r\n",
        filmed.phone.offer("sendrecv", false)
    );
    assert_eq!(filmed.reinvite(&without), 200);
    assert_eq!(filmed.phone.video_port, None);
    filmed.camera.with_video = false;
    assert_eq!(filmed.film(), (0, 50));
    assert_eq!(filmed.status(), CallStatus::Established);
    filmed.end();
}

/// The answer of a phone to an offer of ours, and the payload number of its H.264.
fn answer_to(phone: &Phone) -> (String, u8) {
    let mode = phone
        .told
        .lines()
        .find(|line| line.contains("packetization-mode=1"));
    let number = mode
        .unwrap()
        .trim_start_matches("a=fmtp:")
        .split(' ')
        .next()
        .unwrap();
    let answer = phone.offer("sendrecv", true);
    let answer = answer.replace("RTP/AVP 96", &format!("RTP/AVP {number}"));
    (
        answer.replace(":96 ", &format!(":{number} ")),
        number.parse().unwrap(),
    )
}

#[test]
fn an_invite_without_an_offer_is_offered_everything() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    phone.sdp = String::new();
    let answers = world.invite(&mut phone);
    let accepted = answers.last().unwrap();
    assert_eq!(status(accepted), 200);
    // It fits one datagram with room for the headers of a proxy.
    assert!(accepted.len() <= 1_200, "{} bytes", accepted.len());
    let (answer, video_type) = answer_to(&phone);
    let ack = phone.ack(&answer);
    world.sip(phone.remote, ack);
    let mut filmed = Filmed {
        world,
        phone,
        camera: Camera::new(1),
    };
    filmed.camera.video_type = video_type;
    assert_eq!(filmed.film(), (25, 50));
    assert_eq!(filmed.status(), CallStatus::Established);
    filmed.end();
}

#[test]
fn without_video_in_the_late_answer_sound_does_not_wait_for_a_picture() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    phone.sdp = String::new();
    world.invite(&mut phone);
    let answer = format!("{}m=video 0 RTP/AVP 96\r\n", phone.offer("sendrecv", false));
    let ack = phone.ack(&answer);
    world.sip(phone.remote, ack);
    let mut camera = Camera::new(1);
    camera.with_video = false;
    camera.film(&mut world, &phone, Duration::from_millis(200));
    assert_eq!(world.server().sounds(), 10);
}

#[test]
fn a_late_answer_that_cannot_be_used_ends_the_call() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    phone.sdp = String::new();
    world.invite(&mut phone);
    let ack = phone.ack("");
    world.sip(phone.remote, ack);
    let heard = world.take(&phone);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
    world.advance(40 * SECOND);
    assert_eq!(world.gateway.usage(), Default::default());
}

#[test]
fn a_reinvite_without_an_offer_is_given_one_and_changes_nothing() {
    let mut filmed = Filmed::new(Phone::new("4711"));
    assert_eq!(filmed.film(), (25, 50));
    let invite = filmed.phone.reinvite("");
    filmed.world.sip(filmed.phone.remote, invite);
    let answers = filmed.world.take(&filmed.phone);
    let last = answers.last().unwrap().clone();
    assert_eq!(status(&last), 200);
    filmed.phone.learn(&last);
    let (answer, video_type) = answer_to(&filmed.phone);
    filmed.camera.video_type = video_type;
    let ack = filmed.phone.ack(&answer);
    filmed.world.sip(filmed.phone.remote, ack);
    assert_eq!(filmed.film(), (25, 50));
    assert_eq!(filmed.status(), CallStatus::Established);
    filmed.end();
}

#[test]
fn a_refused_offer_leaves_the_call_as_it_was() {
    let mut filmed = Filmed::new(Phone::new("4711"));
    assert_eq!(filmed.film(), (25, 50));
    let unknown = "v=0\r\no=- 1 2 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 18\r\nm=video 4002 RTP/AVP 31\r\n";
    assert_eq!(filmed.reinvite(unknown), 488);
    assert_eq!(filmed.film(), (25, 50));
    assert!(matches!(filmed.reinvite("nothing like SDP"), 400 | 488));
    assert_eq!(filmed.film(), (25, 50));
    assert_eq!(filmed.status(), CallStatus::Established);
    filmed.end();
}

#[test]
fn media_goes_over_ipv6_as_well() {
    let mut phone = Phone::new("4711");
    phone.remote = "[2001:db8::10]:5060".parse().unwrap();
    phone.media = "[2001:db8::10]:4000".parse().unwrap();
    phone.sdp = phone.offer("sendrecv", true);
    let mut filmed = Filmed::new(phone);
    assert!(
        filmed.phone.told.contains("c=IN IP6 2001:db8::1\r\n"),
        "{}",
        filmed.phone.told
    );
    assert_eq!(filmed.film(), (25, 50));
    let sent = &filmed.world.outlet.sent_media;
    assert!(sent.len() > 40 && sent.iter().all(|sent| sent.to.is_ipv6()));
    filmed.end();
}

/// Whether a picture of ours has come to a phone as a whole.
fn saw_picture(world: &World, phone: &Phone) -> bool {
    let to = phone.media_source(Track::Video);
    world.outlet.sent_media.iter().any(|sent| {
        let ends_picture = sent.bytes.get(1).is_some_and(|byte| byte & 0x80 != 0);
        sent.port == MediaPort::Rtp && sent.to == to && ends_picture
    })
}

#[test]
fn a_phone_that_waits_for_video_before_it_sends_its_own_is_not_kept_waiting() {
    for (direction, comes) in [("sendrecv", true), ("sendonly", false)] {
        let mut world = World::publishing(4);
        let mut phone = Phone::new("4711");
        phone.sdp = phone.offer(direction, true);
        world.call(&mut phone);
        let mut camera = Camera::new(1);
        camera.with_video = false;
        for _ in 0..100 {
            camera.with_video |= saw_picture(&world, &phone);
            camera.tick(&mut world, &phone);
            world.advance(Duration::from_millis(20));
        }
        assert_eq!(world.server().pictures(), if comes { 50 } else { 0 });
    }
}

#[test]
fn our_picture_stops_on_hold_and_comes_at_once_on_resume() {
    let mut filmed = Filmed::new(Phone::new("4711"));
    filmed.world.advance(SECOND);
    assert!(saw_picture(&filmed.world, &filmed.phone));
    for hold in ["sendonly", "inactive"] {
        let hold = filmed.phone.offer(hold, true);
        assert_eq!(filmed.reinvite(&hold), 200);
        filmed.world.outlet.sent_media.clear();
        filmed.world.advance(10 * SECOND);
        assert!(!saw_picture(&filmed.world, &filmed.phone));
        let resume = filmed.phone.offer("sendrecv", true);
        assert_eq!(filmed.reinvite(&resume), 200);
        assert!(saw_picture(&filmed.world, &filmed.phone));
    }
    filmed.end();
}
