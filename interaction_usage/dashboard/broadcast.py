"""The live stream: one look at an account, for all who watch it.

A loop looks at each watched account twice a second and sends what it sees to all of its viewers:
encoded once, however many they are. The first event that a viewer gets holds the whole curve; each
later one holds it from the first second that has changed, which is the newest unless an event came
late. A viewer that falls behind gets the whole again.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.dashboard.health import Health
from interaction_usage.dashboard.live import (
    Live,
    first_difference,
    look,
    members,
    other_layout,
    redis_away,
    state,
)
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.reads import Rollups, read_active

log = logging.getLogger(__name__)

#: Seconds between two looks.
PAUSE: Final = 0.5

#: The part of one core that looking may take; with very many accounts watched, pauses grow.
_MOST_LOAD: Final = 0.5

#: Events that a viewer may be behind before it gets the whole again.
_KEPT: Final = 20

#: What a browser waits before it connects again, in milliseconds.
_RETRY: Final = 1000


def encode(content: dict[str, Any], number: int) -> bytes:
    """Return *content* as a server-sent event."""
    return b"id: %d\ndata: %b\n\n" % (number, orjson.dumps(content))


@dataclass
class _Channel:
    """One account that is watched: the newest look, the events kept, and a bell for its viewers."""

    is_operator: bool = False
    viewers: int = 0
    number: int = 0  #: of the newest event
    live: Live | None = None
    last_state: Any = None  #: the newest event without its curve and its second
    events: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT))
    whole: tuple[int, bytes] = (-1, b"")  #: the newest event with the whole curve, if encoded
    rung: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self, event: bytes) -> None:
        """Give *event* to all viewers."""
        self.number += 1
        self.events.append(event)
        bell, self.rung = self.rung, asyncio.Event()
        bell.set()

    def shown(self, health: Health) -> Health:
        """Return what the viewers may see of the stream's state."""
        return health if self.is_operator else health.for_customers()


class Broadcast:
    """Sends what happens to whoever watches."""

    def __init__(self, redis: Redis, health: Callable[[], Health]) -> None:
        self._redis, self._health = redis, health
        #: By account, and whether operators watch: they see more of the stream's state.
        self._channels: dict[tuple[str, bool], _Channel] = {}
        self._wake = asyncio.Event()
        self._ending = False

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(channel.viewers for channel in self._channels.values())

    async def watch(self, account: str, is_operator: bool) -> AsyncIterator[bytes]:
        """Yield the events of *account* as they happen, the whole first."""
        place = (account, is_operator)
        channel = self._channels.setdefault(place, _Channel(is_operator))
        channel.viewers += 1
        try:
            yield b"retry: %d\n\n" % _RETRY
            if channel.number == 0:
                self._wake.set()
                await channel.rung.wait()
            seen = -1
            while not self._ending:
                if seen < 0 or channel.number - seen > len(channel.events):
                    seen, event = channel.number, self._whole(channel)
                    yield event
                while seen < channel.number <= seen + len(channel.events):
                    seen += 1
                    yield channel.events[seen - channel.number - 1]
                if seen == channel.number:
                    await channel.rung.wait()
        finally:
            channel.viewers -= 1
            if not channel.viewers and self._channels.get(place) is channel:
                del self._channels[place]

    def end(self) -> None:
        """Let all viewers go."""
        self._ending = True
        self._wake.set()
        for channel in list(self._channels.values()):
            channel.rung.set()

    async def run(self) -> None:
        """Look until the end."""
        while not self._ending:
            self._wake.clear()
            began, cost = time.monotonic(), 0.0
            accounts = {account for account, _ in self._channels}
            if accounts:
                try:
                    health, found, cost = await asyncio.to_thread(self._look, sorted(accounts))
                    for (account, _), channel in list(self._channels.items()):
                        if account in accounts:  # or it came while the others were looked at
                            self._tell(channel, account, health, found.get(account))
                except Exception:
                    log.exception("A look at what is watched failed; the next one comes")
            took = time.monotonic() - began
            # Twice a second; or, where so many looks cost too much, as often as the load allows.
            pause = max(PAUSE, cost / _MOST_LOAD) - took if accounts else None
            if pause is not None and pause <= 0:
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    def _look(self, accounts: list[str]) -> tuple[Health, dict[str, Live], float]:
        """Return the stream's state, each account now, and the seconds of a core that it took.

        There is no account while Redis is away, or has rollups of another version.
        """
        began = time.thread_time()
        health = self._health()
        found: dict[str, Live] = {}
        try:
            second = int(time.time())
            found = read_active(self._redis, lambda rollups: _each(rollups, accounts, second))
        except (RedisError, OSError):
            health = health._replace(stale=redis_away())
        except LayoutDiffersError as error:
            health = health._replace(stale=other_layout(error))
        return health, found, time.thread_time() - began

    def _tell(self, channel: _Channel, account: str, health: Health, live: Live | None) -> None:
        """Send what is new since the event before: a second, a level, or the stream's state."""
        health = channel.shown(health)
        before = channel.live
        if live is None:
            current = {"account": account, **state(health)}
            if current != channel.last_state:
                channel.last_state = current
                last = members(before, health, before.second) if before else current
                channel.ring(encode(last, channel.number + 1))
            return
        since = first_difference(before, live) if before else None
        if before and live.second == before.second and since == live.second + 1:
            if channel.last_state and state(health)["stale"] == channel.last_state["stale"]:
                return
            since = live.second
        channel.live, channel.last_state = live, state(health)
        channel.ring(encode(members(live, health, since), channel.number + 1))

    def _whole(self, channel: _Channel) -> bytes:
        """Return the newest event with the whole curve, encoded once for all who join."""
        if channel.live is None:
            return channel.events[-1]
        if channel.whole[0] != channel.number:
            whole = {**members(channel.live, channel.shown(self._health())), **channel.last_state}
            channel.whole = (channel.number, encode(whole, channel.number))
        return channel.whole[1]


def _each(rollups: Rollups, accounts: list[str], second: int) -> dict[str, Live]:
    """Return each of *accounts* at *second*; one that cannot be read takes no other with it."""
    found = {}
    for account in accounts:
        try:
            found[account] = look(rollups, account, second)
        except ValueError:
            log.exception("The account %s cannot be shown", account)
    return found
