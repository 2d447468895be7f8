//! Offers of real programs, and the answers that they get, whole.
//!
//! `tests/data/sdp/<name>.offer.sdp` is an offer; beside it stands `<name>.answer.sdp`, or
//! `<name>.refusal` with status, warning code and text. With `UPDATE_SDP_ANSWERS` set the test
//! writes them anew: read the difference before keeping it. Where `<name>.later-offer.sdp` is found,
//! it comes in the same call, and `<name>.later-answer.sdp` is its answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use trunkcast::base::codec::{Codec, CodecSet};
use trunkcast::base::rng::Rng;
use trunkcast::base::sink::SinkView;
use trunkcast::sdp::{
    Answer, CodecPlan, LocalMedia, OfferAnswer, PlannedCodec, Refusal, SrtpTerms, wanted,
};
use trunkcast::wire::sdp::SessionDescription;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp")
}

fn offers() -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path
                .file_name()?
                .to_str()?
                .strip_suffix(".offer.sdp")?
                .to_owned();
            Some((name, fs::read(&path).unwrap()))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 12, "the offers are not where they should be");
    found
}

fn local(ipv6: bool) -> LocalMedia {
    let address = if ipv6 { "2001:db8::1" } else { "192.0.2.1" };
    LocalMedia {
        address: address.parse().unwrap(),
        audio_port: Some(31_000),
        video_port: Some(31_002),
        rtcp_mux: true,
    }
}

fn answer(body: &[u8]) -> Result<Answer, Refusal> {
    begin(body, SinkView::UNKNOWN).map(|(_, _, answer)| answer)
}

/// A call whose first offer was answered.
fn begin(body: &[u8], sink: SinkView) -> Result<(OfferAnswer, LocalMedia, Answer), Refusal> {
    let offer = SessionDescription::parse(body)?;
    let plan = Rc::new(CodecPlan::default());
    let local = local(wanted(&offer, &plan, sink, SrtpTerms::default()).ipv6);
    let mut call = OfferAnswer::new(plan, 4_711);
    call.set_sink(sink);
    let answer = call.answer(&offer, &local)?;
    check(&offer, &answer, sink);
    Ok((call, local, answer))
}

/// The answer to a later offer in the same call.
fn go_on(
    call: &mut OfferAnswer,
    body: &[u8],
    local: &LocalMedia,
    sink: SinkView,
) -> Result<Answer, Refusal> {
    let offer = SessionDescription::parse(body)?;
    call.set_sink(sink);
    let answer = call.answer(&offer, local)?;
    check(&offer, &answer, sink);
    Ok(answer)
}

/// Sinks of all sorts.
fn sinks() -> [SinkView; 4] {
    let view = |takes: &[Codec], refuses: &[Codec]| SinkView {
        takes: CodecSet::of(takes),
        refuses: CodecSet::of(refuses),
    };
    [
        SinkView::UNKNOWN,
        view(&Codec::ALL, &[]),
        view(&[], &[Codec::Pcma, Codec::Pcmu, Codec::H264]),
        view(
            &[Codec::Speex],
            &[Codec::Opus, Codec::Vp8, Codec::Aac, Codec::Pcmu],
        ),
    ]
}

/// What holds for every answer.
fn check(offer: &SessionDescription, answer: &Answer, sink: SinkView) {
    assert!(answer.sdp.ends_with("\r\n") && !answer.sdp.replace("\r\n", "").contains(['\r', '\n']));
    let read = SessionDescription::parse(answer.sdp.as_bytes()).unwrap();
    assert_eq!(
        read.media().count(),
        offer.media().count(),
        "one line for each offered"
    );
    for (mine, theirs) in read.media().zip(offer.media()) {
        assert_eq!(mine.kind(), theirs.kind());
        assert_eq!(mine.section().proto, theirs.section().proto);
        assert!(
            theirs.port() != 0 || mine.port() == 0,
            "a line out of use stays out of use"
        );
    }
    for plan in [&answer.negotiated.audio, &answer.negotiated.video]
        .into_iter()
        .flatten()
    {
        let codec = plan.codec.codec();
        assert!(!sink.refuses.contains(codec), "{codec} was refused");
        let (mine, theirs) = (
            read.media().nth(plan.line).unwrap(),
            offer.media().nth(plan.line).unwrap(),
        );
        // One codec, of those offered, and telephone-event beside it.
        let numbers: Vec<_> = mine.payload_types().collect();
        assert_eq!(numbers[0], plan.payload_type);
        assert_eq!(numbers.get(1).copied(), plan.telephone_event);
        assert!(numbers.len() <= 2);
        for number in numbers {
            assert!(theirs.payload_types().any(|other| other == number));
        }
    }
    let live = read.media().filter(|line| line.port() != 0).count();
    let plans = [&answer.negotiated.audio, &answer.negotiated.video];
    assert_eq!(live, plans.iter().filter(|plan| plan.is_some()).count());
    assert_eq!(answer.negotiated.refused.len(), read.media().count() - live);
}

#[test]
fn every_offer_gets_its_answer() {
    let update = std::env::var_os("UPDATE_SDP_ANSWERS").is_some();
    for (name, body) in offers() {
        let (file, got) = match answer(&body) {
            Ok(answer) => (format!("{name}.answer.sdp"), answer.sdp),
            Err(refusal) => (
                format!("{name}.refusal"),
                format!(
                    "{} {} {refusal}\n",
                    refusal.status(),
                    refusal.warning_code()
                ),
            ),
        };
        let compare = |file: &str, got: &str| {
            let path = folder().join(file);
            if update {
                fs::write(&path, got).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(got, expected, "{file}");
        };
        compare(&file, &got);
        if let Ok(later) = fs::read(folder().join(format!("{name}.later-offer.sdp"))) {
            let (mut call, local, _) = begin(&body, SinkView::UNKNOWN).unwrap();
            let got = go_on(&mut call, &later, &local, SinkView::UNKNOWN).unwrap();
            compare(&format!("{name}.later-answer.sdp"), &got.sdp);
        }
    }
}

#[test]
fn a_later_offer_of_a_pbx_keeps_the_codecs_in_use() {
    let later = |name: &str, sink: SinkView| {
        let body = |of: &str| fs::read(folder().join(format!("{name}.{of}.sdp"))).unwrap();
        let (mut call, local, first) = begin(&body("offer"), SinkView::UNKNOWN).unwrap();
        let second = go_on(&mut call, &body("later-offer"), &local, sink).unwrap();
        let codecs = |answer: &Answer| {
            let plans = [&answer.negotiated.audio, &answer.negotiated.video];
            plans.map(|plan| {
                plan.as_ref()
                    .map(|plan| (plan.codec.codec(), plan.payload_type))
            })
        };
        (codecs(&first), codecs(&second), second)
    };
    // Media goes to the phone itself now, and its order is another: nothing else changes, whatever
    // was learned of the sink meanwhile.
    let (first, second, answer) = later("asterisk-video", sinks()[1]);
    assert_eq!(first, [Some((Codec::Pcma, 8)), Some((Codec::H264, 99))]);
    assert_eq!(second, first);
    let moved = answer.negotiated.audio.unwrap().remote_rtp;
    assert_eq!(moved, Some("203.0.113.77:20014".parse().unwrap()));
    // On hold, with one codec left in each line and another number.
    let (_, second, answer) = later("freeswitch", SinkView::UNKNOWN);
    assert_eq!(second, [Some((Codec::Pcmu, 0)), Some((Codec::H264, 96))]);
    assert!(answer.sdp.contains("a=recvonly\r\n"), "{}", answer.sdp);
    // Another codec, and no picture any more.
    let (first, second, _) = later("linphone-vp8-only", SinkView::UNKNOWN);
    assert_eq!(first, [Some((Codec::Opus, 96)), Some((Codec::Vp8, 96))]);
    assert_eq!(second, [Some((Codec::Speex, 98)), None]);
}

#[test]
fn a_room_is_taken_with_its_main_picture_and_its_parameter_sets() {
    let body = fs::read(folder().join("video-room.offer.sdp")).unwrap();
    let negotiated = answer(&body).unwrap().negotiated;
    let video = negotiated.video.unwrap();
    assert_eq!((video.line, video.payload_type), (1, 98));
    assert!(video.feedback.pli && video.feedback.fir && !video.feedback.nack);
    assert!(video.receive && video.send);
    let PlannedCodec::H264 {
        packetization_mode,
        profile_level_id,
        sprop,
    } = video.codec
    else {
        panic!("not H.264");
    };
    assert_eq!(
        (packetization_mode, profile_level_id),
        (1, Some([0x64, 0, 0x28]))
    );
    assert_eq!(sprop.len(), 2);
    let audio = negotiated.audio.unwrap();
    assert_eq!(
        (audio.codec, audio.telephone_event),
        (PlannedCodec::Pcma, Some(96))
    );
}

#[test]
fn remote_addresses_are_taken_from_where_they_stand() {
    let plans = |name: &str| {
        let body = fs::read(folder().join(format!("{name}.offer.sdp"))).unwrap();
        answer(&body).unwrap().negotiated
    };
    let addr = |text: &str| Some(text.parse().unwrap());
    let microsip = plans("microsip").video.unwrap();
    assert_eq!(microsip.remote_rtp, addr("192.168.1.33:4002"));
    assert_eq!(microsip.remote_rtcp, addr("192.168.1.33:4003"));
    // Muxed where it is offered, whatever a=rtcp says.
    let ipv6 = plans("ipv6-audio-only").audio.unwrap();
    assert_eq!(ipv6.remote_rtp, addr("[2001:db8::20]:40000"));
    assert_eq!((ipv6.remote_rtcp, ipv6.rtcp_mux), (ipv6.remote_rtp, true));
    assert_eq!(ipv6.maxptime, Some(60));
    let asterisk = plans("asterisk").audio.unwrap();
    assert_eq!(asterisk.remote_rtcp, addr("203.0.113.10:14311"));
}

#[test]
fn offers_cut_at_any_byte_are_answered_or_refused() {
    for (_, body) in offers() {
        for end in 0..body.len() {
            let _ = answer(&body[..end]);
        }
    }
}

#[test]
fn mutated_offers_are_answered_or_refused() {
    let offers = offers();
    let mut rng = Rng::from_number(0x5d9);
    let (mut taken, mut accepted) = (0, 0);
    for round in 0..3_000 {
        let (_, body) = &offers[round % offers.len()];
        let mut body = body.clone();
        for _ in 0..=rng.below(8) {
            let at = rng.below(body.len() as u32) as usize;
            match rng.below(5) {
                0 => body[at] = rng.u32() as u8,
                1 => body.insert(at, b"\r\n =:/;,*-0"[rng.below(11) as usize]),
                2 => drop(body.remove(at)),
                3 => {
                    let other = &offers[rng.below(offers.len() as u32) as usize].1;
                    let from = rng.below(other.len() as u32) as usize;
                    let to = other.len().min(from + rng.below(200) as usize);
                    body.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let to = body.len().min(at + rng.below(40) as usize);
                    body.drain(at..to);
                }
            }
            if body.is_empty() {
                body.push(b'v');
            }
        }
        let sinks = sinks();
        let Ok((mut call, local, _)) = begin(&body, sinks[round % 4]) else {
            continue;
        };
        taken += 1;
        // The call goes on with an offer of another, with one of ours, and with an answer to it.
        let (_, other) = &offers[(round / 7) % offers.len()];
        let _ = go_on(&mut call, other, &local, sinks[(round + 1) % 4]);
        if let Ok(ours) = call.offer(&local) {
            assert!(ours.len() < 8_192 && SessionDescription::parse(ours.as_bytes()).is_ok());
            let theirs = SessionDescription::parse(&body).unwrap();
            accepted += usize::from(call.accept_answer(&theirs).is_ok());
        }
    }
    // The mutations have to leave enough alive for the later stages to be reached.
    assert!(taken > 1_000, "{taken} answered");
    assert!(accepted > 500, "{accepted} answers to ours accepted");
}

#[test]
fn the_largest_hostile_offers_take_bounded_work_and_answers() {
    let line = format!("m=video 9 RTP/AVP{}\r\n", " 96".repeat(63));
    let mut body = "v=0\r\nc=IN IP4 192.0.2.9\r\n".to_owned();
    for _ in 0..12 {
        body.push_str(&line);
        body.push_str(&"a=rtpmap:96 H264/90000\r\n".repeat(20));
        body.push_str(&format!(
            "a=fmtp:96 sprop-parameter-sets={}\r\n",
            "Z0IAHpWoKA9k,".repeat(30)
        ));
    }
    assert!(body.len() < 16_384, "{}", body.len());
    let got = answer(body.as_bytes()).unwrap();
    assert!(got.sdp.len() < 8_192, "{}", got.sdp.len());

    let long = format!(
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\nm=x 1 y {}\n",
        "z".repeat(16_000)
    );
    let got = answer(long.as_bytes()).unwrap();
    assert!(got.sdp.contains("\r\nm=x 0 y 0\r\n"), "{}", got.sdp);
}
