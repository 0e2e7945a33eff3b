"""Correcting an account: what is to be corrected, what that would change, and publishing it.

Used by `usage correct` and by the dashboard, so that both say the same.
"""
