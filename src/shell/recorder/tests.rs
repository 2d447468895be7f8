use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::gateway::config::WhenFull;
use crate::mp4::file_mark;
use crate::shell::waker::Alarm;

/// A folder of the test's own, removed in the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("trunkcast-recorder-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn config(&self) -> Recording {
        Recording {
            min_free_mib: 0,
            ..Recording::new(self.0.to_str().unwrap())
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn put(&self, name: &str, bytes: &[u8], age: u64) {
        fs::create_dir_all(&self.0).unwrap();
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(age);
        file.set_modified(modified).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn one_box(kind: &[u8; 4], length: usize) -> Vec<u8> {
    let mut bytes = (length as u32).to_be_bytes().to_vec();
    bytes.extend(kind);
    bytes.resize(length, 0);
    bytes
}

/// A file of ours: its beginning and so many fragments of 1,016 bytes.
fn file(fragments: usize) -> Vec<u8> {
    let mut bytes = file_mark().to_vec();
    bytes.extend(one_box(b"moov", 100));
    for _ in 0..fragments {
        bytes.extend(one_box(b"moof", 16));
        bytes.extend(one_box(b"mdat", 1_000));
    }
    bytes
}

fn files(place: &Place, config: &Recording) -> Files {
    Files::new(place.0.clone(), config)
}

fn end(name: &str, replace: bool) -> RecordEnd {
    RecordEnd {
        name: name.to_owned(),
        replace,
    }
}

#[test]
fn what_is_handed_over_becomes_a_file_of_its_name() {
    let place = Place::new("whole");
    let (alarm, waker) = Alarm::new().unwrap();
    let recorder = Recorder::start(&place.config(), waker).unwrap();
    let id = RecordId(1);
    assert!(recorder.open(id, "a-{endTime}.mp4"));
    let whole = file(3);
    for piece in whole.chunks(500) {
        assert!(recorder.append(id, piece.to_vec()));
    }
    assert!(recorder.close(id, end("a-1.mp4", false)));
    let deadline = Instant::now() + Duration::from_secs(5);
    let (told, outcome) = loop {
        if let Some(answer) = recorder.answered() {
            break answer;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    };
    let bytes = whole.len() as u64;
    let name = "a-1.mp4".to_owned();
    assert_eq!((told, outcome), (id, Recorded::Closed { name, bytes }));
    assert_eq!(fs::read(place.0.join("a-1.mp4")).unwrap(), whole);
    assert_eq!(place.names(), ["a-1.mp4"]);
    drop((recorder, alarm));
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let (_alarm, waker) = Alarm::new().unwrap();
    let (queue, _orders) = sync_channel(PLACES);
    let (_to, answers) = sync_channel(1);
    let (doing, done) = Done::new();
    let recorder = Recorder {
        queue: Some(queue),
        answers,
        waiting: Arc::default(),
        done,
    };
    drop((waker, doing));
    let id = RecordId(1);
    let piece = || vec![0; RECORDING_QUEUE_BYTES / 4];
    let taken = (0..8).take_while(|_| recorder.append(id, piece())).count();
    assert_eq!(taken, 4);
    let small = (0..1_000)
        .take_while(|_| recorder.append(id, Vec::new()))
        .count();
    assert_eq!(small, RECORDING_QUEUE - 4);
    assert!(!recorder.open(id, "a.mp4"));
    // Ends have places of their own.
    assert!((0..RECORDINGS).all(|_| recorder.close(id, end("a.mp4", false))));
}

#[test]
fn a_name_that_is_taken_gets_a_number_unless_it_is_to_be_replaced() {
    let place = Place::new("taken");
    place.put("a.mp4", b"precious", 0);
    let mut files = files(&place, &place.config());
    for (number, name, replace) in [
        (1, "a-2.mp4", false),
        (2, "a-3.mp4", false),
        (3, "a.mp4", true),
    ] {
        let id = RecordId(number);
        files.open(id, "a.mp4").unwrap();
        files.append(id, &file(number as usize)).unwrap();
        let (told, _) = files.close(id, &end("a.mp4", replace)).unwrap().unwrap();
        assert_eq!(told, name);
    }
    assert_eq!(fs::read(place.0.join("a.mp4")).unwrap(), file(3));
    assert_eq!(fs::read(place.0.join("a-3.mp4")).unwrap(), file(2));
    // Two at once under one name.
    files.open(RecordId(4), "b.mp4").unwrap();
    files.open(RecordId(5), "b.mp4").unwrap();
    assert_eq!(place.names()[3..], ["b-2.mp4.part", "b.mp4.part"]);
    // Nothing came: nothing stays.
    assert_eq!(files.close(RecordId(4), &end("b.mp4", false)), Ok(None));
    assert_eq!(files.close(RecordId(5), &end("b.mp4", false)), Ok(None));
    assert_eq!(place.names(), ["a-2.mp4", "a-3.mp4", "a.mp4"]);
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let place = Place::new("link");
    place.put("target", b"precious", 0);
    std::os::unix::fs::symlink(place.0.join("target"), place.0.join("a.mp4.part")).unwrap();
    let mut files = files(&place, &place.config());
    files.open(RecordId(1), "a.mp4").unwrap();
    files.append(RecordId(1), &file(1)).unwrap();
    files.adopt();
    assert_eq!(fs::read(place.0.join("target")).unwrap(), b"precious");
    assert!(
        place.names().contains(&"a-2.mp4.part".to_owned()),
        "{:?}",
        place.names()
    );
}

#[test]
fn what_was_cut_off_anywhere_is_ended_at_its_last_whole_fragment() {
    let place = Place::new("adopt");
    let whole = file(4);
    let head = file(0).len();
    for cut in (0..=whole.len()).step_by(61) {
        place.put("a_{endTimeMillis}_{duration}.mp4.part", &whole[..cut], 0);
        files(&place, &place.config()).adopt();
        let names = place.names();
        let expected = cut.saturating_sub(head) / 1_016;
        if expected == 0 {
            // Too little to be known as ours is left alone, unless it is nothing.
            let left = if cut == 0 || cut >= 32 { 0 } else { 1 };
            assert_eq!(names.len(), left, "{cut}: {names:?}");
        } else {
            let [name] = &names[..] else {
                panic!("{cut}: {names:?}");
            };
            let is_ended = name.ends_with(".mp4") && !name.contains('{');
            assert!(name.starts_with("a_1") && is_ended, "{name}");
            let length = fs::metadata(place.0.join(name)).unwrap().len() as usize;
            assert_eq!(length, head + expected * 1_016, "cut at {cut}");
        }
        let _ = fs::remove_dir_all(&place.0);
    }
}

#[test]
fn what_another_daemon_writes_and_what_is_not_ours_stays() {
    let place = Place::new("others");
    let mut other = files(&place, &place.config());
    other.open(RecordId(1), "live.mp4").unwrap();
    other.append(RecordId(1), &file(2)).unwrap();
    place.put(
        "film.mp4.part",
        b"somebody else's film, half of it at least",
        0,
    );
    place.put("notes.txt", b"notes", 0);
    files(&place, &place.config()).adopt();
    assert_eq!(
        place.names(),
        ["film.mp4.part", "live.mp4.part", "notes.txt"]
    );
}

#[test]
fn the_oldest_recordings_give_way_and_nothing_else_does() {
    let place = Place::new("oldest");
    let mib = |count: usize| {
        let mut bytes = file(1);
        bytes.resize(count << 20, 0);
        bytes
    };
    place.put("old.mp4", &mib(6), 300);
    place.put("older.mp4", &mib(6), 400);
    place.put("new.mp4", &mib(2), 100);
    place.put("film.mp4", &vec![7; 8 << 20], 900);
    place.put("notes.txt", &mib(4), 900);
    let config = Recording {
        max_mib: Some(16),
        ..place.config()
    };
    let mut files = files(&place, &config);
    files.open(RecordId(1), "now.mp4").unwrap();
    files.append(RecordId(1), &mib(1)).unwrap();
    assert_eq!(place.names().len(), 6, "there is room for one more");
    files.append(RecordId(1), &mib(3)).unwrap();
    let left = [
        "film.mp4",
        "new.mp4",
        "notes.txt",
        "now.mp4.part",
        "old.mp4",
    ];
    assert_eq!(place.names(), left);
    files.append(RecordId(1), &mib(8)).unwrap();
    assert_eq!(
        place.names(),
        ["film.mp4", "new.mp4", "notes.txt", "now.mp4.part"]
    );
    // What is being written never gives way.
    let refused = files.append(RecordId(1), &mib(8)).unwrap_err();
    assert!(
        refused.contains("no older recording is left to delete"),
        "{refused}"
    );
    assert_eq!(place.names(), ["film.mp4", "notes.txt", "now.mp4.part"]);
    // The rest of it is passed over in silence, and what came before is kept.
    assert_eq!(files.append(RecordId(1), &mib(1)), Ok(()));
    assert_eq!(files.close(RecordId(1), &end("now.mp4", false)), Ok(None));
    let length = fs::metadata(place.0.join("now.mp4")).unwrap().len();
    assert_eq!(length, 12 << 20);
}

#[test]
fn a_disk_without_room_ends_the_recording_where_nothing_may_give_way() {
    let place = Place::new("full");
    place.put("old.mp4", &file(1), 300);
    let config = Recording {
        min_free_mib: 1 << 30,
        when_full: WhenFull::Stop,
        ..place.config()
    };
    let mut files = files(&place, &config);
    files.open(RecordId(1), "now.mp4").unwrap();
    let refused = files.append(RecordId(1), &file(1)).unwrap_err();
    assert_eq!(
        refused,
        format!("less than {} MiB of the disk are free", 1 << 30)
    );
    assert_eq!(files.close(RecordId(1), &end("now.mp4", false)), Ok(None));
    assert_eq!(place.names(), ["old.mp4"]);
}

#[test]
fn a_folder_that_cannot_be_used_is_told_of() {
    let place = Place::new("folder");
    fs::write(&place.0, "a file").unwrap();
    let mut files = Files::new(place.0.join("below"), &place.config());
    let refused = files.open(RecordId(1), "now.mp4").unwrap_err();
    assert!(
        refused.contains(Path::new(&place.0).to_str().unwrap()),
        "{refused}"
    );
    assert_eq!(files.append(RecordId(1), b"x"), Ok(()));
    fs::remove_file(&place.0).unwrap();
}
