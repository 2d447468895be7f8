//! Every capacity of the program, in one place.
//!
//! What is full refuses in a typed way (503 on SIP, a counted drop on media) and never grows. The
//! numbers that an installation may set are in [`Limits`]; the rest are constants. What they cost
//! in memory is summed by [`Budget`](crate::base::budget::Budget).

#![forbid(unsafe_code)]

/// Bytes of one packet slot: an Ethernet frame's worth of UDP payload.
pub const PACKET_BYTES: usize = 1_500;

/// Bytes that a segment may carry before its payload: a NAL unit's length and header byte.
pub const SEGMENT_PREFIX_BYTES: usize = 5;

/// Frames that a stream keeps for its readers: two seconds of 60 pictures and 50 audio packets.
pub const LOG_FRAMES: usize = 224;

/// Segments of all frames in a stream's log.
pub const LOG_SEGMENTS: usize = 576;

/// Segments of one access unit; a larger one is dropped and counted.
pub const FRAME_SEGMENTS: usize = 448;

/// Bytes of one stored sequence or picture parameter set.
pub const PARAMETER_SET_BYTES: usize = 1_024;

/// Sequence parameter sets kept for one stream.
pub const SEQUENCE_PARAMETER_SETS: usize = 4;

/// Bytes of an AudioSpecificConfig: those in use have 2 to 7, with a program config element more.
pub const AAC_CONFIG_BYTES: usize = 64;

/// Picture parameter sets kept for one stream.
pub const PICTURE_PARAMETER_SETS: usize = 16;

// SIP

/// Bytes of one SIP message, on either transport.
pub const SIP_MESSAGE_BYTES: usize = 16_384;

/// Header lines of one SIP message; more refuse it with a 400.
pub const SIP_HEADERS: usize = 128;

/// SIP messages that wait for the owner of an endpoint; it takes them after every step.
pub const SIP_TRANSMITS: usize = 512;

/// Stream connections of one SIP endpoint beyond one for every call.
pub const SIP_SPARE_CONNECTIONS: usize = 16;

/// Calls of one SIP endpoint that are over but for the peer's answer to our BYE, beyond as many as
/// may be up.
pub const SIP_SPARE_CALLS: usize = 16;

/// Server transactions of one SIP endpoint for every call: its INVITE, a re-INVITE, INFOs, the BYE.
pub const SIP_TRANSACTIONS_PER_CALL: usize = 4;

/// Server transactions of one SIP endpoint whatever the number of calls.
pub const SIP_SPARE_TRANSACTIONS: usize = 64;

/// Bytes of the user part of a Request-URI, escapes resolved: the number that was dialled.
pub const SIP_USER_BYTES: usize = 128;

/// Peers of a trunk for which our own address is remembered.
pub const SIP_ROUTES: usize = 16;

/// Digest challenges that are read of one message.
pub const SIP_CHALLENGES: usize = 8;

/// Bytes of a realm, nonce or other value of a digest challenge.
pub const SIP_CHALLENGE_BYTES: usize = 1_024;

/// Realms that one request of ours carries credentials for.
pub const SIP_REALMS: usize = 4;

/// Times in a row that one request of ours is challenged before it is given up.
pub const SIP_CHALLENGE_ROUNDS: u8 = 6;

/// Client transactions of one SIP endpoint beside those of calls: registrations and pings.
pub const SIP_SPARE_REQUESTS: usize = 32;

/// Addresses of one peer that a request may go to, in the order to try them.
pub const SIP_TARGETS: usize = 8;

/// Sources that one SIP endpoint tells apart when it limits and reports them.
pub const SIP_SOURCES: usize = 64;

/// Values of Service-Route that a registration keeps.
pub const SIP_SERVICE_ROUTES: usize = 8;

/// Seconds that a registration may last: a week.
pub const SIP_EXPIRES_MAX: u32 = 604_800;

/// Registrations of one SIP endpoint: that of its trunk, and those of calls that asked for one.
pub const SIP_REGISTRATIONS: usize = 16;

/// Rules of one trunk for the requests that it takes.
pub const SIP_RULES: usize = 16;

/// Things that one rule looks at.
pub const SIP_RULE_CONDITIONS: usize = 8;

/// Things that one rule changes.
pub const SIP_RULE_CHANGES: usize = 8;

/// Bytes of one pattern or value of a rule.
pub const SIP_RULE_TEXT_BYTES: usize = 256;

/// Bytes of one number or name by which a call's parties are told; longer ones are cut.
pub const SIP_IDENTITY_BYTES: usize = 128;

/// Values of one header that tell a call's history, such as Diversion; the rest are passed over.
pub const SIP_IDENTITY_VALUES: usize = 8;

/// Forks of one call of ours: dialogs that one INVITE made. What further ones say is not heard.
pub const SIP_FORKS: usize = 6;

/// Redirects that one request of ours follows, and contacts of one that are kept.
pub const SIP_REDIRECTS: usize = 5;

/// INVITEs that one call of ours sends, whatever it is answered with.
pub const SIP_ATTEMPTS: u8 = 24;

/// Addresses that are listened to though they may not call: where calls of ours, registrations and
/// pings go.
pub const SIP_PEERS: usize = 64;

/// Bytes of a request above which it takes a stream where UDP was meant (RFC 3261 section 18.1.1,
/// for a path of 1,500 bytes).
pub const SIP_DATAGRAM_BYTES: usize = 1_300;

/// Characters of the words that a peer's refusal is remembered by; the rest is cut.
pub const SIP_CAUSE_CHARACTERS: usize = 240;

/// Bytes of an INVITE of ours, so that it fits one datagram on any path.
pub const SIP_INVITE_BYTES: usize = 1_200;

/// Bytes of its head without the names in it, which are added for each call.
pub const SIP_INVITE_HEAD_BYTES: usize = 500;

/// Bytes of the URI that a REFER may name, header fields included.
pub const SIP_REFER_BYTES: usize = 1_024;

/// Bytes of a Replaces value.
pub const SIP_REPLACES_BYTES: usize = 512;

/// Bytes of a `message/sipfrag` that are read for its status line.
pub const SIP_SIPFRAG_BYTES: usize = 256;

// SDP

/// Bytes of its offer that are always left, however long the names are.
pub const SDP_OFFER_LEAST_BYTES: usize = 400;

/// Bytes of one session description: it has to fit a SIP message.
pub const SDP_BYTES: usize = SIP_MESSAGE_BYTES;

/// Lines of one session description; more refuse the whole offer.
pub const SDP_LINES: usize = 1_024;

/// Media lines of one session description; more refuse the whole offer.
pub const SDP_MEDIA: usize = 12;

/// Formats of one media line; more refuse the whole offer.
pub const SDP_FORMATS: usize = 64;

/// Bytes of the media type, and of the protocol, in one media line; longer ones refuse the offer.
pub const SDP_WORD_BYTES: usize = 64;

/// Bytes of formats repeated in the answer to a media line that is refused.
pub const SDP_ECHO_BYTES: usize = 256;

/// Attributes of one media section, or of the session section; more refuse the whole offer.
pub const SDP_ATTRIBUTES: usize = 256;

/// Parameter sets taken from one `sprop-parameter-sets`; the rest are left out.
pub const SDP_SPROP_SETS: usize = 8;

/// Lines that a trunk's `sdpParams`, or one section of its `sdp` template, may add to what we send.
pub const SDP_EXTRA_LINES: usize = 16;

// RTP

/// Packets that a video stream holds back while it waits for a missing one; a power of two.
pub const REORDER_PACKETS: usize = 128;

/// Packets that an audio stream holds back: packets of 20 ms are few; a power of two.
pub const REORDER_AUDIO_PACKETS: usize = 32;

/// Packets of a source on probation that are kept until it is accepted or refused.
pub const PROBATION_PACKETS: usize = 8;

/// Packets of one audio frame that came in fragments; a longer one is dropped and counted.
pub const AUDIO_FRAGMENTS: usize = 8;

/// Audio frames of one packet, or of one AudioMuxElement; more are dropped and counted.
pub const AUDIO_UNITS: usize = 64;

/// Bytes of one RTP payload of the silence that we send: 20 ms of G.711.
pub const SILENCE_BYTES: usize = 160;

/// Telephone events of one call that wait for its owner to take them.
pub const SESSION_EVENTS: usize = 8;

/// Keys of one call that wait to be sent as telephone events or by INFO, the present one included;
/// more at once are refused.
pub const DTMF_KEYS: usize = 64;

/// Bytes of the RTP payloads that we cut frames into: with every header and SRTP they pass any usual
/// tunnel.
pub const RTP_PAYLOAD_BYTES: usize = 1_200;

/// Bytes of an RTP payload of ours that cannot be cut: with every header and SRTP it fits a path of
/// 1,500 bytes.
pub const RTP_WHOLE_PAYLOAD_BYTES: usize = 1_400;

/// Packets of one compound RTCP datagram that are read; the rest is passed over.
pub const RTCP_PACKETS: usize = 16;

/// Report blocks of one received report that are read; a call has one stream each way.
pub const RTCP_BLOCKS: usize = 4;

/// Sources of one received BYE that are read.
pub const RTCP_SOURCES: usize = 4;

/// Runs of up to 17 missing packets that one request for them names.
pub const RTCP_NACK_ENTRIES: usize = 8;

/// Missing packets of one track that are asked for at the same time.
pub const NACK_PACKETS: usize = 32;

/// Bytes of our RTCP canonical name; a longer one is cut.
pub const RTCP_CNAME_BYTES: usize = 64;

/// Bytes that hold any compound RTCP packet of ours.
pub const RTCP_COMPOUND_BYTES: usize = 256;

/// Bytes that hold any packet of ours, protected or not: a compound and what SRTCP adds to it.
pub const MEDIA_PACKET_BYTES: usize = RTCP_COMPOUND_BYTES + 14;

/// Sources that may send under one SRTP key; the packets of one more are dropped and counted.
pub const SRTP_SOURCES: usize = 16;

// RTMP

/// Chunk size that is announced to RTMP peers; nginx-rtmp ends connections with very large ones.
pub const RTMP_CHUNK_BYTES: usize = 65_536;

/// Chunk streams that one peer may use; another one ends the connection.
pub const RTMP_CHUNK_STREAMS: usize = 16;

/// Bytes of one command or data message that is read; a longer one is skipped and counted.
pub const RTMP_COMMAND_BYTES: usize = 4_096;

/// Commands that a peer may have begun at once, on different chunk streams.
pub const RTMP_COMMANDS_BEGUN: usize = 2;

/// Bytes of handshake, commands and answers that wait to be sent: a handshake (3,073) and the
/// longest `connect`. A peer that asks for more without reading ends the connection.
pub const RTMP_CONTROL_BYTES: usize = 8_192;

/// Bytes of an RTMP address.
pub const RTMP_URL_BYTES: usize = 512;

/// Bytes of a user's name or password in an RTMP address.
pub const RTMP_CREDENTIAL_BYTES: usize = 128;

/// Bytes of an application's or stream's name.
pub const RTMP_NAME_BYTES: usize = 256;

/// Bytes of the words that tell why a connection is not up; the rest is cut.
pub const RTMP_REASON_BYTES: usize = 160;

/// Bytes of a server's version that are kept; the rest is cut.
pub const RTMP_VERSION_BYTES: usize = 48;

/// Times that a publisher follows a server to another address before a stream has lasted.
pub const RTMP_HOPS: u8 = 3;

/// Messages gathered for one write.
pub const RTMP_GATHER_MESSAGES: usize = 16;

/// How far behind, in milliseconds, a connection may fall before its video is dropped to the next
/// keyframe, and soon after that its audio.
pub const RTMP_BACKLOG_MILLIS: u64 = 2_000;

/// Bytes that may wait for a connection. They are those of the frame log, which all readers share
/// and which bounds itself by [`LOG_FRAMES`] and [`LOG_SEGMENTS`]: 576 segments of 1,505 bytes.
pub const RTMP_BACKLOG_BYTES: usize = 1_048_576;

const _: () = assert!(LOG_SEGMENTS * (PACKET_BYTES + SEGMENT_PREFIX_BYTES) <= RTMP_BACKLOG_BYTES);

// HTTP

/// Bytes of the head of an HTTP request, request line included; more is answered with 414 or 431.
pub const HTTP_HEAD_BYTES: usize = 4_096;

/// Header lines of one HTTP request; more is answered with 431.
pub const HTTP_HEADERS: usize = 32;

/// Bytes of the body of an HTTP request; more is answered with 413.
pub const HTTP_BODY_BYTES: usize = 16_384;

/// HTTP connections at once. Another one takes the place of the one that has been longest without a
/// whole request, or is closed.
pub const HTTP_CONNECTIONS: usize = 32;

/// HTTP connections of one address.
pub const HTTP_CONNECTIONS_AN_ADDRESS: usize = 16;

/// HTTP requests answered in one turn of the loop; the rest waits for the next.
pub const HTTP_REQUESTS_A_TURN: usize = 8;

/// Bytes of answers made in one turn of the loop, the last answer aside: a list of about a hundred
/// calls, made in about a tenth of a millisecond.
pub const HTTP_BYTES_A_TURN: usize = 65_536;

/// Bytes of one answer: a list of every call there may be.
pub const HTTP_ANSWER_BYTES: usize = 1_048_576;

/// Bytes of all answers that wait for their sockets; one that does not fit is a 503.
pub const HTTP_UNSENT_BYTES: usize = HTTP_ANSWER_BYTES + 65_536;

/// Bytes of one HTTP connection at its worst, its share of what is not sent included.
pub const HTTP_STATE_BYTES: usize =
    1_024 + 2 * (HTTP_HEAD_BYTES + HTTP_BODY_BYTES) + HTTP_UNSENT_BYTES / HTTP_CONNECTIONS;

/// Addresses whose failed logins are remembered; the one that failed longest ago gives way.
pub const HTTP_LOGIN_ADDRESSES: usize = 64;

/// Failed logins of one address, after which it has to wait.
pub const HTTP_LOGIN_TRIES: u32 = 5;

/// Bytes of the head of a response that we read as a client, and of the trailers of one.
pub const HTTP_RESPONSE_HEAD_BYTES: usize = 8_192;

/// Header lines of such a response.
pub const HTTP_RESPONSE_HEADERS: usize = 64;

/// Bytes of its body. What hooks are answered with is as long as they are, and not needed whole.
pub const HTTP_RESPONSE_BODY_BYTES: usize = 65_536;

/// Interim responses before it.
pub const HTTP_RESPONSE_INTERIMS: u8 = 8;

/// Bytes of the line that begins a chunk, extensions included.
pub const HTTP_CHUNK_LINE_BYTES: usize = 256;

// The page

/// Connections of browsers at once, beside those of REST; another one takes the place of the one that
/// has been longest without a whole request, or is closed.
pub const PAGE_CONNECTIONS: usize = 48;

/// Such connections of one address.
pub const PAGE_CONNECTIONS_AN_ADDRESS: usize = 36;

/// Bytes of one such connection at its worst, its share of what is not sent included.
pub const PAGE_STATE_BYTES: usize =
    1_024 + 2 * (HTTP_HEAD_BYTES + HTTP_BODY_BYTES) + HTTP_UNSENT_BYTES / PAGE_CONNECTIONS;

/// Bytes of the body of a request of somebody who has signed in: the settings as a whole.
pub const PAGE_DOCUMENT_BYTES: usize = 49_152;

/// Bodies longer than [`HTTP_BODY_BYTES`] that come at the same time; one more is answered with 413.
pub const PAGE_DOCUMENTS: usize = 4;

/// Browsers that have signed in; one more takes the place of the one that was used longest ago.
pub const PAGE_SESSIONS: usize = 32;

/// Tries of a password of all addresses together in one minute, after which everybody has to wait.
pub const PAGE_LOGIN_TRIES: u32 = 60;

/// Passwords that wait to be compared; one more is a 503.
pub const PAGE_LOGINS: u32 = 4;

/// Kibibytes that the hash of a password takes while it is computed, one at a time.
pub const PASSWORD_HASH_KIB: u32 = 7_168;

/// Pieces of work of the page that wait for each of the threads that do it; one more is a 503.
pub const DESK_QUEUE: usize = 8;

/// Pieces of work that are done and not yet told.
pub const DESK_DONE: usize = 2;

/// Bytes of one document that such work is answered with.
pub const DESK_ANSWER_BYTES: usize = 262_144;

/// Bytes of all such work: what waits or is done on each of two threads, what came of it, the hash of
/// one password, and the last lines of the log.
pub const DESK_BYTES: usize = 2 * (DESK_QUEUE + 1) * PAGE_DOCUMENT_BYTES
    + PAGE_DOCUMENTS * 2 * PAGE_DOCUMENT_BYTES
    + (DESK_DONE + 2) * DESK_ANSWER_BYTES
    + PASSWORD_HASH_KIB as usize * 1_024
    + LOG_KEPT_BYTES;

/// Lines of the log that are kept for whoever looks for what happened.
pub const LOG_KEPT_LINES: usize = 500;

/// Bytes of them.
pub const LOG_KEPT_BYTES: usize = 131_072;

// Hooks

/// Events that wait for the backend or are under way to it, over all calls.
pub const HOOK_EVENTS: usize = 1_024;

/// Events of one call, or of one registration, among them.
pub const HOOK_EVENTS_A_CALL: usize = 16;

/// Bytes of one event's body; a longer one is dropped and counted.
pub const HOOK_BODY_BYTES: usize = 4_096;

/// Bytes of all bodies that wait.
pub const HOOK_QUEUE_BYTES: usize = 2_097_152;

/// Incoming calls that wait for the backend's word at the same time; one more goes the way of one
/// whose question failed.
pub const HOOK_CALLS_ASKED: usize = 32;

/// Connections to the backend that a configuration may ask for.
pub const HOOK_CONNECTIONS_MAX: usize = 16;

/// Bytes of an application's key.
pub const HOOK_APP_KEY_BYTES: usize = 128;

/// Registrations whose last told state is kept; of one more every change is told.
pub const HOOK_REGISTRATIONS: usize = 64;

/// Bytes of one connection to the backend at its worst: a request and a response.
pub const HOOK_CONNECTION_BYTES: usize =
    1_024 + 2 * HOOK_BODY_BYTES + HTTP_RESPONSE_HEAD_BYTES + HTTP_RESPONSE_BODY_BYTES;
// Recordings

/// Recordings at once; one more is refused.
pub const RECORDINGS: usize = 16;

/// Bytes of media that one recording gathers before they go to the disk: the largest picture, or a
/// second at 6 Mbit/s.
pub const RECORDING_FRAGMENT_BYTES: usize = 768 * 1_024;

/// Bytes that all recordings gather together: those of sixteen at 2 Mbit/s.
pub const RECORDING_BYTES: usize = 6 * 1_024 * 1_024;

/// Frames of one track that a recording gathers.
pub const RECORDING_SAMPLES: usize = 256;

/// Orders of all recordings that wait for the disk, beside the ends of files.
pub const RECORDING_QUEUE: usize = 64;

/// Bytes of all recordings that wait for the disk; what does not fit ends its recording.
pub const RECORDING_QUEUE_BYTES: usize = 6 * 1_024 * 1_024;

/// Files of one recording; it ends with the last of them.
pub const RECORDING_FILES: u32 = 9_999;

/// Bytes of a recording's file name, whatever its template.
pub const RECORDING_NAME_BYTES: usize = 255;

/// Bytes of the template of a recording's name.
pub const RECORDING_TEMPLATE_BYTES: usize = 255;

/// Files in the folder of recordings that are looked at when space is to be made.
pub const RECORDING_FOLDER_FILES: usize = 65_536;

const _: () =
    assert!(FRAME_SEGMENTS * (PACKET_BYTES + SEGMENT_PREFIX_BYTES) <= RECORDING_FRAGMENT_BYTES);

// Gateway and shell

/// Connections that one trunk opens at the same time.
pub const TRUNK_OPENING: usize = 16;

/// Addresses of one trunk for which the domain that led there is remembered.
pub const TRUNK_NAMES: usize = 32;

/// Media ports that are tried for one track before the call is refused.
pub const PORT_ATTEMPTS: usize = 8;

/// Seconds after which a refused caller may try again.
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// Players of streams, over all calls.
pub const PLAYERS: usize = 128;

/// Players of one call's stream.
pub const PLAYERS_A_CALL: usize = 16;

/// Pushes of streams to further RTMP servers, over all calls.
pub const PUSHES: usize = 64;

/// Calls whose picture and sound are shown on the page at the same time; any number of pages may show
/// one of them.
pub const LIVE_CALLS: usize = 8;

/// Bytes of pictures in one answer to a page; one that is larger comes alone.
pub const LIVE_VIDEO_BYTES: usize = 524_288;

/// Bytes of sound in one answer to a page.
pub const LIVE_AUDIO_BYTES: usize = 131_072;

/// Bytes of what stands around the frames of an answer to a page, or more.
pub const LIVE_HEAD_BYTES: usize = 65_536;

const _: () = assert!(
    FRAME_SEGMENTS * (PACKET_BYTES + SEGMENT_PREFIX_BYTES) + LIVE_AUDIO_BYTES + LIVE_HEAD_BYTES
        <= HTTP_ANSWER_BYTES
);

/// Calls into which one stream is sent at the same time.
pub const STREAM_LISTENERS: usize = 16;

/// Packets of pictures that leave into one call at once; see
/// [`BURST_TIME`](crate::gateway::injection::feed::BURST_TIME).
pub const INJECTION_BURST: u8 = 16;

/// Bytes of one tag of an FLV file: a keyframe, as large as a frame log takes one.
pub const FILE_TAG_BYTES: usize = FRAME_SEGMENTS * PACKET_BYTES;

/// Bytes of one `moov` or `moof` of an MP4 file: the index of its frames, or of a fragment's.
pub const FILE_INDEX_BYTES: usize = 262_144;

/// Frames of one track that an index of an MP4 file tells of: five minutes of 25 pictures a
/// second, half as much of sound in frames of 20 ms.
pub const FILE_SAMPLES: usize = 8_192;

/// Bytes of an MP4 file that wait for frames of the other track: a fragment of our own recordings.
pub const FILE_WINDOW_BYTES: usize = RECORDING_FRAGMENT_BYTES;

/// MP4 files among them: they keep more than others.
pub const MP4_FILES: usize = 6;

/// Bytes that one MP4 file costs at most: the window, that grows in steps of 64 KiB and lags one behind,
/// the frames of two tracks at 24 bytes each, and what was read of it.
pub const FILE_STATE_BYTES: usize =
    FILE_WINDOW_BYTES + 131_072 + 2 * FILE_SAMPLES * 24 + 2 * FILE_CHUNK_BYTES;

// An index and its frames come before anything is in the window.
const _: () = assert!(FILE_INDEX_BYTES <= FILE_WINDOW_BYTES);
const _: () = assert!(FILE_TAG_BYTES <= FILE_WINDOW_BYTES);

/// Files that are sent into calls, or being opened, at the same time.
pub const FILES: usize = 16;

/// Sounds of pushes that are held in memory, or being read, at the same time.
pub const PUSH_SOUNDS: usize = 8;

/// Bytes of one sound of a push: half a minute of G.711, or of AAC at 64 kbit/s.
pub const PUSH_SOUND_BYTES: usize = 240_000;

/// Frames of one sound of a push, in codecs that have any: 80 seconds in frames of 20 ms.
pub const PUSH_SOUND_FRAMES: usize = 4_096;

/// Bytes of a file that are read at once, by a thread of the shell.
pub const FILE_CHUNK_BYTES: usize = 32_768;

/// Bytes of a file's name.
pub const FILE_NAME_BYTES: usize = 128;

/// Packet slots that the frames of one file may hold before they are sent, but for a larger frame.
pub const FILE_SEGMENTS: usize = 48;

/// Bytes gathered for one write to a stream socket.
pub const GATHER_BYTES: usize = 131_072;

// REST

/// Bytes of a client's name of a call.
pub const REST_CALL_ID_BYTES: usize = 128;

/// Bytes of a password that a client gives for a call.
pub const REST_PASSWORD_BYTES: usize = 128;

/// Bytes of a display name, or of an application's key, that a client gives.
pub const REST_NAME_BYTES: usize = 128;

// What is remembered

/// Bytes of one slot of the journal: a record of [`JOURNAL_RECORD_BYTES`] and what belongs to it.
pub const JOURNAL_SLOT_BYTES: usize = 256;

/// Bytes of one record of the journal.
pub const JOURNAL_RECORD_BYTES: usize = 224;

/// Slots of the journal: it keeps that many records, and its file is 32 KiB.
pub const JOURNAL_SLOTS: usize = 128;

/// Records that wait to be written to the journal; one more is dropped and counted.
pub const JOURNAL_QUEUE: usize = 64;

/// RTMP servers whose abilities are remembered; the one used longest ago gives way. Together with
/// [`HISTORY_CALLS`] about half of [`JOURNAL_SLOTS`], which leaves room for records of other kinds.
pub const SINKS: usize = 24;

/// Calls that are over and remembered with the reason; each has a place in the journal.
pub const HISTORY_CALLS: usize = 32;

/// Bytes of one name in the history of calls; a longer one is cut.
pub const HISTORY_TEXT_BYTES: usize = 96;

/// Bytes of the words in which the history tells why a call ended; longer ones are cut.
pub const HISTORY_DETAIL_BYTES: usize = 160;

// What counts is never written over while room for as much is left.
const _: () = assert!(2 * (SINKS + HISTORY_CALLS) <= JOURNAL_SLOTS);

/// Samples of rate, losses and calls that are kept: half an hour of one every ten seconds.
pub const TREND_SAMPLES: usize = 180;

// What an installation may set, and what it costs

/// Calls at once that a configuration may ask for.
pub const CALLS_MAX: usize = 1_000;

/// Mebibytes of memory that a configuration may allow.
pub const MEMORY_MIB_MAX: usize = 16_384;

/// Trunks of one configuration.
pub const TRUNKS: usize = 16;

/// Trunks at once, those included that another configuration has no more and whose calls are not over.
pub const TRUNK_PLACES: usize = 2 * TRUNKS;

/// Media ports of one call: RTP and RTCP of an audio and a video stream.
pub const MEDIA_PORTS_PER_CALL: usize = 4;

/// Packet slots there are whatever the number of calls.
pub const POOL_PACKETS_BASE: usize = 512;

/// Packet slots added for every call that may be.
pub const POOL_PACKETS_PER_CALL: usize = 48;

/// Bytes of one call's state on every floor, its frame log included. An upper estimate of what a
/// call takes with every buffer of its publisher in use and its media protected; one that streams
/// takes 64 KiB at most, and [`SRTP_CALL_BYTES`] where it is protected.
pub const CALL_STATE_BYTES: usize = 96 * 1_024 + SRTP_CALL_BYTES;

/// Bytes that SRTP adds to a call whose media it protects: keys in use, windows against replays, and
/// for a moment those of a key that was replaced.
pub const SRTP_CALL_BYTES: usize = 16 * 1_024;

/// Bytes of one player's state. An upper estimate, with every buffer in use; one that plays takes
/// about 9 KiB.
pub const PLAYER_STATE_BYTES: usize = 40 * 1_024;

/// Bytes of one push's state. An upper estimate, with every buffer of its publisher in use.
pub const PUSH_STATE_BYTES: usize = 48 * 1_024;

/// Bytes that one call may take in a trunk's SIP endpoint: places in its tables, messages kept for
/// retransmission, and the framer of a connection. Counted for every trunk, as each has room for
/// every call. An upper estimate for messages of ordinary length.
pub const SIP_CALL_STATE_BYTES: usize = 32 * 1_024;

/// Bytes of one trunk beside its calls: spare places and connections, messages that wait to be
/// sent. An upper estimate for messages of ordinary length.
pub const TRUNK_STATE_BYTES: usize = 1_024 * 1_024;

/// Bytes that are there once: scratch and gather buffers, tables, log queue. An upper estimate.
pub const FIXED_STATE_BYTES: usize = 4 * 1_024 * 1_024;

/// Bytes of the program itself: code, stacks and allocator. An upper estimate.
pub const PROGRAM_BYTES: usize = 8 * 1_024 * 1_024;

/// The capacities that an installation sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; one more is answered with 503.
    pub calls: usize,
    /// Mebibytes that the memory budget may reach.
    pub memory_mib: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 32,
            memory_mib: 96,
        }
    }
}

impl Limits {
    /// Slots of the packet pool.
    pub const fn pool_packets(&self) -> usize {
        POOL_PACKETS_BASE.saturating_add(POOL_PACKETS_PER_CALL.saturating_mul(self.calls))
    }
}
/// Reports taken from the kernel in one wake-up.
pub const POLL_EVENTS: usize = 256;

/// Datagrams read from one media socket with one system call.
pub const RECEIVE_BATCH: usize = 32;

/// Bytes of kernel receive buffer asked for each media socket: a large keyframe's burst.
pub const MEDIA_SOCKET_BYTES: usize = 1 << 20;

/// Bytes of kernel receive buffer asked for each SIP socket: a flood while the loop is at work must not
/// push out what the PBX sends, whose repetition comes half a second later.
pub const SIP_SOCKET_BYTES: usize = 4 << 20;

/// SIP datagrams read from one socket in one wake-up; the rest waits for the next.
pub const SIP_DATAGRAMS_A_WAKE: usize = 64;

/// TCP connections of all kinds, in and out.
pub const STREAMS: usize = 2_560;

/// Bytes that may wait for the socket of one SIP connection: the longest message, or some ten of
/// ordinary length. RTMP waits in its own machines.
pub const STREAM_PENDING_BYTES: usize = SIP_MESSAGE_BYTES;

/// Bytes that the kernel takes for a TCP connection beyond those that are on their way.
pub const STREAM_UNSENT_BYTES: u32 = 32_768;

/// Bytes that TLS keeps of what one connection was given and its socket has not taken: one record,
/// an eighth of a second at 1 Mbit/s.
pub const TLS_BUFFER_BYTES: usize = 16_384;

/// Bytes of one TLS connection at its worst, while the server sends records of the largest size and
/// does not read what is sent to it. Otherwise 11 KiB, or 27 KiB towards a server that does not read.
pub const TLS_STATE_BYTES: usize = 80 * 1_024;

/// TLS handshakes with clients at the same time; one more ends the oldest of the busiest source.
pub const TLS_HANDSHAKES: usize = 64;

/// Bytes read from a TCP connection at once.
pub const STREAM_READ_BYTES: usize = 65_536;

/// Reads from one TCP connection in one wake-up; the rest waits for the next.
pub const STREAM_READS_A_WAKE: usize = 8;

/// Bytes read from all TCP connections in one wake-up, the last read aside: about a millisecond of
/// the shortest messages there are.
pub const STREAM_BYTES_A_WAKE: usize = 131_072;

/// Addresses of one host name that are tried in turn.
pub const HOST_ADDRESSES: usize = 4;

/// Host names being resolved at the same time.
pub const RESOLUTIONS: usize = 64;

/// Name servers of the system that are asked.
pub const DNS_SERVERS: usize = 3;

/// Bytes of one answer to a question by datagram: ours ask for no longer ones than 512.
pub const DNS_MESSAGE_BYTES: usize = 4_096;

/// Records of one section of an answer; more refuse it.
pub const DNS_RECORDS: usize = 128;

/// SRV records of one service that are taken; the rest are left out.
pub const SRV_RECORDS: usize = 16;

/// Aliases that are followed from one name.
pub const DNS_ALIASES: usize = 8;

/// Programs that show how the daemon is, such as that of the LEDs; one more is turned away.
pub const PANEL_CLIENTS: usize = 4;
