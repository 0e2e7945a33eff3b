"""Retries: what is repeated, with which pauses, and what ends them."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from interaction_usage.store.errors import ClusterChangedError, ReseekRequired
from stream_app.retry import REDIS_ERRORS, Backoff, retry

AWAY = RedisConnectionError("away")


def attempts(*outcomes: Any) -> Callable[[], Any]:
    """Return an attempt that has these outcomes, one after the other."""
    left = iter(outcomes)

    async def attempt() -> Any:
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


def outcome_of(attempt: Callable[[], Any], failures: list[Exception], **options: Any) -> Any:
    """Return the result of *attempt*, repeated without pauses."""
    return asyncio.run(retry(attempt, failures.append, backoff=Backoff(0, 0), **options))


def test_pauses_grow_up_to_the_longest() -> None:
    """Each is twice as long as the one before it, and then the longest for ever."""
    assert list(islice(Backoff(0.5, 3.0).pauses(), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_an_attempt_is_repeated_until_it_succeeds() -> None:
    """Each failure is reported once."""
    failures: list[Exception] = []
    assert outcome_of(attempts(AWAY, OSError("refused"), "done"), failures) == "done"
    assert [str(failure) for failure in failures] == ["away", "refused"]


@pytest.mark.parametrize("error", [ValueError("a mistake"), ClusterChangedError("a failover")])
def test_what_no_repeat_can_mend_is_raised_at_once(error: Exception) -> None:
    """A mistake in the code, and Redis without what it acknowledged."""
    failures: list[Exception] = []
    with pytest.raises(type(error)):
        outcome_of(attempts(AWAY, error, "done"), failures)
    assert failures == [AWAY]


def test_a_caller_may_repeat_what_needs_another_start() -> None:
    """The one that determines the start does."""
    failures: list[Exception] = []
    errors = (*REDIS_ERRORS, ReseekRequired)
    assert outcome_of(attempts(ClusterChangedError("a failover"), 7), failures, errors=errors) == 7
    assert len(failures) == 1


def test_a_report_of_a_failure_can_end_the_attempts() -> None:
    """As where the time is over, or waiting does not help."""

    def stop(_: Exception) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(retry(attempts(AWAY, "done"), stop, backoff=Backoff(0, 0)))
