"""What a notification says: the JSON of a webhook, the text of an e-mail. Pure."""

from email.message import EmailMessage
from typing import Any, NamedTuple

from interaction_usage.alerts.rules import (
    OPERATIONS,
    Rule,
    instant,
    reported,
    sentence,
    shown,
)
from interaction_usage.alerts.states import Notification

#: The headline of each change.
_HEADLINES = {"triggered": "Triggered", "resolved": "Resolved", "test": "Test"}


class Notice(NamedTuple):
    """A notification on its way, with the rule that it is of."""

    rule: Rule
    notification: Notification


def body(notice: Notice) -> dict[str, Any]:
    """Return the JSON that a webhook gets: type, timestamp and data."""
    rule, (change, note) = notice.rule, (notice.notification.change, notice.notification)
    return {
        "type": f"alert.{change}",
        "timestamp": instant(note.at),
        "data": {
            "rule": rule.id,
            "account": None if rule.account == OPERATIONS else rule.account,
            "label": rule.label,
            "sentence": sentence(rule),
            "kind": rule.kind,
            "target": rule.target or None,
            "threshold": reported(rule, rule.threshold),
            "minutes": rule.minutes or None,
            "percent": rule.percent or None,
            "value": None if note.value is None else reported(rule, note.value),
            "since": instant(note.since),
            "late": note.late,
            "status": "triggered" if note.over else "ok",
        },
    }


def summary(notice: Notice) -> str:
    """Return one line about a notification."""
    rule, note = notice
    account = "" if rule.account == OPERATIONS else f"{rule.account}, "
    return f"{_HEADLINES[note.change]}: {account}{sentence(rule)}"


def mail(notice: Notice, sender: str) -> EmailMessage:
    """Return the e-mail of a notification."""
    rule, note = notice
    message = EmailMessage()
    message["Subject"] = summary(notice)
    message["From"] = sender
    message["To"] = rule.to.removeprefix("mailto:")
    # The same for every attempt, so that a mailbox may drop repeats.
    message["Message-ID"] = f"<{note.id}@usage.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [summary(notice), ""]
    if rule.label:
        lines.append(f"Label:    {rule.label}")
    if note.value is not None:
        lines.append(f"Value:    {shown(rule, note.value)}")
    lines += [f"Since:    {instant(note.since)}", f"Noticed:  {instant(note.at)}"]
    lines.append(f"Rule:     {rule.id}")
    if note.late:
        lines += ["", "An event that came late has changed the past."]
        lines.append(f"The rule is {'triggered' if note.over else 'ok'} now.")
    message.set_content("\n".join(lines) + "\n")
    return message
