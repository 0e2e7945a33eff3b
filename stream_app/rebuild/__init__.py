"""Rebuilding the rollups from the topics beside live traffic, and comparing them with the live ones."""
