"""Explanations of an account's numbers: the report from the rollups, the answer from the events.

What is compared must be of one moment while events arrive. An account's *fences* say which records
the rollups have of it; so they are read before and after the report, until both are the same, and
of the events only those up to the fences count, and all that is before the workers' positions.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from interaction_usage.evidence import questions
from interaction_usage.evidence.preparation import (
    EVERYTHING,
    SESSIONS,
    Ends,
    Events,
    Needed,
    Period,
)
from interaction_usage.evidence.verification import (
    Claim,
    add_verification,
    empty_verification,
    problems,
    verify,
)
from interaction_usage.explanations.claims import cells
from interaction_usage.explanations.errors import AccountChangingError
from interaction_usage.explanations.kafka_events import Progress, ignore
from interaction_usage.explanations.sources import OpenSource
from interaction_usage.reports.model import Report
from interaction_usage.reports.service import Detail, ReportBatch, ReportRequest, make_report
from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups, read_active
from rollups.catalog import APPLICATIONS, SESSION_METRICS
from rollups.slots import SLOT_SECONDS, slot_of

#: How often an account is read again because events of it were counted meanwhile.
_ATTEMPTS: Final = 20
_INTERVAL_S: Final = 0.1

#: Accounts that are verified at a time.
_ACCOUNTS: Final = 2_000


class Counted(NamedTuple):
    """A report, and which records it was made from."""

    report: Report
    reached: Ends  #: the offset after the last record that must be in it
    positions: Ends  #: of the workers
    limits: Mapping[str, int]
    open_at: int  #: the last second before the slot of the as-of instant
    open_sessions: Mapping[str, int]  #: by application, present at that second


class _Within:
    """How far a verification is. An account is half done when its report is read."""

    def __init__(self, done: int, total: int, progress: Progress) -> None:
        self._done, self._half_done, self._total, self.progress = done, 0, total, progress

    def reports(self, number: int) -> None:
        """Show that so many reports are read of accounts that are not compared yet."""
        self._half_done = number
        self._show(f"{self._done + number:,} of {self._total:,} reports read")

    def step(self, name: str) -> None:
        """Show which table, or answer, is computed."""
        self._show(f"{self._done:,} of {self._total:,} accounts compared, computing {name}")

    def compared(self, number: int) -> None:
        """Show that so many accounts more are done."""
        self._done += number
        self._half_done -= number
        self._show(f"{self._done:,} of {self._total:,} accounts compared")

    def _show(self, text: str) -> None:
        self.progress(self._done + self._half_done / 2, self._total, text)


class Explainer:
    """Answers questions about the accounts in *redis*, with the events that *open_source* opens."""

    def __init__(self, redis: Any, open_source: OpenSource, timeout_s: float | None = None) -> None:
        self._redis, self._open_source, self._timeout_s = redis, open_source, timeout_s

    def explain(
        self, request: ReportRequest, series: str, hour: int | None = None
    ) -> dict[str, Any]:
        """Return when the maximum was reached and who was there. Raises ReportError and others.

        With *hour*, a second, only of the hour of the wall clock that has it.
        """
        found, report, source = self._ask(
            request,
            lambda events, period: questions.explain(events, request.account, series, period, hour),
            detail=Detail.ALL if hour is not None else Detail.TOTALS,
        )
        curve = found.pop("curve")
        expected = _maximum(report, series, hour)
        return {
            "account": request.account,
            "series": series,
            **{name: found[name] for name in ("max", "at", "seconds_at_max")},
            "agrees": found["max"] == expected,
            "sessions": found["sessions"],
            "rollups": expected,
            "curve": curve,
            "made_from": source,
        }

    def counter(self, request: ReportRequest, name: str) -> dict[str, Any]:
        """Return the events that a counter sums. Raises UnknownCounterError."""
        (total, events), report, source = self._ask(
            request,
            lambda events, period: questions.counter(events, request.account, name, period),
            EVERYTHING,
        )
        expected = _counter(report, name)
        return {
            "account": request.account,
            "counter": name,
            "sum": total,
            "agrees": total == expected,
            "events": events,
            "rollups": expected,
            "made_from": source,
        }

    def concurrency(self, request: ReportRequest, series: str) -> dict[str, Any]:
        """Return the other ways to bill the same curve."""
        found, _, source = self._ask(
            request,
            lambda events, period: questions.concurrency(events, request.account, series, period),
        )
        return {**found, "made_from": source}

    def capacity(
        self, request: ReportRequest, series: str, licences: Sequence[int]
    ) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
        """Return what a licence of each of so many sessions would have meant."""
        answers, _, source = self._ask(
            request,
            lambda events, period: questions.capacity(
                events, request.account, series, period, licences
            ),
        )
        return answers, source

    def long_sessions(
        self, request: ReportRequest, longer: int, states: Sequence[str], most: int
    ) -> dict[str, Any]:
        """Return the sessions that were open for *longer* seconds, the oldest first."""
        (total, sessions), _, source = self._ask(
            request,
            lambda events, period: questions.long_sessions(
                events, request.account, period, longer, states, most
            ),
        )
        return {
            "account": request.account,
            "as_of": request.as_of.isoformat(),
            "total": total,
            "sessions": sessions,
            "made_from": source,
        }

    def verify(
        self, batch: ReportBatch, account: str | None = None, progress: Progress = ignore
    ) -> dict[str, Any]:
        """Return what the events say of every number of *account*, or of all accounts.

        Raises ReportError, AccountChangingError and others.
        """
        if account is not None:
            accounts = [account]
        else:
            accounts = sorted(read_active(self._redis, lambda rollups: rollups.counted()))
        whole = empty_verification()
        for at in range(0, len(accounts), _ACCOUNTS):
            some = accounts[at : at + _ACCOUNTS]
            is_last = at + _ACCOUNTS >= len(accounts)
            everyone = account is None and is_last
            within = _Within(at, len(accounts), progress)
            add_verification(whole, self._verify(some, batch, within, everyone=everyone))
        whole["agrees"] = not problems(whole)
        return whole

    def _verify(
        self, accounts: Sequence[str], batch: ReportBatch, within: "_Within", *, everyone: bool
    ) -> dict[str, Any]:
        """Return the same of *accounts*, each in its time zone."""
        whole = empty_verification()
        with self._open_source(
            None if everyone else accounts, EVERYTHING, within.progress
        ) as up_to:
            counted: list[Counted] = []
            for each in accounts:
                counted.append(self.counted(batch.request(each), Detail.ALL))
                within.reports(len(counted))
            by_zone: dict[str, list[Counted]] = {}
            for account in counted:
                by_zone.setdefault(account.report.timezone, []).append(account)
            source = up_to(_furthest_of_all(counted))
            for number, same in enumerate(by_zone.values()):
                events = Events(
                    source, same[0].limits, {each.report.account: each.reached for each in same},
                    same[-1].positions, self._timeout_s, within.step,
                )  # fmt: skip
                within.step("the numbers of the reports")
                claims = {each.report.account: self._claim(each) for each in same}
                is_last = number == len(by_zone) - 1
                found = verify(
                    events, claims, period_of(same[0].report), everyone=everyone and is_last
                )
                add_verification(whole, found)
                within.compared(len(same))
            whole["made_from"] = source.made_from
        return whole

    @staticmethod
    def _claim(counted: Counted) -> Claim:
        report = counted.report
        unknown = frozenset() if report.counts.has_sessions else SESSION_METRICS
        return Claim(cells(report), counted.open_at, counted.open_sessions, unknown)

    def counted(self, request: ReportRequest, detail: Detail) -> Counted:
        """Return the report and which records it has. Raises AccountChangingError, ReportError."""
        before = self._fences(request.account)
        for _ in range(_ATTEMPTS):
            # What is before the positions is counted or refused by now, whatever the account's
            # fences say: were they lost with its numbers, nothing would be left to compare.
            positions = _positions(Rollups.live(self._redis))
            report = make_report(self._redis, request, detail)
            rollups = Rollups.live(self._redis)
            slot = slot_of(int(request.as_of.timestamp()))
            present = rollups.read(request.account, slot, slot).carry
            after = self._fences(request.account)
            if after == before:
                return Counted(
                    report, _furthest(after, positions), positions, rollups.limits(),
                    slot * SLOT_SECONDS - 1, {name: present[name] for name in APPLICATIONS},
                )  # fmt: skip
            before = after
            time.sleep(_INTERVAL_S)
        raise AccountChangingError(request.account)

    def _fences(self, account: str) -> Ends:
        fences = read_active(self._redis, lambda rollups: rollups.fences(account))
        return {_place(name): offset + 1 for name, offset in fences.items()}

    def _ask(
        self, request: ReportRequest, question: Callable[[Events, Period], Any],
        needed: Needed = SESSIONS, detail: Detail = Detail.TOTALS,
    ) -> tuple[Any, Report, Mapping[str, Any]]:  # fmt: skip
        """Return the answer to *question*, the report, and what the answer was made from."""
        account = request.account
        with self._open_source([account], needed, ignore) as up_to:
            counted = self.counted(request, detail)
            source = up_to(counted.reached)
            events = Events(
                source, counted.limits, {account: counted.reached}, counted.positions,
                self._timeout_s,
            )  # fmt: skip
            answer = question(events, period_of(counted.report))
            return answer, counted.report, source.made_from


def period_of(report: Report) -> Period:
    """Return the period of *report*."""
    return Period(report.first, report.last, report.timezone, report.as_of)


def _place(name: str) -> tuple[str, str, int]:
    topic, partition, topic_id = keys.parse_fence(name)
    return topic, topic_id, partition


def _positions(rollups: Rollups) -> Ends:
    return {_place(name): at.offset for name, at in rollups.positions().items()}


def _furthest(one: Ends, other: Ends) -> Ends:
    """Return the further of both ends of each topic-partition."""
    return {place: max(one.get(place, 0), other.get(place, 0)) for place in {*one, *other}}


def _furthest_of_all(counted: Sequence[Counted]) -> Ends:
    """Return up to where events are needed: what any account has, or the workers have read."""
    found: Ends = {}
    for each in counted:
        found = _furthest(_furthest(found, each.reached), each.positions)
    return found


def _maximum(report: Report, series: str, hour: int | None) -> int:
    """Return the maximum that the report has, or the peak of the hour with the second *hour*."""
    if hour is None:
        return report.concurrency[series].maximum
    instant = datetime.fromtimestamp(hour, UTC)
    for each in report.hours:
        if 0 <= (instant - each.begins).total_seconds() < each.seconds:
            return each.peaks[series]
    return 0


def _counter(report: Report, name: str) -> int:
    return report.counts.flow_runs_total if name == "runs" else report.counts.amounts[name]
