"""Measurements, each beside a peer in the same run. They judge nothing and are no tests."""
