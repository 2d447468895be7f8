//! `board/common/rauc-tryboot`, RAUC's way to the firmware of the Raspberry Pi, against a folder in the
//! place of the first partition: what `autoboot.txt` says after each step of an update.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A card: its folder, and which slot runs.
struct Card {
    folder: PathBuf,
}

impl Card {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tryboot-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// What the backend prints, run by the slot that was booted.
    fn asked(&self, booted: &str, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("board/common/rauc-tryboot");
        let output = Command::new("sh")
            .arg(script)
            .args(arguments)
            .env("TRYBOOT_FOLDER", &self.folder)
            .env("TRYBOOT_BOOTED", booted)
            .env("TRYBOOT_PARAMETER", self.parameter())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn parameter(&self) -> PathBuf {
        self.folder.join("reboot-param")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.join("autoboot.txt")).unwrap()
    }

    /// The boot partition of every start, and that of a start that is a try, as the firmware reads it.
    fn partitions(&self) -> (u8, u8) {
        let text = self.text();
        let (all, tryboot) = text.split_once("[tryboot]").unwrap();
        let of = |section: &str| {
            let mut lines = section.lines().filter(|line| !line.starts_with('#'));
            let line = lines.find_map(|line| line.strip_prefix("boot_partition="));
            line.unwrap().parse().unwrap()
        };
        assert!(all.contains("[all]\ntryboot_a_b=1\n"), "{text}");
        (of(all), of(tryboot))
    }

    /// What RAUC does when it installs into a slot.
    fn install(&self, booted: &str, slot: &str) {
        self.asked(booted, &["set-state", slot, "bad"]);
        self.asked(booted, &["set-primary", slot]);
    }
}

#[test]
fn a_new_card_runs_a_and_has_nothing_to_go_back_to() {
    let card = Card::new("new");
    assert_eq!(card.asked("A", &["get-primary"]), "A");
    assert_eq!(card.asked("A", &["get-state", "A"]), "good");
    assert_eq!(card.asked("A", &["get-state", "B"]), "bad");
    card.asked("A", &["set-state", "A", "good"]);
    assert_eq!(card.partitions(), (2, 3));
    assert!(!card.parameter().exists());
}

#[test]
fn an_installed_slot_is_tried_once_and_stays_when_it_is_good() {
    let card = Card::new("good");
    card.install("A", "B");
    assert_eq!(
        card.partitions(),
        (2, 3),
        "any other start is the proven one"
    );
    assert_eq!(fs::read_to_string(card.parameter()).unwrap(), "0 tryboot\n");
    assert_eq!(card.asked("A", &["get-primary"]), "B");
    assert_eq!(card.asked("A", &["get-state", "B"]), "good");

    card.asked("B", &["set-state", "B", "good"]);
    assert_eq!(card.partitions(), (3, 2));
    assert_eq!(card.asked("B", &["get-primary"]), "B");
    assert_eq!(card.asked("B", &["get-state", "A"]), "good");
    assert!(!card.parameter().exists());

    card.install("B", "A");
    assert_eq!(card.partitions(), (3, 2));
    card.asked("A", &["set-state", "A", "good"]);
    assert_eq!(card.partitions(), (2, 3));
}

#[test]
fn a_slot_that_never_came_up_is_given_up_by_the_proven_one() {
    let card = Card::new("dead");
    card.install("A", "B");
    // The firmware forgot the try, and A came up and says so.
    card.asked("A", &["set-state", "A", "good"]);
    assert_eq!(card.partitions(), (2, 3));
    assert_eq!(card.asked("A", &["get-primary"]), "A");
    assert_eq!(card.asked("A", &["get-state", "B"]), "bad");
}

#[test]
fn a_slot_that_is_not_steady_goes_back_by_itself() {
    let card = Card::new("unsteady");
    card.install("A", "B");
    card.asked("B", &["set-state", "B", "bad"]);
    assert_eq!(card.partitions(), (2, 3));
    assert_eq!(card.asked("B", &["get-primary"]), "A");
    assert!(!card.parameter().exists(), "the reboot is an ordinary one");
}

#[test]
fn a_proven_slot_that_goes_bad_leaves_the_start_to_the_other_when_that_is_good() {
    let card = Card::new("worn");
    card.asked("A", &["set-state", "A", "bad"]);
    assert_eq!(card.partitions(), (2, 3), "there is no other");
    card.install("A", "B");
    card.asked("B", &["set-state", "B", "good"]);
    card.asked("B", &["set-state", "A", "good"]);
    card.asked("B", &["set-state", "B", "bad"]);
    assert_eq!(card.partitions(), (2, 3));
}

#[test]
fn the_file_always_has_the_firmwares_512_bytes_and_is_written_in_place() {
    let card = Card::new("sector");
    card.install("A", "B");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let file = card.folder.join("autoboot.txt");
    let first = inode(&file);
    for step in [
        ["set-state", "B", "bad"],
        ["set-state", "B", "good"],
        ["set-state", "A", "good"],
    ] {
        card.asked("A", &step);
        assert_eq!(card.text().len(), 512);
        assert!(card.text().ends_with('\n'));
        assert_eq!(inode(&file), first);
    }
}

#[test]
fn a_file_of_the_factory_without_the_states_is_understood() {
    let card = Card::new("factory");
    let text = "[all]\r\ntryboot_a_b=1\r\nboot_partition=3\r\n[tryboot]\r\nboot_partition=2\r\n";
    fs::write(card.folder.join("autoboot.txt"), text).unwrap();
    assert_eq!(card.asked("B", &["get-primary"]), "B");
    assert_eq!(card.asked("B", &["get-state", "A"]), "bad");
    card.asked("B", &["set-state", "B", "good"]);
    assert_eq!(card.partitions(), (3, 2));
    assert_eq!(card.text().len(), 512);
}

#[test]
fn what_is_no_slot_is_refused() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("board/common/rauc-tryboot");
    let card = Card::new("refused");
    for arguments in [
        &["set-primary", "C"][..],
        &["get-state"],
        &["set-state", "A", "fine"],
        &["burn"],
        &[],
    ] {
        let mut command = Command::new("sh");
        command
            .arg(&script)
            .args(arguments)
            .env("TRYBOOT_FOLDER", &card.folder);
        let status = command
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
    assert!(!card.folder.join("autoboot.txt").exists());
}
