"""Random records against `decode`: how many are accepted, how many are refused and why.

    python -m tests.stream_app.fuzz --events 1000000 --seed 7

Each record begins as a valid event of one type in one of three modes and is damaged, or not. It
ends at the first record that breaks what is promised, and says which one. Then the records are read
again in small batches, in which each must come out as it does alone; and out of record batches as
Kafka has them, of every codec, sound and damaged.
"""

import argparse
import base64
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition

from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.events import Event
from rollups.fold import OffsetEvent, fold
from stream_app.bounded_fetch import MAX_BATCH_BYTES, install
from stream_app.codec import Headers, decode, decode_all
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError
from stream_app.topics import EVENT_TOPICS, TOPIC_OF

sys.path.append(str(Path(__file__).parents[1]))  # where pytest looks, too
from tests.support import raw_batches

ACCEPTED = "accepted"
MAX_SENTENCE = 600
BATCH = 4  #: records that are read at once, on average: few, so that some batches are sound

_SECRET = bytes(16)
_LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)

_SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
_EXAMPLES = {
    kind: json.loads((_SCHEMAS / f"{kind}.json").read_text())["examples"][0] for kind in TOPIC_OF
}
_KINDS = tuple(TOPIC_OF)


class Record(NamedTuple):
    """What `decode` is given."""

    topic: str
    value: bytes | None
    headers: Headers = ()
    timestamp: int = -1


class Broken(AssertionError):
    """A record for which `decode` broke its promise."""


def outcome(record: Record) -> str:
    """Return "accepted" or the reason code of *record*; raise Broken if a promise is broken.

    The promises: nothing but RejectedError is raised; its sentence fits into a header and on a
    terminal; an accepted event can be folded and packed for Redis.
    """
    try:
        return _outcome(record)
    except Exception as error:
        shown = record._replace(value=record.value and record.value[:2000])
        raise Broken(f"{type(error).__name__}: {error}, for {shown}") from error


def _outcome(record: Record) -> str:
    try:
        event = decode(*record)
    except RejectedError as why:
        refused = why
    else:
        fold([("usage/0", [OffsetEvent(0, event)])], _SECRET, _LIMITS).packed()
        return ACCEPTED
    assert refused.reason in Reason, "a reason from the list"
    assert 0 < len(refused.sentence) <= MAX_SENTENCE, "a sentence of at most 600 characters"
    controls = [char for char in refused.sentence if ord(char) < 32 or 127 <= ord(char) < 160]
    assert not controls, "no control characters"
    refused.sentence.encode()
    return str(refused.reason)


def together(topic: str, batch: list[Record]) -> list[str]:
    """Return what becomes of the records of *batch*, all of *topic*, when they are read at once.

    The promise: exactly what becomes of each alone. Raises Broken.
    """
    alone = [_reported(record) for record in batch]
    try:
        found = [_plainly(outcome) for outcome in decode_all(topic, batch)]
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}, for the batch {batch}") from error
    if found != alone:
        raise Broken(f"{found} together, but {alone} alone, for the batch {batch}")
    return [ACCEPTED if isinstance(answer, Event) else answer[0] for answer in found]


def _reported(record: Record) -> Event | tuple[str, str]:
    """Return the event in *record*, or the reason and the sentence."""
    try:
        return decode(*record)
    except RejectedError as refused:
        return _plainly(refused)


def _plainly(outcome: Event | RejectedError) -> Event | tuple[str, str]:
    return outcome if isinstance(outcome, Event) else (str(outcome.reason), outcome.sentence)


# ------------------------------------------------------------------ batches as Kafka has them

#: Bytes that a batch may unpack to here; the records of one are much smaller.
_BOUND = 8 * 1024 * 1024
_BOMBS = {
    codec: raw_batches.bomb(codec, _BOUND + more)
    for codec, more in zip(raw_batches.CODECS.values(), (1, 500, 5_000_000, 1), strict=True)
}


def fetched(random: Random, topic: str, batch: list[Record]) -> str:
    """Read *batch* out of a record batch as it lies in Kafka; return what was done to that.

    The promise: a sound one is read as it is. Of any other, there are records with offsets that are
    its own, or one refusal. Either way reading goes on behind it. Raises Broken.
    """
    codec = random.choice((raw_batches.NONE, *raw_batches.CODECS.values()))
    payload = b"".join(
        raw_batches.record(
            record.value, number, record.timestamp, b"key",
            [(name.encode(), content) for name, content in record.headers],
        )
        for number, record in enumerate(batch)
    )  # fmt: skip
    packed = raw_batches.compressed(payload, codec)
    harm = random.choice(("sound", "sound", "cut", "flip", "junk", "bomb", "behind", "count"))
    packed, count = _harmed(random, harm, packed, len(batch), codec)
    raw = raw_batches.batch(packed, count, codec, last=len(batch) - 1, timestamp=0, base=7)
    end = 7 + len(batch)
    raw += raw_batches.batch(raw_batches.record(b"behind"), 1, base=end)
    tp = TopicPartition(topic, 0)
    try:
        install(_BOUND)
        records = fetcher.PartitionRecords(
            tp, fetcher.MemoryRecords(raw), [], 7, None, None, True, 1
        )
        found: list[Any] = []
        while not records.is_done:
            found += records.take(random.randrange(1, 10_000))
        assert records.next_fetch_offset == end + 1
        assert found.pop().value == b"behind", "what is behind it"
        offsets = [one.offset for one in found]
        assert offsets == sorted({*offsets} & {*range(7, end)}), "offsets of its own"
        if harm == "sound":
            read = [Record(topic, one.value, tuple(one.headers), one.timestamp) for one in found]
            assert read == [
                record._replace(topic=topic, headers=tuple(record.headers)) for record in batch
            ], "the same records"
        elif harm == "bomb" and codec:
            assert [one.rejection.reason for one in found] == [Reason.TOO_LARGE]
        elif any(isinstance(one, RejectedBatch) for one in found):
            assert len(found) == 1, "one refusal"
        decode_all(topic, found)
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}, {harm} {codec} for {batch}") from error
    finally:
        install(MAX_BATCH_BYTES)
    return harm


def _harmed(random: Random, harm: str, packed: bytes, count: int, codec: int) -> tuple[bytes, int]:
    """Return *packed* and *count* with some *harm* done to them."""
    match harm:
        case "cut":
            return packed[: random.randrange(len(packed))], count
        case "flip":
            return _flip(random, packed), count
        case "junk":
            return packed + random.randbytes(random.randrange(1, 30)), count
        case "bomb" if codec:
            return _BOMBS[codec], count
        case "behind" if codec:
            return packed + _BOMBS[codec], count
        case "count":
            return packed, random.choice((count + 1, count - 1, -1, 2**31 - 1))
    return packed, count


# ------------------------------------------------------------------ making records


def records(count: int, seed: int) -> Iterator[Record]:
    """Yield *count* records, the same ones for the same *seed*."""
    random = Random(seed)
    for _ in range(count):
        yield record(random)


def record(random: Random) -> Record:
    """Return one record."""
    kind = random.choice(_KINDS)
    event = _event(random, kind)
    for _ in range(random.choices((0, 1, 2, 4), (50, 35, 10, 5))[0]):
        _change(random, event)
    value, headers = random.choices((_structured, _binary, _base64), (6, 3, 1))[0](random, event)
    if random.random() < 0.25:
        value = random.choices(_DAMAGES, _ODDS)[0](random, value)
    topic = (
        TOPIC_OF[kind] if random.random() < 0.98 else random.choice((*EVENT_TOPICS, "", "other"))
    )
    return Record(topic, value, headers, _timestamp(random))


def _timestamp(random: Random) -> int:
    """Return a record's timestamp: sound, years away, far ahead, before 1970, or none."""
    if random.random() < 0.5:
        return random.choice(_TIMESTAMPS)
    return random.choice((1, 1_000, -1)) * random.randrange(2_000_000_000_000)


def _event(random: Random, kind: str) -> dict[str, Any]:
    """Return a valid event of *kind*."""
    event = {**_EXAMPLES[kind]}
    event["data"] = {**event["data"]}
    event["id"] = f"{random.getrandbits(48):x}" if random.random() < 0.9 else _crafted(random)
    for name in ("flow", "session", "call", "campaign"):
        if name in event["data"] and random.random() < 0.1:
            event["data"][name] = _crafted(random)[:200]
    event["subject"] = f"account-{random.randrange(1000)}"
    event["time"] = (
        f"{random.choice(_YEARS):04}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}"
        f"T{random.randrange(24):02}:{random.randrange(60):02}:{random.randrange(60):02}"
        f"{random.choice(('', '.5', '.123456789'))}{random.choice(_OFFSETS)}"
    )
    if "minutes" in event["data"]:
        event["data"]["minutes"] = random.randrange(1, 10**6) / 1000
    return event


def _change(random: Random, event: dict[str, Any]) -> None:
    """Drop, replace or add a member of *event* or of its data."""
    data = event.get("data")
    place = data if isinstance(data, dict) and random.random() < 0.5 else event
    name = random.choice((*place, "unknown", "data_base64", "datacontenttype"))
    match random.randrange(4):
        case 0:
            place.pop(name, None)
        case 1:
            place["time"] = random.choice(_TIMES)
        case _:
            place[name] = _wild(random)


def _wild(random: Random) -> Any:
    """Return a value that a member was not made for."""
    match random.randrange(8):
        case 0:
            return _text(random, random.choice((0, 1, 5, 200, 201, 300)))
        case 1:
            return random.randrange(-(10**25), 10**25)
        case 2:
            return random.uniform(-1, 1) * 10 ** random.randrange(-30, 30)
        case 3:
            return [_wild(random) for _ in range(random.randrange(3))]
        case 4:
            return {_text(random, 3): _wild(random) for _ in range(random.randrange(3))}
        case _:
            return random.choice(_VALUES)


def _text(random: Random, length: int) -> str:
    """Return *length* characters from all over Unicode, halves of surrogate pairs included."""
    top = random.choice((0x7F, 0xFF, 0xFFFF, 0x10FFFF))
    return "".join(chr(random.randrange(top + 1)) for _ in range(length))


def _crafted(random: Random) -> str:
    """Return a text that somebody thought out: very long, or of any script and direction."""
    text = random.choice(_SCRIPTS)
    return text * random.choice((1, 1, 2, 1000))


def _json(random: Random, value: Any) -> bytes:
    """Return *value* as JSON: escaped or not, and not always valid UTF-8."""
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _structured(random: Random, event: dict[str, Any]) -> tuple[bytes, Headers]:
    return _json(random, event), random.choice(_STRUCTURED_HEADERS)


def _base64(random: Random, event: dict[str, Any]) -> tuple[bytes, Headers]:
    data = _json(random, event.pop("data", None))
    return _json(random, {**event, "data_base64": base64.b64encode(data).decode()}), ()


def _binary(random: Random, event: dict[str, Any]) -> tuple[bytes, Headers]:
    value = _json(random, event.pop("data", None))
    headers: list[tuple[str, bytes | None]] = [
        (f"ce_{name}".encode(errors="replace").decode(), _header(random, content))
        for name, content in event.items()
    ]
    headers += random.choice(_BINARY_HEADERS)
    random.shuffle(headers)
    return value, headers


def _header(random: Random, content: Any) -> bytes | None:
    if random.random() < 0.01:
        return random.choice((None, b"", b"\xff", random.randbytes(20)))
    text = content if isinstance(content, str) else json.dumps(content)
    return text.encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------ damaging bytes


def _cut(random: Random, value: bytes) -> bytes:
    return value[: random.randrange(len(value) + 1)]


def _flip(random: Random, value: bytes) -> bytes:
    at = random.randrange(len(value))
    return value[:at] + bytes((value[at] ^ 1 << random.randrange(8),)) + value[at + 1 :]


def _insert(random: Random, value: bytes) -> bytes:
    at = random.randrange(len(value) + 1)
    return value[:at] + random.randbytes(random.randrange(1, 4)) + value[at:]


def _repeat(random: Random, value: bytes) -> bytes:
    begin, end = sorted((random.randrange(len(value) + 1), random.randrange(len(value) + 1)))
    return value[:end] + value[begin:end] + value[end:]


def _number(random: Random, value: bytes) -> bytes:
    head, colon, tail = value.rpartition(b": ")
    return head + colon + random.choice(_NUMBERS) + tail[-2:]


def _twice(random: Random, value: bytes) -> bytes:
    members = value[1:-1].split(b", ")
    return b"{" + b", ".join([*members, random.choice(members)]) + b"}"


def _token(random: Random, value: bytes) -> bytes:
    return value.replace(b": ", b": " + random.choice(_TOKENS), random.randrange(1, 3))


def _inject(random: Random, value: bytes) -> bytes:
    return value.replace(b"{", b'{"injected": "' + random.choice(_INVALID_UTF8) + b'", ', 1)


def _deep(random: Random, value: bytes) -> bytes:
    depth = random.choice((10, 500, 1100, 20_000, 100_000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nest = opening * depth + b"1" + closing * depth
    return random.choice((nest, opening * depth, value.replace(b"{", b'{"deep": ' + nest + b", ")))


def _long(random: Random, value: bytes) -> bytes:
    size = random.choice((60_000, 65_000, 65_536, 1024 * 1024))
    return value.replace(b"{", b'{"long": "' + b"x" * size + b'", ', 1)


def _noise(random: Random, value: bytes) -> bytes:
    return random.randbytes(random.randrange(200))


def _nothing(random: Random, value: bytes) -> bytes | None:
    return random.choice((None, b"", b" ", b"null", b"\xef\xbb\xbf" + value, value + b"\x00"))


_DAMAGES = (
    _cut, _flip, _insert, _repeat, _number, _twice, _token, _inject, _noise, _nothing, _deep, _long
)  # fmt: skip
_ODDS = (10, 20, 10, 10, 10, 10, 10, 10, 10, 3, 0.5, 0.5)

_YEARS = (1, 1969, 1999, *range(2000, 2027))
_SCRIPTS = (
    "x",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0e44\u0e17\u0e22",
    "\ud55c\uad6d\uc5b4",
    "\u1112\u1161\u11ab",
    "\u65e5\u672c",
    "\u0416",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "e\u0301",
    "\u00e9",
    "\u1e9b\u0323",
    "\ufb01",
    "\u212b",
    "\u00c5",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U00020000",
    "\u202eabc\u202c",
    "\u2067abc\u2069",
    "\u200f",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\u00ad",
    "\u3164",
    "\u0430\u0441\u043c\u0435",
    "\uff0f\uff1a",
    "a" + "\u0300" * 100,
    "\u00a0",
    "../..",
    "%2e%2e",
    "{}{{",
    "]]>",
)
_OFFSETS = ("Z", "Z", "z", "+00:00", "-00:00", "+05:45", "+14:00", "-14:00", "+23:59", "-23:59")
_TIMESTAMPS = (-1, -1, 0, 1_759_649_400_000, 1_800_000_000_000, 1_800_000_000_000, 2**63 - 1)
_TIMES = (
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999-23:59",
    "2016-12-31T23:59:60Z", "2016-12-31T23:59:61Z", "2026-02-29T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-10-05T09:30:00+24:00", "2026-10-05T09:30:00+14:00", "2026-10-05T09:30:00",
    "2026-10-05 09:30:00Z", "2026-10-05T24:00:00Z", f"2026-10-05T09:30:00.{'9' * 5000}Z",
    "x" * 5000, "\U0010ffff" * 5000, "\x00" * 500, "2026-10-05T09:30:00Z\n", "٢٠٢٦-10-05T09:30:00Z",
)  # fmt: skip
_VALUES = (
    None, True, False, 0, 1, -1, 0.0005, 1e308, float("nan"), float("inf"), float("-inf"), 10**400,
    "", "x" * 201, "x" * 5000, "\n", "\x00", "\x7f", "\x85", "\ud800", "\udfff\ud800", "\ufffe",
    "\U0010ffff", "\u202e", "application/json", "text/plain", "1.0", "agent", "chat",
    "+33123456789", "usage.sms.sent", "usage.nothing", "e30=", "e30", [], {}, [[]], {"a": None},
    "`$.data`", "$.data",
)  # fmt: skip
_NUMBERS = (
    b"0.001", b"1e-3", b"1.0000", b"0.0005", b"1e400", b"-0", b"1e99999999999999999", b"1e-400",
    b"1e9999999999999999999999", b"9" * 5000, b"0." + b"0" * 5000 + b"1", b"01", b"1.", b"NaN",
    b"Infinity", b"-Infinity", b"0x10", b"1_000", b"100000000", b"100000000.001",
)  # fmt: skip
_TOKENS = (b'"\xff"', b"NaN", b"-", b"1e", b'"\\ud800"', b'"\\u0000"', b"[", b"{}", b"tru", b"/**/")
_INVALID_UTF8 = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xc3\xa9",
)
_STRUCTURED_HEADERS: tuple[Headers, ...] = (
    (), (), (), (("content-type", b"application/cloudevents+json"),), (("trace", b"\xff"),),
    (("content-type", b"Application/CloudEvents+JSON; charset=utf-8"), ("ce_id", b"\xff")),
    (("content-type", b"application/cloudevents-batch+json"),), (("content-type", b"\xff"),),
    (("content-type", None),), (("ce_", None),),
)  # fmt: skip
_BINARY_HEADERS: tuple[Headers, ...] = (
    (), (), (), (("content-type", b"application/json"),), (("content-type", None),),
    (("content-type", b"text/plain"),), (("content-type", b"\xff"),), (("ce_data", b"{}"),),
    (("ce_data_base64", b"e30="),), (("ce_\n" + "x" * 900, b"\xff"),), (("trace", b"\xff"),),
    (("ce_id", b"again"),), (("content-type", b"x" * 70_000),), (("trace", b"x" * 70_000),),
)  # fmt: skip


# ------------------------------------------------------------------ counting


def count(events: int, seed: int) -> Counter[str]:
    """Return how many of *events* random records were accepted, and refused by reason.

    Each is read alone, and again in a batch of its topic.
    """
    counts: Counter[str] = Counter()
    sizes = Random(seed)
    batches: dict[str, list[Record]] = defaultdict(list)
    for record in records(events, seed):
        counts[outcome(record)] += 1
        batch = batches[record.topic]
        batch.append(record)
        if sizes.random() < 1 / BATCH:
            together(record.topic, batch)
            if sizes.random() < 0.2:
                fetched(sizes, record.topic, batch)
            batch.clear()
    for topic, batch in batches.items():
        together(topic, batch)
    return counts


def table(counts: Counter[str]) -> str:
    """Return *counts* as lines: the outcome, how many, and their share."""
    total = counts.total()
    rows = [(name, counts[name]) for name in (ACCEPTED, *map(str, Reason))]
    return "\n".join(f"{name:<18}{n:>10,}{n / total:>8.1%}" for name, n in rows)


def main() -> None:
    """Read the arguments, count, print the table."""
    parser = argparse.ArgumentParser(description="Random records against the codec.")
    parser.add_argument("--events", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same records (1)")
    asked = parser.parse_args()
    begun = time.perf_counter()
    counts = count(asked.events, asked.seed)
    seconds = time.perf_counter() - begun
    print(table(counts))
    print(f"{'all':<18}{counts.total():>10,}  in {seconds:.0f} s, no promise broken")


if __name__ == "__main__":
    main()
