//! Incremental fetch sessions (KIP-227; Kafka class `FetchManager`): the node remembers what a consumer fetches and what it was
//! last told about each partition, so that requests and answers carry only what changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ottla_io::{Mono, Rng};
use ottla_types::{Epoch, ErrorCode, Offset, Uuid};

/// `max.incremental.fetch.session.cache.slots` may be taken from a session that was idle for this long (Kafka: 2 minutes).
const EVICT_AFTER_NANOS: u64 = 120_000_000_000;

/// A partition as fetch requests name it: by topic name up to version 12, by topic id from 13.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchKey {
    /// Topic name; empty when the request names ids.
    pub topic: String,
    /// Topic id; zero when the request names names.
    pub topic_id: Uuid,
    /// Partition index.
    pub partition: i32,
}

/// What a consumer wants of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchWant {
    /// First offset wanted.
    pub offset: Offset,
    /// The most bytes of this partition.
    pub max_bytes: usize,
    /// The leader epoch the consumer knows, or −1.
    pub current_epoch: Epoch,
    /// The epoch of the last record it has, or −1 (KIP-320).
    pub last_epoch: Epoch,
    /// A follower's log start; −1 from consumers.
    pub log_start: Offset,
}

/// What a consumer was last told of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// High watermark.
    pub high_watermark: Offset,
    /// Log start.
    pub log_start: Offset,
}

#[derive(Debug)]
struct Slot {
    want: FetchWant,
    told: Option<Told>,
}

/// One consumer's session. Partitions are served in rotation, so that a busy first one can't starve the others.
#[derive(Debug)]
pub struct Session {
    id: i32,
    epoch: i32,
    by_id: bool,
    slots: BTreeMap<FetchKey, Slot>,
    order: Vec<FetchKey>,
    created: Mono,
    used: Mono,
}

/// What a request asks for, after its session was looked up.
pub enum Context {
    /// No session: everything is in the request, and everything is answered.
    Sessionless(Vec<(FetchKey, FetchWant)>),
    /// A session; `full` answers name every partition.
    Session {
        /// The session.
        session: Arc<Mutex<Session>>,
        /// Whether this is its first answer.
        full: bool,
    },
}

/// The session part of a fetch request.
pub struct SessionRequest {
    /// Session id; 0 for none.
    pub id: i32,
    /// Session epoch: 0 asks for a new session, −1 ends one.
    pub epoch: i32,
    /// Whether partitions are named by topic id.
    pub by_id: bool,
    /// Partitions added or changed.
    pub partitions: Vec<(FetchKey, FetchWant)>,
    /// Partitions no longer wanted.
    pub forgotten: Vec<FetchKey>,
}

/// All sessions of a node.
pub struct Sessions {
    slots: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: Rng,
    sessions: BTreeMap<i32, Arc<Mutex<Session>>>,
}

impl Sessions {
    /// At most `slots` sessions.
    pub fn new(slots: usize, rng: Rng) -> Self {
        Sessions {
            slots,
            inner: Mutex::new(Inner {
                rng,
                sessions: BTreeMap::new(),
            }),
        }
    }

    /// Finds or makes the session of a request and brings it up to date.
    pub fn context(&self, request: SessionRequest, now: Mono) -> Result<Context, ErrorCode> {
        let mut inner = lock(&self.inner);
        match request.epoch {
            -1 | 0 => {
                if request.id != 0 {
                    inner.sessions.remove(&request.id);
                }
                let size = request.partitions.len();
                if request.epoch == -1 || size == 0 || !self.has_room(&mut inner, size, now) {
                    return Ok(Context::Sessionless(request.partitions));
                }
                let session = inner.create(request, now);
                Ok(Context::Session { session, full: true })
            }
            epoch => {
                let session = inner
                    .sessions
                    .get(&request.id)
                    .cloned()
                    .ok_or(ErrorCode::FetchSessionIdNotFound)?;
                let mut held = lock(&session);
                held.update(epoch, request, now)?;
                if held.slots.is_empty() {
                    inner.sessions.remove(&held.id);
                    return Ok(Context::Sessionless(Vec::new()));
                }
                drop(held);
                Ok(Context::Session { session, full: false })
            }
        }
    }

    /// Makes room for a session of `size` partitions: takes the place of one that was not used for long, else of a smaller
    /// one that is not new (Kafka class `FetchSessionCacheShard`).
    fn has_room(&self, inner: &mut Inner, size: usize, now: Mono) -> bool {
        if inner.sessions.len() < self.slots {
            return true;
        }
        let is_old = |since: Mono| now.0.saturating_sub(since.0) > EVICT_AFTER_NANOS;
        let all = || inner.sessions.iter().map(|(id, session)| (*id, lock(session)));
        let unused = all()
            .min_by_key(|(id, session)| (session.used, *id))
            .filter(|(_, session)| is_old(session.used));
        let smaller = || {
            all()
                .filter(|(_, session)| is_old(session.created) && session.slots.len() < size)
                .min_by_key(|(id, session)| (session.slots.len(), *id))
        };
        let found = unused.map(|(id, _)| id).or_else(|| smaller().map(|(id, _)| id));
        found.is_some_and(|id| inner.sessions.remove(&id).is_some())
    }
}

impl Inner {
    fn create(&mut self, request: SessionRequest, now: Mono) -> Arc<Mutex<Session>> {
        let id = loop {
            let id = self.rng.between(1, i32::MAX as u64) as i32;
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            id,
            epoch: 1,
            by_id: request.by_id,
            slots: BTreeMap::new(),
            order: Vec::new(),
            created: now,
            used: now,
        };
        session.apply(request.partitions, &request.forgotten);
        let session = Arc::new(Mutex::new(session));
        self.sessions.insert(id, session.clone());
        session
    }
}

impl Session {
    fn update(&mut self, epoch: i32, request: SessionRequest, now: Mono) -> Result<(), ErrorCode> {
        if epoch != self.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if request.by_id != self.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        self.used = now;
        self.apply(request.partitions, &request.forgotten);
        Ok(())
    }

    fn apply(&mut self, partitions: Vec<(FetchKey, FetchWant)>, forgotten: &[FetchKey]) {
        for (key, want) in partitions {
            match self.slots.get_mut(&key) {
                Some(slot) => slot.want = want,
                None => {
                    self.order.push(key.clone());
                    self.slots.insert(key, Slot { want, told: None });
                }
            }
        }
        for key in forgotten {
            if self.slots.remove(key).is_some() {
                self.order.retain(|k| k != key);
            }
        }
    }

    /// Its id, for the answer.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// What is wanted now, in the order in which it should be served.
    pub fn wants(&self) -> Vec<(FetchKey, FetchWant)> {
        self.order
            .iter()
            .filter_map(|k| Some((k.clone(), self.slots.get(k)?.want.clone())))
            .collect()
    }

    /// Whether this partition belongs into an incremental answer: it has records, an error, or something new to tell. Remembers
    /// what is told; a partition that got records moves to the end of the line.
    pub fn answer(&mut self, key: &FetchKey, told: Told, has_records: bool, error: bool) -> bool {
        let Some(slot) = self.slots.get_mut(key) else {
            return true;
        };
        let news = has_records || error || slot.told != Some(told);
        slot.told = if error { None } else { Some(told) };
        if has_records && let Some(at) = self.order.iter().position(|k| k == key) {
            let key = self.order.remove(at);
            self.order.push(key);
        }
        news
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> FetchKey {
        FetchKey {
            topic: "t".into(),
            topic_id: Uuid::ZERO,
            partition,
        }
    }

    fn want(offset: Offset) -> FetchWant {
        FetchWant {
            offset,
            max_bytes: 1,
            current_epoch: -1,
            last_epoch: -1,
            log_start: -1,
        }
    }

    fn request(id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
        let partitions = partitions.iter().map(|p| (key(*p), want(0))).collect();
        SessionRequest {
            id,
            epoch,
            by_id: false,
            partitions,
            forgotten: vec![],
        }
    }

    fn open(sessions: &Sessions, partitions: &[i32], now: u64) -> Option<Arc<Mutex<Session>>> {
        match sessions.context(request(0, 0, partitions), Mono(now)) {
            Ok(Context::Session { session, full: true }) => Some(session),
            _ => None,
        }
    }

    #[test]
    fn epochs_are_checked() {
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let session = open(&sessions, &[0, 1], 0).unwrap();
        let id = lock(&session).id();
        assert!(matches!(
            sessions.context(request(id, 2, &[]), Mono(0)),
            Err(ErrorCode::InvalidFetchSessionEpoch)
        ));
        assert!(matches!(
            sessions.context(request(id, 1, &[]), Mono(0)),
            Ok(Context::Session { full: false, .. })
        ));
        assert!(matches!(
            sessions.context(request(id + 1, 1, &[]), Mono(0)),
            Err(ErrorCode::FetchSessionIdNotFound)
        ));
        assert!(matches!(
            sessions.context(request(id, -1, &[]), Mono(0)),
            Ok(Context::Sessionless(_))
        ));
        assert_eq!(lock(&sessions.inner).sessions.len(), 0);
    }

    #[test]
    fn an_incremental_answer_names_only_news() {
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let session = open(&sessions, &[0, 1], 0).unwrap();
        let mut session = lock(&session);
        let told = Told {
            high_watermark: 5,
            log_start: 0,
        };
        assert!(session.answer(&key(0), told, false, false));
        assert!(!session.answer(&key(0), told, false, false));
        assert!(session.answer(&key(0), told, true, false));
        assert!(session.answer(
            &key(0),
            Told {
                high_watermark: 6,
                ..told
            },
            false,
            false
        ));
        let order: Vec<i32> = session.wants().iter().map(|(k, _)| k.partition).collect();
        assert_eq!(order, [1, 0]);
    }

    #[test]
    fn a_full_cache_answers_without_a_session_until_one_is_idle() {
        let sessions = Sessions::new(1, Rng::from_number(1, "sessions"));
        assert!(open(&sessions, &[0], 0).is_some());
        assert!(open(&sessions, &[0], 1).is_none());
        assert!(open(&sessions, &[0], EVICT_AFTER_NANOS + 1).is_some());
        assert_eq!(lock(&sessions.inner).sessions.len(), 1);
    }

    #[test]
    fn a_session_without_partitions_ends() {
        // Kafka class FetchManager: what is left is an answer without a session.
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let id = lock(&open(&sessions, &[0, 1], 0).unwrap()).id();
        let forget = |epoch, forgotten: &[i32]| SessionRequest {
            forgotten: forgotten.iter().map(|p| key(*p)).collect(),
            ..request(id, epoch, &[])
        };
        assert!(matches!(
            sessions.context(forget(1, &[0, 7]), Mono(0)),
            Ok(Context::Session { full: false, .. })
        ));
        assert!(matches!(
            sessions.context(forget(2, &[1]), Mono(0)),
            Ok(Context::Sessionless(wants)) if wants.is_empty()
        ));
        assert!(matches!(
            sessions.context(forget(3, &[]), Mono(0)),
            Err(ErrorCode::FetchSessionIdNotFound)
        ));
    }

    #[test]
    fn a_larger_session_takes_the_place_of_a_smaller_one_that_is_old() {
        // Kafka class FetchSessionCacheShard: by size once it is older than the eviction time, however busy it is.
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let small = lock(&open(&sessions, &[0], 0).unwrap()).id();
        let large = lock(&open(&sessions, &[0, 1, 2], 0).unwrap()).id();
        let busy = EVICT_AFTER_NANOS;
        for id in [small, large] {
            assert!(sessions.context(request(id, 1, &[]), Mono(busy)).is_ok());
        }
        assert!(open(&sessions, &[0, 1], busy).is_none(), "not old yet");
        assert!(open(&sessions, &[0], busy + 1).is_none(), "not larger");
        assert!(open(&sessions, &[0, 1], busy + 1).is_some());
        let left = |id, epoch| sessions.context(request(id, epoch, &[]), Mono(busy + 1)).is_ok();
        assert_eq!((left(small, 2), left(large, 2)), (false, true));
    }

    #[test]
    fn a_session_keeps_to_names_or_to_ids() {
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let id = lock(&open(&sessions, &[0], 0).unwrap()).id();
        let by_id = SessionRequest {
            by_id: true,
            ..request(id, 1, &[])
        };
        assert!(matches!(
            sessions.context(by_id, Mono(0)),
            Err(ErrorCode::FetchSessionTopicIdError)
        ));
        assert!(
            sessions.context(request(id, 1, &[]), Mono(0)).is_ok(),
            "its epoch is as before"
        );
    }

    #[test]
    fn epochs_begin_again_at_one() {
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let session = open(&sessions, &[0], 0).unwrap();
        let id = lock(&session).id();
        lock(&session).epoch = i32::MAX;
        assert!(sessions.context(request(id, i32::MAX, &[]), Mono(0)).is_ok());
        assert!(sessions.context(request(id, 1, &[]), Mono(0)).is_ok());
    }

    #[test]
    fn a_full_request_ends_the_session_it_names() {
        let sessions = Sessions::new(1, Rng::from_number(1, "sessions"));
        let id = lock(&open(&sessions, &[0], 0).unwrap()).id();
        // The only place is free again for the session that this request asks for.
        let Ok(Context::Session { session, full: true }) = sessions.context(request(id, 0, &[0, 1]), Mono(0))
        else {
            panic!("no session")
        };
        assert_ne!(lock(&session).id(), id);
        assert!(sessions.context(request(id, 1, &[]), Mono(0)).is_err());
    }

    #[test]
    fn an_error_is_told_each_time_and_what_follows_is_news() {
        let sessions = Sessions::new(2, Rng::from_number(1, "sessions"));
        let session = open(&sessions, &[0], 0).unwrap();
        let mut session = lock(&session);
        let told = Told {
            high_watermark: 5,
            log_start: 0,
        };
        assert!(session.answer(&key(0), told, false, false));
        assert!(session.answer(&key(0), told, false, true));
        assert!(session.answer(&key(0), told, false, true));
        assert!(session.answer(&key(0), told, false, false));
        assert!(!session.answer(&key(0), told, false, false));
    }
}
