"""Columns of numbers, against the same numbers taken out one by one."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interaction_usage.store import columns

EDGES = [0, 1, -1, 127, 128, -128, -129, 255, 256, 32_767, 32_768, 2**31 - 1, -(2**31), 2**52]


def numbers(least: int, most: int) -> st.SearchStrategy[list[int]]:
    """Draw numbers of any size from *least* to *most*, small ones as often as large ones."""
    edges = [edge for edge in EDGES if least <= edge <= most]
    small = st.integers(max(least, -3), 3)
    return st.lists(st.one_of(small, st.sampled_from(edges), st.integers(least, most)), max_size=40)


@given(st.data(), st.integers(1, 7), st.integers(0, 2), st.integers(0, 2))
def test_unsigned_numbers_out_of_records(
    data: st.DataObject, width: int, before: int, behind: int
) -> None:
    """Wherever they stand in their records, whatever stands beside them."""
    answer = data.draw(numbers(0, 2 ** (8 * width) - 1))
    noise = data.draw(st.binary(min_size=before + behind, max_size=before + behind))
    records = b"".join(
        noise[:before] + number.to_bytes(width, "big") + noise[before:] for number in answer
    )
    size = before + width + behind
    assert list(columns.unsigned(records, size, before, width)) == answer


@given(st.data(), st.integers(1, 7), st.integers(0, 2), st.integers(0, 2))
def test_signed_numbers_out_of_records(
    data: st.DataObject, width: int, before: int, behind: int
) -> None:
    """In two's complement, the smallest and the largest there are."""
    most = 2 ** (8 * width - 1) - 1
    answer = data.draw(numbers(-most - 1, most))
    noise = data.draw(st.binary(min_size=before + behind, max_size=before + behind))
    records = b"".join(
        noise[:before] + number.to_bytes(width, "big", signed=True) + noise[before:]
        for number in answer
    )
    assert list(columns.signed(records, before + width + behind, before, width)) == answer


@given(numbers(-(2**63), 2**63 - 1))
def test_what_is_written_is_read(answer: list[int]) -> None:
    """In the narrowest kind that holds it."""
    kind, content = columns.encode(answer)
    assert list(columns.decode(kind, content)) == answer
    narrower = "Bbhiq"[: "Bbhiq".index(kind)]
    for other in narrower:
        with pytest.raises(OverflowError):
            array(other, answer)


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ([], ("B", b"")),
        ([0, 255], ("B", b"\x00\xff")),
        ([-1, 127], ("b", b"\xff\x7f")),
        ([-1, 128], ("h", b"\xff\xff\x80\x00")),
        ([256], ("h", b"\x00\x01")),
        ([32_768], ("i", b"\x00\x80\x00\x00")),
        ([-(2**31) - 1], ("q", b"\xff\xff\xff\x7f\xff\xff\xff\xff")),
    ],
)
def test_how_columns_are_written(answer: list[int], written: tuple[str, bytes]) -> None:
    """The same on every machine: the lowest byte first."""
    assert columns.encode(answer) == written


def test_what_no_column_holds_is_refused() -> None:
    """A number of more than 64 bits, a kind that nothing was ever written as."""
    with pytest.raises(OverflowError, match="64 bits"):
        columns.encode([2**63])
    with pytest.raises(ValueError, match="unknown type code 'x'"):
        columns.decode("x", b"")
