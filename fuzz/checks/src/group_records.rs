//! A partition of `__consumer_offsets` with any records at all: its coordinator loads them or says why not, and what it has loaded
//! never breaks an invariant, whatever members and administrators ask afterwards. (A broken one stops the process.)

use ottla_group::{
    Config, Groups, Identity, Input as Event, Join, Leave, Now, OffsetCommit, OffsetFetch, OffsetToCommit,
    Output, Protocol, Request, RequestId, Sync, WriteId,
};
use ottla_types::{ErrorCode, Time, TopicPartition, Uuid};
use ottla_wire::group_records::group_metadata_value::MemberMetadata;
use ottla_wire::group_records::{
    GroupMetadataKey, GroupMetadataValue, GroupRecordKey, GroupRecordValue, OffsetCommitKey,
    OffsetCommitValue, encode_key, encode_value,
};
use std::collections::VecDeque;

use crate::input::Input;

const GROUPS: [&str; 3] = ["a", "b", ""];
const MEMBERS: [&str; 4] = ["m0", "m1", "m2", ""];
const INSTANCES: [Option<&str>; 3] = [None, Some("i0"), Some("i1")];
const PROTOCOLS: [&str; 3] = ["range", "sticky", ""];
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

/// The target: records, then what is asked of what they make.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World {
        groups: Groups::new(Config {
            max_size: 3,
            ..Config::default()
        }),
        now: 0,
        asked: 0,
        written: VecDeque::new(),
    };
    for _ in 0..input.below(16) {
        load(&mut world.groups, &mut input);
    }
    world.step(Event::Loaded);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        world.act(&mut input);
    }
    // Everybody's time runs out, and every answer is given.
    for _ in 0..8 {
        world.pass(2_000_000);
    }
    world.step(Event::Unload);
    assert_eq!(world.groups.waiting(), 0, "a request is never answered");
}

/// One record, or a marker. What cannot be read is refused, and the next one comes.
fn load(groups: &mut Groups, input: &mut Input<'_>) {
    let producer = input.one_in(4).then_some(7);
    match input.below(5) {
        0 => {
            let length = input.below(64);
            let key = input.take(length);
            let length = input.below(256);
            let value = input.take(length);
            let _ = groups.replay(producer, key, input.one_in(2).then_some(value));
        }
        1 => {
            let marker = groups.replay_marker(7, input.one_in(2));
            marker.expect("the partition is loading");
        }
        2 => {
            let key = GroupRecordKey::OffsetCommit(OffsetCommitKey {
                group: pick(input, &GROUPS),
                topic: "t",
                partition: input.i32(),
            });
            let value = OffsetCommitValue {
                offset: input.i64(),
                leader_epoch: input.i32(),
                metadata: "",
                commit_timestamp: input.i64(),
                expire_timestamp: -1,
                topic_id: Uuid::ZERO,
            };
            put(groups, producer, &key, GroupRecordValue::OffsetCommit(value), 4);
        }
        3 => {
            let key = GroupRecordKey::GroupMetadata(GroupMetadataKey {
                group: pick(input, &GROUPS),
            });
            put(groups, producer, &key, group(input), 3);
        }
        _ => {
            let mut key = Vec::new();
            let of = GroupRecordKey::GroupMetadata(GroupMetadataKey {
                group: pick(input, &GROUPS),
            });
            encode_key(&mut key, &of).expect("it can be written");
            groups
                .replay(producer, &key, None)
                .expect("a tombstone can be read");
        }
    }
}

fn pick<T: Copy>(input: &mut Input<'_>, of: &[T]) -> T {
    of[input.below(of.len())]
}

/// A group as no coordinator would have written it: members twice, a leader who is none, instances shared.
fn group(input: &mut Input<'_>) -> GroupRecordValue<'static> {
    let members = (0..input.below(4)).map(|_| MemberMetadata {
        member_id: pick(input, &MEMBERS),
        group_instance_id: pick(input, &INSTANCES),
        client_id: "c",
        client_host: "/h",
        rebalance_timeout: i32::from(input.byte()) - 1,
        session_timeout: i32::from(input.byte()) - 1,
        subscription: SUBSCRIPTION,
        assignment: b"",
    });
    let members = members.collect();
    GroupRecordValue::GroupMetadata(GroupMetadataValue {
        protocol_type: pick(input, &["consumer", "connect", ""]),
        generation: pick(input, &[0, 5, -1, i32::MAX, i32::MIN]),
        protocol: pick(input, &[None, Some("range"), Some("")]),
        leader: pick(input, &[None, Some("m0"), Some("m9")]),
        current_state_timestamp: pick(input, &[-1, 0, i64::MIN, i64::MAX]),
        members,
    })
}

fn put(
    groups: &mut Groups,
    producer: Option<i64>,
    key: &GroupRecordKey<'_>,
    value: GroupRecordValue<'_>,
    version: i16,
) {
    let (mut k, mut v) = (Vec::new(), Vec::new());
    encode_key(&mut k, key).expect("it can be written");
    encode_value(&mut v, &value, version).expect("it can be written");
    groups
        .replay(producer, &k, Some(&v))
        .expect("what is written can be read");
}

struct World {
    groups: Groups,
    now: u64,
    asked: u64,
    written: VecDeque<WriteId>,
}

impl World {
    fn step(&mut self, event: Event) {
        let now = Now {
            mono: self.now,
            wall: Time(1_700_000_000_000 + self.now),
        };
        let mut out = Vec::new();
        let stepped = self.groups.step(event, now, &mut out);
        if let Err(violation) = stepped.and_then(|()| self.groups.check()) {
            panic!("{violation}");
        }
        self.written.extend(out.into_iter().filter_map(|o| match o {
            Output::Append(id, _) => Some(id),
            Output::Reply(..) => None,
        }));
    }

    fn ask(&mut self, request: Request) {
        self.asked += 1;
        self.step(Event::Request(RequestId(self.asked), request));
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(next) = self.groups.deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step(Event::Tick);
        }
        self.now = until;
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let who = Identity {
            group: pick(input, &GROUPS).into(),
            member: pick(input, &MEMBERS).into(),
            instance: pick(input, &INSTANCES).map(str::to_string),
            generation: pick(input, &[5, 6, 0, 1, -1, i32::MAX, i32::MIN]),
        };
        match input.below(11) {
            0 | 1 => self.ask(Request::Join(Box::new(join(input, who)))),
            2 => self.ask(Request::Sync(Sync {
                who,
                assignments: vec![("m0".into(), b"x".to_vec())],
                ..Sync::default()
            })),
            3 => self.ask(Request::Heartbeat(who)),
            4 => self.ask(Request::Leave(Leave {
                group: who.group,
                members: vec![(who.member, who.instance)],
            })),
            5 => self.ask(Request::OffsetCommit(OffsetCommit {
                who,
                offsets: vec![OffsetToCommit {
                    topic: "t".into(),
                    ..OffsetToCommit::default()
                }],
                ..OffsetCommit::default()
            })),
            6 => self.ask(Request::OffsetFetch(OffsetFetch {
                group: who.group,
                ..OffsetFetch::default()
            })),
            7 => {
                let partition = TopicPartition::new("t", 0);
                self.ask(Request::OffsetDelete(who.group, vec![partition]));
            }
            8 => self.ask(Request::DeleteGroups(vec![who.group])),
            9 => self.pass(u64::from(input.byte()) << 8),
            _ => {
                if let Some(id) = self.written.pop_front() {
                    match input.one_in(4) {
                        true => self.step(Event::Failed(id, ErrorCode::NotEnoughReplicas)),
                        false => self.step(Event::Written(id)),
                    }
                }
            }
        }
    }
}

fn join(input: &mut Input<'_>, who: Identity) -> Join {
    let protocol = |name: &str| Protocol {
        name: name.into(),
        metadata: SUBSCRIPTION.to_vec(),
    };
    Join {
        who,
        client_id: "c".into(),
        session_timeout_ms: 6_000 + i32::from(input.byte()),
        rebalance_timeout_ms: i32::from(input.byte()) - 1,
        protocol_type: pick(input, &["consumer", "connect", ""]).into(),
        protocols: (0..input.below(3))
            .map(|_| protocol(pick(input, &PROTOCOLS)))
            .collect(),
        requires_known_member_id: input.one_in(2),
        supports_skip_assignment: input.one_in(2),
        random: input.byte().into(),
        ..Join::default()
    }
}
