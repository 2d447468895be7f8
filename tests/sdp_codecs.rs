//! Which codec a call gets: by the offer, the trunk and what is known of the sink; and what is said
//! when it gets none.

use std::rc::Rc;

use trunkcast::base::codec::{Codec, CodecSet};
use trunkcast::base::sink::SinkView;
use trunkcast::sdp::{
    Answer, CodecPlan, LineRefusal, LocalMedia, MediaPlan, OfferAnswer, PlannedCodec, Refusal,
    SrtpTerms, wanted,
};
use trunkcast::wire::aac::AacPacking;
use trunkcast::wire::sdp::SessionDescription;

const TAKES_ALL: SinkView = SinkView {
    takes: CodecSet::ALL,
    refuses: CodecSet::NONE,
};
const REFUSES_G711: SinkView = SinkView {
    takes: CodecSet::NONE,
    refuses: CodecSet::of(&[Codec::Pcma, Codec::Pcmu]),
};
const LEGACY: SinkView = SinkView {
    takes: CodecSet::of(&[Codec::H264, Codec::Aac]),
    refuses: CodecSet::of(&[Codec::Opus, Codec::Vp8]),
};

const EVERY_SOUND: &str = "m=audio 4000 RTP/AVP 0 96 97 98 8 99 100 101 102 103\n\
    a=rtpmap:96 OPUS/48000/2\na=rtpmap:97 Speex/16000\n\
    a=rtpmap:98 MPEG4-Generic/32000/2\n\
    a=fmtp:98 StreamType=5;profile-level-id=41;mode=aac-HBR;config=1290;SizeLength=13;\
    IndexLength=3;IndexDeltaLength=3\n\
    a=rtpmap:99 MP4A-LATM/24000\na=fmtp:99 object=2;profile-level-id=40\n\
    a=rtpmap:100 telephone-event/16000\na=rtpmap:101 telephone-event/8000\n\
    a=rtpmap:102 telephone-event/48000\na=rtpmap:103 telephone-event/32000\n";
const H264: &str = "m=video 4002 RTP/AVP 97\na=rtpmap:97 H264/90000\n\
    a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\n";
const BOTH_PICTURES: &str = "m=video 4002 RTP/AVP 98 97\na=rtpmap:98 VP8/90000\n\
    a=rtpmap:97 H264/90000\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1\n";
const G711: &str = "m=audio 4000 RTP/AVP 0 8\n";

fn local() -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        audio_port: Some(31_000),
        video_port: Some(31_002),
        rtcp_mux: false,
    }
}

fn read(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn from_phone(sections: &[&str]) -> SessionDescription {
    let head = "v=0\no=p 1 1 IN IP4 198.51.100.9\ns=-\nc=IN IP4 198.51.100.9\nt=0 0\n";
    read(&format!("{head}{}", sections.concat()))
}

fn recorded(name: &str) -> SessionDescription {
    let root = env!("CARGO_MANIFEST_DIR");
    let body = std::fs::read(format!("{root}/tests/data/sdp/{name}.offer.sdp")).unwrap();
    SessionDescription::parse(&body).unwrap()
}

fn call(plan: CodecPlan, sink: SinkView) -> OfferAnswer {
    let mut call = OfferAnswer::new(Rc::new(plan), 1);
    call.set_sink(sink);
    call
}

fn plan(codecs: &[&str]) -> CodecPlan {
    CodecPlan::new(Some(codecs), None, &[]).unwrap()
}

fn answer(sink: SinkView, sections: &[&str]) -> Result<Answer, Refusal> {
    call(CodecPlan::default(), sink).answer(&from_phone(sections), &local())
}

fn audio(sink: SinkView, sections: &[&str]) -> MediaPlan {
    answer(sink, sections).unwrap().negotiated.audio.unwrap()
}

fn words(sink: SinkView, sections: &[&str]) -> String {
    answer(sink, sections).unwrap_err().to_string()
}

/// What a line became: encoding, payload type, the `a=fmtp` that the answer has for it.
fn chosen<'a>(plan: Option<&'a MediaPlan>, sdp: &'a str) -> Option<(&'a str, u8, &'a str)> {
    let plan = plan?;
    let section = sdp.split("\r\nm=").nth(plan.line + 1)?;
    let fmtp = section.lines().find_map(|line| {
        let (number, text) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
        (number == plan.payload_type.to_string()).then_some(text)
    });
    Some((plan.codec.name(), plan.payload_type, fmtp.unwrap_or("")))
}

#[test]
fn real_offers_get_the_codec_that_their_sink_suits() {
    const MODE_1: &str = "profile-level-id=42e01f;packetization-mode=1";
    type Line = Option<(&'static str, u8, &'static str)>;
    let table: [(&str, SinkView, Line, Line); 20] = [
        (
            "baresip-vp8",
            SinkView::UNKNOWN,
            Some(("PCMA", 8, "")),
            Some(("H264", 97, "profile-level-id=42e01f;packetization-mode=0")),
        ),
        (
            "baresip-vp8",
            TAKES_ALL,
            Some(("opus", 96, "stereo=1")),
            Some(("VP8", 96, "")),
        ),
        (
            "baresip-vp8",
            REFUSES_G711,
            Some(("opus", 96, "stereo=1")),
            Some(("H264", 97, "profile-level-id=42e01f;packetization-mode=0")),
        ),
        (
            "baresip-opus-vp8",
            SinkView::UNKNOWN,
            Some(("opus", 96, "stereo=1")),
            Some(("VP8", 96, "")),
        ),
        (
            "baresip-full",
            TAKES_ALL,
            Some(("opus", 96, "stereo=1")),
            Some(("H264", 97, "profile-level-id=42e01f;packetization-mode=1")),
        ),
        (
            "linphone",
            SinkView::UNKNOWN,
            Some(("speex", 97, "")),
            Some(("H264", 97, "profile-level-id=42801F;packetization-mode=1")),
        ),
        (
            "linphone",
            TAKES_ALL,
            Some(("opus", 96, "")),
            Some(("H264", 97, "profile-level-id=42801F;packetization-mode=1")),
        ),
        (
            "linphone-desktop",
            TAKES_ALL,
            Some(("opus", 96, "")),
            Some(("VP8", 96, "")),
        ),
        (
            "linphone-desktop",
            LEGACY,
            Some(("speex", 97, "")),
            Some(("H264", 97, "profile-level-id=42801F;packetization-mode=1")),
        ),
        (
            "linphone-vp8-only",
            SinkView::UNKNOWN,
            Some(("opus", 96, "")),
            Some(("VP8", 96, "")),
        ),
        (
            "browser-by-pbx",
            SinkView::UNKNOWN,
            Some(("PCMU", 0, "")),
            Some((
                "H264",
                102,
                "profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1",
            )),
        ),
        (
            "browser-by-pbx",
            TAKES_ALL,
            Some(("opus", 111, "")),
            Some(("VP8", 96, "")),
        ),
        (
            "asterisk-video",
            SinkView::UNKNOWN,
            Some(("PCMA", 8, "")),
            Some((
                "H264",
                99,
                "profile-level-id=42E01F;level-asymmetry-allowed=1;packetization-mode=1",
            )),
        ),
        (
            "asterisk-video",
            TAKES_ALL,
            Some(("opus", 107, "")),
            Some(("VP8", 100, "")),
        ),
        (
            "freeswitch",
            TAKES_ALL,
            Some(("opus", 102, "")),
            Some(("VP8", 103, "")),
        ),
        (
            "freeswitch",
            LEGACY,
            Some(("PCMU", 0, "")),
            Some(("H264", 104, MODE_1)),
        ),
        (
            "gstreamer-aac",
            LEGACY,
            Some((
                "mpeg4-generic",
                96,
                "streamtype=5;profile-level-id=2;mode=AAC-hbr;config=1210;sizelength=13;\
                 indexlength=3;indexdeltalength=3",
            )),
            None,
        ),
        (
            "speex-gateway",
            SinkView::UNKNOWN,
            Some(("speex", 97, "")),
            None,
        ),
        (
            "microsip",
            REFUSES_G711,
            None,
            Some(("H264", 97, "profile-level-id=42e01e;packetization-mode=1")),
        ),
        // AAC-LD, G.722 and G.722.1 are of no use, so the room's sound is left out.
        (
            "video-room",
            REFUSES_G711,
            None,
            Some((
                "H264",
                98,
                "profile-level-id=640028;level-asymmetry-allowed=1;packetization-mode=1",
            )),
        ),
    ];
    for (name, sink, audio, video) in table {
        let got = call(CodecPlan::default(), sink).answer(&recorded(name), &local());
        let Answer { sdp, negotiated } = got.unwrap();
        assert_eq!(
            chosen(negotiated.audio.as_ref(), &sdp),
            audio,
            "{name} {sink:?}"
        );
        assert_eq!(
            chosen(negotiated.video.as_ref(), &sdp),
            video,
            "{name} {sink:?}"
        );
    }
}

#[test]
fn without_knowledge_the_codec_is_one_that_every_player_has() {
    let sections = |gone: &str| EVERY_SOUND.replace(gone, "");
    assert_eq!(
        audio(SinkView::UNKNOWN, &[EVERY_SOUND]).codec.name(),
        "mpeg4-generic"
    );
    let fewer = sections("98 8 99 ");
    assert_eq!(audio(SinkView::UNKNOWN, &[&fewer]).codec.name(), "PCMU");
    let fewer = fewer.replace("RTP/AVP 0 ", "RTP/AVP ");
    assert_eq!(audio(SinkView::UNKNOWN, &[&fewer]).codec.name(), "speex");
    let fewer = fewer.replace(" 97 ", " ");
    assert_eq!(audio(SinkView::UNKNOWN, &[&fewer]).codec.name(), "opus");
    let video = answer(SinkView::UNKNOWN, &[BOTH_PICTURES]).unwrap();
    assert_eq!(video.negotiated.video.unwrap().codec.name(), "H264");
}

#[test]
fn what_the_server_takes_comes_before_the_order_of_the_trunk() {
    let opus = SinkView {
        takes: CodecSet::of(&[Codec::Opus]),
        refuses: CodecSet::of(&[Codec::Aac]),
    };
    let got = |codecs: &[&str], sink: SinkView| {
        let answer = call(plan(codecs), sink).answer(&from_phone(&[EVERY_SOUND]), &local());
        let audio = answer.unwrap().negotiated.audio;
        audio.unwrap().codec.codec()
    };
    assert_eq!(got(&["pcma", "opus", "aac"], opus), Codec::Opus);
    assert_eq!(got(&["pcma", "pcmu", "aac"], opus), Codec::Pcma);
    assert_eq!(got(&["speex", "opus", "aac"], TAKES_ALL), Codec::Speex);
    assert_eq!(got(&["pcmu", "aac"], SinkView::UNKNOWN), Codec::Aac);
}

#[test]
fn a_template_prefers_its_codecs_among_those_that_the_sink_suits_equally() {
    let template = "m=audio 1 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n\
                    m=video 1 RTP/AVP 97\na=rtpmap:97 VP8/90000\n";
    let got = |sink: SinkView| {
        let plan = CodecPlan::new(None, Some(template), &[]).unwrap();
        let offer = from_phone(&[EVERY_SOUND, BOTH_PICTURES]);
        let got = call(plan, sink)
            .answer(&offer, &local())
            .unwrap()
            .negotiated;
        (
            got.audio.unwrap().codec.codec(),
            got.video.unwrap().codec.codec(),
        )
    };
    assert_eq!(got(TAKES_ALL), (Codec::Opus, Codec::Vp8));
    assert_eq!(got(LEGACY), (Codec::Aac, Codec::H264));
    assert_eq!(got(SinkView::UNKNOWN), (Codec::Aac, Codec::H264));
}

#[test]
fn a_line_whose_codecs_the_server_refuses_is_left_out_and_the_call_goes_on() {
    let Answer { sdp, negotiated } = answer(REFUSES_G711, &[G711, H264]).unwrap();
    assert!(sdp.contains("\r\nm=audio 0 RTP/AVP 0 8\r\n"), "{sdp}");
    assert!(negotiated.audio.is_none() && negotiated.video.is_some());
    let left_out: Vec<_> = negotiated.left_out().map(ToString::to_string).collect();
    assert_eq!(left_out, ["audio left out: the server refused G.711"]);
    let wanted = wanted(
        &from_phone(&[G711, H264]),
        &CodecPlan::default(),
        REFUSES_G711,
        SrtpTerms::default(),
    );
    assert!(
        !wanted.audio && wanted.video,
        "no port for what is left out"
    );

    let refusal = answer(REFUSES_G711, &[G711]).unwrap_err();
    assert_eq!(refusal.to_string(), "the server refused G.711");
    assert_eq!((refusal.status(), refusal.warning_code()), (488, 305));
    // One law offered, both refused.
    assert_eq!(
        words(REFUSES_G711, &["m=audio 4000 RTP/AVP 8\n"]),
        "the server refused G.711"
    );
    let all = SinkView {
        takes: CodecSet::NONE,
        refuses: CodecSet::of(&[Codec::H264, Codec::Pcmu]),
    };
    assert_eq!(
        words(all, &["m=audio 4000 RTP/AVP 0\n", H264]),
        "the server refused H.264 and G.711 mu-law"
    );
}

#[test]
fn a_spare_line_is_not_said_to_be_left_out() {
    let answer = answer(
        SinkView::UNKNOWN,
        &[G711, H264, H264, "m=text 6000 RTP/AVP 98\n"],
    );
    assert_eq!(answer.unwrap().negotiated.left_out().count(), 0);
    let got = answer_to_disabled_video();
    assert_eq!(got.negotiated.left_out().count(), 0);
}

fn answer_to_disabled_video() -> Answer {
    let off = "m=video 0 RTP/AVP 97\na=inactive\n";
    let got = answer(SinkView::UNKNOWN, &[G711, off]).unwrap();
    assert!(got.sdp.ends_with("m=video 0 RTP/AVP 97\r\n"), "{}", got.sdp);
    got
}

#[test]
fn a_refusal_names_what_was_offered() {
    let line = |formats: &str| format!("m=audio 4000 RTP/AVP {formats}\n");
    let table = [
        (
            line("9 18 13 101\na=rtpmap:101 telephone-event/8000"),
            "offered only G.722 and G.729; none of them can be relayed",
        ),
        (
            line("3 97\na=rtpmap:97 iLBC/8000"),
            "offered only GSM and iLBC; none of them can be relayed",
        ),
        (
            line("96\na=rtpmap:96 multiopus/48000/6"),
            "offered only Opus of many channels; none of them can be relayed",
        ),
        (
            line("96 97\na=rtpmap:96 opus/48000/1\na=rtpmap:97 opus/48000"),
            "offered only Opus with a number of channels other than 2; none of them can be relayed",
        ),
        (
            line("96 97\na=rtpmap:96 speex/8000\na=rtpmap:97 speex/32000"),
            "offered only Speex at another rate than 16 kHz; none of them can be relayed",
        ),
        (
            line("96\na=rtpmap:96 PCMA/16000"),
            "offered only G.711 in an unusual form; none of them can be relayed",
        ),
        (
            line("101\na=rtpmap:101 telephone-event/8000"),
            "no codec offered",
        ),
        (
            line("96\na=rtpmap:96 mpeg4-generic/48000/2\na=fmtp:96 mode=AAC-lbr;config=1190"),
            "of mpeg4-generic only the mode AAC-hbr can be relayed",
        ),
        (
            line(
                "96\na=rtpmap:96 mpeg4-generic/48000/2\n\
                 a=fmtp:96 mode=AAC-hbr;config=1190;maxDisplacement=2048",
            ),
            "interleaved AAC cannot be relayed",
        ),
        (
            line("96\na=rtpmap:96 mpeg4-generic/48000/6\na=fmtp:96 mode=AAC-hbr;config=11b0"),
            "AAC of channel configuration 6 cannot be relayed, only mono and stereo",
        ),
        (
            "m=video 4000 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2\n"
                .to_owned(),
            "offered only H.264 in an unusual form; none of them can be relayed",
        ),
        (
            "m=video 4000 RTP/AVP 96 97 98\na=rtpmap:96 H264-SVC/90000\na=rtpmap:97 MP4V-ES/90000\n\
             a=rtpmap:98 rtx/90000\na=fmtp:98 apt=96\n"
                .to_owned(),
            "offered only H.264 SVC and MPEG-4 video; none of them can be relayed",
        ),
        (
            "m=audio 4000 RTP/SAVP 0\n".to_owned(),
            "keys of SRTP are taken over TLS only",
        ),
    ];
    for (section, expected) in table {
        assert_eq!(words(SinkView::UNKNOWN, &[&section]), expected, "{section}");
    }
    let limited = call(plan(&["opus", "h264"]), SinkView::UNKNOWN)
        .answer(&from_phone(&[G711]), &local())
        .unwrap_err();
    assert_eq!(limited.to_string(), "the trunk's codecs leave out G.711");
}

#[test]
fn the_two_channels_of_opus_are_those_that_will_be_sent() {
    let opus = |fmtp: &str| {
        let line = format!("m=audio 4000 RTP/AVP 96\n{fmtp}a=rtpmap:96 opus/48000/2\n");
        let got = answer(SinkView::UNKNOWN, &[&line]).unwrap();
        let plan = got.negotiated.audio.as_ref().unwrap();
        assert_eq!(plan.clock_rate, 48_000);
        (
            plan.codec.clone(),
            got.sdp.contains("a=fmtp:96 stereo=1\r\n"),
        )
    };
    let (mono, stereo) = (
        PlannedCodec::Opus { channels: 1 },
        PlannedCodec::Opus { channels: 2 },
    );
    assert_eq!(opus(""), (mono.clone(), false));
    // What they would like to receive says nothing of what they send.
    assert_eq!(opus("a=fmtp:96 stereo=1;usedtx=1\n"), (mono, false));
    assert_eq!(opus("a=fmtp:96 x=y;SPROP-STEREO=1\n"), (stereo, true));
}

#[test]
fn telephone_events_have_the_clock_rate_of_the_codec() {
    let events = |codec: &str, line: &str| {
        let answer = call(plan(&[codec]), SinkView::UNKNOWN)
            .answer(&from_phone(&[line]), &local())
            .unwrap();
        let plan = answer.negotiated.audio.unwrap();
        let number = plan.telephone_event.map(u32::from);
        let said = number.is_none_or(|number| {
            answer
                .sdp
                .contains(&format!("a=rtpmap:{number} telephone-event/"))
                && answer.sdp.contains(&format!("a=fmtp:{number} 0-15\r\n"))
        });
        assert!(said, "{}", answer.sdp);
        (plan.clock_rate, number)
    };
    assert_eq!(events("opus", EVERY_SOUND), (48_000, Some(102)));
    assert_eq!(events("pcma", EVERY_SOUND), (8_000, Some(101)));
    assert_eq!(events("speex", EVERY_SOUND), (16_000, Some(100)));
    assert_eq!(events("aac", EVERY_SOUND), (32_000, Some(103)));
    // Some offer them at 8 kHz beside every codec.
    let narrow = EVERY_SOUND.replace(" 102 103", "");
    assert_eq!(events("opus", &narrow), (48_000, Some(101)));
    let none = EVERY_SOUND.replace("100 101 102 103", "");
    assert_eq!(events("opus", &none), (48_000, None));
}

#[test]
fn latm_is_taken_where_it_says_that_it_is_aac_lc() {
    let line = |fmtp: &str| {
        format!("m=audio 4000 RTP/AVP 96 0\na=rtpmap:96 MP4A-LATM/90000\na=fmtp:96 {fmtp}\n")
    };
    let got = audio(SinkView::UNKNOWN, &[&line("cpresent=1;object=2")]);
    let PlannedCodec::Aac(AacPacking::Latm(latm)) = got.codec else {
        panic!("not LATM");
    };
    assert!(latm.in_band && latm.clock_rate == 90_000);
    for other in [
        "object=23",
        "profile-level-id=25",
        "cpresent=0;object=2",
        "x",
    ] {
        let got = audio(SinkView::UNKNOWN, &[&line(other)]);
        assert_eq!(got.codec, PlannedCodec::Pcmu, "{other}");
    }
}

#[test]
fn feedback_is_answered_as_far_as_it_was_offered() {
    let lines = |proto: &str, feedback: &str| {
        let offer = format!("{}{feedback}", H264.replace("RTP/AVP", proto));
        let got = answer(SinkView::UNKNOWN, &[&offer]).unwrap();
        let lines: Vec<_> = got.sdp.lines().map(str::to_owned).collect();
        let lines = lines
            .into_iter()
            .filter(|line| line.starts_with("a=rtcp-fb"));
        (
            lines.collect::<Vec<_>>(),
            got.negotiated.video.unwrap().feedback,
        )
    };
    for proto in ["RTP/AVP", "RTP/AVPF"] {
        let (said, feedback) = lines(
            proto,
            "a=rtcp-fb:* nack\na=rtcp-fb:97 NACK PLI\na=rtcp-fb:97 ccm tmmbr smaxpr=120\n\
             a=rtcp-fb:97 goog-remb\na=rtcp-fb:97 transport-cc\na=rtcp-fb:98 ccm fir\n\
             a=rtcp-fb:97 ack rpsi\na=rtcp-fb:* trr-int 100\n",
        );
        let expected = [
            "a=rtcp-fb:97 nack pli",
            "a=rtcp-fb:* nack",
            "a=rtcp-fb:97 ccm tmmbr",
            "a=rtcp-fb:97 goog-remb",
        ];
        assert_eq!(said, expected);
        assert!(feedback.nack && feedback.pli && feedback.tmmbr && feedback.remb);
        assert!(!feedback.fir, "offered for another payload type");
        assert!(lines(proto, "").0.is_empty());
    }
}

#[test]
fn both_sides_wishes_for_a_bitrate_are_known() {
    let template = "m=audio 1 RTP/AVP 8\nb=TIAS:64000\nm=video 1 RTP/AVP 97\n\
                    a=rtpmap:97 H264/90000\n";
    let params = ["b=AS:2000", "b=RS:50"];
    let plan = CodecPlan::new(None, Some(template), &params).unwrap();
    let video = format!("{H264}b=AS:512\n");
    let mut call = call(plan, SinkView::UNKNOWN);
    let got = call.answer(&from_phone(&[G711, &video]), &local()).unwrap();
    assert!(got.sdp.contains("\r\nb=AS:2000\r\n"), "{}", got.sdp);
    let rates = |plan: Option<MediaPlan>| {
        let plan = plan.unwrap();
        (plan.bitrate_asked, plan.bitrate_theirs)
    };
    assert_eq!(rates(got.negotiated.audio), (Some(64_000), None));
    assert_eq!(
        rates(got.negotiated.video),
        (Some(2_000_000), Some(512_000))
    );
    let session = "v=0\nc=IN IP4 198.51.100.9\nb=AS:768\nb=TIAS:700000\n";
    call.offer(&local()).unwrap();
    let got = call
        .accept_answer(&read(&format!("{session}{G711}{H264}")))
        .unwrap();
    assert_eq!(rates(got.video), (Some(2_000_000), Some(700_000)));
    let none = audio(SinkView::UNKNOWN, &[G711]);
    assert_eq!((none.bitrate_asked, none.bitrate_theirs), (None, None));
}

/// An answer to our offer with one codec in each line, by name, with these payload types.
fn late(codecs: &[&str], sound: &str, picture: &str) -> Result<(MediaPlan, MediaPlan), Refusal> {
    let mut call = call(plan(codecs), SinkView::UNKNOWN);
    call.offer(&local()).unwrap();
    let got = call.accept_answer(&from_phone(&[sound, picture]))?;
    Ok((got.audio.unwrap(), got.video.unwrap()))
}

#[test]
fn an_answer_to_our_offer_may_take_any_codec_and_renumber_it() {
    let all = ["h264", "vp8", "opus", "aac", "speex", "pcma", "pcmu"];
    let vp8 = "m=video 4002 RTP/AVP 98\na=rtpmap:98 VP8/90000\n";
    let table = [
        (
            "96\na=rtpmap:96 mpeg4-generic/48000/2",
            "mpeg4-generic",
            96,
            96,
        ),
        (
            "110\na=rtpmap:110 MPEG4-GENERIC/48000\na=fmtp:110 mode=AAC-hbr;config=1188",
            "mpeg4-generic",
            96,
            110,
        ),
        ("8", "PCMA", 8, 8),
        ("0", "PCMU", 0, 0),
        ("100", "speex", 100, 100),
        ("97\na=rtpmap:97 SPEEX/16000", "speex", 100, 97),
        ("99\na=rtpmap:99 opus/48000/2", "opus", 99, 99),
        ("120\na=rtpmap:120 OPUS/48000/2", "opus", 99, 120),
        ("9 120\na=rtpmap:120 OPUS/48000/2", "opus", 99, 120),
    ];
    for (formats, name, ours, theirs) in table {
        let sound = format!("m=audio 4000 RTP/AVP {formats}\n");
        let (audio, video) = late(&all, &sound, vp8).unwrap();
        let got = (
            audio.codec.name(),
            audio.payload_type,
            audio.send_payload_type,
        );
        assert_eq!(got, (name, ours, theirs), "{formats}");
        assert_eq!((video.codec, video.payload_type), (PlannedCodec::Vp8, 98));
    }
    let sound = "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 mpeg4-generic/48000/2\n\
                 a=fmtp:96 mode=AAC-hbr;config=1188\na=rtpmap:101 telephone-event/48000\n";
    let (audio, video) = late(&all, sound, &vp8.replace("98", "111")).unwrap();
    assert_eq!((video.payload_type, video.send_payload_type), (98, 111));
    // They say what they send; the events are ours at that rate.
    let PlannedCodec::Aac(AacPacking::Generic(aac)) = audio.codec else {
        panic!("not AAC");
    };
    assert_eq!((aac.config.channels, audio.telephone_event), (1, Some(102)));
    for foreign in [
        "m=audio 4000 RTP/AVP 18\n",
        "m=audio 4000 RTP/AVP 96\na=rtpmap:96 MP4A-LATM/48000\na=fmtp:96 object=2\n",
        "m=audio 4000 RTP/AVP 96\na=rtpmap:96 mpeg4-generic/44100/2\na=fmtp:96 mode=AAC-hbr;config=1210\n",
        "m=audio 4000 RTP/AVP 96\na=rtpmap:96 mpeg4-generic/48000/2\na=fmtp:96 mode=AAC-lbr\n",
    ] {
        let mut call = call(plan(&all), SinkView::UNKNOWN);
        call.offer(&local()).unwrap();
        let got = call.accept_answer(&from_phone(&[foreign]));
        assert_eq!(
            got,
            Err(Refusal::NothingUsable(LineRefusal::NotOffered)),
            "{foreign}"
        );
    }
}

#[test]
fn our_offer_has_what_the_sink_takes_first_and_nothing_that_it_refuses() {
    let m_lines = |sink: SinkView| {
        let sdp = call(CodecPlan::default(), sink).offer(&local()).unwrap();
        let of = |kind: &str| {
            let section = sdp
                .split("\r\nm=")
                .find(|section| section.starts_with(kind));
            let maps = section.unwrap_or("").lines();
            let maps = maps.filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '));
            let names = maps.map(|(_, map)| map.split('/').next().unwrap().to_owned());
            names
                .filter(|name| name != "telephone-event")
                .collect::<Vec<_>>()
                .join(" ")
        };
        (of("audio"), of("video"))
    };
    let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    // AAC is long, and left out where the trunk does not name it and G.711 is there.
    assert_eq!(
        m_lines(TAKES_ALL),
        owned("PCMA PCMU speex opus", "H264 H264 VP8")
    );
    assert_eq!(m_lines(LEGACY), owned("PCMA PCMU speex", "H264 H264"));
    assert_eq!(
        m_lines(REFUSES_G711),
        owned("mpeg4-generic speex opus", "H264 H264 VP8")
    );
    let enhanced = SinkView {
        takes: CodecSet::of(&[Codec::Opus]),
        refuses: CodecSet::of(&[Codec::Aac, Codec::H264, Codec::Vp8]),
    };
    assert_eq!(m_lines(enhanced), owned("opus PCMA PCMU speex", ""));
    let nothing = SinkView {
        takes: CodecSet::NONE,
        refuses: CodecSet::ALL,
    };
    let refusal = call(plan(&["pcma"]), nothing).offer(&local()).unwrap_err();
    assert_eq!(refusal.to_string(), "the server refused G.711 A-law");
}

#[test]
fn a_codec_in_use_stays_in_use_whatever_is_learned_of_the_sink() {
    let mut call = call(CodecPlan::default(), SinkView::UNKNOWN);
    let mut codecs = |sink: SinkView, sections: &[&str]| {
        call.set_sink(sink);
        let got = call
            .answer(&from_phone(sections), &local())
            .unwrap()
            .negotiated;
        let of = |plan: Option<MediaPlan>| plan.map(|plan| (plan.codec.codec(), plan.payload_type));
        (of(got.audio), of(got.video))
    };
    let begun = codecs(SinkView::UNKNOWN, &[EVERY_SOUND, BOTH_PICTURES]);
    assert_eq!(begun, (Some((Codec::Aac, 98)), Some((Codec::H264, 97))));
    // Less is offered: the codec changes.
    let without_aac = EVERY_SOUND.replace("98 8 99 ", "8 ");
    let fewer = [without_aac.as_str(), BOTH_PICTURES];
    assert_eq!(codecs(SinkView::UNKNOWN, &fewer).0, Some((Codec::Pcmu, 0)));
    // More is offered, in another order, to a sink that takes all: it does not.
    let reordered = EVERY_SOUND.replace("RTP/AVP 0 96 97", "RTP/AVP 97 96 0");
    let more = [reordered.as_str(), BOTH_PICTURES];
    assert_eq!(
        codecs(TAKES_ALL, &more),
        (Some((Codec::Pcmu, 0)), Some((Codec::H264, 97)))
    );
    // It is refused by now.
    let refused = SinkView {
        refuses: CodecSet::of(&[Codec::Pcmu, Codec::H264, Codec::Aac]),
        ..TAKES_ALL
    };
    assert_eq!(
        codecs(refused, &more),
        (Some((Codec::Speex, 97)), Some((Codec::Vp8, 98)))
    );
    // Under another number it is the same codec.
    let renumbered = EVERY_SOUND
        .replace(" 97 ", " 120 ")
        .replace(":97 ", ":120 ");
    assert_eq!(
        codecs(TAKES_ALL, &[&renumbered, BOTH_PICTURES]),
        (Some((Codec::Speex, 120)), Some((Codec::Vp8, 98)))
    );
    // Video goes, and comes again as if it were new.
    let off = "m=video 0 RTP/AVP 97\na=inactive\n";
    assert_eq!(codecs(TAKES_ALL, &[&renumbered, off]).1, None);
    assert_eq!(
        codecs(SinkView::UNKNOWN, &[&renumbered, BOTH_PICTURES]).1,
        Some((Codec::H264, 97))
    );
}

#[test]
fn the_h264_in_use_keeps_its_mode_and_profile() {
    let offer = |numbers: &str| {
        format!(
            "m=video 4002 RTP/AVP {numbers}\na=rtpmap:96 H264/90000\na=fmtp:96 \
             profile-level-id=42e01f\na=rtpmap:97 H264/90000\na=fmtp:97 \
             profile-level-id=42e01f;packetization-mode=1\na=rtpmap:98 H264/90000\na=fmtp:98 \
             profile-level-id=640028;packetization-mode=1\n"
        )
    };
    let mut call = call(CodecPlan::default(), SinkView::UNKNOWN);
    let mut number = |numbers: &str| {
        let answer = call.answer(&from_phone(&[&offer(numbers)]), &local());
        answer.unwrap().negotiated.video.unwrap().payload_type
    };
    assert_eq!(number("96"), 96);
    assert_eq!(number("98 97 96"), 96);
    assert_eq!(number("98 97"), 98);
    assert_eq!(number("97 98"), 98);
    assert_eq!(number("97"), 97);
}

#[test]
fn video_declined_at_first_may_come_later() {
    let mut call = call(CodecPlan::default(), SinkView::UNKNOWN);
    let first = call.answer(&from_phone(&[G711, "m=video 4002 RTP/AVP 34\n"]), &local());
    let first = first.unwrap().negotiated;
    let left_out: Vec<_> = first.left_out().map(ToString::to_string).collect();
    let expected = "video left out: offered only H.263; none of them can be relayed";
    assert_eq!(left_out, [expected]);
    let second = call.answer(&from_phone(&[G711, H264]), &local()).unwrap();
    assert_eq!(second.negotiated.video.unwrap().line, 1);
    assert_eq!(second.negotiated.audio, first.audio);
}

#[test]
fn offers_of_ours_keep_their_numbers_however_many_there_are() {
    let all = ["aac", "pcma", "pcmu", "speex", "opus", "h264", "vp8"];
    let mut call = call(plan(&all), SinkView::UNKNOWN);
    let first = call.offer(&local()).unwrap();
    let m_lines = |sdp: &str| {
        let lines = sdp.lines().filter(|line| line.starts_with("m="));
        let mut numbers: Vec<Vec<_>> = lines
            .map(|line| line.split(' ').skip(3).map(str::to_owned).collect())
            .collect();
        numbers.iter_mut().for_each(|numbers| numbers.sort());
        numbers
    };
    for round in 0..40 {
        let sound = ["8", "0", "96", "99\na=rtpmap:99 opus/48000/2"][round % 4];
        let answer = from_phone(&[&format!("m=audio 4000 RTP/AVP {sound}\n"), H264]);
        let got = call.accept_answer(&answer).unwrap();
        let audio = got.audio.unwrap();
        let sdp = call.offer(&local()).unwrap();
        assert_eq!(m_lines(&sdp), m_lines(&first), "round {round}");
        // What is in use stands first.
        let begin = format!("m=audio 31000 RTP/AVP {} ", audio.payload_type);
        assert!(sdp.contains(&begin), "{sdp}");
    }
}

#[test]
fn aac_in_use_is_offered_as_it_was_agreed() {
    let mut call = call(CodecPlan::default(), SinkView::UNKNOWN);
    let got = call.answer(&recorded("gstreamer-aac"), &local()).unwrap();
    let aac = got.negotiated.audio.unwrap();
    assert_eq!(aac.clock_rate, 44_100);
    let sdp = call.offer(&local()).unwrap();
    assert!(
        sdp.contains("a=rtpmap:96 mpeg4-generic/44100/2\r\n"),
        "{sdp}"
    );
    assert!(sdp.contains(";config=1210;"), "{sdp}");
    let got = call.accept_answer(&from_phone(&["m=audio 4000 RTP/AVP 96\n"]));
    assert_eq!(got.unwrap().audio.unwrap().codec, aac.codec);
}

#[test]
fn one_number_in_two_lines_means_what_each_line_says() {
    let sound = "m=audio 4000 RTP/AVP 96\na=fmtp:96 stereo=1;sprop-stereo=1\n\
                 a=rtpmap:96 opus/48000/2\n";
    let picture = "m=video 4002 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n\
                   a=rtpmap:96 H264/90000\n";
    let got = answer(SinkView::UNKNOWN, &[sound, picture]).unwrap();
    let negotiated = got.negotiated;
    assert_eq!(
        negotiated.audio.unwrap().codec,
        PlannedCodec::Opus { channels: 2 }
    );
    // A fmtp before its rtpmap counts.
    assert!(matches!(
        negotiated.video.unwrap().codec,
        PlannedCodec::H264 {
            packetization_mode: 1,
            ..
        }
    ));
    // Nothing said of a dynamic number is nothing known of it.
    assert!(answer(SinkView::UNKNOWN, &["m=audio 4000 RTP/AVP 96\n"]).is_err());
}
