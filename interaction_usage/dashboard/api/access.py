"""The API of tokens: who may see and change what. For operators alone.

What an operator does here is in the log: who, which token, for whom. The token itself is in the
answer that creates it, and nowhere else.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from redis.client import Redis

from interaction_usage.dashboard import audit, tokens
from interaction_usage.dashboard.api.answers import json_answer
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.errors import InvalidValueError, RequestError
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.schemas import access as shapes
from interaction_usage.dashboard.schemas.shared import Sentence
from interaction_usage.dashboard.token_terms import expiry_of, label_of
from interaction_usage.dashboard.tokens import Role, Token
from interaction_usage.dashboard.views import shown
from interaction_usage.store.account_table import similar_id
from interaction_usage.store.reads import Rollups

_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    403: {
        "model": Sentence,
        "description": "Only an operator sees and changes tokens, or another site's page asked.",
    },
}

router = APIRouter(tags=["Access"], responses=_REFUSED)


@router.get("/tokens", response_model=shapes.Tokens)
def list_tokens(request: Request, asker: Allowed) -> Response:
    """Every token by its id, the newest first."""
    _must_be_operator(asker)
    now = int(time.time())
    found = tokens.every(request.app.state.redis)
    answer = json_answer({"tokens": [_members(each, asker, now) for each in reversed(found)]})
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/tokens", response_model=shapes.NewToken)
def create_token(request: Request, wanted: shapes.TokenWanted, asker: AllowedToChange) -> Response:
    """Create a token and answer it, this once.

    It is valid when Kafka has acknowledged it. An open server creates none for operators.
    """
    _must_be_operator(asker)
    now, role = int(time.time()), Role(wanted.role)
    account = _account(request.app.state.redis, wanted.account, role)
    if role is Role.OPERATOR and asker.token is None:
        raise RequestError(
            403,
            "An open server creates no token for operators, which would outlast it: use "
            "`usage token create --operator`.",
        )
    try:
        label = label_of(wanted.label)
    except ValueError as error:
        raise InvalidValueError(("body", "label"), str(error)) from None
    try:
        expires = expiry_of(wanted.expires.strip(), now)
    except ValueError as error:
        raise InvalidValueError(("body", "expires"), str(error)) from None
    with _changing(request):
        secret = tokens.create(
            request.app.state.ledger, account, now, role=role, label=label, expires=expires
        )
    made = tokens.by_digest(request.app.state.redis, tokens.digest_of(secret))
    if made is None:  # revoked in the meantime
        raise RequestError(409, "The token was revoked as soon as it was created.")
    audit.note(asker, f"created {_words(made)}")
    answer = json_answer({**_members(made, asker, now), "token": secret})
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.delete(
    "/tokens/{token_id}", response_model=shapes.Token,
    responses={404: {"model": Sentence, "description": "No token has this id."}},
)  # fmt: skip
def revoke_token(
    request: Request,
    token_id: Annotated[str, Path(pattern="^[0-9a-f]{10,64}$", description="As it is listed.")],
    asker: AllowedToChange,
) -> Response:
    """Revoke a token: logins and streams that were made with it end within seconds."""
    _must_be_operator(asker)
    now = int(time.time())
    with _changing(request):
        try:
            gone = tokens.revoke(request.app.state.ledger, token_id, now)
        except tokens.TokenNotFoundError:
            raise RequestError(404, f"There is no token {token_id} any more.") from None
    audit.note(asker, f"revoked {_words(gone)}")
    return json_answer(_members(gone, asker, now))


def _must_be_operator(asker: Asker) -> None:
    if not asker.is_operator:
        raise RequestError(403, "Only an operator may see and change tokens.")


def _account(redis: Redis, account: str | None, role: Role) -> str | None:
    """Return whom a token of *role* is for. Raises InvalidValueError."""
    place = ("body", "account")
    if role is Role.OPERATOR:
        if account is not None:
            raise InvalidValueError(place, "an operator sees all accounts; leave the account out")
        return None
    if not account:
        raise InvalidValueError(place, f"a {role} needs an account")
    rollups = Rollups.live(redis)
    if not rollups.exists(account):
        similar = similar_id(account, rollups.accounts())
        hint = f"; did you mean {similar}?" if similar else ""
        raise InvalidValueError(place, f"there is no account {account!r}{hint}")
    return account


@contextmanager
def _changing(request: Request) -> Iterator[None]:
    """Take one of the places for changes: each waits for Kafka. Raises BusyError."""
    changing = request.app.state.changing
    if not changing.acquire(blocking=False):
        raise BusyError(503, "The server is busy with changes; try again in a moment.")
    try:
        yield
    finally:
        changing.release()


def _words(token: Token) -> str:
    whose = f"account {token.account}" if token.account else "operators"
    label = f", label {token.label!r}" if token.label else ""
    return f"the token {token.id} for {whose} ({token.role}{label})"


def _members(token: Token, asker: Asker, now: int) -> dict[str, Any]:
    return {
        "id": token.id,
        "account": token.account,
        "role": str(token.role),
        "label": token.label,
        "created": _instant(token.created),
        "expires": _instant(token.expires),
        "expired": token.is_expired(now),
        "last_used": _instant(token.used),
        "yours": token.digest == asker.token,
    }


def _instant(second: int | None) -> str | None:
    return None if second is None else shown(datetime.fromtimestamp(second, UTC))
