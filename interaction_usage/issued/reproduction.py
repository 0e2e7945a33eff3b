"""An issued report beside what is counted now, and made again from its events."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from export.formats import WORKBOOK_VERSION
from export.json_renderer import canonical, document
from interaction_usage.issued import manifest
from interaction_usage.issued.adjusting import frame_of
from interaction_usage.issued.adjustments import cell_again
from interaction_usage.issued.cells import Value, cells_of, changed
from interaction_usage.issued.comparison import Frame
from interaction_usage.issued.issuing import render
from interaction_usage.issued.packing import report_in, xls_in
from interaction_usage.issued.usage_model import UsageModel
from interaction_usage.reports.build import Account, period
from interaction_usage.reports.model import Adjustment, ChangedCell, Report
from interaction_usage.reports.numbers import numbers_of
from interaction_usage.reports.service import Basis, ReportBatch, make_bases
from interaction_usage.store.issued_table import Entry, StoredReport
from rollups.events import Event

if TYPE_CHECKING:
    from interaction_usage.store.client import Client


class Now(NamedTuple):
    """The same report as it would be now, beside the issued one."""

    basis: Basis
    issued: dict[str, Value]  #: what the issued report bills, by path
    cells: tuple[ChangedCell, ...]  #: where the two differ


def report_now(redis: "Client", stored: StoredReport, as_of: datetime) -> Now:
    """Return what the issued report would say now. Raises ReportError."""
    entry = stored.entry
    first, last = (datetime.fromisoformat(day).date() for day in (entry.first, entry.last))
    batch = ReportBatch(first, last, entry.timezone, as_of)
    [(_, basis)] = make_bases(redis, [batch.request(entry.account)])
    if isinstance(basis, Exception):
        raise basis
    return against(stored, basis)


def against(stored: StoredReport, basis: Basis) -> Now:
    """Return what differs between a report of the same period and the issued one."""
    issued = cells_of(orjson.loads(stored.json))
    return Now(basis, issued, changed(issued, cells_of(document(basis.report))))


def frame_now(now: Now) -> Frame:
    """Return the frame of the report as it would be now."""
    report = now.basis.report
    account = Account(report.account, report.name, report.dnis, report.sms)
    within = period(report.first, report.last, report.timezone, report.as_of)
    return Frame(account, within, report.as_of, now.basis.limits, document)


def frame_then(stored: StoredReport) -> Frame:
    """Return the frame of the report as it was issued: settings and limits of its manifest."""
    entry, content = stored.entry, stored.manifest
    first, last = (datetime.fromisoformat(day).date() for day in (entry.first, entry.last))
    as_of = report_in(stored.files).as_of
    within = period(first, last, entry.timezone, as_of)
    account = Account(entry.account, content["name"], content["dnis"], content["sms"])
    return Frame(account, within, as_of, content["session_limits"], document)


class Reproduction(NamedTuple):
    """A report that was made again from events."""

    differs: tuple[str, ...]  #: the files whose bytes are others than those issued
    cells: tuple[ChangedCell, ...]  #: what it bills otherwise
    redrawn: str = ""  #: why the bytes of its xls were not compared; empty if they were


class Adjusted(NamedTuple):
    """An earlier report that the issued one adjusts, and the events up to where it does."""

    entry: Entry
    events: Sequence[Event]


def reproduce(
    stored: StoredReport, events: Sequence[Event], adjusted: Sequence[Adjusted] = ()
) -> Reproduction:
    """Return what the report made again from *events* has that the issued one does not.

    So are its adjustments, each from the events of what is *adjusted*.
    """
    frame, model = frame_then(stored), UsageModel(stored.manifest["session_limits"])
    model.add(events)
    kept = report_in(stored.files)
    again = frame.report(model, breakdowns=True)._replace(
        completeness=kept.completeness,
        number=kept.number,
        revision=kept.revision,
        adjustments=tuple(_adjusted_again(stored, kept, adjusted)),
    )
    then = {"json": stored.json, "xls": xls_in(stored.files)}
    redrawn = _redrawn(stored.manifest)
    files = {"json": canonical(again)} if redrawn else render(again)
    return Reproduction(
        tuple(name for name, content in files.items() if content != then[name]),
        (
            *changed(cells_of(orjson.loads(stored.json)), cells_of(document(again))),
            *changed(_adjusted_cells(kept), _adjusted_cells(again)),
        ),
        redrawn,
    )


def _redrawn(content: Mapping[str, Any]) -> str:
    """Return why this version's xls has other bytes than the issued one, if it must."""
    issued = manifest.workbook_version(content)
    if issued == WORKBOOK_VERSION:
        return ""
    return (
        f"its xls is workbook version {issued}, made by version {content['version']}; this version "
        f"makes workbook version {WORKBOOK_VERSION}"
    )


def _adjusted_again(
    stored: StoredReport, kept: Report, adjusted: Sequence[Adjusted]
) -> Iterator[Adjustment]:
    """Yield each adjustment with what its events say is counted; what was billed before stays."""
    of_numbers = {each.entry.number: each for each in adjusted}
    for adjustment in kept.adjustments:
        entry, events = of_numbers[adjustment.number]
        limits = stored.manifest["session_limits"]
        model = UsageModel(limits)
        model.add(events)
        report = frame_of(entry, kept, limits).report(model)
        numbers = numbers_of(report)
        cells = (cell_again(cell, numbers) for cell in adjustment.cells)
        yield adjustment._replace(cells=tuple(cells))


def _adjusted_cells(report: Report) -> dict[str, Value]:
    return {
        f"adjustments.{each.number}.{cell.path}": cell.now
        for each in report.adjustments
        for cell in each.cells
    }


def other_circumstances(
    stored: StoredReport, now: Basis | None = None, within: tuple[int, int] | None = None
) -> list[str]:
    """Return what may change a report without any event, and is another since it was issued."""
    content, found = stored.manifest, list[str]()
    zones = manifest.tzdata_version()
    if content["tzdata"] != zones:
        what = f"the time zone database is {zones}, and was {content['tzdata']}"
        if within and within != (stored.entry.begin, stored.entry.end):
            what += f"; it moves the period in {stored.entry.timezone}"
        found.append(what)
    if now is not None:
        found += _other_settings(content, now)
    version = manifest.product_version()
    if content["version"] != version:
        found.append(f"this is version {version}, and it was {content['version']}")
    return found


def _other_settings(content: Mapping[str, Any], now: Basis) -> list[str]:
    found = []
    if dict(now.limits) != content["session_limits"]:
        found.append("the session limits are others")
    for name, title in (("dnis", "DNIS Service"), ("sms", "Outgoing SMS")):
        if getattr(now.report, name) != content[name]:
            applies = "applies" if getattr(now.report, name) else "applies no more"
            found.append(f"the section {title} {applies} to the account")
    return found
