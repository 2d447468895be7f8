//! The direction of a media line after an offer and its answer (RFC 3264, sections 6.1 and 8.4).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub use crate::wire::sdp::Direction;

use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

/// Our direction when the other side says `theirs` and we wish for `ours`.
///
/// The same table serves both ways: for an answer of ours, `theirs` is what was offered and `ours`
/// what we could do; for an answer of theirs, `ours` is what we offered. We send only where they
/// receive, and receive only where they send.
pub const fn agree(theirs: Direction, ours: Direction) -> Direction {
    match (theirs, ours) {
        (SendRecv, SendRecv) => SendRecv,
        (SendRecv, SendOnly) => SendOnly,
        (SendRecv, RecvOnly) => RecvOnly,
        (SendOnly, SendRecv | RecvOnly) => RecvOnly,
        (SendOnly, SendOnly) => Inactive,
        (RecvOnly, SendRecv | SendOnly) => SendOnly,
        (RecvOnly, RecvOnly) => Inactive,
        (Inactive, _) | (_, Inactive) => Inactive,
    }
}

/// What we wish for while we hold the session: we go on sending, and receive nothing (RFC 3264, section
/// 8.4).
pub const fn wanted(wish: Direction, held: bool) -> Direction {
    Direction::new(wish.sends(), wish.receives() && !held)
}

/// The direction of a side whose address is unspecified (`c=0.0.0.0`): nothing can be sent to it,
/// whatever it says.
pub const fn without_receiving(theirs: Direction) -> Direction {
    Direction::new(theirs.sends(), false)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sdp::{CodecPlan, LocalMedia, OfferAnswer};
    use crate::wire::sdp::SessionDescription;

    /// RFC 3264, sections 6.1 and 8.4, read off the text: (offered, our wish, the answer, the answer
    /// while we hold).
    const TABLE: [(Direction, Direction, Direction, Direction); 16] = [
        (SendRecv, SendRecv, SendRecv, SendOnly),
        (SendRecv, SendOnly, SendOnly, SendOnly),
        (SendRecv, RecvOnly, RecvOnly, Inactive),
        (SendRecv, Inactive, Inactive, Inactive),
        (SendOnly, SendRecv, RecvOnly, Inactive),
        (SendOnly, SendOnly, Inactive, Inactive),
        (SendOnly, RecvOnly, RecvOnly, Inactive),
        (SendOnly, Inactive, Inactive, Inactive),
        (RecvOnly, SendRecv, SendOnly, SendOnly),
        (RecvOnly, SendOnly, SendOnly, SendOnly),
        (RecvOnly, RecvOnly, Inactive, Inactive),
        (RecvOnly, Inactive, Inactive, Inactive),
        (Inactive, SendRecv, Inactive, Inactive),
        (Inactive, SendOnly, Inactive, Inactive),
        (Inactive, RecvOnly, Inactive, Inactive),
        (Inactive, Inactive, Inactive, Inactive),
    ];

    #[test]
    fn answers_follow_the_table() {
        for (offered, wish, answer, on_hold) in TABLE {
            for (held, expected) in [(false, answer), (true, on_hold)] {
                let got = agree(offered, wanted(wish, held));
                assert_eq!(got, expected, "offered {offered}, wish {wish}, held {held}");
            }
        }
    }

    #[test]
    fn nobody_sends_to_a_side_that_does_not_receive() {
        for (offered, wish, answer, on_hold) in TABLE {
            assert_eq!(answer.sends(), wish.sends() && offered.receives());
            assert_eq!(answer.receives(), wish.receives() && offered.sends());
            assert_eq!(
                (on_hold.sends(), on_hold.receives()),
                (answer.sends(), false)
            );
        }
    }

    #[test]
    fn an_unspecified_address_takes_receiving_away() {
        let got = Direction::ALL.map(without_receiving);
        assert_eq!(got, [SendOnly, SendOnly, Inactive, Inactive]);
    }

    /// How the direction stands in the offer.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Said {
        InTheLine,
        InTheSession,
        /// With `c=0.0.0.0`, the hold of RFC 2543.
        WithoutAddress,
    }

    fn offer(direction: Direction, said: Said, port: u16) -> String {
        let address = match said {
            Said::WithoutAddress => "0.0.0.0",
            _ => "192.0.2.10",
        };
        let line = format!("a={direction}\r\n");
        let (session, media) = match said {
            Said::InTheSession => (line.as_str(), ""),
            _ => ("", line.as_str()),
        };
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{session}\
             m=audio {port} RTP/AVP 8\r\n{media}"
        )
    }

    #[test]
    fn every_row_is_what_an_answer_says_and_what_the_media_does() {
        let local = LocalMedia {
            address: "192.0.2.1".parse().unwrap(),
            audio_port: Some(31_000),
            video_port: None,
            rtcp_mux: true,
        };
        let says = [Said::InTheLine, Said::InTheSession, Said::WithoutAddress];
        for (offered, wish, answer, on_hold) in TABLE {
            for (said, held) in says
                .into_iter()
                .flat_map(|said| [(said, false), (said, true)])
            {
                // The wish of a trunk always has receiving in it.
                if !wish.receives() {
                    continue;
                }
                let mut negotiation = OfferAnswer::new(Rc::new(CodecPlan::default()), 1);
                negotiation.set_sends(wish.sends(), false);
                negotiation.set_held(held);
                let expected = if held { on_hold } else { answer };
                let expected = match said {
                    Said::WithoutAddress => Direction::new(false, expected.receives()),
                    _ => expected,
                };
                let text = offer(offered, said, 30_000);
                let parsed = SessionDescription::parse(text.as_bytes()).unwrap();
                let got = negotiation.answer(&parsed, &local).unwrap();
                let plan = got.negotiated.audio.unwrap();
                let row = format!("offered {offered} {said:?}, wish {wish}, held {held}");
                assert_eq!(
                    (plan.send, plan.receive),
                    (expected.sends(), expected.receives()),
                    "{row}"
                );
                let answered = SessionDescription::parse(got.sdp.as_bytes()).unwrap();
                let line = answered.media().next().unwrap();
                assert_eq!(line.direction(), expected, "{row}: {}", got.sdp);
            }
        }
    }

    #[test]
    fn a_port_of_zero_is_out_of_use_whatever_its_direction() {
        let local = LocalMedia {
            address: "192.0.2.1".parse().unwrap(),
            audio_port: Some(31_000),
            video_port: None,
            rtcp_mux: true,
        };
        let mut negotiation = OfferAnswer::new(Rc::new(CodecPlan::default()), 1);
        let first = offer(SendRecv, Said::InTheLine, 30_000);
        let first = SessionDescription::parse(first.as_bytes()).unwrap();
        negotiation.answer(&first, &local).unwrap();
        for direction in Direction::ALL {
            let text = offer(direction, Said::InTheLine, 0);
            let parsed = SessionDescription::parse(text.as_bytes()).unwrap();
            let got = negotiation.answer(&parsed, &local).unwrap();
            assert!(got.negotiated.audio.is_none());
            assert!(got.sdp.contains("m=audio 0 "), "{}", got.sdp);
        }
    }

    #[test]
    fn a_hold_of_ours_lasts_through_their_offers_and_ends_with_ours() {
        let local = LocalMedia {
            address: "192.0.2.1".parse().unwrap(),
            audio_port: Some(31_000),
            video_port: None,
            rtcp_mux: true,
        };
        let mut negotiation = OfferAnswer::new(Rc::new(CodecPlan::default()), 1);
        let theirs = offer(SendRecv, Said::InTheLine, 30_000);
        let theirs = SessionDescription::parse(theirs.as_bytes()).unwrap();
        let first = negotiation.answer(&theirs, &local).unwrap();
        assert_eq!(
            negotiation.again().unwrap(),
            first.sdp,
            "a refresh says nothing new"
        );
        assert_eq!(
            negotiation.accept_answer(&theirs).unwrap(),
            first.negotiated
        );

        negotiation.set_held(true);
        let hold = negotiation.offer(&local).unwrap();
        assert!(hold.contains("a=sendonly\r\n"), "{hold}");
        negotiation.withdraw(true);
        assert!(negotiation.is_held(), "it comes again");
        negotiation.offer(&local).unwrap();
        negotiation.withdraw(false);
        assert!(!negotiation.is_held(), "it was refused");

        negotiation.set_held(true);
        negotiation.offer(&local).unwrap();
        let answer = offer(RecvOnly, Said::InTheLine, 30_000);
        let answer = SessionDescription::parse(answer.as_bytes()).unwrap();
        let plan = negotiation.accept_answer(&answer).unwrap().audio.unwrap();
        assert_eq!((plan.send, plan.receive), (true, false));
        let plan = negotiation
            .answer(&theirs, &local)
            .unwrap()
            .negotiated
            .audio
            .unwrap();
        assert!(!plan.receive, "still on hold");
        negotiation.set_held(false);
        negotiation.offer(&local).unwrap();
        let plan = negotiation.accept_answer(&theirs).unwrap().audio.unwrap();
        assert_eq!((plan.send, plan.receive), (true, true));
    }
}
