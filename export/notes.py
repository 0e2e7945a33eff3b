"""What a Usage Report says of itself: its status in a line, and notes that explain its numbers."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from interaction_usage.reports.model import Report
from rollups.catalog import APPLICATION_LABELS, SERIES_ROWS
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
    """Return the notes of *report*, in their order."""
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
    return [*found, *_concurrency(report), Note("Sessions", _sessions(report))]


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


def _sessions(report: Report) -> tuple[str, ...]:
    """Return how many sessions began, and how many of these have no stop, by application."""
    if not report.counts.has_sessions:
        return (
            "How many began is not known: these days were counted by a version that did not keep "
            "it.",
        )
    return (
        "Sessions that began in these days, and of these without a stop; such a session counts up "
        "to the session limit:",
        *(
            f"{APPLICATION_LABELS[name]}: {started:,}, {without_stop:,} without a stop"
            for name, (started, without_stop) in report.counts.sessions.items()
        ),
    )


def _concurrency(report: Report) -> list[Note]:
    """Return how the numbers of concurrency are defined, and what they rest on."""
    hours = tuple(
        f"{row.label}: {report.concurrency[row.id].reported_hours:,}" for row in SERIES_ROWS
    )
    return [
        Note("Maximum", ("The most sessions that were present at any one second of the period.",)),
        Note(
            "Average",
            (
                "The sum of the hourly peaks divided by the number of reported hours. The peak of "
                "an hour is the most sessions present at any one second of it.",
            ),
        ),
        Note("Reported hours", ("The hours whose peak is above 0:", *hours)),
    ]


def _local(report: Report, second: int) -> str:
    """Return *second* as the report's clocks show it, with its offset."""
    local = datetime.fromtimestamp(second, UTC).astimezone(zone(report.timezone))
    text = local.isoformat(" ", "seconds")
    return f"{text[:19]} {text[19:]}"
