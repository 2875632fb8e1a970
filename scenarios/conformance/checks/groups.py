"""Consumer groups with every client as a member: members join, leave and die; each record goes to one member of each group."""

import time

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from clients import confluent
from members import Member

TOPIC = "groups"
PARTITIONS = 4
BATCH = 200
"""Records of a phase, a quarter to each partition."""
PATIENCE = 60
NOT_YET = (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
           KafkaError.GROUP_ID_NOT_FOUND)

GROUPS = {
    "confluent": ["confluent"] * 2,
    "kafka-python": ["kafka-python"] * 2,
    "aiokafka": ["aiokafka"] * 2,
    "kafkajs": ["kafkajs"] * 2,
    "kcat": ["kcat"] * 2,
    "ottla": ["ottla"] * 2,
    "java": ["console-consumer", "verifiable-consumer"],
    "mixed": ["console-consumer", "confluent", "kafka-python", "ottla"],
}
"""The groups and their members at the beginning; in `mixed` four clients share by the assignor that all of them know."""


class Group:
    """A group of the check and all members it ever had."""

    def __init__(self, name, bootstrap):
        self.name, self.bootstrap = f"group-{name}", bootstrap
        self.members = []

    def join(self, kind):
        """One more member."""
        self.members.append(Member(kind, self.bootstrap, self.name, TOPIC))

    def got(self):
        """All records of all members, with who got them."""
        return [(record, index) for index, member in enumerate(self.members) for record in list(member.records)]

    def tail(self):
        """What the members said."""
        return "; ".join(f"{m.kind}: {m.tail()!r}" for m in self.members)


class Trial:
    """The groups over one topic, through the phases."""

    def __init__(self, bootstrap):
        self.bootstrap, self.sent, self.phase_from = bootstrap, 0, 0
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "logger": confluent.silent()})
        self.groups = [Group(name, bootstrap) for name in GROUPS]

    def topic(self):
        """The topic."""
        self.admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)

    def produce(self):
        """The records of a phase: the numbers that follow, round robin."""
        self.phase_from = self.sent
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, "logger": confluent.silent()})
        failed = []
        for number in range(self.sent, self.sent + BATCH):
            producer.produce(TOPIC, value=str(number), partition=number % PARTITIONS,
                             on_delivery=lambda error, _: failed.append(error) if error else None)
        assert producer.flush(20) == 0 and not failed, f"not sent: {failed[:1]}"
        self.sent += BATCH

    def describe(self, names):
        """What the coordinators say of these groups, leaving out those that are not there yet."""
        found = {}
        for name, future in self.admin.describe_consumer_groups(names, request_timeout=20).items():
            try:
                found[name] = future.result(20)
            except KafkaException as error:
                assert error.args[0].code() in NOT_YET, f"{name}: {error}"
        return found

    def stable(self, counts):
        """Waits until each group has its number of members, all of them with a share."""
        begin = time.monotonic()
        waiting = dict(zip((g.name for g in self.groups), counts))
        while waiting and time.monotonic() - begin < PATIENCE:
            described = self.describe(list(waiting))
            for name, group in described.items():
                shares = [len(member.assignment.topic_partitions) for member in group.members]
                if group.state == ConsumerGroupState.STABLE and len(shares) == waiting[name] and sum(shares) == PARTITIONS:
                    assert max(shares) - min(shares) <= 1, f"{name}: shares {shares}"
                    del waiting[name]
            time.sleep(0.2)
        names = [g for g in self.groups if g.name in waiting]
        assert not waiting, f"not stable after {PATIENCE} s: {waiting} {[g.tail() for g in names]} {described}"
        return f"{sum(counts)} members after {time.monotonic() - begin:.1f} s"

    def delivered(self):
        """Waits until each group has all that was sent."""
        begin = time.monotonic()
        late = list(self.groups)
        while late and time.monotonic() - begin < PATIENCE:
            late = [g for g in late if len({value for (_, _, value), _ in g.got()}) < self.sent]
            time.sleep(0.1)
        assert not late, f"{late[0].name} has {len({r[2] for r, _ in late[0].got()})} of {self.sent} records: {late[0].tail()}"
        time.sleep(0.5)
        for group in self.groups:
            self.judge(group)
        return f"{self.sent} records to each of {len(self.groups)} groups"

    def judge(self, group):
        """What must hold of the records that a group got in this phase."""
        rows = [(record, who) for record, who in group.got() if int(record[2]) >= self.phase_from]
        values = [int(value) for (_, _, value), _ in rows]
        assert set(values) == set(range(self.phase_from, self.sent)), f"{group.name}: records that were never sent"
        assert all(int(v) % PARTITIONS == p for (p, _, v), _ in rows), f"{group.name}: a record from another partition"
        twice = sorted(v for v in set(values) if values.count(v) > 1)
        assert not twice, f"{group.name}: to more than one member: {twice[:5]}"
        owners = {}
        for (partition, _, _), who in rows:
            owners.setdefault(partition, set()).add(who)
        assert all(len(who) == 1 for who in owners.values()), f"{group.name}: a partition had two owners: {owners}"
        for index, member in enumerate(group.members):
            for partition in range(PARTITIONS):
                offsets = [o for p, o, v in list(member.records) if p == partition and int(v) >= self.phase_from]
                assert offsets == sorted(offsets), f"{group.name}: member {index} out of order in {partition}"

    def leave_and_die(self):
        """The first member of each group leaves, the second vanishes."""
        for group in self.groups:
            group.members[0].leave()
            group.members[1].kill()
        for group in self.groups:
            group.members[0].ended()
        return f"{len(self.groups)} left, {len(self.groups)} died"

    def discard(self):
        """Leaves nobody behind."""
        for group in self.groups:
            for member in group.members:
                member.discard()


def run(report, bootstrap):
    """All groups through: members join, one more joins, one leaves and one dies."""
    trial = Trial(bootstrap)
    now = [len(kinds) for kinds in GROUPS.values()]
    try:
        report.step("groups: create the topic", trial.topic)
        for group, kinds in zip(trial.groups, GROUPS.values()):
            for kind in kinds:
                group.join(kind)
        if not report.step("groups: members join", trial.stable, now):
            return
        trial.produce()
        report.step("groups: each record to exactly one member", trial.delivered)
        for group, kinds in zip(trial.groups, GROUPS.values()):
            group.join(kinds[-1])
        if not report.step("groups: one more joins", trial.stable, [n + 1 for n in now]):
            return
        trial.produce()
        report.step("groups: each record to exactly one of them", trial.delivered)
        report.step("groups: one leaves, one dies", trial.leave_and_die)
        if not report.step("groups: the others take over", trial.stable, [n - 1 for n in now]):
            return
        trial.produce()
        report.step("groups: nothing is lost", trial.delivered)
        report.count(sent=trial.sent, read=sum(len(g.got()) for g in trial.groups))
    finally:
        trial.discard()
