"""Evaluating the rules: which accounts have changed, what follows, in which order it takes effect.

One process evaluates at a time, by a lease in Redis (`store.alert_table`). What happens in a look,
and what a failure after each step means:

1. The lease is renewed. (Failure: another process takes over; this one drops what it knows.)
2. How the stream is, is read; then the rollups of the accounts that have changed or are due. So
   what is called complete is in what is read.
3. Each rule's state is computed (`states.step`). (Nothing was written.)
4. The new states, with their notifications, are published in a transaction; then they are in Redis.
   (Failure: nothing was delivered; the next look computes the same, with the same ids. Another
   process took over while this one was suspended: Kafka refuses the transaction.)
5. The lease is renewed again, and the notifications are handed to the delivery. (Crash, or another
   process took over: it finds them in the states, as not delivered.)
6. What was delivered leaves the states, with the next look. (Crash before that: it is delivered
   again, under the same id, by which receivers drop it.)

Where numbers are stale, because events are waiting or nobody counts, no rule of an account is
evaluated: its state stays, and is shown as unknown.
"""

import logging
import time
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from interaction_usage.alerts import book, measuring, operating, states
from interaction_usage.alerts.book import Evaluator, Watched
from interaction_usage.alerts.lease import Lease
from interaction_usage.alerts.measuring import Plan, RuleSet
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.rules import OPERATIONS, Rule
from interaction_usage.alerts.states import Reading, State
from interaction_usage.settings import Network
from interaction_usage.store import account_settings, alert_reads, alert_table
from interaction_usage.store.alert_table import ALERTS, state_key
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Ledger
from interaction_usage.store.reads import Rollups
from rollups.local_time import UnalignedZone, UnknownZone

log = logging.getLogger(__name__)

#: Deep looks a second, beside those at accounts of which nothing is known: late events wait for
#: their turn where more accounts change than that.
_DEEP_PER_S: Final = 10
#: Seconds after which time zones are read again.
_ZONES_S: Final = 15
#: States that are published in one go, and accounts between two renewals of the lease.
_AT_ONCE: Final = 500
_READ_AT_ONCE: Final = 200
_NEVER: Final = 1 << 60
#: Seconds for which a clock that was set back is waited for.
_BACK_S: Final = 120


class Looking:
    """Evaluates every rule for as long as it has the lease. Belongs to one thread."""

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        clock: Callable[[], float] = time.time,
        *,
        can_webhook: bool = True,
        can_mail: bool = True,
        allowed_networks: tuple[Network, ...] = (),
    ) -> None:
        self._can_webhook, self._can_mail = can_webhook, can_mail
        self._allowed_networks = allowed_networks
        self._ledger, self._lease, self._clock = ledger, lease, clock
        self._watched: dict[str, Watched] = {}
        self._by_account: dict[str, list[str]] = {}
        self._for_operators: list[Rule] = []
        self._rules_of: dict[str, RuleSet] = {}
        self._version: Mapping[bytes, bytes] = {}
        self._zones: dict[str, str] = {}
        self._zones_at = 0
        self._signatures: dict[str, bytes] = {}
        self._due: dict[str, int] = {}  #: account to the second at which it is to be looked at
        self._memory: measuring.Memory = {}
        #: Accounts that have changed since they were last looked at deeply, the longest ago first.
        self._owed: dict[str, None] = {}
        self._deep_at = 0.0
        self._at: Any = None  #: the namespace that was active
        self._looked: int | None = None  #: the second of the last look at current numbers
        self._began = int(clock())
        self._unknown: dict[str, str] = {}
        self.evaluated = 0  #: rules, since the start

    @property
    def _redis(self) -> Client:
        return self._ledger.redis

    def begin(self) -> list[Notice]:
        """Read everything; return the notifications that were not delivered yet."""
        self._ledger.sync(ALERTS)
        self._looked = alert_table.last_look(self._redis)
        self._load()
        return [
            Notice(each.rule, note) for each in self._watched.values() for note in each.state.unsent
        ]

    def look(self) -> list[Notice]:
        """Look once; return the notifications that are to be delivered, which Kafka has then.

        Raises LeaseLostError, LedgerError, LayoutDiffersError and RedisError.
        """
        self._lease.renew()
        now = self._now()
        if alert_table.version(self._redis) != self._version:
            self._load()
        rollups = Rollups.live(self._redis)
        stream = operating.read(
            self._redis, rollups.keys, now, self._for_operators,
            self._began if self._looked is None else self._looked,
        )  # fmt: skip
        readings = dict(stream.readings)
        if not stream.stale:
            self._unknown = {}
            readings |= self._read_accounts(rollups, now)
        changed = self._step(readings, now)
        notices = self._publish(changed)
        if not stream.stale:
            self._looked = now
        self._say(now, stream.stale)
        return notices

    def settle(
        self, delivered: Mapping[str, Sequence[str]], given_up: Mapping[str, Sequence[str]]
    ) -> None:
        """Take out of the states what was delivered or given up: rule id to notification ids."""
        now, changed = int(self._clock()), dict[str, State]()
        for rule_id in {*delivered, *given_up}:
            if watched := self._watched.get(rule_id):
                state = states.delivered(watched.state, delivered.get(rule_id, ()))
                if gone := given_up.get(rule_id):
                    state = states.given_up(state, gone, now)
                if state != watched.state:
                    changed[rule_id] = state
        self._publish(changed)

    def watched(self, rule_id: str) -> Watched | None:
        """Return a rule with its state."""
        return self._watched.get(rule_id)

    @property
    def counts(self) -> dict[str, int]:
        """How many rules there are by status, as of the last look."""
        found = {"ok": 0, "triggered": 0, "unknown": 0}
        said = self._said(int(self._clock()), self._stale)
        of = book.Book(self._watched, said)
        for each in self._watched.values():
            found[str(of.status(each)[0])] += 1
        return found

    @property
    def given_up(self) -> int:
        """How many notifications of the present rules were given up."""
        return sum(each.state.failed for each in self._watched.values())

    # ------------------------------------------------------------------------- the steps

    _stale: tuple[str, ...] = ("It has not looked yet",)

    def _now(self) -> int:
        """Return the second of a look: none before the last one, unless the clock is far behind.

        It may be set back a little, or be another machine's; what was over then still is.
        """
        now, looked = int(self._clock()), self._looked
        return looked if looked is not None and 0 < looked - now <= _BACK_S else now

    def _load(self) -> None:
        self._version = alert_table.version(self._redis)
        self._watched = book.watched_in(self._redis)
        by_account: dict[str, list[str]] = {}
        self._for_operators = [
            each.rule for each in self._watched.values() if each.rule.is_for_operators
        ]
        for rule_id, each in self._watched.items():
            if each.rule.reads_rollups:
                by_account.setdefault(each.rule.account, []).append(rule_id)
        for account, ids in self._by_account.items():
            if ids != by_account.get(account):
                self._signatures.pop(account, None)
                self._due.pop(account, None)
                self._rules_of.pop(account, None)
        self._by_account = by_account
        self._zones_at = 0

    def _read_accounts(self, rollups: Rollups, now: int) -> dict[str, Reading]:
        if rollups.keys != self._at:  # other rollups are active
            self._at, self._signatures, self._memory = rollups.keys, {}, {}
        self._read_zones(now)
        accounts = list(self._by_account)
        current = dict(zip(accounts, alert_reads.signatures(rollups, accounts), strict=True))
        changed: dict[str, None] = {}
        if current != self._signatures:  # mostly nothing has changed
            known = self._signatures.get
            changed = {name: None for name, each in current.items() if known(name) != each}
            self._owed |= {name: None for name in changed if name not in self._owed}
        due = {name: None for name, at in self._due.items() if at < now and name in current}
        deep = self._whose_turn()
        wanted = [*(changed | due | dict.fromkeys(deep))]
        readings: dict[str, Reading] = {}
        for plan, of_plan in self._readings(rollups, self._plans(wanted, deep, now), now):
            if of_plan is None:
                self._signatures.pop(plan.account, None)
                continue
            readings |= of_plan
            self._signatures[plan.account] = current[plan.account]
            if plan.deep:
                self._owed.pop(plan.account, None)
            ends = [each.due for each in of_plan.values() if each.due is not None]
            self._due[plan.account] = min(ends) - 1 if ends else _NEVER
        return readings

    def _whose_turn(self) -> set[str]:
        """Return the accounts that are looked at deeply now."""
        now = self._clock()
        count = int(min(abs(now - self._deep_at), 1.0) * _DEEP_PER_S)
        if count:
            self._deep_at = now
        return set(islice((name for name in self._owed if name in self._by_account), count))

    def _readings(self, rollups: Rollups, plans: Sequence[Plan], now: int) -> Any:
        """Yield what `measuring.read` does, the lease kept meanwhile."""
        for begin in range(0, len(plans), _READ_AT_ONCE):
            self._lease.renew()
            some = plans[begin : begin + _READ_AT_ONCE]
            yield from measuring.read(rollups, some, now, self._memory)

    def _plans(self, accounts: Sequence[str], deep: Container[str], now: int) -> list[Plan]:
        """Return the plans; the rules of an account whose zone cannot be used are unknown."""
        plans = []
        for account in accounts:
            try:
                measuring.months_at(now, self._zones.get(account, "UTC"), with_last=True)
                plans.append(self._plan(account, now, account in deep))
            except (UnknownZone, UnalignedZone) as error:
                for rule_id in self._by_account[account]:
                    self._unknown[rule_id] = str(error)
        return plans

    def _plan(self, account: str, now: int, is_turn: bool) -> Plan:
        rules = self._rules_of.get(account)
        if rules is None:
            each = (self._watched[rule_id].rule for rule_id in self._by_account[account])
            rules = self._rules_of[account] = RuleSet.of(each)
        timezone = self._zones.get(account, "UTC")
        deep = is_turn or account not in self._signatures
        return Plan(
            account, timezone, rules,
            deep or measuring.must_be_deep(rules, timezone, now, self._memory),
        )  # fmt: skip

    def _read_zones(self, now: int) -> None:
        if now - self._zones_at < _ZONES_S:
            return
        names = [name for name in self._by_account if name != OPERATIONS]
        found = account_settings.get_many(self._redis, names)
        zones = {name: kept.timezone for name, kept in zip(names, found, strict=True)}
        for name, timezone in zones.items():
            if self._zones.get(name) not in (None, timezone):
                self._signatures.pop(name, None)
        self._zones, self._zones_at = zones, now

    def _step(self, readings: Mapping[str, Reading], now: int) -> dict[str, State]:
        changed = {}
        for rule_id, reading in readings.items():
            rule, state = self._watched[rule_id]
            name = f"{rule_id}/{rule.created}"
            after = states.step(name, state, reading, now, self._looked, rule.created)
            if after is not state:
                changed[rule_id] = after
        self.evaluated += len(readings)
        return changed

    def _publish(self, changed: Mapping[str, State]) -> list[Notice]:
        """Publish states; then they are those that are known. Return their new notifications."""
        notices: list[Notice] = []
        items = list(changed.items())
        for begin in range(0, len(items), _AT_ONCE):
            some = items[begin : begin + _AT_ONCE]
            self._lease.renew()  # for longer than Kafka may take
            if alert_table.version(self._redis) != self._version:
                # Somebody has set or removed a rule: what was removed must not come back.
                self._load()
                some = [item for item in some if item[0] in self._watched]
            records = [(state_key(rule_id), states.encode(state)) for rule_id, state in some]
            if records:
                self._ledger.publish(ALERTS, records)
                self._version = alert_table.version(self._redis)
                self._lease.renew()  # it may have been suspended for long
            for rule_id, state in some:
                before = self._watched[rule_id]
                known = {note.id for note in before.state.unsent}
                notices += [
                    Notice(before.rule, note) for note in state.unsent if note.id not in known
                ]
                self._watched[rule_id] = before._replace(state=state)
        return notices

    def _say(self, now: int, stale: tuple[str, ...]) -> None:
        self._stale = stale
        content = book.encode_evaluator(self._said(now, stale))
        alert_table.say(self._redis, content, self._looked)

    def _said(self, now: int, stale: tuple[str, ...]) -> Evaluator:
        return Evaluator(
            self._lease.name,
            now,
            self._looked,
            stale,
            self._unknown,
            self._can_webhook,
            self._can_mail,
            self._allowed_networks,
        )
