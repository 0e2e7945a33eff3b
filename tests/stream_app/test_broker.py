"""Questions to a broker that is not there."""

import pytest

from interaction_usage.servers.ports import free_port
from stream_app.broker import Admin, topic_ids
from stream_app.errors import BrokerUnavailableError


def test_a_client_that_got_no_answer_is_replaced() -> None:
    """It may have lost the only broker that it knew, and never find it again."""
    admin = Admin(f"127.0.0.1:{free_port()}")
    before = admin._client
    with pytest.raises(BrokerUnavailableError, match="no broker answered"):
        topic_ids(admin, ["usage.flows"], timeout=0.2)
    assert admin._client is not before
