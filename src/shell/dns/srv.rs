//! SRV records (RFC 2782): read from an answer, and put in the order to try them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::Vec;
use simple_dns::Packet;
use simple_dns::rdata::RData;

use crate::base::rng::Rng;
use crate::limits::{DNS_ALIASES, SRV_RECORDS};

/// A host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Hosts of the lowest priority come first.
    pub priority: u16,
    /// The share of requests among hosts of one priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name, without the dot at the end.
    pub target: String,
}

/// What an answer says about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SrvAnswer {
    /// Its hosts, one or more, not in order.
    Hosts(Box<Vec<Srv, SRV_RECORDS>>),
    /// There are none on purpose: the one target is the root.
    NotOffered,
    /// Nothing is said.
    Nothing,
    /// The name is another one's alias, of which nothing is said.
    Alias(String),
}

/// Reads the answer to a question about the service `name`. Records of other names are passed over,
/// and so are those beyond [`SRV_RECORDS`].
pub fn read(answer: &Packet<'_>, name: &str) -> SrvAnswer {
    let mut owner = name.to_owned();
    for _ in 0..DNS_ALIASES {
        let mut hosts = Vec::new();
        let mut alias = None;
        let mut is_offered = true;
        for record in &answer.answers {
            if !record.name.to_string().eq_ignore_ascii_case(&owner) {
                continue;
            }
            match &record.rdata {
                RData::SRV(srv) => {
                    let target = srv.target.to_string();
                    if target.is_empty() {
                        is_offered = false;
                        continue;
                    }
                    let _ = hosts.push(Srv {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target,
                    });
                }
                RData::CNAME(cname) => alias = Some(cname.0.to_string()),
                _ => {}
            }
        }
        if !hosts.is_empty() {
            return SrvAnswer::Hosts(Box::new(hosts));
        }
        if !is_offered {
            return SrvAnswer::NotOffered;
        }
        match alias {
            Some(alias) => owner = alias,
            None if owner == name => return SrvAnswer::Nothing,
            None => return SrvAnswer::Alias(owner),
        }
    }
    SrvAnswer::Nothing
}

/// Puts hosts in the order to try them: by priority, and within one by chance with the odds that the
/// weights give.
pub fn order(hosts: &mut Vec<Srv, SRV_RECORDS>, rng: &mut Rng) {
    // Those without weight stand first within their priority, so that they have a small chance.
    hosts.sort_unstable_by_key(|host| (host.priority, host.weight));
    let mut ordered = Vec::new();
    while let Some(priority) = hosts.first().map(|host| host.priority) {
        let same = hosts.iter().take_while(|host| host.priority == priority);
        let sum: u32 = same.clone().map(|host| u32::from(host.weight)).sum();
        let drawn = rng.below(sum.saturating_add(1));
        let mut passed = 0_u32;
        let mut chosen = same.take_while(|host| {
            passed = passed.saturating_add(u32::from(host.weight));
            passed < drawn
        });
        let at = chosen.by_ref().count();
        let _ = ordered.push(hosts.remove(at.min(hosts.len().saturating_sub(1))));
    }
    *hosts = ordered;
}

#[cfg(test)]
mod tests {
    use simple_dns::rdata::{CNAME, SRV};
    use simple_dns::{CLASS, Name, ResourceRecord};

    use super::*;

    const NAME: &str = "_sip._udp.example.com";

    fn record(name: &'static str, rdata: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, rdata)
    }

    fn srv(priority: u16, weight: u16, target: &'static str) -> RData<'static> {
        let target = Name::new_unchecked(target);
        RData::SRV(SRV {
            priority,
            weight,
            port: 5060,
            target,
        })
    }

    fn cname(to: &'static str) -> RData<'static> {
        RData::CNAME(CNAME(Name::new_unchecked(to)))
    }

    fn answer(records: Vec<ResourceRecord<'static>, 64>) -> Packet<'static> {
        let mut packet = Packet::new_reply(1);
        packet.answers.extend(records);
        packet
    }

    fn read_of(records: impl IntoIterator<Item = ResourceRecord<'static>>) -> SrvAnswer {
        read(&answer(records.into_iter().collect()), NAME)
    }

    #[test]
    fn hosts_of_other_names_are_passed_over() {
        let SrvAnswer::Hosts(hosts) = read_of([
            record("_sip._udp.example.org", srv(1, 1, "wrong.example.org")),
            record("_SIP._udp.Example.com", srv(1, 1, "right.example.com")),
        ]) else {
            panic!("no hosts");
        };
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0].target, "right.example.com");
    }

    #[test]
    fn the_root_as_target_means_that_there_is_no_such_service() {
        assert_eq!(
            read_of([record(NAME, srv(0, 0, ""))]),
            SrvAnswer::NotOffered
        );
        assert_eq!(read_of([]), SrvAnswer::Nothing);
    }

    #[test]
    fn aliases_are_followed_and_circles_end() {
        let hosts = read_of([
            record(NAME, cname("a.example.com")),
            record("a.example.com", cname("b.example.com")),
            record("b.example.com", srv(1, 1, "host.example.com")),
        ]);
        assert!(matches!(hosts, SrvAnswer::Hosts(_)), "{hosts:?}");
        let open = read_of([record(NAME, cname("a.example.com"))]);
        assert_eq!(open, SrvAnswer::Alias("a.example.com".to_owned()));
        let circle = read_of([
            record(NAME, cname("a.example.com")),
            record("a.example.com", cname(NAME)),
        ]);
        assert_eq!(circle, SrvAnswer::Nothing);
    }

    #[test]
    fn more_hosts_than_there_is_room_for_are_left_out() {
        let many = (0..SRV_RECORDS as u16 + 5).map(|at| record(NAME, srv(at, 0, "h.example.com")));
        let SrvAnswer::Hosts(hosts) = read_of(many) else {
            panic!("no hosts");
        };
        assert_eq!(hosts.len(), SRV_RECORDS);
    }

    fn host(priority: u16, weight: u16, target: &str) -> Srv {
        let target = target.to_owned();
        Srv {
            priority,
            weight,
            port: 5060,
            target,
        }
    }

    #[test]
    fn priorities_are_kept_and_weights_are_odds() {
        let mut rng = Rng::from_number(7);
        let mut first = [0_u32; 3];
        for _ in 0..4_000 {
            let mut hosts = Vec::from_iter([
                host(20, 100, "last"),
                host(10, 30, "b"),
                host(10, 0, "a"),
                host(10, 70, "c"),
            ]);
            order(&mut hosts, &mut rng);
            assert_eq!(hosts.len(), 4);
            assert_eq!(hosts[3].target, "last");
            let at = ["a", "b", "c"].iter().position(|t| *t == hosts[0].target);
            first[at.unwrap()] += 1;
        }
        assert!((1..160).contains(&first[0]), "{first:?}");
        assert!((1_000..1_400).contains(&first[1]), "{first:?}");
        assert!((2_500..3_000).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn without_weights_every_host_is_there_once() {
        let mut rng = Rng::from_number(1);
        let mut hosts = Vec::from_iter([host(1, 0, "a"), host(1, 0, "b"), host(1, 65_535, "c")]);
        order(&mut hosts, &mut rng);
        let mut names: std::vec::Vec<_> = hosts.iter().map(|h| h.target.clone()).collect();
        names.sort();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
