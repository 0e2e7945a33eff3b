"""A PostgreSQL of its own, with default settings, in a folder that is gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from interaction_usage.servers.child import Child
from interaction_usage.servers.ports import free_port

_USER = "postgres"


class NoPostgres(Exception):
    """PostgreSQL cannot run on this machine; the text says why."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, the newest version's. Raises NoPostgres."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    raise NoPostgres("PostgreSQL is not installed")


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server on 127.0.0.1; yield how to connect. Raises NoPostgres."""
    binaries = programs()
    with tempfile.TemporaryDirectory(prefix="usage-postgres-") as name:
        folder, port = Path(name), free_port()
        as_user = _as_user(folder)
        data = folder / "data"
        made = subprocess.run(
            [
                *as_user, str(binaries / "initdb"), "-D", str(data), "-U", _USER,
                "--auth=trust", "--encoding=UTF8", "--locale=C",
            ],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        if made.returncode:
            raise NoPostgres(f"initdb failed: {made.stderr.strip().splitlines()[-1]}")
        server = Child("PostgreSQL", folder.parent / f"{folder.name}.log")
        ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        command = [
            *as_user, str(binaries / "postgres"), "-D", str(data), "-p", str(port),
            "-h", "127.0.0.1", "-k", "",
        ]  # fmt: skip
        try:
            server.start(command, lambda: subprocess.run(ready, check=False).returncode == 0)
            yield f"host=127.0.0.1 port={port} user={_USER} dbname=postgres"
        finally:
            _stop(data)
            server.stop()
            server.log.unlink(missing_ok=True)


def _as_user(folder: Path) -> Sequence[str]:
    """Return what a command begins with that PostgreSQL refuses to run as root."""
    if os.getuid():
        return ()
    for user in (_USER, "nobody"):
        if subprocess.run(["id", "-u", user], capture_output=True, check=False).returncode == 0:
            shutil.chown(folder, user)
            return ("runuser", "-u", user, "--")
    raise NoPostgres("it refuses to run as root, and there is no other user")


def _stop(data: Path) -> None:
    """End the server itself, which may be the child of a program that became another user."""
    import signal

    pid_file = data / "postmaster.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
