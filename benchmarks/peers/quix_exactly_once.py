"""Quix Streams with state and transactions: counters in a store with a changelog topic.

Exactly once within Kafka: state and place are committed together.
"""

from typing import Any

from quixstreams import Application, State

from benchmarks.peers.counted import FETCH, FOLDER, GROUP, KAFKA, TOPICS, counted


def _count(event: dict[str, Any], state: State) -> None:
    _, field, amount = counted(event)  # the store is split by the record's key, the account
    state.set(field, state.get(field, 0) + amount)


def main() -> None:
    """Run until killed."""
    app = Application(
        broker_address=KAFKA,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        consumer_extra_config=FETCH,
        commit_interval=0.5,
        processing_guarantee="exactly-once",
        state_dir=FOLDER,
        loglevel="ERROR",
    )
    for name in TOPICS:
        topic = app.topic(name, value_deserializer="json")
        app.dataframe(topic).update(_count, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
