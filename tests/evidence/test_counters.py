"""Evidence has a list of counters of its own, for it shares nothing with the rollups."""

from interaction_usage.evidence.questions import COUNTERS
from rollups.catalog import METRICS, SESSION_METRICS


def test_every_counter_of_the_catalogue_can_be_explained() -> None:
    """And no other: what is counted and not explained is a number that nobody can follow."""
    assert set(COUNTERS) - {"runs"} == set(METRICS) - set(SESSION_METRICS)
