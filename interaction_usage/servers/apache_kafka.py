"""A real Apache Kafka: one KRaft node on 127.0.0.1 with its data on disk.

Broker and controller are one Java process, run straight from the jars of `kafka-pom.xml`. Maven
copies them once into the user's cache; no Kafka distribution and no Docker are needed.

A fresh broker answers about 2.5 s after `start()`, 0.8 s of which format its storage; on existing
data after 1.7 s, or 3.5 s after a kill (the controller waits until the dead broker's session ends).
"""

import base64
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from interaction_usage.servers.child import Child, OneProcess, ServerError, ServerMissingError
from interaction_usage.servers.ports import free_port

JARS_VARIABLE = "USAGE_KAFKA_JARS"  # a folder of Kafka's jars, used instead of Maven and the cache
JAVA_NEEDED = 17
PARTITIONS = 4  # of a topic that is created without a number

_POM = Path(__file__).with_name("kafka-pom.xml")
_LOGGING = Path(__file__).with_name("kafka-log4j2.xml")
_DOWNLOAD_SECONDS = 900.0
_STOP_SECONDS = 30.0  # an orderly end takes 0.5 s; it writes the marks that make restarts quick

# Measured on 2 cores (start to ready, memory, processor time for 1.5 million records in and out):
# G1 2.5 s, 390 MB, 3.0 to 4.6 s; serial 2.5 s, 290 MB, 3.0 to 3.3 s; serial with the quick
# compiler only 2.0 s, 250 MB, 2.0 s. Throughput is the clients' in all three.
_JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms256m",
    "-Xmx768m",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
)

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

Progress = Callable[[str], None]


def _say_nothing(_: str) -> None:
    pass


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
        progress: Progress = _say_nothing,
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
        if not self._data.exists():
            self._format(jars)
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

        self._child.start(_java(jars, "kafka.Kafka", str(properties)), answers)

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

    def _format(self, jars: Path) -> None:
        """Makes `data`, complete or not at all: formatted under another name, then renamed."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        properties = self._write_properties("format.properties", unfinished)
        run = subprocess.run(
            _java(
                jars,
                *("kafka.tools.StorageTool", "format"),
                f"--cluster-id={_new_cluster_id()}",
                *("--config", str(properties)),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        properties.unlink()
        if run.returncode != 0:
            reason = (run.stdout.strip().splitlines() or ["no reason given"])[-1]
            raise ServerError(f"Apache Kafka's storage could not be formatted: {reason}")
        unfinished.rename(self._data)

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


def missing() -> str | None:
    """None when a real broker can run on this machine, otherwise a sentence saying what lacks."""
    if (java := _java_version()) is None or java < JAVA_NEEDED:
        return f"Java {JAVA_NEEDED} or newer is not on the PATH."
    if (named := os.environ.get(JARS_VARIABLE)) is not None:
        if not any(Path(named).glob("kafka_2.13-*.jar")):
            return f"{JARS_VARIABLE} is {named}, a folder without Kafka's jars."
    elif not _cache().exists() and shutil.which("mvn") is None:
        return "Maven is not on the PATH and no Kafka jars are cached."
    return None


def kafka_jars(progress: Progress = _say_nothing) -> Path:
    """The folder of Kafka's jars; Maven fills it when it is asked for the first time (44 MB).

    Several processes may ask at once: one downloads, the others wait for it. Raises ServerError
    when Maven fails.
    """
    if (named := os.environ.get(JARS_VARIABLE)) is not None:
        return Path(named)
    cache = _cache()
    if cache.exists():
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with (cache.parent / f"{cache.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            progress(f"Fetching Apache Kafka {kafka_version()} through Maven, once, into {cache} …")
            _copy_jars(cache)
    return cache


def kafka_version() -> str:
    """The version of Apache Kafka that runs here, from `kafka-pom.xml`."""
    version = ElementTree.parse(_POM).getroot().findtext(".//{*}kafka.version")
    if version is None:
        raise RuntimeError(f"{_POM} has no property kafka.version")
    return version


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "usage" / f"kafka-{kafka_version()}"


def _copy_jars(cache: Path) -> None:
    """Has Maven copy the jars beside `cache`, which then gets its name with all of them in it."""
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as temporary:
        jars = Path(temporary) / "libs"
        try:
            run = subprocess.run(
                [
                    *("mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(_POM)),
                    *("dependency:copy-dependencies", "-DincludeScope=runtime"),
                    f"-DoutputDirectory={jars}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_DOWNLOAD_SECONDS,
            )
        except subprocess.TimeoutExpired as late:
            raise ServerError(
                f"Maven had not fetched Apache Kafka after {_DOWNLOAD_SECONDS:g} s."
            ) from late
        if run.returncode != 0 or not jars.is_dir():
            reason = next((s for s in run.stdout.splitlines() if "ERROR" in s), "no reason given")
            raise ServerError(f"Maven could not fetch Apache Kafka: {reason}")
        jars.rename(cache)


def _java(jars: Path, *arguments: str) -> list[str]:
    return ["java", *_JAVA_OPTIONS, "-cp", f"{jars}/*", *arguments]


def _java_version() -> int | None:
    """The major version of the `java` on the PATH, None if there is none that runs."""
    try:
        run = subprocess.run(
            ["java", "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', run.stderr)
    return int(found[1]) if found else None


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
