"""Fault-injection runs, and single faults."""

import pytest

pytest.register_assert_rewrite(
    "tests.faults.auditor", "tests.faults.commands", "tests.faults.issuing", "tests.faults.outcome"
)
