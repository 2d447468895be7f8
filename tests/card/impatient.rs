//! Power that goes while a card makes itself at home, or forgets who owned it: it comes up whole.
//!
//! Each cut is at a place that was looked up in the record of writes: while the file system of the data
//! partition is made, while the partition takes the rest of the card, and in the midst of a factory reset.

use std::ops::Range;

use crate::card_support::machine::BOOT;
use crate::card_support::write_log::{Chance, WriteLog};
use crate::card_support::{Disk, Machine, Plan, looks};
use crate::support::{Ports, Scratch};

/// Bytes of the card beyond the image.
const ROOM: u64 = 256 << 20;
/// Where the header of the table of partitions is (UEFI specification 5.3).
const TABLE: u64 = 512;
/// What the first sector of a data partition that was made whole begins with, see `board/common/preinit`.
const MARK: &[u8] = b"trunkcast-data-1";
const FACTORY_RESET: &str = "systemctl start trunkcast-factory-reset.service";

#[test]
fn power_that_goes_in_the_first_boot_and_in_a_factory_reset_leaves_a_card_that_works() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("impatient");
    let mut chance = Chance(11);
    let flashed = Disk::flash("impatient", ROOM);
    let data = flashed.partition("data").start;
    let environment = flashed.partition("uboot-env").start;

    // The file system is half made.
    let before = Disk::copy_of(flashed.path(), "impatient-unmade");
    let writes = record(&flashed, &mut ports, &folder, |machine| {
        machine.wait_for_page();
    });
    let making = making(&writes, data, 0);
    let unmade = cut(before, &writes, making, &mut chance);

    // The table of partitions is half written, and so are the counters of the boot loader.
    let before = Disk::copy_of(unmade.path(), "impatient-grown");
    let writes = record(&unmade, &mut ports, &folder, |machine| {
        machine.wait_for_page();
        wait_until_grown(machine);
    });
    let table = writes.writes_to(TABLE, 0);
    let (first, _) = table.first().expect("the table is written");
    let growing = *first..writes.len().min(first + 8);
    let grown = cut(before, &writes, growing, &mut chance);
    let torn = grown.write(environment, &[0xa5; 2_048]);
    torn.expect("the test's own card");

    // Up at last, and reset again at once.
    let before = Disk::copy_of(grown.path(), "impatient-reset");
    let mut identity = String::new();
    let mut reset = 0;
    let log = folder.join("writes");
    let writes = record(&grown, &mut ports, &folder, |machine| {
        let copy = ["slots: counters read from their copy"];
        machine.console.wait_any(&copy, BOOT);
        let session = machine.wait_for_page();
        assert_eq!(session["state"], "new", "{session}");
        wait_until_grown(machine);
        machine.owner().set_password();
        identity = looks::machine_id(&mut machine.console);
        reset = std::fs::metadata(&log).expect("it is recorded").len();
        machine.console.say(FACTORY_RESET);
        machine.console.forget();
        machine.wait_for_slot(BOOT);
        let session = machine.wait_for_page();
        assert_eq!(session["state"], "new", "{session}");
    });
    let making = self::making(&writes, data, writes.entry_after(reset));
    let reset = cut(before, &writes, making, &mut chance);

    let mut machine = Machine::start(&reset, &mut ports, &Plan::named("impatient"));
    let session = machine.wait_until_up();
    assert_eq!(session["state"], "new", "{session}");
    wait_until_grown(&mut machine);
    assert_ne!(looks::machine_id(&mut machine.console), identity);
    let lost = machine.console.run("cat /run/trunkcast-data-lost");
    assert_ne!(lost.code, 0, "{}", lost.text);
    let console = &mut machine.console;
    let running = console.ask_until("systemctl is-system-running", BOOT, |shell| {
        !matches!(&shell.text[..], "starting" | "initializing")
    });
    let failed = console.ask("systemctl --failed --no-legend --plain");
    assert_eq!((&running.text[..], &failed[..]), ("running", ""));
}

/// Runs a card and cuts its power in the end; every write to it.
fn record(
    disk: &Disk,
    ports: &mut Ports,
    folder: &Scratch,
    run: impl FnOnce(&mut Machine),
) -> WriteLog {
    let log = folder.join("writes");
    let mut plan = Plan::named("impatient");
    plan.write_log = Some(log.clone());
    let mut machine = Machine::start(disk, ports, &plan);
    run(&mut machine);
    machine.cut();
    WriteLog::read(&log)
}

/// Where a record, from an entry on, makes the data partition: from the write to its first sector that takes
/// its mark away to the one that sets it again.
fn making(writes: &WriteLog, data: u64, from: usize) -> Range<usize> {
    let mut firsts = writes.writes_to(data, from).into_iter();
    let is_marked = |(_, sector): &(usize, [u8; 512])| sector.starts_with(MARK);
    let begin = firsts.find(|it| !is_marked(it));
    let end = firsts.find(is_marked);
    match (begin, end) {
        (Some((begin, _)), Some((end, _))) => begin..end,
        _ => panic!("the data partition was not made"),
    }
}

/// The card `before` a record, whose power went somewhere in a part of the record.
fn cut(before: Disk, writes: &WriteLog, within: Range<usize>, chance: &mut Chance) -> Disk {
    let end = within.start + 1 + chance.below(within.len() as u64 - 1) as usize;
    let flushed = writes.flushed_before(end);
    println!("cut after write {end} of {within:?}, {flushed} being sure");
    writes.apply(&before, 0, flushed);
    writes.apply_some(&before, flushed, end, chance);
    before
}

fn wait_until_grown(machine: &mut Machine) {
    machine.console.wait_for_shell(BOOT);
    machine.console.ask_until(
        "df -B1 --output=size /data | tail -n 1",
        BOOT,
        |shell| matches!(shell.text.trim().parse::<u64>(), Ok(size) if size > ROOM * 9 / 10),
    );
}
