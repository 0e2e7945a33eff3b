"""A Redis that grants what the documentation asks for, or less: what works, and what is said."""

import asyncio
import logging
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis
from redis._parsers.resp2 import _RESP2Parser

from interaction_usage.servers.child import ServerMissingError
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_cluster import redis_cluster
from interaction_usage.servers.redis_server import Flavour, RedisServer, binary, redis_server
from interaction_usage.store.client import connect
from interaction_usage.store.errors import permanent_fault, shown
from interaction_usage.store.reads import Position, Rollups
from interaction_usage.store.worker_registry import send_heartbeat
from interaction_usage.store.writer import Writer
from rollups.events import Event, FlowRun
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY
from tests.support.redis_users import PASSWORD, create_users, refusals, url_of


@pytest.fixture(params=["redis", "valkey"])
def keeping(
    request: pytest.FixtureRequest, tmp_path: Path, leave_out: Callable[[str], None]
) -> Iterator[Callable[..., RedisServer]]:
    """Yield a function that starts a server with an append-only file."""
    flavour: Flavour = request.param
    try:
        binary(flavour)
    except ServerMissingError as error:
        leave_out(f"the rights on {flavour}: {error}")
    running: list[RedisServer] = []

    def start(extra: Sequence[str] = ()) -> RedisServer:
        server = RedisServer(tmp_path, flavour=flavour, extra=extra)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.kill()


async def do_everything(url: str) -> int:
    """Do to the rollups all that a worker does; return how many days were sealed."""
    writer = Writer.of(url, DAY, 5.0, clock=time.time)
    try:
        await writer.check_fitness()
        await writer.prepare()
        await writer.check_limits()
        await writer.begin(["a/0"])
        run = Event("test", "1", "acme", NOON * SECOND, FlowRun("f", "agent"))
        for offset in (0, 1):  # the second is a duplicate
            await writer.apply("a/0", [OffsetEvent(offset, run)], offset + 1, NOON)
        await writer.advance({"a/0": Position(3, NOON)})
        assert await writer.positions() == {"a/0": Position(3, NOON)}
        await send_heartbeat(writer.nodes, "w", b"{}", NOON)
        _, names = await writer.scan_accounts(0, 10)
        assert not await writer.is_rebuilding()
        sealed = await writer.seal(names, int(time.time()) + SEALED_AFTER)
        await writer.seal_as("acme", {NOON // 86_400 // 32: 1})  # as a rebuild does
        return sealed
    finally:
        await writer.close()


def test_a_worker_needs_the_rights_of_the_documentation_and_no_others(
    keeping: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Everything is done, nothing refused, and there is nothing to warn of."""
    server = keeping()
    create_users(server)
    assert asyncio.run(do_everything(url_of(server, "worker"))) == 1
    assert refusals(server) == []
    assert not caplog.records


def test_a_managed_redis_will_do(
    keeping: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """No INFO and no BGREWRITEAOF: everything is done, and what nobody sees to is logged once."""
    server = keeping()
    rights = ("on", f">{PASSWORD}", "~*", "&*", "+@all", "-@dangerous", "-@admin")
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "managed", *rights)
    assert asyncio.run(do_everything(url_of(server, "managed"))) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert ["BGREWRITEAOF" in line for line in lines].count(True) == 1
    assert ["noeviction" in line for line in lines].count(True) == 1
    assert len(lines) == 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_redis_without_bgrewriteaof_will_do(
    keeping: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the command was renamed."""
    server = keeping(("--rename-command", "BGREWRITEAOF", ""))
    assert asyncio.run(do_everything(server.url)) == 1
    assert "run `usage rebuild --verify` after a crash of Redis" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("rights", "sentence"),
    [
        ("+@all -evalsha", "may not run EVALSHA"),
        ("+@all -script|load", r"may not run SCRIPT(\|LOAD)?"),
        ("+@all -hset", "may not run a command that is needed|may not run HSET"),
        ("+@all resetkeys ~x", "may not access a key that is needed"),
    ],
)
def test_a_right_that_is_missing_is_named(
    keeping: Callable[..., RedisServer], rights: str, sentence: str
) -> None:
    """In a script, too; and where it is written which rights are needed."""
    server = keeping()
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "less", "on", f">{PASSWORD}", "~*", "&*", *rights.split()
        )
    with pytest.raises(redis.RedisError) as refused:
        asyncio.run(do_everything(url_of(server, "less")))
    fault = permanent_fault(refused.value)
    assert fault is not None
    assert re.search(sentence, fault), fault
    assert "docs/redis.md" in fault


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("redis://worker:wrong@{}/0", "does not accept the user name or password"),
        ("redis://{}/0", "requires a password"),
        ("redis://admin:s3cr%2Fet@{}/99", "does not have the database"),
    ],
)
def test_a_wrong_url_is_not_waited_for(
    keeping: Callable[..., RedisServer], place: str, sentence: str
) -> None:
    """Its sentence says what to change, and shows none of it."""
    server = keeping()
    create_users(server)
    url = place.format(f"127.0.0.1:{server.port}")
    with pytest.raises(redis.RedisError) as refused:
        asyncio.run(do_everything(url))
    fault = permanent_fault(refused.value) or ""
    assert sentence in fault
    assert "wrong" not in fault
    assert PASSWORD not in fault


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MASTERDOWN Link with MASTER is down",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script.",
        "ERR max number of clients reached",
    ],
)
def test_what_passes_by_itself_is_waited_for(answer: str) -> None:
    """As the client raises it."""
    assert permanent_fault(_RESP2Parser.parse_error(answer)) is None


def test_a_secret_that_redis_repeats_is_not_shown() -> None:
    """A command that it does not know is answered with its arguments, and AUTH has some."""
    answer = "ERR unknown command 'AUTH', with args beginning with: 'default' 'hunter2'"
    error = _RESP2Parser.parse_error(answer)
    assert "hunter2" not in str(permanent_fault(error))
    assert shown(error) == "unknown command 'AUTH'"


def test_a_fault_is_found_behind_what_a_client_made_of_it() -> None:
    """And an error that was only handled on the way is none."""
    wrapped = redis.ConnectionError("Error while connecting")
    wrapped.__cause__ = redis.AuthenticationError("invalid username-password pair")
    assert "password" in str(permanent_fault(wrapped))
    handled = redis.ConnectionError("Connection refused")
    handled.__context__, handled.__suppress_context__ = wrapped.__cause__, True
    assert permanent_fault(handled) is None


def test_a_cluster_needs_two_rights_more() -> None:
    """To learn where its accounts are: the documentation names them."""
    on_a_cluster = {"worker": ("+cluster|slots", "+cluster|info"), "reader": ("+cluster|slots",)}
    with redis_cluster() as cluster:
        for node in cluster.primaries:
            create_users(node, more=on_a_cluster)
        first = cluster.primaries[0]
        assert asyncio.run(do_everything(f"{url_of(first, 'worker')}?cluster=true")) == 1
        with connect(f"{url_of(first, 'reader')}?cluster=true") as client:
            assert Rollups.live(client).accounts() == ["acme"]
            assert Rollups.live(client).positions() == {"a/0": Position(3, NOON)}
            assert Rollups.live(client).read("acme", 0, 1).totals == {}
        assert [entry for node in cluster.primaries for entry in refusals(node)] == []


@pytest.fixture
def certificate(tmp_path: Path, need: Callable[[str, str], str]) -> Path:
    """Return a folder with a certificate for `localhost`, its key, and that of its authority."""
    openssl = need("openssl", "TLS to Redis")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    for command in (
        (*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=ca"),
        (*new, "-keyout", "key", "-out", "csr", "-subj", "/CN=localhost"),
        ("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
         "-out", "crt", "-days", "2", "-extfile", "names"),
    ):  # fmt: skip
        (tmp_path / "names").write_text("subjectAltName=DNS:localhost")
        subprocess.run([openssl, *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_certificate_that_is_not_trusted_is_not_waited_for(certificate: Path) -> None:
    """With the right authority and host everything works; with others no waiting helps."""
    port = free_port()
    files = [f"{certificate}/{name}" for name in ("crt", "key", "ca.crt")]
    options = zip(("cert", "key", "ca-cert"), files, strict=True)
    extra = [word for name, file in options for word in (f"--tls-{name}-file", file)]
    extra += ["--tls-port", str(port), "--tls-auth-clients", "no"]
    with redis_server(certificate / "redis", flavour="redis", extra=extra):
        good = f"?ssl_ca_certs={files[2]}"
        assert asyncio.run(do_everything(f"rediss://localhost:{port}/0{good}")) == 1
        for url in (f"rediss://localhost:{port}/0", f"rediss://127.0.0.1:{port}/0{good}"):
            with pytest.raises(redis.RedisError) as refused:
                asyncio.run(do_everything(url))
            assert "certificate of Redis is not trusted" in (permanent_fault(refused.value) or "")
