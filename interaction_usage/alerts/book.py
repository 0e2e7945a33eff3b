"""Every rule with its state, read from Redis; setting and removing rules.

A change is published first, and only then in Redis (`store.ledger`).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from interaction_usage.alerts import rules, states
from interaction_usage.alerts.errors import InvalidRuleError, RuleNotFoundError
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import State, Status
from interaction_usage.settings import Network
from interaction_usage.store import alert_table
from interaction_usage.store.alert_table import ALERTS
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Ledger

log = logging.getLogger(__name__)

#: Rules that one account may have.
MOST_RULES: Final = 100


class Evaluator(msgspec.Struct, omit_defaults=True):
    """What the process that evaluates says of itself, every second."""

    name: str
    at: int
    looked: int | None = None  #: when the rules were last evaluated
    stale: tuple[str, ...] = ()  #: why they are not: a sentence each
    unknown: dict[str, str] = {}  #: rules that cannot be evaluated, with the reason
    can_webhook: bool = True
    can_mail: bool = True
    #: networks inside that it sends webhooks to; None: an earlier version, which does not say
    allowed_networks: tuple[Network, ...] | None = None


_encode_evaluator: Final = msgspec.json.Encoder().encode
_decode_evaluator: Final = msgspec.json.Decoder(Evaluator).decode


def encode_evaluator(evaluator: Evaluator) -> bytes:
    """Return *evaluator* as JSON."""
    return _encode_evaluator(evaluator)


class Watched(NamedTuple):
    """A rule and its state."""

    rule: Rule
    state: State


class Book(NamedTuple):
    """All rules by id, and what the process that evaluates says of itself."""

    watched: Mapping[str, Watched]
    evaluator: Evaluator | None  #: None where none is running

    def of(self, account: str) -> list[Watched]:
        """Return the rules of *account*, the oldest first; shares of an allowance in order."""
        found = [each for each in self.watched.values() if each.rule.account == account]
        return sorted(found, key=in_order)

    def status(self, watched: Watched) -> tuple[Status, str]:
        """Return the status of a rule, and why it is unknown if it is."""
        evaluator = self.evaluator
        if evaluator is None:
            return Status.UNKNOWN, "No `usage alerts run` is running"
        if reason := evaluator.unknown.get(watched.rule.id):
            return Status.UNKNOWN, reason
        looked = evaluator.at  # for operators: also while the numbers are stale
        if watched.rule.reads_rollups:
            if evaluator.stale:
                return Status.UNKNOWN, evaluator.stale[0]
            looked = evaluator.looked or 0
        if watched.rule.created > looked:
            return Status.UNKNOWN, "It is evaluated within seconds"
        return (Status.TRIGGERED if watched.state.triggered else Status.OK), ""


def in_order(watched: Watched) -> tuple[Any, ...]:
    """Return what rules are sorted by where they are listed."""
    rule = watched.rule
    return rule.account, rule.created, rule.kind, rule.target, rule.threshold, rule.id


def read(redis: Client) -> Book:
    """Return what Redis has; a record that cannot be read is logged and left out."""
    return Book(watched_in(redis), evaluator_in(redis))


def evaluator_in(redis: Client) -> Evaluator | None:
    """Return what the process that evaluates says of itself, if one runs."""
    said = alert_table.said(redis)
    return _decode_evaluator(said) if said else None


def watched_in(redis: Client) -> dict[str, Watched]:
    """Return every rule with its state, by id."""
    stored = alert_table.read_all(redis)
    found = {}
    for rule_id, content in stored.rules.items():
        try:
            rule = rules.decode(content)
            state = stored.states.get(rule_id)
            found[rule_id] = Watched(rule, states.decode(state) if state else first(rule))
        except msgspec.DecodeError as error:
            log.error("The rule %s of alerts cannot be read: %s", rule_id, error)
    return found


def first(rule: Rule) -> State:
    """Return the state of a rule that was never evaluated."""
    return states.first(rule.created)


def set_rules(ledger: Ledger, wanted: Sequence[Rule]) -> list[Rule]:
    """Set *wanted*, and return them as they stand: a rule that is there already stays as it is.

    Raises InvalidRuleError and LedgerError.
    """
    for rule in wanted:
        rules.check(rule)
    ledger.sync(ALERTS)
    known = watched_in(ledger.redis)
    new = [rule for rule in wanted if rule.id not in known]
    for account in {rule.account for rule in new}:
        count = sum(each.rule.account == account for each in known.values())
        if count + sum(rule.account == account for rule in new) > MOST_RULES:
            raise InvalidRuleError("account", f"an account has at most {MOST_RULES} rules")
    if new:
        ledger.publish(ALERTS, [(rule.id, rules.encode(rule)) for rule in new])
    return [known[rule.id].rule if rule.id in known else rule for rule in wanted]


def remove(ledger: Ledger, ids: Iterable[str], account: str | None = None) -> list[Rule]:
    """Remove the rules with *ids*, those of *account* alone if given; return them.

    Raises RuleNotFoundError, before anything is removed, and LedgerError.
    """
    ledger.sync(ALERTS)
    known = watched_in(ledger.redis)
    gone = [find(known, rule_id, account).rule for rule_id in dict.fromkeys(ids)]
    second = ledger.now_ms() // 1000
    records = [record for rule in gone for record in alert_table.removal(rule.id, second)]
    if records:
        ledger.publish(ALERTS, records)
    return gone


def find(known: Mapping[str, Watched], rule_id: str, account: str | None = None) -> Watched:
    """Return the rule with this id, of *account* if given. Raises RuleNotFoundError."""
    watched = known.get(rule_id)
    if watched is None or account not in (None, watched.rule.account):
        raise RuleNotFoundError(f"there is no rule {rule_id!r}")
    return watched


def members(book: Book, watched: Watched) -> dict[str, Any]:
    """Return a rule with its state as JSON members."""
    rule, state = watched
    status, reason = book.status(watched)
    return {
        "id": rule.id,
        "account": None if rule.account == rules.OPERATIONS else rule.account,
        "kind": rule.kind,
        "target": rule.target or None,
        "threshold": rules.reported(rule, rule.threshold),
        "minutes": rule.minutes or None,
        "allowance": rules.reported(rule, rule.allowance) if rule.allowance else None,
        "percent": rule.percent or None,
        "to": rule.to,
        "label": rule.label,
        "created": shown(rule.created),
        "by": rule.by,
        "sentence": rules.sentence(rule),
        "status": str(status),
        "reason": reason or None,
        "since": shown(state.since),
        "value": None if state.value is None else rules.reported(rule, state.value),
        "waiting": len(state.unsent),
        "failed": state.failed,
        "failed_at": shown(state.failed_at) if state.failed else None,
    }


def shown(second: int) -> str:
    """Return *second* in RFC 3339."""
    return rules.instant(second)
