//! The Yocto layer is of this source: its crates are those of Cargo.lock, its versions that of
//! Cargo.toml, and what it calls partitions, slots and files is what the cards' scripts call so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LAYER: &str = "yocto/meta-trunkcast";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The value of a line `key = "value"`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?
        .trim_start()
        .strip_prefix('=')?
        .trim()
        .strip_prefix('"')?
        .strip_suffix('"')
}

/// Packages of a lock file that the registry has: name-version and checksum; and the names of others.
fn locked(text: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut registry, mut others) = (BTreeMap::new(), BTreeSet::new());
    for package in text.split("[[package]]").skip(1) {
        let field = |key| package.lines().find_map(|line| value(line, key));
        let name = field("name").expect("a package has a name");
        let version = field("version").expect("a package has a version");
        match field("source") {
            None => drop(others.insert(name.to_owned())),
            Some(source) => {
                assert_eq!(source, REGISTRY, "{name} comes from elsewhere");
                let sum = field("checksum").expect("the registry gives a checksum");
                registry.insert(format!("{name}-{version}"), sum.to_owned());
            }
        }
    }
    (registry, others)
}

fn cargo_version() -> String {
    let cargo = read("Cargo.toml");
    let line = cargo.lines().find_map(|line| value(line, "version"));
    line.expect("Cargo.toml has a version").to_owned()
}

fn layer_file(path: &str) -> String {
    read(&format!("{LAYER}/{path}"))
}

/// Files of a folder of the repository, by extension.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Words after `--part-name` of a kickstart file, in its order.
fn partitions(kickstart: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in kickstart.lines().filter(|line| line.starts_with("part ")) {
        let mut words = line.split_whitespace();
        assert!(words.any(|word| word == "--part-name"), "no label: {line}");
        names.push(words.next().expect("a label follows").to_owned());
    }
    names
}

/// The option of the line that makes a partition.
fn option(kickstart: &str, partition: &str, option: &str) -> Option<String> {
    let wanted = format!(" --part-name {partition} ");
    let line = kickstart.lines().find(|line| line.contains(&wanted))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != option);
    words.nth(1).map(str::to_owned)
}

#[test]
fn every_crate_of_the_registry_is_fetched_with_its_checksum_and_no_other() {
    let (registry, _) = locked(&read("Cargo.lock"));
    assert!(registry.len() > 100, "{} packages", registry.len());
    let include = layer_file("recipes-connectivity/trunkcast/trunkcast-crates.inc");

    let mut fetched = BTreeSet::new();
    let mut sums = BTreeMap::new();
    for line in include.lines().filter(|line| !line.starts_with('#')) {
        if let Some(crate_of) = line.trim().strip_prefix("crate://crates.io/") {
            let path = crate_of.trim_end_matches('\\').trim_end();
            let (name, version) = path.split_once('/').expect("name/version");
            assert!(fetched.insert(format!("{name}-{version}")), "twice: {line}");
        } else if let Some(rest) = line.strip_prefix("SRC_URI[") {
            let (key, sum) = rest
                .split_once(".sha256sum] = ")
                .expect("a SHA-256 checksum");
            sums.insert(key.to_owned(), sum.trim_matches('"').to_owned());
        } else {
            assert!(
                ["", "\"", "SRC_URI += \"\\"].contains(&line),
                "what is {line:?}?"
            );
        }
    }
    assert_eq!(sums, registry);
    assert_eq!(fetched, registry.keys().cloned().collect());
}

#[test]
fn what_is_not_fetched_lies_in_the_source() {
    let (_, others) = locked(&read("Cargo.lock"));
    for name in others.iter().filter(|name| *name != "trunkcast") {
        let manifest = read(&format!("src/patched/{name}/Cargo.toml"));
        assert_eq!(
            manifest.lines().find_map(|line| value(line, "name")),
            Some(name.as_str())
        );
    }
}

#[test]
fn recipe_and_distribution_have_the_version_of_the_daemon() {
    let version = cargo_version();
    let recipe = format!("{LAYER}/recipes-connectivity/trunkcast/trunkcast_{version}.bb");
    assert!(root().join(&recipe).is_file(), "no {recipe}");
    let distribution = layer_file("conf/distro/trunkcast.conf");
    let stated = distribution
        .lines()
        .find_map(|line| value(line, "DISTRO_VERSION"));
    assert_eq!(stated, Some(version.as_str()));
}

#[test]
fn the_recipe_asks_for_the_compiler_that_the_daemon_needs() {
    let cargo = read("Cargo.toml");
    let needed = cargo.lines().find_map(|line| value(line, "rust-version"));
    let version = cargo_version();
    let recipe = layer_file(&format!(
        "recipes-connectivity/trunkcast/trunkcast_{version}.bb"
    ));
    assert_eq!(
        recipe.lines().find_map(|line| value(line, "RUST_NEEDED")),
        needed
    );
}

#[test]
fn partitions_have_the_labels_that_the_scripts_look_for() {
    let u_boot = layer_file("wic/trunkcast-u-boot.wks.in");
    assert_eq!(
        partitions(&u_boot),
        ["boot", "uboot-env", "rootfs-a", "rootfs-b", "data"]
    );
    let raspberry = layer_file("wic/trunkcast-raspberrypi.wks.in");
    // The firmware counts: autoboot.txt names partition 2 or 3.
    assert_eq!(
        partitions(&raspberry),
        ["boot", "boot-a", "boot-b", "rootfs-a", "rootfs-b", "data"]
    );

    let mut looked_for = BTreeMap::new();
    for (file, kickstart) in [
        ("board/common/rauc.conf", None),
        ("board/common/fw_env.config", Some(&u_boot)),
        ("board/common/preinit", None),
        ("board/common/rauc-tryboot", Some(&raspberry)),
        ("board/common/rauc-tryboot.conf", Some(&raspberry)),
    ] {
        for (at, mark) in read(file).match_indices("/dev/trunkcast/") {
            let text = read(file);
            let rest = text.get(at + mark.len()..).expect("a match lies within");
            let end = rest
                .find(|c: char| c != '-' && !c.is_ascii_lowercase())
                .unwrap_or(rest.len());
            let label = rest.get(..end).expect("an end lies within").to_owned();
            if label.is_empty() {
                continue;
            }
            for each in kickstart.map_or_else(|| vec![&u_boot, &raspberry], |one| vec![one]) {
                assert!(partitions(each).contains(&label), "{file} wants {label}");
            }
            *looked_for.entry(file).or_insert(0) += 1;
        }
    }
    assert_eq!(looked_for.len(), 5, "{looked_for:?}");
}

#[test]
fn the_data_partition_is_the_last_and_has_the_type_that_grows() {
    let repart = read("board/common/root/usr/lib/repart.d/50-data.conf");
    let kind = repart.lines().find_map(|line| line.strip_prefix("Type="));
    for file in [
        "wic/trunkcast-u-boot.wks.in",
        "wic/trunkcast-raspberrypi.wks.in",
    ] {
        let kickstart = layer_file(file);
        assert_eq!(
            partitions(&kickstart).last().map(String::as_str),
            Some("data"),
            "{file}"
        );
        assert_eq!(
            option(&kickstart, "data", "--part-type").as_deref(),
            kind,
            "{file}"
        );
        // Blank, so that preinit makes it.
        assert_eq!(
            option(&kickstart, "data", "--source").as_deref(),
            Some("empty"),
            "{file}"
        );
    }
}

#[test]
fn both_slots_have_the_same_size() {
    for file in [
        "wic/trunkcast-u-boot.wks.in",
        "wic/trunkcast-raspberrypi.wks.in",
    ] {
        let kickstart = layer_file(file);
        for pair in [["rootfs-a", "rootfs-b"], ["boot-a", "boot-b"]] {
            let [a, b] = pair.map(|name| option(&kickstart, name, "--fixed-size"));
            assert_eq!(a, b, "{pair:?} of {file}");
        }
    }
}

#[test]
fn the_root_is_asked_for_as_u_boot_is_told_to() {
    let script = read("board/common/boot.cmd");
    let card = layer_file("conf/machine/include/trunkcast-card.inc");
    let told = card
        .lines()
        .find_map(|line| value(line, "TRUNKCAST_CMDLINE_ROOT"));
    for word in told.expect("the kernel is told").split_whitespace() {
        assert!(
            script.contains(&format!(" {word} ")),
            "{word} is not in boot.cmd"
        );
    }
}

#[test]
fn every_machine_is_a_folder_of_boards_with_settings() {
    let folder = root().join(LAYER).join("conf/machine/include");
    let mut boards = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the layer has machines") {
        let path = entry.expect("the folder can be read").path();
        let text = fs::read_to_string(path).expect("the file can be read");
        if let Some(board) = text.lines().find_map(|line| value(line, "TRUNKCAST_BOARD")) {
            assert!(
                root()
                    .join("board")
                    .join(board)
                    .join("trunkcast.yml")
                    .is_file(),
                "{board}"
            );
            boards.insert(board.to_owned());
        }
    }
    assert_eq!(
        boards,
        ["armv7", "qemuarm64", "raspberrypi4-64", "raspberrypi5"]
            .map(str::to_owned)
            .into()
    );
}

#[test]
fn units_that_the_recipe_enables_are_those_of_the_card() {
    let version = cargo_version();
    let recipe = layer_file(&format!(
        "recipes-connectivity/trunkcast/trunkcast_{version}.bb"
    ));
    let list = recipe
        .split_once("SYSTEMD_SERVICE:${PN} = \"")
        .expect("units are listed")
        .1;
    let list = list.split_once("\n\"").expect("the list ends").0;
    let enabled: BTreeSet<&str> = list
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    for unit in &enabled {
        assert!(
            root().join("systemd").join(unit).is_file(),
            "no systemd/{unit}"
        );
    }
    let preset = read("board/common/root/usr/lib/systemd/system-preset/00-trunkcast.preset");
    let ours = preset
        .lines()
        .filter_map(|line| line.strip_prefix("enable trunkcast"))
        .map(|rest| format!("trunkcast{rest}"));
    assert_eq!(
        enabled
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        ours.collect()
    );
}

#[test]
fn files_of_the_source_that_the_layer_names_are_there() {
    let mut found = Vec::new();
    files(&root().join(LAYER), &mut found);
    let mut named = 0;
    for path in found {
        let text = fs::read_to_string(&path).expect("the layer is text");
        for mark in ["${TRUNKCAST_SOURCE}/board/", "${S}/board/", "${S}/systemd/"] {
            for (at, _) in text.match_indices(mark) {
                let rest = text.get(at..).expect("a match lies within");
                let rest = rest.split_once('}').expect("the mark has one").1;
                let end = rest.find(['"', ' ', '\'']).expect("a quoted path");
                let file = rest.get(1..end).expect("an end lies within");
                if file.contains("${") {
                    continue;
                }
                assert!(
                    root().join(file).is_file(),
                    "{} names {file}",
                    path.display()
                );
                named += 1;
            }
        }
    }
    assert!(named >= 4, "{named} files are named");
}
