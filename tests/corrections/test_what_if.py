"""What a correction would change is what it changes: the preview against the rule."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.corrections.what_if import Change, changed, session_change
from rollups.corrections import Correction
from rollups.events import Event, EventVoided, OriginalEvent, SessionCorrected
from rollups.fold import amounts_of, session_key
from rollups.slots import SLOT_SECONDS
from rollups.timestamps import SECOND
from tests.rollups.delivery import in_order
from tests.rollups.drawing import NOON, events, session_corrections, sets_of_events
from tests.support import reference_model
from tests.support.examples import examples

LIMITS = {"agent": 3_600, "ticket-guidance": 61, "mobile-web": 86_400, "web-self-service": 1}
LATER = (NOON + 10 * 86_400) * SECOND
#: Ranges of slots around what happens, and such that begin or end in the midst of it.
RANGES = st.tuples(st.integers(-300, 200), st.integers(1, 500)).map(
    lambda pair: (NOON // SLOT_SECONDS + pair[0], NOON // SLOT_SECONDS + pair[0] + pair[1])
)


def applied(drawn: list[Event]) -> reference_model.Account:
    """Return the rollups of one account."""
    accounts: dict[str, reference_model.Account] = {}
    for fence, placed in in_order([each.__class__(
        each.source, each.id, "acme", each.time, each.data
    ) for each in drawn]):  # fmt: skip
        reference_model.apply_events(accounts, fence, placed, LIMITS)
    return accounts.get("acme", reference_model.Account())


def known_of(account: reference_model.Account, change: Change) -> dict[Any, dict[int, int]]:
    """Return the deltas in the slots that change, by second."""
    return {
        (series, second // SLOT_SECONDS): {
            second // SLOT_SECONDS * SLOT_SECONDS + offset: amount
            for offset, amount in account.deltas[series].get(second // SLOT_SECONDS, {}).items()
        }
        for series, second in change.deltas
    }


def check(drawn: list[Event], correction: Event, change: Change, within: tuple[int, int]) -> None:
    """Hold the snapshot with *change* against the one after the correction."""
    before, after = applied(drawn), applied([*drawn, correction])
    expected = reference_model.read(after, *within)
    found = changed(reference_model.read(before, *within), change, known_of(before, change))
    assert {metric: total for metric, total in found.totals.items() if total} == expected.totals
    assert {metric: total for metric, total in found.flows.items() if total} == expected.flows
    assert (found.carry, found.curves) == (expected.carry, expected.curves)


@settings(deadline=None, max_examples=examples(60))
@given(sets_of_events(size=15), events(), RANGES)
def test_a_void_changes_what_was_shown(
    drawn: list[Event], original: Event, within: tuple[int, int]
) -> None:
    """Of any event that counts by itself."""
    try:
        amounts = amounts_of(original.data)
    except ValueError:
        return
    named = OriginalEvent("never", original.id, original.time, original.data)
    void = Event("ops", "void", "acme", LATER, EventVoided(named, "why"))
    slot = original.time // SECOND // SLOT_SECONDS
    change = Change({(metric, slot): -amount for metric, amount in amounts.items()}, {})
    check(drawn, void, change, within)


@settings(deadline=None, max_examples=examples(100))
@given(sets_of_events(size=25), session_corrections(NOON, 2), RANGES)
def test_a_session_s_correction_changes_what_was_shown(
    drawn: list[Event], data: SessionCorrected, within: tuple[int, int]
) -> None:
    """Whatever the session was, corrected before or not."""
    correction = Event("ops", "correction", "acme", LATER, data)
    key = session_key(bytes(16), data.application, data.session), data.application
    old = applied(drawn).effective(key)
    new = Correction.of(correction, data).presence
    change = session_change(data.application, old, new, LIMITS[data.application])
    check(drawn, correction, change, within)
