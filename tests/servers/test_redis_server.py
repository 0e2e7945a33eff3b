"""Redis and Valkey start at once, keep what they are reported to keep, and leave nothing behind."""

import os
from pathlib import Path

import pytest
import redis

from interaction_usage.servers.child import ServerDiedError, ServerMissingError
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import RedisServer, binary, redis_server


def _client(server: RedisServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)


@pytest.mark.parametrize("flavour", ["auto", "redis", "valkey"])
def test_it_answers_as_soon_as_the_block_begins(flavour, need):
    """Each flavour takes a command the moment the context manager returns."""
    if flavour == "redis":
        need("redis-server", "Redis")
    with redis_server(flavour=flavour) as server, _client(server) as client:
        assert client.set("hour", "9")
        assert client.get("hour") == "9"


def test_it_listens_on_this_machine_only():
    """The server binds 127.0.0.1 and keeps its protected mode."""
    with redis_server() as server, _client(server) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.config_get("protected-mode") == {"protected-mode": "yes"}


def test_nothing_runs_after_the_block():
    """The process has ended and been waited for when the block is over."""
    with redis_server() as server:
        assert server.alive
    assert not server.alive
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_the_block_ends_the_server_when_it_raises():
    """An error inside the block ends the server as well."""
    with pytest.raises(ZeroDivisionError), redis_server() as server:
        _ = 1 // 0
    assert not server.alive


def test_a_killed_server_has_the_data_after_a_restart(tmp_path: Path):
    """What was written before a kill -9 is there again, at the same address."""
    with redis_server(tmp_path) as server:
        with _client(server) as client:
            client.set("rollup", "42")
        before = server.url, server.pid
        server.kill()
        server.start()
        assert (server.url, server.pid) != before
        assert server.url == before[0]
        with _client(server) as client:
            assert client.get("rollup") == "42"


def test_without_a_folder_nothing_is_kept():
    """A server without a folder starts empty again after a restart."""
    with redis_server() as server:
        with _client(server) as client:
            client.set("rollup", "42")
        server.stop()
        server.start()
        with _client(server) as client:
            assert client.get("rollup") is None


def test_the_data_of_a_folder_is_found_by_the_next_server(tmp_path: Path):
    """A second server on the same folder has what the first was given, on whatever port."""
    with redis_server(tmp_path) as first, _client(first) as client:
        client.set("rollup", "42")
    with redis_server(tmp_path) as second, _client(second) as client:
        assert second.port != first.port
        assert client.get("rollup") == "42"


def test_further_arguments_reach_the_server():
    """`extra` is handed to the server as it is."""
    with redis_server(extra=("--maxmemory", "50mb")) as server, _client(server) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(50 * 1024 * 1024)}


def test_a_server_that_does_not_come_up_says_why():
    """The error is one sentence with the log's last line."""
    with (
        pytest.raises(ServerDiedError, match="exit code 1: Bad directive"),
        redis_server(extra=("--no-such-directive", "1")),
    ):
        pass


def test_a_port_that_is_taken_is_not_taken_for_the_own(tmp_path: Path):
    """Another server's answer on the same port does not count as this one's."""
    with redis_server() as first:
        second = RedisServer(tmp_path, port=first.port)
        with pytest.raises(ServerDiedError, match="exit code 1"):
            second.start()


def test_a_server_that_was_killed_is_noticed():
    """`check` says that it was killed, and by which signal."""
    with redis_server() as server:
        server.check()
        server.kill()
        with pytest.raises(ServerDiedError, match="killed by SIGKILL"):
            server.check()


def test_valkey_serves_where_there_is_no_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With an empty PATH `auto` is Valkey, and asking for Redis itself says what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary("auto").name == "valkey-server"
    with pytest.raises(ServerMissingError, match="redis-server is not on the PATH"):
        binary("redis")


def test_free_ports_are_different_ones():
    """No port is handed out twice, though none is taken yet."""
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100
