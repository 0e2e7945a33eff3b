"""Reports to render in tests: one realistic account, and the same with anything changed."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from interaction_usage.reports.model import Concurrency, Counts, Day, Days, FlowRuns, Hours, Report
from rollups.catalog import (
    ABANDONED,
    CALL_THOUSANDTHS,
    CLICKS,
    COMPLETED,
    ENDINGS,
    NUMBERS_PURCHASED,
    RUNS,
    SERIES,
    SMS_WITH_LINK,
    STARTED,
    UNSTOPPED,
)
from rollups.completeness import Completeness, Status
from rollups.local_time import hour_runs

PARIS = ZoneInfo("Europe/Paris")

#: Two seconds before the sample's as-of instant.
COMPLETE_TO = int(datetime(2026, 11, 1, 8, 59, 58, tzinfo=UTC).timestamp())

#: Texts that a spreadsheet would run as formulas if it were let.
FORMULAS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x.invalid")',
    # as a spreadsheet of some country reads them: wide, small, raised, and other minus signs
    "＝1+1", "＋1", "－1", "＠SUM(A1)", "﹦1", "﹢1", "﹣1", "﹫A1", "⁼1", "⁺1", "₋1", "−1", "–1",
    # behind what has no ink, or quotes
    " =1", "\n=1", "\u00a0=1", "\u3000＝1", "\u200b=1", "\ufeff=1", "\u202e=1", "\u2060+1",
    "'=1", '"=1',
    # behind what separates fields where the comma is the decimal sign
    "Acme;=1+1", "Acme; ＝1", "Acme;@A1", "Acme|=1",
)  # fmt: skip

#: Texts that have broken files of one format or another.
AWKWARD = (
    "a\x00b",
    "a\x0bb",
    "half \ud83d of a pair",
    "\udfff",
    "\ufffe\uffff",
    "two\r\nlines",
    "Rückruf 🛟 回電 ",
    " spaces around ",
    "<r>not XML</r>",
    "<&>\"'",
    "x" * 200,
    "🛟" * 200,
    "\ufeffmark",
)


def counts(scale: int = 1) -> Counts:
    """Return counters that all differ, *scale* times what they are at 1."""
    runs = dict(zip(RUNS.values(), (18_420, 7_311, 52_094, 4_876), strict=True))
    clicks = dict(zip(CLICKS.values(), (1_204, 388, 2_951, 97), strict=True))
    started = dict(zip(STARTED.values(), (41_310, 6_120, 58_774, 0), strict=True))
    unstopped = dict(zip(UNSTOPPED.values(), (12, 0, 903, 0), strict=True))
    others = {
        ENDINGS[COMPLETED]: 71_688,
        ENDINGS[ABANDONED]: 11_013,
        CALL_THOUSANDTHS: 6_482_125,
        SMS_WITH_LINK: 3_270,
        NUMBERS_PURCHASED: 12,
    }
    amounts = runs | clicks | started | unstopped | others
    return Counts.of({metric: amount * scale for metric, amount in amounts.items()})


def curve(maximum: int = 41, peak_sum: int = 7_003, hours: int = 310) -> Concurrency:
    """Return a curve that was busiest in the second of two hours called 02:00."""
    return Concurrency(maximum, peak_sum, hours, datetime(2026, 10, 25, 2, tzinfo=PARIS, fold=1))


def nothing_reported() -> Concurrency:
    """Return the curve of a period without a session."""
    return Concurrency(0, 0, 0, None)


def report(**changes: Any) -> Report:
    """Return October 2026 of one account in Paris, without breakdowns, with *changes*."""
    curves = (
        Concurrency(186, 21_994, 403, datetime(2026, 10, 13, 10, tzinfo=PARIS)),
        Concurrency(141, 16_340, 398, datetime(2026, 10, 13, 10, tzinfo=PARIS)),
        Concurrency(58, 5_911, 371, datetime(2026, 10, 20, 15, tzinfo=PARIS)),
        curve(1_204, 88_211, 702),
        nothing_reported(),
    )
    sample = Report(
        account="acme",
        name="Acme Assurances",
        first=date(2026, 10, 1),
        last=date(2026, 10, 31),
        timezone="Europe/Paris",
        as_of=datetime(2026, 11, 1, 9, tzinfo=UTC),
        counts=counts(),
        concurrency=dict(zip(SERIES, curves, strict=True)),
        dnis=True,
        sms=True,
        completeness=Completeness(Status.PROVISIONAL, COMPLETE_TO, 0, 3),
    )
    return sample._replace(**changes)


def with_breakdowns(**changes: Any) -> Report:
    """Return the same month with its 31 days, 745 hours and 50 flows, with *changes*."""
    return report(days=days(31), hours=hours(745), flows=flows(50), **changes)


def days(number: int) -> Days:
    """Return *number* days from 1 October 2026."""
    first = date(2026, 10, 1)
    return Days.of([Day(first + timedelta(n), counts(n % 7), _peaks(n)) for n in range(number)])


def hours(number: int) -> Hours:
    """Return *number* hours from midnight of 1 October 2026 in Paris."""
    begin = int(datetime(2026, 9, 30, 22, tzinfo=UTC).timestamp())
    columns = zip(*(_peaks(n).values() for n in range(number)), strict=True)
    peaks = dict(zip(SERIES, map(list, columns), strict=True))
    return Hours(hour_runs(begin, begin + number * 3600, PARIS), peaks)


def flows(number: int) -> tuple[FlowRuns, ...]:
    """Return *number* flows, most used first."""
    names = ("Claim a repair", "Change of address", "Rückruf vereinbaren", "Reset a password")
    return tuple(
        FlowRuns(f"{names[n % 4]} {n:05}", 3 * (number - n), number - n) for n in range(number)
    )


def _peaks(n: int) -> dict[str, int]:
    return {name: (n * (index + 3)) % 190 for index, name in enumerate(SERIES)}
