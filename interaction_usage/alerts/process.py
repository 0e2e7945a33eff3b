"""`usage alerts run`: evaluates the rules and delivers notifications, one process at a time."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from prometheus_client.metrics_core import Metric
from redis.exceptions import RedisError

from interaction_usage import monitoring, settings
from interaction_usage.alerts import testing
from interaction_usage.alerts.delivery import MOST_DONE, Delivery
from interaction_usage.alerts.errors import LeaseLostError
from interaction_usage.alerts.evaluator import Looking
from interaction_usage.alerts.lease import Lease
from interaction_usage.alerts.mailing import Mailing
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.states import Notification
from interaction_usage.alerts.webhooks import Webhooks
from interaction_usage.store import alert_table
from interaction_usage.store.alert_table import ALERTS
from interaction_usage.store.client import Client, connect
from interaction_usage.store.errors import LayoutDiffersError, LedgerError, shown
from stream_app.health_server import HealthServer
from stream_app.ledger import KafkaLedger
from stream_app.telemetry import worker_name

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two records of what was delivered.
_SETTLE_S: Final = 1.0
#: Seconds between two looks, between two attempts to take the lease, and after a failure.
INTERVAL_S: Final = 0.2
_STANDBY_S: Final = 1.0
_PAUSE_S: Final = 1.0
#: Seconds that Kafka may take to acknowledge: less than half of a lease, so that nothing is
#: published by a process that has lost it.
_PATIENCE_S: Final = 2.0
_REDIS_TIMEOUT_S: Final = 2.0


class AlertsProcess:
    """Evaluates while it has the lease, and is on standby otherwise."""

    def __init__(self, config: settings.Settings, interval: float = INTERVAL_S) -> None:
        self._config, self._interval = config, interval
        self._stop = asyncio.Event()
        self._name = worker_name()
        self._redis: Client | None = None
        self._looking: Looking | None = None
        self._delivery: Delivery | None = None
        self._is_standby = False
        self._settled_at = 0.0
        self._thread = ThreadPoolExecutor(1, "looks")  #: that no delivery keeps waiting
        self._done = deque[str](
            maxlen=MOST_DONE
        )  #: what was delivered, whoever had the lease since
        self.waiting_for = "The process is starting"  #: empty while it evaluates
        self.look_seconds = 0.0
        self.looks = 0

    def stop(self) -> None:
        """Have `run` end soon."""
        self._stop.set()

    async def run(self) -> None:
        """Evaluate, or be on standby, until `stop`."""
        server = HealthServer(self.reasons, self._metrics)
        if self._config.health_port.port:
            await server.start(*self._config.health_port)
        try:
            while not self._stop.is_set():
                try:
                    await self._work()
                except LeaseLostError:
                    log.warning("Another process evaluates the alerts now")
                except (RedisError, OSError, LedgerError, LayoutDiffersError) as error:
                    why = shown(error) if isinstance(error, RedisError) else str(error)
                    if why != self.waiting_for:
                        log.warning("Alerts are not evaluated: %s; trying again", why)
                    self.waiting_for = why
                    await self._pause(_PAUSE_S)
        finally:
            server.close()

    async def _work(self) -> None:
        """Take the lease, and evaluate until it is lost, something fails, or `stop`."""
        if self._redis is None:
            self._redis = await asyncio.to_thread(self._connected)
        redis = self._redis
        lease = Lease(redis, self._name)
        if not await self._taken(lease):
            return
        config = self._config
        ledger = KafkaLedger(
            config, redis, _PATIENCE_S, reads_back=False, transactional_id=ALERTS.topic
        )
        looking = Looking(
            ledger, lease,
            can_webhook=bool(config.alerts_secret), can_mail=bool(config.smtp.host),
            allowed_networks=config.alerts_allowed_networks,
        )  # fmt: skip
        webhooks = Webhooks(
            config.alerts_secret, config.alerts_allowed_networks, config.alerts_previous_secret
        )
        delivery = Delivery(
            redis, webhooks, Mailing(config.smtp),
            may_send=lambda: lease.is_fresh, done=self._done,
        )  # fmt: skip
        try:
            await self._in_thread(ledger.take_over)
            waiting = await self._in_thread(looking.begin)
            await delivery.begin()
            delivery.offer(waiting)
            self._looking, self._delivery = looking, delivery
            while not self._stop.is_set():
                await self._look(looking, delivery, redis)
        finally:
            self._looking = self._delivery = None
            await delivery.close()
            with suppress(RedisError, OSError, LedgerError, LeaseLostError):
                await self._in_thread(self._leave, looking, delivery, lease)

    async def _look(self, looking: Looking, delivery: Delivery, redis: Client) -> None:
        began = time.monotonic()
        delivery.offer(await self._in_thread(looking.look))
        delivery.forget(name for name in delivery.rules if looking.watched(name) is None)
        for content in await asyncio.to_thread(alert_table.take_tests, redis):
            self._test(looking, delivery, content)
        if self.waiting_for:
            log.info("Evaluating alerts")
            self.waiting_for = ""
        took = time.monotonic() - began
        self.look_seconds += took
        self.looks += 1
        if began - self._settled_at > _SETTLE_S:  # what is new is not to wait for it
            self._settled_at = began
            if settled := delivery.settled():
                await self._in_thread(looking.settle, settled.delivered, settled.given_up)
        await self._pause(max(self._interval - took, 0.02))

    def _test(self, looking: Looking, delivery: Delivery, content: bytes) -> None:
        test = testing.decode(content)
        if watched := looking.watched(test.rule):
            now = int(time.time())
            over = watched.state.triggered
            note = Notification(test.id, "test", now, now, watched.state.value, over=over)
            delivery.test(Notice(watched.rule, note))

    def _leave(self, looking: Looking, delivery: Delivery, lease: Lease) -> None:
        """Keep what was delivered, and let another process begin at once."""
        settled = delivery.settled()
        if settled:
            looking.settle(settled.delivered, settled.given_up)
        if self._stop.is_set():
            lease.release()

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _taken(self, lease: Lease) -> bool:
        """Return once this process has the *lease*; False if it is to end before."""
        while not self._stop.is_set():
            if await asyncio.to_thread(lease.take):
                self._is_standby = False
                return True
            if not self._is_standby:
                log.info("Another process evaluates the alerts; this one is on standby")
            self._is_standby, self.waiting_for = True, ""
            await self._pause(_STANDBY_S)
        return False

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _connected(self) -> Client:
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _REDIS_TIMEOUT_S)
        return connect(self._config.redis, **timeouts)

    def reasons(self) -> list[str]:
        """Return why nothing is evaluated; nothing if it is, or this process is on standby."""
        return [self.waiting_for] if self.waiting_for else []

    async def _metrics(self) -> bytes:
        return monitoring.rendered(metrics(self))

    def collect(self) -> Iterator[Metric]:
        """Yield what this process reports of itself."""
        yield monitoring.build()
        yield from monitoring.process()
        yield monitoring.ALERTS_READY.of(not self.reasons())
        yield monitoring.ALERTS_ACTIVE.of(self._looking is not None)
        yield monitoring.ALERTS_LOOKS.of(self.looks)
        yield monitoring.ALERTS_LOOK_SECONDS.of(self.look_seconds)
        looking, delivery = self._looking, self._delivery
        if looking is None or delivery is None:
            return
        yield monitoring.ALERTS_RULES.of(((status,), n) for status, n in looking.counts.items())
        yield monitoring.ALERTS_WAITING.of(delivery.waiting)
        yield monitoring.ALERTS_GIVEN_UP.of(looking.given_up)
        yield monitoring.ALERTS_ATTEMPTS.of(delivery.attempts.items())


def metrics(process: AlertsProcess) -> Iterator[Metric]:
    """Yield what *process* reports of itself."""
    yield from process.collect()
