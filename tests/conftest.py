"""What all tests share: real servers, started once, and an honest account of what did not run."""

import os
import resource
import shutil
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from interaction_usage.servers.child import ServerMissingError
from interaction_usage.servers.kafka_files import missing
from interaction_usage.servers.redis_cluster import RedisCluster, redis_cluster
from interaction_usage.servers.redis_server import RedisServer, binary, redis_server
from interaction_usage.store.client import connect
from tests.support.examples import examples
from tests.support.memory_ledger import MemoryLedger
from tests.support.shared_broker import SharedBroker

#: Set where a missing Apache Kafka must fail the run.
REQUIRE_KAFKA = "USAGE_REQUIRE_KAFKA"

#: Files whose tests need a machine that is nearly free: they hold how long things take against
#: bounds. Two of them may run side by side.
_ALONE = {"test_recovery.py", "test_live_page.py", "test_demo_command.py", "test_shutdown.py"}

#: Folders, and files of others, whose tests start servers or processes, and files that do not.
_SERVERS = {
    "store", "dashboard", "commands", "servers", "chart", "browser", "kafka", "faults",
    "monitoring", "test_locks.py",
    "test_lookout.py", "test_micro_batches.py", "test_random_faults.py", "test_lag.py",
    "test_events_page.py", "test_libreoffice.py", "test_kafka_ledger.py",
    "test_wheel.py", "test_catalog.py",
}  # fmt: skip
_NO_SERVERS = {"test_columns.py", "test_days.py", "test_gathering.py"}

#: The order of the folders: the quick tests first or, where several processes share the tests, the
#: long ones, so that none of them is still busy when the others have nothing left to do.
_ORDER = (
    "rollups", "stream_app", "export", "issued", "store", "dashboard", "commands", "monitoring",
    "servers", "chart",
    "browser", "kafka", "faults",
)  # fmt: skip

# The product asks the package tzdata, whatever the machine's own zones say; so do the references.
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

# How long hypothesis takes to draw something says nothing of the code, beside other tests.
settings.register_profile(
    "tests", suppress_health_check=[HealthCheck.too_slow], max_examples=examples(100)
)
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> None:
    """Keep the caller's own settings away from the tests."""
    for name in [name for name in os.environ if name.startswith("USAGE_")]:
        if name not in (REQUIRE_KAFKA, "USAGE_KAFKA_JARS"):
            del os.environ[name]
    os.environ["USAGE_ENV_FILE"] = ""  # nor is a file of theirs read


@pytest.fixture(autouse=True)
def _pure_or_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test without the mark `servers` that had a process: `make pure` would not be quick."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    yield
    if request.node.get_closest_marker("servers") is None:
        after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        assert after == before, "it started a process, and is not marked `servers`"


@pytest.fixture(scope="session")
def need() -> Callable[[str, str], str]:
    """Return the path of a program, or skip the test and have the summary say so."""

    def find(program: str, what: str) -> str:
        path = shutil.which(program)
        if path is None:
            _leave_out(f"{what} ({program} is not on the PATH)")
        return path or ""

    return find


def _leave_out(reason: str) -> None:
    """Skip a test, as the summary says; where all must run, as in CI, fail it."""
    if os.environ.get(REQUIRE_KAFKA) == "1":
        pytest.fail(f"{REQUIRE_KAFKA}=1, but this cannot run here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def leave_out() -> Callable[[str], None]:
    """Return a function that skips a test, as the summary says, or fails it where all must run."""
    return _leave_out


@pytest.fixture
def need_kafka() -> None:
    """Skip the test, reported in the summary, where no Apache Kafka can run; fail if one must."""
    if reason := missing():
        _leave_out(f"Apache Kafka: {reason}")


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBroker]:
    """Yield the broker that all tests of this process share, one after the other."""
    broker = SharedBroker(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.kill()


@pytest.fixture(scope="session", params=["redis", "valkey", "cluster"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer | RedisCluster]:
    """Yield a Redis, then a Valkey, then a cluster: the store's contract holds on each."""
    if request.param == "cluster":
        with redis_cluster() as running:
            yield running
        return
    try:
        binary(request.param)
    except ServerMissingError as error:
        _leave_out(f"the store's contract on {request.param}: {error}")
    with redis_server(flavour=request.param) as alone:
        yield alone


@pytest.fixture
def redis(server: RedisServer | RedisCluster) -> Iterator[Any]:
    """Yield a client of an empty server."""
    with connect(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def ledger(redis: Any) -> MemoryLedger:
    """Return a ledger of the empty server, without Kafka."""
    return MemoryLedger(redis)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Return the folder of event files with the exact reports they must give."""
    return Path(__file__).parent / "vectors"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect no others where only those are asked for that need the machine: it takes seconds."""
    if config.option.markexpr == "alone" and collection_path.name.startswith("test_"):
        return collection_path.name not in _ALONE or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, and mark those that are alone and those that need servers."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _ORDER.index(folder) if folder in _ORDER else -1

    items.sort(key=place, reverse="PYTEST_XDIST_WORKER" in os.environ)
    for item in items:
        names = {item.path.parent.name, item.path.name}
        if item.path.name in _ALONE:
            item.add_marker(pytest.mark.alone)
        if names & _SERVERS and not names & _NO_SERVERS:
            item.add_marker(pytest.mark.servers)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out as `sharing_out` says."""
    from tests.support.sharing_out import Shares  # which needs xdist

    config.option.loadscopereorder = False
    return Shares(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say last what could not run here, and why."""
    skipped = terminalreporter.stats.get("skipped", ())
    if not skipped:
        terminalreporter.write_line("Every suite ran.")
        return
    terminalreporter.section("not run here", sep="-")
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} tests without {reason}")
