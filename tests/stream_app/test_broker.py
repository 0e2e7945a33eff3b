"""What topics are created with, and questions to a broker that is not there."""

import pytest

from interaction_usage.servers.ports import free_port
from stream_app.broker import LARGEST_DEAD_LETTER, Admin, topic_configuration, topic_ids
from stream_app.errors import BrokerUnavailableError
from stream_app.topics import DEAD_LETTERS, FLOWS


def test_a_client_that_got_no_answer_is_replaced() -> None:
    """It may have lost the only broker that it knew, and never find it again."""
    admin = Admin(f"127.0.0.1:{free_port()}")
    before = admin._client
    with pytest.raises(BrokerUnavailableError, match="no broker answered"):
        topic_ids(admin, ["usage.flows"], timeout=0.2)
    assert admin._client is not before


@pytest.mark.parametrize(("replication", "in_sync"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_one_broker_may_be_lost_without_losing_events(
    replication: int, in_sync: str | None
) -> None:
    """And be away without stopping producers; with two replicas only one of both can be had."""
    assert topic_configuration(FLOWS, replication).get("min.insync.replicas") == in_sync


def test_topics_keep_everything() -> None:
    """And dead letters have room for what was refused."""
    assert topic_configuration(FLOWS, 1) == {"retention.ms": "-1"}
    assert topic_configuration(DEAD_LETTERS, 1) == {
        "retention.ms": "-1", "max.message.bytes": str(LARGEST_DEAD_LETTER),
    }  # fmt: skip
