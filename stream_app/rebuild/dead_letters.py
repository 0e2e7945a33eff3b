"""The dead letters that a rebuild publishes: of what no worker has rejected yet."""

from collections.abc import Iterable, Mapping, Sequence

from aiokafka.structs import ConsumerRecord

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from rollups.watermark import Position
from stream_app.broker import Span
from stream_app.dead_letter_producer import DeadLetterProducer
from stream_app.decode_batch import PendingDeadLetter, sealed_dead_letter


class RebuildDeadLetters:
    """Publishes dead letters, unless a worker did; *counted* is how far the workers were."""

    def __init__(self, producer: DeadLetterProducer, counted: Mapping[str, Position]) -> None:
        self._producer, self._counted = producer, counted

    async def publish_invalid(self, fence: str, pending: Iterable[PendingDeadLetter]) -> None:
        """Publish dead letters of records that are no valid events, where there are none yet."""
        counted = self._counted.get(fence, Position(0))
        await self._producer.publish(
            [each.dead_letter for each in pending if _is_behind(each.record, counted)]
        )

    async def publish_sealed(self, records: Sequence[ConsumerRecord]) -> None:
        """Publish dead letters of *records* for a sealed day.

        All of them: what workers rejected is left out before (`sealed_rejections`).
        """
        await self._producer.publish([sealed_dead_letter(record).dead_letter for record in records])


def _is_behind(record: ConsumerRecord, counted: Position) -> bool:
    """Tell whether *record* is none of those before a position that were counted or rejected.

    One that is newer than each of these has the offset of a record that Kafka had lost.
    """
    newer = counted.second is not None and record.timestamp // 1000 > counted.second
    return record.offset >= counted.offset or newer


def rejected_up_to(
    live: Rollups, ids: Mapping[str, str], spans: Mapping[tuple[str, int], Span]
) -> dict[str, Position]:
    """Return up to where each partition has all its dead letters, as the rollups *live* say.

    Another version may have rejected other records. Where Kafka lost records that were counted, it
    is unknown from which offset on there are others now.
    """
    if live.layout() != keys.LAYOUT:
        return {}
    ends = {keys.fence(*tp, ids.get(tp[0], "")): span.end for tp, span in spans.items()}
    return {name: at for name, at in live.positions().items() if at.offset <= ends.get(name, 0)}
