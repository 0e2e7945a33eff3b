"""The numbers and record formats that Python and the Lua scripts agree on.

`scripts.header` puts them in front of each script, so that none is written twice. Formats are those
of Lua's `struct`; `i5` and `i7` are integers of five and seven bytes, which Python's does not have.

    record of                format    bytes
    a curve                  >Bi4i4    9      slot of the day, net, rise
    a counter                >Bi7      8      slot of the day, amount
    a session                >i5i5     10     start, stop; `UNKNOWN_SECOND` where none arrived
    the correction of one    >i5I3...  24     behind it: time, start, stop; microseconds of each
    the sums of a block      >i5...    5 each the net of each series over the block
    the net of a day         >Bi4      5      day of the block * series + series, net
    pieces of a slot         >BI2...   3      their mark, and how many deltas they have in all
    one of these             I2i4i4    10     bytes of its deltas, net, rise
"""

from enum import IntEnum
from typing import Final

from rollups.catalog import APPLICATIONS, SERIES, SERIES_OF
from rollups.concurrency import UNKNOWN_SECOND
from rollups.slots import DAYS_PER_BLOCK, SLOT_SECONDS, SLOTS_PER_DAY

#: Bytes of the records above.
CURVE_RECORD: Final = 9
AMOUNT_RECORD: Final = 8
NET_RECORD: Final = 5
SESSION_BYTES: Final = 10  #: without a correction
#: Bytes of one sum of a block.
SUM_BYTES: Final = 5

#: A slot with more deltas than the first of these is stored in pieces of so many seconds, behind a
#: byte that no MessagePack begins with.
MOST_IN_ONE: Final = 64
PIECE_SECONDS: Final = 60
PIECES: Final = SLOT_SECONDS // PIECE_SECONDS
PIECES_MARK: Final = 0xC1
PIECES_HEAD: Final = 3 + 10 * PIECES  #: bytes before the deltas of the first piece

#: The mean size of a bucket. Buckets stay below the sizes up to which Redis keeps a set of integers
#: (512) and a small hash (128) in one packed piece; an unsplit bucket has up to twice the mean.
IDENTITIES_PER_BUCKET: Final = 192
SESSIONS_PER_BUCKET: Final = 40

# One byte says which day and series a net is of, and one which slot a record is of.
assert DAYS_PER_BLOCK * len(SERIES) <= 256
assert SLOTS_PER_DAY <= 256
assert PIECE_SECONDS * PIECES == SLOT_SECONDS


class ApplyAnswer(IntEnum):
    """What `apply.lua` answers first; all but the first one mean that nothing was changed."""

    APPLIED = 0
    BELOW_FENCE = 1  #: an offset of each of these topic-partitions was applied before
    KNOWN = 2  #: these identities were applied before
    SEALED = 3  #: these UTC days are sealed
    CHANGES_SEALED = 4  #: a session would change a sealed day
    TOO_MUCH = 5  #: more work than one script may do
    TOO_EARLY = 6  #: what it is after is not applied


#: The constants that scripts may use, by their name there.
LUA_CONSTANTS: Final[dict[str, int]] = {
    "SLOT_SECONDS": SLOT_SECONDS,
    "SLOTS_PER_DAY": SLOTS_PER_DAY,
    "DAYS_PER_BLOCK": DAYS_PER_BLOCK,
    "DAY_SECONDS": SLOT_SECONDS * SLOTS_PER_DAY,
    "UNKNOWN_SECOND": UNKNOWN_SECOND,
    "SERIES": len(SERIES),
    "CURVE_RECORD": CURVE_RECORD,
    "AMOUNT_RECORD": AMOUNT_RECORD,
    "NET_RECORD": NET_RECORD,
    "SESSION_BYTES": SESSION_BYTES,
    "SUM_BYTES": SUM_BYTES,
    "MOST_IN_ONE": MOST_IN_ONE,
    "PIECES": PIECES,
    "PIECES_MARK": PIECES_MARK,
    "PIECES_HEAD": PIECES_HEAD,
    "IDENTITIES_PER_BUCKET": IDENTITIES_PER_BUCKET,
    "SESSIONS_PER_BUCKET": SESSIONS_PER_BUCKET,
    **{answer.name: answer.value for answer in ApplyAnswer},
}

#: The record formats that scripts may use, by their name there.
LUA_FORMATS: Final = {
    "CURVE_FORMAT": ">Bi4i4",
    "AMOUNT_FORMAT": ">Bi7",
    "SESSION_FORMAT": ">i5i5",
    "CORRECTION_FORMAT": ">i5I3i5I3i5I3",
    "SUMS_FORMAT": ">" + f"i{SUM_BYTES}" * len(SERIES),
    "NET_FORMAT": ">Bi4",
    "PIECES_FORMAT": ">BI2" + "I2i4i4" * PIECES,
}

#: The indexes of the series that a session of each application is part of, by the application's.
SERIES_BY_APPLICATION: Final = tuple(
    tuple(SERIES.index(series) for series in SERIES_OF[application]) for application in APPLICATIONS
)
