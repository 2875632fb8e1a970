//! A member against a scripted coordinator: what it says in which order, and what its user hears. Whole groups are tried by the
//! simulator and against Kafka's own broker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_io::{BoxFuture, Env};
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::header::RequestHeader;
use ottla_wire::messages::find_coordinator_response::Coordinator as Found;
use ottla_wire::messages::join_group_response::JoinGroupResponseMember;
use ottla_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_wire::messages::*;
use ottla_wire::{ApiKey, Reader};

use super::assign::CooperativeStickyAssignor;
use super::protocol::{Subscription, encode_assignment};
use super::*;
use crate::consumer::OffsetReset;
use crate::fake::{Driver, Reply, answer, basics, environment};

const RANGES: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
];

/// A coordinator of one group that does as it is told.
#[derive(Default)]
struct Script {
    /// What it was asked, one line each.
    log: Vec<String>,
    generation: i32,
    /// The answers to come, where they are not a success.
    beats: VecDeque<ErrorCode>,
    commits: VecDeque<ErrorCode>,
    /// The assignments to come; the whole topic after that.
    assignments: VecDeque<Vec<i32>>,
    committed: BTreeMap<i32, i64>,
}

type Shared = Arc<Mutex<Script>>;

fn partitions(of: &[i32]) -> Vec<TopicPartition> {
    of.iter().map(|p| TopicPartition::new("t", *p)).collect()
}

impl Script {
    fn handle(&mut self, header: &RequestHeader<'_>, body: &mut Reader<'_>) -> Reply {
        let version = header.request_api_version;
        match ApiKey::try_from(header.request_api_key).unwrap() {
            ApiKey::FindCoordinator => {
                let found = Found {
                    node_id: 1,
                    host: "h",
                    port: 9092,
                    ..Default::default()
                };
                answer(
                    header,
                    &FindCoordinatorResponse {
                        coordinators: vec![found],
                        ..Default::default()
                    },
                )
            }
            ApiKey::JoinGroup => self.join(header, &JoinGroupRequest::decode(body, version).unwrap()),
            ApiKey::SyncGroup => {
                let request = SyncGroupRequest::decode(body, version).unwrap();
                let given = self.assignments.pop_front();
                let assignment = match given {
                    Some(numbers) => encode_assignment(&partitions(&numbers)).unwrap(),
                    None => request.assignments[0].assignment.to_vec(),
                };
                self.log.push(format!("sync {}", request.generation_id));
                let assignment = assignment.as_slice();
                answer(
                    header,
                    &SyncGroupResponse {
                        assignment,
                        ..Default::default()
                    },
                )
            }
            ApiKey::Heartbeat => {
                let error_code = self.beats.pop_front().unwrap_or(ErrorCode::None).code();
                answer(
                    header,
                    &HeartbeatResponse {
                        error_code,
                        ..Default::default()
                    },
                )
            }
            ApiKey::LeaveGroup => {
                let request = LeaveGroupRequest::decode(body, version).unwrap();
                self.log.push(format!("leave {}", request.members[0].member_id));
                answer(header, &LeaveGroupResponse::default())
            }
            ApiKey::OffsetCommit => self.commit(header, &OffsetCommitRequest::decode(body, version).unwrap()),
            ApiKey::OffsetFetch => self.fetch(header, &OffsetFetchRequest::decode(body, version).unwrap()),
            _ => Reply::Silence,
        }
    }

    fn join(&mut self, header: &RequestHeader<'_>, request: &JoinGroupRequest<'_>) -> Reply {
        let metadata = request.protocols[0].metadata;
        let owned = Subscription::decode(metadata).unwrap().owned;
        let owned: Vec<i32> = owned.iter().map(|p| p.partition).collect();
        self.log
            .push(format!("join `{}` with {owned:?}", request.member_id));
        if request.member_id.is_empty() && request.group_instance_id.is_none() {
            let response = JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired.code(),
                member_id: "m",
                protocol_name: Some(""),
                ..Default::default()
            };
            return answer(header, &response);
        }
        self.generation += 1;
        let member = JoinGroupResponseMember {
            member_id: "m",
            metadata,
            ..Default::default()
        };
        let response = JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some("consumer"),
            protocol_name: Some(request.protocols[0].name),
            leader: "m",
            member_id: "m",
            members: vec![member],
            ..Default::default()
        };
        answer(header, &response)
    }

    fn commit(&mut self, header: &RequestHeader<'_>, request: &OffsetCommitRequest<'_>) -> Reply {
        let code = self.commits.pop_front().unwrap_or(ErrorCode::None);
        let each = request.topics.iter().flat_map(|t| &t.partitions);
        for p in each {
            self.log.push(format!(
                "commit {}@{} in {}: {}",
                p.partition_index,
                p.committed_offset,
                request.generation_id_or_member_epoch,
                code.name()
            ));
            if code == ErrorCode::None {
                self.committed.insert(p.partition_index, p.committed_offset);
            }
        }
        let topics = request.topics.iter().map(|t| OffsetCommitResponseTopic {
            name: t.name,
            partitions: t
                .partitions
                .iter()
                .map(|p| OffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: code.code(),
                })
                .collect(),
            ..Default::default()
        });
        let topics = topics.collect();
        answer(
            header,
            &OffsetCommitResponse {
                topics,
                ..Default::default()
            },
        )
    }

    fn fetch(&mut self, header: &RequestHeader<'_>, request: &OffsetFetchRequest<'_>) -> Reply {
        let asked = request.groups[0].topics.as_ref().unwrap().iter();
        let topics = asked.map(|t| OffsetFetchResponseTopics {
            name: t.name,
            partitions: t
                .partition_indexes
                .iter()
                .map(|p| OffsetFetchResponsePartitions {
                    partition_index: *p,
                    committed_offset: self.committed.get(p).copied().unwrap_or(-1),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        let group = OffsetFetchResponseGroup {
            group_id: "g",
            topics: topics.collect(),
            ..Default::default()
        };
        answer(
            header,
            &OffsetFetchResponse {
                groups: vec![group],
                ..Default::default()
            },
        )
    }
}

fn world(script: Script) -> (Shared, Env, Driver) {
    let shared = Arc::new(Mutex::new(script));
    let inside = shared.clone();
    let (env, driver) = environment(Box::new(move |h, b| match basics(h, b, RANGES) {
        Some(reply) => reply,
        None => inside.lock().unwrap().handle(h, b),
    }));
    (shared, env, driver)
}

fn config() -> GroupConfig {
    let mut config = GroupConfig::new("h:9092", "g");
    config.consumer.auto_offset_reset = OffsetReset::None;
    config.auto_commit = false;
    config
}

fn everything() -> BTreeMap<i32, i64> {
    BTreeMap::from([(0, 5), (1, 6)])
}

/// What the listener heard, in one list with what the coordinator was asked.
struct Heard(Shared);

impl Heard {
    fn note(&self, what: &str, of: &[TopicPartition]) {
        let numbers: Vec<i32> = of.iter().map(|p| p.partition).collect();
        self.0.lock().unwrap().log.push(format!("{what} {numbers:?}"));
    }
}

impl RebalanceListener for Heard {
    fn assigned<'a>(
        &'a self,
        _: &'a mut GroupConsumer,
        of: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.note("assigned", of);
            Ok(())
        })
    }

    fn revoked<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        of: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.note("revoked", of);
            let polled = consumer.poll(Duration::from_secs(1)).await;
            assert!(matches!(polled, Err(Error::Misuse { .. })));
            consumer.commit().await
        })
    }

    fn lost<'a>(&'a self, _: &'a mut GroupConsumer, of: &'a [TopicPartition]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.note("lost", of);
            Ok(())
        })
    }
}

/// Runs a story with a member of `t`, and gives what was said.
fn story(
    script: Script,
    config: GroupConfig,
    story: impl for<'a> FnOnce(&'a mut GroupConsumer, &'a Shared) -> BoxFuture<'a, ()> + Send + 'static,
) -> Vec<String> {
    let (shared, env, driver) = world(script);
    let inside = shared.clone();
    driver.run(async move {
        let mut consumer = GroupConsumer::new(&env, config).unwrap();
        consumer.set_listener(Arc::new(Heard(inside.clone())));
        consumer.subscribe(["t"]);
        story(&mut consumer, &inside).await;
        consumer.close().await.unwrap();
    });
    std::mem::take(&mut shared.lock().unwrap().log)
}

async fn poll(consumer: &mut GroupConsumer, seconds: u64) {
    let records = consumer.poll(Duration::from_secs(seconds)).await;
    assert_eq!(records, Ok(Vec::new()));
}

#[test]
fn a_member_joins_reads_where_the_group_was_and_leaves() {
    let script = Script {
        committed: everything(),
        ..Script::default()
    };
    let said = story(script, config(), |consumer, _| {
        Box::pin(async move {
            poll(consumer, 2).await;
            assert_eq!(consumer.assignment(), partitions(&[0, 1]));
            assert_eq!(consumer.position(&TopicPartition::new("t", 1)).await, Ok(6));
            assert_eq!(consumer.member(), Some(("m".to_owned(), 1)));
        })
    });
    let expected = [
        "join `` with []",
        "join `m` with []",
        "sync 1",
        "assigned [0, 1]",
        "revoked [0, 1]",
        "commit 0@5 in 1: NONE",
        "commit 1@6 in 1: NONE",
        "leave m",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_rebalance_lets_the_user_commit_first() {
    let script = Script {
        committed: everything(),
        beats: VecDeque::from([ErrorCode::None, ErrorCode::RebalanceInProgress]),
        ..Script::default()
    };
    let said = story(script, config(), |consumer, _| {
        Box::pin(async move {
            poll(consumer, 8).await;
            assert_eq!(consumer.member(), Some(("m".to_owned(), 2)));
        })
    });
    let expected = [
        "revoked [0, 1]",
        "commit 0@5 in 1: NONE",
        "commit 1@6 in 1: NONE",
        "join `m` with []",
        "sync 2",
        "assigned [0, 1]",
    ];
    assert_eq!(said[4..10], expected);
}

#[test]
fn who_is_not_known_any_more_has_lost_its_partitions_and_commits_nothing() {
    let script = Script {
        committed: everything(),
        beats: VecDeque::from([ErrorCode::UnknownMemberId]),
        ..Script::default()
    };
    let said = story(script, config(), |consumer, shared| {
        Box::pin(async move {
            poll(consumer, 2).await;
            consumer
                .shared
                .cluster
                .env()
                .clock
                .sleep(Duration::from_secs(4))
                .await;
            let late = consumer.commit().await.unwrap_err();
            assert_eq!(late.code(), Some(ErrorCode::IllegalGeneration));
            shared.lock().unwrap().log.push("late".into());
            poll(consumer, 2).await;
        })
    });
    let expected = [
        "late",
        "lost [0, 1]",
        "join `` with []",
        "join `m` with []",
        "sync 2",
        "assigned [0, 1]",
    ];
    assert_eq!(said[4..10], expected);
}

#[test]
fn who_does_not_poll_leaves_and_keeps_nothing() {
    let script = Script {
        committed: everything(),
        ..Script::default()
    };
    let mut config = config();
    config.max_poll_interval = Duration::from_secs(20);
    let said = story(script, config, |consumer, _| {
        Box::pin(async move {
            poll(consumer, 2).await;
            consumer
                .shared
                .cluster
                .env()
                .clock
                .sleep(Duration::from_secs(25))
                .await;
            poll(consumer, 2).await;
        })
    });
    assert_eq!(said[4..7], ["leave m", "lost [0, 1]", "join `` with []"]);
}

#[test]
fn a_commit_that_is_tried_again_holds_the_later_ones_back() {
    let loading = ErrorCode::CoordinatorLoadInProgress;
    let script = Script {
        committed: everything(),
        commits: VecDeque::from([loading, loading]),
        ..Script::default()
    };
    let said = story(script, config(), |consumer, _| {
        Box::pin(async move {
            poll(consumer, 2).await;
            let at = |offset| Offsets::from([(TopicPartition::new("t", 0), OffsetAndMetadata::new(offset))]);
            let first = consumer.commit_in_background(at(7));
            let second = consumer.commit_in_background(at(8));
            assert_eq!((second.await, first.await), (Ok(()), Ok(())));
            let committed = consumer.committed(&partitions(&[0, 1])).await.unwrap();
            assert_eq!(
                committed[&TopicPartition::new("t", 0)].as_ref().unwrap().offset,
                8
            );
            consumer.seek(&TopicPartition::new("t", 0), 8).unwrap();
        })
    });
    let expected = [
        "commit 0@7 in 1: COORDINATOR_LOAD_IN_PROGRESS",
        "commit 0@7 in 1: COORDINATOR_LOAD_IN_PROGRESS",
        "commit 0@7 in 1: NONE",
        "commit 0@8 in 1: NONE",
    ];
    assert_eq!(said[4..8], expected);
}

#[test]
fn a_cooperative_member_keeps_what_stays_and_joins_again_for_the_rest() {
    let script = Script {
        committed: everything(),
        beats: VecDeque::from([ErrorCode::RebalanceInProgress]),
        assignments: VecDeque::from([vec![0, 1], vec![1], vec![1]]),
        ..Script::default()
    };
    let mut config = config();
    config.assignors = vec![Arc::new(CooperativeStickyAssignor)];
    let said = story(script, config, |consumer, _| {
        Box::pin(async move {
            poll(consumer, 8).await;
            assert_eq!(consumer.assignment(), partitions(&[1]));
        })
    });
    let expected = [
        "join `m` with [0, 1]",
        "sync 2",
        "revoked [0]",
        "commit 0@5 in 2: NONE",
        "commit 1@6 in 2: NONE",
        "join `m` with [1]",
        "sync 3",
        "assigned []",
    ];
    let said: Vec<&str> = said[4..]
        .iter()
        .map(String::as_str)
        .filter(|l| *l != "assigned []")
        .collect();
    assert_eq!(said[..7], expected[..7]);
}

#[test]
fn a_static_member_stays_when_it_closes() {
    let script = Script {
        committed: everything(),
        ..Script::default()
    };
    let mut config = config();
    config.group_instance_id = Some("i".into());
    let said = story(script, config, |consumer, _| Box::pin(poll(consumer, 2)));
    assert_eq!(said[0], "join `` with []");
    assert_eq!(said.last().unwrap(), "commit 1@6 in 1: NONE");
}

#[test]
fn automatic_commits_say_what_polls_before_have_returned() {
    let script = Script {
        committed: everything(),
        ..Script::default()
    };
    let mut config = config();
    config.auto_commit = true;
    let said = story(script, config, |consumer, _| {
        Box::pin(async move {
            poll(consumer, 2).await;
            consumer.seek(&TopicPartition::new("t", 0), 9).unwrap();
            poll(consumer, 6).await;
        })
    });
    assert_eq!(said[4..6], ["commit 0@9 in 1: NONE", "commit 1@6 in 1: NONE"]);
}

#[test]
fn without_an_offset_and_without_a_reset_the_user_decides() {
    story(Script::default(), config(), |consumer, _| {
        Box::pin(async move {
            let error = consumer.poll(Duration::from_secs(5)).await.unwrap_err();
            assert!(matches!(error, Error::NoOffset { .. }), "{error}");
            for partition in partitions(&[0, 1]) {
                consumer.seek(&partition, 3).unwrap();
            }
            let _ = consumer.poll(Duration::from_secs(1)).await;
            poll(consumer, 1).await;
            assert_eq!(consumer.positions().len(), 2);
        })
    });
}
