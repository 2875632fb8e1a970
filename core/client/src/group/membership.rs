//! A member's place in its group, and what each answer of the coordinator makes of it. Pure: `join`, `heartbeat` and `commit`
//! talk, and tell this what they heard.

use ottla_io::Mono;
use ottla_types::{ErrorCode, TopicPartition};

use super::assign::TopicSizes;
use crate::Error;

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No member, or not in a current generation.
    Unjoined,
    /// JoinGroup is under way: the coordinator waits for the others, and for nothing from this member.
    Joining,
    /// In a generation whose assignment has not come yet.
    Syncing,
    /// With an assignment.
    Stable,
}

/// Who a request comes from. Answers to requests of an older identity change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) member_id: String,
    pub(super) generation: i32,
}

impl Identity {
    fn nobody() -> Self {
        Identity {
            member_id: String::new(),
            generation: -1,
        }
    }
}

/// What a completed join brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) partitions: Vec<TopicPartition>,
    /// What was subscribed to when it began.
    pub(super) topics: Vec<String>,
    /// For the leader: the topics of the whole group, by which it sees that they have changed.
    pub(super) group_topics: Option<TopicSizes>,
}

/// A member's state. Invariant: `joined` is of the current generation.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) who: Identity,
    pub(super) phase: Phase,
    /// Which attempt to join is the current one: the result of an older one is void.
    pub(super) attempt: u64,
    /// Why the member must join (again); `None` while it need not.
    pub(super) rejoin: Option<String>,
    /// Not before this.
    pub(super) join_not_before: Mono,
    /// Failed attempts since the last success.
    pub(super) failures: u32,
    /// A completed join that the user's next poll takes over.
    pub(super) joined: Option<Joined>,
    /// The group has gone on without this member since its partitions were taken over.
    pub(super) lost: bool,
    /// What the user must do something about.
    pub(super) fatal: Option<Error>,
    /// What failed last and is tried again.
    pub(super) trouble: Option<Error>,
    /// The last poll.
    pub(super) polled: Mono,
    /// When the next heartbeat is due.
    pub(super) beat_at: Mono,
}

/// What follows from an answer to JoinGroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterJoin {
    /// The member is in a generation: SyncGroup is next.
    Sync,
    /// The coordinator has named the member; it joins at once under that name (KIP-394).
    Again,
    /// This attempt is over.
    Over,
}

impl Membership {
    pub(super) fn new() -> Self {
        Membership {
            who: Identity::nobody(),
            phase: Phase::Unjoined,
            attempt: 0,
            rejoin: None,
            join_not_before: Mono(0),
            failures: 0,
            joined: None,
            lost: false,
            fatal: None,
            trouble: None,
            polled: Mono(0),
            beat_at: Mono(0),
        }
    }

    /// Whether the coordinator expects heartbeats.
    pub(super) fn beats(&self) -> bool {
        matches!(self.phase, Phase::Syncing | Phase::Stable)
    }

    /// Whether a join is under way.
    pub(super) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Syncing)
    }

    /// Whether a join should begin now.
    pub(super) fn should_join(&self, now: Mono) -> bool {
        !self.is_joining() && self.rejoin.is_some() && self.join_not_before <= now
    }

    /// Notes that the member must join again; the first reason is the one that is told.
    pub(super) fn ask_rejoin(&mut self, reason: &str) {
        self.rejoin.get_or_insert_with(|| reason.to_owned());
    }

    /// A join begins; gives its number.
    pub(super) fn begin_join(&mut self) -> u64 {
        self.attempt += 1;
        self.phase = Phase::Joining;
        self.joined = None;
        self.rejoin = None;
        self.attempt
    }

    /// Falls out of the generation, and with `unknown` out of the group: what it had is lost.
    pub(super) fn reset(&mut self, unknown: bool, reason: &str) {
        self.lost |= self.who.generation >= 0;
        self.who.generation = -1;
        if unknown {
            self.who.member_id.clear();
        }
        self.phase = Phase::Unjoined;
        self.attempt += 1;
        self.joined = None;
        self.ask_rejoin(reason);
    }

    /// The member is out and does not want in any more.
    pub(super) fn leave(&mut self) {
        self.reset(true, "");
        (self.rejoin, self.lost) = (None, false);
    }

    /// An answer to JoinGroup of this attempt.
    pub(super) fn join_answered(
        &mut self,
        attempt: u64,
        code: ErrorCode,
        who: Identity,
        error: Error,
    ) -> AfterJoin {
        if attempt != self.attempt {
            return AfterJoin::Over;
        }
        match code {
            ErrorCode::None => {
                (self.who, self.phase) = (who, Phase::Syncing);
                // What it had until now it has been asked about: from here on the new generation counts.
                return AfterJoin::Sync;
            }
            ErrorCode::MemberIdRequired => {
                self.who.member_id = who.member_id;
                return AfterJoin::Again;
            }
            ErrorCode::UnknownMemberId => self.reset(true, "the coordinator did not know the member"),
            _ => self.join_failed(attempt, error),
        }
        AfterJoin::Over
    }

    /// An attempt to join ended without a generation.
    pub(super) fn join_failed(&mut self, attempt: u64, error: Error) {
        if attempt != self.attempt {
            return;
        }
        self.phase = Phase::Unjoined;
        self.attempt += 1;
        self.failures = self.failures.saturating_add(1);
        self.ask_rejoin("the last attempt to join failed");
        let passes = matches!(
            error.code(),
            Some(ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)
        );
        if passes || error.is_retriable() {
            self.trouble = Some(error);
        } else {
            self.fatal = Some(error);
        }
    }

    /// An answer to SyncGroup of this attempt: an assignment, or why there is none.
    pub(super) fn sync_answered(&mut self, attempt: u64, result: Result<Joined, Error>) {
        if attempt != self.attempt || self.phase != Phase::Syncing {
            return;
        }
        match result {
            Ok(joined) => {
                (self.phase, self.failures, self.trouble) = (Phase::Stable, 0, None);
                self.joined = Some(joined);
            }
            Err(error) => match error.code() {
                Some(ErrorCode::UnknownMemberId) => {
                    self.reset(true, "the coordinator did not know the member")
                }
                Some(ErrorCode::IllegalGeneration) => self.reset(false, "the generation was over"),
                _ => self.join_failed(attempt, error),
            },
        }
    }

    /// An answer to Heartbeat or OffsetCommit that speaks of the member. `error` says it in words.
    pub(super) fn told(&mut self, who: &Identity, code: ErrorCode, error: Error) {
        if *who != self.who {
            return;
        }
        match code {
            ErrorCode::RebalanceInProgress if self.phase == Phase::Stable => {
                self.ask_rejoin("the group rebalances");
            }
            ErrorCode::UnknownMemberId => self.reset(true, "the coordinator did not know the member"),
            ErrorCode::IllegalGeneration => self.reset(false, "the generation was over"),
            ErrorCode::FencedInstanceId => {
                self.reset(true, "another member has the same group.instance.id");
                self.fatal = Some(error);
            }
            ErrorCode::GroupAuthorizationFailed => self.fatal = Some(error),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(generation: i32) -> Identity {
        Identity {
            member_id: "m".into(),
            generation,
        }
    }

    fn error(code: ErrorCode) -> Error {
        Error::broker("x", code.code(), None)
    }

    fn joined(generation: i32) -> Joined {
        Joined {
            generation,
            partitions: Vec::new(),
            topics: Vec::new(),
            group_topics: None,
        }
    }

    /// A member in generation 3.
    fn stable() -> Membership {
        let mut member = Membership::new();
        let attempt = member.begin_join();
        let none = error(ErrorCode::None);
        assert_eq!(
            member.join_answered(attempt, ErrorCode::None, who(3), none),
            AfterJoin::Sync
        );
        assert!(member.beats());
        member.sync_answered(attempt, Ok(joined(3)));
        assert_eq!(member.phase, Phase::Stable);
        member.joined = None;
        member
    }

    #[test]
    fn an_answer_to_an_older_identity_changes_nothing() {
        for code in [
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
            ErrorCode::FencedInstanceId,
            ErrorCode::RebalanceInProgress,
        ] {
            let mut member = stable();
            member.told(&who(2), code, error(code));
            assert_eq!(
                (member.phase, member.lost, &member.rejoin),
                (Phase::Stable, false, &None)
            );
        }
    }

    #[test]
    fn what_the_group_took_away_is_lost() {
        let mut member = stable();
        member.told(
            &who(3),
            ErrorCode::IllegalGeneration,
            error(ErrorCode::IllegalGeneration),
        );
        assert_eq!((member.lost, member.who.generation), (true, -1));
        assert_eq!(member.who.member_id, "m", "it is still a member");
        let mut member = stable();
        member.told(
            &who(3),
            ErrorCode::UnknownMemberId,
            error(ErrorCode::UnknownMemberId),
        );
        assert!(member.lost && member.who.member_id.is_empty());
        assert!(member.should_join(Mono(0)));
    }

    #[test]
    fn a_rebalance_loses_nothing() {
        let mut member = stable();
        member.told(
            &who(3),
            ErrorCode::RebalanceInProgress,
            error(ErrorCode::RebalanceInProgress),
        );
        assert!(!member.lost && member.should_join(Mono(0)) && member.beats());
    }

    #[test]
    fn a_member_joins_under_the_name_it_is_given() {
        let mut member = Membership::new();
        let attempt = member.begin_join();
        let code = ErrorCode::MemberIdRequired;
        assert_eq!(
            member.join_answered(attempt, code, who(-1), error(code)),
            AfterJoin::Again
        );
        assert_eq!(member.who.member_id, "m");
        assert!(!member.lost);
    }

    #[test]
    fn the_result_of_an_older_attempt_is_void() {
        let mut member = stable();
        let attempt = member.begin_join();
        let none = error(ErrorCode::None);
        member.join_answered(attempt, ErrorCode::None, who(4), none);
        member.told(
            &who(4),
            ErrorCode::UnknownMemberId,
            error(ErrorCode::UnknownMemberId),
        );
        member.sync_answered(attempt, Ok(joined(4)));
        assert_eq!((member.phase, member.joined.is_none()), (Phase::Unjoined, true));
    }

    #[test]
    fn what_no_retry_mends_is_told() {
        let mut member = Membership::new();
        let attempt = member.begin_join();
        let code = ErrorCode::InconsistentGroupProtocol;
        member.join_answered(attempt, code, who(-1), error(code));
        assert!(member.fatal.is_some());
        let attempt = member.begin_join();
        let code = ErrorCode::CoordinatorLoadInProgress;
        member.fatal = None;
        member.join_answered(attempt, code, who(-1), error(code));
        assert!(member.fatal.is_none() && member.trouble.is_some() && member.rejoin.is_some());
    }
}
