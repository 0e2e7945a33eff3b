"""Alerts: rules over an account's usage, one notification for each change, and its delivery."""
