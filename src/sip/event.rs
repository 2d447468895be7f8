//! What an endpoint tells its owner, and what it counts.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::base::ids::{CallId, ConnId};

use crate::wire::sip_identity::Identity;

use super::abuse::Abuse;
use super::ping::PeerState;
use super::registration::{RegistrationId, RegistrationState};
use super::transmit::SipTarget;

/// Something the owner has to know or to decide.
///
/// Every [`SipEvent::Invite`] and every call of ours is followed by exactly one [`SipEvent::Ended`],
/// after which its handle is of no use; between them come the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// A caller rings. Answer by `ring`, `accept` or `reject`.
    Invite {
        /// The call from now on.
        id: CallId,
        /// User part of From, escapes resolved; its host when it has none.
        caller: String,
        /// User part of the Request-URI, escapes resolved: the number that was dialled, at most
        /// `SIP_USER_BYTES`. Empty when nothing was. Like every text here it may hold any character.
        callee: String,
        /// Display name of From.
        display_name: Option<String>,
        /// What the PBX says of the caller beside From. To be believed as far as those who may call.
        identity: Option<Box<Identity>>,
        /// The Call-ID of the wire.
        call_id: String,
        /// Where the INVITE came from.
        remote: SocketAddr,
        /// Whether it came by TLS.
        secure: bool,
        /// The session description; without one the 200 has to carry an offer.
        offer: Option<Box<[u8]>>,
        /// The call whose place it is to take (RFC 3891): that one ends once the answer to this one is
        /// acknowledged.
        replaces: Option<CallId>,
    },
    /// A provisional answer to a call of ours.
    Progress {
        /// The call.
        id: CallId,
        /// 101 to 199; a 100 tells nothing.
        code: u16,
        /// Its phrase.
        reason: String,
        /// Early media: the answer to our offer, for now.
        answer: Option<Box<[u8]>>,
    },
    /// A call of ours was answered, and the answer acknowledged.
    Answered {
        /// The call.
        id: CallId,
        /// The answer to our offer that is in force now, which may be another than early media had.
        answer: Box<[u8]>,
    },
    /// A call of ours is sent elsewhere, to a place that has to be looked up or that the endpoint was
    /// not told to talk to. To be followed by [`follow`](super::SipEndpoint::follow) or hung up.
    Redirected {
        /// The call.
        id: CallId,
        /// A sip or sips URI.
        contact: String,
    },
    /// A registration has changed.
    Registration {
        /// Which one.
        id: RegistrationId,
        /// How it is now.
        state: RegistrationState,
    },
    /// A peer that is asked by OPTIONS is in another state than before.
    Peer {
        /// Which one.
        target: SipTarget,
        /// How it is now.
        state: PeerState,
    },
    /// The caller acknowledged our 200.
    Confirmed {
        /// The call.
        id: CallId,
        /// The answer to the offer that was in our 200.
        answer: Option<Box<[u8]>>,
    },
    /// The caller acknowledged a reliable provisional answer of ours that carried an offer.
    ProvisionalConfirmed {
        /// The call.
        id: CallId,
        /// The answer to that offer.
        answer: Option<Box<[u8]>>,
    },
    /// The caller wants other media, by re-INVITE, UPDATE or PRACK. Answer by `answer_reinvite` or
    /// `refuse_reinvite`. One by UPDATE or PRACK has an offer and is done with its answer.
    Reinvite {
        /// The call.
        id: CallId,
        /// The new offer; without one the 200 has to carry ours.
        offer: Option<Box<[u8]>>,
    },
    /// The caller acknowledged the 200 to its re-INVITE.
    ReinviteConfirmed {
        /// The call.
        id: CallId,
        /// The answer to the offer that was in our 200.
        answer: Option<Box<[u8]>>,
    },
    /// The caller took its re-INVITE back; all stays as it was.
    ReinviteCancelled {
        /// The call.
        id: CallId,
    },
    /// A re-INVITE of ours may go now: one that had to wait, that collided with one of theirs, or that
    /// the session timer needs. Send it by `reinvite`.
    OfferWanted {
        /// The call.
        id: CallId,
        /// Whether it is to say nothing new: the description as it was sent last.
        refresh: bool,
    },
    /// The peer took the offer of our re-INVITE or UPDATE.
    Reinvited {
        /// The call.
        id: CallId,
        /// Its answer; without one the peer is in breach of RFC 3261 section 13.2.1.
        answer: Option<Box<[u8]>>,
    },
    /// The peer refused the offer of our re-INVITE or UPDATE; the session is as it was before.
    ReinviteRefused {
        /// The call.
        id: CallId,
        /// The code. After 491 [`SipEvent::OfferWanted`] follows.
        code: u16,
    },
    /// The peer asks for a keyframe of the picture that it gets (RFC 5168).
    KeyframeWanted {
        /// The call.
        id: CallId,
    },
    /// A key was pressed, by INFO.
    Dtmf {
        /// The call.
        id: CallId,
        /// 0 to 9, `*`, `#`, A to D, or `!` for a flash of the hook.
        key: char,
        /// For how long, as the peer says.
        duration: Duration,
    },
    /// The peer refused a key of ours that was told by INFO, or did not answer; those after it were
    /// forgotten.
    DtmfRefused {
        /// The call.
        id: CallId,
        /// The code; 408 where no answer came.
        code: u16,
    },
    /// The peer asks us to call somebody else in its place (RFC 3515). Answer by `refer_accept` or
    /// `refer_refuse`, then say by `refer_progress` how it goes. Whom we may call is not known here.
    Refer {
        /// The call.
        id: CallId,
        /// A sip or sips URI without header fields, as it may stand in a request.
        to: String,
        /// The value of the Replaces header that the INVITE is to have.
        replaces: Option<String>,
        /// The value of Referred-By, one line of text.
        referred_by: Option<String>,
    },
    /// How the call goes that we asked the peer by `refer` to place.
    TransferProgress {
        /// The call that the peer was asked in.
        id: CallId,
        /// 202 when the peer has taken it on, then what it says of its call; 408 when it says nothing
        /// for too long.
        code: u16,
        /// Whether nothing more follows.
        done: bool,
    },
    /// The call is over. A BYE that is due is sent and repeated without the owner.
    Ended {
        /// The call that was.
        id: CallId,
        /// Why.
        cause: Cause,
        /// Through whom.
        by: EndedBy,
    },
    /// A source sent what was not taken: at most one event a minute for each source, and few at a time.
    Abuse(Abuse),
    /// Close a connection, after what waits to be sent on it.
    Disconnect {
        /// The connection; the endpoint has forgotten it.
        conn: ConnId,
    },
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The owner, by `reject` or `hangup`; or a call of ours could not be tried again.
    Local,
    /// The caller.
    Remote,
    /// Nobody: the caller stopped answering.
    Silence,
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The SIP status code that says it best; 200 for a call that ended as calls do.
    pub code: u16,
    /// In words.
    pub words: String,
}

impl Cause {
    /// The words of a call whose session timer ran out (RFC 4028).
    pub const NOT_REFRESHED: &'static str = "the session was not refreshed";

    /// The words of a call that a defect of this program ended.
    pub const DEFECT: &'static str = "a defect";

    /// A cause of code and words.
    pub fn new(code: u16, words: impl Into<String>) -> Self {
        Self {
            code,
            words: words.into(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.words)
    }
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipRefusal {
    /// The call is over.
    NoSuchCall,
    /// The call is not where the command makes sense.
    WrongState,
    /// The message would not fit into `SIP_MESSAGE_BYTES`; nothing was sent.
    TooLarge,
    /// No room for another request or call.
    Full,
    /// A field of a call cannot stand in a request as it is: its name.
    BadField(&'static str),
}

impl fmt::Display for SipRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadField(field) => return write!(f, "{field} cannot stand in a SIP request"),
            Self::NoSuchCall => "the call is over",
            Self::WrongState => "the call is not in a state for that",
            Self::TooLarge => "the SIP message is too large",
            Self::Full => "too many SIP requests are unanswered",
        })
    }
}

/// What an endpoint counts. Every message that leads to nothing is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SipCounters {
    /// Messages and connections from sources that may not call; nothing is answered.
    pub source_refused: u64,
    /// Messages and connections that were too many, of sources that may call.
    pub excess_refused: u64,
    /// What is no SIP, or a message that cannot be read and asks for no answer.
    pub unreadable: u64,
    /// Requests that were answered with what is wrong with their form.
    pub malformed: u64,
    /// Line ends between messages, to keep a way open.
    pub keep_alives: u64,
    /// Requests outside calls that were answered with a refusal other than the above.
    pub requests_refused: u64,
    /// OPTIONS that were answered.
    pub options: u64,
    /// Repetitions of requests that were absorbed.
    pub retransmissions: u64,
    /// Requests that came again over another way (482).
    pub merged: u64,
    /// Requests for a dialog or transaction that there is not (481).
    pub unknown_dialog: u64,
    /// Requests within a dialog that came out of order (500).
    pub out_of_order: u64,
    /// ACKs that belong to nothing.
    pub stray_acks: u64,
    /// Responses that belong to nothing.
    pub stray_responses: u64,
    /// INVITEs that began a call.
    pub calls: u64,
    /// INVITEs that found no room (503).
    pub calls_refused: u64,
    /// INFO that asked for a keyframe, or was a key.
    pub infos: u64,
    /// REFERs that the owner was told of.
    pub refers: u64,
    /// Sessions that we refreshed, or that were refreshed for us.
    pub refreshes: u64,
    /// Re-INVITEs of ours that collided with one of theirs (491).
    pub glares: u64,
    /// Messages of ours that were sent again.
    pub resent: u64,
    /// Answers to INVITE whose ACK never came.
    pub acks_missing: u64,
    /// Requests of ours that nobody answered.
    pub requests_unanswered: u64,
    /// Messages dropped because the owner did not take them in time.
    pub transmits_dropped: u64,
    /// Messages that did not fit into `SIP_MESSAGE_BYTES` when printed.
    pub oversized: u64,
    /// Transactions given up early for want of room.
    pub transactions_evicted: u64,
    /// Connections that found no room.
    pub connections_refused: u64,
    /// Connections closed to make room.
    pub connections_evicted: u64,
    /// Connections whose messages could not be told apart.
    pub streams_broken: u64,
    /// Messages that were not sent, for want of TLS on a way that has to have it.
    pub plain_refused: u64,
    /// Connections that began with TLS where none is spoken.
    pub tls_unexpected: u64,
    /// Connections whose peer said nothing, or did not finish a message, in time.
    pub connections_unfinished: u64,
    /// Connections closed because nothing needed them for long.
    pub connections_idle: u64,
    /// Connections closed because the peer no longer answered our keep-alives.
    pub connections_dead: u64,
    /// Requests that the trunk's rules changed.
    pub rules_applied: u64,
    /// Requests that the trunk's rules refused.
    pub rules_rejected: u64,
    /// Requests that were taken as they came, because what the rules made of them was no request.
    pub rules_failed: u64,
}
