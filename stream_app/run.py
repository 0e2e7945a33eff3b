"""Running the worker in this process, quietly: no banner, no redirected output."""

from typing import Any

from faust.worker import Worker


class _QuietWorker(Worker):  # type: ignore[misc]
    """Faust's worker without its spinner on the terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None


def run(app: Any, loglevel: str) -> int:
    """Run *app* until a signal ends it; return the exit code."""
    app.finalize()
    app.worker_init()
    worker = _QuietWorker(app, loglevel=loglevel, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0
