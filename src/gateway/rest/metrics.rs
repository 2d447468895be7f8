//! `/metrics`: what the box counts and uses, in Prometheus' text format 0.0.4.
//!
//! Names and units follow Prometheus' conventions. What belongs to a trunk is labelled with its
//! name; calls, callers and streams are not named, so that the answer stays as short as the
//! configuration lets it be. A field of a struct of counters that is not listed here does not
//! compile.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod page;

use crate::gateway::call_summary::{MediaTotals, SinkSummary, TrackSummary};
use crate::gateway::hooks::HookCounters;
use crate::gateway::hooks::queue::QueueCounters;
use crate::gateway::http::HttpCounters;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::outlet::{OutletFigures, ProcessFigures};
use crate::gateway::page::PageCounters;
use crate::gateway::rest::ANY_ORIGIN;
use crate::gateway::rest::failure::Failure;
use crate::gateway::status::CallStatus;
use crate::gateway::usage::Usage;
use crate::gateway::{Gateway, GatewayCounters, TrunkView};
use crate::rtmp::RtmpStatus;
use crate::sip::{PeerState, RegistrationState, SipCounters};

use page::{Kind, Page, Sample};

const CONTENT: (&str, &str) = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8");

/// The fields of a struct, all of them: each as name, meaning and value.
macro_rules! samples {
    ($from:expr => $of:ident $(without $beside:ident)?, $prefix:literal, $suffix:literal,
     $($field:ident: $help:literal,)*) => {{
        let $of { $($beside: _,)? $($field,)* } = *$from;
        vec![$(Sample {
            name: concat!("trunkcast_", $prefix, stringify!($field), $suffix),
            help: $help,
            value: $field as u64,
        },)*]
    }};
}

/// Answers with everything.
pub fn handle(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let figures = exchange.outlet.figures();
    let page = page(exchange.gateway, &figures);
    super::respond(exchange, 200, &[CONTENT, ANY_ORIGIN], page.as_bytes())
}

/// Everything, as text.
pub(super) fn page(gateway: &Gateway, figures: &OutletFigures) -> String {
    let mut page = Page::default();
    page.family(
        "trunkcast_build_info",
        Kind::Gauge,
        "The version that runs, as a label.",
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.sample("trunkcast_build_info", &version, 1);
    page.all(Kind::Counter, &of_gateway(&gateway.counters));
    page.all(Kind::Counter, &of_http(&gateway.http.counters));
    page.all(Kind::Counter, &of_page(gateway.page_counters()));
    if let Some((hooks, queue)) = gateway.hook_counters() {
        page.all(Kind::Counter, &of_hooks(&hooks));
        page.all(Kind::Counter, &of_queue(&queue));
        let waiting = gateway.hook_events() as u64;
        page.all(
            Kind::Gauge,
            &[Sample {
                name: "trunkcast_hooks_waiting",
                help: "Events that wait for the backend or are under way to it.",
                value: waiting,
            }],
        );
    }
    page.all(Kind::Gauge, &of_usage(&gateway.usage()));
    let sessions = Sample {
        name: "trunkcast_page_sessions",
        help: "Browsers that have signed in to the page.",
        value: gateway.http.door.sessions.count() as u64,
    };
    page.all(Kind::Gauge, &[sessions]);
    capacities(&mut page, gateway);
    calls(&mut page, gateway);
    media(&mut page, gateway);
    let sip: Vec<_> = gateway
        .sip_counters()
        .map(|(trunk, counters)| (trunk, of_sip(counters)))
        .collect();
    page.table(Kind::Counter, "trunk", &sip);
    trunks(&mut page, gateway);
    page.all(Kind::Counter, &of_outlet(figures));
    if let Some(process) = &figures.process {
        of_process(&mut page, process);
    }
    page.into_text()
}

fn of_gateway(counters: &GatewayCounters) -> Vec<Sample> {
    samples! { counters => GatewayCounters, "", "_total",
        calls: "Calls answered.",
        calls_refused: "Calls refused because a table, the ports or the memory were used up.",
        calls_without_media: "Calls refused because nothing that they offer can be relayed.",
        calls_crashed: "Calls ended by a defect of this program.",
        pushes: "Pushes begun.",
        pushes_refused: "Pushes refused because every place was taken.",
        pushes_crashed: "Pushes ended by a defect of this program.",
        players_crashed: "Players ended by a defect of this program.",
        inputs_crashed: "SIP datagrams and connections dropped for a defect of this program.",
        timers_crashed: "SIP timers given up for a defect of this program.",
        players_refused: "Players turned away because a table was full.",
        stray_packets: "Media packets for tracks or calls that were gone.",
        frames_shed: "Frames taken from slow readers because packet slots became scarce.",
        units_shed: "Access units dropped before their end because packet slots became scarce.",
        recordings: "Files of recordings that are finished.",
        recordings_lost: "Recordings that did not begin, or ended before their call, for want of room.",
        readers_shed: "Connections of publishers and players given up because packet slots became scarce.",
    }
}

fn of_http(counters: &HttpCounters) -> Vec<Sample> {
    samples! { counters => HttpCounters, "http_", "_total",
        requests: "HTTP requests answered, whatever the answer was.",
        malformed: "HTTP requests refused because they are not HTTP as it is taken here.",
        timed_out: "HTTP connections closed because a request did not come, or an answer was not read, in time.",
        evicted: "HTTP connections closed to make room for others.",
        turned_away: "HTTP connections closed at once because there was no room.",
        logins_failed: "HTTP requests with a password that does not fit.",
        logins_locked: "HTTP requests of addresses that had to wait for their next login.",
        overloaded: "HTTP answers replaced by a 503 because too much waited to be sent.",
        crashed: "HTTP requests ended by a defect of this program.",
    }
}

fn of_page(counters: &PageCounters) -> Vec<Sample> {
    samples! { counters => PageCounters, "page_", "_total",
        not_allowed: "Connections to the page from networks that may not reach it.",
        logins: "Browsers that signed in to the page.",
        logins_failed: "Passwords of the page that did not fit.",
        logins_locked: "Logins to the page that had to wait for their next try.",
        cross_site: "Requests to the page that another site made a browser send.",
        strange_hosts: "Attempts to set the first password of the page under a name that is not local.",
        passwords_set: "Times that the password of the page was set or changed.",
    }
}

fn of_hooks(counters: &HookCounters) -> Vec<Sample> {
    samples! { counters => HookCounters, "hooks_", "_total",
        delivered: "Events that the backend took.",
        refused: "Events and questions that the backend answered with something else than a success.",
        failed: "Tries that failed: no connection, no answer in time, or an error of the backend.",
        calls_rejected: "Incoming calls that the backend refused.",
        questions_unanswered: "Incoming calls of which the backend said nothing in time.",
        crashed: "Times that a defect of this program touched what waited for the backend.",
    }
}

fn of_queue(counters: &QueueCounters) -> Vec<Sample> {
    samples! { counters => QueueCounters, "hooks_", "_total",
        superseded: "Events left out because a newer state of the same call came and room was short.",
        crowded_out: "Events dropped for want of room.",
        expired: "Events dropped because the backend did not take them in time.",
        oversized: "Events dropped because their body was too long.",
    }
}

fn of_usage(usage: &Usage) -> Vec<Sample> {
    samples! { usage => Usage, "used_", "",
        calls: "Places of the call table in use, streams that still end included.",
        players: "Local players.",
        pushes: "Pushes, those that say farewell included.",
        clients: "HTTP connections, those of the page included.",
        connections: "TCP connections of trunks, publishers, players and HTTP clients.",
        ports: "Even media ports leased.",
        sip: "SIP sessions and transactions.",
    }
}

fn of_sip(counters: &SipCounters) -> Vec<Sample> {
    samples! { counters => SipCounters, "sip_", "_total",
        source_refused: "Messages and connections from sources that may not call.",
        excess_refused: "Messages and connections that were too many, of sources that may call.",
        unreadable: "What is no SIP, or a message that cannot be read and asks for no answer.",
        malformed: "Requests answered with what is wrong with their form.",
        keep_alives: "Line ends between messages, to keep a way open.",
        requests_refused: "Requests outside calls answered with another refusal.",
        options: "OPTIONS answered.",
        retransmissions: "Repetitions of requests absorbed.",
        merged: "Requests that came again over another way.",
        unknown_dialog: "Requests for a dialog or transaction that there is not.",
        out_of_order: "Requests within a dialog that came out of order.",
        stray_acks: "ACKs that belong to nothing.",
        stray_responses: "Responses that belong to nothing.",
        calls: "INVITEs that began a call.",
        calls_refused: "INVITEs that found no room.",
        infos: "INFO that asked for a keyframe, or was a key.",
        refers: "REFERs that were worked on.",
        refreshes: "Sessions refreshed, from either side.",
        glares: "Re-INVITEs of ours that collided with one of theirs.",
        resent: "Messages of ours that were sent again.",
        acks_missing: "Answers to INVITE whose ACK never came.",
        requests_unanswered: "Requests of ours that nobody answered.",
        transmits_dropped: "Messages dropped because they were not taken in time.",
        oversized: "Messages too long to be printed.",
        transactions_evicted: "Transactions given up early for want of room.",
        connections_refused: "Connections that found no room.",
        connections_evicted: "Connections closed to make room.",
        streams_broken: "Connections whose messages could not be told apart.",
        plain_refused: "Messages not sent for want of TLS on a way that has to have it.",
        tls_unexpected: "Connections that began with TLS where none is spoken.",
        connections_unfinished: "Connections whose peer said nothing, or did not finish a message, in time.",
        connections_idle: "Connections closed because nothing needed them for long.",
        connections_dead: "Connections closed because the peer no longer answered keep-alives.",
        rules_applied: "Requests that the trunk's rules changed.",
        rules_rejected: "Requests that the trunk's rules refused.",
        rules_failed: "Requests taken as they came because the rules would have made no request of them.",
    }
}

fn of_track(track: &TrackSummary) -> Vec<Sample> {
    samples! { track => TrackSummary, "media_", "_total",
        frames: "Frames relayed.",
        lost: "Packets that never came, or too late.",
        damaged: "Frames dropped for a part that was missing or broken.",
        waiting: "Whole frames dropped because no decoder could have shown them before a keyframe.",
        malformed: "Packets that break the rules of their format.",
        other_types: "Packets of a payload type that was not agreed on.",
        strangers: "Packets of addresses that may not send here.",
        unauthentic: "Packets of SRTP that were not authentic, or came before.",
        asked_again: "Packets asked for again.",
        came_again: "Packets that came after they were asked for again.",
        keyframes_asked: "Keyframes asked for.",
    }
}

fn of_sink(sink: &SinkSummary) -> Vec<Sample> {
    samples! { sink => SinkSummary, "rtmp_", "_total",
        accepted: "Times that an RTMP server accepted the stream of a call.",
        stalls: "Times that pictures were dropped because a server took too little.",
        dropped: "Frames that a server was not sent because it took too little.",
    }
}

fn of_outlet(figures: &OutletFigures) -> Vec<Sample> {
    let OutletFigures {
        send_failed,
        streams_full,
        handshakes_failed,
        handshakes_given_up,
        datagrams_oversized,
        datagrams_without_slot,
        panel_refused,
        panel_dropped,
        journal_lost,
        process: _,
    } = *figures;
    [
        (
            "trunkcast_socket_send_failed_total",
            "Datagrams that could not be sent.",
            send_failed,
        ),
        (
            "trunkcast_socket_streams_full_total",
            "Connections refused because the table was full or descriptors were used up.",
            streams_full,
        ),
        (
            "trunkcast_socket_handshakes_failed_total",
            "Accepted connections that did not agree on TLS.",
            handshakes_failed,
        ),
        (
            "trunkcast_socket_handshakes_given_up_total",
            "Accepted connections that did not agree on TLS in time, or gave way to others.",
            handshakes_given_up,
        ),
        (
            "trunkcast_socket_datagrams_oversized_total",
            "Media datagrams longer than a packet may be.",
            datagrams_oversized,
        ),
        (
            "trunkcast_socket_datagrams_without_slot_total",
            "Media datagrams that found no free packet slot.",
            datagrams_without_slot,
        ),
        (
            "trunkcast_panel_refused_total",
            "Programs that show how the daemon is, such as that of the LEDs, turned away for want of room.",
            panel_refused,
        ),
        (
            "trunkcast_panel_dropped_total",
            "Such programs that were gone, or did not read what they were told.",
            panel_dropped,
        ),
        (
            "trunkcast_journal_lost_total",
            "Records that were not written to the journal.",
            journal_lost,
        ),
    ]
    .map(|(name, help, value)| Sample { name, help, value })
    .to_vec()
}

/// What the process uses, under the names that all programs give it.
fn of_process(page: &mut Page, process: &ProcessFigures) {
    let ProcessFigures {
        resident_bytes,
        virtual_bytes,
        descriptors,
        descriptors_max,
        cpu_centiseconds,
    } = *process;
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory.",
            resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Address space.",
            virtual_bytes,
        ),
        ("process_open_fds", "Open descriptors.", descriptors),
        (
            "process_max_fds",
            "Descriptors that may be open.",
            descriptors_max,
        ),
    ] {
        page.all(Kind::Gauge, &[Sample { name, help, value }]);
    }
    let name = "process_cpu_seconds_total";
    page.family(name, Kind::Counter, "Time spent computing.");
    let (seconds, rest) = (cpu_centiseconds / 100, cpu_centiseconds % 100);
    page.sample(name, &[], format_args!("{seconds}.{rest:02}"));
}

fn capacities(page: &mut Page, gateway: &Gateway) {
    for (name, help, value) in [
        (
            "trunkcast_packet_slots",
            "Packet slots of the media pool.",
            gateway.pool.capacity(),
        ),
        (
            "trunkcast_packet_slots_free",
            "Packet slots of the media pool that are free.",
            gateway.pool.available(),
        ),
        (
            "trunkcast_calls_limit",
            "Calls that there may be at once.",
            gateway.config.limits.calls,
        ),
    ] {
        let value = value as u64;
        page.all(Kind::Gauge, &[Sample { name, help, value }]);
    }
}

fn calls(page: &mut Page, gateway: &Gateway) {
    use CallStatus::{Busy, Established, Failed, Finish, Hold, Ring, SessionProgress, Trying};
    let name = "trunkcast_calls";
    page.family(name, Kind::Gauge, "Calls by what they are doing.");
    let all = [
        Trying,
        Ring,
        SessionProgress,
        Busy,
        Established,
        Hold,
        Finish,
        Failed,
    ];
    for status in all {
        let calls = gateway.calls().filter(|call| call.status == status);
        page.sample(name, &[("status", &status.to_string())], calls.count());
    }
    let name = "trunkcast_streams";
    page.family(name, Kind::Gauge, "Streams of calls that are up.");
    let up = |status| matches!(status, Established | Hold);
    let streams = gateway.calls().filter(|call| up(call.status));
    page.sample(name, &[], streams.count());
    let name = "trunkcast_publishers";
    page.family(
        name,
        Kind::Gauge,
        "Streams of calls at their RTMP servers, by how they stand.",
    );
    for status in [
        RtmpStatus::Wait,
        RtmpStatus::Active,
        RtmpStatus::Lost,
        RtmpStatus::Failed,
    ] {
        let calls = gateway
            .calls()
            .filter(|call| call.rtmp_status() == Some(status));
        page.sample(name, &[("status", &status.to_string())], calls.count());
    }
}

/// What became of the media of all calls so far.
fn media(page: &mut Page, gateway: &Gateway) {
    let mut totals: MediaTotals = gateway.ended;
    for call in gateway.calls() {
        totals.add(&call.summary(crate::base::time::Instant::ZERO));
    }
    let tracks = [
        ("audio", of_track(&totals.audio)),
        ("video", of_track(&totals.video)),
    ];
    page.table(Kind::Counter, "track", &tracks);
    page.all(Kind::Counter, &of_sink(&totals.sink));
}

fn trunks(page: &mut Page, gateway: &Gateway) {
    let all: Vec<TrunkView<'_>> = gateway.trunks().collect();
    let name = "trunkcast_trunk_calls";
    page.family(name, Kind::Gauge, "Live calls of a trunk.");
    for trunk in &all {
        page.sample(name, &[("trunk", trunk.name())], trunk.calls());
    }
    let name = "trunkcast_registration_state";
    page.family(
        name,
        Kind::Gauge,
        "1 for the state that a registration is in.",
    );
    for trunk in &all {
        let own = trunk.registration().map(|state| ("", state));
        for (aor, state) in own.into_iter().chain(trunk.registrations()) {
            let is = registration(state);
            for state in [
                "unregistered",
                "registering",
                "registered",
                "failed",
                "authentication_failed",
            ] {
                let labels = [
                    ("trunk", trunk.name()),
                    ("registration", aor),
                    ("state", state),
                ];
                page.sample(name, &labels, u8::from(is == state));
            }
        }
    }
    let name = "trunkcast_peer_up";
    page.family(
        name,
        Kind::Gauge,
        "Whether a host of a PBX answers when it is asked; 1, or 0 where not or not yet.",
    );
    for trunk in &all {
        for (target, state) in trunk.peers() {
            let address = target.address.to_string();
            let transport = target.transport.to_string();
            let labels = [
                ("trunk", trunk.name()),
                ("peer", &address),
                ("transport", &transport),
            ];
            page.sample(
                name,
                &labels,
                u8::from(matches!(state, PeerState::Alive { .. })),
            );
        }
    }
}

fn registration(state: &RegistrationState) -> &'static str {
    match state {
        RegistrationState::Unregistered => "unregistered",
        RegistrationState::Registering => "registering",
        RegistrationState::Registered { .. } => "registered",
        RegistrationState::Failed { .. } => "failed",
        RegistrationState::AuthenticationFailed { .. } => "authentication_failed",
    }
}
