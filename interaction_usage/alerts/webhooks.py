"""Webhooks, signed by the Standard Webhooks specification.

The secret of an account follows from the one of the deployment, so none is stored: `usage alerts
secret` shows it to give to the receiver. While that one is changed there are two, and a webhook has
a signature by each, as the specification has it: a receiver takes the one that it knows.
"""

import asyncio
import hmac
import socket
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Final, NamedTuple

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from interaction_usage.alerts.addresses import PLAIN, CheckedResolver, check
from interaction_usage.alerts.errors import ForbiddenAddressError
from interaction_usage.alerts.notices import Notice, body
from interaction_usage.settings import Network

#: Seconds that a receiver has to answer.
TIMEOUT_S: Final = 10.0
_PREFIX: Final = "whsec_"


class Outcome(NamedTuple):
    """What became of an attempt."""

    ok: bool
    answer: str  #: a status like `200`, or why there is none
    final: bool = False  #: whether another attempt is of no use


def secret_of(deployment: str, account: str) -> str:
    """Return the secret that webhooks of *account* are signed with, as receivers take it."""
    return _PREFIX + b64encode(_key(deployment, account)).decode()


def _key(deployment: str, account: str) -> bytes:
    return hmac.digest(deployment.encode(), f"usage alerts {account}".encode(), sha256)


def signed_headers(
    keys: Iterable[bytes], message: str, second: int, content: bytes
) -> dict[str, str]:
    """Return the headers of the specification for *content*, with a signature by each key."""
    signed = b"%b.%d.%b" % (message.encode(), second, content)
    signatures = [b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(second),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def is_plain(url: URL) -> bool:
    """Tell whether *url* is one without TLS."""
    return url.scheme == "http"


def check_url(to: str, allowed: Sequence[Network]) -> None:
    """Raise ForbiddenAddressError where nothing will ever be sent *to* a URL that is being set.

    What is no URL is refused by the rule's own check.
    """
    try:
        url = URL(to)
    except ValueError:
        return
    if is_plain(url) and not allowed:
        raise ForbiddenAddressError(PLAIN)
    check_literal(url, allowed)


def check_literal(url: URL, allowed: Sequence[Network]) -> None:
    """Raise ForbiddenAddressError where the host of *url* is an address that is not allowed.

    That is what the system takes for one: `127.1`, too. A name is checked when it is resolved.
    """
    try:
        found = socket.getaddrinfo(url.host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return
    for *_, at in found:
        check(str(at[0]), allowed, is_plain=is_plain(url))


class Webhooks:
    """Sends webhooks, each over a connection of its own to a checked address."""

    def __init__(self, secret: str, allowed: Sequence[Network], previous: str = "") -> None:
        self._secrets = [each for each in (secret, previous) if each] if secret else []
        self._allowed = allowed

    async def send(self, notice: Notice) -> Outcome:
        """Send a notification once."""
        if not self._secrets:
            return Outcome(False, "USAGE_ALERTS_SECRET is not set")
        content = orjson.dumps(body(notice))
        headers = {
            "content-type": "application/json",
            "user-agent": f"interaction-usage/{version('interaction-usage')}",
            **signed_headers(
                [_key(secret, notice.rule.account) for secret in self._secrets],
                notice.notification.id, int(time.time()), content,
            ),
        }  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._post(notice.rule.to, content, headers)
        except TimeoutError:
            return Outcome(False, f"no answer within {TIMEOUT_S:g} s")
        except ForbiddenAddressError as error:
            return Outcome(False, str(error))
        except (ClientError, OSError, ValueError) as error:
            return Outcome(False, _why(error))
        if 200 <= status < 300:
            return Outcome(True, str(status))
        # The specification's way to say that nothing is to be sent there any more.
        return Outcome(False, str(status), final=status == 410)

    async def _post(self, url: str, content: bytes, headers: dict[str, str]) -> int:
        place = URL(url)  # as aiohttp reads it: the host that is checked is the one it connects to
        check_literal(place, self._allowed)
        connector = TCPConnector(
            resolver=CheckedResolver(self._allowed, is_plain=is_plain(place)), force_close=True
        )
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(total=TIMEOUT_S)) as session,
            session.post(place, data=content, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status


def _why(error: Exception) -> str:
    """Return why there is no answer, in one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenAddressError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:200]
