"""Every key in Redis, built here and nowhere else.

Rollups live in a *namespace*; `u` is the first one, and a rebuild makes the next. All keys of one
account share the hash tag `{account}`, so that they live on one cluster node and one script may
change them together. Numbers in keys and fields are decimal.

    key                         type    holds                                            lives
    u:{a}                       hash    fences ("f:topic/partition@id" -> last           for ever
                                        applied offset); which days of a block are open
                                        ("o:<block>") and closed or sealed ("s:<block>"),
                                        a bit each; how often its string was written
                                        ("k:<block>"); how many identities it remembers
                                        ("i:<block>"); how many sessions ("z") in how
                                        many buckets ("zb"), and from which one on they
                                        are to be looked through ("zs")
    u:{a}:i:<block>:<bucket>    set     identities of the events of a block of days      open
    u:{a}:z:<bucket>            hash    8-byte session key -> start, stop: 5 bytes each  open
    u:{a}:d:<day>               hash    an open UTC day: series -> a record of (slot,    open
                                        net, rise) for each slot in which it changes;
                                        metric, flow metric -> a record of (slot,
                                        amount); "t" -> second on the clock at which
                                        the day was last changed
    u:{a}:x:<day>               hash    "series.slot" -> packed [second, delta, ...]     open
    u:{a}:k:<block>             string  the sealed days of a block (`days.seal`)         for ever
    u:{a}:n                     hash    block -> net of each series over it, then a      for ever
                                        record of (day and series, net) for each day
    u:{a}:-                     -       never there: a script is told of it beside the   -
                                        head, so that a cluster refuses to run it while
                                        the account is on its way to another node
    u:limits                    string  JSON: application -> session limit in seconds,   for ever
                                        and the layout of all this
    u:secret                    string  16 bytes: what identities and session keys are   for ever
                                        hashed with; on a cluster also u:secret:{t}, on
                                        each node
    u:accounts                  set     every account an event was counted for           for ever
    u:position                  hash    "topic/partition@id" -> "offset second": every   for ever
                                        record before the offset is counted or refused,
                                        the last of them was published at the second
    u:position:{t}:0-5460       hash    on a cluster instead: the same of the accounts   for ever
                                        of one node, and on it (`layout`)
    usage:live                  string  the namespace in force; `u` where there is none  for ever
    usage:live:{t}              string  on a cluster also this, on each node             for ever
    usage:generation            string  number of the newest namespace                   for ever
    usage:rebuild               string  who rebuilds                                     60 s
    usage:log                   string  run id of the server that last began a new       for ever
                                        append-only file for a worker; on a cluster
                                        usage:log:{t}:0-5460, on each node
    usage:worker:<id>           string  what a worker says of itself, JSON               10 s
    usage:workers               zset    workers of the last hour -> second of their      for ever
                                        last word
    usage:account:<account>     hash    settings an operator made: name, timezone, ...   for ever
    {usage:account:<account>}:history
                                stream  each change of a setting: who, field, from, to;  for ever
                                        on the node of the settings, for one script
                                        writes both
    usage:changes:<account>     string  changes by the account's own tokens within an    1 h
                                        hour
    usage:accounts              set     every account that was set                       for ever
    usage:tokens                hash    SHA-256 of a token, hex -> who may see what,     revoked
                                        JSON
    {usage:tokens}:used         hash    SHA-256 of a token, hex -> second of last use    revoked
    usage:login:<hash>          string  a browser's session, by the SHA-256 of its       12 h
                                        cookie: the hash of its token
    usage:failures:<hash>       string  failed logins of an address                      15 min

`<slot>` is a slot of the day, 0 to 95; `<day>` and `<block>` count from 1970-01-01 (see `slots`);
packed values are MessagePack arrays, and records are taken apart in `days`. The scripts in `lua/`
build the names below `u:{a}` from it. A day is open until 35 days after its last change, on the
clock of the worker that made it; then it is sealed, and what is marked "open" is dropped: of a
block, or a session, with the last of its days (`close.lua`, `seal.lua`, `forget.lua`).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

LIVE: Final = "usage:live"
GENERATION: Final = "usage:generation"
REBUILD: Final = "usage:rebuild"
_LOG_BEGUN: Final = "usage:log"
SETTINGS_ACCOUNTS: Final = "usage:accounts"
WORKERS: Final = "usage:workers"
TOKENS: Final = "usage:tokens"
TOKENS_USED: Final = "{usage:tokens}:used"

#: What stands beside the limits for the way in which all of this is laid out.
LAYOUT_FIELD: Final = "layout"
LAYOUT: Final = 5

#: A key that never exists: commands on it show what a user of Redis may do.
PROBE: Final = "u:probe"


class Namespace(NamedTuple):
    """A set of rollups: what all their keys begin with."""

    name: str = "u"

    @property
    def number(self) -> int:
        """How many namespaces there were with this one; the newest is the one in force."""
        return int(self.name[1:] or 1)

    @property
    def limits(self) -> str:
        """The key of the session limits that these rollups were made with."""
        return f"{self.name}:limits"

    @property
    def secret(self) -> str:
        """The key of what identities and session keys of these rollups are hashed with."""
        return f"{self.name}:secret"

    def secret_at(self, tag: str) -> str:
        """Return the key of the same on a node of a cluster, by its tag (`layout.Share.tag`)."""
        return f"{self.secret}:{{{tag}}}"

    @property
    def accounts(self) -> str:
        """The key of the accounts that an event was counted for."""
        return f"{self.name}:accounts"

    @property
    def positions(self) -> str:
        """The key of how far each topic-partition is counted."""
        return f"{self.name}:position"

    def positions_at(self, place: str) -> str:
        """Return the same for the accounts of one node of a cluster (`layout.Share.place`).

        Without a cluster the place is empty.
        """
        return f"{self.positions}:{place}" if place else self.positions

    @property
    def everything(self) -> str:
        """The pattern of all keys of these rollups, and of no other's."""
        return f"{self.name}:*"

    def head(self, account: str) -> str:
        """Return the key that all rollup keys of *account* begin with; itself a hash."""
        return f"{self.name}:{{{account}}}"

    def day(self, account: str, day: int) -> str:
        """Return the key of an open UTC day: curves and counters by slot."""
        return f"{self.head(account)}:d:{day}"

    def slot_deltas(self, account: str, day: int) -> str:
        """Return the key of an open UTC day's deltas per second, by series and slot."""
        return f"{self.head(account)}:x:{day}"

    def sealed_days(self, account: str, block: int) -> str:
        """Return the key of the sealed UTC days of a block."""
        return f"{self.head(account)}:k:{block}"

    def nets(self, account: str) -> str:
        """Return the key of the net change per series, block of days and UTC day."""
        return f"{self.head(account)}:n"

    def never(self, account: str) -> str:
        """Return a key of *account* that never exists."""
        return f"{self.head(account)}:-"


FIRST: Final = Namespace()

#: The fields of an account's head that have one bit for each day of the block behind it.
OPEN_DAYS: Final = "o:"
SEALED_DAYS: Final = "s:"
#: The field of an account's head that has the fence of the topic-partition behind it.
FENCE: Final = "f:"


def live_at(tag: str) -> str:
    """Return the key of the namespace in force as a node of a cluster knows it, by its tag."""
    return f"{LIVE}:{{{tag}}}"


def log_begun(place: str) -> str:
    """Return the key of the server that last began a new file, at a place of a cluster if any."""
    return f"{_LOG_BEGUN}:{place}" if place else _LOG_BEGUN


def in_force(told: Iterable[bytes | None]) -> Namespace:
    """Return the namespace in force, given what stands under `LIVE` and the keys `live_at`.

    It is the newest of them: each node of a cluster may have lost its last writes.
    """
    return max((Namespace(name.decode()) for name in told if name), key=_number, default=FIRST)


def _number(namespace: Namespace) -> int:
    return namespace.number


def numbered(generation: int) -> Namespace:
    """Return the namespace that the rebuild of that number makes; the first one is `u2`."""
    return Namespace(f"{FIRST.name}{generation + 1}")


def settings(account: str) -> str:
    """Return the key of what an operator set for *account*."""
    return f"usage:account:{account}"


def settings_history(account: str) -> str:
    """Return the key of the changes of *account*'s settings, in the hash slot of these."""
    return f"{{{settings(account)}}}:history"


def recent_changes(account: str) -> str:
    """Return the key of how many changes the tokens of *account* made within an hour."""
    return f"usage:changes:{account}"


def worker(name: str) -> str:
    """Return the key under which the worker *name* says that it lives."""
    return f"usage:worker:{name}"


def login(digest: str) -> str:
    """Return the key of a browser's session, given the hash of its cookie."""
    return f"usage:login:{digest}"


def login_failures(digest: str) -> str:
    """Return the key of the number of failed logins, given the hash of their address."""
    return f"usage:failures:{digest}"


def fence(topic: str, partition: int, topic_id: str = "") -> str:
    """Return the name of a topic-partition in fences and positions.

    With the topic's id in it, a topic that was deleted and created again, whose offsets begin at 0
    again, has fences of its own.
    """
    return f"{topic}/{partition}@{topic_id}" if topic_id else f"{topic}/{partition}"
