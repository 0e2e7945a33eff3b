"""Every key in Redis, and every field of an account's head: named here, for Python and for Lua.

Every key begins with the prefix of the environment (`prefixes`), which is empty unless it is set.
With one, the keys that others stand beside have a hash tag: `staging:{usage:tokens}`.

Rollups live in a *namespace*; `u` is the first one, and each rebuild creates the next. All keys of
one account share the hash tag `{account}`, so that they live on one cluster node and one script may
change them together. Numbers in keys and fields are decimal.

    key                         type    contents                                         lifetime
    u:{a}                       hash    the account's head, see "fields of a head"       permanent
    u:{a}:i:<block>:<bucket>    set     identities of the events of a block of days      open
    u:{a}:z:<bucket>            hash    8-byte session key -> start, stop: 5 bytes       open
                                        each; of a corrected one also the correction
    u:{a}:v:<block>             hash    identity of a voided event of a block of days    open
                                        -> the void in effect, packed
    u:{a}:p                     hash    the same of voids whose event has not come       permanent
    u:{a}:d:<day>               hash    an open UTC day: series -> a record of (slot,    open
                                        net, rise) for each slot in which it changes;
                                        metric, flow metric -> a record of (slot,
                                        amount); "t" -> when the day was last changed,
                                        in seconds on a worker's clock
    u:{a}:x:<day>               hash    "series.slot" -> its deltas (`slot_deltas`)      open
    u:{a}:k:<block>             string  the sealed days of a block (`day_encoding.seal`) permanent
    u:{a}:n                     hash    block -> net of each series over it, then a      permanent
                                        record of (day and series, net) for each day
    u:{a}:-                     -       never exists: scripts are given it beside the    -
                                        head, so that a cluster refuses to run them
                                        while the account moves to another node
    u:limits                    string  JSON: application -> session limit in seconds,   permanent
                                        and the version of this layout
    u:secret                    string  16 bytes: what identities and session keys are   permanent
                                        hashed with; on a cluster also u:secret:{t}, on
                                        each node
    u:accounts                  set     every account that an event was counted for      permanent
    u:position                  hash    "topic/partition@id" -> "offset second": every   permanent
                                        record before the offset is counted or rejected;
                                        the newest of them has this timestamp
    u:position:{t}:0-5460       hash    on a cluster instead: the same for the accounts  permanent
                                        of one node, stored on it (`cluster_topology`)
    usage:live                  string  the active namespace; `u` if there is none       permanent
    usage:live:{t}              string  on a cluster also this, on each node             permanent
    usage:generation            string  number of the newest namespace                   permanent
    usage:rebuild               string  token of the rebuild that is running             60 s
    usage:log                   string  run id of the server that last began a new       permanent
                                        append-only file for a worker; on a cluster
                                        usage:log:{t}:0-5460, on each node
    usage:worker:<id>           string  a worker's heartbeat, JSON                       10 s
    usage:workers               zset    workers of the last hour -> second of their      permanent
                                        last heartbeat
    usage:progress              string  how far everything is counted, as a worker saw   10 s
                                        it: JSON (`store/progress`)
    usage:progress:last         string  the same, the latest there was                   permanent
    usage:memory                hash    hour since 1970 -> bytes of memory in use then   35 days
    usage:progress:by           string  the worker that looks for all                    3 s
    usage:refused:<account>     zset    place of an event that was refused, and not      replayed
                                        replayed -> second of its time
    {usage:refused}:read        string  there while all dead letters are read            15 s
    usage:refused               hash    place of an event that was refused -> the        permanent
                                        account; empty where it was replayed
    usage:account:<account>     hash    settings that an operator made: name, ...        permanent
    {usage:account:<account>}:history
                                stream  each change of a setting: who, field, from, to;  permanent
                                        on the node of the settings, since one script
                                        writes both
    usage:changes:<account>     string  changes by the account's own tokens within an    1 h
                                        hour
    usage:accounts              set     every account with settings                      permanent
    usage:tokens                hash    SHA-256 of a token, hex -> who may see what,     revoked
                                        JSON
    {usage:tokens}:used         hash    SHA-256 of a token, hex -> second of last use    revoked
    {usage:tokens}:read         hash    "topic/partition@id" -> the offset up to which   permanent
                                        the topic of tokens is in usage:tokens
    usage:gaps                  hash    id of a gap -> what Kafka deleted uncounted,     permanent
                                        and who accepted that, JSON
    {usage:gaps}:read           hash    the same of usage:gaps                           permanent
    usage:alerts                hash    id of a rule of alerts -> the rule, JSON; id and permanent
                                        ".state" -> its state, with what is not delivered
    {usage:alerts}:read         hash    the same of usage:alerts                         permanent
    {usage:alerts}:lease        string  the process that evaluates, and its fence        6 s
    {usage:alerts}:fence        string  the number of the newest fence                   permanent
    {usage:alerts}:evaluator    string  what that process says of itself, JSON           10 s
    {usage:alerts}:looked       string  the second of its last look                      permanent
    {usage:alerts}:attempts     hash    id of a notification -> attempts to deliver it   delivered
                                        so far, and the second of the next one
    {usage:alerts}:tests        list    tests of deliveries that are waiting, JSON       60 s
    usage:alerts:<account>      list    the last attempts to deliver, newest first,      permanent
                                        JSON: at most 200
    usage:reports               set     every account with an issued report              permanent
    usage:reports:{a}           hash    number of an issued report, 1, 2, … -> its       permanent
                                        entry, JSON; "p:<from>/<to>/<zone>" -> the
                                        entry of the newest of this period
    usage:reports:{a}:<number>  string  an issued report with its files, as its record   permanent
                                        in the topic has it
    usage:ledger                hash    the same of other topics that are read into      permanent
                                        Redis; on a cluster usage:ledger:{t}:0-5460, on
                                        each node
    usage:ledger:reader         string  the worker that reads these topics               10 s
    usage:ledger:adopting       string  who publishes what Redis had before the topics   60 s
    usage:login:<hash>          string  a browser's session, by the SHA-256 of its       12 h
                                        cookie: the hash of its token
    usage:failures:<hash>       string  failed logins of an address                      15 min

    field of a head             contents
    f:topic/partition@id        the fence of a topic-partition: the last offset that was applied
    o:<block>, s:<block>        days of a block that are open; that are closed or sealed: a bit each
    k:<block>                   how often the string of the block's sealed days was written
    i:<block>                   how many identities of the block are remembered
    z, zb                       how many sessions are remembered, and in how many buckets
    zs                          the bucket from which on sessions may be dropped
    p                           how many voids are pending; none: none
    zc                          the UTC day from which on sessions are counted; none: all of them
                                are (see `layouts`)

`<slot>` is a slot of the day, 0 to 95; `<day>` and `<block>` count from 1970-01-01 (see `slots`);
packed values are MessagePack arrays; records are described in `record_layout`. A day is open until
35 days after its last change, on the clock of the worker that made it; then it is sealed, and what
lives "open" is dropped with the last open day that needs it (see `sealing`).
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from interaction_usage.prefixes import KEYS as PREFIX
from interaction_usage.prefixes import anchor, beside, key

LIVE: Final = key("usage:live")
GENERATION: Final = key("usage:generation")
REBUILD: Final = key("usage:rebuild")
_LOG_BEGUN: Final = key("usage:log")
SETTINGS_ACCOUNTS: Final = key("usage:accounts")
WORKERS: Final = key("usage:workers")
PROGRESS: Final = key("usage:progress")
PROGRESS_LAST: Final = key("usage:progress:last")
PROGRESS_BY: Final = key("usage:progress:by")
MEMORY: Final = key("usage:memory")
REFUSED: Final = anchor("usage:refused")
REFUSED_READ: Final = beside("usage:refused", "read")
TOKENS: Final = anchor("usage:tokens")
TOKENS_USED: Final = beside("usage:tokens", "used")
TOKENS_READ: Final = beside("usage:tokens", "read")
GAPS: Final = anchor("usage:gaps")
GAPS_READ: Final = beside("usage:gaps", "read")
ALERTS: Final = anchor("usage:alerts")
ALERTS_READ: Final = beside("usage:alerts", "read")
ALERTS_LEASE: Final = beside("usage:alerts", "lease")
ALERTS_FENCE: Final = beside("usage:alerts", "fence")
ALERTS_EVALUATOR: Final = beside("usage:alerts", "evaluator")
ALERTS_LOOKED: Final = beside("usage:alerts", "looked")
ALERTS_ATTEMPTS: Final = beside("usage:alerts", "attempts")
ALERTS_TESTS: Final = beside("usage:alerts", "tests")
REPORTS: Final = key("usage:reports")
#: What a field of the entries of issued reports begins with that belongs to a period.
_OF_PERIOD: Final = "p:"
_LEDGER: Final = key("usage:ledger")
LEDGER_READER: Final = key("usage:ledger:reader")
LEDGER_ADOPTING: Final = key("usage:ledger:adopting")

#: The field beside the session limits with the version of this layout, and that version.
LAYOUT_FIELD: Final = "layout"
LAYOUT: Final = 7
#: The oldest layout that can be upgraded (`layouts`).
OLDEST_LAYOUT: Final = 5

#: A key that never exists: commands on it show what a user of Redis may do.
PROBE: Final = key("u:probe")


# What the names of an account's keys have behind its head; numbers follow, joined by colons.
_DAY: Final = ":d:"
SLOT_DELTAS: Final = ":x:"
_SEALED_DAYS: Final = ":k:"
_NETS: Final = ":n"
_NEVER: Final = ":-"
_IDENTITIES: Final = ":i:"
SESSIONS: Final = ":z:"
_VOIDS: Final = ":v:"
_PENDING_VOIDS: Final = ":p"

#: The fields of a head with one bit for each day of the block that follows.
OPEN_DAYS: Final = "o:"
SEALED_DAYS: Final = "s:"
#: The field of a head with the fence of the topic-partition that follows.
FENCE: Final = "f:"
#: The field of a head with the number of identities of the block that follows.
IDENTITY_COUNT: Final = "i:"
#: The field of a head that counts how often the sealed days of the block that follows were written.
SEALED_VERSION: Final = "k:"
#: The fields of a head about sessions: their number, that of their buckets, and the bucket from
#: which on they are to be looked through.
SESSION_COUNT: Final = "z"
SESSION_BUCKETS: Final = "zb"
SESSION_SCAN: Final = "zs"
#: The field of a head with the UTC day from which on sessions are counted; none: all are.
SESSIONS_COUNTED_FROM: Final = "zc"

#: The field of a head with the number of voids whose event has not come.
PENDING_VOIDS: Final = "p"

#: The field of an open day with the second at which it was last changed.
LAST_CHANGE: Final = "t"


class LuaName(NamedTuple):
    """A name that scripts build: a text, and what follows it, joined by colons.

    What is empty ends it with a colon.
    """

    text: str
    follows: tuple[str, ...] = ()


#: Lua function to the name that it builds: keys from an account's head, then fields of the head.
LUA_KEYS: Final[Mapping[str, LuaName]] = {
    "day_key": LuaName(_DAY, ("day",)),
    "slot_deltas_key": LuaName(SLOT_DELTAS, ("day",)),
    "sealed_days_key": LuaName(_SEALED_DAYS, ("block",)),
    "nets_key": LuaName(_NETS),
    "voids_key": LuaName(_VOIDS, ("block",)),
    "pending_voids_key": LuaName(_PENDING_VOIDS),
    # The keys of buckets begin so, and the number of the bucket follows.
    "identities_prefix": LuaName(_IDENTITIES, ("block", "")),
    "sessions_prefix": LuaName(SESSIONS),
}
LUA_FIELDS: Final[Mapping[str, LuaName]] = {
    "fence_field": LuaName(FENCE, ("name",)),
    "open_days_field": LuaName(OPEN_DAYS, ("block",)),
    "sealed_days_field": LuaName(SEALED_DAYS, ("block",)),
    "sealed_version_field": LuaName(SEALED_VERSION, ("block",)),
    "identity_count_field": LuaName(IDENTITY_COUNT, ("block",)),
}


class Namespace(NamedTuple):
    """A set of rollups: what all their keys begin with."""

    name: str = key("u")

    @property
    def number(self) -> int:
        """How many namespaces there were, this one included; the newest one is active."""
        return int(self.name[len(PREFIX) + 1 :] or 1)

    @property
    def limits(self) -> str:
        """The key of the session limits that these rollups were built with."""
        return f"{self.name}:limits"

    @property
    def secret(self) -> str:
        """The key of the secret that identities and session keys are hashed with."""
        return f"{self.name}:secret"

    def secret_at(self, tag: str) -> str:
        """Return the key of the same secret on a node of a cluster (`Primary.tag`)."""
        return f"{self.secret}:{{{tag}}}"

    @property
    def accounts(self) -> str:
        """The key of the accounts that an event was counted for."""
        return f"{self.name}:accounts"

    @property
    def positions(self) -> str:
        """The key of how far each topic-partition is counted."""
        return f"{self.name}:position"

    def positions_at(self, suffix: str) -> str:
        """Return the key of the same for the accounts of one node (`Primary.key_suffix`).

        Without a cluster the suffix is empty.
        """
        return f"{self.positions}:{suffix}" if suffix else self.positions

    @property
    def everything(self) -> str:
        """The pattern of all keys of these rollups and of no others."""
        return f"{self.name}:*"

    def head(self, account: str) -> str:
        """Return the key that all rollup keys of *account* begin with; itself a hash."""
        return f"{self.name}:{{{account}}}"

    def day(self, account: str, day: int) -> str:
        """Return the key of an open UTC day: curves and counters by slot."""
        return f"{self.head(account)}{_DAY}{day}"

    def slot_deltas(self, account: str, day: int) -> str:
        """Return the key of an open UTC day's deltas per second, by series and slot."""
        return f"{self.head(account)}{SLOT_DELTAS}{day}"

    def sealed_days(self, account: str, block: int) -> str:
        """Return the key of the sealed UTC days of a block."""
        return f"{self.head(account)}{_SEALED_DAYS}{block}"

    def nets(self, account: str) -> str:
        """Return the key of the net change per series, block of days and UTC day."""
        return f"{self.head(account)}{_NETS}"

    def identities(self, account: str, block: int, bucket: int) -> str:
        """Return the key of some identities of the events of a block of days."""
        return f"{self.head(account)}{_IDENTITIES}{block}:{bucket}"

    def sessions(self, account: str, bucket: int) -> str:
        """Return the key of some sessions."""
        return f"{self.head(account)}{SESSIONS}{bucket}"

    def voids(self, account: str, block: int) -> str:
        """Return the key of the voids of events of a block of days that are there."""
        return f"{self.head(account)}{_VOIDS}{block}"

    def pending_voids(self, account: str) -> str:
        """Return the key of the voids whose event has not come."""
        return f"{self.head(account)}{_PENDING_VOIDS}"

    def never(self, account: str) -> str:
        """Return a key of *account* that never exists."""
        return f"{self.head(account)}{_NEVER}"


FIRST: Final = Namespace()


def live_at(tag: str) -> str:
    """Return the key of the active namespace on a node of a cluster, by the node's tag."""
    return f"{LIVE}:{{{tag}}}"


def log_begun(suffix: str) -> str:
    """Return the key of the server that last began a new append-only file, on a node if any."""
    return f"{_LOG_BEGUN}:{suffix}" if suffix else _LOG_BEGUN


def ledger(suffix: str) -> str:
    """Return the key of how far topics are read into Redis, on a node (`Primary.key_suffix`)."""
    return f"{_LEDGER}:{suffix}" if suffix else _LEDGER


def active(names: Iterable[bytes | None]) -> Namespace:
    """Return the active namespace, given the values of `LIVE` and of the keys `live_at`.

    It is the newest of them: each node of a cluster may have lost its last writes.
    """
    return max((Namespace(name.decode()) for name in names if name), key=_number, default=FIRST)


def _number(namespace: Namespace) -> int:
    return namespace.number


def numbered(generation: int) -> Namespace:
    """Return the namespace that the rebuild of that number creates; the first one is `u2`."""
    return Namespace(f"{FIRST.name}{generation + 1}")


def settings(account: str) -> str:
    """Return the key of the settings of *account*."""
    return anchor(f"usage:account:{account}")


def settings_history(account: str) -> str:
    """Return the key of the changes of *account*'s settings, in the hash slot of the settings."""
    return beside(f"usage:account:{account}", "history")


def recent_changes(account: str) -> str:
    """Return the key of how many changes the tokens of *account* made within an hour."""
    return key(f"usage:changes:{account}")


def worker(name: str) -> str:
    """Return the key of the heartbeat of the worker *name*."""
    return key(f"usage:worker:{name}")


def report_entries(account: str) -> str:
    """Return the key of the entries of *account*'s issued reports."""
    return f"{REPORTS}:{{{account}}}"


def report_period(first: str, last: str, timezone: str) -> str:
    """Return the field of the entry of the newest report of a period."""
    return f"{_OF_PERIOD}{first}/{last}/{timezone}"


def is_report_period(field: bytes) -> bool:
    """Tell whether a field of the entries belongs to a period, and not to a number."""
    return field.startswith(_OF_PERIOD.encode())


def issued_report(account: str, number: int) -> str:
    """Return the key of an issued report of *account*, in the hash slot of the entries."""
    return f"{report_entries(account)}:{number}"


def alert_deliveries(account: str) -> str:
    """Return the key of the last attempts to deliver notifications of *account*."""
    return key(f"usage:alerts:{account}")


def refused(account: str) -> str:
    """Return the key of the events of *account* that lie in dead letters."""
    return key(f"usage:refused:{account}")


def login(digest: str) -> str:
    """Return the key of a browser's session, given the hash of its cookie."""
    return key(f"usage:login:{digest}")


def login_failures(digest: str) -> str:
    """Return the key of the number of failed logins, given the hash of their address."""
    return key(f"usage:failures:{digest}")


def fence(topic: str, partition: int, topic_id: str = "") -> str:
    """Return the name of a topic-partition in fences and positions.

    The topic's id is part of it: a topic that was deleted and created again, whose offsets begin at
    0 again, has new fences.
    """
    return f"{topic}/{partition}@{topic_id}" if topic_id else f"{topic}/{partition}"


def parse_fence(name: str) -> tuple[str, int, str]:
    """Return the topic, partition and topic id that `fence` made *name* of."""
    place, _, topic_id = name.partition("@")
    topic, _, partition = place.rpartition("/")
    return topic, int(partition), topic_id
