"""Reports that are issued and revised at any moment, and what must be so of them in the end.

Two operators issue all the time, often the same period, and commands beside them, some of which are
killed. The days of the events are issued while they arrive, so each report has other numbers, and
must be made again from the events before its offsets, byte for byte.
"""

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from redis.exceptions import RedisError

from interaction_usage.store.issued_table import (
    Entry,
    accounts_with_reports,
    entries,
    stored,
)
from tests.faults.commands import Commands
from tests.faults.operators import Operator

#: The month that has the events, and a share of the reports.
_BUSY, _SHARE = "2026-10", 0.6
#: How many reports are made again from the events, at most: each reads all topics.
_REPRODUCED = 6
#: How often one more report is issued in the end, a second apart, where it is incomplete.
_TRIES = 60


@dataclass
class Issuing(Commands):
    """Does what operators do at the end of a month."""

    #: What was ever read of an issued report, by its number.
    issued: dict[str, str] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def start_operators(self, seed: int) -> None:
        """Have two operators issue all the time, one of them by the flaky link."""
        for name, more in (("Ann", {}), ("Bob", self.system.worker_variables)):
            self.operators.append(Operator(self.system.environment | more, seed, name))
            self.operators[-1].start()

    def abandon_operators(self) -> None:
        """Have both end some time: the run has failed."""
        for operator in self.operators:
            operator.over.set()

    def stop_operators(self) -> None:
        """Let both come to their end."""
        while self.operators:
            operator = self.operators.pop()
            operator.stop()
            self.note(f"{operator.name}: {dict(operator.outcomes)}")

    def issue(self) -> None:
        """Two operators issue or revise reports of one account at once; some are killed."""
        self.note_issued()
        account = f"account-{self.rng.randrange(8)}"
        self.begin(self._an_issue(account), self._an_issue(account))

    def _an_issue(self, account: str) -> tuple[str, ...]:
        month = _BUSY if self.rng.random() < _SHARE else f"2025-{self.rng.randrange(1, 13):02}"
        arguments = ("reports", "issue", account, "--month", month, "--gap", "--overlap")
        numbers = [entry.number for entry in self._entries(account) if entry.first[:7] == month]
        if numbers and self.rng.random() < 0.7:
            return (*arguments, "--revises", numbers[-1])
        return arguments

    def _entries(self, account: str) -> list[Entry]:
        """Return the reports of *account* that Redis has now; none if it does not answer."""
        try:
            with self.system.client() as client:
                return entries(client, account)
        except (RedisError, OSError):
            return []

    def note_issued(self) -> None:
        """Hold that no report that Redis has now is another than it was; and keep what it is."""
        try:
            with self.system.client() as client:
                for account in accounts_with_reports(client):
                    for entry in entries(client, account):
                        if report := stored(client, entry):
                            manifest = json.dumps(report.manifest, sort_keys=True).encode()
                            parts = entry.proposal.encode(), manifest, report.json, report.files
                            found = sha256(b"\n".join(parts)).hexdigest()
                            known = self.issued.setdefault(entry.number, found)
                            assert found == known, f"{entry.number} is another report now"
        except (RedisError, OSError) as error:
            self.note(f"no look at issued reports: {error}")

    def forget_issued(self) -> None:
        """Expect nothing of what was issued before: Kafka is new, and Redis may lose the rest."""
        self.issued.clear()

    # --------------------------------------------------------------------- in the end

    def check_issued(self) -> None:
        """Hold that numbers have no gap, that a period has one report, and that bytes are whole.

        One more is issued, so that everything is read, and revised.
        """
        one_more = ("reports", "issue", "account-0", "--month", _BUSY, "--gap", "--overlap")
        done = self._issued_when_complete(*one_more)
        number, said = done.stdout.decode().strip(), done.stderr.decode()
        # A report that the old cluster and Redis have both lost is missed.
        assert done.returncode == 0 or self.was_replaced, said
        revised = [entry.revises for entry in self._entries("account-0")]
        if number and int(number[-6:]) not in revised:
            done = self._issued_when_complete(*one_more, "--revises", number)
            assert done.returncode == 0, done.stderr.decode()
        listed = json.loads(self.system.usage("reports", "list", "--format", "json").stdout)
        numbers = [each["number"] for each in listed]
        by_account = Counter(each["account"] for each in listed)
        expected = {
            f"{account}-{ordinal:06}"
            for account, count in by_account.items()
            for ordinal in range(1, count + 1)
        }
        assert sorted(numbers) == sorted(expected), numbers
        assert self.issued.keys() <= expected, f"{self.issued.keys() - expected} are gone"
        revised = [each["revises"] for each in listed if each["revises"]]
        periods = [_period_of(each) for each in listed if each["number"] not in revised]
        assert len(set(periods)) == len(periods), f"a period was issued twice: {listed}"
        assert len(set(revised)) == len(revised), "a report was revised twice"
        self.note_issued()
        assert self.issued.keys() == expected
        for number in numbers:  # a file that is not the manifest's is refused
            self.system.usage("reports", "show", number, "--format", "xls")
        self.note(f"{len(numbers)} reports are issued, {len(revised)} of them revisions")
        self._check_reproduced([n["number"] for n in listed if n["from"][:7] == _BUSY])

    def _issued_when_complete(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Issue a report; again, while workers have had no time to report.

        Also where Kafka refuses a producer: operators' producers are older than a cluster that
        replaced theirs, and it gives their ids to new ones.
        """
        for _ in range(_TRIES):
            done = self.system.usage(*command, code=None)
            said = done.stderr
            if not (b"it is incomplete" in said or b"does not take it: ProduceRequest" in said):
                break
            time.sleep(1)
        return done

    def _check_reproduced(self, numbers: list[str]) -> None:
        """Hold that reports are the same from the events, or it is said what is gone.

        Where Kafka has all of them, nothing is gone.
        """
        chosen = self.rng.sample(numbers, min(len(numbers), _REPRODUCED))
        gone = 0
        for number in chosen:
            done = self.system.usage("reports", "show", number, "--reproduce", code=None)
            said = done.stderr.decode()
            assert done.returncode in (0, 1), said
            assert self.has_lost_records or done.returncode == 0, said
            assert "the same bytes" in said or "cannot be made again" in said, said
            gone += done.returncode
        self.note(f"{len(chosen) - gone} of {len(chosen)} reports are the same from the events")

    @property
    def has_lost_records(self) -> bool:
        """Whether Kafka may not have all that was counted, or an upgrade lacks what it says."""
        return (
            self.was_replaced
            or self.was_upgraded
            or bool(self.publisher.deleted)
            or self.publisher.was_begun_again
        )


def _period_of(report: dict[str, Any]) -> tuple[Any, ...]:
    """Return the account and the period of a report in a list."""
    return report["account"], report["from"], report["to"]
