"""A real Apache Kafka: one KRaft node on 127.0.0.1 with its data on disk.

Broker and controller are one Java process, run straight from the jars of `kafka-pom.xml`. Maven
copies them once into the user's cache; no Kafka distribution and no Docker are needed.

What costs every new broker the same is prepared once, beside the jars: a formatted storage, of
which each gets a copy with ids of its own, and Java's archive of the classes that a broker loads.
"""

import base64
import hashlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from interaction_usage.servers.child import Child, OneProcess, ServerError, ServerMissingError
from interaction_usage.servers.kafka_files import (
    Progress,
    ended,
    java,
    java_version,
    kafka_jars,
    kafka_version,
    made_once,
    missing,
    say_nothing,
    user_cache,
)
from interaction_usage.servers.ports import free_port

PARTITIONS = 4  # of a topic that is created without a number

# What is in the prepared folder.
_STORAGE, _CLASSES = "storage", "classes.jsa"
# Another Java or other jars than the archive is of: it is left aside, without a word in the log.
_ARCHIVE_IS_OPTIONAL = ("-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")

_STOP_SECONDS = 30.0  # an orderly end takes 0.5 s; it writes the marks that make restarts quick

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}

# Nothing appears by itself and nothing expires.
auto.create.topics.enable=false
num.partitions={partitions}
log.retention.hours=-1
log.message.timestamp.after.max.ms=9223372036854775807

# One node: one copy of everything, and no wait for others.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304

# How long a restart after a kill waits for the killed broker's session to end (9 s by default).
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""

# Everybody may do everything to what no ACL is about.
_AUTHORIZER = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""


class ApacheKafka(OneProcess):
    """An Apache Kafka with everything it writes in `folder`; a context manager that runs it.

    Started again on the same folder it has its topics, records and committed offsets back, also
    after `kill()` and also on other ports. With `authorizer` it has access control lists, empty at
    first. `progress` receives one sentence before something slow (a download) begins.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        controller_port: int | None = None,
        *,
        authorizer: bool = False,
        progress: Progress = say_nothing,
    ) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self._properties = _PROPERTIES + (_AUTHORIZER if authorizer else "")
        self._progress = progress
        self._child = Child("Apache Kafka", self.folder / "kafka.log")

    @property
    def bootstrap(self) -> str:
        """What a client calls its bootstrap server, `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the broker on the folder's data and waits until it answers for its metadata.

        Raises ServerMissingError when Java, Maven or the jars are, ServerDiedError with the log's
        last line when the broker does not come up.
        """
        if (sentence := missing()) is not None:
            raise ServerMissingError(sentence)
        jars = kafka_jars(self._progress)
        prepared = prepared_folder(jars, self._progress)
        if not self._data.exists():
            self._copy_storage(prepared / _STORAGE)
        self._start(jars, (f"-XX:SharedArchiveFile={prepared / _CLASSES}", *_ARCHIVE_IS_OPTIONAL))

    def _start(self, jars: Path, options: Sequence[str]) -> None:
        properties = self._write_properties("server.properties", self._data)
        cluster = self._cluster_id()
        probe = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 5,
                "reconnect.backoff.max.ms": 20,
                "log_level": 0,  # that the broker is not there yet is no news
            }
        )

        def answers() -> bool:
            try:
                metadata = probe.list_topics(timeout=0.2)
            except KafkaException:
                return False
            # Another Kafka that had the port before answers with another cluster's id.
            return bool(metadata.brokers) and metadata.cluster_id == cluster

        self._child.start(java(jars, "kafka.Kafka", str(properties), options=options), answers)

    def stop(self) -> None:
        """Ends the broker in order; does nothing when it does not run."""
        self._child.stop(seconds=_STOP_SECONDS)

    def kill(self) -> None:
        """Ends the broker as a crash would (SIGKILL); what it acknowledged is there after start."""
        self._child.kill()

    def check(self) -> None:
        """Raises ServerDiedError when the broker has ended by itself."""
        self._child.check()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _copy_storage(self, formatted: Path) -> None:
        """Makes `data`, complete or not at all: copied under another name, then renamed."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(formatted, unfinished)
        properties = unfinished / "meta.properties"
        text = properties.read_text()
        for name in ("cluster.id", "directory.id"):
            text = re.sub(rf"(?m)^{re.escape(name)}=.*$", f"{name}={_new_id()}", text)
        properties.write_text(text)
        unfinished.rename(self._data)

    def _format(self, jars: Path) -> None:
        """Makes `data` with Kafka's own tool."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        properties = self._write_properties("format.properties", self._data)
        run = ended(
            java(
                jars,
                *("kafka.tools.StorageTool", "format"),
                f"--cluster-id={_new_id()}",
                *("--config", str(properties)),
            )
        )
        if run.returncode != 0:
            reason = (run.stdout.strip().splitlines() or ["no reason given"])[-1]
            raise ServerError(f"Apache Kafka's storage could not be formatted: {reason}")

    def _write_properties(self, name: str, data: Path) -> Path:
        path = self.folder / name
        path.write_text(
            self._properties.format(
                port=self.port,
                controller_port=self.controller_port,
                data=data,
                partitions=PARTITIONS,
            )
        )
        return path

    def _cluster_id(self) -> str:
        text = (self._data / "meta.properties").read_text()
        found = re.search(r"^cluster\.id=(.+)$", text, re.MULTILINE)
        if found is None:
            raise ServerError(f"{self._data} is no storage of Apache Kafka's.")
        return found[1].strip()


def prepared_folder(jars: Path, progress: Progress = say_nothing) -> Path:
    """The folder of what every broker from these `jars` begins with; made when it is first needed.

    Raises ServerError when it cannot be made.
    """
    of = hashlib.sha256(f"{jars.absolute()} {java_version()}".encode()).hexdigest()[:12]
    folder = user_cache() / f"kafka-{kafka_version()}-prepared-{of}"
    if folder.exists():
        return folder
    try:
        with made_once(folder):
            if not folder.exists():
                progress("Preparing Apache Kafka, once …")
                _prepare(jars, folder)
    except OSError as error:
        raise ServerError(
            f"Apache Kafka could not be prepared in {folder.parent} ({error.strerror}); "
            "XDG_CACHE_HOME can name another folder."
        ) from error
    except KafkaException as error:
        raise ServerError(f"Apache Kafka could not be prepared: {error}") from error
    return folder


def _prepare(jars: Path, folder: Path) -> None:
    """Makes `folder`, complete or not at all: under another name, then renamed."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="preparing-") as temporary:
        unfinished = Path(temporary) / "prepared"
        unfinished.mkdir()
        broker = ApacheKafka(Path(temporary) / "broker", authorizer=True)
        broker._format(jars)
        shutil.copytree(broker._data, unfinished / _STORAGE)
        broker._start(jars, (f"-XX:ArchiveClassesAtExit={unfinished / _CLASSES}",))
        try:
            _use(broker.bootstrap)
        finally:
            broker.stop()
        unfinished.rename(folder)


def _use(bootstrap: str) -> None:
    """Has the broker load the classes that most of its clients need."""
    common = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin = AdminClient(common)
    admin.create_topics([NewTopic("any", 1, 1)])["any"].result(30)
    producer = Producer({**common, "transactional.id": "any"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("any", b"")
    producer.commit_transaction(30)
    consumer = Consumer({**common, "group.id": "any", "auto.offset.reset": "earliest"})
    consumer.subscribe(["any"])
    if (message := consumer.poll(30)) is not None:
        consumer.commit(message, asynchronous=False)
    consumer.close()


def _new_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
