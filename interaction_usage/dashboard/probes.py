"""Whether the server runs, and whether it can answer: for supervisors and load balancers.

No login is needed, no place among the requests is taken, and Redis is not asked: what the last look
saw is answered, so a probe is quick also where everything else waits.
"""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from interaction_usage.dashboard.api.answers import json_answer
from interaction_usage.dashboard.schemas import live as shapes

ALIVE_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"

router = APIRouter(tags=["Health"])


@router.get(ALIVE_PATH, response_model=shapes.Alive)
async def healthz() -> Response:
    """200 as long as the server runs. Restart it if it does not answer."""
    return json_answer({"status": "alive"})


@router.get(
    READY_PATH, response_model=shapes.Ready,
    responses={503: {"model": shapes.Ready, "description": "Redis does not answer."}},
)  # fmt: skip
async def readyz(request: Request) -> Response:
    """200 while Redis answers, so that reports can be shown. Send it no visitors otherwise."""
    if request.app.state.watch.redis_answers():
        return json_answer({"status": "ready", "reasons": []})
    answer = json_answer({"status": "not-ready", "reasons": ["Redis does not answer"]})
    answer.status_code = 503
    return answer
