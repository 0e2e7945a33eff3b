"""The domain, pure: what is counted, when it is, and how it adds up. Knows no clock, no Redis."""
