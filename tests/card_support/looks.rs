//! What can be seen of a card through its console.

use super::console::Console;

/// One property of a unit.
pub fn property(console: &mut Console, unit: &str, name: &str) -> String {
    console.ask(&format!("systemctl show -P {name} {unit}"))
}

/// Seconds that the card has been up.
pub fn uptime(console: &mut Console) -> f64 {
    let text = console.ask("cat /proc/uptime");
    let word = text.split_whitespace().next();
    word.and_then(|word| word.parse().ok()).expect("a number")
}

/// Seconds after the kernel's start at which a unit had begun and told that it was ready.
pub fn ready_after(console: &mut Console, unit: &str) -> (f64, f64) {
    let mut seconds = |name| {
        let text = property(console, unit, name);
        text.parse::<f64>().expect("microseconds") / 1_000_000.0
    };
    let began = seconds("InactiveExitTimestampMonotonic");
    (began, seconds("ActiveEnterTimestampMonotonic"))
}

/// What listens, one `protocol address:port program` each, sorted.
pub fn listeners(console: &mut Console) -> Vec<String> {
    let text = console.ask("ss -Hlntup");
    let mut all: Vec<_> = text.lines().filter_map(listener).collect();
    all.sort();
    all.dedup();
    all
}

fn listener(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let protocol = words.next()?;
    let address = words.nth(3)?;
    let program = line
        .split("((\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    // The addresses that DHCP gives are not known beforehand.
    let (place, port) = address.rsplit_once(':')?;
    let place = match port {
        "68" | "546" => "ADDRESS",
        _ => place,
    };
    Some(format!(
        "{protocol} {place}:{port} {}",
        program.unwrap_or("?")
    ))
}

/// What identifies this card and no other: its machine id, and the fingerprint of its certificate where
/// it has made one.
pub fn machine_id(console: &mut Console) -> String {
    let id = console.ask("cat /etc/machine-id");
    assert_eq!(id.len(), 32, "{id}");
    assert!(id.chars().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    id
}

/// Lines of the journal from this boot with the priority of an error or worse.
pub fn errors(console: &mut Console) -> Vec<String> {
    let text = console.ask("journalctl -b -p err -q --no-pager -o cat");
    text.lines().map(str::to_owned).collect()
}
