"""Output for terminals and pipes that cannot show every character, such as those of `LC_ALL=C`.

Texts, tables and curves are written as for any other; what the output has no character for becomes
the nearest one that it has, or an escape (`R\\xfcckruf`), so that names stay distinct.
"""

import codecs
import errno
import io
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

_HANDLER: Final = "interaction-usage-nearest"
_C_LOCALES: Final = {"C", "POSIX"}
_NEAREST: Final = str.maketrans(
    {
        "…": "...", "·": "-", "–": "-", "—": "-", "−": "-", "×": "x", "≤": "<=", "≥": ">=",
        "“": '"', "”": '"', "‘": "'", "’": "'", "→": "->", "←": "<-", "•": "*", "✓": "+", "✗": "x",
        "\N{NO-BREAK SPACE}": " ", "\N{REPLACEMENT CHARACTER}": "?",
        # frames of panels and tables, bars of progress
        **dict.fromkeys("─━═╸╺╴╶", "-"), **dict.fromkeys("│┃║", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇╋", "+"),
        # curves: the higher, the more ink
        **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*#@", strict=True)),
    }
)  # fmt: skip


class Output(io.TextIOWrapper):
    """A text stream that writes what it can show."""

    #: What it stands for: a stream that nobody refers to closes what it writes to.
    source: TextIO | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # it is never set
        """Say UTF-8: click writes past a stream that says ASCII, and rich draws less on one."""
        return "utf-8"


class ClosedOutput(io.TextIOBase):
    """The standard output where there is none (`>&-`): what writes to it fails as on a closed one.

    Python has None there, and click drops what is written then without a word.
    """

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Raise OSError."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def isatty(self) -> bool:
        """Return False."""
        return False


def output_is_closed() -> bool:
    """Tell whether nothing can be written to the standard output."""
    return sys.stdout is None or isinstance(sys.stdout, ClosedOutput)


def adapt_output(environment: Mapping[str, str] = os.environ) -> None:
    """Let the standard output and error show every text in the characters that they have."""
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        target = _target(stream, environment)
        if target:
            codecs.register_error(_HANDLER, _nearest)
            stream.flush()
            adapted = Output(
                stream.buffer, encoding=target, errors=_HANDLER,
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            adapted.source = stream
            setattr(sys, name, adapted)


def _target(stream: TextIO | None, environment: Mapping[str, str]) -> str:
    """Return the encoding that *stream* has to be adapted to; empty if it can show everything."""
    if type(stream) is not io.TextIOWrapper:
        return ""
    if not codecs.lookup(stream.encoding).name.startswith("utf"):
        return stream.encoding
    # Python writes UTF-8 in the C locale. A pipe may have that, a terminal said that it is ASCII.
    locale = next(filter(None, map(environment.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    return "ascii" if locale in _C_LOCALES and stream.isatty() else ""


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what is written instead of characters that the output has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    piece = error.object[error.start : error.end].translate(_NEAREST)
    shown: Any = piece.encode(error.encoding, "backslashreplace")
    return shown, error.end
