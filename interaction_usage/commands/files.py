"""Where commands write files: whole or not at all, and never where another user's link leads.

A new file takes the place of the old one in three steps:

1. The content is written beside it, to a file without a name (Linux), or with one that nobody can
   guess and that must not exist yet. (Ended here: nothing is left, or on other systems that file.)
2. It is flushed to the disk, so that no name ever stands for half a file.
3. It is renamed over the target. What stood there, a link too, is replaced and never opened.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from interaction_usage.commands.errors import CommandError

#: Links that lead to links, as many as Linux follows.
_MAX_LINKS = 40


def write_target(target: str, content: bytes) -> None:
    """Write *content* to what an operator named, whatever that is.

    A device or a pipe is written to and stays what it is. Behind a symbolic link it is the file
    that the link names, if the link is the operator's own, or root's. Raises CommandError.
    """
    with _failures(target):
        path = _behind_links(target)
        if path.exists() and not path.is_file():
            _write_into(path, content)
        else:
            _replace(path, content)


def replace_file(path: Path, content: bytes) -> None:
    """Write *content* to *path* itself: what stands there is replaced, a link too."""
    with _failures(str(path)):
        _replace(path, content)


def write_private(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Have *write* fill a file that only its owner can read, and put it in the place of *path*."""
    with _failures(str(path)):
        _fill(path, write, private=True)


def check_target(target: str, *, force: bool = True) -> None:
    """Raise CommandError where `write_target` could not write, as far as that can be seen now.

    Without *force* a person at a terminal does not replace a file unawares; a script may.
    """
    with _failures(target):
        path = _behind_links(target)
        if path.is_file() and not force and sys.stdin is not None and sys.stdin.isatty():
            raise CommandError(f"{target!r} exists; to replace it, pass --force.")
        if path.is_dir():
            raise CommandError(
                f"{target!r} is a folder; name a file in it, like {path / 'usage.xls'}."
            )
        if not path.parent.is_dir():
            raise CommandError(
                f"There is no folder {str(path.parent)!r} to write {path.name!r} to."
            )


def make_folder(path: Path) -> None:
    """Make *path* a folder if it is none yet. Raises CommandError, also for another user's link."""
    with _failures(str(path)):
        try:
            _behind_links(str(path))
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{str(path)!r} cannot be a folder: {error.strerror}.") from None


@contextmanager
def _failures(target: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{target!r} could not be written: {error.strerror or error}.") from None
    except ValueError:  # a null byte
        raise CommandError(f"{target!r} cannot be the name of a file.") from None


def _behind_links(target: str) -> Path:
    """Return the path that *target* leads to, by links of this user and of root only.

    Another user's link could make this one overwrite a file that only this one may write, and
    another's pipe would be given the report. Raises CommandError for them.
    """
    path = Path(target)
    for _ in range(_MAX_LINKS):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return path
        is_link = stat.S_ISLNK(found.st_mode)
        kept = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        if not kept and found.st_uid not in (os.geteuid(), 0):
            what = "symbolic link" if is_link else "pipe or device"
            raise CommandError(
                f"{str(path)!r} is a {what} of another user (uid {found.st_uid}), and is not "
                "written to; name another file with -o."
            )
        if not is_link:
            return path
        named = path.parent / os.readlink(path)
        if path.exists() and not named.exists():
            return path  # one of /proc's, which stands for an open file and not for a name
        path = named
    raise CommandError(f"{target!r} leads through too many symbolic links.")


def _write_into(path: Path, content: bytes) -> None:
    """Write *content* to what is no file, and cannot be exchanged for one."""
    with open(os.open(path, os.O_WRONLY | os.O_NOCTTY), "wb") as device:
        device.write(content)


def _replace(path: Path, content: bytes) -> None:
    """Put a file with *content* in the place of *path*."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    _fill(path, write)


def _fill(path: Path, write: Callable[[BinaryIO], None], *, private: bool = False) -> None:
    name = path.with_name(f".usage-{token_hex(8)}.tmp")
    descriptor, unnamed = _open_beside(path.parent, name)
    try:
        with open(descriptor, "wb") as file:
            mode = 0o600 if private else _mode_to_keep(path)
            if mode is not None:
                os.fchmod(descriptor, mode)
            write(file)
            file.flush()
            os.fsync(descriptor)
            if unnamed:
                # With a folder given, if only in name, Python has the kernel follow /proc's link.
                os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)
        os.replace(name, path)
    except BaseException:  # also when a signal asks for the end in between
        with suppress(OSError):
            name.unlink()
        raise


def _open_beside(folder: Path, name: Path) -> tuple[int, bool]:
    """Open a new file in *folder*, its mode by the umask; return it and whether it has no name."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with suppress(OSError):  # a file system that knows no such files
            return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666), True
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    return os.open(name, flags, 0o666), False


def _mode_to_keep(path: Path) -> int | None:
    """Return the permissions of the file at *path*; None if it is not there, or another user's."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return found.st_mode & 0o777
    return None
