//! Offers and answers with keys for SRTP (RFC 4568): what each policy makes of them, and that
//! protection, once there, is never lost.

use std::rc::Rc;

use trunkcast::base::rng::Rng;
use trunkcast::base::sink::SinkView;
use trunkcast::base::srtp::{MasterKey, SrtpKeys, SrtpPolicy, Suite};
use trunkcast::sdp::{
    Answer, CodecPlan, LineRefusal, LocalMedia, OfferAnswer, Refusal, SrtpTerms, wanted,
};
use trunkcast::wire::sdp::SessionDescription;
use trunkcast::wire::sdp_crypto::{CryptoError, CryptoLine, crypto_value};
use trunkcast::wire::sdp_media::MediaKind;

const AUDIO: &str = "m=audio 4000 RTP/SAVP 8\n";
const VIDEO: &str = "m=video 4002 RTP/SAVP 97\na=rtpmap:97 H264/90000\n";
const CLEAR_AUDIO: &str = "m=audio 4000 RTP/AVP 8\n";
const CLEAR_VIDEO: &str = "m=video 4002 RTP/AVP 97\na=rtpmap:97 H264/90000\n";

fn local() -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        audio_port: Some(31_000),
        video_port: Some(31_002),
        rtcp_mux: true,
    }
}

fn terms(policy: SrtpPolicy, secure: bool) -> SrtpTerms {
    SrtpTerms { policy, secure }
}

fn call(terms: SrtpTerms) -> OfferAnswer {
    call_with(terms, 1)
}

fn call_with(terms: SrtpTerms, seed: u64) -> OfferAnswer {
    let mut call = OfferAnswer::new(Rc::new(CodecPlan::default()), 4_711);
    call.set_protection(terms, &mut Rng::from_number(seed));
    call
}

fn key(suite: Suite, number: u64) -> MasterKey {
    MasterKey::random(suite, &mut Rng::from_number(number))
}

fn crypto(tag: u32, key: &MasterKey) -> String {
    format!("a=crypto:{}\n", crypto_value(tag, key))
}

fn describe(sections: &[String]) -> SessionDescription {
    let head = "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\n";
    SessionDescription::parse(format!("{head}{}", sections.concat()).as_bytes()).unwrap()
}

fn with(section: &str, lines: &str) -> String {
    format!("{section}{lines}")
}

/// The `a=crypto` lines of each section of a text of ours.
fn keys_of(sdp: &str) -> Vec<Vec<CryptoLine>> {
    let read = SessionDescription::parse(sdp.as_bytes()).unwrap();
    let lines = |crypto: &mut dyn Iterator<Item = Result<CryptoLine, CryptoError>>| {
        crypto.map(Result::unwrap).collect()
    };
    read.media().map(|line| lines(&mut line.crypto())).collect()
}

fn protocols(sdp: &str) -> Vec<String> {
    let read = SessionDescription::parse(sdp.as_bytes()).unwrap();
    let protocols = read.media().map(|line| line.section().proto.clone());
    protocols.collect()
}

fn audio_keys(answer: &Answer) -> Option<&SrtpKeys> {
    answer.negotiated.audio.as_ref()?.srtp.as_deref()
}

#[test]
fn every_policy_takes_and_refuses_what_its_table_says() {
    let theirs = key(Suite::Aes128Tag80, 9);
    let secure = with(AUDIO, &crypto(1, &theirs));
    let opportunistic = with(CLEAR_AUDIO, &crypto(1, &theirs));
    let clear = CLEAR_AUDIO.to_owned();
    let (yes, no) = (Ok(true), Ok(false));
    let off = Err(LineRefusal::SrtpOff);
    let readable = Err(LineRefusal::SrtpReadable);
    let required = Err(LineRefusal::SrtpRequired);
    for (policy, tls, expected) in [
        (SrtpPolicy::Off, false, [off, no, no]),
        (SrtpPolicy::Off, true, [off, no, no]),
        (SrtpPolicy::Tls, false, [readable, no, no]),
        (SrtpPolicy::Tls, true, [yes, yes, no]),
        (SrtpPolicy::Optional, false, [yes, yes, no]),
        (SrtpPolicy::Optional, true, [yes, yes, no]),
        (SrtpPolicy::Required, false, [yes, yes, required]),
        (SrtpPolicy::Required, true, [yes, yes, required]),
    ] {
        for (section, expected) in [&secure, &opportunistic, &clear].into_iter().zip(expected) {
            let offer = describe(std::slice::from_ref(section));
            let terms = terms(policy, tls);
            let plan = CodecPlan::default();
            let asks = wanted(&offer, &plan, SinkView::UNKNOWN, terms).audio;
            assert_eq!(asks, expected.is_ok(), "{terms:?} {section}");
            let got = call(terms).answer(&offer, &local());
            if let Ok(answer) = &got {
                let read = describe(std::slice::from_ref(section));
                let proto = &read.session().medias[0].proto;
                assert_eq!(protocols(&answer.sdp)[0], *proto);
                let lines = keys_of(&answer.sdp).remove(0);
                assert_eq!(lines.is_empty(), audio_keys(answer).is_none());
            }
            let got = got.map(|answer| audio_keys(&answer).is_some());
            assert_eq!(
                got,
                expected.map_err(Refusal::NothingUsable),
                "{terms:?} {section}"
            );
        }
    }
}

#[test]
fn a_refusal_says_why_in_a_warning() {
    let refusal = call(terms(SrtpPolicy::Required, false))
        .answer(&describe(&[CLEAR_AUDIO.to_owned()]), &local())
        .unwrap_err();
    assert_eq!((refusal.status(), refusal.warning_code()), (488, 302));
    assert_eq!(refusal.to_string(), "this trunk requires SRTP");
}

#[test]
fn the_first_suite_known_is_taken_up_by_its_tag_with_a_key_of_ours() {
    let theirs = key(Suite::Aes256Tag32, 5);
    let lines = [
        "a=crypto:1 AEAD_AES_256_GCM inline:AAAA\n".to_owned(),
        crypto(2, &key(Suite::Aes128Tag80, 4)).replace('\n', " UNENCRYPTED_SRTP\n"),
        crypto(44, &theirs).replace('\n', "|2^31|1:1\n"),
        crypto(5, &key(Suite::Aes128Tag80, 6)),
    ];
    let offer = describe(&[
        with(AUDIO, &lines.concat()),
        with(VIDEO, &crypto(7, &theirs)),
    ]);
    let answer = call(terms(SrtpPolicy::Tls, true))
        .answer(&offer, &local())
        .unwrap();
    let keys = audio_keys(&answer).unwrap();
    assert_eq!(keys.remote, theirs);
    assert_eq!(
        keys.remote_mki.map(|mki| (mki.value, mki.len)),
        Some((1, 1))
    );
    let said = keys_of(&answer.sdp);
    let [audio, video] = &said[..] else {
        panic!("two lines");
    };
    assert_eq!((audio.len(), audio[0].tag, video[0].tag), (1, 44, 7));
    assert_eq!(audio[0].key, keys.local);
    assert_eq!(audio[0].key.suite(), Suite::Aes256Tag32);
    assert_eq!((audio[0].mki, audio[0].lifetime), (None, None));
    // Every line has a key of its own, and none is theirs.
    assert_ne!(audio[0].key, video[0].key);
    assert_ne!(audio[0].key, theirs);
    // Another call has others.
    let other = call_with(terms(SrtpPolicy::Tls, true), 2)
        .answer(&offer, &local())
        .unwrap();
    assert_ne!(audio_keys(&other).unwrap().local, keys.local);
}

#[test]
fn srtp_without_a_key_that_can_be_used_is_refused_line_by_line() {
    let mut negotiation = call(terms(SrtpPolicy::Required, true));
    let error = |lines: &str, negotiation: &mut OfferAnswer| {
        let offer = describe(&[with(AUDIO, lines)]);
        negotiation.answer(&offer, &local()).unwrap_err()
    };
    let none = LineRefusal::NoKey(None);
    assert_eq!(error("", &mut negotiation), Refusal::NothingUsable(none));
    let short = LineRefusal::NoKey(Some(CryptoError::Key));
    let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\n";
    assert_eq!(error(line, &mut negotiation), Refusal::NothingUsable(short));
    // The other line goes on.
    let video = with(VIDEO, &crypto(1, &key(Suite::Aes128Tag80, 3)));
    let answer = negotiation
        .answer(&describe(&[with(AUDIO, line), video]), &local())
        .unwrap();
    assert!(answer.negotiated.audio.is_none());
    assert!(answer.negotiated.video.unwrap().srtp.is_some());
    assert_eq!(answer.negotiated.refused[0].reason, short);
}

#[test]
fn of_two_lines_of_a_kind_the_protected_one_is_used() {
    let theirs = crypto(1, &key(Suite::Aes128Tag80, 3));
    for (policy, line) in [(SrtpPolicy::Optional, 1), (SrtpPolicy::Off, 0)] {
        let offer = describe(&[CLEAR_AUDIO.to_owned(), with(AUDIO, &theirs)]);
        let answer = call(terms(policy, false)).answer(&offer, &local()).unwrap();
        assert_eq!(answer.negotiated.audio.unwrap().line, line, "{policy}");
    }
}

#[test]
fn keys_stay_while_theirs_does_and_change_with_it() {
    let mut call = call(terms(SrtpPolicy::Tls, true));
    let (one, two) = (key(Suite::Aes128Tag80, 3), key(Suite::Aes128Tag80, 4));
    let offer = |lines: &[String]| describe(&[with(AUDIO, &lines.concat())]);
    let first = call.answer(&offer(&[crypto(1, &one)]), &local()).unwrap();
    let same = call.answer(&offer(&[crypto(1, &one)]), &local()).unwrap();
    assert_eq!(
        (&same.sdp, audio_keys(&same)),
        (&first.sdp, audio_keys(&first))
    );
    // Theirs by another tag, behind another one.
    let moved = call
        .answer(&offer(&[crypto(1, &two), crypto(9, &one)]), &local())
        .unwrap();
    assert_eq!(audio_keys(&moved), audio_keys(&first));
    assert_eq!(keys_of(&moved.sdp)[0][0].tag, 9);
    // A new one: both are new.
    let fresh = call.answer(&offer(&[crypto(1, &two)]), &local()).unwrap();
    let keys = audio_keys(&fresh).unwrap();
    assert_eq!(keys.remote, two);
    assert_ne!(keys.local, audio_keys(&first).unwrap().local);
}

#[test]
fn protection_is_never_lost_to_a_later_offer() {
    let theirs = crypto(1, &key(Suite::Aes128Tag80, 3));
    for policy in [SrtpPolicy::Tls, SrtpPolicy::Optional, SrtpPolicy::Required] {
        let mut call = call(terms(policy, true));
        let both = [with(AUDIO, &theirs), with(VIDEO, &theirs)];
        let first = call.answer(&describe(&both), &local()).unwrap();
        let before = call.current().clone();
        for lower in [
            [CLEAR_AUDIO.to_owned(), with(VIDEO, &theirs)],
            [with(AUDIO, &theirs), CLEAR_VIDEO.to_owned()],
            [CLEAR_AUDIO.to_owned(), CLEAR_VIDEO.to_owned()],
        ] {
            let refusal = call.answer(&describe(&lower), &local()).unwrap_err();
            assert_eq!(refusal, Refusal::NothingUsable(LineRefusal::Unprotected));
            assert_eq!(refusal.status(), 488);
            assert_eq!(*call.current(), before);
        }
        // Nor by way of a line that was out of use meanwhile.
        let without = [with(AUDIO, &theirs), VIDEO.replace("4002", "0")];
        call.answer(&describe(&without), &local()).unwrap();
        let lower = [with(AUDIO, &theirs), CLEAR_VIDEO.to_owned()];
        call.answer(&describe(&lower), &local()).unwrap_err();
        // On hold it stays, and after it too.
        let held = both.clone().map(|section| section + "a=sendonly\n");
        let held = call.answer(&describe(&held), &local()).unwrap();
        assert_eq!(audio_keys(&held), audio_keys(&first));
    }
}

#[test]
fn our_offer_asks_for_srtp_where_it_is_required() {
    let mut call = call(terms(SrtpPolicy::Required, false));
    let sdp = call.offer(&local()).unwrap();
    assert_eq!(protocols(&sdp), ["RTP/SAVP", "RTP/SAVP"]);
    let said = keys_of(&sdp);
    let mut all: Vec<MasterKey> = Vec::new();
    for section in &said {
        let suites: Vec<_> = section.iter().map(|line| line.key.suite()).collect();
        assert_eq!(suites, Suite::ALL);
        let tags: Vec<_> = section.iter().map(|line| line.tag).collect();
        assert_eq!(tags, [1, 2, 3, 4]);
        all.extend(section.iter().map(|line| line.key.clone()));
    }
    for (at, key) in all.iter().enumerate() {
        assert!(!all[..at].contains(key), "a key stands in two lines");
    }
    let theirs = key(Suite::Aes256Tag80, 8);
    let answer = describe(&[with(AUDIO, &crypto(2, &theirs)), VIDEO.replace("4002", "0")]);
    let negotiated = call.accept_answer(&answer).unwrap();
    let keys = negotiated.audio.unwrap().srtp.unwrap();
    assert_eq!(keys.remote, theirs);
    assert_eq!(keys.local, said[0][1].key);

    // A later offer names the key in use first, and new ones for the rest.
    let again = keys_of(&call.offer(&local()).unwrap()).remove(0);
    assert_eq!(again[0].key, keys.local);
    assert_eq!(again.len(), 4);
    assert!(again[1..].iter().all(|line| !all.contains(&line.key)));
    let same = describe(&[with(AUDIO, &crypto(1, &theirs)), VIDEO.replace("4002", "0")]);
    let kept = call.accept_answer(&same).unwrap().audio.unwrap().srtp;
    assert_eq!(kept.as_deref(), Some(&*keys));
}

#[test]
fn our_offer_is_in_the_clear_where_srtp_is_not_required() {
    for policy in [SrtpPolicy::Off, SrtpPolicy::Tls, SrtpPolicy::Optional] {
        let mut call = call(terms(policy, true));
        let sdp = call.offer(&local()).unwrap();
        assert_eq!(protocols(&sdp), ["RTP/AVP", "RTP/AVP"]);
        assert!(!sdp.contains("crypto"));
        // What was not offered is not taken up.
        let theirs = crypto(1, &key(Suite::Aes128Tag80, 3));
        let refusal = call.accept_answer(&describe(&[with(AUDIO, &theirs)]));
        assert_eq!(
            refusal.unwrap_err(),
            Refusal::NothingUsable(LineRefusal::Protocol)
        );
    }
}

#[test]
fn an_answer_without_one_of_our_suites_is_refused() {
    let theirs = key(Suite::Aes128Tag32, 3);
    for (section, reason) in [
        (CLEAR_AUDIO.to_owned(), LineRefusal::SrtpRequired),
        (AUDIO.to_owned(), LineRefusal::NoKey(None)),
        // Tag 1 is another suite, tag 5 nothing of ours.
        (with(AUDIO, &crypto(1, &theirs)), LineRefusal::NoKey(None)),
        (with(AUDIO, &crypto(5, &theirs)), LineRefusal::NoKey(None)),
        (
            with(AUDIO, "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA\n"),
            LineRefusal::NoKey(Some(CryptoError::Suite)),
        ),
    ] {
        let mut call = call(terms(SrtpPolicy::Required, true));
        call.offer(&local()).unwrap();
        let got = call.accept_answer(&describe(std::slice::from_ref(&section)));
        assert_eq!(got, Err(Refusal::NothingUsable(reason)), "{section}");
    }
}

#[test]
fn no_key_is_printed_for_debugging() {
    let theirs = key(Suite::Aes128Tag80, 3);
    let offer = describe(&[with(AUDIO, &crypto(1, &theirs))]);
    let mut call = call(terms(SrtpPolicy::Tls, true));
    let answer = call.answer(&offer, &local()).unwrap();
    let ours = audio_keys(&answer).unwrap().local.clone();
    let shown = format!("{offer:?} {answer:?} {call:?} {:#?}", answer.negotiated);
    for key in [&ours, &theirs] {
        let text = crypto_value(1, key);
        let inline = text.rsplit(':').next().unwrap();
        assert!(!shown.contains(inline));
        assert!(!shown.contains(&format!("{:?}", key.expose())));
    }
    assert!(shown.contains("AES_CM_128_HMAC_SHA1_80 ***"));
    assert_eq!(answer.negotiated.audio.unwrap().line, 0);
    assert_eq!(offer.media().next().unwrap().kind(), MediaKind::Audio);
}

#[test]
fn garbled_offers_of_keys_lead_to_an_answer_or_a_refusal() {
    let mut rng = Rng::from_number(4);
    let theirs = crypto(1, &key(Suite::Aes128Tag80, 3));
    let text = [with(AUDIO, &theirs), with(VIDEO, &theirs)].concat();
    for _ in 0..2_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = (rng.u32() & 127) as u8;
        }
        let Ok(offer) = SessionDescription::parse(&bytes) else {
            continue;
        };
        let mut call = call(terms(SrtpPolicy::Required, false));
        if let Ok(answer) = call.answer(&offer, &local()) {
            let plans = [&answer.negotiated.audio, &answer.negotiated.video];
            let mut plans = plans.into_iter().flatten();
            assert!(plans.all(|plan| plan.srtp.is_some()), "in the clear");
        }
    }
}
