"""Lines of events as they come, and that many at once have the outcome of each by itself."""

import io
import os
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interaction_usage.commands import event_lines
from interaction_usage.commands.event_lines import Line, UnsentLines, blocks, places
from tests.support.event_lines import event, flow

GOOD = [
    flow("1"),
    event("2", "sms.sent", {"link": True}),
    flow("3", subject="größe".encode().hex()),
]
BAD = [
    b"not json",
    b"[1]",
    b'{"type": 7}',
    flow("4", type="usage.x"),
    flow("5", subject="?"),
    flow("6", time="yesterday"),
    flow("7", source="x" * 70_000),
    b"\xff\xfe",
    event("8", "flow.run", {}),
]
LATE = flow("9", time="9999-01-01T00:00:00Z")


def numbered(values: Sequence[bytes]) -> list[Line]:
    """Return them as lines of a file."""
    return [Line(number, value) for number, value in enumerate(values, 1)]


@given(st.lists(st.sampled_from([*GOOD, *BAD, LATE]), max_size=12))
def test_lines_together_have_the_outcome_of_each_by_itself(values: list[bytes]) -> None:
    """The same topics and keys, and the same sentences."""
    alone = [event_lines._place(value, unchecked=False) for value in values]
    assert places(numbered(values), unchecked=False) == alone


def test_good_lines_go_to_the_topics_of_their_types() -> None:
    """With the account as key; a line has no timestamp that its event could lie ahead of."""
    found = places(numbered([*GOOD, LATE]), unchecked=False)
    assert [place and place[0] for place in found] == [
        "usage.flows", "usage.sms", "usage.flows", "usage.flows",
    ]  # fmt: skip
    assert found[0] == ("usage.flows", b"acme")


@pytest.mark.parametrize("value", BAD)
def test_a_bad_line_among_good_ones_is_refused_alone(value: bytes) -> None:
    """In whatever place; unchecked only what has no topic is."""
    found = places(numbered([*GOOD, value, *GOOD]), unchecked=False)
    assert [isinstance(each, str) for each in found] == [False] * 3 + [True] + [False] * 3
    has_topic = b'"usage.flow.run"' in value
    [unchecked] = places(numbered([value]), unchecked=True)
    assert isinstance(unchecked, tuple) is has_topic


@given(
    st.lists(st.sampled_from([b"", b" ", b"a", b"bc" * 40, b" d\r"]), max_size=30),
    st.integers(1, 100),
    st.booleans(),
)
def test_a_file_is_read_line_by_line_however_it_is_cut(
    written: list[bytes], size: int, ends: bool
) -> None:
    """Blocks of whatever size, with or without a newline at the end."""
    content = b"\n".join(written) + b"\n" * ends
    expected = [Line(n, each.strip()) for n, each in enumerate(written, 1) if each.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_lines, "_BLOCK", size)
        assert [line for block in blocks(io.BytesIO(content)) for line in block] == expected


def test_a_line_of_a_pipe_is_there_as_soon_as_it_was_written() -> None:
    """Without waiting for a block to be full: producers pipe events as they happen."""
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb", buffering=0) as end:
        found = blocks(pipe)
        for number in range(1, 4):
            end.write(b"event\nhalf of an")
            taken: list[list[Line]] = []
            taking = threading.Thread(target=lambda to=taken: to.append(next(found)))
            taking.start()
            taking.join(5)
            assert [line.number for line in taken[0]] == [number]


def test_a_line_that_was_not_sent_is_known_by_what_it_says() -> None:
    """Of several that are the same, each has its own number."""
    lines = [Line(1, b"a"), Line(3, b"b"), Line(4, b"a"), Line(7, b"c")]
    noted: list[tuple[int, str]] = []
    unsent = UnsentLines(lines, lambda number, why: noted.append((number, why)))
    for value in (b"a", b"c", b"a"):
        unsent.note(value, "no broker answered")
    assert noted == [(number, "no broker answered") for number in (1, 7, 4)]
