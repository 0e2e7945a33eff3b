"""What workers say of the stream when everything is counted, for tests that run none."""

import time
from typing import Any

from interaction_usage.store import keys
from interaction_usage.store.progress import encoded
from rollups.completeness import Progress

#: Far ahead of every period of the tests.
_AHEAD_S = 3_650 * 86_400


def caught_up(redis: Any, **changes: Any) -> None:
    """Have a worker say for ever that everything is counted, but for what *changes* say."""
    now = int(time.time()) + _AHEAD_S
    progress = Progress(now, now, {}, 0)._replace(**changes)
    redis.set(keys.PROGRESS, encoded(progress))
    redis.set(keys.REFUSED_READ, "1")
