"""Whether a worker's event loop turns: a file that it touches, whatever Kafka and Redis do.

A supervisor that ends a worker for it would otherwise end all of them whenever Kafka or Redis is
away, just as they are needed.
"""

import asyncio
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Seconds between two touches.
TOUCH_INTERVAL_S: Final = 1.0
#: Seconds after the last touch from which a worker counts as hung.
ALIVE_S: Final = 10.0

_SUFFIX: Final = ".alive"


def runtime_folder() -> Path:
    """Return the folder of this user in which each worker of this host has a file."""
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(parent) / f"usage-{os.getuid()}"


def is_alive(alive_file: str, now: float) -> bool:
    """Tell whether the worker with this *alive_file*, or without one any of this user, is alive.

    *now* is the time of the clock that files are dated by.
    """
    files = [Path(alive_file)] if alive_file else _files_of_workers()
    return any(_is_fresh(path, now) for path in files)


def _files_of_workers() -> list[Path]:
    folder = runtime_folder()
    return list(folder.glob(f"*{_SUFFIX}")) if _is_ours(folder) else []


def _is_fresh(path: Path, now: float) -> bool:
    try:
        return now - path.stat().st_mtime <= ALIVE_S
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Tell whether no other user can put files, or links, into *folder*."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and found.st_uid == os.getuid()


class Liveness:
    """Touches the file of this process."""

    def __init__(self, alive_file: str) -> None:
        self._is_shared_folder = not alive_file
        self.path = Path(alive_file) if alive_file else runtime_folder() / f"{os.getpid()}{_SUFFIX}"

    async def run(self) -> None:
        """Touch it until the loop ends, which removes it."""
        was_writable = True
        try:
            while True:
                is_writable = self._touch(warn=was_writable)
                was_writable = is_writable
                await asyncio.sleep(TOUCH_INTERVAL_S)
        finally:
            with suppress(OSError):
                self.path.unlink()

    def _touch(self, *, warn: bool) -> bool:
        try:
            if self._is_shared_folder:
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
                if not _is_ours(self.path.parent):
                    raise PermissionError("the folder belongs to somebody else")
            self.path.touch()
        except OSError as error:
            if warn:
                why = error.strerror or error
                log.warning(
                    "%s cannot be written (%s), so usage worker --alive says that no worker is "
                    "alive. Set USAGE_ALIVE_FILE to a file that can be", self.path, why,
                )  # fmt: skip
            return False
        return True
