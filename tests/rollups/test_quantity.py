"""Numbers of things in sentences."""

import pytest

from rollups.quantity import quantity


@pytest.mark.parametrize(
    ("number", "verb", "words"),
    [
        (0, "", "0 events"),
        (1, "", "1 event"),
        (1, "is", "1 event is"),
        (2, "is", "2 events are"),
        (1_200, "was", "1,200 events were"),
    ],
)
def test_noun_and_verb_agree_with_the_number(number: int, verb: str, words: str) -> None:
    """One is the only number of one thing."""
    assert quantity(number, "event", verb) == words
