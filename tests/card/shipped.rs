//! The card that is shipped, without the console of those that are tested: it serves, and lets nobody in.

use std::time::Duration;

use crate::card_support::{Disk, Machine, Office, Plan};
use crate::support::Ports;

/// What a card says where somebody could log in.
const PROMPTS: [&str; 4] = ["login:", "Password:", "# ", "$ "];

#[test]
fn the_card_that_is_shipped_serves_and_lets_nobody_in() {
    let mut ports = Ports::claim();
    let office = Office::open(&mut ports);
    let disk = Disk::flash_file("shipped/card.img", "shipped", 64 << 20);
    let mut machine = Machine::start(&disk, &mut ports, &Plan::named("shipped"));
    let session = machine.wait_for_page();
    assert_eq!(session["state"], "new", "{session}");
    let took = machine.started().elapsed().as_secs_f32();
    println!("page after {took:.1} s of this host's time");
    // Its name and addresses are all that it says.
    machine
        .console
        .wait_for("Trunkcast: page at http://", Duration::from_secs(120));
    machine.console.forget();
    for line in ["", "root", "", "trunkcast"] {
        machine.console.say(line);
    }

    let mut owner = machine.owner();
    owner.set_password();
    office.set_up(&owner, &machine);
    office.call(&mut machine, &mut ports, "1001", |_| {});
    let prompt = machine.console.wait_quietly(&PROMPTS, Duration::ZERO);
    assert_eq!(prompt, None, "{}", machine.console.tail());
}
