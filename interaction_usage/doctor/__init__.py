"""What `usage doctor` checks: facts asked of Kafka and Redis, and what each of them means.

Each area has a part that asks (`ask_…`) and a pure part that judges what was answered.
"""
