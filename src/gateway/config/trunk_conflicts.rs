//! Settings of a trunk that are right by themselves and wrong together.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::{Config, Conflict, Host, Trunk, codec_name};
use crate::base::codec::CodecSet;
use crate::base::network::Transport;
use crate::sdp::PlanError;

impl Config {
    /// What is wrong with each trunk by itself, and among the trunks.
    pub(super) fn trunk_conflicts(&self, found: &mut Vec<Conflict>) {
        for (at, trunk) in self.trunks.iter().enumerate() {
            let mut conflict = |key: &str, expected: String| {
                let field = format!("trunks.{}.{key}", trunk.name);
                found.push(Conflict {
                    with: field.clone(),
                    field,
                    expected,
                });
            };
            let port = trunk.local_port;
            if let Some(first) = self.trunks.iter().take(at).find(|t| t.local_port == port) {
                let name = &first.name;
                conflict(
                    "localPort",
                    format!("expected a port of its own, but trunk {name} has {port} too"),
                );
            }
            if self.media.ports.contains(port) {
                let ports = self.media.ports;
                conflict(
                    "localPort",
                    format!("expected a port outside media.ports {ports}; found {port}"),
                );
            }
            if trunk.proxy.is_none() && trunk.allow.is_empty() {
                conflict(
                    "proxyIp",
                    "expected the PBX's address, or networks in allow: nobody could call"
                        .to_owned(),
                );
            }
            if trunk.record == Some(true) && self.recording.is_none() {
                conflict(
                    "record",
                    "expected recording.directory beside it: there is no folder for recordings"
                        .to_owned(),
                );
            }
            trunk.signalling_conflicts(self.limits.calls, &mut conflict);
            if let Err(error) = trunk.codec_plan() {
                let (key, words) = match error {
                    PlanError::Template(error) => ("sdp", format!("expected SDP: {error}")),
                    PlanError::Param { .. } => ("sdpParams", error.to_string()),
                };
                conflict(key, words);
            }
            if let (Some(sink), Some(codecs)) = (trunk.sink, &trunk.codecs)
                && let refuses = sink.abilities().refuses
                && codecs.iter().all(|codec| refuses.contains(*codec))
            {
                let rest = CodecSet::ALL.without(refuses);
                let rest: Vec<&str> = rest.iter().map(codec_name).collect();
                conflict(
                    "codecs",
                    format!(
                        "expected a codec that sink {} takes: one of {}",
                        sink.name(),
                        rest.join(", ")
                    ),
                );
            }
            if trunk.sink.is_some() && trunk.url.is_none() {
                conflict(
                    "sink",
                    "expected url beside it: without one there is no server".to_owned(),
                );
            }
            if let Some(url) = &trunk.url
                && url
                    .host()
                    .parse()
                    .is_ok_and(|host: Host| host.is_loopback())
                && url.port() == self.rtmp_listen.port()
            {
                conflict(
                    "url",
                    format!(
                        "expected another server; found this program's own rtmp.listen port {}; \
                         without url the stream stays on the box",
                        url.port()
                    ),
                );
            }
        }
    }
}

impl Trunk {
    /// What is wrong among the signalling keys, told to `conflict` as key and words.
    fn signalling_conflicts(&self, calls: usize, conflict: &mut impl FnMut(&str, String)) {
        self.tls_conflicts(conflict);
        if self.proxy.is_none() {
            let mut needs_pbx = |key: &str, is_there: bool| {
                if is_there {
                    let words = "expected proxyIp beside it: there is no PBX to talk to";
                    conflict(key, words.to_owned());
                }
            };
            needs_pbx("targets", !self.targets.is_empty());
            needs_pbx("ping", self.ping.is_some());
            let register = self.register.as_ref();
            needs_pbx("register", register.is_some_and(|r| r.registrar.is_none()));
        }
        if let Some(own) = self.calls
            && own > calls
        {
            conflict(
                "calls",
                format!("expected at most limits.calls ({calls}); found {own}"),
            );
        }
        if let Some(timer) = self.session_timer
            && timer.expires < timer.min
        {
            let (expires, min) = (timer.expires, timer.min);
            conflict(
                "sessionTimer",
                format!("expected expires of at least min ({min}); found {expires}"),
            );
        }
        let (source, total) = (self.abuse.per_source, self.abuse.total);
        if total < source {
            conflict(
                "abuse",
                format!("expected total of at least perSource ({source}); found {total}"),
            );
        }
    }

    fn tls_conflicts(&self, conflict: &mut impl FnMut(&str, String)) {
        let files = [
            ("caFile", &self.ca_file),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ];
        let by_proxy = self.outbound_proxy.as_ref().and_then(|p| p.transport);
        let is_tls = self.transport == Transport::Tls;
        for (key, file) in files {
            let is_used = is_tls || key == "caFile" && by_proxy == Some(Transport::Tls);
            if file.is_some() && !is_used {
                conflict(key, "expected transport: tls beside it".to_owned());
            }
        }
        if !is_tls {
            return;
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => conflict(
                "certificate",
                "expected key beside it, the file of its private key".to_owned(),
            ),
            (None, Some(_)) => conflict("key", "expected certificate beside it".to_owned()),
            // Without either, one of the box's own making stands in.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::{HostPort, SessionTimer};

    fn conflicts(change: impl FnOnce(&mut Trunk)) -> Vec<String> {
        let mut config = Config::default();
        config.trunks[0].proxy = Some(Host::Name("pbx".to_owned()));
        change(&mut config.trunks[0]);
        let found = config.conflicts().into_iter();
        found
            .map(|c| c.field.trim_start_matches("trunks.default.").to_owned())
            .collect()
    }

    #[test]
    fn a_port_that_takes_tls_needs_certificate_and_key_together() {
        let tls = |certificate: bool, key: bool, ca: bool, transport| {
            conflicts(|trunk| {
                trunk.transport = transport;
                trunk.certificate = certificate.then(|| "/c".to_owned());
                trunk.key = key.then(|| "/k".to_owned());
                trunk.ca_file = ca.then(|| "/a".to_owned());
            })
        };
        assert_eq!(tls(true, true, true, Transport::Tls), [""; 0]);
        assert_eq!(tls(true, false, false, Transport::Tls), ["certificate"]);
        assert_eq!(tls(false, true, false, Transport::Tls), ["key"]);
        assert_eq!(tls(false, false, true, Transport::Tls), [""; 0]);
        assert_eq!(
            tls(true, true, true, Transport::Tcp),
            ["caFile", "certificate", "key"]
        );
        assert_eq!(
            conflicts(|trunk| {
                trunk.ca_file = Some("/a".to_owned());
                trunk.outbound_proxy = Some("sips:proxy".parse().unwrap());
            }),
            [""; 0]
        );
    }

    #[test]
    fn what_is_said_to_a_pbx_needs_one() {
        let target: HostPort = "pbx2".parse().unwrap();
        let found = conflicts(|trunk| {
            trunk.proxy = None;
            trunk.targets = vec![target];
            trunk.ping = Some(Trunk::PING);
        });
        assert_eq!(found, ["targets", "ping"]);
    }

    #[test]
    fn numbers_have_to_go_together() {
        assert_eq!(conflicts(|trunk| trunk.calls = Some(33)), ["calls"]);
        assert_eq!(conflicts(|trunk| trunk.calls = Some(32)), [""; 0]);
        let timer = |expires, min| {
            conflicts(|trunk| trunk.session_timer = Some(SessionTimer { expires, min }))
        };
        assert_eq!(timer(90, 91), ["sessionTimer"]);
        assert_eq!(timer(90, 90), [""; 0]);
        assert_eq!(conflicts(|trunk| trunk.abuse.total = 49), ["abuse"]);
    }
}
