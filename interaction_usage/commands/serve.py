"""`usage serve`: the dashboard and its API, until a signal ends it."""

import asyncio
import errno
import faulthandler
import gc
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.signals import call_on_signals

#: Seconds within which Redis must answer: a browser waits for it.
_REDIS_TIMEOUT_S = 5


#: Seconds within which Kafka must answer: a server that ends waits for a look at it.
_KAFKA_TIMEOUT_S = 3.0
#: Records that are read from Kafka for an explanation on a page, and the seconds it may take.
_MAX_RECORDS, _EXPLANATION_S = 200_000, 20.0

#: Seconds for which one thread runs Python while others wait for it.
_SWITCH_S = 0.001


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--open", "is_open", is_flag=True,
    help="Require no token. Only on this machine's own address (127.0.0.1).",
)  # fmt: skip
def serve(host: str, port: int, is_open: bool) -> None:
    """Serve the dashboard and its API, until Ctrl-C.

    Create tokens with `usage token create`: browsers log in with one, programs send it as a
    bearer token.

    \b
    Examples:
      usage serve --open
      usage serve --host 0.0.0.0 --port 80
    """
    from interaction_usage.dashboard.hosts import is_loopback

    if is_open and not is_loopback(host):
        raise click.UsageError(
            f"An open server would show everything to anyone who can reach {host}. "
            "Create a token with `usage token create --operator`, and omit --open."
        )
    config = settings.read()
    with redis_connection(config, patience=_REDIS_TIMEOUT_S, late=True) as redis:
        has_tokens = _has_tokens(config, redis)
        if not has_tokens and not is_loopback(host):
            raise CommandError(
                f"There is no token yet, and others can reach {host}. "
                "Create one first: usage token create --operator"
            )
        with listening(host, port) as listener:
            if not has_tokens and not is_open:
                click.echo("There is no token yet: usage token create --operator", err=True)
            click.echo(f"Dashboard: {_address(host, listener.getsockname()[1])}")
            asyncio.run(_serve(config, redis, listener, is_open))


def _has_tokens(config: settings.Settings, redis: Any) -> bool:
    """Tell whether there are tokens; where Redis is away, say so and take it that there are.

    Without a token nobody can log in, whether there are any or not.
    """
    from redis.exceptions import RedisError

    from interaction_usage.dashboard import tokens
    from interaction_usage.store.address import place
    from interaction_usage.store.errors import permanent_fault, shown

    try:
        return tokens.exist(redis)
    except RedisError as error:
        if permanent_fault(error):
            raise
        where = place(config.redis)
        click.echo(
            f"Redis at {where} does not answer: {shown(error).rstrip('.')}. Every page says so "
            "until it does.",
            err=True,
        )
        return True


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket; port 0 picks a free one. Raises CommandError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"{host}:{port} is in use by another process; choose another port with --port."
            ) from None
        code = error.errno or 0  # of a name that is not found: below 0, with a text of its own
        why = os.strerror(code) if code > 0 else error.strerror or error
        raise CommandError(f"Cannot listen on {host}:{port}: {why}.") from None
    # Connections inherit it. Without it an answer in two pieces waits 40 ms for the other side.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"


async def _serve(
    config: settings.Settings, redis: Any, listener: socket.socket, is_open: bool
) -> None:
    from interaction_usage import logs
    from interaction_usage.commands.correcting import DashboardCorrections
    from interaction_usage.commands.refusing import DashboardRefusals
    from interaction_usage.commands.reports_adjust import event_counter
    from interaction_usage.dashboard.app import create_app
    from interaction_usage.dashboard.connections import Server, most_connections
    from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S
    from stream_app.ledger import KafkaLedger

    faulthandler.enable()  # a crash in a C extension leaves the stacks of its threads in the log
    logs.configure(config.log_level, config.log_format)
    most = most_connections()
    app = create_app(
        redis, KafkaLedger(config, redis), open_to_all=is_open, lifetime=HEARTBEAT_TTL_S,
        places=places_of(config, redis), warnings=warnings_of(config),
        explain=explain_of(config), count_events=event_counter(config, redis),
        explainer=explainer_of(config, redis),
        hides_sessions=config.hide_sessions, corrections=DashboardCorrections(config, redis),
        refused=DashboardRefusals(config),
        connections=most, alerts_allowed_networks=config.alerts_allowed_networks,
    )  # fmt: skip
    server = Server(app, most)

    def stop() -> None:
        app.state.broadcast.end()  # or open streams would delay the shutdown
        server.should_exit = True

    gc.collect()
    gc.freeze()  # what is there now stays
    # A thread that makes a report lets the event loop have its turn after this many seconds.
    sys.setswitchinterval(_SWITCH_S)
    call_on_signals(asyncio.get_running_loop(), stop)
    await server._serve([listener])  # `serve` would take the signals, and raise them again


def explain_of(config: settings.Settings) -> Any:
    """Return a function that returns what a revision changes of an issued report."""
    from interaction_usage.commands.reports_diff import revision_of
    from interaction_usage.store.errors import LedgerUnavailableError

    def explain(stored: Any, basis: Any) -> Any:
        try:
            return revision_of(config, stored, basis)
        except CommandError as error:
            raise LedgerUnavailableError(error.message) from None

    return explain


def places_of(config: settings.Settings, redis: Any) -> Any:
    """Return a function that returns how far each topic-partition is counted, and its end."""
    from interaction_usage.dashboard.health import KafkaUnavailableError
    from rollups.watermark import Reach
    from stream_app.broker import admin_client
    from stream_app.errors import (
        BrokerDeniedError,
        BrokerUnavailableError,
        TopicDeletedError,
        TopicsMissingError,
    )
    from stream_app.lag import partition_progress

    admin = admin_client(config.kafka)

    def places() -> dict[tuple[str, int], Reach]:
        try:
            return partition_progress(admin, redis, _KAFKA_TIMEOUT_S, config.group)
        except BrokerDeniedError as error:
            raise KafkaUnavailableError(str(error), "kafka-denied") from None
        except (TopicDeletedError, TopicsMissingError) as error:
            raise KafkaUnavailableError(str(error), "topic-missing") from None
        except BrokerUnavailableError as error:
            raise KafkaUnavailableError(f"{config.kafka}: {error}") from None

    return places


def warnings_of(config: settings.Settings) -> Any:
    """Return a function that returns what may become trouble later, a sentence each."""
    from interaction_usage.dashboard.health import KafkaUnavailableError
    from stream_app.broker import admin_client
    from stream_app.errors import BrokerUnavailableError
    from stream_app.retention import ADVICE, read_warnings
    from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS

    admin = admin_client(config.kafka)

    def warnings() -> list[str]:
        try:
            topics, now_ms = (*EVENT_TOPICS, DEAD_LETTERS), int(time.time() * 1000)
            found = read_warnings(admin, topics, now_ms, _KAFKA_TIMEOUT_S)
        except BrokerUnavailableError as error:
            raise KafkaUnavailableError(f"{config.kafka}: {error}") from None
        return [f"{each}. {ADVICE}" for each in found]

    return warnings


def explainer_of(config: settings.Settings, redis: Any) -> Any:
    """Return what explains numbers by events; None where the packages for it are missing."""
    try:
        from interaction_usage.explanations.service import Explainer
        from interaction_usage.explanations.sources import source_of
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(("interaction_usage", "stream_app")):
            raise
        return None
    return Explainer(redis, source_of(config, _MAX_RECORDS, _EXPLANATION_S), _EXPLANATION_S)
