"""Kafka's edge, the only package that imports Faust: events in, rollups and dead letters out.

`faust -A stream_app worker` finds the app here; it is created on first access, so that
the modules beside it can be imported without Faust.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "app":
        from stream_app.faust_app import app_from_environment

        globals()["app"] = app_from_environment()
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
