"""What a check found: fine, worth a look, or wrong, each with what to do about it. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  #: it works, but something may go wrong later
    WRONG = "wrong"  #: something does not work, or a number may be wrong


class Finding(NamedTuple):
    """One line of the doctor's answer."""

    area: str  #: settings, kafka, archive, redis, rollups or workers
    subject: str  #: what was looked at, such as a topic's name
    level: Level
    sentence: str  #: what is so
    advice: str = ""  #: what to do about it; empty where nothing needs doing


class Area:
    """Makes the findings of one area."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ok(self, subject: str, sentence: str) -> Finding:
        """Return that *subject* is as it should be."""
        return Finding(self.name, subject, Level.OK, sentence)

    def warning(self, subject: str, sentence: str, advice: str) -> Finding:
        """Return that *subject* works, but may cause trouble later."""
        return Finding(self.name, subject, Level.WARNING, sentence, advice)

    def wrong(self, subject: str, sentence: str, advice: str) -> Finding:
        """Return that *subject* is wrong."""
        return Finding(self.name, subject, Level.WRONG, sentence, advice)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong; warnings do not count."""
    return all(finding.level is not Level.WRONG for finding in findings)
