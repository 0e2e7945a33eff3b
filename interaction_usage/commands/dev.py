"""`usage dev`: a broker and Redis for development, in the foreground."""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import click

from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.child import ServerError
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import Flavour, redis_server

_LOOK_SECONDS = 0.2  # between two looks at whether the servers still run

Check = Callable[[], None]


@click.command("dev")
@click.option(
    "--kafka",
    type=click.Choice(["embedded", "apache"]),
    default="embedded",
    show_default=True,
    help="embedded: in this process, starts at once, keeps no data. apache: a real Apache Kafka "
    "(needs Java 17; Maven downloads it the first time).",
)
@click.option(
    "--redis",
    type=click.Choice(["auto", "redis", "valkey"]),
    default="auto",
    show_default=True,
    help="auto: redis-server from the PATH, otherwise the bundled Valkey.",
)
@click.option(
    "--kafka-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of Apache Kafka.  [default: any free port]",
)
@click.option(
    "--redis-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of Redis.  [default: any free port]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data in this directory and reuse it next time.",
)
def dev(
    kafka: Literal["embedded", "apache"],
    redis: Flavour,
    kafka_port: int,
    redis_port: int,
    data: Path | None,
) -> None:
    """Run a broker and Redis for development until Ctrl-C.

    Prints USAGE_KAFKA=… and USAGE_REDIS=…, one a line, when both are ready; everything else goes
    to standard error. Both listen on 127.0.0.1 only.

    \b
    Example, with data that is kept:
      usage dev --kafka apache --data ./data
    then, in another terminal, with the two addresses it printed:
      export USAGE_KAFKA=127.0.0.1:PORT USAGE_REDIS=redis://127.0.0.1:PORT/0
      usage worker
    """
    if kafka == "embedded" and kafka_port:
        raise click.UsageError("--kafka-port needs --kafka apache: the embedded one picks its own.")
    if kafka == "embedded" and data is not None:
        _say("The embedded broker keeps no data; --data applies to Redis only.")
    with ExitStack() as running:
        try:
            running.enter_context(stopping_on_signals())
            kept = None if data is None else data.absolute()
            bootstrap, broker_check = _start_broker(running, kafka, kafka_port, kept)
            store = running.enter_context(
                redis_server(kept and kept / "redis", port=redis_port or None, flavour=redis)
            )
            click.echo(f"USAGE_KAFKA={bootstrap}\nUSAGE_REDIS={store.url}")
            sys.stdout.flush()
            _say("Both are ready. Press Ctrl-C to stop them.")
            while True:
                broker_check()
                store.check()
                time.sleep(_LOOK_SECONDS)
        except ServerError as error:
            raise CommandError(str(error)) from error
        except StopRequested:
            _say("Stopping.")


def _start_broker(
    running: ExitStack, kind: Literal["embedded", "apache"], port: int, kept: Path | None
) -> tuple[str, Check]:
    """The new broker's bootstrap address, and what raises ServerError when it has ended."""
    if kind == "embedded":
        return running.enter_context(mock_broker()).bootstrap, lambda: None
    if kept is None:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="usage-kafka-")))
    else:
        folder = kept / "kafka"
    broker = running.enter_context(ApacheKafka(folder, port or None, progress=_say))
    return broker.bootstrap, broker.check


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
