"""Which dead letters count that say what was rejected for a sealed day."""

import pytest

from stream_app.sealed_rejections import before

ENDS = {"usage.dead-letters/0@id": 5, "usage.dead-letters/1@id": 0}


@pytest.mark.parametrize(
    ("place", "offset", "counts"),
    [
        ("usage.dead-letters/0@id", 4, True),
        ("usage.dead-letters/0@id", 5, False),
        ("usage.dead-letters/1@id", 0, False),
        # A partition that the topic did not have yet.
        ("usage.dead-letters/2@id", 0, False),
        # Another topic of the name, earlier or later: nobody knows, so what is there counts.
        ("usage.dead-letters/0@other", 9, True),
    ],
)
def test_dead_letters_count_up_to_the_offsets_of_a_report(
    place: str, offset: int, counts: bool
) -> None:
    """Those of its topic."""
    assert before(ENDS)(place, offset) is counts
    assert before({})(place, offset)
