//! A coordinator with a log that a test holds in its hands: appends wait until the test lets them through or refuses them.
#![allow(dead_code, reason = "each test file uses its own part")]

use ottla_group::*;
use ottla_types::{ErrorCode, Time, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const WALL: u64 = 1_700_000_000_000;

pub struct World {
    pub groups: Groups,
    pub mono: u64,
    pub replies: BTreeMap<RequestId, Reply>,
    pub asked: BTreeSet<RequestId>,
    pub on_the_way: VecDeque<(WriteId, Vec<Record>)>,
    pub log: Vec<Record>,
    pub auto: bool,
    next: u64,
}

impl World {
    /// A served, empty partition whose appends are replicated at once.
    pub fn new(config: Config) -> World {
        let mut world = World {
            groups: Groups::new(config),
            mono: 1_000,
            replies: BTreeMap::new(),
            asked: BTreeSet::new(),
            on_the_way: VecDeque::new(),
            log: Vec::new(),
            auto: true,
            next: 0,
        };
        world.step(Input::Loaded);
        world
    }

    pub fn now(&self) -> Now {
        Now {
            mono: self.mono,
            wall: Time(WALL + self.mono),
        }
    }

    pub fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.groups.step(input, self.now(), &mut out).unwrap();
        self.groups.check().unwrap();
        for output in out {
            match output {
                Output::Reply(id, reply) => {
                    assert!(self.asked.contains(&id), "{id:?} was never asked");
                    assert!(
                        self.replies.insert(id, reply).is_none(),
                        "{id:?} is answered twice"
                    );
                }
                Output::Append(id, records) => self.on_the_way.push_back((id, records)),
            }
        }
        if self.auto && !self.on_the_way.is_empty() {
            self.write_one();
        }
    }

    /// Replicates the first append that is on its way.
    pub fn write_one(&mut self) {
        if let Some((id, records)) = self.on_the_way.pop_front() {
            self.log.extend(records);
            self.step(Input::Written(id));
        }
    }

    /// Refuses the first append that is on its way.
    pub fn fail_one(&mut self, error: ErrorCode) {
        if let Some((id, _)) = self.on_the_way.pop_front() {
            self.step(Input::Failed(id, error));
        }
    }

    pub fn ask(&mut self, request: Request) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        self.asked.insert(id);
        self.step(Input::Request(id, request));
        id
    }

    /// Lets time pass, and each timer fire when it is due.
    pub fn pass(&mut self, ms: u64) {
        let end = self.mono + ms;
        while let Some(due) = self.groups.deadline().filter(|due| *due <= end) {
            self.mono = self.mono.max(due);
            self.step(Input::Tick);
        }
        self.mono = end;
    }

    pub fn has(&self, id: RequestId) -> bool {
        self.replies.contains_key(&id)
    }

    pub fn joined(&self, id: RequestId) -> &JoinReply {
        match self.replies.get(&id) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("{id:?} is answered {other:?}"),
        }
    }

    pub fn synced(&self, id: RequestId) -> &SyncReply {
        match self.replies.get(&id) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("{id:?} is answered {other:?}"),
        }
    }

    pub fn beat(&mut self, who: Identity) -> ErrorCode {
        let id = self.ask(Request::Heartbeat(who));
        match self.replies.get(&id) {
            Some(Reply::Heartbeat(error)) => *error,
            other => panic!("{id:?} is answered {other:?}"),
        }
    }

    /// A member's first join as of version 4 and later: it asks for an id and comes again with it.
    pub fn join_new(&mut self, group: &str, random: u128) -> (String, RequestId) {
        let mut join = join(group, "", random);
        join.requires_known_member_id = true;
        let first = self.ask(Request::Join(Box::new(join.clone())));
        assert_eq!(self.joined(first).error, ErrorCode::MemberIdRequired);
        join.who.member = self.joined(first).member.clone();
        (join.who.member.clone(), self.ask(Request::Join(Box::new(join))))
    }

    /// A stable group of so many dynamic members; the first is the leader.
    pub fn stable(&mut self, group: &str, members: u128) -> Vec<Identity> {
        let joins: Vec<_> = (0..members).map(|n| self.join_new(group, n)).collect();
        self.pass(6_001);
        let mut who = Vec::new();
        for (member, id) in &joins {
            let reply = self.joined(*id);
            assert_eq!(reply.error, ErrorCode::None);
            who.push(Identity {
                group: group.into(),
                member: member.clone(),
                instance: None,
                generation: reply.generation,
            });
        }
        let leader = self.joined(joins[0].1).leader.clone();
        who.sort_by_key(|w| w.member != leader);
        let assignments: Vec<_> = who
            .iter()
            .map(|w| (w.member.clone(), w.member.clone().into_bytes()))
            .collect();
        for (n, member) in who.iter().enumerate() {
            let sync = Sync {
                who: member.clone(),
                assignments: if n == 0 { assignments.clone() } else { Vec::new() },
                ..Sync::default()
            };
            let id = self.ask(Request::Sync(sync));
            if n == 0 {
                assert_eq!(self.synced(id).error, ErrorCode::None);
            }
        }
        assert_eq!(self.groups.group(group).unwrap().state(), GroupState::Stable);
        who
    }

    /// A coordinator that has replayed the log.
    pub fn reloaded(&self, config: Config) -> Groups {
        let mut groups = Groups::new(config);
        for record in &self.log {
            groups.replay(None, &record.key, record.value.as_deref()).unwrap();
        }
        groups.step(Input::Loaded, self.now(), &mut Vec::new()).unwrap();
        groups
    }
}

/// A dynamic member's join, for two assignors of the consumer protocol.
pub fn join(group: &str, member: &str, random: u128) -> Join {
    Join {
        who: Identity {
            group: group.into(),
            member: member.into(),
            instance: None,
            generation: -1,
        },
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", &["t"]), protocol("roundrobin", &["t"])],
        requires_known_member_id: false,
        supports_skip_assignment: true,
        random,
    }
}

/// An assignor with a subscription of version 0.
pub fn protocol(name: &str, topics: &[&str]) -> Protocol {
    let mut metadata = vec![0, 0];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1i32).to_be_bytes());
    Protocol {
        name: name.into(),
        metadata,
    }
}

pub fn commit(who: Identity, topic: &str, partition: i32, offset: i64) -> Request {
    Request::OffsetCommit(OffsetCommit {
        who,
        knows_group_not_found: true,
        retention_ms: None,
        offsets: vec![OffsetToCommit {
            topic: topic.into(),
            partition,
            offset,
            leader_epoch: 3,
            metadata: "m".into(),
            ..OffsetToCommit::default()
        }],
    })
}

pub fn simple(group: &str) -> Identity {
    Identity {
        group: group.into(),
        generation: -1,
        ..Identity::default()
    }
}

pub fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}
