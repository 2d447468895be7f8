//! What the system says of a running process.

use std::fs;
use std::process::{Command, Stdio};

/// Nanoseconds of CPU that a process has used in all its living threads.
pub fn cpu(process: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let mut sum = 0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += text
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0);
    }
    sum
}

/// Resident memory of a process in KiB.
pub fn resident(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// Memory of a process in KiB, what it shares with others divided among them.
pub fn proportional(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// System calls a second of some processes, over `seconds`; by perf, or where it may not count,
/// by strace, which slows the process down. None when neither works.
pub fn system_calls(processes: &[u32], seconds: u32) -> Option<f64> {
    let list: Vec<String> = processes.iter().map(u32::to_string).collect();
    let output = Command::new("perf")
        .args([
            "stat",
            "-x,",
            "-e",
            "raw_syscalls:sys_enter",
            "-p",
            &list.join(","),
        ])
        .args(["--", "sleep", &seconds.to_string()])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let count = text.ok().and_then(|text| {
        let line = text
            .lines()
            .find(|line| line.contains("sys_enter"))?
            .to_owned();
        line.split(',').next()?.parse::<f64>().ok()
    });
    count
        .or_else(|| traced_calls(&list, seconds))
        .map(|count| count / f64::from(seconds))
}

fn traced_calls(processes: &[String], seconds: u32) -> Option<f64> {
    let mut command = Command::new("timeout");
    command.args(["-s", "INT", &seconds.to_string(), "strace", "-c", "-f"]);
    for process in processes {
        command.args(["-p", process]);
    }
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text
        .lines()
        .find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
