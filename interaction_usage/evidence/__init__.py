"""Evidence: every number of a report followed to the events behind it, in SQL over the events.

It shares no code with the rollups, the store or the reports (a test holds that), so that two
independent computations agree on every bill. Each question is one file in `sql/`, with its
definition at its head; `questions` puts them in order, `database` runs them.
"""
