//! What a consumer knows about one assigned partition.

use crate::consumer::config::OffsetReset;
use crate::offsets::OffsetSpec;

/// One assigned partition. `position` is where the user reads on, `fetch` where the next request reads on; they differ by what
/// is buffered. The generation changes with each seek, so that answers to older questions are recognised.
#[derive(Debug, Default)]
pub(crate) struct Assigned {
    pub(crate) generation: u64,
    pub(crate) position: Option<i64>,
    pub(crate) fetch: i64,
    /// Where to go, while it is not known as an offset.
    pub(crate) seek: Option<OffsetSpec>,
    pub(crate) paused: bool,
    /// Where to begin is still being asked of the group: until it is known, or sought, nothing is fetched.
    pub(crate) held: bool,
    pub(crate) high_watermark: Option<i64>,
    pub(crate) log_start: Option<i64>,
}

impl Assigned {
    /// Goes on at an offset.
    pub(crate) fn go(&mut self, offset: i64, generation: u64) {
        (self.position, self.fetch, self.seek, self.generation) = (Some(offset), offset, None, generation);
        self.held = false;
    }

    /// Goes on at an offset that must be asked for.
    pub(crate) fn ask(&mut self, spec: OffsetSpec, generation: u64) {
        (self.position, self.seek, self.generation) = (None, Some(spec), generation);
        self.held = false;
    }

    /// Forgets what is buffered and fetches again from the position.
    pub(crate) fn rewind(&mut self, generation: u64) {
        if let Some(position) = self.position {
            (self.fetch, self.generation) = (position, generation);
        }
    }
}

impl OffsetReset {
    /// Where a position begins; `None` if the user must say. `now` in milliseconds since 1970.
    pub(crate) fn spec(self, now: i64) -> Option<OffsetSpec> {
        match self {
            OffsetReset::Earliest => Some(OffsetSpec::Earliest),
            OffsetReset::Latest => Some(OffsetSpec::Latest),
            OffsetReset::ByDuration(back) => {
                let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
                Some(OffsetSpec::Timestamp(now.saturating_sub(back).max(0)))
            }
            OffsetReset::None => None,
        }
    }
}
