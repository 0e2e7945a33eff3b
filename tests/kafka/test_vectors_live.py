"""Every vector through `usage send`, Apache Kafka, a running worker, Redis and `usage export`."""

import asyncio
import json
import random
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.support import vector_files


def test_every_vector_gives_the_reports_through_the_whole_system(system: Any) -> None:
    """In order, then all of it again, shuffled: the reports stay exactly what they must be."""
    system.start_worker()
    rng = random.Random(20)
    for doubled in (False, True):
        for name in vector_files.NAMES:
            lines = [line for _, line in vector_files.lines(name)]
            if doubled:
                rng.shuffle(lines)
            system.usage("send", "-", stdin=b"\n".join(lines))
        system.catch_up()
        check_reports(system)


def check_reports(system: Any) -> None:
    """Hold every report against the one that the vectors must give."""
    for name in vector_files.NAMES:
        for case in vector_files.expected(name):
            days = str(case.period.first), str(case.period.last)
            as_of = case.as_of.isoformat().replace("+00:00", "Z")
            tz = case.period.timezone
            report = system.report_here(case.account, *days, tz=tz, as_of=as_of)
            assert {member: report[member] for member in case.report} == case.report


def test_the_timestamps_of_records_change_no_report(system: Any) -> None:
    """Every event several times, with timestamps years apart, in any order, and without one."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 3, 1)
    system.start_worker()
    rng = random.Random(31)
    answer = [pair for name in vector_files.NAMES for pair in vector_files.lines(name)] * 3
    rng.shuffle(answer)

    async def publish() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.kafka.bootstrap)
        await producer.start()
        sent = []
        try:
            for topic, line in answer:
                batch = producer.create_batch()
                batch.append(timestamp=stamp_after(line, rng), key=None, value=line)
                batch.close()
                to = rng.randrange(3)
                sent.append(await producer.send_batch(batch, topic, partition=to))
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    asyncio.run(publish())
    system.catch_up()
    check_reports(system)
    assert system.dead_letters()["counts"] == {}


def stamp_after(line: bytes, rng: random.Random) -> int:
    """Return a timestamp that the event may have: none, or one up to thirty years after it."""
    happened = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
    years = rng.randrange(30 * 365 * 86_400_000)
    return rng.choice((-1, int(happened * 1000) + 1, int(happened * 1000) + years))
