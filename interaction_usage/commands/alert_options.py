"""The options that say what a rule of alerts watches, and the rules that they stand for."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from rollups.catalog import METRIC_ROWS, SERIES

if TYPE_CHECKING:
    from interaction_usage.alerts.rules import Rule

_COUNTERS: Final = {row.id: row for row in METRIC_ROWS}

#: What can be watched: option to what it is called.
_CONDITIONS: Final = (
    "series",
    "maximum",
    "counter",
    "silent_for",
    "lag",
    "gaps",
    "stale_for",
    "refusals",
)


#: Of these, what is only about a time: option to kind.
_OF_MINUTES: Final[dict[str, Any]] = {"silent_for": "silence", "stale_for": "stale"}


class _Minutes(click.ParamType):
    """A time in whole minutes: 10m, 2h."""

    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the minutes that *value* stands for."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,4})(m|h)", value)
        minutes = int(found[1]) * (60 if found[2] == "h" else 1) if found else 0
        if not 1 <= minutes <= 1440:
            self.fail(f"{value!r} is not a time from 1m to 24h, like 10m or 2h", param, ctx)
        return minutes


class _Amount(click.ParamType):
    """A number, with up to three decimals where it is of minutes."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value*, checked to be a number above 0."""
        text = str(value).replace(",", "").replace("_", "")
        if not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,3})?", text) or float(text) <= 0:
            self.fail(f"{value!r} is not a number above 0, like 10,000 or 2.5", param, ctx)
        return text


class _Count(click.ParamType):
    """A whole number above 0."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return *value* as a number."""
        text = str(value).replace(",", "").replace("_", "")
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
            self.fail(f"{value!r} is not a whole number above 0, like 10,000", param, ctx)
        return int(text)


class _Percent(click.ParamType):
    """A share in percent, with its sign or without."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return *value* as a number."""
        text = str(value).removesuffix("%").strip()
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
            self.fail(
                f"{value!r} is not a share from 1 to 1000 percent, like 80 or 80%", param, ctx
            )
        return int(text)


def _count(name: str, metavar: str, about: str) -> Callable[..., Any]:
    """Return the option of a rule for operators that a number reaches its threshold."""
    return click.option(name, type=_Count(), metavar=metavar, help=f"For operators: {about}")


_OPTIONS: Final = (
    click.option("--series", type=click.Choice(SERIES), help="Sessions present at once."),
    click.option("--maximum", type=click.Choice(SERIES), help="The maximum of the current month."),
    click.option(
        "--counter",
        metavar="COUNTER",
        help="A counter of the current month, such as runs, clicks.chat, call.minutes.",
    ),
    click.option("--silent-for", type=_Minutes(), metavar="30m", help="No events for so long."),
    _count("--lag", "EVENTS", "so many events are waiting, or no worker counts."),
    _count("--gaps", "GAPS", "so many gaps that nobody accepted."),
    click.option(
        "--stale-for",
        type=_Minutes(),
        metavar="5m",
        help="For operators: the numbers are stale for so long, so rules are unknown.",
    ),
    _count("--refusals", "EVENTS", "so many events of the account lie in dead letters."),
    click.option(
        "--above",
        type=_Amount(),
        metavar="NUMBER",
        help="The threshold; reaching it is exceeding it.",
    ),
    click.option(
        "--for",
        "lasting",
        type=_Minutes(),
        metavar="10m",
        help="With --series: only if it lasts so long.",
    ),
    click.option(
        "--allowance",
        type=_Amount(),
        metavar="NUMBER",
        help="With --counter, instead of --above: what was bought.",
    ),
    click.option(
        "--at",
        "percents",
        type=_Percent(),
        multiple=True,
        metavar="PERCENT",
        help="With --allowance: a rule at so much of it.  [default: 80 and 100]",
    ),
)


def condition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say what is watched."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_rules(
    account: str | None, to: str, label: str, created: int, by: str, given: Mapping[str, Any]
) -> "list[Rule]":
    """Return the rules that the options *given* stand for. Raises click.UsageError."""
    from interaction_usage.alerts import rules
    from interaction_usage.alerts.errors import InvalidRuleError
    from interaction_usage.alerts.rules import OPERATIONS, Rule

    [condition] = _only(given)
    _check_company(condition, given)
    made: dict[str, Any] = {
        "account": account or OPERATIONS, "to": _destination(to), "label": label.strip(),
        "created": created, "by": by,
    }  # fmt: skip
    if condition in ("series", "maximum"):
        made |= {"kind": "level" if condition == "series" else "maximum"}
        threshold, minutes = _whole(given["above"], "--above"), given["lasting"] or 0
        drafts = [Rule(**made, target=given[condition], threshold=threshold, minutes=minutes)]
    elif condition == "counter":
        drafts = _counter_rules(given, made)
    elif condition in _OF_MINUTES:
        kind = _OF_MINUTES[condition]
        drafts = [Rule(**made, kind=kind, threshold=1, minutes=given[condition])]
    else:
        made |= {"kind": condition}
        drafts = [Rule(**made, threshold=given[condition])]
    try:
        return [rules.check(rule) for rule in drafts]
    except InvalidRuleError as error:
        raise click.UsageError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None


def _only(given: Mapping[str, Any]) -> list[str]:
    chosen = [name for name in _CONDITIONS if given[name] is not None]
    if len(chosen) != 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in _CONDITIONS)
        raise click.UsageError(f"Give exactly one of {names}.")
    return chosen


def _check_company(condition: str, given: Mapping[str, Any]) -> None:
    """Raise click.UsageError where an option does not go with *condition*."""
    if given["lasting"] and condition != "series":
        raise click.UsageError("--for goes with --series.")
    if (given["allowance"] or given["percents"]) and condition != "counter":
        raise click.UsageError("--allowance and --at go with --counter.")
    if given["percents"] and not given["allowance"]:
        raise click.UsageError("--at goes with --allowance.")
    needs = condition in ("series", "maximum") or (
        condition == "counter" and not given["allowance"]
    )
    if needs and given["above"] is None:
        more = " or --allowance" if condition == "counter" else ""
        raise click.UsageError(f"--{condition} needs --above{more}.")
    if given["above"] is not None and not needs:
        raise click.UsageError(
            "--above goes with --series, --maximum, or --counter without --allowance."
        )


def _counter_rules(given: Mapping[str, Any], made: Mapping[str, Any]) -> "list[Rule]":
    from difflib import get_close_matches

    from interaction_usage.alerts import rules
    from interaction_usage.alerts.rules import Rule

    name = given["counter"]
    if name not in _COUNTERS:
        near = get_close_matches(name, _COUNTERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COUNTERS)}."
        raise click.BadParameter(f"there is no counter {name!r}; {hint}", param_hint=["--counter"])
    if not given["allowance"]:
        threshold = _stored(name, given["above"], "--above")
        return [Rule(**made, kind="counter", target=name, threshold=threshold)]
    allowance = _stored(name, given["allowance"], "--allowance")
    percents = tuple(dict.fromkeys(given["percents"])) or (80, 100)
    made = {**made, "kind": "counter", "target": name, "allowance": allowance}
    return [
        Rule(**made, threshold=threshold, percent=percent)
        for percent, threshold in rules.thresholds(allowance, percents).items()
    ]


def _stored(counter: str, text: str, option: str) -> int:
    """Return the number *text* as the counter is stored."""
    per = _COUNTERS[counter].unit.per
    return _whole(text, option) if per == 1 else round(float(text) * per)


def _whole(text: str, option: str) -> int:
    if "." in text:
        raise click.BadParameter(
            "this is counted in whole numbers: leave out the decimals", param_hint=[option]
        )
    return int(text)


def _destination(to: str) -> str:
    """Return *to* as it is stored: an e-mail address gets its scheme."""
    to = to.strip()
    return f"mailto:{to}" if "@" in to and "/" not in to and not to.startswith("mailto:") else to
