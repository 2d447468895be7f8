//! A session description: read, answered, taken as the answer to an offer of ours and as a later offer,
//! under every policy for keys; its `a=crypto` lines read and printed.

#![no_main]

use std::hint::black_box;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use trunkcast::base::rng::Rng;
use trunkcast::base::sink::SinkView;
use trunkcast::base::srtp::SrtpPolicy;
use trunkcast::sdp::{CodecPlan, LocalMedia, OfferAnswer, SrtpTerms, wanted};
use trunkcast::wire::sdp::SessionDescription;
use trunkcast::wire::sdp_crypto::{CryptoLine, crypto_value};
use trunkcast::wire::sdp_media::FeedbackScope;
use trunkcast_fuzz::Choices;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let policy = choices.pick(&SrtpPolicy::ALL);
    let how = choices.byte();
    let terms = SrtpTerms {
        policy,
        secure: how & 1 == 1,
    };
    let local = LocalMedia {
        address: match how & 2 {
            0 => [192, 0, 2, 1].into(),
            _ => "2001:db8::1".parse().expect("an address"),
        },
        audio_port: Some(31_000),
        video_port: (how & 4 == 0).then_some(31_002),
        rtcp_mux: how & 8 == 0,
    };
    let codecs: Option<&[&str]> = (how & 16 != 0).then_some(&["pcma", "vp8", "opus"]);
    let plan = Rc::new(CodecPlan::new(codecs, None, &["b=AS:2000"]).expect("a plan"));
    let call = || {
        let mut call = OfferAnswer::new(plan.clone(), 4_711);
        call.set_protection(terms, &mut Rng::from_number(1));
        call.set_held(how & 32 != 0);
        call
    };
    let body = choices.rest();
    lines(body);
    let Ok(theirs) = SessionDescription::parse(body) else {
        return;
    };
    look(&theirs);
    let _ = black_box(wanted(&theirs, &plan, SinkView::UNKNOWN, terms));

    let mut callee = call();
    if let Ok(answer) = callee.answer(&theirs, &local) {
        let ours = SessionDescription::parse(answer.sdp.as_bytes()).expect("our answer reads back");
        assert_eq!(ours.media().count(), theirs.media().count());
        let again = callee
            .answer(&theirs, &local)
            .expect("the same offer again");
        assert_eq!(again.sdp, answer.sdp);
        // A later offer of ours, answered by what the peer would say to it.
        if let Ok(offer) = callee.offer(&local) {
            let offer = SessionDescription::parse(offer.as_bytes()).expect("our offer reads back");
            let mut peer = call();
            if let Ok(answer) = peer.answer(&offer, &local) {
                let answer = SessionDescription::parse(answer.sdp.as_bytes()).expect("it reads");
                let _ = black_box(callee.accept_answer(&answer));
            }
        }
        let _ = black_box(callee.answer(&theirs, &local));
    }

    let mut caller = call();
    if caller.offer_within(&local, 700).is_ok() {
        let _ = black_box(caller.accept_early(&theirs));
        let _ = black_box(caller.accept_answer(&theirs));
        let _ = black_box(caller.again());
        caller.withdraw(how & 64 != 0);
        let _ = black_box(caller.answer(&theirs, &local));
    }
});

fn lines(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    for line in text.lines().take(64) {
        let value = line.strip_prefix("a=crypto:").unwrap_or(line);
        if let Ok(read) = CryptoLine::parse(value) {
            let printed = crypto_value(read.tag, &read.key);
            let again = CryptoLine::parse(&printed).expect("a printed line reads back");
            assert!(again.key == read.key && again.tag == read.tag);
        }
    }
}

fn look(description: &SessionDescription) {
    for line in description.media() {
        black_box((
            line.kind(),
            line.port(),
            line.direction(),
            line.address(),
            line.rtcp(),
        ));
        black_box((
            line.is_plain_rtp(),
            line.is_secure_rtp(),
            line.rtcp_mux(),
            line.is_ipv6(),
        ));
        black_box((
            line.bitrate(),
            line.ptime(),
            line.maxptime(),
            line.is_slides(),
        ));
        black_box(line.crypto().count());
        for format in line.payload_types() {
            black_box((
                line.rtpmap(format),
                line.h264(format),
                line.fmtp(format).count(),
            ));
            black_box(line.feedback(FeedbackScope::PayloadType(format)));
        }
        black_box(line.feedback(FeedbackScope::All));
    }
}
