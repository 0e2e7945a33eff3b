"""Every key in Redis, built here and nowhere else.

Rollups live in a *namespace*; `u` is the first one, and a rebuild makes the next. All keys of one
account share the hash tag `{account}`, so that they live on one cluster node and one script may
change them together. Numbers in keys and fields are decimal.

    key                         type    holds                                            lives
    u:{a}                       hash    fences ("f:topic/partition@id" -> last           for ever
                                        applied offset), sizes of the tables below,
                                        sealed days ("s:<block>" -> one bit a day)
    u:{a}:o                     hash    open UTC day -> second of the newest record      35 days
                                        that touched it
    u:{a}:q                     hash    day or table that is due to go -> its last       1 day
                                        change, and the second at which that was seen
    u:{a}:i:<epoch>:<bucket>    set     identities of the events published in an epoch   35-70 days
    u:{a}:z:<epoch>:<bucket>    hash    8-byte session key -> packed (start, stop)       35-70 days
    u:{a}:x:<day>               hash    "series.slot" -> packed [second, delta, ...]     35 days
    u:{a}:p:<day>               hash    series -> packed [slot, net, rise, ...]          for ever
    u:{a}:n                     hash    "series.block" -> net of 32 days, in sessions    for ever
    u:{a}:n:<block>             hash    "series.day" -> net of a UTC day, in sessions    for ever
    u:{a}:s:<day>               hash    metric -> packed [slot, amount, ...]             for ever
    u:{a}:c:<block>             hash    "day.metric" -> amount of the UTC day            for ever
    u:{a}:t:<day>               hash    flow metric -> packed [slot, runs, ...]          for ever
    u:{a}:g:<block>             hash    "day.flow metric" -> runs of the UTC day         for ever
    u:limits                    string  JSON: application -> session limit in seconds,   for ever
                                        and the layout of all this
    u:accounts                  set     every account an event was counted for           for ever
    u:position                  hash    "topic/partition@id" -> "offset second": every   for ever
                                        record before the offset is counted or refused,
                                        the last of them was published at the second
    usage:live                  string  the namespace in force; `u` where there is none  for ever
    usage:generation            string  number of the newest namespace                   for ever
    usage:rebuild               string  who rebuilds                                     60 s
    usage:log                   string  run id of the server that last began a new       for ever
                                        append-only file for a worker
    usage:worker:<id>           string  what a worker says of itself, JSON               10 s
    usage:workers               zset    workers of the last hour -> second of their      for ever
                                        last word
    usage:account:<account>     hash    settings an operator made: name, timezone, ...   for ever
    usage:accounts              set     every account that was set                       for ever
    usage:tokens                hash    SHA-256 of a token, hex -> who may see what,     revoked
                                        JSON
    usage:login:<hash>          string  a browser's session, by the SHA-256 of its       12 h unused
                                        cookie: the hash of its token
    usage:failures:<hash>       string  failed logins of an address                      15 min

`<slot>` is a slot of the day, 0 to 95; `<day>` and `<block>` count from 1970-01-01 (see `slots`);
packed values are MessagePack arrays; an epoch has 35 days (`fold.epoch_of`). The scripts in `lua/`
build the names below `u:{a}` from it. "35 days" are counted in the records' own timestamps; then a
worker drops the key (`seal.lua`).
"""

from typing import Final, NamedTuple

LIVE: Final = "usage:live"
GENERATION: Final = "usage:generation"
REBUILD: Final = "usage:rebuild"
LOG_BEGUN: Final = "usage:log"
SETTINGS_ACCOUNTS: Final = "usage:accounts"
WORKERS: Final = "usage:workers"
TOKENS: Final = "usage:tokens"

#: What stands beside the limits for the way in which all of this is laid out.
LAYOUT_FIELD: Final = "layout"
LAYOUT: Final = 2


class Namespace(NamedTuple):
    """A set of rollups: what all their keys begin with."""

    name: str = "u"

    @property
    def limits(self) -> str:
        """The key of the session limits that these rollups were made with."""
        return f"{self.name}:limits"

    @property
    def accounts(self) -> str:
        """The key of the accounts that an event was counted for."""
        return f"{self.name}:accounts"

    @property
    def positions(self) -> str:
        """The key of how far each topic-partition is counted."""
        return f"{self.name}:position"

    @property
    def everything(self) -> str:
        """The pattern of all keys of these rollups, and of no other's."""
        return f"{self.name}:*"

    def head(self, account: str) -> str:
        """Return the key that all rollup keys of *account* begin with; itself a hash."""
        return f"{self.name}:{{{account}}}"

    def open_days(self, account: str) -> str:
        """Return the key of the UTC days of *account* that are not sealed."""
        return f"{self.head(account)}:o"

    def peaks(self, account: str, day: int) -> str:
        """Return the key of a UTC day's (net, rise) per series and slot."""
        return f"{self.head(account)}:p:{day}"

    def slot_deltas(self, account: str, day: int) -> str:
        """Return the key of a UTC day's deltas per second, by series and slot."""
        return f"{self.head(account)}:x:{day}"

    def block_nets(self, account: str) -> str:
        """Return the key of the net change per series and block of days."""
        return f"{self.head(account)}:n"

    def day_nets(self, account: str, block: int) -> str:
        """Return the key of the net change per series and UTC day of a block."""
        return f"{self.head(account)}:n:{block}"

    def slot_counters(self, account: str, day: int) -> str:
        """Return the key of a UTC day's counters per slot."""
        return f"{self.head(account)}:s:{day}"

    def day_counters(self, account: str, block: int) -> str:
        """Return the key of the daily counters of a block of UTC days."""
        return f"{self.head(account)}:c:{block}"

    def slot_flows(self, account: str, day: int) -> str:
        """Return the key of a UTC day's runs per flow and slot."""
        return f"{self.head(account)}:t:{day}"

    def day_flows(self, account: str, block: int) -> str:
        """Return the key of the daily runs per flow of a block of UTC days."""
        return f"{self.head(account)}:g:{block}"


FIRST: Final = Namespace()

#: The field of an account's head that has one bit for each sealed day of the block behind it.
SEALED_DAYS: Final = "s:"
#: The field of an account's head that has the fence of the topic-partition behind it.
FENCE: Final = "f:"


def namespace(live: bytes | None) -> Namespace:
    """Return the namespace in force, given what stands under `LIVE`."""
    return Namespace(live.decode()) if live else FIRST


def numbered(generation: int) -> Namespace:
    """Return the namespace that the rebuild of that number makes; the first one is `u2`."""
    return Namespace(f"{FIRST.name}{generation + 1}")


def settings(account: str) -> str:
    """Return the key of what an operator set for *account*."""
    return f"usage:account:{account}"


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
