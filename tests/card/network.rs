//! A card that nobody gives an address and nobody tells the time.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::card_support::machine::{BOOT, Tap};
use crate::card_support::{Disk, Machine, Network, Owner, Plan, looks};
use crate::support::{Authority, Ports, TlsFront, Validity};

/// Where the card is without a DHCP server, and a computer set up by hand beside it.
const FALL_BACK: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
const BESIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);

#[test]
fn without_dhcp_and_time_the_page_answers_and_says_what_is_missing() {
    let mut ports = Ports::claim();
    let tap = Tap::new(
        &ports,
        &[BESIDE.to_string() + "/24", "169.254.77.2/16".to_owned()],
    );
    let disk = Disk::flash("network", 64 << 20);
    let mut plan = Plan::named("network");
    plan.network = Network::Tap(tap.name().to_owned());
    plan.clock = Some("1970-01-02T00:00:00".to_owned());
    let mut machine = Machine::start(&disk, &mut ports, &plan);
    let page = SocketAddr::from((FALL_BACK, 80));
    let session = machine.wait_for_page_at(page);
    assert_eq!(session["state"], "new", "{session}");
    machine.console.wait_for_shell(BOOT);
    let addresses = machine.console.ask("ip -br -4 addr show");
    println!("without DHCP: {addresses}");
    assert!(addresses.contains("192.168.77.1/24"), "{addresses}");
    assert_eq!(machine.console.ask("systemctl --failed --no-legend"), "");

    // By whatever address a computer without DHCP gives itself.
    let named = the_name_is_found_by_multicast();
    let addresses = machine.console.ask("ip -br -4 addr show");
    assert!(addresses.contains(&format!("{named}/")), "{addresses}");
    machine.wait_for_page_at(SocketAddr::from((named, 80)));

    a_certificate_of_later_is_told_in_words(&mut machine, &mut ports, page);
    another_card_is_another(&mut machine, &mut ports);
}

/// `trunkcast.local`, as a browser beside it asks for it (RFC 6762 section 5.1).
fn the_name_is_found_by_multicast() -> Ipv4Addr {
    let socket = UdpSocket::bind((BESIDE, 0)).expect("the TAP device has that address");
    let patience = Some(Duration::from_secs(1));
    socket.set_read_timeout(patience).expect("a socket");
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["trunkcast", "local"] {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut answer = [0; 1_500];
    loop {
        let sent = socket.send_to(&query, (Ipv4Addr::new(224, 0, 0, 251), 5353));
        sent.expect("the TAP device is up");
        if let Ok((length, from)) = socket.recv_from(&mut answer) {
            let told = answer[..length]
                .last_chunk::<4>()
                .expect("a record of type A");
            let address = Ipv4Addr::from(*told);
            println!("trunkcast.local is {address}, says {from}");
            return address;
        }
        assert!(
            Instant::now() < deadline,
            "nobody answers to trunkcast.local"
        );
    }
}

/// The guide's test of an RTMPS server, whose certificate begins later than the clock of the card.
fn a_certificate_of_later_is_told_in_words(
    machine: &mut Machine,
    ports: &mut Ports,
    page: SocketAddr,
) {
    let clock = machine.console.ask("date -u +%F");
    println!("the clock that was never set says {clock}");
    let authority = Authority::new();
    let certificate = authority.certify(&format!("IP:{BESIDE}"), Validity::Future);
    let at = SocketAddr::from((BESIDE, ports.pair()));
    let nowhere = ports.address();
    let _front = TlsFront::start_at(at, nowhere, &certificate, "TLSv1.2 TLSv1.3");
    let mut owner = Owner::at(page);
    owner.set_password();
    let (mut settings, revision) = owner.settings();
    settings["trunks"] = json!({"office": {
        "localPort": 40000, "proxyIp": BESIDE, "url": format!("rtmps://{at}/live"),
    }});
    let document = json!({"settings": settings, "revision": revision, "trunk": "office"});
    let told = owner.try_rtmp(&document);
    println!("the trial says {told}");
    assert!(told.to_string().contains("tlsTimeNotSet"), "{told:#}");
    assert!(
        told.to_string().contains("this box's clock is not set yet"),
        "{told:#}"
    );
}

/// What is made on the device is not the same on the next one.
fn another_card_is_another(machine: &mut Machine, ports: &mut Ports) {
    let disk = Disk::flash("another", 0);
    let mut another = Machine::start(&disk, ports, &Plan::named("another"));
    another.wait_until_up();
    let ids = [machine, &mut another].map(|machine| looks::machine_id(&mut machine.console));
    println!("two cards: {ids:?}");
    assert_ne!(ids[0], ids[1]);
}
