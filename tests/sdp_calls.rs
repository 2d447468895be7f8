//! Descriptions over the life of a call: hold and resume, lines that come and go, late offers,
//! templates.

use std::net::SocketAddr;
use std::rc::Rc;

use trunkcast::base::sink::SinkView;
use trunkcast::sdp::direction::Direction;
use trunkcast::sdp::{
    Answer, CodecPlan, LineRefusal, LocalMedia, MediaPlan, OfferAnswer, PlannedCodec, Refusal,
    SrtpTerms, Wanted, wanted,
};
use trunkcast::wire::sdp::SessionDescription;

const AUDIO: &str = "m=audio 4000 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\n";
const VIDEO: &str = "m=video 4002 RTP/AVP 97\na=rtpmap:97 H264/90000\n\
                     a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\n";
const NO_VIDEO: &str = "m=video 0 RTP/AVP 97\n";
const BFCP: &str = "m=application 5070 UDP/BFCP *\n";

const REFERENCE_TEMPLATE: &str = "o=10009 2469 1555 IN IP4 0.0.0.0\nc=IN IP4 0.0.0.0\nt=0 0\n\
    m=audio 7270 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=recvonly\nm=video 9202 RTP/AVP 96\n\
    a=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42801F\na=recvonly\n";
const REFERENCE_PARAMS: [&str; 3] = ["b=AS:2000", "b=RS:50", "b=RR:100"];

fn local() -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        audio_port: Some(31_000),
        video_port: Some(31_002),
        rtcp_mux: false,
    }
}

fn call() -> OfferAnswer {
    OfferAnswer::new(Rc::new(CodecPlan::default()), 4_711)
}

fn read(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

/// An offer or answer from 198.51.100.9 with these media sections.
fn from_phone(sections: &[&str]) -> SessionDescription {
    let head = "v=0\no=p 1 1 IN IP4 198.51.100.9\ns=-\nc=IN IP4 198.51.100.9\nt=0 0\n";
    read(&format!("{head}{}", sections.concat()))
}

fn version(text: &str) -> u64 {
    read(text).session().origin.sess_version
}

/// Port and direction of each line.
fn lines(text: &str) -> Vec<(u16, Direction)> {
    let read = read(text);
    read.media()
        .map(|line| (line.port(), line.direction()))
        .collect()
}

fn addr(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn flow(plan: &Option<MediaPlan>) -> (bool, bool) {
    plan.as_ref().map(|plan| (plan.send, plan.receive)).unwrap()
}

#[test]
fn hold_is_answered_by_the_table() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    // What is offered, where to, and what it is answered.
    let table = [
        ("sendrecv", "198.51.100.9", SendRecv),
        ("sendonly", "198.51.100.9", RecvOnly),
        ("recvonly", "198.51.100.9", SendOnly),
        ("inactive", "198.51.100.9", Inactive),
        ("sendrecv", "0.0.0.0", RecvOnly),
        ("sendonly", "0.0.0.0", RecvOnly),
        ("recvonly", "0.0.0.0", Inactive),
        ("inactive", "0.0.0.0", Inactive),
    ];
    for (offered, address, ours) in table {
        let of_media = format!("a={offered}\n");
        let head = format!("v=0\nc=IN IP4 {address}\n");
        let by_media = format!("{head}{AUDIO}{of_media}{VIDEO}{of_media}");
        let by_session = format!("{head}{of_media}{AUDIO}{VIDEO}");
        for text in [by_media, by_session] {
            let Answer { sdp, negotiated } = call().answer(&read(&text), &local()).unwrap();
            assert_eq!(lines(&sdp), [(31_000, ours), (31_002, ours)], "{text}");
            assert_eq!(flow(&negotiated.audio), (ours.sends(), ours.receives()));
            assert_eq!(flow(&negotiated.video), (ours.sends(), ours.receives()));
            let remote = negotiated.audio.unwrap().remote_rtp;
            assert_eq!(remote.is_some(), address != "0.0.0.0");
        }
    }
}

#[test]
fn a_template_that_only_receives_pictures_sends_none() {
    let template =
        "m=audio 1 RTP/AVP 8\nm=video 1 RTP/AVP 96\na=rtpmap:96 H264/90000\na=recvonly\n";
    let plan = || Rc::new(CodecPlan::new(None, Some(template), &[]).unwrap());
    for (offered, directions) in [
        ("sendrecv", [Direction::SendRecv, Direction::RecvOnly]),
        ("sendonly", [Direction::RecvOnly, Direction::RecvOnly]),
        ("recvonly", [Direction::SendOnly, Direction::Inactive]),
    ] {
        let offer = read(&format!(
            "v=0\nc=IN IP4 198.51.100.9\na={offered}\n{AUDIO}{VIDEO}"
        ));
        let answer = OfferAnswer::new(plan(), 1)
            .answer(&offer, &local())
            .unwrap();
        let got = lines(&answer.sdp)
            .into_iter()
            .map(|(_, direction)| direction);
        assert_eq!(got.collect::<Vec<_>>(), directions);
    }
    let sdp = OfferAnswer::new(plan(), 1).offer(&local()).unwrap();
    let offered: Vec<_> = lines(&sdp)
        .into_iter()
        .map(|(_, direction)| direction)
        .collect();
    assert_eq!(offered, [Direction::SendRecv, Direction::RecvOnly]);
}

#[test]
fn hold_and_resume_raise_the_version_and_keep_the_session() {
    let mut call = call();
    let talk = from_phone(&[AUDIO, VIDEO]);
    let hold = from_phone(&[AUDIO, "a=sendonly\n", VIDEO, "a=inactive\n"]);
    let mut texts = Vec::new();
    for offer in [&talk, &talk, &hold, &hold, &talk] {
        texts.push(call.answer(offer, &local()).unwrap().sdp);
    }
    assert_eq!(
        texts.iter().map(|text| version(text)).collect::<Vec<_>>(),
        [1, 1, 2, 2, 3]
    );
    assert_eq!(texts[0], texts[1], "the same offer gets the same answer");
    assert_eq!(texts[2], texts[3]);
    assert_eq!(texts[0].replace("4711 1 IN", "4711 3 IN"), texts[4]);
    assert!(
        texts
            .iter()
            .all(|text| read(text).session().origin.sess_id == "4711")
    );
}

#[test]
fn video_comes_and_goes_in_its_place() {
    let mut call = call();
    let offers = [
        from_phone(&[AUDIO]),
        from_phone(&[AUDIO, VIDEO]),
        from_phone(&[AUDIO, NO_VIDEO]),
        from_phone(&[AUDIO, NO_VIDEO, BFCP]),
        from_phone(&[AUDIO, VIDEO, BFCP]),
    ];
    let ports = offers.map(|offer| {
        let answer = call.answer(&offer, &local()).unwrap();
        let video = answer.negotiated.video.map(|plan| plan.line);
        (
            lines(&answer.sdp)
                .into_iter()
                .map(|(port, _)| port)
                .collect::<Vec<_>>(),
            video,
        )
    });
    assert_eq!(ports[0], (vec![31_000], None));
    assert_eq!(ports[1], (vec![31_000, 31_002], Some(1)));
    assert_eq!(ports[2], (vec![31_000, 0], None));
    assert_eq!(ports[3], (vec![31_000, 0, 0], None));
    assert_eq!(ports[4], (vec![31_000, 31_002, 0], Some(1)));
}

#[test]
fn a_new_address_changes_the_plan_and_not_our_text() {
    let mut call = call();
    let first = call.answer(&from_phone(&[AUDIO]), &local()).unwrap();
    let moved = read(&format!(
        "v=0\nc=IN IP4 203.0.113.8\n{}",
        AUDIO.replace("4000", "4400")
    ));
    let second = call.answer(&moved, &local()).unwrap();
    assert_eq!(first.sdp, second.sdp);
    let plan = second.negotiated.audio.unwrap();
    assert_eq!(
        (plan.remote_rtp, plan.remote_rtcp),
        (addr("203.0.113.8:4400"), addr("203.0.113.8:4401"))
    );
    let elsewhere = LocalMedia {
        address: "192.0.2.2".parse().unwrap(),
        ..local()
    };
    let third = call.answer(&moved, &elsewhere).unwrap().sdp;
    assert!(third.contains("o=- 4711 2 IN IP4 192.0.2.1\r\n"), "{third}");
    assert!(third.contains("c=IN IP4 192.0.2.2\r\n"), "{third}");
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_was() {
    let mut call = call();
    let first = call.answer(&from_phone(&[AUDIO]), &local()).unwrap();
    let g729 = "m=audio 4000 RTP/AVP 18\n";
    let refusal = call.answer(&from_phone(&[g729]), &local()).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::NothingUsable(LineRefusal::NoCodec(_))
    ));
    assert_eq!((refusal.status(), refusal.warning_code()), (488, 305));
    assert_eq!(call.current(), &first.negotiated);
    assert_eq!(call.answer(&from_phone(&[AUDIO]), &local()).unwrap(), first);
}

#[test]
fn a_session_may_be_emptied_but_not_begun_empty() {
    let empty = from_phone(&["m=audio 0 RTP/AVP 0\n", NO_VIDEO]);
    let refusal = call().answer(&empty, &local()).unwrap_err();
    assert_eq!(refusal, Refusal::NothingUsable(LineRefusal::Disabled));
    assert_eq!(
        call().answer(&from_phone(&[]), &local()),
        Err(Refusal::NoMedia)
    );
    let mut call = call();
    call.answer(&from_phone(&[AUDIO, VIDEO]), &local()).unwrap();
    let answer = call.answer(&empty, &local()).unwrap();
    assert_eq!(
        lines(&answer.sdp)
            .iter()
            .map(|(port, _)| *port)
            .collect::<Vec<_>>(),
        [0, 0]
    );
    assert!(answer.negotiated.audio.is_none() && answer.negotiated.video.is_none());
}

#[test]
fn the_line_in_use_stays_in_use() {
    let mut call = call();
    let second = VIDEO.replace("4002", "4004");
    let mut video = |sections: &[&str]| {
        let answer = call.answer(&from_phone(sections), &local()).unwrap();
        answer.negotiated.video.map(|plan| plan.line)
    };
    assert_eq!(video(&[NO_VIDEO, &second]), Some(1));
    assert_eq!(video(&[VIDEO, &second]), Some(1));
    assert_eq!(video(&[VIDEO, NO_VIDEO]), Some(0));
}

#[test]
fn slides_are_not_taken_for_the_main_picture() {
    let slides = format!("{VIDEO}a=content:slides\n");
    let got = call()
        .answer(&from_phone(&[&slides, VIDEO]), &local())
        .unwrap();
    assert_eq!(got.negotiated.video.unwrap().line, 1);
    assert_eq!(got.negotiated.refused[0].reason, LineRefusal::Spare);
    let got = call()
        .answer(&from_phone(&[AUDIO, &slides]), &local())
        .unwrap();
    assert_eq!(
        got.negotiated.video.unwrap().line,
        1,
        "slides are better than nothing"
    );
}

#[test]
fn lines_are_refused_for_their_own_reason() {
    let table = [
        ("m=audio 4000 RTP/SAVP 0\n", LineRefusal::SrtpReadable),
        ("m=audio 4000 TCP/RTP/AVP 0\n", LineRefusal::Protocol),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
            LineRefusal::AddressFamily,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN X25 1234\n",
            LineRefusal::AddressType,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=ATM IP4 1.2.3.4\n",
            LineRefusal::AddressType,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 224.1.1.1/127\n",
            LineRefusal::Multicast,
        ),
        ("m=audio 0 RTP/AVP 0\n", LineRefusal::Disabled),
        ("m=image 4000 udptl t38\n", LineRefusal::MediaKind),
    ];
    for (section, reason) in table {
        // Beside a line that is taken, and alone.
        let keeper = if section.starts_with("m=video") {
            AUDIO
        } else {
            VIDEO
        };
        let answer = call()
            .answer(&from_phone(&[section, keeper]), &local())
            .unwrap();
        assert_eq!(answer.negotiated.refused.len(), 1, "{section}");
        assert_eq!(answer.negotiated.refused[0].reason, reason, "{section}");
        assert_eq!(lines(&answer.sdp)[0].0, 0);
        let alone = call()
            .answer(&from_phone(&[section]), &local())
            .unwrap_err();
        assert_eq!(alone, Refusal::NothingUsable(reason), "{section}");
    }
}

#[test]
fn a_line_without_a_local_port_is_refused() {
    let audio_only = LocalMedia {
        video_port: None,
        ..local()
    };
    let got = call()
        .answer(&from_phone(&[AUDIO, VIDEO]), &audio_only)
        .unwrap()
        .negotiated;
    assert!(got.audio.is_some() && got.video.is_none());
    assert_eq!(got.refused[0].reason, LineRefusal::NoLocalPort);
}

#[test]
fn what_an_offer_wants_is_known_before_ports_are_leased() {
    let plan = CodecPlan::default();
    let both = wanted(
        &from_phone(&[AUDIO, VIDEO, BFCP]),
        &plan,
        SinkView::UNKNOWN,
        SrtpTerms::default(),
    );
    assert_eq!(
        both,
        Wanted {
            audio: true,
            video: true,
            ipv6: false,
            remote: both.remote,
        }
    );
    assert!(both.remote.is_some_and(|remote| remote.is_ipv4()));
    assert_eq!(
        wanted(
            &from_phone(&[BFCP, NO_VIDEO]),
            &plan,
            SinkView::UNKNOWN,
            SrtpTerms::default()
        ),
        Wanted::default()
    );
    let ipv6 = wanted(
        &read(&format!("v=0\nc=IN IP6 ::\n{AUDIO}")),
        &plan,
        SinkView::UNKNOWN,
        SrtpTerms::default(),
    );
    assert_eq!(
        ipv6,
        Wanted {
            audio: true,
            video: false,
            ipv6: true,
            remote: None,
        }
    );
    let plan = CodecPlan::new(Some(&["pcma"]), None, &[]).unwrap();
    let audio = wanted(
        &from_phone(&[AUDIO, VIDEO]),
        &plan,
        SinkView::UNKNOWN,
        SrtpTerms::default(),
    );
    assert_eq!(
        audio,
        Wanted {
            audio: true,
            video: false,
            ipv6: false,
            remote: both.remote,
        }
    );
}

#[test]
fn the_trunk_orders_codecs_where_it_says_so_and_the_offer_otherwise() {
    let codec = |names: Option<&[&str]>, template: Option<&str>| {
        let plan = CodecPlan::new(names, template, &[]).unwrap();
        let answer = OfferAnswer::new(Rc::new(plan), 1).answer(&from_phone(&[AUDIO]), &local());
        answer.unwrap().negotiated.audio.unwrap().codec
    };
    assert_eq!(codec(None, None), PlannedCodec::Pcmu);
    assert_eq!(codec(Some(&["pcma", "pcmu"]), None), PlannedCodec::Pcma);
    assert_eq!(
        codec(None, Some("m=audio 1 RTP/AVP 8 0\n")),
        PlannedCodec::Pcma
    );
    assert_eq!(codec(None, Some(REFERENCE_TEMPLATE)), PlannedCodec::Pcmu);
}

#[test]
fn the_profile_of_the_template_is_preferred_among_equals() {
    let offer = "m=video 4002 RTP/AVP 96 97 98\na=rtpmap:96 H264/90000\na=rtpmap:97 H264/90000\n\
        a=rtpmap:98 H264/90000\na=fmtp:96 profile-level-id=42801F\n\
        a=fmtp:97 profile-level-id=640028;packetization-mode=1\n\
        a=fmtp:98 profile-level-id=42e01f;packetization-mode=1\n";
    let chosen = |template: Option<&str>| {
        let plan = Rc::new(CodecPlan::new(None, template, &[]).unwrap());
        let answer = OfferAnswer::new(plan, 1)
            .answer(&from_phone(&[offer]), &local())
            .unwrap();
        answer.negotiated.video.unwrap().payload_type
    };
    assert_eq!(chosen(None), 97);
    assert_eq!(chosen(Some(REFERENCE_TEMPLATE)), 98);
}

#[test]
fn the_reference_trunk_answers_like_this() {
    let plan = CodecPlan::new(None, Some(REFERENCE_TEMPLATE), &REFERENCE_PARAMS).unwrap();
    let mut call = OfferAnswer::new(Rc::new(plan), 4_711);
    let answer = call
        .answer(&from_phone(&[AUDIO, VIDEO, BFCP]), &local())
        .unwrap();
    let expected = "v=0\no=10009 4711 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nb=AS:2000\n\
        b=RS:50\nb=RR:100\nt=0 0\nm=audio 31000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\n\
        a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na=recvonly\n\
        m=video 31002 RTP/AVP 97\na=rtpmap:97 H264/90000\n\
        a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\na=recvonly\n\
        m=application 0 UDP/BFCP *\n";
    assert_eq!(answer.sdp, expected.replace('\n', "\r\n"));
    assert_eq!(flow(&answer.negotiated.audio), (false, true));
}

#[test]
fn names_bandwidths_and_other_lines_of_a_template_stand_in_their_places() {
    let template = "o=box 1 1 IN IP4 0.0.0.0\ns=Lobby door\nb=CT:900\na=tool:box\n\
        m=audio 1 RTP/AVP 8\nb=TIAS:64000\na=ssrc:1 cname:x\na=label:voice\n\
        m=video 1 RTP/AVP 96\na=rtpmap:96 H264/90000\nb=AS:1500\na=crypto:1 x\na=content:main\n";
    let plan = CodecPlan::new(None, Some(template), &["a=x-note:1"]).unwrap();
    let mut call = OfferAnswer::new(Rc::new(plan), 4_711);
    let sdp = call
        .answer(&from_phone(&[AUDIO, VIDEO]), &local())
        .unwrap()
        .sdp;
    let expected = "v=0\no=box 4711 1 IN IP4 192.0.2.1\ns=Lobby door\nc=IN IP4 192.0.2.1\n\
        b=CT:900\nt=0 0\na=tool:box\na=x-note:1\nm=audio 31000 RTP/AVP 8 101\nb=TIAS:64000\n\
        a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n\
        a=label:voice\na=sendrecv\nm=video 31002 RTP/AVP 97\nb=AS:1500\na=rtpmap:97 H264/90000\n\
        a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\na=content:main\na=sendrecv\n";
    assert_eq!(sdp, expected.replace('\n', "\r\n"));
}

#[test]
fn the_times_of_an_offer_are_repeated() {
    let offer = read(&format!(
        "v=0\nc=IN IP4 198.51.100.9\nt=3900000000 0\nr=7d 1h 0\n{AUDIO}"
    ));
    let sdp = call().answer(&offer, &local()).unwrap().sdp;
    assert!(sdp.contains("\r\nt=3900000000 0\r\nm=audio"), "{sdp}");
}

#[test]
fn rtcp_is_muxed_only_where_both_want_it_and_it_can_be_told_apart() {
    let mux = |section: &str, rtcp_mux: bool| {
        let offer = from_phone(&[section, "a=rtcp-mux\n"]);
        let answer = call()
            .answer(
                &offer,
                &LocalMedia {
                    rtcp_mux,
                    ..local()
                },
            )
            .unwrap();
        let plan = answer.negotiated.audio.unwrap();
        assert_eq!(plan.rtcp_mux, answer.sdp.contains("a=rtcp-mux"));
        assert_eq!(plan.rtcp_mux, plan.remote_rtcp == plan.remote_rtp);
        plan.rtcp_mux
    };
    assert!(mux(AUDIO, true));
    assert!(!mux(AUDIO, false));
    assert!(!mux(
        "m=audio 4000 RTP/AVP 72\na=rtpmap:72 PCMA/8000\n",
        true
    ));
}

#[test]
fn rtcp_goes_where_the_offer_says_within_reason() {
    let rtcp = |extra: &str| {
        let answer = call()
            .answer(&from_phone(&[AUDIO, extra]), &local())
            .unwrap();
        answer.negotiated.audio.unwrap().remote_rtcp
    };
    assert_eq!(rtcp(""), addr("198.51.100.9:4001"));
    assert_eq!(rtcp("a=rtcp:5555\n"), addr("198.51.100.9:5555"));
    assert_eq!(
        rtcp("a=rtcp:5555 IN IP4 203.0.113.4\n"),
        addr("203.0.113.4:5555")
    );
    assert_eq!(
        rtcp("a=rtcp:5555 IN IP4 224.0.0.1\n"),
        addr("198.51.100.9:5555")
    );
    assert_eq!(
        rtcp("a=rtcp:5555 IN IP6 2001:db8::1\n"),
        addr("198.51.100.9:5555")
    );
    let last = AUDIO.replace("4000", "65535");
    let answer = call().answer(&from_phone(&[&last]), &local()).unwrap();
    assert_eq!(answer.negotiated.audio.unwrap().remote_rtcp, None);
}

#[test]
fn a_late_offer_names_both_modes_and_is_small() {
    let mut call = call();
    let sdp = call.offer(&local()).unwrap();
    let expected = "v=0\no=- 4711 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
        m=audio 31000 RTP/AVP 8 0 100 99 101 102\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n\
        a=rtpmap:100 speex/16000\na=rtpmap:99 opus/48000/2\na=fmtp:99 stereo=1\n\
        a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n\
        a=rtpmap:102 telephone-event/48000\na=fmtp:102 0-15\na=ptime:20\na=sendrecv\n\
        m=video 31002 RTP/AVP 97 96 98\na=rtpmap:97 H264/90000\n\
        a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\na=rtpmap:96 H264/90000\n\
        a=fmtp:96 profile-level-id=42e01f\na=rtpmap:98 VP8/90000\n\
        a=rtcp-fb:* nack pli\na=rtcp-fb:* ccm fir\na=rtcp-fb:* nack\na=rtcp-fb:* ccm tmmbr\n\
        a=sendrecv\n";
    assert_eq!(sdp, expected.replace('\n', "\r\n"));
    // With the longest numbers and addresses of IPv4 too.
    let longest = LocalMedia {
        address: "192.168.100.100".parse().unwrap(),
        ..local()
    };
    let plan = Rc::new(CodecPlan::default());
    let sdp = OfferAnswer::new(plan, u32::MAX).offer(&longest).unwrap();
    assert!(sdp.len() < 700, "{}", sdp.len());
    // And with everything that can be named.
    let all = ["opus", "aac", "speex", "pcma", "pcmu", "vp8", "h264"];
    let plan = Rc::new(CodecPlan::new(Some(&all), None, &[]).unwrap());
    let sdp = OfferAnswer::new(plan, u32::MAX).offer(&longest).unwrap();
    assert!(
        sdp.contains("mpeg4-generic") && sdp.len() < 820,
        "{}",
        sdp.len()
    );
    let plan = CodecPlan::new(
        Some(&["h264", "pcmu"]),
        Some(REFERENCE_TEMPLATE),
        &REFERENCE_PARAMS,
    );
    let sdp = OfferAnswer::new(Rc::new(plan.unwrap()), u32::MAX)
        .offer(&local())
        .unwrap();
    assert!(sdp.contains("m=audio 31000 RTP/AVP 0 101\r\n"), "{sdp}");
    assert!(sdp.contains("profile-level-id=42801F;"), "{sdp}");
    assert!(sdp.len() < 900);
}

#[test]
fn the_answer_to_a_late_offer_decides_mode_numbers_and_direction() {
    let accept = |sections: &[&str]| {
        let mut call = call();
        call.offer(&local()).unwrap();
        let got = call.accept_answer(&from_phone(sections));
        if let Ok(got) = &got {
            assert_eq!(call.current(), got);
        }
        got
    };
    let mode_0 = "m=video 4002 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
        a=fmtp:96 profile-level-id=42e01f;sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA==\n\
        a=rtcp-fb:* nack pli\na=sendonly\n";
    let got = accept(&[
        "m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n",
        mode_0,
    ]);
    let got = got.unwrap();
    let (audio, video) = (got.audio.unwrap(), got.video.unwrap());
    assert_eq!(
        (audio.codec, audio.telephone_event),
        (PlannedCodec::Pcmu, Some(101))
    );
    assert!(audio.send && audio.receive && !video.send && video.receive);
    assert_eq!(video.remote_rtp, addr("198.51.100.9:4002"));
    assert!(video.feedback.pli && !video.feedback.fir);
    let PlannedCodec::H264 {
        packetization_mode: 0,
        sprop,
        ..
    } = video.codec
    else {
        panic!()
    };
    assert_eq!(sprop.len(), 2);

    // An answer that renumbers: we receive by our number and send by theirs.
    let renumbered = VIDEO.replace("97", "120");
    let video = accept(&[AUDIO, &renumbered]).unwrap().video.unwrap();
    assert_eq!((video.payload_type, video.send_payload_type), (97, 120));
    // A number that was offered needs neither rtpmap nor fmtp.
    let video = accept(&[AUDIO, "m=video 4002 RTP/AVP 97\n"])
        .unwrap()
        .video
        .unwrap();
    assert!(matches!(
        video.codec,
        PlannedCodec::H264 {
            packetization_mode: 1,
            ..
        }
    ));

    let held = accept(&[AUDIO, "a=recvonly\n", NO_VIDEO]).unwrap();
    assert_eq!((flow(&held.audio), held.video), ((true, false), None));
    let short = accept(&[AUDIO]).unwrap();
    assert_eq!(short.refused[0].reason, LineRefusal::Disabled);
    let foreign = "m=audio 4000 RTP/AVP 9\n";
    assert_eq!(
        accept(&[foreign, NO_VIDEO]),
        Err(Refusal::NothingUsable(LineRefusal::NotOffered))
    );
    assert_eq!(
        accept(&[]),
        Err(Refusal::NothingUsable(LineRefusal::Disabled))
    );
    let swapped = accept(&[VIDEO, AUDIO]);
    assert_eq!(swapped, Err(Refusal::NothingUsable(LineRefusal::MediaKind)));
}

#[test]
fn an_answer_needs_an_offer() {
    let answer = from_phone(&[AUDIO]);
    let mut call = call();
    assert_eq!(call.accept_answer(&answer), Err(Refusal::NoOffer));
    call.offer(&local()).unwrap();
    call.accept_answer(&answer).unwrap();
    assert_eq!(call.accept_answer(&answer), Err(Refusal::NoOffer));
}

#[test]
fn a_later_offer_of_ours_keeps_lines_and_numbers() {
    let mut call = call();
    let video = VIDEO
        .replace("97", "96")
        .replace("m=video 4002 RTP/AVP 96", "m=video 4002 RTP/AVPF 96");
    let events = "m=audio 4000 RTP/AVP 8 97\na=rtpmap:97 telephone-event/8000\n";
    call.answer(&from_phone(&[BFCP, &video, events]), &local())
        .unwrap();
    let sdp = call.offer(&local()).unwrap();
    let m_lines: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    // 96 means mode 1 in this session, so mode 0 gets another number.
    assert_eq!(
        m_lines,
        [
            "m=application 0 UDP/BFCP *",
            "m=video 31002 RTP/AVPF 96 97 98",
            "m=audio 31000 RTP/AVP 8 0 100 99 97 102",
        ]
    );
    assert!(sdp.contains("a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n"));
    assert_eq!(version(&sdp), 2);
    let got = call.accept_answer(&from_phone(&[
        "m=application 0 UDP/BFCP *\n",
        &video,
        events,
    ]));
    let got = got.unwrap();
    assert_eq!((got.video.unwrap().line, got.audio.unwrap().line), (1, 2));
}

#[test]
fn a_later_offer_of_ours_may_add_a_line() {
    let mut call = call();
    call.answer(
        &from_phone(&[AUDIO]),
        &LocalMedia {
            video_port: None,
            ..local()
        },
    )
    .unwrap();
    let sdp = call.offer(&local()).unwrap();
    assert_eq!(
        lines(&sdp)
            .iter()
            .map(|(port, _)| *port)
            .collect::<Vec<_>>(),
        [31_000, 31_002]
    );
    let nothing = LocalMedia {
        audio_port: None,
        video_port: None,
        ..local()
    };
    assert_eq!(
        call.offer(&nothing),
        Err(Refusal::NothingUsable(LineRefusal::NoLocalPort))
    );
}

#[test]
fn hostile_answers_to_a_late_offer_do_no_harm() {
    let mut rng = trunkcast::base::rng::Rng::from_number(11);
    let good = format!("v=0\nc=IN IP4 198.51.100.9\n{AUDIO}{VIDEO}").into_bytes();
    let mut accepted = 0;
    for round in 0..2_000 {
        let mut body = good.clone();
        if round < good.len() {
            body.truncate(round);
        } else {
            for _ in 0..3 {
                let at = rng.below(body.len() as u32) as usize;
                body[at] = rng.u32() as u8;
            }
        }
        let Ok(answer) = SessionDescription::parse(&body) else {
            continue;
        };
        let mut call = call();
        call.offer(&local()).unwrap();
        accepted += usize::from(call.accept_answer(&answer).is_ok());
    }
    assert!(accepted > 500, "{accepted} accepted");
}

#[test]
fn baresip_takes_the_late_offer_in_the_mode_it_has() {
    for (name, mode, number) in [("baresip-h264", 0, 96), ("baresip-full", 1, 97)] {
        let path = format!(
            "{}/tests/data/sdp/{name}.late-answer.sdp",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut call = call();
        call.offer(&local()).unwrap();
        let answer = SessionDescription::parse(&std::fs::read(path).unwrap()).unwrap();
        // It answers from loopback and in IPv4, as we offered.
        let got = call.accept_answer(&answer).unwrap();
        let (audio, video) = (got.audio.unwrap(), got.video.unwrap());
        assert_eq!(
            (audio.codec, audio.telephone_event),
            (PlannedCodec::Pcma, Some(101))
        );
        assert_eq!(
            (video.payload_type, video.send_payload_type),
            (number, number)
        );
        assert!(
            matches!(video.codec, PlannedCodec::H264 { packetization_mode, .. }
            if packetization_mode == mode)
        );
        assert!(video.receive && !video.send && audio.send && audio.receive);
        assert!(video.feedback.pli);
    }
}

#[test]
fn a_later_offer_of_ours_gives_no_number_of_theirs_another_meaning() {
    let mut call = call();
    let video = "m=video 4002 RTP/AVP 96 99\na=rtpmap:96 VP8/90000\na=rtpmap:99 H264/90000\n";
    let audio = "m=audio 4000 RTP/AVP 8 101\na=rtpmap:101 opus/48000/2\n";
    call.answer(&from_phone(&[audio, video]), &local()).unwrap();
    let sdp = call.offer(&local()).unwrap();
    // 99 is H.264 in mode 0; 96 is VP8 for them, 101 is Opus.
    assert!(sdp.contains("m=video 31002 RTP/AVP 99 97 98\r\n"), "{sdp}");
    assert!(
        sdp.contains("m=audio 31000 RTP/AVP 8 0 100 99 96 102\r\n"),
        "{sdp}"
    );
}
