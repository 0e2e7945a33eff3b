"""The model that explains reports gives what the reference does, for any events in any order."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.issued.usage_model import UsageModel
from rollups.fold import OffsetEvent
from rollups.slots import slot_of
from tests.rollups.drawing import NOON, limits, sets_of_events
from tests.support.reference_model import Account, apply_events, read

FIRST, END = slot_of(NOON) - 200, slot_of(NOON) + 200


@settings(deadline=None)
@given(sets_of_events(), limits(), st.integers(0, 40), st.integers())
def test_the_model_adds_up_what_the_reference_does(
    drawn: Any, allowed: Any, cut: int, seed: int
) -> None:
    """Some at once, the rest one by one, shuffled, all of them twice; breakdowns included."""
    mine = [event for event in drawn if event.account == "acme"]
    accounts: dict[str, Account] = {"acme": Account()}
    placed = [OffsetEvent(number, event) for number, event in enumerate(mine)]
    apply_events(accounts, "a", placed, allowed)
    random.Random(seed).shuffle(mine)
    model = UsageModel(allowed)
    model.add(mine[:cut])
    for event in [*mine[cut:], *mine]:
        model.add([event])
    assert model.snapshot(FIRST, END) == read(accounts["acme"], FIRST, END)


@settings(deadline=None)
@given(sets_of_events(), limits())
def test_what_touches_nothing_changes_nothing(drawn: Any, allowed: Any) -> None:
    """The period is [FIRST, END): an event whose effect does not touch it leaves it as it was."""
    mine = [event for event in drawn if event.account == "acme"]
    model = UsageModel(allowed)
    for event in mine:
        before = model.snapshot(FIRST, END)
        effect = model.add([event])
        if not effect.touches(FIRST * 900, END * 900):
            # Pending voids are those of the account, whatever their days.
            after = model.snapshot(FIRST, END)
            assert after._replace(pending_voids=before.pending_voids) == before
