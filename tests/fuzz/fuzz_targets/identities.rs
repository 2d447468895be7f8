//! Who calls, as the PBX says: P-Asserted-Identity, Remote-Party-ID, Diversion, History-Info and
//! Privacy of any form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkcast::limits::SIP_IDENTITY_BYTES;
use trunkcast::wire::sip_identity::{Identity, Party};
use trunkcast::wire::sip_message::SipMessage;

const HEAD: &[u8] = b"INVITE sip:4711@192.0.2.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\nFrom: \"A\" <sip:1001@192.0.2.10>;tag=1\r\n\
    To: <sip:4711@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:1001@192.0.2.10>\r\n\
    Max-Forwards: 70\r\n";

fuzz_target!(|data: &[u8]| {
    let message = [HEAD, data, b"\r\nContent-Length: 0\r\n\r\n"].concat();
    let Ok(message) = SipMessage::parse(&message) else {
        return;
    };
    let Some(identity) = Identity::read(message.headers()) else {
        return;
    };
    let diverted = identity.diverted.as_ref();
    for party in identity.asserted.iter().chain(diverted.map(|d| &d.from)) {
        check(party);
    }
    if let Some(reason) = diverted.and_then(|d| d.reason.as_ref()) {
        assert!(reason.len() <= SIP_IDENTITY_BYTES);
    }
});

fn check(party: &Party) {
    assert!(party.number.len() <= SIP_IDENTITY_BYTES);
    assert!(
        party
            .display
            .as_ref()
            .is_none_or(|name| name.len() <= SIP_IDENTITY_BYTES)
    );
}
