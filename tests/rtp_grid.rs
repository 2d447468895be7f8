//! Media through networks of every kind, as a table: loss by reordering by jitter, for each pair of
//! codecs. The table is kept in `tests/data/grid.snap`; when the product changes it, the test fails
//! and shows the lines that differ, and `UPDATE=1` writes the new one.
//!
//! What must hold in every row is asserted beside: no frame that was not sent or that cannot be
//! decoded; and for losses of 1 % and 60 ms of jitter, picture and voice together within 20 ms and
//! what is added to the way no more than 120 ms. What comes in order and without loss is all there and
//! never waits. One call for a row is run here, a hundred by
//! `tests/run nightly` (`GRID_SEEDS`), without comparison to the table.

#[path = "rtp_grid/path.rs"]
mod path;
#[path = "rtp_grid/row.rs"]
mod row;
mod rtp_support;
#[path = "rtp_grid/sender.rs"]
mod sender;

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use path::Cell;
use row::{Row, Seen};
use sender::{Audio, Video};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/grid.snap");

/// In thousandths.
const LOSS: [u32; 6] = [0, 1, 10, 20, 50, 100];
const REORDER: [u32; 3] = [0, 10, 50];
/// In milliseconds.
const JITTER: [u32; 4] = [0, 20, 60, 120];
const VIDEO: [Video; 2] = [Video::H264, Video::Vp8];
const AUDIO: [Audio; 3] = [Audio::G711, Audio::Opus, Audio::Aac];

/// Milliseconds that 99 of 100 pictures may be from the voice.
const SKEW: u64 = 20;

/// Milliseconds that 95 of 100 frames may be held.
const DELAY: u64 = 120;

/// Milliseconds that no frame may be held anywhere: the reorder buffer's longest wait.
const LONGEST: u64 = 120;

#[test]
fn nothing_broken_comes_out_of_any_network_and_what_comes_out_is_on_time() {
    let seeds = std::env::var("GRID_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    let rows = rows();
    let results = run(&rows, seeds);
    let table = table(&rows, &results);
    if seeds > 1 {
        println!("{table}");
    } else {
        compare(&table);
    }
    let faults: Vec<String> = rows
        .iter()
        .zip(&results)
        .flat_map(|(row, seen)| faults(row, seen))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for video in VIDEO {
        for audio in AUDIO {
            for cell in cells() {
                let nack = false;
                rows.push(Row {
                    video,
                    audio,
                    cell,
                    nack,
                });
            }
        }
    }
    // With a phone that sends once more what is missing.
    for video in VIDEO {
        let lossy = cells().filter(|cell| cell.loss > 0 && cell.reorder == 0);
        rows.extend(lossy.map(|cell| Row {
            video,
            audio: Audio::Opus,
            cell,
            nack: true,
        }));
    }
    rows
}

fn cells() -> impl Iterator<Item = Cell> {
    LOSS.into_iter().flat_map(|loss| {
        REORDER.into_iter().flat_map(move |reorder| {
            JITTER.into_iter().map(move |jitter| Cell {
                loss,
                reorder,
                jitter,
            })
        })
    })
}

/// A row's own seed, whatever other rows there are.
fn seed(row: &Row, call: u64) -> u64 {
    let Cell {
        loss,
        reorder,
        jitter,
    } = row.cell;
    let cell = u64::from((loss * 100 + reorder) * 1_000 + jitter);
    let kind = row.video as u64 * 3 + row.audio as u64;
    call << 40 | cell << 8 | kind << 1 | u64::from(row.nack)
}

/// Runs every row on every core.
fn run(rows: &[Row], seeds: u64) -> Vec<Seen> {
    let results: Vec<Mutex<Seen>> = rows.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((at, row)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    rows.get(at).map(|row| (at, row))
                } {
                    let mut seen = results[at].lock().unwrap();
                    for call in 0..seeds {
                        row::run(*row, seed(row, call), &mut seen);
                    }
                }
            });
        }
    });
    let results = results.into_iter();
    results.map(|seen| seen.into_inner().unwrap()).collect()
}

fn table(rows: &[Row], results: &[Seen]) -> String {
    let mut table = String::from(
        "video audio  nack loss % reorder % jitter ms | corrupt  video %  audio %  asked  \
         skew p99 ms  video delay p95 ms  audio delay p95 ms\n",
    );
    for (row, seen) in rows.iter().zip(results) {
        let Row {
            video,
            audio,
            cell,
            nack,
        } = row;
        let [pictures, voice] =
            [0, 1].map(|at| 100.0 * seen.published[at] as f64 / seen.sent[at] as f64);
        let [video_delay, audio_delay] = [0, 1].map(|at| seen.delays[at].quantile(95));
        writeln!(
            table,
            "{:<5} {:<5} {:>5} {:>6} {:>9} {:>9} | {:>7} {pictures:>8.1} {voice:>8.1} {:>6} {:>12} \
             {video_delay:>19} {audio_delay:>19}",
            format!("{video:?}"),
            format!("{audio:?}"),
            if *nack { "yes" } else { "no" },
            cell.loss as f32 / 10.0,
            cell.reorder as f32 / 10.0,
            cell.jitter,
            seen.corrupt,
            seen.asked,
            seen.skews.quantile(99),
        )
        .unwrap();
    }
    table
}

/// What of a row must not be.
fn faults(row: &Row, seen: &Seen) -> Vec<String> {
    let cell = row.cell;
    let name = format!("{:?} with {:?}, {cell:?}", row.video, row.audio);
    let mut faults = Vec::new();
    if seen.corrupt > 0 {
        faults.push(format!("{name}: {} corrupt frames", seen.corrupt));
    }
    if seen.published.contains(&0) {
        faults.push(format!("{name}: a track is missing"));
    }
    // The window may be tuned to less than the next packet out of order needs.
    let allowed = if cell.reorder > 0 { 2 } else { 0 };
    let missing = |at: usize| 100 * (seen.sent[at] - seen.published[at]) > allowed * seen.sent[at];
    if cell.loss == 0 && (missing(0) || missing(1)) {
        faults.push(format!("{name}: frames missing without loss"));
    }
    let [held, longest] = [95, 100].map(|percent| {
        let delays = seen.delays.iter().map(|delays| delays.quantile(percent));
        delays.max().unwrap_or(0)
    });
    if longest > LONGEST || cell.loss + cell.reorder == 0 && longest > 0 {
        faults.push(format!("{name}: a frame was held for {longest} ms"));
    }
    if cell.loss <= 10 && cell.jitter <= 60 {
        let skew = seen.skews.quantile(99);
        if skew > SKEW {
            faults.push(format!("{name}: skew {skew} ms"));
        }
        if held > DELAY {
            faults.push(format!("{name}: held for {held} ms"));
        }
    }
    faults
}

fn compare(table: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(TABLE, table).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    let mut differences = String::new();
    let mut kept = kept.lines();
    for line in table.lines() {
        let before = kept.next().unwrap_or("(no such line)");
        if before != line {
            writeln!(differences, "- {before}\n+ {line}").unwrap();
        }
    }
    assert!(
        differences.is_empty() && kept.next().is_none(),
        "the table differs from {TABLE}; UPDATE=1 takes it over:\n{differences}"
    );
}
