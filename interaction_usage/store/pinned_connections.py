"""Commands that must all reach servers that lose nothing meanwhile.

A Redis that restarts, or is demoted, may have lost its last writes; redis-py then connects again,
and goes on as if nothing had happened. Where one command builds on what another one wrote, that
leaves a hole that nobody sees. Such a server closes its connections; so here each server has one,
and no command is sent on another.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, ResponseError

from interaction_usage.store.client import Client

#: A key, which says of which server it is, and the command.
KeyedCommand = tuple[str, tuple[Any, ...]]

#: Commands that are sent before their answers are read.
_AT_ONCE: Final = 200


class PinnedConnections:
    """One connection to each server that is written to; where it breaks, nothing more is sent."""

    def __init__(self, redis: Client) -> None:
        self._redis: Any = redis
        self._connections: dict[str, tuple[Any, Any]] = {}  # by server: its pool, the connection
        self._scripts: dict[tuple[str, str], bytes] = {}  # by server and script: its name there

    def send(self, *commands: KeyedCommand) -> list[Any]:
        """Send each to the server of its key; return their answers, in the same order.

        Those of one server are executed in order. Raises RedisError.
        """
        answers: dict[int, Any] = {}
        of_server = defaultdict[str, list[int]](list)
        for place, (key, _) in enumerate(commands):
            of_server[self._server_of(key)].append(place)
        for server, places in of_server.items():
            for begin in range(0, len(places), _AT_ONCE):
                some = places[begin : begin + _AT_ONCE]
                found = self._exchange(server, [commands[place][1] for place in some])
                answers |= zip(some, found, strict=True)
        return [answers[place] for place in range(len(commands))]

    def call(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Call *script* with each (keys, arguments); return its answers."""
        commands: list[KeyedCommand] = []
        for names, arguments in calls:
            name = self._name(script, names[0])
            commands.append((names[0], ("EVALSHA", name, len(names), *names, *arguments)))
        return self.send(*commands)

    def _name(self, script: str, key: str) -> bytes:
        """Return what *script* is called by on the server of *key*, which has it then."""
        place = self._server_of(key), script
        if place not in self._scripts:
            [self._scripts[place]] = self.send((key, ("SCRIPT LOAD", script)))
        return self._scripts[place]

    def _server_of(self, key: str) -> str:
        """Return the server of *key*, connected."""
        redis, server, node = self._redis, "", None
        if isinstance(redis, RedisCluster):
            node = self._redis.get_node_from_key(key)
            server = node.name
        if server not in self._connections:
            one: Any = redis.get_redis_connection(node) if server else redis
            pool = one.connection_pool
            self._connections[server] = pool, pool.get_connection()
        return server

    def _exchange(self, server: str, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        _, connection = self._connections[server]
        if not connection.is_connected:  # or it would connect again, maybe after a restart
            raise RedisConnectionError("the connection to Redis broke")
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            answers = [_next_answer(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # answers may still come
            raise
        for answer in answers:
            if isinstance(answer, MovedError):
                self._redis.nodes_manager.initialize()
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    def release(self) -> None:
        """Give all connections back, for others to use."""
        for pool, connection in self._connections.values():
            pool.release(connection)
        self._connections.clear()


def _next_answer(connection: Any) -> Any:
    """Return an answer, an error as well."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


@contextmanager
def pinned_connections(redis: Client) -> Iterator[PinnedConnections]:
    """Yield connections to the servers of *redis*, for commands that build on one another."""
    connections = PinnedConnections(redis)
    try:
        yield connections
    finally:
        connections.release()
