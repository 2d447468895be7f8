//! The configuration file as a user meets it: files that load, and every problem of those that
//! do not.

use std::time::Duration;

use trunkcast::base::codec::Codec;
use trunkcast::base::network::Transport;
use trunkcast::base::srtp::SrtpPolicy;
use trunkcast::cli::config_file::{Problem, load};
use trunkcast::gateway::config::{
    CallNames, Config, Dtmf, Host, MediaAddress, OnCall, OnError, Recording, Rotation, Trunk,
    WhenFull,
};
use trunkcast::gateway::hooks::Method;
use trunkcast::gateway::sink::profile::Profile;
use trunkcast::sip::rules::{
    Action, Change, Condition, HeaderChange, HeaderTo, Pattern, Rule, Rules, UriChange, Wanted,
};

const WCS: &str = include_str!("data/config/wcs.yml");
const WCS_PRINTED: &str = include_str!("data/config/wcs_printed.yml");
const EXAMPLE: &str = include_str!("data/config/example.yml");
const FULL: &str = include_str!("data/config/full.yml");
const BROKEN: &str = include_str!("data/config/broken.yml");
const BROKEN_PROBLEMS: &str = include_str!("data/config/broken.problems.txt");

/// A trunk that is all right, for tests about something else.
const TRUNK: &str = "trunks:\n  t:\n    localPort: 40000\n    proxyIp: 192.0.2.10\n";

fn config(text: &str) -> Config {
    load(text, "f.yml").unwrap_or_else(|problems| panic!("{}\n{text}", listed(&problems)))
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// The problems of a text, as printed.
fn problems(text: &str) -> Vec<String> {
    let problems = load(text, "f.yml").expect_err(text);
    assert!(!problems.is_empty(), "refused without a problem: {text}");
    problems.iter().map(Problem::to_string).collect()
}

/// The one problem of a valid trunk followed by more text.
fn problem_after_trunk(more: &str) -> String {
    let found = problems(&format!("{TRUNK}{more}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

fn assert_wcs(text: &str) {
    let config = config(text);
    assert_eq!(config.trunks.len(), 1);
    let trunk = &config.trunks[0];
    assert_eq!(trunk.name, "pbx_t0");
    assert_eq!(trunk.local_port, 40_000);
    assert_eq!(trunk.proxy, Some(Host::Name("pbx_address".to_owned())));
    assert_eq!(trunk.remote_port, Some(5_060));
    let url = trunk.url.as_ref().unwrap();
    assert_eq!(
        (url.host(), url.port(), url.app()),
        ("rtmp_server", 1_935, "live")
    );
    assert_eq!(trunk.visible_name.as_deref(), Some("CUSTOM_NAME"));
    let sdp = trunk.sdp.as_deref().unwrap();
    assert!(
        sdp.starts_with("o=10009 2469 1555 IN IP4 0.0.0.0\nc=IN IP4 0.0.0.0\n"),
        "{sdp}"
    );
    assert!(
        sdp.ends_with("a=fmtp:96 profile-level-id=42801F\na=recvonly\n"),
        "{sdp}"
    );
    assert_eq!(trunk.sdp_params, ["b=AS:2000", "b=RS:50", "b=RR:100"]);
    assert_eq!(
        trunk.stream_name.expand(&CallNames {
            callee: "001201234",
            ..CallNames::default()
        }),
        "rtmp_001201234"
    );
    assert_eq!(config.notices, [""; 0]);
}

#[test]
fn a_wcs_file_loads_as_it_stands() {
    assert_wcs(WCS);
}

#[test]
fn a_wcs_file_loads_as_it_is_printed_with_its_trunk_at_column_zero() {
    assert_wcs(WCS_PRINTED);
}

#[test]
fn a_wcs_file_loads_whatever_editor_it_went_through() {
    for file in [WCS, WCS_PRINTED] {
        let crlf = file.replace('\n', "\r\n");
        let unindented_list = file.replace("   - b=", "  - b=");
        for variant in [
            &crlf,
            &unindented_list,
            &format!("\u{feff}{file}"),
            &format!("\u{feff}{crlf}"),
        ] {
            assert_wcs(variant);
        }
    }
}

#[test]
fn a_wcs_file_loads_at_any_indentation() {
    for width in [2, 4, 7] {
        for file in [WCS, WCS_PRINTED] {
            let wider = |line: &str| {
                let bare = line.trim_start_matches(' ');
                format!("{}{bare}\n", " ".repeat((line.len() - bare.len()) * width))
            };
            assert_wcs(&file.lines().map(wider).collect::<String>());
        }
    }
}

#[test]
fn several_trunks_at_column_zero_load_in_their_order() {
    let config = config(
        "trunks:\nb:\n localPort: 40000\n proxyIp: 192.0.2.1\na:\n localPort: 40001\n proxyIp: pbx\n",
    );
    let names: Vec<&str> = config
        .trunks
        .iter()
        .map(|trunk| trunk.name.as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn every_key_is_read() {
    let config = config(FULL);
    let trunk = &config.trunks[0];
    assert_eq!(trunk.proxy, Some(Host::Ip("192.0.2.10".parse().unwrap())));
    let url = trunk.url.as_ref().unwrap();
    assert_eq!(
        (url.host(), url.port(), url.app()),
        ("192.0.2.20", 1_935, "live")
    );
    assert_eq!(url.credentials().unwrap().password(), "hunter2");
    assert_eq!(trunk.visible_name.as_deref(), Some("Lobby"));
    assert_eq!(trunk.sdp_params, ["b=AS:2000"]);
    let allow: Vec<String> = trunk.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["192.0.2.0/24", "2001:db8::/32"]);
    let register = trunk.register.as_ref().unwrap();
    assert_eq!(
        (
            register.login.as_str(),
            register.authentication_name.as_str()
        ),
        ("box", "box2")
    );
    assert_eq!(
        (register.password.expose().as_str(), register.expires),
        ("hunter2", 300)
    );
    assert_signalling(trunk);
    assert_eq!(
        trunk.codecs,
        Some(vec![Codec::H264, Codec::Opus, Codec::Pcma, Codec::Pcmu])
    );
    assert_eq!(trunk.sink, Some(Profile::NginxRtmp));
    assert_eq!(trunk.stream_name.to_string(), "door_{callee}");
    let plain = &config.trunks[1];
    assert_eq!(plain.codecs, None);
    assert_eq!((plain.remote_port, plain.url.is_none()), (None, true));
    assert_eq!((plain.session_timer, plain.ping), (None, None));
    assert_eq!(config.rtmp_listen, "0.0.0.0:1936".parse().unwrap());
    assert_eq!(config.rest.listen, "0.0.0.0:8082".parse().unwrap());
    assert_eq!(config.rest.password.as_ref().unwrap().expose(), "hunter2");
    let tls = config.rest.tls.as_ref().unwrap();
    assert_eq!(tls.listen, "0.0.0.0:8444".parse().unwrap());
    assert_eq!(tls.certificate.as_deref(), Some("/srv/rest.pem"));
    assert_eq!(tls.key.as_deref(), Some("/srv/rest.key"));
    assert_eq!(
        config.media.address,
        MediaAddress::Fixed("192.0.2.1".parse().unwrap())
    );
    assert_eq!(
        (config.media.ports.first(), config.media.ports.last()),
        (31_000, 31_399)
    );
    let hooks = config.hooks.as_ref().unwrap();
    assert_eq!(
        hooks.url.expose(),
        "http://joe:hunter2@backend/MyAPI?key=hunter2"
    );
    assert_eq!(hooks.timeout, Duration::from_secs(20));
    assert_eq!(hooks.retry, Duration::from_secs(60));
    let (user, password) = hooks.credentials().unwrap();
    assert_eq!(
        (user.as_str(), password.expose().as_str()),
        ("ann", "hunter2")
    );
    assert_eq!((hooks.app_key.as_str(), hooks.connections), ("myApp", 2));
    assert_eq!(
        (hooks.on_call, hooks.on_error),
        (OnCall::Ask, OnError::Fail)
    );
    let told = Method::ALL
        .into_iter()
        .filter(|it| hooks.methods.contains(*it));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [Method::OnCallEvent, Method::CallStatusEvent]
    );
    assert_eq!(hooks.ca_file.as_deref(), Some("/srv/ca.pem"));
    assert_eq!((config.limits.calls, config.limits.memory_mib), (50, 128));
    assert_eq!(config.state_directory.as_deref(), Some("/srv/state"));
    assert_eq!(config.files_directory.as_deref(), Some("/srv/media"));
}

#[test]
fn recordings_are_configured() {
    let text = format!(
        "{TRUNK}    record: true\nrecording:\n  directory: /srv/records\n  minFreeMiB: 100\n  \
         maxMiB: 2000\n  whenFull: stop\n  template: \"{{streamName}}-{{startTime}}.mp4\"\n  \
         rotation: 20M\n  all: true\n"
    );
    let all = config(&text);
    assert_eq!(all.trunks[0].record, Some(true));
    let expected = Recording {
        min_free_mib: 100,
        max_mib: Some(2_000),
        when_full: WhenFull::Stop,
        template: "{streamName}-{startTime}".parse().unwrap(),
        rotation: Some(Rotation::Bytes(20 << 20)),
        all: true,
        ..Recording::new("/srv/records")
    };
    assert_eq!(all.recording, Some(expected));
    let least = config(&format!("{TRUNK}recording: {{directory: /srv/records}}\n"));
    assert_eq!(least.recording, Some(Recording::new("/srv/records")));
    assert_eq!(
        (config(TRUNK).recording, config(TRUNK).trunks[0].record),
        (None, None)
    );
    let budget = |config: &Config| config.budget().total();
    assert!(budget(&least) > budget(&config(TRUNK)));
}

#[test]
fn wrong_settings_of_recordings_are_told_with_their_line() {
    for (more, expected) in [
        (
            "    record: true\n",
            "f.yml:5: trunks.t.record: expected recording.directory beside it: there is no folder \
             for recordings",
        ),
        (
            "    record: perhaps\n",
            "f.yml:5: trunks.t.record: expected true or false; found \"perhaps\"",
        ),
        (
            "recording: {directory: records}\n",
            "f.yml:5: recording.directory: expected the path of a folder from the root, such as \
             /var/lib/trunkcast/records, at most 1024 bytes; found \"records\"",
        ),
        (
            "recording:\n  directory: /r\n  whenFull: never\n",
            "f.yml:7: recording.whenFull: expected oldest, to delete the oldest recordings, or \
             stop, to record no more; found \"never\"",
        ),
        (
            "recording:\n  directory: /r\n  rotation: 3\n",
            "f.yml:7: recording.rotation: expected a size such as 20M, from 64K, or 5 to 604800 \
             seconds; found \"3\"",
        ),
        (
            "recording: {directory: /r, maxMiB: 1}\n",
            "f.yml:5: recording.maxMiB: expected a number from 16 to 1073741824; found \"1\"",
        ),
        (
            "recording: {directory: /r, alle: true}\n",
            "f.yml:5: recording.alle: unknown key; did you mean all?",
        ),
    ] {
        assert_eq!(problem_after_trunk(more), expected);
    }
    let template = problem_after_trunk("recording: {directory: /r, template: \"{name}\"}\n");
    let expected = "f.yml:5: recording.template: expected only tokens of {streamName}, ";
    assert!(template.starts_with(expected), "{template}");
}

fn assert_signalling(trunk: &Trunk) {
    let register = trunk.register.as_ref().unwrap();
    let registrar = register.registrar.as_ref().unwrap().to_string();
    assert_eq!(
        (registrar.as_str(), register.contact.as_str()),
        ("reg.example.net:5070", "door")
    );
    let pbx: Vec<String> = trunk.pbx().map(|host| host.to_string()).collect();
    assert_eq!(
        pbx,
        ["192.0.2.10:5060", "192.0.2.11", "pbx2.example.net:5071"]
    );
    let sources: Vec<String> = trunk.sources().map(|net| net.to_string()).collect();
    assert_eq!(
        sources,
        ["192.0.2.10", "192.0.2.11", "192.0.2.0/24", "2001:db8::/32"]
    );
    assert_eq!(trunk.names().collect::<Vec<_>>(), ["pbx2.example.net"]);
    let proxy = trunk.outbound_proxy.as_ref().unwrap();
    assert_eq!(proxy.route(), "<sip:proxy.example.net;transport=tcp;lr>");
    assert_eq!(trunk.own_domain().unwrap().to_string(), "example.net");
    let files = [&trunk.ca_file, &trunk.certificate, &trunk.key];
    let files = files.map(|file| file.as_deref().unwrap());
    assert_eq!(
        files,
        [
            "/etc/trunkcast/pbx.pem",
            "/etc/trunkcast/box.pem",
            "/etc/trunkcast/box.key"
        ]
    );
    assert_eq!(
        (trunk.transport, trunk.srtp, trunk.dtmf),
        (Transport::Tls, SrtpPolicy::Required, Dtmf::Info)
    );
    assert_eq!(trunk.ping, Some(Duration::from_secs(30)));
    assert_eq!((trunk.calls, trunk.media_timeout), (Some(20), None));
    let timer = trunk.session_timer.unwrap();
    assert_eq!((timer.expires, timer.min), (600, 120));
    let abuse = trunk.abuse;
    assert_eq!(
        (abuse.per_source, abuse.total, abuse.of_pbx()),
        (20, 200, 100)
    );
    assert_rules(trunk);
}

fn assert_rules(trunk: &Trunk) {
    let like = |text: &str| Wanted::Like(Pattern::new(text).unwrap());
    let text = |text: &str| text.to_owned();
    let header = |name: &str, to| {
        let name = name.to_owned();
        Change::Header(HeaderChange { name, to })
    };
    let rules = vec![
        Rule {
            conditions: vec![
                Condition::Method(Pattern::new("INVITE").unwrap()),
                Condition::UriPort(Wanted::Absent),
            ],
            action: Action::Change(vec![Change::Uri(UriChange::Port(Some(5_060)))]),
        },
        Rule {
            conditions: vec![
                Condition::Header {
                    name: text("User-Agent"),
                    wanted: like("*scan*"),
                },
                Condition::UriUser(like("9*")),
                Condition::UriHost(like("pbx")),
                Condition::Source("192.0.2.0/24".parse().unwrap()),
            ],
            action: Action::Reject {
                code: 403,
                reason: Some(text("Not for you")),
            },
        },
        Rule {
            conditions: vec![Condition::Header {
                name: text("X-Old"),
                wanted: Wanted::Absent,
            }],
            action: Action::Change(vec![
                Change::Uri(UriChange::User(Some(text("1")))),
                Change::Uri(UriChange::Host(text("[2001:db8::1]"))),
                Change::Uri(UriChange::Param(text("user"), Some(Some(text("phone"))))),
                Change::Uri(UriChange::Param(text("x"), None)),
                header("Subject", HeaderTo::Set(text("a"))),
                header("X-New", HeaderTo::Added(text("b"))),
                header("X-Other", HeaderTo::Removed),
            ]),
        },
    ];
    assert_eq!(trunk.rules, Rules::new(rules).unwrap());
}

#[test]
fn no_rule_changes_what_tells_messages_apart() {
    for name in [
        "Via",
        "f",
        "TO",
        "call-id",
        "i",
        "CSeq",
        "l",
        "Content-Length",
    ] {
        let rule = |action: String| {
            problem_after_trunk(&format!(
                "    rules: [{{match: {{method: '*'}}, {action}}}]\n"
            ))
        };
        for action in [
            format!("set: {{header: {{{name}: x}}}}"),
            format!("add: {{{name}: x}}"),
            format!("remove: [{name}]"),
        ] {
            let found = rule(action);
            let words = format!("another header field: {name} tells messages apart");
            assert!(found.contains(&words), "{found}");
        }
    }
}

#[test]
fn rules_are_counted_and_so_are_their_parts() {
    let rule = "{match: {method: A}, remove: [X]}, ";
    let found = problem_after_trunk(&format!("    rules: [{}]\n", rule.repeat(17)));
    assert!(
        found.ends_with("rules: expected 1 to 16 entries, found 17"),
        "{found}"
    );
    let names: String = (0..9).map(|at| format!("X-{at}: y, ")).collect();
    let found = problem_after_trunk(&format!(
        "    rules: [{{match: {{method: A}}, add: {{{names}}}}}]\n"
    ));
    assert!(
        found.ends_with("rules[1].add: expected 1 to 8 entries, found 9"),
        "{found}"
    );
    let names: String = (0..8).map(|at| format!("X-{at}: y, ")).collect();
    let found = problem_after_trunk(&format!(
        "    rules: [{{match: {{method: A, header: {{{names}}}}}, remove: [X]}}]\n"
    ));
    assert!(
        found.ends_with("rules[1].match: expected 1 to 8 conditions, found 9"),
        "{found}"
    );
}

#[test]
fn a_trunk_speaks_udp_and_pings_its_pbx_unless_the_file_says_otherwise() {
    let trunk = &config(TRUNK).trunks[0];
    assert_eq!(
        (trunk.transport, trunk.usual_port()),
        (Transport::Udp, 5_060)
    );
    assert_eq!(trunk.ping, Some(Duration::from_secs(60)));
    assert_eq!(trunk.media_timeout, Some(Duration::from_secs(60)));
    let timer = trunk.session_timer.unwrap();
    assert_eq!((timer.expires, timer.min), (1_800, 90));
    assert_eq!((trunk.srtp, trunk.dtmf), (SrtpPolicy::Tls, Dtmf::Rfc2833));
    assert_eq!((trunk.abuse.per_source, trunk.abuse.total), (50, 500));
    assert_eq!(trunk.own_domain().unwrap().to_string(), "192.0.2.10");
    let off = &config(&format!("{TRUNK}    ping: off\n")).trunks[0];
    assert_eq!(off.ping, None);
    let open = "trunks:\n  t:\n    localPort: 40000\n    allow: [192.0.2.0/24]\n";
    assert_eq!(config(open).trunks[0].ping, None);
}

#[test]
fn every_codec_and_kind_of_server_has_its_name() {
    let trunk = |key: &str| {
        config(&format!(
            "{TRUNK}    url: rtmp://192.0.2.20/live\n    {key}\n"
        ))
    };
    let all = trunk("codecs: [PCMU, pcma, speex, aac, opus, vp8, h264, pcmu]");
    let mut expected = Codec::ALL.to_vec();
    expected.reverse();
    assert_eq!(all.trunks[0].codecs, Some(expected));
    assert_eq!(all.notices, [""; 0]);
    for profile in Profile::ALL {
        let config = trunk(&format!("sink: {}", profile.name()));
        assert_eq!(config.trunks[0].sink, Some(profile));
    }
}

#[test]
fn codecs_that_the_sink_never_takes_are_a_problem() {
    let text = |keys: &str| format!("{TRUNK}    sink: youtube\n    {keys}\n");
    let problems = |keys: &str| -> Vec<String> {
        let problems = load(&text(keys), "f.yml").unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    };
    let with_url = "url: rtmp://192.0.2.20/live\n    codecs: [pcma, opus]";
    let found = problems(with_url);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("codecs: expected a codec that sink youtube takes: one of h264, aac"),
        "{found:?}"
    );
    let found = problems("codecs: [pcma, h264]");
    assert!(
        found[0].contains("sink: expected url beside it"),
        "{found:?}"
    );
}

#[test]
fn the_documented_example_spells_out_the_defaults() {
    let example = config(EXAMPLE);
    let mut plain = config(TRUNK);
    assert_eq!(example.notices, [""; 0]);
    assert_eq!(example.trunks[0].stream_name, plain.trunks[0].stream_name);
    plain.trunks.clone_from(&example.trunks);
    assert_eq!(example, plain);
}

#[test]
fn everything_that_may_be_configured_is_active() {
    assert_eq!(config(FULL).notices, [""; 0]);
}

#[test]
fn a_backend_is_described_in_the_words_that_are_known() {
    let hooks = |keys: &str| {
        let text = format!("{TRUNK}hooks: {{url: 'http://backend/'{keys}}}\n");
        load(&text, "f.yml").map(|config| config.hooks.unwrap())
    };
    let default = hooks("").unwrap();
    assert_eq!(
        (default.retry, default.connections),
        (Duration::from_secs(300), 4)
    );
    assert_eq!(
        (default.on_call, default.on_error),
        (OnCall::Notify, OnError::Log)
    );
    assert_eq!(default.app_key, "callApp");
    assert_eq!(default.credentials(), None);
    for (keys, words) in [
        (
            ", retrySeconds: 86401",
            "hooks.retrySeconds: expected a number from 0 to 86400",
        ),
        (
            ", connections: 17",
            "hooks.connections: expected a number from 1 to 16",
        ),
        (
            ", onCall: maybe",
            "hooks.onCall: expected notify or ask; found \"maybe\"",
        ),
        (", onError: IGNORE", "hooks.onError: expected LOG or FAIL"),
        (
            ", methods: [CallEvent]",
            "hooks.methods: expected one of ConnectionStatusEvent,",
        ),
        (
            ", methods: []",
            "hooks.methods: expected 1 to 9 entries, found 0",
        ),
        (
            ", username: a",
            "hooks.username: expected password beside it",
        ),
        (
            ", password: hunter2",
            "hooks.password: expected username beside it",
        ),
        (
            ", username: 'a:b', password: x",
            "hooks.username: expected a user's name without",
        ),
        (
            ", caFile: ca.pem",
            "hooks.caFile: expected the path of a PEM file",
        ),
        (", apps: 1", "hooks.apps: unknown key; did you mean appKey?"),
    ] {
        let problems = hooks(keys).unwrap_err();
        let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(found[0].contains(words), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = config(TRUNK);
    let default = Config::default();
    assert_eq!(config.rtmp_listen, "0.0.0.0:1935".parse().unwrap());
    assert_eq!(config.rest.listen, "127.0.0.1:8081".parse().unwrap());
    assert_eq!(config.media, default.media);
    assert_eq!(
        (
            config.media.address,
            config.media.ports.to_string().as_str()
        ),
        (MediaAddress::Auto, "31000-31999")
    );
    assert_eq!((config.limits.calls, config.limits.memory_mib), (32, 96));
    assert_eq!(config.hooks, None);
    assert_eq!(config.trunks[0].stream_name.to_string(), "rtmp_{callee}");
    assert_eq!(config.notices, [""; 0]);
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let problems = load(BROKEN, "broken.yml").unwrap_err();
    let listed = listed(&problems);
    assert_eq!(listed, BROKEN_PROBLEMS, "\n{listed}");
}

#[test]
fn no_problem_or_notice_repeats_a_secret() {
    let broken = load(BROKEN, "f.yml").unwrap_err();
    assert!(!listed(&broken).contains("hunter2") && !format!("{broken:?}").contains("hunter2"));
    let long = "hunter2".repeat(99);
    let bad = format!(
        "{TRUNK}    url: rtmp://joe:hunter2@/live\n    register: {{login: x, password: {long}}}\n\
         rest: {{password: {long}}}\nhooks: {{url: 'ftp://backend?hunter2'}}\n"
    );
    let found = problems(&bad);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(
        found.iter().all(|problem| !problem.contains("hunter2")),
        "{found:#?}"
    );
    let full = config(FULL);
    assert!(!format!("{full:?}").contains("hunter2"));
    assert!(
        full.notices
            .iter()
            .all(|notice| !notice.contains("hunter2"))
    );
}

#[test]
fn text_that_is_no_yaml_is_told_with_its_line() {
    let found = problems("trunks:\n  t:\n\tlocalPort: 1\n");
    assert!(
        found[0].starts_with("f.yml:3: expected YAML: "),
        "{found:?}"
    );
    let found = problems(&format!("{TRUNK}    localPort: 40001\n"));
    assert_eq!(
        found,
        ["f.yml:5: localPort: expected once, but this key was given before"]
    );
    let found = problems(&format!("{TRUNK}  t:\n    localPort: 40001\n"));
    assert_eq!(
        found,
        ["f.yml:5: t: expected once, but this key was given before"]
    );
}

#[test]
fn a_file_without_trunks_is_refused() {
    assert_eq!(
        problems(""),
        ["f.yml:1: trunks: expected at least one trunk"]
    );
    assert_eq!(
        problems("limits: {calls: 3}\n"),
        ["f.yml:1: trunks: expected at least one trunk"]
    );
    assert_eq!(
        problems("trunks: {}\n"),
        ["f.yml:1: trunks: expected 1 to 16 trunks, found 0"]
    );
    assert!(
        problems("rtmp:\n  listen: 0.0.0.0:1935\ntrunks:\n")[0].starts_with("f.yml:3: trunks: ")
    );
    assert!(problems("hello")[0].starts_with("f.yml:1: expected a mapping with trunks, "));
    assert!(problems("trunks: [a, b]\n")[0].starts_with("f.yml:1: trunks: expected names"));
}

#[test]
fn settings_at_the_wrong_depth_are_told_where_they_belong() {
    let found = problems("trunks:\n  t:\n  localPort: 40000\n  proxyIp: 192.0.2.10\n");
    assert_eq!(
        found,
        [
            "f.yml:2: trunks.t: expected the trunk's settings below its name",
            "f.yml:3: trunks.localPort: expected inside a trunk: indent it below the trunk's name",
            "f.yml:4: trunks.proxyIp: expected inside a trunk: indent it below the trunk's name",
        ]
    );
    assert_eq!(
        problem_after_trunk("localPort: 40000\n"),
        "f.yml:5: localPort: expected inside a trunk: indent it below the trunk's name"
    );
    // Beside trunks that are where they should be, one at column 0 is a mistake.
    let found = problem_after_trunk("pbx:\n  localPort: 40001\n  proxyIp: 192.0.2.10\n");
    assert!(found.starts_with("f.yml:5: pbx: unknown key; "), "{found}");
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    for (more, expected) in [
        (
            "limit: {}\n",
            "f.yml:5: limit: unknown key; did you mean limits?",
        ),
        (
            "media: {port: 1-2}\n",
            "f.yml:5: media.port: unknown key; did you mean ports?",
        ),
        (
            "    visiblename: x\n",
            "f.yml:5: trunks.t.visiblename: unknown key; did you mean visibleName?",
        ),
        (
            "    sdpparams: [x]\n",
            "f.yml:5: trunks.t.sdpparams: unknown key; did you mean sdpParams?",
        ),
        (
            "rtmp: {zzzzzzz: 1}\n",
            "f.yml:5: rtmp.zzzzzzz: unknown key; expected one of listen, caFile",
        ),
    ] {
        assert_eq!(problem_after_trunk(more), expected);
    }
}

#[test]
fn calls_ports_and_memory_have_to_fit_together() {
    let found = problem_after_trunk("limits: {calls: 251, memoryMiB: 256}\n");
    assert!(
        found.starts_with("f.yml:5: media.ports: expected room for 1004 ports"),
        "{found}"
    );
    let found = problem_after_trunk("media: {ports: 31000-31099}\n");
    assert!(
        found.starts_with("f.yml:5: media.ports: expected room for 128 ports"),
        "{found}"
    );
    let found = problem_after_trunk("limits: {calls: 200, memoryMiB: 30}\n");
    assert!(
        found.starts_with("f.yml:5: limits.memoryMiB: expected at least "),
        "{found}"
    );
    config(&format!(
        "{TRUNK}limits: {{calls: 400, memoryMiB: 256}}\nmedia: {{ports: 31000-32999}}\n"
    ));
}

#[test]
fn values_may_be_quoted_numbers_and_numbers_may_be_names() {
    let text = "trunks:\n  00123:\n    localPort: \"40000\"\n    proxyIp: 192.0.2.10\n    visibleName: 007\n";
    let config = config(text);
    let trunk = &config.trunks[0];
    assert_eq!(trunk.name, "00123");
    assert_eq!(
        (trunk.local_port, trunk.visible_name.as_deref()),
        (40_000, Some("007"))
    );
}

#[test]
fn ports_are_plain_decimal_numbers() {
    for port in [
        "0", "65536", "-1", "0x9c40", "4e4", "40000.0", "4_0000", "[40000]", "''", "~", "",
    ] {
        let text = format!("trunks:\n  t:\n    proxyIp: 192.0.2.10\n    localPort: {port}\n");
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        let start = "f.yml:4: trunks.t.localPort: expected a port from 1 to 65535; found ";
        assert!(found[0].starts_with(start), "{found:?}");
    }
    let found = problems("trunks:\n  t:\n    proxyIp: 192.0.2.10\n");
    assert_eq!(
        found,
        ["f.yml:2: trunks.t.localPort: expected a port from 1 to 65535, but the key is missing"]
    );
}

#[test]
fn too_many_trunks_and_too_large_files_are_refused() {
    let mut text = "trunks:\n".to_owned();
    for at in 0..17 {
        text.push_str(&format!(
            "  t{at}: {{localPort: {}, proxyIp: pbx}}\n",
            40_000 + at
        ));
    }
    text.push_str("limits: {memoryMiB: 128}\n");
    assert_eq!(
        problems(&text),
        ["f.yml:1: trunks: expected 1 to 16 trunks, found 17"]
    );
    let large = format!("{TRUNK}#{}\n", "x".repeat(300_000));
    assert_eq!(problems(&large), ["f.yml: expected at most 262144 bytes"]);
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let found = problems(
        "trunks:\n  t:\n    localPort: \"\\e[2J\\n\"\n    proxyIp: \"\\u202epbx\"\n    \"\\e]0;x\\a\": 1\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    for problem in found {
        assert!(
            !problem.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{problem:?}"
        );
    }
}

/// Cutting a file anywhere gives a configuration or problems with a line inside the file, and so
/// does any single byte put in place of another.
#[test]
fn cut_and_altered_files_are_refused_in_good_order() {
    let check = |text: &str| {
        if let Err(problems) = load(text, "f.yml") {
            assert!(!problems.is_empty());
            let lines = text.lines().count().max(1) + 1;
            assert!(
                problems
                    .iter()
                    .all(|p| p.line <= lines && !p.expected.is_empty()),
                "{problems:?}"
            );
        }
    };
    for file in [FULL, WCS_PRINTED] {
        for end in 0..file.len() {
            check(&file[..end]);
        }
        for (at, byte) in file.bytes().enumerate() {
            let odd = b":#-[{\"'\t\0 &*!|\n"[at % 15];
            let mut bytes = file.as_bytes().to_vec();
            bytes[at] = if odd == byte { b'x' } else { odd };
            check(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[test]
fn the_page_is_on_for_the_own_network_unless_it_is_off() {
    let trunk = "trunks:\n  a:\n    localPort: 40000\n    proxyIp: 192.0.2.10\n";
    let page = |section: &str| {
        let text = format!("{trunk}{section}");
        load(&text, "t.yml").map(|config| config.page)
    };
    let usual = page("").unwrap();
    assert_eq!(usual.listen, Some("0.0.0.0:8080".parse().unwrap()));
    assert!(usual.allows("192.168.1.9".parse().unwrap()));
    assert!(!usual.allows("203.0.113.9".parse().unwrap()));
    assert_eq!(usual.password_hash, None);
    let off = page("page: {listen: off}\n").unwrap();
    assert_eq!(off.listens(), (None, None));
    let own = page(
        "page: {listen: \"[::]:80\", allow: [192.0.2.0/24], passwordHash: $argon2id$v=19$x, \
         tls: {listen: \"0.0.0.0:8443\"}}\n",
    )
    .unwrap();
    assert_eq!(own.listen, Some("[::]:80".parse().unwrap()));
    assert_eq!(own.allow, ["192.0.2.0/24".parse().unwrap()]);
    assert!(own.password_hash.is_some() && own.tls.is_some());
    for (section, field) in [
        ("page: {listen: 8080}\n", "page.listen"),
        ("page: {listen: \"0.0.0.0:40000\"}\n", "page.listen"),
        ("page: {listen: \"127.0.0.1:8081\"}\n", "page.listen"),
        ("page: {allow: []}\n", "page.allow"),
        ("page: {allow: [192.0.2.9/24]}\n", "page.allow"),
        ("page: {passwordHash: hunter2}\n", "page.passwordHash"),
        ("page: {password: hunter2}\n", "page.password"),
        ("page: {tls: {certificate: /c}}\n", "page.tls.listen"),
    ] {
        let problems = page(section).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
        assert!(fields.contains(&field), "{section}: {fields:?}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{section}");
    }
}
