"""Every kind of address that a Redis may have: a socket, sentinels, a cluster with TLS."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_cluster import RedisCluster
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.address import Login, place, sentinels, with_login
from interaction_usage.store.client import connect
from interaction_usage.store.errors import LostWritesError, permanent_fault, shown
from interaction_usage.store.reads import Rollups
from rollups.watermark import Position
from tests.store.redis_side import writing
from tests.support.redis_certificates import make_certificates, tls_options
from tests.support.redis_sentinel import SERVICE, until, watched_redis


def count(url: str, offset: int = 1) -> None:
    """Count up to an *offset*, and check that this is there."""

    async def advance() -> None:
        async with writing(url) as writer:
            await writer.check_fitness()
            await writer.begin(["a/0"])
            await writer.advance({"a/0": Position(offset, 7)})

    asyncio.run(advance())
    with connect(url) as client:
        assert Rollups.live(client).positions() == {"a/0": Position(offset, 7)}


def test_a_socket(tmp_path: Path) -> None:
    """With a password, in another database than the first."""
    path = tmp_path / "s"
    extra = ("--unixsocket", str(path), "--requirepass", "p@ss/w")
    with redis_server(extra=extra, password="p@ss/w"):
        url = with_login(f"unix://{path}?db=3", Login(password="p@ss/w"))
        count(url)
        assert place(url) == str(path)
        with pytest.raises(RedisError) as refused, connect(f"unix://{path}") as client:
            client.ping()
        assert "requires a password" in (permanent_fault(refused.value) or "")


def test_what_a_url_of_sentinels_names() -> None:
    """Hosts with and without a port, the service, and both logins."""
    found = sentinels(
        "rediss+sentinel://u:p%40@a:1,[::1]:2,b/s/3?sentinel_password=x&ssl_password=y"
    )
    assert found == (
        (("a", 1), ("::1", 2), ("b", 26379)), "s", "rediss://u:p%40@s/3?ssl_password=y", "", "x",
    )  # fmt: skip
    assert sentinels("redis://h/0") is None
    assert place("redis+sentinel://u:p@a:1,b/s/3?sentinel_password=x") == "a:1,b/s/3"


def test_what_sentinels_refuse_is_said(tmp_path: Path) -> None:
    """A login, a name, and none that answers; without what redis-py knows of them."""
    with watched_redis(tmp_path, password="sentinels-own") as watched:
        login = "?sentinel_password=sentinels-own"
        count(watched.url + login)

        def failure(url: str) -> Exception:
            with pytest.raises(RedisError) as failed, connect(url, socket_timeout=2) as client:
                client.ping()
            return failed.value

        for url in (watched.url, f"{watched.url}?sentinel_password=x"):
            assert "sentinels do not accept the login" in (permanent_fault(failure(url)) or "")
        other = failure(watched.url.replace(SERVICE, "other") + login)
        assert shown(other).startswith("the sentinels know no master of the service other")
        assert permanent_fault(other) is None
        away = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/{SERVICE}"
        assert shown(failure(away)) == "no sentinel answers"


def test_a_replica_that_is_promoted_is_checked(tmp_path: Path) -> None:
    """[both have 1][the master alone has 2], then the replica is the master."""
    with watched_redis(tmp_path) as watched:

        async def advance() -> None:
            async with writing(watched.url) as writer:
                await writer.begin(["a/0"])
                await writer.advance({"a/0": Position(1, 7)})
                until(watched.is_equal)
                watched.cut_off()
                await writer.advance({"a/0": Position(2, 7)})
                watched.master.kill()
                watched.wait_for_failover()
                with suppress(RedisError, OSError):  # the connection is lost, which it notices now
                    await writer.advance({"a/0": Position(3, 7)})
                with pytest.raises(LostWritesError):
                    await writer.advance({"a/0": Position(3, 7)})

        asyncio.run(advance())


class _EncryptedCluster(RedisCluster):
    """A cluster whose nodes take connections with TLS, too, and say so."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        self._certificates = certificates
        super().__init__(folder)

    def _server(self, name: str) -> RedisServer:
        server = super()._server(name)
        options = tls_options(self._certificates)
        server.tls_port = free_port()  # type: ignore[attr-defined]
        server._options += [
            *("--tls-port", str(server.tls_port)),  # type: ignore[attr-defined]
            *("--tls-cluster", "yes"),  # or nodes know only of their own ports for TLS
            *(word for name, text in options.items() for word in (f"--{name}", text)),
        ]  # fmt: skip
        return server


@pytest.fixture
def certificates(tmp_path: Path, need: Callable[[str, str], str]) -> Path:
    """Return a folder with a certificate for 127.0.0.1, its key, and that of its authority."""
    openssl = need("openssl", "TLS to Redis")
    return make_certificates(tmp_path / "certificates", openssl)


def test_a_cluster_with_tls(tmp_path: Path, certificates: Path) -> None:
    """Each node is reached by its port for TLS, which the one that is named tells."""
    cluster = _EncryptedCluster(tmp_path / "cluster", certificates)
    try:
        cluster.start()
        port = cluster.primaries[0].tls_port  # type: ignore[attr-defined]
        url = f"rediss://127.0.0.1:{port}?cluster=true"
        count(f"{url}&ssl_ca_certs={certificates}/ca.crt")
        with pytest.raises(RedisError) as refused:
            connect(url)
        assert "certificate of Redis is not trusted" in (permanent_fault(refused.value) or "")
    finally:
        cluster.stop()


def test_sentinels_with_tls(tmp_path: Path, certificates: Path) -> None:
    """They take connections with TLS alone, and what a client does not trust is said."""
    with watched_redis(tmp_path / "redis", certificates=certificates) as watched:
        assert watched.url.startswith("rediss+sentinel://")
        count(f"{watched.url}?ssl_ca_certs={certificates}/ca.crt")
        count(with_login(watched.url, Login(ssl_ca_location=f"{certificates}/ca.crt")), 2)

        def failure(url: str) -> str:
            with pytest.raises(RedisError) as failed, connect(url, socket_timeout=2) as client:
                client.ping()
            return permanent_fault(failed.value) or shown(failed.value)

        assert "certificate of Redis is not trusted" in failure(watched.url)
        assert "no sentinel answers" in failure(watched.url.replace("rediss", "redis"))
