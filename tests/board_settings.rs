//! The settings that cards are shipped with: each passes `check`, leaves the guide of the page to its
//! owner, and fits into the memory of the smallest board of its kind.

use std::fs;
use std::path::{Path, PathBuf};

use trunkcast::cli::{config_file, panel_file};
use trunkcast::gateway::config::Config;
use trunkcast::shell::panel::ButtonDevice;

/// The boards, and mebibytes of the smallest of each.
const BOARDS: [(&str, usize); 4] = [
    ("armv7", 256),
    ("qemuarm64", 512),
    ("raspberrypi4-64", 1_024),
    ("raspberrypi5", 1_024),
];

/// Mebibytes of everything on the card beside the daemon, as the boards' README.md reckon them.
const SYSTEM_MIB: usize = 166;

/// Mebibytes of the unit's `MemoryMax=` that are for what the kernel counts to it.
const KERNEL_MIB: usize = 64;

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let path = tree(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn settings(board: &str) -> Config {
    let file = format!("board/{board}/trunkcast.yml");
    config_file::load(&read(&file), &file).unwrap_or_else(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n"))
    })
}

#[test]
fn every_folder_with_settings_is_a_board_of_this_table() {
    let mut found: Vec<_> = fs::read_dir(tree("board"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("trunkcast.yml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, BOARDS.map(|(board, _)| board));
}

#[test]
fn the_page_is_at_port_80_and_its_guide_begins() {
    for (board, _) in BOARDS {
        let config = settings(board);
        // What the guide of the page goes by.
        assert_eq!(config.trunks, Config::default().trunks, "{board}");
        assert!(config.page.password_hash.is_none(), "{board}");
        let (page, tls) = config.page.listens();
        assert_eq!(page, Some("0.0.0.0:80".parse().unwrap()), "{board}");
        assert_eq!(tls, None, "{board}");
        assert!(config.rest.listen.ip().is_loopback(), "{board}");
        assert!(config.notices.is_empty(), "{board}: {:?}", config.notices);
    }
}

#[test]
fn nothing_is_written_but_below_the_state_folder() {
    for (board, _) in BOARDS {
        let config = settings(board);
        assert_eq!(config.state_directory, None, "{board}: systemd's is taken");
        let recording = config.recording.expect("a folder for recordings");
        assert!(
            recording.directory.starts_with("/var/lib/trunkcast/"),
            "{board}"
        );
        assert!(!recording.all, "{board}: nothing is recorded unasked");
    }
}

#[test]
fn every_call_that_there_may_be_has_its_ports() {
    for (board, _) in BOARDS {
        let config = settings(board);
        let ports = config.media.ports.to_string();
        let (first, last) = ports.split_once('-').unwrap();
        let ports = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        assert!(ports >= 4 * config.limits.calls, "{board}: {ports} ports");
    }
}

#[test]
fn the_memory_budget_fits_the_smallest_board_and_the_unit() {
    let unit = read("systemd/trunkcast.service");
    let most = unit.lines().find_map(|line| {
        let megabytes = line.strip_prefix("MemoryMax=")?.strip_suffix('M')?;
        megabytes.parse::<usize>().ok()
    });
    let most = most.expect("a MemoryMax= in mebibytes");
    for (board, memory) in BOARDS {
        let config = settings(board);
        let budget = config.budget();
        assert_eq!(budget.check(), Ok(()), "{board}");
        let needed = budget.total().div_ceil(1 << 20);
        assert!(needed + SYSTEM_MIB <= memory, "{board}: {needed} MiB");
        assert!(config.limits.memory_mib + KERNEL_MIB <= most, "{board}");
    }
}

/// Sizes of some structures are those of a 64-bit machine.
#[cfg(target_pointer_width = "64")]
#[test]
fn each_board_is_described_with_the_budget_that_check_prints() {
    for (board, _) in BOARDS {
        let config = settings(board);
        let printed = trunkcast::cli::check::Summary::new(&config, "x").to_string();
        let budget = printed.find("memory budget:").expect("a budget");
        let described = read(&format!("board/{board}/README.md"));
        assert!(
            described.contains(printed[budget..].trim_end()),
            "board/{board}/README.md tells another budget than\n{}",
            &printed[budget..]
        );
    }
}

#[test]
fn every_panel_file_is_whole_and_its_button_is_no_power_key() {
    for (board, _) in BOARDS {
        let file = format!("board/{board}/panel.yml");
        let panel = panel_file::load(&read(&file), &file);
        let panel = panel.unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(
            panel.registered.is_some() && panel.fault.is_some(),
            "{board}"
        );
        assert_eq!((panel.daemon, panel.marks), (None, None), "{board}");
        let button = panel.button.expect("a button");
        assert!(matches!(button.device, ButtonDevice::Name(_)), "{board}");
        // KEY_POWER: systemd-logind would switch the box off.
        assert_ne!(button.key, 116, "{board}");
    }
}

#[test]
fn what_panel_files_speak_of_is_in_the_config_of_the_firmware() {
    for board in ["raspberrypi4-64", "raspberrypi5"] {
        let config = read(&format!("board/{board}/config.txt"));
        let panel = read(&format!("board/{board}/panel.yml"));
        assert!(config.contains("dtoverlay=gpio-key,"), "{board}");
        assert!(config.contains("keycode=148"), "{board}");
        for led in ["trunkcast-registered", "trunkcast-call", "trunkcast-fault"] {
            assert!(config.contains(&format!("label={led},")), "{board}: {led}");
            assert!(panel.contains(led), "{board}: {led}");
        }
        // What stands in the comment is a panel file too.
        let text: String = panel
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .skip_while(|line| *line != "leds:")
            .take_while(|line| !line.starts_with("KEY_") && !line.starts_with("Not "))
            .map(|line| format!("{line}\n"))
            .collect();
        let three = panel_file::load(&text, "comment").unwrap();
        assert!(three.in_call.is_some(), "{board}:\n{text}");
    }
}
