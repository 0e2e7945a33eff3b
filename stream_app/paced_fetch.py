"""When a worker fetches, and what: seldom and much, so that its cost follows the events.

Every answer of the broker costs the same whether it brings one event or a thousand: a request and a
response with all partitions in them, a wake-up of two threads, a micro-batch with its trips to
Redis. So the broker is asked to wait:

- Where events come, for so many bytes that a micro-batch is worth its cost (`MIN_BYTES`), but not
  for longer than `LINGER_MS`. A backlog has that many at once, so it never waits.
- Where the last answer brought few (`FEW_BYTES`), a little longer (`SPARSE_MS`): there it is the
  answers that cost, and counting them takes no time.
- Where the last answer brought none, for the first byte, for longer (`IDLE_MS`). An event after a
  pause is there at once.

Where the last answer brought much (`MUCH_BYTES`), there is a backlog. Partitions of one number have
the same accounts, mostly, and what is written of an account at a time costs the less the more it
is. So then the broker is asked for much of each partition (`DEEP_BYTES`), one number after the
other; what it answers is bounded, so that is some numbers at a time. Each is the first in turn.

While records wait to be taken, because the worker has enough to do, the broker is not asked for
other partitions: it would wait for their events, and nothing else could be fetched meanwhile.

aiokafka looks at each partition several times for every request and answer. Where all of them are
as they mostly are, it is done here in one pass; anything else is left to aiokafka.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.consumer import fetcher

from stream_app.fetch_protocol import FetchRequest, States

#: Bytes for which an answer may wait, and milliseconds for which it does.
MIN_BYTES: Final = 500_000
LINGER_MS: Final = 120
#: Bytes of records below which an answer brought few: some 200 events a second. Milliseconds for
#: which the next one waits then.
FEW_BYTES: Final = 8_000
SPARSE_MS: Final = 165
#: Milliseconds for which an answer waits where the one before it was empty.
IDLE_MS: Final = 1_000

#: Bytes of records from which on an answer brought much, and how many may then be of a partition.
MUCH_BYTES: Final = 4_000_000
DEEP_BYTES: Final = 4 * 1024 * 1024
#: Seconds for which records may wait to be taken before the broker is asked for others after all.
PATIENCE_S: Final = 10.0

#: Seconds until the next look, where an answer of every node is awaited and nothing else.
_LOOK_S: Final = 1.0


_T = TypeVar("_T")


class _Plan(NamedTuple):
    """Which node each partition of an assignment is fetched from, as Kafka said last."""

    assignment: Any
    metadata: Any  #: what it was made from, which aiokafka replaces as a whole
    nodes: Mapping[int, States]  #: by node: the states of its partitions
    node_of: Mapping[Any, int]


#: A topic, and what is asked for of it: number, offset and bytes of each partition.
_Asked = tuple[str, list[tuple[int, int, int]]]


def _by_topic(topics: Sequence[_Asked], turn: int) -> list[_Asked]:
    """Return *topics*, and the partitions of each, from another one on each *turn*."""
    return [(topic, _from(turn, partitions)) for topic, partitions in _from(turn, topics)]


def _by_number(topics: Sequence[_Asked], turn: int) -> list[_Asked]:
    """Return the partitions of all *topics* by their number, from another one on each *turn*."""
    found: dict[int, list[_Asked]] = {}
    for topic, partitions in topics:
        for each in partitions:
            found.setdefault(each[0], []).append((topic, [each]))
    return [each for number in _from(turn, sorted(found)) for each in found[number]]


def _from(turn: int, values: Sequence[_T]) -> list[_T]:
    """Return *values* from another one on each *turn*, and around."""
    first = turn % len(values)
    return [*values[first:], *values[:first]]


class PacedFetcher(fetcher.Fetcher):  # type: ignore[misc]
    """A fetcher that waits for its first event longer than for more of them.

    One whose consumer is not to linger (`fetch_min_bytes` of 1) fetches as ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("fetch_min_bytes", 1) > 1:
            kwargs["prefetch_backoff"] = PATIENCE_S
        super().__init__(*args, **kwargs)
        self._brought: dict[int, int] = {}  # by node, how many bytes the last answer did, if known
        self._plan: _Plan | None = None
        self._turn = 0  # the partition that is asked for first, so that none always is

    def _get_actions_per_node(self, assignment: Any) -> Any:
        actions = self._plain_actions(assignment) or super()._get_actions_per_node(assignment)
        if self._fetch_min_bytes > 1:
            for node, request in actions[0]:
                brought = self._brought.get(node, FEW_BYTES)
                if not brought and not self._records:
                    request._min_bytes, request._max_wait_ms = 1, IDLE_MS
                elif brought < FEW_BYTES:
                    request._max_wait_ms = SPARSE_MS
        return actions

    def _plain_actions(self, assignment: Any) -> Any:
        """Return what aiokafka would do next; None where more is to be done than to fetch.

        A node that is answering is asked for nothing, nor is one of which records wait. More is: a
        partition without a leader or a position, a paused one, records that wait for too long.
        """
        nodes = self._nodes(assignment)
        if nodes is None or self._plan is None or self._client_rack:
            return None
        waits: dict[int, float] = {}
        for tp, records in self._records.items():
            node, wait = self._plan.node_of.get(tp), records.calculate_backoff()
            if node is None or not wait:
                return None
            waits[node] = max(wait, waits.get(node, 0.0))
        requests = []
        for node in nodes.keys() - self._in_flight:
            request = self._request(node, nodes[node])
            if request is None:
                return None
            if node not in waits:
                requests.append((node, request))
        self._turn += bool(requests)
        return requests, {}, min(waits.values(), default=_LOOK_S), False, []

    def _nodes(self, assignment: Any) -> Mapping[int, States] | None:
        """Return the states of all partitions by node; None where one has no leader."""
        cluster, plan = self._client.cluster, self._plan
        if plan and plan.assignment is assignment and plan.metadata is cluster._partitions:
            return plan.nodes
        nodes: dict[int, dict[str, dict[int, Any]]] = {}
        node_of: dict[Any, int] = {}
        metadata = cluster._partitions
        for tp in assignment.tps:
            node = cluster.leader_for_partition(tp)
            if node is None or node == -1:
                return None
            node_of[tp] = node
            topics = nodes.setdefault(node, {})
            topics.setdefault(tp.topic, {})[tp.partition] = assignment.state_value(tp)
        self._plan = _Plan(assignment, metadata, nodes, node_of)
        return nodes

    def _request(self, node: int, states: States) -> FetchRequest | None:
        """Return a request for all partitions of a node; None where one of them is not ready."""
        most = self._max_partition_fetch_bytes
        if is_deep := self._brought.get(node, 0) >= MUCH_BYTES:
            most = max(most, DEEP_BYTES)
        topics = []
        for topic, of_topic in states.items():
            asked = []
            for partition, state in of_topic.items():
                position = state._position
                if position is None or state._paused:
                    return None
                asked.append((partition, position, most))
            topics.append((topic, asked))
        request = FetchRequest(
            self._fetch_max_wait_ms, self._fetch_min_bytes, self._fetch_max_bytes,
            self._isolation_level,
            _by_number(topics, self._turn) if is_deep else _by_topic(topics, self._turn),
        )  # fmt: skip
        request.states = states
        return request

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        brought: bool = await super()._proc_fetch_request(assignment, node_id, request)
        if not brought:
            self._brought[node_id] = 0
            return False
        self._brought.pop(node_id, None)
        if request.found is not None:
            self._brought[node_id] = request.found
        for waiter in self._fetch_waiters:
            self._notify(waiter)  # so that they are taken before the next request is made
        return True

    async def fetched_records(
        self, partitions: Any, timeout: float = 0, max_records: int | None = None
    ) -> Any:
        """Return what was fetched, as aiokafka does; with fewer tasks and timers while it waits."""
        found = await super().fetched_records(partitions, 0, max_records)
        if found or not timeout:
            return found
        waiter = self._create_fetch_waiter()
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return {}
        return {} if self._closed else await super().fetched_records(partitions, 0, max_records)
