"""Every key in Redis, built here and nowhere else.

All keys of one account share the hash tag `{account}`, so that they live on one cluster node and
one script may change them together. Numbers in keys and fields are decimal.

    key                         type    holds                                            lives
    u:{a}                       hash    fences ("f:topic/partition@id" -> last           for ever
                                        applied offset), sizes of the tables below
    u:{a}:i:<epoch>:<bucket>    set     identities of the events published in an epoch   75 days
    u:{a}:z:<bucket>            hash    8-byte session key -> packed (start, stop)       35 days
    u:{a}:x:<day>               hash    "series.slot" -> packed [second, delta, ...]     35 days
    u:{a}:p:<day>               hash    series -> packed [slot, net, rise, ...]          for ever
    u:{a}:n                     hash    "series.block" -> net of 32 days, in sessions    for ever
    u:{a}:n:<block>             hash    "series.day" -> net of a UTC day, in sessions    for ever
    u:{a}:s:<day>               hash    metric -> packed [slot, amount, ...]             for ever
    u:{a}:c:<block>             hash    "day.metric" -> amount of the UTC day            for ever
    u:{a}:t:<day>               hash    flow metric -> packed [slot, runs, ...]          for ever
    u:{a}:g:<block>             hash    "day.flow metric" -> runs of the UTC day         for ever
    u:limits                    hash    application -> session limit in seconds          for ever
    u:accounts                  set     every account an event was counted for           for ever
    u:position                  hash    "topic/partition@id" -> offset before which      for ever
                                        every record is counted or refused
    u:log                       string  run id of the server that last began a new       for ever
                                        append-only file for a worker
    u:worker:<id>               string  what a worker says of itself, JSON               10 s
    usage:account:<account>     hash    settings an operator made: name, timezone, ...   for ever
    usage:accounts              set     every account that was set                       for ever

`<slot>` is a slot of the day, 0 to 95; `<day>` and `<block>` count from 1970-01-01 (see `slots`);
packed values are MessagePack arrays; an epoch has 35 days (`fold.epoch_of`). The scripts in `lua/`
build the names below `u:{a}` from it.
"""

from typing import Final

ROLLUPS: Final = "u"

LIMITS: Final = f"{ROLLUPS}:limits"
ACCOUNTS: Final = f"{ROLLUPS}:accounts"
POSITIONS: Final = f"{ROLLUPS}:position"
LOG_BEGUN: Final = f"{ROLLUPS}:log"
SETTINGS_ACCOUNTS: Final = "usage:accounts"


def head(account: str) -> str:
    """Return the key that all rollup keys of *account* begin with; itself the hash of fences."""
    return f"{ROLLUPS}:{{{account}}}"


def peaks(account: str, day: int) -> str:
    """Return the key of a UTC day's (net, rise) per series and slot."""
    return f"{head(account)}:p:{day}"


def slot_deltas(account: str, day: int) -> str:
    """Return the key of a UTC day's deltas per second, by series and slot."""
    return f"{head(account)}:x:{day}"


def block_nets(account: str) -> str:
    """Return the key of the net change per series and block of days."""
    return f"{head(account)}:n"


def day_nets(account: str, block: int) -> str:
    """Return the key of the net change per series and UTC day of a block."""
    return f"{head(account)}:n:{block}"


def slot_counters(account: str, day: int) -> str:
    """Return the key of a UTC day's counters per slot."""
    return f"{head(account)}:s:{day}"


def day_counters(account: str, block: int) -> str:
    """Return the key of the daily counters of a block of UTC days."""
    return f"{head(account)}:c:{block}"


def slot_flows(account: str, day: int) -> str:
    """Return the key of a UTC day's runs per flow and slot."""
    return f"{head(account)}:t:{day}"


def day_flows(account: str, block: int) -> str:
    """Return the key of the daily runs per flow of a block of UTC days."""
    return f"{head(account)}:g:{block}"


def settings(account: str) -> str:
    """Return the key of what an operator set for *account*."""
    return f"usage:account:{account}"


def worker(name: str) -> str:
    """Return the key under which the worker *name* says that it lives."""
    return f"{ROLLUPS}:worker:{name}"


def fence(topic: str, partition: int, topic_id: str = "") -> str:
    """Return the name of a topic-partition in fences and positions.

    With the topic's id in it, a topic that was deleted and created again, whose offsets begin at 0
    again, has fences of its own.
    """
    return f"{topic}/{partition}@{topic_id}" if topic_id else f"{topic}/{partition}"
