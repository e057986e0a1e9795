//! Memory and CPU of this process, as the kernel counts them.

use std::fmt::Write as _;

use metric_table::Metric;

use crate::telemetry::CONTROLLER;

metric_table::metrics! {
    RESIDENT_BYTES: Gauge "process_resident_memory_bytes" [] = "Resident memory of the process";
    CPU_SECONDS: Counter "process_cpu_seconds_total" [] = "User and system CPU time of the process";
}

/// Clock ticks a second in `/proc/self/stat`: fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends `process_resident_memory_bytes` and `process_cpu_seconds_total`; what cannot be read is left out.
pub(super) fn render(text: &mut String, controller: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    for (name, value) in [
        (RESIDENT_BYTES, resident_bytes(&status)),
        (CPU_SECONDS, cpu_seconds(&stat)),
    ] {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        if let (Some(metric), Some(value)) = (metric, value) {
            append(text, metric, controller, value);
        }
    }
}

fn append(text: &mut String, metric: &Metric, controller: &str, value: f64) {
    let Metric { name, meaning, .. } = metric;
    let kind = metric.kind.as_str();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name}{{{CONTROLLER}=\"{controller}\"}} {value}\n"
    );
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the command in parentheses and may hold spaces: count from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_even_with_a_strange_command_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"),
            Some(2_097_152.0)
        );
        assert_eq!(resident_bytes(""), None);
    }
}
