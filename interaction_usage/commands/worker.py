"""`usage worker`: the Faust worker."""

import click

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.logs import LEVELS


@click.command("worker")
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(list(LEVELS)),
    help="Lowest level of log lines to show.  [default: USAGE_LOG_LEVEL, or info]",
)
@click.option(
    "--alive",
    is_flag=True,
    help="Run nothing; exit 0 if a worker of this user on this host is alive.",
)
def worker(loglevel: str | None, alive: bool) -> None:
    """Run a worker: events from Kafka into the rollups, until SIGTERM or Ctrl-C.

    Start as many as you like, on any machines: they share the partitions of the topics.

    A worker is alive as long as its event loop turns, whether Kafka and Redis answer or not: it
    touches a file (USAGE_ALIVE_FILE), which --alive looks at. With USAGE_HEALTH_PORT it answers
    /healthz while it is alive, /readyz with 200 while it counts, else with 503 and the reasons, and
    /metrics for Prometheus.

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

    code = run(create_app(config), loglevel or config.log_level, config.log_format)
    if code:
        raise CommandError("The worker stopped because of the error above.")


def _check_alive(config: settings.Settings) -> None:
    import time

    from stream_app.liveness import ALIVE_S, is_alive, runtime_folder

    if not is_alive(config.alive_file, time.time()):
        where = config.alive_file or f"{runtime_folder()}/"
        raise CommandError(
            f"No worker is alive on this host: none touched {where} within {ALIVE_S:g} s. "
            "Start one: usage worker"
        )
