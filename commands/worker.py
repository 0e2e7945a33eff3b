"""`usage worker`: the Faust worker."""

import click

import settings
from commands.errors import Failure


@click.command("worker")
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(["debug", "info", "warn", "error"]),
    default="warn",
    show_default=True,
    help="The least severe log line to show.",
)
def worker(loglevel: str) -> None:
    """Run a worker: events from Kafka into the rollups, until SIGTERM or Ctrl-C.

    Start as many as you like, on any machines: they share the topics' partitions.

    \b
    Example:
      USAGE_KAFKA=127.0.0.1:9092 USAGE_REDIS=redis://127.0.0.1:6379/0 usage worker
    """
    config = settings.read()
    click.echo(f"Worker: Kafka {config.kafka}, group {config.group}", err=True)
    from stream_app.faust_app import create_app
    from stream_app.run import run

    code = run(create_app(config), loglevel)
    if code:
        raise Failure("The worker ended because of the error above.")
