//! Updates from a USB stick: into the other slot, good only when calls can come, back where they cannot.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::card_support::files::{built, folder};
use crate::card_support::machine::BOOT;
use crate::card_support::{Disk, Machine, Owner, Plan, Stick, looks};
use crate::support::{Phone, Ports};

/// Until an update is checked and written, emulated on a busy machine.
const INSTALL: Duration = Duration::from_secs(900);
/// Until a system that does not come up healthy was given up.
const FALL_BACK: Duration = Duration::from_secs(1_500);
/// Something in the settings that is not the factory's.
const KEPT: &str = "kept through updates";

#[test]
fn updates_go_to_the_other_slot_and_bad_ones_fall_back() {
    let mut ports = Ports::claim();
    let disk = Disk::flash("update", 64 << 20);
    let mut plan = Plan::named("update");
    plan.has_usb = true;
    let mut machine = Machine::start(&disk, &mut ports, &plan);
    assert_eq!(machine.wait_for_slot(BOOT), 'A');
    machine.wait_until_up();
    let factory = version(&mut machine);
    let mut owner = machine.owner();
    owner.set_password();
    owner.change(|settings| settings["trunks"]["default"]["visibleName"] = json!(KEPT));
    wait_until_good(&mut machine, 'A');

    refused(&mut machine, &built("foreign.raucb"), 1);
    refused(&mut machine, &tampered(), 2);

    assert_eq!(install(&mut machine, &built("update.raucb")), 'B');
    machine.wait_until_up();
    let updated = version(&mut machine);
    println!("updated from {factory} to {updated}");
    assert_ne!(updated, factory);
    wait_until_good(&mut machine, 'B');
    settings_are_kept(&machine);
    Phone::dial_for_anything(&mut ports, machine.sip(), "1001").hang_up();

    falls_back(&mut machine, "broken.raucb", &updated);
    falls_back(&mut machine, "dead.raucb", &updated);
}

/// Puts a stick with a bundle in, and waits until the card has restarted by itself; into which slot.
fn install(machine: &mut Machine, bundle: &Path) -> char {
    let stick = Stick::with(&[bundle]);
    let began = Instant::now();
    machine.console.forget();
    machine.plug(&stick);
    let slot = machine.wait_for_slot(INSTALL);
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    let took = began.elapsed().as_secs_f32();
    println!("{name} is installed and booted after {took:.0} s of this host's time");
    machine.unplug();
    slot
}

/// Puts a stick in whose bundle must not get through, the `number`th such: what runs goes on, and is what
/// would be booted.
fn refused(machine: &mut Machine, bundle: &Path, number: usize) {
    let stick = Stick::with(&[bundle]);
    machine.plug(&stick);
    let told = machine.console.ask_until(
        "journalctl -b -q --no-pager -o cat | grep -A6 -B6 'trunkcast-update@.*Failed with result'",
        INSTALL,
        |shell| shell.text.matches("Failed with result").count() == number,
    );
    println!("{}: {}", bundle.display(), told.text);
    machine.unplug();
    machine.console.ask("systemctl reset-failed");
    let order = machine.console.ask("fw_printenv -n BOOT_ORDER");
    assert!(order.starts_with('A'), "{order} after {}", bundle.display());
    assert_eq!(slot(machine), 'A');
}

/// An update of which one byte was changed on its way.
fn tampered() -> PathBuf {
    let mut bytes = std::fs::read(built("update.raucb")).expect("it is built");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = folder().join("tampered.raucb");
    std::fs::write(&path, bytes).expect("a file below target");
    path
}

/// A bundle that is signed and does not work: the box tries it and is what it was before.
fn falls_back(machine: &mut Machine, bundle: &str, good: &str) {
    assert_eq!(install(machine, &built(bundle)), 'A');
    machine
        .console
        .wait_quietly(&["slots: booting B"], FALL_BACK)
        .unwrap_or_else(|| panic!("{bundle}: never back:\n{}", machine.console.tail()));
    machine.wait_until_up();
    assert_eq!(slot(machine), 'B');
    assert_eq!(version(machine), good);
    wait_until_good(machine, 'B');
    settings_are_kept(machine);
    println!("{bundle}: back to {good}");
}

fn settings_are_kept(machine: &Machine) {
    let mut owner: Owner = machine.owner();
    owner.sign_in();
    let (settings, _) = owner.settings();
    assert_eq!(
        settings["trunks"]["default"]["visibleName"], KEPT,
        "{settings}"
    );
}

fn version(machine: &mut Machine) -> String {
    let version = machine
        .console
        .ask("cat /usr/share/trunkcast/image-version");
    let release = machine.console.ask("grep VERSION_ID /etc/os-release");
    assert!(release.contains(&version), "{release}");
    version
}

/// The slot that runs.
fn slot(machine: &mut Machine) -> char {
    let line = machine.console.ask("cat /proc/cmdline");
    let slot = line
        .split("rauc.slot=")
        .nth(1)
        .and_then(|rest| rest.chars().next());
    slot.expect("the boot loader names the slot")
}

/// Waits until the slot that runs has been found healthy: then its tries are counted anew.
fn wait_until_good(machine: &mut Machine, slot: char) {
    let counters = machine
        .console
        .ask_until("fw_printenv", FALL_BACK, |shell| {
            shell.text.contains(&format!("BOOT_{slot}_LEFT=3"))
                && shell.text.contains(&format!("BOOT_ORDER={slot}"))
        });
    let uptime = looks::uptime(&mut machine.console);
    println!(
        "slot {slot} is good {uptime:.0} s after the kernel's start: {:?}",
        counters.text
    );
}
