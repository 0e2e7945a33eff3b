"""What an Apache Kafka consists of: Java, and jars that Maven copies once into the user's cache."""

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from interaction_usage.servers.child import ServerError

JARS_VARIABLE = "USAGE_KAFKA_JARS"  # a folder of Kafka's jars, used instead of Maven and the cache
JAVA_NEEDED = 17

_POM = Path(__file__).with_name("kafka-pom.xml")
_LOGGING = Path(__file__).with_name("kafka-log4j2.xml")
_DOWNLOAD_SECONDS = 900.0

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

Progress = Callable[[str], None]


def say_nothing(_: str) -> None:
    """Receive a sentence on what begins, and keep it."""


def missing() -> str | None:
    """None when a real broker can run on this machine, otherwise a sentence saying what lacks."""
    version = re.match(r"\d+", java_version() or "")
    if version is None or int(version[0]) < JAVA_NEEDED:
        return f"Java {JAVA_NEEDED} or newer is not on the PATH."
    if (named := os.environ.get(JARS_VARIABLE)) is not None:
        if not any(Path(named).glob("kafka_2.13-*.jar")):
            return f"{JARS_VARIABLE} is {named}, a folder without Kafka's jars."
    elif not _cache().exists() and shutil.which("mvn") is None:
        return "Maven is not on the PATH and no Kafka jars are cached."
    return None


def kafka_jars(progress: Progress = say_nothing) -> Path:
    """The folder of Kafka's jars; Maven fills it when it is asked for the first time (44 MB).

    Several processes may ask at once: one downloads, the others wait for it. Raises ServerError
    when Maven fails.
    """
    if (named := os.environ.get(JARS_VARIABLE)) is not None:
        return Path(named)
    cache = _cache()
    if cache.exists():
        return cache
    with made_once(cache):
        if not cache.exists():
            progress(f"Fetching Apache Kafka {kafka_version()} through Maven, once, into {cache} …")
            _copy_jars(cache)
    return cache


@contextmanager
def made_once(path: Path) -> Iterator[None]:
    """Have one process at a time make what shall be at `path`; raises OSError where none can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kafka_version() -> str:
    """The version of Apache Kafka that runs here, from `kafka-pom.xml`."""
    version = ElementTree.parse(_POM).getroot().findtext(".//{*}kafka.version")
    if version is None:
        raise RuntimeError(f"{_POM} has no property kafka.version")
    return version


def user_cache() -> Path:
    """The folder of this product in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usage"


def _cache() -> Path:
    return user_cache() / f"kafka-{kafka_version()}"


def _copy_jars(cache: Path) -> None:
    """Has Maven copy the jars beside `cache`, which then gets its name with all of them in it."""
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as temporary:
        jars = Path(temporary) / "libs"
        try:
            run = ended(
                [
                    *("mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(_POM)),
                    *("dependency:copy-dependencies", "-DincludeScope=runtime"),
                    f"-DoutputDirectory={jars}",
                ],
                _DOWNLOAD_SECONDS,
            )
        except subprocess.TimeoutExpired as late:
            raise ServerError(
                f"Maven had not fetched Apache Kafka after {_DOWNLOAD_SECONDS:g} s."
            ) from late
        if run.returncode != 0 or not jars.is_dir():
            reason = next((s for s in run.stdout.splitlines() if "ERROR" in s), "no reason given")
            raise ServerError(f"Maven could not fetch Apache Kafka: {reason}")
        jars.rename(cache)


def ended(command: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """What a command wrote to both of its outputs, and its exit code, once it has ended.

    Raises subprocess.TimeoutExpired.
    """
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )


def java(jars: Path, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """The command that runs a class of the `jars` with these arguments."""
    return ["java", *_JAVA_OPTIONS, *options, "-cp", f"{jars}/*", *arguments]


def java_version() -> str | None:
    """The full version of the `java` on the PATH, None if there is none that runs."""
    program = shutil.which("java")
    return None if program is None else _version_of(program)


@functools.cache
def _version_of(program: str) -> str | None:
    try:
        run = subprocess.run(
            [program, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "([^"]+)"', run.stderr)
    return found[1] if found else None
