"""aiokafka's coordinator of the consumer group, which waits for ever where Kafka denies the group.

It hands its error to whoever calls a consumer's own `getmany`, and waits until somebody has. Faust
fetches past that, so without this nobody would know, and the worker would not go on when the right
is given back.
"""

from contextlib import suppress
from typing import Any

from aiokafka.errors import GroupAuthorizationFailedError, KafkaError


def retry_coordination(thread: Any) -> bool:
    """Have the coordinator try again if it waits; return whether Kafka denied it the group.

    *thread* is Faust's consumer thread, in whose event loop the coordinator runs.
    """
    coordinator = getattr(thread._consumer, "_coordinator", None)
    error = getattr(coordinator, "_pending_exception", None)
    if error is None:
        return False
    thread.thread_loop.call_soon_threadsafe(_take_error, coordinator)
    return isinstance(error, GroupAuthorizationFailedError)


def _take_error(coordinator: Any) -> None:
    with suppress(KafkaError):
        coordinator.check_errors()
    coordinator.request_rejoin()  # or it would see the failed heartbeat again, and never join
