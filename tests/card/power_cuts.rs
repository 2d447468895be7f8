//! Power cuts while settings are being saved: whole settings, the former or the new ones, every time.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::card_support::write_log::{Chance, WriteLog};
use crate::card_support::{Disk, Machine, Owner, Plan};
use crate::support::{Ports, Scratch};
use serde_json::json;
use trunkcast::cli::config_file;

/// How often the power is cut for real, each time on a card that the cut before it left behind.
const CUTS: u32 = 3;
/// How many more cuts are made of each record, without booting what they leave.
const LOOKS: u64 = 20;
/// How long settings are saved again and again before a cut.
const SAVING: Duration = Duration::from_secs(20);
/// Bytes of the card beyond the image.
const ROOM: u64 = 64 << 20;
/// Where the settings lie on the data partition.
const FILE: &str = "/etc/trunkcast/trunkcast.yml";

/// A save that was answered: the number in it, and how long the record was then.
type Saved = (u64, u64);

#[test]
fn settings_are_whole_after_every_power_cut() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("cuts");
    let mut disk = Disk::flash("cuts", ROOM);
    let mut chance = Chance(7);
    let mut last = 0;
    let mut seen = 0;
    for cut in 0..CUTS {
        // What the card held before this boot, for replaying its writes.
        let before = Disk::copy_of(disk.path(), "cuts-before");
        let record = folder.join("writes");
        let mut plan = Plan::named("power-cuts");
        plan.write_log = Some(record.clone());
        let mut machine = Machine::start(&disk, &mut ports, &plan);
        let session = machine.wait_for_page();
        let mut owner = machine.owner();
        if cut == 0 {
            assert_eq!(session["state"], "new", "{session}");
            owner.set_password();
        } else {
            assert_eq!(session["state"], "signedOut", "{session}");
            owner.sign_in();
            last = number_of(&owner).max(last);
        }
        let begun = size(&record);
        let saved = save_until_cut(machine, &owner, &record, last, &mut chance);
        let writes = WriteLog::read(&record);
        let first = writes.entry_after(begun);
        println!(
            "cut {cut}: {} saves answered, {} writes and {} flushes recorded",
            saved.len(),
            writes.len(),
            writes.flushes()
        );
        assert!(saved.len() > 3, "too few saves: {saved:?}");
        seen += look_at_cuts(&before, &writes, first, &saved, last, &mut chance, &folder);
        // The next boot is from a card that lost what it had not flushed.
        let end = writes.len() - 1 - chance.below(20) as usize;
        let flushed = writes.flushed_before(end);
        writes.apply(&before, 0, flushed);
        writes.apply_some(&before, flushed, end, &mut chance);
        let at = least(&saved, &writes, flushed, last);
        disk = before;
        println!("the next boot must have settings {at} or newer");
        last = at;
    }
    let mut plan = Plan::named("power-cuts");
    plan.name.push_str("-end");
    let mut machine = Machine::start(&disk, &mut ports, &plan);
    let session = machine.wait_for_page();
    assert_eq!(session["state"], "signedOut", "{session}");
    let mut owner = machine.owner();
    owner.sign_in();
    let number = number_of(&owner);
    assert!(number >= last, "settings {number} in place of {last}");
    owner.change(|settings| settings["trunks"]["default"]["visibleName"] = json!("Box at last"));
    println!("{seen} cuts looked at, {CUTS} booted");
}

/// Saves settings with a number that rises, until the power goes in the middle of it.
fn save_until_cut(
    machine: Machine,
    owner: &Owner,
    record: &Path,
    last: u64,
    chance: &mut Chance,
) -> Vec<Saved> {
    let number = AtomicU64::new(last);
    let until = Instant::now() + SAVING + Duration::from_millis(chance.below(1_500));
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| {
            let mut saved = Vec::new();
            let (mut settings, _) = owner.settings();
            loop {
                let next = number.fetch_add(1, Ordering::Relaxed) + 1;
                settings["trunks"]["default"]["visibleName"] = json!(format!("Box {next}"));
                if !owner.try_save(&settings) {
                    return saved;
                }
                saved.push((next, size(record)));
            }
        });
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        machine.cut();
        saving.join().expect("who saves does not panic")
    })
}

/// Cuts the power at so many places of a record, and looks at the settings that are left.
fn look_at_cuts(
    before: &Disk,
    writes: &WriteLog,
    first: usize,
    saved: &[Saved],
    last: u64,
    chance: &mut Chance,
    folder: &Scratch,
) -> u64 {
    let replayed = Disk::copy_of(before.path(), "cuts-replayed");
    let span = (writes.len() - first) as u64;
    let mut ends: Vec<usize> = (0..LOOKS)
        .map(|_| first + chance.below(span) as usize)
        .collect();
    ends.sort_unstable();
    let mut done = 0;
    for end in ends {
        let flushed = writes.flushed_before(end);
        if flushed > done {
            writes.apply(&replayed, done, flushed);
            done = flushed;
        }
        let trial = Disk::copy_of(replayed.path(), "cuts-trial");
        writes.apply_some(&trial, flushed, end, chance);
        let data = folder.join("data.img");
        trial.take_out(&trial.partition("data"), &data);
        let text = settings_in(&data);
        let number = number_in(&text);
        let least = least(saved, writes, flushed, last);
        assert!(
            number >= least,
            "after write {end} of {}: settings {number}, but {least} were answered as saved",
            writes.len()
        );
    }
    LOOKS
}

/// The newest settings that were answered as saved before a flush: those must be there.
fn least(saved: &[Saved], writes: &WriteLog, flushed: usize, last: u64) -> u64 {
    let known = saved.iter().rev();
    let mut known = known.skip_while(|(_, size)| writes.entry_after(*size) > flushed);
    known.next().map_or(last, |(number, _)| *number)
}

/// Mends a file system as the card does before it mounts it, and reads the settings from it.
fn settings_in(data: &Path) -> String {
    let check = Command::new("/usr/sbin/e2fsck")
        .args(["-p"])
        .arg(data)
        .output();
    let check = check.expect("e2fsprogs are part of the system");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    let code = check.status.code().unwrap_or(-1);
    assert!(code == 0 || code == 1, "e2fsck ended with {code}: {said}");
    let read = Command::new("/usr/sbin/debugfs")
        .args(["-R", &format!("cat {FILE}")])
        .arg(data)
        .output()
        .expect("e2fsprogs are part of the system");
    String::from_utf8_lossy(&read.stdout).into_owned()
}

/// The number in a settings file, which must be one that the box can start with.
fn number_in(text: &str) -> u64 {
    if let Err(problems) = config_file::load(text, FILE) {
        panic!("no settings: {problems:?}\n{text}");
    }
    let number = text.split("visibleName: ").nth(1).unwrap_or_default();
    number_of_name(number.lines().next().unwrap_or_default())
}

fn number_of_name(name: &str) -> u64 {
    let number = name.trim_matches(['"', '\'', ' ']).strip_prefix("Box ");
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number in the settings of a box that runs.
fn number_of(owner: &Owner) -> u64 {
    let (settings, _) = owner.settings();
    let name = &settings["trunks"]["default"]["visibleName"];
    number_of_name(name.as_str().unwrap_or_default())
}

fn size(record: &Path) -> u64 {
    std::fs::metadata(record).map_or(0, |data| data.len())
}
