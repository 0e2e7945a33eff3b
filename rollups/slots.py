"""Slots: time cut into stretches of 15 minutes, aligned to UTC.

Slot *k* is the half-open stretch [900 k, 900 (k + 1)) in seconds since 1970-01-01T00:00:00Z. Every
time zone in use today is offset by a multiple of 15 minutes, so its hours and days are whole slots.
UTC days are numbered the same way, and days are grouped in blocks of 32 to keep Redis keys few.
"""

from typing import Final

SLOT_SECONDS: Final = 900
SLOTS_PER_DAY: Final = 96
DAYS_PER_BLOCK: Final = 32


def slot_of(second: int) -> int:
    """Return the slot that *second* lies in."""
    return second // SLOT_SECONDS


def day_of(slot: int) -> int:
    """Return the UTC day that *slot* lies in, counted from 1970-01-01 as day 0."""
    return slot // SLOTS_PER_DAY


def block_of(day: int) -> int:
    """Return the block of 32 days that *day* lies in."""
    return day // DAYS_PER_BLOCK


def first_slot_of(day: int) -> int:
    """Return the slot that *day* begins with."""
    return day * SLOTS_PER_DAY


def whole_days(first: int, end: int) -> range:
    """Return the UTC days that lie wholly within the slots [first, end)."""
    return range(-(-first // SLOTS_PER_DAY), max(-(-first // SLOTS_PER_DAY), end // SLOTS_PER_DAY))


def days_touched(first: int, end: int) -> range:
    """Return the UTC days that share at least one slot with [first, end)."""
    return range(day_of(first), day_of(end - 1) + 1) if end > first else range(0)
