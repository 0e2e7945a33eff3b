"""What can be wrong with the Redis that holds the rollups, and whether waiting would help."""

import re
import ssl
from collections.abc import Iterator, Mapping

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)

#: Where it is written which commands and keys each user of Redis needs.
_RIGHTS = "docs/redis.md has the ACL line that each command needs"

#: What is wrong where the settings do not say that Redis is a cluster.
OF_A_CLUSTER = "this Redis is a node of a cluster; add ?cluster=true to USAGE_REDIS"


def permanent_fault(error: BaseException) -> str | None:
    """Return a sentence where *error* comes again however long one waits; None where it may pass.

    The sentence says what is wrong with Redis, or its settings, and what to do. It is made of
    nothing that could be a secret: Redis repeats the arguments of a command that it does not know.
    """
    for cause in causes(error):
        if isinstance(cause, BeginAgain):
            return None
        if isinstance(cause, UnfitRedis):
            return str(cause)
        if sentence := _fault_of(cause):
            return sentence
    return None


def is_denied(error: BaseException) -> bool:
    """Tell whether *error* says that Redis lacks a command, or does not let this user run it."""
    return isinstance(error, NoPermissionError) or "unknown command" in str(error)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and what it was raised for: clients wrap what happens in a new connection."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _fault_of(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return (
            f"the certificate of Redis is not trusted ({why}); name the "
            "right authority (?ssl_ca_certs=FILE), or the right host, in USAGE_REDIS"
        )
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "this Redis port does not use TLS; use redis:// instead of rediss://"
    if type(error) is ssl.SSLError:  # those for a connection that was closed are its subclasses
        reason = (error.reason or "unknown reason").lower().replace("_", " ")
        return f"TLS with Redis fails ({reason}); check the ssl_ options of USAGE_REDIS"
    if not isinstance(error, RedisError):
        return None
    text = str(error)
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return _authentication(text)
    if isinstance(error, NoPermissionError) or _IN_A_SCRIPT.search(text):
        return _permission(text)
    for pattern, sentence in _LASTING.items():
        if found := re.search(pattern, text):
            return sentence.format(*found.groups())
    return None


def _authentication(text: str) -> str:
    if "required" in text:
        return "Redis asks for a password; write it into USAGE_REDIS: redis://:PASSWORD@HOST:PORT/0"
    if "without any password" in text or "no password is set" in text:
        return "Redis has no password, but USAGE_REDIS has one; leave it out"
    return "Redis does not accept the user name or password in USAGE_REDIS"


_IN_A_SCRIPT = re.compile("ACL failure in script|user executing the script can't")


def _permission(text: str) -> str:
    if command := re.search(r"permissions to run the '([A-Za-z|-]{1,40})'", text):
        return f"the Redis user may not run {command[1].upper()}; {_RIGHTS}"
    if re.search("access .*key", text):
        return f"the Redis user may not use a key that is needed; {_RIGHTS}"
    return f"the Redis user may not run a command that is needed; {_RIGHTS}"


#: What Redis answers, and what it means.
_LASTING = {
    r"unknown (?:sub)?command '?`?([A-Za-z|-]{1,40})": (
        "Redis does not have the command {0}: it was renamed, or this is no server that will do; "
        "docs/redis.md has the commands that are needed"
    ),
    "DB index is out of range|invalid DB index": (
        "Redis does not have the database that USAGE_REDIS names; use a lower number, or 0"
    ),
    "SELECT is not allowed in cluster mode": OF_A_CLUSTER,
    "WRONGTYPE": (
        "something else is in Redis under a key of the rollups; use a database, or a Redis, of "
        "their own"
    ),
    "NOPROTO": "Redis does not support the protocol that is needed; 6.2 is the oldest that will do",
}


def shown(error: BaseException) -> str:
    """Return what *error* says, without what Redis repeats of a command's arguments."""
    text = re.sub(r",? with args beginning with:.*", "", str(error), flags=re.DOTALL)
    return " ".join(text.split()) or type(error).__name__


class UnfitRedis(Exception):
    """A Redis that could lose rollups by its settings, or is too old for the scripts."""


class LimitsDiffer(Exception):
    """The session limits in force are not the ones that the rollups were made with."""

    def __init__(self, recorded: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        self.recorded = dict(recorded)
        self.wanted = dict(wanted)
        told = ", ".join(
            f"{application} {recorded.get(application)} s (set: {limit} s)"
            for application, limit in wanted.items()
            if recorded.get(application) != limit
        )
        super().__init__(
            f"the rollups were made with other session limits: {told}. Set these again, or make "
            "the rollups anew with the new ones: usage rebuild"
        )


class LayoutDiffers(Exception):
    """The rollups were laid out by another version of this program."""

    def __init__(self) -> None:
        super().__init__(
            "the rollups were made by another version, which kept them in another way. Make them "
            "anew from the topics: usage rebuild"
        )


class SecretMissingError(LayoutDiffers):
    """There are rollups, but not the secret that they are hashed with."""

    def __init__(self) -> None:
        Exception.__init__(
            self,
            "the rollups are there, but not the secret that their identities are hashed with: no "
            "repeat would be recognised. Rebuild them from the topics: usage rebuild",
        )


class BeginAgain(RedisError):
    """What was written may not all be there: begin where Redis says that the rollups end."""


class LostWrites(BeginAgain):
    """Redis does not have what it acknowledged: it restarted, or a replica was promoted early."""

    def __init__(self, behind: Mapping[str, tuple[int, int]]) -> None:
        told = ", ".join(
            f"{name} is at {stored}, not {acknowledged}"
            for name, (stored, acknowledged) in sorted(behind.items())[:3]
        )
        super().__init__(f"Redis lost writes it had acknowledged: {told}")


class LostSecretError(BeginAgain):
    """Redis does not have the secret that this worker hashes with: it was emptied."""

    def __init__(self) -> None:
        super().__init__("Redis lost everything it had: the secret of the rollups is another one")


class Rebuilt(BeginAgain):
    """Other rollups were put in force."""

    def __init__(self) -> None:
        super().__init__("The rollups were rebuilt")


class NodesChanged(BeginAgain):
    """The nodes of the cluster, or the accounts they have, are not those they were."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The Redis cluster has changed: {what}")
