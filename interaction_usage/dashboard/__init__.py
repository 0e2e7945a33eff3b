"""The dashboard: an account's hour as it happens, any period at a glance, and their JSON API.

It reads the rollups and writes account settings, tokens and logins, nothing else; everything it
knows is in Redis, so a server that is killed loses nothing. Reports are made by whoever starts it
(`reports.Reports`), with the same code as the command's.
"""
