//! SIPp calls over TCP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

mod support;

use support::daemon::Settings;
use support::{Daemon, Ports, signalling};

#[test]
fn a_call_is_relayed_whole() {
    signalling::call_is_relayed("call", "t1", 96);
}

#[test]
fn a_call_with_a_late_offer_is_relayed_whole() {
    signalling::call_is_relayed("late_offer", "t1", 97);
}

#[test]
fn a_call_without_picture_is_relayed() {
    signalling::sound_alone_is_relayed("t1");
}

#[test]
fn hold_resume_move_and_video_changes_are_answered() {
    signalling::scenario_goes_well("reinvite", "t1");
}

#[test]
fn options_is_answered() {
    signalling::scenario_goes_well("options", "t1");
}

#[test]
fn a_late_cancel_leaves_the_call_standing() {
    signalling::scenario_goes_well("cancel_late", "t1");
}

#[test]
fn the_answer_is_resent_until_the_ack_comes() {
    signalling::scenario_goes_well("lost_ack", "t1");
}

#[test]
fn a_repeated_invite_makes_one_call() {
    signalling::scenario_goes_well("repeated_invite", "t1");
}

#[test]
fn an_offer_without_a_usable_codec_is_refused() {
    signalling::scenario_goes_well("refused_codec", "t1");
}

#[test]
fn lines_without_use_are_refused_in_their_place() {
    signalling::scenario_goes_well("refused_lines", "t1");
}

#[test]
fn a_call_beyond_the_capacity_is_refused_with_retry_after() {
    signalling::call_beyond_capacity_is_refused("t1");
}

#[test]
fn the_end_of_the_gateway_ends_the_call() {
    signalling::stop_ends_the_call("t1");
}

#[test]
fn a_keep_alive_is_answered_and_messages_may_come_in_any_pieces() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let mut caller = TcpStream::connect(gateway.sip()).expect("the gateway listens on TCP");
    caller.set_nodelay(true).expect("an option of every TCP");
    caller
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a timeout is possible");
    caller
        .write_all(b"\r\n\r\n")
        .expect("the connection stands");
    let mut pong = [0; 2];
    caller.read_exact(&mut pong).expect("a pong comes");
    assert_eq!(&pong, b"\r\n");

    let options = |number: u32| {
        format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK-piece-{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:p@127.0.0.1>;tag=p\r\nTo: <sip:127.0.0.1>\r\n\
             Call-ID: piece-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    };
    // Two in one segment, then one in pieces of seven bytes.
    caller
        .write_all((options(1) + &options(2)).as_bytes())
        .expect("the connection stands");
    for piece in options(3).as_bytes().chunks(7) {
        caller.write_all(piece).expect("the connection stands");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut answers = String::new();
    let mut buffer = [0; 4_096];
    while answers.matches("SIP/2.0 200").count() < 3 {
        let length = caller.read(&mut buffer).expect("three answers come");
        assert_ne!(length, 0, "the connection was closed after:\n{answers}");
        answers += &String::from_utf8_lossy(&buffer[..length]);
    }
    for number in 1..4 {
        assert!(
            answers.contains(&format!("piece-{number}")),
            "no answer to {number}"
        );
    }
}
