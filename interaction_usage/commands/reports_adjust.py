"""How many events are behind each line of an adjustment, from the events themselves."""

from typing import TYPE_CHECKING

from interaction_usage.commands.errors import CommandError
from interaction_usage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interaction_usage.archive.account_events import AccountEvents
    from interaction_usage.archive.published import Ends
    from interaction_usage.issued.adjusting import Answer, CountEvents, Question
    from interaction_usage.issued.comparison import Frame, Steps
    from interaction_usage.store.client import Client
    from interaction_usage.store.issued_table import StoredReport


def event_counter(config: Settings, redis: "Client") -> "CountEvents":
    """Return what counts the events that changed an earlier report since it was billed."""

    def count(questions: "Sequence[Question]") -> "list[Answer]":
        from interaction_usage.issued.errors import IssueError

        try:
            return _count(config, redis, questions)
        except CommandError as error:
            raise IssueError(
                f"the events behind its adjustments cannot be read: {error.message.rstrip('.')}"
            ) from None

    return count


def _count(config: Settings, redis: "Client", questions: "Sequence[Question]") -> "list[Answer]":
    from interaction_usage.archive.account_events import Stretch, read_stretches
    from interaction_usage.commands.reports_diff import event_errors
    from interaction_usage.issued.manifest import ends_in, offsets
    from interaction_usage.issued.reading import find

    if not questions:
        return []
    last = [find(redis, each.last.number) for each in questions]
    stretches = [
        Stretch(
            each.entry.account,
            _ends_of(billed, each.entry.number),
            ends_in({"offsets": offsets(each.now.ends)}),
        )
        for each, billed in zip(questions, last, strict=True)
    ]
    with event_errors(config):
        found = read_stretches(config, stretches)
    return [_answer(*each) for each in zip(questions, last, found, strict=True)]


def _answer(question: "Question", last: "StoredReport", events: "AccountEvents") -> "Answer":
    from interaction_usage.issued.adjusting import Answer, frame_of
    from interaction_usage.issued.comparison import steps

    before, since = ([each.event for each in some] for some in (events.before, events.since))
    frame = frame_of(question.entry, question.now.report, question.now.limits)
    found = steps(frame, before, since)
    notes = (*events.gone, *_without_events(question, found, frame, last))
    return Answer(found.events_by_cell(), notes)


def _ends_of(last: "StoredReport", number: str) -> "Ends":
    """Return the end offsets up to which *last* billed the report with a *number*."""
    from interaction_usage.issued.manifest import ends_in

    for each in last.manifest.get("adjusts", ()):
        if each["number"] == number:
            return ends_in(each)
    return ends_in(last.manifest)


def _without_events(
    question: "Question", found: "Steps", frame: "Frame", last: "StoredReport"
) -> "Iterator[str]":
    """Yield what differs without any event since, and why."""
    from interaction_usage.issued.reproduction import other_circumstances
    from interaction_usage.reports.bill import LINES, name_at

    names = [
        name_at(path)
        for path, line in LINES.items()
        if path in found.start
        and all(name in question.before for name in line.names)
        and line.value(question.before) != found.start[path]
    ]
    if names:
        span = frame.within.begin, frame.within.end
        causes = other_circumstances(last, question.now, span)
        why = "; ".join(causes) or "the events before it are not all there, or others"
        yield f"without any event since: {', '.join(names)} ({why})"
