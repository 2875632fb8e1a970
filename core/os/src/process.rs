//! What Linux says of this process (proc(5)).
#![allow(unsafe_code, reason = "sysconf(3)")]

use std::io;
use std::time::Duration;

use ottla_io::ProcessStats;
use ottla_types::Time;

use crate::limits;

/// Reads `/proc/self`.
pub(crate) fn stats() -> io::Result<ProcessStats> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let boot = std::fs::read_to_string("/proc/stat")?;
    let open_files = std::fs::read_dir("/proc/self/fd")?.count();
    let parsed = parse(
        &stat,
        &boot,
        sysconf(libc::_SC_CLK_TCK),
        sysconf(libc::_SC_PAGESIZE),
    );
    let (cpu, virtual_bytes, resident_bytes, started) =
        parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat"))?;
    Ok(ProcessStats {
        cpu,
        resident_bytes,
        virtual_bytes,
        // The folder that was read was one of them.
        open_files: (open_files as u64).saturating_sub(1),
        max_files: limits::open_files()?,
        started,
    })
}

fn sysconf(name: libc::c_int) -> u64 {
    // SAFETY: takes and gives numbers.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(0).max(1)
}

/// CPU time, address space, resident memory, start.
fn parse(stat: &str, boot: &str, ticks: u64, page: u64) -> Option<(Duration, u64, u64, Time)> {
    // The name of the program stands in parentheses and may hold anything; field 3 follows it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
    let millis = |count: u64| count.saturating_mul(1000) / ticks;
    let boot: u64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some((
        Duration::from_millis(millis(field(14)?.saturating_add(field(15)?))),
        field(23)?,
        field(24)?.saturating_mul(page),
        Time(boot.saturating_mul(1000).saturating_add(millis(field(22)?))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_programs_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 1000 4096000 25 x";
        let found = parse(stat, "cpu 1 2\nbtime 1700000000\nprocesses 3\n", 100, 4096).unwrap();
        let cpu = Duration::from_secs(3);
        assert_eq!(found, (cpu, 4_096_000, 102_400, Time(1_700_000_010_000)));
        assert_eq!(parse("7 (a) S 1", "btime 1", 100, 4096), None);
    }

    #[test]
    fn this_process_is_a_plausible_one() {
        let stats = stats().unwrap();
        assert!(stats.resident_bytes > 1 << 16 && stats.virtual_bytes >= stats.resident_bytes);
        assert!((3..=stats.max_files).contains(&stats.open_files), "{stats:?}");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(u128::from(stats.started.0) <= now.as_millis() + 2000, "{stats:?}");
    }
}
