"""Issued reports without a server: which number is next, which periods follow, what differs."""
