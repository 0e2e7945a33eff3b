"""What the routes of the API share."""

from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from interaction_usage.dashboard.auth import Asker
from interaction_usage.dashboard.errors import AccountNotFoundError
from interaction_usage.store.reads import Rollups


def json_answer(content: Any) -> Response:
    """Return *content* as a JSON answer."""
    return Response(orjson.dumps(content), media_type="application/json")


def visible_rollups(request: Request, account: str, asker: Asker) -> Rollups:
    """Return the active rollups. Raises AccountNotFoundError unless *asker* may see *account*."""
    asker.must_see(account)
    rollups = Rollups.live(request.app.state.redis)
    if not rollups.exists(account):
        raise AccountNotFoundError
    return rollups
