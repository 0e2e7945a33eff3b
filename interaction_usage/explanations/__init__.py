"""Explanations: evidence from the events (`evidence`) beside what the rollups say (`reports`).

The two computations share nothing; here they meet. Commands and the dashboard ask here.
"""
