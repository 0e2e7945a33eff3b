"""`usage lag`: how far the rollups are behind what was published."""

import time
from collections.abc import Mapping
from typing import Any

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.errors import CommandError
from interaction_usage.store.gaps import read_gaps
from rollups.gaps import Gap
from rollups.quantity import quantity
from rollups.watermark import Reach

#: Seconds between two looks while waiting.
_PAUSE = 0.1
#: Seconds within which a worker that runs has reported that everything is counted: it looks once a
#: second, and takes the turn of one that is gone after three.
_REPORT_S = 6.0


@click.command("lag")
@click.option(
    "--until-zero",
    "seconds",
    type=Seconds(0),
    metavar="SECONDS",
    help="Wait until the lag is 0; exit 1 on timeout.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, topic to events.")
def lag(seconds: float | None, as_json: bool) -> None:
    """Show how many published events are not yet in the rollups, per topic.

    0 means that every event published before the call is in the rollups or in the dead letters;
    --until-zero also waits until reports know that, up to 6 s. A topic that is missing, or that may
    not be read, is an error; so are events that Kafka deleted before they were counted, until a
    worker has recorded them as a gap.

    Events behind an open producer transaction count as lag until it is committed or aborted, for
    they cannot be read before.

    \b
    Example:
      usage lag --until-zero 30
    """
    from stream_app.errors import BrokerDeniedError, BrokerUnavailableError

    config = settings.read()
    deadline = time.monotonic() + (seconds or 0)
    with redis_connection(config) as redis:
        while True:
            over = seconds is None or time.monotonic() >= deadline
            try:
                places, deleted = _progress(config, redis)
            except BrokerUnavailableError as error:
                if over or isinstance(error, BrokerDeniedError):
                    raise CommandError(f"Kafka at {config.kafka}: {error}") from None
                time.sleep(_PAUSE)  # a broker that restarts answers again
                continue
            total = sum(reach.behind for reach in places.values())
            if over or (total == 0 and not deleted):
                break
            time.sleep(_PAUSE)
        why = ""
        if seconds is not None and not total and not deleted:
            why = _await_report(redis, min(deadline, time.monotonic() + _REPORT_S))
    _print(places, as_json)
    if why:
        click.echo(f"All of it is counted, but reports are still incomplete: {why}.", err=True)
    if blocked := sum(reach.blocked for reach in places.values()):
        click.echo(f"{blocked:,} of these are blocked by an open producer transaction.", err=True)
    if deleted:
        raise CommandError(
            f"Kafka deleted {', '.join(gap.place for gap in deleted)} before they were counted. "
            "A worker that reads the topic records it as a gap; see: usage gaps list"
        )
    if seconds is not None and total:
        raise CommandError(
            f"After {seconds:g} s, {quantity(total, 'event', 'is')} not yet in the rollups."
        )


def _await_report(redis: Any, deadline: float) -> str:
    """Wait until reports know that everything is counted; return why they do not, or nothing."""
    from interaction_usage.store.progress import read_known
    from interaction_usage.store.reads import Rollups
    from rollups.completeness import reasons_of_stream

    while True:
        known, _, _ = read_known(redis, Rollups.live(redis).keys, ())
        reasons = reasons_of_stream(known)
        if not reasons or time.monotonic() >= deadline:
            return "; ".join(reasons)
        time.sleep(_PAUSE)


def _progress(
    config: settings.Settings, redis: Any
) -> tuple[dict[tuple[str, int], Reach], list[Gap]]:
    """Return how far each topic and partition is counted, and what is deleted but in no gap.

    Raises BrokerUnavailableError.
    """
    from stream_app.broker import admin_client
    from stream_app.lag import read_progress, unrecorded

    progress = read_progress(admin_client(config.kafka), redis, group=config.group)
    reached = {place: each.reach for place, each in progress.items()}
    return reached, unrecorded(progress, read_gaps(redis))


def _print(places: Mapping[tuple[str, int], Reach], as_json: bool) -> None:
    from stream_app.topics import EVENT_TOPICS

    topics = dict.fromkeys(EVENT_TOPICS, 0)
    for (topic, _), reach in places.items():
        topics[topic] += reach.behind
    if as_json:
        click.echo(orjson.dumps(topics))
        return
    width = max(map(len, topics))
    for topic, events in (*topics.items(), ("total", sum(topics.values()))):
        click.echo(f"{topic:<{width}}{events:>12,}")
