"""Sealing days now, as a worker's sweep does in 35 days."""

import asyncio
import time
from typing import Any

from interaction_usage import settings
from interaction_usage.store.keys import Namespace
from interaction_usage.store.writer import Writer
from rollups.fold import SEALED_AFTER


def seal(system: Any, *accounts: str, later: int = 0, only_in: Namespace | None = None) -> int:
    """Do what a worker's sweep does 35 days and *later* seconds from now; return the days sealed.

    None are if other rollups than *only_in*, if that is given, are active by then. Raises
    RedisError, OSError and ReseekRequired.
    """

    async def act() -> int:
        config = settings.read(system.environment)
        writer = Writer.of(system.redis.url, config.session_limits, 10, clock=time.time)
        try:
            await writer.begin([])
            if only_in not in (None, writer.keys):
                return 0
            return await writer.seal(accounts, int(time.time()) + SEALED_AFTER + later)
        finally:
            await writer.close()

    return asyncio.run(act())
