"""The file that a worker's event loop touches, and who believes it."""

import asyncio
import logging
import os
import tempfile
from pathlib import Path

import pytest

from stream_app import liveness
from stream_app.liveness import ALIVE_S, Liveness, is_alive


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(liveness, "TOUCH_INTERVAL_S", 0.01)


async def run_for_a_moment(alive: Liveness) -> None:
    """Touch the file some times, and end."""
    task = asyncio.create_task(alive.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("name", ["", "worker.alive"])
def test_a_worker_is_alive_while_the_loop_touches_the_file(tmp_path: Path, name: str) -> None:
    """Its own file, or the one of the setting; it goes with the worker."""
    alive_file = name and str(tmp_path / name)

    async def look() -> None:
        alive = Liveness(alive_file)
        task = asyncio.create_task(alive.run())
        await asyncio.sleep(0.05)
        touched = alive.path.stat().st_mtime
        assert is_alive(alive_file, touched + ALIVE_S)
        assert not is_alive(alive_file, touched + ALIVE_S + 0.1)
        assert alive_file or alive.path.stem == str(os.getpid())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not is_alive(alive_file, touched)

    asyncio.run(look())


def test_no_worker_is_alive_before_the_first() -> None:
    """There is not even a folder."""
    assert not is_alive("", 0.0)


def test_a_file_that_cannot_be_written_is_named_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The worker goes on: it counts without the file as well."""
    with caplog.at_level(logging.WARNING):
        asyncio.run(run_for_a_moment(Liveness(str(tmp_path / "nowhere" / "alive"))))
    [said] = caplog.messages
    assert "cannot be written" in said
    assert "USAGE_ALIVE_FILE" in said


def test_links_of_others_are_not_followed(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """In a folder that everybody may write to, somebody else may have been first."""
    with tempfile.TemporaryDirectory() as elsewhere:
        liveness.runtime_folder().symlink_to(elsewhere)
        asyncio.run(run_for_a_moment(Liveness("")))
        assert list(Path(elsewhere).iterdir()) == []
        (Path(elsewhere) / "1.alive").touch()
        assert not is_alive("", 0.0)
    assert "belongs to somebody else" in caplog.text
