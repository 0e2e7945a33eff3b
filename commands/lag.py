"""`usage lag`: how far the rollups are behind what was published."""

import time
from typing import Any

import click
import orjson

import settings
from commands.connection import redis_connection
from commands.errors import Failure

#: Seconds between two looks while waiting.
_PAUSE = 0.1


@click.command("lag")
@click.option(
    "--until-zero",
    "seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait until there is none; exit 1 when the time runs out.",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, topic to events.")
def lag(seconds: float | None, as_json: bool) -> None:
    """Show how many published events are not yet in the rollups, per topic.

    0 means that every event published before the call is in the rollups or in the dead letters.

    \b
    Example:
      usage lag --until-zero 30
    """
    config = settings.read()
    deadline = time.monotonic() + (seconds or 0)
    with redis_connection(config) as redis:
        while True:
            over = seconds is None or time.monotonic() >= deadline
            try:
                topics = behind(config, redis)
            except Failure:
                if over:
                    raise
                time.sleep(_PAUSE)  # a broker that restarts answers again
                continue
            total = sum(topics.values())
            if over or total == 0:
                break
            time.sleep(_PAUSE)
    _print(topics, as_json)
    if seconds is not None and total:
        raise Failure(f"After {seconds:g} s, {total:,} events are not in the rollups.")


def behind(config: settings.Settings, redis: Any) -> dict[str, int]:
    """Return per topic how many offsets lie between the rollups and the end of the topic."""
    from stream_app.broker import BrokerAway, admin_client
    from stream_app.topics import EVENT_TOPICS

    try:
        places = reached(admin_client(config.kafka), redis)
    except BrokerAway as error:
        raise Failure(f"Kafka at {config.kafka}: {error}.") from None
    found = dict.fromkeys(EVENT_TOPICS, 0)
    for (topic, _), (counted, end) in places.items():
        found[topic] += end - counted
    return found


def reached(
    admin: Any, redis: Any, timeout: float = 10.0
) -> dict[tuple[str, int], tuple[int, int]]:
    """Return per topic and partition the offset up to which it is counted, and its end.

    *admin* is a client as `stream_app.broker.admin_client` makes it. Raises BrokerAway.
    """
    from rollups import keys
    from rollups.reads import Position, Rollups
    from stream_app.broker import spans_of, topic_ids
    from stream_app.topics import EVENT_TOPICS

    ends = spans_of(admin, EVENT_TOPICS, timeout)
    ids = topic_ids(admin, EVENT_TOPICS, timeout)
    # Read after the ends: what was published before the call is seen.
    done = Rollups.live(redis).positions()
    found = {}
    for (topic, partition), span in ends.items():
        at = done.get(keys.fence(topic, partition, ids[topic]), Position(0)).offset
        found[topic, partition] = (min(max(at, span.begin), span.end), span.end)
    return found


def _print(topics: dict[str, int], as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(topics))
        return
    for topic, events in topics.items():
        click.echo(f"{topic:<16}{events:>12,}")
    click.echo(f"{'total':<16}{sum(topics.values()):>12,}")
