"""For how long writes waited, and for which service."""

from stream_app.waits import KAFKA, REDIS, Waits


def test_seconds_grow_while_a_write_waits_and_not_afterwards() -> None:
    """second  0: Redis fails   3: again   5: it answers   9: Kafka fails."""
    now = 0.0
    waits = Waits(lambda: now)
    waits.failed(REDIS)
    now = 3.0
    waits.failed(REDIS)
    assert waits.seconds() == {REDIS: 3.0, KAFKA: 0.0}
    now = 5.0
    waits.succeeded()
    now = 9.0
    waits.failed(KAFKA)
    now = 10.0
    assert waits.seconds() == {REDIS: 5.0, KAFKA: 1.0}
    assert waits.failures == {REDIS: 2, KAFKA: 1}


def test_a_write_may_wait_for_one_after_the_other() -> None:
    """Its dead letter is published first, so Kafka, and then Redis, may fail."""
    now = 0.0
    waits = Waits(lambda: now)
    waits.failed(KAFKA)
    now = 2.0
    waits.failed(REDIS)
    now = 6.0
    assert waits.seconds() == {REDIS: 4.0, KAFKA: 2.0}
