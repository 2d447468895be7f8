//! Log lines to standard error, one an event.
//!
//! Lines go through a bounded queue to a thread of their own, so a slow terminal or journal never
//! holds up media: what finds the queue full is counted and told later. A call site that repeats
//! itself is cut to a few lines and a count. Towards the journal each line carries its priority;
//! elsewhere, the seconds since start.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::base::redact::OneLine;
use crate::limits::{LOG_KEPT_BYTES, LOG_KEPT_LINES};

/// Lines that wait for the writer.
const QUEUE_LINES: usize = 256;

/// Characters of one line.
const LINE_CHARS: usize = 1_024;

/// Lines of one call site in one [`WINDOW`].
const SITE_LINES: u32 = 400;

/// The time over which a call site's lines are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Call sites that are counted at once.
const SITES: usize = 64;

/// How long the end of the program waits for the last lines.
const FLUSH: Duration = Duration::from_millis(500);

static LOG_OUT: OnceLock<LogOut> = OnceLock::new();

/// Starts the writer and makes it the sink of the `log` crate. A second time changes nothing.
pub fn install(level: LevelFilter) {
    let (queue, lines) = sync_channel(QUEUE_LINES);
    let out = LogOut {
        queue,
        start: Instant::now(),
        journal: stderr_is_journal(),
        limiter: Mutex::new(Limiter::default()),
        kept: Mutex::new(Kept::default()),
        lost: AtomicU64::new(0),
    };
    if LOG_OUT.set(out).is_err() {
        return;
    }
    let Some(out) = LOG_OUT.get() else { return };
    let writer = std::thread::Builder::new().name("log".to_owned());
    if writer.spawn(move || out.write_lines(&lines)).is_ok() && log::set_logger(out).is_ok() {
        log::set_max_level(level);
    }
}

/// Waits until the lines so far are written, half a second at most.
pub fn flush() {
    if let Some(out) = LOG_OUT.get() {
        out.flush();
    }
}

/// The last lines that were written, the oldest first, each with the seconds since start.
pub fn last_lines() -> String {
    LOG_OUT
        .get()
        .map(|out| out.kept().text())
        .unwrap_or_default()
}

enum Message {
    Line(Line),
    /// Something was suppressed: tell it when its window ends.
    Watch,
    Flush(SyncSender<()>),
}

/// One line, not yet printed.
struct Line {
    at: Duration,
    level: Level,
    text: String,
}

/// The last lines, as many as there is room for.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LOG_KEPT_LINES || self.bytes > LOG_KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= oldest.len();
        }
    }

    fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect()
    }
}

struct LogOut {
    queue: SyncSender<Message>,
    start: Instant,
    journal: bool,
    limiter: Mutex<Limiter>,
    kept: Mutex<Kept>,
    /// Lines that found the queue full.
    lost: AtomicU64,
}

impl Log for LogOut {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = self.start.elapsed();
        let site = Site {
            file: record.file_static().unwrap_or_default(),
            line: record.line().unwrap_or_default(),
            level: record.level(),
        };
        let message = match self.limiter().admit(now, site) {
            Verdict::Write => Message::Line(Line {
                at: now,
                level: record.level(),
                text: record.args().to_string(),
            }),
            Verdict::FirstSuppressed => Message::Watch,
            Verdict::Suppressed => return,
        };
        if self.queue.try_send(message).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        let deadline = Instant::now() + FLUSH;
        // A full queue is tried again: the writer empties it.
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl LogOut {
    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line and keeps it.
    fn write_line(&self, line: &Line) {
        let Line { at, level, text } = line;
        let plain = format_line(false, *at, *level, text);
        if self.journal {
            print(&format_line(true, *at, *level, text));
        } else {
            print(&plain);
        }
        self.kept().push(plain);
    }

    fn write_lines(&self, lines: &Receiver<Message>) {
        loop {
            let now = self.start.elapsed();
            let due = self.limiter().next_due();
            let received = match due {
                Some(due) => lines.recv_timeout(due.saturating_sub(now)),
                None => lines.recv().map_err(RecvTimeoutError::from),
            };
            match received {
                Ok(Message::Line(line)) => self.write_line(&line),
                Ok(Message::Watch) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Flush(done)) => {
                    self.write_counts(Duration::MAX);
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.write_counts(self.start.elapsed());
        }
    }

    /// Writes what was suppressed in windows that ended by `until`, and what was lost.
    fn write_counts(&self, until: Duration) {
        let now = self.start.elapsed();
        loop {
            let ended = self.limiter().take_ended(until);
            let Some((site, count)) = ended else { break };
            let text = format!("{count} more suppressed like {}:{}", site.file, site.line);
            self.write_line(&Line {
                at: now,
                level: site.level,
                text,
            });
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} log lines lost: the queue was full");
            self.write_line(&Line {
                at: now,
                level: Level::Warn,
                text,
            });
        }
    }
}

fn print(line: &str) {
    // There is nowhere to tell that telling failed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// One line with its end.
fn format_line(journal: bool, now: Duration, level: Level, text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 24);
    let text = OneLine::new(text, LINE_CHARS);
    let _ = if journal {
        let priority = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        writeln!(line, "<{priority}>{text}")
    } else {
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        writeln!(line, "{seconds:>6}.{micros:06} {level:<5} {text}")
    };
    line
}

/// Whether standard error is the journal's: `JOURNAL_STREAM` names its device and inode.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|fd| std::fs::File::from(fd).metadata());
    metadata.is_ok_and(|metadata| names_file(&stream, metadata.dev(), metadata.ino()))
}

fn names_file(stream: &str, device: u64, inode: u64) -> bool {
    stream
        .split_once(':')
        .is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

/// A place in the source that logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Site {
    file: &'static str,
    line: u32,
    level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    FirstSuppressed,
    Suppressed,
}

struct Count {
    site: Site,
    since: Duration,
    written: u32,
    suppressed: u64,
}

/// Counts the lines of each call site.
#[derive(Default)]
struct Limiter {
    counts: Vec<Count>,
}

impl Limiter {
    fn admit(&mut self, now: Duration, site: Site) -> Verdict {
        // A window that ended without anything to tell makes room.
        self.counts
            .retain(|count| count.suppressed > 0 || now < count.since + WINDOW);
        if let Some(count) = self.counts.iter_mut().find(|count| count.site == site) {
            if count.written < SITE_LINES {
                count.written += 1;
                return Verdict::Write;
            }
            count.suppressed += 1;
            return match count.suppressed {
                1 => Verdict::FirstSuppressed,
                _ => Verdict::Suppressed,
            };
        }
        // More busy sites than are counted: their lines are bounded by the queue alone.
        if self.counts.len() < SITES {
            self.counts.push(Count {
                site,
                since: now,
                written: 1,
                suppressed: 0,
            });
        }
        Verdict::Write
    }

    /// When the first window with something to tell ends.
    fn next_due(&self) -> Option<Duration> {
        let told = self.counts.iter().filter(|count| count.suppressed > 0);
        told.map(|count| count.since + WINDOW).min()
    }

    /// Ends one window that is over at `now` and has something to tell.
    fn take_ended(&mut self, now: Duration) -> Option<(Site, u64)> {
        let ended = |count: &Count| count.suppressed > 0 && count.since + WINDOW <= now;
        let at = self.counts.iter().position(ended)?;
        let count = self.counts.swap_remove(at);
        Some((count.site, count.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn site(line: u32) -> Site {
        Site {
            file: "a.rs",
            line,
            level: Level::Info,
        }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_busy_call_site_is_cut_and_counted() {
        let mut limiter = Limiter::default();
        for _ in 0..SITE_LINES {
            assert_eq!(limiter.admit(at(1), site(1)), Verdict::Write);
        }
        assert_eq!(limiter.next_due(), None);
        assert_eq!(limiter.admit(at(2), site(1)), Verdict::FirstSuppressed);
        assert_eq!(limiter.admit(at(2), site(1)), Verdict::Suppressed);
        assert_eq!(
            limiter.admit(at(2), site(2)),
            Verdict::Write,
            "another site"
        );
        assert_eq!(limiter.next_due(), Some(at(11)));
        assert_eq!(limiter.take_ended(at(10)), None);
        assert_eq!(limiter.take_ended(at(11)), Some((site(1), 2)));
        assert_eq!(limiter.take_ended(at(99)), None);
        assert_eq!(limiter.admit(at(12), site(1)), Verdict::Write);
    }

    #[test]
    fn the_table_of_call_sites_does_not_grow() {
        let mut limiter = Limiter::default();
        for line in 0..1_000 {
            assert_eq!(limiter.admit(at(1), site(line)), Verdict::Write);
        }
        assert_eq!(limiter.counts.len(), SITES);
        assert_eq!(limiter.admit(at(60), site(2_000)), Verdict::Write);
        assert_eq!(limiter.counts.len(), 1);
    }

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let mut kept = Kept::default();
        for number in 0..2 * LOG_KEPT_LINES {
            kept.push(format!("{number}\n"));
        }
        let text = kept.text();
        assert!(text.starts_with(&format!("{LOG_KEPT_LINES}\n")), "{text}");
        assert_eq!(text.lines().count(), LOG_KEPT_LINES);
        for _ in 0..LOG_KEPT_LINES {
            kept.push("x".repeat(LOG_KEPT_BYTES / 10));
        }
        assert!(kept.text().len() <= LOG_KEPT_BYTES);
        assert_eq!(kept.bytes, kept.text().len());
    }

    #[test]
    fn a_line_stays_one_line_and_tells_its_priority() {
        let text = "INVITE from \"a\nb\u{1b}[2J\"";
        assert_eq!(
            format_line(true, at(1), Level::Warn, text),
            "<4>INVITE from \"a\\nb\\u{1b}[2J\"\n"
        );
        let plain = format_line(false, Duration::from_micros(12_000_034), Level::Info, "up");
        assert_eq!(plain, "    12.000034 INFO  up\n");
        let long = format_line(true, at(1), Level::Error, &"x".repeat(99_999));
        assert_eq!(long.chars().count(), "<3>…\n".chars().count() + LINE_CHARS);
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names_file("8:12345", 8, 12_345));
        for stream in ["8:12346", "9:12345", "8", "", ":", "8:12345:1", "x:12345"] {
            assert!(!names_file(stream, 8, 12_345), "{stream}");
        }
    }
}
