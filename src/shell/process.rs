//! What this process uses, as `/proc` tells it (proc(5)), and another program in its place.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::gateway::outlet::ProcessFigures;

/// Begins a program in place of this one, with the arguments that this one was given. The process stays
/// the same to whoever started it; no descriptor but the standard ones is left open. Returns only why
/// it cannot be done.
pub fn replace(program: &Path) -> io::Error {
    Command::new(program)
        .args(std::env::args_os().skip(1))
        .exec()
}

/// What the process uses now; `None` where the system does not tell.
pub fn figures() -> Option<ProcessFigures> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    Some(ProcessFigures {
        resident_bytes: kibibytes(&status, "VmRSS:")?.checked_mul(1_024)?,
        virtual_bytes: kibibytes(&status, "VmSize:")?.checked_mul(1_024)?,
        descriptors: descriptors(),
        descriptors_max: descriptors_max(&limits)?,
        cpu_centiseconds: ticks(&stat)?,
    })
}

/// A field of the status in kibibytes, whatever the size of a page.
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix(name))?;
    field.split_whitespace().next()?.parse().ok()
}

/// Open descriptors. Kernels from 6.2 on tell how many; else they are counted.
fn descriptors() -> u64 {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).map_or(0, |folder| folder.len()) {
        0 => fs::read_dir(folder).map_or(0, |entries| entries.count() as u64),
        known => known,
    }
}

/// The soft limit of open descriptors.
fn descriptors_max(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Clock ticks, hundredths of a second on Linux, spent in the program and for it in the kernel.
fn ticks(stat: &str) -> Option<u64> {
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_what_it_uses() {
        let figures = figures().expect("/proc");
        assert!(figures.resident_bytes > 100_000 && figures.virtual_bytes > figures.resident_bytes);
        assert!((3..figures.descriptors_max).contains(&figures.descriptors));
    }

    #[test]
    fn time_is_read_past_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 31 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn the_limit_of_descriptors_is_the_soft_one() {
        let limits =
            "Limit  Soft Limit  Hard Limit\nMax open files            1024      4096      files\n";
        assert_eq!(descriptors_max(limits), Some(1_024));
    }
}
