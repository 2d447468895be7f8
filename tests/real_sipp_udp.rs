//! SIPp calls over UDP.

use std::net::UdpSocket;
use std::time::Duration;

mod support;

use support::daemon::Settings;
use support::{Daemon, Ports, signalling};

#[test]
fn a_call_is_relayed_whole() {
    signalling::call_is_relayed("call", "u1");
}

#[test]
fn a_call_with_a_late_offer_is_relayed_whole() {
    signalling::call_is_relayed("late_offer", "u1");
}

#[test]
fn a_call_without_picture_is_relayed() {
    signalling::sound_alone_is_relayed("u1");
}

#[test]
fn hold_resume_move_and_video_changes_are_answered() {
    signalling::scenario_goes_well("reinvite", "u1");
}

#[test]
fn options_is_answered() {
    signalling::scenario_goes_well("options", "u1");
}

#[test]
fn a_late_cancel_leaves_the_call_standing() {
    signalling::scenario_goes_well("cancel_late", "u1");
}

#[test]
fn the_answer_is_resent_until_the_ack_comes() {
    signalling::scenario_goes_well("lost_ack", "u1");
}

#[test]
fn a_repeated_invite_makes_one_call() {
    signalling::scenario_goes_well("repeated_invite", "u1");
}

#[test]
fn an_offer_without_a_usable_codec_is_refused() {
    signalling::scenario_goes_well("refused_codec", "u1");
}

#[test]
fn lines_without_use_are_refused_in_their_place() {
    signalling::scenario_goes_well("refused_lines", "u1");
}

#[test]
fn a_call_beyond_the_capacity_is_refused_with_retry_after() {
    signalling::call_beyond_capacity_is_refused("u1");
}

#[test]
fn the_end_of_the_gateway_ends_the_call() {
    signalling::stop_ends_the_call("u1");
}

#[test]
fn a_stranger_gets_no_answer() {
    signalling::stranger_gets_nothing();
}

#[test]
fn the_template_of_a_trunk_is_honoured() {
    signalling::template_is_honoured();
}

#[test]
fn every_scenario_is_run() {
    signalling::every_scenario_is_used(&[
        include_str!("real_sipp_udp.rs"),
        include_str!("support/signalling.rs"),
    ]);
}

#[test]
fn invite_and_cancel_at_once_leave_one_clear_outcome() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let caller = UdpSocket::bind(ports.address()).expect("the port is ours");
    caller.connect(gateway.sip()).expect("loopback is there");
    caller
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout is possible");
    for number in 0..20 {
        let request = |method: &str, to_tag: &str, cseq: u32| {
            format!(
                "{method} sip:1000@127.0.0.1 SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {};branch=z9hG4bK-race-{number}{};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:race@127.0.0.1>;tag=race\r\n\
                 To: <sip:1000@127.0.0.1>{to_tag}\r\nCall-ID: race-{number}\r\n\
                 CSeq: {cseq} {method}\r\nContact: <sip:race@{}>\r\nContent-Length: 0\r\n\r\n",
                caller.local_addr().expect("bound"),
                if matches!(method, "ACK" | "BYE") {
                    method
                } else {
                    ""
                },
                caller.local_addr().expect("bound"),
            )
        };
        for method in ["INVITE", "CANCEL"] {
            caller
                .send(request(method, "", 1).as_bytes())
                .expect("loopback takes it");
        }
        let (mut invite, mut cancel) = (None, None);
        let mut buffer = [0; 4_096];
        while invite.is_none() || cancel.is_none() {
            let length = caller
                .recv(&mut buffer)
                .expect("both requests get a final answer");
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let status: u32 = answer[8..11].parse().expect("a status");
            if status >= 200 && answer.contains("1 INVITE") {
                invite = Some((status, answer));
            } else if status >= 200 && answer.contains("1 CANCEL") {
                cancel = Some(status);
            }
        }
        let (status, answer) = invite.expect("left the loop");
        let tag = answer
            .lines()
            .find_map(|line| line.strip_prefix("To:"))
            .expect("To");
        let tag = tag.split_once(">").map_or("", |(_, tag)| tag.trim());
        assert!(
            status == 200 || status == 487,
            "INVITE answered with {status}"
        );
        assert!(
            cancel == Some(200) || cancel == Some(481),
            "CANCEL answered with {cancel:?}"
        );
        caller
            .send(request("ACK", tag, 1).as_bytes())
            .expect("loopback takes it");
        if status == 200 {
            caller
                .send(request("BYE", tag, 2).as_bytes())
                .expect("loopback takes it");
            loop {
                let length = caller.recv(&mut buffer).expect("BYE is answered");
                if String::from_utf8_lossy(&buffer[..length]).contains("2 BYE") {
                    break;
                }
            }
        }
    }
    gateway.check_calm();
}
