"""Delivering to a real receiver and a real mail server, which are away at times."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from interaction_usage.alerts import delivery
from interaction_usage.alerts.delivery import PATIENCE_S, Attempt, Delivery, Settled
from interaction_usage.alerts.mailing import Mailing
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import Notification
from interaction_usage.alerts.webhooks import Outcome, Webhooks, secret_of
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.settings import Smtp
from interaction_usage.store import alert_table
from interaction_usage.store.client import connect
from tests.support.receiver import Receiver, receiver
from tests.support.redis_certificates import make_certificates

pytestmark = pytest.mark.servers

SECRET = "a secret of the tests, long enough"
HERE = ("127.0.0.0/8",)


@pytest.fixture(scope="module")
def redis() -> Iterator[Any]:
    """Yield a client of a Redis of this module's own."""
    with redis_server() as server, connect(server.url) as client:
        yield client


@pytest.fixture
def hook(redis: Any) -> Iterator[Receiver]:
    """Yield a receiver that knows the account's secret."""
    redis.flushall()
    with receiver() as made:
        made.secret = secret_of(SECRET, "acme")
        yield made


def notice(to: str, number: int = 1, ago: float = 0, target: str = "agent") -> Notice:
    """Return a notification of a rule that notifies *to*."""
    second = int(time.time() - ago)
    rule = Rule("acme", "level", 2, to, target)
    return Notice(rule, Notification(f"msg_{number}", "triggered", second, second, 2, over=True))


def deliver(
    redis: Any, *notices: Notice, pauses: tuple[float, ...] = (0.05,), smtp: Smtp | None = None,
    seconds: float = 10, until: Any = None,
) -> Settled:  # fmt: skip
    """Deliver *notices* until all are settled, or *until* something holds; return what is."""

    async def run() -> Settled:
        made = Delivery(redis, Webhooks(SECRET, HERE), Mailing(smtp or Smtp()), pauses)
        await made.begin()
        made.offer(notices)
        made.offer(notices)  # again: they are on their way
        deadline = time.monotonic() + seconds
        while made.waiting and not (until and until()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await made.close()
        return made.settled()

    return asyncio.run(run())


def attempts(redis: Any) -> list[Attempt]:
    """Return the log of deliveries, oldest first."""
    return [delivery.decode(each) for each in reversed(alert_table.attempts(redis, "acme"))]


def test_a_receiver_that_was_away_gets_it_once_in_order(redis: Any, hook: Receiver) -> None:
    """Under the same id at each attempt, with a signature that the library verifies."""
    hook.status = 503
    made = [notice(hook.url, number) for number in (1, 2)]

    def comes_back() -> bool:
        if hook.attempts == 2:
            hook.status = 204
        return False

    settled = deliver(redis, *made, until=comes_back)
    assert settled.delivered[made[0].rule.id] == ["msg_1", "msg_2"]
    assert [each.id for each in hook.received] == ["msg_1", "msg_2"]
    assert hook.refused == []
    outcomes = [(each.id, each.number, each.outcome, each.answer) for each in attempts(redis)]
    assert outcomes == [
        ("msg_1", 1, "failed", "503"), ("msg_1", 2, "failed", "503"),
        ("msg_1", 3, "delivered", "204"), ("msg_2", 1, "delivered", "204"),
    ]  # fmt: skip
    assert alert_table.read_schedule(redis) == {}


def test_while_the_secret_is_changed_either_verifies(redis: Any, hook: Receiver) -> None:
    """A receiver that knows the old one, and one that knows the new one; no other does."""
    webhooks = Webhooks("another secret of the tests, long enough", HERE, SECRET)

    async def send(number: int) -> Outcome:
        return await webhooks.send(notice(hook.url, number))

    for number, deployment in enumerate((SECRET, "another secret of the tests, long enough")):
        hook.secret = secret_of(deployment, "acme")
        assert asyncio.run(send(number)).answer == "204"
    hook.secret = secret_of("a third secret of the tests, long enough", "acme")
    assert asyncio.run(send(9)).answer == "401"


def test_after_a_day_it_is_given_up(redis: Any, hook: Receiver) -> None:
    """After one more attempt, and so that it can be seen."""
    hook.status = 500
    made = notice(hook.url, ago=PATIENCE_S)
    settled = deliver(redis, made)
    assert settled.given_up[made.rule.id] == ["msg_1"]
    assert [each.outcome for each in attempts(redis)] == ["given up"]


@pytest.mark.parametrize(("status", "is_final"), [(410, True), (302, False), (404, False)])
def test_what_an_answer_means(redis: Any, hook: Receiver, status: int, is_final: bool) -> None:
    """Gone is final; a redirect is not followed."""
    hook.status = status
    with receiver() as other:
        hook.headers["location"] = other.url
        settled = deliver(redis, notice(hook.url), until=lambda: hook.attempts >= 2)
        assert other.attempts == 0
    assert bool(settled.given_up) == is_final


def test_another_process_goes_on_with_the_attempts(redis: Any, hook: Receiver) -> None:
    """Their number and the next one's second are in Redis; without Redis they begin again."""
    hook.status = 500
    deliver(
        redis, notice(hook.url), pauses=(60.0,), until=lambda: alert_table.read_schedule(redis)
    )  # the log of attempts is written before it

    assert deliver(redis, notice(hook.url), seconds=0.3).delivered == {}
    assert hook.attempts == 1
    redis.flushall()
    hook.status = 204
    assert deliver(redis, notice(hook.url)).delivered


def test_one_receiver_that_hangs_is_in_nobodys_way(redis: Any, hook: Receiver) -> None:
    """Others are delivered meanwhile."""

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> float:
        server = await asyncio.start_server(never, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = Delivery(redis, Webhooks(SECRET, HERE), Mailing(Smtp()))
        hanging = [
            notice(f"http://localhost:{port}/{n}", 100 + n, target="agent") for n in range(20)
        ]
        made.offer(hanging)
        made.offer([notice(hook.url)])
        began = time.monotonic()
        while not hook.received and time.monotonic() - began < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        await made.close()
        server.close()
        return took

    assert asyncio.run(run()) < 2


class Mailbox:
    """What a mail server has taken; *refusing* makes it refuse."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.refusing = False

    async def handle_DATA(  # noqa: N802 (aiosmtpd calls it)
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        """Take a message."""
        if self.refusing:
            return "451 try again later"
        self.messages.append(envelope)
        return "250 OK"


def test_an_email_is_sent_with_a_login(redis: Any, hook: Receiver, tmp_path: Path) -> None:
    """By STARTTLS; a refusal is tried again; a wrong password or authority says so."""
    box = Mailbox()

    def authenticate(*arguments: Any) -> AuthResult:
        data = arguments[-1]
        return AuthResult(success=data.password == b"right", handled=False)

    port, made_certificates = free_port(), make_certificates(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made_certificates / "crt", made_certificates / "key")
    authority = str(made_certificates / "ca.crt")
    server = Controller(
        box, hostname="127.0.0.1", port=port, authenticator=authenticate, auth_required=True,
        tls_context=context, require_starttls=True, server_hostname="mail.example",
    )  # fmt: skip
    server.start()
    try:
        login = ("usage", "right", authority, "usage@example.com")
        smtp = Smtp("127.0.0.1", port, "starttls", *login)
        box.refusing = True
        made = notice("mailto:ops@example.com")

        def comes_back() -> bool:
            if attempts(redis):
                box.refusing = False
            return False

        settled = deliver(redis, made, smtp=smtp, until=comes_back)
        assert settled.delivered[made.rule.id] == ["msg_1"]
        assert attempts(redis)[0].answer == "451 try again later"
        [envelope] = box.messages
        assert envelope.rcpt_tos == ["ops@example.com"]
        assert b"Subject: Triggered: acme, Agent Application: 2 or more at once" in envelope.content
        wrong = smtp._replace(password="wrong")
        redis.flushall()
        deliver(
            redis, notice("mailto:ops@example.com", 2), smtp=wrong, until=lambda: attempts(redis)
        )
        assert attempts(redis)[0].answer.startswith("535")
        redis.flushall()
        unknown = smtp._replace(ssl_ca_location="")
        deliver(
            redis, notice("mailto:ops@example.com", 3), smtp=unknown, until=lambda: attempts(redis)
        )
        assert "certificate verify failed" in attempts(redis)[0].answer
    finally:
        server.stop()


def test_without_settings_nothing_is_sent_and_the_log_says_why(redis: Any, hook: Receiver) -> None:
    """The variable is named."""
    deliver(redis, notice("mailto:ops@example.com"), until=lambda: attempts(redis))
    assert attempts(redis)[0].answer == "USAGE_SMTP_HOST is not set"
    note = msgspec.structs.replace(notice(hook.url).notification, id="msg_9")
    outcome = asyncio.run(Webhooks("", HERE).send(Notice(notice(hook.url).rule, note)))
    assert outcome.answer == "USAGE_ALERTS_SECRET is not set"
