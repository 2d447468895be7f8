//! The demonstration is the shortest proof of the whole: a call in over SIP and RTP, a stream out
//! over RTMP, through real sockets.

use std::io;

use trunkcast::cli::demo::demonstrate;

#[test]
fn a_call_comes_out_of_rtmp() {
    assert!(demonstrate(2, io::stdout()).expect("the gateway starts"));
}
