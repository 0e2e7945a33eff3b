"""E-mails over SMTP: STARTTLS or TLS, and a login where the server wants one."""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor

from interaction_usage.alerts.notices import Notice, mail
from interaction_usage.alerts.webhooks import Outcome
from interaction_usage.settings import Smtp

#: Seconds that the server has for each of its answers.
_TIMEOUT_S = 10.0
#: E-mails that are sent at once.
_AT_ONCE = 4


class Mailing:
    """Sends e-mails through one server."""

    def __init__(self, smtp: Smtp) -> None:
        self._smtp = smtp
        # Of its own: a server that hangs keeps no thread from anything else.
        self._threads = ThreadPoolExecutor(_AT_ONCE, "mail")

    async def send(self, notice: Notice) -> Outcome:
        """Send a notification once."""
        if not self._smtp.host:
            return Outcome(False, "USAGE_SMTP_HOST is not set")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, notice)

    def _send(self, notice: Notice) -> Outcome:
        try:
            with self._connected() as server:
                if self._smtp.username:
                    server.login(self._smtp.username, self._smtp.password)
                server.send_message(mail(notice, self._smtp.sender))
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            return Outcome(False, _line(f"{code} {answer.decode('utf-8', 'replace')}"))
        except smtplib.SMTPResponseException as error:
            text: bytes | str = error.smtp_error
            said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            return Outcome(False, _line(f"{error.smtp_code} {said}"))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return Outcome(False, _line(str(error) or type(error).__name__))
        return Outcome(True, "accepted")

    def _connected(self) -> smtplib.SMTP:
        smtp = self._smtp
        context = ssl.create_default_context(cafile=smtp.ssl_ca_location or None)
        if smtp.security == "tls":
            return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=_TIMEOUT_S, context=context)
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=_TIMEOUT_S)
        if smtp.security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
