//! Challenges to requests of ours within calls that came from the PBX (RFC 3261 section 22.2).

use std::rc::Rc;

use trunkcast::base::ids::CallId;
use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::sip::{Cause, Credentials, SipEvent, SipTarget};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, Sent, peer, respond, secs, whats};

/// An account at the PBX, which is where the callers are, or elsewhere; and a call.
fn called(pbx: &str) -> (Bench, CallId) {
    let mut bench = Bench::new();
    let target = SipTarget {
        transport: Transport::Udp,
        address: pbx.parse().unwrap(),
    };
    bench.endpoint.set_pbx(&[target].into_iter().collect());
    bench.endpoint.set_account(Some(Rc::new(Credentials {
        username: "1001".into(),
        password: Secret::new("secret".into()),
    })));
    let id = bench.call(&mut Caller::new("a"));
    (bench, id)
}

fn challenged(request: &Sent, code: u16, nonce: &str) -> String {
    let name = match code {
        401 => "WWW-Authenticate",
        _ => "Proxy-Authenticate",
    };
    let line = format!("{name}: Digest realm=\"pbx\", nonce=\"{nonce}\", qop=\"auth\"\r\n");
    respond(request, code).replacen("Content-Length", &(line + "Content-Length"), 1)
}

fn hang_up(bench: &mut Bench, id: CallId) -> Sent {
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.take().remove(0)
}

#[test]
fn a_bye_that_the_pbx_challenges_goes_again_with_the_account() {
    for (code, name) in [
        (401, HeaderName::Authorization),
        (407, HeaderName::ProxyAuthorization),
    ] {
        let (mut bench, id) = called(&peer().to_string());
        let bye = hang_up(&mut bench, id);
        let again = bench.datagram(challenged(&bye, code, "n"));
        assert_eq!(whats(&again), ["BYE"]);
        let proof = again[0].header(name).unwrap();
        assert!(proof.contains("username=\"1001\""), "{proof}");
        assert_eq!(again[0].to_tag(), bye.to_tag());
        // The password is wrong: nothing more is tried.
        assert!(bench.datagram(challenged(&again[0], code, "n2")).is_empty());
        bench.advance(secs(40));
        assert_eq!(bench.endpoint.busy(), 0);
    }
}

#[test]
fn a_reinvite_that_the_pbx_challenges_goes_again_and_counts() {
    let (mut bench, id) = called(&peer().to_string());
    let sent = bench.command(|e, now| e.reinvite(now, id, ANSWER));
    assert_eq!(sent, Ok(true));
    let invite = bench.take().remove(0);
    let sent = bench.datagram(challenged(&invite, 407, "n"));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    let again = &sent[1];
    assert_eq!(again.message().body(), ANSWER.as_bytes());
    assert_eq!(
        again.header(HeaderName::Contact),
        invite.header(HeaderName::Contact)
    );
    let ok = respond(again, 200).replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Contact: <sip:there@{}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{OFFER}",
            peer(),
            OFFER.len()
        ),
    );
    assert_eq!(whats(&bench.datagram(ok)), ["ACK"]);
    let answer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvited { id, answer });
    // What is known of the realm is told from now on.
    let bye = hang_up(&mut bench, id);
    let proof = bye.header(HeaderName::ProxyAuthorization).unwrap();
    assert!(proof.contains("nc=00000002"), "{proof}");
}

#[test]
fn nobody_but_the_pbx_gets_a_proof_of_the_password() {
    let (mut bench, id) = called("192.0.2.99:5060");
    let bye = hang_up(&mut bench, id);
    assert!(bench.datagram(challenged(&bye, 407, "n")).is_empty());
    assert_eq!(bench.endpoint.calls(), 0);
}
