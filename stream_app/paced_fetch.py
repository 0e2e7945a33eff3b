"""When a worker fetches: seldom and much, so that its cost follows the events and not the answers.

Every answer of the broker costs the same whether it brings one event or a thousand: a request and a
response with all partitions in them, a wake-up of two threads, a micro-batch with its trips to
Redis. So the broker is asked to wait:

- Where events come, for so many bytes that a micro-batch is worth its cost (`MIN_BYTES`), but not
  for longer than `LINGER_MS`. A backlog has that many at once, so it never waits.
- Where the last answer brought few (`FEW_BYTES`), a little longer (`SPARSE_MS`): there it is the
  answers that cost, and counting them takes no time.
- Where the last answer brought none, for the first byte, for longer (`IDLE_MS`). An event after a
  pause is there at once.

aiokafka looks at each partition several times for every request and answer. Where all of them are
as they mostly are, it is done here in one pass; anything else is left to aiokafka.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka.consumer import fetcher

from stream_app.fetch_protocol import FetchRequest, States

#: Bytes for which an answer may wait, and milliseconds for which it does.
MIN_BYTES: Final = 500_000
LINGER_MS: Final = 120
#: Bytes of records below which an answer brought few: some 200 events a second. Milliseconds for
#: which the next one waits then.
FEW_BYTES: Final = 8_000
SPARSE_MS: Final = 150
#: Milliseconds for which an answer waits where the one before it was empty.
IDLE_MS: Final = 1_000

#: Seconds until the next look, where an answer of every node is awaited and nothing else.
_LOOK_S: Final = 1.0


class _Plan(NamedTuple):
    """Which node each partition of an assignment is fetched from, as Kafka said last."""

    assignment: Any
    metadata: Any  #: what it was made from, which aiokafka replaces as a whole
    nodes: Mapping[int, States]  #: by node: the states of its partitions


class PacedFetcher(fetcher.Fetcher):  # type: ignore[misc]
    """A fetcher that waits for its first event longer than for more of them.

    One whose consumer is not to linger (`fetch_min_bytes` of 1) fetches as ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._quiet: set[int] = set()  # nodes whose last answer brought nothing
        self._sparse: set[int] = set()  # and those whose last answer brought few bytes
        self._plan: _Plan | None = None
        self._turn = 0  # the partition that is asked for first, so that none always is

    def _get_actions_per_node(self, assignment: Any) -> Any:
        requests = self._plain_requests(assignment)
        if requests is None:
            actions = super()._get_actions_per_node(assignment)
        else:
            actions = list(requests.items()), {}, _LOOK_S, False, []
        if self._fetch_min_bytes > 1:
            for node, request in actions[0]:
                if node in self._quiet:
                    request._min_bytes, request._max_wait_ms = 1, IDLE_MS
                elif node in self._sparse:
                    request._max_wait_ms = SPARSE_MS
        return actions

    def _plain_requests(self, assignment: Any) -> dict[int, FetchRequest] | None:
        """Return what is asked of each node that is not answering; None where more is to be done.

        More is: a partition without a leader or a position, a paused one, records that wait.
        """
        nodes = self._nodes(assignment)
        if self._records or nodes is None or self._client_rack:
            return None
        requests = {}
        for node in nodes.keys() - self._in_flight:
            request = self._request(nodes[node])
            if request is None:
                return None
            requests[node] = request
        return requests

    def _nodes(self, assignment: Any) -> Mapping[int, States] | None:
        """Return the states of all partitions by node; None where one has no leader."""
        cluster, plan = self._client.cluster, self._plan
        if plan and plan.assignment is assignment and plan.metadata is cluster._partitions:
            return plan.nodes
        nodes: dict[int, dict[str, dict[int, Any]]] = {}
        metadata = cluster._partitions
        for tp in assignment.tps:
            node = cluster.leader_for_partition(tp)
            if node is None or node == -1:
                return None
            topics = nodes.setdefault(node, {})
            topics.setdefault(tp.topic, {})[tp.partition] = assignment.state_value(tp)
        self._plan = _Plan(assignment, metadata, nodes)
        return nodes

    def _request(self, states: States) -> FetchRequest | None:
        """Return a request for all partitions of a node; None where one of them is not ready."""
        most, topics = self._max_partition_fetch_bytes, []
        self._turn += 1
        for topic, of_topic in states.items():
            asked = []
            for partition, state in of_topic.items():
                position = state._position
                if position is None or state._paused:
                    return None
                asked.append((partition, position, most))
            first = self._turn % len(asked)
            topics.append((topic, asked[first:] + asked[:first]))
        first = self._turn % len(topics)
        request = FetchRequest(
            self._fetch_max_wait_ms, self._fetch_min_bytes, self._fetch_max_bytes,
            self._isolation_level, topics[first:] + topics[:first],
        )  # fmt: skip
        request.states = states
        return request

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        brought: bool = await super()._proc_fetch_request(assignment, node_id, request)
        if request.found is not None and request.found < FEW_BYTES:
            self._sparse.add(node_id)
        else:
            self._sparse.discard(node_id)
        if brought:
            self._quiet.discard(node_id)
            for waiter in self._fetch_waiters:
                self._notify(waiter)  # so that they are taken before the next request is made
        else:
            self._quiet.add(node_id)
        return brought

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
