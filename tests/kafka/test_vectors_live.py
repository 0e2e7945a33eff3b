"""Every vector through `usage send`, Apache Kafka, a running worker, Redis and `usage export`."""

import random
from typing import Any

import vector_files


def test_every_vector_gives_its_reports_through_the_whole_system(system: Any) -> None:
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
        for name in vector_files.NAMES:
            for case in vector_files.expected(name):
                days = str(case.period.first), str(case.period.last)
                as_of = case.as_of.isoformat().replace("+00:00", "Z")
                tz = case.period.timezone
                report = system.report_here(case.account, *days, tz=tz, as_of=as_of)
                assert {member: report[member] for member in case.report} == case.report
