"""Apache Kafka's own broker as a process of ours: it writes the directories that Ottla takes over, and opens Ottla's."""

from pathlib import Path

from clients import java
from server import Process

CLUSTER = "conformance-of-ottlaA"
HEAP = "384m"


class Broker(Process):
    """One combined broker and controller, version as the tools'; `<directory>.properties` is its configuration.

    With `standalone` it is formatted as Kafka's quick start says (a quorum whose voters stand in the log, `kraft.version` 1),
    else with `controller.quorum.voters` (`kraft.version` 0).
    """

    def __init__(self, directory, settings=None, standalone=False):
        super().__init__(directory)
        self.standalone = standalone
        self.properties = Path(f"{directory}.properties")
        quorum = "bootstrap.servers" if standalone else "voters"
        voter = f"127.0.0.1:{self.controller}" if standalone else f"1@127.0.0.1:{self.controller}"
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            f"controller.quorum.{quorum}": voter,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.directory),
            "num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "2",
            "offsets.topic.num.partitions": "2",
            "group.initial.rebalance.delay.ms": "0",
            **(settings or {}),
        }
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def format(self):
        """`kafka-storage format`."""
        extra = ["--standalone"] if self.standalone else []
        java.tool("storage", "format", "--cluster-id", CLUSTER, "--config", str(self.properties), *extra)

    def command(self):
        """The JVM that is the broker."""
        return java.command("kafka.Kafka", HEAP) + [str(self.properties)]
