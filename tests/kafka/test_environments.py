"""Several environments on one Kafka and one Redis: the same counts as if each had its own."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient

from interaction_usage.servers.redis_cluster import ask, redis_cluster
from interaction_usage.servers.redis_server import redis_server
from stream_app.topics import TOPICS
from tests.support import redis_users, vector_files
from tests.support.event_lines import flow
from tests.support.shared_broker import SharedBroker
from tests.support.system import USAGE, System

DAYS = ("2026-10-01", "2026-10-31")
INVALID = b'{"specversion":"1.0"}'
#: What keys begin with in each environment; the last one has no prefix.
PREFIXES = ("staging:", "prod:eu:", "")


def environment(kafka: Any, store: Any, folder: Path, prefix: str) -> System:
    """Return a system with the prefix for its keys, and a similar one for its topics."""
    folder = folder / (prefix or "none")
    folder.mkdir()
    made = System(kafka, store, folder)
    made.group = "usage"  # what sets the groups apart is the prefix
    made.variables |= {
        "USAGE_REDIS_PREFIX": prefix, "USAGE_TOPIC_PREFIX": prefix.replace(":", "."),
        "USAGE_ENV_FILE": "",
    }  # fmt: skip
    return made


@pytest.fixture
def environments(
    need_kafka: None, shared_broker: SharedBroker, tmp_path: Path
) -> Iterator[list[System]]:
    """Yield three environments on one broker and one Redis."""
    with redis_server(tmp_path / "redis") as store:
        kafka = shared_broker.without_topics()
        made = [environment(kafka, store, tmp_path, prefix) for prefix in PREFIXES]
        yield made
        for each in made:
            each.kill_workers()


def check_vectors(system: System, names: list[str]) -> None:
    """Hold every report of these vectors against the one that they must give."""
    for case in (case for name in names for case in vector_files.expected(name)):
        days = str(case.period.first), str(case.period.last)
        as_of = case.as_of.isoformat().replace("+00:00", "Z")
        report = system.report(case.account, *days, tz=case.period.timezone, as_of=as_of)
        assert {member: report[member] for member in case.report} == case.report


def own_flows(system: System) -> int:
    """Return how many flow runs the account has that all environments have, with other events."""
    return int(system.report("shared", *DAYS)["flow_runs"]["total"])


def keys_by_prefix(system: System) -> dict[str, list[bytes]]:
    """Return all keys in Redis by the prefix of their environment; none has another one."""
    found: dict[str, list[bytes]] = {prefix: [] for prefix in PREFIXES}
    with system.client() as client:
        for key in client.scan_iter(count=1000):
            text = key.decode()
            [prefix] = [each for each in PREFIXES[:2] if text.startswith(each)] or [""]
            assert re.match(r"\{?usage:|u\d*:", text.removeprefix(prefix).removeprefix("{"))
            found[prefix].append(key)
    return found


def content(system: System, prefix: str) -> dict[bytes, bytes]:
    """Return everything that Redis has of an environment but what workers say all the time."""
    lasting = [key for key in keys_by_prefix(system)[prefix] if not re.search(_SAID, key)]
    with system.client() as client:
        return {key: client.dump(key) for key in lasting}


_SAID = rb"usage:(workers?|progress|ledger:reader|live)\b|\{usage:refused\}:read"


def test_environments_count_their_own_events_alone(environments: list[System]) -> None:
    """The same vectors in all of them, and other events of one account; nothing is mixed.

    Then one is rebuilt, loses everything it has in Redis, and gets the backup of another one: the
    others have what they had.
    """
    staging, prod, plain = environments
    names = ["basics"]
    lines = [line for name in names for _, line in vector_files.lines(name)]
    for count, system in enumerate(environments, 1):
        system.start_worker()
        more = [flow(f"own-{n}", subject="shared") for n in range(100 * count)]
        system.usage("send", "-", stdin=b"\n".join([*lines, *more, *more[:7]]))
        system.usage("account", "set", "shared", "--name", f"Shared {count}")
        system.usage("token", "create", "--operator", "--label", f"token {count}")
    for system in environments:
        prefix = system.variables["USAGE_TOPIC_PREFIX"]
        system.publish([(f"{prefix}usage.sms", b"shared", INVALID, None)])
        system.catch_up()
    for count, system in enumerate(environments, 1):
        check_vectors(system, names)
        assert own_flows(system) == 100 * count
        assert f"Shared {count}".encode() in system.usage("account", "show", "shared").stdout
        listed = system.usage("token", "list").stdout.decode()
        assert re.findall(r"token \d", listed) == [f"token {count}"]
        [refused] = system.dead_letters()["newest"]
        assert refused["origin"].startswith(f"{system.variables['USAGE_TOPIC_PREFIX']}usage.sms/")
        healthy = system.usage("doctor", code=None).stdout.decode()
        assert "topics that are not read" not in healthy
    check_names(staging)

    others = {prefix: content(plain, prefix) for prefix in PREFIXES[1:]}
    rebuild_lose_and_restore(staging, plain)
    assert {prefix: content(plain, prefix) for prefix in PREFIXES[1:]} == others
    assert own_flows(prod) == 200
    assert own_flows(plain) == 300


def check_names(system: System) -> None:
    """Every topic, group and key begins with the prefix of one of the environments."""
    assert all(keys_by_prefix(system).values())
    admin: Any = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    present = {name for name in admin.list_topics(timeout=10).topics if name[:2] != "__"}
    topic_prefixes = [prefix.replace(":", ".") for prefix in PREFIXES]
    assert present == {f"{prefix}{name}" for prefix in topic_prefixes for name in TOPICS}
    groups = {each.group_id for each in admin.list_consumer_groups().result(10).valid}
    assert {f"{prefix}usage" for prefix in topic_prefixes} <= groups


def rebuild_lose_and_restore(staging: System, plain: System) -> None:
    """Do with one environment what must not touch the others."""
    staging.usage("rebuild", "--verify")
    staging.usage("rebuild")
    check_vectors(staging, ["basics"])
    with staging.client() as client:
        assert client.get("staging:usage:live") == b"staging:u3"
        client.unlink(*client.scan_iter("staging:*", count=1000))
    staging.catch_up()
    assert own_flows(staging) == 100
    assert b"Shared 1" in staging.usage("account", "show", "shared").stdout

    file = plain.folder / "plain.backup"
    plain.usage("backup", str(file))
    staging.workers[0].stop()
    staging.usage("restore", str(file), "--replace")
    assert own_flows(staging) == 300
    # What the backup has came from other topics: the events of the own ones are other records, and
    # those of them that are the same events are known.
    staging.start_worker()
    staging.catch_up()
    assert own_flows(staging) == 300
    check_vectors(staging, ["basics"])
    found = staging.usage("doctor", code=None).stdout.decode()
    assert "topics that are not read: usage.calls, " in re.sub(r"\s+", " ", found)


def test_users_of_one_environment_see_nothing_of_another(environments: list[System]) -> None:
    """With the rights that the page gives them, every command works, and Redis refuses nothing."""
    staging, prod, _ = environments
    with redis.Redis.from_url(staging.redis.url) as admin:  # type: ignore[union-attr]
        for name, rights in redis_users.PREFIXED_RIGHTS.items():
            admin.execute_command("ACL", "SETUSER", name, "reset", *rights)
        admin.execute_command("ACL", "SETUSER", "admin", "on", ">s3cr/et", "~*", "&*", "+@all")

    def usage(system: System, user: str, *arguments: str, **more: Any) -> bytes:
        url = redis_users.url_of(staging.redis, f"staging-{user}")  # type: ignore[arg-type]
        system.variables["USAGE_REDIS"] = url
        return system.usage(*arguments, **more).stdout

    url = redis_users.url_of(staging.redis, "staging-worker")  # type: ignore[arg-type]
    staging.worker_variables["USAGE_REDIS"] = url
    staging.start_worker()
    usage(staging, "reader", "send", "-", stdin=flow("1"))
    usage(staging, "reader", "lag", "--until-zero", "60")
    usage(staging, "operator", "account", "set", "acme", "--name", "Acme Ltd")
    usage(staging, "operator", "token", "create", "--operator")
    usage(staging, "operator", "gaps", "accept", "--all", "--reason", "none")
    usage(staging, "worker", "rebuild")
    assert b"Acme Ltd" in usage(staging, "reader", "account", "show", "acme")
    assert b'"total":1' in usage(
        staging, "reader", "export", "acme", "--from", DAYS[0], "--to", DAYS[1], "--format",
        "json", "-o", "-",
    ).replace(b" ", b"")  # fmt: skip
    assert redis_users.refusals(staging.redis) == []  # type: ignore[arg-type]

    url = redis_users.url_of(staging.redis, "staging-worker")  # type: ignore[arg-type]
    prod.variables["USAGE_REDIS"] = url
    denied = prod.usage("account", "list", code=1)
    assert b"the Redis user may not access a key that is needed" in denied.stderr


def test_environments_share_a_cluster(
    need_kafka: None, shared_broker: SharedBroker, tmp_path: Path
) -> None:
    """Its nodes have keys of their own for each; scripts find theirs on one node."""
    with redis_cluster(tmp_path / "redis") as store:
        kafka = shared_broker.without_topics()
        made = [environment(kafka, store, tmp_path, prefix) for prefix in PREFIXES[:2]]
        try:
            for count, system in enumerate(made, 1):
                system.start_worker()
                lines = [line for _, line in vector_files.lines("edges")]
                more = [flow(f"own-{n}", subject="shared") for n in range(100 * count)]
                system.usage("send", "-", stdin=b"\n".join([*lines, *more]))
                system.usage("account", "set", "shared", "--name", f"Shared {count}")
                system.usage("token", "create", "--operator")
            for count, system in enumerate(made, 1):
                system.catch_up()
                check_vectors(system, ["edges"])
                assert own_flows(system) == 100 * count
                system.usage("rebuild")
                assert f"Shared {count}".encode() in system.usage("account", "list").stdout
            found = [key for server in store.primaries for key in ask(server, "KEYS", "*")]
            assert {key.partition(":")[0] for key in found} == {"staging", "prod"}
        finally:
            for system in made:
                system.kill_workers()


def test_two_deployments_with_one_group_are_noticed(
    environments: list[System], eventually: Callable[..., None]
) -> None:
    """They read the same topics for two sets of rollups, and each would count a part."""
    first, second, _ = environments
    second.variables["USAGE_TOPIC_PREFIX"] = first.variables["USAGE_TOPIC_PREFIX"]

    def strangers(system: System) -> list[dict[str, str]]:
        found = json.loads(system.usage("doctor", "--json", code=None).stdout)["findings"]
        return [each for each in found if "and not for this Redis" in each["sentence"]]

    worker = first.start_worker()
    eventually(lambda: strangers(second) != [], "the worker of the first is a stranger")
    [found] = strangers(second)
    assert (found["subject"], found["level"]) == ("consumer group", "wrong")
    assert f":{worker.process.pid} reads as the consumer group staging.usage" in found["sentence"]
    assert "its own USAGE_GROUP" in found["advice"]
    assert strangers(first) == []


def test_what_is_wrong_with_a_prefix_is_said_by_every_command(tmp_path: Path) -> None:
    """In a sentence, with exit code 1, also where the file of settings has it."""
    (tmp_path / ".env").write_text("USAGE_TOPIC_PREFIX=staging/\n")
    variables = {name: text for name, text in os.environ.items() if name != "USAGE_ENV_FILE"}
    done = subprocess.run(
        [*USAGE, "lag"], cwd=tmp_path, capture_output=True, check=False, env=variables
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: USAGE_TOPIC_PREFIX must be at most 100 characters")
    assert b"(it is in .env)" in done.stderr
