//! Fetch sessions (KIP-227): with one broker, only what has changed since the last request is sent. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_types::{ErrorCode, Uuid};

/// A partition's place in a session.
pub(crate) type Key = (Arc<str>, i32);

/// What is asked about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) id: Uuid,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) max_bytes: i32,
}

/// What goes into the next request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) asked: Vec<(Key, Want)>,
    pub(crate) forgotten: Vec<(Key, Uuid)>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(crate) struct Session {
    id: i32,
    /// 0: the next request is a full one.
    epoch: i32,
    known: BTreeMap<Key, Want>,
}

impl Session {
    /// The next request, given everything that is wanted.
    pub(crate) fn plan(&mut self, wanted: BTreeMap<Key, Want>) -> Plan {
        let full = self.epoch == 0;
        // A topic that was made anew has another id: the old one is forgotten first.
        let gone = |key: &Key, known: &Want| wanted.get(key).is_none_or(|w| w.id != known.id);
        let forgotten = if full { BTreeMap::new() } else { self.known.clone() };
        let forgotten = forgotten
            .into_iter()
            .filter(|(key, known)| gone(key, known))
            .map(|(key, w)| (key, w.id))
            .collect();
        let asked = wanted
            .iter()
            .filter(|(key, want)| full || self.known.get(*key) != Some(*want));
        let asked = asked.map(|(key, want)| (key.clone(), *want)).collect();
        self.known = wanted;
        Plan {
            session_id: self.id,
            session_epoch: self.epoch,
            asked,
            forgotten,
        }
    }

    /// A response came for the last plan.
    pub(crate) fn answered(&mut self, error: i16, session_id: i32) {
        match ErrorCode::from_code(error) {
            Some(ErrorCode::None) if session_id == 0 => *self = Session::default(),
            Some(ErrorCode::None) => {
                (self.id, self.epoch) = (session_id, self.epoch.checked_add(1).unwrap_or(1));
            }
            Some(ErrorCode::FetchSessionIdNotFound) => *self = Session::default(),
            _ => self.failed(),
        }
    }

    /// No response came: the broker may or may not have seen the request. The next one is full, and ends the old session.
    pub(crate) fn failed(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(offset: i64) -> Want {
        Want {
            id: Uuid::ZERO,
            offset,
            leader_epoch: 0,
            max_bytes: 100,
        }
    }

    fn wanted(of: &[(&str, i64)]) -> BTreeMap<Key, Want> {
        of.iter()
            .map(|(topic, offset)| ((Arc::from(*topic), 0), want(*offset)))
            .collect()
    }

    fn names(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
        (
            plan.asked.iter().map(|(k, _)| &*k.0).collect(),
            plan.forgotten.iter().map(|(k, _)| &*k.0).collect(),
        )
    }

    #[test]
    fn only_changes_are_sent() {
        let mut session = Session::default();
        let plan = session.plan(wanted(&[("a", 0), ("b", 0)]));
        assert_eq!((plan.session_id, plan.session_epoch), (0, 0));
        assert_eq!(names(&plan), (vec!["a", "b"], vec![]));
        session.answered(0, 77);
        let plan = session.plan(wanted(&[("a", 5), ("b", 0)]));
        assert_eq!((plan.session_id, plan.session_epoch), (77, 1));
        assert_eq!(names(&plan), (vec!["a"], vec![]));
        session.answered(0, 77);
        let plan = session.plan(wanted(&[("b", 0), ("c", 1)]));
        assert_eq!((plan.session_epoch, names(&plan)), (2, (vec!["c"], vec!["a"])));
    }

    #[test]
    fn a_lost_answer_makes_the_next_request_full_and_closes_the_session() {
        let mut session = Session::default();
        session.plan(wanted(&[("a", 0)]));
        session.answered(0, 77);
        session.plan(wanted(&[("a", 0)]));
        session.failed();
        let plan = session.plan(wanted(&[("a", 0)]));
        assert_eq!(
            (plan.session_id, plan.session_epoch, names(&plan)),
            (77, 0, (vec!["a"], vec![]))
        );
        session.answered(ErrorCode::FetchSessionIdNotFound.code(), 0);
        assert_eq!(session.plan(wanted(&[])).session_id, 0);
    }
}
