"""Chooses TCP ports for servers on 127.0.0.1."""

import random
import socket

# Below Linux's range for outgoing connections (32768 and up): none of those can take the port
# between this choice and the server's bind.
_FIRST, _LAST = 15_000, 32_000

_handed_out: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens; never the same one twice in a process.

    Raises OSError when none of a thousand tries found one.
    """
    for _ in range(1_000):
        port = random.randint(_FIRST, _LAST)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise OSError(f"no free port on 127.0.0.1 between {_FIRST} and {_LAST}")


def is_free(port: int) -> bool:
    """Whether nothing listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
