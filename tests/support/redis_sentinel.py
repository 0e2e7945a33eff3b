"""A Redis with a replica on 127.0.0.1, and three sentinels that promote it."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.servers.child import Child
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import RedisServer, binary
from tests.support.redis_certificates import tls_options

SERVICE = "usage-master"
#: Milliseconds without an answer after which a sentinel takes the master for failed.
_DOWN_MS = 1_000
_PATIENCE_S = 60.0

_CONFIGURATION = """
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} {down}
sentinel failover-timeout {service} 3000
sentinel parallel-syncs {service} 1
{more}
"""


class WatchedRedis:
    """A master and a replica, each with its data in a folder, and three sentinels.

    `password` is that of the sentinels, `extra` are further arguments of both servers. With
    `certificates` (`redis_certificates`) all speak TLS with each other, and sentinels with clients.
    """

    def __init__(
        self,
        folder: Path,
        *,
        extra: Sequence[str] = (),
        password: str = "",
        certificates: Path | None = None,
    ) -> None:
        self.folder, self._password = folder, password
        self._tls = tls_options(certificates) | {"tls-replication": "yes"} if certificates else {}
        tls = [word for name, text in self._tls.items() for word in (f"--{name}", text)]
        options = ("--repl-diskless-sync-delay", "0", *tls, *extra)
        #: The ports by which clients, and the sentinels, reach the master and the replica.
        self._ports = [free_port() for _ in range(2)]

        def server(name: str, port: int, *more: str) -> RedisServer:
            with_tls = ("--tls-port", str(port)) if certificates else ()
            own = None if certificates else port  # this one is for the test alone
            return RedisServer(folder / name, port=own, extra=(*options, *with_tls, *more))

        self.master = server("master", self._ports[0])
        follows = ("--replicaof", f"127.0.0.1 {self._ports[0]}")
        self.replica = server("replica", self._ports[1], *follows)
        self.ports = [free_port() for _ in range(3)]
        self._sentinels = [
            Child("A sentinel", folder / f"sentinel-{port}.log") for port in self.ports
        ]

    @property
    def url(self) -> str:
        """The URL of the service, by its sentinels."""
        places = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"{'rediss' if self._tls else 'redis'}+sentinel://{places}/{SERVICE}/0"

    def start(self) -> None:
        """Start everything, and wait until each sentinel knows the replica and the others."""
        self.master.start()
        self.replica.start()
        until(lambda: _info(self.replica, "replication")["master_link_status"] == "up")
        more = f"requirepass {self._password}\nsentinel sentinel-pass {self._password}"
        more = more if self._password else ""
        more += "".join(f"\n{name} {text}" for name, text in self._tls.items())
        for port, child in zip(self.ports, self._sentinels, strict=True):
            path = self.folder / f"sentinel-{port}.conf"
            path.write_text(
                _CONFIGURATION.format(
                    port=f"0\ntls-port {port}" if self._tls else port, folder=self.folder,
                    service=SERVICE, master=self._ports[0], down=_DOWN_MS, more=more,
                )
            )  # fmt: skip
            child.start([str(binary("redis")), str(path), "--sentinel"], lambda: True)
        until(lambda: all(map(self._is_whole, self.ports)))

    def stop(self) -> None:
        """End everything at once."""
        for child in self._sentinels:
            child.kill()
        for server in (self.master, self.replica):
            server.kill()

    def cut_off(self) -> None:
        """Keep the replica from getting anything more, for less than ten times `_DOWN_MS`."""
        with Redis.from_url(self.replica.url) as client:
            client.config_set("masterauth", "which the master does not take")
            client.execute_command("CLIENT KILL TYPE master")

    def is_equal(self) -> bool:
        """Tell whether the replica has everything that the master has."""
        places = [_info(server, "replication") for server in (self.master, self.replica)]
        return bool(places[0]["master_repl_offset"] == places[1]["slave_repl_offset"])

    def wait_for_failover(self) -> None:
        """Wait until the sentinels have promoted the replica."""
        until(lambda: _role(self.replica) == "master")
        until(lambda: all(self._master(port) == str(self._ports[1]) for port in self.ports))

    def _is_whole(self, port: int) -> bool:
        state = self._state(port)
        return state.get("num-slaves") == "1" and state.get("num-other-sentinels") == "2"

    def _master(self, port: int) -> str:
        return self._state(port).get("port", "")

    def _state(self, port: int) -> dict[str, str]:
        try:
            security: dict[str, Any] = (
                {"ssl": True, "ssl_ca_certs": self._tls["tls-ca-cert-file"]} if self._tls else {}
            )
            with Redis(
                "127.0.0.1", port, password=self._password, decode_responses=True, **security
            ) as client:
                answer: Any = client.execute_command("SENTINEL MASTER", SERVICE)
        except RedisError:
            return {}
        if isinstance(answer, dict):
            return {str(name): str(value) for name, value in answer.items()}
        return dict(zip(*[iter(answer)] * 2, strict=True))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "the sentinels did not get there in time"
        time.sleep(0.05)


def _role(server: RedisServer) -> str:
    """Return `master` or `slave`; nothing while it closes connections to change its role."""
    try:
        return str(_info(server, "replication")["role"])
    except RedisError:
        return ""


def _info(server: RedisServer, section: str) -> dict[str, Any]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        found: dict[str, Any] = client.info(section)
        return found


@contextmanager
def watched_redis(
    folder: Path | None = None,
    *,
    extra: Sequence[str] = (),
    password: str = "",
    certificates: Path | None = None,
) -> Iterator[WatchedRedis]:
    """Yield a master, a replica and sentinels until the block ends."""
    with tempfile.TemporaryDirectory(prefix="usage-sentinel-") as temporary:
        watched = WatchedRedis(
            folder or Path(temporary), extra=extra, password=password, certificates=certificates
        )
        try:
            watched.start()
            yield watched
        finally:
            watched.stop()
