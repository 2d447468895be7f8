//! Look-ups against a name server of the test's own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::thread;

use simple_dns::rdata::{CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord};

use super::*;

/// How the server treats a question.
#[derive(Clone)]
enum Treat {
    Records(Vec<RData<'static>>),
    /// Nothing but the truth over TCP.
    Cut(Vec<RData<'static>>),
    /// Lies first: another identifier, another question, noise; then the truth.
    Lies(Vec<RData<'static>>),
    Silence,
    Fails,
    /// The bytes after a right header and question.
    Noise(Vec<u8>),
}

/// How long a look-up may take here.
const TIME: Duration = Duration::from_millis(1_200);

struct Server {
    address: SocketAddr,
}

impl Server {
    fn start(zone: &[(&str, Treat)]) -> Self {
        let zone: HashMap<String, Treat> = zone
            .iter()
            .map(|(name, treat)| ((*name).to_owned(), treat.clone()))
            .collect();
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
                let udp = UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for both");
        let address = udp.local_addr().unwrap();
        let tcp_zone = zone.clone();
        // Both end with the process.
        thread::spawn(move || serve_udp(&udp, &zone));
        thread::spawn(move || serve_tcp(&tcp, &tcp_zone));
        Self { address }
    }

    fn look_up(&self, host: &str, transport: Option<Transport>) -> Result<SipTargets, String> {
        self.look_up_at(host, None, transport)
    }

    fn look_up_at(
        &self,
        name: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<SipTargets, String> {
        let servers = Servers::from_iter([self.address]);
        let names = SipNames::of(servers, addresses, Rng::from_number(3)).within(TIME);
        let name = name.to_owned();
        names.look_up(&SipHost {
            name,
            port,
            transport,
        })
    }
}

/// The hosts there are.
fn addresses(name: &str) -> std::io::Result<Vec<IpAddr>> {
    let v4 = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    match name {
        "a.example.com" => Ok(vec![v4(1)]),
        "b.example.com" => Ok(vec![v4(2), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        "example.com" => Ok(vec![v4(9)]),
        "slow.example.com" => {
            thread::sleep(TIME * 2);
            Ok(vec![v4(8)])
        }
        _ => Err(std::io::Error::other("no such host")),
    }
}

fn serve_udp(socket: &UdpSocket, zone: &HashMap<String, Treat>) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let question = Packet::parse(&buffer[..length]).unwrap();
        let name = question.questions[0].qname.to_string();
        assert_eq!(question.questions[0].qtype, QTYPE::TYPE(TYPE_SRV));
        for answer in answers(&question, zone.get(&name), false) {
            socket.send_to(&answer, from).unwrap();
        }
    }
}

const TYPE_SRV: simple_dns::TYPE = simple_dns::TYPE::SRV;

fn serve_tcp(listener: &TcpListener, zone: &HashMap<String, Treat>) {
    while let Ok((mut socket, _)) = listener.accept() {
        let mut length = [0; 2];
        socket.read_exact(&mut length).unwrap();
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        socket.read_exact(&mut question).unwrap();
        let question = Packet::parse(&question).unwrap();
        let name = question.questions[0].qname.to_string();
        for answer in answers(&question, zone.get(&name), true) {
            let length = (answer.len() as u16).to_be_bytes();
            // In pieces, as TCP may.
            socket.write_all(&length[..1]).unwrap();
            socket.write_all(&length[1..]).unwrap();
            let (first, rest) = answer.split_at(answer.len() / 2);
            socket.write_all(first).unwrap();
            socket.write_all(rest).unwrap();
        }
    }
}

fn answers(question: &Packet<'_>, treat: Option<&Treat>, over_tcp: bool) -> Vec<Vec<u8>> {
    let reply = |records: &[RData<'static>]| {
        let mut reply = Packet::new_reply(question.id());
        reply.questions = question.questions.clone();
        let mut owner = question.questions[0].qname.clone();
        for rdata in records {
            let record = ResourceRecord::new(owner.clone(), CLASS::IN, 60, rdata.clone());
            if let RData::CNAME(cname) = rdata {
                owner = cname.0.clone();
            }
            reply.answers.push(record);
        }
        reply
    };
    let bytes = |packet: &Packet<'_>| packet.build_bytes_vec_compressed().unwrap();
    match treat {
        None => {
            let mut none = reply(&[]);
            *none.rcode_mut() = RCODE::NameError;
            vec![bytes(&none)]
        }
        Some(Treat::Records(records)) => vec![bytes(&reply(records))],
        Some(Treat::Cut(records)) if over_tcp => vec![bytes(&reply(records))],
        Some(Treat::Cut(_)) => {
            let mut cut = reply(&[]);
            cut.set_flags(PacketFlag::TRUNCATION);
            vec![bytes(&cut)]
        }
        Some(Treat::Lies(records)) => {
            let mut other_id = reply(&[srv(0, 0, 6666, "evil.example.com")]);
            other_id.set_id(question.id().wrapping_add(1));
            let mut other_name = reply(&[srv(0, 0, 6666, "evil.example.com")]);
            other_name.questions[0].qname = Name::new_unchecked("_sip._udp.example.org");
            let echo = bytes(question);
            vec![
                bytes(&other_id),
                bytes(&other_name),
                echo,
                b"noise".to_vec(),
                Vec::new(),
                bytes(&reply(records)),
            ]
        }
        Some(Treat::Silence) => Vec::new(),
        Some(Treat::Fails) => {
            let mut failed = reply(&[]);
            *failed.rcode_mut() = RCODE::ServerFailure;
            vec![bytes(&failed)]
        }
        Some(Treat::Noise(noise)) => {
            let mut broken = bytes(&reply(&[srv(0, 0, 1, "a.example.com")]));
            broken.truncate(12 + question.questions[0].qname.to_string().len() + 6);
            broken.extend(noise);
            vec![broken]
        }
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &'static str) -> RData<'static> {
    let target = Name::new_unchecked(target);
    RData::SRV(SRV {
        priority,
        weight,
        port,
        target,
    })
}

fn shown(targets: Result<SipTargets, String>) -> Vec<String> {
    let targets = targets.unwrap();
    let shown = |target: &SipTarget| format!("{} {}", target.transport, target.address);
    targets.iter().map(shown).collect()
}

#[test]
fn an_address_needs_no_server() {
    let servers = Servers::new();
    for (name, port, transport, expected) in [
        ("192.0.2.1", None, None, "UDP 192.0.2.1:5060"),
        (
            "192.0.2.1",
            None,
            Some(Transport::Tls),
            "TLS 192.0.2.1:5061",
        ),
        (
            "[2001:db8::1]",
            Some(5070),
            Some(Transport::Tcp),
            "TCP [2001:db8::1]:5070",
        ),
    ] {
        let names = SipNames::of(servers.clone(), addresses, Rng::from_number(1));
        let name = name.to_owned();
        let host = SipHost {
            name,
            port,
            transport,
        };
        assert_eq!(shown(names.look_up(&host)), [expected]);
    }
}

#[test]
fn services_are_tried_by_priority_at_all_their_addresses() {
    let hosts = vec![
        srv(20, 0, 5080, "b.example.com"),
        srv(10, 0, 5070, "a.example.com"),
    ];
    let server = Server::start(&[("_sip._udp.example.com", Treat::Records(hosts))]);
    assert_eq!(
        shown(server.look_up("example.com", Some(Transport::Udp))),
        ["UDP 192.0.2.1:5070", "UDP 192.0.2.2:5080", "UDP [::1]:5080"]
    );
}

#[test]
fn every_transport_is_asked_for_when_none_is_given() {
    let server = Server::start(&[
        (
            "_sips._tcp.example.com",
            Treat::Records(vec![srv(1, 0, 5061, "a.example.com")]),
        ),
        (
            "_sip._tcp.example.com",
            Treat::Records(vec![srv(1, 0, 5062, "a.example.com")]),
        ),
    ]);
    assert_eq!(
        shown(server.look_up("example.com", None)),
        ["TCP 192.0.2.1:5062", "TLS 192.0.2.1:5061"]
    );
}

#[test]
fn a_name_without_services_is_reached_at_the_usual_port() {
    let server = Server::start(&[]);
    for (transport, expected) in [
        (None, "UDP 192.0.2.9:5060"),
        (Some(Transport::Tls), "TLS 192.0.2.9:5061"),
    ] {
        assert_eq!(shown(server.look_up("example.com", transport)), [expected]);
    }
}

#[test]
fn a_name_with_a_port_is_not_asked_for_services() {
    let evil = Treat::Records(vec![srv(1, 0, 6666, "a.example.com")]);
    let server = Server::start(&[("_sip._udp.example.com", evil)]);
    let found = server.look_up_at("example.com", Some(5099), None);
    assert_eq!(shown(found), ["UDP 192.0.2.9:5099"]);
}

#[test]
fn a_service_that_is_refused_is_not_looked_for_elsewhere() {
    let none = Treat::Records(vec![srv(0, 0, 0, ".")]);
    let server = Server::start(&[("_sips._tcp.example.com", none)]);
    assert_eq!(
        server.look_up("example.com", Some(Transport::Tls)),
        Err("example.com says that it offers no SIP over TLS".to_owned())
    );
}

#[test]
fn a_cut_answer_is_read_over_tcp() {
    let records = vec![srv(1, 0, 5070, "a.example.com")];
    let server = Server::start(&[("_sip._udp.example.com", Treat::Cut(records))]);
    let found = server.look_up("example.com", Some(Transport::Udp));
    assert_eq!(shown(found), ["UDP 192.0.2.1:5070"]);
}

#[test]
fn lies_are_passed_over_and_the_truth_is_waited_for() {
    let records = vec![srv(1, 0, 5070, "a.example.com")];
    let server = Server::start(&[("_sip._udp.example.com", Treat::Lies(records))]);
    let found = server.look_up("example.com", Some(Transport::Udp));
    assert_eq!(shown(found), ["UDP 192.0.2.1:5070"]);
}

#[test]
fn aliases_are_followed_within_an_answer_and_by_another_question() {
    let to = |name| RData::CNAME(CNAME(Name::new_unchecked(name)));
    let inside = vec![to("x.example.com"), srv(1, 0, 5070, "a.example.com")];
    let server = Server::start(&[
        ("_sip._udp.example.com", Treat::Records(inside)),
        (
            "_sip._tcp.example.com",
            Treat::Records(vec![to("y.example.com")]),
        ),
        (
            "y.example.com",
            Treat::Records(vec![srv(1, 0, 5071, "a.example.com")]),
        ),
        (
            "_sips._tcp.example.com",
            Treat::Records(vec![to("z.example.com")]),
        ),
        (
            "z.example.com",
            Treat::Records(vec![to("_sips._tcp.example.com")]),
        ),
    ]);
    assert_eq!(
        shown(server.look_up("example.com", None)),
        ["UDP 192.0.2.1:5070", "TCP 192.0.2.1:5071"]
    );
}

#[test]
fn servers_that_fail_or_are_not_there_leave_the_usual_port() {
    let noise = Treat::Noise(vec![0xc0, 0x0c, 0xc0]);
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failing = Server::start(&[
        ("_sip._udp.example.com", Treat::Fails),
        ("_sip._tcp.example.com", noise),
    ]);
    for (address, transport) in [(gone, "UDP"), (failing.address, "UDP")] {
        let server = Server { address };
        let found = server.look_up("example.com", Some(Transport::Udp));
        assert_eq!(shown(found), [format!("{transport} 192.0.2.9:5060")]);
    }
}

#[test]
fn silence_ends_in_time() {
    let server = Server::start(&[("_sip._udp.example.com", Treat::Silence)]);
    let began = Instant::now();
    let found = server.look_up("example.com", None);
    assert_eq!(shown(found), ["UDP 192.0.2.9:5060"]);
    assert!(began.elapsed() < TIME, "{:?}", began.elapsed());
}

#[test]
fn a_system_that_does_not_answer_is_left_alone() {
    let server = Server::start(&[]);
    let began = Instant::now();
    assert_eq!(
        server.look_up_at("slow.example.com", Some(5060), None),
        Err("cannot resolve slow.example.com: the name servers do not answer".to_owned())
    );
    assert!(began.elapsed() < TIME * 2, "{:?}", began.elapsed());
}

#[test]
fn a_host_that_does_not_exist_is_named() {
    let server = Server::start(&[]);
    assert_eq!(
        server.look_up("nowhere.example.com", None),
        Err("cannot resolve nowhere.example.com: no such host".to_owned())
    );
}

#[test]
fn no_answer_however_broken_ends_the_reading() {
    let mut reply = Packet::new_reply(7);
    let name = Name::new_unchecked("_sip._udp.example.com");
    let question =
        simple_dns::Question::new(name.clone(), QTYPE::TYPE(TYPE_SRV), CLASS::IN.into(), false);
    reply.questions.push(question);
    for target in ["a.example.com", "b.example.com"] {
        let rdata = srv(1, 2, 5060, target);
        reply
            .answers
            .push(ResourceRecord::new(name.clone(), CLASS::IN, 60, rdata));
    }
    let whole = reply.build_bytes_vec_compressed().unwrap();
    assert!(matches!(read(&whole), Some(SrvAnswer::Hosts(_))));
    for length in 0..whole.len() {
        read(&whole[..length]);
    }
    let mut rng = Rng::from_number(11);
    for _ in 0..20_000 {
        let mut broken = whole.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(broken.len() as u32) as usize;
            broken[at] = rng.u32() as u8;
        }
        read(&broken);
    }
    // Far more records than there are bytes for.
    let mut boast = whole;
    boast[6..8].fill(0xff);
    assert_eq!(read(&boast), None);
}

fn read(bytes: &[u8]) -> Option<SrvAnswer> {
    Some(srv::read(&query::parse(bytes)?, "_sip._udp.example.com"))
}
