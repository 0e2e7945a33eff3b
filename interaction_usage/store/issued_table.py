"""Issued reports as records of a topic, and those kept in Redis.

A record's key is the number and a random text, `acme-000001/9f86d081884c7d65…`; its value is the
report: what `reports list` says of it, its manifest, its JSON, and its files. A record proposes. Of
several with one number the first in the topic is the report with that number, and the others are
nothing: whoever wrote one of these finds that out when he reads the topic up to it.

So two operators at once get two numbers or one report, never two reports with one number. Nothing
depends on Redis: applied to an empty one, the topic gives the same reports.

The topic keeps every record for ever, and is not compacted: of two records with one key, compaction
would keep the last, and here the first counts.
"""

import logging
import re
from collections.abc import Container, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast
from uuid import uuid4

import msgspec

from interaction_usage import prefixes
from interaction_usage.store import keys, ledger, scripts
from interaction_usage.store.account_table import is_valid_id
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Record
from interaction_usage.store.pinned_connections import PinnedConnections, pinned_connections
from rollups.watermark import OffsetRange

log = logging.getLogger(__name__)

_SCRIPT: Final = scripts.source("issue")
_NUMBER: Final = re.compile(r"(.+)-(\d{6}|[1-9]\d{6,8})", re.ASCII)
#: Reports that are read, or written, in one go.
_AT_ONCE: Final = 100


class Adjusted(msgspec.Struct, frozen=True):
    """What an issued report bills of an earlier one."""

    ordinal: int  #: of the earlier report
    #: Its numbers that differ, by name: by how much, or for an instant the new one.
    numbers: dict[str, int | str]


class Entry(msgspec.Struct, frozen=True):
    """What is known of an issued report without its files."""

    account: str
    ordinal: int  #: the account's first report is 1
    first: str  #: ISO dates, both included
    last: str
    timezone: str
    begin: int  #: seconds [begin, end) that the period was when it was issued
    end: int
    issued_at: int  #: the second
    by: str
    revises: int | None
    proposal: str  #: a random text: which of several proposals this is
    numbers: dict[str, int | str]  #: what it bills, by name (`reports.numbers`)
    adjusts: list[Adjusted] = []
    compared: bool = False  #: whether all earlier reports were compared, and adjusted where needed

    @property
    def number(self) -> str:
        """The report's number: `acme-000001`."""
        return report_number(self.account, self.ordinal)

    @property
    def revised_number(self) -> str | None:
        """The number of the report that this one revises."""
        return None if self.revises is None else report_number(self.account, self.revises)

    @property
    def adjusted_numbers(self) -> list[str]:
        """The numbers of the reports that this one adjusts."""
        return [report_number(self.account, each.ordinal) for each in self.adjusts]

    @property
    def period(self) -> tuple[str, str, str]:
        """The first day, the last day, and the time zone."""
        return self.first, self.last, self.timezone


class StoredReport(msgspec.Struct, frozen=True):
    """An issued report with everything that is kept of it."""

    entry: Entry
    manifest: dict[str, Any]
    json: bytes
    files: bytes  #: the xls, and what other formats are drawn from, compressed (`issued.packing`)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(StoredReport).decode
_encode_entry: Final = msgspec.json.Encoder().encode
_decode_entry: Final = msgspec.json.Decoder(Entry).decode


def report_number(account: str, ordinal: int) -> str:
    """Return the number of an account's report: `acme-000001` for the first."""
    return f"{account}-{ordinal:06}"


def parse_number(number: str) -> tuple[str, int]:
    """Return the account and the ordinal of what `report_number` made. Raises ValueError."""
    found = _NUMBER.fullmatch(number)
    if not found or not int(found[2]) or not is_valid_id(found[1]):
        raise ValueError(f"{number!r} is not the number of a report; one is like acme-000001")
    return found[1], int(found[2])


def proposal_record(report: StoredReport) -> tuple[str, bytes]:
    """Return the key and the value of the record that proposes *report*."""
    return f"{report.entry.number}/{report.entry.proposal}", _encode(report)


def new_proposal() -> str:
    """Return a text that no other proposal has."""
    return uuid4().hex


class _Restored(NamedTuple):
    """A record that comes from a backup."""

    offset: int
    key: bytes
    value: bytes


class IssuedTable:
    """The topic of issued reports."""

    topic: Final = prefixes.topic("usage.reports")

    def positions(self, redis: Client) -> dict[str, int]:
        """Return up to which offset each place is applied to every node."""
        return ledger.node_positions(redis)

    def begin(self, redis: Client, place: str) -> None:
        """Keep that *place* is read from its beginning."""
        ledger.begin_on_nodes(redis, place)

    def apply(
        self, redis: Client, place: str, records: Sequence[Record], within: OffsetRange
    ) -> None:
        """Apply *records*, and then keep that they are read."""
        with ledger.applying(redis, place, within) as connections:
            for begin in range(0, len(records), _AT_ONCE):
                self._apply_some(connections, records[begin : begin + _AT_ONCE])

    def _apply_some(self, connections: PinnedConnections, records: Sequence[Record]) -> None:
        calls: list[tuple[list[str], list[Any]]] = []
        accounts: set[str] = set()
        for record in records:
            try:
                entry = _checked(record.key or b"", record.value or b"").entry
            except ValueError as error:  # msgspec's are some
                log.warning("%s, offset %s is skipped: %s", self.topic, record.offset, error)
                continue
            account, ordinal = entry.account, entry.ordinal
            names = [keys.report_entries(account), keys.issued_report(account, ordinal)]
            period = keys.report_period(*entry.period)
            calls.append((names, [ordinal, _encode_entry(entry), record.value, period]))
            accounts.add(account)
        if calls:
            connections.call(_SCRIPT, calls)
            connections.send((keys.REPORTS, ("SADD", keys.REPORTS, *sorted(accounts))))

    def restore(self, redis: Client, key: str, value: bytes) -> None:
        """Keep the report of a record of a backup, unless there is one with its number."""
        with pinned_connections(redis) as connections:
            self._apply_some(connections, [_Restored(0, key.encode(), value)])

    def unpublished(self, redis: Client, published: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the record of each report whose number was never *published*."""
        for account in accounts_with_reports(redis):
            for entry in entries(redis, account):
                if entry.number not in published and (report := stored(redis, entry)):
                    yield proposal_record(report)


REPORTS: Final = IssuedTable()


def _checked(key: bytes, value: bytes) -> StoredReport:
    """Return the report in a record. Raises ValueError."""
    number, _, proposal = key.decode().partition("/")
    report = _decode(value)
    if parse_number(number) != (report.entry.account, report.entry.ordinal):
        raise ValueError("its key is not the number of its report")
    if report.entry.proposal != proposal:
        raise ValueError("its key names another proposal")
    return report


# ------------------------------------------------------------------------------------- reading


def accounts_with_reports(redis: Client) -> list[str]:
    """Return every account with an issued report, sorted."""
    return sorted(name.decode() for name in cast(set[bytes], redis.smembers(keys.REPORTS)))


def entries(redis: Client, account: str) -> list[Entry]:
    """Return the entry of each issued report of *account*, in order."""
    return _entries(cast(dict[bytes, bytes], redis.hgetall(keys.report_entries(account))))


def entries_of_many(redis: Client, accounts: Sequence[str]) -> list[list[Entry]]:
    """Return the same of each of *accounts*, in one round trip."""
    pipe = redis.pipeline(transaction=False)
    for account in accounts:
        pipe.hgetall(keys.report_entries(account))
    return [_entries(found) for found in pipe.execute()]


def _entries(found: dict[bytes, bytes]) -> list[Entry]:
    numbered = [value for field, value in found.items() if not keys.is_report_period(field)]
    return sorted(map(_decode_entry, numbered), key=lambda entry: entry.ordinal)


def entry_from(content: bytes | None) -> Entry | None:
    """Return the entry in a field of the entries; None if there is none."""
    return _decode_entry(content) if content else None


def find(redis: Client, account: str, ordinal: int) -> Entry | None:
    """Return the entry of an issued report; None if there is none with this number."""
    name = keys.report_entries(account)
    return entry_from(cast(bytes | None, redis.hget(name, str(ordinal))))


def stored(redis: Client, entry: Entry) -> StoredReport | None:
    """Return the issued report of *entry* with its files; None if it was lost meanwhile."""
    content = cast(bytes | None, redis.get(keys.issued_report(entry.account, entry.ordinal)))
    return _decode(content) if content else None
