"""Clients of the master of a service that sentinels watch, also after a failover.

Each new connection asks the sentinels where the master is. One that was demoted answers READONLY to
writes, and redis-py closes the connection then; sentinels close all connections of a server that
they demote or promote. So nothing goes on with another server than before on a connection that was
checked, and a worker notices what a replica that was promoted did not have as it does after a
restart (`nodes.Node.confirm`).
"""

import ssl
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.client import Redis
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from interaction_usage.store.address import Sentinels
from interaction_usage.store.errors import SENTINELS_REFUSE, causes

#: Seconds that a sentinel may take to answer before another one is asked.
_TIMEOUT_S = 2.0


class _Manager(Sentinel):
    """Asks sentinels where the master is, and says in a sentence why none tells."""

    def discover_master(self, service_name: str) -> Any:
        """Return host and port. Raises MasterNotFoundError and AuthenticationError."""
        parent: Any = super()  # which has no types
        try:
            return parent.discover_master(service_name)
        except MasterNotFoundError as error:
            text = str(error)
        for each in self.sentinels if _has_tls(self) else ():
            try:
                each.ping()
            except RedisError as error:
                refused = error
                if _is_of_tls(refused):
                    break
        else:
            refused = _failure(service_name, text, len(self.sentinels))
        raise refused


class _AsyncManager(AsyncSentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        """Return host and port. Raises MasterNotFoundError and AuthenticationError."""
        parent: Any = super()
        try:
            return await parent.discover_master(service_name)
        except AsyncMasterNotFoundError as error:
            text = str(error)
        for each in self.sentinels if _has_tls(self) else ():
            try:
                await each.ping()
            except RedisError as error:
                refused = error
                if _is_of_tls(refused):
                    break
        else:
            refused = _failure(service_name, text, len(self.sentinels))
        raise refused


def _has_tls(manager: Any) -> bool:
    return bool(manager.sentinel_kwargs.get("ssl"))


def _is_of_tls(error: RedisError) -> bool:
    """Tell whether TLS keeps sentinels from answering, which redis-py does not say of them."""
    return any(isinstance(cause, ssl.SSLError) for cause in causes(error))


def _failure(service: str, text: str, count: int) -> RedisError:
    """Return what redis-py says in *text*, which shows all that it knows of *count* sentinels."""
    if text.count("AuthenticationError") == count:
        return AuthenticationError(SENTINELS_REFUSE)
    if text.count(" - ") >= count:
        return MasterNotFoundError("no sentinel answers")
    return MasterNotFoundError(
        f"the sentinels know no master of the service {service}; is that its name?"
    )


class _Master(Redis):
    """A client that closes those of the sentinels, too."""

    manager: Any

    def close(self) -> None:
        """Close all connections."""
        super().close()
        for each in self.manager.sentinels:
            each.close()


class _AsyncMaster(AsyncRedis):
    """The same for asyncio."""

    manager: Any

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        await super().aclose(close_connection_pool)
        await self.manager.aclose()


def master(found: Sentinels, **options: Any) -> Redis:
    """Return a client of the service's master, with further *options* of redis-py."""
    new_manager: Any = _Manager  # which has no types
    manager = new_manager(
        found.places, sentinel_kwargs=_of_sentinels(found) | {"retry": Retry(NoBackoff(), 0)}
    )
    client: _Master = manager.master_for(
        found.service, redis_class=_Master, **_of_servers(found), **options
    )
    client.manager = manager
    return client


def async_master(found: Sentinels, **options: Any) -> AsyncRedis:
    """Return the same for asyncio."""
    new_manager: Any = _AsyncManager
    manager = new_manager(
        found.places, sentinel_kwargs=_of_sentinels(found) | {"retry": AsyncRetry(NoBackoff(), 0)}
    )
    client: _AsyncMaster = manager.master_for(
        found.service, redis_class=_AsyncMaster, **_of_servers(found), **options
    )
    client.manager = manager
    return client


def _of_servers(found: Sentinels) -> dict[str, Any]:
    """Return the arguments of connections to the service's servers."""
    parse: Any = parse_url  # which has no types
    arguments: dict[str, Any] = dict(parse(found.server_url))
    del arguments["host"]
    if arguments.pop("connection_class", None):
        arguments["ssl"] = True
    return arguments


def _of_sentinels(found: Sentinels) -> dict[str, Any]:
    """Return the arguments of connections to the sentinels: with TLS where the servers have it."""
    servers = _of_servers(found)
    arguments = {name: value for name, value in servers.items() if name.startswith("ssl")}
    arguments |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _TIMEOUT_S)
    if found.password:
        arguments |= {"username": found.username or None, "password": found.password}
    return arguments
