"""Bad visitors of a dashboard, as a process of their own: they slow down nobody who measures.

    python tests/attacks.py KIND PORT SECONDS COUNT [TOKEN [PATH]]

COUNT of them at once for so many seconds, on 127.0.0.1 only; prints as JSON what they saw.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

_PATCH = 64 * 1024


class Attack:
    """What all the visitors of one attack share."""

    def __init__(self, port: int, seconds: float, token: str, path: str) -> None:
        self.port, self.path = port, path
        self.ends = time.monotonic() + seconds
        self.authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self.seen: Counter[str] = Counter()

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()

    def head(self, method: str, path: str, *more: str) -> bytes:
        """Return a request's head."""
        lines = "".join(f"{line}\r\n" for line in more)
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self.authorization}{lines}\r\n"
        return head.encode()

    async def read_status(self, reader: asyncio.StreamReader) -> None:
        """Count the status that is answered, or that none is."""
        try:
            line = await asyncio.wait_for(reader.readline(), max(self.left, 0.1))
        except (OSError, TimeoutError):
            line = b""
        self.seen[line[9:12].decode() if line else "closed"] += 1


Visitor = Callable[[Attack, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def idle(attack: Attack, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Connect and say nothing."""
    await asyncio.wait_for(reader.read(1), attack.left)
    attack.seen["closed"] += 1


async def slow_head(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a header, a byte at a time, and never its end."""
    writer.write(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    await _drip(attack, reader, writer)


async def slow_body(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a login form, a byte at a time."""
    writer.write(attack.head("POST", "/login", "Content-Length: 4000"))
    await _drip(attack, reader, writer)


async def _drip(attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while attack.left > 0:
        writer.write(b"x")
        await writer.drain()
        if reader.at_eof():
            attack.seen["closed"] += 1
            return
        await asyncio.sleep(0.5)


async def huge_head(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send headers without an end."""
    writer.write(b"GET /login HTTP/1.1\r\n")
    answer = asyncio.create_task(attack.read_status(reader))
    while attack.left > 0 and not answer.done():
        writer.write(b"X-Header: " + b"x" * 8000 + b"\r\n")
        await writer.drain()
    await answer


async def body(attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send 400 MB as the settings of an account, with its length first."""
    writer.write(attack.head("PUT", "/api/accounts/acme", f"Content-Length: {400 << 20}"))
    answer = asyncio.create_task(attack.read_status(reader))
    for _ in range((400 << 20) // _PATCH):
        writer.write(b" " * _PATCH)
        await writer.drain()
    await answer


async def chunked(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send 400 MB in chunks."""
    writer.write(attack.head("PUT", "/api/accounts/acme", "Transfer-Encoding: chunked"))
    answer = asyncio.create_task(attack.read_status(reader))
    for _ in range((400 << 20) // _PATCH):
        writer.write(b"%x\r\n%b\r\n" % (_PATCH, b" " * _PATCH))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await answer


async def pipelined(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send thousands of requests at once, again and again, and read no answer."""
    while attack.left > 0:
        writer.write(attack.head("GET", attack.path) * 2000)
        await asyncio.wait_for(writer.drain(), attack.left)
        attack.seen["sent"] += 2000


async def asking(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Ask for a path again and again, and leave in the middle of the last answer."""
    while attack.left > 0:
        writer.write(attack.head("GET", attack.path))
        line = await asyncio.wait_for(reader.readline(), attack.left)
        attack.seen[line[9:12].decode() if line else "closed"] += 1
        if not line:
            return
        length = 0
        while (header := await reader.readline()) not in (b"\r\n", b""):
            if header.lower().startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        await asyncio.wait_for(reader.readexactly(length), attack.left)


async def unread(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Ask for a path and read nothing of the answer but its status."""
    writer.write(attack.head("GET", attack.path))
    await attack.read_status(reader)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(max(attack.left, 0))


async def garbage(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send what is no request, or one that forges a line of a log, each on a new connection."""
    writer.write(b"GET /%0aERROR%20forged%1b[31m HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    writer.write(b"\x1b[31mERROR forged\r\n\r\n")
    await attack.read_status(reader)


async def upgrade(
    attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Ask for a protocol that is not there, again and again."""
    while attack.left > 0:
        writer.write(attack.head("GET", "/assets/x", "Connection: upgrade", "Upgrade: websocket"))
        await attack.read_status(reader)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)


KINDS: dict[str, Visitor] = {
    each.__name__: each
    for each in (
        idle, slow_head, slow_body, huge_head, body, chunked, pipelined, asking, unread, garbage,
        upgrade,
    )
}  # fmt: skip

#: Those that come again on a new connection until the end.
_AGAIN = ("garbage", "huge_head", "slow_head", "slow_body")


async def _visit(attack: Attack, kind: str) -> None:
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)
            if attack.left > 0:
                await KINDS[kind](attack, reader, writer)
        except TimeoutError:
            pass
        except (OSError, asyncio.IncompleteReadError) as error:
            attack.seen[type(error).__name__] += 1
        finally:
            if writer:
                writer.transport.abort()
        if kind not in _AGAIN or attack.left <= 0:
            return
        await asyncio.sleep(0.01)


async def _main(kind: str, port: str, seconds: str, count: str, token: str, path: str) -> None:
    attack = Attack(int(port), float(seconds), token, path)
    visits = [asyncio.create_task(_visit(attack, kind)) for _ in range(int(count))]
    await asyncio.wait(visits, timeout=float(seconds) + 30)
    print(json.dumps(attack.seen))


if __name__ == "__main__":
    given = [*sys.argv[1:], *("", "")][:6]
    asyncio.run(_main(*given))
