"""Tokens for OAUTHBEARER in aiokafka's clients, by OpenID Connect; librdkafka has its own way."""

import asyncio
import json
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from functools import lru_cache
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider

from interaction_usage.kafka_address import Security

#: Seconds that the server which gives tokens has to answer.
_TIMEOUT_S: Final = 10.0
#: The part of its life after which a token is renewed.
_RENEWED_AFTER: Final = 0.8


@lru_cache(maxsize=8)
def tokens(security: Security) -> "_TokenProvider":
    """Return the one source of tokens for all clients of a process."""
    return _TokenProvider(security)


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Tokens by OpenID Connect, for a client's id and secret, renewed before they expire."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self._token, self._renew_at = "", 0.0

    async def token(self) -> str:
        """Return a token that is valid now. Raises OSError where none is given."""
        if time.monotonic() >= self._renew_at:
            asked = time.monotonic()
            answer = await asyncio.to_thread(self._ask)
            self._token = str(answer["access_token"])
            self._renew_at = asked + float(answer.get("expires_in", 0)) * _RENEWED_AFTER
        return self._token

    def _ask(self) -> dict[str, Any]:
        security = self._security
        form = {"grant_type": "client_credentials"}
        if security.sasl_oauthbearer_scope:
            form["scope"] = security.sasl_oauthbearer_scope
        names = security.sasl_oauthbearer_client_id, security.sasl_oauthbearer_client_secret
        basic = b64encode(":".join(urllib.parse.quote(each, "") for each in names).encode())
        request = urllib.request.Request(
            security.sasl_oauthbearer_token_endpoint_url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {basic.decode()}", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
