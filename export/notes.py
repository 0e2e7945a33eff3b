"""What a Usage Report says of itself: its status in a line, and notes that explain its numbers."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from interaction_usage.reports.model import Report
from rollups import catalog
from rollups.completeness import Status
from rollups.local_time import zone

#: What each status means, after its own name.
_MEANINGS: Final = {
    Status.ISSUED: "The numbers are those of an issued report.",
    Status.OPEN: (
        "The period has not ended. Everything published so far is counted or refused; more will "
        "come."
    ),
    Status.PROVISIONAL: (
        "The period has ended, and everything published so far is counted or refused. Events that "
        "are published late may still change the numbers."
    ),
    Status.INCOMPLETE: "Something that was published may be missing, as said below.",
}


_NO_SESSIONS: Final = (
    "How many sessions began is not known: these days were counted by a version that did not keep "
    "it."
)

_PERIOD: Final = (
    "From the midnight that begins the first day to the midnight that ends the last one, in the "
    "time zone {zone}. An hour is an hour of the clocks there: a day on which they change has 23 "
    "or 25 hours."
)

#: Terms of the curves and the sessions, and what they mean.
_DEFINITIONS: Final = {
    "Session": (
        "A session counts from its start to its stop, and for at least one second. One whose stop "
        "was never reported counts up to the session limit."
    ),
    "Peak of an hour": "The most sessions that were open at any one second of the hour.",
    "Maximum": "The highest peak of all hours of the period.",
    "Busiest hour": "The hour with the maximum; the first of them, if there are several.",
    "Reported hours": "The hours whose peak is above 0.",
    "Average": "The sum of the hourly peaks, divided by the number of reported hours.",
    "Rounding": (
        "Averages are shown with two decimals, minutes with three; the cells have the exact values."
    ),
}


class Note(NamedTuple):
    """A heading, and what is said under it."""

    title: str
    texts: tuple[str, ...]


def status(report: Report) -> str:
    """Return the status of *report* in a line."""
    said = report.completeness
    parts = [said.status.capitalize()]
    if said.reasons:
        first, *more = said.reasons
        parts.append(f"{first} (and {len(more)} more: see Notes)" if more else first)
    elif said.complete_to is not None:
        parts.append(f"complete to {_local(report, said.complete_to)}")
    if said.refused:
        parts.append(f"{said.refused:,} refused")
    if report.adjustments:
        parts.append(f"with {_adjusted(report)} (see Adjustments)")
    return " · ".join(parts)


def notes(report: Report) -> list[Note]:
    """Return the notes on the state of *report*, in their order."""
    said = report.completeness
    found = [Note("Status", (f"{said.status.capitalize()}: {_MEANINGS[said.status]}",))]
    if said.reasons:
        found.append(Note("What may be missing", said.reasons))
    if said.accepted:
        found.append(Note("What is missing and was accepted", said.accepted))
    if said.complete_to is not None:
        instant = _local(report, said.complete_to)
        sentence = f"Everything published before {instant} is counted or refused."
        found.append(Note("Complete to", (sentence,)))
    found.append(Note("Refused events", (_refused(said.refused),)))
    if report.adjustments:
        sentence = (
            f"This report bills {_adjusted(report)}, each with what has changed since it was "
            "billed. What a period is billed in all is its report and all adjustments of it."
        )
        found.append(Note("Adjustments", (sentence,)))
    if report.pending_voids:
        found.append(Note("Pending voids", (_pending(report.pending_voids),)))
    if not report.counts.has_sessions:
        found.append(Note("Sessions", (_NO_SESSIONS,)))
    return found


def definitions(report: Report) -> list[Note]:
    """Return how the numbers of *report* are defined, in the order of its sections."""
    sections = [
        Note(section.title, (section.meaning,))
        for section in catalog.SECTIONS
        if report.has(section) and section.meaning
    ]
    return [
        Note("Period", (_PERIOD.format(zone=report.timezone),)),
        *sections,
        *(Note(title, (text,)) for title, text in _DEFINITIONS.items()),
    ]


def _adjusted(report: Report) -> str:
    numbers = [each.number for each in report.adjustments]
    if len(numbers) == 1:
        return f"an adjustment of {numbers[0]}"
    return f"adjustments of {', '.join(numbers[:-1])} and {numbers[-1]}"


def _refused(number: int) -> str:
    if not number:
        return "No event of these days was refused."
    if number == 1:
        return (
            "1 event of these days was refused for an error and is not counted. It is kept in the "
            "dead letters, and counted once it is corrected and published again."
        )
    return (
        f"{number:,} events of these days were refused for errors and are not counted. They are "
        "kept in the dead letters, and counted once they are corrected and published again."
    )


def _pending(number: int) -> str:
    voids = "1 void of the account is" if number == 1 else f"{number:,} voids of the account are"
    return (
        f"{voids} pending: the event that is taken back has not arrived, and the sums of its day "
        "are lower by what it would count."
    )


def _local(report: Report, second: int) -> str:
    """Return *second* as the report's clocks show it, with its offset."""
    local = datetime.fromtimestamp(second, UTC).astimezone(zone(report.timezone))
    text = local.isoformat(" ", "seconds")
    return f"{text[:19]} {text[19:]}"
