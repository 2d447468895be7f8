//! Recordings on the data partition of a card that lost its power.

use std::fs;
use std::path::{Path, PathBuf};

use crate::card_support::Data;
use crate::support::probe;
use trunkcast::gateway::config::Recording;
use trunkcast::shell::recorder::Recorder;
use trunkcast::shell::waker::Alarm;

/// Where they lie on the data partition.
const FOLDER: &str = "/var/lib/trunkcast/recordings";

/// Seconds that play of the recording of a call, once what was unfinished is ended as the daemon ends it at
/// its next start; 0 where nothing was recorded yet.
pub fn seconds(data: &Data, to: &Path, call_id: &str) -> f64 {
    let folder = taken_out(data, to);
    let (_alarm, waker) = Alarm::new().expect("sockets");
    let config = Recording::new(folder.to_str().expect("the test's own"));
    drop(Recorder::start(&config, waker).expect("a thread"));
    let call_id = call_id.replace('@', "%40");
    let mut ours = files(&folder);
    ours.retain(|file| file.to_string_lossy().contains(&call_id));
    assert!(ours.len() <= 1, "{ours:?}");
    ours.first().map_or(0.0, |file| {
        assert_eq!(file.extension().expect("a kind"), "mp4");
        probe::decode_strictly(file);
        probe::end_of(file, "a")
    })
}

/// Names of the recordings; all of them must be finished.
pub fn finished(data: &Data, to: &Path) -> Vec<String> {
    let files = files(&taken_out(data, to));
    let name = |file: &PathBuf| {
        assert_eq!(file.extension().expect("a kind"), "mp4", "{file:?}");
        probe::decode_strictly(file);
        file.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    files.iter().map(name).collect()
}

fn taken_out(data: &Data, to: &Path) -> PathBuf {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).expect("a folder of the test's own");
    data.copy(FOLDER, to);
    to.join("recordings")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("a file").path()).collect()
}
