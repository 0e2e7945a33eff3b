"""Rebuilding the rollups from the topics beside live traffic (`run` has the steps)."""
