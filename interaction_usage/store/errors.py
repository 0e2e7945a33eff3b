"""What can be wrong with the Redis that holds the rollups, and whether waiting would help.

    StoreError
    ├── UnfitRedisError               this Redis could lose rollups, or is too old
    ├── UnusableRollupsError          rollups that a worker must not write
    │   ├── SessionLimitsDifferError  they were built with other session limits
    │   ├── LayoutDiffersError        they have another layout than this version's
    │   └── SecretMissingError        their secret is gone, and they are not
    ├── RollupsLockedError            a rebuild, a restore or an upgrade is running
    ├── UncoveredSlotsError           hash slots of the cluster have no node (a RedisError, too)
    ├── AccountBusyError              an account changed during every attempt to read it
    ├── InvalidAccountSettingError    an account cannot have this setting (a ValueError, too)
    ├── LedgerError                   a change of settings, tokens or gaps is not confirmed
    │   ├── LedgerUnavailableError    it was refused: Kafka does not take it
    │   └── ChangePendingError        Kafka has it, or may have it, and Redis does not have it yet
    └── ReseekRequired                not a failure: read again from where the rollups end
        ├── LostWritesError           Redis lost writes that it had acknowledged
        ├── LostSecretError           Redis lost everything
        ├── RollupsSwitchedError      a rebuild activated other rollups
        └── ClusterChangedError       accounts moved to other nodes

Everything else that goes wrong with Redis is a `RedisError` of redis-py.
"""

import re
import ssl
from collections.abc import Iterator, Mapping

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)

from interaction_usage.store import keys

#: Where the commands and keys that each user of Redis needs are documented.
_RIGHTS = "docs/redis.md has the ACL line that each command needs"

#: What is wrong when the settings do not say that Redis is a cluster.
IS_CLUSTER_NODE = "this Redis is a node of a cluster; add ?cluster=true to USAGE_REDIS"


def permanent_fault(error: BaseException) -> str | None:
    """Return a sentence if retrying cannot help with *error*; None if it may pass.

    The sentence says what is wrong with Redis, or the settings, and what to do. It quotes nothing
    that could be a secret: Redis repeats the arguments of a command that it does not know.
    """
    for cause in causes(error):
        if isinstance(cause, ReseekRequired):
            return None
        if isinstance(cause, UnusableRollupsError | UnfitRedisError):
            return str(cause)
        if sentence := _fault_of(cause):
            return sentence
    return None


def is_denied(error: BaseException) -> bool:
    """Return whether Redis lacks a command, or does not let this user run it."""
    return isinstance(error, NoPermissionError) or "unknown command" in str(error)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and its causes: clients wrap what happens on a new connection."""
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
    if type(error) is ssl.SSLError:  # a closed connection raises a subclass
        reason = (error.reason or "unknown reason").lower().replace("_", " ")
        return f"TLS with Redis failed ({reason}); check the ssl_ options of USAGE_REDIS"
    if not isinstance(error, RedisError):
        return None
    text = str(error)
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return _authentication(text)
    if isinstance(error, NoPermissionError) or _IN_A_SCRIPT.search(text):
        return _permission(text)
    for pattern, sentence in _PERMANENT.items():
        if found := re.search(pattern, text):
            return sentence.format(*found.groups())
    return None


#: What sentinels answer to a wrong password, or to none.
SENTINELS_REFUSE = (
    "the sentinels do not accept the login; check sentinel_username and sentinel_password in "
    "USAGE_REDIS"
)


def _authentication(text: str) -> str:
    if text == SENTINELS_REFUSE:
        return text
    if "required" in text or "HELLO must be called" in text:
        return "Redis requires a password; add it to USAGE_REDIS: redis://:PASSWORD@HOST:PORT/0"
    if "without any password" in text or "no password is set" in text:
        return "Redis has no password, but USAGE_REDIS has one; remove it"
    return "Redis does not accept the user name or password in USAGE_REDIS"


_IN_A_SCRIPT = re.compile("ACL failure in script|user executing the script can't")


def _permission(text: str) -> str:
    if command := re.search(r"permissions to run the '([A-Za-z|-]{1,40})'", text):
        return f"the Redis user may not run {command[1].upper()}; {_RIGHTS}"
    if re.search("access .*key", text):
        return f"the Redis user may not access a key that is needed; {_RIGHTS}"
    return f"the Redis user may not run a command that is needed; {_RIGHTS}"


#: Patterns of Redis' answers to the sentence that explains them.
_PERMANENT = {
    r"unknown (?:sub)?command '?`?([A-Za-z|-]{1,40})": (
        "Redis does not have the command {0}: it was renamed, or this server is not supported; "
        "docs/redis.md lists the commands that are needed"
    ),
    "DB index is out of range|invalid DB index": (
        "Redis does not have the database that USAGE_REDIS names; use a lower number, or 0"
    ),
    "SELECT is not allowed in cluster mode": IS_CLUSTER_NODE,
    "WRONGTYPE": (
        "a key of the rollups holds something else; use a database, or a Redis, that nothing else "
        "writes to"
    ),
    "NOPROTO": "Redis does not support the protocol that is needed; use version 6.2 or later",
}


def shown(error: BaseException) -> str:
    """Return the message of *error* without the command arguments that Redis repeats in it."""
    text = re.sub(r",? with args beginning with:.*", "", str(error), flags=re.DOTALL)
    return " ".join(text.split()) or type(error).__name__


class StoreError(Exception):
    """The root of everything that this package raises by itself."""


class UnfitRedisError(StoreError):
    """A Redis that could lose rollups because of its settings, or is too old for the scripts."""


class UnusableRollupsError(StoreError):
    """Rollups that this worker must not write, however long it waits."""


class SessionLimitsDifferError(UnusableRollupsError):
    """The session limits in the settings are not those that the rollups were built with."""

    def __init__(self, recorded: Mapping[str, int], configured: Mapping[str, int]) -> None:
        self.recorded = dict(recorded)
        self.configured = dict(configured)
        differences = ", ".join(
            f"{application} {recorded.get(application)} s (set: {limit} s)"
            for application, limit in configured.items()
            if recorded.get(application) != limit
        )
        super().__init__(
            f"the rollups were built with other session limits: {differences}. Set those again, or "
            "rebuild the rollups with the new ones: usage rebuild"
        )


class LayoutDiffersError(UnusableRollupsError):
    """The rollups have another layout than this version reads and writes."""

    def __init__(self, layout: int) -> None:
        self.layout = layout
        super().__init__(
            f"the rollups have layout {layout}, and this version reads layout {keys.LAYOUT}. "
            f"{self.advice}"
        )

    @property
    def advice(self) -> str:
        """What to do about it, without a full stop."""
        if self.layout > keys.LAYOUT:
            return "Install the version that wrote them, or a later one"
        if self.layout >= keys.OLDEST_LAYOUT:
            return "Upgrade them: usage upgrade"
        return "Rebuild them from the topics: usage rebuild"


class SecretMissingError(UnusableRollupsError):
    """There are rollups, but not the secret that their identities are hashed with."""

    def __init__(self) -> None:
        super().__init__(
            "the rollups exist, but not the secret that their identities are hashed with: no "
            "duplicate would be recognised. Rebuild them from the topics: usage rebuild"
        )


class RollupsLockedError(StoreError):
    """Somebody else is replacing the rollups."""

    def __init__(self) -> None:
        super().__init__(
            "a rebuild, a restore or an upgrade is running (the lock of a killed one expires after "
            "a minute)"
        )


class UncoveredSlotsError(StoreError, RedisError):
    """No node of the cluster serves some of the hash slots.

    A `RedisError` as well, for it passes like one: during a failover, for example.
    """


class AccountBusyError(StoreError):
    """An account changed during every attempt to read it."""


class InvalidAccountSettingError(StoreError, ValueError):
    """A setting that an account cannot have."""


class LedgerError(StoreError):
    """A change that must be in Kafka first is not confirmed; the sentence says what is so."""


class LedgerUnavailableError(LedgerError):
    """Kafka does not take it: nothing has changed, in Kafka or in Redis."""


class ChangePendingError(LedgerError):
    """Kafka has it, or may have it, so that it takes effect when it is read into Redis."""


class ReseekRequired(StoreError):
    """Not everything that was written may be there: read again from where the rollups end.

    A signal rather than a failure, and no `RedisError`: retrying the command that raised it would
    write on top of a hole.
    """


class LostWritesError(ReseekRequired):
    """Redis lost writes that it had acknowledged: it restarted, or a replica took over too early.

    *behind* is topic-partition to (the position stored, the position acknowledged).
    """

    def __init__(self, behind: Mapping[str, tuple[int, int]]) -> None:
        self.behind = dict(behind)
        shown = ", ".join(
            f"{name} is at {stored}, not {acknowledged}"
            for name, (stored, acknowledged) in sorted(behind.items())[:3]
        )
        super().__init__(f"Redis lost writes it had acknowledged: {shown}")


class LostSecretError(ReseekRequired):
    """Redis does not have the secret that this worker hashes with: it was emptied.

    Found out on a new connection, or by the guard of a script where none was broken.
    """

    def __init__(self) -> None:
        super().__init__("Redis lost everything it had: the secret of the rollups has changed")


class RollupsSwitchedError(ReseekRequired):
    """A rebuild activated other rollups."""

    def __init__(self) -> None:
        super().__init__("The rollups were replaced by a rebuild or a restore")


class ClusterChangedError(ReseekRequired):
    """The nodes of the cluster, or the accounts on them, have changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The Redis cluster has changed: {what}")
