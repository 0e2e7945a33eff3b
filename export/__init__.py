"""Rollups in, Usage Report out: the report (pure), and one renderer per file format."""
