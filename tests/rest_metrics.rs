//! `/metrics`: every counter there is, in the form that Prometheus reads.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use gateway_support::{Camera, Phone, World, config};
use rest_support::{Reply, ask, ask_with};
use trunkcast::base::redact::Secret;
use trunkcast::cli::config_file::load;
use trunkcast::gateway::hooks::{HookCounters, QueueCounters};

/// A sample without its value: the name, then labels and values.
type Series = (String, BTreeMap<String, String>);

/// Everything in an answer; panics where it is not the text format 0.0.4.
#[derive(Debug, Default)]
struct Metrics {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    chars.next().is_some_and(first) && chars.all(|c| first(c) || c.is_ascii_digit())
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a meaning");
                assert!(helped.insert(name.to_owned()), "{name} is explained once");
                assert!(words.ends_with('.') && !words.contains('\\'), "{line}");
                name.clone_into(&mut family);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a kind");
                assert_eq!(name, family, "help comes first");
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let twice = metrics.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} has its kind once");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let series = Self::series(series);
                assert_eq!(series.0, family, "families are not mixed: {line}");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                let twice = metrics.samples.insert(series, value);
                assert_eq!(twice, None, "once: {line}");
            }
        }
        metrics
    }

    fn series(text: &str) -> Series {
        let Some((name, labels)) = text.split_once('{') else {
            assert!(is_name(text), "{text}");
            return (text.to_owned(), BTreeMap::new());
        };
        assert!(is_name(name), "{text}");
        let mut found = BTreeMap::new();
        let mut rest = labels.strip_suffix('}').expect("a closing bracket");
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").expect("a quoted value");
            assert!(is_name(label), "{text}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            rest = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break &after[at + 1..],
                    (_, '\\') => value.push(chars.next().expect("an escaped one").1),
                    (_, char) => value.push(char),
                }
            };
            rest = rest.strip_prefix(',').unwrap_or(rest);
            assert_eq!(found.insert(label.to_owned(), value), None, "{text}");
        }
        (name.to_owned(), found)
    }

    /// The value of the sample with these labels.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter();
        let labels = labels.map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        let series = (name.to_owned(), labels.collect());
        let value = self.samples.get(&series);
        *value.unwrap_or_else(|| panic!("no {series:?} in {self:#?}"))
    }
}

fn ask_metrics(world: &mut World) -> (Reply, Metrics) {
    let reply = ask(world, "GET", "/metrics", "");
    assert_eq!(reply.status, 200);
    let metrics = Metrics::parse(std::str::from_utf8(&reply.body).unwrap());
    (reply, metrics)
}

/// The fields of a struct of counters, by what it prints.
fn fields(counters: impl Debug) -> Vec<String> {
    let text = format!("{counters:?}");
    let inside = text.split_once("{ ").unwrap().1.trim_end_matches(" }");
    let fields = inside.split(", ").map(|field| field.split(':').next());
    fields.map(|name| name.unwrap().to_owned()).collect()
}

#[test]
fn every_counter_is_told() {
    let text = "trunks: {pbx: {localPort: 40000, proxyIp: 192.0.2.10}}\n\
                hooks: {url: \"http://127.0.0.1:9/api\"}\n";
    let config = load(text, "hooks.yml").expect("a configuration");
    let mut world = World::new(config);
    let (reply, metrics) = ask_metrics(&mut world);
    let kind = reply.header("content-type").unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let gateway = fields(world.gateway.counters());
    let http = fields(world.gateway.http_counters());
    let sip = world.gateway.sip_counters().next().unwrap().1;
    for (prefix, fields) in [("", gateway), ("http_", http), ("sip_", fields(sip))] {
        assert!(fields.len() > 5, "{fields:?}");
        for field in fields {
            let name = format!("trunkcast_{prefix}{field}_total");
            assert!(metrics.kinds.contains_key(&name), "{name} is missing");
        }
    }
    // The last field is the queue, with counters of its own.
    let of_hooks = fields(HookCounters::default()).into_iter();
    let of_hooks = of_hooks.take_while(|field| field != "queue");
    for field in of_hooks.chain(fields(QueueCounters::default())) {
        let name = format!("trunkcast_hooks_{field}_total");
        assert!(metrics.kinds.contains_key(&name), "{name} is missing");
    }
    for field in fields(world.gateway.usage()) {
        let name = format!("trunkcast_used_{field}");
        assert!(metrics.kinds.contains_key(&name), "{name} is missing");
    }
}

#[test]
fn a_call_is_counted_while_it_lasts_and_after_it() {
    let mut world = World::local(2);
    let mut phone = Phone::new("1000");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, Duration::from_secs(1));
    let (_, metrics) = ask_metrics(&mut world);
    let established = [("status", "ESTABLISHED")];
    assert_eq!(metrics.value("trunkcast_calls", &established), 1.0);
    assert_eq!(metrics.value("trunkcast_calls_total", &[]), 1.0);
    assert_eq!(metrics.value("trunkcast_streams", &[]), 1.0);
    let trunk = [("trunk", "pbx")];
    assert_eq!(metrics.value("trunkcast_trunk_calls", &trunk), 1.0);
    assert_eq!(metrics.value("trunkcast_sip_calls_total", &trunk), 1.0);
    let sound = [("track", "audio")];
    let frames = metrics.value("trunkcast_media_frames_total", &sound);
    assert!(frames > 40.0, "{frames}");
    world.bye(&mut phone);
    world.advance(Duration::from_secs(5));
    let (_, metrics) = ask_metrics(&mut world);
    assert_eq!(metrics.value("trunkcast_calls", &established), 0.0);
    assert_eq!(metrics.value("trunkcast_used_calls", &[]), 0.0);
    let after = metrics.value("trunkcast_media_frames_total", &sound);
    assert!(after >= frames, "{after} after {frames}: a counter fell");
}

#[test]
fn what_is_counted_is_guarded_and_names_no_secret() {
    let mut config = config(1, Some("rtmp://joe:hunter2@198.51.100.5/live?key=hunter2"));
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    world.call(&mut Phone::new("1000"));
    assert_eq!(ask(&mut world, "GET", "/metrics", "").status, 401);
    let bearer = "Authorization: Bearer hunter2\r\n";
    let reply = ask_with(&mut world, "GET", "/metrics", bearer, "");
    assert_eq!(reply.status, 200);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}
