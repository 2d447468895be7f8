//! What a process holds of its machine.

use std::fs;

/// Descriptors and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory.
    pub kib: u64,
}

impl Usage {
    /// Those of a process that runs.
    pub fn of(process: u32) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))
            .expect("it runs")
            .count();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Self {
            descriptors,
            kib: kib.and_then(|kib| kib.parse().ok()).expect("a number"),
        }
    }

    /// Time that a process has run on processors, in the kernel's ticks of ten milliseconds.
    pub fn ticks(process: u32) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let times = fields.split_whitespace().skip(11).take(2);
        times
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum()
    }

    /// UDP ports of a range that anybody has bound on this host, by IPv4.
    pub fn udp_ports(first: u16, last: u16) -> usize {
        let sockets = fs::read_to_string("/proc/net/udp").expect("Linux tells its sockets");
        let ports = sockets.lines().filter_map(|line| {
            let local = line.split_whitespace().nth(1)?;
            u16::from_str_radix(local.rsplit(':').next()?, 16).ok()
        });
        ports.filter(|port| (first..=last).contains(port)).count()
    }
}
