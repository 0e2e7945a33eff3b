"""A worker without partitions, or one that is seeking: it goes on, and leaves the group alone."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.errors import ClusterChangedError, LostWritesError
from stream_app import faust_app
from stream_app.faust_app import create_app
from stream_app.transport import Generation

FLOWS = TP("usage.flows", 0)


class _Writer:
    """A writer to rollups that were rebuilt, or lost, until it begins."""

    def __init__(self, error: Exception | None) -> None:
        self.keys, self._error = keys.FIRST, error
        self.begun: list[list[str]] = []
        self.nodes = SimpleNamespace(check=self._check, execute=self._execute)

    async def _check(self) -> None:
        if self._error and not self.begun:
            raise self._error

    async def active_namespace(self) -> Any:
        return keys.Namespace("another")

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        self.begun.append(list(names))
        self.keys = await self.active_namespace()
        return {}

    async def advance(self, positions: Any) -> None:
        pass

    async def _execute(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    "error", [None, LostWritesError({"usage.flows/0": (1, 2)}), ClusterChangedError("a failover")]
)
@pytest.mark.parametrize(
    ("stands_by", "seeking", "begins", "joins"),
    [(True, False, 1, 0), (False, True, 0, 0), (False, False, 0, 1)],
)
def test_only_a_worker_with_partitions_joins_again(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    stands_by: bool,
    seeking: bool,
    begins: int,
    joins: int,
) -> None:
    """Without partitions it would come back without any, see the same, and join: without end.

    While it is seeking, that is what learns where the rollups end now; to join would break it off.
    """
    app = create_app(settings.read({}))
    joined: list[str] = []
    consumer = SimpleNamespace(
        generation=Generation(3, 1), stands_by=stands_by, is_seeking=seeking,
        processed=dict, join_again=lambda: joined.append("joined"),
    )  # fmt: skip
    writer = _Writer(error)
    monkeypatch.setattr(faust_app.UsageApp, "consumer", consumer)
    app.writer = writer  # type: ignore[assignment]

    async def look_twice() -> None:
        await app.say_alive()
        await app.say_alive()

    asyncio.run(look_twice())
    assert writer.begun == [[]] * begins
    assert len(joined) == joins
    assert (app.telemetry.rollups == "another") is bool(begins)


@pytest.mark.parametrize("stands_by", [True, False])
def test_a_worker_without_partitions_takes_a_topic_as_it_is(
    monkeypatch: pytest.MonkeyPatch, stands_by: bool
) -> None:
    """There is nothing that it would have to begin again.

    One that has some, or is about to get others, must not: what it has processed of the topic that
    was there would be told of the one that is there now.
    """
    app = create_app(settings.read({}))
    asked: list[str] = []
    consumer = SimpleNamespace(stands_by=stands_by, knows_no_broker=False, is_idle=False)
    monkeypatch.setattr(faust_app.UsageApp, "consumer", consumer)
    monkeypatch.setattr(app, "begin_again", asked.append)
    app._topic_ids = {"usage.flows": "one"}
    monkeypatch.setattr(faust_app, "topic_ids", lambda *_: {"usage.flows": "another"})
    asyncio.run(app.watch_topics())
    assert bool(asked) is not stands_by
    assert app.fence(FLOWS) == f"usage.flows/0@{'another' if stands_by else 'one'}"
