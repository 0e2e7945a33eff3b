"""`usage worker`: the Faust worker."""

import click

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError


@click.command("worker")
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(["debug", "info", "warn", "error"]),
    default="warn",
    show_default=True,
    help="Lowest level of log lines to show.",
)
@click.option(
    "--alive",
    is_flag=True,
    help="Run nothing; exit 0 if a worker on this host sent a heartbeat in the last 10 s.",
)
def worker(loglevel: str, alive: bool) -> None:
    """Run a worker: events from Kafka into the rollups, until SIGTERM or Ctrl-C.

    Start as many as you like, on any machines: they share the partitions of the topics.

    \b
    Example:
      USAGE_KAFKA=127.0.0.1:9092 USAGE_REDIS=redis://127.0.0.1:6379/0 usage worker
    """
    config = settings.read()
    if alive:
        _check_alive(config)
        return
    click.echo(f"Worker: Kafka {config.kafka}, group {config.group}", err=True)
    from stream_app.faust_app import create_app
    from stream_app.worker_process import run

    code = run(create_app(config), loglevel)
    if code:
        raise CommandError("The worker stopped because of the error above.")


def _check_alive(config: settings.Settings) -> None:
    import socket

    from interaction_usage.commands.connection import redis_connection
    from interaction_usage.store.worker_registry import heartbeats

    with redis_connection(config) as redis:
        host = f"{socket.gethostname()}:"
        if not any(heartbeat.worker.startswith(host) for heartbeat in heartbeats(redis)):
            raise CommandError("No heartbeat from a worker on this host.")
