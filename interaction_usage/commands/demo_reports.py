"""The reports of `usage demo`: files, and issued ones, of which a correction changes one."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from interaction_usage.commands.demo_companies import COMPANIES, Company
from interaction_usage.commands.demo_events import Published, day_events
from rollups.local_time import zone
from stream_app.topics import TOPIC_OF

if TYPE_CHECKING:
    from interaction_usage.store.ledger import Ledger

#: Days of the reports that are written as files.
_DAYS: Final = 31
#: Months before this one whose reports are issued.
_ISSUED_MONTHS: Final = 3


def write_reports(redis: Any, directory: Path) -> str:
    """Write `usage.xls` of each company; return why they may still change or miss something."""
    from interaction_usage.commands.files import make_folder, replace_file
    from interaction_usage.commands.rendering import render, why_unfinished
    from interaction_usage.reports.service import ReportRequest, make_report

    unfinished = ""
    for company in COMPANIES:
        now = datetime.now(UTC)
        today = now.astimezone(zone(company.timezone)).date()
        first = today - timedelta(days=_DAYS - 1)
        report = make_report(redis, ReportRequest(company.id, first, today, None, now))
        folder = directory / company.id
        make_folder(folder)
        replace_file(folder / "usage.xls", render(report, "xls"))
        unfinished = why_unfinished(report)
    return unfinished


def issue_months(ledger: "Ledger", accounts: Sequence[str], days: int, now: datetime) -> list[str]:
    """Issue the reports of the last months that *days* of history cover; return their numbers.

    One that cannot be issued yet, since events are still being counted, is left out.
    """
    from interaction_usage.issued.issuing import Order, issue
    from interaction_usage.reports.service import ReportBatch

    numbers: list[str] = []
    begin = now.date() - timedelta(days=days - 1)
    for first, last in months_before(now.date()):
        if first < begin:
            continue
        order = Order(ReportBatch(first, last, None, now), "demo")
        for outcome in issue(ledger, accounts, order):
            if outcome.entry is None:
                return numbers  # those of the months after it would leave a gap
            numbers.append(outcome.entry.number)
    return numbers


def months_before(today: date) -> list[tuple[date, date]]:
    """Return the first and last day of the months before that of *today*, the earliest first."""
    months = []
    first = today.replace(day=1)
    for _ in range(_ISSUED_MONTHS):
        last = first - timedelta(days=1)
        first = last.replace(day=1)
        months.append((first, last))
    return months[::-1]


def late_corrections(seed: int, company: Company, today: date) -> Iterator[Published]:
    """Yield corrections of the month before: what a report that is issued then differs from.

    They take back the first messages with a campaign link of one of its days.
    """
    first, _ = months_before(today)[-1]
    day = first + timedelta(days=14)
    for each in day_events(seed, company, day, today):
        event = orjson.loads(each.value)
        if event.get("type") == "usage.sms.sent" and event.get("data", {}).get("link"):
            yield _void(event, each.key)


def _void(event: dict[str, Any], key: bytes) -> Published:
    original = {name: event[name] for name in ("source", "id", "type", "time", "data")}
    now = datetime.now(UTC)
    void = {
        "specversion": "1.0", "id": f"{event['id']}-void", "source": "usage/demo",
        "type": "usage.event.voided", "subject": key.decode(), "time": now.isoformat(),
        "data": {"event": original, "reason": "the operator never sent it", "actor": "demo"},
    }  # fmt: skip
    return Published(now.timestamp(), TOPIC_OF["usage.event.voided"], key, orjson.dumps(void))
