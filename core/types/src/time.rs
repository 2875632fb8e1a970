//! Wall-clock time as a value. Machines get it as input; only `core/os` and `sim` make one from a clock.

/// Milliseconds since the Unix epoch, as every Kafka timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// As Kafka's signed milliseconds.
    pub fn as_millis(self) -> i64 {
        self.0 as i64
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
