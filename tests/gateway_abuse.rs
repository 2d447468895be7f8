//! The lines about sources that send what is not taken.

mod gateway_support;
mod rtp_support;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::*;
use trunkcast::cli::config_file::load;
use trunkcast::gateway::config::Config;

fn settings(abuse: &str) -> Config {
    let text = format!(
        "trunks:\n  pbx_t0:\n    localPort: 40000\n    proxyIp: 192.0.2.10\n    ping: off\n    \
         allow: [198.51.100.0/24]\n    abuse: {abuse}\n"
    );
    load(&text, "f.yml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn options(from: SocketAddr, number: usize) -> String {
    format!(
        "OPTIONS sip:1000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:1000@192.0.2.1>\r\n\
         Call-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

fn lines(world: &mut World, words: &str) -> Vec<String> {
    let notes = std::mem::take(&mut world.outlet.notes);
    let lines = notes.into_iter().map(|(_, line)| line);
    lines.filter(|line| line.contains(words)).collect()
}

/// So many OPTIONS at once; how many were answered.
fn ask(world: &mut World, from: &str, count: usize) -> usize {
    let from = from.parse().unwrap();
    world.inbox.clear();
    for number in 0..count {
        world.sip(from, options(from, number));
    }
    world.inbox.len()
}

#[test]
fn a_source_has_a_line_that_names_it_and_the_pbx_has_another() {
    let mut world = World::new(settings("{perSource: 10, total: 100}"));
    assert_eq!(ask(&mut world, "203.0.113.9:5060", 812), 0);
    assert_eq!(ask(&mut world, "[2001:db8::9]:5060", 1), 0);
    assert_eq!(ask(&mut world, "198.51.100.7:5060", 25), 20);
    assert_eq!(ask(&mut world, "192.0.2.10:5060", 103), 100, "five times");
    world.advance(Duration::from_secs(3));
    assert_eq!(
        lines(&mut world, "refused in"),
        [
            "sip abuse from 203.0.113.9 on trunk pbx_t0: 812 messages refused in 2 s, last OPTIONS",
            "sip abuse from 2001:db8::9 on trunk pbx_t0: 1 messages refused in 2 s, last OPTIONS",
            "sip abuse from 198.51.100.7 on trunk pbx_t0: 5 messages refused in 2 s, last OPTIONS",
            "pbx_t0: 3 messages of the peer 192.0.2.10 refused in 2 s, last OPTIONS: see abuse",
        ]
    );
    world.advance(Duration::from_secs(120));
    assert_eq!(lines(&mut world, "refused in"), [""; 0]);
}

#[test]
fn many_strangers_have_few_lines_in_a_place_of_their_own() {
    let mut world = World::new(settings("{perSource: 10, total: 100}"));
    for source in 0..2_000_u32 {
        let from = SocketAddr::from((std::net::Ipv4Addr::from(0xcb00_0000 + source), 5_060));
        world.sip(from, b"REGISTER sip:x".as_slice());
    }
    world.outlet.notes.clear();
    world.outlet.origins.clear();
    world.advance(Duration::from_millis(2_500));
    assert!((5..=12).contains(&lines(&mut world, "sip abuse from").len()));
    let first = world.outlet.origins[0];
    assert!(world.outlet.origins.iter().all(|origin| *origin == first));
    world.advance(Duration::from_secs(60));
    assert_eq!(
        lines(&mut world, "too many other sources"),
        ["pbx_t0: 1936 messages of too many other sources refused in 60 s"]
    );
}

#[test]
fn other_rates_hold_from_a_reload_on() {
    let mut world = World::new(settings("{perSource: 10, total: 100}"));
    assert_eq!(ask(&mut world, "198.51.100.7:5060", 50), 20);
    let config = settings("{perSource: 40, total: 100}");
    assert!(!world.gateway.reload(config).unwrap());
    world.advance(Duration::from_secs(10));
    assert_eq!(ask(&mut world, "198.51.100.7:5060", 100), 80);
}
