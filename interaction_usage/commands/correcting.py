"""Publishing a correction, for `usage correct` and for the dashboard that `usage serve` runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from interaction_usage import settings

if TYPE_CHECKING:
    from interaction_usage.corrections.service import Corrector, Proposal
    from interaction_usage.dashboard.corrections import (
        Correction,
        EventToVoid,
        SessionToCorrect,
        Why,
    )

#: Seconds that Kafka may take to acknowledge a correction.
_PATIENCE_S = 15.0
#: Seconds that a page waits until a correction is counted.
_WAIT_S = 5.0


def publish_one(config: settings.Settings) -> Callable[[str, bytes, bytes], tuple[int, int]]:
    """Return what publishes a record and waits for Kafka's acknowledgement of all replicas.

    It raises CorrectionSourceError where that does not come.
    """

    def publish(topic: str, key: bytes, value: bytes) -> tuple[int, int]:
        from interaction_usage.commands.publishing import ReportingPublisher
        from interaction_usage.corrections.errors import CorrectionSourceError
        from stream_app.broker import ensure_topics
        from stream_app.errors import BrokerUnavailableError

        try:
            ensure_topics(config.kafka, [topic], config.partitions, config.replication)
        except BrokerUnavailableError as error:
            raise CorrectionSourceError(
                f"Kafka at {config.kafka}: {error}; nothing was published."
            ) from None
        answers: list[tuple[str | None, int, int]] = []
        publisher = ReportingPublisher(config.kafka, _PATIENCE_S)
        publisher.publish(topic, key, value, on_delivery=lambda *answer: answers.append(answer))
        publisher.wait(lambda: None)
        [(problem, partition, offset)] = answers
        if problem is not None:
            raise CorrectionSourceError(
                f"Kafka at {config.kafka} did not acknowledge the correction: {problem}. It may "
                "take effect nevertheless; the same command again changes nothing twice."
            )
        return partition, offset

    return publish


class DashboardCorrections:
    """Makes corrections for the dashboard (`dashboard.corrections.Corrections`)."""

    def __init__(self, config: settings.Settings, redis: Any) -> None:
        self._config, self._redis = config, redis

    def void(self, wanted: "EventToVoid", why: "Why", *, publish: bool) -> "Correction":
        """Take an event back, or only say what that would change. Raises RequestError."""
        with self._corrector() as corrector:
            proposal = corrector.propose_void(
                wanted.account, wanted.source, wanted.id, (why.reason, why.actor),
                datetime.now(UTC), _ignore, wanted.day,
            )  # fmt: skip
            return self._carried_out(corrector, proposal, publish)

    def correct(self, wanted: "SessionToCorrect", why: "Why", *, publish: bool) -> "Correction":
        """Correct a session, or only say what that would change. Raises RequestError."""
        with self._corrector() as corrector:
            proposal = corrector.propose_session(
                wanted.account, wanted.application, wanted.session, wanted.start, wanted.stop,
                (why.reason, why.actor), datetime.now(UTC), _ignore, is_new=wanted.is_new,
            )  # fmt: skip
            return self._carried_out(corrector, proposal, publish)

    @contextmanager
    def _corrector(self) -> Iterator["Corrector"]:
        from interaction_usage.corrections.errors import CorrectionError, CorrectionSourceError
        from interaction_usage.corrections.service import Corrector
        from interaction_usage.dashboard.errors import AccountNotFoundError, RequestError
        from interaction_usage.reports.errors import ReportError, UnknownAccountError

        try:
            yield Corrector(self._config, self._redis, publish_one(self._config))
        except CorrectionSourceError as error:
            raise RequestError(503, str(error), {"Retry-After": "5"}) from None
        except CorrectionError as error:
            raise RequestError(
                409, str(error).replace("pass --new", "say that it is new")
            ) from None
        except UnknownAccountError:
            raise AccountNotFoundError from None
        except ReportError as error:
            raise RequestError(409, f"The report cannot be made: {error}.") from None

    def _carried_out(
        self, corrector: "Corrector", proposal: "Proposal", publish: bool
    ) -> "Correction":
        from interaction_usage.dashboard.corrections import ChangedValues, Correction

        place, is_counted = None, False
        if publish:
            place = corrector.publish(proposal.draft)
            is_counted = corrector.wait(proposal.draft, place, _WAIT_S)
        return Correction(
            proposal.what,
            [
                ChangedValues(
                    report.first.isoformat(), report.last.isoformat(), report.timezone,
                    [(cell.path, cell.before, cell.after) for cell in report.cells],
                )
                for report in proposal.preview.reports
            ],
            proposal.preview.issued,
            proposal.remarks,
            None if place is None else (proposal.draft.topic, *place),
            is_counted,
        )  # fmt: skip


def _ignore(_done: int, _total: int) -> None:
    """Show no progress."""
