//! Power cuts while settings are being saved and a call is recorded: whole settings, the former or the new
//! ones, and a recording that plays up to its last seconds, every time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::recordings;
use crate::card_support::write_log::{Chance, WriteLog};
use crate::card_support::{Data, Disk, Machine, Owner, Plan};
use crate::support::{Clip, Phone, Ports, Scratch};
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

/// What a recording may lack of its end: two seconds by the daemon, and what the emulated card is late by.
const LOST: f64 = 4.0;

/// A save that was answered: the number in it, and how long the record was then.
type Saved = (u64, u64);

/// Seconds for which a call had been played, and how long the record was then.
type Played = (f64, u64);

#[test]
fn settings_and_recordings_are_whole_after_every_power_cut() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let folder = Scratch::new("cuts");
    let mut disk = Disk::flash("cuts", ROOM);
    let mut chance = Chance(7);
    let mut last = 0;
    let mut seen = 0;
    for cut in 0..CUTS {
        // What the card held before this boot, for replaying its writes.
        let before = Disk::copy_of(disk.path(), &format!("cuts-{cut}"));
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
        record_calls(&owner, &machine);
        let phone = Phone::dial(&mut ports, machine.sip(), "1001");
        let call_id = phone.call_id().to_owned();
        let begun = size(&record);
        let playing = phone.play_in_background(&clip);
        let (saved, played) = save_until_cut(machine, &owner, &record, last, &mut chance);
        playing.stop();
        let writes = WriteLog::read(&record);
        let first = writes.entry_after(begun);
        println!(
            "cut {cut}: {} saves answered, {} writes and {} flushes recorded",
            saved.len(),
            writes.len(),
            writes.flushes()
        );
        assert!(saved.len() > 3, "too few saves: {saved:?}");
        let cuts = Cuts {
            writes: &writes,
            saved: &saved,
            last,
            played: &played,
            call_id: &call_id,
            folder: &folder,
        };
        seen += cuts.look_at(&before, first, &mut chance);
        // The next boot is from a card that lost what it had not flushed.
        let end = writes.len() - 1 - chance.below(20) as usize;
        let flushed = writes.flushed_before(end);
        writes.apply(&before, 0, flushed);
        writes.apply_some(&before, flushed, end, &mut chance);
        let at = cuts.least(flushed);
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
    drop(machine);
    let data = Data::of(&disk, folder.join("data.img"));
    let names = recordings::finished(&data, &folder.join("kept"));
    println!("recordings that the card has ended by itself: {names:?}");
    assert_eq!(names.len(), CUTS as usize);
}

/// Has every call recorded, and media sent to where this host reaches the card.
fn record_calls(owner: &Owner, machine: &Machine) {
    let (first, last) = machine.media();
    owner.change(|settings| {
        settings["trunks"]["default"]["record"] = json!(true);
        settings["media"] = json!({"address": "127.0.0.1", "ports": format!("{first}-{last}")});
    });
}

/// Saves settings with a number that rises, until the power goes in the middle of it.
fn save_until_cut(
    machine: Machine,
    owner: &Owner,
    record: &Path,
    last: u64,
    chance: &mut Chance,
) -> (Vec<Saved>, Vec<Played>) {
    let began = Instant::now();
    let is_cut = AtomicBool::new(false);
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
        let watching = scope.spawn(|| {
            let mut played = Vec::new();
            while !is_cut.load(Ordering::Relaxed) {
                played.push((began.elapsed().as_secs_f64(), size(record)));
                std::thread::sleep(Duration::from_millis(50));
            }
            played
        });
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        is_cut.store(true, Ordering::Relaxed);
        machine.cut();
        let saved = saving.join().expect("who saves does not panic");
        (saved, watching.join().expect("who looks on does not panic"))
    })
}

/// What is known of a record that cuts are made of.
struct Cuts<'a> {
    writes: &'a WriteLog,
    saved: &'a [Saved],
    /// The newest settings before the record.
    last: u64,
    played: &'a [Played],
    call_id: &'a str,
    folder: &'a Scratch,
}

impl Cuts<'_> {
    /// Cuts the power at so many places of the record, and looks at what is left on the card.
    fn look_at(&self, before: &Disk, first: usize, chance: &mut Chance) -> u64 {
        let writes = self.writes;
        let replayed = Disk::copy_of(before.path(), "cuts-replayed");
        let span = (writes.len() - first) as u64;
        let mut ends: Vec<usize> = (0..LOOKS)
            .map(|_| first + chance.below(span) as usize)
            .collect();
        ends.sort_unstable();
        let mut done = 0;
        let mut worst = 0.0_f64;
        for end in ends {
            let flushed = writes.flushed_before(end);
            if flushed > done {
                writes.apply(&replayed, done, flushed);
                done = flushed;
            }
            let trial = Disk::copy_of(replayed.path(), "cuts-trial");
            writes.apply_some(&trial, flushed, end, chance);
            let data = Data::of(&trial, self.folder.join("data.img"));
            let number = number_in(&data.text(FILE));
            let least = self.least(flushed);
            assert!(
                number >= least,
                "after write {end} of {}: settings {number}, but {least} were answered as saved",
                writes.len()
            );
            let due = self.seconds(flushed);
            let kept = recordings::seconds(&data, &self.folder.join("recordings"), self.call_id);
            worst = worst.max(due - kept);
            assert!(
                kept >= due - LOST,
                "after write {end} of {}: {kept} s are recorded of {due}",
                writes.len()
            );
        }
        println!("of the call {worst:.1} s were lost at worst");
        LOOKS
    }

    /// The newest settings that were answered as saved before a flush: those must be there.
    fn least(&self, flushed: usize) -> u64 {
        let known = self.saved.iter().rev();
        let mut known = known.skip_while(|(_, size)| self.writes.entry_after(*size) > flushed);
        known.next().map_or(self.last, |(number, _)| *number)
    }

    /// For how long the call had been played when the record came to a flush.
    fn seconds(&self, flushed: usize) -> f64 {
        let known = self.played.iter().rev();
        let mut known = known.skip_while(|(_, size)| self.writes.entry_after(*size) > flushed);
        known.next().map_or(0.0, |(seconds, _)| *seconds)
    }
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
