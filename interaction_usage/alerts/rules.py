"""The rules of alerts: what each watches, when it is over its threshold, how it reads. Pure.

A rule never changes, and its id follows from what it says: setting the same rule twice gives one
rule, and another threshold is another rule.
"""

import re
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal, get_args

import msgspec

from interaction_usage.alerts.errors import InvalidRuleError
from rollups.catalog import FLOWS_RUN, METRIC_ROWS, SERIES_LABELS, Metric
from rollups.quantity import quantity

#: What stands for the deployment as a whole where others name an account.
OPERATIONS: Final = "*"

Kind = Literal["level", "maximum", "counter", "silence", "lag", "gaps", "refusals", "stale"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: Kinds about the deployment as a whole, which have no account.
OF_OPERATIONS: Final = frozenset({"lag", "gaps", "stale"})
#: Kinds that read how the stream is, and no rollups.
_OF_STREAM: Final = frozenset({"lag", "gaps", "refusals", "stale"})
#: Kinds that are about a time alone.
OF_MINUTES: Final = frozenset({"silence", "stale"})

#: The longest time, in minutes, that a level must last or that an account may be silent.
MOST_MINUTES: Final = 1440
_MOST_THRESHOLD: Final = 10**15
_MOST_PERCENT: Final = 1000
_MOST_TEXT: Final = 200
_MOST_URL: Final = 2000

METRICS_BY_ID: Final = {row.id: row for row in METRIC_ROWS}
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)
# A name or an address, with a port or without; a name may be of any script.
_WEBHOOK: Final = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\:\[\]]+)(?::([1-9]\d{0,4}))?(?:[/?][^\s#\\]*)?",
    re.ASCII,
)


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One rule, as its record in the topic has it."""

    account: str  #: `OPERATIONS` for the deployment as a whole
    kind: Kind
    threshold: int  #: as stored: thousandths of minutes; reaching it is being over it
    to: str  #: a URL, or `mailto:` and an address
    target: str = ""  #: a series or a counter
    minutes: int = 0  #: for how long a level must last; how long nothing may come, or be stale
    allowance: int = 0  #: what was bought, as stored; 0 where the rule is about none
    percent: int = 0  #: at how much of the allowance this rule is over
    label: str = ""
    created: int = 0  #: the second at which it was set
    by: str = ""

    @cached_property
    def id(self) -> str:
        """What names the rule: it follows from what the rule says."""
        said = (self.account, self.kind, self.target, self.threshold, self.minutes, self.to)
        return sha256("\0".join(map(str, (*said, self.percent))).encode()).hexdigest()[:12]

    @property
    def is_monthly(self) -> bool:
        """Whether it is about the account's month."""
        return self.kind in ("maximum", "counter")

    @property
    def reads_rollups(self) -> bool:
        """Whether it is judged by the rollups of its account."""
        return self.kind not in _OF_STREAM

    @property
    def is_for_operators(self) -> bool:
        """Whether it says how the deployment is doing, which is not an account's to see."""
        return self.kind in _OF_STREAM


_decode = msgspec.json.Decoder(Rule).decode
encode: Final = msgspec.json.Encoder().encode


def decode(content: bytes) -> Rule:
    """Return the rule that `encode` wrote. Raises msgspec.DecodeError."""
    return _decode(content)


def check(rule: Rule) -> Rule:
    """Return *rule* if it can be watched. Raises InvalidRuleError, which names the member."""
    if (rule.account == OPERATIONS) != (rule.kind in OF_OPERATIONS):
        raise InvalidRuleError("account", _whose(rule))
    if rule.kind in ("level", "maximum") and rule.target not in SERIES_LABELS:
        raise InvalidRuleError(
            "target", f"there is no series {rule.target!r}: {', '.join(SERIES_LABELS)}"
        )
    if rule.kind == "counter" and rule.target not in METRICS_BY_ID:
        raise InvalidRuleError(
            "target", f"there is no counter {rule.target!r}: {', '.join(METRICS_BY_ID)}"
        )
    if not 1 <= rule.threshold <= _MOST_THRESHOLD:
        raise InvalidRuleError(
            "threshold", f"the threshold is a number from 1 to {_MOST_THRESHOLD:,}"
        )
    if not (1 if rule.kind in OF_MINUTES else 0) <= rule.minutes <= MOST_MINUTES:
        raise InvalidRuleError("minutes", f"this lasts 1 to {MOST_MINUTES:,} minutes")
    if rule.minutes and rule.kind != "level" and rule.kind not in OF_MINUTES:
        raise InvalidRuleError("minutes", "only a level and silence are watched for some minutes")
    if not 0 <= rule.percent <= _MOST_PERCENT:
        raise InvalidRuleError(
            "percent", f"a share of the allowance is 1 to {_MOST_PERCENT} percent"
        )
    if len(rule.label) > _MOST_TEXT or not (rule.label.isprintable()):
        raise InvalidRuleError("label", f"a label has at most {_MOST_TEXT} printable characters")
    check_destination(rule.to)
    return rule


def check_destination(to: str) -> None:
    """Raise InvalidRuleError unless notifications can be sent to *to*."""
    if to.startswith("mailto:"):
        if not _EMAIL.fullmatch(to.removeprefix("mailto:")):
            raise InvalidRuleError("to", "this is no e-mail address like ops@example.com")
    elif (
        len(to) > _MOST_URL
        or not to.isprintable()
        or not (url := _WEBHOOK.fullmatch(to))
        or int(url[1] or 1) > 65_535
    ):
        raise InvalidRuleError(
            "to", "a webhook is a URL like https://example.com/hook, without user and password"
        )


def thresholds(allowance: int, percents: tuple[int, ...]) -> dict[int, int]:
    """Return percent to the threshold at which so much of *allowance* is used, rounded up."""
    return {percent: max(-(-allowance * percent // 100), 1) for percent in percents}


def _whose(rule: Rule) -> str:
    if rule.account == OPERATIONS:
        return "this rule is about an account; name it"
    return "this rule is about the deployment; leave out the account"


# ------------------------------------------------------------------------------ in words


def counter_label(row: Metric) -> str:
    """Return what a counter is called where nothing says which section of the report it is in."""
    if row.section != FLOWS_RUN:
        return row.label
    return "Flow runs" if row.sum_of else f"Flow runs, {row.label}"


#: Every counter's id, and what it is called.
COUNTER_LABELS: Final = {row.id: counter_label(row) for row in METRIC_ROWS}


def shown(rule: Rule, amount: int) -> str:
    """Return an *amount* as people read it, with its unit where it has one."""
    if rule.kind == "counter":
        unit = METRICS_BY_ID[rule.target].unit
        text = f"{unit.reported(amount):,.10g}" if unit.per > 1 else f"{amount:,}"
        return f"{text} {unit.name}" if unit.per > 1 else text
    return f"{amount:,}"


def reported(rule: Rule, amount: int) -> int | float:
    """Return a stored *amount* as it is reported: minutes, not thousandths of them."""
    return METRICS_BY_ID[rule.target].unit.reported(amount) if rule.kind == "counter" else amount


def instant(second: int) -> str:
    """Return *second* in RFC 3339: 2026-10-01T09:00:00Z."""
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def sentence(rule: Rule) -> str:
    """Return what *rule* watches, in words: `Mobile Web: 25 or more for 10 minutes`."""
    limit = f"{shown(rule, rule.threshold)} or more"
    lasting = f" for {quantity(rule.minutes, 'minute')}" if rule.minutes else ""
    if rule.kind == "level":
        return f"{SERIES_LABELS[rule.target]}: {limit} at once{lasting}"
    if rule.kind == "maximum":
        return f"{SERIES_LABELS[rule.target]}: this month's maximum is {limit}"
    if rule.kind == "counter":
        share = ""
        if rule.percent:
            share = f" ({rule.percent} % of {shown(rule, rule.allowance)})"
        return f"{COUNTER_LABELS[rule.target]}: {limit} this month{share}"
    if rule.kind == "silence":
        return f"No events{lasting}"
    if rule.kind == "stale":
        return f"Stale numbers{lasting}: no rule of an account can be evaluated"
    if rule.kind == "lag":
        return f"Lag: {limit} events are waiting, or no worker counts"
    if rule.kind == "gaps":
        return f"Gaps: {limit} that nobody accepted"
    return f"Refusals: {limit} events lie in dead letters"
