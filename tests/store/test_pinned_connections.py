"""Commands that build on one another: none of them reaches a server that restarted meanwhile."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from interaction_usage.store.client import Client
from interaction_usage.store.pinned_connections import pinned_connections

#: Sets a key and says what it was.
SCRIPT = 'local was = redis.call("GET", KEYS[1]); redis.call("SET", KEYS[1], ARGV[1]); return was'


def test_answers_come_in_the_order_of_the_commands(redis: Any) -> None:
    """Whatever server of a cluster each of them went to, and however many they are."""
    names = [f"key-{number}" for number in range(500)]
    with pinned_connections(redis) as connections:
        connections.send(*((name, ("SET", name, name)) for name in names))
        found = connections.send(*((name, ("GET", name)) for name in names))
        assert found == [name.encode() for name in names]
        was = connections.call(SCRIPT, [([name], ["new"]) for name in names])
        assert was == found
        assert connections.send() == []
    assert redis.get("key-7") == b"new"


def test_nothing_is_sent_on_a_connection_that_was_made_later(redis: Any) -> None:
    """The client itself goes on as if nothing had happened."""
    with pinned_connections(redis) as connections:
        [own] = connections.send(("a", ("CLIENT", "ID")))
        connections.send(("a", ("SET", "a", 1)))
        kill(redis, "a", own)
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                connections.send(("a", ("SET", "a", 2)))
    assert redis.get("a") == b"1"
    with pinned_connections(redis) as connections:
        assert connections.send(("a", ("GET", "a"))) == [b"1"]


def test_an_error_leaves_the_connection_as_it_is(redis: Any) -> None:
    """All answers were taken, so the next command gets its own."""
    with pinned_connections(redis) as connections:
        with pytest.raises(ResponseError):
            connections.send(("a", ("SET", "a", 1)), ("a", ("LPUSH", "a", 1)), ("a", ("GET", "a")))
        assert connections.send(("a", ("GET", "a"))) == [b"1"]


def kill(redis: Client, key: str, connection: int) -> None:
    """Close a connection to the server of *key*."""
    client: Any = redis
    if hasattr(client, "get_node_from_key"):
        client = client.get_redis_connection(client.get_node_from_key(key))
    client.client_kill_filter(_id=str(connection))
