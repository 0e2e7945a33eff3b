"""`usage lag`: how far the rollups are behind what was published."""

import time

import click
import orjson

import settings
from commands.connection import redis_connection
from commands.errors import Failure

#: Seconds between two looks while waiting.
_PAUSE = 0.1


@click.command("lag")
@click.option("--until-zero", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait until there is none; exit 1 when the time runs out.")
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
            behind = _behind(config, redis)
            total = sum(behind.values())
            if seconds is None or total == 0 or time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE)
    _print(behind, as_json)
    if seconds is not None and total:
        raise Failure(f"After {seconds:g} s, {total:,} events are not in the rollups.")


def _behind(config: settings.Settings, redis) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Return per topic how many offsets lie between the rollups and the end of the topic."""
    from rollups import keys
    from rollups.store import positions
    from stream_app.broker import BrokerAway, spans
    from stream_app.topics import EVENT_TOPICS

    try:
        ends = spans(config.kafka, EVENT_TOPICS)
    except BrokerAway as error:
        raise Failure(f"Kafka at {config.kafka}: {error}.") from None
    done = positions(redis)  # read after the ends: what was published before the call is seen
    behind = dict.fromkeys(EVENT_TOPICS, 0)
    for (topic, partition), span in ends.items():
        reached = max(done.get(keys.fence(topic, partition), 0), span.begin)
        behind[topic] += max(0, span.end - reached)
    return behind


def _print(behind: dict[str, int], as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(behind))
        return
    for topic, events in behind.items():
        click.echo(f"{topic:<16}{events:>12,}")
    click.echo(f"{'total':<16}{sum(behind.values()):>12,}")
