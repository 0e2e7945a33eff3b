"""Issued reports: making a report that never changes, and comparing what it says with now."""
