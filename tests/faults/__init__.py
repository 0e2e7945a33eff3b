"""Fault-injection runs, and single faults."""

import pytest

pytest.register_assert_rewrite(
    "tests.faults.auditor", "tests.faults.operations", "tests.faults.outcome"
)
