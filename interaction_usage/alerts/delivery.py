"""Delivering notifications: in the order of each rule, again and again for a day.

A notification is here until it was delivered or given up; it stands in the state of its rule for
as long, so a crash or a lost Redis loses none. What is known of earlier attempts is in Redis alone:
without it, attempts begin again.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from interaction_usage.alerts import rules
from interaction_usage.alerts.mailing import Mailing
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.webhooks import Outcome, Webhooks
from interaction_usage.store import alert_table
from interaction_usage.store.client import Client

log = logging.getLogger(__name__)

#: Seconds between attempts; the last one is repeated.
PAUSES_S: Final = (5, 15, 60, 300, 900, 1800, 3600, 7200)
#: Seconds after a notification's change at which it is given up.
PATIENCE_S: Final = 86_400
#: Deliveries that a process remembers: more than there are between two records of them.
MOST_DONE: Final = 2_000
#: Seconds until it is tried again where another process may deliver.
_PAUSE_S: Final = 0.2
#: Attempts at once, and of these to one host.
_AT_ONCE, _AT_ONCE_EACH = 64, 4


class Attempt(msgspec.Struct):
    """An attempt to deliver, as it is kept for people."""

    id: str  #: of the notification
    rule: str
    change: str
    to: str
    at: int
    number: int  #: 1 for the first attempt
    outcome: str  #: delivered, failed or given up
    answer: str
    next: int | None = None  #: when it is tried again


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Attempt).decode


def members(attempt: Attempt) -> dict[str, Any]:
    """Return *attempt* as JSON members."""
    found: dict[str, Any] = msgspec.structs.asdict(attempt)
    found["at"] = rules.instant(attempt.at)
    found["next"] = None if attempt.next is None else rules.instant(attempt.next)
    return found


class Schedule(msgspec.Struct):
    """What is known of the attempts to deliver a notification."""

    number: int = 0  #: how many there were
    next: float = 0.0  #: the second of the next one


_decode_schedule: Final = msgspec.json.Decoder(Schedule).decode


class Settled:
    """What has been delivered or given up since it was last asked: rule id to notification ids."""

    def __init__(self) -> None:
        self.delivered: defaultdict[str, list[str]] = defaultdict(list)
        self.given_up: defaultdict[str, list[str]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self.delivered or self.given_up)


class Delivery:
    """Delivers what it is given, for as long as its event loop runs."""

    def __init__(
        self,
        redis: Client,
        webhooks: Webhooks,
        mailing: Mailing,
        pauses: Sequence[float] = PAUSES_S,
        clock: Callable[[], float] = time.time,
        may_send: Callable[[], bool] = lambda: True,
        done: deque[str] | None = None,
    ) -> None:
        self._redis, self._webhooks, self._mailing = redis, webhooks, mailing
        self._may_send = may_send
        #: What this process has delivered, for as long as states may not have it.
        self._done = deque[str](maxlen=MOST_DONE) if done is None else done
        self._pauses, self._clock = pauses, clock
        self._queues: dict[str, deque[Notice]] = {}  #: by rule, in order; a task works on each
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[str] = set()
        self._schedules: dict[str, Schedule] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_AT_ONCE_EACH)
        )
        self._settled = Settled()
        #: By way and outcome; each of them is there from the beginning.
        self.attempts: Counter[tuple[str, str]] = Counter(
            dict.fromkeys(product(("webhook", "email"), ("delivered", "failed")), 0)
        )

    @property
    def waiting(self) -> int:
        """How many notifications are not delivered yet."""
        return len(self._known)

    async def begin(self) -> None:
        """Read what is known of earlier attempts."""
        stored = await asyncio.to_thread(alert_table.read_schedule, self._redis)
        for name, content in stored.items():
            with suppress(msgspec.DecodeError):
                self._schedules[name.decode()] = _decode_schedule(content)

    def offer(self, notices: Iterable[Notice]) -> None:
        """Deliver *notices*; those that are on their way already are left alone."""
        for notice in notices:
            rule_id, name = notice.rule.id, notice.notification.id
            if name in self._known:
                continue
            if name in self._done:  # the lease was lost before the state had it
                self._settled.delivered[rule_id].append(name)
                continue
            self._known.add(name)
            if rule_id in self._queues:
                self._queues[rule_id].append(notice)
                continue
            self._queues[rule_id] = deque([notice])
            self._start(self._work(rule_id))

    def forget(self, rules: Iterable[str]) -> None:
        """Deliver nothing more of rules that were removed."""
        for rule_id in rules:
            for notice in self._queues.get(rule_id, ()):
                self._known.discard(notice.notification.id)
            if rule_id in self._queues:
                self._queues[rule_id].clear()

    @property
    def rules(self) -> list[str]:
        """The rules that something is on its way of."""
        return list(self._queues)

    def settled(self) -> Settled:
        """Return what has been delivered or given up since this was last asked."""
        settled, self._settled = self._settled, Settled()
        return settled

    def test(self, notice: Notice) -> None:
        """Deliver a test once."""
        self._start(self._try_test(notice))

    async def close(self) -> None:
        """Stop; what is on its way is delivered by the next process, or again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, rule_id: str) -> None:
        queue = self._queues[rule_id]
        try:
            while queue:
                notice = queue[0]
                if await self._deliver(notice) and queue and queue[0] is notice:
                    queue.popleft()
        finally:
            del self._queues[rule_id]

    async def _deliver(self, notice: Notice) -> bool:
        """Try once, when it is time to; return whether it is done with."""
        name = notice.notification.id
        schedule = self._schedules.setdefault(name, Schedule())
        if (wait := schedule.next - self._clock()) > 0:
            await asyncio.sleep(min(wait, 1.0))  # so that a removed rule is noticed
            return False
        outcome = await self._send(notice)
        if outcome is None:
            await asyncio.sleep(_PAUSE_S)
            return False
        now = self._clock()
        schedule.number += 1
        pause = self._pauses[min(schedule.number, len(self._pauses)) - 1]
        is_last = outcome.final or now + pause > notice.notification.at + PATIENCE_S
        if name not in self._known:
            return True  # the rule was removed meanwhile
        if outcome.ok:
            self._settled.delivered[notice.rule.id].append(name)
            self._done.append(name)
        elif is_last:
            self._settled.given_up[notice.rule.id].append(name)
            log.error(
                "Alert %s to %s was given up: %s", name, place(notice.rule.to), outcome.answer
            )
        else:
            schedule.next = now + pause
        is_done = outcome.ok or is_last
        what = "delivered" if outcome.ok else "given up" if is_last else "failed"
        following = None if is_done else int(schedule.next)
        await self._note(notice, schedule.number, what, outcome.answer, following)
        await self._keep(name, None if is_done else schedule)
        if is_done:
            self._known.discard(name)
        return is_done

    async def _try_test(self, notice: Notice) -> None:
        if (outcome := await self._send(notice)) is None:
            return
        await self._note(notice, 1, "delivered" if outcome.ok else "given up", outcome.answer, None)

    async def _send(self, notice: Notice) -> Outcome | None:
        """Try once; None where another process may deliver by now."""
        to = notice.rule.to
        is_mail = to.startswith("mailto:")
        way = self._mailing.send if is_mail else self._webhooks.send
        host = "" if is_mail else urlsplit(to).hostname or ""
        async with self._hosts[host], self._slots:
            if not self._may_send():
                return None
            try:
                outcome = await way(notice)
            except Exception as error:
                log.exception("An attempt to deliver an alert failed")
                outcome = Outcome(False, type(error).__name__)
        self.attempts[
            "email" if is_mail else "webhook", "delivered" if outcome.ok else "failed"
        ] += 1
        return outcome

    async def _note(
        self, notice: Notice, number: int, what: str, answer: str, following: int | None
    ) -> None:
        note = notice.notification
        attempt = Attempt(
            note.id, notice.rule.id, note.change, shown(notice.rule.to), int(self._clock()),
            number, what, answer, following,
        )  # fmt: skip
        account = notice.rule.account
        await self._in_redis(
            lambda: alert_table.note_attempts(self._redis, account, [encode(attempt)])
        )

    async def _keep(self, name: str, schedule: Schedule | None) -> None:
        if schedule is None:
            self._schedules.pop(name, None)
        content = None if schedule is None else msgspec.json.encode(schedule)
        await self._in_redis(lambda: alert_table.schedule(self._redis, name, content))

    async def _in_redis(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # a log for people: the states have what counts
            log.warning("An attempt to deliver an alert is not in the log: %s", error)


def place(to: str) -> str:
    """Return where a notification goes without the path of a URL: it may be a secret as well."""
    if to.startswith("mailto:"):
        return to
    url = urlsplit(to)
    return f"{url.scheme}://{url.netloc}{'/…' if url.path not in ('', '/') else ''}"


def shown(to: str) -> str:
    """Return where a notification goes, without what may be a secret in a URL's query."""
    return to.partition("?")[0]
